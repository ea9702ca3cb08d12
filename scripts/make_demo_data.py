"""Cut the demo's recorded sample sets out of a larger file: `python scripts/make_demo_data.py SOURCE OUT`.

The rule looks at no label and no vote: every sixth row of the source in its order, the first 100 of them
whose samples are all there (none missing, none empty). The same source gives the same bytes.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

STEP = 6
ROWS = 100
SAMPLES = 8
FIELDS = ("id", "question", "answer", "model", "samples")


def main(source: Path, out: Path) -> None:
    """Write the chosen rows."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        rows: list[dict[str, Any]] = [json.loads(line) for line in file]
    chosen = [row for row in rows[::STEP] if is_complete(row["samples"])][:ROWS]
    if len(chosen) < ROWS:
        sys.exit(f"{source.name} holds {len(chosen)} of the {ROWS} complete rows needed.")
    lines = [json.dumps({name: row[name] for name in FIELDS}, ensure_ascii=False) + "\n" for row in chosen]
    # Neither time nor file name goes into the header, so that the bytes depend on the rows alone.
    with out.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
        packed.write("".join(lines).encode())


def is_complete(samples: list[str]) -> bool:
    """Whether every sample is there."""
    return len(samples) == SAMPLES and all(sample.strip() for sample in samples)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
