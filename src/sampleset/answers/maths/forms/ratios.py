"""Ratios: `7:32`, `3 to 2`, `a:b = 5:8`; their names, and their least whole numbers."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm

from sampleset.answers.maths.forms.members import NAME
from sampleset.answers.maths.forms.simple_forms import Form, PartReader
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import balanced

_RATIO = lazy_pattern(r"[^:]+(?: ?: ?[^:]+){1,5}")
_RATIO_IN_WORDS = lazy_pattern(r"(\d+(?:\.\d+)?)(?: is)? ?to ?(\d+(?:\.\d+)?)(?: ?to ?(\d+(?:\.\d+)?))?")
_ONE_NAME = lazy_pattern(NAME)


def ratio_form(text: str, read_part: PartReader) -> Form | None:
    """`7:32`, `3 to 2`, in least terms where its members are numbers."""
    in_words = _RATIO_IN_WORDS.fullmatch(text)
    members = [part for part in in_words.groups() if part] if in_words else text.split(":")
    if not in_words and (
        ":" not in text or not _RATIO.fullmatch(text) or any(not balanced(member) for member in members)
    ):
        return None
    parts = [read_part(member.strip()) for member in members if member.strip()]
    if len(parts) != len(members) or any(part.kind in ("words", "list", "letter") for part in parts):
        return None
    values = [part.number.value for part in parts if part.number and not part.number.unit]
    if len(values) == len(parts):
        return Form("ratio", ratio_text(values), "", None, tuple(parts))
    return (
        Form("ratio", ":".join(part.text for part in parts), "", None, tuple(parts))
        if all(part.latex for part in parts)
        else None
    )


def ratio_name(text: str) -> str:
    """The opening `a:b = ` of a text that says what a ratio is; empty where it has none."""
    left, sign, right = text.partition("=")
    names = [name.strip() for name in left.split(":")]
    if not sign or not 1 < len(names) <= 6 or "=" in right or not all(map(_ONE_NAME.fullmatch, names)):
        return ""
    return left + sign


def ratio_text(values: list[Fraction]) -> str:
    """A ratio in least whole numbers: of 1/2 and 1/3, `3:2`."""
    scale = lcm(*(value.denominator for value in values))
    integers = [int(value * scale) for value in values]
    common = gcd(*integers) or 1
    return ":".join(str(value // common) for value in integers)
