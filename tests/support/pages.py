"""Commands of the docs, run as a reader would run them, and compared with the output that the page shows."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.stub_server import StubServer

ROOT = Path(__file__).parents[2]


def matches(shown: str, printed: str) -> bool:
    """Whether a page's output is in what was printed.

    A line `...` of the page stands for any lines, and `...` in a line for any characters.
    """
    lines = [
        r"(?:.*\n)*?" if line.strip() == "..." else r".*".join(map(re.escape, line.split("..."))) + r" *\n"
        for line in shown.splitlines()
    ]
    return re.search("".join(lines), f"{printed}\n") is not None


def run_commands(
    listed: Sequence[tuple[str, str]], folder: Path, changes: Mapping[str, str] | None = None
) -> list[tuple[str, str, str]]:
    """Run a page's commands in order, by one shell, in a folder that looks like a clone.

    A stub is the server that needs a key, and port 8700 becomes a free port.

    Args:
        listed: Each command with the output that the page shows, empty if it shows none.
        folder: Where they run.
        changes: Parts of commands that are replaced, so that a long one is short.

    Returns:
        Each command, the output that the page shows, and what it printed on stdout.
    """
    _make_clone(folder)
    replaced = {"8700": str(_free_port()), "sk-...": "sk-key", **(changes or {})}
    script = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for number, (command, _) in enumerate(listed):
        for old, new in replaced.items():
            command = command.replace(old, new)
        script.append(f"{{\n{command}\n}} > out.{number}")
    with StubServer(models=("gpt-4o-mini",), api_key="sk-key") as server:
        environment = {
            "PATH": os.pathsep.join((str(folder / "bin"), os.environ["PATH"])),
            "PYTHONPATH": str(ROOT / "src"),
            "OPENAI_BASE_URL": server.base_url,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "80",
        }
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [
        (command, shown, (folder / f"out.{number}").read_text())
        for number, (command, shown) in enumerate(listed)
    ]


def _make_clone(folder: Path) -> None:
    for name in ("adapters", "data", "recipes", "src"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    for name, words in (("python", ""), ("sampleset", "-m sampleset ")):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        program.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
