"""Replayed stopping rules → a table for the terminal, CSV, JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType

from sampleset.evaluation.replay import ReplayFile
from sampleset.report.tables import add_numbers, difference_text, new_table, titled
from sampleset.report.wording import percent, percent_range
from sampleset.wording import plural

_NOTE = (
    "one by one: the rule is asked after every sample; batches: the number of samples doubles, and a batch "
    "counts whole. vs full: accuracy minus that of the vote over all K; vs same: minus that of a plain vote "
    "over the same mean number of samples; both in points with 95 % intervals by a paired bootstrap over "
    "questions."
)


def replay_tables(files: Sequence[ReplayFile]) -> list[RenderableType]:
    """One table a file."""
    return [_table(file, [_NOTE] if file is files[-1] else []) for file in files]


def replay_dict(files: Sequence[ReplayFile], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything as JSON values."""
    return {"settings": settings, "files": [asdict(file) for file in files]}


def replay_csv(files: Sequence[ReplayFile]) -> str:
    """One row per file, rule and way of drawing."""
    rows = list(_rows(files))
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def _rows(files: Sequence[ReplayFile]) -> Iterator[dict[str, Any]]:
    for file in files:
        head = {"file": file.source, "k": file.k, "problems": file.problems, "full_accuracy": file.accuracy}
        for row in file.rows:
            cells = {name: value for name, value in asdict(row).items() if not name.endswith("_interval")}
            for name, interval in (("difference", row.difference_interval), ("gain", row.gain_interval)):
                cells |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
            yield head | cells


def _table(file: ReplayFile, more: Sequence[str]) -> RenderableType:
    table = new_table()
    # A rule cut in two would read as another one: dirichlet:0.95 as dirichlet:0.9.
    widest = max((len(row.rule) for row in file.rows), default=0)
    table.add_column("rule, drawing", overflow="fold", min_width=widest)
    add_numbers(table, "samples", "times\nfewer", "tokens\nsaved %", "right\n%")
    add_numbers(table, "vs\nfull", "95 %\ninterval", "vs\nsame", "95 %\ninterval")
    table.add_row(
        f"vote over all {file.k}", f"{file.k}", "1.0", "0.0", percent(file.accuracy), "–", "", "–", "",
        end_section=True,
    )  # fmt: skip
    for row in file.rows:
        table.add_row(
            f"{row.rule}\n  {row.drawing}",
            f"{row.samples:.2f}",
            f"{row.times_fewer:.1f}",
            percent(row.tokens_saved),
            percent(row.accuracy),
            *difference_text(row.difference, row.difference_interval),
            *difference_text(row.gain, row.gain_interval),
        )
    notes = [
        f"{plural(file.problems, 'question')}, {plural(file.orders, 'order')} of the samples each"
        + (", drawn with replacement" if file.with_replacement else "")
        + f"; vote over all {file.k}: {percent_range(file.interval)}."
    ]
    if file.left_out:
        notes.append(f"Left out: {plural(file.left_out, 'question')}, too few samples or no readable gold.")
    if file.tokens_estimated:
        notes.append("Tokens are guessed from the length of the texts, four characters each.")
    return titled(f"{file.source}, K = {file.k}", table, [*notes, *more])
