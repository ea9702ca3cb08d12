"""Running text: its numbers, its first and last sentence, and the number that a sentence states."""

from __future__ import annotations

import re
from functools import lru_cache

from sampleset.answers.maths.patterns import lazy_pattern

_POWER = r"(?:(?: ?(?:×|\\times|\*|x) ?10)?(?:\^(?:\{-?\d{1,4}\}|-?\d{1,4}(?!\d|\.\d))|⁻?[⁰¹²³⁴-⁹]{1,4}))?"
"""`^6`, `²³`, and `× 10^6` before it."""
_COMMA = r"(?:,|\{,\}|,?\\[,!])"
"""Between thousands: `2,500`, `2{,}500`, `2\\,500`."""
_FRACTIONS = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
NUMBER_TEXT = (
    r"(?<![A-Za-z0-9_.,/])(?:(?<![)\]}])[-−–](?=[\d$€£₹.\\]))?"
    r"(?:\d{0,9} ?\\[dt]?frac ?(?:\{\d{1,9}\} ?\{\d{1,9}\}|\d\d(?!\d))"
    r"|(?!\$\d{0,9} ?\\[dt]?frac)[$€£₹]?(?:\d{1,2}/\d{1,2}/\d{4}"
    r"|\d{4}-\d\d-\d\d(?!\d)|\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)|\d{1,3}(?:\.\d{3}){2,6}(?![.,]?\d)"
    r"|(?<!\d )\d{1,3}(?:[ \u00a0\u202f]\d{3}){1,6}(?! ?\d)(?:[.,]\d+)?"
    rf"|\d+ \d{{1,3}}/\d{{1,3}}(?![\d/])|\d* ?[{_FRACTIONS}]"
    rf"|(?:\d{{1,3}}(?:{_COMMA}\d{{3}})+(?![\d,]\d)|\d+)"
    r"(?:\.\d+|\{,\}\d{1,2}(?!\d))?(?:[eE][+-]?\d{1,3})?"
    rf"{_POWER}|\.\d+))"
    r"(?: ?/ ?\d+(?![\d/]))?(?: ?\\?%|[万萬亿億만억]|千(?![克米瓦卡])"
    r"| (?:thousand|[mb]illion|trillion)(?![A-Za-z]))?"
)
"""A number in running text."""
NUMBER = lazy_pattern(NUMBER_TEXT)
MAX_SENTENCE = 1_000
_ABBREVIATIONS = r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)"
_SENTENCE_END = lazy_pattern(
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
_COMPARISON = lazy_pattern(
    rf"(?:,(?: which| that| i\.e\.,?)?(?: is| are| was| were)?|;| [–—-])"
    rf" (?:just |only |about |exactly )?{NUMBER_TEXT}"
    r"(?: [a-z-]{1,20}){0,2} (?:more|fewer|less|[a-z]{2,8}er) (?:[a-z-]{1,20} ){0,2}than\b"
    r"(?:(?! (?:is|are|equals|gives|makes) )[^\d=])*$"
)
"""What a number stands beside, behind it: `18 apples, 6 more than Jerry`."""
_STANDING = r"(?:approximately |about |around |only |exactly |at least |at most )?"
_OPENED = r"(?:\$(?=\d[\d,.]*\$)|\\\()?"
_EQUALS = lazy_pattern(
    rf"\b(?:equals|(?:is|are) equal to|we (?:get|obtain)(?=\D{{1,20}}{NUMBER_TEXT}\D*$))"
    rf" {_STANDING}{_OPENED}({NUMBER_TEXT})",
    re.IGNORECASE,
)
_IS = lazy_pattern(
    rf"\b(?:is|are|was|were|be|it['’]s|that['’]s) {_STANDING}{_OPENED}({NUMBER_TEXT})", re.IGNORECASE
)
_TOTAL = lazy_pattern(rf"\b(?:for|making|giving|makes) (?:a )?(?:grand )?total of {_STANDING}({NUMBER_TEXT})")
_PURPOSE = lazy_pattern(
    r" (?:in order )?to (?:make|earn|reach|raise|afford|cover|break even|get to|save up)\b[^,;]*$"
    r"|(?<=\d) [^\d,;]{1,40} for (?:the |his |her |their |its |it|him|them)[^\d,;]{0,40}"
    r" to (?:be|have|reach|grow)\b[^,;]*$"
)
"""What an amount is for: `7 candles to make a profit of $85`, `5 years for the tree to be 29 feet tall`."""
_PART_OF_THEM = lazy_pattern(
    rf", (?:and |with |of which )?(?:only |just )?{NUMBER_TEXT} (?:of (?:them|these|those|which)\b"
    r"|(?:[^\W\d_]+ )?(?:per|each|pro|par|por|je|en cada|in jede[rsmn]?|за|в)\b)[^,;]*$"
)
"""What is said of a part, or of one: `15 work, and 14 of them are odd`, `75 Karten, 25 pro Tag`."""
GRID = lazy_pattern(r"(?:-?\d{1,6}(?: -?\d{1,6}){1,60}[ ]?\n){1,60}-?\d{1,6}(?: -?\d{1,6}){1,60}")
"""Rows of numbers."""
_EACH = lazy_pattern(
    r"\beach (?!(?:for|of|at|with|in|on|to|and|or|is|are)\b)(?:(?:will|would|must|should) )?"
    rf"[a-z]{{3,10}}(?<!ing) (?:up )?{_STANDING}{_OPENED}({NUMBER_TEXT})"
)
"""What each has: `The 4 friends each pay $25`."""
SIDE = lazy_pattern(
    r"\b(?:after|before|because|since|when|if|with|in|for|from|by|to|as|than|while|at|where|who|that|each"
    r"|of|on|using|assuming|so that|per|equal|out"
    r"|für|mit|von|aus|pour|avec|après|dans|para|con|después|для|после|на|из|за)\b"
)
"""What follows it explains a number, or belongs to it."""
CLAUSE = lazy_pattern(r"\b(?:if|when|because|since|where|while|whereas|although|assuming)\b")
_PART_OF_A_WORD = lazy_pattern(r"(?:st|nd|rd|th)\b|-[A-Za-z]|:\d")
_CONTRAST = lazy_pattern(
    r"(?:, (?:and |but )?not|,? not(?= -?[$\d\\])(?<=\d not)"
    r"|,? (?:(?:and |but )not|rather than|instead of|unlike|as opposed to|contrary to)"
    r"|, so the answer is not)"
    r" (?:-?[$\d]|\\)[^,;\n]{0,40}$"
)
_HOUR = lazy_pattern(r"\d:$")
_DATE = lazy_pattern(r"\d{1,2}/\d{1,2}/\d{4}|\d{4}-\d\d-\d\d")


def main_clause(sentence: str) -> str:
    """Without an opening clause, with what follows ", so", and without or with only ", which is"."""
    so = list(_SO.finditer(sentence))
    if so and NUMBER.search(sentence, so[-1].end()):
        sentence = sentence[so[-1].end() :]
    opening = _OPENING.match(sentence)
    if opening and NUMBER.search(sentence, opening.end()):
        sentence = sentence[opening.end() :]
    for pattern in (_COMPARISON, _PART_OF_THEM):
        beside = pattern.search(sentence)
        if beside and NUMBER.search(sentence, 0, beside.start()):
            sentence = sentence[: beside.start()]
    sentence = without_purpose(sentence)
    main, _, which = sentence.partition(", which ")
    if NUMBER.search(main):
        return which if len(NUMBER.findall(which)) == 1 and _RESULTING.match(which) else main
    return sentence


def without_purpose(sentence: str) -> str:
    """Without what the amount that it states is needed for."""
    purpose = _PURPOSE.search(sentence)
    if not purpose or not NUMBER.search(sentence, 0, purpose.start()):
        return sentence
    return sentence[: purpose.start()]


def without_working(sentence: str) -> str:
    """Without parentheses that only show how: "17 sodas (9 + 8)", but not "the others (6)"."""
    result = _ASIDE.sub(
        lambda match: (
            match[0] if _BARE.fullmatch(match[1].removesuffix("\\")) and "%" not in match[1] else ""
        ),
        sentence,
    )
    return result if NUMBER.search(result) else sentence


def first_sentence(text: str) -> str:
    """The first sentence; a question keeps its mark."""
    match = _SENTENCE_END.search(text)
    if match and match[0] == "?":
        return text[: match.end()]
    return (text[: match.start()] if match else text).strip()


def last_sentence(text: str) -> str:
    """The last sentence, or its last 1,000 characters."""
    return _last_sentence(text[-MAX_SENTENCE:].rstrip())


@lru_cache(64)
def _last_sentence(text: str) -> str:
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if match.end() < len(text)]
    return text[ends[-1] if ends else 0 :]


