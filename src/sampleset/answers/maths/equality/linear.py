"""Sums that need no algebra: plain arithmetic, and numbers with letters to the first power.

`220 + 90 + 60` beside `370`, and `4x - 4` beside `16`, are decided here exactly, without a worker. Only what
can be read in one way is read; of anything else there is no verdict, and the algebra is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sampleset.answers.maths.patterns import lazy_pattern

_LONGEST = 200
_FAR_APART = Fraction(1, 10**5)
"""Relative; the algebra decides about values closer to a decimal, by its tolerance."""
_TOKEN = lazy_pattern(r" *(\\frac|\\cdot|\\times|\d{1,12}(?:\.\d{1,12})?(?![\d.])|[A-Za-z]|[-+*/(){}]) *")
_NOT_VARIABLES = frozenset("eEiI")
_PRODUCT = frozenset(("*", r"\cdot", r"\times"))


@dataclass(frozen=True, slots=True)
class _Linear:
    """A number, and what each letter is multiplied by; no entry is 0."""

    constant: Fraction
    letters: Mapping[str, Fraction]
    is_decimal: bool = False

    def plus(self, other: _Linear, sign: int) -> _Linear:
        """The sum, or the difference."""
        names = {*self.letters, *other.letters}
        summed = {name: self.letters.get(name, 0) + sign * other.letters.get(name, 0) for name in names}
        left = {name: Fraction(value) for name, value in summed.items() if value}
        return _Linear(self.constant + sign * other.constant, left)

    def times(self, factor: Fraction) -> _Linear:
        """The product with a number that is not 0."""
        return _Linear(self.constant * factor, {name: value * factor for name, value in self.letters.items()})


class _Unreadable(Exception):
    """Not such a sum, or one that may be read in two ways."""


def linear_verdict(first: str, second: str) -> bool | None:
    """Whether two LaTeX expressions are equal; `None` where that is not for this module to say."""
    left, right = _linear(first), _linear(second)
    if left is None or right is None:
        return None
    if (left.constant, left.letters) == (right.constant, right.letters):
        return True
    if not (left.is_decimal or right.is_decimal):
        return False
    if left.letters or right.letters:
        return None
    gap, size = abs(left.constant - right.constant), max(abs(left.constant), abs(right.constant))
    return False if gap > size * _FAR_APART else None


@lru_cache(maxsize=4096)
def _linear(text: str) -> _Linear | None:
    if len(text) > _LONGEST:
        return None
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            return None
        tokens.append(match[1])
        position = match.end()
    try:
        if len(tokens) == 1 and "." in tokens[0]:
            return _Linear(Fraction(tokens[0]), {}, True)
        reader = _Reader(tokens)
        value = reader.sum()
        return value if reader.ended else None
    except _Unreadable:
        return None


class _Reader:
    """Reads tokens from left to right, each once."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._position = tokens, 0

    @property
    def ended(self) -> bool:
        """Whether all is read."""
        return self._position == len(self._tokens)

    def _next(self) -> str:
        return "" if self.ended else self._tokens[self._position]

    def _take(self) -> str:
        token = self._next()
        self._position += 1
        return token

    def _require(self, token: str) -> None:
        if self._take() != token:
            raise _Unreadable

    def sum(self) -> _Linear:
        """Terms with signs between them; the first may have one as well."""
        negative = self._next() == "-"
        if negative:
            self._take()
        total = self._term()
        if negative:
            total = total.times(Fraction(-1))
        while self._next() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            total = total.plus(self._term(), sign)
        return total

    def _term(self) -> _Linear:
        value, is_number = self._factor()
        if is_number and self._next().isalpha():
            value = _product(value, self._factor()[0])
        while self._next() in _PRODUCT or self._next() == "/":
            divides = self._take() == "/"
            factor, _ = self._factor()
            value = _quotient(value, factor) if divides else _product(value, factor)
        if self._next() and self._next() not in "+-)}":
            raise _Unreadable  # a product without a sign: `1/2x`, `3(2)`
        return value

    def _factor(self) -> tuple[_Linear, bool]:
        """A number, a letter, a fraction or a sum in parentheses, and whether it is a plain number."""
        token = self._take()
        if token.isdigit():
            return _Linear(Fraction(token), {}), True
        if token.isalpha() and token not in _NOT_VARIABLES:
            return _Linear(Fraction(0), {token: Fraction(1)}), False
        if token == "(":
            value = self.sum()
            self._require(")")
            return value, False
        if token == r"\frac":
            sides: list[_Linear] = []
            for _ in range(2):
                self._require("{")
                sides.append(self.sum())
                self._require("}")
            return _quotient(*sides), False
        raise _Unreadable


def _product(first: _Linear, second: _Linear) -> _Linear:
    if first.letters:
        first, second = second, first
    if first.letters or not first.constant:
        raise _Unreadable
    return second.times(first.constant)


def _quotient(first: _Linear, second: _Linear) -> _Linear:
    if second.letters or not second.constant:
        raise _Unreadable
    return first.times(1 / second.constant)
