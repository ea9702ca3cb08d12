"""The one HTTP client for servers with OpenAI's API. Draws, judges and reward models all use it.

The client does not retry, limit or wait; its callers do. It follows no redirect, so the key reaches no other
server. Its errors never contain the key or a password of the address.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import os
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from sampleset.errors import (
    BackendError,
    BackendUnreachableError,
    InvalidArgumentError,
    TransientBackendError,
)
from sampleset.wire.statuses import meaning_of
from sampleset.wire.values import is_http, shortened

if TYPE_CHECKING:
    import aiohttp

MOST_REPLY_BYTES = 32_000_000
"""Longest reply that is read."""

_PIECE_BYTES = 2**17
_CONNECT_SECONDS = 30
_AZURE = re.compile(r"\.(?:azure\.(?:com|us|cn)|azure-api\.net)$")


OnPart = Callable[[bytes], Awaitable[None]]


class ConnectionFailedError(TransientBackendError):
    """The server sent no reply, or only part of one.

    Attributes:
        reason: Why, in a few words, without the key.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} did not answer ({reason}).", kind="connection failed")
        self.where, self.reason = where, reason

    def in_check(self) -> BackendUnreachableError:
        """This error for the first request to a server: the server cannot be reached."""
        return BackendUnreachableError(
            f"No answer from {self.where} ({self.reason}). Is the server running, and is the base URL right?"
        )


@dataclass(frozen=True, slots=True)
class Response:
    """A reply of a server.

    Attributes:
        status: HTTP status.
        headers: Looked up in any case of their names.
        raw: The body; empty if it was passed to `on_part`.
        is_stream: Whether the body is a stream of server-sent events.
    """

    status: int
    headers: Mapping[str, str]
    raw: bytes | bytearray
    is_stream: bool = False


class Client:
    """Sends requests to one server.

    Args:
        base_url: The server's address, usually up to and including `/v1`. Its query is added to every
            request. Its user and password are sent as basic authentication and never shown.
        api_key: The server's key; `None` if it needs none.

    Attributes:
        where: The address without password and query.

    Raises:
        InvalidArgumentError: The address, the key or the proxy of the environment cannot be used.
    """

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        if not is_http(base_url):
            raise InvalidArgumentError(
                f"The base URL {base_url!r} is no HTTP address; write it like http://localhost:8000/v1."
            )
        # Checked here because the HTTP library's own complaint would show the key.
        if api_key is not None and not re.fullmatch(r"[!-~]+", api_key):
            raise InvalidArgumentError(
                "The API key holds a space, a line break or a character outside ASCII; copy it again."
            )
        # Imported now, since that takes longer than a request may hold others up.
        importlib.import_module("aiohttp")
        self._parts = urlsplit(base_url)
        self._key = api_key
        self.where = shown_url(self._parts)
        self._query = f"?{self._parts.query}" if self._parts.query else ""
        self._proxy = _proxy_for(self._parts)
        self._headers = {"Content-Type": "application/json", **_authorization(self._parts, api_key)}
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def url(self, path: str) -> str:
        """The address of a path under the base URL, with the base URL's query."""
        return f"{self.where}{path}{self._query}"

    def root_url(self, path: str) -> str:
        """The address of a path at the server's root, beside `/v1`."""
        return f"{self.where.removesuffix('/v1')}{path}{self._query}"

    async def get(self, url: str, seconds: float) -> Response:
        """The reply to a GET request.

        Raises:
            ConnectionFailedError: No reply came, or none within this many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._ask("GET", url, None, None)
        except TimeoutError as error:
            raise ConnectionFailedError(self.where, f"nothing within {seconds:g} s") from error

    async def post(self, url: str, body: Sequence[bytes], on_part: OnPart | None = None) -> Response:
        """The reply to a request.

        Args:
            url: Whom to ask, by `url` or `root_url`.
            body: The request as JSON, in parts. A long one is sent piece by piece and not copied.
            on_part: Called with each part of a reply that is a stream of events, as it comes; the next one is
                read when it is done. What it raises ends the reply.

        Raises:
            ConnectionFailedError: No reply came, or it broke off.
            BackendError: The reply is longer than `MOST_REPLY_BYTES`.
        """
        return await self._ask("POST", url, body, on_part)

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def hidden(self, text: str) -> str:
        """The text for a message: on one short line, with the key replaced by `***`."""
        return shortened(text.replace(self._key, "***") if self._key else text)

    def cause(self, error: BaseException) -> BaseException | None:
        """The error, for `raise ... from`; `None` if its text contains the key or a password."""
        secrets = [secret for secret in (self._key, self._parts.password) if secret]
        return None if any(secret in str(error) for secret in secrets) else error

    async def _ask(
        self, method: str, url: str, body: Sequence[bytes] | None, on_part: OnPart | None
    ) -> Response:
        import aiohttp

        data, headers = None, self._headers
        if body is not None:
            length = sum(map(len, body))
            data = b"".join(body) if length <= _PIECE_BYTES else _pieces(body)
            headers = {**headers, "Content-Length": str(length)}
        try:
            async with self._open().request(
                method, url, data=data, headers=headers, allow_redirects=False, proxy=self._proxy
            ) as reply:
                is_stream = reply.content_type == "text/event-stream"
                # Frameworks answer a POST with 201 unless told otherwise, and gateways pass it on.
                status = 200 if 200 <= reply.status < 300 else reply.status
                if is_stream and on_part is not None and status == 200:
                    length = 0
                    async for part in reply.content.iter_any():
                        length = self._checked(length + len(part))
                        await on_part(part)
                    return Response(status, reply.headers, b"", is_stream=True)
                self._checked(reply.content_length or 0)
                raw = await self._read(reply)
                return Response(status, reply.headers, raw, is_stream)
        except (aiohttp.ClientError, OSError, EOFError) as error:
            if isinstance(error, aiohttp.ClientHttpProxyError) and meaning_of(error.status) == "proxy":
                return Response(error.status, error.headers or {}, b"")
            reason = self.hidden(str(error).replace(" ssl:default", "")) or type(error).__name__
            if self._proxy is not None:
                reason += f", by the proxy of {_variable_of(self._parts.scheme)}"
            raise ConnectionFailedError(self.where, reason) from self.cause(error)

    async def _read(self, reply: aiohttp.ClientResponse) -> bytearray:
        """The body, up to the longest that is read."""
        raw = bytearray()
        async for part in reply.content.iter_any():
            raw += part
            self._checked(len(raw))
        return raw

    def _checked(self, length: int) -> int:
        if length > MOST_REPLY_BYTES:
            raise BackendError(
                f"{self.where} sent a reply of more than {MOST_REPLY_BYTES} bytes.", kind="reply too long"
            )
        return length

    def _open(self) -> aiohttp.ClientSession:
        """The session of the running loop."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            import aiohttp

            context: Any = _tls() if self._parts.scheme == "https" else True
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=context),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "sampleset"},
                read_bufsize=2**18,
            )
        return self._session


