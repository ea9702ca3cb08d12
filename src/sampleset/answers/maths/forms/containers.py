"""Answers made of parts: lists, tuples, intervals, unions, matrices, and what stands in brackets."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from sampleset.answers.maths.forms.intervals import INFINITE
from sampleset.answers.maths.forms.matrices import matrix_rows
from sampleset.answers.maths.forms.members import MAX_SIGNS, PLUS_MINUS, both_signs, members_of
from sampleset.answers.maths.forms.simple_forms import Form, Kind, PartReader
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import closing, split_top

MAX_PARTS = 64
"""Members of a list, tuple or set; longer ones are compared as text only."""
_IN_GROUPS = lazy_pattern(r"\(-?\d{1,3}(?:,\d{3})*,000\)")
_QUOTED = lazy_pattern(r"'([^']*)'|\"([^\"]*)\"")
NUMBERS_SIDE_BY_SIDE = lazy_pattern(r"-?\d{1,9}(?: -?\d{1,9}){1,63}")


def container(
    kind: Kind, members: list[str], read_part: PartReader, opening: str = "", ending: str = ""
) -> Form | None:
    """The form of members side by side, `None` where they are too many, or amounts of different things."""
    if len(members) > MAX_PARTS or not all(members) or any(member.endswith("\\") for member in members):
        return None
    parts = tuple(read_part(member) for member in members)
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


def named_values(names: tuple[str, ...], parts: tuple[Form, ...]) -> Form:
    """The values of names; as text they stand in the order of the names, however they are written."""
    ordered = sorted(zip(names, (part.text for part in parts), strict=True))
    return Form("parens", f"({', '.join(part for _, part in ordered)})", "", None, parts, names)


def in_braces(form: Form | None) -> Form | None:
    """A list as a set; the set of one set is not that set."""
    if form and (form.is_set or form.text == r"\emptyset"):
        return Form("list", rf"\{{{form.text}\}}", parts=(form,), is_set=True)
    return replace(form, is_set=True) if form and form.kind == "list" else form


def matrix_form(text: str, read_part: PartReader) -> Form | None:
    """A matrix by its rows; one with a single entry is that entry."""
    rows = matrix_rows(text)
    if not rows or len({len(row) for row in rows}) > 1 or len(rows) * len(rows[0]) > MAX_PARTS:
        return None
    if len(rows) == len(rows[0]) == 1:
        return read_part(rows[0][0])
    read_rows = [container("brackets", [cell.strip() for cell in row], read_part.deeper) for row in rows]
    if not all(read_rows):
        return None
    parts = tuple(row for row in read_rows if row)
    return Form("matrix", f"[{', '.join(part.text for part in parts)}]", "", None, parts)


def in_brackets(text: str, read_part: PartReader) -> Form | None:
    """A tuple, a list, an interval, a set, or what stands in redundant parentheses."""
    opening, ending = text[:1], text[-1:]
    if opening not in "([{" or ending not in ")]}" or len(text) < 3:
        return None
    if closing(text, 0) != len(text) - 1:  # `(0,1]` closes too
        return None
    members = split_top(text[1:-1], ",;")
    if opening + ending == "[]" and NUMBERS_SIDE_BY_SIDE.fullmatch(text[1:-1].strip()):
        return container("brackets", text[1:-1].split(), read_part)
    if opening == "{" and ending == "}":
        return (
            in_braces(container("list", members_of(text[1:-1]), read_part))
            if len(members) > 1
            else read_part(text[1:-1])
        )
    if "{" in opening or "}" in ending:
        return None
    if len(members) == 1 and opening + ending == "[]" and _QUOTED.fullmatch(members[0]):
        return container("brackets", [members[0][1:-1]], read_part)
    if len(members) == 1 or _IN_GROUPS.fullmatch(text):
        return read_part(text[1:-1]) if opening + ending == "()" else None
    if 0 < len(PLUS_MINUS.findall(text)) <= MAX_SIGNS and opening + ending == "()":
        return container(
            "list", [f"({', '.join(each)})" for each in product(*map(both_signs, members))], read_part
        )
    ends = {member.replace(" ", "") for member in members}
    if len(members) == 2 and (opening + ending in ("(]", "[)") or ends & INFINITE):
        return container("interval", members, read_part, opening, ending)
    kind: Kind = "parens" if opening == "(" else "brackets"
    if opening + ending == "[]" and all(_QUOTED.fullmatch(member) for member in members):
        members = [member[1:-1] for member in members]
    return container(kind, members, read_part) if opening + ending in ("()", "[]") else None
