"""What kind of thing an answer is, and its canonical text.

A `Form` is read once per text and cached. Containers are read to a small depth; anything that is
not recognised is an expression, which only the worker processes look into.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from sampleset.answers.maths.forms.constants import CONSTANT, are_near, is_constant
from sampleset.answers.maths.forms.containers import (
    MAX_PARTS,
    NUMBERS_SIDE_BY_SIDE,
    container,
    in_braces,
    in_brackets,
    matrix_form,
    named_values,
)
from sampleset.answers.maths.forms.matrices import (
    array_of_one_row,
    grid_as_rows,
    scaled_entries,
    vector_entries,
)
from sampleset.answers.maths.forms.members import (
    ASSIGNMENT,
    NOT_A_NAME,
    RELATION,
    TUPLE_NAME,
    TURNED,
    VARIABLE,
    are_numbered,
    members_of,
    names_of,
    with_group,
    with_integer,
    without_groups,
    without_thousands,
)
from sampleset.answers.maths.forms.ratios import ratio_form, ratio_name
from sampleset.answers.maths.forms.regions import (
    ELEMENT_OF,
    UNEQUAL,
    all_but,
    as_inequality,
    conditions_form,
    inequality_form,
    intersection,
    reals_form,
    set_by_condition,
)
from sampleset.answers.maths.forms.simple_forms import (
    Form,
    PartReader,
    expression_form,
    notation_of,
    number_form,
    plain_form,
)
from sampleset.answers.maths.forms.two_ways import exact_of_two
from sampleset.answers.maths.forms.words import WORD, folded_words, in_notation, is_word
from sampleset.answers.maths.numbers.numerals import read_plain
from sampleset.answers.maths.numbers.unit_words import unit_apart
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import balanced, split_top, too_deep
from sampleset.answers.maths.spelling.respelling import respell
from sampleset.answers.maths.spelling.tokens import squeeze

MAX_LENGTH = 1000
"""Characters; longer texts equal only themselves."""
_MAX_NESTING = 4
_POINT_NAME = lazy_pattern(r"[A-Z] ?(?:: ?)?(?=\([^()]*,[^()]*\)$)")
_CALL = lazy_pattern(
    r"(?:(?!sin|cos|tan|cot|sec|csc|arc|log|ln|exp|sqrt)[A-Za-z]{1,8}"
    r"|\([fgh] ?\\circ ?[fgh]\))(?:_\{\w{1,4}\})? ?\([^()]{1,60}\)"
)
_ALGEBRAIC_SIDE = lazy_pattern(r"(?:[A-Za-z\d .+*/^(){}_-]|\\(?:cdot|times|frac|sqrt)(?![A-Za-z]))+")
_IMPLIED = lazy_pattern(r"\\(?:Rightarrow|implies|Longrightarrow)(?![A-Za-z])")
_CUP = lazy_pattern(r" ?\\cup(?![A-Za-z]) ?")
_CAP = lazy_pattern(r" ?\\cap(?![A-Za-z]) ?")
_FRENCH = lazy_pattern(r"\](.+[,;].+)\[|\](.+[,;].+)\]|\[(.+[,;].+)\[")
_ALIGNED = lazy_pattern(r"\\begin ?\{(?:aligned|align\*?|gathered|cases)\}(.*?)\\end ?\{\w+\*?\}", re.DOTALL)
_LINES = lazy_pattern(r"[^{}\\&]+=[^{}\\&]+(?:\\\\[^{}\\&]+=[^{}\\&]+){1,5}")
_NAMED_SIDE_BY_SIDE = lazy_pattern(r"[A-Za-z] ?= ?-?[\d./]{1,20}(?: [A-Za-z] ?= ?-?[\d./]{1,20}){1,7}")
_WORD_FOR_CONSTANT = lazy_pattern(r"(?<=\+) ?(?:an? )?(?:arbitrary )?(?:constant|const\.?)(?![A-Za-z])")
_WORKING = lazy_pattern(
    r"^\\approx ?(?=[\d\\])|(?i:either) (?=.+ or )|(?i:both) (?=.+ and )|,? ?(?:only|\(only\)"
    r"|respectively)\.?$|(?<=[\w)}]) ?:$"
    r"|(?<=[\w)}])(?:, ?| ?\(| ) ?(?:where |with )?[A-Za-z] ?(?:\\in ?(?:\\mathbb\{R\}|R)"
    r"|(?:is |being )?(?:an? |any |the |some )?(?:arbitrary |real )?constant(?: of integration)?) ?\)?$"
    r"|,? ?\(? ?for (?:some|any|every|an) (?:arbitrary |real )?constant [A-Za-z] ?\)?$"
    r"|,? ?(?:for (?:all|any|every) "
    r"|\\forall ?)(?:real )?[a-z]{1}(?: ?\\in ?(?:\\mathbb\{(?:[RN]\}|Z\}\^\{\+\})|R))?$"
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
    text = respell(grid_as_rows(answer) if "\n" in answer else answer)
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
    return container("list", split_top(text, ",;"), PartReader(_form, 0)) or _form(text, 0)


def _form(text: str, nesting: int) -> Form:
    text = with_group(_WORKING.sub("", in_notation(text.strip())))
    french = _FRENCH.fullmatch(text)
    if french:
        text = f"({french[1]})" if french[1] else f"({french[2]}]" if french[2] else f"[{french[3]})"
    form = plain_form(text)
    if form:
        return form
    if '":' in text:
        text = text.replace('"', "'")  # keys of JSON and of Python
    if "," in text:
        text = without_groups(text)
    form = notation_of(text)
    if form:
        return form
    if r"\in" in text or "integer" in text:
        text = with_integer(text)
    if nesting < _MAX_NESTING and balanced(text.translate(TURNED)):
        exact = exact_of_two(text)
        read_part = PartReader(_form, nesting)
        form = (
            (read_part(exact) if exact else None)
            or _bracketed(text, read_part)
            or _listed(text, read_part)
            or _relation(text, read_part)
            or ratio_form(text, read_part)
        )
        if form:
            return form
    words = folded_words(text)
    if words and words[0] == r"\emptyset":
        return Form("expression", words[0])
    if words:
        return Form("expression", text, text) if words[1] and not is_word(text) else Form("words", *words)
    bare, unit = unit_apart(_WORD_FOR_CONSTANT.sub(" C", text))
    is_apart = bare != text and "C" not in bare and nesting < _MAX_NESTING
    form = _form(bare, nesting + 1) if is_apart else expression_form(bare)
    return replace(form, unit=unit) if unit and form.kind == "expression" else form


def _bracketed(text: str, read_part: PartReader) -> Form | None:
    """Tuple, interval, set, matrix or redundant parentheses around the whole text."""
    common = _CAP.split(text)
    if len(common) > 1 and all(balanced(piece.translate(TURNED)) for piece in common) and all(common):
        return intersection([read_part(piece) for piece in common], read_part)
    union = _CUP.split(text)
    if ASSIGNMENT.match(text) or not all(balanced(piece.translate(TURNED)) for piece in union):
        union = [text]
    if len(union) > 1 and all(piece.startswith(r"\{") and piece.endswith(r"\}") for piece in union):
        text = rf"\{{{', '.join(piece[2:-2] for piece in union)}\}}"
    elif len(union) > 1 and all(union):
        return container("union", union, read_part)
    real_numbers = reals_form(text, read_part)
    if real_numbers:
        return real_numbers
    assigned = ASSIGNMENT.match(text)
    if assigned and vector_entries(text[assigned.end() :]):
        return read_part(text[assigned.end() :])
    array = array_of_one_row(text)
    if array:
        return read_part(array)
    scaled = scaled_entries(text)
    if scaled and all(map(balanced, scaled)):
        return container("parens", scaled, read_part)
    entries = vector_entries(text)
    vector = container("parens", entries, read_part) if entries else None
    form = (
        matrix_form(text, read_part)
        or (replace(vector, kind="vector") if vector else None)
        or set_by_condition(text, read_part)
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
            return read_part(", ".join(lines))
        if lines and all(line.startswith("=") for line in lines[1:]):  # one chain over several lines
            return read_part(" ".join(lines))
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inner = text[2:-2]
        if "|" in inner or ":" in inner or not inner.strip():
            return None if inner.strip() else Form("expression", r"\emptyset")
        names = names_of(members_of(inner))
        if len(set(names)) > 1 and not are_numbered(names):
            return _listed(inner, read_part)
        return in_braces(container("list", members_of(inner), read_part))
    return in_brackets(text, read_part)


def _listed(text: str, read_part: PartReader) -> Form | None:
    r"""A bare list: `1, -2`, `1 and 2`, `x = 1, y = 2`, `1 \pm \sqrt{2}`, `1 2 3`."""
    if _NAMED_SIDE_BY_SIDE.fullmatch(text):
        text = re.sub(r"(?<=[\d}]) (?=[A-Za-z\\])", ", ", text)
    if NUMBERS_SIDE_BY_SIDE.fullmatch(text):
        return container("list", text.split(" "), read_part)
    name_match = TUPLE_NAME.match(text)
    outside = text[name_match.end() if name_match else len(ratio_name(text)) :]
    if ", " in text or WORD.search(text):
        outside = without_thousands(outside)
    if UNEQUAL.fullmatch(text) and len(re.findall(r"\\ne(?![A-Za-z])", text)) == 1:
        return None
    groups = [members_of(part) for part in split_top(outside, ";")]
    if len(groups) == 1 and " or " in outside and "," in outside:
        alternatives = [members_of(part) for part in outside.split(" or ")]
        groups = alternatives if all(names_of(group) for group in alternatives) else groups
    if len(groups) > 1 and all(len(group) > 1 and names_of(group) for group in groups):
        return container("list", [", ".join(group) for group in groups], read_part)
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
    conditions = conditions_form(text, members, read_part)
    if conditions:
        return conditions
    names = names_of(members)
    if names and len(set(names)) > 1 and not are_numbered(names):
        if len(members) > MAX_PARTS:
            return None
        return named_values(names, tuple(map(read_part, members)))
    return container("list", members, read_part)


def _relation(text: str, read_part: PartReader) -> Form | None:
    """Inequalities in one variable as intervals, and assignments as what is assigned."""
    *_, last = _IMPLIED.split(text)
    if last != text and ASSIGNMENT.match(last.strip()):
        return read_part(last)
    near = ASSIGNMENT.match(text)
    if near and r"\approx" in near[0]:
        return read_part(text[near.end() :])
    name_match = TUPLE_NAME.match(text)
    if name_match:
        inner = read_part(text[name_match.end() :])
        names = tuple(squeeze(name) for name in split_top(name_match[1], ","))
        if inner.kind != "parens" or len(inner.parts) != len(names):
            return inner if inner.kind in ("list", "union") else None
        return named_values(names, inner.parts)
    point = _POINT_NAME.match(text)
    if point:
        inner = read_part(text[point.end() :])
        return inner if inner.kind == "parens" and all(part.number for part in inner.parts) else None
    member = ELEMENT_OF.match(text)
    if member:
        inner = read_part(text[member.end() :])
        return as_inequality(inner)
    unequal = UNEQUAL.fullmatch(text)
    if unequal and not RELATION.search(text) and "=" not in text:
        return all_but(members_of(unequal[1]), read_part)
    if "=" in text:
        return _assigned(text, read_part)
    return inequality_form(text, read_part)


def _assigned(text: str, read_part: PartReader) -> Form | None:
    """What a name is set equal to, or a calculation ends in; an equation stays one."""
    sides = [side.strip() for side in split_top(text.replace(r"\ne", "<"), "=")]
    left, right = " = ".join(sides[:-1]), sides[-1]
    assignment = ASSIGNMENT.match(text)
    if assignment and NOT_A_NAME.fullmatch(assignment[1].strip()):
        assignment = None
    is_said = _CALL.fullmatch(sides[0]) or (len(sides) > 2 and _ALGEBRAIC_SIDE.fullmatch(sides[0]))
    is_new = not assignment or RELATION.search(left)
    if len(sides) > 1 and is_new and is_said and all(map(is_constant, sides[1:])):
        # `P(X > 2) = 1/6` and `a + b = 3 + 4 = 7` say what the left side is.
        return read_part(right) if are_near(sides[1:]) else None
    if not all(sides) or RELATION.search(text) or r"\ne" in text:
        return None
    if (assignment is not None and (len(sides) > 2 or assignment[1].strip() == left)) or ratio_name(text):
        value = read_part(right)
        if value.kind in ("ratio", "time") and ":" in left:
            return replace(value, names=tuple(squeeze(name) for name in left.split(":")))
        return replace(value, equation=text) if len(sides) == 2 and assignment and not value.parts else value
    if all(map(is_constant, sides)):
        return read_part(right)
    if len(sides) == 2 and VARIABLE.fullmatch(right):
        # `3 = x` says what x is.
        value = read_part(left)
        if value.number or CONSTANT.fullmatch(left):
            return replace(value, equation=text)
    return None
