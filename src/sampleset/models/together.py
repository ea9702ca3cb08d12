"""Concurrent work that ends together: a failure of one cancels the others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


async def gathered(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of the calls, in order. If one fails, the others are cancelled and awaited first."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_order(
    items: Iterable[S] | AsyncIterable[S], work: Callable[[S], Coroutine[Any, Any, T]], at_once: int
) -> AsyncGenerator[T]:
    """The results of work on each item, in the order of the items, which are read as they are needed.

    Args:
        items: What is worked on.
        work: Called with each item. If it fails, the work that is still going on is cancelled.
        at_once: Most items in work at once, ≥ 1.
    """
    running: deque[asyncio.Task[T]] = deque()
    try:
        async for item in _each(items):
            running.append(asyncio.create_task(work(item)))
            if len(running) >= at_once:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _each(items: Iterable[S] | AsyncIterable[S]) -> AsyncGenerator[S]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
