"""Comparison of two reports → tables for the terminal, Markdown, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from sampleset import __version__
from sampleset.report.compare import Comparison, FileChange
from sampleset.report.files import write_whole
from sampleset.report.json_form import REPORT_SCHEMA, plain
from sampleset.report.markdown import bullets, markdown_table
from sampleset.report.tables import add_numbers, difference_text, label_text, new_table, titled
from sampleset.report.wording import inline, p_value, percent, points, points_range
from sampleset.wording import plural


def comparison_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON values."""
    return {"schema": REPORT_SCHEMA, "version": __version__, **plain(asdict(comparison))}


def comparison_tables(comparison: Comparison) -> list[RenderableType]:
    """A table per file for the terminal, 80 columns wide at least."""
    renderables: list[RenderableType] = [Text("\n".join(_opening(comparison)))]
    for file in comparison.files:
        table = new_table()
        table.add_column("k", justify="right")
        table.add_column("method", overflow="fold")
        add_numbers(table, "A\n%", "B\n%", "B − A", "95 %\ninterval", "mended/\nspoilt", "exact\np")
        for method in file.methods:
            table.add_row(
                f"{method.k}",
                label_text(method.label),
                percent(method.accuracy_a),
                percent(method.accuracy_b),
                *difference_text(method.difference, method.interval),
                f"{method.mended}/{method.spoilt}",
                p_value(method.p_value),
            )
        renderables.append(titled(_title(file), table, _file_notes(file)))
    return [*renderables, Text("\n".join(_captions(comparison)), style="dim")]


def comparison_markdown(comparison: Comparison) -> str:
    """The comparison as Markdown, with the first problems that changed by method."""
    parts = ["# Two runs, compared", bullets(_opening(comparison))]
    headings = ("k", "method", "A %", "B %", "B − A", "95 % interval", "mended/spoilt", "exact p", "problems")
    for file in comparison.files:
        rows = [
            (
                f"{method.k}",
                inline(method.label),
                percent(method.accuracy_a),
                percent(method.accuracy_b),
                points(method.difference),
                points_range(method.interval),
                f"{method.mended}/{method.spoilt}",
                p_value(method.p_value),
                f"{method.problems:,}",
            )
            for method in file.methods
        ]
        parts += [f"## {inline(_title(file))}", bullets(_file_notes(file)), markdown_table(headings, rows, 2)]
        if changed := _changed(file):
            parts += ["### Problems that changed", bullets(changed)]
    parts += ["## How the numbers are made", bullets(_captions(comparison))]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_comparison(folder: Path, comparison: Comparison) -> list[Path]:
    """Write comparison.json and comparison.md, each whole or not at all."""
    as_json = json.dumps(comparison_dict(comparison), indent=2, ensure_ascii=False) + "\n"
    return [
        write_whole(folder / "comparison.json", as_json),
        write_whole(folder / "comparison.md", comparison_markdown(comparison)),
    ]


def _opening(comparison: Comparison) -> list[str]:
    differing = [
        f"{setting.name}: {_short(setting.a)} in A, {_short(setting.b)} in B."
        for setting in comparison.settings
    ]
    return [
        f"A is {comparison.a}, B is {comparison.b}.",
        *comparison.notes,
        *(differing or ["The settings are the same."]),
    ]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _title(file: FileChange) -> str:
    return file.source_a if file.source_a == file.source_b else f"{file.source_a} → {file.source_b}"


def _file_notes(file: FileChange) -> list[str]:
    notes = [
        f"{plural(file.common, 'problem')} in both, {file.only_a:,} only in A, {file.only_b:,} only in B."
    ]
    if file.other_text:
        notes.append(f"Left out, the same id with another question: {plural(file.other_text, 'problem')}.")
    if file.other_gold:
        notes.append(f"With another gold answer: {plural(file.other_gold, 'problem')}.")
    if not file.methods:
        notes.append("No method and k that both have.")
    return notes


def _changed(file: FileChange) -> list[str]:
    lines: list[str] = []
    for method in file.methods:
        for word, count, ids in (
            ("mended", method.mended, method.mended_ids),
            ("spoilt", method.spoilt, method.spoilt_ids),
        ):
            if count:
                more = " …" if count > len(ids) else ""
                lines.append(f"k = {method.k}, {method.label}: {word} {count:,}: {', '.join(ids)}{more}")
    return lines


def _captions(comparison: Comparison) -> list[str]:
    return [
        "Accuracies are over the problems that both runs have at that k; the reports' own may be over more.",
        "B − A in points, with the 95 % interval of a paired bootstrap over problems "
        f"({plural(comparison.resamples, 'resample')}, two made-up problems among them).",
        "mended/spoilt: problems that B has right on more, and on fewer, subsets than A. p: exact McNemar, "
        "as a sign test over these problems, each comparison by itself, not corrected for their number.",
    ]
