"""The kind of an answer on its way through files, stores, worker processes and the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.answers import Kinds
from sampleset.datasets.base import has_readable_gold, load_problems
from sampleset.errors import DataError, MalformedRecordError, UnknownNameError, UnsupportedByMachineError
from sampleset.evaluation import EvaluationOptions, evaluate
from sampleset.evaluation.answer_log import answer_key
from sampleset.grading.grade import grade
from sampleset.storage.files import write_rows
from sampleset.storage.records import problem_from_row, problem_to_row, stored_set_from_row
from sampleset.storage.rows import read_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.storage.store import SampleStore
from sampleset.types import Problem, Question, Sample, SampleSet
from support.command_line import Run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "answers.md"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Two questions whose answers are JSON, and nothing in the file that says so."""
    path = tmp_path / "orders.jsonl"
    samples = ['{"n": 1, "m": [2]}', '```json\n{"m": [2.0], "n": 1}\n```', '{"n": 3}']
    gold = '{"m":[2],"n":1}'
    write_rows(path, [{"id": one, "question": "?", "answer": gold, "samples": samples} for one in "ab"])
    return path


def test_a_row_says_of_which_kind_its_answer_is():
    row: dict[str, Any] = {"schema": 1, "id": "a", "question": "?", "answer": "1", "answer_kind": "number:1%"}
    problem = problem_from_row(row, 0)
    assert problem.question.answer_kind == "number:1%"
    assert problem.extra == {}
    assert problem_to_row(problem) == row


def test_rows_without_a_kind_are_read_and_written_as_before():
    row: dict[str, Any] = {"schema": 1, "id": "a", "question": "?", "answer": "1", "samples": ["1"], "x": 2}
    stored = stored_set_from_row(row, 0)
    assert stored.sample_set.question.answer_kind == "maths"
    assert stored.to_row() == row
    assert stored.with_answer_kind("json").to_row() == row | {"answer_kind": "json"}
    assert stored.with_answer_kind("json").with_answer_kind("maths").to_row() == row


def test_a_kind_in_a_file_that_is_not_known_is_refused(tmp_path: Path):
    path = tmp_path / "sets.jsonl"
    write_rows(path, [{"id": "a", "question": "?", "answer_kind": "jsn", "samples": ["1"]}])
    with pytest.raises(MalformedRecordError, match=r"sets.jsonl:1: .*'jsn'.*'json'"):
        list(SampleFile(path))
    with pytest.raises(DataError, match="must be a text"):
        problem_from_row({"question": "?", "answer_kind": 7}, 0)
    with pytest.raises(UnknownNameError):
        SampleFile(path, answer_kind="jsn")


def test_a_store_keeps_the_kind(tmp_path: Path):
    problem = Problem(Question("a", "?", answer_kind="json"), "[1]")
    SampleStore(tmp_path).add_problems([problem])
    assert [one.get("answer_kind") for _, one in read_rows(tmp_path / "problems.jsonl")] == ["json"]
    SampleStore(tmp_path).add_problems([problem])


def test_the_kind_of_a_dataset_is_chosen_when_it_is_loaded(tmp_path: Path):
    path = tmp_path / "problems.jsonl"
    write_rows(path, [{"id": "a", "question": "?", "answer": '{"a": "$"}\n'}])
    (problem,) = load_problems(str(path), answer_kind="json")
    assert problem.question.answer_kind == "json"
    assert has_readable_gold(problem)
    with pytest.raises(DataError, match="cannot be read as a final answer"):
        load_problems(str(path), answer_kind="number")


@pytest.mark.parametrize(
    ("kind", "answer", "gold", "correct"),
    [
        pytest.param("maths", "0.5", "1/2", True, id="maths"),
        pytest.param("text", "0.5", "1/2", False, id="text"),
        pytest.param("json", "[1.0]", "[1]", True, id="json"),
        pytest.param("number:10%", "95", "100", True, id="number"),
        pytest.param("choice", "(c)", "C", True, id="choice"),
    ],
)
async def test_answers_are_graded_in_their_kind(kind: str, answer: str, gold: str, correct: bool):
    assert (await grade(answer, Problem(Question("q", "?", answer_kind=kind), gold))).correct is correct


