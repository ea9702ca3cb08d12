"""What kind of thing an answer is, and its canonical text.

A `Form` is read once per text and cached. Containers are read to a small depth; anything that is
not recognised is an expression, which only the worker processes look into.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise, product
from math import isclose
from typing import Any

from sampleset.answers.maths.brackets import balanced, closing, split_top, too_deep
from sampleset.answers.maths.dates import read_date, read_time
from sampleset.answers.maths.intervals import (
    INFINITE,
    Stretch,
    are_apart,
    in_common,
    interval_text,
    stretches_of,
)
from sampleset.answers.maths.matrices import array_of_one_row, matrix_rows, scaled_entries, vector_entries
from sampleset.answers.maths.members import (
    ASSIGNMENT,
    MAX_SIGNS,
    NAME,
    NOT_A_NAME,
    PLUS_MINUS,
    RELATION,
    TURNED,
    are_numbered,
    both_signs,
    letters_of,
    members_of,
    names_of,
    ratio_name,
    ratio_text,
    with_group,
    with_integer,
    without_groups,
    without_thousands,
)
from sampleset.answers.maths.numerals import Numeral, read_numeral, read_plain, strip_unit
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.simple_forms import Form, Kind, notation_of, number_form
from sampleset.answers.maths.spelling import respell
from sampleset.answers.maths.tokens import squeeze
from sampleset.answers.maths.two_ways import CONSTANT, estimate, exact_of_two
from sampleset.answers.maths.words import FUNCTIONS, WORD, folded_words, in_notation, is_word

MAX_LENGTH = 1000
"""Characters; longer texts equal only themselves."""
MAX_PARTS = 64
"""Members of a list, tuple or set; longer ones are compared as text only."""
_MAX_NESTING = 4

_LETTER = lazy_pattern(r"\(? ?([A-Za-z]) ?\)?[.:)]?")
_OPTIONS = "ABCDEFGHJ"
_TUPLE_NAME = lazy_pattern(
    r"\( ?(\\?[A-Za-z]+(?:_\{\w+\})?(?: ?, ?\\?[A-Za-z]+(?:_\{\w+\})?)+) ?\) ?(?:=|\\in(?![A-Za-z])) ?"
)
_POINT_NAME = lazy_pattern(r"[A-Z] ?(?:: ?)?(?=\([^()]*,[^()]*\)$)")
_MEMBER = lazy_pattern(rf"{NAME} ?\\in(?![A-Za-z]) ?")
_ARITHMETIC = lazy_pattern(r"[\d .+*/^(){}$%-]+(?:\\(?:times|cdot|frac) ?[\d .+*/^(){}$%-]+)*")
_CALL = lazy_pattern(
    r"(?:(?!sin|cos|tan|cot|sec|csc|arc|log|ln|exp|sqrt)[A-Za-z]{1,8}"
    r"|\([fgh] ?\\circ ?[fgh]\))(?:_\{\w{1,4}\})? ?\([^()]{1,60}\)"
)
_ALGEBRAIC_SIDE = lazy_pattern(r"(?:[A-Za-z\d .+*/^(){}_-]|\\(?:cdot|times|frac|sqrt)(?![A-Za-z]))+")
_COUNTED = lazy_pattern(
    r"\d{1,9}!|\\binom\{ ?\d{1,9} ?\}\{ ?\d{1,9} ?\}"
    r"|(?:\\(?:gcd|lcm|max|min)|C|P|GCD|LCM) ?\( ?\d{1,12}(?: ?, ?\d{1,12}){1,9} ?\)"
)
_IMPLIED = lazy_pattern(r"\\(?:Rightarrow|implies|Longrightarrow)(?![A-Za-z])")
_LONE_NAME = lazy_pattern(r"\\?[A-Za-z]+(?:_\{\w+\})?(?:\([A-Za-z]\))?")
_VARIABLE = lazy_pattern(r"\\?[A-Za-z]+(?:_\{[A-Za-z0-9]+\})?(?:\([A-Za-z]\))?")
_AND = lazy_pattern(r"(?<![A-Za-z\\])and(?![A-Za-z])")
_OR = lazy_pattern(r"(?<![A-Za-z\\])or(?![A-Za-z])")
_UNEQUAL = lazy_pattern(rf"{NAME} ?\\ne(?![A-Za-z]) ?(.+)")
_CUP = lazy_pattern(r" ?\\cup(?![A-Za-z]) ?")
_CAP = lazy_pattern(r" ?\\cap(?![A-Za-z]) ?")
_REALS = lazy_pattern(
    r"\\mathbb\{R\}|(?:the )?(?:set of )?(?:all |any |every )?(?:the )?(?:real numbers?|reals)"
    r"|all (?:real )?x",
    re.IGNORECASE,
)
_WITHOUT = lazy_pattern(
    r"\\mathbb\{R\} ?(?:\\setminus|\\backslash|-|\\) ?\\\{(.+)\\\}"
    r"|(?:[Aa]ll |[Ee]very |[Aa]ny )?(?:[Rr]eal numbers?|[Rr]eals|x)"
    r" (?:except|but|other than|excluding|not equal to) (?:for )?(?:x ?(?:=|\\ne) ?)?"
    r"((?:[^a-z]|and (?:x ?=)?|or|\\pm)+)"
)
_RAYS = lazy_pattern(
    r"(?P<positive>\\mathbb\{R\}(?:_\{ ?> ?0 ?\}|[\^_]\{?\+\}?)"
    r"|(?:all )?(?:the )?positive (?:real numbers|reals))"
    r"|(?P<least>\\mathbb\{R\}_\{ ?\\ge ?0 ?\}|(?:all )?(?:the )?non-?negative (?:real numbers|reals))"
    r"|(?P<negative>\\mathbb\{R\}(?:_\{ ?< ?0 ?\}|[\^_]\{?-\}?)"
    r"|(?:all )?(?:the )?negative (?:real numbers|reals))"
)
_LESS = lazy_pattern(
    r"(\\mathbb\{R\}|[(\[][^()\[\]]+[)\]]) ?\\(?:setminus|backslash) ?(\\\{[^{}]+\\\}|[(\[][^()\[\]]+[)\]])"
)
_BUILDER = lazy_pattern(
    r"\\?\{ ?(\\?[A-Za-z]+)(?: ?\\in ?(?:\\mathbb\{R\}|R))? ?(?:\||:|\\mid(?![A-Za-z])|\\vert) ?"
    r"(.+?)(?: ?, ?\1 ?\\in ?\\mathbb\{R\} ?)?\\?\}",
    re.DOTALL,
)
_SET_OF = lazy_pattern(r"\\\{ ?(.+?) ?(?:\||:|\\mid(?![A-Za-z])) ?(.+?) ?\\\}", re.DOTALL)
_IN_INTEGERS = lazy_pattern(r"[a-z] ?\\in ?(?:\\mathbb\{Z\}|Z)")
_FRENCH = lazy_pattern(r"\](.+[,;].+)\[|\](.+[,;].+)\]|\[(.+[,;].+)\[")
_MISREAD = lazy_pattern(r"\d \d|\d ?_|\d\.\d*\.|\d[eE][+-]?\d|[:;$%#@?\"]|\.\.\.|\\hat[ijk]|\\approx")
_LONG_WORD = lazy_pattern(r"(?<![\\A-Za-z{])[A-Za-z]{4,}")
_ALIGNED = lazy_pattern(r"\\begin ?\{(?:aligned|align\*?|gathered|cases)\}(.*?)\\end ?\{\w+\*?\}", re.DOTALL)
_HOUR_AND_MINUTE = lazy_pattern(r"\d{1,2}[:h][1-9]\d")
_LINES = lazy_pattern(r"[^{}\\&]+=[^{}\\&]+(?:\\\\[^{}\\&]+=[^{}\\&]+){1,5}")
_RATIO = lazy_pattern(r"[^:]+(?: ?: ?[^:]+){1,5}")
_RATIO_IN_WORDS = lazy_pattern(r"(\d+(?:\.\d+)?)(?: is)? ?to ?(\d+(?:\.\d+)?)(?: ?to ?(\d+(?:\.\d+)?))?")
_NUMBERS_SIDE_BY_SIDE = lazy_pattern(r"-?\d{1,9}(?: -?\d{1,9}){1,63}")
_NAMED_SIDE_BY_SIDE = lazy_pattern(r"[A-Za-z] ?= ?-?[\d./]{1,20}(?: [A-Za-z] ?= ?-?[\d./]{1,20}){1,7}")
_GROUPED = lazy_pattern(r"-?\d{1,3}(?: \d{3})+")
_IN_GROUPS = lazy_pattern(r"\(-?\d{1,3}(?:,\d{3})*,000\)")
_QUOTED = lazy_pattern(r"'([^']*)'|\"([^\"]*)\"")
_WORD_FOR_CONSTANT = lazy_pattern(r"(?<=\+) ?(?:an? )?(?:arbitrary )?(?:constant|const\.?)(?![A-Za-z])")
_WORKING = lazy_pattern(
    r"^\\approx ?(?=[\d\\])|(?i:either) (?=.+ or )|(?i:both) (?=.+ and )|,? ?(?:only|\(only\)"
    r"|respectively)\.?$"
    r"|,? ?\(? ?(?:where |with )?[CcK] ?(?:\\in ?(?:\\mathbb\{R\}|R)"
    r"|(?:is |being )?(?:an? |any |the )?(?:arbitrary |real )?constant(?: of integration)?) ?\)?$"
    r"|,? ?(?:for (?:all|any|every) "
    r"|\\forall ?)(?:real )?[a-z]{1}(?: ?\\in ?(?:\\mathbb\{R\}|R))?$"
)


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
    plain = read_plain(answer)
    if plain:
        return number_form(plain)
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
    text = with_group(_WORKING.sub("", in_notation(text.strip())))
    french = _FRENCH.fullmatch(text)
    if french:
        text = f"({french[1]})" if french[1] else f"({french[2]}]" if french[2] else f"[{french[3]})"
    date = read_date(text)
    if date:
        return Form("date", date)
    time = read_time(text)
    if time:
        # `15:24` may be a ratio as well.
        sides = re.split("[:h]", text) if _HOUR_AND_MINUTE.fullmatch(text) else []
        return Form("time", time, parts=tuple(number_form(Numeral(Fraction(side))) for side in sides))
    letter = _LETTER.fullmatch(text)
    if letter:
        # An option may be written small; other letters are variables, R is not r, and i is no option.
        shown = letter[1].upper() if letter[1].upper() in _OPTIONS else letter[1]
        return Form("letter", shown, letter[1])
    number = read_numeral(text)
    if number:
        return number_form(number)
    if "," in text:
        text = without_groups(text)
    form = notation_of(text)
    if form:
        return form
    if r"\in" in text or "integer" in text:
        text = with_integer(text)
    if nesting < _MAX_NESTING and balanced(text.translate(TURNED)):
        exact = exact_of_two(text)
        form = (
            (_form(exact, nesting + 1) if exact else None)
            or _bracketed(text, nesting)
            or _listed(text, nesting)
            or _relation(text, nesting)
            or _ratio(text, nesting)
        )
        if form:
            return form
    words = folded_words(text)
    if words and words[0] == r"\emptyset":
        return Form("expression", words[0])
    if words:
        return Form("expression", text, text) if words[1] and not is_word(text) else Form("words", *words)
    bare = strip_unit(_WORD_FOR_CONSTANT.sub(" C", text))
    if bare != text and "C" not in bare and nesting < _MAX_NESTING:
        return _form(bare, nesting + 1)
    text = bare
    return Form("expression", squeeze(text), _engineers(text) if _algebraic(text) else "")


def _engineers(text: str) -> str:
    """The imaginary unit as `i` in `2+3j`, where j is the only letter."""
    letters = re.findall(r"\\?[A-Za-z]+", text)
    return text.replace("j", "i") if letters == ["j"] and ("+" in text or "-" in text[1:]) else text


def _algebraic(text: str) -> bool:
    """Whether the LaTeX grammar reads a text as it is meant.

    It takes `118 000` for a product, drops the base of `25_{6}`, adds `1 2` up and skips words.
    """
    if not text.isascii() or _MISREAD.search(text):
        return False
    return all(
        word in FUNCTIONS for word in _LONG_WORD.findall(text.replace(r"\begin", "").replace(r"\end", ""))
    )


def _bracketed(text: str, nesting: int) -> Form | None:
    """Tuple, interval, set, matrix or redundant parentheses around the whole text."""
    if _REALS.fullmatch(text):
        return _container("interval", [r"-\infty", r"\infty"], nesting, "(", ")")
    common = _CAP.split(text)
    if len(common) > 1 and all(balanced(piece.translate(TURNED)) for piece in common) and all(common):
        return _meeting([_form(piece, nesting + 1) for piece in common], nesting)
    union = _CUP.split(text)
    if not all(balanced(piece.translate(TURNED)) for piece in union):
        union = [text]
    if len(union) > 1 and all(piece.startswith(r"\{") and piece.endswith(r"\}") for piece in union):
        text = rf"\{{{', '.join(piece[2:-2] for piece in union)}\}}"
    elif len(union) > 1 and all(union):
        return _container("union", union, nesting)
    ray = _RAYS.fullmatch(text)
    if ray:
        ends = ("0", r"\infty") if ray.lastgroup != "negative" else (r"-\infty", "0")
        return _container("interval", [*ends], nesting, "[" if ray.lastgroup == "least" else "(", ")")
    without = _WITHOUT.fullmatch(text)
    if without:
        return _all_but(members_of(without[1] or without[2].replace("x =", "").replace("x=", "")), nesting)
    less = _LESS.fullmatch(text)
    if less:
        regions = [_form(side, nesting + 1).region or ("tex", side) for side in less.groups()]
        return Form("region", squeeze(text), region=("minus", *regions))
    assigned = ASSIGNMENT.match(text)
    if assigned and vector_entries(text[assigned.end() :]):
        return _form(text[assigned.end() :], nesting + 1)
    array = array_of_one_row(text)
    if array:
        return _form(array, nesting + 1)
    scaled = scaled_entries(text)
    if scaled and all(map(balanced, scaled)):
        return _container("parens", scaled, nesting)
    entries = vector_entries(text)
    vector = _container("parens", entries, nesting) if entries else None
    form = (
        _matrix(text, nesting)
        or (replace(vector, kind="vector") if vector else None)
        or _built(text, nesting)
    )
    if form:
        return form
    aligned = _ALIGNED.fullmatch(text)
    if aligned or _LINES.fullmatch(text):
        lines = [
            line.strip(" ,") for line in (aligned[1] if aligned else text).replace("&", " ").split(r"\\")
        ]
        lines = [line for line in lines if line]
        if len(lines) == 1 or len(names_of(lines)) == len(lines) > 1:
            return _form(", ".join(lines), nesting + 1)
        if lines and all(line.startswith("=") for line in lines[1:]):  # one chain over several lines
            return _form(" ".join(lines), nesting + 1)
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inner = text[2:-2]
        if "|" in inner or ":" in inner or not inner.strip():
            return None if inner.strip() else Form("expression", r"\emptyset")
        names = names_of(members_of(inner))
        if len(set(names)) > 1 and not are_numbered(names):
            return _listed(inner, nesting)
        return _in_braces(_container("list", members_of(inner), nesting))
    opening, ending = text[:1], text[-1:]
    if opening not in "([{" or ending not in ")]}" or len(text) < 3:
        return None
    if closing(text, 0) != len(text) - 1:  # `(0,1]` closes too
        return None
    members = split_top(text[1:-1], ",;")
    if opening + ending == "[]" and _NUMBERS_SIDE_BY_SIDE.fullmatch(text[1:-1].strip()):
        return _container("brackets", text[1:-1].split(), nesting)
    if opening == "{" and ending == "}":
        return (
            _in_braces(_container("list", members_of(text[1:-1]), nesting))
            if len(members) > 1
            else _form(text[1:-1], nesting + 1)
        )
    if "{" in opening or "}" in ending:
        return None
    if len(members) == 1 or _IN_GROUPS.fullmatch(text):
        members = [text[1:-1]]
        return _form(members[0], nesting + 1) if opening + ending == "()" else None
    if 0 < len(PLUS_MINUS.findall(text)) <= MAX_SIGNS and opening + ending == "()":
        return _container(
            "list", [f"({', '.join(each)})" for each in product(*map(both_signs, members))], nesting
        )
    ends = {member.replace(" ", "") for member in members}
    if len(members) == 2 and (opening + ending in ("(]", "[)") or ends & INFINITE):
        return _container("interval", members, nesting, opening, ending)
    kind: Kind = "parens" if opening == "(" else "brackets"
    if opening + ending == "[]" and all(_QUOTED.fullmatch(member) for member in members):
        members = [member[1:-1] for member in members]
    return _container(kind, members, nesting) if opening + ending in ("()", "[]") else None


def _in_braces(form: Form | None) -> Form | None:
    return replace(form, is_set=True) if form and form.kind == "list" else form


def _all_but(points: list[str], nesting: int) -> Form | None:
    """The real line without some points, as a union of open intervals."""
    forms = [_form(point, nesting + 1) for point in points]
    if not all(form.number for form in forms):
        inner = ",".join(points)
        return Form(
            "region",
            squeeze(rf"\mathbb{{R}}\setminus\{{{inner}\}}"),
            region=("tex", rf"\mathbb{{R}}\setminus\{{{inner}\}}"),
        )
    ordered = sorted(
        zip(forms, points, strict=True), key=lambda pair: pair[0].number.value if pair[0].number else 0
    )
    ends = [r"-\infty", *(point for _, point in ordered), r"\infty"]
    return _container("union", [f"({low},{high})" for low, high in pairwise(ends)], nesting)


def _matrix(text: str, nesting: int) -> Form | None:
    rows = matrix_rows(text)
    if not rows or len({len(row) for row in rows}) > 1 or len(rows) * len(rows[0]) > MAX_PARTS:
        return None
    if len(rows) == len(rows[0]) == 1:
        return _form(rows[0][0], nesting + 1)
    read_rows = [_container("brackets", [cell.strip() for cell in row], nesting + 1) for row in rows]
    if not all(read_rows):
        return None
    parts = tuple(row for row in read_rows if row)
    return Form("matrix", f"[{', '.join(part.text for part in parts)}]", "", None, parts)


def _built(text: str, nesting: int) -> Form | None:
    r"""`\{x \mid x \ge 0\}` as its condition; `\{x|x=3k, k \in \mathbb{Z}\}` as `3k` and the rest."""
    if not text.startswith((r"\{", "{")):
        return None
    match = _BUILDER.fullmatch(text)
    if match:
        name, condition = match[1], match[2].strip()
        inside = re.match(rf"{re.escape(name)} ?= ?([^=,]+),(.+)$", condition)
        if inside and _IN_INTEGERS.fullmatch(inside[2].strip()):
            return _form(f"{inside[1].strip()}, {inside[2].strip()}", nesting + 1)
        if inside and r"\in" in inside[2]:
            return Form("expression", squeeze(rf"\{{{inside[1]}|{inside[2]}\}}"))
        points = re.fullmatch(rf"{re.escape(name)} ?= ?([^=|]+)", condition)
        if points:
            return _in_braces(_container("list", members_of(points[1]), nesting))
        if name in condition and (
            "<" in condition or ">" in condition or re.search(r"\\(?:le|ge|ne)(?![A-Za-z])", condition)
        ):
            inner = _form(condition, nesting + 1)
            return inner if inner.region else None
        return None
    match = _SET_OF.fullmatch(text)
    if not match or "|" in match[1]:
        return None
    if _IN_INTEGERS.fullmatch(match[2]) and "," not in match[1] and match[1].strip() != match[2][0]:
        return _form(f"{match[1]}, {match[2]}", nesting + 1)
    bound = re.match(r"([a-z]) ?\\in(?![A-Za-z])", match[2])
    set_of = rf"\{{{match[1]}|{match[2]}\}}"
    if bound and "k" not in set_of.replace(bound[1], ""):
        set_of = re.sub(rf"(?<![A-Za-z\\]){bound[1]}(?![A-Za-z])", "k", set_of)
    return Form("expression", squeeze(set_of))


def _listed(text: str, nesting: int) -> Form | None:
    r"""A bare list: `1, -2`, `1 and 2`, `x = 1, y = 2`, `1 \pm \sqrt{2}`, `1 2 3`."""
    if _NAMED_SIDE_BY_SIDE.fullmatch(text):
        text = re.sub(r"(?<=[\d}]) (?=[A-Za-z\\])", ", ", text)
    if _NUMBERS_SIDE_BY_SIDE.fullmatch(text) and not _GROUPED.fullmatch(text):
        return _container("list", text.split(" "), nesting)
    name_match = _TUPLE_NAME.match(text)
    outside = text[name_match.end() if name_match else len(ratio_name(text)) :]
    if ", " in text or WORD.search(text):
        outside = without_thousands(outside)
    if _UNEQUAL.fullmatch(text) and len(re.findall(r"\\ne(?![A-Za-z])", text)) == 1:
        return None
    groups = [members_of(part) for part in split_top(outside, ";")]
    if len(groups) == 1 and " or " in outside and "," in outside:
        alternatives = [members_of(part) for part in outside.split(" or ")]
        groups = alternatives if all(names_of(group) for group in alternatives) else groups
    if len(groups) > 1 and all(len(group) > 1 and names_of(group) for group in groups):
        return _container("list", [", ".join(group) for group in groups], nesting)
    members = [member for group in groups for member in group]
    if len(members) < 2:
        return None
    points = [_POINT_NAME.match(member) for member in members]
    if all(points):
        members = [
            f"{point[0][0]} = {member[point.end() :]}"
            for point, member in zip(points, members, strict=True)
            if point
        ]
    conditions = _conditions(text, members, nesting)
    if conditions:
        return conditions
    names = names_of(members)
    if names and len(set(names)) > 1 and not are_numbered(names):
        if len(members) > MAX_PARTS:
            return None
        parts = tuple(_form(member, nesting + 1) for member in members)
        ordered = sorted(zip(names, (part.text for part in parts), strict=True))
        # `x = 1, y = 2` is not `x = 2, y = 1`: the values stand in the order of their names.
        return Form("parens", f"({', '.join(part for _, part in ordered)})", "", None, parts, names)
    return _container("list", members, nesting)


def _conditions(text: str, members: list[str], nesting: int) -> Form | None:
    """Conditions on one variable side by side: `x>2, x<5`, `x<-1 or x>1`."""
    if members and _MEMBER.match(members[0]) and all(r"\ne" in member for member in members[1:]):
        if len({name for member in members for name in letters_of(member) if len(name) == 1} - {"R"}) > 1:
            return None
    elif not all(RELATION.search(member) or r"\ne" in member for member in members):
        return None
    parts = [_form(member, nesting + 1) for member in members]
    if not all(part.region for part in parts):
        return None
    points = [_UNEQUAL.fullmatch(member) for member in members]
    if all(points):
        return _all_but([point[1] for point in points if point], nesting)
    alternative = bool(_OR.search(text))
    letters = [letters_of(member) - {"R"} for member in members]
    if all(len(names) == 1 for names in letters) and len(set[str].union(*letters)) > 1:
        # `x>2, y<5` is no stretch of one line.
        return Form("region", ", ".join(sorted(map(squeeze, members))))
    stretches = [stretches_of(part) for part in parts]
    if not alternative and (_AND.search(text) or any(points)):
        return _in_common(parts, stretches, members, nesting)
    if all(len(side) == 1 for side in stretches) and (
        alternative or are_apart([side for sides in stretches for side in sides])
    ):
        return _container("union", [interval_text(part) for part in parts], nesting)
    if len(parts) == 2 and all(part.kind == "interval" for part in parts) and not alternative:
        low, high = sorted(parts, key=lambda part: not part.parts[1].text.endswith("infty"))
        ends = low.parts[0].number, high.parts[1].number
        are_rays = low.parts[1].text == r"\infty" and high.parts[0].text == r"-\infty"
        if are_rays and ends[0] and ends[1] and ends[0].value < ends[1].value:
            inner = f"{low.text[0]}{low.parts[0].latex},{high.parts[1].latex}{high.text[-1]}"
            interval = _bracketed(inner, nesting + 1)
            return _as_inequality(interval) if interval else None
    if all(part.kind in ("interval", "union") for part in parts):
        return _container("list", members, nesting)
    joined = (" or " if alternative else ", ").join(sorted(part.text for part in parts))
    return Form("region", joined, region=("or" if alternative else "list", *(part.region for part in parts)))


def _meeting(parts: list[Form], nesting: int) -> Form | None:
    """What intervals, or sets, have in common; `None` where that takes more than comparing their ends."""
    if all(part.is_set for part in parts):
        shared = [
            part
            for part in parts[0].parts
            if all(part.text in [other.text for other in side.parts] for side in parts[1:])
        ]
        inner = ", ".join(part.latex or part.text for part in shared)
        return _form(rf"\{{{inner}\}}", nesting + 1) if shared else Form("expression", r"\emptyset")
    sides = [stretches_of(part) for part in parts]
    return _in_common(parts, sides, [], nesting) if all(sides) else None


def _in_common(
    parts: list[Form], sides: list[list[Stretch]], members: list[str], nesting: int
) -> Form | None:
    """What holds where all the conditions hold."""
    common = in_common(sides) if all(sides) else None
    if common is None:
        joined = " and ".join(sorted(map(squeeze, members)))
        return Form("region", joined, region=("and", *(part.region for part in parts)))
    if not common:
        return Form("expression", r"\emptyset")
    if len(common) > 1:
        return _container("union", [str(stretch) for stretch in common], nesting)
    if common[0].point is not None:
        return _form(rf"\{{{common[0].point}\}}", nesting + 1)
    interval = _bracketed(str(common[0]), nesting + 1)
    return _as_inequality(interval) if interval else None


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
        tree = (
            "or",
            *(
                part.region or ("tex", _set_text(part, member))
                for part, member in zip(parts, members, strict=True)
            ),
        )
        return Form(kind, r"\cup".join(texts), "", None, parts, region=tree)
    body = ", ".join(texts)
    brackets = {"list": "{}", "parens": "()", "brackets": "[]", "interval": opening + ending}[kind]
    region: tuple[Any, ...] = ()
    if kind in ("interval", "brackets") and len(members) == 2:
        region = ("tex", f"{brackets[0]}{members[0]},{members[1]}{brackets[1]}")
    # A list is written as a set: `{1, 234}` cannot be taken for the number 1,234.
    return Form(kind, f"{brackets[0]}{body}{brackets[1]}", "", None, parts, region=region)


def _set_text(part: Form, member: str) -> str:
    return member if part.kind not in ("number", "letter") or r"\{" in member else rf"\{{{member}\}}"


def _relation(text: str, nesting: int) -> Form | None:
    """Inequalities in one variable as intervals, and assignments as what is assigned."""
    *_, last = _IMPLIED.split(text)
    if last != text and ASSIGNMENT.match(last.strip()):
        return _form(last, nesting + 1)
    near = ASSIGNMENT.match(text)
    if near and r"\approx" in near[0]:
        return _form(text[near.end() :], nesting + 1)
    name_match = _TUPLE_NAME.match(text)
    if name_match:
        inner = _form(text[name_match.end() :], nesting + 1)
        names = tuple(squeeze(name) for name in split_top(name_match[1], ","))
        if inner.kind != "parens" or len(inner.parts) != len(names):
            return inner if inner.kind in ("list", "union") else None
        ordered = sorted(zip(names, (part.text for part in inner.parts), strict=True))
        return replace(inner, names=names, text=f"({', '.join(part for _, part in ordered)})")
    point = _POINT_NAME.match(text)
    if point:
        inner = _form(text[point.end() :], nesting + 1)
        return inner if inner.kind == "parens" and all(part.number for part in inner.parts) else None
    member = _MEMBER.match(text)
    if member:
        inner = _form(text[member.end() :], nesting + 1)
        return _as_inequality(inner)
    unequal = _UNEQUAL.fullmatch(text)
    if unequal and not RELATION.search(text) and "=" not in text:
        return _all_but(members_of(unequal[1]), nesting)
    if "=" in text:
        return _assigned(text, nesting)
    return _inequality(text, nesting)


def _as_inequality(form: Form) -> Form:
    """An open interval with finite ends, known to be one and no point."""
    if form.kind != "parens" or len(form.parts) != 2:
        return form
    low, high = (part.text for part in form.parts)
    region = ("tex", f"({form.parts[0].latex or low},{form.parts[1].latex or high})")
    return Form("inequality", f"{low}<x<{high}", "", None, (form,), region=region)


def _assigned(text: str, nesting: int) -> Form | None:
    """What a name is set equal to, or a calculation ends in; an equation stays one."""
    sides = [side.strip() for side in split_top(text.replace(r"\ne", "<"), "=")]
    left, right = " = ".join(sides[:-1]), sides[-1]
    assignment = ASSIGNMENT.match(text)
    if assignment and NOT_A_NAME.fullmatch(assignment[1].strip()):
        assignment = None
    is_said = _CALL.fullmatch(sides[0]) or (len(sides) > 2 and _ALGEBRAIC_SIDE.fullmatch(sides[0]))
    is_new = not assignment or RELATION.search(left)
    if len(sides) > 1 and is_new and is_said and all(map(_is_constant, sides[1:])):
        # `P(X > 2) = 1/6` and `a + b = 3 + 4 = 7` say what the left side is.
        return _form(right, nesting + 1) if _are_near(sides[1:]) else None
    if not all(sides) or RELATION.search(text) or r"\ne" in text:
        return None
    if (assignment is not None and (len(sides) > 2 or assignment[1].strip() == left)) or ratio_name(text):
        value = _form(right, nesting + 1)
        if value.kind in ("ratio", "time") and ":" in left:
            return replace(value, names=tuple(squeeze(name) for name in left.split(":")))
        return replace(value, equation=text) if len(sides) == 2 and assignment and not value.parts else value
    if all(map(_is_constant, sides)):
        return _form(right, nesting + 1)
    if len(sides) == 2 and _LONE_NAME.fullmatch(right):
        # `3 = x` says what x is.
        value = _form(left, nesting + 1)
        if value.number or CONSTANT.fullmatch(left):
            return replace(value, equation=text)
    return None


def _is_constant(side: str) -> bool:
    return bool(_ARITHMETIC.fullmatch(side) or CONSTANT.fullmatch(side) or _COUNTED.fullmatch(side))


def _are_near(sides: list[str]) -> bool:
    """Whether sides of a chain are equal, as far as they can be worked out here."""
    values = [value for side in sides if (value := estimate(side)) is not None]
    return all(isclose(value, values[0], rel_tol=0.01, abs_tol=1e-9) for value in values)


def _inequality(text: str, nesting: int) -> Form | None:
    pieces = [piece.strip() for piece in RELATION.split(text)]
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
    if not _VARIABLE.fullmatch(name.replace(" ", "")) or name in INFINITE:
        return _condition(text)
    if (
        any(_VARIABLE.fullmatch(end.replace(" ", "")) and end not in INFINITE for end in (low, high))
        and len(pieces) == 3
    ):
        return None
    opening, ending = "(" if first == "<" else "[", ")" if second == "<" else "]"
    interval = _bracketed(f"{opening}{low},{high}{ending}", nesting)
    if interval is None or len(interval.parts) != 2:
        return None
    form = _as_inequality(interval)
    # `y \ge 2x` is a condition on both.
    return replace(form, equation=text) if letters_of(low) | letters_of(high) else form


def _condition(text: str) -> Form | None:
    """An inequality that is not solved for its one variable: `2x-1 > 0`, `|x| < 3`."""
    letters = letters_of(text)
    # One of a higher degree may be the question over again.
    if len(letters) != 1 or len(next(iter(letters))) > 1 or not _algebraic(text) or "^" in text:
        return None
    return Form("region", squeeze(text), text, region=("tex", text))


def _ratio(text: str, nesting: int) -> Form | None:
    """`7:32`, `3 to 2`, in least terms where its members are numbers."""
    in_words = _RATIO_IN_WORDS.fullmatch(text)
    members = [part for part in in_words.groups() if part] if in_words else text.split(":")
    if not in_words and (
        ":" not in text or not _RATIO.fullmatch(text) or any(not balanced(member) for member in members)
    ):
        return None
    parts = [_form(member.strip(), nesting + 1) for member in members if member.strip()]
    if len(parts) != len(members) or any(part.kind in ("words", "list", "letter") for part in parts):
        return None
    values = [part.number.value for part in parts if part.number and not part.number.unit]
    if len(values) == len(parts):
        return Form("ratio", ratio_text(values), "", None, tuple(parts))
    return (
        Form("ratio", ":".join(part.text for part in parts), "", None, tuple(parts))
        if all(part.latex for part in parts)
        else None
    )
