"""Exact numbers: decimals, fractions, mixed numbers, powers of ten, percent, currency, units.

Values are `fractions.Fraction`; nothing is evaluated but these written forms, and exponents
are capped, so that no text can ask for a large computation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from sampleset.answers.maths.counts import (
    NUMBER_WORDS,
    PARTS,
    PLURAL_PARTS,
    SCALES,
    SPELT,
    counted,
    worded_amount,
)
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.units import (
    FOREIGN_POWERS,
    FOREIGN_UNITS,
    UNITS,
    converted,
    read_unit,
    spelt_out,
)

MAX_EXPONENT = 300
"""Powers of ten beyond this, either way, are left to text comparison."""

_MONEY_SCALES = {"k": 3, "K": 3, "M": 6, "m": 6, "MM": 6, "mn": 6, "B": 9, "b": 9, "bn": 9, "T": 12}
_POWERS = {"square": "^2", "sq": "^2", "cubic": "^3", "cu": "^3"}
_NOT_UNITS = frozenset([
    "and", "or", "if", "when", "not", "than", "to", "through", "plus", "minus", "times", "over", "by",
    "only", "more", "less", "sqrt", "sin", "cos", "tan", "log", "ln", "exp", "mod", "where", "for",
    "remainder", "pi", "factorial", "repeating", "recurring",
])  # fmt: skip
_MAX_UNIT_WORDS = 6
_LONG_PLACES = 6
"""A decimal with so many places may stand for a fraction without an end, of at most so many parts."""
_MOST_PARTS = 100
_MOST_BITS = 4000
"""A longer denominator counts as one without a finite expansion, unread."""
_COUNT = lazy_pattern(r"\d{1,9}(?=[ -][A-Za-z])")
_PART = lazy_pattern(rf"[ -]({'|'.join(PARTS)})(?![\w-])", re.IGNORECASE)
_DECIMAL = r"(?:(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d{1,3}(?: \d{3})+(?! ?\d)|\d+)(?:\.\d+)?|\.\d+)"
_NUMBER = lazy_pattern(
    rf"(?P<sign>[+-]?) ?(?P<currency>[$€£¥₹₩₽₺₱฿₫₪₴₦₣₢]?) ?(?P<inner>[+-]?)(?:"
    rf"(?P<whole>\d+) ?\\frac ?\{{(?P<top>\d+)\}} ?\{{(?P<bottom>\d+)\}}"
    rf"|(?P<whole2>\d+) (?P<top2>\d+) ?/ ?(?P<bottom2>\d+)"
    rf"|\\frac ?\{{ ?(?P<over>[+-]? ?{_DECIMAL}) ?\}} ?\{{ ?(?P<under>[+-]? ?{_DECIMAL}) ?\}}"
    rf"|(?P<over2>{_DECIMAL}) ?/ ?(?P<under2>{_DECIMAL})"
    rf"|(?P<base>{_DECIMAL}) ?(?:[eE](?P<exponent>[+-]?\d{{1,4}})"
    rf"|(?:\\times|\\cdot|\*|x) ?10 ?\^ ?\{{ ?(?P<power>[+-]?\d{{1,4}}) ?\}})"
    rf"|(?P<decimal>{_DECIMAL})"
    rf")(?P<rest>(?![\d.])(?:[^0-9]|(?<=\^\{{)\d(?=\}})|(?<=\^\{{-)\d(?=\}})){{0,80}})"
)
_SIMPLE = lazy_pattern(r"([+-]?)(\$?)([0-9]{1,30}(?:\.[0-9]{1,30})?)")
_HEDGE = lazy_pattern(
    r"(?:approximately|approx\.?|about|roughly|around|exactly|only|\\approx|~|≈|(?:in )?(?:the )?year"
    r"|in(?= \d{4}$)|第) ?",
    re.IGNORECASE,
)
_PERCENT = lazy_pattern(r" ?(?:%|(?:percent|per cent|pct)\b)", re.IGNORECASE)
_POWER = lazy_pattern(r"\^\{([23])\}$")
_WORD = lazy_pattern(r"[A-Za-z][A-Za-z'.-]*")
_UNIT_PIECE = lazy_pattern(r"[A-Za-z]{2,}\.?(?:\^\{[23]\})?")
_ORDINAL = lazy_pattern(r"^(?:st|nd|rd|th)\b(?= |$)")
_REPEATING = lazy_pattern(
    r"(?<![\d.,])(?<!\d )(\d{0,20})\.(\d{0,20}?)"
    r"(?:\\(?:overline|bar) ?\{ ?(\d{1,20}) ?\}|(?:(\d)\4{2,20}|(\d{2,9})\5{1,9})\.\.\.)(?! ?[\d.])"
)
_ENDS_OPEN = lazy_pattern(
    r"[-+=<>^_,\s]$|\\(?:triangle|angle|measuredangle|parallel|perp|sim|cong|odot|bigcirc|times|cdot|pm|le|ge|in|ne)$"
)
"""What no number ends in: a sign, or a command before a name as in `\\triangle ABC`."""
_IN_UNITS = lazy_pattern(
    r"([+-]?\d[\d.,]{0,30}(?:[eE][+-]?\d{1,3}| ?(?:\\times|\\cdot|\*) ?10 ?\^\{[+-]?\d{1,3}\})?) (\D.{0,60})"
)
_MULTIPLIED = lazy_pattern(r" ?(?:\\cdot|\*) ?")
_MICRO = lazy_pattern(r"\\mu ?")
_SLASH = lazy_pattern(r"(?<=[A-Za-z]) ?/ ?(?=[A-Za-z])")
_PER = lazy_pattern(r"(?: ?/ ?| (?:per|an?) )(?=[A-Za-z])")
_UNIT_TEXT = lazy_pattern(r"[A-Za-z './()-]*")
_CURRENCIES = {
    "$": "dollar", "€": "euro", "£": "sterling", "¥": "yen", "₹": "rupee", "₩": "krw", "₽": "ruble",
    "¢": "cent", "₺": "lira", "₱": "peso", "฿": "baht", "₫": "dong", "₪": "shekel", "₴": "hryvnia",
    "₦": "naira", "₣": "franc", "₢": "real",
}  # fmt: skip
_CODES = {
    "US$": "$", "US $": "$", "USD": "$", "A$": "$", "C$": "$", "AUD": "$", "CAD": "$",
    "HK$": "$", "NT$": "$", "S$": "$", "NZ$": "$",
    "US dollars": "$", "CHF": "₣", "R$": "₢", "BRL": "₢", "EUR": "€", "GBP": "£",
    "JPY": "¥", "RMB": "¥", "CNY": "¥", "INR": "₹", "Rs": "₹", "Rs.": "₹",
}  # fmt: skip
_CODE = lazy_pattern(
    rf"([+-]?) ?({'|'.join(map(re.escape, sorted(_CODES, key=len, reverse=True)))}) ?(?=[+-]?\d)"
)
_DECIMAL_COMMA = lazy_pattern(
    r"(?<![\d.,])(?:(\d{1,3}(?:\.\d{3})+),(\d+)|(\d{1,3}(?: \d{3})+),(\d+)|(?<=€)(\d+),(\d{2}))(?![\d.,])"
    r"|(?<![\d.,])(\d{1,3}(?:\.\d{3})*),(\d{1,2})(?= ?(?:€|EUR\b|euros?\b))"
)
_LAKHS = lazy_pattern(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])")
_BARE_POINT = lazy_pattern(r"(?<=\d)\.(?=[/eE])")
_TEMPERATURES = {"c": "celsius", "celsius": "celsius", "f": "fahrenheit", "fahrenheit": "fahrenheit"}
_OUT_OF = lazy_pattern(r"(\d{1,12}) (?:out of|in|of) (?:every )?(\d{1,12})")
_THE_ORDINAL = lazy_pattern(
    r"(?:the )?(\d{1,6})(?: ?\^\{ ?(?:st|nd|rd|th) ?\}| (?:st|nd|rd|th)|(?:st|nd|rd|th))"
)
_ORDINAL_WORDS = {"first": 1, "second": 2}
_PART_OF_MEASURE = lazy_pattern(
    r"(\d+(?:\.\d+)?(?: \d+/\d+)?) ?([A-Za-z]+\.?|'|\"|'')(?:,? and |, | ?)(?=\d|$)"
)
_QUOTES = {"'": "ft", '"': "in", "''": "in"}
_DEGREES = lazy_pattern(r"([+-]?)(\d+(?:\.\d+)?) degrees (\d+(?:\.\d+)?) ?'(?: ?(\d+(?:\.\d+)?) ?(?:''|\"))?")
_HAN_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_HAN_PLACES = {"十": 10, "百": 100, "千": 1000}
_HAN = lazy_pattern(r"[零〇一二两三四五六七八九十百千万亿]{1,20}")
_COUNTER = lazy_pattern(
    r"[ /]?(?!千(?![米克瓦])|[十百万亿億만억])"
    r"(?:(?!\d)[\u0400-\u052f\u0e00-\u0e7f\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]){1,12}"
)
_HAN_SCALE = lazy_pattern(r"(\d[\d,.]*) ?([百千万亿億만억])(?![十百千万亿億만억米克瓦])")
_HAN_SCALES = {"百": 2, "千": 3, "万": 4, "만": 4, "亿": 8, "億": 8, "억": 8}
_MINUS = lazy_pattern(r"(?:(?:negative|minus) |[负負])(?=[$\d\\])", re.IGNORECASE)
_SPOKEN_MINUS = lazy_pattern(r"(?:negative|minus) (?!negative|minus)(?=[a-z])", re.IGNORECASE)
_HAN_SHARE = lazy_pattern(
    r"([零一二两三四五六七八九十百]{1,6}|\d{1,6})分之([零一二两三四五六七八九十百]{1,6}|\d{1,6})"
)
_HALF_A = lazy_pattern(r"half an? (?=[a-z]+$)(?!dozen)", re.IGNORECASE)
_HOURS = lazy_pattern(r"(\d{1,3}) ?h ?(\d{1,2})(?: ?m(?:in)?)?")
_TWO_WORDS = lazy_pattern(r"\b(light|nautical) (years?|miles?)\b")
_PER_UNIT = lazy_pattern(r"( ?)(?:per|an?|/) ?([A-Za-z]+)$")
_FEET = lazy_pattern(r"(\d{1,2}) ?(?:foot|feet|ft\.?|') ?(\d{1,2})")
_RECURRING = lazy_pattern(r"(\d{0,20}\.\d{0,20}?)(\d) \(?(?:repeating|recurring)\)?")
_ERA = lazy_pattern(r"(\d{1,4}) (?:AD|CE|A\.D\.|C\.E\.)")
_DASHED = lazy_pattern(r"(?:₹|Rs\.?|INR) ?[\d,.]+(/[-=])")


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number as it is written.

    Attributes:
        value: Exact value; of `25%` it is 1/4.
        decimal: Whether it is written with a decimal point or a power of ten.
        percent: Whether it is written in percent.
        unit: A known unit of measure (`h/day` for a rate); `None` for a bare number or an unknown unit
            ("eggs").
        label: The words of an unknown unit; they only matter between members of one list.
    """

    value: Fraction
    decimal: bool = False
    percent: bool = False
    unit: str | None = None
    label: str = ""

    @property
    def face(self) -> tuple[Fraction, str]:
        """What counts in votes: the number as it stands, of `25%` 25, and of units a.m. and p.m. only."""
        value = self.value * 100 if self.percent else self.value
        if self.decimal and (places := decimal_places(value)) >= _LONG_PLACES:
            simple = value.limit_denominator(_MOST_PARTS)
            # Of `0.3333333`, a third: the fraction, cut off or rounded after the last place.
            gap = abs(simple - value)
            is_shortened = gap * 10**places < 1 and gap * 10**_LONG_PLACES <= abs(simple)
            if is_shortened and is_endless(simple):
                value = simple
        return value, self.unit if self.unit in ("am", "pm") else ""

    def __str__(self) -> str:
        text = f"{self.value * 100}%" if self.percent else str(self.value)
        return f"{text} {self.unit}" if self.unit else text


