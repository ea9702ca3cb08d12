"""Measures in several units, in the first of them: `1 hour 30 minutes`, `6'2"`, `30 degrees 15'`."""

from __future__ import annotations

from fractions import Fraction

from sampleset.answers.maths.numbers.counts import SPELT, counted
from sampleset.answers.maths.numbers.units import UNITS, converted
from sampleset.answers.maths.patterns import lazy_pattern

_DEGREES = lazy_pattern(r"([+-]?)(\d+(?:\.\d+)?) degrees (\d+(?:\.\d+)?) ?'(?: ?(\d+(?:\.\d+)?) ?(?:''|\"))?")
_HOURS = lazy_pattern(r"(\d{1,3}) ?h ?(\d{1,2})(?: ?m(?:in)?)?")
_FEET = lazy_pattern(r"(\d{1,2}) ?(?:foot|feet|ft\.?|') ?(\d{1,2})")
_PART_OF_MEASURE = lazy_pattern(
    r"(\d+(?:\.\d+)?(?: \d+/\d+)?) ?([A-Za-z]+\.?|'|\"|'')(?:,? and |, | ?)(?=\d|$)"
)
_QUOTES = {"'": "ft", '"': "in", "''": "in"}


def compound_measure(text: str) -> tuple[Fraction, str] | None:
    """The value of a measure in several units, and the first of them."""
    match = _DEGREES.fullmatch(text)
    if match:
        value = Fraction(match[2]) + Fraction(match[3]) / 60 + Fraction(match[4] or 0) / 3600
        return -value if match[1] == "-" else value, "degrees"
    if " and " in text and not text[:1].isdigit():
        text = SPELT.sub(lambda match: str(counted(match[0])), text)
    hours, feet = _HOURS.fullmatch(text), _FEET.fullmatch(text)
    if hours or feet:
        text = f"{hours[1]} h {hours[2]} min" if hours else f"{feet[1]} ft {feet[2]} in" if feet else text
    if text[-1:].isdigit() or not _PART_OF_MEASURE.match(text):
        return None
    pieces = list(_PART_OF_MEASURE.finditer(text))
    if len(pieces) > 4 or "".join(piece[0] for piece in pieces) != text:
        return None
    total, first = Fraction(0), ""
    for piece in pieces:
        unit = _QUOTES.get(piece[2]) or UNITS.get(piece[2].rstrip("."))
        if unit is None or (len(pieces) == 1 and piece[2] not in _QUOTES):
            return None
        integer, _, part = piece[1].partition(" ")
        value = Fraction(integer) + (Fraction(part) if part else 0)
        added = converted(value, unit, first) if first else value
        if added is None or (first and (unit == first or added >= 1)):
            return None
        total, first = total + added, first or unit
    return total, first
