"""Chooses a method for each set: the vote where the samples agree, a dearer method where that has paid. Ours;
no paper.

The methods are, from the cheapest to the dearest: the vote, a weighted vote, a `reader` that reads the set
(`ssa`, say), and `fusion`, by a larger model, say. Rules learned from labelled sets (`sampleset fit-auto`)
say which of them answers sets of which agreement, confidence and kind. Without a file the vote answers where
its share is at least `agreement`, and the next dearer method otherwise.

A cap limits what an answer may cost beyond the samples. A method whose calls do not fit it is not asked
further, and the next cheaper one answers.

Cost: that of the method that is taken; no call where it is a vote.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

from sampleset.aggregators._fusion import sides
from sampleset.aggregators.base import AGGREGATORS, Aggregator, Tally, grouped, tally
from sampleset.aggregators.learned_vote import is_fitted_reader, reader_identity
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.aggregators.weighted_vote import WeightedVote
from sampleset.backends.base import Backend
from sampleset.errors import CapReachedError, InputNotFoundError, InvalidArgumentError
from sampleset.models.budget import Budget
from sampleset.models.calls import ModelCalls, within
from sampleset.models.prices import Prices, read_prices
from sampleset.reward_models.base import RewardModel
from sampleset.settings import SavedKind, read_saved
from sampleset.types import Answer, SampleSet, Usage

RULES_SCHEMA = 1
_SAVED = SavedKind(
    "file of rules for auto", RULES_SCHEMA, "Make the rules again: sampleset fit-auto SETS", "auto_rules"
)
METHODS = ("vote", "weighted", "reader", "fusion")
"""From the cheapest to the dearest."""
_ASKING = ("reader", "fusion")
_UNSTATED = "no sample states an answer"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which method answers sets of a sort. The first rule that fits a set counts.

    Attributes:
        method: One of `METHODS`.
        low: Least share of the answering samples that gives the most frequent answer, exclusive.
        high: Greatest, inclusive.
        confidence_agrees: Whether the weighted vote names the answer of the vote; `None` fits both.
        answer_kind: Kind of the answers, without its option.
        questions: Labelled questions of this sort.
        right: How many of them each method has right.
        tokens: Mean tokens of each method beyond the samples.
    """

    method: str
    low: float
    high: float
    confidence_agrees: bool | None
    answer_kind: str
    questions: int
    right: Mapping[str, float]
    tokens: Mapping[str, float]

    def fits(self, kind: str, share: float, agrees: bool) -> bool:
        """Whether a set is of this sort."""
        is_alike = self.confidence_agrees is None or self.confidence_agrees == agrees
        return kind == self.answer_kind and self.low < share <= self.high and is_alike

    def why(self) -> str:
        """The reason for the method, in words."""
        figures = ", ".join(f"{name} {count:g}" for name, count in self.right.items())
        return (
            f"the vote's share is above {self.low:.2f} and at most {self.high:.2f}: of {self.questions} such "
            f"labelled questions right by {figures}"
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a file.

    Attributes:
        rules: The rules, in order.
        methods: Identity of the reader and of the fusion that they were learned with; `None` without one.
        training: The data they were learned from.
    """

    rules: tuple[Rule, ...]
    methods: Mapping[str, str | None]
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        """The rules as they stand in their file."""
        return {"schema": RULES_SCHEMA, "kind": "auto_rules", **asdict(self)}


def read_rules(path: Path) -> tuple[Rules, str]:
    """The rules in a file, and a digest of it.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It holds no rules, or of another version.
    """
    if not path.is_file():
        raise InputNotFoundError(f"No rules {str(path)!r}. Make some: sampleset fit-auto SETS.")
    return read_saved(path, _SAVED, _rules_of)


def _rules_of(values: Any) -> Rules:
    rules = tuple(
        Rule(
            method=str(row["method"]),
            low=float(row["low"]),
            high=float(row["high"]),
            confidence_agrees=row["confidence_agrees"],
            answer_kind=str(row["answer_kind"]),
            questions=int(row["questions"]),
            right={str(name): float(count) for name, count in row["right"].items()},
            tokens={str(name): float(count) for name, count in row["tokens"].items()},
        )
        for row in values["rules"]
    )
    for rule in rules:
        if rule.method not in METHODS or rule.confidence_agrees not in (None, True, False):
            raise ValueError(f"a rule that takes {rule.method!r}")
        if not all(map(math.isfinite, (rule.low, rule.high, *rule.right.values(), *rule.tokens.values()))):
            raise ValueError("numbers that are none")
    methods = {name: values["methods"][name] for name in _ASKING}
    return Rules(rules, methods, dict(values["training"]))


@dataclass(frozen=True, slots=True)
class Signs:
    """What the rules go by, beside the kind of the answers.

    Attributes:
        share: Share of the answering samples that gives the most frequent answer.
        agrees: Whether the weighted vote names the answer of the vote. A weighted vote that asks a model is
            not asked for it, and counts as agreeing.
    """

    share: float
    agrees: bool


@dataclass(frozen=True, slots=True)
class _Votes:
    """The votes that cost nothing.

    Attributes:
        counted: The set's tally.
        vote: The vote's answer.
        weighted: The weighted vote's answer; `None` where it was not needed for the signs.
        signs: `None` where no sample states an answer.
    """

    counted: Tally
    vote: Answer
    weighted: Answer | None
    signs: Signs | None


@AGGREGATORS.register("auto")
@dataclass(frozen=True)
class Auto:
    """Return the answer of the method that rules choose for the set: a vote, a reader's, or a fusion.

    The answer's explanation names the method, why it was taken, and the classes of samples that agree and
    disagree with it. Where a method's calls do not fit the cap the next cheaper one answers, flagged
    `cap_reached` if that is a vote, else `cap_lowered`.

    Attributes:
        file: Rules that `sampleset fit-auto` wrote; without them `agreement` decides.
        weighted: The weighted vote.
        reader: Reads the set, as `ssa[model=REF]`.
        fusion: Writes a new answer, as `rank_then_fuse[model=REF]` with a larger model.
        agreement: Without rules, the least share of the answering samples with which the vote answers.
        max_tokens: Cap on the tokens of the answer beyond those of the samples.
        max_cost: The same in money.
        prices: Price file of the models that are asked, for `max_cost`.
        seed: Seed of ties in the vote.
    """

    name: ClassVar[str] = "auto"
    file: str | None = None
    weighted: Aggregator = field(default_factory=WeightedVote)
    reader: Aggregator | None = None
    fusion: Aggregator | None = None
    agreement: float = 0.6
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: str | None = None
    seed: int = 0
    digest: str | None = field(init=False, default=None)
    _rules: Rules | None = field(
        init=False, repr=False, compare=False, default=None, metadata={"is_option": False}
    )
    _prices: Prices | None = field(
        init=False, repr=False, compare=False, default=None, metadata={"is_option": False}
    )

    def __post_init__(self) -> None:
        if not 0 <= self.agreement <= 1:
            raise InvalidArgumentError(f"agreement={self.agreement!r} must lie between 0 and 1, as in 0.6.")
        if self.file is not None:
            rules, digest = read_rules(Path(self.file))
            object.__setattr__(self, "digest", digest)
            object.__setattr__(self, "_rules", rules)
            for name in _ASKING:
                part: Aggregator | None = getattr(self, name)
                actual = None if part is None else reader_identity(part)
                if not is_fitted_reader(rules.methods[name], actual, self.file):
                    raise InvalidArgumentError(
                        f"The rules {self.file!r} were learned with {name}={rules.methods[name]!r}, and "
                        f"{actual!r} is given. Give the same, or learn again: sampleset fit-auto SETS."
                    )
        if self.prices is not None:
            object.__setattr__(self, "_prices", read_prices(Path(self.prices)))
        self._require_caps()

    @property
    def methods(self) -> dict[str, Aggregator]:
        """The methods that there are, from the cheapest to the dearest."""
        methods = {"vote": MajorityVote(seed=self.seed), "weighted": self.weighted}
        asking = {name: getattr(self, name) for name in _ASKING}
        return methods | {name: part for name, part in asking.items() if part is not None}

    def _require_caps(self) -> None:
        """Refuse caps that no method's reply fits, and caps on calls that nobody counts."""
        for name in ("max_tokens", "max_cost"):
            value: float | None = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidArgumentError(f"{name}={value!r} must be above 0.")
        if self.max_cost is not None and self._prices is None:
            raise InvalidArgumentError(f"max_cost={self.max_cost!r} is money: give prices=FILE, too.")
        if self.max_tokens is None and self.max_cost is None:
            return
        least: list[tuple[float, float, str]] = []
        for name, part in self.methods.items():
            models = list(_models_in(part))
            for model in models:
                if not isinstance(model, ModelCalls):
                    raise InvalidArgumentError(
                        f"A cap counts calls of models, and {name} asks {getattr(model, 'model', model)!r} "
                        "uncounted. Wrap it in ModelCalls(backend), or leave the cap away."
                    )
                if self._prices is not None and self.max_cost is not None:
                    self._prices.check([model.model])
            if models:
                reply = _reply_tokens(part)
                prices = [self._prices.models[model.model].of(0, reply) for model in models
                          if self._prices is not None and self.max_cost is not None]  # fmt: skip
                least.append((reply, min(prices, default=0.0), name))
        if not least:
            return
        tokens, _, name = min(least)
        if self.max_tokens is not None and self.max_tokens <= tokens:
            raise InvalidArgumentError(
                f"max_tokens={self.max_tokens} is too small for any answer of a model: a reply of {name} "
                f"alone may take {tokens:g} tokens. Raise it, lower max_tokens of {name}, or take "
                "majority_vote."
            )
        money, name = min((money, name) for _, money, name in least)
        if self.max_cost is not None and money and self.max_cost <= money:
            raise InvalidArgumentError(
                f"max_cost={self.max_cost:g} is too small for any answer of a model: a reply of {name} alone "
                f"may cost {money:g}. Raise it, lower max_tokens of {name}, or take majority_vote."
            )

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the method that the rules choose, or of the dearest cheaper one that fits the cap."""
        votes = await self._votes(sample_set)
        if votes.signs is None:
            return self._explained(votes.vote, sample_set, votes.counted, set(), "vote", _UNSTATED, {})
        signs, answer, method = votes.signs, votes.vote, "vote"
        chosen, why = self._chosen(sample_set, signs)
        tried = list(self.methods)[1 : list(self.methods).index(chosen) + 1]
        spent = Usage()
        for name in reversed(tried):
            if name == "weighted" and votes.weighted is not None:
                part, cost = votes.weighted, Usage()
            else:
                part, cost = await self._within_caps(self.methods[name], sample_set)
            if part is not None:
                answer, method = part, name
                break
            spent, why = spent + cost, f"{why}; {name} did not fit the cap"
        if method != chosen:
            flag = "cap_lowered" if method in _ASKING else "cap_reached"
            answer = replace(answer, usage=answer.usage + spent, flags=(*answer.flags, flag))
        agreeing = await _agreeing(sample_set, votes.counted, answer.answer)
        said = {"share": round(signs.share, 4), "confidence_agrees": signs.agrees}
        return self._explained(answer, sample_set, votes.counted, agreeing, method, why, said)

    async def signs(self, sample_set: SampleSet) -> Signs | None:
        """What the rules go by; `None` where no sample states an answer."""
        return (await self._votes(sample_set)).signs

    async def _votes(self, sample_set: SampleSet) -> _Votes:
        counted = await tally(sample_set)
        vote = await self.methods["vote"].aggregate(sample_set)
        if not counted.candidates:
            return _Votes(counted, vote, None, None)
        most = max(candidate.votes for candidate in counted.candidates)
        share = most / sum(candidate.votes for candidate in counted.candidates)
        if share == 1 or list(_models_in(self.weighted)):
            return _Votes(counted, vote, None, Signs(share, True))
        weighted = await self.weighted.aggregate(sample_set)
        agrees = await _same(sample_set, vote.answer, weighted.answer)
        return _Votes(counted, vote, weighted, Signs(share, agrees))

    def _chosen(self, sample_set: SampleSet, signs: Signs) -> tuple[str, str]:
        """Name of the method, and why."""
        methods, share, agrees = self.methods, signs.share, signs.agrees
        kind = sample_set.question.answer_kind.partition(":")[0]
        if self._rules is not None:
            for rule in self._rules.rules:
                if rule.fits(kind, share, agrees) and rule.method in methods:
                    return rule.method, rule.why()
            return "vote", f"no rule is of answers of the kind {kind} with this agreement"
        if share >= self.agreement:
            return "vote", f"the vote's share {share:.2f} is at least agreement={self.agreement:g}"
        dearer = next((name for name in _ASKING if name in methods), "weighted")
        return dearer, f"the vote's share {share:.2f} is below agreement={self.agreement:g}"

    async def _within_caps(self, method: Aggregator, sample_set: SampleSet) -> tuple[Answer | None, Usage]:
        """The method's answer; `None` if its calls do not fit the caps, with what they took until then."""
        counter = Budget(math.inf, "tokens")
        budgets = [counter]
        if self.max_tokens is not None:
            budgets.append(Budget(self.max_tokens, "tokens"))
        if self.max_cost is not None:
            budgets.append(Budget(self.max_cost, "money"))
        try:
            with within(budgets, self._prices):
                return await method.aggregate(sample_set), Usage()
        except CapReachedError:
            # A budget knows the sum only; it stands under prompt tokens.
            return None, Usage(prompt_tokens=round(counter.spent))

    def _explained(
        self,
        answer: Answer,
        sample_set: SampleSet,
        counted: Tally,
        agreeing: set[int],
        method: str,
        why: str,
        signs: Mapping[str, Any],
    ) -> Answer:
        explanation: dict[str, Any] = {"method": method, "aggregator": answer.aggregator, "why": why, **signs}
        return replace(
            answer,
            aggregator=self.name,
            explanation=explanation | sides(sample_set, counted, agreeing),
        )


async def _agreeing(sample_set: SampleSet, counted: Tally, answer: str | None) -> set[int]:
    """Numbers of the candidates that equal an answer."""
    if answer is None:
        return set()
    known = [candidate.answer for candidate in counted.candidates]
    groups = (await grouped(sample_set.question, [*known, answer])).groups
    return {at for group in groups if len(known) in group.indices for at in group.indices}


async def _same(sample_set: SampleSet, first: str | None, second: str | None) -> bool:
    if first is None or second is None:
        return first == second
    return first == second or len((await grouped(sample_set.question, [first, second])).groups) == 1


def _models_in(part: Any) -> Iterator[Any]:
    """The models that an aggregator, and the aggregators it is made of, ask."""
    for option in dataclasses.fields(part):
        value: Any = getattr(part, option.name)
        for inner in cast("tuple[Any, ...]", value if isinstance(value, tuple) else (value,)):
            if isinstance(inner, Backend) or (isinstance(inner, RewardModel) and not _backend_of(inner)):
                yield inner
            elif isinstance(inner, RewardModel):
                yield _backend_of(inner)
            elif dataclasses.is_dataclass(inner) and hasattr(inner, "aggregate"):
                yield from _models_in(inner)


def _backend_of(model: Any) -> Any:
    return getattr(model, "backend", None)


def _reply_tokens(part: Any) -> float:
    """Most tokens of one reply of a method; 0 where it says nothing about it."""
    value = getattr(part, "max_tokens", None)
    return float(value) if isinstance(value, int) else 0.0
