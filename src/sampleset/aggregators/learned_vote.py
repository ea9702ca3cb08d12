"""A vote that has learned from labelled questions what speaks for an answer. Ours; no paper.

The candidates of a set are ranked by `a·log(votes) + Σ w·feature`, where a candidate's feature is the mean
over its samples: a listwise logistic model (the conditional logit of McFadden 1974). The features stand
in `sampleset.vote_features`; the weights are fitted by `sampleset fit-vote` and stand in a file. A reader's
or a reward model's score is one more feature, its multiple fitted where it is used.

The file describes the sets it was fitted on. The vote answers a set that is unlike them; see `Home`.

Cost with n samples: no call; with a reader or a reward model that of theirs, on sets at home with a choice.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from sampleset.aggregators._scores import scores_of
from sampleset.aggregators.base import AGGREGATORS, Aggregator, Tally, decide, grouped, tally, vote_answer
from sampleset.aggregators.calculator import CALCULATED, calculated
from sampleset.errors import InputNotFoundError, InvalidArgumentError
from sampleset.reward_models.base import Reduction, RewardModel
from sampleset.settings import SavedKind, read_saved
from sampleset.types import Answer, SampleSet, Usage
from sampleset.vote_features.base import MEMBER, VOTE_FEATURES, Columns, CountedSet
from sampleset.vote_features.members import member_of

_log = logging.getLogger(__name__)
VOTE_SCHEMA = 1
_SAVED = SavedKind("fitted vote", VOTE_SCHEMA, "Fit the vote again: sampleset fit-vote SETS", "learned_vote")
READER = "reader"
REWARD = "reward_model"
_LEAST_PROBABILITY = 1e-6
_FURTHEST_LOGIT = 6.0

if TYPE_CHECKING:
    # Every list of aggregators imports this module; numpy alone takes as long as all else.
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureWeight:
    """The weight of one feature.

    Attributes:
        name: As its group in `sampleset.vote_features` calls it.
        weight: Added to a candidate's logit per unit of the mean over its samples.
        spread: Standard deviation of that mean within the sets fitted on; `weight * spread` tells how loudly
            the feature speaks.
    """

    name: str
    weight: float
    spread: float


@dataclass(frozen=True, slots=True)
class Home:
    """The range of the sets that a vote was fitted on, and how far from it a set may be.

    Attributes:
        answer_kind: The kind of their answers, without its option.
        sizes: Least and most samples of a set.
        models: Names of the models that drew them, without the engine; empty where none was recorded.
        names: The features whose mean over a set's answering samples is looked at.
        centre: Median of each over the sets.
        deviation: Standard deviation of each.
        precision: Inverse of their shrunk correlation, shape (names, names).
        limit: Squared distance that one set in a hundred of those fitted on exceeds.
        prompts: Names and versions of the prompts they were asked with; empty where none was recorded.
    """

    answer_kind: str
    sizes: tuple[int, int]
    models: tuple[str, ...]
    names: tuple[str, ...]
    centre: tuple[float, ...]
    deviation: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    limit: float
    prompts: tuple[str, ...] = ()

    def distance(self, means: Floats) -> Floats:
        """Squared Mahalanobis distances of sets' means, shape (sets, names), from home."""
        import numpy as np

        offsets = (means - np.array(self.centre)) / np.array(self.deviation)
        return np.einsum("si,ij,sj->s", offsets, np.array(self.precision), offsets)

    def _distance_of(self, means: Sequence[float]) -> float:
        import numpy as np

        return float(self.distance(np.array([means]))[0])

    def strangeness(
        self,
        kind: str,
        models: AbstractSet[str],
        size: int,
        means: Sequence[float],
        prompt: str | None = None,
    ) -> tuple[str, ...]:
        """Why a set is not at home, as flags; none for a set that is.

        `away_kind`: another kind of answers. `away_model`: a model that drew none of the sets fitted on.
        `away_prompt`: a prompt that none of them was asked with. `away_size`: fewer than half of the least,
        or more than twice the most samples. `away_style`: the means of its features lie too far out.

        Args:
            kind: The kind of its answers, without the option.
            models: Names of the models that drew it; empty where none is recorded.
            size: Its number of samples.
            means: Mean over its answering samples of each of `names`.
            prompt: The prompt it was asked with; `None` where none is recorded.
        """
        flags: list[str] = []
        if kind != self.answer_kind:
            flags.append("away_kind")
        if self.models and not models <= set(self.models):
            flags.append("away_model")
        if self.prompts and prompt is not None and prompt not in self.prompts:
            flags.append("away_prompt")
        least, most = self.sizes
        if not least / 2 <= size <= 2 * most:
            flags.append("away_size")
        if self.names and not self._distance_of(means) <= self.limit:
            flags.append("away_style")
        return tuple(flags)


