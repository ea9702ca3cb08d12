"""Distinct answers of a sample set: which answers count as one when votes are counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from sampleset.answers.maths.equality.comparison import compare_forms
from sampleset.answers.maths.equality.workers import TIME_LIMIT, Budget
from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.forms.simple_forms import Form
from sampleset.answers.maths.numbers.units import units_agree

_MAX_COMPARISONS = 4096
_PATIENCE = 2
_PLAIN = frozenset(("number", "words", "letter", "date", "time", "residue", "opaque"))
_NOTES = {"ambiguous": "ambiguous_parentheses"}


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Answers that are equal.

    Attributes:
        answer: As its first member writes it.
        indices: Indices of the members among the grouped answers, rising.
    """

    answer: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Distinct answers of a set.

    Attributes:
        groups: In order of first appearance; `None` entries belong to no group.
        notes: Names, sorted, of decisions on the set, and of comparisons left undecided:
            `percent_read_as_number`, `ambiguous_parentheses`, `mixed_units`, `timeout`, ...
    """

    groups: tuple[AnswerGroup, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Bucket:
    """Answers with one key; `members` are places in the input."""

    form: Form
    members: list[int]


def group_answers(answers: Sequence[str | None], budget: Budget | None = None) -> Grouping:
    """The distinct answers of a set, without a gold.

    Whether two answers are one depends on the two alone, so no sample can pull others apart or together.
    Texts that are equal after stripping always share a group. Numbers are one if they are the same number as
    it stands: `5`, `5 cm`, `$5` and `5%` are, `5%` and `0.05` are not; where a group holds several units or a
    percentage, that is noted (`mixed_units`, `percent_read_as_number`) and its answer is the first writing of
    the commonest. Other answers are compared pairwise, by algebra where that can help and without tolerance;
    what stays undecided stays apart and is noted. The groups depend on the answers only, not on their order.

    Args:
        answers: Final answers; `None` is no answer and in no group.
        budget: Processor time for the comparisons; comparisons beyond it are undecided.
    """
    budget = budget or Budget()
    notes: set[str] = set()
    buckets: dict[Hashable, _Bucket] = {}
    by_text: dict[str, _Bucket] = {}
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        bucket = by_text.get(answer)
        if bucket is None:
            form = read(answer)
            bucket = by_text[answer] = buckets.setdefault(_key(form), _Bucket(form, []))
        bucket.members.append(index)
    merged = _merge_by_algebra(list(buckets.values()), notes, budget)
    groups = (AnswerGroup(_text(answers, bucket, notes), tuple(sorted(bucket.members))) for bucket in merged)
    return Grouping(tuple(sorted(groups, key=lambda group: group.indices[0])), tuple(sorted(notes)))


def _key(form: Form) -> Hashable:
    return form.number.face if form.number else form.text


def groups_restrict(answers: Sequence[str | None], grouping: Grouping) -> bool:
    """Whether the groups of any part of these answers are these groups, restricted to the part.

    A sufficient condition: nothing was noted or undecided, algebra joined nothing, and no group holds two
    readings of a number, of which the commoner is its answer.
    """
    if grouping.notes:
        return False
    for group in grouping.groups:
        forms = [read(answer) for index in group.indices if (answer := answers[index]) is not None]
        readings = {(form.number.unit, form.number.percent) for form in forms if form.number}
        if len({_key(form) for form in forms}) > 1 or len(readings) > 1:
            return False
    return True


def _text(answers: Sequence[str | None], bucket: _Bucket, notes: set[str]) -> str:
    """The first writing of the commonest reading: of `5 m`, `5 cm`, `5 cm`, the second."""
    texts = [answer for index in sorted(bucket.members) if (answer := answers[index]) is not None]
    if len(set(texts)) == 1:
        return texts[0]
    numbers = [form.number for form in map(read, texts)]
    readings = Counter((number.unit, number.percent) for number in numbers if number)
    if len(readings) < 2:
        return texts[0]
    notes.update(_mixed(readings))
    common = max(readings.values())
    return next(
        text
        for text, number in zip(texts, numbers, strict=True)
        if number and readings[number.unit, number.percent] == common
    )


def _mixed(readings: Iterable[tuple[str | None, bool]]) -> set[str]:
    percent = any(is_percent for _, is_percent in readings)
    units = {unit for unit, _ in readings if unit}
    differ = any(not units_agree(first, second) for first, second in combinations(sorted(units), 2))
    noted = {"percent_read_as_number": percent, "mixed_units": differ}
    return {name for name, holds in noted.items() if holds}


def _merge_by_algebra(buckets: list[_Bucket], notes: set[str], budget: Budget) -> list[_Bucket]:
    """Each bucket joins the first earlier one that equals it."""
    buckets = sorted(
        buckets, key=lambda bucket: (bucket.form.kind in _PLAIN, bucket.form.text, bucket.form.latex)
    )
    merged: list[_Bucket] = []
    strikes: dict[int, int] = defaultdict(int)
    left = _MAX_COMPARISONS
    for bucket in buckets:
        for earlier in merged:
            if earlier.form.kind in _PLAIN and bucket.form.kind in _PLAIN:
                continue
            # An answer that keeps running out of time is not compared with all others.
            if max(strikes[id(bucket)], strikes[id(earlier)]) >= _PATIENCE:
                continue
            if not left:
                notes.add("too_many_comparisons")
                merged.append(bucket)
                break
            left -= 1
            first, second = sorted((earlier.form, bucket.form), key=lambda form: form.text)
            verdict = compare_forms(first, second, "vote", budget.part(TIME_LIMIT))
            if verdict.equal:
                earlier.members.extend(bucket.members)
                break
            if verdict.equal is None:
                notes.add(_NOTES.get(verdict.rule, verdict.rule))
                if verdict.rule in ("timeout", "memory", "crash"):
                    strikes[id(bucket)] += 1
                    strikes[id(earlier)] += 1
        else:
            merged.append(bucket)
    return merged
