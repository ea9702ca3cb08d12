"""Running text: its numbers, its first and last sentence, and what of a sentence states something."""

from __future__ import annotations

import re
from functools import lru_cache

from sampleset.answers.maths.patterns import lazy_pattern

_POWER = r"(?:(?: ?(?:×|\\times|\*|x) ?10)?(?:\^(?:\{-?\d{1,4}\}|-?\d{1,4}(?!\d|\.\d))|⁻?[⁰¹²³⁴-⁹]{1,4}))?"
"""`^6`, `²³`, and `× 10^6` before it."""
_FRACTIONS = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
NUMBER_TEXT = (
    r"(?<![A-Za-z0-9_.,/])(?:(?<![)\]}])[-−–](?=[\d$€£₹.\\]))?"
    r"(?:\d{0,9} ?\\[dt]?frac ?\{\d{1,9}\} ?\{\d{1,9}\}|[$€£₹]?(?:\d{1,2}/\d{1,2}/\d{4}"
    r"|\d{4}-\d\d-\d\d(?!\d)|\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)|\d{1,3}(?:\.\d{3}){2,6}(?![.,]?\d)"
    r"|(?<!\d )\d{1,3}(?:[ \u00a0\u202f]\d{3}){1,6}(?! ?\d)(?:[.,]\d+)?"
    rf"|\d+ \d{{1,3}}/\d{{1,3}}(?![\d/])|\d* ?[{_FRACTIONS}]"
    r"|(?:\d{1,3}(?:,\d{3})+(?![\d,]\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?"
    rf"{_POWER}|\.\d+))"
    r"(?: ?/ ?\d+(?![\d/]))?(?: ?\\?%|[万萬亿億만억]| (?:thousand|[mb]illion|trillion)(?![A-Za-z]))?"
)
"""A number in running text."""
NUMBER = lazy_pattern(NUMBER_TEXT)
MAX_SENTENCE = 1_000
_ABBREVIATIONS = r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)"
SENTENCE_END = lazy_pattern(
    _ABBREVIATIONS + r"(?<![A-Z])[.!?](?=\s+[A-Z\"(*\\$]|\s*$)|(?<=\d)\.(?=\s)|[\n。！？]"
)
"""Where a sentence ends; of a question, the match is its mark."""
_ASIDE = lazy_pattern(r"\s?\(([^()\n]{1,200})\)")
_BARE = lazy_pattern(rf"\s*{NUMBER_TEXT}\s*")
_RESULTING = lazy_pattern(r"(?:is|are|equals|gives|leaves|makes|brings|comes)\b")
_OPENING = lazy_pattern(
    r"\W*(?:(?:so|therefore|thus|hence|finally|then|in total|altogether),? )*"
    r"(?:if|when|after|before|since|because|with|by|for|in|out of|of|assuming|given|as|at|on|to)\b"
    r"[^,]{1,200}, ",
    re.IGNORECASE,
)
_SO = lazy_pattern(r"[,;] (?:and )?so (?!that\b)|, (?:and )?(?:therefore|thus|hence) ", re.IGNORECASE)


def main_clause(sentence: str) -> str:
    """Without an opening clause, with what follows ", so", and without or with only ", which is"."""
    so = list(_SO.finditer(sentence))
    if so and NUMBER.search(sentence, so[-1].end()):
        sentence = sentence[so[-1].end() :]
    opening = _OPENING.match(sentence)
    if opening and NUMBER.search(sentence, opening.end()):
        sentence = sentence[opening.end() :]
    main, _, which = sentence.partition(", which ")
    if NUMBER.search(main):
        return which if len(NUMBER.findall(which)) == 1 and _RESULTING.match(which) else main
    return sentence


def without_working(sentence: str) -> str:
    """Without parentheses that only show how: "17 sodas (9 + 8)", but not "the others (6)"."""
    result = _ASIDE.sub(
        lambda match: match[0] if _BARE.fullmatch(match[1]) and "%" not in match[1] else "", sentence
    )
    return result if NUMBER.search(result) else sentence


def first_sentence(text: str) -> str:
    """The first sentence; a question keeps its mark."""
    match = SENTENCE_END.search(text)
    if match and match[0] == "?":
        return text[: match.end()]
    return (text[: match.start()] if match else text).strip()


def last_sentence(text: str) -> str:
    """The last sentence, or its last 1,000 characters."""
    return _last_sentence(text[-MAX_SENTENCE:].rstrip())


@lru_cache(64)
def _last_sentence(text: str) -> str:
    ends = [match.end() for match in SENTENCE_END.finditer(text) if match.end() < len(text)]
    return text[ends[-1] if ends else 0 :]
