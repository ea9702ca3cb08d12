"""The report's folder: every file written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sampleset.errors import DataError, InputNotFoundError
from sampleset.evaluation.results import Evaluation
from sampleset.report.csv_files import breakdowns_csv, curve_csv, methods_csv
from sampleset.report.json_form import evaluation_from_report, report_dict
from sampleset.report.markdown import report_markdown
from sampleset.report.page.html import report_html
from sampleset.storage.rows import read_rows

_QUESTION_FIELDS = {
    "file",
    "id",
    "question",
    "samples",
    "sample_right",
    "answers",
    "right",
    "texts",
    "accuracies",
}


def write_report(
    folder: Path | str,
    evaluation: Evaluation,
    settings: Mapping[str, Any],
    questions: Path | str,
    browse: int = 300,
) -> list[Path]:
    """Write report.json, report.md, three CSV files and report.html.

    Args:
        folder: Where they go; made if need be.
        evaluation: The results.
        settings: How it was made.
        questions: `questions.jsonl` of the evaluation, read as a stream.
        browse: Questions per file in the page at most.

    Returns:
        Their paths, in that order.
    """
    folder, questions = Path(folder), Path(questions)
    report = report_dict(evaluation, settings)
    return [
        write_whole(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n"),
        *_write_views(folder, evaluation, settings, questions, browse),
    ]


def rewrite_report(folder: Path | str, browse: int = 300) -> tuple[Evaluation, list[Path]]:
    """Make everything but report.json again from report.json and questions.jsonl, after an upgrade say.

    Returns:
        The evaluation, and the paths written.

    Raises:
        InputNotFoundError: There is no report in the folder.
        DataError: It cannot be read.
    """
    folder = Path(folder)
    report = read_report(folder)
    evaluation = evaluation_in(folder, report)
    settings = report.get("settings", {})
    return evaluation, _write_views(folder, evaluation, settings, folder / "questions.jsonl", browse)


def read_report(folder: Path) -> dict[str, Any]:
    """What `report.json` of a report's folder holds.

    Raises:
        InputNotFoundError: No such folder, or it is not a report's.
        DataError: It is not JSON.
    """
    for needed in (folder / "report.json", folder / "questions.jsonl"):
        if not needed.is_file():
            raise InputNotFoundError(
                f"{str(folder)!r} is not a report's folder: it has no {needed.name}. "
                "Give the --output-dir of `sampleset evaluate`."
            )
    path = folder / "report.json"
    try:
        report: object = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}).") from error
    if not isinstance(report, dict):
        raise DataError(f"{path}: expected a JSON object, got {type(report).__name__}.")
    return report  # pyright: ignore[reportUnknownVariableType]


def evaluation_in(folder: Path, report: Mapping[str, Any]) -> Evaluation:
    """The evaluation of a folder's report; errors name the folder."""
    try:
        return evaluation_from_report(report)
    except DataError as error:
        raise DataError(f"{folder / 'report.json'}: {error}") from error


def question_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of `questions.jsonl`, as a stream.

    Raises:
        DataError: A row is no question of an evaluation.
    """
    for number, row in read_rows(path):
        if missing := _QUESTION_FIELDS - row.keys():
            raise DataError(f"{path}:{number}: no question of an evaluation: it lacks {min(missing)!r}.")
        yield row


def write_whole(path: Path, text: str) -> Path:
    """Write a text, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Lone surrogates, which models' broken byte pieces may leave, have no UTF-8 form.
        partial.write_bytes(text.encode("utf-8", "replace"))
        os.replace(partial, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
    return path


def _write_views(
    folder: Path, evaluation: Evaluation, settings: Mapping[str, Any], questions: Path, browse: int
) -> list[Path]:
    return [
        write_whole(folder / "report.md", report_markdown(evaluation, settings)),
        write_whole(folder / "methods.csv", methods_csv(evaluation)),
        write_whole(folder / "curve.csv", curve_csv(evaluation)),
        write_whole(folder / "breakdowns.csv", breakdowns_csv(evaluation)),
        write_whole(
            folder / "report.html", report_html(evaluation, settings, question_rows(questions), browse)
        ),
    ]
