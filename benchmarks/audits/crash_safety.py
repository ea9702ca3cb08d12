"""Kill `sampleset sample` with SIGKILL at random moments until it is done, then audit what was paid.

    python benchmarks/audits/crash_safety.py --kills 200 [--stop beta:0.95 | --pool]

A stub server on loopback writes down every draw it serves. After the last run the store must hold every
draw exactly once and nothing unreadable, and what was served twice must not exceed what the kills can have
caught in flight. With a stopping rule, a question may lack draws if its set says that it was stopped; with a
pool, two members draw half of the samples each. Exits with 1 if any of that does not hold.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sampleset.storage.store import SampleStore

STUB = Path(__file__).parents[2] / "tests" / "support" / "stub_server.py"
CONCURRENCY = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds the stub takes for a draw")
    parser.add_argument("--seed", type=int, default=0)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--stop", help="a stopping rule")
    how.add_argument("--pool", action="store_true", help="two members draw")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(0 if audit(Path(scratch), arguments) else 1)


def audit(folder: Path, arguments: argparse.Namespace) -> bool:
    problems, log, store = folder / "problems.jsonl", folder / "served.jsonl", folder / "store"
    with open(problems, "w") as file:
        for number in range(arguments.questions):
            file.write(json.dumps({"id": f"p{number}", "question": f"What is {number} plus 1?"}) + "\n")
    log.touch()
    server = subprocess.Popen(
        [sys.executable, STUB, "--port", "0", "--latency", str(arguments.latency), "--log", log],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().split()[-1]
        command = [
            *(sys.executable, "-m", "sampleset", "sample", problems, "--output-dir", store),
            *("--base-url", base_url, "--model", "stub-model", "-n", str(arguments.samples)),
            *("--max-concurrency", str(CONCURRENCY)),
            *(("--stop", arguments.stop) if arguments.stop else ()),
        ]
        if arguments.pool:
            member = {"model": "stub-model", "base_url": base_url, "count": arguments.samples // 2}
            members = [member, member | {"seed": 1000, "system": "You are careful."}]
            (folder / "pool.yaml").write_text(json.dumps({"pool": members}))
            command += ["--pool", folder / "pool.yaml"]
        kills = kill_at_random(command, log, arguments.kills, random.Random(arguments.seed))
        last = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        server.terminate()
        server.wait()
    if last.returncode:
        print(last.stderr)
        return False
    at_once = CONCURRENCY * (2 if arguments.pool else 1)
    return report(log, store, kills, arguments.questions, arguments.samples, at_once)


def kill_at_random(command: list[object], log: Path, wanted: int, dice: random.Random) -> int:
    """Kill the command that many times, each time up to half a second after it has begun to draw."""
    kills = 0
    while kills < wanted:
        before = log.stat().st_size
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and log.stat().st_size == before:
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.5))
        if process.poll() is not None:
            return kills  # all is drawn; more questions are needed for more kills
        process.kill()
        process.wait()
        kills += 1
    return kills


def report(log: Path, store: Path, kills: int, questions: int, samples: int, at_once: int) -> bool:
    served = [json.loads(line) for line in log.read_bytes().splitlines()]
    paid = Counter(json.dumps([draw["question"], draw["seed"]]) for draw in served)
    rows = [json.loads(line) for line in (store / "samples.jsonl").read_bytes().splitlines()]
    stored = Counter((row["problem_id"], row["configuration"], row["index"]) for row in rows)
    sets = [one.sample_set for one in SampleStore(store).sample_sets("all")]
    short = sum(one.stopped is None and one.n < samples for one in sets)
    figures = {
        "kills": kills,
        "draws wanted": questions * samples,
        "draws in the store": len(stored),
        "stored twice": sum(count - 1 for count in stored.values()),
        "failed draws in the store": sum("error" in row for row in rows),
        "served": len(served),
        "served twice": sum(count - 1 for count in paid.values()),
        "in flight at the kills, at most": kills * at_once,
        "sets": len(sets),
        "stopped by the rule": sum(one.stopped is not None for one in sets),
        "short for no reason": short,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    return (
        len(sets) == questions
        and short == 0
        and figures["stored twice"] == figures["failed draws in the store"] == 0
        and figures["served twice"] <= figures["in flight at the kills, at most"]
    )


if __name__ == "__main__":
    main()
