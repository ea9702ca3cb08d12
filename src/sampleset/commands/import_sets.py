"""Sample sets of other tools → files of ours, and of ours → theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from sampleset.commands.options import AnswerOptions, SetOptions, argument, option
from sampleset.commands.run import Output, print_json
from sampleset.datasets.base import load_problems
from sampleset.errors import UnknownNameError
from sampleset.storage.exchange import FORMS
from sampleset.storage.files import check_target, write_rows
from sampleset.types import Problem
from sampleset.wording import plural

EXAMPLE = "sampleset import batch_output.jsonl --problems gsm8k:test --output sets.jsonl"


def import_(
    samples: Annotated[Path, argument("A file or folder of another tool, a store, or - for stdin.")],
    output: Annotated[Path, option("--output", help="The file: .jsonl[.gz], .parquet or .csv.")],
    sets: SetOptions,
    answers: AnswerOptions,
    run: Output,
    form: Annotated[str, option("--form", help=f"Shape of its rows: {', '.join(FORMS)}.")] = "sets",
    problems: Annotated[
        str | None,
        option("--problems", help="Questions and gold answers that the samples lack: a dataset or a file."),
    ] = None,
    data_dir: Annotated[
        Path | None, option("--data-dir", help="Local copies of datasets.", envvar="SAMPLESET_DATA")
    ] = None,
) -> None:
    """Write samples of another tool (lm-eval, inspect, CSV, ...) as sample sets, or the reverse."""
    if form not in FORMS:
        raise UnknownNameError("form", form, FORMS)
    check_target(output)
    known: list[Problem] = load_problems(problems, data_dir=data_dir) if problems else []
    read = sets.sample_file(samples, answers, run.note, known)
    count = write_rows(output, FORMS[form](read))
    summary: dict[str, Any] = {"format": read.form or "sampleset", "rows": count, "output": str(output)}
    if run.as_json:
        print_json(summary)
    else:
        print(f"{plural(count, 'row')}: {output}")
        if form == "sets":
            run.next("evaluate", output)