def without_contrast(sentence: str) -> str:
    """A sentence without the number that it ends in and denies: of "15, not 12", "15"."""
    denied = _CONTRAST.search(sentence, max(0, len(sentence) - MAX_SENTENCE))
    before = sentence[: denied.start()] if denied else ""
    return before if NUMBER.search(last_sentence(before)) or "\\" in last_sentence(before) else sentence


def number_of_sentence(sentence: str) -> str | None:
    """The one number a sentence states; of several the one that the others explain, or `None`.

    It stands after "is" ("8 of them is 16"), or first with the others in side clauses
    ("$12 for 5 apples"); "4 cows and 3 hens" state two.
    """
    sentence = without_working(sentence[:MAX_SENTENCE])
    for _ in range(2):
        sentence = main_clause(sentence)
    numbers = [
        match
        for match in NUMBER.finditer(sentence)
        if not _PART_OF_A_WORD.match(sentence, match.end()) and not _HOUR.search(sentence, 0, match.start())
    ]
    if len(numbers) < 2:
        return numbers[0][0] if numbers else None
    dates = [match[0] for match in numbers if _DATE.fullmatch(match[0])]
    if dates:
        return dates[0] if len(set(dates)) == 1 else None
    clause = CLAUSE.search(sentence, numbers[0].end())
    if clause:
        sentence = sentence[: clause.start()]
        numbers = [match for match in numbers if match.end() <= clause.start()]
        if len(numbers) == 1:
            return numbers[0][0]
    for pattern in (_TOTAL, _EQUALS, _EACH):
        stated = [match[1] for match in pattern.finditer(sentence)]
        if stated:
            return stated[-1]
    stated = [match[1] for match in _IS.finditer(sentence)]
    if len(stated) == 1:
        return stated[0]
    between = sentence[numbers[0].end() : numbers[1].start()]
    return numbers[0][0] if SIDE.search(between) and between.strip() != "to" else None
