"""When a release may be tagged."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delitem(sys.modules, "release", raising=False)
    import release  # pyright: ignore[reportMissingImports]

    return release


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A committed tree of version 0.2.0 that may be tagged."""
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.2.0 (2026-01-31)\n\n## 0.1.0 (2025-12-01)\n")
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 0.2.0\n")
    git(tmp_path, "init", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "All")
    return tmp_path


def test_a_clean_dated_tree_on_main_may_be_tagged(release: ModuleType, tree: Path):
    assert release.refusals(tree, "0.2.0") == []


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CITATION.cff", "new.txt"])
def test_a_tree_with_changes_is_not_tagged(release: ModuleType, tree: Path, name: str):
    with (tree / name).open("a") as file:
        file.write("\n")
    assert release.refusals(tree, "0.2.0") == [
        "The working tree has changes. Commit them before a release is tagged."
    ]


@pytest.mark.parametrize(
    "heading",
    ["0.2.0 (unreleased)", "0.2.0", "0.2.0 (2026-13-01)", "0.2.0 (2999-01-01)", "0.2.1 (2026-01-31)",
     "Unreleased\n\n## 0.2.0 (2026-01-31)"],
)  # fmt: skip
def test_a_changelog_that_does_not_begin_with_the_dated_version_is_refused(
    release: ModuleType, tree: Path, heading: str
):
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n## {heading}\n")
    git(tree, "commit", "--all", "--message", "Heading")
    (reason,) = release.refusals(tree, "0.2.0")
    assert reason.startswith(f"CHANGELOG.md begins with {heading.splitlines()[0]!r}. Write '## 0.2.0 (")


def test_a_wrong_branch_a_tag_that_is_there_and_another_version_are_refused(release: ModuleType, tree: Path):
    git(tree, "tag", "v0.2.0")
    git(tree, "switch", "--create", "other")
    (tree / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 0.1.0\n")
    git(tree, "commit", "--all", "--message", "Older")
    assert [reason.partition(".")[0] for reason in release.refusals(tree, "0.2.0")] == [
        "The branch is 'other'",
        "v0",
        "CITATION",
    ]
