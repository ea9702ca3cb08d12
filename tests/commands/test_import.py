"""`sampleset import` and what the other commands read without it."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampleset.storage.exchange import to_dataset, to_pandas
from sampleset.storage.files import read_sample_sets, write_rows
from sampleset.storage.pipes import stdin_file
from sampleset.storage.rows import read_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Problem
from support.command_line import Run

FILES = Path(__file__).parent.parent / "storage" / "foreign" / "files"


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    path = tmp_path / "sets.jsonl"
    samples = [{"index": place, "text": f"\\boxed{{{text}}}"} for place, text in enumerate("556")]
    write_rows(path, [{"id": "q", "question": "2+3?", "answer": "5", "samples": samples, "subject": "sums"}])
    return path


def test_another_tools_file_becomes_sets(run: Run, tmp_path: Path):
    code, out, err = run("import", FILES / "inspect.eval", "--output", tmp_path / "sets.jsonl")
    assert (code, out) == (0, f"2 rows: {tmp_path / 'sets.jsonl'}\n")
    assert err == (
        f"note: {FILES / 'inspect.eval'} is read as: inspect_ai log\n"
        f"next: sampleset evaluate {tmp_path / 'sets.jsonl'}\n"
    )
    assert [one.problem.answer for one in read_sample_sets(tmp_path / "sets.jsonl")] == ["7", "5"]


def test_quiet_says_nothing(run: Run, tmp_path: Path):
    _, _, err = run("import", FILES / "inspect.eval", "--output", tmp_path / "sets.jsonl", "--quiet")
    assert err == ""


def test_evaluate_reads_another_tools_file_as_it_is(run: Run, tmp_path: Path):
    code, _, err = run("evaluate", FILES / "lighteval_0_13.parquet", "--output-dir", tmp_path / "out")
    assert (code, "is read as: lighteval details" in err) == (0, True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["files"][0]["problems"] == 2


def test_questions_and_gold_come_from_problems(run: Run, tmp_path: Path):
    problems = tmp_path / "problems.jsonl"
    write_rows(problems, [{"id": "q1", "question": "2+3?", "answer": "5"}])
    choices = [{"message": {"content": "5"}}, {"message": {"content": "6"}}]
    row = {"custom_id": "q1", "response": {"status_code": 200, "body": {"choices": choices}}}
    batch = tmp_path / "batch.jsonl"
    batch.write_text(json.dumps(row) + "\n")
    code, _, _ = run("import", batch, "--problems", problems, "--output", tmp_path / "sets.jsonl")
    (stored,) = read_sample_sets(tmp_path / "sets.jsonl")
    assert (code, stored.problem.answer, stored.sample_set.n) == (0, "5", 2)


def test_other_problems_than_those_that_were_sampled_are_refused(run: Run, tmp_path: Path, sets: Path):
    problems = tmp_path / "problems.jsonl"
    write_rows(problems, [{"id": "other", "question": "9+9?", "answer": "18"}])
    code, _, err = run("import", sets, "--problems", problems, "--output", tmp_path / "out.jsonl")
    assert (code, "no problem has the id 'q'" in err) == (2, True)
    assert not (tmp_path / "out.jsonl").exists()


RICH = [
    {
        "id": "choice/1", "question": "Which, \"A\" or B?\n", "answer": "B", "answer_kind": "choice",
        "choices": ["a, b", "c"], "subject": "fruit", "level": "2", "solution": "It is B.",
        "samples": [
            {
                "index": 0, "text": "Answer:\n B, \"of course\"", "finish_reason": "stop", "seed": 7,
                "prompt_tokens": 3, "completion_tokens": 4, "model": "m",
                "logprobs": {"mean": -0.5, "min_window": -1.25}, "scores": {"rm_scores": 0.25, "mine": -1.5},
            },
            {"index": 1, "text": "", "finish_reason": "error", "error": "busy", "model": "m"},
            {"index": 2, "text": "Answer: A", "finish_reason": "length", "scores": {"rm_scores": 0.5}},
        ],
    },
    {"id": "once", "question": "2+3?", "samples": ["5"]},
    {"id": "none", "question": "Another?", "stopped": "beta:0.95", "samples": ["\u00e9"]},
]  # fmt: skip
"""Sets with every field that a set may have: of the first all, of the others few."""


def bare(problem: Problem) -> Problem:
    """The problem without the columns that are not ours."""
    return replace(problem, extra={})


@pytest.mark.parametrize("rows", [RICH, RICH[1:], RICH[::-1]], ids=["rich", "once", "reversed"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("form", ["sets", "completions"])
def test_sets_that_are_written_and_read_again_are_equal(
    run: Run, tmp_path: Path, form: str, suffix: str, rows: list[dict[str, Any]]
):
    write_rows(tmp_path / "sets.jsonl", rows)
    out = tmp_path / f"out{suffix}"
    assert run("import", tmp_path / "sets.jsonl", "--form", form, "--output", out)[0] == 0
    before, after = list(read_sample_sets(tmp_path / "sets.jsonl")), list(read_sample_sets(out))
    assert [one.sample_set for one in after] == [one.sample_set for one in before]
    assert [bare(one.problem) for one in after] == [bare(one.problem) for one in before]


def test_lm_eval_rows_read_back_as_the_same_texts_and_problems(run: Run, tmp_path: Path):
    write_rows(tmp_path / "sets.jsonl", RICH)
    rows = tmp_path / "samples_sums.jsonl"
    assert run("import", tmp_path / "sets.jsonl", "--form", "lm-eval", "--output", rows)[0] == 0
    assert SampleFile(rows).form == "lm-eval samples"
    before, after = list(read_sample_sets(tmp_path / "sets.jsonl")), list(read_sample_sets(rows))
    assert [bare(one.problem) for one in after] == [bare(one.problem) for one in before]
    texts = [[[sample.text for sample in one.sample_set.samples] for one in sets] for sets in (before, after)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("form", ["lighteval", "lighteval-0.8"])
@pytest.mark.parametrize("rows", [RICH, RICH[::-1]], ids=["rich", "reversed"])
def test_lighteval_details_read_back_as_the_same_texts_and_problems(
    run: Run, tmp_path: Path, form: str, suffix: str, rows: list[dict[str, Any]]
):
    write_rows(tmp_path / "sets.jsonl", rows)
    out = tmp_path / f"details_sums_2026-11-29{suffix}"
    assert run("import", tmp_path / "sets.jsonl", "--form", form, "--output", out)[0] == 0
    assert SampleFile(out).form == "lighteval details"
    before, after = list(read_sample_sets(tmp_path / "sets.jsonl")), list(read_sample_sets(out))
    assert [bare(one.problem) for one in after] == [bare(one.problem) for one in before]
    texts = [[[sample.text for sample in one.sample_set.samples] for one in sets] for sets in (before, after)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["lighteval_0_8.parquet", "lighteval_0_13.parquet"])
@pytest.mark.parametrize("form", ["lighteval", "lighteval-0.8"])
def test_lighteval_details_are_written_as_either_version_reads_them(
    run: Run, tmp_path: Path, name: str, form: str
):
    assert run("import", FILES / name, "--form", form, "--output", tmp_path / "out.parquet")[0] == 0
    columns = set(pytest.importorskip("pyarrow.parquet").read_schema(tmp_path / "out.parquet").names)
    of_either = {
        "lighteval": {"doc", "metric", "model_response"},
        "lighteval-0.8": {"example", "predictions"},
    }
    assert of_either[form] <= columns
    (first, _) = read_sample_sets(tmp_path / "out.parquet")
    assert (first.problem.answer, [sample.text for sample in first.sample_set.samples]) == (
        "5",
        ["It is 5.", "5", "6"],
    )


@pytest.mark.parametrize("table", ["pandas", "datasets"])
def test_tables_in_python_read_back_as_equal_sets(tmp_path: Path, table: str):
    pytest.importorskip("datasets.arrow_dataset" if table == "datasets" else "pandas")
    write_rows(tmp_path / "sets.jsonl", RICH)
    before = list(read_sample_sets(tmp_path / "sets.jsonl"))
    if table == "pandas":
        to_pandas(before).to_parquet(out := tmp_path / "out.parquet")
    else:
        to_dataset(before).save_to_disk(str(out := tmp_path / "saved"))
    assert [one.sample_set for one in read_sample_sets(out)] == [one.sample_set for one in before]


def test_a_form_that_is_not_there_is_named(run: Run, tmp_path: Path, sets: Path):
    code, _, err = run("import", sets, "--form", "complet", "--output", tmp_path / "x.jsonl")
    assert (code, "completions" in err) == (2, True)


def test_samples_come_from_stdin(run: Run, tmp_path: Path, sets: Path, monkeypatch: pytest.MonkeyPatch):
    stdin_file.cache_clear()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sets.read_bytes())))
    code, out, _ = run("aggregate", "-", "--aggregator", "majority_vote")
    stdin_file.cache_clear()
    assert (code, json.loads(out)["answer"]) == (0, "5")


def test_nothing_on_stdin_is_said(run: Run, monkeypatch: pytest.MonkeyPatch):
    stdin_file.cache_clear()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    code, _, err = run("aggregate", "-", "--aggregator", "majority_vote")
    assert (code, "Nothing came in on stdin" in err) == (2, True)


def test_a_csv_file_that_is_written_holds_lists_as_json(tmp_path: Path):
    write_rows(tmp_path / "x.csv", [{"a": [1, "é"], "b": None}, {"c": 2}])
    text = (tmp_path / "x.csv").read_text()
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b", "c"],
        ['[1, "é"]', "", ""],
        ["", "", "2"],
    ]
    assert [row for _, row in read_rows(tmp_path / "x.csv")] == [{"a": '[1, "é"]'}, {"c": "2"}]


def test_sets_become_a_table_of_pandas(sets: Path):
    pytest.importorskip("pandas")
    frame = to_pandas(read_sample_sets(sets))
    assert list(frame["completion"]) == ["\\boxed{5}", "\\boxed{5}", "\\boxed{6}"]
    assert set(frame["answer"]) == {"5"}


def test_sets_become_a_dataset_of_hugging_face(sets: Path):
    pytest.importorskip("datasets.arrow_dataset")  # not the folder of tests of that name
    made = to_dataset(one.sample_set for one in read_sample_sets(sets))
    assert made["index"] == [0, 1, 2]
