"""The answer kind `number`: numbers that are equal within a tolerance.

Nearness is not transitive: within 0.1, 1.0 is near 1.1 and 1.1 near 1.2, but 1.0 is not near 1.2. So votes
are grouped by a rule that does not depend on their order: the number that most votes lie near becomes a
centre (of several such the smallest), all votes near it make one group, and so on with those that are left.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from sampleset.answers.grouping import Grouping
from sampleset.answers.keyed import grouped_by
from sampleset.answers.maths.equality.verdicts import Verdict
from sampleset.answers.maths.equality.workers import Budget
from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.reading.extraction import Extracted, extract_answer
from sampleset.errors import InvalidArgumentError

_TOLERANCE = re.compile(r"(\d{1,30}(?:\.\d{1,30})?|\.\d{1,30})(?:[eE]([+-]?\d{1,2}))?(%?)")


@dataclass(frozen=True, slots=True)
class Number:
    """Numbers by value, whatever their unit.

    Attributes:
        tolerance: How far apart equal numbers may be.
        relative: The tolerance is a share: of the gold number, or of the larger of two answers.
        spec: As users type it.
    """

    tolerance: Fraction = Fraction(0)
    relative: bool = False
    spec: str = "number"

    def check(self) -> None:
        """Nothing is missing."""

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The final answer, if it is a number."""
        answer = extract_answer(text, truncated=truncated)
        return answer if answer and _value(answer.text) is not None else None

    def group(self, answers: Sequence[str | None], budget: Budget | None = None) -> Grouping:
        """Votes near one centre are one; see the module."""
        values = [None if answer is None else _value(answer) for answer in answers]
        centres = self._centres([value for value in values if value is not None])
        return grouped_by([None if value is None else centres[value] for value in values], answers)

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """Not where numbers may be near one another: the most votes decide which number is a centre."""
        return not self.tolerance

    def same(self, a: str, b: str) -> Verdict:
        """Whether two numbers lie within the tolerance of each other."""
        first, second = _value(a), _value(b)
        if first is None or second is None:
            return Verdict(False, "kind")
        return self._near(first, second, max(abs(first), abs(second)))

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether a number lies within the tolerance of the gold one."""
        first, second = _value(answer), _value(gold)
        if first is None or second is None:
            return Verdict(False, "kind")
        return self._near(first, second, abs(second))

    def gold_is_readable(self, gold: str) -> bool:
        """Whether it is a number."""
        return _value(gold) is not None

    def _near(self, first: Fraction, second: Fraction, size: Fraction) -> Verdict:
        reach = self.tolerance * size if self.relative else self.tolerance
        return Verdict(abs(first - second) <= reach, "tolerance" if self.tolerance else "number")

    def _reach(self, value: Fraction) -> tuple[Fraction, Fraction]:
        """The least and the greatest number that is the same as this one."""
        if not self.relative:
            return value - self.tolerance, value + self.tolerance
        # |a - b| <= t·max(|a|, |b|), solved for b on either side of a.
        ends = value * (1 - self.tolerance), value / (1 - self.tolerance)
        return min(ends), max(ends)

    def _centres(self, values: Sequence[Fraction]) -> dict[Fraction, Fraction]:
        """The centre of each value."""
        votes: dict[Fraction, int] = defaultdict(int)
        for value in values:
            votes[value] += 1
        centres: dict[Fraction, Fraction] = {}
        while votes:
            ordered = sorted(votes)
            before = [0, *accumulate(votes[value] for value in ordered)]
            spans = [self._span(ordered, value) for value in ordered]
            weights = [before[end] - before[start] for start, end in spans]
            index = weights.index(max(weights))
            for value in ordered[slice(*spans[index])]:
                centres[value] = ordered[index]
                del votes[value]
            if max(weights) == 1:
                centres |= {value: value for value in votes}
                break
        return centres

    def _span(self, ordered: Sequence[Fraction], value: Fraction) -> tuple[int, int]:
        """Where among the ordered values those near this one begin and end."""
        least, greatest = self._reach(value)
        start, end = bisect_left(ordered, least), bisect_left(ordered, greatest)
        return start, end + (end < len(ordered) and ordered[end] == greatest)


def number_kind(option: str | None) -> Number:
    """The kind that `number`, `number:0.5` (absolute) or `number:1%` (relative) names.

    Raises:
        InvalidArgumentError: The tolerance is no number, or a share of 100 % or more.
    """
    if option is None:
        return Number()
    match = _TOLERANCE.fullmatch(option)
    if match is None:
        raise InvalidArgumentError(
            f"Answer kind 'number:{option}': {option!r} is no tolerance. Write number:0.5, number:1e-6 "
            "or number:1%."
        )
    tolerance = Fraction(match[1]) * Fraction(10) ** int(match[2] or 0) / (100 if match[3] else 1)
    if match[3] and tolerance >= 1:
        raise InvalidArgumentError(f"Answer kind 'number:{option}': a share must be below 100%.")
    return Number(tolerance, bool(match[3]), f"number:{option}")


def _value(answer: str) -> Fraction | None:
    number = read(answer).number
    return number.value if number else None
