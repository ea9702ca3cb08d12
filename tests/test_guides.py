"""The guides: the commands of each run in order, in one folder, and print what the page shows.

A block `sh` is run, and a block `text` after it is what it prints on stdout. A block `shell` needs what a
test may not have, and is not run.
"""

import gzip
import re
import shutil
from itertools import islice, pairwise
from pathlib import Path

import pytest

from support.pages import ROOT, matches, run_commands
from support.tiny_gguf import TinyModel

GUIDES = ROOT / "docs" / "guides"
TRAIN_DRAWS = "data/draws/gsm8k_train_qwen05b_reseeded.jsonl.gz"


def blocks(name: str) -> list[tuple[str, str]]:
    """Language and text of every block of a guide, in order."""
    text = (GUIDES / f"{name}.md").read_text()
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[tuple[str, str]]:
    """The blocks to run, each with what it prints if the guide says so."""
    return [
        (text, shown if language_after == "text" else "")
        for (language, text), (language_after, shown) in pairwise([*blocks(name), ("", "")])
        if language == "sh"
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["better-answers", "compare", "serve", "you-have-labels"])
def test_the_commands_of_a_guide_print_what_it_shows(name: str, tmp_path: Path):
    if name == "serve" and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    for command, shown, printed in run_commands(commands(name), tmp_path):
        assert matches(shown, printed), f"{command}\n{printed}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_of_the_guide_on_training_run(tmp_path: Path):
    """With a tiny model, two steps and a hundred sets; what the guide shows is of the whole run."""
    for package in ("torch", "transformers", "peft", "accelerate", "safetensors", "gguf"):
        pytest.importorskip(package)
    with gzip.open(ROOT / TRAIN_DRAWS, "rt") as lines:
        (tmp_path / "few.jsonl").write_text("".join(islice(lines, 100)))
    TinyModel().write(tmp_path / "tiny.gguf", context_size=8192)
    tiny = {
        TRAIN_DRAWS: "few.jsonl",
        "--held-back 0.3": "--held-back 0.7",
        "select.yaml": "select.yaml --set model=tiny.gguf --set steps=2 --set lora.last_layers=1",
        "-k 5 --aggregator": "-k 5 --limit 3 --aggregator",
    }
    for command, shown, printed in run_commands(commands("train"), tmp_path, tiny):
        assert printed or not shown, command
    assert (tmp_path / "runs" / "my-ssa" / "sampleset.json").exists()
    assert (tmp_path / "runs" / "trained" / "report.json").exists()


@pytest.mark.parametrize("name", sorted(path.stem for path in GUIDES.glob("*.md")))
def test_a_guide_is_short_and_speaks_to_the_reader(name: str):
    text = (GUIDES / f"{name}.md").read_text()
    assert len(text.splitlines()) <= 115
    assert re.search(r"\b[Yy]ou\b", text)


@pytest.mark.parametrize("name", ["better-answers", "compare", "serve", "train", "you-have-labels"])
def test_every_command_of_a_guide_stands_in_a_block_that_is_run_or_says_why_not(name: str):
    for language, text in blocks(name):
        assert language in ("sh", "text") or (language == "shell" and re.search(r"NAME|pip install", text)), (
            text
        )
