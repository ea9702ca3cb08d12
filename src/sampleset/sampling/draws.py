"""The draws of one question: batches, a stopping rule, a deadline, hedges, caps and cancelling.

`sample`, `answer` and `serve` draw by this engine. Member i modulo their number makes draw i, in one call
with neighbouring draws where a member takes several seeds. With a stopping rule the draws are made in
batches. Whenever draws come back, the rule reads those before the first missing draw, so quick samples do not
decide merely because they are quick. When the rule is met, the calls in flight are cancelled. A draw that is
not back after `hedge_after` seconds is drawn again by the next member, and the first of the two counts.
Every draw that came back is kept, so nothing paid for is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sampleset.chat import Generation, Message, SamplingParams
from sampleset.errors import (
    BackendError,
    CapReachedError,
    PromptError,
    RequestRefusedError,
    SampleSetError,
    TransientBackendError,
)
from sampleset.models.calls import ModelCalls
from sampleset.sampling.stopping import StoppingRule, batch_ends, classes_of
from sampleset.types import Question, Sample, SampleSet

__all__ = [
    "CameBack",
    "Draw",
    "DrawEvent",
    "DrawRules",
    "Drawer",
    "Failed",
    "Hedged",
    "OnEvent",
    "QuestionDraws",
    "Retried",
    "Words",
    "draw_rules",
    "runs_of",
]


@dataclass(frozen=True, slots=True)
class Drawer:
    """A model that draws for one question, with one prompt.

    Attributes:
        calls: The model.
        messages: The prompt.
        params: Sampling parameters.
        weight: Weight of each of its draws in the vote, `None` for none.
    """

    calls: ModelCalls
    messages: Sequence[Message]
    params: SamplingParams
    weight: float | None = None

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.calls.model


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw that came back, failed, or was in the store.

    Attributes:
        sample: The draw as aggregators see it.
        generation: The model's reply; `None` for a failed or stored draw.
        seconds: Time since the question's draws began; `None` for a stored draw.
    """

    sample: Sample
    generation: Generation | None = None
    seconds: float | None = None

    @property
    def index(self) -> int:
        """Its number among the draws of the question."""
        return self.sample.index

    @property
    def model(self) -> str:
        """Name of the model that drew it; empty if samples are not signed."""
        return self.sample.model or ""


@dataclass(frozen=True, slots=True)
class CameBack:
    """The draws of one call came back or failed. Reported before anything else uses them."""

    draws: Sequence[Draw]


@dataclass(frozen=True, slots=True)
class Retried:
    """A call is tried again, for this reason."""

    indices: Sequence[int]
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A call has failed and is not tried again."""

    error: SampleSetError


@dataclass(frozen=True, slots=True)
class Hedged:
    """These draws are drawn a second time."""

    indices: Sequence[int]


@dataclass(frozen=True, slots=True)
class Words:
    """The next piece of a draw's text."""

    index: int
    text: str


DrawEvent = CameBack | Retried | Failed | Hedged | Words
OnEvent = Callable[[DrawEvent], None]


@dataclass(frozen=True, slots=True)
class DrawRules:
    """How many draws a question gets, and when it has enough.

    Attributes:
        n: Draws at most.
        batches: Number of draws after each batch, rising; the last is n.
        stop: The stopping rule; `None` draws all.
        deadline: Seconds for all draws, `None` for no limit.
        hedge_after: Seconds until a missing draw is drawn a second time, `None` for never.
    """

    n: int
    batches: Sequence[int]
    stop: StoppingRule | None = None
    deadline: float | None = None
    hedge_after: float | None = None


def draw_rules(
    n: int,
    quorum: int,
    stop: StoppingRule | None = None,
    deadline: float | None = None,
    hedge_after: float | None = None,
    first_batch: int | None = None,
) -> DrawRules:
    """The rules for n draws. With a stopping rule, each batch doubles the number of draws.

    Args:
        n: Draws at most.
        quorum: Fewest draws an answer needs. The first batch has at least as many.
        stop: The stopping rule.
        deadline: Seconds for all draws.
        hedge_after: Seconds until a missing draw is drawn a second time.
        first_batch: Draws of the first batch; by default the fewest that can meet the rule.
    """
    batches = [n] if stop is None else batch_ends(max(first_batch or stop.first_batch, quorum), n)
    return DrawRules(n, batches, stop, deadline, hedge_after)


# Errors that concern one call; other draws may succeed.
_OF_ONE_CALL = PromptError | RequestRefusedError | TransientBackendError


