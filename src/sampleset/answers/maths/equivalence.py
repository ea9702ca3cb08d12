"""Whether two answers are equal: by text, by exact value, and last by algebra in a worker.

Three questions, from the most to the least lenient. Of a grade, the gold answer decides how the
other is read. Of two answers alone, each reading that fits both counts. In a vote, two answers are
one or not whatever else is in the set; see `grouping`.

Tolerance. Two decimals are equal only if they are exactly equal. A decimal and a fraction (or
root, or multiple of pi) that has no finite decimal expansion are equal within a relative 1e-6, but
not in votes.

Undecided is neither equal nor wrong: a comparison that ran out of time or memory, or whose
writing has two readings, has `equal=None`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isclose
from typing import Literal

from sampleset.answers.maths.brackets import split_top
from sampleset.answers.maths.constants import estimate
from sampleset.answers.maths.counts import rank_of
from sampleset.answers.maths.dates import dates_agree, times_agree
from sampleset.answers.maths.forms import read, read_as_list
from sampleset.answers.maths.linear import linear_verdict
from sampleset.answers.maths.numerals import Numeral, is_endless, with_units
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.ratios import ratio_text
from sampleset.answers.maths.simple_forms import Form, number_form
from sampleset.answers.maths.spelling import respell
from sampleset.answers.maths.two_ways import near_of_two
from sampleset.answers.maths.units import UNIT_LETTERS, converted, units_agree
from sampleset.answers.maths.verdict_store import store_verdict, stored_verdict
from sampleset.answers.maths.workers import TIME_LIMIT, Budget, compare_expressions, compare_regions
from sampleset.caches import BoundedCache

TOLERANCE = Fraction(1, 10**6)
"""Relative, between a decimal and an exact form without a finite expansion."""
Mode = Literal["gold", "same", "vote"]
_CACHE_BYTES = 32 * 2**20
_BASE = lazy_pattern(r"([0-9A-F]+)_\{\d+\}")
_DATE_AND_TIME = lazy_pattern(r"(\d{1,2}/\d{1,2}/\d{4}),? (?:at )?\d{1,2}(?::\d{2})? ?(?:[AaPp]\.?[Mm]\.?)?")
_SHORT_UNIT = lazy_pattern(r"([+-]?[\d.,]+)(?:([gmlLsh])| ([NJKWVAT]))")
_SCALED = lazy_pattern(r"([+-]?[$]?[\d.,]+) ?([kKMB]|bn|BN|mn)")
_PAIR = lazy_pattern(r"\\binom ?\{([^{}]{1,40})\} ?\{([^{}]{1,40})\}")
_IN_DOZENS = lazy_pattern(r"dozens?\b")
_TELLING_UNIT = lazy_pattern(r"\d (?:.*[A-Za-zμΩ]{2}|.*[NJKWVT])")
_LETTERS = lazy_pattern(r"[A-J]{2,10}")
_CHOSEN = lazy_pattern(r"C ?\( ?(\d{1,6}|[a-z]) ?, ?(\d{1,6}|[a-z]) ?\)")
_ALL_EQUAL = lazy_pattern(r"((?:[a-z] ?= ?){2,6})([^=,;<>]{1,60})")
_INSIDE = lazy_pattern(r"(?<=[A-Za-z)])\([^()]*\)|[\^_]\{[^{}]*\}")
_COEFFICIENT = lazy_pattern(r"(?<![\^_{])(?<![\^_]\{)\d")
_RELATION = lazy_pattern(r"[=<>]|\\(?:le|ge|ne)(?![A-Za-z])")
_CALLED = lazy_pattern(r"([A-Za-z])\(([a-z])\) ?=")
_AXES = frozenset("xyz")
_REAL_LINE = r"(-\infty, \infty)"
_MAX_UNMATCHED = 6
_CONTAINERS = frozenset(("list", "parens", "brackets", "interval", "union", "matrix"))
_ALGEBRAIC = frozenset(("number", "letter", "expression", "words", "region"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one comparison.

    Attributes:
        equal: `None` where it could not be decided.
        rule: What decided it: `text`, `number`, `kind`, `numeric` or `symbolic` (by algebra),
            or why nothing did: `timeout`, `memory`, `too_long`, `ambiguous`, ...
    """

    equal: bool | None
    rule: str


