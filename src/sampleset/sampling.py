"""Question → SampleSet: concurrency, seeds, retries, deadlines, and what is already in the store.

Draw i of a question uses the seed `seed + i`, whether or not the server understands seeds or `n`. The
draws of a question are handed to the backend in groups of `backend.group_size`. A failed draw is data: a
`Sample` with an error, which counts in n and abstains. An error that no other draw can escape (a refused
key, an unknown model) ends the run at once; what was drawn before is in the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sampleset.backends.base import Backend, Generation, Message, SamplingParams, plain_params
from sampleset.errors import (
    BackendError,
    ContextOverflowError,
    InvalidArgumentError,
    SamplingError,
    TransientBackendError,
    UnknownNameError,
)
from sampleset.prompts import SOLVE_PROMPTS, solve_messages
from sampleset.retries import Patience, limiter_for, patiently
from sampleset.sample_store import Configuration, SampleStore, draw_key
from sampleset.types import Question, Sample, SampleSet

_POLL = 0.5
_LOOKAHEAD = 4
_GIVE_UP_AFTER = 8
_DEFAULT_PARAMS = SamplingParams()
_DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How a sample set is drawn.

    Attributes:
        n: Samples per question.
        params: How each is drawn.
        prompt: How a solution is asked for, a name in `prompts.SOLVE_PROMPTS`.
        seed: Seed of the first draw of every question; draw i uses `seed + i`.
        max_concurrency: Backend calls in flight at once, over all questions.
        patience: Time limit and further tries of one call.
        deadline: Seconds one question may take, retries and waits included, `None` for no limit.
        min_samples: Quorum: fewer successful draws of a question raise.
    """

    n: int = 5
    params: SamplingParams = _DEFAULT_PARAMS
    prompt: str = "solve"
    seed: int = 0
    max_concurrency: int = 8
    patience: Patience = _DEFAULT_PATIENCE
    deadline: float | None = None
    min_samples: int = 1

    def __post_init__(self) -> None:
        for name in ("n", "max_concurrency", "min_samples"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(f"{name}={getattr(self, name)!r} must be at least 1.")
        if self.deadline is not None and self.deadline <= 0:
            raise InvalidArgumentError(f"deadline={self.deadline!r} must be above 0 seconds.")
        if self.prompt not in SOLVE_PROMPTS:
            raise UnknownNameError("prompt", self.prompt, SOLVE_PROMPTS)
        if self.min_samples > self.n:
            raise InvalidArgumentError(
                f"min_samples={self.min_samples} is above n={self.n}; no question could reach it."
            )


@dataclass(slots=True)
class SamplingProgress:
    """Running totals of one command, for a progress line and the closing report.

    Attributes:
        total: Questions to do.
        questions: Questions done.
        reused: Draws that were in the store already.
        drawn: Draws that came back in this run.
        failed: Draws of this run that failed.
        retries: Calls tried again after a transient error.
        prompt_tokens: Prompt tokens of this run's draws.
        completion_tokens: Tokens generated in this run.
        returned: Successful draws of the questions done, reused ones included.
        distinct: How many different texts there are among them, counted question by question.
        identical: Questions whose successful draws (two or more, at a temperature above 0) are all one text.
        comparable: Questions that could have shown such identical draws.
        below_quorum: Messages of the questions that missed the quorum.
        started: `time.monotonic()` at the start.
    """

    total: int = 0
    questions: int = 0
    reused: int = 0
    drawn: int = 0
    failed: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    returned: int = 0
    distinct: int = 0
    identical: int = 0
    comparable: int = 0
    below_quorum: list[str] = field(default_factory=list[str])
    started: float = field(default_factory=time.monotonic)

    @property
    def seeds_ignored(self) -> bool:
        """Whether the server seems to give one text for every seed."""
        return self.comparable > 0 and self.identical == self.comparable


class Sampler:
    """Draws sample sets from one backend.

    Args:
        backend: The model.
        options: How to draw.
        store: Where draws are kept and looked up; without one they live in memory only.
        on_progress: Called after each change of `progress`.
    """

    def __init__(
        self,
        backend: Backend,
        options: SamplingOptions,
        store: SampleStore | None = None,
        on_progress: Callable[[SamplingProgress], None] | None = None,
    ) -> None:
        self.backend = backend
        self.options = options
        self.store = store
        self.progress = SamplingProgress()
        self.configuration = Configuration(
            backend.model,
            SOLVE_PROMPTS[options.prompt],
            plain_params(options.params) | {"seed": options.seed},
        )
        self._on_progress = on_progress
        self._limiter = limiter_for(backend, options.max_concurrency)

    async def sample(self, question: Question) -> SampleSet:
        """The sample set of one question.

        Raises:
            SamplingError: Every draw failed, or fewer than `min_samples` came back.
            BackendError: The backend cannot be asked at all.
        """
        messages = solve_messages(question, self.options.prompt)
        key = draw_key(self.configuration, messages)
        if self.store is None:
            samples = await self._draw(messages, range(self.options.n))
        else:
            samples = await self._complete(self.store, key, question, messages)
        drawn = SampleSet(question, tuple(samples), self.backend.model)
        self._finish(drawn)
        return drawn

    async def sample_many(self, questions: Iterable[Question]) -> AsyncIterator[SampleSet]:
        """Sample sets in the order of the questions; those below the quorum are left out and reported.

        A few more questions than the limiter holds are in work at once, so that it never runs dry.

        Raises:
            SamplingError: No question reached the quorum, or eight in a row did not: the server is gone.
            BackendError: The backend cannot be asked at all.
        """
        groups = -(-self.options.n // self.backend.group_size)
        window = self.options.max_concurrency // groups + _LOOKAHEAD
        waiting = iter(questions)
        running: list[asyncio.Task[SampleSet]] = []
        reached = failed_in_a_row = 0
        try:
            while True:
                while len(running) < window and (question := next(waiting, None)) is not None:
                    running.append(asyncio.create_task(self.sample(question)))
                if not running:
                    break
                await self._until_first_done(running)
                try:
                    sample_set = await running.pop(0)
                except SamplingError as error:
                    self.progress.below_quorum.append(str(error))
                    self._report()
                    failed_in_a_row += 1
                    if failed_in_a_row >= _GIVE_UP_AFTER:
                        raise SamplingError(
                            f"{failed_in_a_row} questions in a row failed; stopping. {error} "
                            "What was drawn is kept; run the same command again to go on."
                        ) from error
                    continue
                reached, failed_in_a_row = reached + 1, 0
                yield sample_set
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if self.progress.below_quorum and not reached:
            raise SamplingError(self.progress.below_quorum[0])

    async def _until_first_done(self, running: Sequence[asyncio.Task[SampleSet]]) -> None:
        """Wait for the first task of the list, and stop at once if a later one hits a fatal error."""
        pending: set[asyncio.Task[SampleSet]] = set(running)
        while not running[0].done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = None if task.cancelled() else task.exception()
                if error is not None and not isinstance(error, SamplingError):
                    raise error

    async def _complete(
        self, store: SampleStore, key: str, question: Question, messages: Sequence[Message]
    ) -> list[Sample]:
        """The question's draws from the store, the missing ones drawn first.

        Another process that draws into the same store may hold the question: then wait until it is done,
        or gone.
        """
        wanted = range(self.options.n)
        while not store.claim(key):  # noqa: ASYNC110 - the other side is a process, it cannot set an Event
            await asyncio.sleep(_POLL)
        try:
            store.refresh()
            missing = [index for index in wanted if index not in store.succeeded(key)]
            self.progress.reused += len(wanted) - len(missing)

            def keep(samples: Sequence[Sample]) -> None:
                store.add(key, question.id, self.configuration, samples)

            await self._draw(messages, missing, keep)
        finally:
            store.release(key)
        drawn = store.drawn(key)
        return [drawn[index] for index in wanted]

    async def _draw(
        self,
        messages: Sequence[Message],
        indices: Sequence[int],
        keep: Callable[[Sequence[Sample]], None] | None = None,
    ) -> list[Sample]:
        """Draws of these indices, rising; each group is kept as soon as it is back."""
        deadline = self.options.deadline
        ends_at = None if deadline is None else asyncio.get_running_loop().time() + deadline

        async def draw(group: Sequence[int]) -> list[Sample]:
            samples = await self._draw_group(messages, group, ends_at)
            if keep is not None:
                keep(samples)
            self._count(samples)
            return samples

        groups = runs_of(indices, self.backend.group_size)
        tasks = [asyncio.create_task(draw(group)) for group in groups]
        try:
            return [sample for task in tasks for sample in await task]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _draw_group(
        self, messages: Sequence[Message], indices: Sequence[int], ends_at: float | None
    ) -> list[Sample]:
        """One backend call's worth of draws; errors that other draws may escape become failed samples."""
        seeds = [self.options.seed + index for index in indices]
        reasons: list[str] = []

        def note(reason: str) -> None:
            reasons.append(reason)
            self.progress.retries += 1

        def call() -> Awaitable[list[Generation]]:
            return self.backend.generate(messages, self.options.params, seeds)

        deadline = asyncio.timeout_at(ends_at)
        try:
            async with deadline:
                generations = await patiently(call, self.options.patience, self._limiter, note)
        except (ContextOverflowError, TransientBackendError) as error:
            return self._failed(indices, str(error))
        except TimeoutError:
            if not deadline.expired():
                raise
            last = f"; before it: {reasons[-1]}" if reasons else ""
            return self._failed(indices, f"the deadline of {self.options.deadline:g} s passed{last}")
        return self._samples(indices, seeds, generations)

    def _samples(
        self, indices: Sequence[int], seeds: Sequence[int], generations: Sequence[Generation]
    ) -> list[Sample]:
        if len(generations) != len(indices):
            raise BackendError(
                f"The backend returned {len(generations)} completions for {len(indices)} seeds; "
                "a backend must return one for each."
            )
        return [
            Sample(
                index=index,
                text=generation.text,
                finish_reason=generation.finish_reason,
                seed=seed,
                prompt_tokens=generation.prompt_tokens,
                completion_tokens=generation.completion_tokens,
                logprobs=generation.logprobs,
            )
            for index, seed, generation in zip(indices, seeds, generations, strict=True)
        ]

    def _failed(self, indices: Sequence[int], error: str) -> list[Sample]:
        return [
            Sample(index=index, text="", finish_reason="error", seed=self.options.seed + index, error=error)
            for index in indices
        ]

    def _count(self, samples: Sequence[Sample]) -> None:
        self.progress.drawn += len(samples)
        self.progress.failed += sum(sample.failed for sample in samples)
        self.progress.prompt_tokens += sum(sample.prompt_tokens or 0 for sample in samples)
        self.progress.completion_tokens += sum(sample.completion_tokens or 0 for sample in samples)
        self._report()

    def _finish(self, drawn: SampleSet) -> None:
        """Count the question; below the quorum raise."""
        self.progress.questions += 1
        texts = [sample.text for sample in drawn.samples if not sample.failed]
        self.progress.returned += len(texts)
        self.progress.distinct += len(set(texts))
        if len(texts) > 1 and self.options.params.temperature > 0:
            self.progress.comparable += 1
            self.progress.identical += len(set(texts)) == 1
        self._report()
        if len(texts) < self.options.min_samples:
            reason = next((sample.error for sample in drawn.samples if sample.error), "no reason given")
            raise SamplingError(
                f"Question {drawn.id!r}: {len(texts)} of {drawn.n} draws succeeded, "
                f"{self.options.min_samples} are needed. First failure: {reason}"
            )

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.progress)


def runs_of(indices: Sequence[int], size: int) -> list[list[int]]:
    """Rising indices cut into runs of consecutive ones, none longer than `size`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and len(runs[-1]) < size and runs[-1][-1] + 1 == index:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
