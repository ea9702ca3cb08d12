r"""How long `sampleset --help` and `import sampleset` take, beside others', as multiples of `python -c pass`.

    python benchmarks/speed/startup.py --repeats 15 --peer optillm=VENV/bin/optillm \
        --peer its_hub=VENV/bin/its-iaas

A peer is its package's name and its program, in a venv of its own; its import is timed with the venv's
Python. Everything in one run, in turns.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import sampleset": [sys.executable, "-c", "import sampleset"],
    "sampleset --help": [sys.executable, "-m", "sampleset", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM")
    arguments = parser.parse_args()
    commands = dict(COMMANDS)
    for one in arguments.peer:
        name, _, program = one.partition("=")
        commands[f"import {name}"] = [str(Path(program).parent / "python"), "-c", f"import {name}"]
        commands[f"{Path(program).name} --help"] = [program, "--help"]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(arguments.repeats + 1):  # the first warms the file cache and is dropped
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["python -c pass"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        spread = f"({min(taken) * 1000:.0f} to {max(taken) * 1000:.0f})"
        print(f"{name:<18} {median * 1000:6.0f} ms {spread:16} {median / base:6.1f} x")


if __name__ == "__main__":
    main()
