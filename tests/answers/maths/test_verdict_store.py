"""Verdicts of workers in a file: kept, found again, and never in the way."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampleset.answers import (
    Verdict,
    VerdictStoreWarning,
    default_verdict_path,
    matches_gold,
    same_answer,
    use_verdict_store,
)
from sampleset.answers.maths.equality import verdict_store, verdicts
from sampleset.answers.maths.equality.comparison import compare_forms
from sampleset.answers.maths.equality.workers import Budget
from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.forms.simple_forms import Form
from sampleset.caches import BoundedCache

ROOTS = (r"\sqrt{8}", r"2\sqrt{2}")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "cache" / "verdicts.sqlite3"
    use_verdict_store(None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What a stand-in for the workers was asked; whatever it is, the two are equal."""
    requests: list[tuple[str, str]] = []

    def compare(gold: str, answer: str, *, mode: str, budget: Budget) -> tuple[bool | None, str]:
        requests.append((gold, answer))
        return (None, answer) if answer in ("timeout", "memory", "crash", "no_worker") else (True, "numeric")

    monkeypatch.setattr(verdicts, "compare_expressions", compare)
    forget(monkeypatch)
    return requests


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process would: with nothing in memory."""
    monkeypatch.setattr(verdicts, "_cache", BoundedCache(10**6))


def rows(path: Path) -> list[tuple[int, str]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT equal, rule FROM verdicts ORDER BY number").fetchall()
    connection.close()
    return found


def test_a_verdict_of_a_worker_is_found_again_by_another_process(
    path: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_verdict_store(path)
    first = same_answer(*ROOTS)
    forget(monkeypatch)
    assert same_answer(*ROOTS) == first == Verdict(True, "numeric")
    assert len(asked) == 1
    assert rows(path) == [(1, "numeric")]


def test_without_a_path_nothing_is_kept(path: Path, asked: list[tuple[str, str]]) -> None:
    same_answer(*ROOTS)
    assert not path.exists()
    use_verdict_store(path)
    use_verdict_store(None)
    same_answer(r"\sqrt{18}", r"3\sqrt{2}")
    assert rows(path) == []


def test_votes_and_grades_have_verdicts_of_their_own(
    path: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_verdict_store(path)
    matches_gold(*ROOTS)
    forget(monkeypatch)
    matches_gold(*reversed(ROOTS))
    same_answer(*ROOTS)
    assert len(asked) == len(rows(path)) == 3


@pytest.mark.parametrize("reason", ["timeout", "memory", "crash", "no_worker"])
def test_what_was_not_decided_is_not_kept(path: Path, asked: list[tuple[str, str]], reason: str) -> None:
    use_verdict_store(path)
    one, other = (read(text) for text in ROOTS)
    stuck = Form("expression", "stuck", reason)
    compare_forms(stuck, one, "gold")
    assert rows(path) == []
    compare_forms(one, other, "gold")
    assert len(rows(path)) == 1


def test_another_version_of_the_rules_does_not_find_a_verdict(
    path: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_verdict_store(path)
    same_answer(*ROOTS)
    forget(monkeypatch)
    monkeypatch.setattr(verdict_store, "rules_version", lambda: "another")
    same_answer(*ROOTS)
    assert len(asked) == 2


def test_the_version_changes_with_the_packages_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    installed = metadata.version

    def newer(package: str) -> str:
        return "99.0" if package == "math-verify" else installed(package)

    now = verdict_store.rules_version()
    assert verdict_store.rules_version.__wrapped__() == now
    monkeypatch.setattr(metadata, "version", newer)
    assert verdict_store.rules_version.__wrapped__() != now


def test_the_version_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "maths" / "forms" / "constants.py"
    code.parent.mkdir(parents=True)
    code.write_text("tolerance = 1")
    monkeypatch.setattr(verdict_store, "__file__", str(tmp_path / "maths" / "equality" / "verdict_store.py"))
    before = verdict_store.rules_version.__wrapped__()
    code.write_text("tolerance = 2")
    assert verdict_store.rules_version.__wrapped__() != before


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ud800 + x", id="half_a_character"),
        pytest.param("x'); DROP TABLE verdicts; --", id="sql"),
        pytest.param("\x00", id="null"),
        pytest.param("", id="empty"),
    ],
)
def test_any_text_can_be_kept(path: Path, text: str) -> None:
    use_verdict_store(path)
    verdict_store.store_verdict("gold", text, "x", False, "numeric")
    assert verdict_store.stored_verdict("gold", text, "x") == (False, "numeric")
    assert verdict_store.stored_verdict("gold", "x", text) is None


def test_texts_that_join_alike_are_told_apart(path: Path) -> None:
    use_verdict_store(path)
    verdict_store.store_verdict("gold", "12", "3", True, "numeric")
    assert verdict_store.stored_verdict("gold", "1", "23") is None


def test_the_oldest_verdicts_go_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_store, "MAX_VERDICTS", 10)
    use_verdict_store(path)
    for number in range(25):
        verdict_store.store_verdict("gold", str(number), "x", True, "numeric")
    assert len(rows(path)) == 10
    assert verdict_store.stored_verdict("gold", "14", "x") is None
    assert verdict_store.stored_verdict("gold", "15", "x") == (True, "numeric")


def test_a_row_that_is_no_verdict_is_not_believed(path: Path) -> None:
    use_verdict_store(path)
    verdict_store.store_verdict("gold", "a", "b", True, "numeric")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE verdicts SET equal = 7")
    connection.commit()
    connection.close()
    assert verdict_store.stored_verdict("gold", "a", "b") is None


def unusable(folder: Path, kind: str) -> Path:
    path = folder / "verdicts.sqlite3"
    if kind == "damaged":
        path.write_bytes(b"not a database at all" * 100)
    elif kind == "a_folder":
        path.mkdir()
    elif kind == "below_a_file":
        (folder / "file").write_text("")
        path = folder / "file" / "verdicts.sqlite3"
    elif kind == "another_database":
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE verdicts (mine)")
        connection.close()
    elif kind == "null_in_its_name":
        path = folder / "a\x00b"
    elif kind == "read_only":
        use_verdict_store(path)
        use_verdict_store(None)
        path.chmod(0o400)
        folder.chmod(0o500)
    return path


@pytest.mark.parametrize(
    "kind", ["damaged", "a_folder", "below_a_file", "another_database", "null_in_its_name", "read_only"]
)
def test_a_file_that_cannot_be_used_is_reported_once_and_left_alone(
    tmp_path: Path, asked: list[tuple[str, str]], kind: str
) -> None:
    if kind == "read_only" and os.geteuid() == 0:
        pytest.skip("nothing is read-only to root")
    path = unusable(tmp_path, kind)
    content = path.read_bytes() if kind == "damaged" else b""
    with pytest.warns(VerdictStoreWarning, match="Comparisons go on without it") as caught:
        use_verdict_store(path)
        assert same_answer(*ROOTS) == Verdict(True, "numeric")
        assert same_answer(r"\sqrt{18}", r"3\sqrt{2}") == Verdict(True, "numeric")
    assert len(caught) == 1
    if kind == "damaged":
        assert path.read_bytes() == content


def test_a_file_that_breaks_while_in_use_is_reported_once(
    path: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_verdict_store(path)
    for number in range(200):
        verdict_store.store_verdict("gold", str(number), "x", True, "numeric")
    use_verdict_store(None)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.warns(VerdictStoreWarning) as caught:
        use_verdict_store(path)
        same_answer(*ROOTS)
        forget(monkeypatch)
        assert same_answer(*ROOTS) == Verdict(True, "numeric")
    assert len(caught) == 1


def test_a_file_that_stays_locked_is_reported_once(
    path: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict_store, "BUSY_SECONDS", 0.05)
    use_verdict_store(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.warns(VerdictStoreWarning, match="locked") as caught:
        assert same_answer(*ROOTS) == Verdict(True, "numeric")
        assert same_answer(r"\sqrt{18}", r"3\sqrt{2}") == Verdict(True, "numeric")
    other.close()
    assert len(caught) == 1
    use_verdict_store(path)
    same_answer(r"\sqrt{27}", r"3\sqrt{3}")
    assert len(rows(path)) == 1


def test_the_same_path_may_be_given_again(path: Path, asked: list[tuple[str, str]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            use_verdict_store(path)
            same_answer(*ROOTS)
    assert len(rows(path)) == 1


def _keep(path: Path | None, worker: int) -> None:
    if path:
        use_verdict_store(path)
    for number in range(50):
        verdict_store.store_verdict("gold", f"{worker} {number}", "x", True, "numeric")
        assert verdict_store.stored_verdict("gold", f"{worker} {number}", "x") == (True, "numeric")


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_share_the_file(path: Path, method: str) -> None:
    if method == "fork":
        use_verdict_store(path)
        verdict_store.store_verdict("gold", "parent", "x", True, "numeric")
    context = multiprocessing.get_context(method)
    inherited = None if method == "fork" else path
    children = [context.Process(target=_keep, args=(inherited, worker)) for worker in range(3)]  # pyright: ignore[reportAttributeAccessIssue]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert len(rows(path)) == 150 + (method == "fork")


def test_threads_share_the_file(path: Path) -> None:
    use_verdict_store(path)
    threads = [threading.Thread(target=_keep, args=(None, worker)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(path)) == 200


def test_what_was_written_before_a_kill_is_there(path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from sampleset.answers import use_verdict_store\n"
        "from sampleset.answers.maths.equality import verdict_store\n"
        "use_verdict_store(Path(sys.argv[1]))\n"
        "for number in range(30): verdict_store.store_verdict('gold', str(number), 'x', True, 'numeric')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert len(rows(path)) == 30


def test_the_default_path_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_verdict_path() == tmp_path / ".cache" / "sampleset" / "verdicts.sqlite3"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_verdict_path() == tmp_path / ".cache" / "sampleset" / "verdicts.sqlite3"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_verdict_path() == tmp_path / "xdg" / "sampleset" / "verdicts.sqlite3"
    monkeypatch.setenv("SAMPLESET_CACHE", str(tmp_path / "own"))
    assert default_verdict_path() == tmp_path / "own" / "verdicts.sqlite3"
