"""Who may ask, how much, and how many at once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import os
import re
import socket
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.requests import Request

from sampleset.errors import InputNotFoundError, InvalidArgumentError
from sampleset.serve.api_errors import ApiError
from sampleset.serve.config import ServeConfig
from sampleset.wire.beside import beside
from sampleset.wire.parsing import counts_of
from sampleset.wording import plural

T = TypeVar("T")

KEYS_VARIABLE = "SAMPLESET_API_KEYS"
_MINUTE = 60.0
_MOST = {"brackets and braces": 300_000, "names and texts": 100_000, "commas": 2_000_000}
_BEARER = re.compile(r"bearer +(\S.*)", re.IGNORECASE)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Gate:
    """So many requests in work, so many waiting; the next is turned away.

    Args:
        max_concurrent: In work at once.
        max_queue: Waiting at once.
    """

    def __init__(self, max_concurrent: int, max_queue: int) -> None:
        self._slots = asyncio.Semaphore(max_concurrent)
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
                f"The server works on {plural(self.active, 'request')}, and {self.waiting} more "
                f"{'waits' if self.waiting == 1 else 'wait'}. Try again in {wait} s.",
                code="queue_full",
                retry_after=wait,
            )
        self._inside += 1

    def leave(self) -> None:
        """Free the slot of a request that was let in."""
        self._inside -= 1

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a slot, hold it, free it."""
        clock = asyncio.get_running_loop().time
        await self._slots.acquire()
        self.active += 1
        started = clock()
        try:
            yield
        finally:
            self.active -= 1
            self._mean += 0.1 * (clock() - started - self._mean)
            self._slots.release()