def same_answer(a: str, b: str) -> Verdict:
    """Whether two answers are the same, with no gold to lean on and nothing beside them; symmetric.

    A percentage is the same as its value and as the bare number before its sign (`25%`, `0.25`, `25`; by the
    latter, the rule is `percent_read_as_number`).
    """
    # The algebra is asked in a fixed order, so that its limits cannot depend on the order either.
    first, second = sorted((a, b))
    return _compare(first, second, read(first), read(second), "same")


def matches_gold(answer: str, gold: str) -> Verdict:
    """Whether an answer is the gold one; the gold decides how the answer is read.

    Against a list, `1,234` is two numbers; against a number, `60g` is one with a unit and not a product;
    against a date, its time of day may be added; against `25`, `25%` is right, and against `25%` both
    `25` and `0.25` are; against `1<x<2`, `(1,2)` is an interval; a base (`25_6`) may be left out.
    """
    reference, form = read(gold), read(answer)
    rank, reached = rank_of(gold.strip()), rank_of(answer.strip())
    if rank and reached:
        return Verdict(rank == reached, "ordinal")
    if reference.kind == "list" and form.kind == "number" and "," in answer:
        form = read_as_list(answer)
    if reference.kind == "letter" and form.kind != "letter":
        form = _leading_letter(answer) or form
    if reference.kind == "date" and form.kind != "date":
        match = _DATE_AND_TIME.fullmatch(answer.strip())
        form = read(match[1]) if match else form
    if reference.number and form.kind == "expression":
        match = _SHORT_UNIT.fullmatch(answer.strip())
        form = read(f"{match[1]} {match[2] or UNIT_LETTERS[match[3]]}") if match else form
        scaled = _SCALED.fullmatch(answer.strip())
        amount = read(f"${scaled[1].lstrip('$')}{scaled[2]}") if scaled else form
        # `300 K` are kelvin, and `5k` is 5000 where that is the gold.
        form = amount if amount.number and amount.number.value == reference.number.value else form
        in_units = with_units(respell(answer))
        form = number_form(in_units) if in_units and form.kind == "expression" else form
        near = near_of_two(respell(answer)) if reference.number.decimal else None
        form = read(near) if near else form
    if form.number and reference.kind == "expression" and (scaled := _SCALED.fullmatch(gold.strip())):
        amount = read(f"${scaled[1].lstrip('$')}{scaled[2]}")
        reference = amount if amount.number and amount.number.value == form.number.value else reference
    if reference.kind in ("parens", "vector", "matrix") and (pair := _PAIR.fullmatch(answer.strip())):
        form = read(rf"\begin{{pmatrix}}{pair[1]}\\{pair[2]}\end{{pmatrix}}")
    if form.number and reference.kind == "expression" and _TELLING_UNIT.search(gold):
        in_units = with_units(respell(gold))
        reference = number_form(in_units) if in_units else reference
    if (
        reference.kind in ("number", "expression")
        and form.kind == "parens"
        and (match := _CHOSEN.fullmatch(answer.strip()))
    ):
        form = read(rf"\binom{{{match[1]}}}{{{match[2]}}}")
    if reference.parts and (chain := _ALL_EQUAL.fullmatch(answer.strip())):
        form = read(_each_named(chain))
    elif form.parts and (chain := _ALL_EQUAL.fullmatch(gold.strip())):
        reference = read(_each_named(chain))
    based = [_BASE.fullmatch(form.text) for form in (form, reference)]
    if (based[0] and based[0][1] == reference.text) or (based[1] and based[1][1] == form.text):
        return Verdict(True, "base_left_out")
    return _compare(answer, gold, form, reference, "gold")


def _each_named(chain: re.Match[str]) -> str:
    """`x = 2, y = 2` of `x = y = 2`."""
    return ", ".join(f"{name.strip()} = {chain[2]}" for name in chain[1].split("=") if name.strip())


