"""Problem scores → sums over a file, one problem at a time. Only a few numbers of each problem are kept."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sampleset.evaluation.results import Bin, Calibration, CoveragePoint
from sampleset.evaluation.scoring import MethodScores, PointScores, ProblemScores, SampleTokens
from sampleset.metrics import pass_at_k
from sampleset.risk.thresholds import upper_bound

K = TypeVar("K", str, tuple[str, str])

SliceKey = tuple[str, str]
"""`level`, `subject` or `right_samples`, and its value."""

_CELLS = 1000
_BINS = 10
_BOUNDS = 20
_ROUNDING = 1e-6


def _floats() -> array[float]:
    return array("d")


@dataclass(slots=True)
class ConfidenceTotals:
    """Answers by confidence, in cells of width 0.001: weight, weight of right answers, and confidence."""

    weight: list[float] = field(default_factory=lambda: [0.0] * (_CELLS + 1))
    right: list[float] = field(default_factory=lambda: [0.0] * (_CELLS + 1))
    confidence: list[float] = field(default_factory=lambda: [0.0] * (_CELLS + 1))
    squares: float = 0.0

    def add(self, confidence: float, right: bool, weight: float) -> None:
        """Add one answer."""
        cell = round(confidence * _CELLS)
        self.weight[cell] += weight
        self.right[cell] += weight * right
        self.confidence[cell] += weight * confidence
        self.squares += weight * (confidence - right) ** 2

    def summary(self, problems: int) -> Calibration | None:
        """The calibration over this many problems, `None` if no answer had a confidence."""
        total = sum(self.weight)
        if total == 0:
            return None
        return Calibration(
            brier=self.squares / total,
            answered=total / problems,
            bins=tuple(self._bins()),
            coverage=tuple(self._coverage(problems)),
        )

    def _bins(self) -> Iterable[Bin]:
        width = _CELLS // _BINS
        for number in range(_BINS):
            # The last bin holds the confidence 1 as well.
            cells = slice(number * width, (number + 1) * width + (number == _BINS - 1))
            weight = sum(self.weight[cells])
            if weight > 0:
                confidence, right = sum(self.confidence[cells]), sum(self.right[cells])
                yield Bin(number / _BINS, (number + 1) / _BINS, confidence / weight, right / weight, weight)

    def _coverage(self, problems: int) -> Iterable[CoveragePoint]:
        weight = right = bounded = 0.0
        last = next(cell for cell in range(_CELLS + 1) if self.weight[cell] > 0)
        for cell in range(_CELLS, -1, -1):
            if self.weight[cell] > 0:
                weight += self.weight[cell]
                right += self.right[cell]
                bound = None
                if cell == last or weight >= bounded + problems / _BOUNDS:
                    # A problem with several subsets counts as one answer, wrong ones rounded up.
                    bounded, whole = weight, max(1, math.floor(weight + _ROUNDING))
                    wrong = min(whole, math.ceil(weight - right - _ROUNDING))
                    bound = upper_bound(wrong, whole, 0.95)
                yield CoveragePoint(weight / problems, right / weight, bound)


@dataclass(slots=True)
class MethodTotals:
    """One method at one k. `right` has one share per problem; the other fields are sums over problems."""

    right: array[float] = field(default_factory=_floats)
    undecided: float = 0.0
    abstained: float = 0.0
    failed: float = 0.0
    minority: float = 0.0
    all_wrong: float = 0.0
    harm: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    calls: float = 0.0
    uncounted: float = 0.0
    flips: float = 0.0
    reordered: float = 0.0
    all_failed: bool = True
    slices: dict[SliceKey, float] = field(default_factory=dict[SliceKey, float])
    confidences: ConfidenceTotals = field(default_factory=ConfidenceTotals)
    flags: Counter[str] = field(default_factory=Counter[str])
    fallbacks: int = 0
    contested: int = 0
    evidence: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, scores: MethodScores, subsets: int, level: str | None, subject: str | None) -> None:
        """Add one problem's sums over its subsets."""
        share = scores.right / subsets
        self.right.append(share)
        self.undecided += scores.undecided / subsets
        self.abstained += scores.abstained / subsets
        self.failed += scores.failed / subsets
        self.minority += scores.minority / subsets
        self.all_wrong += scores.all_wrong / subsets
        self.harm += scores.harm / subsets
        self.prompt_tokens += scores.prompt_tokens / subsets
        self.completion_tokens += scores.completion_tokens / subsets
        self.calls += scores.calls / subsets
        self.uncounted += scores.uncounted / subsets
        if scores.reordered:
            self.flips += scores.flips / scores.reordered
            self.reordered += 1
        self.all_failed &= scores.failed == subsets
        for confidence, right in scores.confidences:
            self.confidences.add(confidence, right, 1 / subsets)
        self.flags.update(scores.flags)
        self.fallbacks += scores.fallbacks
        self.contested += scores.contested
        for name, size in scores.evidence.items():
            _increase(self.evidence, name, size / subsets)
        for kind, value in (("level", level), ("subject", subject)):
            if value is not None:
                _increase(self.slices, (kind, value), share)
        for count, right in scores.by_right_samples.items():
            _increase(self.slices, ("right_samples", str(count)), right / subsets)


