"""What a command promises of its answers, and what it does where it cannot: certificates, labels, steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.certified import Certified, Escalating, SetStep
from sampleset.aggregators.confident import Confident, require_confidence
from sampleset.commands.opening import CallOptions, ModelRef, opened_methods, refuse_absent_scores
from sampleset.commands.options import (
    AGGREGATION,
    RISK_HELP,
    AnswerOptions,
    CertificateFile,
    MinConfidence,
    OptionGroup,
    SetOptions,
    option,
)
from sampleset.commands.run import Run
from sampleset.errors import InvalidArgumentError
from sampleset.risk.certificate import Certificate, read_certificate, require_order
from sampleset.sampling.members import Member
from sampleset.settings import typed_record
from sampleset.specs import identity_of, models_of, parse_spec

if TYPE_CHECKING:
    from sampleset.risk.thresholds import CertifiedThreshold  # imports numpy

STEP_FORM = "MODEL[certificate=FILE,k=20,aggregator=NAME]"


@dataclass(frozen=True, slots=True)
class FurtherStep:
    """A further step of an escalation, as it was typed.

    Attributes:
        text: The whole text.
        member: The model that draws, and how; `None` takes the samples of the step before, or more of its
            model.
        k: Samples; by default the certificate's, or those of the step before.
        aggregator: How they become an answer; by default the certificate's, or that of the step before.
        file: The certificate that it answers under; `None` promises nothing.
        certificate: What the file holds.
        min_confidence: Least confidence of an answer, where there is no certificate.
    """

    text: str
    member: Member | None
    k: int | None
    aggregator: str | None
    file: Path | None
    certificate: Certificate | None
    min_confidence: float | None

    def spec(self, before: str) -> str:
        """The aggregator, without its certificate."""
        usual = before if self.certificate is None else self.certificate.aggregator
        return self.aggregator or usual

    def size(self, before: int | None) -> int | None:
        """Samples of a question; `None`: all."""
        return self.k or (before if self.certificate is None else self.certificate.k)


@dataclass(frozen=True, slots=True)
class _StepSettings:
    """The fields of a step that are not those of the model that draws."""

    k: int | None = None
    aggregator: str | None = None
    certificate: str | None = None
    min_confidence: float | None = None


def parse_step(text: str) -> FurtherStep:
    """The step that `MODEL`, `MODEL[key=value,...]` or `[key=value,...]` describes.

    Beside k, aggregator, certificate and min_confidence it takes the keys of a pool's member.

    Raises:
        DataError: An unknown key, or a value of the wrong type.
        InvalidArgumentError: A value out of range, or no text at all.
        InputNotFoundError: There is no such certificate.
    """
    import yaml

    model, bracket, rest = text.strip().partition("[")
    where = f"--escalate {text!r}"
    if (bracket and not rest.endswith("]")) or not (model or bracket):
        raise InvalidArgumentError(f"{where} is no step. Write {STEP_FORM}, each part of it as you need it.")
    texts = parse_spec(f"step[{rest}")[1] if bracket else {}
    of_step = {one.name for one in dataclasses.fields(_StepSettings)}
    verbatim = {"aggregator", "certificate"}
    values = {name: value if name in verbatim else yaml.safe_load(value) for name, value in texts.items()}
    settings = typed_record(
        _StepSettings, {name: value for name, value in values.items() if name in of_step}, where
    )
    member_values = {name: value for name, value in values.items() if name not in of_step}
    member = typed_record(Member, {"model": model, **member_values}, where) if model else None
    if member is None and member_values:
        raise InvalidArgumentError(f"{where}: {min(member_values)} is of a model, and none is named.")
    if member is not None and member.count != 1:
        raise InvalidArgumentError(
            f"{where}: write k={member.count}; count is of a pool, where models share k."
        )
    if settings.min_confidence is not None:
        require_confidence(settings.min_confidence)
    if settings.k is not None and settings.k < 1:
        raise InvalidArgumentError(f"{where}: k={settings.k} must be at least 1.")
    if settings.aggregator is not None:
        models_of(settings.aggregator)
    file = None if settings.certificate is None else Path(settings.certificate)
    certificate = None if file is None else read_certificate(file)
    if certificate is not None and settings.min_confidence is not None:
        raise InvalidArgumentError(f"{where}: the certificate decides; leave min_confidence away.")
    if certificate is not None and settings.k not in (None, certificate.k):
        certificate.require_setting(certificate.identity, settings.k or 0)
    return FurtherStep(
        text, member, settings.k, settings.aggregator, file, certificate, settings.min_confidence
    )


def promised(method: Aggregator, file: Path | None, min_confidence: float | None) -> Aggregator:
    """The aggregator as a step: under its certificate, or with its least confidence.

    Raises:
        InvalidArgumentError: The certificate is of another aggregator.
    """
    if file is None:
        return method if min_confidence is None else Confident(min_confidence, method)
    certified = Certified(str(file), method)
    certified.certificate.require_setting(identity_of(method), certified.certificate.k)
    return certified


@dataclass(frozen=True, kw_only=True)
class PromiseOptions(OptionGroup):
    """Which answers are given, and what is asked where none is."""

    min_confidence: MinConfidence = None
    certificate: CertificateFile = None
    risk: Annotated[
        float | None,
        option("--risk", help=f"{RISK_HELP} Needs --labelled.", panel=AGGREGATION),
    ] = None
    labelled: Annotated[
        Path | None,
        option("--labelled", help="Sample sets with gold answers, for --risk.", panel=AGGREGATION),
    ] = None
    escalate: Annotated[
        list[str] | None,
        option(
            "--escalate",
            help=f"A further step where there is no sure answer: {STEP_FORM}; repeatable, in order.",
            panel=AGGREGATION,
        ),
    ] = None

    def __post_init__(self) -> None:
        if (self.risk is None) != (self.labelled is None):
            raise InvalidArgumentError(
                "--risk and --labelled go together: the largest share of wrong answers, and the labelled "
                "sets that a threshold for it is found on."
            )
        if self.risk is not None and self.certificate is not None:
            raise InvalidArgumentError("Give --certificate, or --risk with --labelled, not both.")

    def further(self) -> list[FurtherStep]:
        """The further steps, checked with what comes before them."""
        steps = [parse_step(text) for text in self.escalate or ()]
        if steps and self.min_confidence is not None and (self.certificate or self.risk):
            raise InvalidArgumentError(
                "--escalate: the certificate decides what is sure enough; leave --min-confidence away."
            )
        thresholds = [self.certificate or self.risk or self.min_confidence] if steps else []
        thresholds += [step.certificate or step.min_confidence for step in steps[:-1]]
        for number, threshold in enumerate(thresholds, start=1):
            if threshold is None:
                raise InvalidArgumentError(
                    f"--escalate: step {number} says of no answer that it is unsure. Give it a certificate, "
                    "or min_confidence."
                )
        return steps


@dataclass(frozen=True, slots=True)
class StoredSteps:
    """An escalation over stored samples: the first step, and those that read the same sets after it.

    Attributes:
        spec: The first step's aggregator.
        k: Samples that it reads; `None` reads all.
        file: Its certificate.
        min_confidence: Its least confidence, where it has none.
        further: The further steps.
    """

    spec: str
    k: int | None
    file: Path | None
    min_confidence: float | None
    further: Sequence[FurtherStep]

    def __post_init__(self) -> None:
        for step in self.further:
            if step.member is not None:
                raise InvalidArgumentError(
                    f"--escalate {step.text!r} names a model, and sets are aggregated without drawing. Leave "
                    "the model away, or ask it: sampleset answer."
                )
        first = None if self.file is None else read_certificate(self.file)
        require_order([first, *(step.certificate for step in self.further)])

    @property
    def specs(self) -> list[str]:
        """The aggregators of the steps."""
        specs = [self.spec]
        for step in self.further:
            specs.append(step.spec(specs[-1]))
        return specs

    @property
    def sizes(self) -> list[int | None]:
        """Samples that the steps read; `None` reads all."""
        sizes = [self.k]
        for step in self.further:
            sizes.append(step.size(sizes[-1]))
        return sizes

    def method(self, methods: Mapping[str, Aggregator]) -> Escalating:
        """The aggregator that takes the steps."""
        files = [
            (self.file, self.min_confidence),
            *((step.file, step.min_confidence) for step in self.further),
        ]
        return Escalating(
            tuple(
                SetStep(spec, promised(methods[spec], *promise), k)
                for spec, promise, k in zip(self.specs, files, self.sizes, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Labelled sets, and how they are read.

    Attributes:
        samples: Their files or stores.
        sets: How the files are read.
        answers: How answers are compared.
        after: Certificates of the earlier steps.
        after_sets: Files that these read; the labelled sets themselves where there are none.
    """

    samples: tuple[Path, ...]
    sets: SetOptions
    answers: AnswerOptions
    after: tuple[Path, ...] = ()
    after_sets: tuple[Path, ...] = ()


