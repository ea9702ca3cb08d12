"""Long work is done beside the event loop, and leaves nothing large on it."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from sampleset.wire.beside import MOST_AT_ONCE, beside


class Large:
    """Stands for a body of some megabytes."""


@pytest.mark.parametrize("size", [MOST_AT_ONCE, MOST_AT_ONCE + 1])
async def test_only_long_work_leaves_the_thread_of_the_loop(size: int):
    thread = await beside(size, threading.get_ident)
    assert (thread == threading.get_ident()) is (size <= MOST_AT_ONCE)


async def test_an_error_does_not_hold_what_was_worked_on():
    seen: list[weakref.ref[Large]] = []

    def work() -> None:
        large = Large()
        seen.append(weakref.ref(large))
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise KeyError("outer") from error

    with pytest.raises(KeyError, match="outer") as caught:
        await beside(MOST_AT_ONCE + 1, work)
    gc.collect()
    assert isinstance(caught.value.__cause__, ValueError)
    assert seen[0]() is None
