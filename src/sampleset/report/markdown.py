"""Evaluation → Markdown: every number with the facts that a reader needs to judge it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sampleset import __version__
from sampleset.evaluation.results import (
    CurvePoint,
    Evaluation,
    FileResult,
    MacroPoint,
    MethodResult,
    PointResult,
)
from sampleset.report.json_form import plain
from sampleset.report.notes import (
    MATCHED_CAPTION,
    RISK_CAPTION,
    captions,
    file_notes,
    macro_caption,
    macro_notes,
    method_notes,
    point_notes,
)
from sampleset.report.wording import (
    inline,
    money,
    p_value,
    percent,
    percent_range,
    points,
    points_range,
    rate,
    tokens,
    weight,
)
from sampleset.wording import plural

_COVERAGES = (0.25, 0.5, 0.75, 1.0)


def report_markdown(evaluation: Evaluation, settings: Mapping[str, Any]) -> str:
    """The report as Markdown: tables per file and k, and how each number is made."""
    parts = ["# Ways of combining samples, compared"]
    if evaluation.macro:
        parts += ["## Mean over files", *_macro(evaluation.macro), bullets([macro_caption(evaluation)])]
    for file in evaluation.files:
        parts += _file(file, evaluation)
    parts += ["## How the numbers are made", bullets(captions(evaluation))]
    listed = json.dumps(plain(settings), indent=2, ensure_ascii=False)
    parts += ["## Settings", f"sampleset {__version__}, seed {evaluation.seed}", fenced(listed, "json")]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table whose first `texts` columns are text and the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(headings) - texts)
    lines = (f"| {' | '.join(row)} |" for row in (headings, rule, *rows))
    return "\n".join(lines)


def bullets(sentences: Sequence[str]) -> str:
    """Sentences as a list, as they are."""
    return "\n".join(f"- {inline(sentence)}" for sentence in sentences)


def fenced(text: str, language: str) -> str:
    """Text in a code block that it cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _macro(macro: Sequence[MacroPoint]) -> list[str]:
    headings = ("k", "files", "method", "right %", "95 % interval", "vs vote", "95 % interval", "pass@k %")
    rows = [
        (
            f"{point.k}",
            f"{len(method.files or point.files)}",
            inline(method.label),
            percent(method.accuracy),
            percent_range(method.interval),
            points(method.difference),
            points_range(method.difference_interval),
            percent(point.pass_at_k),
        )
        for point in macro
        for method in point.methods
    ]
    notes = list(dict.fromkeys(note for point in macro for note in macro_notes(point)))
    return [markdown_table(headings, rows, texts=3), *([bullets(notes)] if notes else [])]


def _file(file: FileResult, evaluation: Evaluation) -> list[str]:
    sizes = f"{file.smallest}" if file.smallest == file.largest else f"{file.smallest} to {file.largest}"
    opening = [f"{plural(file.problems, 'problem')} graded, with {sizes} samples each.", *file_notes(file)]
    parts = [f"## {inline(file.source)}", bullets(opening)]
    if len(file.points) > 1:
        parts += ["### Right % by k", _by_k(file.points)]
    for point in file.points:
        parts += _point(point, evaluation)
    if file.curve:
        parts += ["### Vote and oracle by k", _curve(file.curve)]
    return parts


def _by_k(points: Sequence[PointResult]) -> str:
    labels = list(dict.fromkeys(method.label for point in points for method in point.methods))
    rows = [("one sample", *(percent(point.sample_accuracy) for point in points))]
    for label in labels:
        by_k = [
            next((method.accuracy for method in point.methods if method.label == label), None)
            for point in points
        ]
        rows.append((inline(label), *(percent(share) for share in by_k)))
    rows.append(("oracle", *(percent(point.oracle) for point in points)))
    rows.append(("problems", *(f"{point.problems:,}" for point in points)))
    return markdown_table(("method", *(f"k = {point.k}" for point in points)), rows)


def _point(point: PointResult, evaluation: Evaluation) -> list[str]:
    notes_by_label = [(method.label, method_notes(method, point)) for method in point.methods]
    parts = [f"### k = {point.k}", _main_table(point, evaluation)]
    parts.append(
        bullets(
            [
                *point_notes(point),
                *(f"{name}: {'; '.join(notes)}." for name, notes in notes_by_label if notes),
            ]
        )
    )
    parts += ["#### What becomes of hard and easy problems, at the same k", _recovery_table(point)]
    parts.append(
        "Shares in percent, with the number of problems they are of. Minority recovery: right where the vote "
        "is wrong and some sample is right. All-wrong recovery: right where no sample is. Harm: not right "
        "where the vote is. Flips: answers that change when the samples come in another order. Brier: mean "
        "squared difference of confidence and correctness, lower is better, over the share answered with a "
        "confidence."
    )
    if any(method.calibration for method in point.methods):
        parts += ["#### How often the surest answers are wrong", _risk_table(point), RISK_CAPTION]
    if any(method.matched for method in point.methods):
        parts += ["#### Against the vote at a matched token budget", _matched_table(point), MATCHED_CAPTION]
    for name, slices in point.breakdowns.items():
        if slices:
            parts += [f"#### By {inline(name.replace('_', ' '))}", _breakdown(point, name)]
    return parts


