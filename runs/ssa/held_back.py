"""The sets whose questions `train-data` held back: `python held_back.py SETS SHARE OUTPUT [SEED]`.

SHARE is its `--held-back`, SEED its `--seed`. They measure an aggregator on kinds it has learned from.
"""

import sys
from pathlib import Path

from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.build import DataOptions, is_held_back


def main() -> None:
    """Write the sets, and print how many."""
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    file, share, output = sys.argv[1:4]
    options = DataOptions(held_back=float(share), seed=int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    held = (one for one in SampleFile(Path(file)) if is_held_back(one.problem.question.text, options))
    print(write_rows(Path(output), (one.to_row() for one in held)))


if __name__ == "__main__":
    main()
