import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampleset.answers import matches_gold
from sampleset.datasets import _hub
from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets.base import DATASETS, load_problems, read_dataset, shared_questions
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError, MalformedRecordError
from sampleset.storage.files import write_rows
from sampleset.storage.records import problem_from_row, problem_to_row
from sampleset.types import Problem, Question
from support.source_rows import ANSWERS, ROWS


def hub_dataset(name: str) -> HubDataset:
    dataset = DATASETS.get(name)
    assert isinstance(dataset, HubDataset)
    return dataset


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the hub: REPO/REVISION/FILE."""

    def fetch(repo: str, revision: str, file: str) -> Path:
        path = tmp_path / "hub" / repo / revision / file
        if not path.is_file():
            raise ConnectionError("no route to the hub")
        return path

    monkeypatch.setattr(_hub, "fetch", fetch)
    return tmp_path / "hub"


def put_on_hub(hub: Path, name: str, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows as the whole of the dataset's default split."""
    dataset = hub_dataset(name)
    split = dataset.splits["test"]
    write_rows(hub / dataset.repo / dataset.revision / split.file, rows)
    small = replace(dataset, splits={"test": Split(split.file, len(rows))})
    monkeypatch.setitem(DATASETS._entries, name, small)


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_source_become_problems_whose_gold_equals_itself(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch
):
    put_on_hub(hub, name, ROWS[name], monkeypatch)
    problems = load_problems(name)
    assert [problem.answer for problem in problems] == ANSWERS.get(name, [p.answer for p in problems])
    assert all(matches_gold(p.answer or "", p.answer or "").equal is True for p in problems)
    assert [problem_from_row(problem_to_row(problem), 0) for problem in problems] == problems


@pytest.mark.parametrize("name", ROWS)
def test_the_same_rows_in_a_file_of_ones_own(name: str, tmp_path: Path):
    write_rows(tmp_path / "mine.jsonl.gz", ROWS[name])
    problems = load_problems(f"{name}:{tmp_path / 'mine.jsonl.gz'}")
    assert [problem.answer for problem in problems] == ANSWERS.get(name, [p.answer for p in problems])


def test_the_solution_of_a_gsm8k_problem_is_the_whole_answer(tmp_path: Path):
    write_rows(tmp_path / "test.jsonl", ROWS["gsm8k"])
    first = load_problems(f"gsm8k:{tmp_path / 'test.jsonl'}", limit=1)[0]
    assert first.id == "gsm8k-test-0000"
    assert first.solution == "She has 2*600=<<2*600=1200>>1200 pins.\n#### 1,200"


def test_subject_and_level_of_math(tmp_path: Path):
    write_rows(tmp_path / "train.jsonl", ROWS["math"])
    first = load_problems(f"math:{tmp_path / 'train.jsonl'}")[0]
    assert (first.subject, first.level) == ("Algebra", "3")


def test_a_math_problem_with_an_empty_box_is_left_out(tmp_path: Path):
    rows = [*ROWS["math"], {"problem": "Draw it.", "solution": "$\\boxed{}$"}]
    write_rows(tmp_path / "train.jsonl", rows)
    assert len(load_problems(f"math:{tmp_path / 'train.jsonl'}")) == 2


def test_a_math_problem_for_training_that_the_test_asks_too_is_left_out(tmp_path: Path):
    twin = {
        "problem": "Let $f$ be a linear function for which $f(6) - f(2) = 12.$ What is $f(12) - f(2)?$",
        "solution": "$\\boxed{30}$",
    }
    for split in ("train", "test"):
        write_rows(tmp_path / f"{split}.jsonl", [*ROWS["math"], twin])
    # The twin ends in `12.$` where the train split has `12$.`: one key, one question.
    assert len(load_problems(f"math:{tmp_path / 'train.jsonl'}")) == 2
    assert len(load_problems(f"math:{tmp_path / 'test.jsonl'}")) == 3


def test_options_are_lettered_lines_of_the_question(tmp_path: Path):
    write_rows(tmp_path / "test.jsonl", ROWS["arc_challenge"])
    second = load_problems(f"arc_challenge:{tmp_path / 'test.jsonl'}")[1]
    assert second.question.text == "Which one flies?\nA. a bird\nB. a fish\nC. a dog"
    assert second.question.choices == ("a bird", "a fish", "a dog")


