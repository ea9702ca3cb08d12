"""Numbers in Chinese characters, and what other scripts write behind a number: scales, counters, units."""

from __future__ import annotations

import re
from fractions import Fraction

from sampleset.answers.maths.numbers.units import FOREIGN_POWERS, FOREIGN_UNITS, UNITS
from sampleset.answers.maths.patterns import lazy_pattern

_HAN_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_HAN_PLACES = {"十": 10, "百": 100, "千": 1000}
_HAN = lazy_pattern(r"[零〇一二两三四五六七八九十百千万亿]{1,20}")
_HAN_SHARE = lazy_pattern(
    r"([零一二两三四五六七八九十百]{1,6}|[0-9]{1,6})分之([零一二两三四五六七八九十百]{1,6}|[0-9]{1,6})"
)
_COUNTER = lazy_pattern(
    r"[ /]?(?!千(?![米克瓦])|[十百万亿億만억]|余\d)"
    r"(?:(?!\d)[\u0400-\u052f\u0e00-\u0e7f\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]){1,12}"
)
_SCALE = lazy_pattern(
    r"(\d[\d,.]*) ?(?:([百千万亿億만억])(?![十百千万亿億만억米克瓦])"
    r"|(тыс(?=\W|$|яч)|млн|миллион|млрд|миллиард)[а-я]{0,3}\.?(?!\w))"
)
_SCALES = {
    "百": 2, "千": 3, "万": 4, "만": 4, "亿": 8, "億": 8, "억": 8,
    "тыс": 3, "млн": 6, "миллион": 6, "млрд": 9, "миллиард": 9,
}  # fmt: skip


def han_amount(text: str) -> tuple[Fraction, str | None] | None:
    """The value of a number in Chinese characters, and the unit behind it, if any: of `三`, `二十五个`."""
    share = _HAN_SHARE.fullmatch(text)
    if share:
        under, over = (int(side) if side.isdigit() else _value(side) for side in share.groups())
        return (Fraction(over, under), None) if under else None
    match = _HAN.match(text)
    rest = text[match.end() :] if match else ""
    counter = _COUNTER.fullmatch(rest)
    if not match or (rest and not counter):
        return None
    return Fraction(_value(match[0])), UNITS.get(_named_here(counter).strip()) if counter else None


def _value(number: str) -> int:
    total = section = digit = 0
    for sign in number:
        if sign in _HAN_DIGITS:
            digit = _HAN_DIGITS[sign]
        elif sign in _HAN_PLACES:
            section += (digit or 1) * _HAN_PLACES[sign]
            digit = 0
        else:
            total = (total + section + digit) * (10**4 if sign == "万" else 10**8)
            section = digit = 0
    return total + section + digit


def in_ascii(text: str) -> str:
    """A number with its scale as a power of ten, and its unit by its name here: of `12万米`, `12e4 m`."""
    text = _SCALE.sub(_with_zeros, text, count=1)
    return _COUNTER.sub(_named_here, text) if text[0].isascii() else text


def _with_zeros(match: re.Match[str]) -> str:
    """`12万` as 12e4."""
    return f"{match[1].replace(',', '')}e{_SCALES[match[2] or match[3]]}"


def _named_here(match: re.Match[str]) -> str:
    """A unit of another script by its own name here, behind a slash or a space; of a counter, nothing."""
    above, _, below = match[0].strip(" /").partition("每")
    names = [_foreign_unit(name) for name in (above, below) if name]
    sign = "/" if match[0].startswith("/") else " "
    return sign + "/".join(name for name in names if name) if all(names) else ""


def _foreign_unit(name: str) -> str:
    power = next((power for power in FOREIGN_POWERS if name.startswith(power) and name != power), "")
    unit = FOREIGN_UNITS.get(name.removeprefix(power), "")
    return f"{unit}^{{{FOREIGN_POWERS[power][1]}}}" if unit and power else unit
