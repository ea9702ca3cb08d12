"""Whether two answers are equal: by text, by exact value, and last by algebra in a worker.

Tolerance. Two decimals are equal only if they are exactly equal. A decimal and a fraction (or
root, or multiple of pi) that has no finite decimal expansion are equal within a relative 1e-6,
in votes and grades alike.

Undecided is neither equal nor wrong: a comparison that ran out of time or memory, or whose
writing has two readings, has `equal=None`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction

from sampleset.answers.maths.forms import MAX_LENGTH, Form, read, read_as_list
from sampleset.answers.maths.numerals import Numeral
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling import UNIT_LETTERS
from sampleset.answers.maths.verdict_store import store_verdict, stored_verdict
from sampleset.answers.maths.workers import TIME_LIMIT, compare_expressions

TOLERANCE = Fraction(1, 10**6)
"""Relative, between a decimal and an exact form without a finite expansion."""
_CACHE_SIZE = 100_000
_BASE = lazy_pattern(r"(\d+)_\{\d+\}")
_DATE_AND_TIME = lazy_pattern(r"(\d{1,2}/\d{1,2}/\d{4}),? (?:at )?\d{1,2}(?::\d{2})? ?(?:[AaPp]\.?[Mm]\.?)?")
_SHORT_UNIT = lazy_pattern(r"([+-]?[\d.,]+)(?:([gmlLsh])| ([NJKWV]))")
_MAX_UNMATCHED = 6
_CONTAINERS = frozenset(("list", "parens", "brackets", "interval", "union"))
_ALGEBRAIC = frozenset(("number", "letter", "expression", "words"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one comparison.

    Attributes:
        equal: `None` where it could not be decided.
        rule: What decided it: `text`, `number`, `kind`, `numeric` or `symbolic` (by a worker),
            or why nothing did: `timeout`, `memory`, `too_long`, `ambiguous`, ...
    """

    equal: bool | None
    rule: str


def same_answer(a: str, b: str) -> Verdict:
    """Whether two answers are the same, with no gold to lean on; symmetric.

    A percentage and the bare number before its sign (`25%`, `25`) are the same, as they are in
    `group_answers` of those two alone; the rule is then `percent_read_as_number`.
    """
    # The algebra is asked in a fixed order, so that its limits cannot depend on the order either.
    first, second = sorted((a, b))
    return _compare(first, second, read(first), read(second), None)


def matches_gold(answer: str, gold: str) -> Verdict:
    """Whether an answer is the gold one; the gold decides how the answer is read.

    Against a list, `1,234` is two numbers; against a number, `60g` is one with a unit and not a product;
    against a date, its time of day may be added; against `25`, `25%` is right, and against `25%` both
    `25` and `0.25` are; against `1<x<2`, `(1,2)` is an interval; a base (`25_6`) may be left out.
    """
    reference, form = read(gold), read(answer)
    if reference.kind == "list" and form.kind == "number" and "," in answer:
        form = read_as_list(answer)
    if reference.kind == "letter" and form.kind != "letter":
        form = _leading_letter(answer) or form
    if reference.kind == "date" and form.kind != "date":
        found = _DATE_AND_TIME.fullmatch(answer.strip())
        form = read(found[1]) if found else form
    if reference.number and form.kind == "expression":
        found = _SHORT_UNIT.fullmatch(answer.strip())
        form = read(f"{found[1]} {found[2] or UNIT_LETTERS[found[3]]}") if found else form
    based = [_BASE.fullmatch(one.text) for one in (form, reference)]
    if (based[0] and based[0][1] == reference.text) or (based[1] and based[1][1] == form.text):
        return Verdict(True, "base_left_out")
    return _compare(answer, gold, form, reference, gold)


def _leading_letter(answer: str) -> Form | None:
    """The letter of an option written out: `(B) mitosis`, `B. mitosis`, `B: mitosis`."""
    text = answer.strip().removeprefix("**")
    opening = text.startswith("(")
    letter, mark = text[opening : opening + 1], text[opening + 1 : opening + 2]
    if letter.isascii() and letter.isupper() and mark and mark in (")" if opening else ").:"):
        return Form("letter", letter)
    return None


def _compare(a: str, b: str, first: Form, second: Form, gold: str | None) -> Verdict:
    if a.strip() == b.strip() and a.strip():
        return Verdict(True, "text")
    if not a.strip() or not b.strip():
        return Verdict(False, "empty")
    deadline = time.monotonic() + TIME_LIMIT
    return compare_forms(first, second, graded=gold is not None, deadline=deadline)


def compare_forms(first: Form, second: Form, *, graded: bool, deadline: float | None = None) -> Verdict:
    """Whether two forms are equal; when graded, `second` is the gold one."""
    if deadline is None:
        deadline = time.monotonic() + TIME_LIMIT
    if "opaque" in (first.kind, second.kind):
        if first.text == second.text:
            return Verdict(True, "text")
        # Nothing that long is a short answer; two long texts are another matter.
        both = first.kind == second.kind
        return Verdict(None, "too_long") if both or not graded else Verdict(False, "too_long")
    if first.number and second.number:
        return _compare_numbers(first.number, second.number, graded)
    if first.text == second.text:
        return Verdict(True, "text")
    if "inequality" in (first.kind, second.kind):
        return _compare_inequality(first, second, graded, deadline)
    if first.kind in _CONTAINERS or second.kind in _CONTAINERS:
        return _compare_containers(first, second, graded, deadline)
    if not _worth_algebra(first, second):
        return Verdict(False, "text" if first.kind == second.kind else "kind")
    return _compare_expressions(first, second, graded, deadline)


