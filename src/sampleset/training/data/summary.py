"""Counts of the sets and rows while training rows are made: collected, saved and printed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any, get_args

from sampleset.storage.files import SUFFIXES
from sampleset.training.data.rows import Kind, TrainingRow
from sampleset.wording import plural


@dataclass
class DataCount:
    """Counts that grow while rows are made.

    Attributes:
        sets: Sets read, by file.
        dropped_sets: Sets without any row, by reason.
        drawn_by_kind: Drawn subsets, by kind.
        rows_by_kind: Rows written, by kind.
        dropped_rows: Subsets that the balance kept but that gave no row, by reason.
        by_right: Rows by number of right samples.
        by_k: Rows by number of samples.
        votes: Whether the vote is right, for each row.
        prompt_tokens: Length of the prompt in tokens, for each row.
        cut: Rows with a sample that was cut to fit the budget.
        targets: Targets by kind.
        held_back: Held-back rows; the other counts of rows do not include them.
    """

    sets: Counter[str] = field(default_factory=Counter[str])
    dropped_sets: Counter[str] = field(default_factory=Counter[str])
    drawn_by_kind: Counter[str] = field(default_factory=Counter[str])
    rows_by_kind: Counter[str] = field(default_factory=Counter[str])
    dropped_rows: Counter[str] = field(default_factory=Counter[str])
    by_right: Counter[int] = field(default_factory=Counter[int])
    by_k: Counter[int] = field(default_factory=Counter[int])
    votes: list[bool] = field(default_factory=list[bool])
    prompt_tokens: list[int] = field(default_factory=list[int])
    cut: int = 0
    targets: Counter[str] = field(default_factory=Counter[str])
    held_back: int = 0

    @property
    def rows(self) -> int:
        """Number of rows so far, without those held back."""
        return len(self.votes)

    def add(self, row: TrainingRow, cut: bool) -> None:
        """Count a written row."""
        self.rows_by_kind[row.kind] += 1
        self.by_right[row.right_samples] += 1
        self.by_k[row.k] += 1
        self.votes.append(row.vote_right)
        self.prompt_tokens.append(row.prompt_tokens)
        self.cut += cut
        if row.target is not None:
            self.targets[row.target] += 1

    def summary(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The counts as JSON values. Equal counts give equal values.

        Args:
            options: The settings of the rows; see `data_settings`.
        """
        return {
            "schema": 1,
            "rows": self.rows,
            "sets": sum(self.sets.values()),
            "files": dict(self.sets),
            "dropped_sets": dict(sorted(self.dropped_sets.items())),
            "dropped_rows": dict(sorted(self.dropped_rows.items())),
            "kinds": {
                kind: {"found": self.drawn_by_kind[kind], "kept": self.rows_by_kind[kind]}
                for kind in get_args(Kind)
            },
            "rows_by_right_samples": {str(right): self.by_right[right] for right in sorted(self.by_right)},
            "rows_by_k": {str(k): self.by_k[k] for k in sorted(self.by_k)},
            "vote_right": fmean(self.votes) if self.votes else None,
            "some_right": 1 - self.by_right[0] / self.rows if self.rows else None,
            "prompt_tokens": {
                "min": min(self.prompt_tokens),
                "median": median(self.prompt_tokens),
                "max": max(self.prompt_tokens),
            }
            if self.rows
            else None,
            "rows_with_cut_samples": self.cut,
            "targets": dict(sorted(self.targets.items())),
            "held_back_rows": self.held_back,
            "options": dict(options),
        }


def beside(rows: Path, ending: str) -> Path:
    """The path of a file that belongs to a file of rows: `rows.jsonl` → `rows.ENDING`."""
    name = rows.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return rows.with_name(f"{name}.{ending}")


def save_summary(rows: Path, summary: Mapping[str, Any]) -> Path:
    """Write the summary beside the rows; returns its path."""
    path = beside(rows, "summary.json")
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary as lines of text."""
    lines = [f"{plural(summary['rows'], 'row')} of {plural(summary['sets'], 'set')}"]
    lines += [f"sets dropped: {count} {reason}" for reason, count in summary["dropped_sets"].items()]
    form = "{} rows of {} sets drawn" if summary["options"]["mode"] == "verify" else "{} kept of {} drawn"
    lines += [
        f"{kind.replace('_', ' ')}: {form.format(count['kept'], count['found'])}"
        for kind, count in summary["kinds"].items()
    ]
    lines += [f"rows dropped: {count} {reason}" for reason, count in summary["dropped_rows"].items()]
    if summary["held_back_rows"]:
        lines.append(f"rows held back: {summary['held_back_rows']}")
    if not summary["rows"]:
        return lines
    for name, title in (("rows_by_right_samples", "rows by right samples"), ("rows_by_k", "rows by k")):
        lines.append(f"{title}: " + ", ".join(f"{key}: {count}" for key, count in summary[name].items()))
    lines.append(
        f"vote right in {summary['vote_right']:.1%} of the rows, some sample in {summary['some_right']:.1%}"
    )
    lengths = summary["prompt_tokens"]
    lines.append(f"prompt tokens: {lengths['min']} to {lengths['max']}, median {lengths['median']:g}")
    if summary["rows_with_cut_samples"]:
        lines.append(f"rows with samples that lost their beginning: {summary['rows_with_cut_samples']}")
    if summary["targets"]:
        lines.append("targets: " + ", ".join(f"{kind}: {n}" for kind, n in summary["targets"].items()))
    return lines
