"""Turn a store of draws into the demo's second file: `python runs/make_demo_draws.py STORE OUT`.

Keeps what the demo reads: id, question, gold answer, model, and of the first five samples the text, how
it ended, its tokens and the summary of its log-probabilities. The same store gives the same bytes. How the
store was drawn stands in src/sampleset/data/README.md.
"""

import sys
from pathlib import Path
from typing import Any

from sampleset.sample_store import SampleStore
from sampleset.storage import write_rows

SAMPLES = 5
FIELDS = ("schema", "id", "question", "answer", "model")
SAMPLE_FIELDS = ("index", "text", "finish_reason", "seed", "prompt_tokens", "completion_tokens", "logprobs")


def main(store: Path, out: Path) -> None:
    """Write the sets of the store's only configuration."""
    rows = [stored.to_row() for stored in SampleStore(store, must_exist=True).sample_sets()]
    print(write_rows(out, map(reduced, rows)), "sample sets")


def reduced(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the demo's fields only, log-probabilities to four places."""
    samples = [{name: one[name] for name in SAMPLE_FIELDS if name in one} for one in row["samples"][:SAMPLES]]
    for one in samples:
        if "logprobs" in one:
            one["logprobs"] = {name: round(value, 4) for name, value in one["logprobs"].items()}
    return {name: row[name] for name in FIELDS} | {"samples": samples}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
