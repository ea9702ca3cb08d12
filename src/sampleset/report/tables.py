"""Evaluation → tables for the terminal, 80 columns wide at least."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from sampleset.evaluation.results import (
    Evaluation,
    FileResult,
    Interval,
    MacroPoint,
    MethodResult,
    PointResult,
)
from sampleset.report.notes import (
    captions,
    file_notes,
    files_of,
    macro_caption,
    macro_notes,
    method_notes,
    point_notes,
)
from sampleset.report.wording import (
    is_sure,
    money,
    p_value,
    percent,
    percent_range,
    points,
    points_range,
    tokens,
)

_Point = TypeVar("_Point", PointResult, MacroPoint)
ONE_SAMPLE = "one sample (mean, pass@1)"
_NAME_WIDTH = 14
"""Names of methods are folded to this width before a number's column is left out."""
_GAP = 2
"""Blanks between two columns: the padding of the left one, and the line that is not drawn."""
_MOST_COLUMNS = 10
"""Values of k in a compact table; with more of them, some in the middle are left to the files."""


def report_tables(evaluation: Evaluation) -> list[RenderableType]:
    """Tables for the terminal: each file at its largest k in full, its accuracy by k, the mean over files.

    The notes on how numbers are made stand once, at the end.
    """
    renderables: list[RenderableType] = []
    for file in evaluation.files:
        if not file.points:
            renderables.append(_lines(f"{file.source}: no problem has enough samples.", file_notes(file)))
            continue
        renderables.append(_point_table(file, file.points[-1], evaluation))
        if len(file.points) > 1:
            renderables.append(_k_table(file))
    renderables += [_macro_table(evaluation.macro[-1])] if evaluation.macro else []
    if len(evaluation.macro) > 1:
        renderables.append(_macro_k_table(evaluation.macro))
    lines = captions(evaluation) + ([macro_caption(evaluation)] if evaluation.macro else [])
    renderables.append(_lines("", lines))
    return renderables


def new_table() -> Table:
    """An empty table as all of the terminal's tables look."""
    return FittingTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


class FittingTable(Table):
    """A table that leaves out its last columns where the terminal is too narrow for all of them."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The columns that fit, and a note that names the others."""
        widths = [self._needed(console, column) for column in self.columns]
        count = len(widths)
        while count > 2 and sum(widths[:count]) + _GAP * (count - 1) > options.max_width:
            count -= 1
        all_columns, self.columns = self.columns, self.columns[:count]
        try:
            yield from super().__rich_console__(console, options)
        finally:
            self.columns = all_columns
        if left_out := [" ".join(str(column.header).split()) for column in all_columns[count:]]:
            yield Text(f"Too narrow for: {', '.join(left_out)}.", style="dim")

    def _needed(self, console: Console, column: Column) -> int:
        """Width of a column's longest line; names may be folded."""
        width = max(console.measure(cell).maximum for cell in [column.header, *column.cells])
        return min(width, _NAME_WIDTH) if column.overflow == "fold" else width


def titled(title: str, table: Table, notes: Sequence[str] = ()) -> Group:
    """A table below its title and above its notes, which may be wider than it."""
    lines = [Text("\n".join(notes), style="dim")] if notes else []
    return Group(Text(title, style="bold"), table, *lines)


def add_numbers(table: Table, *headings: str) -> None:
    """Add right-aligned columns, none of which may be broken."""
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)


def label_text(label: str) -> Text:
    """A method's label. The options of a long label take a second line, so that no name is broken."""
    return Text(label.replace(":", ":\n", 1) if len(label) > 18 else label)


def difference_text(difference: float, interval: Interval) -> tuple[Text, Text]:
    """A difference and its interval, in colour where the interval leaves out 0."""
    style = ("green" if difference > 0 else "red") if is_sure(interval) else ""
    return Text(points(difference), style), Text(points_range(interval), style)


