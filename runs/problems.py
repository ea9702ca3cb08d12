"""Problems of several datasets in one file: `python runs/problems.py OUT.jsonl LIMIT REFERENCE...`.

LIMIT problems of each reference, in the order of `sampleset sample --shuffle SEED` (`--seed`, by default 0),
behind the first `--offset`. `--levels 1,2,3` keeps those of these levels (of MATH), `--exclude FILE` leaves
out the questions of a file of sample sets (repeatable), `--data-dir` is the folder of local copies.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sampleset.datasets.base import load_problems
from sampleset.storage.files import write_rows
from sampleset.storage.records import problem_to_row
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.rows import question_digest
from sampleset.types import Problem


def problems(ref: str, asked: argparse.Namespace) -> Iterator[Problem]:
    """The first LIMIT behind the offset, of the levels asked for and in no file that is left out."""
    levels = asked.levels.split(",") if asked.levels else None
    drawn = {question_digest(one.problem.question.text) for file in asked.exclude for one in SampleFile(file)}
    ordered = islice(load_problems(ref, data_dir=asked.data_dir, shuffle=asked.seed), asked.offset, None)
    kept = (one for one in ordered if levels is None or one.level in levels)
    return islice((one for one in kept if question_digest(one.question.text) not in drawn), asked.limit)


def main() -> None:
    """Write the file, and print how many problems it has."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("limit", type=int)
    parser.add_argument("references", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--levels")
    parser.add_argument("--exclude", type=Path, action="append", default=[])
    parser.add_argument("--data-dir", type=Path)
    asked = parser.parse_args()
    rows = (problem_to_row(one) for ref in asked.references for one in problems(ref, asked))
    print(write_rows(asked.output, rows), "problems")


if __name__ == "__main__":
    main()
