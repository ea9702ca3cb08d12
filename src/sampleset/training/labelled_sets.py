"""Sample sets with their gold answers → numbers that a vote can be fitted on.

Features are read from what an aggregator sees; the gold answer only says which candidates are right.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sampleset.aggregators.base import Aggregator, tally
from sampleset.aggregators.learned_vote import (
    READER,
    REWARD,
    candidate_features,
    columns_by_group,
    means_of,
    models_of_set,
    told_columns,
)
from sampleset.datasets.base import has_readable_gold, question_key, scorer_for
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation.subsets import subsets_of
from sampleset.grading.grade import grade
from sampleset.reward_models.base import Reduction, RewardModel
from sampleset.storage.records import StoredSet
from sampleset.training.listwise import Choice, Floats, Stack, stacked
from sampleset.types import Problem
from sampleset.vote_features.base import MEMBER, QUESTION

LEAST_CHOICES = 20
"""Questions that leave a choice below which no weight is worth fitting."""
_FEW_MISSING = 0.05
_FEW_SETS = 5


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How labelled sets are read.

    Attributes:
        ks: Sizes of the subsets that are fitted on; whole sets by default.
        subsets: Most subsets per question and size.
        keep_thinking: Whether what a sample says before `</think>` is read.
        steps: How a process model's scores of a sample's steps become one.
        seed: Seed of the subsets.
    """

    ks: tuple[int, ...] | None = None
    subsets: int = 8
    keep_thinking: bool = False
    steps: Reduction = "last"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.subsets < 1:
            raise InvalidArgumentError(f"subsets={self.subsets!r} must be at least 1.")


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """One set, or a subset of one, as numbers.

    Attributes:
        question: What sets on the same question share.
        kind: The kind of its answers, without the option.
        n: Samples.
        models: Names of those who drew them.
        groups: Places of each candidate's samples.
        right: Which candidates are right.
        columns: The features: one number per sample by name.
    """

    question: str
    kind: str
    n: int
    models: frozenset[str]
    groups: tuple[tuple[int, ...], ...]
    right: tuple[bool, ...]
    columns: Mapping[str, Sequence[float | None]]

    @property
    def votes(self) -> list[int]:
        """How many samples give each candidate."""
        return [len(group) for group in self.groups]

    @property
    def teaches(self) -> bool:
        """Whether some candidates are right and some are not."""
        return any(self.right) and not all(self.right)

    @property
    def vote_right(self) -> float:
        """Chance that the vote is right, ties drawn."""
        heaviest = [
            right for votes, right in zip(self.votes, self.right, strict=True) if votes == max(self.votes)
        ]
        return sum(heaviest) / len(heaviest) if heaviest else 0.0

    @property
    def answering(self) -> list[int]:
        """Places of the samples that state an answer."""
        return [place for group in self.groups for place in group]


@dataclass(frozen=True, slots=True)
class Labels:
    """All that is fitted on.

    Attributes:
        sets: In the order read.
        digest: Of the questions, their gold answers and samples.
        notes: What the user should know of the files.
        groups: The group of each feature.
    """

    sets: tuple[LabelledSet, ...]
    digest: str
    notes: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def questions(self) -> list[str]:
        """The distinct questions, in an order that depends on their texts alone."""
        return sorted({one.question for one in self.sets}, key=_digest)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


@dataclass(slots=True)
class _Reading:
    """What is counted while files are read."""

    unreadable: int = 0
    without_gold: int = 0
    undecided: int = 0
    unnamed: dict[str, None] = field(default_factory=dict[str, None])
    failed: dict[str, int] = field(default_factory=dict[str, int])
    groups: dict[str, str] = field(default_factory=dict[str, str])


