"""How the text of a list is cut: its members, both signs of each, and the names they are set equal to."""

from __future__ import annotations

import re
from itertools import product

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import balanced, split_top
from sampleset.answers.maths.spelling.tokens import squeeze

MAX_SIGNS = 3
_MOST_MEMBERS = 64
_WHOLE = lazy_pattern(r" ?-?\d{1,9} ?")
PLUS_MINUS = lazy_pattern(r"\\pm(?![A-Za-z])|^\\mp(?![A-Za-z])|^\+/?- ?(?=[\d\\])")
_AND = lazy_pattern(
    r",? ?(?<![A-Za-z\\])(?:and also|and|or else|or|as well as|und|oder|et|ou|или|и|또는"
    r"|(?<=\d )y(?= -?\d))(?![A-Za-z]) ?| ?(?<!\\)& ?"
)
NAME = (
    r"(?:\\?[A-Za-z]+ ?(?:_ ?\{? ?(?:\\triangle ?)?[A-Za-z0-9]+ ?\}?)? ?'{0,2} ?"
    r"(?:\( ?[A-Za-z](?: ?, ?[A-Za-z])* ?\))?|[A-Za-z][A-Za-z ]{0,40}"
    r"|(?:m ?(?=\\a))?\\[a-z]+ [A-Z][A-Z_{}0-9 ]{0,12}"
    r"|[fghnFGHP](?:\^\{-?\d\})?'{0,2} ?\([^=<>,;]{1,40}\)(?= ?=)"
    r"|\\lim_\{[^{}=<>]{1,40}\} ?[^=<>,;]{1,40}(?= ?=)"
    r"|[A-Z] ?\\(?:cap|cup|setminus|times) ?[A-Z](?= ?=)"
    r"|[A-Z]\^\{ ?(?:-1|T|-T|\\top|\\prime) ?\}(?= ?=)|[a-z] ?/ ?[a-z](?= ?=)"
    r"|\\frac\{ ?[A-Za-z]{1,3} ?\}\{ ?[A-Za-z]{1,3} ?\}|[A-Z]{2} ?/ ?[A-Z]{2}"
    r"|\|? ?\\overline\{[A-Z]{2}\} ?\|?|\|[A-Z]{2}\||\\(?:vec|overrightarrow) ?\{ ?[A-Za-z]{1,2} ?\})"
)
_VARIABLE = r"\\?[A-Za-z]+(?:_\{\w+\})?"
VARIABLE = lazy_pattern(rf"{_VARIABLE}(?:\([A-Za-z]\))?")
TUPLE_NAME = lazy_pattern(rf"\( ?({_VARIABLE}(?: ?, ?{_VARIABLE})+) ?\) ?(?:=|\\in(?![A-Za-z])) ?")
"""`(x, y) = ` before a tuple."""
ASSIGNMENT = lazy_pattern(rf"({NAME}) ?(?:=|\\approx(?![A-Za-z])|:=) ?(?=[^=])")
_NUMBERED = lazy_pattern(r"([A-Za-z]|\\[a-z]+)_\{?(\d)\}?")
_OF_TWO = lazy_pattern(
    r"(?:\\frac ?\{ ?([A-Za-z]{1,3}) ?\} ?\{ ?([A-Za-z]{1,3}) ?\}|([A-Za-z]{1,2}) ?/ ?([A-Za-z]{1,2})) ?="
)
"""A quotient of two names, before its value."""
NOT_A_NAME = lazy_pattern(
    r"\\(?:sin|cos|tan|cot|sec|csc|log|ln|exp)(?![a-z]).*|(?!no|is)[a-z]{2}|[bcdfghj-np-tv-z]{3}"
)
RELATION = lazy_pattern(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_MAX_SOLUTION = 300
_INTEGER_AFTER = lazy_pattern(
    r"[,;]? ?\(? ?(?:where |with |for (?:all |any |every |some |each )?|\\forall ?)?"
    r"(?:([a-zA-Z]) ?\\in ?(?:\\mathbb\{Z\}|Z)|([a-zA-Z]) (?:is |being )?(?:an|any|some|every) integer"
    r"|(?<=for |any |all |ery |ome |ere |ith )(?:an? )?integers? ([a-zA-Z])) ?\)?$"
)
_THOUSANDS_ALONE = lazy_pattern(r"(?<![\d.])(?:0\d*|\d{4,}),\d{3}(?!\d)|\.\d+,\d{3}(?!\d)")
_THOUSANDS = lazy_pattern(r"(?<=\d),(?=\d{3}(?!\d))")
_GROUP_OF_ZEROS = lazy_pattern(
    r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3}){0,8},0\d\d(?:,\d{3})*(?!,?\d)(?=.{0,80}[)\]}])"
)
"""`2,000` in `(2,000, 3,000)`: no member of a tuple begins with a nought."""
_RESULT_IN_GROUPS = lazy_pattern(r"(?<=\d)\}? ?= ?\d{1,3}(?:,\d{3})+$|= ?-?\d{1,3}(?:,\d{3})*,000$")
TURNED = {ord("]"): ")", ord("["): "("}


