"""SampleSet → Answer: the interface, how a set's answers are read, and how a vote is decided.

One file per aggregator; its name is the module's name. An aggregator is a frozen dataclass whose fields
are its options. A field called `backend` is filled with the model that `--aggregator-model` names.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, Protocol

from sampleset.answers import (
    JUDGE_KIND,
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
    return await asyncio.to_thread(tally_now, sample_set)


def tally_now(sample_set: SampleSet) -> Tally:
    """The final answers of a set; equal answers (1/2 and 0.5, say) make one candidate.

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
        grouping = _grouped(answers, sample_set.question.answer_kind)
    if sum(len(group.indices) for group in grouping.groups) + answers.count(None) < len(answers):
        held = {place for group in grouping.groups for place in group.indices}
        answers = tuple(one if place in held else None for place, one in enumerate(answers))
    counted = Tally(
        answers,
        tuple(Candidate(group.answer, len(group.indices), group.indices) for group in grouping.groups),
        grouping.notes,
    )
    _tallies.put(readable, counted)
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
    return kind_of(question).read(text, choices_of(question), truncated=True)


class _Tallies:
    """The tallies of the last few sets: several methods read the same one after the other."""

    _SIZE = 64

    def __init__(self) -> None:
        self._known: OrderedDict[Readable, Tally] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, readable: Readable) -> Tally | None:
        with self._lock:
            return self._known.get(readable)

    def put(self, readable: Readable, counted: Tally) -> None:
        with self._lock:
            self._known[readable] = counted
            if len(self._known) > self._SIZE:
                self._known.popitem(last=False)


_tallies = _Tallies()


@lru_cache(1024)
def _grouped(answers: tuple[str | None, ...], kind: str) -> Grouping:
    """The distinct answers. Subsets of one set often state the same answers in the same order."""
    return answer_kind(kind).group(answers)


@lru_cache(4096)
def _final_answer(text: str, truncated: bool, choices: int | None, kind: str) -> str | None:
    """The answer that a sample's text states; of a truncated one only an answer marked as final counts."""
    found = answer_kind(kind).read(text, choices, truncated)
    return found.text if found else None


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
        text=sample_set.samples[decision.winner.indices[0]].text if decision else "",
        candidates=counted.candidates,
        flags=(*counted.notes, *flags, *state),
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
