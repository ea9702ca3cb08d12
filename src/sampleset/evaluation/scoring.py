"""One problem: every method on every subset of its samples, graded. Runs in worker processes.

Methods that call no model run here. The answers of the other methods are part of the `Work`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampleset.aggregators.base import Aggregator, remember_tally
from sampleset.aggregators.confident import stated_confidence
from sampleset.aggregators.learned_vote import models_of_set
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.answers import kind_of
from sampleset.evaluation.parts import Parts
from sampleset.evaluation.results import QuestionResult
from sampleset.evaluation.subsets import Subset, curve_sizes, permuted, subsets_of
from sampleset.grading.grade import grade
from sampleset.types import Answer, Problem, SampleSet

REFERENCE = "majority_vote"
_FALLBACKS = frozenset({"fallback_vote", "no_weights", "features_missing"})
"""Flags of an answer that is the majority vote's because the method could not give one itself."""
_UNCONTESTED = frozenset({"unanimous", "no_answers"})
"""Flags of a set in which there was nothing to decide."""
_CHARACTERS_PER_TOKEN = 4
"""Estimate for texts whose tokens were not recorded."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The subsets and orders that every method reads.

    Attributes:
        ks: Subset sizes, rising.
        subsets: Most subsets per problem and k.
        permutations: Further orders of the first subset, by method label.
        seed: Seed of subsets and orders.
    """

    ks: tuple[int, ...]
    subsets: int
    permutations: Mapping[str, int]
    seed: int

    def subsets_for(self, problem_id: str, n: int, k: int) -> tuple[Subset, ...]:
        """The subsets of k of a problem's n samples."""
        return subsets_of(n, k, self.subsets, self.seed, problem_id)

    def orders_for(self, label: str, problem_id: str, subset: Subset) -> list[Subset]:
        """The further orders in which a method reads a subset; none for a single sample."""
        if len(subset) < 2:
            return []
        return [
            permuted(subset, self.seed, number, problem_id)
            for number in range(1, self.permutations[label] + 1)
        ]


@dataclass(frozen=True, slots=True)
class MethodAnswers:
    """A method's answers at one k: one per subset, and one per further order of the first subset."""

    answers: Sequence[Answer]
    reordered: Sequence[Answer] = ()

    @property
    def all(self) -> tuple[Answer, ...]:
        """Every answer."""
        return (*self.answers, *self.reordered)


@dataclass(frozen=True, slots=True)
class Work:
    """One problem to score.

    Attributes:
        file: Name of the file of sample sets.
        sample_set: All its samples.
        problem: The same question with its gold answer.
        aggregators: The methods that call no model, by label.
        method_answers: The answers of the other methods, by label and k.
        labels: Labels of all methods, in order.
        plan: Subsets and orders.
    """

    file: str
    sample_set: SampleSet
    problem: Problem
    aggregators: Mapping[str, Aggregator]
    method_answers: Mapping[str, Mapping[int, MethodAnswers]]
    labels: tuple[str, ...]
    plan: Plan


@dataclass(slots=True)
class MethodScores:
    """Sums over the subsets of one problem at one k. Divided by the number of subsets they are shares.

    Attributes:
        minority: Right where the vote is wrong and some sample is right.
        all_wrong: Right where no sample is right.
        harm: Not right where the vote is right.
        by_right_samples: How often right, by the number of right samples in the subset.
        confidences: Confidence and correctness of each answer that has one.
        fallbacks: Answers that are the vote's because the method could not give one itself.
        contested: Other answers, but for those of sets with one answer, or none, to choose from.
        flips: Answers that another order of the samples changed, of `reordered`.
        evidence: Sizes of what spoke for the answers, by name, in sum.
    """

    right: int = 0
    undecided: int = 0
    abstained: int = 0
    failed: int = 0
    minority: int = 0
    all_wrong: int = 0
    harm: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    uncounted: int = 0
    flips: int = 0
    reordered: int = 0
    by_right_samples: Counter[int] = field(default_factory=Counter[int])
    confidences: list[tuple[float, bool]] = field(default_factory=list[tuple[float, bool]])
    flags: Counter[str] = field(default_factory=Counter[str])
    fallbacks: int = 0
    contested: int = 0
    evidence: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(slots=True)
class PointScores:
    """Sums over the subsets of one problem at one k. Each has `size` samples: k, or all of a stopped set."""

    subsets: int
    all_subsets: bool
    size: int
    minority: int = 0
    all_wrong: int = 0
    vote_right: int = 0
    by_right_samples: Counter[int] = field(default_factory=Counter[int])
    methods: dict[str, MethodScores] = field(default_factory=dict[str, MethodScores])


