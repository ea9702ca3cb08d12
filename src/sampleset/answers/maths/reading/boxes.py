r"""Boxed answers: `\boxed{5}`, boxes side by side, `\boxed{x} = 5`, and boxes that are never closed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.sentences import first_sentence

MAX_ANSWER = 500
"""Characters; a longer text is not a final answer."""
_MAX_TRIES = 20
_MOST_BETWEEN = 80

_FORMULA_END = lazy_pattern(r"(?<!\\)\$|\\[)\]]")
_BRACE = lazy_pattern(r"\\.|[{}]", re.DOTALL)
_OPEN = lazy_pattern(r"(?<!\\)\{")
_CLOSE = lazy_pattern(r"(?<!\\)\}")
_BETWEEN_BOXES = lazy_pattern(
    r"(?:[\s$,;.&]|\\(?:quad|qquad|[,;: ]|[()\[\]])|\\text\s?\{\s*(?:and|or|,)\s*\}"
    r"|\b(?:and|or|as well as|and also|und|oder|et|ou|y|o|e|и|или)\b"
    r"|\(?[a-e]\)|\(?i{1,3}\)|(?<=\n)(?:\d{1,2}[.)]|[-*•] |(?:Part|Question) \(?\w\)?:)"
    r"|(?:[A-Za-z](?:_\{?\w\}?)?|\([a-z](?:, ?[a-z]){1,3}\))\s*=|\*\*|[。，、和或])*"
)
_EDGE = r"\s{0,4}(?:\$|\\[()])?\s{0,4}"
_RIGHT_OF_BOX = lazy_pattern(
    rf"{_EDGE}{_EDGE}(?:=|(?::|\\approx|≈|is equal to|is|equals)(?={_EDGE}[-\d\\]))"
    rf"{_EDGE}((?:[^$\n\\]|\\[^()\n]){{1,80}})"
)
_BEHIND_OPEN_BOX = lazy_pattern(r"\s{0,4}([-\d.,/]{1,30}(?<=\d)|\\[dt]?frac\{\d{1,9}\}\{\d{1,9}\})(?![\w^])")
_OPEN_BOX = lazy_pattern(
    r"(?:[A-Za-z] ?=|(?:\\text\s?\{)?\s*(?:the )?(?:final )?answer(?: is)?[:=]?\s*\}?[:=]?)\s*", re.IGNORECASE
)
"""A box that an answer should stand in: `\\boxed{x =} 5`, `\\boxed{Answer} 5`."""
_LEFT_OF_BOX = lazy_pattern(r"(?<![\w^}=.,/+*-])(-?\d[\d.,/]{0,30})\s?=\s?\$?$")
_NAME_IN_BOX = lazy_pattern(
    r"\s*(?!\\pi(?![a-z])|\\infty|e\s*$)(?:\\text\s?\{[A-Za-z ]{1,40}\}|\\[a-z]{2,8}"
    r"|[A-Za-z]\w?\([\w,]{1,12}\)"
    r"|\\angle ?[A-Z]{1,3}|\|[A-Za-z]{1,2}\||\\(?:overline|mathbf|vec|mathrm|bar|hat)\s?\{[A-Za-z]{1,3}\}"
    r"|\\[dt]?frac\{[A-Za-z]\}\{[A-Za-z]\}|[A-Za-z]/[A-Za-z]|[A-Za-z]'{1,2}\([\w,]{1,12}\)"
    r"|\\?(?:gcd|lcm|max|min)\([\w, ]{1,12}\)"
    r"|[A-Za-z](?:[\s_{}+\-'A-Za-z]|(?<=_)\d|(?<=_\{)\d{1,2}|\\[a-z]+(?![a-z])){0,30})\s*"
)
_DENIED = lazy_pattern(
    r"(?:\bnot|n['’]t|\brather than|\binstead of)(?: (?:be|is|equal to))?[\s$\\(*]{0,4}$", re.IGNORECASE
)
_MINUS = lazy_pattern(r"(?:^[-−]|(?:[=$]|\\[(\[])\s?[-−]\s?)$")
_FACTOR = lazy_pattern(r"\\sqrt\s?\{[^{}]{1,20}\}|\\pi(?![A-Za-z])")
_REMARK_IN_BOX = lazy_pattern(r"(?<=\S)[\s,]*\\text\w{0,2}\s?\{[\s,]*\(?(?:since|because|as)\b.*", re.DOTALL)
_ANSWER_IN_BOX = lazy_pattern(r"\s*(?:the )?(?:final )?answer(?: is)?\s*[:=]\s*", re.IGNORECASE)


def boxed_answers(text: str, truncated: bool = False, of_options: bool = False) -> Iterator[tuple[str, int]]:
    r"""Contents of `\boxed{}` and `\fbox{}`, last first, and where each ends; `\boxed 5` counts too.

    The last one may lack its closing brace: it ends with its formula or its line, unless the text was cut off
    there. Boxes with nothing between them but `and`, commas and names are the members of one answer.
    A letter `of_options` names one, no quantity: `\boxed{B} = 5`.
    """
    boxes = list(_boxes(text, truncated, of_options))
    index = 0
    while index < len(boxes):
        begin, end, content = boxes[index]
        contents = [content]
        index += 1
        while index < len(boxes) and _are_joined(text[boxes[index][1] : begin]):
            begin = boxes[index][0]
            contents.insert(0, boxes[index][2])
            index += 1
        different = list(dict.fromkeys(content.strip() for content in contents if content.strip()))
        yield (", ".join(different) if len(different) > 1 else contents[-1]), end


def _are_joined(between: str) -> bool:
    """Whether boxes with this between them are members of one answer."""
    return len(between) <= _MOST_BETWEEN and bool(
        between.strip(" $\n\\()[]") and _BETWEEN_BOXES.fullmatch(between)
    )


def _boxes(text: str, truncated: bool, of_options: bool) -> Iterator[tuple[int, int, str]]:
    """Where boxes begin and end, and what they hold, last first."""
    end = len(text)
    for _ in range(_MAX_TRIES):
        start = max(text.rfind(r"\boxed", 0, end), text.rfind(r"\fbox", 0, end))
        if start < 0:
            return
        end, is_last = start, end == len(text)
        if _DENIED.search(text, max(0, start - 40), start):
            continue
        opening = start + (len(r"\boxed") if text[start + 1] == "b" else len(r"\fbox"))
        rest = text[opening : opening + 4 * MAX_ANSWER]
        body = rest.lstrip()
        opening += len(rest) - len(body)
        if body.startswith("{"):
            close = _closing_brace(body)
            if close > 0:
                content = body[1:close]
                behind = _BEHIND_OPEN_BOX.match(text, opening + close + 1)
                if behind and _OPEN_BOX.fullmatch(content):
                    content = behind[1]
                content = _REMARK_IN_BOX.sub("", _ANSWER_IN_BOX.sub("", content, count=1))
                is_name = _NAME_IN_BOX.fullmatch(content) and not (of_options and len(content.strip()) == 1)
                right = _RIGHT_OF_BOX.match(text, opening + close + 1)
                if right and is_name:
                    # `\boxed{x} = 5`
                    content = first_sentence(right[1]).rstrip("., ")
                elif is_name and (left := _LEFT_OF_BOX.search(text[max(0, start - 40) : start])):
                    content = left[1]
                elif not of_options:
                    start, content = _with_surroundings(text, start, opening + close + 1, content)
                yield start, opening + close + 1, content
            elif is_last and _closing_brace(text[opening:].lstrip()) < 0:
                content, ended, _ = _FORMULA_END.sub("\n", body[1:].lstrip("$ "), 1).partition("\n")
                if ended or not truncated:
                    content += "}" * (len(_OPEN.findall(content)) - len(_CLOSE.findall(content)))
                    yield start, opening + len(content), content
        elif rest[:1] == " " and body:
            content = re.split(r"[\s$]", body, maxsplit=1)[0].rstrip(".,")
            yield start, opening + len(content), content


def _with_surroundings(text: str, start: int, end: int, content: str) -> tuple[int, str]:
    r"""Where it begins, and the content, with a sign before and a factor behind: `-\boxed{8}\sqrt{2}`."""
    minus, factor = _MINUS.search(text, max(0, start - 4), start), _FACTOR.match(text, end)
    if not (minus or factor):
        return start, content
    content = f"({content})" if re.search(r"[+-]", content) else content
    return minus.start() if minus else start, f"{'-' if minus else ''}{content}{factor[0] if factor else ''}"


def _closing_brace(text: str) -> int:
    """Place of the brace that closes the first one, or -1. Other brackets need not close: `{[0,1)}`."""
    depth = 0
    for match in _BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0 and match[0] == "}":
            return match.start()
    return -1