async def read_labels(
    files: Iterable[Iterable[StoredSet]],
    options: LabelOptions,
    reader: Aggregator | None = None,
    reward_model: RewardModel | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Labels:
    """The labelled sets of some files.

    Args:
        files: Sets with gold answers.
        options: How they are read.
        reader: Whose score of each candidate is a feature.
        reward_model: Whose score of each sample is a feature.
        on_progress: Called with the number of sets read.

    Raises:
        DataError: No set has a gold answer that can be read, or the labels teach nothing.
        BackendError: The reader or the reward model cannot be asked.
    """
    reading, digest = _Reading(), hashlib.sha256()
    sets: list[LabelledSet] = []
    read = 0
    for stored in (stored for file in files for stored in file):
        read += 1
        async for one in _labelled(stored, options, reader, reward_model, reading):
            sets.append(one)
        texts = [sample.text for sample in stored.sample_set.samples]
        shown = (stored.problem.question.text, stored.problem.answer, texts)
        digest.update(repr(shown).encode("utf-8", "replace"))
        if on_progress is not None:
            on_progress(read)
    if not sets:
        raise DataError(
            f"None of the {read} sample sets has a gold answer that can be read ({reading.without_gold} have "
            f"none, {reading.unreadable} one that cannot be read). Name the column: --columns answer=NAME."
        )
    labels = Labels(tuple(sets), digest.hexdigest()[:16], _notes(reading), dict(reading.groups))
    _require_lessons(labels)
    return labels


async def _labelled(
    stored: StoredSet,
    options: LabelOptions,
    reader: Aggregator | None,
    reward_model: RewardModel | None,
    reading: _Reading,
) -> AsyncIterator[LabelledSet]:
    problem, whole = stored.problem, stored.sample_set
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
            and len(value) == whole.n  # type: ignore[arg-type]
            and all(one.model is None for one in whole.samples)
        ):
            reading.unnamed[name] = None
    sample_set = whole if options.keep_thinking else whole.without_thinking()
    if scorer_for(problem) is None:
        problem = replace(problem, extra={})
    grades: dict[str, bool] = {}
    for places in _subsets(sample_set.n, sample_set.id, options):
        shown = sample_set.subset(places)
        counted = await tally(shown)
        right = [await _right(one.answer, problem, grades, reading) for one in counted.candidates]
        columns: dict[str, Sequence[float | None]] = {}
        for group, of_group in columns_by_group(shown, counted).items():
            columns.update(of_group)
            reading.groups.update(dict.fromkeys(of_group, group))
        if reader is not None or reward_model is not None:
            if len(counted.candidates) > 1:
                told, _, flags = await told_columns(shown, counted, reader, reward_model, options.steps)
                for flag in flags:
                    reading.failed[flag] = reading.failed.get(flag, 0) + 1
            else:
                asked = (READER if reader else None, REWARD if reward_model else None)
                told = {name: [0.0] * shown.n for name in asked if name is not None}
            columns.update(told)
        yield LabelledSet(
            question=question_key(problem.question.text),
            kind=problem.question.answer_kind.partition(":")[0],
            n=shown.n,
            models=frozenset(models_of_set(shown)),
            groups=tuple(one.indices for one in counted.candidates),
            right=tuple(right),
            columns=columns,
        )


def _subsets(n: int, identity: str, options: LabelOptions) -> list[tuple[int, ...]]:
    if options.ks is None:
        return [tuple(range(n))]
    return [
        places
        for k in options.ks
        if k <= n
        for places in subsets_of(n, k, options.subsets, options.seed, identity)
    ]


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
            f"{reading.without_gold} sets without a gold answer and {reading.unreadable} with one that "
            "cannot be read are left out"
        )
    if reading.undecided:
        notes.append(f"{reading.undecided} answers could not be compared with gold, and count as wrong")
    for name in reading.unnamed:
        notes.append(
            f"column {name!r} seems to say which model gave each sample; that is learned from only where it "
            "stands as `model` in the sample's own row, as `sampleset sample --pool` writes it"
        )
    notes += [f"{count} sets have a sample flagged {flag}" for flag, count in reading.failed.items()]
    return tuple(notes)