def test_truthfulqa_options_are_shuffled_the_same_way_each_time(tmp_path: Path):
    rows = [
        {
            "question": f"Question {i}?",
            "mc1_targets": {"choices": ["r", "x", "y", "z"], "labels": [1, 0, 0, 0]},
        }
        for i in range(40)
    ]
    write_rows(tmp_path / "test.jsonl", rows)
    problems = load_problems(f"truthfulqa_mc:{tmp_path / 'test.jsonl'}")
    for problem in problems:
        assert f"\n{problem.answer}. r" in problem.question.text
    letters = [problem.answer for problem in problems]
    assert set(letters) == set("ABCD")
    write_rows(tmp_path / "test.jsonl", rows[5:])
    assert [p.answer for p in load_problems(f"truthfulqa_mc:{tmp_path / 'test.jsonl'}")] == letters[5:]


def test_a_local_copy_comes_before_the_hub(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_on_hub(hub, "gsm8k", ROWS["gsm8k"], monkeypatch)
    row = {"id": "gsm8k-test-0009", "question": "1+1?", "answer": "2", "solution": None}
    write_rows(tmp_path / "data" / "gsm8k" / "test.jsonl", [row])
    loaded = read_dataset("gsm8k", data_dir=tmp_path / "data")
    assert [problem.id for problem in loaded.problems] == ["gsm8k-test-0009"]
    assert (loaded.source, loaded.stated) == (str(tmp_path / "data" / "gsm8k" / "test.jsonl"), 2)
    monkeypatch.setenv("SAMPLESET_DATA", str(tmp_path / "data"))
    assert load_problems("gsm8k")[0].id == "gsm8k-test-0009"


@pytest.mark.parametrize("file", ["truthfulqa/mc1.jsonl", "truthfulqa_mc/test.parquet"])
def test_truthfulqa_has_two_local_names(file: str, tmp_path: Path):
    row = {"id": "truthfulqa-mc1-0000", "question": "Q?\nA. one\nB. two", "answer": "B"}
    write_rows(tmp_path / file, [row])
    assert load_problems("truthfulqa_mc", data_dir=tmp_path)[0].question.choices == ("one", "two")


def test_a_clone_of_the_source_is_a_local_copy(tmp_path: Path):
    write_rows(tmp_path / "gsm8k" / "main" / "train-00000-of-00001.parquet", ROWS["gsm8k"])
    assert load_problems("gsm8k:train", data_dir=tmp_path)[1].id == "gsm8k-train-0001"


def test_a_normalised_question_without_options_is_an_error(tmp_path: Path):
    write_rows(
        tmp_path / "mmlu_pro" / "test.jsonl", [{"id": "mmlu_pro-test-1", "question": "Q?", "answer": "B"}]
    )
    with pytest.raises(MalformedRecordError, match="lettered options"):
        load_problems("mmlu_pro", data_dir=tmp_path)


def test_a_split_from_the_hub_must_be_whole(hub: Path):
    dataset = hub_dataset("gsm8k")
    write_rows(hub / dataset.repo / dataset.revision / dataset.splits["test"].file, ROWS["gsm8k"])
    with pytest.raises(DataError, match="has 2 rows and should have 1319"):
        load_problems("gsm8k")


@pytest.mark.parametrize(
    ("ref", "error", "says"),
    [
        pytest.param("gsm8k:tset", InvalidArgumentError, "splits are train, test", id="split"),
        pytest.param("one_step:train", InvalidArgumentError, "its split is test", id="only split"),
        pytest.param("gsm8k", InputNotFoundError, "no route to the hub.*HF_ENDPOINT.*--data-dir", id="hub"),
        pytest.param("gsm8k:none.jsonl", InputNotFoundError, "No file 'none.jsonl'", id="file"),
    ],
)
def test_what_cannot_be_had(ref: str, error: type[Exception], says: str, hub: Path):
    with pytest.raises(error, match=says):
        load_problems(ref)


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputNotFoundError, match="SAMPLESET_DATA"):
        load_problems("gsm8k", data_dir=tmp_path / "none")


