"""The draws of one question as they come in: batches, a stopping rule, caps, and what is cancelled.

With a stopping rule the draws come in batches. Each time draws come back, the rule looks at those before the
first that is missing, lest quick samples decide because they are quick; if it is met, what is in flight is
cancelled. The set holds every draw that is back: nothing that was paid for is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sampleset.errors import CapReachedError
from sampleset.sampling.options import SamplingOptions
from sampleset.sampling.stopping import StoppingRule, classes_of
from sampleset.types import Question, Sample, SampleSet

__all__ = ["DrawGroup", "QuestionDraws", "runs_of"]

DrawGroup = Callable[[Sequence[int], float | None], Awaitable[list[Sample]]]
"""Draws the samples of these places by this time of the loop's clock (`None`: no hurry), as one call.

Raises `CapReachedError` where a cap leaves no room for the call."""


class QuestionDraws:
    """Draws one question.

    Args:
        question: The question.
        drawn: What was drawn before, by index.
        draw: Draws a group.
        came_back: Called with each group that came back, before anything else is done with it.
        group_size: How many draws are asked for in one call.

    Attributes:
        drawn: Draws so far by index, failed ones included.
        stopped: Why the rest was not drawn, `None` if all were.
        refusal: The cap's refusal, if a cap cut the question short.
        cancelled: How many draws were cancelled in flight.
    """

    def __init__(
        self,
        question: Question,
        drawn: dict[int, Sample],
        *,
        draw: DrawGroup,
        came_back: Callable[[Sequence[Sample]], None],
        group_size: int,
    ) -> None:
        self.drawn = drawn
        self.stopped: str | None = None
        self.refusal: CapReachedError | None = None
        self.cancelled = 0
        self._question, self._group_size = question, group_size
        self._draw_group, self._came_back = draw, came_back
        self._looked_at, self._settled = (0, 0), False

    def samples(self) -> tuple[Sample, ...]:
        """By index."""
        return tuple(sample for _, sample in sorted(self.drawn.items()))

    async def draw_all(self, options: SamplingOptions) -> None:
        """Draw batch by batch until all n are there, the rule is met or a cap is reached."""
        ends_at = None if options.deadline is None else asyncio.get_running_loop().time() + options.deadline
        # Draws that failed in an earlier run are made again; those that fail in this one are not.
        missing = {index for index in range(options.n) if index not in self.drawn or self.drawn[index].failed}
        for end in options.batches():
            if await self._is_settled(options.stop):
                break
            batch = sorted(index for index in missing if index < end)
            missing.difference_update(batch)
            await self._draw(batch, ends_at, options.stop)
            if self.refusal is not None:
                break
        if len(self.drawn) < options.n:
            if self.refusal is None and options.stop is not None:
                self.stopped = options.stop.spec
            elif self.refusal is not None and self.refusal.of_question and self.drawn:
                self.stopped = "cap"

    async def _draw(self, indices: Sequence[int], ends_at: float | None, rule: StoppingRule | None) -> None:
        """Draw these at once. If the rule is met or one group fails, cancel the rest."""

        async def draw(group: Sequence[int]) -> None:
            try:
                samples = await self._draw_group(group, ends_at)
            except CapReachedError as refusal:
                if len(group) == 1 or self.refusal is not None:
                    self.refusal = refusal
                else:  # fewer at once may fit
                    await draw(group[: len(group) // 2])
                    await draw(group[len(group) // 2 :])
                return
            self._came_back(samples)
            self.drawn.update((sample.index, sample) for sample in samples)

        groups = runs_of(indices, self._group_size)
        tasks = [asyncio.create_task(draw(group)) for group in groups]
        pending = set(tasks)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if pending and await self._is_settled(rule):
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            cut = [group for group, task in zip(groups, tasks, strict=True) if task.cancelled()]
            self.cancelled += sum(map(len, cut))

    async def _is_settled(self, rule: StoppingRule | None) -> bool:
        """Whether the rule is met by the draws before the first missing one."""
        if self._settled or rule is None:
            return self._settled
        ready: list[Sample] = []
        while (sample := self.drawn.get(len(ready))) is not None:
            ready.append(sample)
        # A draw that failed in an earlier run and is back now is news, too.
        seen = len(ready), sum(sample.failed for sample in ready)
        if seen == self._looked_at or not ready:
            return False
        self._looked_at = seen
        classes = await classes_of(SampleSet(self._question, tuple(ready)))
        self._settled = rule.met(classes)
        return self._settled


def runs_of(indices: Sequence[int], size: int) -> list[list[int]]:
    """Rising indices cut into runs of consecutive ones, none longer than `size`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and len(runs[-1]) < size and runs[-1][-1] + 1 == index:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