@dataclass(frozen=True, slots=True)
class SampleTokens:
    """Mean tokens of one sample of a problem. Unrecorded tokens are estimated from the texts' length.

    Attributes:
        guessed: Share of samples with estimated tokens.
    """

    prompt: float = 0.0
    completion: float = 0.0
    guessed: float = 0.0

    def plus(self, other: SampleTokens, times: float) -> SampleTokens:
        """The sum of these tokens and `times` the others."""
        return SampleTokens(
            self.prompt + times * other.prompt,
            self.completion + times * other.completion,
            self.guessed + times * other.guessed,
        )


@dataclass(frozen=True, slots=True)
class ProblemScores:
    """The scores of one problem.

    Attributes:
        n: Number of samples.
        stopped: Whether a stopping rule ended the drawing.
        right: Number of right samples.
        undecided: Number of samples that could not be graded.
        curve: By k, share of subsets on which the vote is right.
        tokens: Tokens of its samples, by the model that drew them.
        points: Scores by k.
        question: The record to read.
    """

    n: int
    stopped: bool
    right: int
    undecided: int
    level: str | None
    subject: str | None
    curve: Mapping[int, float]
    tokens: Mapping[str, SampleTokens]
    points: Mapping[int, PointScores]
    question: QuestionResult


def score_problems(works: Sequence[Work]) -> list[ProblemScores]:
    """Run the methods that call no model on each problem, and grade all answers."""

    async def scores() -> list[ProblemScores]:
        return [await _Scorer(work).scores() for work in works]

    return asyncio.run(scores())


