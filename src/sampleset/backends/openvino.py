"""A model inside this process, on OpenVINO GenAI: many draws at once, on a CPU.

The engine decodes up to `max_sequences` draws in one batch, of one question or of many, and a draw that ends
makes room for the next one at once. On one core that yields several times what decoding few draws together
does, so it suits long runs with a high `max_concurrency`; a single question gains little.

The engine belongs to one thread, which lets it work step by step; between two steps draws come and go.
The library keeps Python's global lock during a step, so nothing else in this process runs meanwhile. All
that a draw needs of it is therefore done in that thread, and after each step the others get a moment.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sampleset.backends.base import BACKENDS
from sampleset.chat import Generation, Message, SamplingParams, estimate_pieces, require_text
from sampleset.errors import (
    BackendError,
    ContextOverflowError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
)
from sampleset.types import LogprobSummary

EXACT_TOKENIZE_LIMIT = 200_000
"""Longest text, in characters, that `tokenize` gives to the tokenizer."""

BREATH = 0.02
"""Share of a step's time that the rest of the process gets after it."""

FOLDER_FILES = ("openvino_model.xml", "openvino_model.bin")
"""What a converted model's folder holds."""


@BACKENDS.register("openvino")
@dataclass(eq=False)
class OpenVinoBackend:
    """A GGUF file or a converted folder, run in this process. Loads at the first call.

    A draw takes its seed with it, yet it is not repeated by it: batches of another shape, and a prompt that
    an earlier draw left in the cache, round differently, so that a close choice turns. Only the same calls
    in the same order on a freshly loaded model repeat each other.

    `logprobs` of a sample are the model's own, before temperature and nucleus.

    Attributes:
        model: A path to a `.gguf` file (the engine reads no Q5 quantisation) or to a folder with
            `openvino_model.xml` when given; then the identity, never a path: `openvino:NAME@` and 8 hex
            digits of a digest over the size, first and last MiB of the files.
        max_sequences: Draws decoded together.
        cache_gib: Memory for the tokens of all draws, in GiB. Draws beyond it wait.
        context_size: Tokens that prompt and completion may take together.
        threads: CPU threads, by default the cores this process may use.
        group_size: 1: a draw is returned as soon as it ends, not when its neighbours do.
        max_calls: As `max_sequences`; more would wait in the engine while their time limit runs.
        continues_assistant: True: a last message of the role `assistant` is continued.
        is_local: True: it computes in this process.
    """

    model: str
    max_sequences: int = 64
    cache_gib: int = 2
    context_size: int = 8192
    threads: int | None = None
    group_size: int = field(default=1, init=False)
    max_calls: int | None = field(default=None, init=False)
    continues_assistant: bool = field(default=True, init=False)
    is_local: bool = field(default=True, init=False)
    _path: Path = field(init=False, repr=False)
    _engine: _Engine | None = field(default=None, init=False, repr=False)
    _loading: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.threads is None:
            self.threads = len(os.sched_getaffinity(0))
        for name in ("max_sequences", "cache_gib", "context_size", "threads"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(f"{name} must be at least 1, got {getattr(self, name)!r}.")
        self._path = Path(self.model.removeprefix("openvino:")).expanduser()
        self.model = _identity(self._path)
        self.max_calls = self.max_sequences

    async def check(self) -> None:
        """Load the model.

        Raises:
            MissingExtraError: openvino-genai is not installed.
            BackendError: OpenVINO cannot load the model.
        """
        await self._ready()

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds.

        Raises:
            ContextOverflowError: Prompt and `max_tokens` exceed the context or the cache.
            BackendError: The engine failed.
        """
        require_text(messages, self.model)
        if not messages:
            raise InvalidArgumentError("The chat is empty; give at least one message.")
        engine = await self._ready()
        draws = [asyncio.wrap_future(engine.submit(messages, params, seed)) for seed in seeds]
        try:
            return await asyncio.gather(*draws)
        finally:
            for draw in draws:
                draw.cancel()

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one a token, that join to it.

        Texts over 200,000 characters, and texts with a character spread over several tokens, are estimated.
        """
        if not text:
            return []
        if len(text) > EXACT_TOKENIZE_LIMIT or any("\ud800" <= character <= "\udfff" for character in text):
            return estimate_pieces(text)
        engine = await self._ready()
        pieces = await asyncio.to_thread(engine.pieces, text)
        return pieces if "".join(pieces) == text else estimate_pieces(text)

    async def aclose(self) -> None:
        """Stop what is being drawn and free the model. A later call loads it again."""
        with self._loading:
            engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)

    async def _ready(self) -> _Engine:
        return self._engine or await asyncio.to_thread(self._load)

    def _load(self) -> _Engine:
        with self._loading:
            if self._engine is None:
                threads = cast(int, self.threads)
                self._engine = _Engine(
                    self._path, self.max_sequences, self.cache_gib, self.context_size, threads
                )
            return self._engine


