"""Supervisor and child of one worker process: `python -m sampleset.answers.maths.equality.worker`.

The supervisor imports math-verify once and forks a child that reads one JSON request a line from
standard input and writes one JSON response a line. Before each request the child asks the kernel
to kill it when it has used so much processor time, however busy the machine is; SIGPROF keeps its
default action, so it also ends loops inside C code. A child that dies leaves a flag behind: the
supervisor answers for it and forks the next one, which takes milliseconds because nothing is
imported again.

No text of a model is ever evaluated as Python here: it goes through the LaTeX grammar only.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import resource
import signal
import sys
import time
from typing import Any

from sampleset.answers.maths.equality.algebra import Algebra

_WARM_UP = (
    r"\frac{1}{2}+\sqrt{3}",
    r"2\pi x^{2}-1",
    r"\begin{pmatrix}1\\2\end{pmatrix}",
    r"x\le 3",
    r"\sin{x}+5!",
)


def main() -> None:
    """Serve requests until standard input closes."""
    response_fd = os.dup(1)
    # Whatever a library prints must not be taken for a response.
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 1)
    algebra = Algebra()
    # math-verify's grammar tables fill on first use, and garbage collection would copy them.
    for latex in _WARM_UP:
        algebra.equal(latex, latex + "+0", "same")
    algebra.same_region(["tex", "x^{2}<4"], ["tex", r"(-2,2)\cup(3,4)"])
    algebra.forget()
    gc.collect()
    gc.freeze()
    busy = mmap.mmap(-1, 1)
    _respond(response_fd, {"ready": True})
    while True:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _serve(algebra, busy, response_fd)
                status = 0
            except MemoryError:
                status = 3
            finally:
                os._exit(status)
        _, wait_status = os.waitpid(child, 0)
        if os.WIFEXITED(wait_status) and os.WEXITSTATUS(wait_status) == 0:
            return
        if busy[0]:
            busy[0] = 0
            _respond(response_fd, {"error": _cause(wait_status)})


def _cause(wait_status: int) -> str:
    if os.WIFSIGNALED(wait_status) and os.WTERMSIG(wait_status) in (signal.SIGPROF, signal.SIGXCPU):
        return "timeout"
    if os.WIFEXITED(wait_status) and os.WEXITSTATUS(wait_status) == 3:
        return "memory"
    return "crash"


def _serve(algebra: Algebra, busy: mmap.mmap, response_fd: int) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    first = True
    while True:
        line = _read_line()
        if not line:
            return
        busy[0] = 1
        request = json.loads(line)
        if first:
            _limit_memory(request["megabytes"])
            first = False
        begin = time.process_time()
        _limit_time(request["seconds"])
        try:
            equal, rule = algebra.answer(request)
            response: dict[str, Any] = {"equal": equal, "rule": rule}
        except RecursionError:
            response = {"error": "too_deep"}
        signal.setitimer(signal.ITIMER_PROF, 0)
        busy[0] = 0
        _respond(response_fd, response | {"spent": round(time.process_time() - begin, 4)})


def _limit_memory(megabytes: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    limit = size + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _limit_time(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    # A second guard, in whole seconds, should something reset the timer.
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 2, hard))


def _read_line() -> bytes:
    """One line from the unbuffered standard input; empty at its end.

    The caller never sends a second request before the response, so nothing is read too far.
    """
    pieces: list[bytes] = []
    while True:
        piece = os.read(0, 65536)
        if not piece:
            return b""
        pieces.append(piece)
        if piece.endswith(b"\n"):
            return b"".join(pieces)


def _respond(response_fd: int, response: dict[str, Any]) -> None:
    # Shorter than PIPE_BUF, so the line is written whole or not at all.
    os.write(response_fd, (json.dumps(response) + "\n").encode())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
    sys.exit(0)
