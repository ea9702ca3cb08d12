r"""Equality of LaTeX expressions, relations and regions of the real line, by math-verify and sympy.

Runs in worker processes only; both packages are imported when an `Algebra` is made. math-verify's
parser folds the case of letters, drops primes, and takes `\gamma` for Euler's constant, `I` for the
imaginary unit; here every name becomes a variable before the text reaches the parser.
"""

from __future__ import annotations

import re
from typing import Any, cast

Region = list[Any]
"""`["tex", latex]`, `["and", ...]`, `["or", ...]`, or `["list", ...]`: conditions side by side, where the
reader knows which is meant.
"""

_CACHE_SIZE = 512
_RELATIVE_TOLERANCE = 1e-6
_ROUNDING = 1e-12
_EXACT = 1e-20
_DIGITS = 30
_MAX_DIGITS = 600

_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|rho|sigma|tau|upsilon|phi|chi"
    "|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|ell|hbar"
)
_ACCENTS = "bar|hat|vec|tilde|overline|dot|ddot|widehat|widetilde|overrightarrow|mathcal|mathscr|mathfrak"
_SUBSCRIPT = r"_\{(?:[^{}]|\{[^{}]*\}){1,24}\}"
_PRIMES = r"(?:'{1,3}|\^\{ ?(?:\\prime ?){1,3}\})"
_NAME = re.compile(
    rf"(?P<accent>\\(?:{_ACCENTS}) ?\{{ ?\\?[A-Za-z]{{1,8}} ?\}})(?P<rest>(?:{_SUBSCRIPT})?{_PRIMES}?)"
    rf"|(?P<greek>\\(?:{_GREEK})(?![A-Za-z]))(?P<rest2>(?:{_SUBSCRIPT})?{_PRIMES}?)"
    rf"|(?<![\\A-Za-z])(?P<run>[A-Za-z]*)(?P<letter>[A-Za-z])(?P<rest3>{_SUBSCRIPT}{_PRIMES}?|{_PRIMES})"
    r"|(?P<command>\\[A-Za-z]+(?:_\{[^{}]*\})?)|(?P<capital>[EI])"
)
_PLAIN_GREEK = re.compile(r"\\(?!gamma|Gamma|ell|hbar)[A-Za-z]+")


