"""Numbers and amounts in words: `two hundred and fifty`, `an hour and a half`, `twenty-first`."""

from __future__ import annotations

import re
from fractions import Fraction

from sampleset.answers.maths.patterns import lazy_pattern

SCALES = {
    "hundred": 2, "thousand": 3, "million": 6, "mil": 6, "mln": 6, "mn": 6, "billion": 9, "bn": 9,
    "trillion": 12, "lakh": 5, "lakhs": 5, "crore": 7, "crores": 7,
    "thousands": 3, "millions": 6, "billions": 9, "tausend": 3, "millionen": 6, "milliarde": 9,
    "milliarden": 9, "milliard": 9, "milliards": 9, "millón": 6, "millones": 6, "milhão": 6, "milhões": 6,
    "milione": 6, "milioni": 6, "miliardi": 9,
}  # fmt: skip
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBER_WORDS = {
    **{name: value for value, name in enumerate(_ONES)},
    **{name: 10 * tens for tens, name in enumerate(_TENS, start=2)},
    **{
        f"{name}-{_ONES[ones]}": 10 * tens + ones
        for tens, name in enumerate(_TENS, start=2)
        for ones in range(1, 10)
    },
}
"""Names of the numbers to ninety-nine."""
PARTS = {
    name: size
    for size, names in {
        2: "half halves", 3: "third thirds", 4: "fourth fourths", 5: "fifth fifths", 6: "sixth sixths",
        7: "seventh sevenths", 8: "eighth eighths", 9: "ninth ninths", 10: "tenth tenths",
        100: "hundredth hundredths", 1000: "thousandth thousandths",
    }.items()
    for name in names.split()
}  # fmt: skip
PLURAL_PARTS = frozenset(name for name in PARTS if name.endswith("s"))

_BELOW_100 = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[ -](?:{'|'.join(_ONES[1:10])}))?"
    rf"|{'|'.join(reversed(_ONES))})"
)
_BELOW_1000 = rf"{_BELOW_100}(?: hundred(?: (?:and )?{_BELOW_100})?)?"
SPELT_TEXT = rf"{_BELOW_1000}(?: (?:thousand|million|billion|trillion)(?:,? (?:and )?{_BELOW_1000})?)*"
SPELT = lazy_pattern(
    rf"(?<![\w-]){SPELT_TEXT}(?!\w|-(?!(?:{'|'.join(PARTS)})\b))",
    re.IGNORECASE,
)
"""A number in words: `two hundred and fifty`."""

_SPACE = lazy_pattern(r",? |-")
_AND_A_PART = lazy_pattern(
    rf"({SPELT_TEXT}|\d{{1,9}}|an?)(?: (?P<unit>[a-z]{{3,12}}))? and (?:an? |one )?(?P<part>half"
    rf"|quarter|three[- ]quarters)"
    r"(?(unit)| (?P<after>[a-z]{2,12}))?",
    re.IGNORECASE,
)
_DOZENS = lazy_pattern(r"(half an?|an?)[ -]dozen(?: (?P<label>[a-z]{2,20}))?", re.IGNORECASE)
_LONE_SHARE = lazy_pattern(
    r"(?:an?|one)?[ -]?(half|third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth)"
    r"|(?P<three>three[ -]quarters)",
    re.IGNORECASE,
)
_A_SCALE = lazy_pattern(
    r"(an?|half an?) (hundred|thousand|million|billion|trillion)(?: (?P<label>[a-z]{2,20}))?", re.IGNORECASE
)
_RANKS = {
    name: value
    for value, name in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
         "eleventh",
         "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth",
         "seventeenth", "eighteenth", "nineteenth",
         "twentieth"], start=1,
    )
} | {"thirtieth": 30, "fortieth": 40, "fiftieth": 50, "hundredth": 100}  # fmt: skip
_RANK = lazy_pattern(
    rf"(?:the )?(?:(?P<tens>{'|'.join(_TENS)})[ -])?(?P<name>{'|'.join(_RANKS)})(?: place)?", re.IGNORECASE
)
_RANK_IN_DIGITS = lazy_pattern(r"(?:the )?(\d{1,6})(?:[ -]?\^?\{? ?(?:st|nd|rd|th) ?\}?)(?: place)?")


def worded_amount(text: str) -> tuple[Fraction, str] | None:
    """The value of an amount in words, and what it counts; `None` of anything else."""
    part = _AND_A_PART.fullmatch(text) if " and " in text else None
    if part:
        share = {"h": Fraction(1, 2), "q": Fraction(1, 4), "t": Fraction(3, 4)}[part["part"][0].lower()]
        name = (part["unit"] or part["after"] or "").lower()
        value = _count(part[1]) + share
        return (value * 10 ** SCALES[name], "") if name in SCALES else (value, name)
    dozens = _DOZENS.fullmatch(text)
    if dozens:
        return _count(dozens[1]) * 12, (dozens["label"] or "").lower()
    scaled = _A_SCALE.fullmatch(text)
    if scaled:
        return _count(scaled[1]) * 10 ** SCALES[scaled[2].lower()], (scaled["label"] or "").lower()
    share = _LONE_SHARE.fullmatch(text) if " " in text or "-" in text else None
    if share:
        return Fraction(3, 4) if share["three"] else Fraction(1, PARTS.get(share[1].lower(), 4)), ""
    return None


def _count(text: str) -> Fraction:
    if text.lower().startswith("half"):
        return Fraction(1, 2)
    return Fraction(1 if text.lower() in ("a", "an") else int(text) if text.isdigit() else counted(text))


def rank_of(text: str) -> int | None:
    """The place that an ordinal number says, in words or in digits: of `the third` and of `3rd`, 3."""
    digits = _RANK_IN_DIGITS.fullmatch(text)
    if digits:
        return int(digits[1])
    rank = _RANK.fullmatch(text)
    if not rank:
        return None
    return _RANKS[rank["name"].lower()] + (NUMBER_WORDS[rank["tens"].lower()] if rank["tens"] else 0)


def counted(text: str) -> int:
    """The value of a number in digits, or in words: of `two thousand five hundred and ten`, 2510."""
    total = part = 0
    for word in _SPACE.split(text.lower()):
        if word == "hundred":
            part *= 100
        elif word in SCALES:
            total += part * 10 ** SCALES[word]
            part = 0
        elif word != "and":
            part += NUMBER_WORDS[word] if word in NUMBER_WORDS else int(word)
    return total + part
