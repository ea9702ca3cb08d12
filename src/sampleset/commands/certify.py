"""Find the threshold on an aggregator's confidence above which few answers are wrong, and write it down."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from sampleset.aggregators.certified import Certified
from sampleset.aggregators.confident import stated_confidence
from sampleset.aggregators.learned_vote import models_of_set
from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.opening import (
    CallOptions,
    ModelRef,
    ReaderOptions,
    opened_methods,
    refuse_absent_scores,
)
from sampleset.commands.options import (
    AGGREGATION,
    AGGREGATOR_NAMES,
    AnswerOptions,
    SetOptions,
    VerdictFile,
    argument,
    option,
    require_json,
    saved_settings,
)
from sampleset.commands.run import Run, print_json, run_async
from sampleset.datasets.base import GOLD_REMEDY, question_key
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation import AnswerLog
from sampleset.grading.grade import grade
from sampleset.risk.certificate import Certificate, certificate_of
from sampleset.risk.thresholds import CertifiedThreshold, certified_threshold
from sampleset.settings import save_settings
from sampleset.specs import identity_of
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Answer, SampleSet

EXAMPLE = "sampleset certify sets.jsonl --aggregator weighted_vote --risk 0.05 --output certificate.json"
_SHOWN = 8


def certify(
    samples: Annotated[list[Path], argument("Stores or files of sample sets, with gold answers.")],
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    run: Run,
    aggregator: Annotated[
        str,
        option(
            "--aggregator",
            help="NAME or NAME:key=value,key=value.",
            panel=AGGREGATION,
            autocompletion=AGGREGATOR_NAMES,
        ),
    ] = "majority_vote",
    k: Annotated[
        int | None, option("-k", "--k", help="Samples read per question; by default as many as all have.")
    ] = None,
    risk: Annotated[float, option("--risk", help="Largest share of wrong answers among those given.")] = 0.05,
    confidence: Annotated[float, option("--confidence", help="Probability that the promise holds.")] = 0.95,
    verdicts: VerdictFile = None,
    output: Annotated[Path, option("--output", help="The certificate, a .json file.")] = Path(
        "certificate.json"
    ),
) -> None:
    """Find the confidence above which at most a given share of answers is wrong, with a bound that holds."""
    require_json(output)
    settings = saved_settings(
        "certify", reader, sets, answers, calls, samples=samples, aggregator=aggregator, k=k, risk=risk,
        confidence=confidence, verdicts=verdicts, output=output,
    )  # fmt: skip
    use_verdict_store(verdicts or default_verdict_path())
    files = [sets.sample_file(path, answers, run.note) for path in samples]
    certificate, certified = run_async(
        certify_files(
            files, answers, aggregator, k, reader.model_ref(), calls, output, risk, confidence, run,
            keep_thinking=sets.keep_thinking,
        )
    )  # fmt: skip
    certificate.save(output)
    save_settings(output.with_suffix(".config.json"), settings)
    if run.as_json:
        print_json(summary_of(certificate, certified))
        return
    print("\n".join(certificate_lines(certificate, certified)))
    run.next(
        "aggregate", samples[0], "-k", certificate.k, "--aggregator", aggregator, "--certificate", output
    )


async def certify_files(
    files: Sequence[SampleFile],
    answers: AnswerOptions,
    aggregator: str,
    k: int | None,
    aggregator_model: ModelRef,
    calls: CallOptions,
    output: Path,
    risk: float,
    confidence: float,
    run: Run,
    *,
    keep_thinking: bool,
) -> tuple[Certificate, CertifiedThreshold]:
    """Answer the labelled sets, grade the answers and find the threshold.

    The folder `OUTPUT.asked` stores the answers of models. Of several sets on one question the first
    counts: the promise is about questions.

    Raises:
        DataError: The sets have no labels, or too few, or no threshold keeps the promise.
        InvalidArgumentError: k is more than a set has, or the sets are of several kinds of answers.
    """
    async with opened_methods(
        [aggregator], aggregator_model, calls.patience, calls.max_concurrency, None, run.note
    ) as (methods, judge):
        method = methods[aggregator]
        if isinstance(method, Certified):
            raise InvalidArgumentError("The aggregator has a certificate already. Leave certificate= away.")
        refuse_absent_scores(methods, files)
        kinds = answers.kinds(judge)
        stored_sets = [stored for file in files for stored in file.with_kinds(kinds)]
        k = _samples_read(stored_sets, k)
        log = AnswerLog.beside(output, method, aggregator_model.context_size)
        labelled = _LabelledAnswers(k)
        with run.status_line() as show:
            for stored in stored_sets:
                if not labelled.is_new(stored):
                    continue
                sample_set = stored.sample_set if keep_thinking else stored.sample_set.without_thinking()
                sample_set = sample_set.subset(range(k))
                answer = await log.answer(method, sample_set)
                labelled.add(stored, sample_set, answer, (await grade(answer.answer, stored.problem)).correct)
                show(f"{len(labelled.right)} sets read")
    labelled.require(aggregator)
    if labelled.unlabelled or labelled.undecided:
        run.note(
            f"note: {labelled.unlabelled} sets without gold are left out; {labelled.undecided} answers that "
            "could not be compared count as wrong"
        )
    certified = await asyncio.to_thread(
        certified_threshold, labelled.confidences, labelled.right, risk, confidence
    )
    certificate = certificate_of(
        certified,
        labelled.stated,
        aggregator=aggregator,
        identity=identity_of(method),
        models=() if labelled.unnamed else tuple(sorted(labelled.models)),
        prompt=labelled.prompts.pop(),
        k=k,
        answer_kind=labelled.kinds.pop(),
        keep_thinking=keep_thinking,
        files=tuple(file.name for file in files),
        data=labelled.data.hexdigest()[:16],
    )
    return certificate, certified


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


class _LabelledAnswers:
    """The answers to labelled questions, each question once.

    Args:
        k: Samples read of a question.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._questions: set[str] = set()
        self.confidences: list[float | None] = []
        self.right: list[bool] = []
        self.models: set[str] = set()
        self.kinds: set[str] = set()
        self.prompts: set[str | None] = set()
        self.data = hashlib.sha256()
        self.unlabelled = self.unnamed = self.undecided = 0

    @property
    def stated(self) -> list[float]:
        """The confidences that there are."""
        return [value for value in self.confidences if value is not None]

    def is_new(self, stored: StoredSet) -> bool:
        """Whether the set has a gold answer, and is the first on its question."""
        key = question_key(stored.problem.question.text)
        if stored.problem.answer is None:
            self.unlabelled += 1
            return False
        if key in self._questions:
            return False
        self._questions.add(key)
        return True

    def add(self, stored: StoredSet, sample_set: SampleSet, answer: Answer, correct: bool | None) -> None:
        """Count one answer; one that could not be compared with gold is wrong."""
        self.confidences.append(None if answer.answer is None else stated_confidence(answer))
        self.right.append(correct is True)
        self.undecided += correct is None
        names = models_of_set(sample_set)
        self.unnamed += not names
        self.models |= names
        self.kinds.add(stored.problem.question.answer_kind)
        self.prompts.add(sample_set.prompt)
        texts = [sample.text for sample in sample_set.samples]
        parts = "\0".join([stored.problem.question.text, str(stored.problem.answer), *texts])
        self.data.update(hashlib.sha256(parts.encode("utf-8", "replace")).digest())

    def require(self, aggregator: str) -> None:
        """Return if a threshold can be looked for.

        Raises:
            DataError: There are no labels.
            InvalidArgumentError: There are several kinds of answers, or no confidences.
        """
        if not self.right:
            raise DataError(f"None of the {self.unlabelled} sample sets has a gold answer. {GOLD_REMEDY}")
        if len(self.kinds) > 1:
            raise InvalidArgumentError(
                f"The sets have answers of the kinds {', '.join(sorted(self.kinds))}; certify each by itself."
            )
        if len(self.prompts) > 1:
            names = ", ".join(sorted(prompt or "none that is recorded" for prompt in self.prompts))
            raise InvalidArgumentError(f"The sets have the prompts {names}; certify each by itself.")
        if not self.stated:
            raise InvalidArgumentError(
                f"{aggregator!r} states no confidence to set a threshold on. Take another aggregator."
            )


