"""A model inside this process, on llama.cpp: needs no server, no hub and no GPU.

The engine is llama.cpp's own server, started in this process by xllamacpp. Everything goes over its
loopback port (guarded by a random key) rather than through the Python binding: that is where tokenizer
and chat template are reached, a dropped connection is what stops a generation, and nothing waits in
threads. The draws of one `generate` call share one reading of the prompt and are decoded as one batch;
calls that run at the same time share the batch too. With a LoRA adapter beside the model, each request says
whether it wants it, so one model in memory serves both.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampleset.backends.base import BACKENDS
from sampleset.chat import (
    Continuation,
    Generation,
    Message,
    OnText,
    SamplingParams,
    estimate_pieces,
    require_text,
)
from sampleset.engines.checkpoint import CheckpointRecord
from sampleset.engines.gguf import GgufFiles, find_gguf
from sampleset.engines.llamacpp import Engine
from sampleset.engines.shared import SharedEngine
from sampleset.errors import ContextOverflowError, InvalidArgumentError
from sampleset.types import LogprobSummary

EXACT_TOKENIZE_LIMIT = 200_000
"""Longest text, in characters, that `tokenize` gives to the tokenizer."""


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
        model: `embedded`, a path to a `.gguf` file, or a folder that `sampleset export` wrote when given;
            then the identity, never a path: `smollm2-135m-instruct-q4_1`, or `NAME.gguf@` and 8 hex digits
            of a digest over the file's size, first and last MiB (a whole large file would take seconds to
            read), or `BASE+FOLDER@...` for an adapter.
        group_size: Sequences decoded together.
        context_size: Tokens that prompt and completion may take together; the model's own limit once
            loaded, if that is lower.
        threads: CPU threads, by default the cores this process may use.
        prompt_cache: Whether a prompt may start from what an earlier call left in the engine. Faster
            for repeated prompts; rounds differently, so off by default.
        max_calls: One call computes while the next one is got ready; time limits should not run for others.
        continues_assistant: True: a last message of the role `assistant` is continued.
        is_local: True: it computes in this process.
        record: How the model is to be asked, if it is a trained aggregator.
    """

    model: str = "embedded"
    group_size: int = 8
    context_size: int = 8192
    threads: int | None = None
    prompt_cache: bool = False
    max_calls: int | None = field(default=2, init=False)
    continues_assistant: bool = field(default=True, init=False)
    is_local: bool = field(default=True, init=False)
    record: CheckpointRecord | None = field(default=None, init=False, repr=False)
    _files: GgufFiles = field(init=False, repr=False)
    _shared: SharedEngine[Engine] = field(init=False, repr=False)
    _lora: dict[str, Any] = field(default_factory=dict[str, Any], init=False, repr=False)

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
        files = self._files = find_gguf(self.model)
        self.model, self.record = files.identity, files.record
        self._lora = _lora(1.0) if files.adapter else {}
        sizes = (self.group_size, self.context_size, self.threads)
        self._shared = SharedEngine(lambda: Engine(files.find(), *sizes, files.adapter))

    def plain(self) -> LlamaCppBackend:
        """The model without its adapter, a backend of its own on the same engine; itself if it has none.

        The engine is freed when both are closed.
        """
        if self._files.adapter is None:
            return self
        twin = copy.copy(self)
        twin.model, twin.record, twin._lora = self._files.plain_identity, None, _lora(0.0)
        return twin

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
        return await self.stream(messages, params, seeds, lambda place, text: None)

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`, told while it is written."""
        engine = await self._ready()
        require_text(messages, self.model)
        prompt = await engine.read_prompt(messages)
        self._require_room(len(prompt), params.max_tokens, "max_tokens")
        width = min(self.group_size, (engine.cells - len(prompt)) // params.max_tokens)
        generations: list[Generation] = []
        for seed, count in _runs(seeds, width):
            first = len(generations)
            async with engine.room.hold(count, len(prompt) + count * params.max_tokens):
                generations += await self._draw(
                    engine,
                    prompt,
                    params,
                    seed,
                    count,
                    lambda place, text, first=first: on_text(first + place, text),
                )
        return generations

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in order; the prompt is read once.

        A continuation is cut into tokens on its own, as a model that writes it would, and a grammar that
        allows no others forces the model along them. What follows the text is not scored.

        Raises:
            InvalidArgumentError: A continuation holds a lone surrogate or a NUL.
            ContextOverflowError: Prompt and longest continuation exceed the context.
            BackendError: The engine could not be forced along a continuation.
        """
        for text in continuations:
            if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
                raise InvalidArgumentError(f"A continuation cannot hold a NUL or a lone surrogate: {text!r}.")
        engine = await self._ready()
        require_text(messages, self.model)
        prompt = await engine.read_prompt(messages)
        cuts = [await engine.cut(text) for text in continuations]
        longest = max((len(cut.tokens) for cut in cuts), default=0)
        self._require_room(len(prompt), longest, "tokens of the longest continuation")
        scores: list[Continuation] = []
        async with engine.room.hold(1, len(prompt) + longest):
            # Reading comes first and by itself: only a streamed request notices that its caller left,
            # and every continuation then starts from the same state, whatever the order.
            await engine.complete({"prompt": prompt, "n_predict": 0, "cache_prompt": False, **self._lora})
            for cut in cuts:
                scores.append(await engine.score(prompt, cut, self._lora))
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
        engine = self._shared.leave(self)
        if engine is not None:
            await asyncio.to_thread(engine.close)

    async def _ready(self) -> Engine:
        engine = self._shared.engine_of(self) or await asyncio.to_thread(self._shared.join, self)
        self.context_size = min(self.context_size, await engine.context_size())
        return engine

    def _require_room(self, prompt: int, more: int, what: str) -> None:
        if prompt + more > self.context_size:
            raise ContextOverflowError(
                f"The prompt has {prompt} tokens; with {more} {what} that exceeds the context of "
                f"{self.context_size}. Shorten the prompt, lower max_tokens or raise context_size."
            )

    async def _draw(
        self,
        engine: Engine,
        prompt: list[int],
        params: SamplingParams,
        seed: int,
        count: int,
        on_text: OnText,
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
                **self._lora,
            },
            on_text,
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


def _lora(scale: float) -> dict[str, Any]:
    """What a request says of the adapter. Without it, the engine would take the scale it was started with."""
    return {"lora": [{"id": 0, "scale": scale}]}


def _runs(seeds: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Runs of consecutive seeds as (first, count), none longer than `width`."""
    # The engine knows 32 bits, the last value meaning "random".
    wrapped = [seed % (2**32 - 1) for seed in seeds]
    start = 0
    for place in range(1, len(wrapped) + 1):
        if place == len(wrapped) or place - start == width or wrapped[place] != wrapped[place - 1] + 1:
            yield wrapped[start], place - start
            start = place
