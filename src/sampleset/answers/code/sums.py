r"""The sums that a text writes out, and whether they come out: `3 \times \$4 = 12`, `\frac{60}{2} = 30`,
`24 eggs - 7 eggs = 17 eggs`, `646 \div 128 = 5 \text{ remainder } 6`.

Every pattern is bounded, and only the last sums of a text are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from sampleset.answers.code.arithmetic import formula_value

_MOST = 400
"""Sums of a text that are looked at, its last ones."""
_FRACTION = r"\\[dt]?frac ?\{([^{}]{1,60})\} ?\{([^{}]{1,60})\}"
_SPELLINGS = tuple(
    (re.compile(pattern), written)
    for pattern, written in (
        (r"\\(?:text|mathrm|textbf|mbox)\{([^{}]{0,60})\}", r" \1"),
        (r"\\?\$|\\[!,;: ]|\\left|\\right", ""),
        # Twice, for one within another.
        (_FRACTION, r"((\1)/(\2))"),
        (_FRACTION, r"((\1)/(\2))"),
        (r"\\%", "%"),
        (r"\{,\}", ","),
        (r"\\times|\\cdot|[×·⋅]", "*"),
        (r"\\div|÷", "/"),
        (r"[−–]", "-"),
        (r"\\approx|≈", "="),
        (r"(?<=[\d)%]) ?x ?(?=[\d(])", " * "),
        (r"(\d/\d{1,4}|[%)]) of (?=[\d(])", r"\1 * "),
        (r"/ (\d{1,4}/\d{1,4})(?![\d/.])", r"/ (\1)"),
        (r"\^ ?\{?(\d{1,2})\}?", r"**\1"),
        # Emphasis in Markdown stands where no power can.
        (r"(?<![\w)])\*\*|\*\*(?![\w(])", " "),
        (r"[ \t]+", " "),
    )
)
_UNIT = re.compile(
    r"(?<=[\d)])((?: ?/ ?[a-zA-Z]{2,15}| [a-zA-Z]{2,15}(?:/[a-zA-Z]{1,15})?){1,4})"
    r"(?= ?(?:[-+*/=).,;\]\\\n]|\Z))"
)
_NO_UNIT = re.compile(
    r" (?:and|are|by|cents?|equals|for|from|is|less|minus|more|of|or|plus|remainder|so|than|times|to|was|were"
    r"|with)\b"
)
_NUMBER = r"(?:\d{1,12}(?:,\d{3}){0,4}(?:\.\d{1,9})?|\.\d{1,9})%?"
_TERM = rf"[-(]{{0,4}}{_NUMBER}\){{0,4}}"
_SIDE = rf"{_TERM}(?: ?(?:\*\*|[-+*/]) ?{_TERM}){{0,12}}"
_SUM = re.compile(
    # The end of a longer sum, after another sign, is no sum by itself, and nor is its beginning.
    rf"(?<![\w.,)/*+^({{-])(?<![-/*+^\d] )({_SIDE}(?: ?=+ ?{_SIDE}){{1,9}})"
    r"(?![\w(^{%]|\\[a-zA-Z]|[.,]\d| ?[(+*/]| ?-+ ?\d)"
)
_LONE = re.compile(rf"[-(]{{0,4}}({_NUMBER})\){{0,4}}")
_FIRST = re.compile(rf"[-(]{{0,4}}({_NUMBER})")
_QUOTIENT = re.compile(r"\({0,4}(\d{1,12})\){0,4} ?/ ?\({0,4}(\d{1,12})\){0,4}")
_REMAINDER = re.compile(r"[^\n\d]{0,60}remainder[^\n\d]{0,30}(?:(\d{1,12})(?!\d| ?[-+*/^\\]))?")
_ADDED_PERCENT = re.compile(r"[-+] ?[\d.,]{1,16}%(?! ?\*)")
_NO_PERCENT = re.compile(r"\d(?![\d.,%])")
_PERCENT = re.compile(r"(\d|\.)%")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")


@dataclass(frozen=True, slots=True)
class WrittenSum:
    """Two sides that a text sets equal, at least one of which is a calculation.

    Attributes:
        left: What the left side comes to.
        right: What the right side comes to.
        comes_out: Whether they are equal, to the digits written.
        has_result: Whether the right side is one number, the result that the text states.
    """

    left: float
    right: float
    comes_out: bool
    has_result: bool


@lru_cache(4096)
def written_sums(text: str) -> tuple[WrittenSum, ...]:
    """The sums of a text in order. `1 + 2 = 3 * 4 = 12` are two that come out."""
    plain = _plainly(text)
    return tuple(found for match in list(_SUM.finditer(plain))[-_MOST:] for found in _sums_of(match, plain))


def _plainly(text: str) -> str:
    """A text with its calculations in plain signs and without units of measure."""
    for pattern, written in _SPELLINGS:
        text = pattern.sub(written, text)
    return _UNIT.sub(_without_unit, text)


def _without_unit(match: re.Match[str]) -> str:
    """Nothing for the words behind a term or a result; the words behind a number by itself stay."""
    text, start, end = match.string, match.start(), match.end()
    before = text[max(0, start - 24) : start].rstrip("0123456789.,() ")[-1:]
    after = text[end : end + 2].strip()[:1]
    is_part = bool(after and after in "+-*/)") or bool(before and before in "=+-*/")
    return "" if is_part and not _NO_UNIT.match(match[1]) else match[0]


def _sums_of(match: re.Match[str], text: str) -> Iterator[WrittenSum]:
    sides = [side.strip() for side in re.split("=+", match[1])]
    values = [_value(side, number == 0, number == len(sides) - 1) for number, side in enumerate(sides)]
    for number, ((left, value), (right, other)) in enumerate(pairwise(zip(sides, values, strict=True)), 2):
        is_result = bool(_LONE.fullmatch(right))
        if value is None or other is None or (is_result and _LONE.fullmatch(left)):
            continue
        quotient = _QUOTIENT.fullmatch(left) if is_result and int(other) == other else None
        rest = _REMAINDER.match(text, match.end()) if quotient and number == len(sides) else None
        if quotient and rest:
            whole, remainder = divmod(int(quotient[1]), int(quotient[2]))
            comes_out = other == whole and rest[1] in (None, str(remainder))
        elif quotient:
            # How often one whole number is in another may leave a rest, or take one more.
            comes_out = abs(value - other) < 1
        else:
            comes_out = _come_to_the_same(left, value, right, other) or _goes_on(value, right)
        yield WrittenSum(value, other, comes_out, is_result)


def _value(side: str, is_first: bool, is_last: bool) -> float | None:
    """What a side comes to; a bracket that opens before the sum or closes behind it is none of it.

    `100 + 6%` may mean 106 or 100.06, and is not read.
    """
    surplus = side.count("(") - side.count(")")
    if surplus > 0 and is_first and side.startswith("(" * surplus):
        side = side[surplus:]
    elif surplus < 0 and is_last and side.endswith(")" * -surplus):
        side = side[:surplus]
    elif surplus:
        return None
    if _ADDED_PERCENT.search(side) and _NO_PERCENT.search(side):
        return None
    side = _LEADING_ZEROS.sub("", side.replace(",", ""))
    return formula_value(_PERCENT.sub(r"\1/100", side))


def _come_to_the_same(left: str, value: float, right: str, other: float) -> bool:
    """Whether two sides are equal to the digits of a lone one, a percentage also by its face."""
    lone = [side for side in (left, right) if _LONE.fullmatch(side)]
    decimals = max(_decimals(side) for side in lone or (left, right))
    reach = 0.5 * 10.0**-decimals + 1e-9 * abs(value)
    faces = [other, 100 * other] if lone and right.endswith("%") else [other]
    return any(abs(value - face) <= reach for face in faces)


def _decimals(side: str) -> int:
    return max((len(digits) for digits in re.findall(r"\.(\d{1,9})", side)), default=0)


def _goes_on(value: float, right: str) -> bool:
    """Whether a chain goes on with what came out: `2 + 3 = 5 * 4`."""
    first = None if _LONE.fullmatch(right) else _FIRST.match(right)
    number = formula_value(_PERCENT.sub(r"\1/100", first[1].replace(",", ""))) if first else None
    return number is not None and abs(value - number) <= 1e-9 * max(1.0, abs(value))