def certificate_lines(certificate: Certificate, certified: CertifiedThreshold) -> list[str]:
    """The promise in words, and the figures of other thresholds."""
    upper = certified.point.upper(certificate.confidence)
    above = (
        "All questions that get an answer are answered"
        if certificate.threshold < 0
        else f"Answers with a confidence above {certificate.threshold:.3f} are given"
    )
    lines = [
        f"{above}: {certificate.answered} of {certificate.n} labelled questions ({certified.coverage:.1%}), "
        f"{certificate.wrong} of them wrongly.",
        f"With {certificate.confidence:.0%} confidence, at most {certificate.risk:.1%} of the answers given "
        f"are wrong. (This threshold alone: at most {upper:.1%}.)",
        "It holds for questions like these, for "
        f"{certificate.aggregator}, k={certificate.k}, answers of the kind {certificate.answer_kind}"
        + (f", samples of {', '.join(certificate.models)}" if certificate.models else "")
        + (f", the prompt {certificate.prompt}." if certificate.prompt else "."),
        "",
        "answered  wrong  at most  above",
    ]
    step = max(1, len(certified.curve) // _SHOWN)
    for point in certified.curve[step - 1 :: step]:
        threshold = "all" if point.threshold < 0 else f"{point.threshold:.3f}"
        share = f"{point.answered / certificate.n:.0%}"
        lines.append(
            f"{share:>8}  {point.wrong:>5}  {point.upper(certificate.confidence):>7.1%}  {threshold}"
        )
    return lines


def summary_of(certificate: Certificate, certified: CertifiedThreshold) -> dict[str, Any]:
    """The certificate's figures as JSON values."""
    return {
        "aggregator": certificate.aggregator,
        "k": certificate.k,
        "threshold": certificate.threshold,
        "risk": certificate.risk,
        "confidence": certificate.confidence,
        "n": certificate.n,
        "answered": certificate.answered,
        "wrong": certificate.wrong,
        "coverage": certified.coverage,
        "curve": [
            {
                "threshold": point.threshold,
                "answered": point.answered,
                "wrong": point.wrong,
                "upper": point.upper(certificate.confidence),
            }
            for point in certified.curve
        ],
    }