def both_signs(text: str) -> list[str]:
    r"""The texts that one with `\pm` stands for: `\mp` is the other sign, two `\pm` are independent."""
    count = len(PLUS_MINUS.findall(text))
    if not count or count > MAX_SIGNS or RELATION.search(text):
        return [text]
    assignment = ASSIGNMENT.match(text)
    text = text[assignment.end() :] if assignment else text
    choices = [("+", "-")] * count if r"\mp" not in text else [("+", "-")]
    texts: list[str] = []
    for signs in product(*choices):
        pieces = PLUS_MINUS.split(text)
        filled = pieces[0]
        for index, piece in enumerate(pieces[1:]):
            filled += (signs[index] if index < len(signs) else signs[0]) + piece
        filled = filled.replace(r"\mp", "-" if signs[0] == "+" else "+")
        texts.append(
            re.sub(
                r"(?:(?<=[\w})]) +)?([+-])(?: +(?=[\d\\A-Za-z(]))?",
                r"\1",
                filled.strip().removeprefix("+").strip(),
            )
        )
    return texts


def members_of(text: str) -> list[str]:
    """The members of a list: cut at commas, semicolons and words, both signs written out."""
    members = _without_dots([piece for part in split_top(text, ",;") for piece in _cut_at_words(part)])
    return [signed for member in members if member.strip() for signed in both_signs(member.strip())]


def _without_dots(members: list[str]) -> list[str]:
    """The members with those that the dots stand for: of `1, 2, ..., 5`, five."""
    if (
        len(members) < 4
        or members[-2].strip() != "..."
        or not all(map(_WHOLE.fullmatch, members[:-2] + members[-1:]))
    ):
        return members
    first, second, *rest = [int(member) for member in members[:-2]]
    last, step = int(members[-1]), second - first
    whole = range(first, last + (1 if step > 0 else -1), step or 1)
    is_run = len(whole) <= _MOST_MEMBERS and [first, second, *rest] == list(whole[: len(members) - 2])
    return [str(member) for member in whole] if is_run and whole[-1] == last else members


def _cut_at_words(text: str) -> list[str]:
    if r"\begin" in text:
        return [text]
    pieces: list[str] = []
    start = 0
    for match in _AND.finditer(text):
        if balanced(text[start : match.start()].translate(TURNED)):
            pieces.append(text[start : match.start()])
            start = match.end()
    return [*pieces, text[start:]]


def without_thousands(text: str) -> str:
    """Without the commas between thousands, but for those inside brackets: `(2,100)` is a pair."""
    pieces: list[str] = []
    depth = start = 0
    for index, character in enumerate(text):
        if character in "([{":
            if depth == 0:
                pieces.append(_THOUSANDS.sub("", text[start:index]))
                start = index
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                pieces.append(text[start : index + 1])
                start = index + 1
    return "".join([*pieces, _THOUSANDS.sub("", text[start:]) if depth <= 0 else text[start:]])


def with_integer(text: str) -> str:
    r"""A general solution in one spelling: of `n\pi, where n is an integer`, `k\pi, k \in \mathbb{Z}`."""
    match = _INTEGER_AFTER.search(text) if len(text) <= _MAX_SOLUTION else None
    body = text[: match.start()].strip(" ,;") if match else ""
    if not match or not body:
        return text
    name = match[1] or match[2] or match[3]
    letter = rf"(?<![A-Za-z\\]){name}(?![A-Za-z])"
    if not re.search(letter, body):
        return text
    if name != "k" and not re.search(r"(?<![A-Za-z\\])k(?![A-Za-z])", body):
        body, name = re.sub(letter, "k", body), "k"
    return rf"{body}, {name} \in \mathbb{{Z}}"


def without_groups(text: str) -> str:
    """`x = 1,200` without the comma: where every comma outside brackets stands between thousands."""
    text = _GROUP_OF_ZEROS.sub(lambda match: match[0].replace(",", ""), text)
    pieces = split_top(text, ",")
    if len(pieces) == 1 or _THOUSANDS_ALONE.search(text):
        return text
    outside = without_thousands(text)
    return outside if len(split_top(outside, ",")) == 1 else text


def are_reversed(first: str, second: str) -> bool:
    r"""Whether two equations name the same the other way round: `\frac{AE}{EC} = 2`, `\frac{EC}{AE} = 2`."""
    names = [_OF_TWO.match(side) for side in (first, second)]
    pairs = [[part for part in name.groups() if part] for name in names if name]
    return len(pairs) == 2 and pairs[0] != pairs[1] and pairs[0] == pairs[1][::-1]


def names_of(members: list[str]) -> tuple[str, ...]:
    """The name each member is set equal to; empty unless all have one."""
    matches = [ASSIGNMENT.match(member) for member in members]
    names = [squeeze(name[1]) for name in matches if name]
    return tuple(names) if len(names) == len(members) and not any(map(NOT_A_NAME.fullmatch, names)) else ()


def are_numbered(names: tuple[str, ...]) -> bool:
    """Whether the names only count, as `x_1, x_2` do for the roots of an equation."""
    matches = [_NUMBERED.fullmatch(name) for name in names]
    counted = [(name[1], int(name[2])) for name in matches if name]
    return len(counted) == len(names) and sorted(counted) == [
        (counted[0][0], 1 + at) for at in range(len(names))
    ]


def with_group(text: str) -> str:
    """A calculation with the thousands of its result run together: of `2^{10} = 1,024`, `2^{10} = 1024`."""
    return _RESULT_IN_GROUPS.sub(lambda match: match[0].replace(",", ""), text)


def letters_of(text: str) -> set[str]:
    """The names of variables in a text; `e` is a number."""
    return set(re.findall(r"(?<![\\A-Za-z])[A-Za-z]+", text)) - {"e"}