def decimal_places(decimal: Fraction) -> int:
    """The places after the point of a finite decimal: the powers of 2 or 5 in its denominator."""
    fives, rest = 0, decimal.denominator
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    return max(fives, rest.bit_length() - 1)


def is_endless(value: Fraction) -> bool:
    """Whether a value has no finite decimal expansion."""
    rest = value.denominator
    if rest.bit_length() > _MOST_BITS:
        return True
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1


def read_plain(text: str) -> Numeral | None:
    """The number that digits are, with a sign, a dollar and a point or without: the quick way for most."""
    simple = _SIMPLE.fullmatch(text)
    if not simple:
        return None
    value = Fraction(simple[1] + simple[3])
    return Numeral(value, "." in simple[3], False, "dollar" if simple[2] else None)


def read_numeral(text: str) -> Numeral | None:
    """The number a respelt text is, or `None` if it is anything else."""
    simple = read_plain(text)
    if simple:
        return simple
    hedge = _HEDGE.match(text)
    if hedge:
        text = text[hedge.end() :]
    text = _HALF_A.sub("1/2 ", text, count=1) if text[:1] in "hH" else text
    if text[:1] in "nmNM负負":
        text = _MINUS.sub("-", text, count=1)
        spoken = _SPOKEN_MINUS.match(text)
        if spoken and (size := read_numeral(text[spoken.end() :])):
            return replace(size, value=-size.value)
    which = _ORDINAL_WORDS.get(text.casefold().removeprefix("the "))
    if not text or which:
        return Numeral(Fraction(which)) if which else None
    special = _share(text) or _worded(text) or _ordinal(text) or _measures(text) or _han(text)
    if special:
        return special
    if not text.isascii():
        text = _HAN_SCALE.sub(_with_zeros, text, count=1)
        text = _COUNTER.sub(_in_ascii, text) if text[0].isascii() else text
        text = re.sub(r" ?¢$", " cents", text)
    era = _ERA.fullmatch(text)
    text = era[1] if era else _RECURRING.sub(r"\1\\overline{\2}", text)
    if text.endswith(("/-", "/=")) and (dashed := _DASHED.fullmatch(text)):
        text = text[: dashed.start(1)]
    text = _BARE_POINT.sub(
        "", _LAKHS.sub(_without_commas, _DECIMAL_COMMA.sub(_with_point, _CODE.sub(_sign, text)))
    )
    digits = _in_digits(text)
    match = _NUMBER.fullmatch(_REPEATING.sub(_as_fraction, digits)) if digits else None
    if not match or (match["sign"] and match["inner"]):
        return None
    amount = _amount(match)
    if amount is None:
        return None
    value, decimal = amount
    rest = match["rest"]
    percent = _PERCENT.match(rest)
    if percent:
        rest = rest[percent.end() :]
        value /= 100
    suffix = rest.strip() if rest.strip() in _CURRENCIES else ""
    rest = _ORDINAL.sub("", rest)
    currency = match["currency"] or suffix
    money = _CURRENCIES.get(currency)
    scale = 0
    if match["currency"]:
        scale = _MONEY_SCALES.get(rest.strip(), 0)
        rest = "" if scale else rest
        if _PER.match(rest):
            rest = f" {money}{rest}" if money else ""
    power, unit, known = _read_unit("" if suffix else rest)
    if not known:
        return None
    value *= 10 ** (scale + power)
    if "-" in (match["sign"], match["inner"]):
        value = -value
    if currency and not (money and unit and unit.startswith(f"{money}/")):
        unit = money
    if percent:
        unit = None
    label = "" if unit else " ".join(_WORD.findall(rest)).lower()
    return Numeral(value, decimal, percent is not None, unit, label)