def _main_table(point: PointResult, evaluation: Evaluation) -> str:
    headings = ["method", "right %", "95 % interval", "vs vote", "95 % interval", "mended/spoilt"]
    headings += ["p (Holm)", "p (alone)", "aggregation tokens"]
    costly = evaluation.currency is not None
    headings += [f"cost, {evaluation.currency}"] if costly else []
    blank = [""] * (len(headings) - 2)
    sampling_cost = [money(point.sampling_cost)] if costly else []
    rows: list[list[str]] = [
        ["one sample (mean, pass@1)", percent(point.sample_accuracy), *blank],
        *([*_main_cells(method), *([money(method.cost)] if costly else [])] for method in point.methods),
        ["oracle on these subsets (bounds selectors only)", percent(point.oracle), *blank],
    ]
    if costly:
        rows.append(["drawing the samples", *[""] * 7, tokens(point.sampling), *sampling_cost])
    return markdown_table(headings, rows)


def _main_cells(method: MethodResult) -> list[str]:
    cells = [inline(method.label), percent(method.accuracy), percent_range(method.interval)]
    if method.p_holm is None:
        cells += ["–", "", "–", "–", "–"]
    else:
        cells += [points(method.difference), points_range(method.difference_interval)]
        cells += [f"{method.mended}/{method.spoilt}", p_value(method.p_holm), p_value(method.p_value)]
    return [*cells, tokens(method.usage)]


def _recovery_table(point: PointResult) -> str:
    headings = (
        "method",
        "minority recovery",
        "all-wrong recovery",
        "harm",
        "abstained",
        "undecided",
        "flips",
    )
    rows = [
        (
            inline(method.label),
            rate(method.minority_recovery),
            rate(method.all_wrong_recovery),
            rate(method.harm),
            percent(method.abstained),
            percent(method.undecided),
            "–" if method.flips is None else rate(method.flips),
            *_calibration_cells(method),
        )
        for method in point.methods
    ]
    return markdown_table((*headings, "Brier", "with confidence"), rows)


def _calibration_cells(method: MethodResult) -> tuple[str, str]:
    if method.calibration is None:
        return "–", "–"
    return f"{method.calibration.brier:.3f}", percent(method.calibration.answered)


def _risk_table(point: PointResult) -> str:
    """Wrong answers where the questions of most confidence are answered, and at most how many."""
    rows: list[tuple[str, ...]] = []
    for method in point.methods:
        if method.calibration is None:
            continue
        cells = [inline(method.label)]
        bounded = [at for at in method.calibration.coverage if at.most_wrong is not None]
        for share in _COVERAGES:
            near = [at for at in bounded if abs(at.coverage - share) <= 0.1]
            at = min(near, key=lambda at: abs(at.coverage - share), default=None)
            if at is None or at.most_wrong is None:
                cells.append("–")
            else:
                wrong = f"{percent(1 - at.accuracy)} (≤ {percent(at.most_wrong)})"
                cells.append(f"{wrong} of {percent(at.coverage)}")
        rows.append(tuple(cells))
    return markdown_table(("method", *(f"about {share:.0%} answered" for share in _COVERAGES)), rows)


def _matched_table(point: PointResult) -> str:
    headings = (
        "method",
        "right %",
        "vote's k'",
        "budget's k'",
        "vote's right %",
        "difference",
        "95 % interval",
    )
    rows = [
        (
            inline(method.label) + (" (tokens estimated)" if method.matched.estimated else ""),
            percent(method.accuracy),
            f"{method.matched.k:,}",
            f"{method.matched.wanted:,}",
            percent(method.matched.accuracy),
            points(method.matched.difference),
            points_range(method.matched.difference_interval),
        )
        for method in point.methods
        if method.matched is not None
    ]
    return markdown_table(headings, rows)


def _breakdown(point: PointResult, name: str) -> str:
    labels = [method.label for method in point.methods]
    heading = {"right_samples": f"right of {point.k}"}.get(name, name)
    rows = [
        (
            inline(part.value),
            weight(part.weight),
            *(percent(part.accuracy.get(label)) for label in labels),
            percent(part.oracle),
        )
        for part in point.breakdowns[name]
    ]
    return markdown_table((inline(heading), "problems", *map(inline, labels), "oracle"), rows)


def _curve(curve: Sequence[CurvePoint]) -> str:
    rows = [
        (
            f"{point.k}",
            f"{point.problems:,}",
            percent(point.maj_at_k),
            percent_range(point.interval),
            percent(point.pass_at_k),
        )
        for point in curve
    ]
    return markdown_table(("k", "problems", "maj@k %", "95 % interval", "pass@k %"), rows, texts=0)
