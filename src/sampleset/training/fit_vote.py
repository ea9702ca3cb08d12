"""A vote fitted on labelled sets, its gain over the plain vote, and the sets that it applies to.

Weights are fitted by cross-entropy with an L2 penalty towards the plain vote (`listwise`). The penalty is the
heaviest whose loss is within one standard error of the best, by cross-validation (Breiman et al. 1984), so
that labels that show nothing leave the plain vote. Folds are by question. The gain is measured on folds that
neither weights nor penalty were fitted on. The result is deterministic: equal sets give an equal file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, cast

import numpy as np

from sampleset import __version__
from sampleset.aggregators.learned_vote import (
    READER,
    REWARD,
    FeatureWeight,
    Home,
    VoteModel,
    certainty_terms,
    fitting_model,
    means_of,
)
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.metrics import MOST_WANTED, paired_bootstrap, questions_to_show, rounded_up
from sampleset.training.labelled_sets import Labels
from sampleset.training.listwise import Choice, Floats, Stack, fitted, losses, part_of, shares, stacked
from sampleset.training.vote_design import Table, design_of, kinds_and_sizes, set_means, table_of
from sampleset.vote_features.base import MEMBER, RECORDED

CURVE = (50, 100, 200, 400, 800)
"""Numbers of labelled questions at which the gain is measured."""

_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
_VOTE_PENALTY = 1e-3
_INNER_FOLDS = 5
_RESAMPLES = 10_000
_ASKED = (READER, REWARD)
_SHRINKAGE = 0.1
_LEAST_DEVIATION = 0.02
_AT_HOME = 0.99
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference in the share of right answers over questions, in [-1, 1], with its 95 % interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The gain over the plain vote of a vote fitted on this many labelled questions, on other questions."""

    labels: int
    gain: Gain


@dataclass(frozen=True, slots=True)
class VoteFit:
    """A fitted vote and its gain, cross-validated by question.

    Attributes:
        model: The model that is written to the file. Its `training` holds the other fields, too.
        right: Share of right answers by method: `vote`, `aided_vote` (with a calculator, if it changed a
            sample), `votes_and_confidence` (if recorded), `features` (without a model's scores),
            `without_records` (without token confidences and stored scores, if there are any), `learned`
            (all), `oracle`.
        gains: Gain of `learned` over each other method except the oracle.
        curve: Gain by the number of labels.
        verdict: The verdict as a sentence.
        notes: Notes on the files for the user.
    """

    model: VoteModel
    right: Mapping[str, float]
    gains: Mapping[str, Gain]
    curve: Sequence[CurvePoint]
    verdict: str
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Weighing:
    """Weights of one design, with the spreads of its features and the strength of the penalty.

    Attributes:
        weights: Weight of the log of the votes, then of each feature.
        spreads: Standard deviation of each feature within sets.
        strength: Strength of the penalty; `inf` for the plain vote.
    """

    weights: Floats
    spreads: Floats
    strength: float


