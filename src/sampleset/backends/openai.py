"""Any server that speaks OpenAI's chat API: OpenAI, vLLM, llama.cpp, SGLang, Ollama, OpenRouter and others.

One request is one draw with its own seed, so servers that ignore `n`, or use one seed for all choices of a
request, still give K different samples. Fields with a server's default are not sent. A field that a server
refuses is left out of all later requests, and a warning says so once.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import urljoin

from sampleset.backends.base import BACKENDS
from sampleset.chat import Generation, Message, OnText, Prompt, SamplingParams, estimate_pieces
from sampleset.errors import (
    AuthenticationError,
    BackendError,
    ContextOverflowError,
    InvalidArgumentError,
    QuotaError,
    RefusedPromptError,
    RequestRefusedError,
    TransientBackendError,
    UnknownModelError,
)
from sampleset.wire.beside import beside
from sampleset.wire.client import Client, ConnectionFailedError, Response
from sampleset.wire.faults import Fault, about_access, read_fault
from sampleset.wire.refusals import (
    ONLY_STREAMS,
    STOP_AS_LIST,
    STOP_AS_TEXT,
    WITHOUT_STREAM,
    refused_field,
    suspected_field,
)
from sampleset.wire.replies import NO_COMPLETION, completion_of, damaged, decoded, read_completion
from sampleset.wire.stream import StreamedCompletion, begins_events
from sampleset.wire.values import closed, count_of, list_of, mapping_of, shortened

_log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
# Seconds after which a server that does not list its models counts as unreachable.
_LISTING_TIMEOUT = 30.0
# Seconds that a server may load its model when a run begins, and seconds between two requests meanwhile.
_LOADING_SECONDS, _LOADING_POLL = 600.0, 2.0
# Left out once a server refuses them, the least important first. A draw does not need them.
_OPTIONAL_FIELDS = (
    "max_tokens",
    "top_logprobs",
    "logprobs",
    "seed",
    "top_k",
    "top_p",
    "stop",
    "temperature",
    "stream_options",
    "stream",
)
# The same for a client's request. If a server refuses other fields, the client gets the error.
_OPTIONAL_OF_REQUESTS = ("max_tokens", "seed", "stream_options", "stream")
# Bytes of a stream that are read between two turns of the loop: some dozens of events.
_READ_AT_ONCE = 4096
# Equal replies in a row that are no completion, before any other, by which the base URL is held for wrong.
_MOST_ODD_REPLIES = 3
# Servers that draw by the settings of the model, or their own, where no nucleus is named.
_WITH_OWN_TOP_P = ("vllm", "sglang", "llamacpp", "library")


@BACKENDS.register("openai")
@dataclass(eq=False)
class OpenAIBackend:
    """A model behind an OpenAI-compatible server.

    A last message of the role `assistant` is continued by llama.cpp, whose echo of it is removed, and by
    vLLM, which gets two additional fields. Other servers get the messages unchanged: some continue the
    message, many, such as OpenAI, start a new turn.

    A sample's text does not include `reasoning_content`, but its tokens are counted.

    Attributes:
        model: Name under which the server knows the model.
        base_url: Address up to and including `/v1`; by default `OPENAI_BASE_URL`, else OpenAI's own.
        api_key: By default `OPENAI_API_KEY`; servers at a `base_url` may need none.
        max_tokens_field: Name of the token limit on the wire; `auto` starts with `max_tokens`.
        context_size: Tokens of prompt and completion; if `None`, `check` takes it from vLLM or llama.cpp.
        logprobs: Whether to request token log-probabilities.
        omit: Fields that are never sent, such as `temperature` or `seed`.
        continues_assistant: Whether the server is vLLM or llama.cpp; false until `check` ran.
        owner: Owner of the models according to the server, such as `vllm`; `None` until `check` ran.
        served_from: Folder or Hub id from which the server says it loaded the model.

    Raises:
        InvalidArgumentError: There is neither a key nor a base URL, or one of them is malformed.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    context_size: int | None = None
    logprobs: bool = True
    omit: tuple[str, ...] = ()
    takes_requests: bool = field(default=True, init=False)
    group_size: int = field(default=1, init=False)
    max_calls: int | None = field(default=None, init=False)
    continues_assistant: bool = field(default=False, init=False)
    owner: str | None = field(default=None, init=False)
    served_from: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._refused: frozenset[str] = frozenset()
        self._listed = self._accepted = self._answered = False
        # The last reply that was no completion, and how often in a row it came.
        self._odd_reply = ("", 0)
        self.base_url = (self.base_url or os.environ.get("OPENAI_BASE_URL", "")).strip() or None
        self.api_key = (self.api_key or os.environ.get("OPENAI_API_KEY", "")).strip() or None
        if self.base_url is None and self.api_key is None:
            raise InvalidArgumentError(
                f"The model {self.model!r} needs a server: set OPENAI_API_KEY to ask OpenAI, "
                "or pass --base-url (such as http://localhost:8000/v1) to ask another one."
            )
        if fixed := {"model", "messages"} & set(self.omit):
            raise InvalidArgumentError(f"omit={sorted(fixed)[0]!r}: no request can do without it.")
        self._client = Client(self.base_url or OPENAI_URL, self.api_key)
        self._where = self._client.where

    async def check(self) -> None:
        """Return if the server answers, accepts the key and, if it lists its models, lists this one.

        Waits for a server that is loading its model.

        Raises:
            BackendUnreachableError: Nothing answers at the address.
            AuthenticationError: The server refuses the key.
            UnknownModelError: The server lists its models without this one.
        """
        waited = 0.0
        while True:
            try:
                names = await self._list_models()
                break
            except ConnectionFailedError as error:
                raise error.in_check() from error.__cause__
            except TransientBackendError as error:
                if error.waits_for != "loading" or waited >= _LOADING_SECONDS:
                    raise
                if not waited:
                    _log.warning("%s Waiting for it.", error)
                waited += _LOADING_POLL
                await asyncio.sleep(_LOADING_POLL)
        if names and not lists(names, self.model):
            raise self._unknown_model(names)

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds, each by its own request.

        The text is empty if the model spent its whole reply or budget on reasoning. A reply that lost its
        text, or broke off, is an error.

        Raises:
            TransientBackendError: The server is busy, failing or gone, or its reply is malformed.
            ContextOverflowError: Prompt and token limit exceed the model's context.
            RefusedPromptError: A content filter withholds an answer to this prompt.
            RequestRefusedError: The server refuses the request for another reason.
            AuthenticationError: The server refuses the key.
            QuotaError: The account has no credit left.
            UnknownModelError: The server does not know the model.
            BackendError: The server cannot be asked for another reason.
        """
        return [await self._draw(messages, params, seed) for seed in seeds]

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`; `on_text` is called with (index of the seed, next piece of its text).

        A server that does not stream gives the whole text as one piece.
        """
        return [
            await self._draw(messages, params, seed, partial(on_text, index))
            for index, seed in enumerate(seeds)
        ]

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, estimated with too many rather than too few: the API has no tokenizer."""
        return estimate_pieces(text)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _draw(
        self,
        messages: Sequence[Message],
        params: SamplingParams,
        seed: int,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        extra = messages.extra if isinstance(messages, Prompt) else None
        prefill = messages[-1]["content"] if extra is None and messages[-1]["role"] == "assistant" else None
        if prefill is not None and not self._listed:
            await self._list_models()
        wire = messages.json if isinstance(messages, Prompt) else json.dumps(list(messages)).encode()
        written: Mapping[str, bytes] = messages.fields_json if isinstance(messages, Prompt) else {}
        # Remembered only once it helped: an error text may name a field by chance.
        refused = self._refused
        while True:
            is_streamed = ONLY_STREAMS in refused or (on_text is not None and "stream" not in refused)
            fields = self._fields(params, extra, seed, refused, is_streamed=is_streamed)
            if prefill is not None and self.owner == "vllm":
                fields |= {"add_generation_prompt": False, "continue_final_message": True}
            body = _body(wire, fields, extra or {}, written)
            has_streamed, reply = await self._ask(body, on_text if is_streamed else None, prefill is not None)
            if isinstance(reply, Generation):
                break
            optional = self._optional(is_request=extra is not None)
            name = refused_field(reply, fields, optional)
            if name is None and not self._answered:
                name = suspected_field(reply, fields, optional, is_request=extra is not None)
            if name is not None and name not in refused:
                refused |= {name}
            elif reply.meaning == "refused" and not self._refused <= refused:
                refused |= self._refused  # what another draw has learned while this one was on its way
            else:
                raise await self._error(reply)
        for name in sorted(refused - self._refused):
            if name == ONLY_STREAMS:
                _log.warning(
                    "%s refuses requests without a stream; all requests ask for one now.", self._where
                )
            elif name in (STOP_AS_TEXT, STOP_AS_LIST):
                _log.warning(
                    "%s takes a stop as a %s only; it is sent so from now on.",
                    self._where,
                    name[len("stop=") :],
                )
            else:
                field = name.partition("=")[0]
                _log.warning("%s refuses %r; requests go without it from now on.", self._where, field)
        self._refused |= refused
        self._answered = True
        if extra is None and reply.token_logprobs is not None:
            # They are not read later, and hundreds of concurrent draws would keep them in memory.
            reply = replace(reply, token_logprobs=None)
        if prefill and self.owner == "llamacpp":
            reply = replace(reply, text=reply.text.removeprefix(prefill))
        if on_text is not None and not has_streamed:
            on_text(reply.text)
        return reply

    async def _ask(
        self, body: Sequence[bytes], on_text: Callable[[str], None] | None, may_be_empty: bool
    ) -> tuple[bool, Generation | Fault]:
        """Send a request. Returns whether `on_text` got the text while it came, and the reply."""
        stream = StreamedCompletion()

        async def take(part: bytes) -> None:
            for start in range(0, len(part), _READ_AT_ONCE):
                piece = part[start : start + _READ_AT_ONCE]
                try:
                    texts = await beside(stream.work(piece), partial(stream.feed, piece))
                except (ValueError, RecursionError) as error:
                    raise _DamagedStreamError from error
                if on_text is not None:
                    for text in texts:
                        on_text(text)
                if len(piece) == _READ_AT_ONCE:
                    await asyncio.sleep(0)  # others get their turn: a quick server sends thousands of events

        try:
            reply = await self._client.post(self._client.url("/chat/completions"), body, take)
        except _DamagedStreamError as error:
            return True, damaged(f"broke its reply off ({type(error.__cause__).__name__})")
        if reply.status != 200:
            return False, self._fault(reply)
        if not reply.is_stream and not begins_events(reply.raw):
            whole = await beside(
                len(reply.raw), lambda: read_completion(reply.raw, may_be_empty=may_be_empty)
            )
            return False, _sized(whole, len(reply.raw))
        try:
            if not reply.is_stream:
                await beside(len(reply.raw), lambda: stream.feed(reply.raw))
            if (text := stream.close()) and on_text is not None and reply.is_stream:
                on_text(text)
        except (ValueError, RecursionError) as error:
            return True, damaged(f"broke its reply off ({type(error).__name__})")
        whole = await beside(stream.length, lambda: completion_of(stream.body(), may_be_empty=may_be_empty))
        return reply.is_stream and on_text is not None, _sized(whole, stream.length)

    def _fields(
        self,
        params: SamplingParams,
        extra: Mapping[str, Any] | None,
        seed: int,
        refused: frozenset[str],
        *,
        is_streamed: bool,
    ) -> dict[str, Any]:
        """The fields of a request besides its messages."""
        if extra is None:
            fields, limit = self._fields_of(params), params.max_tokens
        else:
            fields = dict(extra)
            limits = fields.pop("max_completion_tokens", None), fields.pop("max_tokens", None)
            limit = next((limit for limit in limits if limit is not None), None)
        if limit is not None:
            renamed = self.max_tokens_field == "max_completion_tokens" or "max_tokens" in refused
            fields["max_completion_tokens" if renamed else "max_tokens"] = limit
        fields["seed"] = seed
        if is_streamed:
            fields["stream_options"] = {"include_usage": True}
        if "logprobs" in refused and extra is None:
            fields.pop("top_logprobs", None)
        stop = fields.get("stop")
        if STOP_AS_TEXT in refused and isinstance(stop, list) and len(cast("list[str]", stop)) == 1:
            fields["stop"] = stop[0]
        elif STOP_AS_LIST in refused and isinstance(stop, str):
            fields["stop"] = [stop]
        left_out = refused.union(self.omit) - {"stream"}
        fields_sent = {name: value for name, value in fields.items() if name not in left_out}
        return {"model": self.model, **fields_sent} | (
            {} if "stream" in self.omit or WITHOUT_STREAM in refused else {"stream": is_streamed}
        )

    def _fields_of(self, params: SamplingParams) -> dict[str, Any]:
        """The sampling parameters as fields, without those that equal every server's default."""
        fields: dict[str, Any] = {"temperature": params.temperature}
        if params.top_p != 1 or self.owner in _WITH_OWN_TOP_P:
            fields["top_p"] = params.top_p
        if params.top_k is not None:
            fields["top_k"] = params.top_k or -1  # vLLM and SGLang have refused 0; llama.cpp takes either
        if params.stop:
            fields["stop"] = list(params.stop)
        if self.logprobs:
            # At 0 llama.cpp sends no log-probabilities; by default it sends twenty alternatives a token, ten
            # times the bytes. With vLLM the alternatives, which are not read, would be most of the bytes.
            fields |= {"logprobs": True, "top_logprobs": 0 if self.owner == "vllm" else 1}
        return fields

    def _optional(self, *, is_request: bool) -> Sequence[str]:
        """Fields that a draw can do without."""
        names = _OPTIONAL_OF_REQUESTS if is_request else _OPTIONAL_FIELDS
        return names if self.max_tokens_field == "auto" else names[1:]

    def _fault(self, reply: Response) -> Fault:
        """The fault in a reply whose status is not a success.

        Raises:
            BackendError: The reply is a redirect.
        """
        if 300 <= reply.status < 400:
            location = reply.headers.get("location", "").partition("?")[0]
            try:
                target = urljoin(f"{self._where}/", location) if location else ""
            except ValueError:
                target = ""
            base = target.removesuffix("/chat/completions").removesuffix("/models")
            query = ", with the query that yours has" if "?" in self._client.url("") else ""
            advice = f"It leads to {target}. Is the base URL right?" if base else "Is the base URL right?"
            if base != target:
                advice = f"It has moved: give --base-url {base}{query}"
            raise BackendError(
                self._client.hidden(f"{self._where} answered {reply.status}, a redirect. {advice}"),
                kind=f"status {reply.status}",
            )
        return read_fault(reply.status, reply.headers, reply.raw)

    async def _list_models(self) -> list[str] | None:
        """Names of the server's models, `None` if it does not list them."""
        reply = await self._client.get(self._client.url("/models"), _LISTING_TIMEOUT)
        if reply.status != 200:
            fault = self._fault(reply)
            # OpenAI's restricted keys may have the right to sample but not to list models.
            if fault.status in (404, 405, 501) or "Missing scopes" in fault.text:
                self._listed = True
                return None
            raise await self._error(fault, listing=True)
        self._listed = self._accepted = True
        try:
            listing = decoded(reply.raw)
        except (ValueError, RecursionError):
            excerpt = self._client.hidden(reply.raw[:1000].decode("utf-8", "replace"))[:60]
            raise BackendError(
                f"{self._where}/models is no list of models but {excerpt!r}; base URLs mostly end in /v1."
            ) from None
        # Together sends the bare list.
        entries = [mapping_of(row) for row in list_of(mapping_of(listing).get("data")) or list_of(listing)]
        names: list[str] = []
        for entry in entries:
            entry_names = [str(name) for name in (entry.get("id"), *list_of(entry.get("aliases")))]
            names += entry_names
            if self.model in entry_names:
                size = entry.get("max_model_len") or mapping_of(entry.get("meta")).get("n_ctx")
                self.context_size = self.context_size or count_of(size)
                self.served_from = str(entry["root"]) if entry.get("root") else None
        self.owner = next((str(entry["owned_by"]) for entry in entries if "owned_by" in entry), None)
        self.continues_assistant = self.owner in ("vllm", "llamacpp")
        return list(dict.fromkeys(names))

    async def _error(self, fault: Fault, *, listing: bool = False) -> BackendError:
        """The package's error for a fault of the server."""
        words, kind = self._client.hidden(fault.text), fault.kind
        last, count = self._odd_reply
        is_odd = fault.reply == NO_COMPLETION
        self._odd_reply = (words, count + 1 if words == last else 1) if is_odd else ("", 0)
        if self._odd_reply[1] >= _MOST_ODD_REPLIES and not self._answered:
            message = f"{self._where} {words.removesuffix('.')}{_usual_url(self._where)}"
            return BackendError(closed(message), kind=kind)
        if fault.reply is not None:
            return TransientBackendError(
                closed(f"{self._where} {words}"), retry_after=fault.retry_after, kind=kind
            )
        message = f"{self._where} answered {fault.status}: {words or 'no reason given'}"
        match fault.meaning:
            case "passing":
                return TransientBackendError(message, retry_after=fault.retry_after, kind=kind)
            case "limited":
                return TransientBackendError(
                    message, retry_after=fault.retry_after, waits_for="limit", kind=kind
                )
            case "loading":
                return TransientBackendError(
                    closed(message), retry_after=fault.retry_after, waits_for="loading", kind=kind
                )
            case "credit":
                return QuotaError(
                    f"{closed(message)} Add credit to the account, or use another key.", kind=kind
                )
            case "overflow":
                return ContextOverflowError(
                    f"{closed(message)} Lower --max-tokens, or shorten the prompt.", kind=kind, said=words
                )
            case "filtered" if fault.status == 200:
                return RefusedPromptError(
                    f"The content filter of {self._where} withheld the completion.", kind=kind
                )
            case "filtered":
                return RefusedPromptError(message, kind=kind, said=words)
            case "key":  # without the server's text, which quotes parts of the key
                what = "refuses the API key" if self.api_key else "wants an API key"
                return AuthenticationError(
                    f"{self._where} {what}; set OPENAI_API_KEY or pass --api-key.", kind=kind
                )
            case "proxy":
                return AuthenticationError(
                    f"The proxy on the way to {self._where} wants a user and a password. Write them into its "
                    "address: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT (HTTP_PROXY for an http:// server), "
                    "or set NO_PROXY for a server that needs no proxy.",
                    kind=kind,
                )
            case "forbidden" if not self._answered and (not self._accepted or about_access(fault.text)):
                return AuthenticationError(
                    f"{self._where} refuses the API key; set OPENAI_API_KEY or pass --api-key. ({message})",
                    kind=kind,
                )
            case "unknown" if not self._answered and not listing:
                return await self._not_found(message, kind, words)
            case _:
                return RequestRefusedError(message, kind=kind, said=words)

    async def _not_found(self, message: str, kind: str, words: str) -> BackendError:
        try:
            names = await self._list_models()
        except BackendError:
            names = None
        if not names:
            return UnknownModelError(
                f"{closed(message)} Check the model name {self.model!r}, and that the base URL ends in /v1"
                f"{_usual_url(self._where)}.",
                kind=kind,
            )
        if lists(names, self.model):
            return RequestRefusedError(message, kind=kind, said=words)
        return self._unknown_model(names, kind)

    def _unknown_model(self, names: Sequence[str], kind: str | None = None) -> UnknownModelError:
        similar = difflib.get_close_matches(self.model, names, n=1, cutoff=0.5)
        hint = f"Did you mean {similar[0]!r}? " if similar else ""
        return UnknownModelError(
            f"{self._where} has no model {self.model!r}. {hint}"
            f"It has: {shortened(', '.join(sorted(names)))}.",
            kind=kind,
        )


