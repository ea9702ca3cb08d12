"""How long the threads of torch and llama.cpp wait for each other before they sleep."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

VARIABLE = "GOMP_SPINCOUNT"
COUNT = "400"
"""Iterations for which a thread spins before it sleeps."""


@contextmanager
def short_waits() -> Generator[None]:
    """Packages that are first imported within this context get threads that soon sleep when they wait.

    By default OpenMP's threads spin for long. Beside another busy process, each of the hundreds of barriers
    of a token or a training step then waits for a thread that is not running. If they slept at once, an
    otherwise idle machine would decode at less than half the speed. `benchmarks/speed/thread_waiting.py`
    measures all three. OpenMP reads the setting once, when the first package that needs it is loaded: one
    imported before has decided for all. A setting of the user is kept.
    """
    is_ours = not {"OMP_WAIT_POLICY", VARIABLE} & set(os.environ)
    if is_ours:
        os.environ[VARIABLE] = COUNT
    try:
        yield
    finally:
        if is_ours:
            del os.environ[VARIABLE]
