"""Exact numbers: decimals, fractions, mixed numbers, powers of ten, percent, currency, units.

Values are `fractions.Fraction`; nothing is evaluated but these written forms, and exponents
are capped, so that no text can ask for a large computation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from sampleset.answers.maths.numbers.compound_measures import compound_measure
from sampleset.answers.maths.numbers.counts import PARTS, PLURAL_PARTS, SPELT, counted, worded_amount
from sampleset.answers.maths.numbers.han_numerals import han_amount, in_ascii
from sampleset.answers.maths.numbers.unit_words import LABEL_WORD, unit_behind
from sampleset.answers.maths.numbers.units import UNITS, read_unit
from sampleset.answers.maths.patterns import lazy_pattern

MAX_EXPONENT = 300
"""Powers of ten beyond this, either way, are left to text comparison."""
_MONEY_SCALES = {"k": 3, "K": 3, "M": 6, "m": 6, "MM": 6, "mn": 6, "B": 9, "b": 9, "bn": 9, "T": 12}
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
    rf"|10 ?\^ ?\{{ ?(?P<alone>[+-]?\d{{1,4}}) ?\}}(?= [A-Za-z])"
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
_ORDINAL = lazy_pattern(r"^(?:st|nd|rd|th)\b(?= |$)")
_REPEATING = lazy_pattern(
    r"(?<![\d.,])(?<!\d )(\d{0,20})\.(\d{0,20}?)"
    r"(?:\\(?:overline|bar) ?\{ ?(\d{1,20}) ?\}|(?:(\d)\4{2,20}|(\d{2,9})\5{1,9})\.\.\.)(?! ?[\d.])"
)
_IN_UNITS = lazy_pattern(
    r"([+-]?\d[\d.,]{0,30}(?:[eE][+-]?\d{1,3}| ?(?:\\times|\\cdot|\*) ?10 ?\^\{[+-]?\d{1,3}\})?) (\D.{0,60})"
)
_MULTIPLIED = lazy_pattern(r" ?(?:\\cdot|\*) ?")
_MICRO = lazy_pattern(r"\\mu ?")
_PER = lazy_pattern(r"(?: ?/ ?| (?:per|an?) )(?=[A-Za-z])")
_CURRENCIES = {
    "$": "dollar", "€": "euro", "£": "sterling", "¥": "yen", "₹": "rupee", "₩": "krw", "₽": "ruble",
    "¢": "cent", "₺": "lira", "₱": "peso", "฿": "baht", "₫": "dong", "₪": "shekel", "₴": "hryvnia",
    "₦": "naira", "₣": "franc", "₢": "reais",
}  # fmt: skip
_CODES = {
    "US$": "$", "US $": "$", "USD": "$", "A$": "$", "C$": "$", "AUD": "$", "CAD": "$",
    "HK$": "$", "NT$": "$", "S$": "$", "NZ$": "$",
    "US dollars": "$", "CHF": "₣", "R$": "₢", "BRL": "₢", "PHP": "₱", "Php": "₱", "EUR": "€", "GBP": "£",
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
_OUT_OF = lazy_pattern(r"(\d{1,12}) (?:out of|in|of) (?:every )?(\d{1,12})")
_THE_ORDINAL = lazy_pattern(r"(?:the )?(\d{1,6})(?: ?\^\{ ?(?:st|nd|rd|th) ?\}|[ -]?(?:st|nd|rd|th))")
_ORDINAL_WORDS = {"first": 1, "second": 2}
_MINUS = lazy_pattern(r"(?:(?:negative|minus) |[负負])(?=[$\d\\])", re.IGNORECASE)
_SPOKEN_MINUS = lazy_pattern(
    r"(?:negative|minus) (?!negative|minus)(?=[a-z])|[负負](?=[一二两三四五六七八九十百])", re.IGNORECASE
)
_HALF_A = lazy_pattern(r"half an? (?=[a-z]+$)(?!dozen)", re.IGNORECASE)
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
    special = _share(text) or _worded(text) or _ordinal(text)
    if special:
        return special
    in_unit = compound_measure(text) or han_amount(text)
    if in_unit:
        return Numeral(in_unit[0], percent=text.startswith("百分之"), unit=in_unit[1])
    if not text.isascii():
        text = re.sub(r" ?¢$", " cents", in_ascii(text))
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
    power, unit, known = unit_behind("" if suffix else rest)
    if not known:
        return None
    value *= 10 ** (scale + power)
    if "-" in (match["sign"], match["inner"]):
        value = -value
    if currency and not (money and unit and unit.startswith(f"{money}/")):
        unit = money
    if percent:
        unit = None
    label = "" if unit else " ".join(LABEL_WORD.findall(rest)).lower()
    return Numeral(value, decimal, percent is not None, unit, label)


def _sign(match: re.Match[str]) -> str:
    return match[1] + _CODES[match[2]]


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
    if group["alone"]:
        exponent = int(group["alone"])
        return (Fraction(10) ** exponent, False) if abs(exponent) <= MAX_EXPONENT else None
    over, under = group["over"] or group["over2"], group["under"] or group["under2"]
    if over:
        divisor = _decimal(under)
        return (_decimal(over) / divisor, False) if divisor else None
    integer, top, bottom = (group[name] or group[f"{name}2"] for name in ("whole", "top", "bottom"))
    return (int(integer) + Fraction(int(top), int(bottom)), False) if int(bottom) else None


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", ""))


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
