"""Who may ask, how much, and how many at once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from sampleset.errors import InputNotFoundError, InvalidArgumentError
from sampleset.serve.api_errors import ApiError
from sampleset.serve.config import ServeConfig

KEYS_VARIABLE = "SAMPLESET_API_KEYS"
_BODY_SECONDS = 60.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Gate:
    """So many requests in work, so many waiting; the next is turned away.

    Args:
        max_concurrent: In work at once.
        max_queue: Waiting at once.
    """

    def __init__(self, max_concurrent: int, max_queue: int) -> None:
        self._places = asyncio.Semaphore(max_concurrent)
        self._max_concurrent, self._max_queue = max_concurrent, max_queue
        self._mean = 1.0
        self._inside = self.active = 0

    @property
    def waiting(self) -> int:
        """Requests let in that are not in work."""
        return self._inside - self.active

    def enter(self) -> None:
        """Let a request in, to be followed by `leave`, if there is a place in work or in the queue.

        Raises:
            ApiError: 429, the queue is full.
        """
        if self._inside >= self._max_concurrent + self._max_queue:
            wait = math.ceil(min(60.0, max(1.0, self._mean * (self.waiting + 1) / self._max_concurrent)))
            raise ApiError(
                429,
                f"The server works on {self.active} requests and {self.waiting} wait. Try again in {wait} s.",
                code="queue_full",
                retry_after=wait,
            )
        self._inside += 1

    def leave(self) -> None:
        """Give back the place of a request that was let in."""
        self._inside -= 1

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a place in work, keep it, give it back."""
        clock = asyncio.get_running_loop().time
        await self._places.acquire()
        self.active += 1
        started = clock()
        try:
            yield
        finally:
            self.active -= 1
            self._mean += 0.1 * (clock() - started - self._mean)
            self._places.release()


class Keys:
    """The keys clients may use, kept as digests; none means that no key is asked for."""

    def __init__(self, keys: list[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, authorization: str) -> None:
        """Return if the header holds one of the keys; every one is compared, in constant time.

        Raises:
            ApiError: 401.
        """
        if not self._digests:
            return
        scheme, _, key = authorization.partition(" ")
        given = _digest(key.strip() if scheme.lower() == "bearer" else authorization)
        if not any([hmac.compare_digest(given, known) for known in self._digests]):
            raise ApiError(
                401, "Incorrect or missing API key: send 'Authorization: Bearer KEY'.", code="invalid_api_key"
            )


def read_keys(config: ServeConfig) -> Keys:
    """The keys of the file and of `SAMPLESET_API_KEYS`.

    Raises:
        InputNotFoundError: There is no such file.
        InvalidArgumentError: It holds no key; or others reach the server, and there are no keys.
    """
    keys = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",")]
    if config.api_keys_file is not None:
        path = Path(config.api_keys_file)
        if not path.is_file():
            raise InputNotFoundError(f"No file of API keys {str(path)!r}. Write one key a line.")
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
        listed = [line for line in lines if line and not line.startswith("#")]
        if not listed:
            raise InvalidArgumentError(f"{str(path)!r} holds no key. Write one a line.")
        keys += listed
    found = Keys([key for key in keys if key])
    if not found and config.host not in _LOOPBACK and not config.open_to_all:
        raise InvalidArgumentError(
            f"host={config.host!r} is reached by other machines, and there are no API keys. Set "
            f"api_keys_file or {KEYS_VARIABLE}, or open_to_all: true if everybody may ask."
        )
    return found


def check_origin(request: Request, config: ServeConfig, keys: Keys) -> str | None:
    """The origin to name in CORS headers, `None` for a request from no page or from our own.

    A page of another site may otherwise spend tokens through the browser of somebody who runs this server;
    without keys, the host is looked at as well, since a name may be pointed at this address later.

    Raises:
        ApiError: 403.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not keys and config.host in _LOOPBACK and _hostname(host) not in _LOOPBACK:
        raise ApiError(403, f"This server answers to localhost, not to {host[:80]!r}.", code="wrong_host")
    if origin is None or _netloc(origin) == host:
        return None
    if origin in config.allow_origins:
        return origin
    raise ApiError(
        403, f"Pages of {origin[:80]!r} may not ask; list it in allow_origins.", code="wrong_origin"
    )


async def read_body(request: Request, limit: int) -> Any:
    """The JSON value of a request's body.

    Raises:
        ApiError: It is too long, too slow, or no JSON.
        ClientDisconnect: The client left before its end.
    """
    too_long = ApiError(413, f"The body is longer than {limit} bytes.", code="body_too_large")
    if int(request.headers.get("content-length", "0") or 0) > limit:
        raise too_long
    raw = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                raw += part
                if len(raw) > limit:
                    raise too_long
    except TimeoutError as error:
        raise ApiError(408, f"The body did not arrive within {_BODY_SECONDS:g} s.") from error
    try:
        return json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The body is not valid JSON.", code="invalid_json") from error


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