def test_what_an_answer_is_kept_under_has_not_changed_for_mathematics():
    def key(**more: Any) -> str:
        return answer_key(MajorityVote(), SampleSet(Question("q", "?", **more), (Sample(0, "x"),)))

    assert key() == "fd46f8556f88116d5b50b4da4da83c34"
    assert key(answer_kind="json") != key()


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_evaluation_compares_in_the_kind_also_in_other_processes(
    orders: Path, workers: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sampleset.evaluation.run._FEW", 0)
    options = EvaluationOptions(ks=(3,), workers=workers)
    for kind, accuracy in (("json", 1.0), ("text", 0.0)):
        sets = SampleFile(orders, answer_kind=kind)
        result = await evaluate({"orders": sets}, {"majority_vote": MajorityVote()}, options)
        assert result.files[0].points[0].methods[0].accuracy == accuracy


async def test_programs_run_in_worker_processes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    skip_without_sandbox()
    monkeypatch.setattr("sampleset.evaluation.run._FEW", 0)
    path = tmp_path / "sets.jsonl"
    samples = ["```\nprint(1)\n```", "```\nprint(3 - 2)\n```", "```\nprint(2)\n```"]
    write_rows(path, [{"id": "a", "question": "?", "answer": "1", "answer_kind": "code", "samples": samples}])
    options = EvaluationOptions(ks=(3,), workers=2)
    file = SampleFile(path, kinds=Kinds(run_code="sandbox"))
    result = await evaluate({"sets": file}, {"majority_vote": MajorityVote()}, options)
    assert result.files[0].points[0].methods[0].accuracy == 1.0


def test_the_commands_take_the_kind(run: Run, orders: Path, tmp_path: Path):
    code, out, _ = run("aggregate", orders)
    assert [one["votes"] for one in json.loads(out.splitlines()[0])["candidates"]] != [2, 1]
    code, out, _ = run("aggregate", orders, "--answer-kind", "json")
    assert (code, [one["votes"] for one in json.loads(out.splitlines()[0])["candidates"]]) == (0, [2, 1])
    code, out, _ = run("evaluate", orders, "--answer-kind", "json:n", "--aggregator", "majority_vote",
                       "--output-dir", tmp_path / "report", "--workers", "1", "--json")  # fmt: skip
    assert (code, json.loads(out)["settings"]["answer_kind"]) == (0, "json:n")
    code, out, _ = run("replay", orders, "--answer-kind", "json", "--stop", "esc:2", "--json")
    assert code == 0
    rows = tmp_path / "rows.jsonl"
    code, _, err = run("train-data", orders, "--output", rows, "-k", "3", "--unanimous", "1", "--easy", "1",
                       "--answer-kind", "json", "--aggregator-model", f"replay:{orders}")  # fmt: skip
    assert code == 0, err
    (first, _) = [row for _, row in read_rows(rows)]
    assert {(one["votes"], one["right"]) for one in first["candidates"]} == {(2, True), (1, False)}


def test_a_question_is_answered_in_its_kind(run: Run, orders: Path):
    code, out, _ = run(
        "answer", "?", "--model", f"replay:{orders}", "-k", "3", "--answer-kind", "json", "--show"
    )
    assert (code, out.splitlines()[-1]) == (0, 'answer of majority_vote: {"n": 1, "m": [2]}')
    code, out, _ = run("answer", "?", "--model", f"replay:{orders}", "-k", "3", "--answer-kind", "choice")
    assert (code, out) == (1, "(no answer)\n")


def test_the_sampled_model_judges(run: Run, tmp_path: Path):
    path = tmp_path / "yes.jsonl"
    write_rows(path, [{"id": "a", "question": "?", "samples": ["yes", "yes indeed"]}])
    code, out, err = run(
        "answer", "?", "--model", f"replay:{path}", "-k", "2", "--answer-kind", "judge", "--show"
    )
    assert (code, out.splitlines()[-1]) == (0, "answer of majority_vote: yes")
    assert "the judge of answers was asked 1 time," in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--answer-kind", "jsn"], "No answer kind named 'jsn'. Did you mean 'json'?"),
        (["--answer-kind", "number:x"], "number:0.5"),
        (["--answer-kind", "code"], "--run-code sandbox"),
        (["--answer-kind", "code", "--run-code", "yes"], "must be one of off, sandbox, limits"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_drawn(
    run: Run, orders: Path, arguments: list[str], message: str
):
    code, out, err = run("answer", "?", "--model", f"replay:{orders}", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_judge_is_refused_where_asking_cannot_be_awaited(run: Run, orders: Path):
    code, _, err = run("replay", orders, "--answer-kind", "judge")
    assert code == 2
    assert "choose another kind" in err


@pytest.mark.parametrize("number", range(2))
def test_the_commands_of_the_page_on_answers_run(number: int, tmp_path: Path):
    if number == 0:
        skip_without_sandbox()
    block = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[number]
    block = block.replace("\nsampleset ", f"\n{sys.executable} -m sampleset ")
    done = subprocess.run(["bash", "-e", "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [one["candidates"][0]["votes"] for one in answers] == [2] * (5 if number == 0 else 1)
    assert number or re.search(r"majority_vote +100\.0", done.stdout)


def skip_without_sandbox() -> None:
    try:
        Kinds(run_code="sandbox").named("code").check()
    except UnsupportedByMachineError as error:
        pytest.skip(str(error))
