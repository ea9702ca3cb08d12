"""Build the wheel and the source distribution, check them, and test the wheel alone.

    python scripts/release.py dist [--python python3.11 --python python3.12] [--tag]

It needs `build` and `twine` (pip install build twine). Nothing is uploaded. With --tag, the commit is tagged
with the version once all checks have passed. That is refused before anything is built if the working tree
has changes, the branch is not main, the tag is there, or the changelog does not begin with this version and a
date, "## 0.2.0 (2026-12-01)".
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_BYTES = 12 << 20
"""Most bytes of either file; the shipped adapter takes most of them."""
WANTED = ("sampleset/py.typed", "sampleset/data/README.md", "sampleset/report/page/page.js")
UNWANTED = re.compile(r"(^|/)(tests?|runs|benchmarks|\.ci|__pycache__)/|\.pyc$")

TRIAL = """
import json, sys
from importlib.resources import files
import sampleset
from sampleset import evaluate_sets
for name in sampleset.__all__:
    getattr(sampleset, name)
report = evaluate_sets(str(files("sampleset") / "data" / "gsm8k_small8_100.jsonl.gz"), k=3)
assert "majority_vote" in report.to_markdown()
print(sampleset.__version__)
"""


def run(*command: object, cwd: Path = ROOT) -> str:
    """What the command prints; its own messages, and an end of this script, if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def version() -> str:
    """The version that the package states."""
    text = (ROOT / "src" / "sampleset" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def refusals(root: Path, stated: str) -> list[str]:
    """Why the commit may not be tagged with the version, if it may not."""
    reasons: list[str] = []
    if run("git", "status", "--porcelain", cwd=root):
        reasons.append("The working tree has changes. Commit them before a release is tagged.")
    branch = run("git", "branch", "--show-current", cwd=root)
    if branch != "main":
        reasons.append(f"The branch is {branch!r}. Releases are tagged on 'main': git switch main.")
    if run("git", "tag", "--list", f"v{stated}", cwd=root):
        reasons.append(f"v{stated} is tagged. State a new version in src/sampleset/__init__.py.")
    heading = re.search(r"^## (.*)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    newest = heading[1].strip() if heading else ""
    dated = re.fullmatch(rf"{re.escape(stated)} \((\d{{4}}-\d\d-\d\d)\)", newest)
    try:
        is_past = dated is not None and date.fromisoformat(dated[1]) <= date.today() + timedelta(days=1)
    except ValueError:
        is_past = False
    if not is_past:
        reasons.append(
            f"CHANGELOG.md begins with {newest!r}. Write '## {stated} ({date.today()})', the release's day."
        )
    cited = re.search(r"^version: *(.+)$", (root / "CITATION.cff").read_text(), re.MULTILINE)
    if cited is None or cited[1].strip() != stated:
        reasons.append(f"CITATION.cff does not cite version {stated}. Write 'version: {stated}'.")
    return reasons


def problems_of(wheel: Path, source: Path) -> list[str]:
    """What is wrong with the two files."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    with tarfile.open(source) as archive:
        sources = archive.getnames()
    found = [f"{wheel.name} lacks {name}" for name in WANTED if name not in names]
    found += [f"{wheel.name} holds {name}" for name in names if UNWANTED.search(name)]
    for name in ("pyproject.toml", "LICENSE", "src/sampleset/__init__.py"):
        if not any(one.endswith(f"/{name}") for one in sources):
            found.append(f"{source.name} lacks {name}")
    found += [
        f"{path.name} has {path.stat().st_size} bytes, more than {MOST_BYTES}"
        for path in (wheel, source)
        if path.stat().st_size > MOST_BYTES
    ]
    return found


def try_wheel(wheel: Path, python: str, expected: str) -> None:
    """Install the wheel alone, in an environment of its own and away from the sources, and use it."""
    with tempfile.TemporaryDirectory() as folder:
        run(python, "-m", "venv", f"{folder}/venv")
        bin_ = Path(folder) / "venv" / "bin"
        run(bin_ / "python", "-m", "pip", "install", "--quiet", wheel)
        stated = run(
            bin_ / "python", "-W", "error::DeprecationWarning:sampleset", "-c", TRIAL, cwd=Path(folder)
        )
        assert stated == expected, f"{python}: the wheel states version {stated}, not {expected}"
        assert run(bin_ / "sampleset", "--version", cwd=Path(folder)) == expected
        run(bin_ / "sampleset", "list", cwd=Path(folder))


def main() -> None:
    """Build, check, try, and tag if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path, help="Folder of the two files; it must be new or empty.")
    parser.add_argument("--python", action="append", help="Interpreter to try the wheel on; repeatable.")
    parser.add_argument("--tag", action="store_true", help="Tag the commit with the version.")
    options = parser.parse_args()
    output: Path = options.output.resolve()
    if output.exists() and any(output.iterdir()):
        sys.exit(f"{output} is not empty. Name a new folder.")
    stated = version()
    commit = run("git", "rev-parse", "HEAD")
    if options.tag and (reasons := refusals(ROOT, stated)):
        sys.exit("\n".join(reasons))
    run(sys.executable, "-m", "build", "--outdir", output)
    (wheel,), (source,) = output.glob("*.whl"), output.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    if found := problems_of(wheel, source):
        sys.exit("\n".join(found))
    for path in (wheel, source):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    for python in options.python or [sys.executable]:
        try_wheel(wheel, python, stated)
        print(f"{run(python, '--version')}: the wheel alone works")
    if options.tag:
        if run("git", "rev-parse", "HEAD") != commit or refusals(ROOT, stated):
            sys.exit("The working tree changed while the files were built and tried. Run it again.")
        run("git", "tag", "--annotate", f"v{stated}", "--message", f"Version {stated}", commit)
        print(f"tagged v{stated}")


if __name__ == "__main__":
    main()
