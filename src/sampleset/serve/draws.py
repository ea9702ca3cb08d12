"""k draws of one request, side by side: retries, hedges, quorum, deadline, stopping rule.

As `sampling` draws for a store, with three differences. Draws may come from several upstreams in one set. A
draw that is not back after `hedge_after` seconds is drawn a second time, and the first of the two counts. And
no single upstream's error ends the request: it fails its draw, which abstains.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampleset.errors import BackendError, CapReachedError, SampleSetError, TransientBackendError
from sampleset.models.retries import Patience, patiently
from sampleset.sampling.draws import runs_of
from sampleset.sampling.stopping import batch_ends, classes_of
from sampleset.serve.api_errors import ApiError, api_error
from sampleset.serve.members import Member
from sampleset.serve.requests import ChatRequest
from sampleset.serve.upstream_replies import Refusal, Reply
from sampleset.types import Sample, SampleSet

OnEvent = Callable[[str, dict[str, Any]], None]
"""Told of the name and the fields of what has happened."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw that is back, or has failed.

    Attributes:
        reply: What came of it; `None` for a failed draw.
        error: Why it failed.
        seconds: Since the draws began.
        weight: Its weight among the votes, if its upstream gives one.
    """

    index: int
    upstream: str
    seed: int
    seconds: float
    reply: Reply | None = None
    error: str | None = None
    weight: float | None = None

    @property
    def sample(self) -> Sample:
        """The draw as aggregators see it."""
        reply = self.reply
        if reply is None:
            return Sample(self.index, "", "error", self.seed, model=self.upstream, error=self.error)
        return Sample(
            index=self.index,
            text=reply.text,
            finish_reason=reply.finish_reason,
            seed=self.seed,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            logprobs=reply.summary,
            model=self.upstream,
            scores={} if self.weight is None else {"weight": self.weight},
        )


@dataclass(slots=True)
class Drawn:
    """The draws of one answer.

    Attributes:
        draws: By index.
        stopped: The rule that was met before all were drawn.
        retries: Tries after the first, by reason.
        hedges: Second draws started.
        cancelled: Calls in flight when nothing more was needed; what they cost is unknown.
    """

    draws: list[Draw] = field(default_factory=list[Draw])
    stopped: str | None = None
    retries: Counter[str] = field(default_factory=Counter[str])
    hedges: int = 0
    cancelled: int = 0

    @property
    def replies(self) -> list[Reply]:
        """Those of the draws that did not fail."""
        return [one.reply for one in self.draws if one.reply is not None]


async def draw_all(
    request: ChatRequest,
    plan: Sequence[Member],
    seed: int,
    patience: Patience,
    hedge_after: float | None,
    on_event: OnEvent,
) -> Drawn:
    """The draws of one answer.

    Args:
        request: What is asked.
        plan: Who makes each of the k draws.
        seed: Of the first.
        patience: With one call.
        hedge_after: Seconds until a draw that is not back is drawn a second time.
        on_event: Told of every draw, and at the end, whatever it is, of all that was found.

    Raises:
        ApiError: Fewer than the quorum came back; says why.
    """
    work = _Work(request, plan, seed, patience, hedge_after, on_event)
    try:
        await work.run()
    finally:
        await work.close()
        on_event("drawn", {"drawn": work.found})
    found = work.found
    found.draws.sort(key=lambda one: one.index)
    if len(found.replies) < request.quorum:
        raise _too_few(request, found, work.refusals)
    return found


class _Work:
    """The draws of one answer as they come in."""

    def __init__(
        self,
        request: ChatRequest,
        plan: Sequence[Member],
        seed: int,
        patience: Patience,
        hedge_after: float | None,
        on_event: OnEvent,
    ) -> None:
        self.found = Drawn()
        self.refusals: list[ApiError] = []
        self._request, self._plan, self._seed = request, plan, seed
        self._patience, self._hedge_after, self._on_event = patience, hedge_after, on_event
        self._done: dict[int, Draw] = {}
        self._tasks: dict[asyncio.Task[None], list[int]] = {}
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._looked_at, self._changed = 0, asyncio.Event()
        self._crash: Exception | None = None

    async def run(self) -> None:
        """Draw batch by batch until all are there, the rule is met or the time is up."""
        request = self._request
        ends = [request.k]
        if request.rule is not None:
            ends = batch_ends(max(request.rule.first_batch, request.quorum), request.k)
        try:
            async with asyncio.timeout_at(self._started + request.deadline):
                start = 0
                for end in ends:
                    self._launch(range(start, end))
                    start = end
                    if await self._until_done(end):
                        self.found.stopped = request.rule.spec if request.rule and end < request.k else None
                        return
        except TimeoutError:
            for index in range(request.k):
                if index not in self._done:
                    self._fail(index, f"not back within {request.deadline:g} s")

    async def close(self) -> None:
        """Cancel what is in flight."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            if not task.cancelling():
                self.found.cancelled += task.cancel() * len(self._tasks[task])
        await asyncio.gather(*running, return_exceptions=True)

    def _launch(self, indices: Iterable[int], hedge: bool = False) -> None:
        """Start calls for these draws; a hedge goes to the next upstream of the plan, under another seed."""
        plan, k = self._plan, self._request.k
        groups: dict[int, tuple[Member, list[int]]] = {}
        for index in indices:
            upstream = plan[(index + hedge) % k]
            groups.setdefault(id(upstream), (upstream, []))[1].append(index)
        base = self._seed + (k * self._request.n if hedge else 0)
        for upstream, own in groups.values():
            for run in runs_of(own, upstream.group_size):
                self._tasks[asyncio.create_task(self._call(upstream, run, base, hedge))] = run

    async def _call(self, upstream: Member, run: list[int], base: int, hedge: bool) -> None:
        """One call's draws, tried again after transient errors."""

        def retried(reason: str) -> None:
            self.found.retries[reason] += 1
            self._on_event("retry", {"indices": run, "reason": reason})

        def said(place: int, text: str) -> None:
            self._on_event("words", {"index": run[place], "text": text})

        seeds = [base + index for index in run]
        # Two calls for one draw would speak at once.
        on_text = said if self._request.words and not hedge else None
        try:
            replies = await patiently(
                lambda: upstream.draw(self._request, seeds, on_text),
                self._patience,
                upstream.limiter,
                retried,
            )
        except SampleSetError as error:
            if isinstance(error, Refusal):
                self.refusals.append(error.error)
            elif not isinstance(error, TransientBackendError):
                self.refusals.append(api_error(error))
            for index in self._left_to(run):
                self._fail(index, _reason(error), upstream, base + index)
        except Exception as error:
            self._crash = error
            self._changed.set()
        else:
            for index, reply in zip(run, replies, strict=True):
                if index not in self._done:
                    seed, weight = base + index, upstream.weight
                    self._keep(Draw(index, upstream.model, seed, self._since(), reply, weight=weight))
            self._cancel_twins()

    def _left_to(self, run: Sequence[int]) -> list[int]:
        """Those of these draws that no other call may still bring."""
        own = asyncio.current_task()
        others = [run for task, run in self._tasks.items() if task is not own and not task.done()]
        return [index for index in run if index not in self._done and not any(index in one for one in others)]

    def _cancel_twins(self) -> None:
        """Cancel calls for draws that are all there."""
        if self.found.hedges:
            own = asyncio.current_task()
            for task, run in self._tasks.items():
                if task is not own and not task.done() and all(index in self._done for index in run):
                    self.found.cancelled += task.cancel() * len(run)

    async def _until_done(self, end: int) -> bool:
        """Wait for the draws before `end`; whether the rule is met."""
        hedge_at = None if self._hedge_after is None else self._clock() + self._hedge_after
        while len(self._done) < end:
            if self._crash is not None:
                raise self._crash
            if await self._is_settled():
                return True
            left = None if hedge_at is None else max(0.0, hedge_at - self._clock())
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                hedge_at = None
                self._hedge(end)
                continue
            self._changed.clear()
        return await self._is_settled()

    def _hedge(self, end: int) -> None:
        missing = [
            index for index in range(end) if index not in self._done and not self._plan[index].is_local
        ]
        for index in missing:
            self._launch([index], hedge=True)
        self.found.hedges += len(missing)
        self._on_event("hedge", {"indices": missing})

    async def _is_settled(self) -> bool:
        """Whether the rule is met by the draws before the first missing one."""
        rule = self._request.rule
        if rule is None or self._request.ballot != "text":
            return False
        ready: list[Sample] = []
        while (one := self._done.get(len(ready))) is not None:
            ready.append(one.sample)
        if len(ready) <= self._looked_at:
            return False
        self._looked_at = len(ready)
        return rule.met(await classes_of(SampleSet(self._request.question, tuple(ready))))

    def _keep(self, draw: Draw) -> None:
        self._done[draw.index] = draw
        self.found.draws.append(draw)
        self._changed.set()
        self._on_event("sample", {"draw": draw})

    def _fail(self, index: int, error: str, upstream: Member | None = None, seed: int | None = None) -> None:
        who = upstream or self._plan[index]
        self._keep(
            Draw(index, who.model, self._seed + index if seed is None else seed, self._since(), None, error)
        )

    def _since(self) -> float:
        return self._clock() - self._started


def _reason(error: SampleSetError) -> str:
    """Why a draw failed, without what an upstream or a prompt said."""
    while isinstance(error.__cause__, BackendError):
        error = error.__cause__
    if isinstance(error, CapReachedError):
        return "cap reached"
    kind: str | None = getattr(error, "kind", None)
    return kind or (str(error) if str(error).startswith("no reply within") else type(error).__name__)


def _too_few(request: ChatRequest, found: Drawn, refusals: Sequence[ApiError]) -> ApiError:
    reasons = Counter(one.error or "" for one in found.draws if one.error)
    if refusals and len(refusals) >= len(found.draws) - len(found.replies) and not found.replies:
        return refusals[0]
    told = ", ".join(f"{count} times {reason}" for reason, count in reasons.most_common(5))
    slow = all(reason.startswith(("not back", "no reply")) for reason in reasons)
    return ApiError(
        504 if slow else 502,
        f"{len(found.replies)} of {len(found.draws)} samples came back, {request.quorum} are needed: {told}.",
        code="too_few_samples",
        retry_after=1,
    )
