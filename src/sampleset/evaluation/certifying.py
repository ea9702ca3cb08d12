"""Labelled sample sets → the certificate of an aggregator, or of a later step of an escalation.

A later step is certified on the questions that the earlier steps leave, each by its own certificate, so that
its promise is about the questions that it will get. The earlier certificate should be of other questions: it
was chosen by the labels of its questions, and those that it leaves of them are no fresh sample.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.certified import Certified
from sampleset.aggregators.confident import stated_confidence
from sampleset.aggregators.learned_vote import models_of_set
from sampleset.answers import default_verdict_path
from sampleset.datasets.base import GOLD_REMEDY, question_key
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation.answer_log import AnswerLog
from sampleset.grading.grade import grade
from sampleset.risk.certificate import Certificate, certificate_of, require_order
from sampleset.risk.thresholds import CertifiedThreshold, certified_threshold
from sampleset.specs import identity_of
from sampleset.storage.records import StoredSet
from sampleset.storage.store import digest
from sampleset.types import SampleSet
from sampleset.wording import plural


@dataclass(frozen=True, slots=True)
class EarlierStep:
    """A step that comes before the one that is certified.

    Attributes:
        certificate: Its certificate.
        method: Its aggregator.
        stored_sets: The sets that it reads on the labelled questions.
    """

    certificate: Certificate
    method: Aggregator
    stored_sets: Sequence[StoredSet]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labelled sets that an aggregator is certified on.

    Attributes:
        stored_sets: The sets. Of several on one question the first counts: the promise is about questions.
        files: Names of the files that held them.
        keep_thinking: Whether what a sample thinks is read, too.
        after: The earlier steps, in their order.
    """

    stored_sets: Sequence[StoredSet]
    files: tuple[str, ...] = ()
    keep_thinking: bool = False
    after: Sequence[EarlierStep] = ()


