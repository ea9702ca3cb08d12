"""Time to extract, group and grade a file of sample sets, against math-verify called pair by pair.

    python benchmarks/speed/votes_and_grades.py [FILE] [--sets 100]
    python benchmarks/speed/votes_and_grades.py [FILE] --before CHECKOUT

With `--before`, the same work by the code of another checkout, in turns and in processes of their own:
processor seconds, worker processes included.

FILE holds sample sets with gold answers; by default the recorded ones in the package (100 questions, 8
samples each). Ours runs over all of it twice: cold (no worker process, empty caches) and warm. The plain
way parses each sample with math-verify, compares every pair of a set and each sample with the gold; it
runs on the first `--sets` questions and its time is scaled to all.
"""

from __future__ import annotations

import argparse
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from sampleset.answers import extract_answer, group_answers, matches_gold
from sampleset.storage.rows import read_rows

Row = dict[str, Any]
RECORDED = Path(__file__).parents[2] / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"


def ours(rows: list[Row]) -> int:
    """Right votes by `sampleset.answers`."""
    right = 0
    for row in rows:
        found = [extract_answer(text) for text in row["samples"]]
        answers = [one.text if one else None for one in found]
        for answer in answers:
            if answer is not None:
                matches_gold(answer, row["answer"])
        groups = group_answers(answers).groups
        winner = max(groups, key=lambda group: len(group.indices)) if groups else None
        right += bool(winner and matches_gold(winner.answer, row["answer"]).equal)
    return right


def pairwise(rows: list[Row]) -> int:
    """Right votes by math-verify on every pair, its defaults throughout."""
    from math_verify import parse, verify

    right = 0
    for row in rows:
        gold = parse(f"${row['answer']}$")
        parsed = [parse(text) for text in row["samples"]]
        grades = [verify(gold, one) for one in parsed]
        votes = [1] * len(parsed)
        for first, second in combinations(range(len(parsed)), 2):
            if verify(parsed[first], parsed[second]):
                votes[first] += 1
                votes[second] += 1
        right += grades[votes.index(max(votes))]
    return right


def seconds(work: Callable[[list[Row]], int], rows: list[Row]) -> tuple[float, int]:
    start = time.perf_counter()
    right = work(rows)
    return time.perf_counter() - start, right


def processor_seconds(source: Path, file: Path) -> float:
    """Processor seconds of `ours` on a file, cold, by the package in `source`; its workers and their children
    are counted.
    """
    code = f"""
import gzip, json, os, sys, time
from pathlib import Path
from sampleset.answers import extract_answer, group_answers, matches_gold

{inspect.getsource(ours).replace("list[Row]", "list")}
path = sys.argv[1]
with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
    rows = [json.loads(line) for line in lines]
began = time.process_time()
ours(rows)
spent = time.process_time() - began
processes = {{}}
for stat in Path("/proc").glob("[0-9]*/stat"):
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        continue
    processes[int(stat.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
workers = {{os.getpid()}}
while grown := {{process for process, (parent, _) in processes.items() if parent in workers}} - workers:
    workers |= grown
spent += sum(processes[worker][1] for worker in workers - {{os.getpid()}})
print(spent)
"""
    environment = os.environ | {"PYTHONPATH": str(source)}
    command = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def beside(checkout: Path, file: Path, repeats: int = 3) -> None:
    """Print the processor seconds of this package and of the one in a checkout."""
    sources = {"before": checkout / "src", "now": Path(__file__).parents[2] / "src"}
    spent: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(repeats):
        for name, source in sources.items():
            spent[name].append(processor_seconds(source, file))
    before, now = (median(spent[name]) for name in sources)
    print(f"before: {before:6.2f} s of a core   now: {now:6.2f} s   ratio {now / before:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=RECORDED)
    parser.add_argument("--sets", type=int, default=100, help="questions the pairwise way is timed on")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="compare with another version")
    options = parser.parse_args()
    if options.before is not None:
        beside(options.before, options.file)
        return
    rows = [row for _, row in read_rows(options.file)]
    part = rows[: options.sets]
    cold, right = seconds(ours, rows)
    warm, _ = seconds(ours, rows)
    pairwise(part[:1])
    plain, plain_right = seconds(pairwise, part)
    scaled = plain * len(rows) / len(part)
    part_right = ours(part)
    print(f"{len(rows)} questions x {len(rows[0]['samples'])} samples")
    print(f"ours, cold:          {cold:8.2f} s   {right} votes right")
    print(f"ours, warm:          {warm:8.2f} s")
    print(f"math-verify, pairs:  {scaled:8.2f} s   scaled from {plain:.2f} s on {len(part)} questions")
    print(f"ratio: {scaled / cold:.0f}x cold, {scaled / warm:.0f}x warm")
    print(f"votes right on those {len(part)}: ours {part_right}, pairs {plain_right}")


if __name__ == "__main__":
    main()