@dataclass(frozen=True, slots=True)
class VoteModel:
    """A fitted vote, as it stands in its file.

    Attributes:
        vote_weight: Multiple of the log of a candidate's votes.
        features: What counts beside the votes.
        home: The range of the sets it was fitted on.
        certainty: Multiples of 1, of the logit of the pick's probability, of its share of the votes, and of
            whether the set is unanimous; they give the probability that the pick is right.
        blind: The same fitted without what some records lack (token confidences, scores): it decides sets
            that lack them. `None` where nothing such was fitted.
        reader: Identity of the reader whose score is a feature, `None` without one.
        reward_model: Identity of the reward model whose score is a feature.
        calculator: Whether it was fitted on samples that count for what they calculate.
        training: The data it was fitted on, its measured worth, and the verdict.
    """

    vote_weight: float
    features: tuple[FeatureWeight, ...]
    home: Home
    certainty: tuple[float, float, float, float]
    blind: VoteModel | None = None
    reader: str | None = None
    reward_model: str | None = None
    calculator: bool = False
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        """The model as it stands in its file."""
        return {"schema": VOTE_SCHEMA, "kind": "learned_vote", **asdict(self)}

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in order."""
        return tuple(feature.name for feature in self.features)

    def confidence(self, probability: float, share: float, unanimous: bool) -> float:
        """Probability that the pick is right.

        Args:
            probability: The model's probability of the pick among the candidates.
            share: Its share of the answering samples.
            unanimous: Whether it is the only candidate.
        """
        terms = certainty_terms(probability, share, unanimous)
        logit = sum(weight * term for weight, term in zip(self.certainty, terms, strict=True))
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


def certainty_terms(probability: float, share: float, unanimous: bool) -> tuple[float, float, float, float]:
    """The terms of a pick's certainty: 1, the bounded logit, the share, and unanimity."""
    if unanimous:
        return 1.0, 0.0, share, 1.0
    inner = min(max(probability, 1e-9), 1 - 1e-9)
    logit = math.log(inner / (1 - inner))
    return 1.0, max(-_FURTHEST_LOGIT, min(_FURTHEST_LOGIT, logit)), share, 0.0


def read_vote(path: Path) -> tuple[VoteModel, str]:
    """The fitted vote in a file, and a digest of it.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is no fitted vote, or of another version.
    """
    if not path.is_file():
        raise InputNotFoundError(f"No fitted vote {str(path)!r}. Make one: sampleset fit-vote SETS.")
    return read_saved(path, _SAVED, _model_of)


