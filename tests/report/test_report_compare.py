"""Two reports, problem by problem."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.evaluation.results import QuestionResult
from sampleset.report import (
    compare_runs,
    comparison_dict,
    comparison_markdown,
    comparison_tables,
    write_comparison,
    write_report,
)
from support.report_builders import READER, VOTE, a_file, a_point, a_question, an_evaluation, write_questions


def questions(shares: Sequence[float], first: int = 0, **fields: Any) -> list[QuestionResult]:
    """One question per share, which is the vote's at k = 2."""
    return [
        a_question(number, accuracies={"2": {VOTE.label: share}}, **fields)
        for number, share in enumerate(shares, start=first)
    ]


def a_report(folder: Path, rows: Sequence[QuestionResult], source: str = "gsm8k", **settings: Any) -> Path:
    written = write_questions(folder / "questions.jsonl", rows)
    write_report(folder, an_evaluation(a_file(a_point(methods=(VOTE,)), source=source)), settings, written)
    return folder


def test_a_change_is_counted_by_problem(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([0, 0, 0.5, 1, 1]))
    b = a_report(tmp_path / "b", questions([1, 1, 0.75, 0.5, 1]))

    (file,) = compare_runs(a, b).files

    (change,) = file.methods
    assert (change.k, change.label, change.problems) == (2, VOTE.label, 5)
    assert (change.accuracy_a, change.accuracy_b) == (0.5, 0.85)
    assert change.difference == pytest.approx(0.35)
    assert change.interval.low < 0.35 < change.interval.high
    assert (change.mended_ids, change.spoilt_ids) == (("q0", "q1", "q2"), ("q3",))
    assert change.p_value == 0.625  # 2 × (1 + 4) / 16


def test_a_run_does_not_differ_from_itself(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([0, 1]))

    comparison = compare_runs(a, a)

    (change,) = comparison.files[0].methods
    assert (change.difference, change.mended, change.spoilt, change.p_value) == (0.0, 0, 0, 1.0)
    assert change.interval.low <= 0 <= change.interval.high
    assert comparison.settings == ()


def test_two_methods_of_different_names_are_compared_on_request(tmp_path: Path) -> None:
    """A label may hold an equals sign itself."""
    folders: list[Path] = []
    for name, method, share in (("a", VOTE, 0.0), ("b", READER, 1.0)):
        rows = [a_question(0, accuracies={"2": {method.label: share}})]
        written = write_questions(tmp_path / name / "questions.jsonl", rows)
        write_report(tmp_path / name, an_evaluation(a_file(a_point(methods=(method,)))), {}, written)
        folders.append(tmp_path / name)

    first, second = folders
    assert compare_runs(first, second).files[0].methods == ()
    (change,) = compare_runs(first, second, [f"{VOTE.label}={READER.label}"]).files[0].methods

    assert (change.label, change.difference) == (f"{VOTE.label} → {READER.label}", 1.0)
    with pytest.raises(InvalidArgumentError, match="X a method of A"):
        compare_runs(first, second, ["majority_vote=nobody"])


def test_a_comparison_without_a_difference_says_so(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([0, 1]))
    b = a_report(tmp_path / "b", questions([1, 1]))

    assert any(note.startswith("Nothing differs") for note in compare_runs(a, a).notes)
    assert not any(note.startswith("Nothing differs") for note in compare_runs(a, b).notes)


def test_only_the_common_problems_are_compared(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([1, 1, 1, 0]))
    b = a_report(tmp_path / "b", [*questions([0, 0], first=2), *questions([1, 1], first=10)])

    (file,) = compare_runs(a, b).files

    assert (file.common, file.only_a, file.only_b) == (2, 2, 2)
    assert file.methods[0].accuracy_a == 0.5


def test_the_same_id_with_another_question_is_left_out(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([1, 1]))
    b = a_report(tmp_path / "b", [*questions([1]), a_question(1, question="Another?")])

    (file,) = compare_runs(a, b).files

    assert (file.common, file.other_text) == (1, 1)


def test_another_gold_answer_is_told(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([1]))
    b = a_report(tmp_path / "b", questions([0], gold="7"))

    assert "With another gold answer: 1 problem." in comparison_markdown(compare_runs(a, b))


def test_single_files_are_compared_whatever_their_names(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([1]))
    b = a_report(tmp_path / "b", questions([0], file="gsm8k_new"), source="gsm8k_new")

    comparison = compare_runs(a, b)

    assert (comparison.files[0].source_a, comparison.files[0].source_b) == ("gsm8k", "gsm8k_new")
    assert comparison.notes[0].startswith("The files have different names, gsm8k and gsm8k_new;")


def test_files_are_matched_by_name(tmp_path: Path) -> None:
    rows = [*questions([1]), *questions([1], file="math")]
    evaluation = an_evaluation(a_file(), a_file(source="math"))
    a = tmp_path / "a"
    write_report(a, evaluation, {}, write_questions(a / "questions.jsonl", rows))
    b = a_report(tmp_path / "b", questions([0], file="math"), source="math")

    comparison = compare_runs(a, b)

    assert [file.source_a for file in comparison.files] == ["math"]
    assert "Only A has the files gsm8k." in comparison.notes
    assert f"math: only A has {READER.label}." in comparison.notes


def test_settings_that_differ_are_listed(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([1]), limit=5, output_dir="a")
    b = a_report(tmp_path / "b", questions([1]), output_dir="b")

    (change,) = compare_runs(a, b).settings

    assert (change.name, change.a, change.b) == ("limit", 5, "(not set)")


def test_the_comparison_is_printed_and_written(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([0, 0, 1]))
    b = a_report(tmp_path / "b", questions([1, 1, 1]))
    comparison = compare_runs(a, b)
    console = Console(file=io.StringIO(), width=80)

    for table in comparison_tables(comparison):
        console.print(table)
    paths = write_comparison(tmp_path / "out", comparison)

    text = console.file.getvalue()  # type: ignore[attr-defined]
    row = next(line.split() for line in text.splitlines() if "majority_vote" in line)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert (row[:5], row[6:]) == (["2", "majority_vote", "33.3", "100.0", "+66.7"], ["2/0", "0.500"])
    assert [path.name for path in paths] == ["comparison.json", "comparison.md"]
    assert json.loads(paths[0].read_text()) == comparison_dict(comparison)
    assert "- k = 2, majority_vote: mended 2: q0, q1" in paths[1].read_text()


def test_runs_without_a_common_problem_are_refused(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([1]))
    b = a_report(tmp_path / "b", questions([1], first=5))

    with pytest.raises(DataError, match="share no problem"):
        compare_runs(a, b)


def test_a_folder_that_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="is not a report's folder"):
        compare_runs(tmp_path, tmp_path)


def test_a_report_of_another_schema_is_refused(tmp_path: Path) -> None:
    a = a_report(tmp_path / "a", questions([1]))
    (a / "report.json").write_text('{"schema": 1, "files": []}')

    with pytest.raises(DataError, match=r"report\.json: The report has schema 1"):
        compare_runs(a, a)