def fit_vote(
    labels: Labels,
    *,
    folds: int = 10,
    without: Sequence[str] = (),
    reader: str | None = None,
    reward_model: str | None = None,
    described: Mapping[str, Any] | None = None,
) -> VoteFit:
    """The vote fitted on these labels, and its gain.

    Args:
        labels: The labelled sets.
        folds: Folds of the cross-validation, ≥ 2.
        without: Features, or groups of features, to leave out.
        reader: Identity of the reader whose scores are a feature.
        reward_model: Identity of the reward model whose scores are a feature.
        described: Further entries for the file, on the source of the sets.

    Raises:
        InvalidArgumentError: There are too few folds, or a feature to leave out is unknown.
        DataError: The sets have several kinds of answers, or a feature is a label.
    """
    if folds < 2:
        raise InvalidArgumentError(f"folds={folds} must be at least 2.")
    kinds, sizes, models = kinds_and_sizes(labels)
    if len(kinds) > 1:
        raise DataError(
            f"The sets have answers of several kinds ({', '.join(sorted(kinds))}). Fit one vote for each."
        )
    design = design_of(labels, without)
    table = table_of(labels, design.names)
    fold_of = folds_of(labels, folds)
    picks = cross_validated(table, fold_of, folds)
    blind = tuple(name for name in design.names if labels.groups.get(name) not in RECORDED)
    rivals = _rivals(labels, table, design.names, blind, fold_of, folds)
    gains = {name: gain_of(table.questions, picks.right - right) for name, right in rivals.items()}
    methods = {**rivals, "learned": picks.right, "oracle": table.oracle}
    right = {name: fmean(_by_question(table.questions, values)) for name, values in methods.items()}
    curve = learning_curve(table, labels.questions, fold_of, folds)
    questions = len(labels.questions)
    verdict = verdict_of(gains["vote"], questions, curve)
    training: dict[str, Any] = {
        "sampleset": __version__,
        **(described or {}),
        "sets": len(labels.sets),
        "questions": questions,
        "questions_with_a_choice": len(
            {labelled_set.question for labelled_set in labels.sets if labelled_set.teaches}
        ),
        "digest": labels.digest,
        "folds": folds,
        "left_out": dict(design.left_out),
        "right": right,
        "gains": {name: asdict(gain) for name, gain in gains.items()},
        "curve": [asdict(point) for point in curve],
        "verdict": verdict,
    }
    made_for = (next(iter(kinds)), sizes, models)
    model = replace(
        _model(labels, table, picks, design.names, design.recorded, made_for),
        reader=reader,
        reward_model=reward_model,
        calculator=labels.calculator,
        training=training,
    )
    if blind != design.names:
        recorded = tuple(name for name in design.recorded if labels.groups.get(name) not in RECORDED)
        bare = table_of(labels, blind)
        model = replace(
            model,
            blind=_model(labels, bare, cross_validated(bare, fold_of, folds), blind, recorded, made_for),
        )
    return VoteFit(model, right, gains, curve, verdict, labels.notes)


def _rivals(
    labels: Labels,
    table: Table,
    names: Sequence[str],
    blind: Sequence[str],
    fold_of: Mapping[str, int],
    folds: int,
) -> dict[str, Floats]:
    """Whether each set's pick is right, for the methods that the fitted vote is compared with.

    Args:
        labels: The labelled sets.
        table: The sets under the full design.
        names: Features of the full design.
        blind: Its features without those of the records.
        fold_of: The fold of each question.
        folds: Number of folds.
    """
    rivals = {"vote": table.vote_right}
    if any(labelled_set.stated_vote_right is not None for labelled_set in labels.sets):
        rivals["aided_vote"] = np.array([labelled_set.aided_vote_right for labelled_set in labels.sets])
    if "confidence" in names:
        rivals["votes_and_confidence"] = _of_design(labels, ("confidence",), fold_of, folds)
    if any(name in names for name in _ASKED):
        plain = tuple(name for name in names if name not in _ASKED)
        rivals["features"] = _of_design(labels, plain, fold_of, folds)
    if blind != names:
        rivals["without_records"] = _of_design(labels, blind, fold_of, folds)
    return rivals


def _model(
    labels: Labels,
    table: Table,
    picks: Picks,
    names: Sequence[str],
    recorded: Sequence[str],
    made_for: tuple[str, tuple[int, int], Any],
) -> VoteModel:
    """The model of one design, fitted on all sets."""
    weighing = weighed(table.choices)
    return VoteModel(
        vote_weight=float(weighing.weights[0]),
        features=tuple(
            FeatureWeight(name, float(weight), float(spread))
            for name, weight, spread in zip(names, weighing.weights[1:], weighing.spreads[1:], strict=True)
        ),
        home=home_of(labels, recorded, *made_for),
        certainty=_certainty(table, picks),
        training={"strength": weighing.strength},
    )


def folds_of(labels: Labels, folds: int) -> dict[str, int]:
    """The fold of each question, assigned in turn in the order of their digests."""
    return {question: number % folds for number, question in enumerate(labels.questions)}


