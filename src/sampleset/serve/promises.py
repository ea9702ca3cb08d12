"""An alias's certificate at work: what it holds for, and what became of each answer under it."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.certified import Certified
from sampleset.errors import InvalidArgumentError
from sampleset.risk.certificate import Certificate, void
from sampleset.serve.answering import Outcome
from sampleset.serve.api_errors import ApiError
from sampleset.serve.config import AliasConfig
from sampleset.serve.members import ServedMember
from sampleset.serve.requests import ChatRequest
from sampleset.specs import identity_of

Decision = Literal["answered", "abstained"]

_OWN_WORDS = "words of the client's own"


@dataclass(frozen=True, slots=True)
class Promise:
    """What became of one answer.

    Attributes:
        decision: Whether it is given.
        why: The reason in a sentence.
        terms: The certificate's figures.
        drifted: Whether the confidences no longer look like those that were certified.
    """

    decision: Decision
    why: str
    terms: dict[str, Any]
    drifted: bool

    def fields(self) -> dict[str, Any]:
        """The field `promise` of a reply."""
        return {"decision": self.decision, "why": self.why, **self.terms, "drifted": self.drifted}


def certified_by(
    certificate: Certificate, config: AliasConfig, method: Aggregator, models: AbstractSet[str]
) -> Certified:
    """The alias's aggregator under its certificate.

    Raises:
        InvalidArgumentError: The certificate is of another setting; names what differs.
    """
    certificate.require_setting(identity_of(method), config.k, models)
    if certificate.answer_kind != config.answer_kind:
        raise void(
            f"it is of answers of the kind {certificate.answer_kind}, and the alias compares "
            f"{config.answer_kind}"
        )
    if certificate.keep_thinking:
        raise void("it is of samples read with --keep-thinking, and the server reads what follows </think>")
    return Certified(config.certificate or "", method)


def require_prompt(certificate: Certificate, request: ChatRequest, plan: Iterable[ServedMember]) -> None:
    """Return if a request's draws are asked with the certificate's prompt.

    Raises:
        ApiError: They are not. Nothing is drawn.
    """
    if certificate.prompt is None:
        return
    members = {id(member): member for member in plan}.values()
    versions = {member.prompt_version(request) or _OWN_WORDS for member in members}
    try:
        certificate.require_setting(certificate.identity, certificate.k, prompt=" + ".join(sorted(versions)))
    except InvalidArgumentError as error:
        raise ApiError(400, str(error), param="messages", code="certificate_void") from error


def terms_of(certificate: Certificate) -> dict[str, Any]:
    """The figures of a certificate that a reply shows."""
    return {
        "risk": certificate.risk,
        "certainty": certificate.confidence,
        "threshold": certificate.threshold,
        "labels": certificate.n,
        "prompt": certificate.prompt,
    }


def promise_of(certified: Certified, outcome: Outcome) -> Promise:
    """What became of an answer."""
    certificate, threshold = certified.certificate, f"{certified.certificate.threshold:.3f}"
    confidence = outcome.confidence
    stated = "" if confidence is None else f" of {confidence:.3f}"
    if outcome.answer is not None:
        decision: Decision = "answered"
        why = f"the confidence{stated} is above {threshold}"
    else:
        decision = "abstained"
        flags = set(outcome.flags)
        if "cap_reached" in flags:
            why = "the aggregator was not asked: the cap of this request is reached"
        elif "aggregator_failed" in flags:
            why = "the aggregator failed"
        elif "certificate_void" in flags:
            why = f"the certificate is of {certificate.k} samples of its models, and these are others"
        elif "low_confidence" in flags:
            why = f"the confidence{stated} is not above {threshold}"
        else:
            why = "there is no answer with a confidence"
    return Promise(decision, why, terms_of(certificate), certified.alarm.alarmed)
