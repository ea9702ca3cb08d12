r"""A value that is written twice, exactly and as a decimal or a share: `12\pi \approx 37.7`, `1/4 or 25%`."""

from __future__ import annotations

from fractions import Fraction
from math import isclose
from math import radians as in_radians

from sampleset.answers.maths.forms.constants import CONSTANT, estimate
from sampleset.answers.maths.forms.members import ASSIGNMENT
from sampleset.answers.maths.numbers.numerals import Numeral, read_numeral
from sampleset.answers.maths.patterns import lazy_pattern

_MAX_TWICE = 120
_NEAR = 0.01
"""Relative: how far a decimal may be from the value it stands for."""
_UNITS_AT_END = lazy_pattern(r"(?<=[\d}i)]) (?:[a-z]{1,12}(?:\^\{[23]\})? ?){1,2}$")
_RADIANS = lazy_pattern(r" ?rad(?:ians?)?\.?$")
_PLAIN = lazy_pattern(r"-?[\d ]*\.?\d*")
_APPROXIMATED = lazy_pattern(
    r"(?P<exact>.+?),? ?(?:\\approx(?![A-Za-z])|\(? ?(?:or )?(?:about|approximately|approx\.?|roughly) "
    r"|\( ?\\approx|= ?(?=-?[$]?\d*\.\d))"
    r" ?(?P<near>-?[$]?[\d,]*\.?\d+(?:\.\.\.)?)(?P<sign> ?%?)"
    r"(?:(?: or|,| =| \\approx) (?P<again>-?[\d,]*\.?\d+)(?P<again_sign> ?%?))?"
    r"(?P<unit> [A-Za-z][A-Za-z ^{}/23.]{0,24})? ?\)?"
)
_TWO_WAYS = lazy_pattern(r"(?P<exact>[^,;]+?),? ?(?:\(? ?or |= |\() ?(?P<near>[^,;()]+?) ?\)?")


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
        if (measured := _UNITS_AT_END.search(exact)) and match["unit"]:
            exact = exact[: measured.start()] + match["unit"]  # spelt in full
        if not calculated:
            is_exact = CONSTANT.fullmatch(value) and not _PLAIN.fullmatch(value)
            sizes = ((match["near"], match["sign"]), (match["again"], match["again_sign"]))
            return exact if is_exact and all(_is_near(value, *size) for size in sizes if size[0]) else None
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


def are_one_angle(radians: str, degrees: Numeral) -> bool:
    r"""Whether a multiple of $\pi$ is an angle in degrees."""
    size = estimate(radians) if r"\pi" in radians and CONSTANT.fullmatch(radians) else None
    return size is not None and isclose(size, in_radians(float(degrees.value)), rel_tol=1e-9)


def _says_the_same(exact: str, near: str) -> bool:
    exact_number, near_number = read_numeral(exact), read_numeral(near)
    if near_number and near_number.unit == "degrees":
        return are_one_angle(_RADIANS.sub("", exact), near_number)
    if not near_number or near_number.unit:
        return False
    if exact_number and exact_number.value == near_number.value and not exact_number.unit:
        return True
    if not (near_number.decimal or near_number.percent):
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
