"""Sample sets with their gold answers → numbers that a vote can be fitted on.

Features are computed from the input of an aggregator. The gold answer only labels the right candidates.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from sampleset.aggregators.base import Aggregator, Tally, tally
from sampleset.aggregators.calculator import calculated
from sampleset.aggregators.learned_vote import (
    READER,
    REWARD,
    columns_by_group,
    models_of_set,
    told_columns,
)
from sampleset.datasets.base import GOLD_REMEDY, has_readable_gold, question_key, scorer_for
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation.subsets import subsets_of
from sampleset.grading.grade import grade
from sampleset.models.together import in_order
from sampleset.reward_models.base import Reduction, RewardModel
from sampleset.storage.records import StoredSet
from sampleset.types import Problem
from sampleset.wording import plural

LEAST_CHOICES = 20
"""Fewest questions with right and wrong answers on which weights are fitted."""


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How labelled sets are read.

    Attributes:
        ks: Sizes of the subsets that are fitted on; whole sets by default.
        subsets: Most subsets per question and size.
        keep_thinking: Whether a sample's text before `</think>` is read.
        steps: How a process model's scores of a sample's steps are reduced to one.
        seed: Seed of the subsets.
        calculator: Whether samples count for what they calculate, as in the aggregator of that name.
    """

    ks: tuple[int, ...] | None = None
    subsets: int = 8
    keep_thinking: bool = False
    steps: Reduction = "last"
    seed: int = 0
    calculator: bool = False

    def __post_init__(self) -> None:
        if self.subsets < 1:
            raise InvalidArgumentError(f"subsets={self.subsets!r} must be at least 1.")


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """One set, or a subset of one, as numbers.

    Attributes:
        question: Key of the question; equal for all sets on it.
        kind: The kind of its answers, without the kind's option.
        n: Number of samples.
        models: Names of the models that drew them.
        groups: Indices of each candidate's samples.
        right: Whether each candidate is right.
        columns: The features by name: one number per sample, `None` if not recorded.
        prompt: Name and version of the prompt it was asked with; `None` if not recorded.
        stated_vote_right: Where the calculator changed samples, the probability that the vote on what was
            stated is right.
    """

    question: str
    kind: str
    n: int
    models: frozenset[str]
    groups: tuple[tuple[int, ...], ...]
    right: tuple[bool, ...]
    columns: Mapping[str, Sequence[float | None]]
    prompt: str | None = None
    stated_vote_right: float | None = None

    @property
    def votes(self) -> list[int]:
        """Number of samples of each candidate."""
        return [len(group) for group in self.groups]

    @property
    def teaches(self) -> bool:
        """Whether some candidates are right and some are not."""
        return any(self.right) and not all(self.right)

    @property
    def vote_right(self) -> float:
        """Probability that the vote is right, in [0, 1]; between 0 and 1 only for ties."""
        return self.aided_vote_right if self.stated_vote_right is None else self.stated_vote_right

    @property
    def aided_vote_right(self) -> float:
        """The same of the vote over the candidates, which the calculator may have changed."""
        return chance_of_vote(self.votes, self.right)

    @property
    def answering(self) -> list[int]:
        """Indices of the samples with an answer."""
        return [index for group in self.groups for index in group]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labelled sets that a vote is fitted on.

    Attributes:
        sets: The sets in the order read.
        digest: Digest of the questions, their gold answers and samples.
        notes: Notes on the files for the user.
        groups: The group of each feature.
        calculator: Whether samples count for what they calculate.
    """

    sets: tuple[LabelledSet, ...]
    digest: str
    notes: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    calculator: bool = False

    @property
    def questions(self) -> list[str]:
        """The distinct questions, in an order that depends on their texts alone."""
        return sorted({labelled_set.question for labelled_set in self.sets}, key=_digest)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


@dataclass(slots=True)
class _Reading:
    """Counts and notes while files are read."""

    unreadable: int = 0
    without_gold: int = 0
    undecided: int = 0
    miscalculated: int = 0
    unnamed: dict[str, None] = field(default_factory=dict[str, None])
    failed: dict[str, int] = field(default_factory=dict[str, int])
    groups: dict[str, str] = field(default_factory=dict[str, str])


async def read_labels(
    files: Iterable[Iterable[StoredSet]],
    options: LabelOptions,
    reader: Aggregator | None = None,
    reward_model: RewardModel | None = None,
    max_concurrency: int = 8,
    on_progress: Callable[[int], None] | None = None,
) -> Labels:
    """The labelled sets of some files.

    Args:
        files: Sets with gold answers.
        options: How they are read.
        reader: Aggregator whose score of each candidate is a feature.
        reward_model: Reward model whose score of each sample is a feature.
        max_concurrency: Sets in work at once.
        on_progress: Called with the number of sets read.

    Raises:
        DataError: No set has a readable gold answer, or the labels cannot be fitted on.
        BackendError: The reader or the reward model cannot be asked.
    """
    reading, digest = _Reading(), hashlib.sha256()
    sets: list[LabelledSet] = []
    read = 0

    async def work(stored: StoredSet) -> tuple[StoredSet, list[LabelledSet]]:
        return stored, [one async for one in _labelled(stored, options, reader, reward_model, reading)]

    async for stored, labelled in in_order(chain.from_iterable(files), work, max_concurrency):
        read += 1
        sets += labelled
        texts = [sample.text for sample in stored.sample_set.samples]
        content = (stored.problem.question.text, stored.problem.answer, texts)
        digest.update(repr(content).encode("utf-8", "replace"))
        if on_progress is not None:
            on_progress(read)
    if not sets:
        raise DataError(
            f"None of the {read} sample sets has a gold answer that can be read ({reading.without_gold} have "
            f"none, {reading.unreadable} one that cannot be read). {GOLD_REMEDY}"
        )
    labels = Labels(
        tuple(sets), digest.hexdigest()[:16], _notes(reading), dict(reading.groups), options.calculator
    )
    _require_lessons(labels)
    return labels


async def _labelled(
    stored: StoredSet,
    options: LabelOptions,
    reader: Aggregator | None,
    reward_model: RewardModel | None,
    reading: _Reading,
) -> AsyncIterator[LabelledSet]:
    problem, stored_set = stored.problem, stored.sample_set
    if problem.answer is None:
        reading.without_gold += 1
        return
    if not has_readable_gold(problem):
        reading.unreadable += 1
        return
    for name, value in stored.row.items():
        if (
            "model" in name
            and isinstance(value, list)
            and len(value) == stored_set.n  # type: ignore[arg-type]
            and all(sample.model is None for sample in stored_set.samples)
        ):
            reading.unnamed[name] = None
    sample_set = stored_set if options.keep_thinking else stored_set.without_thinking()
    if scorer_for(problem) is None:
        problem = replace(problem, extra={})
    if not options.calculator:
        told = calculated(sample_set).samples
        reading.miscalculated += sum(
            one is not two for one, two in zip(told, sample_set.samples, strict=True)
        )
    grades: dict[str, bool] = {}
    for indices in _subsets(sample_set.n, sample_set.id, options):
        stated = sample_set.subset(indices)
        subset = calculated(stated) if options.calculator else stated
        counted = await tally(subset)
        right = await _rights(counted, problem, grades, reading)
        stated_vote_right = None
        if subset is not stated:
            voted = await tally(stated)
            votes = [candidate.votes for candidate in voted.candidates]
            stated_vote_right = chance_of_vote(votes, await _rights(voted, problem, grades, reading))
        columns: dict[str, Sequence[float | None]] = {}
        for group, of_group in columns_by_group(subset, counted).items():
            columns.update(of_group)
            reading.groups.update(dict.fromkeys(of_group, group))
        if reader is not None or reward_model is not None:
            if len(counted.candidates) > 1:
                model_columns, _, flags = await told_columns(
                    subset, counted, reader, reward_model, options.steps
                )
                for flag in flags:
                    reading.failed[flag] = reading.failed.get(flag, 0) + 1
            else:
                model_features = (READER if reader else None, REWARD if reward_model else None)
                model_columns = {name: [0.0] * subset.n for name in model_features if name is not None}
            columns.update(model_columns)
        yield LabelledSet(
            question=question_key(problem.question.text),
            kind=problem.question.answer_kind.partition(":")[0],
            n=subset.n,
            models=frozenset(models_of_set(subset)),
            groups=tuple(candidate.indices for candidate in counted.candidates),
            right=tuple(right),
            columns=columns,
            prompt=subset.prompt,
            stated_vote_right=stated_vote_right,
        )


def _subsets(n: int, identity: str, options: LabelOptions) -> list[tuple[int, ...]]:
    if options.ks is None:
        return [tuple(range(n))]
    return [
        indices
        for k in options.ks
        if k <= n
        for indices in subsets_of(n, k, options.subsets, options.seed, identity)
    ]


def chance_of_vote(votes: Sequence[int], right: Sequence[bool]) -> float:
    """Probability that the vote over candidates is right, in [0, 1]; between 0 and 1 only for ties."""
    heaviest = [is_right for count, is_right in zip(votes, right, strict=True) if count == max(votes)]
    return sum(heaviest) / len(heaviest) if heaviest else 0.0


async def _rights(counted: Tally, problem: Problem, grades: dict[str, bool], reading: _Reading) -> list[bool]:
    return [await _right(candidate.answer, problem, grades, reading) for candidate in counted.candidates]


async def _right(answer: str, problem: Problem, grades: dict[str, bool], reading: _Reading) -> bool:
    if answer not in grades:
        correct = (await grade(answer, problem)).correct
        reading.undecided += correct is None
        grades[answer] = correct is True
    return grades[answer]


def _notes(reading: _Reading) -> tuple[str, ...]:
    notes: list[str] = []
    if reading.without_gold or reading.unreadable:
        notes.append(
            f"left out: {plural(reading.without_gold, 'set')} without a gold answer, "
            f"{reading.unreadable} with one that cannot be read"
        )
    if reading.undecided:
        notes.append(
            f"wrong, since they could not be compared with gold: {plural(reading.undecided, 'answer')}"
        )
    if reading.miscalculated:
        notes.append(
            f"calculations that come to another number than is stated: "
            f"{plural(reading.miscalculated, 'sample')}; --calculator counts what they come to"
        )
    for name in reading.unnamed:
        notes.append(
            f"column {name!r} seems to name the model of each sample; it is used only if it is `model` in "
            "each sample's row, as `sampleset sample --pool` writes it"
        )
    notes += [
        f"{plural(count, 'set')} with a sample flagged {flag}"
        for flag, count in sorted(reading.failed.items())
    ]
    return tuple(notes)


def _require_lessons(labels: Labels) -> None:
    """Refuse labels that nothing can be fitted on.

    Raises:
        DataError: It says what is missing.
    """
    questions = labels.questions
    teaching = {labelled_set.question for labelled_set in labels.sets if labelled_set.teaches}
    answered = [labelled_set for labelled_set in labels.sets if labelled_set.groups]
    if not answered:
        raise DataError(
            f"No sample of the {plural(len(labels.sets), 'set')} states an answer. Is the answer kind right "
            "(--answer-kind)?"
        )
    if not any(any(labelled_set.right) for labelled_set in answered):
        raise DataError(
            f"By the labels of {plural(len(questions), 'question')} no sample is right. Check the "
            "labels and how they are compared: --columns answer=NAME, --answer-kind KIND."
        )
    if all(all(labelled_set.right) for labelled_set in answered):
        raise DataError(
            f"By the labels of {plural(len(questions), 'question')} every sample is right, so that "
            "there is nothing to learn. "
            "The vote does as well as anything; label harder questions, or check the labels."
        )
    if len(teaching) < LEAST_CHOICES:
        share = len(teaching) / len(questions)
        wanted = "more"
        if teaching:
            wanted = f"some {-(-LEAST_CHOICES * len(questions) // len(teaching)):,} labelled questions"
        raise DataError(
            f"{len(teaching)} of the {len(questions)} labelled questions ({share:.0%}) have right and wrong "
            f"answers to choose between; {LEAST_CHOICES} are needed to fit anything: {wanted} like these."
        )
