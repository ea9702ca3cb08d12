import datetime
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError, MalformedRecordError
from sampleset.storage.files import (
    JsonlLog,
    check_target,
    new_jsonl,
    read_problems,
    read_sample_sets,
    write_rows,
)
from sampleset.storage.rows import read_rows

ROWS = [{"id": "a", "question": "1+1?", "answer": "2"}, {"id": "b", "question": "ü\u2028?", "answer": "½"}]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.parquet"])
def test_rows_are_read_back_as_they_were_written(tmp_path: Path, name: str):
    assert write_rows(tmp_path / name, ROWS) == 2
    assert [row for _, row in read_rows(tmp_path / name)] == ROWS


def test_the_same_rows_give_the_same_bytes(tmp_path: Path):
    write_rows(tmp_path / "one.jsonl.gz", ROWS)
    write_rows(tmp_path / "two.jsonl.gz", ROWS)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, ROWS)

    def broken():
        yield ROWS[0]
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError):
        write_rows(path, broken())
    assert [row for _, row in read_rows(path)] == ROWS
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_a_malformed_line_is_named_by_file_and_number(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "1+1?"}\n\n{"question": \n')
    with pytest.raises(MalformedRecordError, match=rf"^{path}:3: not JSON"):
        list(read_problems(path))


def test_a_line_that_is_no_object_is_malformed(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("[1, 2]\n")
    with pytest.raises(MalformedRecordError, match=":1: expected a JSON object, got list"):
        list(read_rows(path))


def test_deeply_nested_json_is_malformed_not_a_crash(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("[" * 200_000 + "\n")
    with pytest.raises(MalformedRecordError, match=":1: not JSON"):
        list(read_rows(path))


def test_an_id_that_stands_twice_is_refused(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [ROWS[0], ROWS[0]])
    with pytest.raises(MalformedRecordError, match=":2: the id 'a' stands here a second time"):
        list(read_problems(path))


@pytest.mark.parametrize("read", [read_problems, read_sample_sets])
def test_an_empty_file_is_refused(tmp_path: Path, read):
    path = tmp_path / "rows.jsonl"
    path.touch()
    with pytest.raises(DataError, match="in this file"):
        list(read(path))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputNotFoundError, match="No file"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_an_unknown_suffix_is_refused(tmp_path: Path):
    path = tmp_path / "rows.xlsx"
    path.touch()
    with pytest.raises(DataError, match="unknown kind of file"):
        list(read_rows(path))


@pytest.mark.parametrize(("name", "line"), [("rows.jsonl.gz", b'{"a": 1}\n'), ("rows.csv.gz", b"a;b\n")])
def test_a_gzip_file_cut_short_is_said_to_be_damaged(tmp_path: Path, name: str, line: bytes):
    path = tmp_path / name
    path.write_bytes(gzip.compress(line * 10_000)[:30])
    with pytest.raises(DataError, match="damaged after line"):
        list(read_rows(path))


def test_a_file_that_is_not_parquet_is_said_not_to_be(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match="not a Parquet file"):
        list(read_rows(path))


def test_one_file_per_seed_is_joined_by_question_in_the_order_of_the_seeds(tmp_path: Path):
    for seed in (10, 2):
        rows = [{"problem": "1+1?", "generation": f"seed {seed}", "expected_answer": "2"}]
        write_rows(tmp_path / f"output-rs{seed}.jsonl", rows)
    (stored,) = read_sample_sets(tmp_path)
    assert [sample.text for sample in stored.sample_set.samples] == ["seed 2", "seed 10"]
    assert stored.problem.answer == "2"


def test_a_torn_last_line_is_cut_off_by_the_next_append(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2')
    log = JsonlLog(path)
    assert [row for _, row in log.new_rows()] == [{"a": 1}]
    log.append([{"a": 3}])
    assert path.read_bytes() == b'{"a":1}\n{"a":3}\n'
    assert [row for _, row in log.new_rows()] == [{"a": 3}]


def test_a_log_that_is_nothing_but_a_torn_line_starts_anew(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"x" * 200_000)
    JsonlLog(path).append([{"a": 1}])
    assert path.read_bytes() == b'{"a":1}\n'


def test_new_rows_come_once(tmp_path: Path):
    log = JsonlLog(tmp_path / "log.jsonl")
    log.append([{"a": 1}])
    assert [row for _, row in log.new_rows()] == [{"a": 1}]
    log.append([{"a": 2}])
    assert [row for _, row in log.new_rows()] == [{"a": 2}]


def test_a_row_is_found_again_by_its_offset(tmp_path: Path):
    log = JsonlLog(tmp_path / "log.jsonl")
    log.append([{"text": "ü"}, {"text": "second"}])
    offsets = [offset for offset, _ in log.new_rows()]
    assert log.row_at(offsets[1]) == {"text": "second"}


def test_lone_surrogates_do_not_stop_an_append(tmp_path: Path):
    log = JsonlLog(tmp_path / "log.jsonl")
    log.append([{"text": "broken \ud800 piece"}])
    assert [row for _, row in log.new_rows()] == [{"text": "broken ? piece"}]


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = JsonlLog(tmp_path / "log.jsonl")
    log.append([{"a": 1}])
    written = os.pwrite

    def half_then_full(descriptor: int, data: memoryview, offset: int) -> int:
        if len(data) < 6:
            raise OSError(28, "No space left on device")
        return written(descriptor, data[:6], offset)

    monkeypatch.setattr(os, "pwrite", half_then_full)
    with pytest.raises(OSError, match="No space left"):
        log.append([{"a": 2}])
    monkeypatch.undo()
    assert log.path.read_bytes() == b'{"a":1}\n'


def test_processes_that_append_at_once_do_not_tear_each_others_rows(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    code = (
        "import sys; from pathlib import Path; from sampleset.storage.files import JsonlLog\n"
        "log = JsonlLog(Path(sys.argv[1]))\n"
        "for number in range(200): log.append([{'who': sys.argv[2], 'number': number, 'fill': 'x' * 5000}])\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(path), who]) for who in "abc"]
    assert [process.wait() for process in started] == [0, 0, 0]
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(rows) == 600
    for who in "abc":
        assert [row["number"] for row in rows if row["who"] == who] == list(range(200))


def test_what_a_killed_writer_left_is_swept_and_a_live_ones_is_not(tmp_path: Path):
    dead, live = tmp_path / ".rows.jsonl.999999999", tmp_path / f".rows.jsonl.{os.getppid()}"
    dead.touch()
    live.touch()
    with new_jsonl(tmp_path / "rows.jsonl") as add:
        add({"a": 1})
        assert not (tmp_path / "rows.jsonl").exists()
    assert list(read_rows(tmp_path / "rows.jsonl")) == [(1, {"a": 1})]
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl", live.name}


def test_a_new_file_that_is_not_finished_is_not_there(tmp_path: Path):
    with pytest.raises(KeyError), new_jsonl(tmp_path / "rows.jsonl") as add:
        add({"a": 1})
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_gzip_file_damaged_in_the_middle_is_refused(tmp_path: Path):
    path = tmp_path / "sets.jsonl.gz"
    write_rows(path, [{"text": str(number) * 50} for number in range(5000)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 64 + whole[len(whole) // 2 :])
    with pytest.raises(DataError, match="damaged after line"):
        list(read_rows(path))


def test_values_that_json_does_not_know_are_written_as_text(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [{"day": datetime.date(2024, 5, 1)}])
    assert [row for _, row in read_rows(path)] == [{"day": "2024-05-01"}]


def test_rows_without_an_id_are_told_apart_by_their_question(tmp_path: Path):
    for seed in (0, 1):
        rows = [{"id": None, "question": text, "generation": f"{text} {seed}"} for text in ("1+1?", "2+2?")]
        write_rows(tmp_path / f"rs{seed}.jsonl", rows)
    assert [one.sample_set.n for one in read_sample_sets(tmp_path)] == [2, 2]


@pytest.mark.parametrize("name", ["out.xlsx", "folder.jsonl", "file/out.jsonl"])
def test_a_target_that_cannot_be_written_is_found_out_beforehand(tmp_path: Path, name: str):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises((DataError, InvalidArgumentError, NotADirectoryError)):
        check_target(tmp_path / name)
    check_target(tmp_path / "new" / "out.jsonl")