async def _pieces(body: Sequence[bytes]) -> AsyncGenerator[memoryview]:
    """A body in pieces that a connection takes one after the other."""
    for part in body:
        view = memoryview(part)
        for start in range(0, len(view), _PIECE_BYTES):
            yield view[start : start + _PIECE_BYTES]
            # A quick peer takes one piece after the other without a pause.
            await asyncio.sleep(0)


def shown_url(parts: SplitResult) -> str:
    """An address without user, password and query."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def _authorization(parts: SplitResult, api_key: str | None) -> dict[str, str]:
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if api_key is None:
        return {}
    headers = {"Authorization": f"Bearer {api_key}"}
    return headers | ({"api-key": api_key} if _AZURE.search(parts.hostname or "") else {})


def _proxy_for(parts: SplitResult) -> str | None:
    """The proxy for an address, from the environment; `None` for a direct connection.

    Raises:
        InvalidArgumentError: The proxy's scheme is not http or https.
    """
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]) or _is_in_network(host):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    variable = _variable_of(parts.scheme)
    try:
        scheme = urlsplit(proxy).scheme
        is_address = is_http(proxy) or scheme not in ("http", "https")
    except ValueError:
        scheme, is_address = "", False
    if not is_address:
        raise InvalidArgumentError(
            f"{variable} is no address of a proxy. Write it like http://proxy.example.org:3128, or set "
            f"NO_PROXY={host} to ask {shown_url(parts)} without one."
        )
    if scheme not in ("http", "https"):
        raise InvalidArgumentError(
            f"{variable} names a proxy of the kind {scheme!r}, which is not supported. Set "
            f"{parts.scheme.upper()}_PROXY to an http:// proxy, or NO_PROXY={host} to ask "
            f"{shown_url(parts)} without one."
        )
    return proxy


def _variable_of(scheme: str) -> str:
    """The variable of the environment that names the proxy for a scheme."""
    names = (f"{scheme}_proxy", "all_proxy")
    return next((name for name in os.environ if name.lower() in names and os.environ[name]), "ALL_PROXY")


def _is_in_network(host: str) -> bool:
    """Whether `NO_PROXY` names a network that an address is in, such as 10.0.0.0/8."""
    with suppress(ValueError):
        address = ip_address(host)
        for entry in getproxies().get("no", "").split(","):
            with suppress(ValueError):
                if "/" in entry and address in ip_network(entry.strip(), strict=False):
                    return True
    return False


def _tls() -> ssl.SSLContext:
    """A TLS context with the system's certificates, or certifi's where the system has none."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not paths.capath and not context.get_ca_certs():
        try:
            import certifi
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context
