"""How long `sampleset --help` and `import sampleset` take, as multiples of `python -c pass`, in one run.

python benchmarks/startup.py --repeats 15
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import sampleset": [sys.executable, "-c", "import sampleset"],
    "sampleset --help": [sys.executable, "-m", "sampleset", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(repeats + 1):  # interleaved; the first turn warms the file cache and is dropped
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["python -c pass"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        spread = f"{min(taken) * 1000:.0f}-{max(taken) * 1000:.0f}"
        print(f"{name:<18} {median * 1000:6.0f} ms ({spread})   {median / base:5.1f} x")


if __name__ == "__main__":
    main()