def _in_ascii(match: re.Match[str]) -> str:
    """A unit of another script by its own name here, behind a slash or a space; of a counter, nothing."""
    above, _, below = match[0].strip(" /").partition("每")
    names = [_foreign_unit(name) for name in (above, below) if name]
    sign = "/" if match[0].startswith("/") else " "
    return sign + "/".join(name for name in names if name) if all(names) else ""


def _foreign_unit(name: str) -> str:
    power = next((power for power in FOREIGN_POWERS if name.startswith(power) and name != power), "")
    unit = FOREIGN_UNITS.get(name.removeprefix(power), "")
    return f"{unit}^{{{FOREIGN_POWERS[power][1]}}}" if unit and power else unit


def _sign(match: re.Match[str]) -> str:
    return match[1] + _CODES[match[2]]


def _with_zeros(match: re.Match[str]) -> str:
    """`12万` as 12e4."""
    return f"{match[1].replace(',', '')}e{_HAN_SCALES[match[2]]}"


def _with_point(match: re.Match[str]) -> str:
    """A number with a decimal comma, written with a point: of `1.234,56`, `1234.56`."""
    integer, part = (group for group in match.groups() if group is not None)
    return f"{integer.replace('.', '').replace(' ', '')}.{part}"


def _without_commas(match: re.Match[str]) -> str:
    return match[0].replace(",", "")


