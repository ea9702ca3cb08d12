"""One whole evaluation against the same job with math-verify, and its memory at ten times the size.

    python benchmarks/speed/full_evaluation.py [FILE] [--sets 10] [--times 10]

FILE holds sample sets with gold answers; by default the recorded ones in the package (100 questions, 8
samples each). Ours is the command `sampleset evaluate` with vote, weighted vote and best-of-n at every k, 20
subsets of samples each, from start to written report; the first run begins with no cache, the second has the
first one's. The plain way takes the same subsets, compares all pairs of each with math-verify, and grades
each sample; it runs on the first `--sets` questions and its time is scaled to all. The larger file holds
every question `--times` times with other ids and texts. All in one run on one machine; read the ratios.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from sampleset.evaluation.subsets import subsets_of
from sampleset.storage.files import write_rows
from sampleset.storage.rows import read_rows

Row = dict[str, Any]
RECORDED = Path(__file__).parents[2] / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"
METHODS = ("majority_vote", "weighted_vote", "best_of_n")
SUBSETS = 20


def evaluated(file: Path, largest: int, verdicts: Path, folder: Path) -> float:
    """Seconds that `sampleset evaluate` takes."""
    command = [sys.executable, "-m", "sampleset", "evaluate", str(file), "-k", f"1-{largest}"]
    command += [part for method in METHODS for part in ("--aggregator", method)]
    command += ["--subsets", str(SUBSETS), "--permutations", "0"]
    command += ["--verdicts", str(verdicts), "--output-dir", str(folder)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def peak_megabytes() -> float:
    """Memory of the largest process among those that have ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def plainly(rows: list[Row], largest: int) -> float:
    """Seconds of the same votes and grades with math-verify on every pair of every subset."""
    from math_verify import parse, verify

    start = time.perf_counter()
    for row in rows:
        gold = parse(f"${row['answer']}$")
        parsed = [parse(text) for text in row["samples"]]
        for one in parsed:
            verify(gold, one)
        for k in range(1, largest + 1):
            for subset in subsets_of(len(parsed), k, SUBSETS, 0, row["id"]):
                votes = dict.fromkeys(subset, 1)
                for first, second in combinations(subset, 2):
                    if verify(parsed[first], parsed[second]):
                        votes[first] += 1
                        votes[second] += 1
    return time.perf_counter() - start


def copies(rows: list[Row], times: int) -> Iterator[Row]:
    """Every row so many times, with an id and texts of its own."""
    for number in range(times):
        for row in rows:
            texts = [f"Attempt {number}. {text}" for text in row["samples"]]
            yield {**row, "id": f"{row['id']}-{number}", "samples": texts}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=RECORDED)
    parser.add_argument("--sets", type=int, default=10, help="questions the plain way is timed on")
    parser.add_argument("--times", type=int, default=10, help="size of the larger file")
    options = parser.parse_args()
    rows = [row for _, row in read_rows(options.file)]
    largest = min(len(row["samples"]) for row in rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        verdicts = folder / "verdicts.sqlite3"
        first = evaluated(options.file, largest, verdicts, folder / "report")
        cached = evaluated(options.file, largest, verdicts, folder / "report")
        memory = peak_megabytes()
        large = folder / "large.jsonl.gz"
        write_rows(large, copies(rows, options.times))
        larger = evaluated(large, largest, verdicts, folder / "large")
        large_memory = peak_megabytes()
    plainly(rows[:1], 2)
    plain = plainly(rows[: options.sets], largest)
    scaled = plain * len(rows) / options.sets
    print(f"{len(rows)} questions x {largest} samples, k = 1 to {largest}, {os.cpu_count()} cores")
    print(f"ours, first run:     {first:8.1f} s")
    print(f"ours, cached:        {cached:8.1f} s")
    print(f"math-verify, pairs:  {scaled:8.1f} s   scaled from {plain:.1f} s on {options.sets} questions")
    print(f"ratio: {scaled / first:.0f}x first, {scaled / cached:.0f}x cached")
    print(f"{options.times}x the questions: {larger / cached:.1f}x the time, largest process {memory:.0f} MB")
    print(f"  before, {large_memory:.0f} MB after: {large_memory / memory:.2f}x the memory")


if __name__ == "__main__":
    main()