async def certified_by_labels(
    spec: str,
    method: Aggregator,
    labelled: Labelled,
    k: int | None,
    risk: float,
    confidence: float,
    log: AnswerLog,
    show: Callable[[str], None] = lambda line: None,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[Certificate, CertifiedThreshold]:
    """The certificate of an aggregator, and all that its threshold was chosen by.

    Args:
        spec: The aggregator as it was typed.
        method: The aggregator.
        labelled: The sets.
        k: Samples read of each; by default as many as all whole sets have.
        risk: Largest share of wrong answers among those given.
        confidence: Probability that the promise holds.
        log: Answers that cost tokens.
        show: Called with a line on the state of the work.
        note: Called with a line that a reader of the certificate should know.

    Raises:
        DataError: The sets have no labels, or too few, or no threshold keeps the promise.
        InvalidArgumentError: k is more than a set has, the sets are of several kinds of answers, or the
            earlier steps' certificates do not belong together.
    """
    if isinstance(method, Certified):
        raise InvalidArgumentError("The aggregator has a certificate already. Leave certificate= away.")
    require_order([step.certificate for step in labelled.after])
    stored_sets: Sequence[StoredSet] = labelled.stored_sets
    for number, step in enumerate(labelled.after, start=1):
        stored_sets = await _left_by(step, number, stored_sets, labelled.keep_thinking, log, note)
    k = _samples_read(stored_sets, k)
    answers = LabelledAnswers()
    for stored in stored_sets:
        problem = stored.problem
        if not answers.is_new(problem.question.text, problem.answer):
            continue
        sample_set = _first(stored, k, labelled.keep_thinking)
        answer = await log.answer(method, sample_set)
        answers.add(
            problem.question.text,
            problem.answer,
            [sample.text for sample in sample_set.samples],
            None if answer.answer is None else stated_confidence(answer),
            (await grade(answer.answer, problem)).correct,
        )
        answers.add_setting(models_of_set(sample_set), problem.question.answer_kind, sample_set.prompt)
        show(f"{plural(len(answers.right), 'question')}")
    after = labelled.after[-1].certificate.digest if labelled.after else None
    return await asyncio.to_thread(
        answers.certificate, spec, identity_of(method), k, risk, confidence, labelled.files, note,
        keep_thinking=labelled.keep_thinking, after=after,
    )  # fmt: skip


def certificate_path(made_of: Sequence[object]) -> Path:
    """The file in the user's cache for a certificate that is made in passing.

    Args:
        made_of: All that it depends on; a path counts by where it leads.
    """
    parts = [str(part.resolve()) if isinstance(part, Path) else part for part in made_of]
    return default_verdict_path().parent / "certificates" / f"{digest(parts)[:16]}.json"


async def _left_by(
    step: EarlierStep,
    number: int,
    stored_sets: Sequence[StoredSet],
    keep_thinking: bool,
    log: AnswerLog,
    note: Callable[[str], None],
) -> list[StoredSet]:
    """The sets on questions that an earlier step leaves unanswered."""
    certificate = step.certificate
    certificate.require_setting(identity_of(step.method), certificate.k)
    left, answers = set[str](), LabelledAnswers()
    for stored in step.stored_sets:
        problem = stored.problem
        if not answers.is_new(problem.question.text, problem.answer):
            continue
        if stored.sample_set.n < certificate.k:
            raise InvalidArgumentError(
                f"The certificate of step {number} is of k={certificate.k} samples, and question "
                f"{problem.id!r} has {stored.sample_set.n}. Give that step's sets: --after-sets FILE."
            )
        sample_set = _first(stored, certificate.k, keep_thinking)
        certificate.require_setting(
            certificate.identity, certificate.k, models_of_set(sample_set), sample_set.prompt
        )
        answer = await log.answer_or_raise(step.method, sample_set, certificate.aggregator)
        confidence = None if answer.answer is None else stated_confidence(answer)
        texts = [sample.text for sample in sample_set.samples]
        answers.add(problem.question.text, problem.answer, texts, confidence, None)
        if not certificate.gives(confidence):
            left.add(question_key(problem.question.text))
    if answers.digest == certificate.data:
        note(
            f"step {number} was certified on these questions, too. It has seen their labels, so that the "
            "bound of the next step holds only nearly; certify each step on other questions"
        )
    kept = [stored for stored in stored_sets if question_key(stored.problem.question.text) in left]
    if not kept:
        raise DataError(
            f"Step {number} leaves none of the questions of these sets. Give sets on the questions that "
            "it was certified for, or on others like them."
        )
    note(f"step {number} leaves {len(left)} of {plural(len(answers.right), 'question')}")
    return kept


def _first(stored: StoredSet, k: int, keep_thinking: bool) -> SampleSet:
    """The first k samples of a set, as aggregators read them."""
    sample_set = stored.sample_set if keep_thinking else stored.sample_set.without_thinking()
    return sample_set.subset(range(k))


def _samples_read(stored_sets: Sequence[StoredSet], k: int | None) -> int:
    """Samples read of each set: `k`, or as many as each whole set has.

    Raises:
        InvalidArgumentError: A set has fewer. To leave it out would certify other questions: a stopping rule
            ends easy ones early.
    """
    sizes = [stored.sample_set.n for stored in stored_sets]
    smallest = min(sizes)
    if k is None:
        whole = [stored.sample_set.n for stored in stored_sets if stored.sample_set.stopped is None]
        k = min(whole or sizes)
    short = sum(stored.sample_set.n < k and stored.sample_set.stopped is not None for stored in stored_sets)
    if short:
        raise InvalidArgumentError(
            f"{short} of {len(sizes)} sets were stopped early and have fewer than {k} samples: they are not "
            f"whole. Draw them without --stop, or read -k {smallest} of each."
        )
    if not 1 <= k <= smallest:
        raise InvalidArgumentError(
            f"k={k} must lie between 1 and {smallest}, the samples of the smallest set."
        )
    return k


class LabelledAnswers:
    """The answers to labelled questions, each question once."""

    def __init__(self) -> None:
        self._questions: set[str] = set()
        self.confidences: list[float | None] = []
        self.right: list[bool] = []
        self._models: set[str] = set()
        self._kinds: set[str] = set()
        self._prompts: set[str | None] = set()
        self._data = hashlib.sha256()
        self._unlabelled = self._unnamed = self._undecided = 0

    @property
    def digest(self) -> str:
        """A digest of the questions and their samples."""
        return self._data.hexdigest()[:16]

    def is_new(self, question: str, gold: str | None) -> bool:
        """Whether there is a gold answer, and this is the first set on its question."""
        if gold is None:
            self._unlabelled += 1
            return False
        key = question_key(question)
        if key in self._questions:
            return False
        self._questions.add(key)
        return True

    def add(
        self,
        question: str,
        gold: str | None,
        texts: Sequence[str],
        confidence: float | None,
        correct: bool | None,
    ) -> None:
        """Count one answer; one that could not be compared with gold is wrong.

        Args:
            question: The question's text.
            gold: Its gold answer.
            texts: Its samples.
            confidence: That of the answer; `None` where none is given.
            correct: Its grade.
        """
        self.confidences.append(confidence)
        self.right.append(correct is True)
        self._undecided += correct is None
        parts = "\0".join([question, str(gold), *texts])
        self._data.update(hashlib.sha256(parts.encode("utf-8", "replace")).digest())

    def add_setting(self, models: AbstractSet[str], kind: str, prompt: str | None) -> None:
        """Note who drew an answer's samples, how its answers are compared, and what was asked."""
        self._unnamed += not models
        self._models |= models
        self._kinds.add(kind)
        self._prompts.add(prompt)

    def certificate(
        self,
        spec: str,
        identity: str,
        k: int,
        risk: float,
        confidence: float,
        files: tuple[str, ...],
        note: Callable[[str], None],
        *,
        keep_thinking: bool,
        after: str | None = None,
    ) -> tuple[Certificate, CertifiedThreshold]:
        """The certificate, and all that its threshold was chosen by.

        Raises:
            DataError: There are no labels, or too few, or no threshold keeps the promise.
            InvalidArgumentError: There are several kinds of answers, or no confidences.
        """
        self._require(spec)
        if self._unlabelled or self._undecided:
            note(
                f"left out: {plural(self._unlabelled, 'set')} without gold; "
                f"wrong, since they could not be compared: {plural(self._undecided, 'answer')}"
            )
        certified = certified_threshold(self.confidences, self.right, risk, confidence)
        certificate = certificate_of(
            certified,
            [value for value in self.confidences if value is not None],
            aggregator=spec,
            identity=identity,
            models=() if self._unnamed else tuple(sorted(self._models)),
            prompt=next(iter(self._prompts)),
            k=k,
            answer_kind=next(iter(self._kinds)),
            keep_thinking=keep_thinking,
            files=files,
            data=self.digest,
            after=after,
        )
        return certificate, certified

    def _require(self, aggregator: str) -> None:
        """Return if a threshold can be looked for."""
        if not self.right:
            raise DataError(f"None of the {self._unlabelled} sample sets has a gold answer. {GOLD_REMEDY}")
        if len(self._kinds) > 1:
            raise InvalidArgumentError(
                f"The sets have answers of the kinds {', '.join(sorted(self._kinds))}; certify each by "
                "itself."
            )
        if len(self._prompts) > 1:
            names = ", ".join(sorted(prompt or "none that is recorded" for prompt in self._prompts))
            raise InvalidArgumentError(f"The sets have the prompts {names}; certify each by itself.")
        if all(value is None for value in self.confidences):
            raise InvalidArgumentError(
                f"{aggregator!r} states no confidence to set a threshold on. Take another aggregator."
            )