@dataclass(slots=True)
class _Draw:
    """A draw on its way through the engine: what is asked, and where the result goes."""

    messages: Sequence[Message]
    params: SamplingParams
    seed: int
    result: Future[Generation]
    handle: Any = None
    prompt_tokens: int = 0


class _Engine:
    """The loaded model and the thread that works it."""

    def __init__(
        self, path: Path, max_sequences: int, cache_gib: int, context_size: int, threads: int
    ) -> None:
        self._genai = _import_genai()
        scheduler = self._genai.SchedulerConfig()
        scheduler.max_num_seqs = max_sequences
        scheduler.cache_size = cache_gib
        scheduler.enable_prefix_caching = True  # draws of one question share their prompt
        try:
            self._pipeline = self._genai.ContinuousBatchingPipeline(
                str(path), scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads}, {}
            )
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot load {path.name!r}. It reads GGUF files of the types F16, Q8_0, Q4_0, "
                f"Q4_1, Q4_K and Q6_K (no Q5) and folders made by optimum-cli. ({_short(error)})"
            ) from error
        self._tokenizer = self._pipeline.get_tokenizer()
        self._context_size = context_size
        self._inbox: queue.SimpleQueue[_Draw | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._ended = "The model was closed while it was being asked."
        self._lock = threading.Lock()
        # A daemon: the interpreter would otherwise wait for all draws before `finalize` ends them at exit.
        self._thread = threading.Thread(target=self._work, name="sampleset-openvino", daemon=True)
        self._thread.start()
        self.close: Callable[[], object] = weakref.finalize(
            self, _stop, self._closing, self._inbox, self._thread
        )

    def pieces(self, text: str) -> list[str]:
        """What each token of a text writes."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        return self._tokenizer.decode([[token] for token in tokens], skip_special_tokens=False)

    def submit(self, messages: Sequence[Message], params: SamplingParams, seed: int) -> Future[Generation]:
        """One draw, when it is there; cancelling it stops the draw."""
        draw = _Draw(messages, params, seed, Future())
        with self._lock:  # nothing enters the inbox after the thread has emptied it
            if self._closing.is_set():
                raise BackendError(self._ended)
            self._inbox.put(draw)
        return draw.result

    def _config(self, params: SamplingParams, seed: int) -> Any:
        config = self._genai.GenerationConfig()
        config.max_new_tokens = params.max_tokens
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        config.logprobs = 1
        if params.stop:
            config.stop_strings = set(params.stop)
        if params.temperature > 0:
            config.do_sample = True
            config.temperature = params.temperature
            config.top_p = params.top_p
            config.rng_seed = seed % 2**32
            if params.top_k:
                config.top_k = params.top_k
        return config

    def _work(self) -> None:
        """Body of the thread: step after step, sleeping while nothing is asked."""
        active: list[_Draw] = []
        number = 0
        try:
            while not self._closing.is_set():
                while not self._closing.is_set() and (not active or not self._inbox.empty()):
                    draw = self._inbox.get()
                    if draw is not None and not draw.result.cancelled() and self._start(draw, number):
                        active.append(draw)
                        number += 1
                for draw in active:
                    if draw.result.cancelled():
                        draw.handle.cancel()
                started = time.monotonic()
                if self._pipeline.has_non_finished_requests():
                    self._pipeline.step()
                active = [draw for draw in active if not self._settle(draw)]
                time.sleep(BREATH * (time.monotonic() - started))
            error = BackendError(self._ended)
        except Exception as cause:  # whatever the engine raises must reach those who wait
            self._ended = f"OpenVINO failed while generating: {_short(cause)}"
            error = BackendError(self._ended)
            error.__cause__ = cause
        with self._lock:
            self._closing.set()
            while not self._inbox.empty():
                if (draw := self._inbox.get()) is not None:
                    active.append(draw)
        for draw in active:
            if draw.handle is not None:
                draw.handle.cancel()
            _resolve(draw.result, error)
        del self._pipeline

    def _start(self, draw: _Draw, number: int) -> bool:
        """Whether the draw is in the engine; otherwise its caller is told why not."""
        try:
            prompt, config = self._read_prompt(draw.messages), self._config(draw.params, draw.seed)
        except (RuntimeError, TypeError, ValueError) as cause:
            _resolve(draw.result, BackendError(f"OpenVINO cannot read the request: {_short(cause)}"))
            return False
        draw.prompt_tokens, more = prompt.shape[1], draw.params.max_tokens
        if draw.prompt_tokens + more > self._context_size:
            error = ContextOverflowError(
                f"The prompt has {draw.prompt_tokens} tokens; with {more} max_tokens that exceeds the "
                f"context of {self._context_size}. "
                "Shorten the prompt, lower max_tokens or raise context_size."
            )
            _resolve(draw.result, error)
            return False
        draw.handle = self._pipeline.add_request(number, prompt, config)
        return True

    def _read_prompt(self, messages: Sequence[Message]) -> Any:
        """Tokens of the rendered chat as a tensor (1, T); a last message of the assistant is left open."""
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else None
        asked = messages if begun is None else messages[:-1]
        # Models that can think do so, as they would elsewhere, unless their reply is already begun.
        rendered: str = self._tokenizer.apply_chat_template(
            [dict(message) for message in asked], True, extra_context={"enable_thinking": begun is None}
        )
        return self._tokenizer.encode(rendered + (begun or ""), add_special_tokens=False).input_ids

    def _settle(self, draw: _Draw) -> bool:
        """Whether the draw is over; hands its output on."""
        status = self._genai.GenerationStatus
        now = draw.handle.get_status()
        if now == status.RUNNING:
            return False
        if now == status.FINISHED:
            _resolve(draw.result, self._generation(draw, draw.handle.read_all()[0]))
        elif now == status.IGNORED:
            _resolve(
                draw.result,
                ContextOverflowError("A draw outgrew the engine. Lower max_tokens or raise cache_gib."),
            )
        else:
            draw.result.cancel()
        return True

    def _generation(self, draw: _Draw, output: Any) -> Generation:
        text: str = self._tokenizer.decode(output.generated_ids)
        ends = [place for stop in draw.params.stop if (place := text.find(stop)) >= 0]
        reasons = self._genai.GenerationFinishReason
        return Generation(
            text=text[: min(ends)] if ends else text,
            finish_reason={reasons.STOP: "stop", reasons.LENGTH: "length"}.get(
                output.finish_reason, str(output.finish_reason)
            ),
            prompt_tokens=draw.prompt_tokens,
            completion_tokens=len(output.generated_ids),
            logprobs=LogprobSummary.of([min(logprob, 0.0) for logprob in output.generated_log_probs]),
        )


def _resolve(result: Future[Generation], outcome: Generation | Exception) -> None:
    """Set the outcome, unless nobody waits for it any more."""
    if result.set_running_or_notify_cancel():
        if isinstance(outcome, Exception):
            result.set_exception(outcome)
        else:
            result.set_result(outcome)


def _stop(closing: threading.Event, inbox: queue.SimpleQueue[_Draw | None], thread: threading.Thread) -> None:
    closing.set()
    inbox.put(None)
    thread.join()


def _import_genai() -> Any:
    try:
        return importlib.import_module("openvino_genai")
    except ImportError as error:
        raise MissingExtraError(
            f"Models on OpenVINO need openvino-genai ({error}). Install it: pip install 'sampleset[openvino]'"
        ) from error


def _short(error: Exception) -> str:
    """The last line of the engine's message; those before it tell where in its source it arose."""
    return (str(error).strip().splitlines() or [repr(error)])[-1][:300]


def _identity(path: Path) -> str:
    """Name of a model that tells its engine and content and not its place."""
    files = [path / name for name in FOLDER_FILES] if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as content:
                size = content.seek(0, os.SEEK_END)
                digest.update(str(size).encode())
                content.seek(0)
                start = content.read(2**20)
                content.seek(max(0, size - 2**20))
                digest.update(start)
                digest.update(content.read())
        except FileNotFoundError as error:
            raise InputNotFoundError(
                f"No model file at {str(file)!r}. "
                "Give openvino:FILE.gguf or openvino:FOLDER with openvino_model.xml."
            ) from error
        except OSError as error:
            raise DataError(f"The model file {str(file)!r} cannot be read ({error.strerror}).") from error
        if file is path and not start.startswith(b"GGUF"):
            raise DataError(
                f"{str(path)!r} is not a GGUF file (it starts with {start[:4]!r}). Convert the model first."
            )
    return f"openvino:{path.name}@{digest.hexdigest()[:8]}"
