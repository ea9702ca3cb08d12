"""Whether `auto` is worth its tokens, and whether the test of it errs as seldom as it says.

    python benchmarks/audits/auto_worth.py FOLDER [--orders 200]

FOLDER holds the recorded draws of `data/draws`. In each pair of files a small model answered the questions k
times and more, and a larger one answered them, too. `auto` reads k samples of the small model and takes the
vote, the weighted vote, or `larger`: two solutions of the larger model, read from its file as from a server,
and the vote over them. Its rules are learned on one half of the questions and used on the other, in turn.

- `auto`, `vote`: right answers of `auto`, and of the vote at the same spend: over as many samples as cost, on
  average, no more than `auto` does;
- `best fixed`: the best single aggregator that costs no more, by the answers (so it has seen them): the vote
  and the weighted vote over any number of samples, and `larger` for all questions;
- `larger alone`: the vote over solutions of the larger model, of those numbers that cost no more the best,
  without any sample of the small one. It is no aggregator of a set; where it is better, ask the larger model;
- `cost`: mean of a question in tokens of the small model; one of the larger counts as three, as it has three
  times the parameters;
- `better`: share of orders of the questions in which the anytime-valid test says at any time that `auto` is
  better; `coin`: the same with who is right drawn anew where just one is, so that it is not better; `gold
  shuffled`: with the gold answers of other questions. At most 5 % of `coin` and `gold shuffled` are promised;
- `cap`: most tokens that an answer took beyond its samples, under each cap.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from sampleset.aggregators.auto import Auto, Rules
from sampleset.aggregators.base import tally, vote_answer
from sampleset.aggregators.learned_vote import reader_identity
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.aggregators.weighted_vote import WeightedVote
from sampleset.backends.base import Backend
from sampleset.backends.replay import ReplayBackend
from sampleset.chat import SamplingParams
from sampleset.commands.fit_auto import labelled_set
from sampleset.evaluation import AnswerLog
from sampleset.grading.grade import grade
from sampleset.models.calls import ModelCalls
from sampleset.prompts import solve_messages
from sampleset.risk.worth import WorthIt
from sampleset.settings import save_settings
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_auto import fitted_rules
from sampleset.types import Answer, Sample, SampleSet

PAIRS = (
    ("gsm8k_test_qwen05b_20", "gsm8k_test_qwen15b", 5),
    ("gsm8k_test_qwen05b_reseeded", "gsm8k_test_qwen15b", 3),
    ("gsm8k_train_qwen05b_12", "gsm8k_train_qwen15b_12", 5),
)
CAPS = (1000, 1500, 4000)
REPLY = 400
PRICE = 3
MOST_SOLUTIONS = 5
SHUFFLES = 10

Outcome = tuple[bool, float]
"""Whether an answer is right, and what its samples and its method cost."""


@dataclass(frozen=True)
class Larger:
    """The vote over solutions of another model.

    Attributes:
        backend: The model.
        solutions: How many it writes.
        max_tokens: Most tokens of each.
    """

    name: ClassVar[str] = "larger"
    backend: Backend
    solutions: int = 2
    max_tokens: int = REPLY

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The vote over its solutions; where they state none, over the samples."""
        messages = solve_messages(sample_set.question, "step_by_step")
        params = SamplingParams(temperature=0.8, max_tokens=self.max_tokens)
        samples = list[Sample]()
        for seed in range(self.solutions):
            (reply,) = await self.backend.generate(messages, params, [seed])
            samples.append(
                Sample(
                    seed, reply.text, reply.finish_reason, seed, reply.prompt_tokens, reply.completion_tokens
                )
            )
        written = SampleSet(sample_set.question, tuple(samples))
        answer = await MajorityVote().aggregate(written)
        if answer.answer is None:
            answer = vote_answer(sample_set, self.name, await tally(sample_set), ["fallback_vote"], 0)
        return replace(answer, usage=written.usage)