def _model_of(values: Any) -> VoteModel:
    """The model of JSON values; what cannot be one raises ValueError, KeyError, TypeError or IndexError."""
    home = values["home"]
    model = VoteModel(
        vote_weight=_number(values["vote_weight"]),
        features=tuple(
            FeatureWeight(str(feature["name"]), _number(feature["weight"]), _number(feature["spread"]))
            for feature in values["features"]
        ),
        home=Home(
            answer_kind=str(home["answer_kind"]),
            sizes=(int(home["sizes"][0]), int(home["sizes"][1])),
            models=tuple(map(str, home["models"])),
            names=tuple(map(str, home["names"])),
            centre=tuple(map(_number, home["centre"])),
            deviation=tuple(map(_number, home["deviation"])),
            precision=tuple(tuple(map(_number, row)) for row in home["precision"]),
            limit=_number(home["limit"]),
            prompts=tuple(map(str, home.get("prompts", ()))),
        ),
        certainty=cast("Any", tuple(map(_number, values["certainty"]))),
        blind=None if values["blind"] is None else _model_of(values["blind"]),
        reader=values["reader"],
        reward_model=values["reward_model"],
        calculator=bool(values.get("calculator")),
        training=values["training"],
    )
    count = len(model.home.names)
    shapes = [len(model.home.centre), len(model.home.deviation), len(model.home.precision)]
    shapes += [len(row) for row in model.home.precision]
    if any(shape != count for shape in shapes) or len(model.certainty) != 4:
        raise ValueError("lists of unequal lengths")
    return model


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