def _worded(text: str) -> Numeral | None:
    """`an hour and a half`, `two dozen eggs`, `a quarter`."""
    amount = worded_amount(text)
    if amount is None:
        return None
    unit = UNITS.get(amount[1])
    return Numeral(amount[0], False, False, unit, "" if unit else amount[1])


def _share(text: str) -> Numeral | None:
    """`7 out of 20`, `7 in 20`."""
    match = _OUT_OF.fullmatch(text)
    return Numeral(Fraction(int(match[1]), int(match[2]))) if match and int(match[2]) else None


def _ordinal(text: str) -> Numeral | None:
    """`the 14th`, `12^{th}`; with a word after it, it says which, not how many."""
    match = _THE_ORDINAL.fullmatch(text)
    return Numeral(Fraction(int(match[1]))) if match else None


def _measures(text: str) -> Numeral | None:
    """A measure in several units: `1 hour 30 minutes`, `6'2"`, `30 degrees 15'`; in the first of them."""
    match = _DEGREES.fullmatch(text)
    if match:
        value = Fraction(match[2]) + Fraction(match[3]) / 60 + Fraction(match[4] or 0) / 3600
        return Numeral(-value if match[1] == "-" else value, False, False, "degrees")
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
    return Numeral(total, False, False, first)


def _han(text: str) -> Numeral | None:
    """A number in Chinese characters, with a counter behind it or without: `三`, `二十五个`."""
    share = _HAN_SHARE.fullmatch(text)
    if share:
        sides = [read_plain(side) or _han(side) for side in share.groups()]
        return Numeral(sides[1].value / sides[0].value) if sides[0] and sides[1] and sides[0].value else None
    match = _HAN.match(text)
    rest = text[match.end() :] if match else ""
    counter = _COUNTER.fullmatch(rest)
    if not match or (rest and not counter):
        return None
    unit = _in_ascii(counter).strip() if counter else ""
    total = section = digit = 0
    for sign in match[0]:
        if sign in _HAN_DIGITS:
            digit = _HAN_DIGITS[sign]
        elif sign in _HAN_PLACES:
            section += (digit or 1) * _HAN_PLACES[sign]
            digit = 0
        else:
            total = (total + section + digit) * (10**4 if sign == "万" else 10**8)
            section = digit = 0
    return Numeral(Fraction(total + section + digit), unit=UNITS.get(unit))


