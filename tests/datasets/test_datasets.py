from pathlib import Path

import pytest

from sampleset.answers import matches_gold
from sampleset.datasets.base import DATASETS, load_problems
from sampleset.errors import InputNotFoundError, InvalidArgumentError, UnknownNameError
from sampleset.storage.files import write_rows


def test_every_gold_answer_of_ours_equals_itself():
    golds = [problem.answer or "" for problem in load_problems("one_step")]
    assert golds
    assert [gold for gold in golds if matches_gold(gold, gold).equal is not True] == []


def test_every_dataset_is_summed_up_in_one_line():
    for name in DATASETS.names():
        assert DATASETS.get(name).summary and "\n" not in DATASETS.get(name).summary


def test_a_file_is_a_dataset(problems_file: Path):
    assert [problem.id for problem in load_problems(str(problems_file), limit=2)] == ["p0", "p1"]


def test_a_gzipped_file_without_a_slash_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_rows(Path("mine.jsonl.gz"), [{"question": "1+1?"}])
    assert load_problems("mine.jsonl.gz")[0].id == "0"


@pytest.mark.parametrize(
    ("ref", "limit", "error"),
    [
        pytest.param("one_stpe", None, UnknownNameError, id="name"),
        pytest.param("none.jsonl", None, InputNotFoundError, id="file"),
        pytest.param("one_step", 0, InvalidArgumentError, id="limit"),
    ],
)
def test_what_is_not_there_is_an_error(ref: str, limit: int | None, error: type[Exception]):
    with pytest.raises(error):
        load_problems(ref, limit)
