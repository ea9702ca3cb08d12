"""The report's folder: JSON and back, CSV, whole files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampleset.errors import DataError, InputNotFoundError
from sampleset.evaluation.results import Slice
from sampleset.report import evaluation_from_report, report_dict, rewrite_report, write_report
from support.report_builders import (
    READER,
    VOTE,
    a_file,
    a_macro,
    a_point,
    a_question,
    an_evaluation,
    write_questions,
)

FULL = an_evaluation(
    a_file(a_point(k=1), a_point(k=2)),
    a_file(source="math", unreadable_gold=("x",), unreadable_gold_count=1),
    macro=(a_macro("gsm8k", "math"),),
    currency="EUR",
)


def changed(report: dict[str, Any], path: list[Any], value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(report))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


def test_a_report_read_back_is_the_same_evaluation() -> None:
    report = report_dict(FULL, {"seed": 0})

    assert json.loads(json.dumps(report)) == report
    assert evaluation_from_report(report) == FULL


def test_whole_numbers_are_read_back_as_shares() -> None:
    report = changed(report_dict(FULL, {}), ["files", 0, "points", 0, "oracle"], 1)

    assert evaluation_from_report(report).files[0].points[0].oracle == 1.0


def test_unknown_fields_are_ignored() -> None:
    report = changed(report_dict(FULL, {}), ["files", 0, "points", 0, "new"], {"a": 1})

    assert evaluation_from_report(report) == FULL


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        pytest.param(["schema"], 1, "schema 1, this version reads 2", id="other schema"),
        pytest.param(["files"], 3, "'files' holds 3, not a list", id="not a list"),
        pytest.param(
            ["files", 1, "points", 0, "oracle"], "x", r"'files\[1\].points\[0\].oracle' holds 'x'", id="text"
        ),
        pytest.param(["seed"], True, "'seed' holds True, not a whole number", id="truth for a number"),
        pytest.param(["files", 0, "points", 0, "methods", 0], None, "not an object", id="null"),
    ],
)
def test_what_is_wrong_with_a_report_is_named(path: list[Any], value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluation_from_report(changed(report_dict(FULL, {}), path, value))


def test_a_missing_field_is_named() -> None:
    report = report_dict(FULL, {})
    del report["files"][0]["points"][0]["methods"][1]["harm"]

    with pytest.raises(DataError, match=r"lacks the field 'files\[0\].points\[0\].methods\[1\].harm'"):
        evaluation_from_report(report)


def test_something_else_is_no_report() -> None:
    with pytest.raises(DataError, match="no report of an evaluation"):
        evaluation_from_report({"hello": 1})


def test_settings_that_json_lacks_become_text() -> None:
    assert report_dict(FULL, {"folder": Path("runs"), "k": (1, 2)})["settings"] == {
        "folder": "runs",
        "k": [1, 2],
    }


def test_a_report_is_six_files(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "report"
    questions = write_questions(tmp_path / "questions.jsonl", [a_question()])

    paths = write_report(folder, FULL, {"seed": 0}, questions)

    assert [path.name for path in paths] == [
        "report.json",
        "report.md",
        "methods.csv",
        "curve.csv",
        "breakdowns.csv",
        "report.html",
    ]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert evaluation_from_report(json.loads(paths[0].read_text("utf-8"))) == FULL


def test_the_csv_files_have_a_row_per_number(tmp_path: Path) -> None:
    write_report(tmp_path, FULL, {}, write_questions(tmp_path / "questions.jsonl", []))

    methods, curve, breakdowns = (
        list(csv.DictReader((tmp_path / f"{name}.csv").read_text("utf-8").splitlines()))
        for name in ("methods", "curve", "breakdowns")
    )
    assert [(row["file"], row["k"], row["method"]) for row in methods] == [
        ("gsm8k", "1", VOTE.label),
        ("gsm8k", "1", READER.label),
        ("gsm8k", "2", VOTE.label),
        ("gsm8k", "2", READER.label),
        ("math", "2", VOTE.label),
        ("math", "2", READER.label),
    ]
    assert (methods[1]["accuracy"], methods[1]["p_holm"], methods[0]["p_holm"]) == ("0.75", "0.0012", "")
    assert (methods[1]["matched_k"], methods[1]["harm"], methods[1]["brier"]) == ("4", "0.125", "")
    assert curve[1] == {
        "file": "gsm8k",
        "k": "2",
        "problems": "4",
        "maj_at_k": "0.5",
        "interval_low": "0.15",
        "interval_high": "0.85",
        "pass_at_k": "0.875",
    }
    assert len(breakdowns) == 3 * 2 * 3  # points, slices, two methods and the oracle


def test_a_report_is_made_again_from_its_json_and_questions(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "questions.jsonl", [a_question()])
    first = {path: path.read_bytes() for path in write_report(tmp_path, FULL, {"seed": 0}, questions)}
    for path in first:
        if path.name != "report.json":
            path.unlink()

    evaluation, paths = rewrite_report(tmp_path)

    assert evaluation == FULL
    assert {path.name for path in paths} | {"report.json"} == {path.name for path in first}
    assert all(path.read_bytes() == text for path, text in first.items())


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"not a report's folder: it has no report\.json"):
        rewrite_report(tmp_path)


def test_rows_that_are_no_questions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text('{"id": "q"}\n')

    with pytest.raises(DataError, match=r"questions\.jsonl:1: no question of an evaluation"):
        write_report(tmp_path, FULL, {}, tmp_path / "questions.jsonl")


def test_half_characters_do_not_stop_the_report(tmp_path: Path) -> None:
    broken = replace(FULL, files=(a_file(source="\ud800"),))
    questions = write_questions(
        tmp_path / "questions.jsonl", [a_question(file="\ud800", samples=("\ud800", ""))]
    )

    for path in write_report(tmp_path, broken, {}, questions):
        path.read_text("utf-8")


def test_a_report_that_cannot_be_written_leaves_no_pieces(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "questions.jsonl", [])
    folder = tmp_path / "out"
    (folder / "report.json").mkdir(parents=True)

    with pytest.raises(OSError, match=r"report\.json"):
        write_report(folder, FULL, {}, questions)

    assert [path.name for path in folder.iterdir()] == ["report.json"]


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(1)", "\tx"])
def test_what_a_spreadsheet_would_take_for_a_formula_is_marked_as_text(tmp_path: Path, value: str) -> None:
    point = a_point(breakdowns={"subject": (Slice(value, 4.0, {VOTE.label: 0.5}, 1.0),)})
    write_report(
        tmp_path, an_evaluation(a_file(point)), {}, write_questions(tmp_path / "questions.jsonl", [])
    )

    rows = csv.DictReader((tmp_path / "breakdowns.csv").read_text("utf-8").splitlines())
    assert {row["value"] for row in rows} == {f"'{value}"}
