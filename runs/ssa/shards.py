"""Cut files of sample sets into parts, NAME.FILE.I.sets.jsonl.gz: `python shards.py PARTS NAME FILE...`."""

import gzip
import sys
from pathlib import Path


def main() -> None:
    """Deal the lines of each file out in turn."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    parts, name, *files = sys.argv[1:]
    for file in map(Path, files):
        lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
        for part in range(int(parts)):
            mine = gzip.compress(b"".join(lines[part :: int(parts)]), mtime=0)
            Path(f"{name}.{file.name.partition('.')[0]}.{part}.sets.jsonl.gz").write_bytes(mine)


if __name__ == "__main__":
    main()
