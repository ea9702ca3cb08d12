"""The form of an answer that is read, and the kinds without parts: numbers, bases, residues, remainders."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from sampleset.answers.maths.numerals import Numeral, decimal_places, is_endless
from sampleset.answers.maths.patterns import lazy_pattern

Kind = Literal[
    "number", "letter", "words", "date", "time", "list", "parens", "vector", "brackets", "interval", "union",
    "inequality", "matrix", "ratio", "residue", "region", "expression", "opaque",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """One answer, read.

    Attributes:
        kind: Of a `vector`, its entries are in angle brackets.
        text: Canonical text; equal texts are equal answers.
        latex: What a computer algebra system may be given; empty where it has nothing to decide.
        parts: Members in the order written, for containers; rows of a matrix. For an inequality
            `a<x<b` with finite open ends: the one form of `(a, b)`, which may as well be a point.
        names: Of named values (`x=1, y=2`), the name of each part.
        equation: Of a value that a name is set equal to, all of it: `y=2x+3`.
        region: The real numbers that an interval or a condition describes, as `algebra.Region`.
        is_set: The list stands in braces.
    """

    kind: Kind
    text: str
    latex: str = ""
    number: Numeral | None = None
    parts: tuple[Form, ...] = ()
    names: tuple[str, ...] = ()
    equation: str = ""
    region: tuple[Any, ...] = ()
    is_set: bool = False


_BASED = lazy_pattern(
    r"\(? ?([0-9A-Fa-f]{1,64}) ?\)?(?:_\{ ?\(? ?(\d{1,2}|[a-z]{2,8}) ?\)? ?\}"
    r"| ?\(? ?(?:in )?base[- ](\d{1,2}|[a-z]{2,8}) ?\)?)"
)
_BASES = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "twelve": "12", "sixteen": "16",
}  # fmt: skip
_RESIDUE = lazy_pattern(
    r"(?:(?:\\?[A-Za-z]+ ?)?(?:\\equiv|=) ?)?(-?\d{1,18}) ?,? ?"
    r"(?:\\pmod ?\{? ?(\d{1,18}) ?\}?|\\b?mod ?\{? ?(\d{1,18}) ?\}?"
    r"|\(? ?\\?mod(?:ulo)? ?\{? ?(\d{1,18}) ?\}? ?\)?)"
)
_RESIDUES = lazy_pattern(
    r"(?:\\?[A-Za-z]+ ?\\equiv ?)?((?:\\pm ?\d{1,18}"
    r"|-?\d{1,18}(?:(?: ?, ?(?:and |or )?| and | or )-?\d{1,18}){1,15})) ?"
    r"(?:\\pmod ?\{? ?(\d{1,18}) ?\}?|\(? ?\\?b?mod ?\{? ?(\d{1,18}) ?\}? ?\)?)"
)
_REMAINDER = lazy_pattern(
    r"(?:quotient(?: is| of|:)? )?(\d{1,12}) ?,? ?(?:r\.?|rem\.?|(?:and )?(?:a )?remainder(?: is|:)?"
    r"|余|[Rr]este?|with (?:a )?remainder(?: of)?|\.{3}(?:\.{3})?) ?(?:of )?(\d{1,12})",
    re.IGNORECASE,
)
_CIRCLED = lazy_pattern(r"(?:\\textcircled\{\d{1,2}\} ?,? ?)+")


def _both(sign: str, digits: str) -> list[int]:
    return [int(digits), -int(digits)] if sign else [int(digits)]


def number_form(number: Numeral) -> Form:
    """The form of a number, with LaTeX that says as much as the number does."""
    value = number.value
    if number.decimal and not is_endless(value):
        latex = f"{_decimal_text(number)}"
    elif value.denominator == 1:
        latex = str(value)
    else:
        sign = "-" if value < 0 else ""
        latex = f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    return Form("number", str(number), latex, number)


def _decimal_text(number: Numeral) -> str:
    """The exact decimal expansion, with a decimal point, of a value that has one."""
    value = abs(number.value)
    decimals = max(1, decimal_places(value))
    digits = str(int(value * 10**decimals)).rjust(decimals + 1, "0")
    sign = "-" if number.value < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:].rstrip('0') or '0'}"


def notation_of(text: str) -> Form | None:
    """Notations that the algebra has no place for: bases, residues, remainders, circled numbers."""
    based = _BASED.fullmatch(text)
    base = based and (based[2] or based[3])
    base = _BASES.get(base, base) if base else ""
    if based and base and base.isdigit() and (based[1].isdigit() or base == "16"):
        return Form("expression", f"{based[1].upper().lstrip('0') or '0'}_{{{base}}}")
    residue = _RESIDUE.fullmatch(text)
    if residue:
        value, modulus = int(residue[1]), int(residue[2] or residue[3] or residue[4])
        return Form("residue", rf"{value % modulus if modulus else value} \pmod {{{modulus}}}")
    residues = _RESIDUES.fullmatch(text)
    if residues:
        modulus = int(residues[2] or residues[3])
        signed = [member for part in re.findall(r"(\\pm)? ?(-?\d+)", residues[1]) for member in _both(*part)]
        values = sorted({str(value % modulus if modulus else value) for value in signed})
        parts = tuple(Form("residue", rf"{value} \pmod {{{modulus}}}") for value in values)
        return Form("list", f"{{{', '.join(part.text for part in parts)}}}", parts=parts)
    remainder = _REMAINDER.fullmatch(text)
    if remainder:
        return Form("words", f"{int(remainder[1])} remainder {int(remainder[2])}")
    if _CIRCLED.fullmatch(text):
        marks = sorted(set(re.findall(r"\d+", text)), key=int)
        parts = tuple(number_form(Numeral(Fraction(mark))) for mark in marks)
        text = "".join(rf"\textcircled{{{mark}}}" for mark in marks)
        return Form("list", text, parts=parts, is_set=True)
    return None
