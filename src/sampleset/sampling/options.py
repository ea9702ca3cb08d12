"""How sample sets are drawn, and the running totals of drawing them."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field

from sampleset.chat import SamplingParams
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.models.budget import Caps
from sampleset.models.retries import Patience
from sampleset.prompts import SOLVE_PROMPTS
from sampleset.sampling.draws import DrawRules, draw_rules
from sampleset.sampling.stopping import StoppingRule

_DEFAULT_PARAMS = SamplingParams()
_DEFAULT_PATIENCE = Patience()
_NO_CAPS = Caps()


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How a sample set is drawn.

    Attributes:
        n: Samples per question.
        params: Sampling parameters.
        prompt: Name of the prompt that asks for a solution, from `prompts.SOLVE_PROMPTS`.
        system: A system message before it, such as a role to play.
        seed: Seed of all draws. Each draw's seed depends on it, the question and the index
            (`chat.first_seed`).
        max_concurrency: Backend calls in flight at once, over all questions.
        patience: Time limit and further tries of one call.
        deadline: Seconds one question may take, retries and waits included, `None` for no limit.
        min_samples: Quorum: fewer successful draws of a question raise an error.
        stop: The stopping rule, which says when the draws so far settle the vote; `None` draws all.
        first_batch: Draws of the first batch. Each further batch doubles the number of draws. By default the
            fewest that can meet the rule.
        caps: Limits on the cost of drawing.
        weight: Weight of each draw in `weighted_vote:by=weight`, kept as a score; `None` for none.
        hedge_after: Seconds until a draw that is not back is drawn a second time, and the first of the two
            counts; `None` for never. A model in this process is not hedged.
        retry_failed: Whether draws that the store holds as refused are made again.
    """

    n: int = 5
    params: SamplingParams = _DEFAULT_PARAMS
    prompt: str = "solve"
    system: str | None = None
    seed: int = 0
    max_concurrency: int = 8
    patience: Patience = _DEFAULT_PATIENCE
    deadline: float | None = None
    min_samples: int = 1
    stop: StoppingRule | None = None
    first_batch: int | None = None
    caps: Caps = _NO_CAPS
    weight: float | None = None
    hedge_after: float | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        for name in ("n", "max_concurrency", "min_samples"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(f"{name}={getattr(self, name)!r} must be at least 1.")
        for name in ("deadline", "hedge_after"):
            seconds: float | None = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise InvalidArgumentError(f"{name}={seconds!r} must be above 0 seconds.")
        if self.prompt not in SOLVE_PROMPTS:
            raise UnknownNameError("prompt", self.prompt, SOLVE_PROMPTS)
        if self.min_samples > self.n:
            raise InvalidArgumentError(
                f"min_samples={self.min_samples} is above n={self.n}; no question could reach it."
            )
        if self.first_batch is not None and (self.stop is None or self.first_batch < 1):
            raise InvalidArgumentError(
                f"first_batch={self.first_batch!r} must be at least 1, and goes with a stopping rule."
            )
        if self.weight is not None and not 0 <= self.weight < math.inf:
            raise InvalidArgumentError(f"weight={self.weight!r} must be finite and at least 0.")

    @property
    def configuration_prompt(self) -> str:
        """Name and version of the prompt, with the system message if there is one."""
        return SOLVE_PROMPTS[self.prompt] + (f", system: {self.system}" if self.system else "")

    @property
    def rules(self) -> DrawRules:
        """How many draws a question gets, and when it has enough."""
        return draw_rules(
            self.n, self.min_samples, self.stop, self.deadline, self.hedge_after, self.first_batch
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
        reasons: Failed draws by error message.
        refused: Draws that an earlier run stored as refused and that were not made again.
        waits_until: `time.monotonic()` until which all calls of the server wait.
        waits_for: The server's reason for the wait.
        retries: Calls tried again after a transient error.
        cancelled: Draws that were in flight when a stopping rule was met.
        stopped: Questions whose stopping rule was met before all n were drawn.
        spared: Draws that were not made for that reason.
        capped: Questions cut short by a cap.
        prompt_tokens: Prompt tokens of this run's draws.
        completion_tokens: Tokens generated in this run.
        returned: Successful draws of the questions done, reused ones included.
        distinct: Distinct texts among them, counted for each question.
        identical: Questions whose successful draws (two or more, at a temperature above 0) are all one text.
        comparable: Questions with two or more successful draws at a temperature above 0.
        below_quorum: Error messages of the questions that missed the quorum.
        started: `time.monotonic()` at the start.
    """

    total: int = 0
    questions: int = 0
    reused: int = 0
    drawn: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    refused: int = 0
    waits_until: float = 0.0
    waits_for: str = ""
    retries: int = 0
    cancelled: int = 0
    stopped: int = 0
    spared: int = 0
    capped: int = 0
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
        """Whether the server seems to return the same text for every seed."""
        return self.comparable > 0 and self.identical == self.comparable