async def certified_files(
    labels: LabelOptions,
    aggregator: str,
    k: int | None,
    aggregator_model: ModelRef,
    calls: CallOptions,
    output: Path,
    risk: float,
    confidence: float,
    run: Run,
) -> tuple[Certificate, CertifiedThreshold]:
    """The certificate of an aggregator by labelled files. The folder `OUTPUT.asked` stores what models say.

    Raises:
        DataError: The sets have no labels, or too few, or no threshold keeps the promise.
        InvalidArgumentError: The options contradict each other, or the sets.
    """
    from sampleset.evaluation import AnswerLog
    from sampleset.evaluation.certifying import EarlierStep, Labelled, certified_by_labels

    if labels.after_sets and len(labels.after_sets) != len(labels.after):
        raise InvalidArgumentError(
            f"{len(labels.after_sets)} of --after-sets for {len(labels.after)} of --after: give one for "
            "each, in order."
        )
    files = [labels.sets.sample_file(path, labels.answers, run.note) for path in labels.samples]
    earlier = [read_certificate(path) for path in labels.after]
    specs = list(dict.fromkeys([aggregator, *(certificate.aggregator for certificate in earlier)]))
    async with opened_methods(
        specs, aggregator_model, calls.patience, calls.max_concurrency, None, run.note
    ) as (methods, judge):
        refuse_absent_scores({aggregator: methods[aggregator]}, files)
        kinds = labels.answers.kinds(judge)
        stored_sets = [stored for file in files for stored in file.with_kinds(kinds)]
        steps = [
            EarlierStep(
                certificate,
                methods[certificate.aggregator],
                list(
                    labels.sets.sample_file(labels.after_sets[at], labels.answers, run.note).with_kinds(kinds)
                )
                if labels.after_sets
                else stored_sets,
            )
            for at, certificate in enumerate(earlier)
        ]
        names = tuple(file.name for file in files)
        labelled = Labelled(stored_sets, names, labels.sets.keep_thinking, steps)
        log = AnswerLog.beside(output, methods[aggregator], aggregator_model.context_size)
        with run.status_line() as show:
            return await certified_by_labels(
                aggregator, methods[aggregator], labelled, k, risk, confidence, log, show,
                lambda line: run.note(f"note: {line}"),
            )  # fmt: skip