def _in_digits(text: str) -> str | None:
    """The text with the number words it opens with in digits: `2/3` of `two thirds`, `250 m` of
    `two hundred fifty m`. `None` where it may be a share or a count: `one third cup`, `one third grader`.
    """
    match = SPELT.match(text) or _COUNT.match(text)
    if not match:
        return text
    number, rest = counted(match[0]), text[match.end() :]
    match = _PART.match(rest)
    part = match[1].lower() if match else ""
    # "3 fifth graders" are no fifths.
    if not match or (number == 1) == (part in PLURAL_PARTS):
        return f"{number}{rest}"
    rest = rest[match.end() :]
    if number == 1 and rest and not rest.startswith(" of "):
        return None
    return f"{number}/{PARTS[part]}{rest}"


def _as_fraction(match: re.Match[str]) -> str:
    r"""A repeating decimal as a fraction: of `0.1\overline{6}` and `0.1666...`, `15/90`."""
    integer, fixed, cycle = match[1], match[2], match[3] or match[4] or match[5]
    top = int(integer + fixed + cycle) - int(integer + fixed or "0")
    return f"{top}/{(10 ** len(cycle) - 1) * 10 ** len(fixed)}"


def _amount(match: re.Match[str]) -> tuple[Fraction, bool] | None:
    """Value without its sign, and whether it is written as a decimal."""
    group = match.groupdict()
    if group["decimal"]:
        return _decimal(group["decimal"]), "." in group["decimal"]
    if group["base"]:
        exponent = int(group["exponent"] or group["power"])
        if abs(exponent) > MAX_EXPONENT:
            return None
        return _decimal(group["base"]) * Fraction(10) ** exponent, "." in group["base"]
    over, under = group["over"] or group["over2"], group["under"] or group["under2"]
    if over:
        divisor = _decimal(under)
        return (_decimal(over) / divisor, False) if divisor else None
    integer, top, bottom = (group[name] or group[f"{name}2"] for name in ("whole", "top", "bottom"))
    return (int(integer) + Fraction(int(top), int(bottom)), False) if int(bottom) else None


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", ""))


