"""The guides: the commands of each run in order, in one folder, and print what the page shows.

A block `sh` is run. A block `text` after it is what it prints on stdout, where `...` stands for anything.
Models are recorded draws (`replay:`), and a stub is the server that needs a key. Port 8700 becomes a free
port. A block `shell` needs what a test may not have, and is not run.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from support.stub_server import StubServer

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs" / "guides"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block of a page, in order."""
    return _BLOCK.findall(page.read_text())


def steps(page: Path) -> list[tuple[str, str | None]]:
    """The blocks to run, each with what it prints if the page says so."""
    listed = [*blocks(page), ("", "")]
    return [
        (text, shown if language_after == "text" else None)
        for (language, text), (language_after, shown) in pairwise(listed)
        if language == "sh"
    ]


def pattern(shown: str) -> re.Pattern[str]:
    """What matches the output shown: `...` alone stands for lines, within a line for characters."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "..." else r".*".join(map(re.escape, line.split("..."))) + r" *\n"
        for line in shown.splitlines()
    ]
    return re.compile("".join(lines))


def workplace(folder: Path) -> None:
    """A folder as a clone is, and the programs in its `bin`."""
    for name in ("adapters", "data", "recipes", "src"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    for name, words in (("python", ""), ("sampleset", "-m sampleset ")):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        program.chmod(0o755)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def run_steps(page: Path, folder: Path, changes: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Run a page's commands by one shell; what each should print, what it printed, and the command.

    Args:
        page: The guide.
        folder: An empty folder.
        changes: Parts of commands that are replaced, so that a long one is short.
    """
    workplace(folder)
    replaced = {"8700": str(free_port()), "sk-...": "sk-key", **(changes or {})}
    listed = steps(page)
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
    printed = [(folder / f"out.{number}").read_text() for number in range(len(listed))]
    for old, new in replaced.items():
        printed = [text.replace(new, old) for text in printed]
    return [(shown or "", text, command) for (command, shown), text in zip(listed, printed, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["better-answers", "compare", "serve", "you-have-labels"])
def test_the_commands_of_a_guide_print_what_it_shows(name: str, tmp_path: Path):
    if name == "serve" and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    for shown, printed, command in run_steps(GUIDES / f"{name}.md", tmp_path):
        assert not shown or pattern(shown).search(f"{printed}\n"), f"{command}\n{printed}"


@pytest.mark.slow
def test_the_commands_of_the_guide_on_training_run(tmp_path: Path):
    for package in ("torch", "transformers", "peft", "accelerate", "safetensors", "gguf"):
        pytest.importorskip(package)
    tiny = {"select.yaml": "select.yaml --set steps=2", "--subsets 3": "--subsets 1", "--limit 100": "--limit 4"}
    tiny |= {"data/draws/gsm8k_train_qwen15b.jsonl.gz": "some.jsonl"}
    for shown, printed, command in run_steps(GUIDES / "train.md", tmp_path, tiny):
        assert not shown or printed, command
    assert (tmp_path / "runs" / "my-ssa" / "sampleset.json").exists()


@pytest.mark.parametrize("page", sorted(GUIDES.glob("*.md")), ids=lambda page: page.stem)
def test_a_guide_speaks_to_the_reader_and_fits_on_two_screens(page: Path):
    text = page.read_text()
    assert len(text.splitlines()) <= 110
    assert re.search(r"\b[Yy]ou\b", text)
    assert all(shown.strip() for language, shown in blocks(page) if language == "text")
