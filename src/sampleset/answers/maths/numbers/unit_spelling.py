"""Units in one spelling: out of text commands and fractions, and behind a number, where letters are units."""

from __future__ import annotations

import re

from sampleset.answers.maths.numbers.units import UNIT_LETTERS, read_unit
from sampleset.answers.maths.patterns import lazy_pattern

_UNIT_LETTER = lazy_pattern(
    rf"(?<=[\d}}])\s*\\(?:text|textrm|mbox"
    rf"|mathrm)\s?\{{\s*([{''.join(UNIT_LETTERS)}])\s*\}}(?!\s*[\w^\\({{/])"
)
_ROMAN_UNIT = lazy_pattern(r"(?<=[\d}\s,;~])\\?(?:text|textrm|mbox|mathrm|rm)(?![A-Za-z])")
_UNIT_FRACTION = lazy_pattern(
    r"(?<=[\d}\s~,;])\\frac ?\{ ?\\(?:text|textrm|mbox|mathrm) ?\{([^{}]{1,30})\}(\^\{?\d\}?)? ?\} ?"
    r"\{ ?\\(?:text|textrm|mbox|mathrm) ?\{([^{}]{1,30})\}(\^\{?\d\}?)? ?\}"
)
_PLAIN_UNIT_FRACTION = lazy_pattern(
    r"(?<=\d)(?: |~)\\frac ?\{ ?([ck]?m|mi|ft|k?g|k?J|N|mol) ?\} ?"
    r"\{ ?(s(?: ?\^ ?\{?2\}?)?|h|min|mol|k?g|[ck]?m ?\^ ?\{?[23]\}?|L) ?\}$"
)
_UNITS_APART = lazy_pattern(
    r"(?<=[A-Za-z]) ?\} ?\\cdot ?\\(?:mathrm|text|textrm|mbox) ?\{ ?(?=[A-Za-z]{1,3} ?\})"
)
_UNIT_WORD = r"[A-Za-z]{1,20}\.?(?:\^\{-?\d\})?\)?"
_UNIT_AT_END = lazy_pattern(
    rf"(?<=[\d}}) ])(?<![-+=*<>^_,] )([ /(]*{_UNIT_WORD}(?:[ /(]{{1,3}}{_UNIT_WORD}){{0,5}})$"
)
_LETTER_NAMES = {"m": "meter", "s": "second", "g": "gram", "h": "hour", "L": "liter"}
_MICRO = lazy_pattern(r"(?<=[\d}]) ?\\mu ?(m|s|g|L|A|F|C|V|W|H)(?![A-Za-z])")
_OHM = lazy_pattern(r"(?:(?<=[\d}]) |(?<=\.\d)|(?<=\.\d\d))([kMGm]?) ?\\Omega$")
_UNIT_PRODUCT = lazy_pattern(
    r"(?<=\d) ?((?:[A-Za-z]{1,4}(?:\^\{-?\d\})? ?\\cdot ?){1,3}[A-Za-z]{1,4}(?:\^\{-?\d\})?"
    r"(?: ?/ ?[A-Za-z]{1,4}(?:\^\{\d\})?){0,2})$"
)
_TELLING_UNIT = lazy_pattern(r"[A-Za-z]{2}|[NJKWVT]")


def with_plain_units(text: str) -> tuple[str, bool]:
    """The text with its fractions of units in a line, and whether it holds units in a text command."""
    text = _UNITS_APART.sub(" ", _UNIT_FRACTION.sub(_unit_in_a_line, text))
    text = _PLAIN_UNIT_FRACTION.sub(r" \\text{\1/\2}", text)
    text = _UNIT_LETTER.sub(lambda match: f" {UNIT_LETTERS[match[1]]} ", text)
    return text, bool(_ROMAN_UNIT.search(text))


def _unit_in_a_line(match: re.Match[str]) -> str:
    r"""`\frac{\text{km}}{\text{h}}` as `\text{km/h}`; a fraction of other words stays."""
    above, over, below, under = match.groups(default="")
    if not all(read_unit(name.strip(), in_text_command=True) for name in (above, below)):
        return match[0]
    return rf" \text{{{above.strip()}{over}/({below.strip()}{under})}}"


def with_units_apart(text: str, roman: bool) -> str:
    """The text with a space before its units; behind a number, those from a text command by their names."""
    text = _OHM.sub(r" \1ohm", _MICRO.sub(r" u\1", text))
    if r"\cdot" in text:
        text = _UNIT_PRODUCT.sub(_product_of_units, text)
    return _UNIT_AT_END.sub(_unit, text) if roman else text


def _unit(match: re.Match[str]) -> str:
    before, text = "", match[1]
    unit = read_unit(text, in_text_command=True)
    while unit is None and " " in text.strip():
        # Of `3x m`, only the last is a unit.
        first, _, text = text.lstrip(" ").partition(" ")
        before = f"{before} {first}"
        unit = read_unit(text, in_text_command=True)
    # A lone letter behind `5\pi` could be a variable again.
    unit = _LETTER_NAMES.get(unit or "", unit)
    if not unit or before[-1:] in ("+", "-", "=", "/", "("):
        return match[0]
    before = before if match[1].startswith(" ") else before.lstrip(" ")
    return f"{before} " + re.sub(r"\^(\d)", r"^{\1}", unit)


def _product_of_units(match: re.Match[str]) -> str:
    r"""`N \cdot m` behind a number; `m \cdot g` may be variables."""
    unit = re.sub(r" ?\\cdot ?", " ", match[1])
    known = _TELLING_UNIT.search(unit) and read_unit(unit, in_text_command=True)
    return f" {unit}" if known else match[0]
