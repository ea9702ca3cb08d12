"""Whether two forms are equal: by text and value, part by part, and last by algebra in a worker."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from sampleset.answers.maths.equality.quantities import compare_numbers, compare_times
from sampleset.answers.maths.equality.verdicts import (
    Mode,
    Verdict,
    verdict_on_expressions,
    verdict_on_regions,
)
from sampleset.answers.maths.equality.workers import TIME_LIMIT, Budget
from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.forms.constants import CONSTANT
from sampleset.answers.maths.forms.members import are_reversed
from sampleset.answers.maths.forms.simple_forms import Form
from sampleset.answers.maths.forms.two_ways import are_one_angle
from sampleset.answers.maths.numbers.dates import dates_agree
from sampleset.answers.maths.numbers.units import converted, units_agree
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import split_top
from sampleset.answers.maths.spelling.tokens import squeeze

_LETTERS = lazy_pattern(r"[A-J]{2,10}")
_RATIO = lazy_pattern(r"\\(?:sin|cos|tan|cot|sec|csc) ?\(?\\?[A-Za-z]+\)?=")
_INSIDE = lazy_pattern(r"(?<=[A-Za-z)])\([^()]*\)|[\^_]\{[^{}]*\}|\\(?:sum|prod|int)_.*")
_COEFFICIENT = lazy_pattern(r"(?<![\^_{])(?<![\^_]\{)\d")
_NEGATED = lazy_pattern(r"-\\?[A-Za-z]+")
_RELATION = lazy_pattern(r"[=<>]|\\(?:le|ge|ne)(?![A-Za-z])")
_CALLED = lazy_pattern(r"([A-Za-z])\(([a-z])\) ?=")
_ARROW = lazy_pattern(r"\\vec ?\{ ?([A-Za-z]) ?\}")
_INDEX = lazy_pattern(r"_\{?(\d{1,2})\}?")
_COMPOUND = lazy_pattern(r"(?=.*\d)(?:[A-Z][a-z]?|[()]|(?<=[A-Za-z)\d])\d)+(?:\^\{\d?[+-]\})?")
_AXES = frozenset("xyz")
_REAL_LINE = r"(-\infty, \infty)"
_MAX_UNMATCHED = 6
_CONTAINERS = frozenset(("list", "parens", "brackets", "interval", "union", "matrix"))
_ALGEBRAIC = frozenset(("number", "letter", "expression", "words", "region"))


def compare_forms(first: Form, second: Form, mode: Mode, budget: Budget | None = None) -> Verdict:
    """Whether two forms are equal; of a grade, `second` is the gold one."""
    if "opaque" in (first.kind, second.kind):
        if first.text == second.text:
            return Verdict(True, "text")
        # Nothing that long is a short answer; two long texts are another matter.
        both = first.kind == second.kind
        return Verdict(None, "too_long") if both or mode != "gold" else Verdict(False, "too_long")
    if first.equation and second.equation and are_reversed(first.equation, second.equation):
        return Verdict(False, "names")
    if first.number and second.number:
        return compare_numbers(first.number, second.number, mode)
    first, second = _as_written_like(first, second), _as_written_like(second, first)
    if mode != "vote" and (first.unit or second.unit):
        measured = _in_unit_of(first, second, mode)
        if not measured:
            return Verdict(False, "unit")
        first = measured
    if first.text == second.text and first.names == second.names:
        return Verdict(_same_braces(first, second, mode), "text")
    budget = budget or Budget(TIME_LIMIT)
    verdict = _compare_structures(first, second, mode, budget)
    if verdict.equal is False:
        verdict = _compare_equations(first, second, mode, budget) or verdict
    if mode == "gold":
        # Beside a condition, `(-1,5)` is an interval.
        first, second = _as_interval(first, second), _as_interval(second, first)
    if verdict.equal is False and first.region and second.region and not _are_plain(first, second):
        return verdict_on_regions(first, second, budget)
    return verdict


def _as_written_like(form: Form, other: Form) -> Form:
    """A vector in the brackets of what it is compared with: `<1,2>` may be written `(1,2)` and `[1,2]`."""
    if form.kind != "vector":
        return form
    if other.kind == "brackets":
        return replace(form, kind="brackets", text=f"[{form.text[1:-1]}]")
    return replace(form, kind="parens")


def _in_unit_of(form: Form, other: Form, mode: Mode) -> Form | None:
    r"""An expression in the unit of another: of `3\pi m` beside centimetres, `100 \cdot (3\pi)`.

    `None` where the two do not measure the same; a unit may be left out.
    """
    unit, other_unit = (side.number.unit if side.number else side.unit for side in (form, other))
    if (
        not unit
        or not other_unit
        or units_agree(unit, other_unit)
        or {unit, other_unit} == {"degrees", "radians"}
    ):
        return form
    factor = converted(Fraction(1), unit, other_unit) if mode == "gold" else None
    if factor is None or not form.latex:
        return None
    latex = rf"\frac{{{factor.numerator}}}{{{factor.denominator}}} \cdot ({form.latex})"
    scaled = replace(form, kind="expression", text=squeeze(latex), latex=latex, number=None)
    return form if factor == 1 else scaled


def _as_interval(form: Form, other: Form) -> Form:
    is_union = other.kind == "union"
    if form.kind != "parens" or len(form.parts) != 2 or not other.region or (other.parts and not is_union):
        return form
    low, high = (part.latex or part.text for part in form.parts)
    return replace(form, region=("tex", f"({low},{high})"))


def _same_braces(first: Form, second: Form, mode: Mode) -> bool:
    return mode != "gold" or first.kind == second.kind or not (first.is_set or second.is_set)


def _are_plain(first: Form, second: Form) -> bool:
    """Whether two intervals differ in their ends, which are compared, and in nothing else."""
    return {first.kind, second.kind} <= {"interval", "inequality", "brackets"}


def _compare_structures(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict:
    kinds = {first.kind, second.kind}
    if mode == "gold" and kinds == {"expression"} and _is_one_compound(first.text, second.text):
        return Verdict(True, "text")
    if {first.text, second.text} == {r"\emptyset", "nosolution"}:
        return Verdict(mode == "gold", "kind")
    if kinds <= {"time", "ratio", "number"} and kinds & {"time", "ratio"}:
        return compare_times(first, second, mode)
    if kinds == {"date"}:
        return Verdict(mode != "vote" and dates_agree(first.text, second.text), "date")
    if mode == "gold" and kinds == {"residue", "number"}:
        return Verdict(first.text.split(" ")[0] == second.text.split(" ")[0], "residue")
    if mode == "gold" and second.kind == "interval" and second.text == _REAL_LINE and first.text == "R":
        return Verdict(True, "kind")
    if mode == "gold" and kinds & {"list", "brackets"} and kinds & {"words", "expression"}:
        verdict = _compare_options(first, second)
        if verdict:
            return verdict
    if first.names or second.names:
        return _compare_named(first, second, mode, budget)
    if "inequality" in kinds:
        return _compare_inequality(first, second, mode, budget)
    if kinds & _CONTAINERS:
        return _compare_containers(first, second, mode, budget)
    if mode == "gold" and _are_one_angle(first, second):
        return Verdict(True, "unit_converted")
    first, second = _asked_for(first, second, mode), _value_of_ratio(second, first, mode)
    if first.number and second.number:
        return compare_numbers(first.number, second.number, mode)
    if not _worth_algebra(first, second):
        return Verdict(False, "text" if first.kind == second.kind else "kind")
    return verdict_on_expressions(*_sides(first, second, mode), mode, budget)


def _is_one_compound(first: str, second: str) -> bool:
    """Whether two formulas of chemistry are one but for the marks of indices: `H_2O`, `H2O`."""
    first, second = (_INDEX.sub(r"\1", side) for side in (first, second))
    return first == second and bool(_COMPOUND.fullmatch(first))


def _are_one_angle(first: Form, second: Form) -> bool:
    r"""`\frac{\pi}{4}` and `45^\circ`."""
    degrees, other = (first, second) if first.number else (second, first)
    is_angle = degrees.number is not None and degrees.number.unit == "degrees"
    return is_angle and degrees.number is not None and are_one_angle(other.latex, degrees.number)


def _sides(first: Form, second: Form, mode: Mode) -> tuple[str, str]:
    """The two sides that the algebra compares: beside an equation, a named value is an equation too."""
    left, right = first.latex, second.latex
    if mode != "vote":
        left_is, right_is = "=" in left, "=" in right
        if left_is and not right_is and second.equation:
            right = second.equation
        elif right_is and not left_is and first.equation:
            left = first.equation
    if (r"\vec" in left) != (r"\vec" in right):
        # A vector may be written in bold, whose style is gone by now.
        left, right = (_ARROW.sub(r"\1", side) for side in (left, right))
    return left, right


def _compare_equations(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict | None:
    """Two values that differ, of names that are set equal to them: `x=2y` and `y=x/2`; or relations."""
    sides = (first.equation or first.latex, second.equation or second.latex)
    if mode == "vote" or not (first.equation or second.equation) or not all(map(_RELATION.search, sides)):
        return None
    if len({side.partition("=")[0].replace(" ", "") for side in sides}) == 1:
        # Of `\frac{dy}{dx}=ky`, the value is compared.
        return None
    called = [_CALLED.match(side) for side in sides]
    if called[0] and called[1] and called[0][1] == called[1][1]:
        # `f(t) = 2t` is `f(x) = 2x`.
        name = rf"(?<![A-Za-z\\]){called[0][2]}(?![A-Za-z])"
        renamed = re.sub(name, called[1][2], sides[0])
        sides = renamed.partition("=")[2].strip(), sides[1].partition("=")[2].strip()
        if sides[0] == sides[1]:
            return Verdict(True, "text")
    verdict = verdict_on_expressions(sides[0], sides[1], mode, budget)
    return verdict if verdict.equal else None


def _asked_for(first: Form, second: Form, mode: Mode) -> Form:
    r"""Of `m+n=14` or `\sin\theta=\frac{3}{5}`, beside a gold number, the value: what was asked for.

    Where the gold has a name (`x=2`), `x^2=2` is an equation.
    """
    if mode != "gold" or first.kind != "expression" or second.equation or "=" in second.text:
        return first
    sides = split_top(first.text, "=")
    if len(sides) != 2 or not (second.number or second.kind == "expression"):
        return first
    if read(sides[0]).number:  # `14=m+n`; `1=\sin x` is an equation
        if not second.number:
            return first
        sides.reverse()
    is_multiple = _NEGATED.fullmatch(sides[0]) or _COEFFICIENT.search(_INSIDE.sub("", sides[0]))
    return first if is_multiple else read(sides[1])


def _value_of_ratio(gold: Form, answer: Form, mode: Mode) -> Form:
    r"""Of the gold `\cos A=\frac{3}{5}`, beside an answer without a name, the value."""
    ratio = _RATIO.match(gold.text) if mode == "gold" and "=" not in answer.text else None
    value = gold.text[ratio.end() :] if ratio else ""
    return read(value) if CONSTANT.fullmatch(value) else gold


def _compare_options(first: Form, second: Form) -> Verdict | None:
    """Several options of one question, run together or not: `AC`, `A, C`."""
    listed, joined = (first, second) if first.kind in ("list", "brackets") else (second, first)
    if not _LETTERS.fullmatch(joined.latex or joined.text.upper()):
        return None
    if any(part.kind != "letter" for part in listed.parts):
        return None
    return Verdict(sorted(part.text for part in listed.parts) == sorted(joined.text.upper()), "letters")


def _compare_inequality(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict:
    """An open interval written as an inequality; `(1,2)` may as well be a point."""
    if first.kind == second.kind:
        return _compare_containers(first.parts[0], second.parts[0], mode, budget)
    interval, other = (first, second) if first.kind == "inequality" else (second, first)
    if other.kind != "parens":
        return Verdict(False, "kind")
    verdict = _compare_containers(interval.parts[0], other, mode, budget)
    # An answer that is right beside an inequality settles how the parentheses are meant.
    if verdict.equal and mode != "gold":
        return Verdict(None, "ambiguous")
    return verdict


def _compare_named(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict:
    """Values with names: by name where both have them, else in the order written."""
    if first.names and second.names:
        if sorted(first.names) != sorted(second.names):
            return Verdict(False, "names")
        return _compare_in_order(_by_name(first), _by_name(second), mode, budget)
    if mode == "vote":
        return _compare_containers(_ordered(first), _ordered(second), mode, budget)
    other = second if first.names else first
    named = first if first.names else second
    if len(named.names) > 1 and set(named.names) <= _AXES and other.kind in ("parens", "list"):
        # `y = 4, x = 3` is the point (3, 4), in whatever order it is written.
        parts = _by_name(named)
        first, second = (
            (replace(first, parts=parts), second) if first.names else (first, replace(second, parts=parts))
        )
    if mode != "gold" or other.kind not in ("parens", "list", "brackets") or other.is_set:
        return Verdict(False, "kind")
    return _compare_in_order(first.parts, second.parts, mode, budget)


def _by_name(form: Form) -> tuple[Form, ...]:
    return tuple(
        part for _, part in sorted(zip(form.names, form.parts, strict=True), key=lambda pair: pair[0])
    )


def _ordered(form: Form) -> Form:
    return Form("parens", form.text, "", None, _by_name(form)) if form.names else form


def _compare_containers(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict:
    kinds = {first.kind, second.kind}
    if first.kind != second.kind:
        if mode == "vote":
            return Verdict(False, "kind")
        if "matrix" in kinds and kinds & {"parens", "list", "brackets"}:
            return _compare_column(first, second, mode, budget)
        # A gold tuple may be answered by a bare list in its order, and the other way round; a set may not.
        bracketed = kinds == {"list", "brackets"}
        if bracketed and first.is_set and second.region:
            # The gold `[-1,1]` is an interval beside `\{-1,1\}`.
            return Verdict(False, "kind")
        like = (kinds == {"list", "parens"} and not (first.is_set or second.is_set)) or bracketed
        if mode != "gold" or not like:
            return Verdict(False, "kind")
        if bracketed and second.kind == "list":
            return _compare_unordered(list(first.parts), list(second.parts), mode, budget)
        return _compare_in_order(first.parts, second.parts, mode, budget)
    if first.kind == "interval" and first.text[0] + first.text[-1] != second.text[0] + second.text[-1]:
        return Verdict(False, "kind")
    if first.kind in ("list", "union"):
        return _compare_unordered(list(first.parts), list(second.parts), mode, budget)
    return _compare_in_order(first.parts, second.parts, mode, budget)


def _compare_column(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict:
    """A column or a row beside the tuple of its entries."""
    matrix, other = (first, second) if first.kind == "matrix" else (second, first)
    if other.is_set or (other.kind == "list" and mode != "gold"):
        return Verdict(False, "kind")
    is_column = all(len(row.parts) == 1 for row in matrix.parts)
    entries = tuple(row.parts[0] for row in matrix.parts) if is_column else matrix.parts[0].parts
    if not is_column and len(matrix.parts) > 1:
        return Verdict(False, "kind")
    sides = (entries, second.parts) if matrix is first else (first.parts, entries)
    return _compare_in_order(*sides, mode, budget)


def _compare_in_order(
    first: tuple[Form, ...], second: tuple[Form, ...], mode: Mode, budget: Budget
) -> Verdict:
    if len(first) != len(second):
        return Verdict(False, "length")
    rule, undecided = "text", ""
    for left, right in zip(first, second, strict=True):
        verdict = compare_forms(left, right, mode, budget)
        if verdict.equal is False:
            return verdict
        if verdict.equal is None:
            undecided = undecided or verdict.rule
        elif rule in ("text", "number"):
            rule = verdict.rule if verdict.rule != "text" else rule
    return Verdict(None, undecided) if undecided else Verdict(True, rule)


def _compare_unordered(left: list[Form], right: list[Form], mode: Mode, budget: Budget) -> Verdict:
    """Equal texts are paired first; what remains is paired by comparison, if it is little."""
    if len(left) != len(right):
        return Verdict(False, "length")
    remaining = list(right)
    unmatched: list[Form] = []
    texts = [form.text for form in remaining]
    for form in left:
        if form.text in texts:
            index = texts.index(form.text)
            del texts[index], remaining[index]
        else:
            unmatched.append(form)
    if len(unmatched) > _MAX_UNMATCHED:
        return Verdict(None, "too_long")
    rule, undecided = "text", ""
    for form in unmatched:
        for index, candidate in enumerate(remaining):
            verdict = compare_forms(form, candidate, mode, budget)
            if verdict.equal:
                rule = verdict.rule
                del remaining[index]
                break
            if verdict.equal is None:
                undecided = verdict.rule
        else:
            return Verdict(None, undecided) if undecided else Verdict(False, "member")
    return Verdict(True, rule)


def _worth_algebra(first: Form, second: Form) -> bool:
    """Whether a worker could find two differently written forms equal.

    Plain numbers and plain words are decided.
    """
    kinds = {first.kind, second.kind}
    return "expression" in kinds and kinds <= _ALGEBRAIC and bool(first.latex and second.latex)
