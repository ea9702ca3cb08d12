"""Shares and dozens that a sentence states in words: `half a cup`, `two dozen eggs`."""

from __future__ import annotations

import re
from fractions import Fraction

from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.numbers.counts import SPELT_TEXT
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.sentences import NUMBER

_COUNTS = rf"{SPELT_TEXT}|\d{{1,9}} \d{{1,2}}/\d{{1,2}}|\d{{1,9}}\.\d{{1,4}}|\d+"
_SHARE = (
    r"(?:an? |one[- ]|two[- ]|three[- ]|four[- ]|five[- ]|six[- ]|seven[- ]|eight[- ]|nine[- ])"
    r"(?:half|halves|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?"
    r"|twelfths?|hundredths?)"
)
_AFTER_SHARE = (
    r"(?=(?: (?:an?|of|the|is|are|remains?|left|full)\b|[.!]|\s*$)"
    r"|(?:(?<=-half)|(?<=-third)|(?<=-thirds)|(?<=-quarter)|(?<=-quarters)|(?<=-fourths)) [a-z]{3})"
)
_DOZENS = lazy_pattern(
    rf"(?<!\w)(?:(?P<mixed>{_COUNTS}) and a half|(?P<count>{_COUNTS}|half an?|(?:a )?half|an?))"
    r"[ -]dozens?\b(?P<half> and a half)?",
    re.IGNORECASE,
)
_AND_PARTS = lazy_pattern(
    rf"(?<!\w)(?P<count>{_COUNTS}|an?)(?: [a-z]{{3,12}}(?= and an? (?:half|quarter)\b(?! (?:of"
    rf"|an?)\b)))? and "
    rf"(?P<share>half|\d{{1,3}}/\d{{1,3}}|{_SHARE})\b",
    re.IGNORECASE,
)
_DASHED = lazy_pattern(r"(?<![\w./-])(?P<count>\d{1,4})-(?P<share>\d{1,2}/\d{1,2})(?![\w/-])")
_PARTS = lazy_pattern(rf"\b(?P<share>half|{_SHARE}){_AFTER_SHARE}", re.IGNORECASE)
_A_HUNDRED = lazy_pattern(
    r"(?<![\w-])(?P<count>(?:half )?an? (?:hundred|thousand|million|billion))"
    r"(?! (?:and|times|thousand|million))\b",
    re.IGNORECASE,
)
_NUMERATORS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9,
}  # fmt: skip
_DENOMINATORS = {
    "half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10, "twelfth": 12, "hundredth": 100,
}  # fmt: skip

_NAMES_OF_PARTS = (
    "half", "quarter", "third", "fourth", "fifth", "sixth", "eighth", "tenth", "twelfth",
    "hundredth", "halves",
)  # fmt: skip


def _share(text: str) -> Fraction | None:
    """`half`, `three-fourths`, `1/2`."""
    if text[:1].isdigit():
        over, under = text.split("/")
        return Fraction(int(over), int(under)) if int(under) else None
    words = text.lower().replace("-", " ").split()
    return (
        None
        if not words
        else Fraction(
            _NUMERATORS[words[0]] if len(words) > 1 else 1, _DENOMINATORS[words[-1].removesuffix("s")]
        )
    )


def amount_in_words(sentence: str) -> str | None:
    """A share or a number of dozens that is the only amount of a sentence: `half a cup`, `two dozen eggs`."""
    lowered = sentence.lower()
    for pattern, words in (
        (_DOZENS, ("dozen",)),
        (_AND_PARTS, (" and ",)),
        (_A_HUNDRED, ("hundred", "thousand", "illion")),
        (_DASHED, ("-",)),
        (_PARTS, _NAMES_OF_PARTS),
    ):
        match = pattern.search(sentence) if any(word in lowered for word in words) else None
        if not match or NUMBER.search(sentence[: match.start()] + sentence[match.end() :]):
            continue
        amount = (
            _dozens(match)
            if pattern is _DOZENS
            else _count(match) + (_share(match.groupdict().get("share", "")) or 0)
        )
        return str(amount)
    return None


def _count(match: re.Match[str]) -> Fraction:
    if match.groupdict().get("count", "").lower() in ("a", "an"):
        return Fraction(1)
    count = read(match["count"]).number if "count" in match.groupdict() else None
    return count.value if count else Fraction(0)


def _dozens(match: re.Match[str]) -> Fraction:
    if match["mixed"]:
        number = read(match["mixed"]).number
        return (number.value if number else 0) * 12 + Fraction(6)
    count = match["count"].lower()
    amount = Fraction(1, 2) if "half" in count else Fraction(1) if count == "a" else _count(match)
    return amount * 12 + (6 if match["half"] else 0)
