"""Answers with a promise: an answer that the certificate does not cover is withheld. Ours; no paper.

`sampleset certify` finds the threshold on the confidence of `inner` above which at most so many answers are
wrong (Learn then Test, arXiv 2110.01052); see `sampleset.risk.thresholds` for its assumptions.

Cost: the calls of `inner`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, Aggregator, Writing, writing_of
from sampleset.aggregators.confident import LOW_CONFIDENCE, NO_CONFIDENCE, stated_confidence
from sampleset.aggregators.learned_vote import models_of_set
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.errors import InvalidArgumentError
from sampleset.risk.certificate import VOID, Certificate, read_certificate
from sampleset.risk.drift import DriftAlarm
from sampleset.types import Answer, SampleSet

_log = logging.getLogger(__name__)

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
