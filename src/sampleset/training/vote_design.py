"""The design of a vote: which features of labelled sets it weighs, and the sets as tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from sampleset.aggregators.learned_vote import candidate_features, means_of
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.training.labelled_sets import LabelledSet, Labels
from sampleset.training.listwise import Choice, Floats, Stack, stacked
from sampleset.vote_features.base import MEMBER, QUESTION

_FEW_MISSING = 0.05
_FEW_SETS = 5


@dataclass(frozen=True, slots=True)
class Design:
    """The features to fit.

    Attributes:
        names: Their names, in order.
        left_out: The reason why each other feature is left out, by name.
        recorded: All recorded features, by which similar sets are recognised.
    """

    names: tuple[str, ...]
    left_out: Mapping[str, str]
    recorded: tuple[str, ...]


def design_of(labels: Labels, without: Sequence[str] = ()) -> Design:
    """The features that are recorded in these sets and differ within sets.

    Args:
        labels: The labelled sets.
        without: Features, or groups of features, to leave out.

    Raises:
        InvalidArgumentError: A feature to leave out does not exist.
        DataError: A feature separates right from wrong samples perfectly, as a label would.
    """
    present: dict[str, int] = {}
    varying: dict[str, set[str]] = {}
    for labelled_set in labels.sets:
        for name, column in labelled_set.columns.items():
            values = [column[index] for index in labelled_set.answering]
            present[name] = present.get(name, 0) + (None not in values)
            if len(set(values)) > 1:
                varying.setdefault(name, set()).add(labelled_set.question)
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
    """Refuse a stored score that is the label itself."""
    teaching = [labelled_set for labelled_set in labels.sets if labelled_set.teaches]
    for name in names:
        if not name.startswith("score:") or any(
            name not in labelled_set.columns for labelled_set in teaching
        ):
            continue
        for sign in (1.0, -1.0):
            if all(_separates(labelled_set, name, sign) for labelled_set in teaching):
                raise DataError(
                    f"The feature {name!r} tells right from wrong samples in all {len(teaching)} sets "
                    f"without a fault, as a label does. If it is one, leave it out: --without {name}."
                )


def _separates(labelled_set: LabelledSet, name: str, sign: float) -> bool:
    values: dict[bool, list[float]] = {True: [], False: []}
    for group, right in zip(labelled_set.groups, labelled_set.right, strict=True):
        values[right] += [
            sign * value for index in group if (value := labelled_set.columns[name][index]) is not None
        ]
    return bool(values[True] and values[False]) and min(values[True]) > max(values[False])


@dataclass(frozen=True, slots=True)
class Table:
    """The labelled sets as choices of one design: the log of the votes, then the features.

    Attributes:
        choices: One choice for each set with a candidate.
        set_indices: Index in `Labels.sets` of each choice's set.
        questions: Question of every set.
        vote_right: Probability that the vote is right, for every set.
        oracle: 1 if some candidate is right, else 0, for every set.
        votes: Votes of the candidates of each choice, shape (C,).
        stack: All choices.
    """

    choices: tuple[Choice, ...]
    set_indices: tuple[int, ...]
    questions: tuple[str, ...]
    vote_right: Floats
    oracle: Floats
    votes: tuple[Floats, ...]
    stack: Stack


def table_of(labels: Labels, names: Sequence[str]) -> Table:
    """The sets as numbers under a design. If a set lacks a feature, all its candidates have 0."""
    choices: list[Choice] = []
    set_indices: list[int] = []
    votes: list[Floats] = []
    for index, labelled_set in enumerate(labels.sets):
        if not labelled_set.groups:
            continue
        filled = {name: _filled(labelled_set, name) for name in names}
        parts = candidate_features(filled, names, labelled_set.groups)
        counts = np.array(labelled_set.votes, dtype=np.float64)
        features = np.concatenate([np.log(counts)[:, None], parts], axis=1)
        choices.append(
            Choice(labelled_set.question, features, np.array(labelled_set.right), int(np.argmax(counts)))
        )
        set_indices.append(index)
        votes.append(counts)
    return Table(
        tuple(choices),
        tuple(set_indices),
        tuple(labelled_set.question for labelled_set in labels.sets),
        np.array([labelled_set.vote_right for labelled_set in labels.sets]),
        np.array([float(any(labelled_set.right)) for labelled_set in labels.sets]),
        tuple(votes),
        stacked(choices),
    )


def _filled(labelled_set: LabelledSet, name: str) -> list[float]:
    """A feature of a set. A missing number is replaced by the mean of the others."""
    column: Any = labelled_set.columns.get(name, [None] * labelled_set.n)
    values = [value for index in labelled_set.answering if (value := column[index]) is not None]
    usual = 0.0 if name.startswith(MEMBER) or not values else sum(values) / len(values)
    return [usual if value is None else value for value in column]


def set_means(labels: Labels, names: Sequence[str]) -> tuple[Floats, list[str]]:
    """Mean of each feature over the samples with an answer, shape (sets, names), and the sets' questions.

    Sets that lack one of the features are left out.
    """

    def has_all(labelled_set: LabelledSet) -> bool:
        columns = [labelled_set.columns.get(name) for name in names]
        return all(
            column and None not in [column[index] for index in labelled_set.answering] for column in columns
        )

    sets = [labelled_set for labelled_set in labels.sets if labelled_set.groups and has_all(labelled_set)]
    rows = [means_of(labelled_set.columns, names, labelled_set.answering) for labelled_set in sets]
    means = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return means, [labelled_set.question for labelled_set in sets]


def kinds_and_sizes(labels: Labels) -> tuple[AbstractSet[str], tuple[int, int], AbstractSet[str]]:
    """Kinds of answers, (fewest, most) samples, and names of the models of the sets."""
    sizes = [labelled_set.n for labelled_set in labels.sets]
    models: frozenset[str] = frozenset[str]().union(*(labelled_set.models for labelled_set in labels.sets))
    return {labelled_set.kind for labelled_set in labels.sets}, (min(sizes), max(sizes)), models
