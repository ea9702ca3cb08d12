"""A small pool of worker processes that compare expressions within limits of time and memory.

Time is the worker's processor time, so that no verdict depends on how busy the machine is. Callers
wait in line, one comparison each, so a set with many comparisons takes turns with all others.

Workers are started with `subprocess`, never by forking the caller, on the first comparison that
needs one. The pool may be used from any thread (it blocks until the comparison is made), and after
a fork: the child starts new workers.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

TIME_LIMIT = 0.8
"""Seconds of processor time that a worker may spend on one comparison, its start-up not counted."""
SET_LIMIT = 4.0
"""Seconds of processor time that workers may spend on all comparisons of one set of answers."""
MEMORY_LIMIT = 256
"""Megabytes a worker may take beyond its size at start."""
_LOST_AFTER = 120.0
"""Seconds on the clock after which a worker that does not answer is given up."""
_START_LIMIT = 60.0
_TURN = 0.05
"""Seconds between two looks at whether a caller in line has left."""
_MAX_WORKERS = min(4, os.cpu_count() or 1)
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[4])


class Budget:
    """Processor time that the comparisons of one caller may take, and whether the caller is still there.

    Safe between threads: `cancel` from any thread ends the work at the next comparison.
    """

    def __init__(self, seconds: float = SET_LIMIT) -> None:
        self._left = seconds
        self._parent: Budget | None = None
        self._cancelled = [False]

    def part(self, seconds: float) -> Budget:
        """A budget of at most so many seconds, which are taken from this one as well."""
        part = Budget(min(seconds, self._left))
        part._parent, part._cancelled = self, self._cancelled
        return part

    @property
    def left(self) -> float:
        """Seconds that remain; nothing once the caller has left."""
        return 0.0 if self._cancelled[0] else self._left

    @property
    def is_cancelled(self) -> bool:
        """Whether the caller has left."""
        return self._cancelled[0]

    def spend(self, seconds: float) -> None:
        """Subtract the processor time of a comparison."""
        self._left -= seconds
        if self._parent is not None:
            self._parent.spend(seconds)

    def cancel(self) -> None:
        """The caller has left: what waits or would follow is not done."""
        self._cancelled[0] = True


class _WorkerLost(Exception):
    """The worker process is gone or out of step."""


class _CallerLeft(Exception):
    """Nobody waits for the comparison any more."""


class _Worker:
    """One supervisor process and the pipes to it."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, (_PACKAGE_ROOT, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            # -P: a file called sympy.py in the working folder must not be imported.
            [sys.executable, "-P", "-m", "sampleset.answers.maths.equality.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self) -> None:
        """Wait until the worker has imported its libraries.

        Raises:
            _WorkerLost: It did not start.
        """
        if not self._ready:
            if "ready" not in self._read(_START_LIMIT):
                raise _WorkerLost
            self._ready = True

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The response to one request; `{"error": "timeout"}` when it takes too long.

        Raises:
            _WorkerLost: The process died.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps(request) + "\n").encode())
        except OSError as error:
            raise _WorkerLost from error
        return self._read(seconds)

    def _read(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        line = b""
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while not line.endswith(b"\n"):
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            piece = os.read(descriptor, 4096)
            if not piece:
                raise _WorkerLost
            line += piece
        return cast("dict[str, Any]", json.loads(line))

    def stop(self) -> None:
        """End the process and its child."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._close_pipes()
        self._process.wait()

    def abandon(self) -> None:
        """Let go of a worker that belongs to the process this one was forked from."""
        self._close_pipes()
        # The parent reaps it; without this, subprocess would warn that it still runs.
        self._process.returncode = 0

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class _Pool:
    """Idle workers, how many exist, and the callers in line; the most recently used worker is taken first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._starting = 0

    def compare(self, gold: object, answer: object, mode: str, budget: Budget) -> tuple[bool | None, str]:
        # A worker may be killed from outside while it is asked: one more try.
        for _ in range(2):
            try:
                worker = self._take(budget)
            except _CallerLeft:
                return None, "cancelled"
            if worker is None:
                break
            seconds = min(budget.left, TIME_LIMIT)
            request = {
                "gold": gold,
                "answer": answer,
                "mode": mode,
                "seconds": round(max(seconds, 0.001), 3),
                "megabytes": MEMORY_LIMIT,
            }
            try:
                worker.start()
                response = worker.ask(request, _LOST_AFTER)
            except _WorkerLost:
                self._discard(worker)
                continue
            except TimeoutError:
                self._discard(worker)
                return None, "no_worker"
            except BaseException:
                # Interrupted between request and response: the worker is out of step.
                self._discard(worker)
                raise
            self._put_back(worker)
            budget.spend(response.get("spent", seconds))
            if "error" in response:
                return None, str(response["error"])
            return cast("bool | None", response["equal"]), str(response["rule"])
        return None, "no_worker"

    def _take(self, budget: Budget) -> _Worker | None:
        turn = object()
        with self._changed:
            self._line.append(turn)
            try:
                while self._line[0] is not turn or (
                    not self._idle and len(self._all) + self._starting >= _MAX_WORKERS
                ):
                    if budget.is_cancelled:
                        raise _CallerLeft
                    self._changed.wait(_TURN)
                while self._idle:
                    worker = self._idle.pop()
                    if worker.alive:
                        return worker
                    self._all.discard(worker)
                    worker.stop()
                self._starting += 1
            finally:
                self._line.remove(turn)
                self._changed.notify_all()
        started: _Worker | None = None
        try:
            started = _Worker()
        except OSError:
            return None
        finally:
            with self._changed:
                self._starting -= 1
                if started is not None:
                    self._all.add(started)
                self._changed.notify_all()
        return started

    def _put_back(self, worker: _Worker) -> None:
        with self._changed:
            if worker in self._all:
                self._idle.append(worker)
            self._changed.notify_all()

    def _discard(self, worker: _Worker) -> None:
        with self._changed:
            self._all.discard(worker)
            self._changed.notify_all()
        worker.stop()

    def process_ids(self) -> list[int]:
        with self._changed:
            return sorted(worker.pid for worker in self._all)

    def close(self) -> None:
        with self._changed:
            workers = list(self._all)
            self._all.clear()
            self._idle.clear()
            self._changed.notify_all()
        for worker in workers:
            worker.stop()

    def abandon(self) -> None:
        for worker in self._all:
            worker.abandon()
        self._all.clear()
        self._idle.clear()


_pool = _Pool()


def compare_expressions(
    gold: str, answer: str, *, mode: str, budget: Budget | None = None
) -> tuple[bool | None, str]:
    """Whether two LaTeX expressions are equal, and the rule that says so.

    Args:
        gold: Reference expression; math-verify is not symmetric.
        answer: The expression to compare with it.
        mode: `gold`, asked one way; `same`, asked both ways; `vote`, both ways and without tolerance.
        budget: Processor time of the comparison, at most `TIME_LIMIT`.

    Returns:
        Equal, unequal, or `None` with the reason: `timeout`, `memory`, `crash`, `cancelled`, `no_worker`, ...
    """
    return _pool.compare(gold, answer, mode, budget or Budget(TIME_LIMIT))


def compare_regions(
    first: object, second: object, *, budget: Budget | None = None
) -> tuple[bool | None, str]:
    """Whether two conditions (`algebra.Region`) hold for the same real numbers, and the rule that says so."""
    return _pool.compare(first, second, "region", budget or Budget(TIME_LIMIT))


def worker_process_ids() -> list[int]:
    """Process ids of the workers now running."""
    return _pool.process_ids()


def close_workers() -> None:
    """End all workers; the next comparison that needs one starts anew."""
    _pool.close()


def _start_over_after_fork() -> None:
    """A forked child shares its parent's pipes and perhaps a held lock; it gets a new pool."""
    global _pool
    _pool.abandon()
    _pool = _Pool()


os.register_at_fork(after_in_child=_start_over_after_fork)
atexit.register(close_workers)