def _compare_numbers(first: Numeral, second: Numeral, graded: bool) -> Verdict:
    if first.unit and second.unit and not _units_agree(first.unit, second.unit):
        return Verdict(False, "unit")
    if numbers_equal(first, second):
        return Verdict(True, "number")
    if first.percent == second.percent:
        return Verdict(False, "number")
    percent, bare = (first, second) if first.percent else (second, first)
    if percent.value * 100 == bare.value:
        return Verdict(True, "percent_read_as_number")
    return Verdict(False, "number")


def _units_agree(first: str, second: str) -> bool:
    """Whether two units are one; of a rate, what it is per may be left out: `8 hours` a day."""
    return first == second or first.startswith(f"{second}/") or second.startswith(f"{first}/")


def numbers_equal(first: Numeral, second: Numeral) -> bool:
    """Equality by value, within the tolerance where only one side can be written as a decimal."""
    if first.value == second.value:
        return True
    endless, other = (first, second) if is_endless(first.value) else (second, first)
    return (
        other.decimal
        and is_endless(endless.value)
        and abs(first.value - second.value) <= TOLERANCE * max(abs(first.value), abs(second.value))
    )


def is_endless(value: Fraction) -> bool:
    """Whether a value has no finite decimal expansion."""
    rest = value.denominator
    if rest.bit_length() > 4 * MAX_LENGTH:
        return True
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1


def _compare_inequality(first: Form, second: Form, graded: bool, deadline: float) -> Verdict:
    """An open interval written as an inequality; `(1,2)` may as well be a point."""
    if first.kind == second.kind:
        return _compare_containers(first.parts[0], second.parts[0], graded, deadline)
    interval, other = (first, second) if first.kind == "inequality" else (second, first)
    if other.kind != "parens":
        return Verdict(False, "kind")
    verdict = _compare_containers(interval.parts[0], other, graded, deadline)
    # Only a gold written as an inequality settles how the parentheses are meant.
    if verdict.equal and not (graded and second.kind == "inequality"):
        return Verdict(None, "ambiguous")
    return verdict


def _compare_containers(first: Form, second: Form, graded: bool, deadline: float) -> Verdict:
    # A gold tuple may be answered by a bare list in its order, and the other way round.
    like = {first.kind, second.kind} == {"list", "parens"} if graded else False
    if first.kind != second.kind and not like:
        return Verdict(False, "kind")
    if len(first.parts) != len(second.parts):
        return Verdict(False, "length")
    if first.kind == "interval" and first.text[0] + first.text[-1] != second.text[0] + second.text[-1]:
        return Verdict(False, "kind")
    if first.kind == second.kind and first.kind in ("list", "union"):
        return _compare_unordered(list(first.parts), list(second.parts), graded, deadline)
    rule, undecided = "text", ""
    for left, right in zip(first.parts, second.parts, strict=True):
        verdict = compare_forms(left, right, graded=graded, deadline=deadline)
        if verdict.equal is False:
            return verdict
        if verdict.equal is None:
            undecided = undecided or verdict.rule
        elif rule in ("text", "number"):
            rule = verdict.rule if verdict.rule != "text" else rule
    return Verdict(None, undecided) if undecided else Verdict(True, rule)


def _compare_unordered(left: list[Form], right: list[Form], graded: bool, deadline: float) -> Verdict:
    """Equal texts are paired first; what remains is paired by comparison, if it is little."""
    remaining = list(right)
    unmatched: list[Form] = []
    texts = [form.text for form in remaining]
    for form in left:
        if form.text in texts:
            place = texts.index(form.text)
            del texts[place], remaining[place]
        else:
            unmatched.append(form)
    if len(unmatched) > _MAX_UNMATCHED:
        return Verdict(None, "too_long")
    rule, undecided = "text", ""
    for form in unmatched:
        for place, candidate in enumerate(remaining):
            verdict = compare_forms(form, candidate, graded=graded, deadline=deadline)
            if verdict.equal:
                rule = verdict.rule
                del remaining[place]
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


class _VerdictCache:
    """The verdicts of workers, least recently used first; safe between threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._verdicts: OrderedDict[tuple[bool, str, str], Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def get(self, key: tuple[bool, str, str]) -> Verdict | None:
        with self._lock:
            if key in self._verdicts:
                self._verdicts.move_to_end(key)
            return self._verdicts.get(key)

    def put(self, key: tuple[bool, str, str], verdict: Verdict) -> None:
        with self._lock:
            self._verdicts[key] = verdict
            if len(self._verdicts) > self._size:
                self._verdicts.popitem(last=False)


_cache = _VerdictCache(_CACHE_SIZE)
os.register_at_fork(after_in_child=_cache.renew_lock)


def _compare_expressions(first: Form, second: Form, graded: bool, deadline: float) -> Verdict:
    answer, gold = first.latex, second.latex
    if not graded:
        answer, gold = sorted((answer, gold))
    key = (graded, answer, gold)
    known = _cache.get(key)
    if known is not None:
        return known
    stored = stored_verdict(*key)
    if stored is not None:
        verdict = Verdict(*stored)
        _cache.put(key, verdict)
        return verdict
    seconds = deadline - time.monotonic()
    if seconds < 0.01:
        return Verdict(None, "timeout")
    equal, rule = compare_expressions(gold, answer, both=not graded, seconds=seconds)
    verdict = Verdict(equal, rule)
    # What failed for lack of a worker, or of time spent on other members, may succeed later.
    if rule not in ("no_worker", "crash") and (rule != "timeout" or seconds > 0.9 * TIME_LIMIT):
        _cache.put(key, verdict)
    if equal is not None:
        store_verdict(*key, equal, rule)
    return verdict
