"""The text behind a marker: without markup and working, whether it is prose, whether it may be an answer."""

from __future__ import annotations

import re
from math import isclose

from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.forms.constants import estimate
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.boxes import MAX_ANSWER
from sampleset.answers.maths.reading.sentences import NUMBER
from sampleset.answers.maths.spelling.respelling import respell

MIN_PROSE = 3
"""Words; of fewer, no formula is prose."""
_MARKUP = ("*", "`", "$", '"', "\\")
_PLACEHOLDER = lazy_pattern(
    r"[.…\s_*?-]*|\\[lc]?dots|null|(?:your|the|final|my|insert|put|write|answer|number|letter|value|result|here|x|option"
    r"|choice|\\(?:(?:text|textbf|mathrm|boxed)(?=\W)|q?quad(?![a-z]))|\W)+"
    r"|\W*(?:your|insert|put|write)\b[^0-9]*",
    re.IGNORECASE,
)
_VARIABLE = lazy_pattern(r"\W*x\W*", re.IGNORECASE)
_PROSE_WORD = lazy_pattern(r"(?<![A-Za-z])(?!and\b|or\b)[A-Za-z]{2,}")
_MATHS = lazy_pattern(r"[\\^_={}<>]|\d[A-Za-z]|(?<![A-Za-z'’])[B-HJ-Zb-z](?![A-Za-z'’])")
_TIMES = lazy_pattern(r"(?<=\d) x (?=\d)")
EQUALS = lazy_pattern(r"(?:[=≈]|\\approx)\s*")
_ASIDE_AT_END = lazy_pattern(r"(\s*)\(((?:[^()\n]|\([^()\n]*\))*)\)[\s.]*$")
_STYLED = lazy_pattern(
    r"<(b|strong|i|em|u|p|span|code|mark|number|value)>(.*)</\1>", re.IGNORECASE | re.DOTALL
)


def without_markup(content: str) -> str:
    """Without markup around the whole."""
    content = content.strip()
    styled = _STYLED.fullmatch(content) if content.startswith("<") else None
    content = styled[2].strip() if styled else content
    if content[:1] not in _MARKUP and not content.endswith(".") and "**" not in content:
        return content
    for _ in range(3):
        for mark in ("**", "`", "$$", "$", '"'):
            inner = content[len(mark) : -len(mark)]
            if content.startswith(mark) and content.endswith(mark) and mark not in inner:
                content = inner.strip()
        if (
            content.startswith((r"\(", r"\["))
            and content.endswith((r"\)", r"\]"))
            and content.count(content[:2]) == 1
        ):
            content = content[2:-2].strip()
        content = content.strip().rstrip(".") if not content.endswith("...") else content
        content = content.removesuffix("**") if content.count("**") % 2 else content
    return content


def without_aside(content: str) -> str:
    """Without the parentheses at its end that hold a calculation, or the same number again: of
    "36 (12 + 24 = 36)" and "1/2 (0.5)", what stands before, if it is a number.
    """
    result = content
    while len(result) <= MAX_ANSWER and (aside := _ASIDE_AT_END.search(result)):
        before, inside = result[: aside.start()], aside[2]
        # "4 (x + 1)" is a product.
        if not EQUALS.search(inside) and not (aside[1] and same_number(before, inside)):
            break
        result = before
    return result if read(result).number else content


def same_number(a: str, b: str) -> bool:
    """Whether two texts are numbers of one value, or a calculation and the number it comes to."""
    first, second = read(a).number, read(b).number
    if first and second:
        return first.value == second.value
    number = first or second
    value = estimate(respell(b if first else a)) if number else None
    return number is not None and value is not None and isclose(value, float(number.value), rel_tol=1e-9)


def may_be_answer(text: str) -> bool:
    """Whether a text is short enough for an answer, and neither empty nor a placeholder."""
    if not text or len(text) > MAX_ANSWER:
        return False
    return not _PLACEHOLDER.fullmatch(text) or bool(_VARIABLE.fullmatch(text))


def is_prose(text: str) -> bool:
    """Whether a text is a sentence rather than mathematics: of a list too, "In all, 4 cows and 3 hens"."""
    kind = read(text).kind
    if kind in ("list", "expression", "parens"):
        return len(_PROSE_WORD.findall(text)) >= MIN_PROSE and not _MATHS.search(text)
    return kind == "words"


def calculated(content: str) -> str:
    """What a calculation in words comes to: of "3 days * 2 miles/day = 6 miles", "6 miles"."""
    *sides, last = _TIMES.sub("*", content).split("=")
    last = last.strip(" *")
    worked = sides and all(NUMBER.search(side) and not _MATHS.search(side) for side in sides)
    return last if worked and read(last).kind == "number" else content