def weighed(choices: Sequence[Choice]) -> Weighing:
    """The weights fitted on some sets; those of the plain vote if no set has right and wrong candidates.

    Sets without right and wrong candidates are left out. The penalty applies to features divided by their
    spread.
    """
    taught = [choice for choice in choices if choice.right.any() and not choice.right.all()]
    count = len(choices[0].features[0]) if choices else 1
    plain = np.concatenate([[1.0], np.zeros(count - 1)])
    if not taught:
        return Weighing(plain, np.zeros(count), math.inf)
    stack = stacked(taught)
    centres = np.add.reduceat(stack.features, stack.starts) / np.bincount(stack.owner)[:, None]
    spreads = (stack.features - centres[stack.owner]).std(axis=0)
    scales = np.where(spreads > _SAME, spreads, np.inf)
    scales[0] = 1.0
    stack = replace(stack, features=stack.features / scales)
    owners = np.array([choice.question for choice in taught])
    strength = _strength(stack, owners)
    questions = len(set(owners.tolist()))
    weights = fitted(stack, _penalty(count, strength, questions), plain)
    return Weighing(weights / scales, spreads, strength)


def _penalty(count: int, strength: float, questions: int) -> Floats:
    penalty = np.full(count, strength / questions)
    penalty[0] = _VOTE_PENALTY / questions
    return penalty


def _strength(stack: Stack, owners: Any) -> float:
    """The heaviest penalty whose loss is within one standard error of the best, by cross-validation."""
    names = sorted(set(owners.tolist()))
    folds = min(_INNER_FOLDS, len(names))
    if folds < 2:
        return _STRENGTHS[-1]
    fold_of = {name: index % folds for index, name in enumerate(names)}
    fold = np.array([fold_of[name] for name in owners])
    count = stack.features.shape[1]
    fold_losses = np.zeros((len(_STRENGTHS), len(owners)))
    for left_out in range(folds):
        train, test = part_of(stack, fold != left_out), part_of(stack, fold == left_out)
        questions = len(set(owners[fold != left_out].tolist()))
        weights = np.concatenate([[1.0], np.zeros(count - 1)])
        for index in reversed(range(len(_STRENGTHS))):
            weights = fitted(train, _penalty(count, _STRENGTHS[index], questions), weights)
            fold_losses[index, fold == left_out] = losses(test, weights)
    best = int(np.argmin(fold_losses.mean(axis=1)))
    for index in reversed(range(best + 1, len(_STRENGTHS))):
        more = np.array(_by_question(owners.tolist(), fold_losses[index] - fold_losses[best]))
        if more.mean() <= more.std(ddof=1) / math.sqrt(len(more)):
            return _STRENGTHS[index]
    return _STRENGTHS[best]


@dataclass(frozen=True, slots=True)
class Picks:
    """The candidates picked by some weights, one entry per set; 0 if a set has no candidate.

    Attributes:
        right: Probability that the pick is right, in [0, 1]; between 0 and 1 only for ties.
        chance: Probability of the pick by the weights, in [0, 1].
        share: The pick's share of the votes, in [0, 1].
    """

    right: Floats
    chance: Floats
    share: Floats


def cross_validated(table: Table, fold_of: Mapping[str, int], folds: int) -> Picks:
    """The picks of every set by weights fitted on the other folds."""
    picks = _no_picks(table)
    for fold in range(folds):
        train = [choice for choice in table.choices if fold_of[choice.question] != fold]
        _pick(picks, table, weighed(train).weights, fold_of, fold)
    return picks


def _of_design(labels: Labels, names: Sequence[str], fold_of: Mapping[str, int], folds: int) -> Floats:
    return cross_validated(table_of(labels, names), fold_of, folds).right


def _no_picks(table: Table) -> Picks:
    return Picks(*(np.zeros(len(table.questions)) for _ in range(3)))


