"""Question → SampleSet: concurrency, seeds, retries, deadlines and stored draws.

Draw i of a question uses the seed `first_seed` + i, whether or not the server understands seeds or `n`.
`first_seed` differs between questions, since draws under one seed share their random numbers. The backend
gets the draws of a question in groups of `backend.group_size`. A failed draw is data: a `Sample` with an
error, which counts in n and abstains. An error that would fail every draw (a refused key, an unknown model)
ends the run at once; earlier draws are in the store.

The module `draws` makes the draws of one question and decides when they are enough.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from sampleset.backends.base import Backend
from sampleset.chat import Message, first_seed, plain_params
from sampleset.errors import (
    CapReachedError,
    InvalidArgumentError,
    PromptError,
    RequestRefusedError,
    SampleSetError,
    SamplingError,
)
from sampleset.models.budget import Budget, QuestionBudgets, Tariff
from sampleset.models.calls import ModelCalls
from sampleset.models.retries import limiter_for
from sampleset.prompts import solve_messages
from sampleset.sampling.draws import CameBack, Draw, Drawer, DrawEvent, Failed, QuestionDraws, Retried
from sampleset.sampling.options import SamplingOptions, SamplingProgress
from sampleset.storage.store import Configuration, SampleStore, draw_key
from sampleset.types import Question, Sample, SampleSet
from sampleset.wording import plural

__all__ = ["Sampler", "SamplingOptions", "SamplingProgress"]

_POLL = 0.5
_LOOKAHEAD = 4
_GIVE_UP_AFTER = 8


class Sampler:
    """Draws sample sets from one backend.

    Args:
        backend: The model.
        options: How to draw.
        store: Where draws are stored and looked up; `None` keeps them in memory only.
        on_progress: Called with `progress` after each change.
        budgets: The run's budgets, if several samplers share them; by default those of `options.caps`.
        question_budgets: The questions' budgets, if several samplers share them.
        tariff: Price of the model's tokens, for a cap in money.
        progress: Totals to add to, if several samplers share them.

    Raises:
        InvalidArgumentError: A cap is in money and there is no tariff.
    """

    def __init__(
        self,
        backend: Backend,
        options: SamplingOptions,
        store: SampleStore | None = None,
        on_progress: Callable[[SamplingProgress], None] | None = None,
        *,
        budgets: Sequence[Budget] | None = None,
        question_budgets: QuestionBudgets | None = None,
        tariff: Tariff | None = None,
        progress: SamplingProgress | None = None,
    ) -> None:
        self.backend = backend
        self.options = options
        self.store = store
        self.progress = progress or SamplingProgress()
        self.configuration = Configuration(
            backend.model,
            options.configuration_prompt,
            plain_params(options.params) | {"seed": options.seed, "seeds": "by question"},
        )
        self._on_progress = on_progress
        # Whether the model has taken a request under these settings. Then a refusal concerns the prompt.
        self._taken = False
        # Whether the backend has answered since the last check; a refused prompt is an answer, too.
        self._heard = False
        # Number of questions that wait for another process.
        self._elsewhere = 0
        self._limiter = limiter_for(backend, options.max_concurrency)
        self._limiter.clock.on_wait = self._note_wait
        self._budgets = options.caps.run_budgets() if budgets is None else list(budgets)
        cap = options.caps.question_tokens
        self._question_budgets = question_budgets
        if cap is not None and question_budgets is None:
            self._question_budgets = QuestionBudgets(cap, 1, self.stored_tokens)
        self._tariff = tariff
        ModelCalls(backend, budgets=self._budgets, tariff=tariff)  # raises now if a price is missing

    async def sample(self, question: Question, messages: Sequence[Message] | None = None) -> SampleSet:
        """The sample set of one question.

        Args:
            question: The question.
            messages: The prompt; by default the question under the prompt of the options.

        Raises:
            CapReachedError: A cap left too few draws.
            SamplingError: Every draw failed, or fewer than `min_samples` came back.
            BackendError: The backend cannot be asked at all.
        """
        sent = self._messages(question) if messages is None else messages
        if self.store is None:
            work = await self._draw(question, sent, ())
        else:
            work = await self._complete(self.store, question, sent)
        # Messages of the caller's own are in no prompt that has a name.
        prompt = self.configuration.prompt_version if messages is None else None
        sample_set = SampleSet(question, work.samples, self.backend.model, work.stopped, prompt)
        return self._finish(sample_set, work.refusal)

    async def sample_many(self, questions: Iterable[Question]) -> AsyncIterator[SampleSet]:
        """Sample sets in the order of the questions. Questions below the quorum are left out and reported.

        A few more questions than the limiter allows are in work, so that it is always busy. Questions that
        another process draws are awaited in addition and do not delay others.

        Raises:
            SamplingError: No question reached the quorum, or eight questions in a row got no reply.
            BackendError: The backend cannot be asked at all.
        """
        groups = -(-self.options.rules.batches[0] // self.backend.group_size)
        window = self.options.max_concurrency // groups + _LOOKAHEAD
        waiting = iter(questions)
        running: list[asyncio.Task[SampleSet]] = []
        reached = failed_in_a_row = 0
        try:
            while True:
                while len(running) < window + self._elsewhere:
                    if (question := next(waiting, None)) is None:
                        break
                    running.append(asyncio.create_task(self.sample(question)))
                    await asyncio.sleep(0)  # lets the task learn whether another process has the question
                if not running:
                    break
                await self._until_first_done(running)
                try:
                    sample_set = await running.pop(0)
                except CapReachedError as error:
                    self.progress.below_quorum.append(str(error))
                    continue
                except SamplingError as error:
                    self.progress.below_quorum.append(str(error))
                    self._report()
                    failed_in_a_row = 0 if self._heard else failed_in_a_row + 1
                    self._heard = False
                    if failed_in_a_row >= _GIVE_UP_AFTER:
                        raise SamplingError(
                            f"{failed_in_a_row} questions in a row failed; stopping. {error} "
                            "What was drawn is kept; run the same command again to go on."
                        ) from error
                    continue
                reached, failed_in_a_row, self._heard = reached + 1, 0, False
                yield sample_set
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if self.progress.below_quorum and not reached:
            raise SamplingError(self.progress.below_quorum[0])

    async def _until_first_done(self, running: Sequence[asyncio.Task[SampleSet]]) -> None:
        """Wait for the first task of the list. Raises at once if a later task meets a fatal error."""
        pending: set[asyncio.Task[SampleSet]] = set(running)
        while not running[0].done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = None if task.cancelled() else task.exception()
                if error is not None and not isinstance(error, SamplingError):
                    raise error

    async def _complete(
        self, store: SampleStore, question: Question, messages: Sequence[Message]
    ) -> QuestionDraws:
        """The question's draws from the store, after the missing ones were drawn into it.

        If another process draws the question into the same store, wait until it has finished or ended.
        """
        key = draw_key(self.configuration, messages)
        if not store.claim(key):
            self._elsewhere += 1
            try:
                while not store.claim(key):  # noqa: ASYNC110 - another process cannot set an Event
                    await asyncio.sleep(_POLL)
            finally:
                self._elsewhere -= 1
        try:
            store.refresh()
            wanted = range(self.options.n)
            stored = [sample for index, sample in store.drawn(key).items() if index in wanted]
            self._refuse_other_weights(stored)
            self.progress.reused += sum(not sample.failed for sample in stored)

            def keep(samples: Sequence[Sample]) -> None:
                store.add(key, question.id, self.configuration, samples)

            work = await self._draw(question, messages, stored, keep)
            if work.stopped is not None:
                store.add_stop(key, question.id, work.stopped)
            store.share(key, question.id, self.configuration)
        finally:
            store.release(key)
        work.draws = {
            index: Draw(sample) for index, sample in store.drawn(key).items() if index in work.draws
        }
        return work

    async def _draw(
        self,
        question: Question,
        messages: Sequence[Message],
        stored: Iterable[Sample],
        keep: Callable[[Sequence[Sample]], None] | None = None,
    ) -> QuestionDraws:
        """The stored draws and the missing ones. `keep` is called with the new samples of each call."""

        def on_event(event: DrawEvent) -> None:
            match event:
                case CameBack(draws):
                    if any(draw.generation is not None for draw in draws):
                        self._heard = self._taken = True
                    samples = [draw.sample for draw in draws]
                    if keep is not None:
                        keep(samples)
                    self._count(samples)
                case Retried():
                    self.progress.retries += 1
                case Failed(error):
                    self._heard = self._heard or isinstance(error, PromptError)
                case _:
                    pass

        work = QuestionDraws(
            question,
            [self._drawer(question, messages, stored := tuple(stored))],
            first_seed(messages, self.options.seed),
            self.options.rules,
            stored=stored,
            on_event=on_event,
            is_final=self._is_final,
            retry_failed=self.options.retry_failed,
        )
        self._taken = self._taken or any(not sample.failed for sample in stored)
        if not work.is_needed:
            # The model is not asked, so a question without draws does not count as a silent server.
            self._heard = True
            self.progress.refused += sum(sample.refused for sample in stored)
        try:
            await work.run()
        finally:
            self.progress.cancelled += work.cancelled
        return work

    def _is_final(self, error: SampleSetError) -> bool:
        """Whether an error concerns the prompt: a refusal does if the server has taken other requests."""
        return isinstance(error, PromptError) or (isinstance(error, RequestRefusedError) and self._taken)

    def _note_wait(self, seconds: float, reason: str) -> None:
        self.progress.waits_until, self.progress.waits_for = time.monotonic() + seconds, reason
        self._report()

    def _refuse_other_weights(self, stored: Iterable[Sample]) -> None:
        for sample in stored:
            weight = sample.scores.get("weight")
            if not sample.failed and weight != self.options.weight:
                raise InvalidArgumentError(
                    f"The stored draws of {self.backend.model!r} have the weight {weight}, not "
                    f"{self.options.weight}. Give this member that weight, or another seed or store."
                )

    def key(self, question: Question) -> str:
        """The key of the question's draws in the store."""
        return draw_key(self.configuration, self._messages(question))

    def stored_tokens(self, question: Question) -> int:
        """Tokens of the question's draws in the store."""
        draws = {} if self.store is None else self.store.drawn(self.key(question))
        return SampleSet(question, tuple(draws.values())).usage.total_tokens

    def _messages(self, question: Question) -> list[Message]:
        return solve_messages(question, self.options.prompt, self.options.system)

    def _drawer(self, question: Question, messages: Sequence[Message], stored: Sequence[Sample]) -> Drawer:
        """The model with this question's prompt, within the caps of the run and of the question."""
        question_budgets = [] if self._question_budgets is None else [self._question_budgets.take(question)]
        prompt_tokens = max((sample.prompt_tokens or 0 for sample in stored), default=0)
        calls = ModelCalls(
            self.backend,
            self.options.patience,
            limiter=self._limiter,
            budgets=[*question_budgets, *self._budgets],
            tariff=self._tariff,
            prompt_tokens=prompt_tokens or None,
        )
        return Drawer(calls, messages, self.options.params, self.options.weight)

    def _count(self, samples: Sequence[Sample]) -> None:
        """Add new draws to the totals."""
        self.progress.drawn += len(samples)
        self.progress.failed += sum(sample.failed for sample in samples)
        self.progress.reasons.update(sample.error for sample in samples if sample.error is not None)
        self.progress.prompt_tokens += sum(sample.prompt_tokens or 0 for sample in samples)
        self.progress.completion_tokens += sum(sample.completion_tokens or 0 for sample in samples)
        self._report()

    def _finish(self, sample_set: SampleSet, refusal: CapReachedError | None) -> SampleSet:
        """Add the set to the totals and return it.

        Raises:
            SamplingError: It has fewer successful draws than the quorum.
        """
        self.progress.questions += 1
        if refusal is not None:
            self.progress.capped += 1
        elif sample_set.stopped is not None:
            self.progress.stopped += 1
            self.progress.spared += self.options.n - sample_set.n
        texts = [sample.text for sample in sample_set.samples if not sample.failed]
        self.progress.returned += len(texts)
        self.progress.distinct += len(set(texts))
        if len(texts) > 1 and self.options.params.temperature > 0:
            self.progress.comparable += 1
            self.progress.identical += len(set(texts)) == 1
        self._report()
        if len(texts) < self.options.min_samples:
            if refusal is not None:
                raise CapReachedError(
                    f"Question {sample_set.id!r}: {len(texts)} of {plural(self.options.n, 'draw')}. "
                    f"{refusal}",
                    of_question=refusal.of_question,
                ) from refusal
            reason = next((sample.error for sample in sample_set.samples if sample.error), "no reason given")
            raise SamplingError(
                f"Question {sample_set.id!r}: {len(texts)} of {plural(sample_set.n, 'draw')} succeeded, "
                f"{self.options.min_samples} are needed. First failure: {reason}"
            )
        return sample_set

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.progress)