def _leading_letter(answer: str) -> Form | None:
    """The letter of an option written out: `(B) mitosis`, `B. mitosis`, `B: mitosis`."""
    text = answer.strip().removeprefix("**")
    opening = text.startswith("(")
    letter, mark = text[opening : opening + 1], text[opening + 1 : opening + 2]
    if letter.isascii() and letter.isupper() and mark and mark in (")" if opening else ").:"):
        return Form("letter", letter)
    return None


def _compare(a: str, b: str, first: Form, second: Form, mode: Mode) -> Verdict:
    if a.strip() == b.strip() and a.strip():
        return Verdict(True, "text")
    if not a.strip() or not b.strip():
        return Verdict(False, "empty")
    return compare_forms(first, second, mode)


def compare_forms(first: Form, second: Form, mode: Mode, budget: Budget | None = None) -> Verdict:
    """Whether two forms are equal; of a grade, `second` is the gold one."""
    if "opaque" in (first.kind, second.kind):
        if first.text == second.text:
            return Verdict(True, "text")
        # Nothing that long is a short answer; two long texts are another matter.
        both = first.kind == second.kind
        return Verdict(None, "too_long") if both or mode != "gold" else Verdict(False, "too_long")
    if first.number and second.number:
        return _compare_numbers(first.number, second.number, mode)
    first, second = _as_written_like(first, second), _as_written_like(second, first)
    if first.text == second.text and first.names == second.names:
        return Verdict(_same_braces(first, second, mode), "text")
    budget = budget or Budget(TIME_LIMIT)
    verdict = _compare_structures(first, second, mode, budget)
    if verdict.equal is False:
        verdict = _compare_equations(first, second, mode, budget) or verdict
    if (
        mode == "gold"
        and second.region
        and first.kind == "parens"
        and len(first.parts) == 2
        and not second.parts
    ):
        # Beside a gold condition, `(-1,5)` is an interval.
        low, high = (part.latex or part.text for part in first.parts)
        first = replace(first, region=("tex", f"({low},{high})"))
    if verdict.equal is False and first.region and second.region and not _are_plain(first, second):
        return _compare_regions(first, second, budget)
    return verdict


def _as_written_like(form: Form, other: Form) -> Form:
    """A vector in the brackets of what it is compared with: `<1,2>` may be written `(1,2)` and `[1,2]`."""
    if form.kind != "vector":
        return form
    if other.kind == "brackets":
        return replace(form, kind="brackets", text=f"[{form.text[1:-1]}]")
    return replace(form, kind="parens")


def _same_braces(first: Form, second: Form, mode: Mode) -> bool:
    return mode != "gold" or first.kind == second.kind or not (first.is_set or second.is_set)


def _are_plain(first: Form, second: Form) -> bool:
    """Whether two intervals differ in their ends, which are compared, and in nothing else."""
    return {first.kind, second.kind} <= {"interval", "inequality", "brackets"}


