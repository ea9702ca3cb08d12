"""One draw: from an OpenAI-compatible server, or from a model in this process. What came of it is a `Reply`.

A server is sent the client's messages and fields as they are, one request a draw with its own seed. It is
asked over a plain HTTP client rather than OpenAI's SDK, which takes nine times the processor time a call. No
redirect is followed, so that the key goes nowhere else; image addresses in messages are passed on as text.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from sampleset.backends.base import Backend, StreamingBackend
from sampleset.chat import Message, OnText, SamplingParams, longest_prompt
from sampleset.errors import BackendError
from sampleset.models.retries import limiter_for
from sampleset.prompts import solve_messages
from sampleset.serve.api_errors import ApiError
from sampleset.serve.requests import ChatRequest, plain_text
from sampleset.serve.upstream_replies import Refusal, Reply, TransientFault, read_reply, reply_of
from sampleset.types import Question
from sampleset.wire.replies import mapping_of, parse_retry_after, server_text, shortened, text_of
from sampleset.wire.stream import StreamedCompletion

_MOST_REPLY_BYTES = 32_000_000
_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context|context size", re.IGNORECASE
)
_UNKNOWN = (
    r"unsupported|n[o']t\b.{0,15}\bsupport|unknown|unrecogni[sz]ed|unexpected|\bextra\b|"
    r"n[o']t (?:permitted|allowed)"
)
# A seed beyond these, which some servers refuse, is the client's.
_USUAL_SEEDS = range(2**31)


class Upstream(Protocol):
    """Where draws come from.

    Attributes:
        model: Name of the model.
        is_local: Whether it runs in this process.
        group_size: Draws that one call takes at most.
        limiter: Held during a call.
    """

    model: str
    is_local: bool
    group_size: int
    limiter: asyncio.Semaphore

    def longest_prompt(self, request: ChatRequest) -> int:
        """The most tokens that the prompt of a draw can have; images are not counted."""
        ...

    async def draw(
        self, request: ChatRequest, seeds: Sequence[int], on_text: OnText | None = None
    ) -> list[Reply]:
        """One reply for every seed, told while it is written if it can be. A cancelled call stops the model.

        Raises:
            TransientBackendError: Worth another try.
            BackendError: Not worth another try.
        """
        ...


class ServerUpstream:
    """A model behind an OpenAI-compatible server.

    Args:
        model: Name under which the server knows it.
        base_url: Address up to and including `/v1`.
        api_key: The server's key.
        max_concurrency: Calls in flight.
        client: Opens connections; shared by all upstreams.
    """

    is_local = False
    group_size = 1

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None,
        max_concurrency: int,
        client: Callable[[], aiohttp.ClientSession],
    ) -> None:
        self.model = model
        self.limiter = asyncio.Semaphore(max_concurrency)
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = api_key
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._client = client
        parts = urlsplit(base_url)
        self._proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        self._refused: frozenset[str] = frozenset()

    def longest_prompt(self, request: ChatRequest) -> int:
        """A token for each byte of the request, which holds tools and schemas, too."""
        body = _body(request, self._fields(request, 0, self._refused, streamed=False))
        return len(body) + longest_prompt([])

    async def draw(
        self, request: ChatRequest, seeds: Sequence[int], on_text: OnText | None = None
    ) -> list[Reply]:
        """One reply for every seed, each by its own request."""
        return [await self._one(request, seed, place, on_text) for place, seed in enumerate(seeds)]

    async def _one(self, request: ChatRequest, seed: int, place: int, on_text: OnText | None) -> Reply:
        refused = self._refused
        while True:
            told = partial(on_text, place) if on_text is not None and "stream" not in refused else None
            fields = self._fields(request, seed, refused, told is not None)
            status, headers, raw, streamed = await self._post(_body(request, fields), told)
            if status == 200:
                # Other requests go without a field only once one was taken without it.
                self._refused |= refused
                return reply_of(streamed.body()) if streamed is not None else read_reply(raw)
            name = _refused_field(raw, fields) if status in (400, 422) else None
            if name is None:
                raise self._fault(status, headers, raw)
            refused |= {name}

    def _fields(
        self, request: ChatRequest, seed: int, refused: frozenset[str], streamed: bool
    ) -> dict[str, Any]:
        """What a draw is asked with, beside the messages."""
        fields = dict(request.fields)
        if (limit := fields.pop("max_completion_tokens", None)) is not None:
            fields["max_completion_tokens" if "max_tokens" in refused else "max_tokens"] = limit
        if "seed" not in refused:
            fields["seed"] = seed
        if streamed:
            fields["stream_options"] = {"include_usage": True}
        return {**fields, "model": self.model, "n": 1, "stream": streamed}

    async def _post(
        self, body: bytes, on_text: Callable[[str], None] | None
    ) -> tuple[int, Mapping[str, str], bytes, StreamedCompletion | None]:
        try:
            async with self._client().post(
                self._url, data=body, headers=self._headers, allow_redirects=False, proxy=self._proxy
            ) as response:
                raw, length, streamed = bytearray(), 0, None
                if on_text is not None and response.content_type == "text/event-stream":
                    streamed = StreamedCompletion()
                async for part in response.content.iter_any():
                    length += len(part)
                    if length > _MOST_REPLY_BYTES:
                        raise BackendError(f"a reply of more than {_MOST_REPLY_BYTES} bytes")
                    if streamed is None:
                        raw += part
                    elif (text := streamed.feed(part)) and on_text is not None:
                        on_text(text)
                return response.status, response.headers, bytes(raw), streamed
        except (aiohttp.ClientError, OSError) as error:
            raise TransientFault("connection failed") from error
        except (ValueError, RecursionError) as error:
            raise TransientFault("damaged reply") from error

    def _fault(self, status: int, headers: Mapping[str, str], raw: bytes) -> BackendError:
        if status in (408, 409, 425, 429) or status >= 500:
            return TransientFault(f"status {status}", retry_after=parse_retry_after(headers))
        told = _told(_json(raw))
        if self._key:
            told = told.replace(self._key, "***")
        if status in (400, 413, 422) and _OVERFLOW.search(told):
            return Refusal("context exceeded", ApiError(400, shortened(told), code="context_length_exceeded"))
        if status in (400, 413, 422):
            return Refusal(
                "request refused", ApiError(400, f"The upstream refuses the request: {shortened(told)}")
            )
        # What a server says of its key or model is for whoever runs this one.
        what = {
            401: "refuses the server's key",
            403: "refuses the server's key",
            404: "does not know the model",
        }
        why = what.get(status, f"answered {status}")
        return Refusal(f"status {status}", ApiError(502, f"The upstream {why}.", code="upstream_error"))


class LocalUpstream:
    """A model in this process: text in, text out.

    Args:
        backend: The model.
        max_concurrency: Calls in flight, at most what the backend can work on.
        prompt: Name of a prompt put around a lone question.
    """

    is_local = True

    def __init__(self, backend: Backend, max_concurrency: int, prompt: str | None) -> None:
        self.model = backend.model
        self.group_size = backend.group_size
        self.limiter = limiter_for(backend, max_concurrency)
        self._backend = backend
        self._prompt = prompt

    def longest_prompt(self, request: ChatRequest) -> int:
        """A token for each byte of the messages, as the model is asked."""
        return longest_prompt(_as_text(request, self._prompt))

    async def draw(
        self, request: ChatRequest, seeds: Sequence[int], on_text: OnText | None = None
    ) -> list[Reply]:
        """One reply for every seed; consecutive seeds share one reading of the prompt."""
        fields = request.fields
        stop = fields.get("stop", [])
        params = SamplingParams(
            temperature=float(fields.get("temperature", 0.8)),
            top_p=float(fields.get("top_p", 1.0)) or 1e-6,
            top_k=max(0, fields["top_k"]) if "top_k" in fields else None,
            max_tokens=fields.get("max_completion_tokens", 512),
            stop=tuple(map(text_of, [stop] if isinstance(stop, str) else stop)),
        )
        messages = _as_text(request, self._prompt)
        if on_text is not None and isinstance(self._backend, StreamingBackend):
            drawn = await self._backend.stream(messages, params, seeds, on_text)
        else:
            drawn = await self._backend.generate(messages, params, seeds)
        return [
            Reply(
                message={"role": "assistant", "content": one.text},
                finish_reason=one.finish_reason,
                prompt_tokens=one.prompt_tokens,
                completion_tokens=one.completion_tokens,
                summary=one.logprobs,
            )
            for one in drawn
        ]


def _body(request: ChatRequest, fields: Mapping[str, Any]) -> bytes:
    wire = request.wire or json.dumps(request.messages)
    return f'{{"messages": {wire}, {json.dumps(fields)[1:]}'.encode()


def _refused_field(raw: bytes, fields: Mapping[str, Any]) -> str | None:
    """Which of the fields that were sent the server does not know; not one whose value it refuses."""
    body = _json(raw)
    told, param = _told(body), mapping_of(mapping_of(body).get("error")).get("param")
    if _OVERFLOW.search(told):
        return None
    if "max_tokens" in fields and "max_completion_tokens" in told:
        return "max_tokens"
    if "seed" in fields and (
        _is_unknown("seed", told) or (param == "seed" and fields["seed"] in _USUAL_SEEDS)
    ):
        return "seed"
    if fields["stream"] and (_is_unknown(r"stream\w*", told) or param in ("stream", "stream_options")):
        return "stream"
    return None


def _is_unknown(name: str, told: str) -> bool:
    beside = rf"(?:{_UNKNOWN})[^.]{{0,40}}\b{name}\b|\b{name}\b[^.]{{0,40}}(?:{_UNKNOWN})"
    return re.search(beside, told, re.IGNORECASE) is not None


def _json(raw: bytes) -> object:
    """What a server says as JSON, else as a text."""
    text = raw[:100_000].decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _told(body: object) -> str:
    """What a server says is wrong."""
    error = mapping_of(body).get("error")
    code = mapping_of(error).get("code")
    return " ".join(filter(None, [server_text(error or body), f"({code})" if code else ""]))


def _as_text(request: ChatRequest, prompt: str | None) -> list[Message]:
    """The messages as a model in this process takes them."""
    roles = {"developer": "system"}
    messages = [
        cast("Message", {"role": roles.get(one["role"], one["role"]), "content": plain_text(one)})
        for one in request.messages
    ]
    *before, last = messages
    if prompt is None or last["role"] != "user" or [one["role"] for one in before] not in ([], ["system"]):
        return messages
    return [*before, *solve_messages(Question(request.question.id, last["content"]), prompt)]
