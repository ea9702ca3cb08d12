"""Stopping rules on stored sample sets: how many samples they save, and how much accuracy that costs.

Nothing is drawn. A question's samples are put in several random orders, as if they had been drawn in that
order. The vote over the samples before the rule stops is compared with the vote over all K. Two ways of
drawing bound the cost of a real run. `one by one` applies the rule after every sample. `batches` doubles the
number of samples each time and counts each batch in full. A run that cancels calls in flight lies between the
two. Classes of equal answers are those of the whole set.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from sampleset.aggregators.base import Tally, decide, tally
from sampleset.datasets.base import GOLD_REMEDY, has_readable_gold
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
        k: Most samples of a question; questions with fewer are left out. By default the size of the smallest
            set.
        orders: Orders of each question's samples.
        first_batch: Samples of the first batch; by default the fewest that can meet the rule.
        with_replacement: Whether to draw K of the n samples with replacement, so that K may exceed n. This
            simulates a model whose answers have the frequencies of the set.
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
        if repeated := next((spec for spec in specs if specs.count(spec) > 1), None):
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
        times_fewer: K divided by `samples`.
        tokens: Tokens per question, on average; every sample counts its prompt.
        tokens_saved: Share of the tokens of all K samples that are saved, in [0, 1].
        stopped: Share of questions that stop before K.
        accuracy: Accuracy of the votes where the rule stops.
        difference: `accuracy` minus the accuracy of the vote over all K.
        difference_interval: Its paired bootstrap interval, questions drawn with replacement.
        agreement: Share of questions with the answer of the vote over all K.
        fixed_accuracy: Accuracy of a plain vote with the same mean number of samples for every question
            (interpolated between two whole numbers).
        gain: `accuracy` minus `fixed_accuracy`.
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
        k: Most samples of a question.
        orders: Orders of each question's samples.
        with_replacement: Whether samples were drawn with replacement.
        problems: Questions replayed.
        left_out: Questions with too few samples, or without a readable gold answer.
        tokens_estimated: Whether tokens are estimated from the length of the texts.
        accuracy: Accuracy of the vote over all K.
        interval: Interval of the accuracy, clustered by question.
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
class _QuestionReplay:
    """One question: sums over the orders, then means.

    Attributes:
        right: Whether the vote over the first m samples is right, by m from 1.
        tokens: Tokens of all K samples.
    """

    right: list[float]
    tokens: float = 0.0
    outcomes: dict[Key, _Outcome] = field(default_factory=dict[Key, _Outcome])

    def mean(self, orders: int) -> _QuestionReplay:
        """The means over this many orders. Sums are divided once, so that a share of 1 is exactly 1."""
        outcomes = {
            key: _Outcome(*(getattr(outcome, column.name) / orders for column in fields(_Outcome)))
            for key, outcome in self.outcomes.items()
        }
        return _QuestionReplay([right / orders for right in self.right], self.tokens / orders, outcomes)


async def replay_file(
    source: str,
    sets: Iterable[StoredSet],
    options: ReplayOptions,
    on_progress: Callable[[int], None] | None = None,
) -> ReplayFile:
    """The rules replayed on one file's sample sets, which are read twice.

    Args:
        source: The file's name.
        sets: The sample sets; iterated twice.
        options: How rules are replayed.
        on_progress: Called with the number of questions replayed so far.

    Raises:
        InvalidArgumentError: No set has K samples.
        MissingGoldError: No set has a readable gold answer.
    """
    sizes = [stored.sample_set.n for stored in sets if has_readable_gold(stored.problem)]
    if not sizes:
        raise MissingGoldError(f"{source}: no sample set has a gold answer that can be read. {GOLD_REMEDY}")
    k = options.k or min(sizes)
    if k > max(sizes) and not options.with_replacement:
        raise InvalidArgumentError(
            f"{source}: k={k} is above the {max(sizes)} samples of its largest set. Use -k {max(sizes)}, or "
            "--resample to draw from the samples with replacement."
        )
    replays: list[_QuestionReplay] = []
    left_out, estimated = 0, False
    for stored in sets:
        if not has_readable_gold(stored.problem) or (
            stored.sample_set.n < k and not options.with_replacement
        ):
            left_out += 1
            continue
        replays.append(await _replay_question(stored, k, options))
        estimated |= any(sample.completion_tokens is None for sample in stored.sample_set.samples)
        if on_progress is not None:
            on_progress(len(replays))
    full_accuracies = [replay.right[-1] for replay in replays]
    return ReplayFile(
        source=source,
        k=k,
        orders=options.orders,
        with_replacement=options.with_replacement,
        problems=len(replays),
        left_out=left_out,
        tokens_estimated=estimated,
        accuracy=_mean(full_accuracies),
        interval=Interval(*clustered_interval(full_accuracies)),
        curve=tuple(_mean([replay.right[index] for replay in replays]) for index in range(k)),
        rows=tuple(_row(key, replays, k, options.seed) for key in replays[0].outcomes),
    )


async def _replay_question(stored: StoredSet, k: int, options: ReplayOptions) -> _QuestionReplay:
    """One question in all its orders."""
    sample_set = stored.sample_set
    counted = await tally(sample_set if options.keep_thinking else sample_set.without_thinking())
    classes = classes_in(counted)
    grades = [await grade(candidate.answer, stored.problem) for candidate in counted.candidates]
    votes = _Votes(
        counted, {number: verdict.correct is True for number, verdict in enumerate(grades)}, sample_set.id
    )
    tokens = [
        recorded_tokens(sample.prompt_tokens, sample_set.question.text)
        + recorded_tokens(sample.completion_tokens, sample.text)
        for sample in sample_set.samples
    ]
    replay = _QuestionReplay([0.0] * k)
    for number in range(options.orders):
        generator = random.Random(f"{options.seed}:{number}:{sample_set.id}")
        indices = range(sample_set.n)
        order = (
            generator.choices(indices, k=k)
            if options.with_replacement
            else generator.sample(indices, sample_set.n)[:k]
        )
        drawn_classes = [classes[index] for index in order]
        winners = votes.after_each(drawn_classes)
        drawn_tokens = [tokens[index] for index in order]
        replay.tokens += sum(drawn_tokens)
        for index, winner in enumerate(winners):
            replay.right[index] += votes.is_right(winner)
        for rule in options.rules:
            ways = {
                ONE_BY_ONE: list(range(1, k + 1)),
                BATCHES: batch_ends(options.first_batch or rule.first_batch, k),
            }
            for way, ends in ways.items():
                end = next((end for end in ends if rule.met(drawn_classes[:end])), k)
                outcome = replay.outcomes.setdefault((rule.spec, way), _Outcome())
                outcome.right += votes.is_right(winners[end - 1])
                outcome.samples += end
                outcome.tokens += sum(drawn_tokens[:end])
                outcome.stopped += end < k
                outcome.agrees += winners[end - 1] == winners[-1]
    return replay.mean(options.orders)


class _Votes:
    """The majority vote over draws of one question, by the numbers of their classes."""

    def __init__(self, counted: Tally, right: Mapping[int, bool], question_id: str) -> None:
        self._candidates, self._answers = counted.candidates, counted.answers
        self._right = right
        self._question_id = question_id
        self._winners: dict[tuple[int, ...], int | None] = {}

    def after_each(self, classes: Classes) -> list[int | None]:
        """The winning class after each draw, `None` while there is no answer."""
        counts = Counter[int]()
        winners: list[int | None] = []
        for drawn_class in classes:
            if drawn_class is not None:
                counts[drawn_class] += 1
            winners.append(self._winner(tuple(counts[number] for number in range(len(self._candidates)))))
        return winners

    def is_right(self, winner: int | None) -> bool:
        """Whether that class is right. Abstaining is wrong."""
        return winner is not None and self._right[winner]

    def _winner(self, counts: tuple[int, ...]) -> int | None:
        if counts not in self._winners:
            decision = None
            if any(counts):
                decision = decide(self._candidates, counts, "seeded", 0, self._question_id, self._answers)
            self._winners[counts] = decision and self._candidates.index(decision.winner)
        return self._winners[counts]


def _row(key: Key, replays: Sequence[_QuestionReplay], k: int, seed: int) -> ReplayRow:
    outcomes = [replay.outcomes[key] for replay in replays]
    samples = _mean([outcome.samples for outcome in outcomes])
    right = [outcome.right for outcome in outcomes]
    full_accuracies = [replay.right[-1] for replay in replays]
    low, share = math.floor(samples), samples - math.floor(samples)
    fixed = [
        (1 - share) * replay.right[low - 1] + share * replay.right[min(low, k - 1)] for replay in replays
    ]
    losses = [rule_right - vote_right for rule_right, vote_right in zip(right, full_accuracies, strict=True)]
    gains = [rule_right - vote_right for rule_right, vote_right in zip(right, fixed, strict=True)]
    tokens = _mean([outcome.tokens for outcome in outcomes])
    all_tokens = _mean([replay.tokens for replay in replays])
    return ReplayRow(
        rule=key[0],
        drawing=key[1],
        samples=samples,
        times_fewer=k / samples,
        tokens=tokens,
        tokens_saved=1 - tokens / all_tokens if all_tokens else 0.0,
        stopped=_mean([outcome.stopped for outcome in outcomes]),
        accuracy=_mean(right),
        difference=_mean(losses),
        difference_interval=Interval(*paired_bootstrap(losses, _RESAMPLES, seed)),
        agreement=_mean([outcome.agrees for outcome in outcomes]),
        fixed_accuracy=_mean(fixed),
        gain=_mean(gains),
        gain_interval=Interval(*paired_bootstrap(gains, _RESAMPLES, seed)),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
