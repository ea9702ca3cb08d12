"""The sets whose questions are in no file of LEARNED: `python unseen.py SETS OUTPUT LEARNED...`."""

import sys
from pathlib import Path

from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.rows import question_digest


def main() -> None:
    """Write the sets, and print how many."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sets, output, *learned = map(Path, sys.argv[1:])
    known = {question_digest(one.problem.question.text) for file in learned for one in SampleFile(file)}
    unseen = (one for one in SampleFile(sets) if question_digest(one.problem.question.text) not in known)
    print(write_rows(output, (one.to_row() for one in unseen)))


if __name__ == "__main__":
    main()