class QuestionDraws:
    """Draws one question.

    Args:
        question: The question.
        members: The models; member i modulo their number makes draw i.
        seed: Seed of draw 0. The seed of draw i is `seed` + i.
        rules: How many draws, and when there are enough.
        stored: Draws made before.
        on_event: Called with each event.
        describe: Called with an error; returns the text that the failed draw keeps.
        tolerant: Whether every error, including a cap's refusal, fails its own draws only. Otherwise an error
            that would fail all draws is raised.
        signed: Whether each sample names its model.
        stream: Whether the texts of draws are reported while they are written.
        is_final: Called with an error; returns whether the prompt is at fault. Then the draw is kept as
            refused and not made again.
        retry_failed: Whether stored draws that were refused are made again.

    Attributes:
        draws: Draws so far by index, failed and stored ones included.
        stopped: Why the rest was not drawn; `None` if all were.
        refusal: The cap's refusal, if a cap cut the question short.
        cancelled: Draws that were cancelled in flight. Their cost is unknown.
        hedges: Second draws that were started.
    """

    def __init__(
        self,
        question: Question,
        members: Sequence[Drawer],
        seed: int,
        rules: DrawRules,
        *,
        stored: Iterable[Sample] = (),
        on_event: OnEvent,
        describe: Callable[[SampleSetError], str] = str,
        tolerant: bool = False,
        signed: bool = False,
        stream: bool = False,
        is_final: Callable[[SampleSetError], bool] = lambda error: isinstance(error, PromptError),
        retry_failed: bool = False,
    ) -> None:
        self._is_final = is_final
        self.draws = {sample.index: Draw(sample) for sample in stored}
        self.stopped: str | None = None
        self.refusal: CapReachedError | None = None
        self.cancelled = self.hedges = 0
        self._question, self._members, self._seed, self._rules = question, members, seed, rules
        self._on_event, self._describe = on_event, describe
        self._tolerant, self._signed, self._stream = tolerant, signed, stream
        # Draws that failed in an earlier run are made again, unless the prompt was refused. Draws that fail
        # in this run are not.
        self._missing = {
            index
            for index in range(rules.n)
            if index not in self.draws
            or (self.draws[index].sample.failed and (retry_failed or not self.draws[index].sample.refused))
        }
        self._calls: dict[asyncio.Task[None], list[int]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._back: set[asyncio.Task[None] | None] = set()
        self._reasons: dict[int, str] = {}
        self._checked_state, self._settled = (0, 0), False
        self._started = 0.0

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self._missing)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples by index."""
        return tuple(draw.sample for _, draw in sorted(self.draws.items()))

    async def run(self) -> None:
        """Draw in batches until all are drawn, the rule is met, a cap is reached or the time is up.

        Raises:
            BackendError: The model cannot be asked at all, and the engine is not tolerant.
        """
        clock = asyncio.get_running_loop().time
        self._started = clock()
        limit = self._rules.deadline
        deadline = asyncio.timeout_at(None if limit is None else self._started + limit)
        try:
            async with deadline:
                await self._draw_batches()
        except TimeoutError:
            if not deadline.expired():
                raise
            self._fail(sorted(self._missing), f"the deadline of {limit:g} s passed", with_reason=True)
        finally:
            await self._cancel(self._calls)
        if len(self.draws) < self._rules.n:
            if self.refusal is None and self._rules.stop is not None:
                self.stopped = self._rules.stop.spec
            elif self.refusal is not None and self.refusal.of_question and self.draws:
                self.stopped = "cap"

    async def _draw_batches(self) -> None:
        begun = 0
        for end in self._rules.batches:
            if await self._is_settled():
                break
            self._start([index for index in range(begun, end) if index in self._missing])
            begun = end
            if await self._until_drawn(end) or self.refusal is not None:
                break

    async def _until_drawn(self, end: int) -> bool:
        """Wait for the draws before `end`; returns whether the rule is met."""
        clock = asyncio.get_running_loop().time
        hedge_after = self._rules.hedge_after
        hedge_at = None if hedge_after is None else clock() + hedge_after
        while self._running:
            left = None if hedge_at is None else max(0.0, hedge_at - clock())
            done, _ = await asyncio.wait(self._running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._running -= done
            for call in done:
                if not call.cancelled():
                    call.result()
            if not done and hedge_at is not None:
                hedge_at = None
                self._hedge(end)
            if not any(index in self._missing for index in range(end)) and self.refusal is None:
                break
            if await self._is_settled():
                return True
        return await self._is_settled()

    def _start(self, indices: Sequence[int], hedge: bool = False) -> None:
        """Start calls for these draws; a hedge goes to the next member."""
        by_member: dict[int, tuple[Drawer, list[int]]] = {}
        for index in indices:
            member = self._members[(index + hedge) % len(self._members)]
            by_member.setdefault(id(member), (member, []))[1].append(index)
        for member, indices_of_member in by_member.values():
            for run in runs_of(indices_of_member, member.calls.group_size):
                # A hedge does not stream: two texts of one draw would mix.
                call = asyncio.create_task(self._call(member, run, self._stream and not hedge))
                self._calls[call] = run
                self._running.add(call)

    async def _call(self, member: Drawer, run: Sequence[int], stream: bool) -> None:
        """Make one call's draws. Errors of this call alone become failed samples."""

        def on_retry(error: TransientBackendError) -> None:
            reason = self._describe(error)
            self._reasons.update(dict.fromkeys(run, reason))
            self._on_event(Retried(run, reason))

        def on_text(position: int, text: str) -> None:
            self._on_event(Words(run[position], text))

        seeds = [self._seed + index for index in run]
        try:
            generations = await member.calls.ask(
                member.messages, member.params, seeds, on_text if stream else None, on_retry
            )
        except SampleSetError as error:
            await self._give_up(run, error, member, stream)
            return
        self._back.add(asyncio.current_task())
        if len(generations) != len(run):
            raise BackendError(
                f"The backend returned {len(generations)} completions for {len(run)} seeds; "
                "a backend must return one for each."
            )
        self._add(
            [
                self._draw_of(index, generation, member)
                for index, generation in zip(run, generations, strict=True)
                if index in self._missing
            ]
        )
        if self.hedges:
            # Not waited for here: two calls that are back at once would wait for each other. `run` waits.
            self._stop(call for call, other in self._calls.items() if self._missing.isdisjoint(other))

    async def _give_up(self, run: Sequence[int], error: SampleSetError, member: Drawer, stream: bool) -> None:
        """Handle the error of a call: draw fewer at once, add failed samples, or raise it."""
        if isinstance(error, CapReachedError):
            if len(run) > 1 and self.refusal is None:  # fewer at once may fit
                await self._call(member, run[: len(run) // 2], stream)
                await self._call(member, run[len(run) // 2 :], stream)
                return
            if not self._tolerant:
                self.refusal = error
                return
        elif not self._tolerant and not isinstance(error, _OF_ONE_CALL):
            raise error
        self._on_event(Failed(error))
        self._fail(self._only_in(run), self._describe(error), member, refused=self._is_final(error))

    def _draw_of(self, index: int, generation: Generation, member: Drawer) -> Draw:
        sample = Sample(
            index=index,
            text=generation.text,
            finish_reason=generation.finish_reason,
            seed=self._seed + index,
            prompt_tokens=generation.prompt_tokens,
            completion_tokens=generation.completion_tokens,
            logprobs=generation.logprobs,
            model=member.model if self._signed else None,
            scores={} if member.weight is None else {"weight": member.weight},
        )
        return Draw(sample, generation, self._seconds())

    def _fail(
        self,
        indices: Sequence[int],
        error: str,
        member: Drawer | None = None,
        *,
        with_reason: bool = False,
        refused: bool = False,
    ) -> None:
        """Keep these draws as failed ones."""
        draws: list[Draw] = []
        for index in indices:
            who = member or self._members[index % len(self._members)]
            last = self._reasons.get(index) if with_reason else None
            sample = Sample(
                index=index,
                text="",
                finish_reason="refused" if refused else "error",
                seed=self._seed + index,
                model=who.model if self._signed else None,
                error=f"{error}; before it: {last}" if last else error,
            )
            draws.append(Draw(sample, None, self._seconds()))
        self._add(draws)

    def _add(self, draws: Sequence[Draw]) -> None:
        if draws:
            self._on_event(CameBack(draws))
        for draw in draws:
            self.draws[draw.index] = draw
            self._missing.discard(draw.index)

    def _only_in(self, run: Sequence[int]) -> list[int]:
        """The missing draws of a call that no other call in flight makes as well."""
        current = asyncio.current_task()
        elsewhere = {
            index
            for call, indices in self._calls.items()
            if call is not current and not call.done()
            for index in indices
        }
        return [index for index in run if index in self._missing and index not in elsewhere]

    def _hedge(self, end: int) -> None:
        """Draw the missing draws before `end` a second time. Local models are not hedged."""
        late = [
            index
            for index in sorted(self._missing)
            if index < end and not self._members[index % len(self._members)].calls.is_local
        ]
        for index in late:
            self._start([index], hedge=True)
        self.hedges += len(late)
        self._on_event(Hedged(late))

    def _stop(self, calls: Iterable[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        """Cancel these calls, but for those whose draws are back; returns all but the one that asks."""
        others = [call for call in calls if call is not asyncio.current_task()]
        for call in others:
            if call not in self._back and not call.done() and not call.cancelling():
                call.cancel()
                self.cancelled += len(self._calls[call])
        return others

    async def _cancel(self, calls: Iterable[asyncio.Task[None]]) -> None:
        """Cancel these calls and wait for their end."""
        # The errors of calls that have ended are taken as well: the first has been raised.
        await asyncio.gather(*self._stop(calls), return_exceptions=True)

    async def _is_settled(self) -> bool:
        """Whether the rule is met by the draws before the first missing one."""
        rule = self._rules.stop
        if self._settled or rule is None:
            return self._settled
        samples: list[Sample] = []
        while (draw := self.draws.get(len(samples))) is not None:
            samples.append(draw.sample)
        # A draw that failed in an earlier run and came back now changes the state, too.
        state = len(samples), sum(sample.failed for sample in samples)
        if state == self._checked_state or not samples:
            return False
        self._checked_state = state
        self._settled = rule.met(await classes_of(SampleSet(self._question, tuple(samples))))
        return self._settled

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._started


def runs_of(indices: Sequence[int], size: int) -> list[list[int]]:
    """Rising indices cut into runs of consecutive indices, each at most `size` long."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and len(runs[-1]) < size and runs[-1][-1] + 1 == index:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
