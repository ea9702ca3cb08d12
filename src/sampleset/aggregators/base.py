"""SampleSet → Answer: the interface, how a set's answers are read, and how a vote is decided.

One file per aggregator; its name is the module's name. An aggregator is a frozen dataclass whose fields
are its options. A field called `backend` is filled with the model that `--aggregator-model` names.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, Protocol

from sampleset.answers import (
    AnswerKind,
    Extracted,
    Grouping,
    canonical,
    choices_of,
    is_cut_short,
    kind_of,
)
from sampleset.backends.base import Backend
from sampleset.caches import BoundedCache
from sampleset.chat import Generation
from sampleset.errors import ContextOverflowError
from sampleset.registry import Registry
from sampleset.types import Answer, Candidate, Question, SampleSet, Usage


@dataclass(frozen=True, slots=True)
class Writing:
    """The words that an aggregator has its model write, for callers that show them during the writing.

    Attributes:
        words: `thought`, reasoning that ends in an answer; or `solution`, a new solution, which is the reply.
        call: Number of the model call that writes them, from 0. `None` if it is not sure beforehand that the
            words of some call are shown: nothing is shown then before the answer is decided.
    """

    words: Literal["thought", "solution"]
    call: int | None = 0


class Aggregator(Protocol):
    """One way to make one answer of a sample set.

    An aggregator that has words to show while a model writes them says so by a property `writing`, which is a
    `Writing` or `None`. One without that property has none; see `writing_of`.

    Attributes:
        name: The name users type; also the name of the module.
    """

    name: ClassVar[str]

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer to the question of this set. Draws no new samples and sees no gold.

        Raises:
            BackendError: A model that the method needs cannot be asked.
        """
        ...


def writing_of(aggregator: Aggregator) -> Writing | None:
    """The words of an aggregator that may be shown; `None` by default."""
    return getattr(aggregator, "writing", None)


AGGREGATORS: Registry[type[Aggregator]] = Registry("aggregator", "sampleset.aggregators")

Ties = Literal["seeded", "first"]


@dataclass(frozen=True, slots=True)
class Tally:
    """The final answers of a sample set.

    Attributes:
        answers: One per sample; `None` where a sample failed or states none.
        candidates: Classes of equal answers, in the order they first appear.
        notes: Flags from reading and comparing the answers.
    """

    answers: tuple[str | None, ...]
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]


async def tally(sample_set: SampleSet) -> Tally:
    """The final answers of a set; equal answers (1/2 and 0.5, say) make one candidate.

    Raises:
        InvalidArgumentError: The answers are of a kind that cannot be compared here: there is no judge, or
            programs may not be run.
    """
    remembered, counted = _remembered
    if remembered is sample_set and counted is not None:
        return counted
    readable = _readable(sample_set)
    if known := _tallies.get(readable):
        return known
    kind, choices, texts = readable
    counted = tally_of(*await kind.read_and_group(texts, choices))
    if not is_cut_short(counted.notes):
        _tallies.put(readable, counted, _size(readable))
    return counted


def remember_tally(sample_set: SampleSet, counted: Tally) -> None:
    """Have the method that reads this set next take its tally as counted."""
    global _remembered
    _remembered = sample_set, counted


def tally_of(answers: tuple[str | None, ...], grouping: Grouping) -> Tally:
    """The tally of answers that are grouped; one that is in no group turned out to be none."""
    grouped_indices = {index for group in grouping.groups for index in group.indices}
    return Tally(
        tuple(answer if index in grouped_indices else None for index, answer in enumerate(answers)),
        tuple(Candidate(group.answer, len(group.indices), group.indices) for group in grouping.groups),
        grouping.notes,
    )


Readable = tuple[AnswerKind, int | None, tuple[tuple[str, bool] | None, ...]]
"""The inputs of a tally: the kind of the answers with all that it compares them by, the number of choices,
and text and truncation of each sample that did not fail.
"""


def _size(readable: Readable) -> int:
    return sum(len(text[0]) for text in readable[2] if text)


def _readable(sample_set: SampleSet) -> Readable:
    question = sample_set.question
    texts = [None if sample.failed else (sample.text, sample.truncated) for sample in sample_set.samples]
    return kind_of(question), choices_of(question), tuple(texts)


def answers_of(sample_set: SampleSet) -> tuple[str | None, ...]:
    """The final answer that each sample states, not compared with one another."""
    question = sample_set.question
    kind, choices = kind_of(question), choices_of(question)
    read = [
        None if sample.failed else kind.read(sample.text, choices, sample.truncated)
        for sample in sample_set.samples
    ]
    return tuple(stated and stated.text for stated in read)


async def grouped(question: Question, answers: Sequence[str | None]) -> Grouping:
    """Distinct answers to a question, by the kind of its answers."""
    return await kind_of(question).group(answers)


def read_reply(question: Question, text: str) -> Extracted | None:
    """The final answer of a reply that ends at its closing tag: only a marked answer counts."""
    # The opening mark is of the prompt's making; a model that closes it nowhere may still mark its answer.
    return kind_of(question).read(text.lstrip().removeprefix("<think>"), choices_of(question), truncated=True)


