"""Work that grows with what a client sends, done beside the event loop: a large body holds nobody else up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

T = TypeVar("T")

MOST_AT_ONCE = 64_000
"""Bytes that are worked on within a millisecond, and on the loop."""


async def beside(size: int, work: Callable[[], T]) -> T:
    """The work's result; work on more than `MOST_AT_ONCE` bytes is done in a thread.

    An error is raised without the frames it passed in the thread. They hold what was worked on, and the loop
    would have to free it.
    """
    if size <= MOST_AT_ONCE:
        return work()
    outcome = await asyncio.to_thread(_outcome, work)
    if isinstance(outcome, _Failed):
        raise outcome.error
    return outcome


def size_of(value: object) -> int:
    """About how many characters a JSON value has; the count ends soon after `MOST_AT_ONCE`."""
    size, waiting = 0, list[object]([value])
    while waiting and size <= MOST_AT_ONCE:
        part = waiting.pop()
        size += _SIZE_OF_ANY
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, Mapping):
            fields = cast("Mapping[str, object]", part)
            size += 0 if len(fields) < _MANY else MOST_AT_ONCE
            waiting += (*fields, *fields.values()) if len(fields) < _MANY else ()
        elif isinstance(part, list | tuple):
            entries = cast("Sequence[object]", part)
            size += 0 if len(entries) < _MANY else MOST_AT_ONCE
            waiting += entries if len(entries) < _MANY else ()
    return size


_SIZE_OF_ANY = 10
_MANY = MOST_AT_ONCE // _SIZE_OF_ANY


class _Failed:
    """An error of the work, which may itself return one."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _outcome(work: Callable[[], T]) -> T | _Failed:
    try:
        return work()
    except Exception as error:
        link: BaseException | None = error
        while link is not None:
            link.__traceback__ = None
            link = link.__cause__ or link.__context__
        return _Failed(error)
