"""Sample sets in which samples that state another number than they calculate end with that one:
`python calculated.py SETS OUTPUT`. So a reader can be trained on what the aggregator `calculator` shows it.
"""

import sys
from dataclasses import replace
from pathlib import Path

from sampleset.aggregators.calculator import calculated
from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile


def main() -> None:
    """Write the sets, and print how many."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sets, output = map(Path, sys.argv[1:])
    told = (replace(stored, sample_set=calculated(stored.sample_set)).to_row() for stored in SampleFile(sets))
    print(write_rows(output, told), "sample sets")


if __name__ == "__main__":
    main()
