"""A model inside this process, on llama.cpp: needs no server, no Hub and no GPU.

The engine is llama.cpp's own server, started in this process by xllamacpp. All requests use its loopback port
(guarded by a random key), not the Python binding: only the server offers tokenizer and chat template, a
dropped connection stops a generation, and no threads are needed for waiting. The draws of one `generate` call
share one reading of the prompt and are decoded as one batch. Concurrent calls share the batch, too. With a
LoRA adapter, each request says whether to use it, so one model in memory serves both.
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
    """A GGUF model in this process. It is loaded at the first call and serves one event loop at a time.

    The engine holds `2 * context_size` tokens (about 23 kB each for the embedded model): one prompt of up to
    `context_size`, shared by its draws, and room for their completions. A call waits, first come first
    served, until its prompt and its full `max_tokens` fit. If the draws of one call do not fit at once, they
    are made in several parts.

    The same seed repeats a draw if the same call is made again on the same machine and nothing else runs.
    Batches of another shape round differently, which may change a close choice.

    `logprobs` of a sample are the model's own, before temperature and nucleus. A character of several tokens
    counts with its last token only.

    Attributes:
        model: At construction `embedded`, a path to a `.gguf` file, or a folder of `sampleset export`.
            Afterwards the identity, never a path: `smollm2-135m-instruct-q4_1`, or `NAME.gguf@` and 8 hex
            digits of a digest over the file's size, first and last MiB (reading a large file whole takes
            seconds), or `BASE+FOLDER@...` for an adapter.
        group_size: Sequences decoded together.
        context_size: Tokens that prompt and completion may take together. After loading, at most the model's
            own limit.
        threads: CPU threads, by default the cores this process may use.
        prompt_cache: Whether a prompt may start from the engine's state after an earlier call. Faster for
            repeated prompts, but it rounds differently, so it is off by default.
        max_calls: 2: one call computes while the next is prepared. More would wait while their time limit
            runs.
        continues_assistant: True: a last message of the role `assistant` is continued.
        is_local: True: it computes in this process.
        record: Record of a trained aggregator, else `None`.
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
        """A backend of the model without its adapter, on the same engine; this backend if it has no adapter.

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
        await self._loaded_engine()

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds. Consecutive seeds share a batch.

        Raises:
            ContextOverflowError: Prompt and `max_tokens` exceed the context; nothing was generated.
            BackendError: The engine refuses the request.
        """
        return await self.stream(messages, params, seeds, lambda index, text: None)

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`; `on_text` is called with (index of the seed, next piece of its text)."""
        engine = await self._loaded_engine()
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
                    lambda index, text, first=first: on_text(first + index, text),
                )
        return generations

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in nats, in order. The prompt is read once.

        A continuation is tokenized by itself, as if the model wrote it. A grammar that allows only these
        tokens forces the model along them. An end token after the text is not scored.

        Raises:
            InvalidArgumentError: A continuation holds a lone surrogate or a NUL.
            ContextOverflowError: Prompt and longest continuation exceed the context.
            BackendError: The engine could not be forced along a continuation.
        """
        for text in continuations:
            if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
                raise InvalidArgumentError(f"A continuation cannot hold a NUL or a lone surrogate: {text!r}.")
        engine = await self._loaded_engine()
        require_text(messages, self.model)
        prompt = await engine.read_prompt(messages)
        cuts = [await engine.cut(text) for text in continuations]
        longest = max((len(cut.tokens) for cut in cuts), default=0)
        self._require_room(len(prompt), longest, "tokens of the longest continuation")
        scores: list[Continuation] = []
        async with engine.room.hold(1, len(prompt) + longest):
            # The prompt is read by a separate request: only a streamed request notices that its caller left,
            # and every continuation then starts from the same state, in any order.
            await engine.complete({"prompt": prompt, "n_predict": 0, "cache_prompt": False, **self._lora})
            for cut in cuts:
                scores.append(await engine.score(prompt, cut, self._lora))
        return scores

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one for each token, which join to the text.

        A character of several tokens is in the piece of its last token; the others are empty. Texts over
        200,000 characters, and texts that the tokenizer would alter, are estimated.
        """
        if len(text) > EXACT_TOKENIZE_LIMIT:
            return estimate_pieces(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            return estimate_pieces(text)
        engine = await self._loaded_engine()
        pieces = await engine.pieces(text)
        return pieces if "".join(pieces) == text else estimate_pieces(text)

    async def aclose(self) -> None:
        """Free the model. A later call loads it again."""
        engine = self._shared.leave(self)
        if engine is not None:
            await asyncio.to_thread(engine.close)

    async def _loaded_engine(self) -> Engine:
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
    """The request field with the adapter's scale. Without it the engine uses the scale of its start."""
    return {"lora": [{"id": 0, "scale": scale}]}


def _runs(seeds: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Runs of consecutive seeds as (first, count), each at most `width` long."""
    # The engine reads 32 bits of a seed; the last value means "random".
    wrapped = [seed % (2**32 - 1) for seed in seeds]
    start = 0
    for index in range(1, len(wrapped) + 1):
        if index == len(wrapped) or index - start == width or wrapped[index] != wrapped[index - 1] + 1:
            yield wrapped[start], index - start
            start = index
