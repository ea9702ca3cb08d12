"""Write the whole sets of a store of draws to one file: `python runs/export_draws.py STORE OUT.jsonl.gz N`.

Keeps the problems with at least N draws and their first N; the same store gives the same bytes. So the sets
in data/draws were made; how each was drawn stands in data/draws/README.md.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sampleset.storage.files import write_rows
from sampleset.storage.store import SampleStore


def rows(store: Path, n: int) -> Iterator[dict[str, Any]]:
    """The store's only configuration, set by set, log-probabilities to four places."""
    for stored in SampleStore(store, must_exist=True).sample_sets():
        if stored.sample_set.n < n:
            continue
        row = replace(stored, sample_set=stored.sample_set.subset(range(n))).to_row()
        for sample in row["samples"]:
            for name in ("model", "seed"):
                sample.pop(name, None)
            if "logprobs" in sample:
                sample["logprobs"] = {key: round(value, 4) for key, value in sample["logprobs"].items()}
        yield row


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    print(write_rows(Path(sys.argv[2]), rows(Path(sys.argv[1]), int(sys.argv[3]))), "sample sets")
