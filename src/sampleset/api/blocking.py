"""Calls that wait: async work from a script, or from a notebook, whose own event loop is running already."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. If a loop is running in this thread, the work runs in another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="sampleset") as pool:
        return pool.submit(context.run, lambda: asyncio.run(work)).result()


def in_background(work: Coroutine[Any, Any, T]) -> Future[T]:
    """The future of work that runs on a loop of this package's own, in a thread that ends with the process.

    Models that several calls share live on that loop, whichever thread or loop the calls come from.
    """
    return asyncio.run_coroutine_threadsafe(work, _background_loop())


@cache
def _background_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="sampleset", daemon=True).start()
    return loop