@pytest.mark.parametrize("name", ROWS)
def test_wrong_columns_are_named(name: str, tmp_path: Path):
    write_rows(tmp_path / "rows.jsonl", [{"text": "What?", "label": "1"}])
    with pytest.raises(MalformedRecordError, match=f"not a row of {name}.*no column.*text, label"):
        load_problems(f"{name}:{tmp_path / 'rows.jsonl'}")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gsm8k", {"question": "Q?", "answer": "7"}),
        ("aime24", {"problem": "Q?", "answer": "7/2"}),
        ("arc_challenge", ROWS["arc_challenge"][0] | {"answerKey": "E"}),
        ("arc_challenge", ROWS["arc_challenge"][0] | {"choices": ["Mars", "the Sun"]}),
        ("mmlu_pro", ROWS["mmlu_pro"][0] | {"options": ["4", "6"]}),
        ("truthfulqa_mc", {"question": "Q?", "mc1_targets": {"choices": ["a", "b"], "labels": [1, 1]}}),
        ("olympiadbench", {"question": "Q?", "final_answer": []}),
    ],
)
def test_a_row_that_states_no_right_answer_is_an_error(name: str, row: dict[str, Any], tmp_path: Path):
    write_rows(tmp_path / "rows.jsonl", [row])
    with pytest.raises(MalformedRecordError, match=f"rows.jsonl:1: not a row of {name}"):
        load_problems(f"{name}:{tmp_path / 'rows.jsonl'}")


def test_an_id_twice_is_an_error(tmp_path: Path):
    write_rows(tmp_path / "rows.jsonl", [ROWS["mmlu_pro"][0]] * 2)
    with pytest.raises(MalformedRecordError, match=r"rows.jsonl:2: the id 'mmlu_pro-rows-00070'"):
        load_problems(f"mmlu_pro:{tmp_path / 'rows.jsonl'}")


def test_worked_solutions_given_as_gold_answers_are_refused(tmp_path: Path):
    write_rows(tmp_path / "rows.jsonl", ROWS["gsm8k"])
    with pytest.raises(DataError, match=r"2 gold answers cannot be read.*--columns"):
        load_problems(str(tmp_path / "rows.jsonl"))


def test_every_hub_dataset_states_its_source():
    for name in ROWS:
        dataset = hub_dataset(name)
        assert dataset.name == name
        assert len(dataset.revision) == 40 and int(dataset.revision, 16)
        assert dataset.licence and dataset.citation and "/" in dataset.repo
        assert all(split.rows > 0 for split in dataset.splits.values())
        assert dataset.licence in dataset.summary and "\n" not in dataset.summary


def test_the_hub_client_reads_its_own_cache_offline(tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    dataset = hub_dataset("aime25")
    snapshot = tmp_path / "hub" / "datasets--math-ai--aime25" / "snapshots" / dataset.revision
    write_rows(
        snapshot / "test.jsonl",
        [{"problem": f"Question {i}?", "answer": str(i), "id": str(i)} for i in range(30)],
    )
    code = (
        "import json; from sampleset.datasets.base import read_dataset; loaded = read_dataset('aime25', 2);"
        "print(json.dumps([[p.id for p in loaded.problems], loaded.source]))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    ids, source = json.loads(done.stdout)
    assert ids == ["aime25-test-0000", "aime25-test-0001"]
    assert source == "math-ai/aime25 at 563bb840"


def test_offline_without_a_cache_is_one_clear_error(tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    code = (
        "from sampleset.datasets.base import load_problems\n"
        "from sampleset.errors import InputNotFoundError\n"
        "for name in ('gsm8k', 'olympiadbench'):\n"
        "    try: load_problems(name)\n"
        "    except InputNotFoundError as error: print(error)"
    )
    environment = {
        **os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith(
        "Cannot get gsm8k:test: main/test-00000-of-00001.parquet of openai/gsm8k at 740312ad"
    )
    assert second.startswith("Cannot get olympiadbench:test:")


def test_questions_are_shared_whatever_their_case_and_spacing():
    def problem(id: str, text: str) -> Problem:
        return Problem(Question(id, text), None)

    first = [problem("a", "What is $x+1$?"), problem("b", "What is $x-1$?")]
    second = [problem("c", "what is  $ x + 1\\, $?"), problem("d", "What is $x+2$?")]
    assert shared_questions(first, second) == [("a", "c")]