class Algebra:
    """The state of a worker: the parser, and the expressions it has read."""

    def __init__(self) -> None:
        import sympy  # pyright: ignore[reportMissingTypeStubs]
        from latex2sympy2_extended import (  # pyright: ignore[reportMissingTypeStubs]
            NormalizationConfig,
            latex2sympy2,
            normalize_latex,
        )
        from math_verify import verify  # pyright: ignore[reportMissingTypeStubs]
        from sympy.core.relational import Relational  # pyright: ignore[reportMissingTypeStubs]

        self._sympy: Any = sympy
        self._relational: Any = Relational
        self._latex2sympy: Any = cast("Any", latex2sympy2).latex2sympy
        self._normalize: Any = normalize_latex
        self._verify: Any = verify
        # With units, `6m` would be read as 6; units are the caller's business.
        self._spelling = NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
        )
        self._conversion = latex2sympy2.ConversionConfig(lowercase_symbols=False)
        self._parsed: dict[str, Any] = {}

    def forget(self) -> None:
        """Drop all that was read."""
        self._parsed.clear()

    def answer(self, request: dict[str, Any]) -> tuple[bool | None, str]:
        """The verdict on one request: `gold` and `answer` are LaTeX, or regions in JSON."""
        gold, answer = request["gold"], request["answer"]
        if isinstance(gold, list):
            return self.same_region(cast("Region", gold), answer)
        return self.equal(gold, answer, request["mode"])

    def equal(self, gold: str, answer: str, mode: str) -> tuple[bool | None, str]:
        """Whether two expressions are equal and by which rule; `None` if the gold cannot be read.

        Args:
            gold: Reference expression.
            answer: The expression to compare with it.
            mode: `gold`, where a gold answer that cannot be read decides nothing; `same`; or `vote`, where
                no decimal equals a value without a finite expansion.
        """
        first, second = self._read(gold), self._read(answer)
        if first is None and mode == "gold":
            return None, "gold_unreadable"
        if first is None or second is None:
            return False, "unreadable"
        if self._is_relation(first) != self._is_relation(second):
            # math-verify would compare the right side of `x+y=5` with 5.
            return False, "kind"
        first, second = self._alike(first, second)
        if self._is_relation(first):
            return self._same_relation(first, second), "symbolic"
        if hasattr(first, "shape") and hasattr(second, "shape"):
            return self._same_matrix(first, second, mode), "symbolic"
        return self._same_expression(first, second, mode)

    def same_region(self, first: Region, second: Region) -> tuple[bool | None, str]:
        """Whether two conditions on one real number hold for the same numbers."""
        try:
            first_set, second_set = self._region(first), self._region(second)
            if first_set is None or second_set is None:
                return False, "unreadable"
            gap = first_set.symmetric_difference(second_set)
            return bool(first_set == second_set or gap.is_empty or gap == self._sympy.S.EmptySet), "region"
        except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError):
            return None, "region_unreadable"

    def _region(self, tree: Region) -> Any:
        sympy = self._sympy
        kind, *parts = tree
        if kind == "tex":
            value = self._read(parts[0])
            if value is None:
                return None
            if isinstance(value, sympy.Set):
                return sympy.nsimplify(value.doit(), rational=True)
            if not self._is_relation(value) or len(value.free_symbols) != 1:
                return None
            plain = self._alike(value, value)[0]
            return sympy.nsimplify(plain, rational=True).as_set()
        regions = [self._region(part) for part in parts]
        if any(region is None for region in regions):
            return None
        if kind == "minus":
            return regions[0] - regions[1]
        common, any_of = sympy.Intersection(*regions), sympy.Union(*regions)
        if kind == "list":
            # `x>1, x<5` is a stretch; `x<1, x>5` are two rays, whatever the word between them.
            kind = "and" if any_of == sympy.S.Reals and common != sympy.S.EmptySet else "or"
        return common if kind == "and" else any_of

    def _is_relation(self, parsed: Any) -> bool:
        return isinstance(parsed, self._relational | self._sympy.And)

    def _read(self, latex: str) -> Any:
        if latex not in self._parsed:
            if len(self._parsed) >= _CACHE_SIZE:
                self._parsed.clear()
            self._parsed[latex] = self._parse(latex)
        return self._parsed[latex]

    def _parse(self, latex: str) -> Any:
        text = self._normalize(_NAME.sub(_as_variable, latex.replace("$", "")), self._spelling)
        try:
            parsed = self._latex2sympy(
                text,
                is_real=True,
                convert_degrees=False,
                normalization_config=None,
                conversion_config=self._conversion,
            )
        except RecursionError:
            raise
        except Exception:  # The grammar raises `Exception` itself for whatever it has no place for.
            return None
        sympy = self._sympy
        if not isinstance(parsed, sympy.Basic | sympy.MatrixBase):
            return None
        return None if parsed.has(sympy.zoo, sympy.nan) else parsed

    def _alike(self, first: Any, second: Any) -> tuple[Any, Any]:
        """Both over the same variables; `i` is the imaginary unit, and beside it no variable is real."""
        sympy = self._sympy
        symbols = first.free_symbols | second.free_symbols
        is_complex = any(symbol.name == "i" for symbol in symbols) or any(
            side.has(sympy.I) for side in (first, second)
        )
        renamed = {
            symbol: sympy.I
            if symbol.name == "i"
            else sympy.Symbol(symbol.name, real=None if is_complex else True)
            for symbol in symbols
        }
        return first.xreplace(renamed), second.xreplace(renamed)

    def _same_expression(self, first: Any, second: Any, mode: str) -> tuple[bool | None, str]:
        numeric = self._numeric(first, second, mode)
        if numeric is not None:
            return numeric, "numeric"
        equal = bool(self._verify(first, second, timeout_seconds=None))
        if equal and mode != "gold":
            equal = bool(self._verify(second, first, timeout_seconds=None))
        return equal, "symbolic"

    def _same_matrix(self, first: Any, second: Any, mode: str) -> bool | None:
        first, second = first.doit(), second.doit()
        if first.shape != second.shape:
            return False
        cells = zip(list(first), list(second), strict=True)
        verdicts = [self._same_expression(*self._alike(left, right), mode)[0] for left, right in cells]
        return False if False in verdicts else None if None in verdicts else True

    def _same_relation(self, first: Any, second: Any) -> bool | None:
        """Whether two equations or inequalities say the same: one side less the other, up to a factor."""
        sympy = self._sympy
        if isinstance(first, sympy.And) or isinstance(second, sympy.And):
            return bool(self._verify(first, second, timeout_seconds=None))
        sides: list[Any] = []
        kinds: list[str] = []
        for relation in (first, second):
            gap = relation.lhs - relation.rhs
            kind = relation.rel_op
            if kind in (">", ">="):
                gap, kind = -gap, kind.replace(">", "<")
            if kind == "==":
                gap = sympy.together(gap.doit()).as_numer_denom()[0]
            sides.append(gap)
            kinds.append(kind)
        if kinds[0] != kinds[1]:
            return False
        factor = self._factor(*sides)
        if factor is None or factor == 0:
            return False
        return bool(kinds[0] in ("==", "!=") or factor.is_positive)

    def _factor(self, first: Any, second: Any) -> Any:
        """The number that the first is of the second, `None` if there is none."""
        sympy = self._sympy
        symbols = first.free_symbols
        if symbols != second.free_symbols:
            return None
        ratios: list[Any] = []
        for point in self._points(symbols, 5):
            below = second.subs(point).doit().evalf(_DIGITS)
            above = first.subs(point).doit().evalf(_DIGITS)
            if (
                not (below.is_number and above.is_number and below.is_finite and above.is_finite)
                or below == 0
            ):
                continue
            ratios.append(above / below)
        if len(ratios) < 2 or any(abs(ratio - ratios[0]) > abs(ratios[0]) * _ROUNDING for ratio in ratios):
            return None
        exact = sympy.nsimplify(first, rational=True), sympy.nsimplify(second, rational=True)
        ratio = sympy.cancel(exact[0] / exact[1])
        if ratio.free_symbols:
            ratio = sympy.simplify(ratio)
        return None if ratio.free_symbols else ratio

    def _numeric(self, first: Any, second: Any, mode: str) -> bool | None:
        """Equality by value; of two expressions in variables, only inequality is certain.

        math-verify rounds to six decimal places, which makes all small numbers equal; here the
        tolerance is relative, and holds only where one side is written as a decimal.
        """
        sympy = self._sympy
        if not (isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)):
            return None
        symbols = first.free_symbols | second.free_symbols
        try:
            tolerance = self._tolerance(first, second, mode)
            for point in self._points(symbols, 2):
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

    def _tolerance(self, first: Any, second: Any, mode: str) -> float | None:
        """Relative tolerance where a side is written as a decimal, else `None`."""
        decimals = [bool(side.atoms(self._sympy.Float)) for side in (first, second)]
        if not any(decimals):
            return None
        exact = second if decimals[0] else first
        if mode == "vote" or all(decimals) or self._ends(exact):
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

    def _points(self, symbols: Any, count: int) -> list[dict[Any, Any]]:
        """Fixed positive points, told apart by name; one empty point without variables."""
        if not symbols:
            return [{}]
        ordered = sorted(symbols, key=str)
        rational = self._sympy.Rational
        return [
            {symbol: rational(7 + 5 * index + shift, 3) for index, symbol in enumerate(ordered)}
            for shift in (0, 4, 9, 13, 22)[:count]
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


def _as_variable(match: re.Match[str]) -> str:
    r"""One name, as a word of letters that stands for nothing else: of `E_{1}`, `\text{qef...}`."""
    if match["command"]:
        return match[0]
    if match["letter"]:
        run = match["run"]
        return f"{run} {_word(match['letter'] + match['rest3'])} "
    if match["capital"]:
        return f" {_word(match['capital'])} "
    if match["greek"] and not match["rest2"] and _PLAIN_GREEK.fullmatch(match["greek"]):
        return match[0]
    name = (match["accent"] or match["greek"]) + (match["rest"] or match["rest2"] or "")
    return f" {_word(name)} "


def _word(name: str) -> str:
    name = re.sub(r"\^\{ ?((?:\\prime ?)+)\}", lambda match: "'" * match[1].count("prime"), name)
    code = "".join(name.split()).encode().hex()
    return r"\text{q" + "".join(chr(ord("a") + int(digit, 16)) for digit in code) + "}"
