"""The SDK's clients of one server, each for a few calls at a time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Servers that need no key still get a header: the SDK does not start without one.
_PLACEHOLDER_KEY = "not-needed"
_CALLS_PER_CLIENT = 8


class Clients:
    """As many clients as the calls in flight need.

    A client looks at each of its connections whenever it asks for one, so that with hundreds of them most of
    a draw's time would go there.

    Args:
        api_key: The server's key, `None` for servers that want none.
        base_url: Its address.
    """

    def __init__(self, api_key: str | None, base_url: str) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._calls: dict[AsyncOpenAI, int] = {}

    @contextmanager
    def one(self) -> Generator[AsyncOpenAI]:
        """A client for one call: one of those there are that has room, else a new one."""
        client = next((one for one, calls in self._calls.items() if calls < _CALLS_PER_CLIENT), None)
        if client is None:
            import openai

            # Retries, limits and timeouts live in `sampling`.
            client = openai.AsyncOpenAI(
                api_key=self._api_key or _PLACEHOLDER_KEY,
                base_url=self._base_url,
                max_retries=0,
                timeout=None,
            )
        self._calls[client] = self._calls.get(client, 0) + 1
        try:
            yield client
        finally:
            # Closed meanwhile, it is no longer there.
            if client in self._calls:
                self._calls[client] -= 1

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._calls = list(self._calls), {}
        for client in clients:
            await client.close()
