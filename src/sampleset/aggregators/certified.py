"""Answers with a promise: an answer that the certificate does not cover is withheld, or handed to further
steps. Ours; no paper.

`sampleset certify` finds the threshold on the confidence of `inner` above which at most so many answers are
wrong (Learn then Test, arXiv 2110.01052); see `sampleset.risk.thresholds` for its assumptions.

Cost: the calls of `inner`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from sampleset.aggregators.base import AGGREGATORS, Aggregator, Writing, writing_of
from sampleset.aggregators.confident import LOW_CONFIDENCE, NO_CONFIDENCE, Confident, stated_confidence
from sampleset.aggregators.learned_vote import models_of_set
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.errors import InvalidArgumentError
from sampleset.risk.certificate import VOID, Certificate, read_certificate
from sampleset.risk.drift import DriftAlarm
from sampleset.risk.escalation import STEP_FAILED, Step, Trail, escalate
from sampleset.types import Answer, SampleSet, Usage

_log = logging.getLogger(__name__)

R = TypeVar("R")

DRIFTED = "drifted"
"""Flag of answers after the confidences ceased to look as they did when the threshold was certified."""


@AGGREGATORS.register("certified")
@dataclass(frozen=True)
class Certified:
    """Return another aggregator's answer where a certificate covers it, else abstain.

    A withheld answer is `None`, flagged `low_confidence`, `no_confidence`, or, of a set with other models,
    another prompt or another number of samples than the certificate's, `certificate_void`. Its confidence,
    candidates and text stay. Once confidences have drifted from those that were certified, answers are
    flagged `drifted`, too.

    Attributes:
        file: The certificate.
        inner: The other aggregator.
    """

    name: ClassVar[str] = "certified"
    file: str
    inner: Aggregator = field(default_factory=MajorityVote)
    certificate: Certificate = field(init=False, repr=False, metadata={"is_option": False})
    alarm: DriftAlarm = field(init=False, repr=False, compare=False, metadata={"is_option": False})

    def __post_init__(self) -> None:
        certificate = read_certificate(Path(self.file))
        object.__setattr__(self, "certificate", certificate)
        object.__setattr__(self, "alarm", DriftAlarm(certificate.reference))

    @property
    def writing(self) -> Writing | None:
        """The words of `inner`; none of them is surely shown."""
        writing = writing_of(self.inner)
        return None if writing is None else replace(writing, call=None)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The other's answer, or none."""
        answer = await self.inner.aggregate(sample_set)
        try:
            self.certificate.require_setting(
                self.certificate.identity, sample_set.n, models_of_set(sample_set), sample_set.prompt
            )
        except InvalidArgumentError as error:
            _log.warning("Question %s: %s", sample_set.id, error)
            return replace(answer, answer=None, flags=(*answer.flags, VOID))
        if answer.answer is None:
            return answer
        confidence = stated_confidence(answer)
        flags = answer.flags
        if confidence is not None:
            was_alarmed = self.alarm.alarmed
            if self.alarm.add(confidence):
                flags = (*flags, DRIFTED)
                if not was_alarmed:
                    _log.warning(
                        "The confidences of the last %d questions no longer look like those that were "
                        "certified (%s). The promise may not hold: label some of them, and certify again.",
                        self.alarm.seen,
                        self.file,
                    )
        if self.certificate.gives(confidence):
            return replace(answer, flags=flags)
        flag = NO_CONFIDENCE if confidence is None else LOW_CONFIDENCE
        return replace(answer, answer=None, flags=(*flags, flag))


@dataclass(frozen=True)
class SetStep:
    """One step of an escalation over the samples of a set.

    Attributes:
        spec: The aggregator, as it was typed.
        inner: The aggregator, `Certified` or `Confident` where the step hands on what it is not sure of.
        k: Samples that it reads, the first of the set; `None` reads all.
    """

    spec: str
    inner: Aggregator
    k: int | None = None


@dataclass(frozen=True)
class Escalating:
    """Takes steps over one set until one answers: another aggregator, or more of the samples.

    The answer's explanation holds the decision and what each step said, under `promise`.

    Attributes:
        steps: The steps, in their order.
    """

    name: ClassVar[str] = "escalating"
    steps: tuple[SetStep, ...]

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the first step that gives one, else none."""

        async def attempt(step: SetStep) -> Answer:
            size = sample_set.n if step.k is None else step.k
            return await step.inner.aggregate(sample_set.subset(range(min(size, sample_set.n))))

        trail = await escalate(
            [step_of(step.spec, step.inner, partial(attempt, step)) for step in self.steps], _itself
        )
        return concluded(trail)


def step_of(name: str, method: Aggregator | None, attempt: Callable[[], Awaitable[R]]) -> Step[R]:
    """A step by an aggregator, under its certificate or least confidence if it has one."""
    certificate = method.certificate if isinstance(method, Certified) else None
    least = method.min_confidence if isinstance(method, Confident) else None
    return Step(name, certificate, attempt, least)


def concluded(trail: Trail[Answer]) -> Answer:
    """The answer that steps lead to: the last step's, withheld if a further one failed; tokens are of all."""
    answer = trail.results[-1]
    if trail.has_failed:
        answer = replace(answer, answer=None, flags=(*answer.flags, STEP_FAILED))
    explanation = {**answer.explanation, "promise": trail.fields()}
    usage = sum((result.usage for result in trail.results), Usage())
    return replace(answer, explanation=explanation, usage=usage)


def _itself(answer: Answer) -> Answer:
    return answer