@AGGREGATORS.register("learned_vote")
@dataclass(frozen=True)
class LearnedVote:
    """Return the answer for which votes and features speak most, by weights fitted on labelled questions.

    Where a set lacks token confidences or scores that were fitted, weights fitted without them decide,
    flagged `blind`. The vote answers, flagged, where a set is not at home (`away`, and why: see
    `Home.strangeness`) and where it lacks more than that (`features_missing`). The confidence is the
    probability that the answer is right, `None` there. Each candidate carries its probability, given that
    one of them is right. If it was fitted so, samples count for what they calculate, as in `calculator`,
    flagged `calculated`.

    Attributes:
        file: What `sampleset fit-vote` wrote.
        away: `vote`: the vote answers sets that are not at home. `use`: the fitted weights do, and the set
            is flagged all the same.
        reader: The reader whose score was fitted, as `ssa[model=REF]`.
        reward_model: The reward model whose score was fitted.
        steps: How a process model's scores of a sample's steps become one.
        seed: Seed of ties.
        digest: Of the file.
    """

    name: ClassVar[str] = "learned_vote"
    file: str
    away: Literal["vote", "use"] = "vote"
    reader: Aggregator | None = None
    reward_model: RewardModel | None = None
    steps: Reduction = "last"
    seed: int = 0
    digest: str = field(init=False)
    _model: VoteModel = field(init=False, repr=False, compare=False, metadata={"is_option": False})

    def __post_init__(self) -> None:
        model, digest = read_vote(Path(self.file))
        object.__setattr__(self, "digest", digest)
        object.__setattr__(self, "_model", model)
        reader = None if self.reader is None else reader_identity(self.reader)
        reward = None if self.reward_model is None else self.reward_model.identity
        for option, fitted, actual in (
            ("reader", model.reader, reader),
            ("reward_model", model.reward_model, reward),
        ):
            if not is_fitted_reader(fitted, actual, self.file) if option == "reader" else fitted != actual:
                wanted = f"without a {option}" if fitted is None else f"with {option} {fitted!r}"
                raise InvalidArgumentError(
                    f"{self.file!r} was fitted {wanted}, and {actual!r} is given. Give the same {option}, "
                    "or fit the vote again."
                )

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the greatest probability; abstains where no sample states one."""
        stated = sample_set
        if self._model.calculator:
            sample_set = calculated(stated)
        counted = await tally(sample_set)
        if not counted.candidates:
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        set_columns = columns_of(sample_set, counted)
        answering = [index for candidate in counted.candidates for index in candidate.indices]
        model = fitting_model(self._model, set_columns, answering)
        if model is None:
            return await self._voted(stated, ("features_missing",))
        home, columns = model.home, with_absent_members(set_columns, model.names, sample_set.n)
        blind = () if model is self._model else ("blind",)
        kind = sample_set.question.answer_kind.partition(":")[0]
        means = means_of(columns, home.names, answering)
        flags = home.strangeness(kind, models_of_set(sample_set), sample_set.n, means, sample_set.prompt)
        if flags and self.away == "vote":
            return await self._voted(stated, ("away", *flags, "fallback_vote"))
        flags = (*blind, "away", *flags) if flags else blind
        flags = flags if sample_set is stated else (*flags, CALCULATED)
        if len(counted.candidates) == 1:
            vote = vote_answer(sample_set, self.name, counted, flags, self.seed)
            return replace(vote, confidence=None if "away" in flags else model.confidence(1.0, 1.0, True))
        read_columns, usage, notes = await told_columns(
            sample_set, counted, self.reader, self.reward_model, self.steps
        )
        if any(None in column for column in read_columns.values()):
            return replace(await self._voted(stated, (*notes, "features_missing")), usage=usage)
        picked = self._picked(sample_set, counted, model, {**columns, **read_columns}, (*notes, *flags))
        return replace(picked, usage=usage)

    async def _voted(self, sample_set: SampleSet, flags: Sequence[str]) -> Answer:
        """The plain vote, over what the samples state."""
        return vote_answer(sample_set, self.name, await tally(sample_set), flags, self.seed)

    def _picked(
        self,
        sample_set: SampleSet,
        counted: Tally,
        model: VoteModel,
        columns: Columns,
        flags: Sequence[str],
    ) -> Answer:
        import numpy as np

        groups = [candidate.indices for candidate in counted.candidates]
        votes = np.log([float(candidate.votes) for candidate in counted.candidates])
        parts = candidate_features(columns, model.names, groups)
        weights = np.array([feature.weight for feature in model.features])
        logits = model.vote_weight * votes + parts @ weights
        shares = np.exp(logits - logits.max())
        shares = shares / shares.sum()
        decision = decide(
            counted.candidates, shares.tolist(), "seeded", self.seed, sample_set.id, counted.answers
        )
        assert decision is not None  # two candidates at least
        best = counted.candidates.index(decision.winner)
        share = decision.winner.votes / sum(candidate.votes for candidate in counted.candidates)
        second = int(np.argmax(np.where(np.arange(len(groups)) == best, -np.inf, logits)))
        spoken = dict(zip(model.names, ((parts[best] - parts[second]) * weights).tolist(), strict=True))
        spoken = {"votes": float(model.vote_weight * (votes[best] - votes[second])), **spoken}
        away = "away" in flags
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=decision.winner.answer,
            text=sample_set.samples[decision.winner.indices[0]].text,
            confidence=None if away else model.confidence(float(shares[best]), share, False),
            candidates=tuple(
                replace(candidate, probability=probability)
                for candidate, probability in zip(counted.candidates, shares.tolist(), strict=True)
            ),
            flags=(*counted.notes, *flags, *(["tie"] if decision.tied else [])),
            evidence={name: round(value, 4) for name, value in spoken.items() if abs(value) >= 5e-5},
        )


def reader_identity(reader: Aggregator) -> str:
    """Name of a reader, of the model it asks, and its multiples, by which a file knows it again."""
    backend = getattr(reader, "backend", None)
    multiples: str = getattr(reader, "multiples", "")
    name = reader.name if backend is None else f"{reader.name}:{member_of(backend.model)}"
    return f"{name}[{multiples}]" if multiples else name


def is_fitted_reader(fitted: str | None, actual: str | None, file: str) -> bool:
    """Whether a reader is the one a file was fitted with; older files do not say its multiples."""
    if fitted == actual or fitted is None or actual is None:
        return fitted == actual
    name, _, multiples = actual.partition("[")
    if fitted != name or not multiples:
        return False
    _log.warning(
        "%r does not say with which multiples its reader %r was fitted; they are %s now. "
        "If the reader has changed since then, fit again.",
        file,
        fitted,
        multiples.removesuffix("]"),
    )
    return True


def models_of_set(sample_set: SampleSet) -> set[str]:
    """Names of the models that drew a set's samples, without their engines; empty where none is recorded."""
    names = {member_of(sample.model or sample_set.model) for sample in sample_set.samples}
    return {name for name in names if name is not None}


def columns_by_group(sample_set: SampleSet, counted: Tally) -> dict[str, Columns]:
    """The features of a set by group, without those that a model is asked for."""
    counted_set = CountedSet(sample_set, counted.answers, counted.candidates)
    return {group: VOTE_FEATURES.get(group).columns(counted_set) for group in VOTE_FEATURES.names()}