def _require_lessons(labels: Labels) -> None:
    """Refuse labels that teach nothing, and say what is missing."""
    questions = labels.questions
    teaching = {one.question for one in labels.sets if one.teaches}
    answered = [one for one in labels.sets if one.groups]
    if not answered:
        raise DataError(
            f"No sample of the {len(labels.sets)} sets states an answer. Is the answer kind right "
            "(--answer-kind)?"
        )
    if not any(any(one.right) for one in answered):
        raise DataError(
            f"By the labels of {len(questions)} questions no sample is right. Check the labels and how they "
            "are compared: --columns answer=NAME, --answer-kind KIND."
        )
    if all(all(one.right) for one in answered):
        raise DataError(
            f"By the labels of {len(questions)} questions every sample is right, so that there is nothing to "
            "learn. The vote does as well as anything; label harder questions, or check the labels."
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


@dataclass(frozen=True, slots=True)
class Design:
    """Which features are fitted.

    Attributes:
        names: Those that are, in order.
        left_out: Why others are not, by name.
        recorded: All that the records hold: what home is known by.
    """

    names: tuple[str, ...]
    left_out: Mapping[str, str]
    recorded: tuple[str, ...]


def design_of(labels: Labels, without: Sequence[str] = ()) -> Design:
    """The features that these records hold, and that differ within sets.

    Raises:
        InvalidArgumentError: A feature that is to be left out is none.
        DataError: A feature tells right from wrong without a fault, as a label would.
    """
    present: dict[str, int] = {}
    varying: dict[str, set[str]] = {}
    for one in labels.sets:
        for name, column in one.columns.items():
            values = [column[place] for place in one.answering]
            present[name] = present.get(name, 0) + (None not in values)
            if len(set(values)) > 1:
                varying.setdefault(name, set()).add(one.question)
    names: list[str] = []
    recorded: list[str] = []
    left_out: dict[str, str] = {}
    for unknown in [name for name in without if name not in present and name not in labels.groups.values()]:
        raise InvalidArgumentError(
            f"No feature, and no group of them, {unknown!r} to leave out. There are: "
            f"{', '.join(sorted({*present, *labels.groups.values()}))}."
        )
    for name, count in present.items():
        missing = 1 - count / len(labels.sets)
        if name in without or labels.groups.get(name) in without:
            left_out[name] = "as asked"
            continue
        elif not name.startswith(MEMBER) and missing > _FEW_MISSING:
            left_out[name] = f"not recorded in {missing:.0%} of the sets"
            continue
        recorded.append(name)
        if len(varying.get(name, ())) >= _FEW_SETS:
            names.append(name)
        elif not name.startswith(QUESTION):
            left_out[name] = "the same for all samples of a question"
    _refuse_labels(labels, names)
    return Design(tuple(names), left_out, tuple(recorded))


def _refuse_labels(labels: Labels, names: Sequence[str]) -> None:
    """Refuse a number that came with the samples and is the label itself."""
    teaching = [one for one in labels.sets if one.teaches]
    for name in names:
        if not name.startswith("score:") or any(name not in one.columns for one in teaching):
            continue
        for sign in (1.0, -1.0):
            if all(_separates(one, name, sign) for one in teaching):
                raise DataError(
                    f"The feature {name!r} tells right from wrong samples in all {len(teaching)} sets "
                    f"without a fault, as a label does. If it is one, leave it out: --without {name}."
                )


def _separates(one: LabelledSet, name: str, sign: float) -> bool:
    values: dict[bool, list[float]] = {True: [], False: []}
    for group, right in zip(one.groups, one.right, strict=True):
        values[right] += [sign * value for place in group if (value := one.columns[name][place]) is not None]
    return bool(values[True] and values[False]) and min(values[True]) > max(values[False])


@dataclass(frozen=True, slots=True)
class Table:
    """The labelled sets as choices of one design: the log of the votes, then the features.

    Attributes:
        choices: One per set that has a candidate; `places` says which set each is.
        places: Places of the sets in `Labels.sets`.
        questions: Of every set, in order.
        vote_right: Of every set: chance that the vote is right.
        oracle: Of every set: whether some candidate is right.
        votes: Per choice, shape (C,).
        stack: All choices.
    """

    choices: tuple[Choice, ...]
    places: tuple[int, ...]
    questions: tuple[str, ...]
    vote_right: Floats
    oracle: Floats
    votes: tuple[Floats, ...]
    stack: Stack


def table_of(labels: Labels, names: Sequence[str]) -> Table:
    """The sets as numbers under a design; where a set lacks a feature, all its candidates have 0."""
    choices: list[Choice] = []
    places: list[int] = []
    votes: list[Floats] = []
    for place, one in enumerate(labels.sets):
        if not one.groups:
            continue
        filled = {name: _filled(one, name) for name in names}
        parts = candidate_features(filled, names, one.groups)
        counts = np.array(one.votes, dtype=np.float64)
        features = np.concatenate([np.log(counts)[:, None], parts], axis=1)
        choices.append(Choice(one.question, features, np.array(one.right), int(np.argmax(counts))))
        places.append(place)
        votes.append(counts)
    return Table(
        tuple(choices),
        tuple(places),
        tuple(one.question for one in labels.sets),
        np.array([one.vote_right for one in labels.sets]),
        np.array([float(any(one.right)) for one in labels.sets]),
        tuple(votes),
        stacked(choices),
    )


def _filled(one: LabelledSet, name: str) -> list[float]:
    """A feature of a set; a number that is missing is as the mean of the others."""
    column: Any = one.columns.get(name, [None] * one.n)
    known = [value for place in one.answering if (value := column[place]) is not None]
    usual = 0.0 if name.startswith(MEMBER) or not known else sum(known) / len(known)
    return [usual if value is None else value for value in column]


def set_means(labels: Labels, names: Sequence[str]) -> tuple[Floats, list[str]]:
    """Mean of each feature over the answering samples of each set that has all, shape (sets, names), and the
    questions of these sets.
    """

    def has_all(one: LabelledSet) -> bool:
        columns = [one.columns.get(name) for name in names]
        return all(column and None not in [column[place] for place in one.answering] for column in columns)

    sets = [one for one in labels.sets if one.groups and has_all(one)]
    rows = [means_of(one.columns, names, one.answering) for one in sets]
    means = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return means, [one.question for one in sets]


def kinds_and_sizes(labels: Labels) -> tuple[AbstractSet[str], tuple[int, int], AbstractSet[str]]:
    """Kinds of answers, least and most samples, and models' names of the sets."""
    sizes = [one.n for one in labels.sets]
    models: frozenset[str] = frozenset[str]().union(*(one.models for one in labels.sets))
    return {one.kind for one in labels.sets}, (min(sizes), max(sizes)), models
