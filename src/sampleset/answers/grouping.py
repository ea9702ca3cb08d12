"""Distinct answers of a sample set: which answers count as one when votes are counted."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sampleset.answers.maths.equivalence import TOLERANCE, compare_forms, is_endless
from sampleset.answers.maths.forms import Form, read

_MAX_COMPARISONS = 4096
_PATIENCE = 2
_PLAIN = frozenset(("number", "words", "letter", "date", "opaque"))
_NOTES = {"ambiguous": "ambiguous_parentheses"}


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Answers that are one.

    Attributes:
        answer: As its first member writes it.
        indices: Places of the members in what was grouped, rising.
    """

    answer: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Distinct answers of a set.

    Attributes:
        groups: In order of first appearance; `None` entries belong to no group.
        notes: What was decided on the whole set or left undecided, by name and sorted:
            `percent_read_as_number`, `ambiguous_parentheses`, `mixed_units`, `timeout`, ...
    """

    groups: tuple[AnswerGroup, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Bucket:
    """Answers with one key; `members` are places in the input."""

    form: Form
    members: list[int]


def group_answers(answers: Sequence[str | None]) -> Grouping:
    """The distinct answers of a set, without a gold.

    Texts that are equal after stripping always share a group. Numbers of one value share one
    (exactly, and within the tolerance of `same_answer` where one is a decimal and the other has no
    finite expansion); different known units keep them apart, and then a bare number stands alone
    (note `mixed_units`). A percentage joins its value (`25%` and `0.25`) if the set has it, else
    the bare number before its sign (`25%` and `25`), noted as `percent_read_as_number`; two
    percentages are one only if they are equal. Other answers are compared pairwise, by algebra where that
    can help, and a decimal joins the root that it is a decimal of; what stays undecided stays apart and is
    noted. The result depends on the answers only, not on their order.
    """
    notes: set[str] = set()
    buckets: dict[Hashable, _Bucket] = {}
    for place, answer in enumerate(answers):
        if answer is None:
            continue
        form = read(answer)
        buckets.setdefault(_key(form), _Bucket(form, [])).members.append(place)
    numbers = [bucket for bucket in buckets.values() if bucket.form.number]
    others = [bucket for bucket in buckets.values() if not bucket.form.number]
    merged = _merge_numbers(numbers, notes)
    merged = _merge_by_algebra(merged + others, notes)
    groups = (AnswerGroup(_text(answers, bucket), tuple(sorted(bucket.members))) for bucket in merged)
    return Grouping(tuple(sorted(groups, key=lambda group: group.indices[0])), tuple(sorted(notes)))


def groups_restrict(answers: Sequence[str | None], grouping: Grouping) -> bool:
    """Whether the groups of any part of these answers are these groups, restricted to the part.

    A sufficient condition: nothing was noted, there is no percentage, and no group joins answers that differ
    in their key, but for numbers of one value where no answer needs algebra.
    """
    if grouping.notes:
        return False
    forms = {answer: read(answer) for answer in answers if answer is not None}
    if any(form.number and form.number.percent for form in forms.values()):
        return False
    plain = all(form.kind in _PLAIN for form in forms.values())
    for group in grouping.groups:
        members = [forms[answer] for place in group.indices if (answer := answers[place]) is not None]
        if len({_key(form) for form in members}) == 1:
            continue
        numbers = [form.number for form in members if form.number]
        values, units = {number.value for number in numbers}, {number.unit for number in numbers}
        if not plain or len(numbers) < len(members) or len(values) > 1 or len(units - {None}) > 1:
            return False
    return True


def _key(form: Form) -> Hashable:
    number = form.number
    return (number.value, number.unit, number.percent, number.decimal) if number else form.text


def _text(answers: Sequence[str | None], bucket: _Bucket) -> str:
    text = answers[min(bucket.members)]
    assert text is not None
    return text


def _merge_numbers(buckets: Iterable[_Bucket], notes: set[str]) -> list[_Bucket]:
    """Numbers by value, then percentages, then decimals of endless fractions."""
    by_value: dict[Fraction, list[_Bucket]] = defaultdict(list)
    for bucket in buckets:
        by_value[_value(bucket)].append(bucket)
    for value in list(by_value):
        bare = by_value.get(value * 100, [])
        # A number that is the value of another percentage is not this one's: 1 beside 1% and 100%.
        if bare and all(map(_is_percentage, by_value[value])) and not any(map(_is_percentage, bare)):
            bare += by_value.pop(value)
            notes.add("percent_read_as_number")
    decimals = sorted(
        value
        for value, same in by_value.items()
        if any(bucket.form.number and bucket.form.number.decimal for bucket in same) and not is_endless(value)
    )
    for value in sorted(value for value in by_value if is_endless(value)):
        reach = abs(value) * TOLERANCE
        for near in decimals[bisect_left(decimals, value - 2 * reach) :]:
            if near > value + 2 * reach:
                break
            if abs(near - value) <= TOLERANCE * max(abs(near), abs(value)) and near in by_value:
                by_value[value] += by_value.pop(near)
    return [bucket for same in by_value.values() for bucket in _merge_units(same, notes)]


def _value(bucket: _Bucket) -> Fraction:
    assert bucket.form.number is not None
    return bucket.form.number.value


def _is_percentage(bucket: _Bucket) -> bool:
    return bucket.form.number is not None and bucket.form.number.percent


def _merge_units(buckets: list[_Bucket], notes: set[str]) -> list[_Bucket]:
    """One bucket if the numbers name at most one unit, else one for each unit and one for none.

    `8 hours` is the same as `8 hours per day`, unless there is another rate in hours.
    """
    by_unit: dict[str | None, list[_Bucket]] = defaultdict(list)
    for bucket in buckets:
        by_unit[bucket.form.number.unit if bucket.form.number else None].append(bucket)
    for unit in list(filter(None, by_unit)):
        rates = [other for other in by_unit if other and other.startswith(f"{unit}/")]
        if len(rates) == 1:
            by_unit[rates[0]] += by_unit.pop(unit)
    units = [unit for unit in by_unit if unit is not None]
    if len(units) > 1:
        notes.add("mixed_units")
        return [_join(same) for same in by_unit.values()]
    return [_join(buckets)]


def _join(buckets: list[_Bucket]) -> _Bucket:
    ordered = sorted(buckets, key=lambda bucket: (bucket.form.text, bucket.form.latex))
    return _Bucket(ordered[0].form, [place for bucket in ordered for place in bucket.members])


def _merge_by_algebra(buckets: list[_Bucket], notes: set[str]) -> list[_Bucket]:
    """Each bucket joins the first earlier one that equals it.

    Plain ones come last: two decimals of one root are not equal, and meet in the group of the root.
    """
    buckets = sorted(buckets, key=lambda one: (one.form.kind in _PLAIN, one.form.text, one.form.latex))
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
            verdict = compare_forms(
                *sorted((earlier.form, bucket.form), key=lambda form: form.text), graded=False
            )
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
