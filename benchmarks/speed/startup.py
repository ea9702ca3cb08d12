"""How long commands take to start, in processor time, as multiples of `python -c pass`.

    python benchmarks/speed/startup.py --peer optillm=VENV/bin/optillm --peer its_hub=VENV/bin/its-iaas
    python benchmarks/speed/startup.py --against CHECKOUT

A peer is its package's name and its program, in a venv of its own; its import is timed with the venv's
Python. `--against` times the same commands on the source of another checkout, for a ratio. Everything in one
run, in turns.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.jsonl"
        samples.write_text(json.dumps({"question": "1+1?", "samples": ["\\boxed{2}"] * 2 + ["\\boxed{3}"]}))
        ours = {
            "import sampleset": [sys.executable, "-c", "import sampleset"],
            "sampleset --help": [sys.executable, "-m", "sampleset", "--help"],
            "sampleset list": [sys.executable, "-m", "sampleset", "list"],
            "sampleset answer": [sys.executable, "-m", "sampleset", "answer", "1+1?", "-k", "3",
                                 "--model", f"replay:{samples}"],
        }  # fmt: skip
        runs = {"python -c pass": ([sys.executable, "-c", "pass"], dict(os.environ))}
        runs |= {name: (command, dict(os.environ)) for name, command in ours.items()}
        if arguments.against is not None:
            other = {**os.environ, "PYTHONPATH": str(arguments.against.resolve() / "src")}
            runs |= {f"{name}, before": (command, other) for name, command in ours.items()}
        for peer in arguments.peer:
            name, _, program = peer.partition("=")
            python = str(Path(program).parent / "python")
            runs[f"import {name}"] = [python, "-c", f"import {name}"], dict(os.environ)
            runs[f"{Path(program).name} --help"] = [program, "--help"], dict(os.environ)
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(arguments.repeats + 1):  # the first warms the file cache and is dropped
            for name, (command, environment) in runs.items():
                taken = processor_seconds(command, environment)
                if turn:
                    seconds[name].append(taken)
    base = statistics.median(seconds["python -c pass"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        spread = f"({min(taken) * 1000:.0f} to {max(taken) * 1000:.0f})"
        before = seconds.get(f"{name}, before")
        ratio = f"  {median / statistics.median(before):.2f} of before" if before else ""
        print(f"{name:<26} {median * 1000:6.0f} ms {spread:16} {median / base:6.1f} x{ratio}")


def processor_seconds(command: list[str], environment: dict[str, str]) -> float:
    """Seconds of a core that a command takes, its children's included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
