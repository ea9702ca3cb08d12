"""Completion in the shells themselves. Each installs it as the docs say, and is asked for names."""

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import sampleset

LINES = [
    pytest.param("sampleset ev", "evaluate", id="command"),
    pytest.param("sampleset evaluate x --aggregator best", "best_of_n", id="aggregator"),
    pytest.param("sampleset list mo", "models", id="kind of list"),
    pytest.param("sampleset evaluate my", "myfile.jsonl", id="file"),
    pytest.param('sampleset answer "it\'s $5" --base-u', "--base-url", id="option after an odd text"),
]


def home_of(shell: str, folder: Path) -> dict[str, str]:
    """The environment of a new user of the shell, who has just installed the completion."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = folder / "bin" / "sampleset"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sampleset "$@"\n')
    program.chmod(0o755)
    (folder / "myfile.jsonl").touch()
    environment = {
        "HOME": str(folder), "PATH": f"{program.parent}:/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(sampleset.__file__).parents[1]),
    }  # fmt: skip
    done = subprocess.run([shell, "-c", "sampleset --install-completion; true"], env=environment, check=True,
                          capture_output=True, text=True, cwd=folder)  # fmt: skip
    assert f"{shell} completion installed" in done.stdout
    return environment


@pytest.mark.parametrize(("line", "completed"), LINES)
def test_fish_completes(line: str, completed: str, tmp_path: Path):
    environment = home_of("fish", tmp_path)
    quoted = line.replace("'", "\\'")
    done = subprocess.run(["fish", "-c", f"complete -C '{quoted}'"], env=environment, check=True,
                          capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert [offer.partition("\t")[0] for offer in done.stdout.splitlines()] == [completed]


@pytest.mark.parametrize(("line", "completed"), LINES)
def test_zsh_completes_at_the_first_tab(line: str, completed: str, tmp_path: Path):
    environment = home_of("zsh", tmp_path)
    assert zsh_after_tab(line, environment, tmp_path).split()[-1] == completed


def zsh_after_tab(line: str, environment: Mapping[str, str], folder: Path) -> str:
    """The line that zsh holds after Tab, on a terminal: its words as `echo` prints them."""
    terminal, end = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    shell = subprocess.Popen(["zsh", "-i"], env={**environment, "PS1": "prompt> "}, cwd=folder,
                             stdin=end, stdout=end, stderr=end, start_new_session=True)  # fmt: skip
    os.close(end)
    try:
        wait_for(terminal, b"prompt> ")
        os.write(terminal, line.encode())
        wait_for(terminal, line.encode())
        os.write(terminal, b"\t")  # zsh inserts a tab that has further keys behind it, so wait
        shown = wait_for(terminal, b"")
        while set(shown) <= set(b"\x07\x08 "):
            assert b"\x07" not in shown, "the bell: nothing to complete"
            shown += wait_for(terminal, b"")
        os.write(terminal, b"\x01echo '[' \x05 E'ND'\n")
        return wait_for(terminal, b" END\r").rpartition(b"\n[")[2].decode().partition(" END")[0]
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def wait_for(terminal: int, word: bytes, seconds: float = 60) -> bytes:
    """What the terminal shows until the word, or anything where the word is empty."""
    shown = b""
    end = time.monotonic() + seconds
    while not shown or word not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65_536)
    return shown
