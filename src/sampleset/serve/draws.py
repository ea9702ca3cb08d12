"""k draws of one request by the engine of draws; no single upstream's error ends the request.

A failed draw abstains. A refusal of an upstream, or the reason for too few draws, becomes the client's error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampleset.chat import Generation
from sampleset.errors import TransientBackendError
from sampleset.models.retries import Patience
from sampleset.sampling.draws import (
    CameBack,
    Draw,
    DrawEvent,
    Failed,
    Hedged,
    QuestionDraws,
    Retried,
    Words,
    draw_rules,
)
from sampleset.serve.api_errors import ApiError, api_error
from sampleset.serve.members import ServedMember, reason_of
from sampleset.serve.requests import ChatRequest
from sampleset.wire.beside import beside
from sampleset.wording import plural

OnEvent = Callable[[str, dict[str, Any]], None]
"""Called with the name and the fields of what has happened."""


@dataclass(slots=True)
class Drawn:
    """The draws of one answer.

    Attributes:
        draws: By index.
        stopped: The rule that was met before all were drawn.
        retries: Tries after the first, by reason.
        hedges: Second draws started.
        cancelled: Draws in flight when nothing more was needed; what they cost is unknown.
    """

    draws: list[Draw] = field(default_factory=list[Draw])
    stopped: str | None = None
    retries: Counter[str] = field(default_factory=Counter[str])
    hedges: int = 0
    cancelled: int = 0

    @property
    def generations(self) -> list[Generation]:
        """The generations of the draws that did not fail."""
        return [draw.generation for draw in self.draws if draw.generation is not None]


async def draw_all(
    request: ChatRequest,
    plan: Sequence[ServedMember],
    seed: int,
    patience: Patience,
    hedge_after: float | None,
    on_event: OnEvent,
) -> Drawn:
    """The draws of one answer.

    Args:
        request: The request.
        plan: The member that makes each of the k draws.
        seed: Of the first.
        patience: With one call.
        hedge_after: Seconds until a draw that is not back is drawn a second time.
        on_event: Called with every draw, and at the end, whatever it is, with all draws.

    Raises:
        ApiError: Fewer than the quorum came back; says why.
    """
    result, refusals, waits = Drawn(), list[ApiError](), list[float]()

    def translate(event: DrawEvent) -> None:
        match event:
            case CameBack(draws):
                for draw in draws:
                    on_event("sample", {"draw": draw})
            case Retried(indices, reason):
                result.retries[reason] += 1
                on_event("retry", {"indices": list(indices), "reason": reason})
            case Hedged(indices):
                on_event("hedge", {"indices": list(indices)})
            case Words(index, text):
                on_event("words", {"index": index, "text": text})
            case Failed(error):
                if isinstance(error, TransientBackendError):
                    waits.append(error.retry_after or 0.0)
                else:
                    refusals.append(api_error(error))

    members = {id(member): member for member in plan}
    drawers = await beside(
        request.prompt.size,
        lambda: {number: member.drawer(request, patience) for number, member in members.items()},
    )
    work = QuestionDraws(
        request.question,
        [drawers[id(member)] for member in plan],
        seed,
        draw_rules(
            request.k,
            request.quorum,
            request.rule if request.ballot == "text" else None,
            request.deadline,
            hedge_after,
        ),
        on_event=translate,
        describe=reason_of,
        tolerant=True,
        signed=True,
        stream=request.words,
    )
    try:
        await work.run()
    finally:
        result.draws = [draw for _, draw in sorted(work.draws.items())]
        result.stopped, result.hedges, result.cancelled = work.stopped, work.hedges, work.cancelled
        on_event("drawn", {"drawn": result})
    if len(result.generations) < request.quorum:
        raise _too_few(request, result, refusals, min(waits, default=0.0))
    return result


def _too_few(request: ChatRequest, draws: Drawn, refusals: Sequence[ApiError], wait: float) -> ApiError:
    reasons = Counter(draw.sample.error or "" for draw in draws.draws if draw.sample.failed)
    if refusals and len(refusals) >= len(draws.draws) and not draws.generations:
        return refusals[0]
    counts = ", ".join(f"{plural(count, 'time')} {reason}" for reason, count in reasons.most_common(5))
    slow = all(reason.startswith(("the deadline", "no reply")) for reason in reasons)
    return ApiError(
        504 if slow else 502,
        f"{len(draws.generations)} of {plural(len(draws.draws), 'sample')} came back, "
        f"{request.quorum} are needed: {counts}.",
        code="too_few_samples",
        retry_after=max(1, math.ceil(wait)),
    )
