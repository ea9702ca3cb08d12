"""Cut files of sample sets into parts: `python shards.py PARTS NAME FILE...` writes NAME.I.sets.jsonl.gz."""

import gzip
import sys
from pathlib import Path


def main() -> None:
    """Deal the lines out in turn."""
    parts, name, *files = sys.argv[1:]
    lines = [line for file in files for line in gzip.decompress(Path(file).read_bytes()).splitlines(True)]
    for part in range(int(parts)):
        mine = b"".join(lines[part :: int(parts)])
        Path(f"{name}.{part}.sets.jsonl.gz").write_bytes(gzip.compress(mine, mtime=0))


if __name__ == "__main__":
    main()
