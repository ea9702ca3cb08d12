"""Real numbers that a text describes: inequalities, conditions side by side, all numbers but some."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from math import ceil, floor

from sampleset.answers.maths.forms.containers import MAX_PARTS, container, in_braces, in_brackets
from sampleset.answers.maths.forms.intervals import (
    INFINITE,
    Stretch,
    are_apart,
    in_common,
    interval_text,
    stretches_of,
)
from sampleset.answers.maths.forms.members import NAME, RELATION, VARIABLE, letters_of, members_of
from sampleset.answers.maths.forms.simple_forms import Form, PartReader, is_algebraic
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.tokens import squeeze

ELEMENT_OF = lazy_pattern(rf"{NAME} ?\\in(?![A-Za-z]) ?")
UNEQUAL = lazy_pattern(rf"{NAME} ?\\ne(?![A-Za-z]) ?(.+)")
_REALS = lazy_pattern(
    r"\\mathbb\{R\}|(?:the )?(?:set of )?(?:all |any |every )?(?:the )?(?:real numbers?|reals)"
    r"|all (?:real )?x",
    re.IGNORECASE,
)
_RAYS = lazy_pattern(
    r"(?P<positive>\\mathbb\{R\}(?:_\{ ?> ?0 ?\}|[\^_]\{?\+\}?)"
    r"|(?:all )?(?:the )?positive (?:real numbers|reals))"
    r"|(?P<least>\\mathbb\{R\}_\{ ?\\ge ?0 ?\}|(?:all )?(?:the )?non-?negative (?:real numbers|reals))"
    r"|(?P<negative>\\mathbb\{R\}(?:_\{ ?< ?0 ?\}|[\^_]\{?-\}?)"
    r"|(?:all )?(?:the )?negative (?:real numbers|reals))"
)
_WITHOUT = lazy_pattern(
    r"\\mathbb\{R\} ?(?:\\setminus|\\backslash|-|\\) ?\\\{(.+)\\\}"
    r"|(?:[Aa]ll |[Ee]very |[Aa]ny )?(?:[Rr]eal numbers?|[Rr]eals|(?:[Rr]eal )?x)"
    r" (?:except|but|other than|excluding|not equal to) (?:for )?(?:x ?(?:=|\\ne) ?)?"
    r"((?:[^a-z]|and (?:x ?=)?|or|\\pm)+)"
)
_LESS = lazy_pattern(
    r"(\\mathbb\{R\}|[(\[][^()\[\]]+[)\]]) ?(?:\\(?:setminus|backslash)|-(?= ?\\\{)) ?"
    r"(\\\{[^{}]+\\\}|[(\[][^()\[\]]+[)\]])"
)
_BUILDER = lazy_pattern(
    r"\\?\{ ?(\\?[A-Za-z]+)(?: ?\\in ?(?:\\mathbb\{R\}|R))? ?(?:\||:|\\mid(?![A-Za-z])|\\vert) ?"
    r"(.+?)(?: ?, ?\1 ?\\in ?\\mathbb\{R\} ?)?\\?\}",
    re.DOTALL,
)
_SET_OF = lazy_pattern(r"\\\{ ?(.+?) ?(?:\||:|\\mid(?![A-Za-z])) ?(.+?) ?\\\}", re.DOTALL)
_OF_INTEGERS = lazy_pattern(
    r"\\\{ ?[A-Za-z] ?\\in ?\\mathbb\{([NZ])\} ?(?:\||:|\\mid(?![A-Za-z])) ?(.+?) ?\\\}", re.DOTALL
)
_IN_INTEGERS = lazy_pattern(r"[a-z] ?\\in ?(?:\\mathbb\{Z\}|Z)")
_AND = lazy_pattern(r"(?<![A-Za-z\\])and(?![A-Za-z])")
_OR = lazy_pattern(r"(?<![A-Za-z\\])or(?![A-Za-z])")


def reals_form(text: str, read_part: PartReader) -> Form | None:
    """All real numbers, those of one sign, or those without some."""
    if _REALS.fullmatch(text):
        return container("interval", [r"-\infty", r"\infty"], read_part, "(", ")")
    ray = _RAYS.fullmatch(text)
    if ray:
        ends = ("0", r"\infty") if ray.lastgroup != "negative" else (r"-\infty", "0")
        return container("interval", [*ends], read_part, "[" if ray.lastgroup == "least" else "(", ")")
    without = _WITHOUT.fullmatch(text)
    if without:
        return all_but(members_of(without[1] or without[2].replace("x =", "").replace("x=", "")), read_part)
    less = _LESS.fullmatch(text)
    if less:
        regions = [read_part(side).region or ("tex", side) for side in less.groups()]
        return Form("region", squeeze(text), region=("minus", *regions))
    return None


def all_but(points: list[str], read_part: PartReader) -> Form | None:
    """The real line without some points, as a union of open intervals."""
    forms = [read_part(point) for point in points]
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
    return container("union", [f"({low},{high})" for low, high in pairwise(ends)], read_part)


def set_by_condition(text: str, read_part: PartReader) -> Form | None:
    r"""`\{x \mid x \ge 0\}` as its condition; `\{x|x=3k, k \in \mathbb{Z}\}` as `3k` and the rest."""
    if not text.startswith((r"\{", "{")):
        return None
    match = _BUILDER.fullmatch(text)
    if match:
        name, condition = match[1], match[2].strip()
        inside = re.match(rf"{re.escape(name)} ?= ?([^=,]+),(.+)$", condition)
        if inside and _IN_INTEGERS.fullmatch(inside[2].strip()):
            return read_part(f"{inside[1].strip()}, {inside[2].strip()}")
        if inside and r"\in" in inside[2]:
            return Form("expression", squeeze(rf"\{{{inside[1]}|{inside[2]}\}}"))
        points = re.sub(rf"(?:(?<=^)|(?<=or )){re.escape(name)} ?= ?", "", condition)
        if points != condition and "=" not in points and "|" not in points:
            return in_braces(container("list", members_of(points), read_part))
        if name in condition and (
            "<" in condition
            or ">" in condition
            or ELEMENT_OF.match(condition)
            or re.search(r"\\(?:le|ge|ne)(?![A-Za-z])", condition)
        ):
            inner = read_part(condition)
            return inner if inner.region else None
        return None
    whole = _OF_INTEGERS.fullmatch(text)
    if whole and (members := _integers_in(read_part(whole[2]), whole[1])):
        return in_braces(container("list", members, read_part))
    match = _SET_OF.fullmatch(text)
    if not match or "|" in match[1]:
        return None
    if _IN_INTEGERS.fullmatch(match[2]) and "," not in match[1] and match[1].strip() != match[2][0]:
        return read_part(f"{match[1]}, {match[2]}")
    bound = re.match(r"([a-z]) ?\\in(?![A-Za-z])", match[2])
    set_of = rf"\{{{match[1]}|{match[2]}\}}"
    if bound and "k" not in set_of.replace(bound[1], ""):
        set_of = re.sub(rf"(?<![A-Za-z\\]){bound[1]}(?![A-Za-z])", "k", set_of)
    return Form("expression", squeeze(set_of))


def _integers_in(condition: Form, kind: str) -> list[str]:
    """The whole numbers of a bounded stretch; none where it is a matter of taste whether 0 is one."""
    stretches = stretches_of(condition)
    ends = (stretches[0].low, stretches[0].high) if len(stretches) == 1 else (None, None)
    if ends[0] is None or ends[1] is None or ends[1] - ends[0] > MAX_PARTS:
        return []
    low = floor(ends[0]) + 1 if not stretches[0].has_low else ceil(ends[0])
    high = ceil(ends[1]) - 1 if not stretches[0].has_high else floor(ends[1])
    return [] if kind == "N" and low <= 0 else [str(value) for value in range(low, high + 1)]


def inequality_form(text: str, read_part: PartReader) -> Form | None:
    """An inequality as the interval that its variable is in: `x > 2`, `1 < x < 2`."""
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
    elif VARIABLE.fullmatch(pieces[0]) and not VARIABLE.fullmatch(pieces[2]):
        low, first, name, second, high = r"-\infty", "<", *pieces
    else:
        low, first, name, second, high = *pieces, "<", r"\infty"
    if not VARIABLE.fullmatch(name.replace(" ", "")) or name in INFINITE:
        return _condition(text)
    if (
        any(VARIABLE.fullmatch(end.replace(" ", "")) and end not in INFINITE for end in (low, high))
        and len(pieces) == 3
    ):
        return None
    opening, ending = "(" if first == "<" else "[", ")" if second == "<" else "]"
    interval = in_brackets(f"{opening}{low},{high}{ending}", read_part)
    if interval is None or len(interval.parts) != 2:
        return None
    form = as_inequality(interval)
    # `y \ge 2x` is a condition on both.
    return replace(form, equation=text) if letters_of(low) | letters_of(high) else form


def _condition(text: str) -> Form | None:
    """An inequality that is not solved for its one variable: `2x-1 > 0`, `|x| < 3`."""
    letters = letters_of(text)
    # One of a higher degree may be the question over again.
    if len(letters) != 1 or len(next(iter(letters))) > 1 or not is_algebraic(text) or "^" in text:
        return None
    return Form("region", squeeze(text), text, region=("tex", text))


def as_inequality(form: Form) -> Form:
    """An open interval with finite ends, known to be one and no point."""
    if form.kind != "parens" or len(form.parts) != 2:
        return form
    low, high = (part.text for part in form.parts)
    region = ("tex", f"({form.parts[0].latex or low},{form.parts[1].latex or high})")
    return Form("inequality", f"{low}<x<{high}", "", None, (form,), region=region)


def conditions_form(text: str, members: list[str], read_part: PartReader) -> Form | None:
    """Conditions on one variable side by side: `x>2, x<5`, `x<-1 or x>1`."""
    if members and ELEMENT_OF.match(members[0]) and all(r"\ne" in member for member in members[1:]):
        if len({name for member in members for name in letters_of(member) if len(name) == 1} - {"R"}) > 1:
            return None
    elif not all(RELATION.search(member) or r"\ne" in member for member in members):
        return None
    parts = [read_part(member) for member in members]
    if not all(part.region for part in parts):
        return None
    points = [UNEQUAL.fullmatch(member) for member in members]
    if all(points):
        return all_but([point[1] for point in points if point], read_part)
    alternative = bool(_OR.search(text))
    letters = [letters_of(member) - {"R"} for member in members]
    if all(len(names) == 1 for names in letters) and len(set[str].union(*letters)) > 1:
        # `x>2, y<5` is no stretch of one line.
        return Form("region", ", ".join(sorted(map(squeeze, members))))
    stretches = [stretches_of(part) for part in parts]
    if not alternative and (_AND.search(text) or any(points)):
        return _in_common(parts, stretches, members, read_part)
    if all(len(side) == 1 for side in stretches) and (
        alternative or are_apart([side for sides in stretches for side in sides])
    ):
        return container("union", [interval_text(part) for part in parts], read_part)
    if len(parts) == 2 and all(part.kind == "interval" for part in parts) and not alternative:
        low, high = sorted(parts, key=lambda part: not part.parts[1].text.endswith("infty"))
        ends = low.parts[0].number, high.parts[1].number
        are_rays = low.parts[1].text == r"\infty" and high.parts[0].text == r"-\infty"
        if are_rays and ends[0] and ends[1] and ends[0].value < ends[1].value:
            inner = f"{low.text[0]}{low.parts[0].latex},{high.parts[1].latex}{high.text[-1]}"
            interval = in_brackets(inner, read_part)
            return as_inequality(interval) if interval else None
    if all(part.kind in ("interval", "union") for part in parts):
        return container("list", members, read_part)
    joined = (" or " if alternative else ", ").join(sorted(part.text for part in parts))
    return Form("region", joined, region=("or" if alternative else "list", *(part.region for part in parts)))


def intersection(parts: list[Form], read_part: PartReader) -> Form | None:
    """What intervals, or sets, have in common; `None` where that takes more than comparing their ends."""
    if all(part.is_set for part in parts):
        shared = [
            part
            for part in parts[0].parts
            if all(part.text in [other.text for other in side.parts] for side in parts[1:])
        ]
        inner = ", ".join(part.latex or part.text for part in shared)
        return read_part(rf"\{{{inner}\}}") if shared else Form("expression", r"\emptyset")
    sides = [stretches_of(part) for part in parts]
    return _in_common(parts, sides, [], read_part) if all(sides) else None


def _in_common(
    parts: list[Form], sides: list[list[Stretch]], members: list[str], read_part: PartReader
) -> Form | None:
    """What holds where all the conditions hold."""
    common = in_common(sides) if all(sides) else None
    if common is None:
        joined = " and ".join(sorted(map(squeeze, members)))
        return Form("region", joined, region=("and", *(part.region for part in parts)))
    if not common:
        return Form("expression", r"\emptyset")
    if len(common) > 1:
        return container("union", [str(stretch) for stretch in common], read_part)
    if common[0].point is not None:
        return read_part(rf"\{{{common[0].point}\}}")
    interval = in_brackets(str(common[0]), read_part)
    return as_inequality(interval) if interval else None
