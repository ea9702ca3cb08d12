"""A threshold on confidence as a file: the promise, and all that it holds for."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sampleset.errors import InputNotFoundError, InvalidArgumentError
from sampleset.settings import SavedKind, read_saved, save_settings

if TYPE_CHECKING:
    from sampleset.risk.thresholds import CertifiedThreshold

SAME = 1e-9
"""Confidences that differ by less are one: they went through text."""

VOID = "certificate_void"
"""Flag of an answer that a certificate does not hold for."""

_SAVED = SavedKind("certificate", 1, "Certify the sets again", "sampleset.certificate")
_REFERENCE = 400


@dataclass(frozen=True, slots=True)
class Certificate:
    """Above `threshold`, at most `risk` of the answers given are wrong, with probability `confidence`.

    It holds for the aggregator, the models, the number of samples and the kind of answers that it names.

    Attributes:
        aggregator: Its spec, as it was typed.
        identity: Digest of the aggregator's name and options, the models that it asks among them.
        models: Names of the models that drew the samples, without their engines; empty if not recorded.
        prompt: Name and version of the prompt they were asked with; `None` where none is recorded.
        k: Samples of a question.
        answer_kind: How answers are compared.
        keep_thinking: Whether what a sample thinks before `</think>` is read, too.
        threshold: Answers of a higher confidence are given; -1 gives all.
        risk: Largest share of wrong answers among those given.
        confidence: Probability, over the labelled questions, that the promise holds.
        n: Labelled questions.
        answered: How many of them are answered.
        wrong: How many of these wrongly.
        files: Names of the files that held them.
        data: Digest of their questions and samples.
        reference: Confidences of the labelled questions, at most 400, in rising order, to see a drift by.
        after: Digest of the earlier step's certificate, which did not cover these questions; `None` for the
            first step of an escalation, or the only one.
    """

    aggregator: str
    identity: str
    models: tuple[str, ...]
    prompt: str | None
    k: int
    answer_kind: str
    keep_thinking: bool
    threshold: float
    risk: float
    confidence: float
    n: int
    answered: int
    wrong: int
    files: tuple[str, ...]
    data: str
    reference: tuple[float, ...]
    after: str | None = None

    @property
    def digest(self) -> str:
        """A digest of the whole certificate, by which a later step's names it."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

    def gives(self, confidence: float | None) -> bool:
        """Whether an answer of this confidence is given."""
        return confidence is not None and confidence > self.threshold + SAME

    def require_setting(
        self, identity: str, k: int, models: AbstractSet[str] = frozenset(), prompt: str | None = None
    ) -> None:
        """Return if the certificate holds for a setting.

        Args:
            identity: The aggregator's, as above.
            k: Samples of a question.
            models: Who draws them; empty where that is not known.
            prompt: How they are asked; `None` where that is not known.

        Raises:
            InvalidArgumentError: It does not; names what differs.
        """
        if identity != self.identity:
            raise void(
                f"it is of {self.aggregator!r} as it was then, and the aggregator, or its model, is another"
            )
        if k != self.k:
            raise void(f"it is of k={self.k} samples, and there are {k}")
        if self.models and models and not models <= set(self.models):
            raise void(
                f"it is of samples of {', '.join(self.models)}, and they are of {', '.join(sorted(models))}"
            )
        if self.prompt and prompt and prompt != self.prompt:
            raise void(f"it is of the prompt {self.prompt!r}, and they are asked with {prompt!r}")

    def save(self, path: Path) -> None:
        """Write it, as JSON."""
        save_settings(path, {"kind": _SAVED.kind, "schema": _SAVED.schema, **asdict(self)})


def void(reason: str) -> InvalidArgumentError:
    """The error for a certificate that does not hold here."""
    return InvalidArgumentError(f"The certificate is void: {reason}. Make another: sampleset certify SETS.")


def require_order(certificates: Sequence[Certificate | None]) -> None:
    """Return if certificates belong to the steps of one escalation, in this order.

    Args:
        certificates: One a step; `None` where a step has none.

    Raises:
        InvalidArgumentError: One was made for another place, or follows a step without a certificate.
    """
    earlier: Certificate | None = None
    for number, certificate in enumerate(certificates, start=1):
        if certificate is None:
            later = [at for at, one in enumerate(certificates[number:], start=number + 1) if one is not None]
            if later:
                raise InvalidArgumentError(
                    f"Step {number} has no certificate, and step {later[0]} after it has one, which holds "
                    "for what certified steps leave. Put steps without a certificate at the end."
                )
            return
        if certificate.after != (None if earlier is None else earlier.digest):
            if earlier is None:
                raise void(
                    "it is of questions that an earlier step left unanswered. Use it in --escalate, after "
                    "that step"
                )
            raise InvalidArgumentError(
                f"The certificate of step {number} is void: it was not made after that of step {number - 1}. "
                "Make another: sampleset certify SETS --after CERTIFICATE."
            )
        earlier = certificate


def certificate_of(found: CertifiedThreshold, confidences: list[float], **setting: Any) -> Certificate:
    """The certificate of a threshold.

    Args:
        found: The threshold.
        confidences: Of all labelled questions that have one.
        setting: The other fields.
    """
    ordered = sorted(confidences)
    count = min(len(ordered), _REFERENCE)
    reference = tuple(ordered[(2 * place + 1) * len(ordered) // (2 * count)] for place in range(count))
    point = found.point
    return Certificate(
        threshold=point.threshold,
        risk=found.risk,
        confidence=found.confidence,
        n=found.n,
        answered=point.answered,
        wrong=point.wrong,
        reference=reference,
        **setting,
    )


def read_certificate(path: Path) -> Certificate:
    """The certificate in a file.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is no certificate, or of another version.
    """
    if not path.is_file():
        raise InputNotFoundError(
            f"No certificate {str(path)!r}. Make one: sampleset certify SETS --risk 0.05."
        )
    return read_saved(path, _SAVED, _certificate)[0]


def _certificate(values: Any) -> Certificate:
    shares: dict[str, Any] = {name: float(values[name]) for name in ("threshold", "risk", "confidence")}
    reference = tuple(map(float, values["reference"]))
    if not all(map(math.isfinite, (*shares.values(), *reference))) or not reference:
        raise ValueError("numbers that are none")
    counts: dict[str, Any] = {name: int(values[name]) for name in ("k", "n", "answered", "wrong")}
    texts: dict[str, Any] = {
        name: str(values[name]) for name in ("aggregator", "identity", "answer_kind", "data")
    }
    prompt, after = values["prompt"], values.get("after")
    return Certificate(
        **shares,
        **counts,
        **texts,
        models=tuple(map(str, values["models"])),
        files=tuple(map(str, values["files"])),
        prompt=None if prompt is None else str(prompt),
        keep_thinking=bool(values["keep_thinking"]),
        reference=reference,
        after=None if after is None else str(after),
    )
