"""The settings that commands save: resolved, nothing else, and enough to repeat the run."""

import importlib
import inspect
import io
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from sampleset.cli import main as cli
from sampleset.cli.menu import COMMANDS
from sampleset.commands.options import NOT_SAVED, OptionGroup
from sampleset.storage.files import write_rows
from support.command_line import Run

SAVING = (
    "answer",
    "sample",
    "aggregate",
    "score",
    "evaluate",
    "replay",
    "train-data",
    "fit-vote",
    "certify",
)


@pytest.fixture
def sets_file(tmp_path: Path) -> Path:
    path = tmp_path / "sets.jsonl"
    texts = {"a": "222232", "b": "555544"}
    write_rows(
        path,
        [
            {
                "id": name,
                "question": f"{name}+1?",
                "answer": answers[0],
                "samples": [f"\\boxed{{{answer}}} ({place})" for place, answer in enumerate(answers)],
            }
            for name, answers in texts.items()
        ],
    )
    judgements = [
        {"question": f"{name}+1?", "samples": [f"Score: {place}" for place in range(6)]} for name in texts
    ]
    write_rows(tmp_path / "judge.jsonl", judgements)
    return path


def labelled(sets: Path) -> Path:
    """Sets enough to learn from."""
    path = sets.with_name("labelled.jsonl")
    rows = [
        {
            "id": f"{number}",
            "question": f"{number}+1?",
            "answer": "2" if number % 3 else "3",
            "samples": [f"\\boxed{{{answer}}} {number}" for answer in ("2", "2", "3", "4")],
        }
        for number in range(90)
    ]
    write_rows(path, rows)
    return path


def commands(sets: Path, out: Path) -> dict[str, tuple[list[object], Path]]:
    """A run of each command that saves settings, and where it saves them."""
    replay = f"replay:{sets}"
    return {
        "answer": (["a+1?", "--model", replay, "-k", 4, "--seed", 3, "--output-dir", out],
                   out / "config.json"),
        "sample": ([sets, "--model", replay, "-n", 4, "--stop", "beta:0.9", "--limit", 1,
                    "--output-dir", out],
                   out / "config.json"),
        "aggregate": ([sets, "-k", 3, "--aggregator", "first_sample", "--output-dir", out],
                      out / "config.json"),
        "score": ([sets, "--reward-model", "llm_judge", "--model",
                   f"replay:{sets.with_name('judge.jsonl')}", "--output", out / "scored.jsonl"],
                  out / "scored.jsonl.config.json"),
        "evaluate": ([sets, "-k", "2,3", "--subsets", 3, "--output-dir", out], out / "config.json"),
        "replay": ([sets, "--stop", "esc:2", "--orders", 4, "--seed", 5, "--output-dir", out],
                   out / "config.json"),
        "train-data": ([sets, "-k", "3-4", "--all-wrong", 1, "--easy", 1, "--unanimous", 1,
                        "--aggregator-model", replay, "--output", out / "rows.jsonl"],
                       out / "rows.config.json"),
        "fit-vote": ([labelled(sets), "-k", "3-4", "--folds", 4, "--output", out / "vote.json"],
                     out / "vote.config.json"),
        "certify": ([labelled(sets), "-k", 3, "--risk", 0.6, "--output", out / "certificate.json"],
                    out / "certificate.config.json"),
    }  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.mark.parametrize("command", SAVING)
def test_the_saved_settings_repeat_the_run(run: Run, sets_file: Path, tmp_path: Path, command: str):
    out = tmp_path / "out"
    out.mkdir()
    arguments, saved = commands(sets_file, out)[command]
    first = run(command, *arguments)
    assert first[0] == 0, first[2]
    before, config = contents(out), tmp_path / "config.json"
    saved.rename(config)
    for path in out.iterdir():
        path.unlink()
    assert run(command, "--config", config) == first
    assert contents(out) == before


@pytest.mark.parametrize("command", SAVING)
def test_all_settings_are_saved_and_nothing_else(run: Run, sets_file: Path, tmp_path: Path, command: str):
    (tmp_path / "out").mkdir()
    arguments, saved = commands(sets_file, tmp_path / "out")[command]
    assert run(command, *arguments, "--json", "--quiet")[0] == 0
    settings = json.loads(saved.read_text())
    assert settings.keys() == {"version", "command"} | settings_of(command)
    assert settings["command"] == command


def settings_of(command: str) -> set[str]:
    """The names of a command's arguments and options but for those marked as no settings."""
    name = command.replace("-", "_")
    function = getattr(importlib.import_module(f"sampleset.commands.{name}"), name)
    hints: dict[str, Any] = {}
    for parameter, hint in get_type_hints(function, include_extras=True).items():
        if isinstance(hint, type) and issubclass(hint, OptionGroup):
            of_group = get_type_hints(hint, include_extras=True)
            hints |= {field.name: of_group[field.name] for field in fields(hint)}
        elif parameter != "return":
            hints[parameter] = hint
    return {one for one, hint in hints.items() if NOT_SAVED not in getattr(hint, "__metadata__", ())}


def test_what_was_left_open_is_saved_as_it_was_taken(
    run: Run, sets_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("b+1?"))
    out = tmp_path / "out"
    assert run("answer", "-", "--model", f"replay:{sets_file}", "--output-dir", out)[0] == 0
    settings = json.loads((out / "config.json").read_text())
    assert settings["question"] == "b+1?"
    assert settings["prompt"] == "solve"
    assert settings["aggregator"] == "majority_vote"


def test_a_pool_is_saved_with_its_members(run: Run, sets_file: Path, tmp_path: Path):
    pool, out = tmp_path / "pool.yaml", tmp_path / "out"
    replay = f"replay:{sets_file}"
    pool.write_text(json.dumps({"pool": [{"model": replay, "count": 2},
                                         {"model": replay, "count": 1, "temperature": 0.1}]}))  # fmt: skip
    first = run("answer", "a+1?", "--pool", pool, "--output-dir", out, "--json")
    assert first[0] == 0, first[2]
    settings = out / "config.json"
    assert json.loads(settings.read_text())["pool"][1] == {
        "model": replay, "count": 1, "temperature": 0.1, "prompt": "solve"}  # fmt: skip
    pool.unlink()
    assert run("answer", "--config", settings, "--json") == first


def test_a_flag_overrules_saved_settings(run: Run, sets_file: Path, tmp_path: Path):
    out = tmp_path / "out"
    run("aggregate", sets_file, "-k", 3, "--output-dir", out)
    (out / "config.json").rename(tmp_path / "config.json")
    assert run("aggregate", "--config", tmp_path / "config.json", "-k", 2)[0] == 0
    assert json.loads((out / "config.json").read_text())["k"] == 2


def test_settings_of_another_command_are_refused(run: Run, sets_file: Path, tmp_path: Path):
    run("aggregate", sets_file, "--output-dir", tmp_path / "out")
    code, out, err = run("evaluate", sets_file, "--config", tmp_path / "out" / "config.json")
    assert (code, out) == (2, "")
    assert "settings of a run of `aggregate`, not of `evaluate`" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_says_what_their_help_says(command: str):
    from typer.main import get_command

    full: Any = get_command(cli.app).commands[command]  # type: ignore[attr-defined]
    assert inspect.cleandoc(full.help).split("\n\n")[0] == COMMANDS[command].summary
