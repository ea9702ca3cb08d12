"""Several samplers draw for one question, into one pooled set."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sampleset.errors import InvalidArgumentError, SamplingError
from sampleset.models.together import gathered
from sampleset.sampling.sampler import Sampler
from sampleset.storage.store import pooled
from sampleset.types import Question, SampleSet

T = TypeVar("T")


class Pool:
    """Samplers that draw for the same questions, into one store.

    Args:
        samplers: One per member.

    Raises:
        InvalidArgumentError: Two members would make identical draws.
    """

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self.samplers = samplers
        _refuse_same([sampler.configuration.id for sampler in samplers])

    async def sample(self, question: Question) -> SampleSet:
        """The pooled set of one question. Members that miss their quorum add nothing.

        Raises:
            InvalidArgumentError: Two members would make identical draws.
            SamplingError: All members missed their quorum.
            BackendError: A member's model cannot be asked at all.
        """
        self._refuse_same_draws([question])
        results = await gathered(_or_error(sampler.sample(question)) for sampler in self.samplers)
        draws = [
            (sampler.configuration.id, replace(sample, model=sampler.configuration.model))
            for sampler, sample_set in zip(self.samplers, results, strict=True)
            if not isinstance(sample_set, SamplingError)
            for sample in sample_set.samples
        ]
        if not draws:
            raise next(result for result in results if isinstance(result, SamplingError))
        return pooled(question, draws, [sampler.configuration.prompt_version for sampler in self.samplers])

    async def sample_many(self, questions: Sequence[Question]) -> None:
        """Draw for all questions into the store, each member independently of the others.

        Raises:
            InvalidArgumentError: Two members would make identical draws.
            SamplingError: A member reached the quorum of no question; the others finished first.
            BackendError: A member's model cannot be asked at all.
        """
        self._refuse_same_draws(questions)

        async def draw(sampler: Sampler) -> None:
            async for _ in sampler.sample_many(questions):
                pass

        errors = await gathered(_or_error(draw(sampler)) for sampler in self.samplers)
        for error in errors:
            if error is not None:
                raise error

    def _refuse_same_draws(self, questions: Sequence[Question]) -> None:
        """Refuse two members that send the same prompt and seed for a question."""
        for question in questions if len(self.samplers) > 1 else ():
            _refuse_same([sampler.key(question) for sampler in self.samplers])


def _refuse_same(members: Sequence[str]) -> None:
    """Refuse two members of the same key."""
    for number, key in enumerate(members, start=1):
        if (first := members.index(key) + 1) < number:
            raise InvalidArgumentError(
                f"Members {first} and {number} of the pool make the very same draws. Give one the sum of "
                "their counts, or another seed."
            )


async def _or_error(work: Coroutine[Any, Any, T]) -> T | SamplingError:
    try:
        return await work
    except SamplingError as error:
        return error
