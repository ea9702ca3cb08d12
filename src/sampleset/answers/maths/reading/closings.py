"""What a text adds to its conclusion: a farewell, a check, an explanation, the place of an extreme."""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.sentences import MAX_SENTENCE, NUMBER, last_sentence

CONCLUSION = lazy_pattern(r"\b(?:therefore|thus|hence|so|round(?:ed)? (?:up|down))\b", re.IGNORECASE)
_ASIDE_AT_END = lazy_pattern(r"(?<=[.!])\s*\([^()\n]{1,200}\)[\s.]*$")
_START = r"(?:^|(?<=[.!:]))[ \t]*(?:(?:now|and|then|finally|also),? )?"
_FAREWELL = lazy_pattern(
    r"(?:^|(?<=[.!?]))\s*(?:(?:please )?let me know|(?:please )?feel free|I hope"
    r"|if you (?:have|need|want|would like)\b(?=[^.\n]{0,60}(?:questions?|help|steps?|explanation)))"
    r"\b[^.!\n]{0,160}[.!]?\s*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_CHECK = lazy_pattern(
    rf"{_START}(?:to (?:double[- ]?check|check|verify|confirm)\b|and indeed\b"
    r"|(?:check|verification)\W{0,3}:|(?:we|you) can (?:also )?(?:double[- ]?check|check|verify|confirm)\b"
    r"|let'?s (?:check|verify)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_EXPLANATION = lazy_pattern(
    rf"{_START}(?:to (?:get|find|calculate) (?:this|that)\b|to see (?:this|why)\b|explanation\W{{0,3}}:"
    r"|another way to\b|(?:we|you) can find this\b)",
    re.IGNORECASE | re.MULTILINE,
)
_WHERE = lazy_pattern(
    r", (?:which (?:is|are) )?(?:attained|achieved|reached|obtained|occurring|which occurs)"
    r" (?:at|when|if|for)\b[^.\n]*"
    r"|(?<=[\d$}]) (?:at|when|if|for) [$\\(]{0,2}[A-Za-z] ?= ?[^\s=.,;]{1,20}(?: and [^.\n]{1,30})?[\s.!]*$"
)
_EXTREME = lazy_pattern(
    r"\b(?:minimum|maximum|greatest|least|largest|smallest|highest|lowest)\b"
    r"[^.\n]{0,80}? (?:is|of|be|equals) \S{1,30}$",
    re.IGNORECASE,
)


def without_place(text: str) -> str:
    """The text without the place of an extreme at its end: "The minimum is 5, attained at x = 2"."""
    last = last_sentence(text)
    where = _WHERE.search(last)
    if not where or not (NUMBER.search(last, 0, where.start()) or "\\" in last[: where.start()]):
        return text
    if where[0][0] == " " and not _EXTREME.search(last[: where.start()]):
        return text  # "2x = 6 holds when x = 3"
    return text.rstrip()[: -len(last) + where.start()]


def without_closing(text: str) -> str:
    """The text up to a farewell, a check or an explanation, where the result is in the sentence before."""
    aside = _ASIDE_AT_END.search(text)
    if aside and NUMBER.search(last_sentence(text[: aside.start()])):
        text = text[: aside.start()]
    farewell = _FAREWELL.search(text, max(0, len(text) - MAX_SENTENCE))
    if farewell and NUMBER.search(last_sentence(text[: farewell.start()])):
        text = text[: farewell.start()]
    for pattern in (_CHECK, _EXPLANATION):
        for match in pattern.finditer(text):
            before = text[: match.start()].rstrip(" \n:")
            if pattern is _EXPLANATION and CONCLUSION.search(text, match.end()):
                break
            if NUMBER.search(last_sentence(before)):
                text = before
                break
    return text
