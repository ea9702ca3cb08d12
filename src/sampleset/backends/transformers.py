"""Hugging Face models inside this process, on CUDA or a CPU: many draws at once, and exact scores.

Concurrent requests, of one question or of many, form large batches. Distinct prompts are read once, in passes
of similar length. Draws that end make room, and waiting draws join between two tokens. More calls in flight
(`max_concurrency`) therefore mean more tokens per second, until the memory for their tokens is full.

Random numbers of its seed pick each token of a draw, so it does not depend on other draws. Batches of
another shape round differently, though: in float32 that hardly ever changes a choice, in bfloat16 it does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from sampleset.backends.base import BACKENDS
from sampleset.chat import Continuation, Generation, Message, SamplingParams, estimate_pieces, require_text
from sampleset.engines.checkpoint import CheckpointRecord, read_record
from sampleset.engines.huggingface.calls import DrawCall, ScoreCall
from sampleset.engines.huggingface.engine import Engine
from sampleset.engines.huggingface.model import ModelFiles, context_of, find_model, load_model
from sampleset.errors import ContextOverflowError, InvalidArgumentError

EXACT_TOKENIZE_LIMIT = 200_000
"""Longest text, in characters, that `tokenize` gives to the tokenizer."""


@BACKENDS.register("transformers")
@dataclass(eq=False)
class TransformersBackend:
    """A model of Hugging Face's library. It is loaded at the first call.

    Only safetensors and GGUF files are loaded, and code that comes with a model never runs. A tokenizer
    without a chat template belongs to a base model, which reads the messages' texts, each followed by a blank
    line.

    `logprobs` of a sample are the model's own, before temperature, top_k and top_p, with the end token's.

    Attributes:
        model: At construction a folder with `config.json`; a folder with `adapter_config.json` (a LoRA
            adapter, loaded on the base model that it names); a `.gguf` file, whose weights are unpacked; or a
            Hub id, fetched at once if it is not in the local cache. All may have the prefix `transformers:`.
            Afterwards the identity, never a path: `transformers:NAME@`, or `transformers:BASE+NAME@` for an
            adapter, and 8 hex digits of a SHA-256 over each weight file's size, first and last MiB (reading a
            large file whole takes long).
        base: For an adapter: its base model, if not where the adapter says.
        device: `cpu`, `cuda` or `cuda:N`; by default CUDA if there is one. While a model on CUDA computes,
            torch's cuDNN attention is off for the process: it makes a plan for every new shape, so for every
            token.
        dtype: Type of weights and cache; by default bfloat16 on CUDA and float32 on a CPU.
        context_size: Tokens that prompt and completion may take together; by default, and at most, the
            model's own limit.
        group_size: Draws of one call.
        max_sequences: Draws decoded together; by default 4,096 on CUDA and 256 on a CPU.
        batch_tokens: Tokens of a batch, each completion counted with its full `max_tokens`. By default as
            many as fit in 60 % of the CUDA memory left after loading, or in 2 GiB on a CPU. Halved whenever
            memory runs out.
        threads: CPU threads, by default torch's own choice.
        merge_adapter: Whether to add the adapter to the weights. `False` keeps it separate: slower, but
            without the rounding of merged bfloat16 weights.
        max_calls: As `max_sequences`, known once the model is loaded. More would wait while their time limit
            runs.
        continues_assistant: True: a last message of the role `assistant` is continued.
        is_local: True: it computes in this process.
        record: Record of a trained aggregator, else `None`.
    """

    model: str
    base: str | None = None
    device: str | None = None
    dtype: str | None = None
    context_size: int | None = None
    group_size: int = 64
    max_sequences: int | None = None
    batch_tokens: int | None = None
    threads: int | None = None
    merge_adapter: bool = True
    max_calls: int | None = field(default=None, init=False)
    continues_assistant: bool = field(default=True, init=False)
    is_local: bool = field(default=True, init=False)
    record: CheckpointRecord | None = field(default=None, init=False, repr=False)
    _files: ModelFiles = field(init=False, repr=False)
    _engine: Engine | None = field(default=None, init=False, repr=False)
    _loading: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("context_size", "group_size", "max_sequences", "batch_tokens", "threads"):
            value: int | None = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{name} must be at least 1, got {value!r}.")
        self._files = find_model(self.model, self.base)
        self.model = self._files.identity
        self.record = read_record(self._files.path) if self._files.path.is_dir() else None
        self.max_calls = self.max_sequences
        self._limit_context(context_of(self._files))

    async def check(self) -> None:
        """Load the model.

        Raises:
            MissingExtraError: torch, transformers, or a package for adapters or GGUF files is missing.
            BackendError: transformers cannot load the model.
        """
        await self._loaded_engine()

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds.

        Raises:
            ContextOverflowError: Prompt and `max_tokens` exceed the context.
            BackendError: The model failed, or a single draw does not fit in memory.
        """
        engine = await self._loaded_engine()
        require_text(messages, self.model)
        prompt = await asyncio.to_thread(engine.texts.prompt, messages)
        self._require_room(len(prompt), params.max_tokens, "max_tokens")
        if not seeds:
            return []
        call = DrawCall(prompt, params, list(seeds))
        engine.submit(call)
        return await asyncio.wrap_future(call.result)

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in nats, in order. The prompt is read once.

        A continuation is tokenized by itself, as if the model wrote it. An end token after it is not scored.

        Raises:
            ContextOverflowError: Prompt and longest continuation exceed the context.
            InvalidArgumentError: A continuation holds a lone surrogate.
            BackendError: The model failed, or a single continuation does not fit in memory.
        """
        for text in continuations:
            if not _is_unicode(text):
                raise InvalidArgumentError(f"A continuation cannot hold a lone surrogate: {text!r}.")
        engine = await self._loaded_engine()

        def cut() -> ScoreCall:
            texts = [engine.texts.continuation(text) for text in continuations]
            return ScoreCall(engine.texts.prompt(messages), texts)

        call = await asyncio.to_thread(cut)
        longest = max(map(len, call.texts), default=0)
        self._require_room(len(call.prompt), longest, "tokens of the longest continuation")
        if not continuations:
            return []
        engine.submit(call)
        return await asyncio.wrap_future(call.result)

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one for each token, which join to the text.

        A character of several tokens is in the piece of its last token; the others are empty. Texts over
        200,000 characters, and texts of tokenizers without offsets, are estimated.
        """
        if len(text) > EXACT_TOKENIZE_LIMIT or not _is_unicode(text):
            return estimate_pieces(text)
        engine = await self._loaded_engine()
        pieces = await asyncio.to_thread(engine.texts.pieces, text)
        return pieces if "".join(pieces) == text else estimate_pieces(text)

    async def aclose(self) -> None:
        """Stop all draws and free the model. A later call loads it again."""
        with self._loading:
            engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)

    async def _loaded_engine(self) -> Engine:
        return self._engine or await asyncio.to_thread(self._load)

    def _load(self) -> Engine:
        with self._loading:
            if self._engine is None:
                loaded = load_model(self._files, self.device, self.dtype, self.merge_adapter)
                config = loaded.model.config.get_text_config()
                self._limit_context(getattr(config, "max_position_embeddings", None))
                self._engine = Engine(loaded, self.max_sequences, self.batch_tokens, self.threads)
                self.max_calls = self._engine.decoder.max_sequences
            return self._engine

    def _limit_context(self, size: int | None) -> None:
        if size is not None:
            self.context_size = min(self.context_size or size, size)

    def _require_room(self, prompt: int, more: int, what: str) -> None:
        if self.context_size is not None and prompt + more > self.context_size:
            raise ContextOverflowError(
                f"The prompt has {prompt} tokens; with {more} {what} that exceeds the context of "
                f"{self.context_size}. Shorten the prompt, lower max_tokens or raise context_size."
            )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
