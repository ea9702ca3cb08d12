from pathlib import Path

import pytest

from sampleset.errors import InputNotFoundError, InvalidArgumentError
from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile, smallest_set


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [{"id": f"q{number}", "question": "?", "samples": ["1"] * (5 - number)} for number in range(3)]
    path = tmp_path / "sets.v1.jsonl.gz"
    write_rows(path, rows)
    return path


def test_a_file_may_be_read_again_and_again(path: Path):
    sets = SampleFile(path)
    assert [one.sample_set.id for one in sets] == [one.sample_set.id for one in sets] == ["q0", "q1", "q2"]


def test_the_name_is_the_files_without_its_ending(path: Path):
    assert SampleFile(path).name == "sets.v1"


def test_a_limit_takes_the_first(path: Path):
    assert [one.sample_set.id for one in SampleFile(path, limit=2)] == ["q0", "q1"]


def test_the_smallest_set(path: Path):
    assert smallest_set(SampleFile(path)) == (3, "q2")


def test_other_column_names_are_mapped(tmp_path: Path):
    path = tmp_path / "sets.jsonl"
    write_rows(path, [{"uid": "a", "prompt": "2+2?", "target": "4", "outputs": ["4", "5"]}])
    columns = {"id": "uid", "question": "prompt", "answer": "target", "samples": "outputs"}
    (stored,) = SampleFile(path, columns=columns)
    assert (stored.sample_set.id, stored.problem.answer, stored.sample_set.n) == ("a", "4", 2)


def test_what_is_not_there_or_does_not_fit_is_refused(path: Path):
    with pytest.raises(InputNotFoundError, match="none"):
        SampleFile(path.parent / "none")
    with pytest.raises(InvalidArgumentError, match="is not a store"):
        SampleFile(path, configuration="ab")
    with pytest.raises(InvalidArgumentError, match="limit=0"):
        SampleFile(path, limit=0)
