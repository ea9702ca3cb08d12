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

import re

from sampleset.answers.maths.equality.comparison import compare_forms
from sampleset.answers.maths.equality.verdicts import Mode, Verdict
from sampleset.answers.maths.forms.canonical import read, read_as_list
from sampleset.answers.maths.forms.simple_forms import Form, number_form
from sampleset.answers.maths.forms.two_ways import near_of_two
from sampleset.answers.maths.numbers.counts import rank_of
from sampleset.answers.maths.numbers.numerals import with_units
from sampleset.answers.maths.numbers.units import UNIT_LETTERS
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.respelling import respell

_DATE_AND_TIME = lazy_pattern(r"(\d{1,2}/\d{1,2}/\d{4}),? (?:at )?\d{1,2}(?::\d{2})? ?(?:[AaPp]\.?[Mm]\.?)?")
_SHORT_UNIT = lazy_pattern(r"([+-]?[\d.,]+)(?:([gmlLsh])| ([NJKWVAT]))")
_SCALED = lazy_pattern(r"([+-]?[$]?[\d.,]+) ?([kKMB]|bn|BN|mn)")
_PAIR = lazy_pattern(r"\\binom ?\{([^{}]{1,40})\} ?\{([^{}]{1,40})\}")
_TELLING_UNIT = lazy_pattern(r"[\d}] (?:.*[A-Za-zμΩ]{2}|.*[NJKWVTCA])")
_CHOSEN = lazy_pattern(r"C ?\( ?(\d{1,6}|[a-z]) ?, ?(\d{1,6}|[a-z]) ?\)")
_OPTION = lazy_pattern(r"\([A-J]\) (.+)", re.DOTALL)
r"""An option written out before its value: `\textbf{(B)}\ 12`."""
_ALL_EQUAL = lazy_pattern(r"((?:[a-z] ?= ?){2,6})([^=,;<>]{1,60})")
_BASE = lazy_pattern(r"([0-9A-F]+)_\{\d+\}")


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
    `25` and `0.25` are; against `1<x<2`, `(1,2)` is an interval, and the other way
    round; a base (`25_6`) may be left out.
    """
    reference, form = read(gold), read(answer)
    rank, reached = (
        rank_of(respell(text) if "^" in text and len(text) < 30 else text.strip()) for text in (gold, answer)
    )
    if rank and reached:
        return Verdict(rank == reached, "ordinal")
    if reference.kind == "list" and form.kind == "number" and "," in answer:
        form = read_as_list(answer)
    if reference.kind == "letter" and form.kind != "letter":
        form = _leading_letter(answer) or _leading_letter(respell(answer)) or form
    elif form.kind == "expression" and (option := _OPTION.match(respell(answer))):
        form = read(option[1])
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
    if (
        form.kind in ("number", "expression")
        and reference.kind == "expression"
        and _TELLING_UNIT.search(gold)
    ):
        in_units, ours = with_units(respell(gold)), form.number or with_units(respell(answer))
        form, reference = (
            (number_form(ours), number_form(in_units)) if in_units and ours else (form, reference)
        )
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
