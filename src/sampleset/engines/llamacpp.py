"""llama.cpp's own server, started in this process, and the requests to its loopback port."""

from __future__ import annotations

import asyncio
import codecs
import importlib
import json
import secrets
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sampleset.chat import Continuation, Message, OnText
from sampleset.engines.openmp import short_waits
from sampleset.errors import (
    BackendError,
    ContextOverflowError,
    InvalidArgumentError,
    MissingExtraError,
    TransientBackendError,
)
from sampleset.wire.beside import beside

LEAST_LOGPROB = -104.0
"""Below the log of the smallest 32-bit float. The engine writes -3.4e38 if a probability underflows."""

RESULT_FIELDS = ["index", "content", "stop", "stop_type", "tokens_predicted"]
"""Fields of the last event of a draw; by default it repeats the whole prompt."""

ANCHOR = "\n"
"""Text put before a continuation, for tokenizers that tokenize the start of a text differently."""

READ_BATCH = 512
"""Prompt tokens read between two checks whether the caller has left."""


@dataclass(slots=True)
class Result:
    """One draw, filled while its events arrive.

    Attributes:
        text: Text so far.
        stop_type: The engine's reason for the end; empty while the draw is not finished.
        tokens: Number of generated tokens.
        logprobs: Their log-probabilities, in nats.
    """

    text: str = ""
    stop_type: str = ""
    tokens: int = 0
    logprobs: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True)
class Cut:
    """A text as tokens.

    Attributes:
        tokens: The tokens' numbers.
        has_whole_characters: Whether each token writes whole characters.
    """

    tokens: list[int]
    has_whole_characters: bool


