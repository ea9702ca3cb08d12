"""SampleSet → Answer: the interface, how a set's answers are read, and how a vote is decided.

One file per aggregator; its name is the module's name. An aggregator is a frozen dataclass whose fields
are its options. A field called `backend` is filled with the model that `--aggregator-model` names.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from sampleset.answers import (
    JUDGE_KIND,
    Budget,
    Extracted,
    Grouping,
    answer_kind,
    canonical,
    choices_of,
    current_judge,
    judge_answers,
    kind_of,
)
from sampleset.backends.base import Backend
from sampleset.caches import BoundedCache
from sampleset.chat import Generation
from sampleset.errors import ContextOverflowError
from sampleset.registry import Registry
from sampleset.types import Answer, Candidate, Question, SampleSet, Usage


class Aggregator(Protocol):
    """One way to make one answer of a sample set.

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


AGGREGATORS: Registry[type[Aggregator]] = Registry("aggregator", "sampleset.aggregators")

Ties = Literal["seeded", "first"]


@dataclass(frozen=True, slots=True)
class Tally:
    """The final answers of a sample set.

    Attributes:
        answers: One per sample; `None` where a sample failed or states none.
        candidates: Classes of equal answers, in the order they first appear.
        notes: What was noted while answers were read and compared.
    """

    answers: tuple[str | None, ...]
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]


async def tally(sample_set: SampleSet) -> Tally:
    """The final answers of a set, read and grouped off the event loop.

    Raises:
        InvalidArgumentError: The answers are of a kind that cannot be compared here.
    """
    readable = _readable(sample_set)
    if known := _tallies.get(readable):
        return known
    if sample_set.question.answer_kind == JUDGE_KIND:
        await judge_answers(sample_set.question, _answers(readable))
    budget = Budget()
    context, loop = copy_context(), asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(_counters, lambda: context.run(tally_now, sample_set, budget))
    except asyncio.CancelledError:
        # Nobody waits for it any more, and others do.
        budget.cancel()
        raise


def tally_now(sample_set: SampleSet, budget: Budget | None = None) -> Tally:
    """The final answers of a set; equal answers (1/2 and 0.5, say) make one candidate.

    Args:
        sample_set: The samples.
        budget: Processor time for comparisons, and whether the caller still waits.

    Raises:
        InvalidArgumentError: The answers are of a kind that cannot be compared here: a judge was not asked,
            or programs may not be run.
    """
    readable = _readable(sample_set)
    if known := _tallies.get(readable):
        return known
    answers = _answers(readable)
    if sample_set.question.answer_kind == JUDGE_KIND:
        grouping = kind_of(sample_set.question).group(answers)
    else:
        grouping = _grouped(answers, sample_set.question.answer_kind, budget)
    if sum(len(group.indices) for group in grouping.groups) + answers.count(None) < len(answers):
        held = {place for group in grouping.groups for place in group.indices}
        answers = tuple(one if place in held else None for place, one in enumerate(answers))
    counted = Tally(
        answers,
        tuple(Candidate(group.answer, len(group.indices), group.indices) for group in grouping.groups),
        grouping.notes,
    )
    if not _is_cut_short(grouping):
        _tallies.put(readable, counted, sum(len(text[0]) for text in readable[3] if text))
    return counted


Readable = tuple[str, object, int | None, tuple[tuple[str, bool] | None, ...]]
"""What a tally depends on: the kind of the answers, who judges which question (of the kind `judge`), the
number of choices, and text and truncation of each sample that did not fail.
"""


def _readable(sample_set: SampleSet) -> Readable:
    question = sample_set.question
    texts = (None if one.failed else (one.text, one.truncated) for one in sample_set.samples)
    judged = (current_judge(), question) if question.answer_kind == JUDGE_KIND else None
    return question.answer_kind, judged, choices_of(question), tuple(texts)


def _answers(readable: Readable) -> tuple[str | None, ...]:
    kind, _, choices, texts = readable
    return tuple(None if text is None else _final_answer(*text, choices, kind) for text in texts)


def answers_of(sample_set: SampleSet) -> tuple[str | None, ...]:
    """The final answer that each sample states, not compared with one another."""
    return _answers(_readable(sample_set))


async def grouped(question: Question, answers: Sequence[str | None]) -> Grouping:
    """Distinct answers to a question, by the kind of its answers and off the event loop."""
    await judge_answers(question, answers)
    return await asyncio.to_thread(kind_of(question).group, answers)


def read_reply(question: Question, text: str) -> Extracted | None:
    """The final answer of a reply that is over at its closing tag: only what is marked counts."""
    # The opening mark is of the prompt's making; a model that closes it nowhere may still mark its answer.
    return kind_of(question).read(text.lstrip().removeprefix("<think>"), choices_of(question), truncated=True)