class _Scorer:
    """Scores one problem. Its answers are grouped once, and each distinct answer is graded once."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._set = work.sample_set
        self._grades: dict[str | None, bool | None] = {}
        self._subsets: dict[Subset, SampleSet] = {}
        self._vote = MajorityVote()
        reference = work.aggregators.get(REFERENCE)
        if isinstance(reference, MajorityVote):
            self._vote = reference

    async def _grade(self, answer: str | None) -> bool | None:
        if answer not in self._grades:
            self._grades[answer] = (await grade(answer, self._work.problem)).correct
        return self._grades[answer]

    async def scores(self) -> ProblemScores:
        plan, n = self._work.plan, self._set.n
        self._parts = await Parts.of(self._set)
        self._sample_answers = self._parts.full_tally.answers
        self._sample_right = tuple([await self._grade(answer) for answer in self._sample_answers])
        curve: dict[int, float] = {}
        points: dict[int, PointScores] = {}
        by_method: dict[str, MethodAnswers] = {}
        first_subset: Subset = ()
        sizes = {k: k for k in curve_sizes(n)}
        sizes |= {k: size for k in plan.ks if (size := self._set.size_at(k)) is not None}
        sample_right = [correct is True for correct in self._sample_right]
        for k in sorted(sizes):
            settled = self._parts.settled(sizes[k], sample_right)
            if settled is not None and k not in plan.ks:
                curve[k] = float(settled)
                continue
            subsets = plan.subsets_for(self._set.id, n, sizes[k])
            votes = await self._votes_right(subsets) if settled is None else [settled] * len(subsets)
            curve[k] = sum(votes) / len(votes)
            if k in plan.ks:
                first_subset = subsets[0]
                by_method = {
                    label: await self._method_answers(label, k, subsets) for label in self._work.labels
                }
                self._subsets.clear()
                points[k] = await self._point(subsets, votes, by_method)
        return ProblemScores(
            n=n,
            stopped=self._set.stopped is not None,
            right=sum(sample_right),
            undecided=sum(correct is None for correct in self._sample_right),
            level=self._work.problem.level,
            subject=self._work.problem.subject,
            curve=curve,
            tokens=tokens_by_model(self._set),
            points=points,
            question=await self._question(first_subset, by_method, points),
        )

    async def _votes_right(self, subsets: Sequence[Subset]) -> list[bool]:
        """Whether the vote is right, by subset."""
        if not self._parts.restricts:
            return [
                await self._grade(await self._parts.vote(subset, self._vote)) is True for subset in subsets
            ]
        winners = [self._parts.winner(subset, self._vote) for subset in subsets]
        return [winner is not None and self._sample_right[winner] is True for winner in winners]

    async def _method_answers(self, label: str, k: int, subsets: Sequence[Subset]) -> MethodAnswers:
        """A method's answers to these subsets, and to the first in other orders."""
        if label in self._work.method_answers:
            return self._work.method_answers[label][k]
        aggregator = self._work.aggregators[label]
        orders = self._work.plan.orders_for(label, self._set.id, subsets[0])
        answers = [await self._answer(aggregator, indices) for indices in (*subsets, *orders)]
        return MethodAnswers(answers[: len(subsets)], answers[len(subsets) :])

    async def _answer(self, aggregator: Aggregator, indices: Subset) -> Answer:
        if indices not in self._subsets:
            self._subsets[indices] = self._set.subset(indices)
        remember_tally(self._subsets[indices], await self._parts.tally(indices))
        return await aggregator.aggregate(self._subsets[indices])

    async def _point(
        self, subsets: Sequence[Subset], vote_right: Sequence[bool], by_method: Mapping[str, MethodAnswers]
    ) -> PointScores:
        n, size = self._set.n, len(subsets[0])
        point = PointScores(len(subsets), len(subsets) == math.comb(n, size), size)
        right_samples = [sum(self._sample_right[index] is True for index in subset) for subset in subsets]
        for count, voted in zip(right_samples, vote_right, strict=True):
            point.by_right_samples[count] += 1
            point.vote_right += voted
            point.all_wrong += count == 0
            point.minority += count > 0 and not voted
        for label, method_answers in by_method.items():
            scores = point.methods[label] = MethodScores()
            for answer, count, voted in zip(method_answers.answers, right_samples, vote_right, strict=True):
                await self._add(scores, answer, count, voted)
            for answer in method_answers.reordered:
                scores.reordered += 1
                scores.flips += await self._changed(method_answers.answers[0].answer, answer.answer)
        return point

    async def _add(self, scores: MethodScores, answer: Answer, right_samples: int, voted: bool) -> None:
        correct = await self._grade(answer.answer)
        right = correct is True
        scores.right += right
        scores.undecided += correct is None
        scores.abstained += answer.answer is None
        scores.failed += "failed" in answer.flags
        scores.minority += right and right_samples > 0 and not voted
        scores.all_wrong += right and right_samples == 0
        scores.harm += voted and not right
        scores.by_right_samples[right_samples] += right
        flags = set(answer.flags)
        scores.flags.update(flags)
        if flags & _FALLBACKS:
            scores.fallbacks += 1
        elif not flags & _UNCONTESTED:
            scores.contested += 1
        for name, size in answer.evidence.items():
            scores.evidence[name] = scores.evidence.get(name, 0.0) + abs(size)
        if answer.confidence is not None and answer.answer is not None:
            scores.confidences.append((answer.confidence, right))
        usage = answer.usage
        scores.prompt_tokens += usage.prompt_tokens
        scores.completion_tokens += usage.completion_tokens
        scores.calls += usage.calls
        scores.uncounted += usage.uncounted

    async def _changed(self, before: str | None, after: str | None) -> bool:
        if before is None or after is None:
            return before is not after
        return (await kind_of(self._set.question).same(before, after)).equal is not True

    async def _question(
        self, subset: Subset, by_method: Mapping[str, MethodAnswers], points: Mapping[int, PointScores]
    ) -> QuestionResult:
        problem, samples = self._work.problem, self._set.samples
        first = {label: method_answers.answers[0] for label, method_answers in by_method.items()}
        texts = {sample.text for sample in samples}
        return QuestionResult(
            file=self._work.file,
            id=problem.id,
            question=problem.question.text,
            gold=problem.answer or "",
            level=problem.level,
            subject=problem.subject,
            k=len(subset),
            shown=subset,
            samples=tuple(samples[index].error or samples[index].text for index in subset),
            sample_answers=tuple(self._sample_answers[index] for index in subset),
            sample_right=tuple(self._sample_right[index] for index in subset),
            answers={label: answer.answer for label, answer in first.items()},
            right={label: await self._grade(answer.answer) for label, answer in first.items()},
            confidences={
                label: confidence
                for label, answer in first.items()
                if (confidence := stated_confidence(answer)) is not None
            },
            evidence={label: answer.evidence for label, answer in first.items() if answer.evidence},
            texts={
                label: answer.text
                for label, answer in first.items()
                if answer.text and answer.text not in texts
            },
            accuracies={
                str(k): {label: scores.right / point.subsets for label, scores in point.methods.items()}
                for k, point in points.items()
            },
            models=tuple(sorted(models_of_set(self._set.subset(subset)))),
            answer_kind=problem.question.answer_kind,
            prompt=self._set.prompt,
        )


def tokens_by_model(sample_set: SampleSet) -> dict[str, SampleTokens]:
    """Tokens by the model that drew the samples, each divided by the number of all samples of the set."""
    sums: dict[str, SampleTokens] = {}
    for sample in sample_set.samples:
        model = sample.model or sample_set.model or "unknown"
        tokens = SampleTokens(
            recorded_tokens(sample.prompt_tokens, sample_set.question.text),
            recorded_tokens(sample.completion_tokens, sample.text),
            sample.completion_tokens is None or sample.prompt_tokens is None,
        )
        sums[model] = sums.get(model, SampleTokens()).plus(tokens, 1 / sample_set.n)
    return sums


def recorded_tokens(tokens: int | None, text: str) -> float:
    """The tokens of a text, estimated from its length if `tokens` is `None`."""
    return tokens if tokens is not None else len(text) / _CHARACTERS_PER_TOKEN