def _usual_url(where: str) -> str:
    """The base URL that was probably meant, for an error; empty where the given one has the usual end."""
    if where.endswith(("/v1", "/openai")):
        return ""
    begin = _ENDPOINT.sub("", where)
    return f": {begin}/openai for Gemini" if begin.endswith("/v1beta") else f": {begin}/v1, say"


_ENDPOINT = re.compile(r"(?:/v1)?(?:/api)?(?:/(?:chat|completions|generate|messages|responses))*/?$")


def _body(
    messages: bytes, fields: Mapping[str, Any], extra: Mapping[str, Any], written: Mapping[str, bytes]
) -> list[bytes]:
    """A request in parts. Fields of the client's request are not written anew for each draw."""
    parts = [b'{"messages": ', messages]
    new = dict(fields)
    for name, value in fields.items():
        if name in written and value is extra.get(name):
            parts += [f", {json.dumps(name)}: ".encode(), written[name]]
            del new[name]
    if new:
        parts.append(f", {json.dumps(new)[1:-1]}".encode())
    return [*parts, b"}"]


def _sized(reply: Generation | Fault, size: int) -> Generation | Fault:
    return replace(reply, size=size) if isinstance(reply, Generation) else reply


def lists(names: Sequence[str], model: str) -> bool:
    """Whether the model is in a list. Ollama lists `name` as `name:latest`, Google as `models/name`."""
    return any(name in (model, f"{model}:latest", f"models/{model}") for name in names)


class _DamagedStreamError(Exception):
    """An event of a stream is no JSON."""