_counters = ThreadPoolExecutor(64, "votes")
"""Votes are counted here, each in a thread that mostly waits for its turn with the workers."""
_tallies: BoundedCache[Readable, Tally] = BoundedCache(64 * 2**20)
_groupings: BoundedCache[tuple[str, tuple[str | None, ...]], Grouping] = BoundedCache(16 * 2**20)
_answers_read: BoundedCache[tuple[str, bool, int | None, str], tuple[str | None]] = BoundedCache(64 * 2**20)


def _grouped(answers: tuple[str | None, ...], kind: str, budget: Budget | None) -> Grouping:
    """The distinct answers. Subsets of one set often state the same answers in the same order."""
    known = _groupings.get((kind, answers))
    if known is not None:
        return known
    grouping = answer_kind(kind).group(answers, budget)
    if not _is_cut_short(grouping):
        _groupings.put((kind, answers), grouping, sum(len(answer) for answer in answers if answer))
    return grouping


def _is_cut_short(grouping: Grouping) -> bool:
    """Whether what was left undecided may be decided another time."""
    return bool({"cancelled", "no_worker", "crash"} & set(grouping.notes))


def _final_answer(text: str, truncated: bool, choices: int | None, kind: str) -> str | None:
    """The answer that a sample's text states; of a truncated one only an answer marked as final counts."""
    key = (text, truncated, choices, kind)
    known = _answers_read.get(key)
    if known is None:
        found = answer_kind(kind).read(text, choices, truncated)
        known = (found.text if found else None,)
        _answers_read.put(key, known, len(text))
    return known[0]


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
        answers: What the places of the candidates hold; without them a candidate is known by its first
            writing only, and with `$5` and `5` in one candidate that draw depends on which came first.
    """
    if not candidates:
        return None
    heaviest = max(weights)
    # Sums of the same weights in another order differ in the last bits.
    tied = [
        one
        for one, weight in zip(candidates, weights, strict=True)
        if weight >= heaviest - 1e-9 * abs(heaviest)
    ]
    if ties == "first" or len(tied) == 1:
        return Decision(tied[0], len(tied) > 1)

    def least_text(one: Candidate) -> str:
        written = [answers[place] for place in one.indices] if answers else [one.answer]
        return min(canonical(answer) for answer in written if answer is not None)

    by_text = sorted(tied, key=least_text)
    return Decision(random.Random(f"{seed}:{question_id}").choice(by_text), True)


def vote_answer(sample_set: SampleSet, name: str, counted: Tally, flags: Sequence[str], seed: int) -> Answer:
    """The majority vote as another method's answer: where it need not, or cannot, decide by itself.

    Flagged `unanimous` where there is one candidate, `no_answers` (and abstaining) where there is none.
    """
    votes = [float(one.votes) for one in counted.candidates]
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
    return next(
        (place for place in candidate.indices if counted.answers[place] == candidate.answer),
        candidate.indices[0],
    )


def shown_order(sample_set: SampleSet, seed: int, permutation: int) -> list[int]:
    """Places of the samples that did not fail, in the order in which a model is shown them."""
    places = [place for place, sample in enumerate(sample_set.samples) if not sample.failed]
    random.Random(f"{seed}:{permutation}:{sample_set.id}").shuffle(places)
    return places


_TEMPLATE_TOKENS = 64
_UNKNOWN_CONTEXT = 4096


def prompt_budget(backend: Backend, asked: int | None, reply_tokens: int) -> int:
    """Tokens a prompt may take: what the context leaves beside the reply and the chat template's marks.

    Args:
        backend: The model; one that does not tell its context is taken to have 4,096 tokens.
        asked: The user's own limit.
        reply_tokens: Most tokens of the reply.

    Raises:
        ContextOverflowError: The limit, or the reply alone, exceeds the context.
    """
    room = (backend.context_size or _UNKNOWN_CONTEXT) - reply_tokens - _TEMPLATE_TOKENS
    if asked is None and room > 0:
        return room
    if asked is None or (asked > room and backend.context_size is not None):
        raise ContextOverflowError(
            f"max_prompt_tokens={asked} and max_tokens={reply_tokens} do not fit the context of "
            f"{backend.model!r}, {backend.context_size} tokens. Lower one of them."
        )
    return asked


def usage_of(replies: Sequence[Generation]) -> Usage:
    """Tokens of the calls that gave these replies, one prompt each."""
    return Usage(
        prompt_tokens=sum(reply.prompt_tokens or 0 for reply in replies),
        completion_tokens=sum(reply.completion_tokens or 0 for reply in replies),
        calls=len(replies),
        uncounted=sum(reply.completion_tokens is None for reply in replies),
    )
