"""This version beside an older one: processor time of the same commands, and the size of the source.

    git worktree add --detach BEFORE COMMIT
    python benchmarks/speed/versions.py BEFORE

Every command runs in a process of its own, in turns; its processor time is that of the process and of those
that it started and waited for. Ratios are of one run, `now / before`: median, least and most of the rounds.
Draws go to a stub on loopback that answers at once. A request in `serve` is measured by
`benchmarks/load/server_load.py --before BEFORE`; votes and grades are by
`benchmarks/speed/votes_and_grades.py --before BEFORE`.
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from timing import ratios

HERE = Path(__file__).parents[2]
STUB = HERE / "benchmarks" / "load" / "fixed_latency_stub.py"
RECORDED = HERE / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"
DRAWS = 1000


def commands(base_url: str, questions: Path, scratch: Path) -> dict[str, Sequence[object]]:
    """What is measured, by name."""
    model = ("--model", "stub-model", "--base-url", base_url, "--api-key", "any")
    bulk = ("sample", questions, *model, "-n", 4, "--max-concurrency", 32, "--output-dir", scratch / "store")
    return {
        "--help": ("--help",),
        "list aggregators": ("list", "aggregators"),
        "answer on replay": (
            "answer",
            "What is 3 + 4?",
            "--model",
            f"replay:{scratch / 'replay.jsonl'}",
            "-k",
            4,
        ),
        f"sample, {DRAWS} draws": bulk,
        "evaluate, 100 questions": ("evaluate", RECORDED, "-k", 5, "--output-dir", scratch / "report"),
    }


def seconds(command: Sequence[object], source: Path) -> float:
    """Processor seconds of a command of the package in `source`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(source)}
    line = [sys.executable, "-m", "sampleset", *map(str, command)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} by {source} failed:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compared(
    sources: Mapping[str, Path], base_url: str, rounds: int
) -> Iterator[tuple[str, list[float], list[float]]]:
    """Name of each command, and its seconds before and now."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        questions = root / "questions.jsonl"
        questions.write_text(
            "".join(
                f'{{"id": "q{n}", "question": "What is {n} + 1?", "answer": "1"}}\n'
                for n in range(DRAWS // 4)
            )
        )
        texts = ", ".join(f'"It is \\\\boxed{{7}}, as {place} says."' for place in "abcd")
        replay = f'{{"id": "a", "question": "What is 3 + 4?", "answer": "7", "samples": [{texts}]}}\n'
        for name in commands(base_url, questions, root):
            spent: dict[str, list[float]] = {version: [] for version in sources}
            for number in range(rounds + 1):  # the first warms up the caches of files
                for version, source in sources.items():
                    scratch = root / f"{version}{number}"
                    scratch.mkdir(exist_ok=True)
                    (scratch / "replay.jsonl").write_text(replay)
                    taken = seconds(commands(base_url, questions, scratch)[name], source)
                    if number:
                        spent[version].append(taken)
            yield name, spent["before"], spent["now"]


def structure(checkout: Path) -> dict[str, int]:
    """Sizes of the source: lines, modules, packages and modules at the top, imports between them, layers."""
    root = checkout / "src" / "sampleset"
    files = sorted(root.rglob("*.py"))
    imports = {
        (wing_of(file, root), wing)
        for file in files
        for wing in imported(ast.parse(file.read_text("utf-8")))
        if wing != wing_of(file, root)
    }
    settings = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["tool"].get("importlinter", {})
    layers = next((one["layers"] for one in settings.get("contracts", []) if "layers" in one), [])
    return {
        "lines of source": sum(len(file.read_text("utf-8").splitlines()) for file in files),
        "lines of tests": sum(
            len(file.read_text("utf-8").splitlines()) for file in (checkout / "tests").rglob("*.py")
        ),
        "modules": len(files),
        "wings (packages and modules at the top)": len({wing_of(file, root) for file in files}),
        "imports between wings (pairs)": len(imports),
        "layers": len(layers),
    }


def wing_of(file: Path, root: Path) -> str:
    """The package or module at the top that a file belongs to."""
    return file.relative_to(root).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """The wings that a module imports."""
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and node.module == "sampleset":
            names = [f"sampleset.{alias.name}" for alias in node.names]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("sampleset."))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, metavar="BEFORE", help="a checkout of the older version")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    before, now = structure(arguments.before), structure(HERE)
    for name, count in now.items():
        print(f"{name:42} {before[name]:>8,} {count:>8,}")
    stub = subprocess.Popen([sys.executable, STUB, "--latency", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert stub.stdout is not None
        sources = {"before": (arguments.before / "src").resolve(), "now": HERE / "src"}
        print("processor seconds: before, now, ratio", flush=True)
        for name, old, new in compared(sources, stub.stdout.readline().strip(), arguments.rounds):
            print(f"{name:42} {median(old):8.3f} {median(new):8.3f}   {ratios(new, old)}", flush=True)
    finally:
        stub.terminate()
        stub.wait()


if __name__ == "__main__":
    main()
