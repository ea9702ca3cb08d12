"""An alias's certificates at work: what they hold for, and what became of each answer under them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.certified import Certified
from sampleset.errors import InvalidArgumentError, SampleSetError
from sampleset.evaluation import AnswerLog
from sampleset.evaluation.certifying import Labelled, certificate_path, certified_by_labels
from sampleset.risk.certificate import Certificate, void
from sampleset.risk.escalation import Decision, Trail
from sampleset.serve.answering import Outcome
from sampleset.serve.api_errors import ApiError, api_error
from sampleset.serve.config import AliasConfig
from sampleset.serve.members import ServedMember
from sampleset.serve.requests import ChatRequest
from sampleset.specs import identity_of
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import DEFAULT_KIND

_log = logging.getLogger("sampleset.serve")

_OWN_WORDS = "words of the client's own"


@dataclass(frozen=True, slots=True)
class Promise:
    """What became of one answer.

    Attributes:
        decision: Whether it is given, and by the first step or a further one.
        details: The reason, the certificate's figures and the steps, as a reply shows them.
        drifted: Whether the confidences of a step no longer look like those that were certified.
    """

    decision: Decision
    details: dict[str, Any]
    drifted: bool

    def fields(self) -> dict[str, Any]:
        """The field `promise` of a reply."""
        return {**self.details, "decision": self.decision, "drifted": self.drifted}


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


async def certificate_file(config: AliasConfig, spec: str, method: Aggregator) -> str:
    """The file of the certificate that `risk` and `labelled` ask for, made now, in the user's cache.

    Raises:
        DataError: There are too few labels, or no threshold keeps the promise.
    """
    assert config.labelled is not None
    assert config.risk is not None
    labelled = Path(config.labelled)
    output = certificate_path([labelled, spec, config.k, config.risk, identity_of(method)])
    kind = None if config.answer_kind == DEFAULT_KIND else config.answer_kind
    sets = list(SampleFile(labelled, answer_kind=kind))
    certificate, certified = await certified_by_labels(
        spec, method, Labelled(sets, (labelled.name,)), config.k, config.risk, 0.95,
        AnswerLog.beside(output, method, None), note=lambda line: _log.info("%s: %s", labelled.name, line),
    )  # fmt: skip
    certificate.save(output)
    _log.info(
        "Certified on %d labelled questions of %s: %.1f%% of them are answered (%s).",
        certificate.n,
        labelled.name,
        100 * certified.coverage,
        output,
    )
    return str(output)


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


def promise_of(
    trail: Trail[Any], outcome: Outcome, least: float | None, *, in_steps: bool, drifted: bool
) -> Promise:
    """What became of an answer.

    Args:
        trail: The steps that were taken.
        outcome: The outcome that the reply shows.
        least: The least confidence that the request asks for.
        in_steps: Whether the alias has further steps.
        drifted: Whether a step's confidences have drifted.
    """
    details, decision = trail.fields(), trail.decision
    if not in_steps:
        del details["steps"]
    if decision != "abstained" and outcome.answer is None:
        decision = "abstained"
        details["why"] = f"the request asks for a confidence of at least {least or 0:g}"
    return Promise(decision, details, drifted)


def failure_of(alias: str, error: SampleSetError) -> str:
    """The words for a step that failed, for the client; the operator's log says so, too."""
    failure = api_error(error)
    # A message below 500 may quote the request.
    reason = failure.message if failure.status >= 500 else type(error).__name__
    _log.warning("%s: a step of the escalation failed, and the answer is withheld: %s", alias, reason)
    return failure.message
