"""Calls that wait: async work from a script, or from a notebook, whose own event loop is running already."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. Where a loop is running in this thread, the work runs in another one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="sampleset") as pool:
        return pool.submit(context.run, lambda: asyncio.run(work)).result()