def strip_unit(text: str) -> str:
    r"""An expression without the words of a unit after it: of `12\pi cm^{2}`, `12\pi`."""
    pieces = text.split(" ")
    for start in range(max(1, len(pieces) - 3), len(pieces)):
        if read_unit(" ".join(pieces[start:])) and not _ENDS_OPEN.search(number := " ".join(pieces[:start])):
            return number
    start = len(pieces)
    while start > 1 and _UNIT_PIECE.fullmatch(pieces[start - 1]):
        start -= 1
    if start == len(pieces) or not _read_unit(" " + " ".join(pieces[start:]))[2]:
        return text
    number = " ".join(pieces[:start])
    return text if _ENDS_OPEN.search(number) else number


def with_units(text: str) -> Numeral | None:
    r"""A number and units that may be variables elsewhere: `5 N s`, `8.3 J/(mol \cdot K)`; both respelt."""
    match = _IN_UNITS.fullmatch(text)
    number = read_numeral(match[1]) if match else None
    if not match or not number:
        return None
    unit = read_unit(
        _MULTIPLIED.sub(" ", _MICRO.sub("u", match[2].replace(r"\Omega", "ohm"))), in_text_command=True
    )
    return replace(number, unit=unit) if unit else None


def _read_unit(rest: str) -> tuple[int, str | None, bool]:
    """Power of ten, known unit, and whether what follows a number is a unit at all."""
    if not rest.strip():
        return 0, None, True
    rest = _TWO_WORDS.sub(r"\1-\2", rest)
    rate = _PER_UNIT.fullmatch(rest)
    if rate and rate[2] in UNITS and (rate[1] or "/" in rest):
        return 0, f"per {UNITS[rate[2]]}", True
    if rest.startswith(" per ") and (below := read_unit(rest, in_text_command=True)):
        return 0, below, True
    # `2nm` may be a product of variables; `2 nm` is a length.
    together = read_unit(rest) if rest[0] == " " or "/" in rest else None
    if together:
        return 0, together, True
    power = _POWER.search(rest)
    suffix = f"^{power[1]}" if power else ""
    body, slashes = _SLASH.subn(" per ", rest[: power.start()] if power else rest)
    if not _UNIT_TEXT.fullmatch(body) or body.lstrip()[:1] in ("-", "/"):
        return 0, None, False
    words = _WORD.findall(body)
    scale = 0
    while words and words[0].lower() in SCALES and body[0] == " ":
        scale += SCALES[words.pop(0).lower()]
    if not words:
        return scale, None, bool(scale)
    if len(words) > _MAX_UNIT_WORDS or any(word.lower() in _NOT_UNITS for word in words):
        return 0, None, False
    if words[0].lower() in NUMBER_WORDS or words[0].lower() in PLURAL_PARTS:
        return 0, None, False
    spaced = body[0] == " "
    unit, after = _measured(words)
    if len(words[0].rstrip(".")) == 1 and not (unit and (_is_rate(after) or (spaced and not after))):
        # `6m`, `2x`, `3 a b` are products of variables; `6 m` is six metres, `6m/s` a speed.
        return 0, None, False
    below, further = _measured(after[1:]) if _is_rate(after) else (None, after)
    if below:
        unit, after = f"{unit}/{below}" if unit and "/" not in unit else unit, further
    scale_name = after[0].lower() if unit == "degrees" and after else ""
    if scale_name in _TEMPERATURES:
        unit, after = _TEMPERATURES[scale_name], after[1:]
    if any(len(word.rstrip(".")) == 1 and word not in ("a", "A", "I") for word in after):
        return 0, None, False
    short = len(words[0].rstrip(".")) < 3 and words[0].rstrip(".") not in ("of", "in", "sq") and not slashes
    if not unit and (short or not spaced):
        return 0, None, False
    return scale, f"{unit}{suffix}" if unit else None, True


def _measured(words: list[str]) -> tuple[str | None, list[str]]:
    """The known unit that words open with, and the words after it: of `square feet of wall`, `ft^2`."""
    power = _POWERS.get(words[0].rstrip(".").lower(), "") if len(words) > 1 else ""
    name, *after = words[1:] if power else words
    name = name.rstrip(".")
    if name == "in" and after and after[0] != "per":
        return None, after  # "12 in total" are no inches
    unit = UNITS.get(name) or UNITS.get(name.lower()) or spelt_out(name.lower())
    if unit and after[:1] == ["squared"]:
        power, after = "^2", after[1:]
    return unit and f"{unit}{power}", after


def _is_rate(words: list[str]) -> bool:
    """Whether words go on a unit as "per hour" and "a day" do."""
    return len(words) > 1 and words[0].lower() in ("per", "a", "an")
