"""The form of an answer, and the kinds without parts to read: numbers, letters, dates, bases, residues."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from sampleset.answers.maths.forms.words import FUNCTIONS
from sampleset.answers.maths.numbers.dates import read_date, read_time
from sampleset.answers.maths.numbers.numerals import Numeral, decimal_places, is_endless, read_numeral
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.tokens import squeeze

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
        unit: Of an expression, the unit that stands behind it.
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
    unit: str = ""


@dataclass(frozen=True, slots=True)
class PartReader:
    """Reads the parts of an answer: beyond a depth, a part has no parts."""

    form: Callable[[str, int], Form]
    depth: int

    def __call__(self, text: str) -> Form:
        """The form of a part."""
        return self.form(text, self.depth + 1)

    @property
    def deeper(self) -> PartReader:
        """Reads the parts of a part."""
        return replace(self, depth=self.depth + 1)


_BASED = lazy_pattern(
    r"\(? ?(?:\\overline ?\{ ?(?=[^{}]*\}_))?([0-9A-Fa-f]{1,64}) ?[)}]?"
    r"(?:_\{ ?\(? ?(?:base ?)?(\d{1,2}|[a-z]{2,11}) ?\)? ?\}"
    r"| ?\(? ?(?:in )?(?:base[- ])?(?:(?<=base.)(\d{1,2})|([a-z]{2,11})) ?\)?)"
)
_NAMED_BASES = {"binary": "2", "octal": "8", "hex": "16", "hexadecimal": "16"}
_BASES = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "twelve": "12", "sixteen": "16",
} | _NAMED_BASES  # fmt: skip
_RESIDUE = lazy_pattern(
    r"(?:(?:\\?[A-Za-z]+ ?)?(?:\\equiv|=) ?)?(-?\d{1,18}) ?,? ?"
    r"(?:\\pmod ?\{? ?(\d{1,18}) ?\}?|\\b?mod ?\{? ?(\d{1,18}) ?\}?"
    r"|\(? ?\\?b?mod(?:ulo)? ?\{? ?(\d{1,18}) ?\}? ?\)?)"
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
_LETTER = lazy_pattern(r"\(? ?([A-Za-z]) ?\)?[.:)]?")
_OPTIONS = "ABCDEFGHJ"
_HOUR_AND_MINUTE = lazy_pattern(r"\d{1,2}[:h][1-9]\d")
_MISREAD = lazy_pattern(
    r"\d \d|\d ?_|\d\.\d*\.|\d[eE][+-]?\d|[:;$%#@?\"]|\.\.\.|\\hat[ijk]|\\approx|\\to(?![A-Za-z])"
    r"|\^\{\d?[+-]\}|\[ ?\]"
)
_LONG_WORD = lazy_pattern(r"(?<![\\A-Za-z{])[A-Za-z]{4,}")


def plain_form(text: str) -> Form | None:
    """The form of a date, a time, a letter or a number."""
    date = read_date(text)
    if date:
        return Form("date", date)
    time = read_time(text)
    if time:
        # `15:24` may be a ratio as well.
        sides = re.split("[:h]", text) if _HOUR_AND_MINUTE.fullmatch(text) else []
        return Form("time", time, parts=tuple(number_form(Numeral(Fraction(side))) for side in sides))
    letter = _LETTER.fullmatch(text)
    if letter:
        # An option may be written small; other letters are variables, R is not r, and i is no option.
        shown = letter[1].upper() if letter[1].upper() in _OPTIONS else letter[1]
        return Form("letter", shown, letter[1])
    number = read_numeral(text)
    # `347 (hex)` is not 347.
    return number_form(number) if number and number.label.rpartition(" ")[2] not in _NAMED_BASES else None


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
    base = based and (based[2] or based[3] or based[4])
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


def expression_form(text: str) -> Form:
    """The form of what the algebra may look into."""
    return Form("expression", squeeze(text), _engineers(text) if is_algebraic(text) else "")


def _engineers(text: str) -> str:
    """The imaginary unit as `i` in `2+3j`, where j is the only letter."""
    letters = re.findall(r"\\?[A-Za-z]+", text)
    is_one = letters == ["j"] and ("+" in text or "-" in text[1:] or text.lstrip("-") == "1j")
    return text.replace("j", "i") if is_one else text


def is_algebraic(text: str) -> bool:
    """Whether the LaTeX grammar reads a text as it is meant.

    It takes `118 000` for a product, drops the base of `25_{6}`, adds `1 2` up and skips words.
    """
    if not text.isascii() or _MISREAD.search(text):
        return False
    return all(
        word in FUNCTIONS for word in _LONG_WORD.findall(text.replace(r"\begin", "").replace(r"\end", ""))
    )
