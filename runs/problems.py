"""Problems of several datasets in one file: `python runs/problems.py OUT.jsonl LIMIT REFERENCE...`.

LIMIT problems of each reference, in the order of `sampleset sample --shuffle SEED` (`--seed`, by default 0).
`--levels 1,2,3` keeps those of these levels (of MATH), `--data-dir` is the folder of local copies.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sampleset.datasets.base import load_problems
from sampleset.storage.files import write_rows
from sampleset.storage.records import problem_to_row
from sampleset.types import Problem


def problems(ref: str, asked: argparse.Namespace) -> Iterator[Problem]:
    """The first LIMIT problems of the levels asked for."""
    levels = asked.levels.split(",") if asked.levels else None
    known = load_problems(ref, data_dir=asked.data_dir, shuffle=asked.seed)
    return islice((one for one in known if levels is None or one.level in levels), asked.limit)


def main() -> None:
    """Write the file, and print how many problems it has."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("limit", type=int)
    parser.add_argument("references", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--levels")
    parser.add_argument("--data-dir", type=Path)
    asked = parser.parse_args()
    rows = (problem_to_row(one) for ref in asked.references for one in problems(ref, asked))
    print(write_rows(asked.output, rows), "problems")


if __name__ == "__main__":
    main()