def _point_table(file: FileResult, point: PointResult, evaluation: Evaluation) -> Group:
    notes_by_label = [(method.label, method_notes(method, point)) for method in point.methods]
    notes = [
        *point_notes(point),
        *file_notes(file),
        *(f"{label}: {'; '.join(notes)}." for label, notes in notes_by_label if notes),
    ]
    table = new_table()
    table.add_column("method", overflow="fold")
    add_numbers(table, "right\n%", "95 %\ninterval", "vs\nvote", "95 %\ninterval", "mended/\nspoilt")
    costly = evaluation.currency is not None
    add_numbers(table, "Holm\np", f"tokens,\n{evaluation.currency}" if costly else "agg.\ntokens")
    table.add_row(ONE_SAMPLE, percent(point.sample_accuracy), end_section=True)
    for number, method in enumerate(point.methods, start=1):
        table.add_row(
            label_text(method.label),
            percent(method.accuracy),
            percent_range(method.interval),
            *_against_vote(method),
            f"{tokens(method.usage)}\n{money(method.cost)}" if costly else tokens(method.usage),
            end_section=number == len(point.methods),
        )
    table.add_row("oracle (bounds selectors only)", percent(point.oracle))
    return titled(f"{file.source}, k = {point.k}", table, notes)


def _against_vote(method: MethodResult) -> tuple[str | Text, ...]:
    if method.p_holm is None:
        return "–", "", "–", "–"
    counts = f"{method.mended}/{method.spoilt}"
    return *difference_text(method.difference, method.difference_interval), counts, p_value(method.p_holm)


def _k_table(file: FileResult) -> Group:
    points, note = _thinned(file.points)
    labels = list(dict.fromkeys(method.label for point in file.points for method in point.methods))
    table = new_table()
    table.add_column("k", overflow="fold")
    add_numbers(table, *(f"{point.k}" for point in points))
    table.add_row("one sample", *(percent(point.sample_accuracy) for point in points), end_section=True)
    for label in labels:
        methods = [
            next((method for method in point.methods if method.label == label), None) for point in points
        ]
        cells = (percent(None if method is None else method.accuracy) for method in methods)
        table.add_row(label_text(label), *cells, end_section=label == labels[-1])
    table.add_row("oracle", *(percent(point.oracle) for point in points))
    return titled(f"{file.source}, right % by k", table, note)


def _macro_table(macro: MacroPoint) -> Group:
    names = f"{', '.join(macro.files[:12])}{' …' if len(macro.files) > 12 else ''}"
    table = new_table()
    table.add_column("method", overflow="fold")
    add_numbers(table, "right\n%", "95 %\ninterval", "vs\nvote", "95 %\ninterval")
    for number, method in enumerate(macro.methods, start=1):
        same = method.difference == 0 and method.difference_interval == Interval(0.0, 0.0)
        table.add_row(
            label_text(method.label),
            percent(method.accuracy),
            percent_range(method.interval),
            *(("–", "") if same else difference_text(method.difference, method.difference_interval)),
            end_section=number == len(macro.methods),
        )
    table.add_row("pass@k (bounds selectors only)", percent(macro.pass_at_k))
    return titled(
        f"Mean over {len(macro.files)} files, k = {macro.k}", table, [f"Files: {names}.", *macro_notes(macro)]
    )


def _macro_k_table(macro: Sequence[MacroPoint]) -> Group:
    points, note = _thinned(macro)
    labels = list(dict.fromkeys(method.label for point in macro for method in point.methods))
    if any(files_of(method, point) for point in points for method in point.methods):
        note.append("Some means leave out files in which the method fell back to the vote.")
    if any(before.files != after.files for before, after in pairwise(points)):
        note.append("Not every k is of the same files: columns are comparable downwards only.")
    table = new_table()
    table.add_column("k", overflow="fold")
    add_numbers(table, *(f"{point.k}" for point in points))
    for label in labels:
        methods = [
            next((method for method in point.methods if method.label == label), None) for point in points
        ]
        table.add_row(
            label_text(label), *(percent(None if method is None else method.accuracy) for method in methods)
        )
    table.add_row("files", *(f"{len(point.files)}" for point in points))
    return titled("Mean over files, right % by k", table, note)


def _thinned(points: Sequence[_Point]) -> tuple[list[_Point], list[str]]:
    if len(points) <= _MOST_COLUMNS:
        return list(points), []
    step = (len(points) - 1) / (_MOST_COLUMNS - 1)
    thinned = [points[round(number * step)] for number in range(_MOST_COLUMNS)]
    return thinned, [f"{len(thinned)} of {len(points)} values of k; the report's files have all."]


def _lines(first: str, more: Sequence[str]) -> Text:
    return Text("\n".join([first, *more] if first else list(more)), style="" if first else "dim")