_tallies: BoundedCache[Readable, Tally] = BoundedCache(64 * 2**20)
_remembered: tuple[SampleSet | None, Tally | None] = None, None


@dataclass(frozen=True, slots=True)
class Decision:
    """The winner of a vote; `tied` says whether others weighed as much."""

    winner: Candidate
    tied: bool


def decide(
    candidates: Sequence[Candidate],
    weights: Sequence[float],
    ties: Ties,
    seed: int,
    question_id: str,
    answers: Sequence[str | None] = (),
) -> Decision | None:
    """The candidate of the greatest weight, `None` if there is no candidate.

    Args:
        candidates: Distinct answers, in the order they first appear.
        weights: One weight per candidate.
        ties: `seeded`: one of the heaviest by a draw that depends on the seed and the question's id only,
            not on the order of the samples. `first`: the one that appears first.
        seed: Seed of that draw.
        question_id: The question's id.
        answers: The samples' answers, by index. Without them a candidate is known by its first writing only,
            and with `$5` and `5` in one candidate that draw depends on which came first.
    """
    if not candidates:
        return None
    heaviest = max(weights)
    # Sums of the same weights in another order differ in the last bits.
    tied = [
        candidate
        for candidate, weight in zip(candidates, weights, strict=True)
        if weight >= heaviest - 1e-9 * abs(heaviest)
    ]
    if ties == "first" or len(tied) == 1:
        return Decision(tied[0], len(tied) > 1)

    def least_text(candidate: Candidate) -> str:
        written = [answers[index] for index in candidate.indices] if answers else [candidate.answer]
        return min(canonical(answer) for answer in written if answer is not None)

    return Decision(sorted(tied, key=least_text)[tie_place(len(tied), seed, question_id)], True)


@lru_cache(1024)
def tie_place(count: int, seed: int, question_id: str) -> int:
    """Which of so many tied answers wins, sorted by their least text."""
    return random.Random(f"{seed}:{question_id}").choice(range(count))


def vote_answer(sample_set: SampleSet, name: str, counted: Tally, flags: Sequence[str], seed: int) -> Answer:
    """The majority vote as another method's answer: where it need not, or cannot, decide by itself.

    Flagged `unanimous` where there is one candidate, `no_answers` (and abstaining) where there is none.
    """
    votes = [float(candidate.votes) for candidate in counted.candidates]
    decision = decide(counted.candidates, votes, "seeded", seed, sample_set.id, counted.answers)
    state = {0: ("no_answers",), 1: ("unanimous",)}.get(len(counted.candidates), ())
    return Answer(
        id=sample_set.id,
        aggregator=name,
        answer=decision.winner.answer if decision else None,
        text=sample_set.samples[place_of(decision.winner, counted)].text if decision else "",
        candidates=counted.candidates,
        flags=(*counted.notes, *flags, *state),
    )


def place_of(candidate: Candidate, counted: Tally) -> int:
    """The first sample that states a candidate's answer as the candidate is written."""
    as_written = (index for index in candidate.indices if counted.answers[index] == candidate.answer)
    return next(as_written, candidate.indices[0])


def shown_order(sample_set: SampleSet, seed: int, permutation: int) -> list[int]:
    """Indices of the samples that did not fail, in the order in which a model reads them."""
    order = [index for index, sample in enumerate(sample_set.samples) if not sample.failed]
    random.Random(f"{seed}:{permutation}:{sample_set.id}").shuffle(order)
    return order


_TEMPLATE_TOKENS = 64
_UNKNOWN_CONTEXT = 4096


def prompt_budget(backend: Backend, limit: int | None, reply_tokens: int) -> int:
    """Tokens a prompt may take: the context less the reply and the chat template's marks.

    Args:
        backend: The model; if it does not state its context, that counts as 4,096 tokens.
        limit: The user's own limit.
        reply_tokens: Most tokens of the reply.

    Raises:
        ContextOverflowError: The limit, or the reply alone, exceeds the context.
    """
    room = (backend.context_size or _UNKNOWN_CONTEXT) - reply_tokens - _TEMPLATE_TOKENS
    if limit is None and room > 0:
        return room
    if limit is None or (limit > room and backend.context_size is not None):
        raise ContextOverflowError(
            f"max_prompt_tokens={limit} and max_tokens={reply_tokens} do not fit the context of "
            f"{backend.model!r}, {backend.context_size} tokens. Lower one of them."
        )
    return limit


def usage_of(replies: Sequence[Generation]) -> Usage:
    """Tokens of the calls that gave these replies, one prompt each."""
    return Usage(
        prompt_tokens=sum(reply.prompt_tokens or 0 for reply in replies),
        completion_tokens=sum(reply.completion_tokens or 0 for reply in replies),
        calls=len(replies),
        uncounted=sum(reply.completion_tokens is None for reply in replies),
    )
