r"""A value that is written twice, exactly and as a decimal or a share: `12\pi \approx 37.7`, `1/4 or 25%`."""

from __future__ import annotations

import math
from fractions import Fraction

from sampleset.answers.maths.members import ASSIGNMENT
from sampleset.answers.maths.numerals import read_numeral
from sampleset.answers.maths.patterns import lazy_pattern

_MAX_TWICE = 120
_NEAR = 0.01
"""Relative: how far a decimal may be from the value it stands for."""
_MOST_LEVELS = 12
_UNITS_AT_END = lazy_pattern(r"(?<=[\d}i)]) (?:[a-z]{1,12}(?:\^\{[23]\})? ?){1,2}$")

CONSTANT = lazy_pattern(
    r"(?:[\d .+*/^(){}-]|\\(?:frac|sqrt|pi|cdot|times|ln|log|sin|cos|tan)(?![A-Za-z])"
    r"|(?<![A-Za-z])e(?![A-Za-z]))+"
)
"""Mathematics without a variable."""
_PLAIN = lazy_pattern(r"-?[\d ]*\.?\d*")
_APPROXIMATED = lazy_pattern(
    r"(?P<exact>.+?),? ?(?:\\approx(?![A-Za-z])|\(? ?(?:or )?(?:about|approximately|approx\.?|roughly) "
    r"|\( ?\\approx|= ?(?=-?[$]?\d*\.\d))"
    r" ?(?P<near>-?[$]?[\d,]*\.?\d+(?:\.\.\.)?)(?P<sign> ?%?)(?: [A-Za-z][A-Za-z ^{}/23.]{0,24})? ?\)?"
)
_TWO_WAYS = lazy_pattern(r"(?P<exact>[^,;]+?),? ?(?:\(? ?or |= |\() ?(?P<near>[^,;()]+?) ?\)?")
_TOKEN = lazy_pattern(r" *(?:(\d+(?:\.\d+)?)|(\\(?:frac|sqrt|pi|cdot|times|ln))(?![A-Za-z])|([-+*/^(){}e]))")


def exact_of_two(text: str) -> str | None:
    """The exact one of the two ways; `None` where the text is no value written twice."""
    if len(text) > _MAX_TWICE:
        return None
    match = _APPROXIMATED.fullmatch(text)
    if match:
        exact = match["exact"].strip()
        assignment = ASSIGNMENT.match(exact)
        value = exact[assignment.end() :] if assignment else exact
        # Of `\\sqrt{18} = 3\\sqrt{2}`, the last side.
        *before, last = value.split("=")
        value = last.strip() if all(map(CONSTANT.fullmatch, before)) else value
        calculated = "=" in text[match.end("exact") : match.start("near")] and "\\" not in value
        value = _UNITS_AT_END.sub("", value)
        if not calculated:
            is_exact = CONSTANT.fullmatch(value) and not _PLAIN.fullmatch(value)
            return exact if is_exact and _is_near(value, match["near"], match["sign"]) else None
    match = _TWO_WAYS.fullmatch(text)
    if not match:
        return None
    exact, near = match["exact"].strip(), match["near"].strip().removesuffix("...")
    if _says_the_same(exact, near):
        return exact
    # `0.6 (3/5)`: the decimal may come first.
    return near if _says_the_same(near, exact) else None


def near_of_two(text: str) -> str | None:
    r"""The decimal of a value that is written twice: of `12\pi \approx 37.7`, `37.7`."""
    match = _APPROXIMATED.fullmatch(text) if len(text) <= _MAX_TWICE and exact_of_two(text) else None
    return match["near"].strip() if match else None


def _is_near(value: str, near: str, sign: str) -> bool:
    """Whether a decimal may stand for a constant, as far as it has places; unknown constants pass."""
    size, number = estimate(value), read_numeral(near.removesuffix("...").removeprefix("$"))
    if size is None or number is None:
        return True
    shown = float(number.value) / (100 if "%" in sign else 1)
    last_place = 10.0 ** -len(near.removesuffix("...").partition(".")[2]) / (100 if "%" in sign else 1)
    return abs(shown - size) <= max(0.02 * abs(size), last_place)


def _says_the_same(exact: str, near: str) -> bool:
    exact_number, near_number = read_numeral(exact), read_numeral(near)
    if not near_number or not (near_number.decimal or near_number.percent) or near_number.unit:
        return False
    if not exact_number:
        value = estimate(exact) if "\\" in exact and CONSTANT.fullmatch(exact) else None
        return value is not None and abs(value - float(near_number.value)) <= _NEAR * abs(value)
    if exact_number.unit or abs(exact_number.value - near_number.value) > Fraction(_NEAR) * abs(
        exact_number.value
    ):
        return False
    # A whole number has no decimal; `0.25 = 25%` has both.
    return (
        exact_number.value.denominator != 1 or exact_number.decimal or exact_number.value == near_number.value
    )


def estimate(latex: str) -> float | None:
    r"""A constant such as `\frac{\sqrt{3}}{2} + \pi` as a float; `None` where it cannot be read."""
    tokens: list[str] = []
    position = 0
    while position < len(latex):
        match = _TOKEN.match(latex, position)
        if not match:
            return None
        tokens.append(match[1] or match[2] or match[3])
        position = match.end()
    try:
        value, end = _sum(tokens, 0, 0)
    except (ValueError, ArithmeticError, IndexError):
        return None
    return value if end == len(tokens) and isinstance(value, float) and math.isfinite(value) else None


def _sum(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    if level > _MOST_LEVELS:
        raise ValueError("nested too deeply")
    total, sign = 0.0, 1.0
    if tokens[position : position + 1] in (["-"], ["+"]):
        sign, position = -1.0 if tokens[position] == "-" else 1.0, position + 1
    while True:
        value, position = _product(tokens, position, level)
        total += sign * value
        if tokens[position : position + 1] not in (["-"], ["+"]):
            return total, position
        sign, position = -1.0 if tokens[position] == "-" else 1.0, position + 1


def _product(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    value, position = _power(tokens, position, level)
    while position < len(tokens) and tokens[position] not in ("-", "+", ")", "}"):
        divided = tokens[position] == "/"
        if tokens[position] in ("*", "/", r"\cdot", r"\times"):
            position += 1
        factor, position = _power(tokens, position, level)
        value = value / factor if divided else value * factor
    return value, position


def _power(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    base, position = _atom(tokens, position, level)
    if tokens[position : position + 1] == ["^"]:
        exponent, position = _atom(tokens, position + 1, level)
        return math.pow(base, exponent), position
    return base, position


def _atom(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    token, position = tokens[position], position + 1
    if token in ("(", "{"):
        value, position = _sum(tokens, position, level + 1)
        if tokens[position] != {"(": ")", "{": "}"}[token]:
            raise ValueError("a bracket does not close")
        return value, position + 1
    if token == r"\frac":
        over, position = _atom(tokens, position, level + 1)
        under, position = _atom(tokens, position, level + 1)
        return over / under, position
    if token in (r"\sqrt", r"\ln"):
        value, position = _atom(tokens, position, level + 1)
        return (math.sqrt(value) if token == r"\sqrt" else math.log(value)), position
    if token in (r"\pi", "e"):
        return (math.pi if token == r"\pi" else math.e), position
    return float(token), position
