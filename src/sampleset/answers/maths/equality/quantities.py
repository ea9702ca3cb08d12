"""Whether two numbers are equal, by value, unit and percent; two times of day; two ratios."""

from __future__ import annotations

from fractions import Fraction
from math import isclose

from sampleset.answers.maths.equality.verdicts import Mode, Verdict
from sampleset.answers.maths.forms.constants import estimate
from sampleset.answers.maths.forms.ratios import ratio_text
from sampleset.answers.maths.forms.simple_forms import Form
from sampleset.answers.maths.numbers.dates import times_agree
from sampleset.answers.maths.numbers.numerals import Numeral, is_endless
from sampleset.answers.maths.numbers.units import converted, units_agree
from sampleset.answers.maths.patterns import lazy_pattern

_TOLERANCE = Fraction(1, 10**6)
"""Relative, between a decimal and an exact form without a finite expansion."""
_IN_DOZENS = lazy_pattern(r"dozens?\b")


def compare_numbers(first: Numeral, second: Numeral, mode: Mode) -> Verdict:
    """Whether two numbers are equal; in a grade, after conversion of units, too."""
    if mode == "vote":
        return Verdict(first.face == second.face, "number")
    if first.unit and second.unit and not units_agree(first.unit, second.unit):
        if mode == "gold":
            value = converted(first.value, first.unit, second.unit)
            if value is not None and value == second.value:
                return Verdict(True, "unit_converted")
        return Verdict(False, "unit")
    if _numbers_equal(first, second):
        return Verdict(True, "number")
    if first.percent == second.percent:
        sides = ((first, second), (second, first)) if mode == "gold" else ()
        is_dozens = any(_IN_DOZENS.match(a.label) and a.value * 12 == b.value for a, b in sides)
        return Verdict(is_dozens, "number")
    percent, bare = (first, second) if first.percent else (second, first)
    if percent.value * 100 == bare.value and not bare.unit:
        return Verdict(True, "percent_read_as_number")
    return Verdict(False, "number")


def _numbers_equal(first: Numeral, second: Numeral) -> bool:
    """Equality by value, within the tolerance where only one side can be written as a decimal."""
    if first.value == second.value:
        return True
    if not (first.decimal or second.decimal):
        return False
    endless, other = (first, second) if is_endless(first.value) else (second, first)
    return (
        other.decimal
        and is_endless(endless.value)
        and abs(first.value - second.value) <= _TOLERANCE * max(abs(first.value), abs(second.value))
    )


def compare_times(first: Form, second: Form, mode: Mode) -> Verdict:
    """Times of day, ratios, and what may be either: `7:32`."""
    if first.names and second.names and first.names != second.names:
        # `A:B = 5:8` is not `B:A = 5:8`.
        return Verdict(False, "names")
    if first.text == second.text:
        return Verdict(True, "text")
    if first.kind == second.kind == "time":
        return Verdict(mode != "vote" and times_agree(first.text, second.text), "time")
    if mode == "vote":
        return Verdict(False, "kind")
    if "number" in (first.kind, second.kind):
        other, number = (first, second) if second.number else (second, first)
        if number.number is None:
            return Verdict(False, "kind")
        if other.kind == "time":
            if number.number.unit and mode == "gold" and _ratio_of(other):
                return Verdict(_as_duration(other, number.number), "time")
            if mode == "gold" and other.parts and _is_quotient(other, number.number):
                return Verdict(True, "ratio")
            hour, _, rest = other.text.partition(":")
            exact = rest.startswith("00") and not number.number.unit and number.number.value == int(hour)
            return Verdict(exact, "time")
        return Verdict(mode == "gold" and _is_quotient(other, number.number), "ratio")
    sizes = _sizes(first), _sizes(second)
    if all(sizes) and len(sizes[0]) == len(sizes[1]):
        return Verdict(all(isclose(a, b, rel_tol=1e-12) for a, b in zip(*sizes, strict=True)), "ratio")
    left, right = _ratio_of(first), _ratio_of(second)
    if len(left) != max(len(first.parts), 2) or len(right) != max(len(second.parts), 2):
        return Verdict(False, "ratio")  # members that are no numbers
    return Verdict(bool(left and right) and ratio_text(left) == ratio_text(right), "ratio")


def _is_quotient(ratio: Form, number: Numeral) -> bool:
    """Whether a number is the first member of a ratio as a share of the second."""
    values = _ratio_of(ratio)
    if len(values) != 2 or not values[1] or number.percent:
        return False
    return number.value == values[0] / values[1]


def _as_duration(time: Form, number: Numeral) -> bool:
    """Whether `1:30` is meant as hours and minutes, or as minutes and seconds."""
    left, right = _ratio_of(time)
    unit = number.unit or ""
    return any(
        converted(left + right / 60, larger, unit) == number.value and unit in names
        for larger, names in (("h", ("h", "min")), ("min", ("min", "s")))
    )


def _sizes(form: Form) -> list[float]:
    r"""The members of a ratio with a root or a multiple of pi in it, as shares of the first."""
    values = [estimate(part.latex) for part in form.parts] if form.kind == "ratio" else []
    known = [value for value in values if value]
    has_roots = any("\\" in part.latex for part in form.parts)
    return [value / known[0] for value in known] if has_roots and len(known) == len(values) else []


def _ratio_of(form: Form) -> list[Fraction]:
    if form.kind == "time" and not form.parts:
        return [Fraction(part) for part in form.text.split(":")] if " " not in form.text else []
    return [part.number.value for part in form.parts if part.number]
