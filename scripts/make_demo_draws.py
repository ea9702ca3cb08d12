"""Cut the demo's own draws out of a file of them: `python scripts/make_demo_draws.py SOURCE OUT`.

The first 100 sets of the source, whatever they hold, without the worked solutions. The same source gives the
same bytes; what the package carries is cut out of data/draws/gsm8k_test_qwen05b_reseeded.jsonl.gz.
"""

import sys
from pathlib import Path

from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile

ROWS = 100


def main(source: Path, out: Path) -> None:
    """Write the rows."""
    rows = [stored.to_row() for stored in SampleFile(source, limit=ROWS)]
    for row in rows:
        row.pop("solution", None)
    print(write_rows(out, rows), "sample sets")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