class Keys:
    """The keys clients may use, kept as digests; none means that no key is asked for."""

    def __init__(self, keys: list[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, authorization: str) -> str | None:
        """Which of the keys the header holds, as a name that is none; `None` where no key is asked for.

        Every one is compared, in constant time.

        Raises:
            ApiError: 401.
        """
        if not self._digests:
            return None
        bearer = _BEARER.fullmatch(authorization.strip())
        digest = _digest(bearer[1] if bearer else "")
        if bearer and any([hmac.compare_digest(digest, known) for known in self._digests]):
            return digest.hex()[:16]
        raise ApiError(
            401, "Incorrect or missing API key: send 'Authorization: Bearer KEY'.", code="invalid_api_key"
        )


@dataclass(slots=True)
class _Account:
    """The requests that a caller has in work, and its traffic of the last minute."""

    requests: int = 0
    size: int = 0
    minute: deque[list[float]] = field(default_factory=deque[list[float]])


class Turn:
    """One request of a caller, from its header to the end of its reply."""

    def __init__(self, allowances: Allowances, caller: str) -> None:
        self._allowances, self._caller, self._size, self._is_over = allowances, caller, 0, False

    def add(self, size: int) -> None:
        """Count bytes of its body.

        Raises:
            ApiError: 429, the caller has sent as much as it may.
        """
        self._size += size
        self._allowances.count(self._caller, size)

    def end(self) -> None:
        """Release the request and its bytes."""
        if not self._is_over:
            self._is_over = True
            self._allowances.release(self._caller, self._size)


class Allowances:
    """How much each caller may ask: requests and bytes, at once and within a minute.

    Args:
        config: The limits.
        clock: Seconds that never go back.
    """

    def __init__(self, config: ServeConfig, clock: Callable[[], float]) -> None:
        self._config, self._clock = config, clock
        self._accounts: dict[str, _Account] = {}

    def begin(self, caller: str) -> Turn:
        """Let a request of a caller in.

        Raises:
            ApiError: 429, it has asked as much as it may.
        """
        self._forget()
        account = self._accounts.setdefault(caller, _Account())
        most = self._config.max_key_requests
        if most is not None and account.requests >= most:
            is_in_work = "is in work" if account.requests == 1 else "are in work"
            raise _too_much(f"{plural(account.requests, 'request')} of this key {is_in_work}.", 1)
        limit = self._config.key_requests_per_minute
        if limit is not None and len(account.minute) >= limit:
            raise _too_much(f"This key may ask {plural(limit, 'time')} a minute.", self._until_free(account))
        account.requests += 1
        account.minute.append([self._clock(), 0])
        return Turn(self, caller)

    def count(self, caller: str, size: int) -> None:
        """Count bytes of a caller's request.

        Raises:
            ApiError: 429, they are more than it may send.
        """
        account, config = self._accounts[caller], self._config
        account.size += size
        if account.minute:
            account.minute[-1][1] += size
        if account.size > config.max_key_bytes:
            raise _too_much(f"The requests of this key in work hold {config.max_key_bytes} bytes.", 1)
        limit = config.key_bytes_per_minute
        if limit is not None and sum(sent for _, sent in account.minute) > limit:
            raise _too_much(f"This key may send {limit} bytes a minute.", self._until_free(account))

    def release(self, caller: str, size: int) -> None:
        """End a request of a caller."""
        account = self._accounts[caller]
        account.requests -= 1
        account.size -= size

    def _forget(self) -> None:
        """Drop entries older than a minute, and callers without entries."""
        begun = self._clock() - _MINUTE
        for caller, account in list(self._accounts.items()):
            while account.minute and account.minute[0][0] <= begun:
                account.minute.popleft()
            if not account.minute and not account.requests:
                del self._accounts[caller]

    def _until_free(self, account: _Account) -> int:
        oldest = account.minute[0][0] if account.minute else self._clock()
        return max(1, math.ceil(oldest + _MINUTE - self._clock()))


def _too_much(what: str, wait: int) -> ApiError:
    return ApiError(429, f"{what} Try again in {wait} s.", code="rate_limit_exceeded", retry_after=wait)


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
        try:
            lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(f"{str(path)!r} is no text in UTF-8. Save it as such.") from error
        listed = [line for line in lines if line and not line.startswith("#")]
        if not listed:
            raise InvalidArgumentError(f"{str(path)!r} holds no key. Write one a line.")
        keys += listed
    keys_read = Keys([key for key in keys if key])
    if not keys_read and config.host not in _LOOPBACK and not config.open_to_all:
        raise InvalidArgumentError(
            f"host={config.host!r} is reached by other machines, and there are no API keys. Set "
            f"api_keys_file or {KEYS_VARIABLE}, or open_to_all: true if everybody may ask."
        )
    return keys_read


def check_origin(request: Request, config: ServeConfig, keys: Keys) -> str | None:
    """The origin to name in CORS headers, `None` for a request from no page or from our own.

    A page of another site may otherwise spend tokens through the browser of somebody who runs this server;
    without keys, the host is looked at as well, since a name may be pointed at this address later.

    Raises:
        ApiError: 403; 400, the request names more than a host.
    """
    hosts, origin = request.headers.getlist("host"), request.headers.get("origin")
    host = hosts[0] if hosts else ""
    if len(hosts) > 1 or any(sign in host for sign in "/?#@"):
        raise ApiError(400, "The request's header 'Host' must be one name.", code="wrong_host")
    if not keys and not _is_own_host(_hostname(host), config):
        whom = "localhost" if config.host in _LOOPBACK else "its address, its name and those in allow_hosts"
        raise ApiError(403, f"This server answers to {whom}, not to {host[:80]!r}.", code="wrong_host")
    if origin is None or _netloc(origin) == host:
        return None
    if origin in config.allow_origins:
        return origin
    raise ApiError(
        403, f"Pages of {origin[:80]!r} may not ask; list it in allow_origins.", code="wrong_origin"
    )


async def read_body(
    request: Request, config: ServeConfig, read: Callable[[Any], T], turn: Turn | None = None
) -> T:
    """The result of `read` for a request's JSON body; made outside the event loop where the body is long.

    Args:
        request: The request.
        config: The limits.
        read: Called with the value. It may run in a thread.
        turn: Where its bytes are counted.

    Raises:
        ApiError: It is too long, too slow, no JSON, or what `read` raises.
        ClientDisconnect: The client left before its end.
    """
    limit = config.max_body_bytes
    too_long = ApiError(413, f"The body is longer than {limit} bytes.", code="body_too_large")
    length = request.headers.get("content-length", "0") or "0"
    if not length.isdecimal() or len(length) > 18 or int(length) > limit:
        raise too_long
    raw = bytearray()
    try:
        async with asyncio.timeout(config.body_seconds):
            async for part in request.stream():
                if turn is not None:
                    turn.add(len(part))
                raw += part
                if len(raw) > limit:
                    raise too_long
    except TimeoutError as error:
        raise ApiError(408, f"The body did not arrive within {config.body_seconds:g} s.") from error
    # Nothing of the value outlives the call, so that the loop has nothing large to free.
    encoding = request.headers.get("content-encoding", "").strip().lower()
    return await beside(len(raw), lambda: read(_decoded(raw, encoding)))


def _decoded(raw: bytearray, encoding: str) -> Any:
    _require_few_values(raw)
    try:
        return json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if encoding not in ("", "identity"):
            raise ApiError(
                415, f"A body in content-encoding {encoding[:40]!r} is not read; send it uncompressed."
            ) from error
        raise ApiError(400, "The body is not valid JSON.", code="invalid_json") from error


def _require_few_values(raw: bytearray) -> None:
    """Refuse a body that the parser, which keeps other threads waiting, would work on for long."""
    for what, count in counts_of(raw).items():
        if count > _MOST[what]:
            raise ApiError(400, f"The body holds more than {_MOST[what]:,} {what}.", code="body_too_large")


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


def _is_own_host(name: str, config: ServeConfig) -> bool:
    """Whether nobody can point this name of a server at an address of his choice.

    A browser takes a page to be of the name it was loaded under, and the name may be pointed at this server
    later. Addresses cannot, nor the machine's names, nor names without a dot, which no public server knows.
    """
    if name in _LOOPBACK or name in config.allow_hosts:
        return True
    if config.host in _LOOPBACK:
        return False
    return not name.rstrip(".").count(".") or _is_address(name) or name in _names_of_this_machine()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(1)
def _names_of_this_machine() -> frozenset[str]:
    return frozenset(name.lower() for name in (socket.gethostname(), socket.getfqdn()))
