"""What kind of thing an answer is, and its canonical text.

A `Form` is read once per text and cached. Containers are read to a small depth; anything that is
not recognised is an expression, which only the worker processes look into.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from sampleset.answers.maths.numerals import Numeral, read_numeral, strip_unit
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling import balanced, closing, respell, split_top, squeeze, too_deep

MAX_LENGTH = 1000
"""Characters; longer texts equal only themselves."""
MAX_PARTS = 64
"""Members of a list, tuple or set; longer ones are compared as text only."""
_MAX_NESTING = 4

Kind = Literal[
    "number", "letter", "words", "date", "list", "parens", "brackets", "interval", "union", "inequality",
    "expression", "opaque",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """One answer, read.

    Attributes:
        text: Canonical text; equal texts are equal answers.
        latex: What a computer algebra system may be given; empty where it has nothing to decide.
        parts: Members in the order written, for containers. For an inequality `a<x<b` with finite
            open ends: the one form of `(a, b)`, which may as well be a point.
    """

    kind: Kind
    text: str
    latex: str = ""
    number: Numeral | None = None
    parts: tuple[Form, ...] = ()


_DATE = lazy_pattern(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})")
_TIME = lazy_pattern(r"(\d{1,2}:\d{2}) ?(?:([AaPp])\.? ?[Mm]\.?)?")
_LETTER = lazy_pattern(r"\(? ?([A-Za-z]) ?\)?[.:)]?")
_FUNCTIONS = frozenset([
    "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "pi", "max", "min", "gcd",
    "lcm", "mod", "det", "arcsin", "arccos", "arctan",
])  # fmt: skip
_SHORT_WORDS = frozenset([
    "no", "am", "pm", "na", "ok", "an", "as", "at", "by", "he", "in", "is", "it", "of", "on", "or", "to",
    "up", "us", "we",
])  # fmt: skip
_WORDS = lazy_pattern(r"[\w '\".,:;!?&()/$%#@-]*")
_WORD = lazy_pattern(r"(?<![\w\\])[^\W\d_]{2,}(?![\w(^_])")
_AND = lazy_pattern(r",? ?(?<![A-Za-z\\])(?:and|or)(?![A-Za-z]) ?")
_NAME = (
    r"(?:\\?[A-Za-z]+ ?(?:_ ?\{? ?[A-Za-z0-9]+ ?\}?)? ?'{0,2} ?"
    r"(?:\( ?[A-Za-z](?: ?, ?[A-Za-z])* ?\))?|[A-Za-z][A-Za-z ]{0,40}|\\[a-z]+ [A-Z][A-Z_{}0-9 ]{0,12})"
)
_ASSIGNMENT = lazy_pattern(rf"({_NAME}) ?= ?(?=[^=])")
_MEMBER = lazy_pattern(rf"{_NAME} ?\\in(?![A-Za-z]) ?")
_ARITHMETIC = lazy_pattern(r"[\d .+*/^(){}$%-]+(?:\\(?:times|cdot|frac) ?[\d .+*/^(){}$%-]+)*")
_RELATION = lazy_pattern(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_VARIABLE = lazy_pattern(r"\\?[A-Za-z]+(?:_\{[A-Za-z0-9]+\})?(?:\([A-Za-z]\))?")
_CUP = lazy_pattern(r" ?\\cup(?![A-Za-z]) ?")
_MISREAD = lazy_pattern(r"\d \d|\d ?_|\d\.\d*\.|\d[eE][+-]?\d|[:;$%#@?\"]|\.\.\.")
_LONG_WORD = lazy_pattern(r"(?<![\\A-Za-z{])[A-Za-z]{4,}")
_THOUSANDS = lazy_pattern(r"(?<=\d),(?=\d{3}(?!\d))")
_INFINITE = frozenset((r"\infty", r"-\infty", r"+\infty"))


def canonical(answer: str) -> str:
    r"""Canonical text of an answer: one text for all ways of writing that need no algebra.

    Numbers become exact fractions (`0.5`, `\frac12` and `1/2` are `1/2`), words lose case and
    spaces, lists and sets are sorted. Total, pure, linear in the length, and idempotent up to
    the length limit.
    """
    return read(answer).text


@lru_cache(maxsize=16_384)
def _read(answer: str) -> Form:
    if len(answer) > MAX_LENGTH:
        return Form("opaque", answer)
    text = respell(answer)
    if len(text) > 2 * MAX_LENGTH or too_deep(text):
        return Form("opaque", answer)
    form = _form(text, 0)
    # Broken LaTeX may come out as a text that reads otherwise; such an answer is its own text.
    return form if _form(respell(form.text), 0).text == form.text else Form("expression", answer)


def read(answer: str) -> Form:
    """The form of an answer. Total; long texts are opaque."""
    answer = answer.strip()
    # Long texts stay out of the cache, which keeps its arguments alive.
    return _read(answer) if len(answer) <= MAX_LENGTH else Form("opaque", answer)


def read_as_list(answer: str) -> Form:
    """The form with every top-level comma read as a separator, so that `1,234` has two members."""
    text = respell(answer[:MAX_LENGTH])
    return _container("list", split_top(text, ",;"), 0) or _form(text, 0)


def _form(text: str, nesting: int) -> Form:
    text = text.strip()
    date = _DATE.fullmatch(text)
    if date:
        month, day, year = date.groups()
        return Form("date", f"{month:0>2}/{day:0>2}/{year}")
    time = _TIME.fullmatch(text)
    if time and time[2]:
        return Form("words", f"{time[1]}{time[2].lower()}m")
    letter = _LETTER.fullmatch(text)
    if letter:
        return Form("letter", letter[1].upper(), letter[1])
    number = read_numeral(text)
    if number:
        return _number_form(number)
    if nesting < _MAX_NESTING and balanced(text):
        found = _bracketed(text, nesting) or _listed(text, nesting) or _relation(text, nesting)
        if found:
            return found
    words = _WORD.findall(text)
    if (
        _WORDS.fullmatch(text)
        and words
        and not any(word.lower() in _FUNCTIONS for word in words)
        and any(len(word) > 2 or word.lower() in _SHORT_WORDS for word in words)
    ):
        folded = text.lower().strip(" .,:;!?\"'()").replace(" ", "")
        # A short word next to an expression may be a product of variables.
        latex = text if len(text) <= 4 and text.isascii() and text.isalpha() else ""
        return Form("words", folded or text, latex)
    text = strip_unit(text)
    return Form("expression", squeeze(text), text if _algebraic(text) else "")


def _algebraic(text: str) -> bool:
    """Whether the LaTeX grammar reads a text as it is meant.

    It takes `118 000` for a product, drops the base of `25_{6}`, adds `1 2` up and skips words.
    """
    if not text.isascii() or _MISREAD.search(text):
        return False
    return all(
        word in _FUNCTIONS for word in _LONG_WORD.findall(text.replace(r"\begin", "").replace(r"\end", ""))
    )


def _number_form(number: Numeral) -> Form:
    value = number.value
    if number.decimal and 10 ** len(str(value.denominator)) % value.denominator == 0:
        latex = f"{_decimal_text(number)}"
    elif value.denominator == 1:
        latex = str(value)
    else:
        sign = "-" if value < 0 else ""
        latex = f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    return Form("number", str(number), latex, number)


def _decimal_text(number: Numeral) -> str:
    """The exact decimal expansion, with a decimal point, of a value that has one."""
    value = abs(number.value)
    places = len(str(value.denominator))
    digits = str(int(value * 10**places)).rjust(places + 1, "0")
    sign = "-" if number.value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:].rstrip('0') or '0'}"


def _bracketed(text: str, nesting: int) -> Form | None:
    """Tuple, interval, set or redundant parentheses around the whole text."""
    union = _CUP.split(text)
    if len(union) > 1 and all(union):
        return _container("union", union, nesting)
    if text.startswith(r"\{") and text.endswith(r"\}"):
        members = split_top(text[2:-2], ",;")
        inner = text[2:-2]
        if "|" in inner or ":" in inner or not inner.strip():
            return None
        return _container("list", members, nesting)
    opening, ending = text[:1], text[-1:]
    if opening not in "([{" or ending not in ")]}" or len(text) < 3:
        return None
    if not _closes_at_end(text):
        return None
    members = split_top(text[1:-1], ",;")
    if opening == "{" and ending == "}":
        return _container("list", members, nesting)
    if "{" in opening or "}" in ending:
        return None
    if len(members) == 1:
        return _form(members[0], nesting + 1) if opening + ending == "()" else None
    ends = {member.replace(" ", "") for member in members}
    if len(members) == 2 and (opening + ending in ("(]", "[)") or ends & _INFINITE):
        return _container("interval", members, nesting, opening, ending)
    kind: Kind = "parens" if opening == "(" else "brackets"
    return _container(kind, members, nesting) if opening + ending in ("()", "[]") else None


def _closes_at_end(text: str) -> bool:
    """Whether the first bracket closes with the last character; `(0,1]` closes too."""
    end = closing(text, 0)
    return end == len(text) - 1


def _listed(text: str, nesting: int) -> Form | None:
    r"""A bare list: `1, -2`, `1 and 2`, `x = 1, y = 2`, `1 \pm \sqrt{2}`."""
    if text.count(r"\pm") == 1 and not _RELATION.search(text):
        plus, minus = text.replace(r"\pm", "+"), text.replace(r"\pm", "-")
        found = _ASSIGNMENT.match(text)
        start = found.end() if found else 0
        plus, minus = (side[start:].strip().removeprefix("+").strip() for side in (plus, minus))
        return _container("list", [plus, minus], nesting)
    if ", " in text or _WORD.search(text):
        text = _THOUSANDS.sub("", text)
    members = [piece for part in split_top(text, ",;") for piece in _AND.split(part)]
    members = [member.strip() for member in members if member.strip()]
    if len(members) < 2:
        return None
    names = [_ASSIGNMENT.match(member) for member in members]
    if all(names) and len({squeeze(name[1]) for name in names if name}) > 1:
        # `x = 1, y = 2` is not `x = 2, y = 1`: the names stay.
        if len(members) > MAX_PARTS:
            return None
        return Form("expression", ", ".join(sorted(squeeze(member) for member in members)))
    return _container("list", members, nesting)


def _container(
    kind: Kind, members: list[str], nesting: int, opening: str = "", ending: str = ""
) -> Form | None:
    if len(members) > MAX_PARTS or not all(members) or any(member.endswith("\\") for member in members):
        return None
    parts = tuple(_form(member, nesting + 1) for member in members)
    if len({part.number.label for part in parts if part.number and part.number.label}) > 1:
        # `5 apples and 3 pears` is not `3 apples and 5 pears`.
        return None
    if kind == "list" and len(parts) == 1:
        return parts[0]
    if kind == "list" and all(part.kind == "interval" for part in parts):
        kind = "union"
    texts = [part.text for part in parts]
    if kind in ("list", "union"):
        texts.sort()
    if kind == "union":
        return Form(kind, r"\cup".join(texts), "", None, parts)
    body = ", ".join(texts)
    brackets = {"list": "{}", "parens": "()", "brackets": "[]", "interval": opening + ending}[kind]
    # A list is written as a set: `{1, 234}` cannot be taken for the number 1,234.
    return Form(kind, f"{brackets[0]}{body}{brackets[1]}", "", None, parts)


def _relation(text: str, nesting: int) -> Form | None:
    """Inequalities in one variable as intervals, and assignments as what is assigned."""
    member = _MEMBER.match(text)
    if member:
        inner = _form(text[member.end() :], nesting + 1)
        if inner.kind == "parens" and len(inner.parts) == 2:
            low, high = (part.text for part in inner.parts)
            return Form("inequality", f"{low}<x<{high}", "", None, (inner,))
        return inner
    if "=" in text:
        sides = [side.strip() for side in split_top(text.replace(r"\ne", "<"), "=")]
        left, right = " = ".join(sides[:-1]), sides[-1]
        named = _ASSIGNMENT.match(text)
        simple = named is not None and (len(sides) > 2 or named[1].strip() == left)
        if not all(sides) or _RELATION.search(text) or r"\ne" in text:
            return None
        if simple or all(_ARITHMETIC.fullmatch(side) for side in sides[:-1]):
            return _form(right, nesting + 1)
        return None
    return _inequality(text, nesting)


def _inequality(text: str, nesting: int) -> Form | None:
    pieces = [piece.strip() for piece in _RELATION.split(text)]
    if len(pieces) not in (3, 5) or not all(pieces):
        return None
    if any(sign in (">", r"\ge") for sign in pieces[1::2]):
        if any(sign in ("<", r"\le") for sign in pieces[1::2]):
            return None
        flip = {">": "<", r"\ge": r"\le"}
        pieces = [flip.get(piece, piece) for piece in reversed(pieces)]
    if len(pieces) == 5:
        low, first, name, second, high = pieces
    elif _VARIABLE.fullmatch(pieces[0]) and not _VARIABLE.fullmatch(pieces[2]):
        low, first, name, second, high = r"-\infty", "<", *pieces
    else:
        low, first, name, second, high = *pieces, "<", r"\infty"
    if not _VARIABLE.fullmatch(name.replace(" ", "")) or name in _INFINITE:
        return None
    opening, ending = "(" if first == "<" else "[", ")" if second == "<" else "]"
    interval = _bracketed(f"{opening}{low},{high}{ending}", nesting)
    if interval is None or len(interval.parts) != 2:
        return None
    if interval.kind == "parens":
        low, high = (part.text for part in interval.parts)
        return Form("inequality", f"{low}<x<{high}", "", None, (interval,))
    return interval
