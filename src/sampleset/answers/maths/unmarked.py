"""The answer of a text that marks none: an opening "Yes,", a repeated result, a number of its last sentence.

A guess by rule. It leaves out working in parentheses and a check that follows the conclusion, and
reads of "She needs 6 more to have 25" the 6.
"""

from __future__ import annotations

import re

from sampleset.answers.maths.forms import read
from sampleset.answers.maths.numerals import SPELT
from sampleset.answers.maths.patterns import lazy_pattern

NUMBER_TEXT = (
    r"(?<![\w.,/])(?:(?<![)\]}])[-−–](?=[\d$€£.]))?[$€£]?"
    r"(?:\d{1,2}/\d{1,2}/\d{4}|(?:\d{1,3}(?:,\d{3})+(?![\d,]\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?|\.\d+)"
    r"(?: ?/ ?\d+(?![\d/]))?(?: ?\\?%)?"
)
"""A number in running text."""
NUMBER = lazy_pattern(NUMBER_TEXT)
_MAX_SENTENCE = 1_000
_ABBREVIATIONS = r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)"
SENTENCE_END = lazy_pattern(_ABBREVIATIONS + r"(?<![A-Z])[.!?](?=\s+[A-Z\"(*\\$]|\s*$)|(?<=\d)\.(?=\s)|\n")
"""Where a sentence ends; of a question, the match is its mark."""
_RESULT = lazy_pattern(rf"(?:[=≈≥≤]|\\(?:approx|geq?|leq?))\s*({NUMBER_TEXT})")
_ASIDE = lazy_pattern(r"\s?\(([^()\n]{1,200})\)")
_ASIDE_AT_END = lazy_pattern(r"(?<=[.!])\s*\([^()\n]{1,200}\)[\s.]*$")
_BARE = lazy_pattern(rf"\s*{NUMBER_TEXT}\s*")
_OPENING_YES_NO = lazy_pattern(r"\W{0,4}(yes|no)\b(?=[,.;:!]|\W*$)", re.IGNORECASE)
_START = r"(?:^|(?<=[.!:]))[ \t]*(?:(?:now|and|then|finally|also),? )?"
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
_CONCLUSION = lazy_pattern(r"\b(?:therefore|thus|hence|so|round(?:ed)? (?:up|down))\b", re.IGNORECASE)
_STANDING = r"(?:approximately |about |around |only |exactly |at least |at most )?"
_EQUALS = lazy_pattern(rf"\b(?:equals|(?:is|are) equal to) {_STANDING}({NUMBER_TEXT})", re.IGNORECASE)
_IS = lazy_pattern(rf"\b(?:is|are|was|were|be) {_STANDING}({NUMBER_TEXT})", re.IGNORECASE)
_RESULTING = lazy_pattern(r"(?:is|are|equals|gives|leaves|makes|brings|comes)\b")
_TOTAL = lazy_pattern(rf"\b(?:for|making|giving|makes) (?:a )?(?:grand )?total of {_STANDING}({NUMBER_TEXT})")
_OPENING = lazy_pattern(
    r"\W*(?:(?:so|therefore|thus|hence|finally|then|in total|altogether),? )*"
    r"(?:if|when|after|before|since|because|with|by|for|in|out of|of|assuming|given|as|at|on|to)\b"
    r"[^,]{1,200}, ",
    re.IGNORECASE,
)
_SO = lazy_pattern(r"[,;] (?:and )?so (?!that\b)|, (?:and )?(?:therefore|thus|hence) ", re.IGNORECASE)
_SIDE = lazy_pattern(
    r"\b(?:after|before|because|since|when|if|with|in|for|from|by|to|as|than|while|at|where|who|that|each"
    r"|of|on|using|assuming|so that|per|equal|out)\b"
)
_CLAUSE = lazy_pattern(r"\b(?:if|when|because|since|where|while|assuming)\b")
_PART_OF_A_WORD = lazy_pattern(r"(?:st|nd|rd|th)\b|-[A-Za-z]|:\d")
_HOUR = lazy_pattern(r"\d:$")
_DATE = lazy_pattern(r"\d{1,2}/\d{1,2}/\d{4}")


def answer_of_unmarked(text: str) -> tuple[str, str] | None:
    """The answer and the rule that found it: `yes_no`, `last_result` or `last_number`."""
    found = _yes_or_no(text)
    if found:
        return found
    text = _without_check(text)
    return _last_result(text) or _last_number(text)


