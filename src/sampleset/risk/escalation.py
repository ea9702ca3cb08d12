"""Steps to an answer: each gives what its certificate covers and hands the rest on to the next.

A step is any way to an answer: more samples, another aggregator, a larger model. The answers of a certified
step keep its own promise, because a later step's certificate is fitted on the questions that the earlier
steps left. So a step that fails ends the work without an answer: what it did not decide was not among the
questions that a later certificate is of, and an answer without one would be a guess.

Steps without a certificate may only come last. Nothing is promised of their answers, and that is said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from sampleset.errors import SampleSetError
from sampleset.risk.certificate import VOID, Certificate

Decision = Literal["answered", "escalated", "abstained"]
"""Of a step: it answers, hands on, or ends without an answer. Of all steps: the first answers, a later one
does, or none.
"""

STEP_FAILED = "step_failed"
"""Flag of an answer that is withheld because a later step failed."""

UNCERTIFIED = "without a certificate: nothing is promised of its errors"


class Verdict(Protocol):
    """The properties that a step's result must have."""

    @property
    def answer(self) -> str | None:
        """The answer; `None` if there is none, or it is withheld."""
        ...

    @property
    def confidence(self) -> float | None:
        """Its confidence."""
        ...

    @property
    def flags(self) -> Sequence[str]:
        """Notes by name."""
        ...


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Step(Generic[R]):
    """One way to an answer.

    Attributes:
        name: What answers, in words.
        certificate: What it answers under; `None` promises nothing.
        attempt: Makes the result. An answer that is not to be given is withheld in it.
        min_confidence: Least confidence of an answer of a step without a certificate, for the reason.
    """

    name: str
    certificate: Certificate | None
    attempt: Callable[[], Awaitable[R]]
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of one step.

    Attributes:
        name: What was asked.
        decision: Whether it answered, handed the question on, or ended without an answer.
        why: The reason, in words.
        certificate: What it answers under.
    """

    name: str
    decision: Decision
    why: str
    certificate: Certificate | None

    def fields(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "name": self.name,
            "decision": self.decision,
            "why": self.why,
            "certified": self.certificate is not None,
        }


@dataclass(frozen=True, slots=True)
class Trail(Generic[R]):
    """The steps that were taken.

    Attributes:
        results: Of the steps that came to one, in order; the last counts.
        reports: Of all steps that were taken.
    """

    results: tuple[R, ...]
    reports: tuple[StepReport, ...]

    @property
    def decision(self) -> Decision:
        """What became of the question."""
        if self.reports[-1].decision != "answered":
            return "abstained"
        return "answered" if len(self.reports) == 1 else "escalated"

    @property
    def why(self) -> str:
        """The reason of the last step; a step among several is named."""
        last = self.reports[-1]
        return last.why if len(self.reports) == 1 else f"step {len(self.reports)} ({last.name}): {last.why}"

    @property
    def has_failed(self) -> bool:
        """Whether a later step failed, so that the last result is that of the step before."""
        return len(self.results) < len(self.reports)

    def fields(self) -> dict[str, Any]:
        """Decision, reason, and the figures of the certificate that an answer is given under, as JSON."""
        last = self.reports[-1]
        fields: dict[str, Any] = {
            "decision": self.decision,
            "why": self.why,
            "certified": last.certificate is not None,
        }
        if last.certificate is not None:
            fields |= terms_of(last.certificate)
        return fields | {"steps": [report.fields() for report in self.reports]}


async def escalate(
    steps: Sequence[Step[R]],
    verdict_of: Callable[[R], Verdict],
    describe: Callable[[SampleSetError], str] = str,
    on_next: Callable[[int, StepReport], None] = lambda number, report: None,
) -> Trail[R]:
    """Take the steps in their order, until one answers or fails.

    Args:
        steps: The steps.
        verdict_of: Reads a result.
        describe: The words for an error that a reply may show.
        on_next: Called with the number of the step that is next, from 1, and the report of the one before.

    Raises:
        SampleSetError: The first step fails: then nothing was decided, and the caller may try again.
    """
    results, reports = list[R](), list[StepReport]()
    for number, step in enumerate(steps):
        if number:
            on_next(number, reports[-1])
        try:
            result = await step.attempt()
        except SampleSetError as error:
            if not number:
                raise
            why = f"it failed, and no later step may answer in its place: {describe(error)}"
            reports.append(StepReport(step.name, "abstained", why, step.certificate))
            break
        results.append(result)
        report = _report(step, verdict_of(result), is_last=number == len(steps) - 1)
        reports.append(report)
        if report.decision != "escalated":
            break
    return Trail(tuple(results), tuple(reports))


def _report(step: Step[Any], verdict: Verdict, *, is_last: bool) -> StepReport:
    flags = set(verdict.flags)
    if verdict.answer is not None:
        decision: Decision = "answered"
    else:
        decision = "abstained" if is_last or VOID in flags else "escalated"
    return StepReport(step.name, decision, _why(step, verdict), step.certificate)


def _why(step: Step[Any], verdict: Verdict) -> str:
    """The reason of a step's decision."""
    flags, certificate = set(verdict.flags), step.certificate
    stated = "" if verdict.confidence is None else f" of {verdict.confidence:.3f}"
    limit = f"{certificate.threshold:.3f}" if certificate else f"min_confidence={step.min_confidence or 0:g}"
    if verdict.answer is not None:
        if certificate is None:
            return UNCERTIFIED
        if certificate.threshold < 0:
            return "the certificate covers every answer"
        return f"the confidence{stated} is above {limit}"
    if VOID in flags:
        if "cap_reached" in flags:
            return "the aggregator was not asked: the cap of this request is reached"
        if "aggregator_failed" in flags:
            return "the aggregator failed"
        if certificate is not None:
            return f"the certificate is of {certificate.k} samples of its models, and these are others"
    if "low_confidence" in flags:
        return f"the confidence{stated} is {'not above' if certificate else 'below'} {limit}"
    return "there is no answer with a confidence" if certificate else "there is no answer"


def terms_of(certificate: Certificate) -> dict[str, Any]:
    """The figures of a certificate that a reply shows."""
    return {
        "risk": certificate.risk,
        "certainty": certificate.confidence,
        "threshold": certificate.threshold,
        "labels": certificate.n,
        "prompt": certificate.prompt,
    }