@dataclass
class Pair:
    """The questions that both models answered, and what the methods make of them."""

    name: str
    k: int
    small: list[StoredSet]
    larger: Larger
    log: AnswerLog = field(default_factory=AnswerLog)

    def first(self, stored: StoredSet, k: int) -> SampleSet:
        """The first k samples of a set."""
        return stored.sample_set.without_thinking().subset(range(min(k, stored.sample_set.n)))

    async def outcomes(self, method: object, k: int) -> list[Outcome]:
        """The outcome of a method on each question, by its first k samples."""
        return [
            (right, cost)
            for right, cost, _ in [await self.outcome(stored, method, k) for stored in self.small]
        ]

    async def outcome(self, stored: StoredSet, method: object, k: int) -> tuple[bool, float, Answer]:
        """The outcome on one question, and the answer."""
        sample_set = self.first(stored, k)
        answer: Answer = await method.aggregate(sample_set)  # type: ignore[attr-defined]
        right = (await grade(answer.answer, stored.problem)).correct is True
        read = 0 if isinstance(method, Larger) else sample_set.usage.total_tokens
        return right, read + PRICE * answer.usage.total_tokens, answer

    async def auto(self, folder: Path, cap: int) -> tuple[list[Outcome], list[Answer]]:
        """What `auto` does under a cap, its rules learned on the other half of the questions."""
        halves = [list(range(half, len(self.small), 2)) for half in (0, 1)]
        results: dict[int, tuple[bool, float, Answer]] = {}
        plain = Auto(fusion=self.larger)
        for learned, used in (halves, reversed(halves)):
            rows = [await labelled_set(self.small[at], plain, self.log, self.k) for at in learned]
            rules = fitted_rules([row for row in rows if row is not None])
            file = folder / "auto.json"
            methods = {"reader": None, "fusion": reader_identity(self.larger)}
            save_settings(file, Rules(rules, methods).to_json())
            auto = Auto(file=str(file), fusion=self.larger, max_tokens=cap)
            for at in used:
                results[at] = await self.outcome(self.small[at], auto, self.k)
        ordered = [results[at] for at in range(len(self.small))]
        return [(right, cost) for right, cost, _ in ordered], [answer for _, _, answer in ordered]


def opened(folder: Path, small: str, larger: str, k: int) -> Pair:
    """The sets of a pair of files on the questions of both."""
    second = {stored.problem.id: stored for stored in SampleFile(folder / f"{larger}.jsonl.gz")}
    chosen = list[StoredSet]()
    seen = set[str]()
    for stored in SampleFile(folder / f"{small}.jsonl.gz"):
        if stored.problem.id in second and stored.problem.id not in seen:
            seen.add(stored.problem.id)
            chosen.append(stored)
    model = ReplayBackend.of_sets([second[stored.problem.id].sample_set for stored in chosen], "larger")
    return Pair(small, k, chosen, Larger(ModelCalls(model)))


def accuracy(outcomes: Sequence[Outcome]) -> float:
    """Share of right answers."""
    return sum(right for right, _ in outcomes) / len(outcomes)


def cost(outcomes: Sequence[Outcome]) -> float:
    """Mean cost of a question."""
    return sum(tokens for _, tokens in outcomes) / len(outcomes)


def declared(pairs: Sequence[tuple[bool, bool]], orders: int, seed: int, *, coin: bool = False) -> float:
    """Share of orders in which the test says at any time that the first is better."""
    better = 0
    for order in range(orders):
        generator = random.Random(f"{seed}:{order}")
        stream = list(pairs)
        generator.shuffle(stream)
        test = WorthIt()
        for first, second in stream:
            if coin and generator.random() < 0.5:
                first, second = second, first
            test.add(first, second)
            if test.verdict != "not known":
                better += test.verdict == "yes"
                break
    return better / orders


