"""A certificate by a report of `evaluate`: its questions, the answers of one method, and their grades."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation.certifying import LabelledAnswers
from sampleset.report.files import evaluation_in, question_rows, read_report
from sampleset.risk.certificate import Certificate
from sampleset.risk.thresholds import CertifiedThreshold

_NEEDED = ("models", "answer_kind", "prompt")


def is_report(path: Path) -> bool:
    """Whether a path is the folder of a report."""
    return (path / "report.json").is_file()


def certified_report(
    folder: Path, label: str, risk: float, confidence: float, note: Callable[[str], None]
) -> tuple[Certificate, CertifiedThreshold]:
    """The certificate of a method by the answers that a report holds of it. No model is asked.

    Args:
        folder: The report's folder.
        label: The method as it was typed for `evaluate`.
        risk: Largest share of wrong answers among those given.
        confidence: Probability that the promise holds.
        note: Called with a line on what was left out.

    Raises:
        DataError: The report is of an older version or has too few questions, or no threshold keeps the
            promise.
        InvalidArgumentError: The report has no such method, it states no confidence, or the questions were
            answered by different numbers of samples.
    """
    report = read_report(folder)
    evaluation = evaluation_in(folder, report)
    methods = [
        method for file in evaluation.files for point in file.points for method in point.methods
        if method.label == label
    ]  # fmt: skip
    if not methods:
        known = dict.fromkeys(
            method.label for file in evaluation.files for point in file.points for method in point.methods
        )
        raise InvalidArgumentError(
            f"The report {str(folder)!r} has no method {label!r}. It has: {', '.join(known)}."
        )
    if all(method.calibration is None for method in methods):
        raise InvalidArgumentError(
            f"{label!r} states no confidence to set a threshold on. Take another method of the report."
        )
    k = max(point.k for file in evaluation.files for point in file.points)
    answers, short = LabelledAnswers(), 0
    for row in question_rows(folder / "questions.jsonl"):
        if any(name not in row for name in _NEEDED) or not methods[0].identity:
            raise DataError(
                f"The report {str(folder)!r} was made by an older version, which did not say who drew its "
                "samples. Evaluate again, or certify the sets."
            )
        if label not in row["answers"] or not answers.is_new(row["question"], row["gold"]):
            continue
        short += row["k"] != k
        confidence_stated = None if row["answers"][label] is None else row["confidences"].get(label)
        answers.add(row["question"], row["gold"], row["samples"], confidence_stated, row["right"][label])
        answers.add_setting(set(row["models"]), row["answer_kind"], row["prompt"])
    if short:
        raise InvalidArgumentError(
            f"{short} of {len(answers.right)} questions of the report have fewer than its k={k} samples: "
            "they are not whole. Evaluate at a k that all sets have."
        )
    files = tuple(file.source for file in evaluation.files)
    keep_thinking = bool(report.get("settings", {}).get("keep_thinking"))
    return answers.certificate(
        label, methods[0].identity, k, risk, confidence, files, note, keep_thinking=keep_thinking
    )
