"""The base of the aggregators that fuse: a model writes one new solution out of several."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sampleset.aggregators.base import (
    Aggregator,
    Tally,
    Writing,
    grouped,
    prompt_budget,
    tally,
    vote_answer,
)
from sampleset.backends.base import Backend
from sampleset.chat import Message, SamplingParams, first_seed
from sampleset.errors import InvalidArgumentError
from sampleset.prompts import Part, Shown, cut_down, fusion_messages
from sampleset.types import Answer, Question, Sample, SampleSet, Usage


@dataclass(frozen=True)
class Fuser:
    """Base of the aggregators that have a model write new solutions.

    Attributes:
        backend: The model that writes.
        show: `conclusion` shows only the last lines of each solution, those that state its answer.
        keep_end_tokens: Show only so many tokens of each solution, its last ones.
        drop_end_tokens: Do not show so many tokens at the end of each solution; the two options above then
            count in what is left.
        max_prompt_tokens: Token budget of a prompt; by default what the model's context leaves.
        max_tokens: Most tokens of a new solution.
        temperature: Temperature at which it is written.
        skip_unanimous: Ask nothing where all solutions that state an answer state the same one.
        seed: Seed of orders, subsets, new solutions and ties.
    """

    backend: Backend
    show: Part | None = None
    keep_end_tokens: int | None = None
    drop_end_tokens: int | None = field(default=None, kw_only=True)
    max_prompt_tokens: int | None = None
    max_tokens: int = 512
    temperature: float = 0.7
    skip_unanimous: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "max_tokens", "keep_end_tokens", "drop_end_tokens")

    @property
    def writing(self) -> Writing | None:
        """A solution; each method says which call writes the last one."""
        return Writing("solution", call=None)

    async def write(
        self,
        question: Question,
        solutions: Sequence[Shown],
        index: int,
        backend: Backend | None = None,
        role: str | None = None,
    ) -> Sample:
        """A new solution made of these, in this order.

        Args:
            question: What they answer.
            solutions: The solutions.
            index: Index among the new solutions; with the seed it gives the draw's seed.
            backend: The model that writes it, where it is another one.
            role: The role that it plays, as a system message.

        Raises:
            BackendError: The model cannot be asked, or the prompt does not fit it.
        """
        backend = backend or self.backend
        cut = await cut_down(
            solutions,
            question,
            backend,
            part=self.show,
            drop_end_tokens=self.drop_end_tokens,
            keep_end_tokens=self.keep_end_tokens,
        )
        budget = prompt_budget(backend, self.max_prompt_tokens, self.max_tokens)
        if role is not None:
            budget -= len(await backend.tokenize(role))
        messages = await fusion_messages(question, cut, backend, budget)
        if role is not None:
            played: Message = {"role": "system", "content": role}
            messages = [played, *messages]
        params = SamplingParams(temperature=self.temperature, max_tokens=self.max_tokens)
        seed = first_seed(messages, self.seed + index)
        (reply,) = await backend.generate(messages, params, [seed])
        return Sample(
            index=index,
            text=reply.text,
            finish_reason=reply.finish_reason,
            seed=seed,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            logprobs=reply.logprobs,
            model=backend.model,
        )


def require_positive(options: Any, *names: str) -> None:
    """Refuse options below 1; `None` passes.

    Raises:
        InvalidArgumentError: One of them is.
    """
    for name in names:
        value: int | None = getattr(options, name)
        if value is not None and value < 1:
            raise InvalidArgumentError(f"{name}={value!r} must be at least 1.")


async def concluded(
    name: str,
    sample_set: SampleSet,
    counted: Tally,
    last: SampleSet,
    final: Aggregator,
    spent: Usage,
    seed: int,
) -> Answer:
    """The final aggregator's answer to the solutions that came last, as the answer to the set they came from.

    Where it abstains the majority vote of the set answers, flagged `fallback_vote`. Flagged
    `unreadable_reply` where one of the last solutions states no answer, and `new_answer` where no sample of
    the set gives the answer of the final aggregator.

    Args:
        name: The aggregator's name.
        sample_set: The set.
        counted: Its tally.
        last: The solutions that came last.
        final: What makes one answer of them.
        spent: Tokens spent until then.
        seed: Seed of ties in the fallback vote.
    """
    final_answer = await final.aggregate(last)
    usage = spent + final_answer.usage
    written = await tally(last)
    notes = ["unreadable_reply"] if None in written.answers else []
    notes += [flag for flag in final_answer.flags if flag not in ("unanimous", "no_answers", *counted.notes)]
    if final_answer.answer is None:
        flags = tuple(dict.fromkeys((*notes, "fallback_vote")))
        fallen = vote_answer(sample_set, name, counted, flags, seed)
        return replace(fallen, text=final_answer.text or last.samples[0].text, usage=usage)
    known = [candidate.answer for candidate in counted.candidates]
    grouping = await grouped(sample_set.question, [*known, final_answer.answer])
    if len(grouping.groups) > len(known):
        notes.append("new_answer")
    elif "new_answer" in notes:  # new to the last solutions, not to the set
        notes.remove("new_answer")
    equal = {at for group in grouping.groups if len(known) in group.indices for at in group.indices}
    return Answer(
        id=sample_set.id,
        aggregator=name,
        answer=final_answer.answer,
        text=final_answer.text,
        confidence=final_answer.confidence if last.n > 1 else None,
        candidates=counted.candidates,
        usage=usage,
        flags=tuple(dict.fromkeys((*counted.notes, *notes))),
        explanation=sides(sample_set, counted, equal),
    )


def sides(sample_set: SampleSet, counted: Tally, agreeing: Container[int]) -> dict[str, Any]:
    """The classes of a set that agree with an answer and those that do not, as JSON values.

    Args:
        sample_set: The set.
        counted: Its tally.
        agreeing: Numbers of the candidates that equal the answer.
    """
    parts: dict[str, Any] = {"agreed": [], "disagreed": []}
    for number, candidate in enumerate(counted.candidates):
        names = {sample_set.samples[index].model for index in candidate.indices} - {None}
        row = {"answer": candidate.answer, "votes": candidate.votes, "indices": list(candidate.indices)}
        row |= {"models": sorted(map(str, names))} if names else {}
        parts["agreed" if number in agreeing else "disagreed"].append(row)
    without = sum(answer is None for answer in counted.answers)
    return parts | ({"without_answer": without} if without else {})