class Engine:
    """The loaded model: llama.cpp's server and requests to it.

    Args:
        path: The model's file.
        slots: Sequences decoded together.
        context_size: Tokens of one sequence.
        threads: CPU threads.
        adapter: A LoRA adapter. Each request then contains `lora`, and the engine keeps the states with and
            without it apart.
    """

    def __init__(
        self, path: Path, slots: int, context_size: int, threads: int, adapter: Path | None = None
    ) -> None:
        xllamacpp = _import_xllamacpp()
        self._secret = secrets.token_urlsafe(32)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        params.n_parallel = slots
        params.kv_unified = True  # one pool of cells, so that draws share those of their prompt
        params.kv_unified_per_slot = context_size
        params.n_ctx = 2 * context_size
        params.n_batch = READ_BATCH
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0  # by default old prompts would take up to 8 GiB
        params.api_keys = [self._secret]
        params.ui = False
        params.warmup = False
        params.verbosity = -1
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            beside = f" with the adapter {str(adapter)!r}" if adapter else ""
            raise BackendError(
                f"llama.cpp cannot load {path.name!r}{beside}; is it a complete GGUF model? ({error})"
            ) from error
        self._address = cast(str, server.listening_address)
        # Threads of the engine must end before the interpreter does; `finalize` also runs at exit.
        self.close = weakref.finalize(self, [server].clear)
        del server
        self._context_size: int | None = None
        self._anchor: list[dict[str, Any]] | None = None
        self.cells = 2 * context_size
        self.room = Room(slots, self.cells)

    async def context_size(self) -> int:
        """Tokens that one sequence may take: the requested number, or the model's limit if lower."""
        if self._context_size is None:
            self._context_size = int((await self._ask("/props"))["default_generation_settings"]["n_ctx"])
        return self._context_size

    async def read_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the rendered chat. A last message of the assistant is left open."""
        if not messages:
            raise InvalidArgumentError("The chat is empty; give at least one message.")
        # Thinking is enabled, as in other backends, unless the reply is begun already.
        thinks = messages[-1]["role"] != "assistant"
        body = {"messages": list(messages), "chat_template_kwargs": {"enable_thinking": thinks}}
        prompt = (await self._ask("/apply-template", body))["prompt"]
        return (
            await self._ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
        )["tokens"]

    async def pieces(self, text: str) -> list[str]:
        """The text of each token of a text."""
        body = {"content": text, "add_special": False, "parse_special": True, "with_pieces": True}
        # A character may span several tokens: the decoder writes it when it is complete.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        tokens = (await self._ask("/tokenize", body))["tokens"]
        return await beside(
            len(text),
            lambda: [
                decoder.decode(piece.encode() if isinstance(piece := token["piece"], str) else bytes(piece))
                for token in tokens
            ],
        )

    async def complete(self, body: Mapping[str, Any], on_text: OnText | None = None) -> list[Result]:
        """Results of a completion request, ordered by index. Cancelling the call stops the engine.

        Args:
            body: Fields of the request.
            on_text: Called with (index, next piece of the text).

        Raises:
            BackendError: The engine refuses the request, or ends a draw early.
        """
        results: list[Result] = [Result() for _ in range(body.get("n", 1))]
        request = {**body, "stream": True, "return_progress": True, "response_fields": RESULT_FIELDS}
        async with aclosing(self._events(request)) as events:
            async for event in events:
                index: int = event["index"]
                result = results[index]
                result.text += event["content"]
                if on_text is not None and event["content"]:
                    on_text(index, event["content"])
                result.logprobs += _logprobs(event)
                if event["stop"]:
                    result.stop_type, result.tokens = event["stop_type"], event["tokens_predicted"]
        if not all(result.stop_type for result in results):
            raise BackendError("llama.cpp ended a generation early. Try again; if it recurs, report it.")
        return results

    async def cut(self, text: str) -> Cut:
        """The tokens of a text that continues another, tokenized by itself."""
        if self._anchor is None:
            # SentencePiece puts a space before a text; a continuation has none.
            start, after = await self._pieces("a"), await self._pieces(f"{ANCHOR}a")
            self._anchor = [] if after[-len(start) :] == start else await self._pieces(ANCHOR)
        length = len(self._anchor)
        pieces = await self._pieces(ANCHOR + text) if length else []
        pieces = pieces[length:] if length and pieces[:length] == self._anchor else await self._pieces(text)
        return Cut(
            [piece["id"] for piece in pieces], all(isinstance(piece["piece"], str) for piece in pieces)
        )

    async def score(self, prompt: list[int], cut: Cut, options: Mapping[str, Any]) -> Continuation:
        """Log-probability of tokens after a prompt that the engine has just read with the same options."""
        tokens = cut.tokens
        if not tokens:
            return Continuation(logprob=0.0, tokens=0, prompt_tokens=len(prompt))
        common = {
            "prompt": prompt,
            "temperature": 0,
            "samplers": ["temperature"],
            "cache_prompt": True,
            **options,
        }
        if cut.has_whole_characters:
            logprobs = await self._along(common, tokens)
        else:
            # The engine neither follows nor reports a token that ends inside a character. Such a token is
            # looked up among the log-probabilities of all tokens, while the model writes another one.
            logprobs = [
                await self._lookup({**common, "prompt": prompt + tokens[:index]}, token)
                for index, token in enumerate(tokens)
            ]
        return Continuation(logprob=sum(logprobs), tokens=len(tokens), prompt_tokens=len(prompt))

    async def _along(self, common: Mapping[str, Any], tokens: list[int]) -> list[float]:
        """Log-probabilities of tokens that a grammar forces the model along."""
        request = {"grammar": token_grammar(tokens), "n_predict": len(tokens), "n_probs": 1}
        forced = await self._ask("/completion", {**common, **request, "return_tokens": True})
        if forced["tokens"] != tokens:
            raise BackendError(f"llama.cpp could not be led along {tokens}; it wrote {forced['content']!r}.")
        return _logprobs(forced)

    async def _pieces(self, text: str) -> list[dict[str, Any]]:
        """Tokens of a text, each with its text or, inside a character, its bytes."""
        body = {"content": text, "add_special": False, "parse_special": False, "with_pieces": True}
        return (await self._ask("/tokenize", body))["tokens"]

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
            payload = b"".join([part async for part in parts])
        return await beside(len(payload), lambda: _checked(payload))

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
        """Parts of the body of the engine's reply. Leaving the iteration early closes the connection."""
        import httpx

        content = None if body is None else await beside(_size(body), lambda: json.dumps(body).encode())
        if not self.close.alive:
            raise BackendError("The model was closed while it was being asked.")
        try:
            async with (
                httpx.AsyncClient(timeout=None, trust_env=False, verify=False) as client,
                client.stream(
                    "GET" if body is None else "POST",
                    f"{self._address}{path}",
                    content=content,
                    headers={
                        "Authorization": f"Bearer {self._secret}",
                        "Content-Type": "application/json",
                    },
                ) as answer,
            ):
                async for part in answer.aiter_raw():
                    yield part
        except httpx.HTTPError as error:
            raise BackendError(f"The connection to llama.cpp broke off: {error!r}.") from error


def _import_xllamacpp() -> Any:
    try:
        importlib.import_module("httpx")
        with short_waits():
            return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise MissingExtraError(
            f"Local models need xllamacpp and httpx ({error}). Install it: pip install 'sampleset[llamacpp]'"
        ) from error


class Room:
    """Slots and cells of the engine, assigned first come, first served.

    Without this the engine would start calls whose completions do not fit together, and fail all of them.
    """

    def __init__(self, slots: int, cells: int) -> None:
        self._slots = slots
        self._cells = cells
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, slots: int, cells: int) -> AsyncGenerator[None, None]:
        """Wait for slots and cells; they are released at the end of the context."""
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


def token_grammar(tokens: Sequence[int]) -> str:
    """GBNF grammar of these tokens alone."""
    return "root ::= " + " ".join(f"<[{token}]>" for token in tokens)


def _logprobs(answer: Mapping[str, Any]) -> list[float]:
    return [max(entry["logprob"], LEAST_LOGPROB) for entry in answer.get("completion_probabilities", ())]


def _size(value: Any) -> int:
    """Characters and numbers in a request, about."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, cast("Mapping[str, Any]", value).values()))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return 8 * len(items) if items and isinstance(items[0], int) else sum(map(_size, items))
    return 8


def _checked(payload: bytes) -> dict[str, Any]:
    """The engine's JSON reply.

    Raises:
        BackendError: The reply is an error.
    """
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
