"""A model inside this process on OpenVINO: the fastest way to read and draw on a CPU with AVX-512.

The engine decodes up to `max_sequences` draws of any questions in one batch, and reads waiting prompts in the
same steps. When a draw ends, the next one takes its room at once. Continuations are scored in one batch. With
a LoRA adapter, each call says whether to use it, so one model in memory serves both.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

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
from sampleset.engines.checkpoint import CheckpointRecord, read_record
from sampleset.engines.gguf import EMBEDDED_NAME, GgufFiles, find_gguf, weights_digest
from sampleset.engines.shared import SharedEngine
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.wire.beside import beside

if TYPE_CHECKING:
    # Every list of backends imports this module; the engine brings numpy.
    from sampleset.engines.openvino.engine import Engine

EXACT_TOKENIZE_LIMIT = 200_000
"""Longest text, in characters, that `tokenize` gives to the tokenizer."""

PREFIX = "openvino:"


@BACKENDS.register("openvino")
@dataclass(eq=False)
class OpenVinoBackend:
    """A GGUF model or a converted folder in this process. It is loaded at the first call.

    A GGUF file is converted once and then read from the cache (`engines.openvino.cache`).

    Every draw has random numbers of its seed alone. The same seed gives the same text, except for close
    choices: batches of another shape may round differently.

    `logprobs` of a sample are the model's own, before temperature and nucleus.

    Attributes:
        model: At construction `embedded`, `embedded-ssa`, a path to a `.gguf` file, a folder of `sampleset
            export`, a LoRA adapter of PEFT on a GGUF model, or a folder with `openvino_model.xml`, each with
            or without `openvino:` before it. Afterwards the identity, never a path.
        max_sequences: Draws decoded together.
        cache_gib: Memory for the tokens of all calls, in GiB. Calls beyond it wait.
        context_size: Tokens that prompt and completion may take together.
        threads: CPU threads, by default the cores this process may use.
        exact: Whether to compute in 32-bit floats throughout, at half the speed or less. By default
            activations are rounded to 8 bits before each product, as in llama.cpp.
        on_note: Called with a line before a model is converted.
        group_size: 1: a draw is returned as soon as it ends, not when its neighbours do.
        max_calls: As `max_sequences`; more would wait in the engine while their time limit runs.
        continues_assistant: True: a last message of the role `assistant` is continued.
        merge_adapter: Whether an adapter is added to the weights, in a converted copy of the model: it reads
            faster by a sixth, and `plain` takes memory for the weights again. Otherwise, and with `exact`,
            the adapter stays beside the weights, and one copy serves both.
        is_local: True: it computes in this process.
        record: Record of a trained aggregator, else `None`.
    """

    model: str = "embedded"
    max_sequences: int = 64
    cache_gib: int = 2
    context_size: int = 8192
    threads: int | None = None
    exact: bool = False
    merge_adapter: bool = True
    on_note: Callable[[str], None] | None = None
    group_size: int = field(default=1, init=False)
    max_calls: int | None = field(default=None, init=False)
    continues_assistant: bool = field(default=True, init=False)
    is_local: bool = field(default=True, init=False)
    record: CheckpointRecord | None = field(default=None, init=False, repr=False)
    _plain_identity: str = field(init=False, repr=False)
    _scale: float = field(default=0.0, init=False, repr=False)
    _shared: SharedEngine[Engine] = field(init=False, repr=False)
    _start_plain: Callable[[], Engine] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.threads is None:
            self.threads = len(os.sched_getaffinity(0))
        for name in ("max_sequences", "cache_gib", "context_size", "threads"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(f"{name} must be at least 1, got {getattr(self, name)!r}.")
        from sampleset.engines.openvino.cache import MODEL_FILES

        ref = self.model.removeprefix(PREFIX)
        path = Path(ref).expanduser()
        if (path / MODEL_FILES[0]).is_file():
            files, start = None, self._of_folder(path)
            self.model = self._plain_identity = f"{PREFIX}{path.resolve().name}@{_folder_digest(path)}"
        else:
            files = _peft_files(path) if (path / "adapter_config.json").is_file() else find_gguf(ref)
            merges = files.adapter is not None and self.merge_adapter and not self.exact
            start = self._of_gguf(files, merges)
            if merges:
                self._start_plain = self._of_gguf(replace(files, adapter=None), False)
            self.model, self._plain_identity = PREFIX + files.identity, PREFIX + files.plain_identity
            self.record = files.record
            self._scale = 1.0 if files.adapter else 0.0
        self.max_calls = self.max_sequences
        self._shared = SharedEngine(start)

    def plain(self) -> OpenVinoBackend:
        """A backend of the model without its adapter; this backend if it has no adapter.

        If the adapter is not merged into the weights, both are on one engine, which is freed when both are
        closed.
        """
        if not self._scale:
            return self
        twin = copy.copy(self)
        twin.model, twin.record, twin._scale = self._plain_identity, None, 0.0
        if self._start_plain is not None:
            twin._shared, twin._start_plain = SharedEngine(self._start_plain), None
        return twin

    async def check(self) -> None:
        """Load the model.

        Raises:
            MissingExtraError: A package or the embedded model is not installed.
            UnsupportedByBackendError: This package cannot run this kind of model on OpenVINO.
            BackendError: OpenVINO cannot load the model.
        """
        await self._loaded_engine()

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds.

        Raises:
            ContextOverflowError: Prompt and `max_tokens` exceed the context or the cache.
            BackendError: The engine failed.
        """
        return await self._draws(messages, params, seeds, None)

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`; `on_text` is called with (index of the seed, next piece of its text)."""
        return await self._draws(messages, params, seeds, on_text)

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in nats, in order. The prompt is read once.

        A continuation is tokenized by itself, as if the model wrote it. An end token after it is not scored.

        Raises:
            InvalidArgumentError: A continuation holds a lone surrogate or a NUL.
            ContextOverflowError: Prompt and longest continuation exceed the context or the cache.
            BackendError: The engine failed.
        """
        for text in continuations:
            if "\0" in text or not _is_whole(text):
                raise InvalidArgumentError(f"A continuation cannot hold a NUL or a lone surrogate: {text!r}.")
        engine = await self._loaded_engine()
        prompt = await self._read_prompt(engine, messages)
        return await asyncio.wrap_future(engine.score(prompt, self._scale, continuations))

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one for each token, which join to the text.

        A character of several tokens is in the piece of its last token; the others are empty. Texts over
        200,000 characters, and texts that the tokenizer would alter, are estimated.
        """
        if not text:
            return []
        if len(text) > EXACT_TOKENIZE_LIMIT or not _is_whole(text):
            return estimate_pieces(text)
        engine = await self._loaded_engine()
        pieces = engine.tokenizer.pieces(text)
        return pieces if "".join(pieces) == text else estimate_pieces(text)

    async def aclose(self) -> None:
        """Stop all draws and free the model. A later call loads it again."""
        engine = self._shared.leave(self)
        if engine is not None:
            await asyncio.to_thread(engine.close)

    @property
    def tokens_read(self) -> int:
        """Tokens that the loaded engine has read: of prompts, continuations and draws."""
        engine = self._shared.engine_of(self)
        return engine.tokens_read if engine else 0

    async def _draws(
        self,
        messages: Sequence[Message],
        params: SamplingParams,
        seeds: Sequence[int],
        on_text: OnText | None,
    ) -> list[Generation]:
        require_text(messages, self.model)
        engine = await self._loaded_engine()
        prompt = await self._read_prompt(engine, messages)
        loop = asyncio.get_running_loop()

        def listener(index: int) -> Callable[[str], None] | None:
            if on_text is None:
                return None

            def call_soon(text: str, on_text: OnText = on_text) -> None:
                loop.call_soon_threadsafe(on_text, index, text)

            return call_soon

        draws = [
            asyncio.wrap_future(engine.draw(prompt, self._scale, params, seed, listener(index)))
            for index, seed in enumerate(seeds)
        ]
        try:
            return await asyncio.gather(*draws)
        finally:
            for draw in draws:
                draw.cancel()

    async def _read_prompt(self, engine: Engine, messages: Sequence[Message]) -> list[int]:
        require_text(messages, self.model)
        if not messages:
            raise InvalidArgumentError("The chat is empty; give at least one message.")
        length = sum(len(message["content"]) for message in messages)
        return await beside(length, lambda: engine.tokenizer.prompt(messages))

    async def _loaded_engine(self) -> Engine:
        return self._shared.engine_of(self) or await asyncio.to_thread(self._shared.join, self)

    def _of_gguf(self, files: GgufFiles, merges: bool) -> Callable[[], Engine]:
        def start() -> Engine:
            from sampleset.engines.openvino.cache import converted, group_in
            from sampleset.engines.openvino.engine import Engine
            from sampleset.engines.openvino.lora import read_adapter
            from sampleset.engines.openvino.paged import PagedModel
            from sampleset.engines.openvino.text import Tokenizer
            from sampleset.engines.openvino.weights import read_gguf

            content = read_gguf(files.find())
            adapter = read_adapter(files.adapter, content) if files.adapter and not merges else None
            folder = converted(content, self.on_note, files.adapter if merges else None)
            limit = int(content.setting("context_length", self.context_size))
            group = 0 if self.exact else group_in(folder)
            model = PagedModel(folder, self.cache_gib * 2**30, cast(int, self.threads), adapter, group)
            return Engine(model, Tokenizer(folder), self.max_sequences, min(self.context_size, limit))

        return start

    def _of_folder(self, folder: Path) -> Callable[[], Engine]:
        def start() -> Engine:
            from sampleset.engines.openvino.engine import Engine
            from sampleset.engines.openvino.paged import PagedModel
            from sampleset.engines.openvino.text import Tokenizer

            group = 0 if self.exact else None
            model = PagedModel(folder, self.cache_gib * 2**30, cast(int, self.threads), group=group)
            return Engine(model, Tokenizer(folder), self.max_sequences, self.context_size)

        return start


def _is_whole(text: str) -> bool:
    """Whether a text holds no half of a character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _folder_digest(folder: Path) -> str:
    from sampleset.engines.openvino.cache import MODEL_FILES

    return weights_digest([folder / name for name in MODEL_FILES])[:8]


def _peft_files(folder: Path) -> GgufFiles:
    """The files of a LoRA adapter of PEFT and of the GGUF model that it names."""
    from sampleset.engines.huggingface.model import find_model

    files = find_model(str(folder))
    base = files.base
    if base is None or not base.path.is_file():
        raise DataError(
            f"The adapter {str(folder)!r} belongs to {base.name if base else 'no model'!r}, which is no GGUF "
            "file: OpenVINO reads adapters of GGUF models. Use transformers:FOLDER."
        )
    name = EMBEDDED_NAME if base.is_embedded else f"{base.path.name}@{base.digest[:8]}"
    both = hashlib.sha256(f"{name} {files.digest}".encode()).hexdigest()[:8]
    model = None if base.is_embedded else base.path
    return GgufFiles(f"{name}+{files.name}@{both}", name, model, folder, read_record(folder))