@dataclass(slots=True)
class PointTotals:
    """One k over the problems with enough samples."""

    pass_at_k: array[float] = field(default_factory=_floats)
    sample_right: array[float] = field(default_factory=_floats)
    smallest: int | None = None
    samples: int = 0
    subsets: int = 0
    all_subsets: bool = True
    oracle: float = 0.0
    minority: float = 0.0
    all_wrong: float = 0.0
    vote_right: float = 0.0
    tokens: dict[str, SampleTokens] = field(default_factory=dict[str, SampleTokens])
    weights: dict[SliceKey, float] = field(default_factory=dict[SliceKey, float])
    oracles: dict[SliceKey, float] = field(default_factory=dict[SliceKey, float])
    methods: dict[str, MethodTotals] = field(default_factory=dict[str, MethodTotals])
    problem_numbers: array[int] = field(default_factory=lambda: array("l"))

    @property
    def problems(self) -> int:
        """How many problems were added."""
        return len(self.pass_at_k)

    def add(self, scores: ProblemScores, point: PointScores, pass_at_k: float, problem_number: int) -> None:
        """Add one problem; `problem_number` is its number in the file, from 0."""
        self.samples += point.size
        subsets = point.subsets
        self.problem_numbers.append(problem_number)
        self.pass_at_k.append(pass_at_k)
        self.sample_right.append(scores.right / scores.n)
        self.smallest = min(self.smallest or scores.n, scores.n)
        self.subsets += subsets
        self.all_subsets &= point.all_subsets
        has_right = 1 - point.all_wrong / subsets
        self.oracle += has_right
        self.minority += point.minority / subsets
        self.all_wrong += point.all_wrong / subsets
        self.vote_right += point.vote_right / subsets
        for model, tokens in scores.tokens.items():
            self.tokens[model] = self.tokens.get(model, SampleTokens()).plus(tokens, point.size)
        for kind, value in (("level", scores.level), ("subject", scores.subject)):
            if value is not None:
                self._slice(kind, value, 1.0, has_right)
        for count, times in point.by_right_samples.items():
            self._slice("right_samples", str(count), times / subsets, (count > 0) * times / subsets)
        for label, method in point.methods.items():
            self.methods.setdefault(label, MethodTotals()).add(method, subsets, scores.level, scores.subject)

    def _slice(self, kind: str, value: str, weight: float, has_right: float) -> None:
        _increase(self.weights, (kind, value), weight)
        _increase(self.oracles, (kind, value), has_right)


def _increase(sums: dict[K, float], key: K, by: float) -> None:
    sums[key] = sums.get(key, 0.0) + by


@dataclass(slots=True)
class CurveTotals:
    """The vote and pass@k at one k, with one value for each problem that has enough samples."""

    problem_numbers: array[int] = field(default_factory=lambda: array("l"))
    vote: array[float] = field(default_factory=_floats)
    pass_at_k: array[float] = field(default_factory=_floats)


@dataclass(slots=True)
class FileTotals:
    """All problems of a file."""

    sizes: Counter[int] = field(default_factory=Counter[int])
    stopped: Counter[int] = field(default_factory=Counter[int])
    undecided_samples: int = 0
    curve: dict[int, CurveTotals] = field(default_factory=dict[int, CurveTotals])
    points: dict[int, PointTotals] = field(default_factory=dict[int, PointTotals])

    @property
    def problems(self) -> int:
        """How many problems were added."""
        return self.sizes.total()

    def add(self, scores: ProblemScores) -> None:
        """Add one problem."""
        problem_number = self.problems
        self.sizes[scores.n] += 1
        self.stopped[scores.n] += scores.stopped
        self.undecided_samples += scores.undecided
        for k, vote in scores.curve.items():
            curve = self.curve.setdefault(k, CurveTotals())
            curve.problem_numbers.append(problem_number)
            curve.vote.append(vote)
            curve.pass_at_k.append(pass_at_k(scores.n, scores.right, min(k, scores.n)))
        for k, point in scores.points.items():
            self.points.setdefault(k, PointTotals()).add(
                scores, point, pass_at_k(scores.n, scores.right, point.size), problem_number
            )

    def vote_at(self, k: int, problem_numbers: Sequence[int]) -> list[float] | None:
        """The vote's shares at k on these problems, `None` if some have too few samples."""
        curve = self.curve.get(k)
        if curve is None:
            return None
        values = dict(zip(curve.problem_numbers, curve.vote, strict=True))
        return (
            [values[number] for number in problem_numbers]
            if all(number in values for number in problem_numbers)
            else None
        )
