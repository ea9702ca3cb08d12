"""Evaluation → three CSV files: methods, curves, breakdowns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from sampleset.evaluation.results import Evaluation, Interval, MethodResult, PointResult, Rate


def methods_csv(evaluation: Evaluation) -> str:
    """One row per file, k and method, with every number there is; empty where there is none."""
    return _csv(method_rows(evaluation))


def curve_csv(evaluation: Evaluation) -> str:
    """One row per file and k: the vote and pass@k."""
    return _csv(
        {
            "file": file.source,
            "k": point.k,
            "problems": point.problems,
            "maj_at_k": point.maj_at_k,
            **_interval("interval", point.interval),
            "pass_at_k": point.pass_at_k,
        }
        for file in evaluation.files
        for point in file.curve
    )


def breakdowns_csv(evaluation: Evaluation) -> str:
    """One row per file, k, breakdown, slice and method; the oracle stands among the methods."""
    return _csv(
        {
            "file": file.source,
            "k": point.k,
            "breakdown": name,
            "value": part.value,
            "weight": part.weight,
            "method": label,
            "accuracy": accuracy,
        }
        for file in evaluation.files
        for point in file.points
        for name, slices in point.breakdowns.items()
        for part in slices
        for label, accuracy in [*part.accuracy.items(), ("oracle", part.oracle)]
    )


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    listed = list(rows)
    written = io.StringIO()
    writer = csv.DictWriter(written, list(listed[0]) if listed else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in row.items()} for row in listed)
    return written.getvalue()


def _inert(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, marked as a text: anyone's files hold it."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )


def method_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """One row per file, k and method, with every number there is."""
    for file in evaluation.files:
        for point in file.points:
            for method in point.methods:
                yield {
                    "file": file.source,
                    **_point_cells(point),
                    **_method_cells(method),
                    "currency": evaluation.currency,
                }


def _point_cells(point: PointResult) -> dict[str, Any]:
    return {
        "k": point.k,
        "problems": point.problems,
        "left_out": point.left_out,
        "subsets": point.subsets,
        "sample_accuracy": point.sample_accuracy,
        "pass_at_k": point.pass_at_k,
        "oracle": point.oracle,
        "sampling_prompt_tokens": point.sampling.prompt,
        "sampling_completion_tokens": point.sampling.completion,
        "sampling_estimated": point.sampling.estimated,
        "sampling_uncounted": point.sampling.uncounted,
        "sampling_cost": point.sampling_cost,
    }


def _method_cells(method: MethodResult) -> dict[str, Any]:
    matched, calibration = method.matched, method.calibration
    return {
        "method": method.label,
        "model": method.model,
        "accuracy": method.accuracy,
        **_interval("accuracy", method.interval),
        "difference": method.difference,
        **_interval("difference", method.difference_interval),
        "mended": method.mended,
        "spoilt": method.spoilt,
        "p_value": method.p_value,
        "p_holm": method.p_holm,
        **_rate("minority_recovery", method.minority_recovery),
        **_rate("all_wrong_recovery", method.all_wrong_recovery),
        **_rate("harm", method.harm),
        "abstained": method.abstained,
        "failed": method.failed,
        "undecided": method.undecided,
        **_rate("flips", method.flips),
        "brier": calibration and calibration.brier,
        "with_confidence": calibration and calibration.answered,
        "prompt_tokens": method.usage.prompt,
        "completion_tokens": method.usage.completion,
        "calls": method.usage.calls,
        "uncounted": method.usage.uncounted,
        "estimated": method.usage.estimated,
        "cost": method.cost,
        "matched_k": matched and matched.k,
        "matched_wanted": matched and matched.wanted,
        "matched_accuracy": matched and matched.accuracy,
        "matched_difference": matched and matched.difference,
        **_interval("matched_difference", matched and matched.difference_interval),
        "matched_estimated": matched and matched.estimated,
        "flags": " ".join(f"{name}={count}" for name, count in method.flags.items()),
    }


def _interval(name: str, interval: Interval | None) -> dict[str, Any]:
    return {f"{name}_low": interval and interval.low, f"{name}_high": interval and interval.high}


def _rate(name: str, rate: Rate | None) -> dict[str, Any]:
    return {name: rate and rate.rate, f"{name}_weight": rate and rate.weight}
