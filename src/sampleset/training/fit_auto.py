"""Rules for `auto`, learned from labelled sets: which method answers sets of which agreement.

Sets are sorted by the kind of their answers, by the share of the samples that gives the most frequent
answer, and by whether the weighted vote names the same answer. For each sort the cheapest method answers,
unless a dearer one is right on more of its questions beyond chance: by a one-sided sign test on the
questions on which just one of the two is right. So labels that show nothing leave the vote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampleset.aggregators.auto import METHODS, Rule
from sampleset.errors import DataError
from sampleset.metrics import mcnemar_exact

LEAST_QUESTIONS = 40
"""Fewest labelled questions that rules are learned from."""
_EDGES = (0.0, 0.3, 0.45, 0.6, 0.8, 1.0)
_LEVEL = 0.1
_LEAST_OF_A_SORT = 20


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """What the methods make of one labelled set.

    Attributes:
        kind: Kind of the answers, without its option.
        share: Share of the answering samples that gives the most frequent answer.
        agrees: Whether the weighted vote names the answer of the vote.
        right: Whether each method is right, by its name in `METHODS`.
        tokens: Tokens of each method beyond the samples.
    """

    kind: str
    share: float
    agrees: bool
    right: Mapping[str, bool]
    tokens: Mapping[str, float]


def fitted_rules(sets: Sequence[LabelledSet], level: float = _LEVEL) -> tuple[Rule, ...]:
    """The rules that these sets support.

    Args:
        sets: Labelled sets, each of another question.
        level: Probability with which a method that is no better passes for a better one.

    Raises:
        DataError: There are too few.
    """
    if len(sets) < LEAST_QUESTIONS:
        raise DataError(
            f"{len(sets)} labelled questions are too few to learn rules from: it takes {LEAST_QUESTIONS}."
        )
    rules: list[Rule] = []
    for kind in sorted({labelled.kind for labelled in sets}):
        for agrees in (True, False):
            chosen = [one for one in sets if one.kind == kind and one.agrees == agrees]
            for low, high in _sorts(chosen):
                rules.append(_rule(kind, agrees, low, high, chosen, level))
    return tuple(rules)


def _sorts(sets: Sequence[LabelledSet]) -> list[tuple[float, float]]:
    """Ranges of shares with enough sets in each, together from 0 to 1."""
    ranges: list[tuple[float, float]] = []
    low = _EDGES[0]
    for high in _EDGES[1:]:
        if sum(low < one.share <= high for one in sets) >= _LEAST_OF_A_SORT:
            ranges.append((low, high))
            low = high
    if low < 1.0:
        if ranges:
            ranges[-1] = (ranges[-1][0], 1.0)
        else:
            ranges.append((0.0, 1.0))
    return ranges


def _rule(
    kind: str, agrees: bool, low: float, high: float, sets: Sequence[LabelledSet], level: float
) -> Rule:
    inside = [one for one in sets if low < one.share <= high]
    names = [name for name in METHODS if all(name in one.right for one in inside)] or ["vote"]
    best = "vote"
    for name in names:
        wins = sum(one.right[name] and not one.right[best] for one in inside)
        losses = sum(one.right[best] and not one.right[name] for one in inside)
        if wins > losses and mcnemar_exact(wins, losses) / 2 <= level:
            best = name
    return Rule(
        method=best,
        low=low,
        high=high,
        confidence_agrees=agrees,
        answer_kind=kind,
        questions=len(inside),
        right={name: float(sum(one.right[name] for one in inside)) for name in names},
        tokens={name: math.fsum(one.tokens[name] for one in inside) / max(1, len(inside)) for name in names},
    )
