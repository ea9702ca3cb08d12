"""The README fits on one screen, and its commands print what it shows."""

import re
from pathlib import Path

import pytest

from support.pages import ROOT, matches, run_commands

README = ROOT / "README.md"


def commands() -> list[tuple[str, str]]:
    """The commands after a `$`, each with the output below it."""
    (block,) = re.findall(r"^```\n(\$ .*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    whole = re.sub(r"\\\n *", "", block)
    parts = [part.partition("\n") for part in re.split(r"^\$ ", whole, flags=re.MULTILINE)[1:]]
    return [(command, shown.strip()) for command, _, shown in parts if not command.startswith(". ")]


def test_the_readme_fits_on_a_screen():
    assert len(README.read_text().splitlines()) <= 75


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_of_the_readme_print_what_it_shows(tmp_path: Path):
    listed = commands()
    assert len(listed) == 3
    for command, shown, printed in run_commands(listed, tmp_path):
        if "--model" in command or "evaluate" in command:
            assert matches(shown, printed), f"{command}\n{printed}"
        else:  # the embedded model's answer depends on its engine and the processor
            assert printed.strip(), command


def test_the_figures_of_the_readme_stand_on_the_pages_of_results():
    """Each difference with its interval; the pages write intervals in two ways."""
    pages = "\n".join(path.read_text() for path in (ROOT / "docs" / "results").rglob("*.md"))
    results = re.sub(r" to |–(?=[+−])|…", "…", pages.replace("(-", "(−").replace(" to -", " to −"))
    figures = re.findall(r"[+−][\d.]+ \([+−][\d.]+ to [+−][\d.]+\)", README.read_text())
    assert len(figures) == 19
    for figure in figures:
        assert figure.replace(" to ", "…") in results, figure
