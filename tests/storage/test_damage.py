"""What is damaged in a store is told, set aside, and costs nothing else."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampleset.cli import main as cli
from sampleset.errors import DataError, InputNotFoundError, MalformedRecordError
from sampleset.storage.damage import check_store, repair_store
from sampleset.storage.files import write_rows
from sampleset.storage.rows import parse_line
from sampleset.storage.store import Configuration, SampleStore, draw_key
from sampleset.types import Problem, Question, Sample

COLD = Configuration("model", "solve-1", {"temperature": 0.0, "seed": 0})
QUESTIONS = 4
DRAWS = 3


def filled(folder: Path) -> Path:
    """A store of a few questions, one of them stopped early."""
    store = SampleStore(folder)
    for number in range(QUESTIONS):
        question = Question(f"p{number}", f"{number}+1?")
        key = draw_key(COLD, [{"role": "user", "content": question.text}])
        store.add_problems([Problem(question, str(number + 1))])
        store.add(key, question.id, COLD, [Sample(index, f"It is {index}.") for index in range(DRAWS)])
        store.add_stop(key, question.id, "beta:0.95")
    store.claim(key)
    store.close()
    return folder


def drawn(folder: Path) -> dict[str, list[str]]:
    return {
        one.sample_set.id: [sample.text for sample in one.sample_set.samples]
        for one in SampleStore(folder).sample_sets()
    }


def damage_line(path: Path, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Change a line (from 1) of a file; returns what it is then."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = change(lines[number - 1])
    path.write_bytes(b"".join(lines))
    return lines[number - 1]


def changed(**fields: Any) -> Callable[[bytes], bytes]:
    def change(line: bytes) -> bytes:
        row = {**json.loads(line), **fields}
        return json.dumps({name: value for name, value in row.items() if value is not None}).encode() + b"\n"

    return change


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        pytest.param("samples.jsonl", lambda line: line.replace(b"It", b"I\xff"), "utf-8", id="a bad byte"),
        pytest.param("samples.jsonl", lambda line: b"\0" * (len(line) - 1) + b"\n", "not JSON", id="NULs"),
        pytest.param("samples.jsonl", changed(index="1"), "'index' must be a whole number", id="an index"),
        pytest.param("samples.jsonl", changed(text=None), "lacks the field 'text'", id="no text"),
        pytest.param("samples.jsonl", changed(params=[]), "'params' must be an object", id="parameters"),
        pytest.param("samples.jsonl", changed(seed="x"), "'seed' must be int", id="a seed"),
        pytest.param("stops.jsonl", changed(n=None), "lacks the field 'n'", id="a stop without n"),
        pytest.param("stops.jsonl", changed(key=["k"]), "'key' must be a text", id="a key"),
        pytest.param("problems.jsonl", changed(question=" "), "no question", id="no question"),
    ],
)
def test_damage_is_told_with_file_row_and_remedy_and_set_aside(
    tmp_path: Path, file: str, change: Callable[[bytes], bytes], reason: str, run: Any
):
    folder = filled(tmp_path / "store")
    whole = drawn(folder)
    broken = damage_line(folder / file, 2, change)
    with pytest.raises(MalformedRecordError) as caught:
        for _ in SampleStore(folder).sample_sets():
            pass
    assert f"store check {folder}" in str(caught.value)
    assert "--repair" in str(caught.value)

    code, out, err = run("store", "check", folder)
    assert (code, "next: sampleset store check" in err) == (1, True)
    assert out.startswith(f"{file}:2")
    assert reason in out
    code, out, _ = run("store", "check", folder, "--repair")
    assert code == (file == "problems.jsonl")
    assert (folder / f"{file}.damaged").read_bytes().rstrip(b"\n") == broken.rstrip(b"\n")
    is_question_lost = file == "problems.jsonl"
    assert run("store", "check", folder)[0] == is_question_lost
    left = drawn(folder)
    if file == "samples.jsonl":
        whole["p0"] = [whole["p0"][0], whole["p0"][2]]
    elif file == "problems.jsonl":
        del whole["p1"]
    assert left == whole


@pytest.mark.parametrize(
    ("file", "left"),
    [
        ("samples.jsonl", {"p0": 2}),
        ("problems.jsonl", {"p0": None}),
        ("stops.jsonl", {}),
        ("shared.jsonl", {}),
    ],
)
def test_a_row_of_another_schema_is_said_and_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, left: dict[str, int | None]
) -> None:
    store = filled(tmp_path)
    before = {id: len(texts) for id, texts in drawn(store).items()}
    if file == "shared.jsonl":
        (store / file).write_text('{"schema": 99, "pairs": []}\n')
    else:
        damage_line(store / file, 1, changed(schema=99))
    after = {id: len(texts) for id, texts in drawn(store).items()}
    assert after == {id: count for id, count in {**before, **left}.items() if count is not None}
    assert [record.message.count("'schema' is '99'") for record in caplog.records][:1] == [1]
    (damage,) = check_store(store).damage
    assert (damage.file, damage.row) == (file, 1) and "'schema' is '99'" in damage.reason
    repair_store(store)
    assert b"99" in (store / f"{file}.damaged").read_bytes()
    assert check_store(store).damage == ()


def test_the_byte_is_told_at_which_reading_fails(tmp_path: Path):
    folder = filled(tmp_path / "store")
    path = folder / "samples.jsonl"
    content = bytearray(path.read_bytes())
    place = content.index(b"It is 1.")
    content[place] = 0xFF
    path.write_bytes(content)
    (damage,) = check_store(folder).damage
    assert (damage.file, damage.row, damage.byte) == ("samples.jsonl", 2, place)


def test_rows_that_a_damaged_line_break_has_joined_are_both_kept(tmp_path: Path):
    folder = filled(tmp_path / "store")
    whole = drawn(folder)
    path = folder / "samples.jsonl"
    content = bytearray(path.read_bytes())
    content[content.index(b"\n", 300)] = ord("x")
    path.write_bytes(content)
    open_store = SampleStore.__new__(SampleStore)
    with pytest.raises(MalformedRecordError):
        open_store.__init__(folder)
    check, aside = repair_store(folder)
    assert [damage.length for damage in check.damage] == [1]
    assert [path.name for path in aside] == ["samples.jsonl.damaged"]
    assert drawn(folder) == whole


def test_rows_without_the_line_break_between_them_are_all_kept(tmp_path: Path):
    folder = filled(tmp_path / "store")
    whole = drawn(folder)
    path = folder / "samples.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\n", b"", 3))
    check, _ = repair_store(folder)
    assert len(check.damage) > 0
    assert {name: sorted(texts) for name, texts in drawn(folder).items()} == {
        name: sorted(texts) for name, texts in whole.items()
    }
    assert not check_store(folder).damage


def test_a_last_row_that_lacks_nothing_but_its_line_break_is_kept(tmp_path: Path):
    folder = filled(tmp_path / "store")
    whole = drawn(folder)
    path = folder / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    repair_store(folder)
    assert drawn(folder) == whole


@pytest.mark.parametrize(
    ("field", "value"),
    [("index", -1), ("index", 10**30), ("prompt_tokens", -5), ("completion_tokens", -1)],
)
def test_a_number_that_no_draw_has_is_damage(tmp_path: Path, field: str, value: int):
    folder = filled(tmp_path / "store")
    damage_line(folder / "samples.jsonl", 1, changed(**{field: value}))
    (damage,) = check_store(folder).damage
    assert field in damage.reason


def test_a_process_that_has_the_store_open_goes_on(tmp_path: Path):
    folder = filled(tmp_path / "store")
    store = SampleStore(folder)
    damage_line(folder / "samples.jsonl", 2, lambda line: line.replace(b"It", b"I\xff"))
    repair_store(folder)
    key = draw_key(COLD, [{"role": "user", "content": "3+1?"}])
    assert [sample.text for sample in store.drawn(key).values()] == ["It is 0.", "It is 1.", "It is 2."]
    store.add(key, "p3", COLD, [Sample(3, "More.")])
    assert drawn(folder)["p3"][-1] == "More."


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_a_repair_every_row_that_was_whole_is_there(tmp_path_factory: Any, data: st.DataObject):
    folder = filled(tmp_path_factory.mktemp("damaged") / "store")
    path = folder / "samples.jsonl"
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b"\0\xff\n{x"))
    path.write_bytes(content)
    whole = [line for line in bytes(content).splitlines() if _is_row(line)]
    repair_store(folder)
    assert not check_store(folder).damage
    after = path.read_bytes().splitlines()
    assert len(path.read_bytes()) == len(content)
    assert all(line in after for line in whole)
    for _ in SampleStore(folder).sample_sets():
        pass


def _is_row(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and _is_known(row)


def _is_known(row: dict[str, Any]) -> bool:
    """Whether a row is one that `filled` wrote, its texts and identities changed at most."""
    expected = {"schema", "key", "problem_id", "index", "text", "configuration", "model", "prompt", "params"}
    return (
        row.keys() == expected
        and row["configuration"] == COLD.id
        and (row["model"], row["prompt"], row["params"]) == (COLD.model, COLD.prompt, COLD.params)
        and all(character in "0123456789abcdef" for character in row["key"])
    )


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        pytest.param(errno.ENOLCK, "no locks", id="no lock"),
        pytest.param(errno.ENOSYS, "no locks", id="no system call"),
        pytest.param(errno.ENOTSUP, "no locks", id="not supported"),
    ],
)
@pytest.mark.parametrize("lock", ["flock", "fcntl"])
def test_a_file_system_without_locks_is_told_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str, number: int, remedy: str
):
    store = SampleStore(tmp_path / "store")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, lock, refuse)
    with pytest.raises(OSError) as caught:
        store.claim("0" * 32)
        store.add_problems([Problem(Question("p", "1+1?"), "2")])
    shown = cli._reason(caught.value)
    assert shown.startswith(str(tmp_path / "store"))
    assert os.strerror(number) in shown
    assert remedy in shown


def test_a_full_disk_is_told_with_the_file_and_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = SampleStore(tmp_path / "store")

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OSError) as caught:
        store.add_problems([Problem(Question("p", "1+1?"), "2")])
    shown = cli._reason(caught.value)
    assert shown.startswith(f"{tmp_path / 'store' / 'problems.jsonl'}: No space left on device. Make room")


def cut_after_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def cut_within_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("lose", "lost"),
    [
        pytest.param(Path.unlink, 4, id="missing"),
        pytest.param(Path.touch, 0, id="whole"),
        pytest.param(lambda path: path.write_bytes(b""), 4, id="empty"),
        pytest.param(cut_after_a_line, 3, id="cut after a line"),
        pytest.param(cut_within_a_line, 1, id="cut within a line"),
    ],
)
def test_draws_whose_problems_are_lost_are_said_and_used_again(
    tmp_path: Path, lose: Callable[[Path], Any], lost: int, run: Any,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    questions = tmp_path / "questions.jsonl"
    samples = ["\\boxed{3} a", "\\boxed{3} b"]
    write_rows(
        questions, [{"question": f"{n}+1?", "answer": str(n + 1), "samples": samples} for n in range(4)]
    )
    folder = tmp_path / "store"
    draw = ("sample", questions, "--model", f"replay:{questions}", "-n", 2, "--output-dir", folder, "--json")
    run(*draw)
    whole = drawn(folder)
    lose(folder / "problems.jsonl")

    remedy = (
        f"lacks {lost} question{'s' * (lost > 1)} with draws, so that these are not used. Run the same `samp"
    )
    for repair in [(), ("--repair",), ()]:
        code, out, _ = run("store", "check", folder, *repair)
        assert (code, remedy in out) == ((1, True) if lost else (0, False))
    code, _, err = run("aggregate", folder)
    if lost == 4:
        assert (code, remedy in err) == (2, True)
    else:
        assert code == 0
        assert [remedy in record.getMessage() for record in caplog.records] == [True] * (lost > 0)
        assert len(drawn(folder)) == 4 - lost
    assert json.loads(run(*draw)[1])["drawn_now"] == 0
    assert drawn(folder) == whole
    assert run("store", "check", folder)[0] == 0


def test_a_problem_that_another_process_adds_is_not_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    filled(tmp_path)
    reader = SampleStore(tmp_path)
    writer = SampleStore(tmp_path)
    question = Question("new", "9+1?")
    key = draw_key(COLD, [{"role": "user", "content": question.text}])
    writer.add(key, "new", COLD, [Sample(0, "10")])
    reader.refresh()
    writer.add_problems([Problem(question, "10")])
    assert [stored.sample_set.id for stored in reader.sample_sets()] == ["p0", "p1", "p2", "p3", "new"]
    assert caplog.records == []


@pytest.mark.parametrize("name", ["", "samples.jsonl", "problems.jsonl"])
def test_a_link_to_itself_is_named(tmp_path: Path, name: str) -> None:
    store = filled(tmp_path / "store")
    link = store / name if name else tmp_path / "link"
    if name:
        link.unlink()
    link.symlink_to(link.name)
    with pytest.raises(InputNotFoundError, match=f"{link.name}.* is a link to .* which leads nowhere"):
        check_store(store if name else link)


def test_each_row_of_a_store_is_parsed_once_by_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "store")
    parsed: list[bytes] = []

    def parse(line: bytes) -> dict[str, Any]:
        parsed.append(line)
        return parse_line(line)

    monkeypatch.setattr("sampleset.storage.damage.parse_line", parse)
    check = check_store(store)
    assert len(parsed) == sum(check.rows.values()) > 0
    assert (check.without_problem, check.damage) == (0, ())


def test_draws_whose_problem_is_damaged_count_as_without_it(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    damage_line(store / "problems.jsonl", 1, lambda line: b"x" + line[1:])
    assert check_store(store).without_problem == 1


@pytest.mark.parametrize("name", ["samples.jsonl", "problems.jsonl", "stops.jsonl", "shared.jsonl"])
def test_a_pipe_in_place_of_a_file_is_named_and_not_waited_for(tmp_path: Path, name: str) -> None:
    store = filled(tmp_path / "store")
    (store / name).unlink(missing_ok=True)
    os.mkfifo(store / name)
    with pytest.raises(DataError, match=f"{name}' is no regular file"):
        check_store(store)
    with pytest.raises(DataError, match=f"{name}' is no regular file"):
        list(SampleStore(store).sample_sets())


def test_a_file_in_another_encoding_is_set_aside_and_drawn_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    path = store / "samples.jsonl"
    path.write_bytes(path.read_text().encode("utf-16"))
    check, _ = repair_store(store)
    assert check.rows["samples.jsonl"] == 0
    assert check_store(store).damage == ()
    filled(store)
    assert len(drawn(store)) == QUESTIONS


def test_a_row_that_names_another_configuration_than_its_own_is_told_by_whoever_reads(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    damage_line(store / "samples.jsonl", 1, changed(model="another"))
    with pytest.raises(MalformedRecordError, match=r"samples.jsonl:1: 'configuration' is .*store check"):
        drawn(store)
    repair_store(store)
    assert len(drawn(store)) == QUESTIONS
