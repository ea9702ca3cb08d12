"""`sampleset import` and what the other commands read without it."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from sampleset.storage.exchange import to_dataset, to_pandas
from sampleset.storage.files import read_sample_sets, write_rows
from sampleset.storage.rows import read_rows, stdin_file
from sampleset.storage.sample_sets import SampleFile
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


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_row_a_completion_reads_back_as_the_same_set(run: Run, tmp_path: Path, sets: Path, suffix: str):
    rows = tmp_path / f"rows{suffix}"
    assert run("import", sets, "--form", "completions", "--output", rows)[0] == 0
    (before,), (after,) = list(read_sample_sets(sets)), list(read_sample_sets(rows))
    assert [one.text for one in after.sample_set.samples] == [one.text for one in before.sample_set.samples]
    assert (after.problem.id, after.problem.answer) == ("q", "5")


def test_lm_eval_rows_read_back_as_the_same_set(run: Run, tmp_path: Path, sets: Path):
    rows = tmp_path / "samples_sums.jsonl"
    assert run("import", sets, "--form", "lm-eval", "--output", rows)[0] == 0
    assert SampleFile(rows).form == "lm-eval samples"
    (stored,) = read_sample_sets(rows)
    assert (stored.problem.answer, stored.sample_set.n) == ("5", 3)


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