def number_of_sentence(sentence: str) -> str | None:
    """The one number a sentence states; of several the one that the others explain, or `None`.

    It stands after "is" ("8 of them is 16"), or first with the others in side clauses
    ("$12 for 5 apples"); "4 cows and 3 hens" state two.
    """
    sentence = _without_working(sentence[:_MAX_SENTENCE])
    for _ in range(2):
        sentence = _main_clause(sentence)
    found = [
        one
        for one in NUMBER.finditer(sentence)
        if not _PART_OF_A_WORD.match(sentence, one.end()) and not _HOUR.search(sentence, 0, one.start())
    ]
    if len(found) < 2:
        return found[0][0] if found else None
    dates = [one[0] for one in found if _DATE.fullmatch(one[0])]
    if dates:
        return dates[0] if len(set(dates)) == 1 else None
    clause = _CLAUSE.search(sentence, found[0].end())
    if clause:
        sentence = sentence[: clause.start()]
        found = [one for one in found if one.end() <= clause.start()]
        if len(found) == 1:
            return found[0][0]
    for pattern in (_TOTAL, _EQUALS):
        stated = [one[1] for one in pattern.finditer(sentence)]
        if stated:
            return stated[-1]
    stated = [one[1] for one in _IS.finditer(sentence)]
    if len(stated) == 1:
        return stated[0]
    between = sentence[found[0].end() : found[1].start()]
    return found[0][0] if _SIDE.search(between) and between.strip() != "to" else None


def _main_clause(sentence: str) -> str:
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


def _without_working(sentence: str) -> str:
    """Without parentheses that only show how: "17 sodas (9 + 8)", but not "the others (6)"."""
    kept = _ASIDE.sub(lambda found: found[0] if _BARE.fullmatch(found[1]) else "", sentence)
    return kept if NUMBER.search(kept) else sentence


def _without_check(text: str) -> str:
    """The text up to a check or an explanation of its result, which stands in the sentence before."""
    aside = _ASIDE_AT_END.search(text)
    if aside and NUMBER.search(last_sentence(text[: aside.start()])):
        text = text[: aside.start()]
    for pattern in (_CHECK, _EXPLANATION):
        for found in pattern.finditer(text):
            before = text[: found.start()].rstrip(" \n:")
            if pattern is _EXPLANATION and _CONCLUSION.search(text, found.end()):
                break
            if NUMBER.search(last_sentence(before)):
                text = before
                break
    return text


def last_sentence(text: str) -> str:
    """The last sentence, or its last 1,000 characters."""
    text = text[-_MAX_SENTENCE:].rstrip()
    ends = [found.end() for found in SENTENCE_END.finditer(text) if found.end() < len(text)]
    return text[ends[-1] if ends else 0 :]


def _yes_or_no(text: str) -> tuple[str, str] | None:
    """A last line, or a text of one paragraph, that opens with "Yes," or "No,"."""
    lines = text.strip().splitlines()
    found = _OPENING_YES_NO.match(lines[-1]) if lines else None
    return (found[1], "yes_no") if found else None


def _last_result(text: str) -> tuple[str, str] | None:
    """The last number that a calculation ends in (`x = 6258`) and the last sentence repeats.

    "Therefore, she invested $6258 at 8%" closes with a number that is not the answer.
    """
    near = text.rstrip()
    last = last_sentence(near)
    sentence = _without_working(last)
    said = {_value(number): number for number in NUMBER.findall(sentence)}
    for found in reversed(list(_RESULT.finditer(near[: len(near) - len(last)] + sentence))):
        if _value(found[1]) in said:
            return said[_value(found[1])].strip(), "last_result"
    return None


def _value(number: str) -> str:
    return read(number).text.split(" ")[0]


def _last_number(text: str) -> tuple[str, str] | None:
    """The number of the last sentence, else the last one, in digits or else in words."""
    sentence = _without_working(last_sentence(text))
    stated = number_of_sentence(sentence)
    for numbers in ([stated] if stated else [], NUMBER.findall(sentence), NUMBER.findall(text)):
        if numbers:
            return numbers[-1].strip(), "last_number"
    words = list(SPELT.finditer(text.lower()))
    if not words:
        return None
    near = [found for found in words if found.start() >= len(text) - len(last_sentence(text))]
    explained = len(near) > 1 and _SIDE.search(text[near[0].end() : near[1].start()])
    return (near[0] if explained else words[-1])[0], "last_number"