async def certificate_of_labels(
    promise: PromiseOptions,
    aggregator: str,
    k: int | None,
    aggregator_model: ModelRef,
    answers: AnswerOptions,
    calls: CallOptions,
    output_dir: Path | None,
    run: Run,
    *,
    keep_thinking: bool,
) -> Path | None:
    """The certificate that `--risk` and `--labelled` ask for, written down; `--certificate` without them.

    It stands in the output folder, or in the user's cache, beside what models were asked for it.

    Raises:
        DataError: There are too few labels; says how many it takes.
    """
    if promise.risk is None or promise.labelled is None:
        return promise.certificate
    from sampleset.evaluation.certifying import certificate_path

    cached = certificate_path([promise.labelled, aggregator, k, promise.risk, aggregator_model.ref])
    output = cached if output_dir is None else output_dir / "certificate.json"
    labels = LabelOptions((promise.labelled,), SetOptions(keep_thinking=keep_thinking), answers)
    certificate, certified = await certified_files(
        labels, aggregator, k, aggregator_model, calls, output, promise.risk, 0.95, run
    )
    certificate.save(output)
    run.note(
        f"note: certified on {certificate.n} labelled questions of {promise.labelled}: "
        f"{certified.coverage:.1%} of them are answered. The certificate: {output}"
    )
    return output