async def shuffled(pair: Pair, answers: Sequence[Answer], votes: Sequence[Answer], orders: int) -> float:
    """Share of orders in which the test says "better" with the gold answers of other questions."""
    share = 0.0
    for shuffle in range(SHUFFLES):
        golds = [stored.problem.answer for stored in pair.small]
        random.Random(shuffle).shuffle(golds)
        rights = list[tuple[bool, bool]]()
        for stored, gold, answer, vote in zip(pair.small, golds, answers, votes, strict=True):
            problem = replace(stored.problem, answer=gold)
            first, second = await grade(answer.answer, problem), await grade(vote.answer, problem)
            rights.append((first.correct is True, second.correct is True))
        share += declared(rights, orders // SHUFFLES, shuffle) / SHUFFLES
    return share


async def audited(pair: Pair, orders: int, note: Callable[[str], None]) -> bool:
    """Print the figures of one pair; whether all promises hold."""
    with tempfile.TemporaryDirectory() as folder:
        most = dict[int, int]()
        outcomes, answers = list[Outcome](), list[Answer]()
        for cap in CAPS:
            outcomes, answers = await pair.auto(Path(folder), cap)
            most[cap] = max(answer.usage.total_tokens for answer in answers)
    spend = cost(outcomes)
    sizes = range(pair.k, pair.small[0].sample_set.n + 1)
    votes = {k: await pair.outcomes(MajorityVote(), k) for k in sizes}
    fixed = {f"vote of {k}": votes[k] for k in sizes}
    fixed |= {f"weighted of {k}": await pair.outcomes(WeightedVote(), k) for k in sizes}
    # The same answers as of the larger model alone, which reads no samples.
    alone = {
        count: await pair.outcomes(replace(pair.larger, solutions=count), pair.k)
        for count in range(1, MOST_SOLUTIONS + 1)
    }
    samples = cost(votes[pair.k])
    larger = alone[pair.larger.solutions]
    fixed["larger for all"] = [(right, price + samples) for right, price in larger]
    affordable = [count for count in alone if cost(alone[count]) <= spend] or [1]
    lone = max(affordable, key=lambda count: accuracy(alone[count]))
    at_spend = max((k for k in sizes if cost(votes[k]) <= spend), default=pair.k)
    name, best = max(
        ((name, accuracy(rows)) for name, rows in fixed.items() if cost(rows) <= spend),
        key=lambda entry: entry[1],
    )
    rights = [(mine, other) for (mine, _), (other, _) in zip(outcomes, votes[at_spend], strict=True)]
    vote_answers = [await MajorityVote().aggregate(pair.first(stored, at_spend)) for stored in pair.small]
    asked = sum(answer.explanation["method"] == "fusion" for answer in answers) / len(answers)
    better = declared(rights, orders, 0)
    coin = declared(rights, orders, 1, coin=True)
    gold = await shuffled(pair, answers, vote_answers, orders)
    whole = WorthIt()
    for mine, other in rights:
        whole.add(mine, other)
    caps = ", ".join(f"{most[cap]} of {cap}" for cap in CAPS)
    note(
        f"| `{pair.name}` | {len(pair.small)} | {pair.k} | {asked:.0%} | {spend:.0f} | "
        f"{accuracy(outcomes):.1%} | {accuracy(votes[at_spend]):.1%} (of {at_spend}) | {best:.1%} ({name}) | "
        f"{accuracy(alone[lone]):.1%} (of {lone}) | "
        f"{better:.1%} | {coin:.1%} | {gold:.1%} | {caps} |"
    )
    is_better = accuracy(outcomes) > accuracy(votes[at_spend])
    return (
        all(most[cap] <= cap for cap in CAPS)
        and max(coin, gold) <= 0.05
        and (is_better or better <= 0.05)
        and accuracy(outcomes) >= best - 0.003
    )


async def audit(folder: Path, orders: int) -> bool:
    """Print a row for each pair of files; whether all promises hold."""
    print(
        "| small model's file | questions | k | asks larger | cost | auto | vote, same spend | best fixed | "
        "larger alone | better | coin | gold shuffled | cap |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|---|")
    kept = [
        await audited(opened(folder, *names), orders, lambda line: print(line, flush=True)) for names in PAIRS
    ]
    return all(kept)


def main() -> None:
    """Run the audit; exit with 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--orders", type=int, default=200)
    options = parser.parse_args()
    raise SystemExit(0 if asyncio.run(audit(options.folder, options.orders)) else 1)


if __name__ == "__main__":
    main()
