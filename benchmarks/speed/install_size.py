"""How many packages an installation brings along and what they take on the disk, beside others'.

    python benchmarks/speed/install_size.py --peer optillm=VENV/bin/python --peer its_hub=VENV/bin/python

Counted is what the package's metadata ask for, in turn and without extras unless named, as it is installed
beside the Python given: its own files by their records, without byte code. Other packages in that venv do
not count; what is asked for and not installed there is named, and counts without size. A peer is named as on
PyPI.
"""

import argparse
import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from pathlib import Path

OURS = ("sampleset", "sampleset[llamacpp]", "sampleset[llamacpp,serve]", "sampleset[train]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--of", metavar="REQUIREMENT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.of:
        print(json.dumps(measured(arguments.of)))
        return
    peers = [one.partition("=")[::2] for one in arguments.peer]
    for name, python in [*((one, sys.executable) for one in OURS), *peers]:
        done = subprocess.run([python, __file__, "--of", name], capture_output=True, text=True)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1]
            print(f"{name:<26} left out: {reason}")
            continue
        found = json.loads(done.stdout)
        largest = ", ".join(f"{one} {size:.0f}" for one, size in found["largest"])
        missing = f"; not installed there: {', '.join(found['missing'])}" if found["missing"] else ""
        count, size = found["packages"], found["megabytes"]
        print(f"{name:<26} {count:4} packages {size:7.0f} MB   largest, MB: {largest}{missing}")


def measured(requirement: str) -> dict[str, object]:
    """Packages and MB of a requirement with all that it asks for."""
    from pip._vendor.packaging.requirements import Requirement

    waiting, done = [Requirement(requirement)], set[tuple[str, frozenset[str]]]()
    sizes, missing = dict[str, float](), list[str]()
    while waiting:
        one = waiting.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if (name, frozenset(one.extras)) in done:
            continue
        done.add((name, frozenset(one.extras)))
        try:
            package = metadata.distribution(one.name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        sizes[name] = size_of(package)
        for line in package.requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in one.extras or {""}):
                waiting.append(needed)
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    count = len(sizes) + len(missing)
    return {"packages": count, "megabytes": sum(sizes.values()), "largest": largest, "missing": missing}


def size_of(package: metadata.Distribution) -> float:
    """MB of a package's files; of an editable one, those of its source."""
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        source = Path(origin["url"].removeprefix("file://")) / "src"
        files = [one for one in source.rglob("*") if one.is_file()]
    else:
        files = [Path(str(one.locate())) for one in package.files or ()]
    return sum(one.stat().st_size for one in files if one.is_file() and one.suffix != ".pyc") / 1e6


if __name__ == "__main__":
    main()
