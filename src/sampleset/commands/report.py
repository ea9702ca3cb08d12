"""A report printed and made again, or two reports compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sampleset import report as reports
from sampleset.commands.options import argument, option
from sampleset.commands.run import Run, print_json
from sampleset.errors import InvalidArgumentError

EXAMPLE = "sampleset report before after --pair majority_vote=ssa"


def report(
    folder: Annotated[Path, argument("A report's folder, as `sampleset evaluate` writes it.")],
    run: Run,
    other: Annotated[Path | None, argument("A second one, to compare with the first.")] = None,
    pair: Annotated[
        list[str] | None,
        option("--pair", help="X=Y: compare method X of the first with Y of the second; repeatable."),
    ] = None,
    output_dir: Annotated[
        Path | None, option("--output-dir", help="Write comparison.json and comparison.md here.")
    ] = None,
) -> None:
    """Print a report and make its pages again, or compare two reports problem by problem."""
    if other is None:
        if output_dir is not None or pair:
            name = "--output-dir" if output_dir is not None else "--pair"
            raise InvalidArgumentError(f"{name} is for a comparison. Give two reports' folders.")
        evaluation, _ = reports.rewrite_report(folder)
        figures, tables = reports.read_report(folder), reports.report_tables(evaluation)
    else:
        comparison = reports.compare_runs(folder, other, pair or ())
        figures, tables = reports.comparison_dict(comparison), reports.comparison_tables(comparison)
        if output_dir is not None:
            reports.write_comparison(output_dir, comparison)
    if run.as_json:
        print_json(figures)
        return
    from rich.console import Console

    for table in tables:
        Console().print(table, end="\n\n")
    if other is None:
        run.next("report", folder, "OTHER_REPORT")
    elif output_dir is None:
        run.next(
            "report",
            folder,
            other,
            *(word for spec in pair or () for word in ("--pair", spec)),
            "--output-dir",
            "COMPARISON",
        )
