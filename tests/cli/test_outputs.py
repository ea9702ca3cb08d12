"""Where nothing can be written, a command says so before it does any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampleset.storage.files import require_writable
from support.command_line import Run

SETS = Path(__file__).parents[2] / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"
WRITING = [
    pytest.param(["evaluate", SETS], "--output-dir", id="evaluate"),
    pytest.param(["aggregate", SETS], "--output-dir", id="aggregate"),
    pytest.param(["replay", SETS], "--output-dir", id="replay"),
    pytest.param(["sample", SETS], "--output-dir", id="sample"),
    pytest.param(["answer", "2 + 2?"], "--output-dir", id="answer"),
    pytest.param(["demo"], "--output-dir", id="demo"),
    pytest.param(["report", "one", "two"], "--output-dir", id="report"),
    pytest.param(["import", SETS], "--output", id="import"),
    pytest.param(["score", SETS, "--reward-model", "p_true", "--model", "embedded"], "--output", id="score"),
    pytest.param(["train-data", SETS], "--output", id="train-data"),
    pytest.param(["certify", SETS], "--output", id="certify"),
    pytest.param(["fit-vote", SETS], "--output", id="fit-vote"),
    pytest.param(["fit-auto", SETS], "--output", id="fit-auto"),
    pytest.param(["fit-probe", SETS, "--model", "embedded"], "--output", id="fit-probe"),
    pytest.param(["export", "checkpoint"], "--output", id="export"),
    pytest.param(["fit", SETS, "--base", "embedded"], "--output-dir", id="fit"),
    pytest.param(["reproduce", "ssa"], "--output-dir", id="reproduce"),
]


@pytest.mark.parametrize(("command", "option"), WRITING)
def test_a_path_under_a_file_is_refused_before_any_work(
    command: list[object], option: str, run: Run, tmp_path: Path
):
    file = tmp_path / "file.jsonl"
    file.write_text("x")
    code, out, err = run(*command, option, file / "out.jsonl")
    assert (code, out) == (1, "")
    assert err == f"error: {file / 'out.jsonl'}: Not a directory. Name another file or folder.\n"
    assert file.read_text() == "x"


@pytest.mark.parametrize(("command", "option"), WRITING)
def test_a_folder_that_is_read_only_is_refused_before_any_work(
    command: list[object], option: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # By the answer of the system, since the superuser may write everywhere.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    path = tmp_path / "out.jsonl"
    code, out, err = run(*command, option, path)
    assert (code, out) == (1, "")
    assert err == f"error: {path}: Permission denied. Give a file or folder that you may read and write.\n"


@pytest.mark.parametrize(("command", "option"), WRITING)
def test_a_folder_in_place_of_a_file_is_refused_and_the_reverse(
    command: list[object], option: str, run: Run, tmp_path: Path
):
    is_folder = option == "--output-dir" or command[0] == "export"
    wrong = tmp_path / "wrong.json"
    wrong.write_text("x") if is_folder else wrong.mkdir()
    code, _, err = run(*command, option, wrong)
    assert code == 2
    assert err.startswith(f"error: {str(wrong)!r} is a {'file' if is_folder else 'folder'}. Name another")


def test_a_pipe_can_be_written():
    require_writable(Path(os.devnull), is_folder=False)
