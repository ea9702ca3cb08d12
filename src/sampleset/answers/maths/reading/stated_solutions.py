"""Several solutions that a text states at its end: "x = 2 or x = 3", "The roots are 2 and 3", one a line."""

from __future__ import annotations

import re

from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.sentences import MAX_SENTENCE, NUMBER_TEXT, last_sentence

_SHOWN = lazy_pattern(r"(?<=\\\[)\s+|(?<!\s)\s+(?=\\\])")
_MARKUP = lazy_pattern(r"[*`]{1,2}|\$|\\[()\[\]]")
_JOINER = lazy_pattern(r"\\(?:text|mathrm)\s?\{\s?(and|or|,)\s?\}|\\(?:q?quad(?![a-z])|[,;: ])")
_NAMED_ITEM = lazy_pattern(
    r"[ \t]*(?:[-*•]|\d{1,2}[.)]|(?:Solution|Root) \d:)[ \t]+(?=[$\\(*]{0,4}([A-Za-z]) ?= ?[^\s=]{1,40}\s*$)"
)
_SO = lazy_pattern(r"\W*(?:therefore|so|thus|hence)\b[^=\d]{0,40}:\W*", re.IGNORECASE)
_NAMED_VALUES = lazy_pattern(
    r"\b(?:the )?solution is:? \$?"
    r"((?:[a-z] ?= ?[^\s,=]{1,20},? (?:and )?){1,4}[a-z] ?= ?[^\s,=]{1,20}?)\$?[.\s]*$"
)
"""One solution in several letters: `The solution is x = 1, y = 5.`"""
_SOLUTIONS = lazy_pattern(r"\b(?:solutions|roots|zeros|zeroes|values|answers)\b", re.IGNORECASE)
PROSE = lazy_pattern(r"(?<![\\A-Za-z{])[A-Za-z]{3,}(?![A-Za-z]*\()|[\u0400-\u1fff\u3040-\ud7ff]{2}")
"""A word of a sentence."""
AND_OR = lazy_pattern(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])")
_PLURAL = lazy_pattern(
    r"\b(?:(?:solutions|roots|zeros|zeroes|answers|values)\b[^.\n]{0,40}?(?:are|:)|(?:solution )?set is"
    r"|(?<![A-Za-z])[a-z]\$? (?:is|can be|could be|must be|equals)(?: either)?(?=[^\n]{1,60} or ))\s*:?\s*"
    r"([^\n]{1,120}?)[.\s]*$",
    re.IGNORECASE,
)
_ALSO = r"(?:,? ?(?:(?:and|or|und|oder|et|ou|y|o|e|u|и|или) |[或和及] ?)|, ?)"
_VALUE = r"(?:[^\s,;=<>。]| [-+*/±] ){1,40}"
_ITEM = rf"(?:{NUMBER_TEXT}|\([^()\n]{{1,40}}\))"
_SAME_LETTER = lazy_pattern(
    rf"(?<![\w^*/+-])(?P<letter>[A-Za-z]) ?= ?(?P<first>{_VALUE})"
    rf"(?P<rest>(?:{_ALSO}(?P=letter) ?= ?{_VALUE}){{1,5}})"
    r"(?: (?:as|are) (?:the |our |its |both )?(?:[a-z]+ )?(?:solutions|roots|zeros|answers|values))?"
    r"[\s.!。]*$"
)
"""`x = 2 or x = 3` at the end of a sentence."""
_SEVERAL = lazy_pattern(
    r"(?:\b(?:numbers|[a-z-]{2,20}(?:s|ices)) (?:are|sind|sont|son|são|sono):? "
    r"|\b(?:solutions|roots|zeros|zeroes|x-intercepts|[A-Za-zö]{2,20}en sind|soluciones)(?: of)?:? )"
    rf"({_ITEM}(?:{_ALSO}{_ITEM}){{1,7}})[\s.!]*$"
)
"""Two numbers and more that a plural noun has, with nothing behind them: `The numbers are 2 and 3.`"""


def stated_solutions(text: str) -> str | None:
    """The solutions that a text lists at its end, by a letter or a plural noun before them."""
    text = _SHOWN.sub(" ", text[-MAX_SENTENCE:])
    sentence = _items_at_end(text) or last_sentence(text)
    plain = _plain(sentence)
    by_letter = _SAME_LETTER.search(plain)
    if by_letter:
        letter = by_letter["letter"]
        values = [by_letter["first"], *re.split(rf"{_ALSO}{letter} ?= ?", by_letter["rest"])[1:]]
        return ", ".join(value.rstrip(".") for value in values)
    named = _NAMED_VALUES.search(plain)
    if named:
        return named[1].replace(" and ", ", ").replace(",,", ",")
    several = _SEVERAL.search(plain)
    if several:
        return re.sub(rf"{_ALSO}(?=[-$\d.(√½])", ", ", several[1]) if "(" not in several[1] else several[1]
    plural = _PLURAL.search(sentence)
    if plural and read(plural[1]).kind == "list" and not PROSE.search(AND_OR.sub("", plural[1])):
        return plural[1]
    return None


def ends_in_solutions(text: str) -> bool:
    """Whether a text ends in `x = 2 or x = 3`."""
    return bool(_SAME_LETTER.search(_plain(text)))


def _plain(sentence: str) -> str:
    r"""Without markup: of `$x = 2, \quad x = 3$`, `x = 2, x = 3`."""
    plain = _MARKUP.sub("", _JOINER.sub(r" \1 ", sentence))
    return " ".join(plain.split()).replace(" ,", ",") if plain != sentence else sentence


def _items_at_end(text: str) -> str:
    """The solutions that a text ends in, one a line, as one line: `x = 7, x = -1`."""
    *lines, last = text.strip().splitlines() or [""]
    letter, items, heading = _NAMED_ITEM.match(last), list[str](), ""
    for line in [last, *reversed(lines)] if letter else []:
        item = _NAMED_ITEM.match(line)
        if item and letter and item[1] == letter[1]:
            items.insert(0, line[item.end() :].strip())
        elif line.strip():
            heading = line
            break
    return ", ".join(items) if len(items) > 1 and _announces(heading) else ""


def _announces(heading: str) -> bool:
    """Whether the line before a list of values says that they are solutions, or nothing."""
    return not heading or bool(_SOLUTIONS.search(heading) or _SO.fullmatch(heading))