def _pick(picks: Picks, table: Table, weights: Floats, fold_of: Mapping[str, int], fold: int) -> None:
    """Write the picks of some weights for the sets of a fold."""
    chosen = np.array([fold_of[choice.question] == fold for choice in table.choices])
    if not chosen.any():
        return
    votes = np.concatenate(table.votes)[chosen[table.stack.owner]]
    fold_picks = _picks_of(part_of(table.stack, chosen), votes, weights)
    set_indices = np.array(table.set_indices)[chosen]
    picks.right[set_indices] = fold_picks.right
    picks.chance[set_indices] = fold_picks.chance
    picks.share[set_indices] = fold_picks.share


def _picks_of(stack: Stack, votes: Floats, weights: Floats) -> Picks:
    """The picks of some weights for a stack of sets. Ties are averaged."""
    chance = shares(stack, weights)
    highest = np.maximum.reduceat(chance, stack.starts)
    best = (chance >= highest[stack.owner] - _SAME).astype(np.float64)
    ties = np.add.reduceat(best, stack.starts)
    return Picks(
        np.add.reduceat(best * stack.right, stack.starts) / ties,
        highest,
        np.add.reduceat(best * votes, stack.starts) / ties / np.add.reduceat(votes, stack.starts),
    )


def learning_curve(
    table: Table, questions: Sequence[str], fold_of: Mapping[str, int], folds: int
) -> list[CurvePoint]:
    """The gain over the vote for each number of questions in `CURVE`.

    Each fold is measured by weights fitted on that many questions of the other folds.
    """
    most = len(questions) - -(-len(questions) // folds)
    points: list[CurvePoint] = []
    for size in [size for size in CURVE if size < most]:
        picks = _no_picks(table)
        for fold in range(folds):
            chosen = set([question for question in questions if fold_of[question] != fold][:size])
            weights = weighed([choice for choice in table.choices if choice.question in chosen]).weights
            _pick(picks, table, weights, fold_of, fold)
        points.append(CurvePoint(size, gain_of(table.questions, picks.right - table.vote_right)))
    return points


def gain_of(questions: Sequence[str], differences: Floats) -> Gain:
    """Mean over questions of the mean over each question's sets, with its interval."""
    means = _by_question(questions, differences)
    return Gain(fmean(means), *paired_bootstrap(means, _RESAMPLES, seed=0))


def _by_question(questions: Sequence[str], values: Floats) -> list[float]:
    parts: dict[str, list[float]] = {}
    for question, value in zip(questions, values.tolist(), strict=True):
        parts.setdefault(question, []).append(value)
    return [fmean(part) for part in parts.values()]


def home_of(labels: Labels, names: Sequence[str], kind: str, sizes: tuple[int, int], models: Any) -> Home:
    """A description of these sets, by which others are recognised.

    The limit is measured on folds that centre and correlation were not fitted on.
    """
    feature_names = tuple(name for name in names if name not in _ASKED and not name.startswith(MEMBER))
    prompts = tuple(sorted({labelled_set.prompt for labelled_set in labels.sets if labelled_set.prompt}))
    means, questions = set_means(labels, feature_names)

    def home(rows: Floats, limit: float) -> Home:
        centre = np.median(rows, axis=0)
        deviation = np.maximum(rows.std(axis=0), _LEAST_DEVIATION)
        offsets = (rows - centre) / deviation
        shape = (1 - _SHRINKAGE) * (offsets.T @ offsets) / len(rows) + _SHRINKAGE * np.eye(len(feature_names))
        inner = cast("Floats", np.linalg.inv(shape)).tolist()
        return Home(
            kind,
            sizes,
            tuple(sorted(models)),
            feature_names,
            tuple(centre.tolist()),
            tuple(deviation.tolist()),
            tuple(map(tuple, inner)),
            limit,
            prompts,
        )

    if not feature_names or len(set(questions)) < 2 * _INNER_FOLDS:
        return Home(kind, sizes, tuple(sorted(models)), (), (), (), (), 0.0, prompts)
    fold_of = {question: number % _INNER_FOLDS for number, question in enumerate(dict.fromkeys(questions))}
    fold = np.array([fold_of[question] for question in questions])
    far = np.concatenate(
        [home(means[fold != part], 0.0).distance(means[fold == part]) for part in range(_INNER_FOLDS)]
    )
    return home(means, float(np.quantile(far, _AT_HOME)))


def _certainty(table: Table, picks: Picks) -> tuple[float, float, float, float]:
    """Coefficients of the probability that a pick is right, fitted on cross-validated picks."""
    choices: list[Choice] = []
    for index, choice, votes in zip(table.set_indices, table.choices, table.votes, strict=True):
        terms = certainty_terms(float(picks.chance[index]), float(picks.share[index]), len(votes) == 1)
        for is_right in (True, False):
            # A tie is partly right. Counting it as the likelier of the two is accurate enough.
            if (picks.right[index] >= 0.5) == is_right:
                features = np.array([terms, (0.0, 0.0, 0.0, 0.0)])
                choices.append(Choice(choice.question, features, np.array([is_right, not is_right])))
    weights = fitted(stacked(choices), np.full(4, 1.0 / len(choices)), np.zeros(4))
    constant, logit, share, unanimous = weights.tolist()
    return constant, logit, share, unanimous


def verdict_of(gain: Gain, questions: int, curve: Sequence[CurvePoint]) -> str:
    """The gain over the vote as a sentence, with the number of labels that would show it if it is unclear."""
    gain_text = (
        f"{100 * gain.difference:+.1f} of 100 questions ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    )
    if gain.low > 0:
        half = next((point for point in curve if point.gain.difference >= gain.difference / 2), None)
        enough = f"; {half.labels} labels gave half of it" if half is not None else ""
        return f"Use it: {gain_text} over the vote{enough}."
    if gain.high < 0:
        return f"Do not use it: {gain_text} against the vote."
    wanted = questions_to_show(gain.difference, gain.low, gain.high, questions)
    if wanted is not None and questions < wanted <= MOST_WANTED * questions:
        return (
            f"Not shown: {gain_text} over the vote. A gain of this size would show with about "
            f"{rounded_up(wanted):,} labelled questions; there are {questions:,}."
        )
    return f"Not shown: {gain_text} over the vote. The vote does as well on questions like these."


@dataclass(frozen=True, slots=True)
class Use:
    """The result of a fitted vote on labelled sets that it was not fitted on.

    Attributes:
        gain: Gain over the plain vote.
        away: Share of sets that the plain vote answers, because they look different or lack a feature.
    """

    gain: Gain
    away: float


def used_on(model: VoteModel, labels: Labels) -> Use:
    """The gain of `learned_vote` with this model over the vote, and how often the plain vote answers."""
    right = np.array([labelled_set.vote_right for labelled_set in labels.sets])
    vote, away = right.copy(), 0
    at_home: dict[int, list[int]] = {}
    for index, labelled_set in enumerate(labels.sets):
        fitting = fitting_model(model, labelled_set.columns, labelled_set.answering)
        if not labelled_set.groups:
            continue
        if fitting is None or fitting.home.strangeness(
            labelled_set.kind,
            labelled_set.models,
            labelled_set.n,
            means_of(labelled_set.columns, fitting.home.names, labelled_set.answering),
            labelled_set.prompt,
        ):
            away += 1
        else:
            at_home.setdefault(int(fitting is not model), []).append(index)
    for is_blind, indices in at_home.items():
        fitting = model.blind if is_blind and model.blind is not None else model
        table = table_of(replace(labels, sets=tuple(labels.sets[index] for index in indices)), fitting.names)
        weights = np.array([fitting.vote_weight, *(feature.weight for feature in fitting.features)])
        right[indices] = _picks_of(table.stack, np.concatenate(table.votes), weights).right
    questions = [labelled_set.question for labelled_set in labels.sets]
    return Use(gain_of(questions, right - vote), away / len(labels.sets))
