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
        InvalidArgumentError: Two members would make the very same draws.
    """

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self.samplers = samplers
        _refuse_same([sampler.configuration.id for sampler in samplers])

    async def sample(self, question: Question) -> SampleSet:
        """The pooled set of one question; members that miss their quorum add nothing.

        Raises:
            InvalidArgumentError: Two members would make the very same draws.
            SamplingError: All members did.
            BackendError: A member's model cannot be asked at all.
        """
        self._refuse_same_draws([question])
        found = await gathered(_or_error(sampler.sample(question)) for sampler in self.samplers)
        drawn = [
            (sampler.configuration.id, replace(sample, model=sampler.configuration.model))
            for sampler, sample_set in zip(self.samplers, found, strict=True)
            if not isinstance(sample_set, SamplingError)
            for sample in sample_set.samples
        ]
        if not drawn:
            raise next(one for one in found if isinstance(one, SamplingError))
        return pooled(question, drawn)

    async def sample_many(self, questions: Sequence[Question]) -> None:
        """Draw for all questions, every member at its own pace. What was drawn is in the store.

        Raises:
            InvalidArgumentError: Two members would make the very same draws.
            SamplingError: Some member got nothing at all; the others went on to their end.
            BackendError: A member's model cannot be asked at all.
        """
        self._refuse_same_draws(questions)

        async def draw(sampler: Sampler) -> None:
            async for _ in sampler.sample_many(questions):
                pass

        found = await gathered(_or_error(draw(sampler)) for sampler in self.samplers)
        for error in found:
            if error is not None:
                raise error

    def _refuse_same_draws(self, questions: Sequence[Question]) -> None:
        """Two prompts by name may send one text for some questions."""
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