def columns_of(sample_set: SampleSet, counted: Tally) -> dict[str, Sequence[float | None]]:
    """The features of a set by name, without those that a model is asked for."""
    groups = columns_by_group(sample_set, counted).values()
    return {name: column for columns in groups for name, column in columns.items()}


def with_absent_members(columns: Columns, names: Sequence[str], size: int) -> Columns:
    """The columns with 0 for the samples of members that drew none of a set."""
    absent = [name for name in names if name.startswith(MEMBER) and name not in columns]
    return {**columns, **{name: [0.0] * size for name in absent}}


def fitting_model(model: VoteModel, columns: Columns, answering: Sequence[int]) -> VoteModel | None:
    """The model, or its blind one, whose features a set has for all samples with an answer."""
    for tried in (model, model.blind):
        if tried is None:
            return None
        needed = [
            name
            for name in (*tried.names, *tried.home.names)
            if name not in (READER, REWARD) and not name.startswith(MEMBER)
        ]
        if all(name in columns and None not in [columns[name][at] for at in answering] for name in needed):
            return tried
    return None


async def told_columns(
    sample_set: SampleSet,
    counted: Tally,
    reader: Aggregator | None,
    reward_model: RewardModel | None,
    steps: Reduction,
) -> tuple[dict[str, list[float | None]], Usage, tuple[str, ...]]:
    """The features that models are asked for, the tokens, and flags.

    A reader that gives each candidate a probability is read by its log; any other by whether it names the
    candidate. A sample without an answer has no reader's score; it votes for nothing.
    """
    columns: dict[str, list[float | None]] = {}
    usage, flags = Usage(), ()
    if reader is not None:
        answer = await reader.aggregate(sample_set)
        usage += answer.usage
        values = [0.0] * sample_set.n
        probabilities = [candidate.probability for candidate in answer.candidates]
        if len(probabilities) == len(counted.candidates) and None not in probabilities:
            candidate_values = [math.log(max(value or 0.0, _LEAST_PROBABILITY)) for value in probabilities]
        else:
            candidate_values = await _equal_candidate(sample_set, counted, answer.answer)
        for candidate, value in zip(counted.candidates, candidate_values, strict=True):
            for index in candidate.indices:
                values[index] = value
        columns[READER] = list(values)
    if reward_model is not None:
        scores = await scores_of(sample_set, "confidence", reward_model, steps)
        usage += scores.usage
        flags = scores.flags
        answering = {index for candidate in counted.candidates for index in candidate.indices}
        columns[REWARD] = [value if index in answering else 0.0 for index, value in enumerate(scores.values)]
    return columns, usage, flags


async def _equal_candidate(sample_set: SampleSet, counted: Tally, answer: str | None) -> list[float]:
    """1 for the candidate that equals an answer, 0 for the others."""
    if answer is None:
        return [0.0] * len(counted.candidates)
    known = [candidate.answer for candidate in counted.candidates]
    groups = (await grouped(sample_set.question, [answer, *known])).groups
    equal = {index - 1 for group in groups if 0 in group.indices for index in group.indices if index > 0}
    return [float(index in equal) for index in range(len(known))]


def candidate_features(columns: Columns, names: Sequence[str], groups: Sequence[Sequence[int]]) -> Floats:
    """Mean of each feature over each candidate's samples, less that over all of them: (candidates, names)."""
    import numpy as np

    if not names:
        return np.zeros((len(groups), 0))
    answering = [index for group in groups for index in group]
    values = np.array([columns[name] for name in names], dtype=np.float64)
    centre = values[:, answering].mean(axis=1)
    return np.array([values[:, list(group)].mean(axis=1) - centre for group in groups])


def means_of(columns: Columns, names: Sequence[str], answering: Sequence[int]) -> list[float]:
    """Mean of each feature over the samples that state an answer, all of which have it."""
    return [sum(columns[name][index] or 0.0 for index in answering) / len(answering) for name in names]
