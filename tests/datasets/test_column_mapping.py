from pathlib import Path

import pytest

from sampleset.datasets.base import load_problems
from sampleset.errors import InvalidArgumentError, MalformedRecordError
from sampleset.storage.files import read_sample_sets, write_rows
from sampleset.storage.records import parse_columns, with_columns


def test_a_mapping_as_it_is_typed():
    assert parse_columns("question=prompt, answer=target,id=uid") == {
        "question": "prompt",
        "answer": "target",
        "id": "uid",
    }


@pytest.mark.parametrize("text", ["question", "question=", "qestion=prompt", "answer=a,answer=b", ""])
def test_a_mapping_that_means_nothing(text: str):
    with pytest.raises(InvalidArgumentError, match="OURS=THEIRS"):
        parse_columns(text)


def test_mapped_columns_stand_in_for_ours_and_the_others_stay():
    row = {"prompt": "1+1?", "target": "2", "question": "old", "expected_answer": "3", "tag": "x"}
    assert with_columns(row, {"question": "prompt", "answer": "target"}) == {
        "question": "1+1?",
        "answer": "2",
        "tag": "x",
    }
    assert with_columns(row, None) is row


def test_one_column_may_serve_twice():
    assert with_columns({"q": "1+1?"}, {"id": "q", "question": "q"}) == {"id": "1+1?", "question": "1+1?"}


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_problems_of_a_file_with_other_names(suffix: str, tmp_path: Path):
    path = tmp_path / f"mine{suffix}"
    write_rows(path, [{"uid": 7, "prompt": "1+1?", "target": "2", "source": "me"}])
    (problem,) = load_problems(str(path), columns=parse_columns("question=prompt,answer=target,id=uid"))
    assert (problem.id, problem.question.text, problem.answer) == ("7", "1+1?", "2")
    assert problem.extra == {"source": "me"}


def test_an_absent_column_is_an_error_that_names_those_there(tmp_path: Path):
    write_rows(tmp_path / "mine.jsonl", [{"prompt": "1+1?", "target": "2"}])
    with pytest.raises(MalformedRecordError, match=r"mine.jsonl:1: no column 'input'.*prompt, target"):
        load_problems(str(tmp_path / "mine.jsonl"), columns={"question": "input"})


def test_sample_sets_of_a_file_with_other_names(tmp_path: Path):
    write_rows(tmp_path / "sets.jsonl", [{"prompt": "1+1?", "target": "2", "outputs": ["2", "3"]}])
    columns = parse_columns("question=prompt,answer=target,samples=outputs")
    (stored,) = read_sample_sets(tmp_path / "sets.jsonl", columns)
    assert [sample.text for sample in stored.sample_set.samples] == ["2", "3"]
    assert stored.problem.answer == "2"
    assert "outputs" not in stored.to_row()


def test_sample_sets_of_a_folder_with_other_names(tmp_path: Path):
    for seed in (0, 1):
        write_rows(tmp_path / f"rs{seed}.jsonl", [{"prompt": "1+1?", "generation": str(seed)}])
    (stored,) = read_sample_sets(tmp_path, {"question": "prompt"})
    assert [sample.text for sample in stored.sample_set.samples] == ["0", "1"]


def test_named_datasets_take_no_mapping():
    with pytest.raises(InvalidArgumentError, match="files of your own"):
        load_problems("one_step", columns={"question": "prompt"})
