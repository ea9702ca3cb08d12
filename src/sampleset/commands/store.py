"""Check a store for damaged rows, and set them aside on request."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sampleset.commands.options import argument, option
from sampleset.commands.run import Output, print_json
from sampleset.storage.damage import check_store, repair_store
from sampleset.storage.store import draws_without_problem
from sampleset.wording import plural

EXAMPLE = "sampleset store check STORE --repair"


def store(
    action: Annotated[Literal["check"], argument("What to do: check.")],
    folder: Annotated[Path, argument("The store, as `sampleset sample` writes it.")],
    run: Output,
    repair: Annotated[
        bool,
        option("--repair", help="Set damaged rows aside, in files beside their own."),
    ] = False,
) -> None:
    """Tell what is damaged in a store (file, row, byte, why), and set it aside if asked."""
    check, aside = repair_store(folder) if repair else (check_store(folder), [])
    without_problem = check_store(folder).without_problem if aside else check.without_problem
    if run.as_json:
        print_json(
            {
                "rows": dict(check.rows),
                "damage": [asdict(damage) for damage in check.damage],
                "set_aside_in": [str(path) for path in aside],
                "questions_without_problem": without_problem,
            }
        )
    else:
        for damage in check.damage:
            print(damage)
        counts = ", ".join(f"{count} in {name}" for name, count in check.rows.items())
        print(f"{plural(len(check.damage), 'damaged row')}; whole rows: {counts}")
        for path in aside:
            print(f"set aside: {path}")
        if without_problem:
            print(draws_without_problem(folder, without_problem))
    if aside:
        run.note("What was set aside is drawn, or written, again when you run `sampleset sample` again.")
    elif check.damage:
        run.next("store", "check", folder, "--repair")
    elif not without_problem:
        run.next("evaluate", folder)
    if without_problem or (check.damage and not aside):
        raise typer.Exit(1)
