"""Sample sets with a score that trusts prose over programs: `python prose.py FILE FOLDER`.

The file of the same name in FOLDER has the column `prose_scores`: the exponential of a sample's mean token
log-probability, a fifth of it where the sample holds a block of code. `weighted_vote:by=prose_scores` then
says how much of what a trained aggregator gains is the form of the samples, which takes no reading. The
fifth was not searched for.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile

PROGRAM_WEIGHT = 0.2


def rows(source: Path) -> Iterator[dict[str, Any]]:
    """The sets of the file with the column added."""
    for stored in SampleFile(source):
        scores = [
            math.exp(sample.logprobs.mean) * (PROGRAM_WEIGHT if "```" in sample.text else 1.0)
            for sample in stored.sample_set.samples
            if sample.logprobs is not None
        ]
        yield {**stored.to_row(), "prose_scores": scores}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, folder = map(Path, sys.argv[1:])
    print(write_rows(folder / source.name, rows(source)), "sample sets")
