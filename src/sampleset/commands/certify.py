"""Find the threshold on an aggregator's confidence above which few answers are wrong, and write it down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.opening import CallOptions, ReaderOptions
from sampleset.commands.options import (
    RISK_HELP,
    AnswerOptions,
    SetOptions,
    VerdictFile,
    aggregator_option,
    argument,
    option,
    require_json,
    saved_settings,
)
from sampleset.commands.promises import LabelOptions, certified_files
from sampleset.commands.run import Run, print_json, run_async
from sampleset.errors import InvalidArgumentError
from sampleset.report.certifying import certified_report, is_report
from sampleset.risk.certificate import Certificate
from sampleset.risk.thresholds import CertifiedThreshold
from sampleset.settings import save_settings

EXAMPLE = "sampleset certify sets.jsonl --aggregator weighted_vote --risk 0.05 --output certificate.json"
_SHOWN = 8


def certify(
    samples: Annotated[
        list[Path],
        argument("Stores or files of sample sets, with gold answers, or a report of `evaluate`."),
    ],
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    run: Run,
    aggregator: Annotated[str, aggregator_option("NAME or NAME:key=value,key=value.")] = "majority_vote",
    k: Annotated[
        int | None, option("-k", "--k", help="Samples read per question; by default as many as all have.")
    ] = None,
    risk: Annotated[float, option("--risk", help=RISK_HELP)] = 0.05,
    confidence: Annotated[float, option("--confidence", help="Probability that the promise holds.")] = 0.95,
    after: Annotated[
        list[Path] | None,
        option(
            "--after",
            help="Certificate of an earlier step: certify on what it leaves. Repeatable, in order.",
        ),
    ] = None,
    after_sets: Annotated[
        list[Path] | None,
        option("--after-sets", help="Sets that the earlier step reads, where they are others. Repeatable."),
    ] = None,
    verdicts: VerdictFile = None,
    output: Annotated[Path, option("--output", help="The certificate, a .json file.")] = Path(
        "certificate.json"
    ),
) -> None:
    """Find the confidence above which at most a given share of answers is wrong, with a bound that holds."""
    require_json(output)
    settings = saved_settings(
        "certify", reader, sets, answers, calls, samples=samples, aggregator=aggregator, k=k, risk=risk,
        confidence=confidence, after=after, after_sets=after_sets, verdicts=verdicts, output=output,
    )  # fmt: skip
    use_verdict_store(verdicts or default_verdict_path())
    if any(is_report(path) for path in samples):
        if len(samples) > 1 or after or k is not None:
            raise InvalidArgumentError("A report is certified alone, and at its own k: leave the rest away.")
        certificate, certified = certified_report(samples[0], aggregator, risk, confidence, run.note)
    else:
        labels = LabelOptions(tuple(samples), sets, answers, tuple(after or ()), tuple(after_sets or ()))
        certificate, certified = run_async(
            certified_files(
                labels, aggregator, k, reader.model_ref(), calls, output, risk, confidence, run
            )
        )  # fmt: skip
    certificate.save(output)
    save_settings(output.with_suffix(".config.json"), settings)
    if run.as_json:
        print_json(summary_of(certificate, certified))
        return
    print("\n".join(certificate_lines(certificate, certified)))
    if after:
        first, *others = [*after, output]
        # Further sets are most likely of another model.
        model = "LARGER" if after_sets else ""
        steps = [part for path in others for part in ("--escalate", f"{model}[certificate={path}]")]
        ask = ("answer", "QUESTION", "--model", "SMALL") if model else ("aggregate", samples[0])
        run.next(*ask, "--certificate", first, *steps)
        return
    run.next(
        "aggregate", samples[0], "-k", certificate.k, "--aggregator", aggregator, "--certificate", output
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
        + (f", the prompt {certificate.prompt}" if certificate.prompt else "")
        + (", after the earlier step left them." if certificate.after else "."),
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
