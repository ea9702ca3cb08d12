"""Stopping rules on stored sample sets: what they would have saved, and what it would have cost in accuracy.

Nothing is drawn. A question's samples are put in several orders, drawn by the seed, as if they came in that
order; where a rule would have stopped, the vote over the samples up to there is compared with the vote over
all K. Two ways of drawing bound what a run pays: `one by one`, where the rule is asked after every sample,
and `batches`, where what there is doubles and a batch counts whole (a run that cancels what is in flight
lies between the two). Classes of equal answers are those of the whole set.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from sampleset.aggregators.base import Tally, decide, tally
from sampleset.datasets.base import has_readable_gold
from sampleset.errors import InvalidArgumentError, MissingGoldError
from sampleset.evaluation.results import Interval
from sampleset.evaluation.scoring import recorded_tokens
from sampleset.grading.grade import grade
from sampleset.metrics import clustered_interval, paired_bootstrap
from sampleset.sampling.stopping import Classes, StoppingRule, batch_ends, classes_in
from sampleset.storage.records import StoredSet

_RESAMPLES = 10_000
ONE_BY_ONE, BATCHES = "one by one", "batches"


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How rules are replayed.

    Attributes:
        rules: The rules.
        k: Samples of a question at most; questions with fewer are left out. By default the smallest set's.
        orders: Orders of each question's samples.
        first_batch: Samples of the first batch; by default the fewest that meet the rule.
        with_replacement: Draw K of the n samples with replacement, so that K may exceed n: what a run of K
            would see if the model gave its answers as often as they stand in the set.
        seed: Seed of orders and bootstrap.
        keep_thinking: Whether votes read what a sample says before `</think>`.
    """

    rules: tuple[StoppingRule, ...]
    k: int | None = None
    orders: int = 20
    first_batch: int | None = None
    with_replacement: bool = False
    seed: int = 0
    keep_thinking: bool = False

    def __post_init__(self) -> None:
        if not self.rules:
            raise InvalidArgumentError("No stopping rule to replay. Give one, as beta:0.95.")
        specs = [rule.spec for rule in self.rules]
        if repeated := next((one for one in specs if specs.count(one) > 1), None):
            raise InvalidArgumentError(f"The rule {repeated!r} is given twice. Leave one away.")
        for name in ("k", "orders", "first_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{name}={value!r} must be at least 1.")
        if self.with_replacement and self.k is None:
            raise InvalidArgumentError("Samples drawn with replacement need k, how many. Give -k.")


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One rule on one file.

    Attributes:
        rule: The rule as users type it.
        drawing: `one by one` or `batches`.
        samples: Samples drawn per question, on average.
        times_fewer: K over that.
        tokens: Tokens per question, on average; every sample counts its prompt.
        tokens_saved: Share of the tokens of all K that are saved.
        stopped: Share of questions that stop before K.
        accuracy: Share right of the votes where the rule stops.
        difference: That minus the accuracy of the vote over all K.
        difference_interval: Its paired bootstrap interval, questions drawn with replacement.
        agreement: Share of questions with the answer of the vote over all K.
        fixed_accuracy: Accuracy of a plain vote over the same mean number of samples, the same for every
            question (between two whole numbers: the two mixed).
        gain: Accuracy of the rule minus that.
        gain_interval: Its paired bootstrap interval.
    """

    rule: str
    drawing: str
    samples: float
    times_fewer: float
    tokens: float
    tokens_saved: float
    stopped: float
    accuracy: float
    difference: float
    difference_interval: Interval
    agreement: float
    fixed_accuracy: float
    gain: float
    gain_interval: Interval


@dataclass(frozen=True, slots=True)
class ReplayFile:
    """All rules on one file.

    Attributes:
        source: The file's name.
        k: Samples of a question at most.
        orders: Orders of each question's samples.
        with_replacement: Whether samples were drawn with replacement.
        problems: Questions replayed.
        left_out: Questions with too few samples, or without a gold answer that can be read.
        tokens_estimated: Whether tokens are guessed from the length of the texts.
        accuracy: Of the vote over all K.
        interval: Its interval, clustered by question.
        curve: Accuracy of the vote over the first 1, 2, ... K samples.
        rows: By rule and way of drawing.
    """

    source: str
    k: int
    orders: int
    with_replacement: bool
    problems: int
    left_out: int
    tokens_estimated: bool
    accuracy: float
    interval: Interval
    curve: tuple[float, ...]
    rows: tuple[ReplayRow, ...]


@dataclass(slots=True)
class _Outcome:
    """One rule and way of drawing on one question: sums over the orders, then means."""

    right: float = 0.0
    samples: float = 0.0
    tokens: float = 0.0
    stopped: float = 0.0
    agrees: float = 0.0


Key = tuple[str, str]


@dataclass(slots=True)
class _Replayed:
    """One question: sums over the orders, then means.

    Attributes:
        right: Whether the vote over the first m samples is right, by m from 1.
        tokens: Tokens of all K samples.
    """

    right: list[float]
    tokens: float = 0.0
    outcomes: dict[Key, _Outcome] = field(default_factory=dict[Key, _Outcome])

    def mean(self, orders: int) -> _Replayed:
        """The means over so many orders; divided once, so that a share of 1 is 1."""
        outcomes = {
            key: _Outcome(*(getattr(one, name.name) / orders for name in fields(_Outcome)))
            for key, one in self.outcomes.items()
        }
        return _Replayed([one / orders for one in self.right], self.tokens / orders, outcomes)


async def replay_file(
    source: str,
    sets: Iterable[StoredSet],
    options: ReplayOptions,
    on_progress: Callable[[int], None] | None = None,
) -> ReplayFile:
    """The rules on one file's sample sets; read twice.

    Raises:
        InvalidArgumentError: No set holds K samples.
        MissingGoldError: No set has a gold answer that can be read.
    """
    sizes = [one.sample_set.n for one in sets if has_readable_gold(one.problem)]
    if not sizes:
        raise MissingGoldError(f"{source}: no sample set has a gold answer that can be read.")
    k = options.k or min(sizes)
    if k > max(sizes) and not options.with_replacement:
        raise InvalidArgumentError(
            f"{source}: k={k} is above the {max(sizes)} samples of its largest set. Use -k {max(sizes)}, or "
            "--resample to draw from the samples with replacement."
        )
    found: list[_Replayed] = []
    left_out, estimated = 0, False
    for stored in sets:
        if not has_readable_gold(stored.problem) or (
            stored.sample_set.n < k and not options.with_replacement
        ):
            left_out += 1
            continue
        found.append(await _replayed(stored, k, options))
        estimated |= any(sample.completion_tokens is None for sample in stored.sample_set.samples)
        if on_progress is not None:
            on_progress(len(found))
    full = [one.right[-1] for one in found]
    return ReplayFile(
        source=source,
        k=k,
        orders=options.orders,
        with_replacement=options.with_replacement,
        problems=len(found),
        left_out=left_out,
        tokens_estimated=estimated,
        accuracy=_mean(full),
        interval=Interval(*clustered_interval(full)),
        curve=tuple(_mean([one.right[place] for one in found]) for place in range(k)),
        rows=tuple(_row(key, found, k, options.seed) for key in found[0].outcomes),
    )


async def _replayed(stored: StoredSet, k: int, options: ReplayOptions) -> _Replayed:
    """One question in all its orders."""
    whole = stored.sample_set
    counted = await tally(whole if options.keep_thinking else whole.without_thinking())
    classes = classes_in(counted)
    grades = [await grade(candidate.answer, stored.problem) for candidate in counted.candidates]
    votes = _Votes(counted, {number: one.correct is True for number, one in enumerate(grades)}, whole.id)
    tokens = [
        recorded_tokens(one.prompt_tokens, whole.question.text)
        + recorded_tokens(one.completion_tokens, one.text)
        for one in whole.samples
    ]
    found = _Replayed([0.0] * k)
    for number in range(options.orders):
        generator = random.Random(f"{options.seed}:{number}:{whole.id}")
        places = range(whole.n)
        order = (
            generator.choices(places, k=k)
            if options.with_replacement
            else generator.sample(places, whole.n)[:k]
        )
        seen = [classes[place] for place in order]
        winners = votes.after_each(seen)
        spent = [tokens[place] for place in order]
        found.tokens += sum(spent)
        for place, winner in enumerate(winners):
            found.right[place] += votes.is_right(winner)
        for rule in options.rules:
            ways = {
                ONE_BY_ONE: list(range(1, k + 1)),
                BATCHES: batch_ends(options.first_batch or rule.first_batch, k),
            }
            for way, ends in ways.items():
                end = next((end for end in ends if rule.met(seen[:end])), k)
                outcome = found.outcomes.setdefault((rule.spec, way), _Outcome())
                outcome.right += votes.is_right(winners[end - 1])
                outcome.samples += end
                outcome.tokens += sum(spent[:end])
                outcome.stopped += end < k
                outcome.agrees += winners[end - 1] == winners[-1]
    return found.mean(options.orders)


class _Votes:
    """The majority vote over draws of one question, by the numbers of their classes."""

    def __init__(self, counted: Tally, right: Mapping[int, bool], question_id: str) -> None:
        self._candidates, self._answers = counted.candidates, counted.answers
        self._right = right
        self._question_id = question_id
        self._known: dict[tuple[int, ...], int | None] = {}

    def after_each(self, classes: Classes) -> list[int | None]:
        """The winning class after each draw, `None` while there is no answer."""
        counts = Counter[int]()
        winners: list[int | None] = []
        for one in classes:
            if one is not None:
                counts[one] += 1
            winners.append(self._winner(tuple(counts[number] for number in range(len(self._candidates)))))
        return winners

    def is_right(self, winner: int | None) -> bool:
        """Whether that class is right; abstaining is not."""
        return winner is not None and self._right[winner]

    def _winner(self, counts: tuple[int, ...]) -> int | None:
        if counts not in self._known:
            decision = None
            if any(counts):
                decision = decide(self._candidates, counts, "seeded", 0, self._question_id, self._answers)
            self._known[counts] = decision and self._candidates.index(decision.winner)
        return self._known[counts]


def _row(key: Key, found: Sequence[_Replayed], k: int, seed: int) -> ReplayRow:
    outcomes = [one.outcomes[key] for one in found]
    samples = _mean([one.samples for one in outcomes])
    right = [one.right for one in outcomes]
    full = [one.right[-1] for one in found]
    low, share = math.floor(samples), samples - math.floor(samples)
    fixed = [(1 - share) * one.right[low - 1] + share * one.right[min(low, k - 1)] for one in found]
    behind = [mine - its for mine, its in zip(right, full, strict=True)]
    ahead = [mine - its for mine, its in zip(right, fixed, strict=True)]
    tokens, all_tokens = _mean([one.tokens for one in outcomes]), _mean([one.tokens for one in found])
    return ReplayRow(
        rule=key[0],
        drawing=key[1],
        samples=samples,
        times_fewer=k / samples,
        tokens=tokens,
        tokens_saved=1 - tokens / all_tokens if all_tokens else 0.0,
        stopped=_mean([one.stopped for one in outcomes]),
        accuracy=_mean(right),
        difference=_mean(behind),
        difference_interval=Interval(*paired_bootstrap(behind, _RESAMPLES, seed)),
        agreement=_mean([one.agrees for one in outcomes]),
        fixed_accuracy=_mean(fixed),
        gain=_mean(ahead),
        gain_interval=Interval(*paired_bootstrap(ahead, _RESAMPLES, seed)),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
