"""Supervisor and child of one worker process: `python -m sampleset.answers.maths.worker`.

The supervisor imports math-verify once and forks a child that reads one JSON request a line from
standard input and writes one JSON response a line. Before each request the child asks the kernel
to kill it at the time limit; SIGALRM keeps its default action, so it also ends loops inside C
code. A child that dies leaves a flag behind: the supervisor answers for it and forks the next
one, which takes milliseconds because nothing is imported again.

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
from typing import Any

_CACHE_SIZE = 512
_RELATIVE_TOLERANCE = 1e-6
_ROUNDING = 1e-12
_EXACT = 1e-20
_DIGITS = 30
_MAX_DIGITS = 600
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
    algebra = _Algebra()
    # math-verify's grammar tables fill on first use, and garbage collection would copy them.
    for latex in _WARM_UP:
        algebra.equal(latex, latex + "+0", both=True)
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
    if os.WIFSIGNALED(wait_status) and os.WTERMSIG(wait_status) in (signal.SIGALRM, signal.SIGXCPU):
        return "timeout"
    if os.WIFEXITED(wait_status) and os.WEXITSTATUS(wait_status) == 3:
        return "memory"
    return "crash"


def _serve(algebra: _Algebra, busy: mmap.mmap, response_fd: int) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
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
        _limit_time(request["seconds"])
        try:
            equal, rule = algebra.equal(request["gold"], request["answer"], both=request["both"])
            response: dict[str, Any] = {"equal": equal, "rule": rule}
        except RecursionError:
            response = {"error": "too_deep"}
        signal.setitimer(signal.ITIMER_REAL, 0)
        busy[0] = 0
        _respond(response_fd, response)


def _limit_memory(megabytes: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    limit = size + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _limit_time(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
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


class _Algebra:
    """Equality of LaTeX expressions by math-verify and sympy, both imported here only."""

    def __init__(self) -> None:
        import sympy  # pyright: ignore[reportMissingTypeStubs]
        from latex2sympy2_extended import NormalizationConfig  # pyright: ignore[reportMissingTypeStubs]
        from math_verify import LatexExtractionConfig, parse, verify  # pyright: ignore[reportMissingTypeStubs]

        self._sympy: Any = sympy
        self._parse: Any = parse
        self._verify: Any = verify
        # With units, `6m` would be read as 6; units are the caller's business.
        spelling = NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
        )
        self._targets = [LatexExtractionConfig(normalization_config=spelling)]
        self._parsed: dict[str, Any] = {}

    def forget(self) -> None:
        self._parsed.clear()

    def equal(self, gold: str, answer: str, *, both: bool) -> tuple[bool | None, str]:
        """Whether two expressions are equal and by which rule; `None` if the gold cannot be read."""
        first, second = self._read(gold), self._read(answer)
        if first is None and not both:
            return None, "gold_unreadable"
        if first is None or second is None:
            return False, "unreadable"
        numeric = self._numeric(first, second)
        if numeric is not None:
            return numeric, "numeric"
        if both and self._is_relation(first) != self._is_relation(second):
            # math-verify would compare the right side of `x+y=5` with 5.
            return False, "kind"
        equal = bool(self._verify(first, second, timeout_seconds=None))
        if equal and both:
            equal = bool(self._verify(second, first, timeout_seconds=None))
        return equal, "symbolic"

    def _is_relation(self, parsed: Any) -> bool:
        return isinstance(parsed, self._sympy.core.relational.Relational)

    def _read(self, latex: str) -> Any:
        if latex not in self._parsed:
            if len(self._parsed) >= _CACHE_SIZE:
                self._parsed.clear()
            text = latex.replace("$", "")
            found = self._parse(f"${text}$", self._targets, fallback_mode="no_fallback", parsing_timeout=None)
            self._parsed[latex] = self._with_unit(found[0]) if found else None
        return self._parsed[latex]

    def _with_unit(self, parsed: Any) -> Any:
        """With the imaginary unit where the grammar leaves a variable called i."""
        if not isinstance(parsed, self._sympy.Expr):
            return parsed
        return parsed.subs({symbol: self._sympy.I for symbol in parsed.free_symbols if symbol.name == "i"})

    def _numeric(self, first: Any, second: Any) -> bool | None:
        """Equality by value; of two expressions in the same variables, only inequality is certain.

        math-verify rounds to six decimal places, which makes all small numbers equal; here the
        tolerance is relative, and holds only where one side is written as a decimal.
        """
        sympy = self._sympy
        if not (isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)):
            return None
        symbols = first.free_symbols
        if symbols != second.free_symbols:
            return None
        try:
            tolerance = self._tolerance(first, second)
            for point in self._points(symbols):
                close = self._close(first, second, point, tolerance or _EXACT)
                if close is None or (symbols and not close and tolerance):
                    return None
                if not close:
                    return False
            if symbols:
                return None
            return True if tolerance else self._no_gap(first, second)
        except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError):
            return None

    def _tolerance(self, first: Any, second: Any) -> float | None:
        """Relative tolerance where a side is written as a decimal, else `None`."""
        decimals = [bool(side.atoms(self._sympy.Float)) for side in (first, second)]
        if not any(decimals):
            return None
        exact = second if decimals[0] else first
        if all(decimals) or self._ends(exact):
            return _ROUNDING
        return _RELATIVE_TOLERANCE

    def _ends(self, exact: Any) -> bool:
        """Whether an exact value has a finite decimal expansion."""
        value = exact.doit()
        if not value.is_Rational:
            return False
        rest = int(value.q)
        for prime in (2, 5):
            while rest % prime == 0:
                rest //= prime
        return rest == 1

    def _no_gap(self, first: Any, second: Any) -> bool:
        """Whether two exact values that agree in their leading digits differ in none.

        `10^{200}+1` and `10^{200}+2` agree in two hundred.
        """
        gap = (first - second).doit()
        if gap.is_Rational:
            return bool(gap == 0)
        parts = gap.evalf(15, maxn=_MAX_DIGITS).as_real_imag()
        # A precision of one bit is how evalf says that it found no digit that is not zero.
        return all(part == 0 or getattr(part, "_prec", 1) <= 1 for part in parts)

    def _points(self, symbols: Any) -> list[dict[Any, Any]]:
        """Two fixed positive points, told apart by name; one empty point without variables."""
        if not symbols:
            return [{}]
        ordered = sorted(symbols, key=str)
        rational = self._sympy.Rational
        return [
            {symbol: rational(7 + 5 * place + shift, 3) for place, symbol in enumerate(ordered)}
            for shift in (0, 4)
        ]

    def _close(self, first: Any, second: Any, point: dict[Any, Any], tolerance: float) -> bool | None:
        left, right = (side.subs(point).doit().evalf(_DIGITS) for side in (first, second))
        if not (left.is_number and right.is_number and left.is_finite and right.is_finite):
            return None
        gap = abs((left - right).evalf(_DIGITS))
        size = max(abs(left), abs(right))
        if not (gap.is_Float or gap.is_Rational):
            return None
        return bool(gap <= size * tolerance)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
    sys.exit(0)
