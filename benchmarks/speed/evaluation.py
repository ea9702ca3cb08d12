"""Processor time that `sampleset evaluate` takes a question, beside another version of it, and its memory.

    python benchmarks/speed/evaluation.py [FILE] [--questions 1000] [--samples 12] [--before FOLDER]

FILE holds sample sets with gold answers; by default recorded ones of this repository (267 questions, 12
samples each). It is copied, under other ids, to as many questions as asked for. Two methods at k = 5: vote
and weighted vote, 20 subsets a size, the vote's curve over all sizes. FOLDER is another checkout of this
repository (`git worktree add FOLDER COMMIT`): the versions take turns, and what they write is compared. A
second, larger file (`--times`) gives the time of a further question without what a run costs in any case, and
the growth of memory. No verdict is kept from run to run.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from sampleset.storage.files import write_rows
from sampleset.storage.rows import read_rows

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "data" / "draws" / "gsm8k_train_qwen15b_12.jsonl.gz"
RESULTS = ("questions.jsonl", "methods.csv", "curve.csv", "breakdowns.csv")


@dataclass(frozen=True)
class Spent:
    """One run: seconds on the clock and of all its processes, and the memory of its largest process."""

    clock: float
    processor: float
    megabytes: float


def spent(tree: Path, file: Path, folder: Path, workers: int) -> Spent:
    """One evaluation by the source of a checkout, as a command."""
    command = [sys.executable, "-m", "sampleset", "evaluate", str(file), "-k", "5", "--workers", str(workers)]
    command += ["--aggregator", "majority_vote", "--aggregator", "weighted_vote"]
    command += ["--output-dir", str(folder), "--verdicts", str(folder.with_suffix(".sqlite3"))]
    start = time.perf_counter()
    run = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {run.returncode} under {tree}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak)


def copied(file: Path, questions: int, samples: int, target: Path) -> None:
    """So many questions of a file, over and over, with so many samples each."""
    rows = [row for _, row in read_rows(file) if len(row["samples"]) >= samples]
    if not rows:
        raise SystemExit(f"{file}: no set of {samples} samples")
    write_rows(
        target,
        (
            {**row, "id": f"{row['id']}-{number}", "samples": row["samples"][:samples]}
            for number, row in enumerate(islice(cycle(rows), questions))
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=RECORDED)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--times", type=int, default=4, help="size of the larger file")
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", type=Path, help="a checkout of another version")
    options = parser.parse_args()
    trees = {"this version": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    sizes = (options.questions, options.questions * options.times)
    runs: dict[tuple[str, int], list[Spent]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            copied(options.file, size, options.samples, Path(scratch) / f"sets{size}.jsonl.gz")
        for repeat in range(options.repeats):
            for name, tree in trees.items():
                for size in sizes:
                    folder = Path(scratch) / f"{name}-{size}-{repeat}"
                    file = Path(scratch) / f"sets{size}.jsonl.gz"
                    runs.setdefault((name, size), []).append(spent(tree, file, folder, options.workers))
        same = {
            result: (Path(scratch) / f"this version-{sizes[0]}-0" / result).read_bytes()
            == (Path(scratch) / f"before-{sizes[0]}-0" / result).read_bytes()
            for result in RESULTS
            if options.before
        }
    print(f"{options.samples} samples a question, k = 5, two methods, {options.workers} workers")
    further: dict[str, list[float]] = {}
    for name in trees:
        few, many = (runs[name, size] for size in sizes)
        further[name] = [
            (more.processor - less.processor) / (sizes[1] - sizes[0])
            for less, more in zip(few, many, strict=True)
        ]
        for size, spends in zip(sizes, (few, many), strict=True):
            processor, clock = (
                median(getattr(one, what) for one in spends) for what in ("processor", "clock")
            )
            print(
                f"{name:14} {size:7} questions  {processor:7.1f} s of processor  {clock:7.1f} s on the clock"
                f"  largest process {max(one.megabytes for one in spends):4.0f} MB"
            )
        print(f"{name:14} a further question takes {1000 * median(further[name]):.2f} ms of processor")
    if options.before:
        ratios = [old / new for old, new in zip(further["before"], further["this version"], strict=True)]
        print(f"before / this version: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(
            "the same files: " + ", ".join(f"{name} {'yes' if one else 'NO'}" for name, one in same.items())
        )


if __name__ == "__main__":
    main()