def _compare_structures(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict:
    kinds = {first.kind, second.kind}
    if {first.text, second.text} == {r"\emptyset", "nosolution"}:
        return Verdict(mode == "gold", "kind")
    if kinds <= {"time", "ratio", "number"} and kinds & {"time", "ratio"}:
        return _compare_times(first, second, mode)
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
    first = _asked_for(first, second, mode)
    if first.number and second.number:
        return _compare_numbers(first.number, second.number, mode)
    if not _worth_algebra(first, second):
        return Verdict(False, "text" if first.kind == second.kind else "kind")
    return _compare_expressions(*_sides(first, second, mode), mode, budget)


def _sides(first: Form, second: Form, mode: Mode) -> tuple[str, str]:
    """The two sides that the algebra compares: beside an equation, a named value is an equation too."""
    left, right = first.latex, second.latex
    if mode != "vote":
        left_is, right_is = "=" in left, "=" in right
        if left_is and not right_is and second.equation:
            right = second.equation
        elif right_is and not left_is and first.equation:
            left = first.equation
    return left, right


def _compare_equations(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict | None:
    """Two values that differ, of names that are set equal to them: `x=2y` and `y=x/2`; or relations."""
    sides = (first.equation or first.latex, second.equation or second.latex)
    if mode == "vote" or not (first.equation or second.equation) or not all(map(_RELATION.search, sides)):
        return None
    called = [_CALLED.match(side) for side in sides]
    if called[0] and called[1] and called[0][1] == called[1][1]:
        # `f(t) = 2t` is `f(x) = 2x`.
        name = rf"(?<![A-Za-z\\]){called[0][2]}(?![A-Za-z])"
        renamed = re.sub(name, called[1][2], sides[0])
        sides = renamed.partition("=")[2].strip(), sides[1].partition("=")[2].strip()
        if sides[0] == sides[1]:
            return Verdict(True, "text")
    verdict = _compare_expressions(sides[0], sides[1], mode, budget)
    return verdict if verdict.equal else None


def _asked_for(first: Form, second: Form, mode: Mode) -> Form:
    r"""Of `m+n=14` or `\sin\theta=\frac{3}{5}`, beside a gold number, the right side: what was asked for."""
    if mode == "gold" and first.kind == "expression" and (second.number or second.kind == "expression"):
        sides = split_top(first.text, "=")
        if len(sides) == 2 and "=" not in second.text and not _COEFFICIENT.search(_INSIDE.sub("", sides[0])):
            return read(sides[1])
    return first


def _compare_times(first: Form, second: Form, mode: Mode) -> Verdict:
    """Times of day, ratios, and what may be either: `7:32`."""
    if first.names and second.names and first.names != second.names:
        # `A:B = 5:8` is not `B:A = 5:8`.
        return Verdict(False, "names")
    if first.text == second.text:
        return Verdict(True, "text")
    if first.kind == second.kind == "time":
        return Verdict(mode != "vote" and times_agree(first.text, second.text), "time")
    if mode == "vote":
        return Verdict(False, "kind")
    if "number" in (first.kind, second.kind):
        other, number = (first, second) if second.number else (second, first)
        if number.number is None:
            return Verdict(False, "kind")
        if other.kind == "time":
            if number.number.unit and mode == "gold" and _ratio_of(other):
                return Verdict(_as_duration(other, number.number), "time")
            hour, _, rest = other.text.partition(":")
            exact = rest.startswith("00") and not number.number.unit and number.number.value == int(hour)
            return Verdict(exact, "time")
        values = _ratio_of(other)
        return Verdict(
            mode == "gold"
            and len(values) == 2
            and bool(values[1])
            and not number.number.percent
            and number.number.value == values[0] / values[1],
            "ratio",
        )
    sizes = _sizes(first), _sizes(second)
    if all(sizes) and len(sizes[0]) == len(sizes[1]):
        return Verdict(all(isclose(a, b, rel_tol=1e-12) for a, b in zip(*sizes, strict=True)), "ratio")
    left, right = _ratio_of(first), _ratio_of(second)
    if len(left) != max(len(first.parts), 2) or len(right) != max(len(second.parts), 2):
        return Verdict(False, "ratio")  # members that are no numbers
    return Verdict(bool(left and right) and ratio_text(left) == ratio_text(right), "ratio")


def _as_duration(time: Form, number: Numeral) -> bool:
    """Whether `1:30` is meant as hours and minutes, or as minutes and seconds."""
    left, right = _ratio_of(time)
    unit = number.unit or ""
    return any(
        converted(left + right / 60, larger, unit) == number.value and unit in names
        for larger, names in (("h", ("h", "min")), ("min", ("min", "s")))
    )


def _sizes(form: Form) -> list[float]:
    r"""The members of a ratio with a root or a multiple of pi in it, as shares of the first."""
    values = [estimate(part.latex) for part in form.parts] if form.kind == "ratio" else []
    known = [value for value in values if value]
    has_roots = any("\\" in part.latex for part in form.parts)
    return [value / known[0] for value in known] if has_roots and len(known) == len(values) else []


def _ratio_of(form: Form) -> list[Fraction]:
    if form.kind == "time" and not form.parts:
        return [Fraction(part) for part in form.text.split(":")] if " " not in form.text else []
    return [part.number.value for part in form.parts if part.number]


def _compare_options(first: Form, second: Form) -> Verdict | None:
    """Several options of one question, run together or not: `AC`, `A, C`."""
    listed, joined = (first, second) if first.kind in ("list", "brackets") else (second, first)
    if not _LETTERS.fullmatch(joined.latex or joined.text.upper()):
        return None
    if any(part.kind != "letter" for part in listed.parts):
        return None
    return Verdict(sorted(part.text for part in listed.parts) == sorted(joined.text.upper()), "letters")


def _compare_numbers(first: Numeral, second: Numeral, mode: Mode) -> Verdict:
    if mode == "vote":
        return Verdict(first.face == second.face, "number")
    if first.unit and second.unit and not units_agree(first.unit, second.unit):
        if mode == "gold":
            value = converted(first.value, first.unit, second.unit)
            if value is not None and value == second.value:
                return Verdict(True, "unit_converted")
        return Verdict(False, "unit")
    if numbers_equal(first, second):
        return Verdict(True, "number")
    if first.percent == second.percent:
        sides = ((first, second), (second, first)) if mode == "gold" else ()
        is_dozens = any(_IN_DOZENS.match(a.label) and a.value * 12 == b.value for a, b in sides)
        return Verdict(is_dozens, "number")
    percent, bare = (first, second) if first.percent else (second, first)
    if percent.value * 100 == bare.value and bare.unit != "degrees":
        return Verdict(True, "percent_read_as_number")
    return Verdict(False, "number")


def numbers_equal(first: Numeral, second: Numeral) -> bool:
    """Equality by value, within the tolerance where only one side can be written as a decimal."""
    if first.value == second.value:
        return True
    if not (first.decimal or second.decimal):
        return False
    endless, other = (first, second) if is_endless(first.value) else (second, first)
    return (
        other.decimal
        and is_endless(endless.value)
        and abs(first.value - second.value) <= TOLERANCE * max(abs(first.value), abs(second.value))
    )


def _compare_inequality(first: Form, second: Form, mode: Mode, budget: Budget) -> Verdict:
    """An open interval written as an inequality; `(1,2)` may as well be a point."""
    if first.kind == second.kind:
        return _compare_containers(first.parts[0], second.parts[0], mode, budget)
    interval, other = (first, second) if first.kind == "inequality" else (second, first)
    if other.kind != "parens":
        return Verdict(False, "kind")
    verdict = _compare_containers(interval.parts[0], other, mode, budget)
    # Only a gold written as an inequality settles how the parentheses are meant.
    if verdict.equal and not (mode == "gold" and second.kind == "inequality"):
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


_cache: BoundedCache[tuple[str, str, str], Verdict] = BoundedCache(_CACHE_BYTES)
os.register_at_fork(after_in_child=_cache.renew_lock)


def _compare_expressions(answer: str, gold: str, mode: Mode, budget: Budget) -> Verdict:
    equal = linear_verdict(answer, gold)
    if equal is not None:
        return Verdict(equal, "numeric")
    if mode != "gold":
        answer, gold = sorted((answer, gold))
    return _decided(
        (mode, answer, gold), budget, lambda: compare_expressions(gold, answer, mode=mode, budget=budget)
    )


def _compare_regions(first: Form, second: Form, budget: Budget) -> Verdict:
    left, right = sorted((first.region, second.region), key=repr)
    key = ("region", repr(left), repr(right))
    return _decided(key, budget, lambda: compare_regions(left, right, budget=budget))


def _decided(
    key: tuple[str, str, str], budget: Budget, compare: Callable[[], tuple[bool | None, str]]
) -> Verdict:
    """The verdict of a worker, or one that is known."""
    known = _cache.get(key)
    if known is not None:
        return known
    stored = stored_verdict(*key)
    if stored is not None:
        verdict = Verdict(*stored)
        _cache.put(key, verdict, len(key[1]) + len(key[2]))
        return verdict
    seconds = budget.left
    if seconds < 0.01:
        return Verdict(None, "cancelled" if budget.is_cancelled else "timeout")
    equal, rule = compare()
    verdict = Verdict(equal, rule)
    # What failed for lack of a worker, or of time spent on other members, may succeed later.
    if rule not in ("no_worker", "crash", "cancelled") and (rule != "timeout" or seconds > 0.9 * TIME_LIMIT):
        _cache.put(key, verdict, len(key[1]) + len(key[2]))
    if equal is not None:
        store_verdict(*key, equal, rule)
    return verdict
