"""Lose one of three Ray nodes while `sampleset sample --engine ray` draws, then audit what there is.

    python benchmarks/audits/ray_node_loss.py --questions 60

The cluster is `ray.cluster_utils.Cluster`, three nodes on this machine; a stub server on loopback draws. One
node is killed once a quarter of the draws is served. The store must hold every draw exactly once, its export
must be the local engine's byte for byte, and so must an
evaluation's records and, in any order, an aggregator's answers. Exits with 1 otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

STUB = Path(__file__).parents[2] / "tests" / "support" / "stub_server.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds the stub takes for a draw")
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(0 if audit(Path(scratch), arguments) else 1)


def audit(folder: Path, arguments: argparse.Namespace) -> bool:
    from ray.cluster_utils import Cluster

    problems, log = folder / "problems.jsonl", folder / "served.jsonl"
    rows = [
        {"id": f"p{n}", "question": f"What is {n} plus 1?", "answer": str(n + 1)}
        for n in range(arguments.questions)
    ]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    log.touch()
    stub = [sys.executable, STUB, "--port", "0", "--latency", str(arguments.latency), "--log", log]
    server = subprocess.Popen(stub, stdout=subprocess.PIPE, text=True)
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    cluster.wait_for_nodes()
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().split()[-1]
        wanted = arguments.questions * arguments.samples

        def start(*words: object) -> subprocess.Popen[str]:
            environment = os.environ | {"RAY_ADDRESS": cluster.address}
            return subprocess.Popen(
                [sys.executable, "-m", "sampleset", *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )

        def draw(engine: str) -> subprocess.Popen[str]:
            out = ("--output-dir", folder / engine, "--export", folder / f"{engine}.jsonl")
            which = ("--base-url", base_url, "--model", "stub-model", "-n", arguments.samples)
            return start("sample", problems, "--engine", engine, *out, *which)

        work = draw("ray")
        while work.poll() is None and served(log) < wanted // 4:
            time.sleep(0.02)
        at_loss = served(log)
        cluster.remove_node(nodes[1], allow_graceful=False)
        said = [work.communicate()[0]]
        done = [work.returncode]
        by_ray = served(log)
        for engine in ("local", "ray"):
            following = [draw("local")] if engine == "local" else []
            for one in following:
                said.append(one.communicate()[0])
                done.append(one.returncode)
            one = start(
                "evaluate",
                folder / "local.jsonl",
                "--engine",
                engine,
                "--subsets",
                3,
                "--verdicts",
                folder / "verdicts.sqlite3",
                "--output-dir",
                folder / f"report-{engine}",
            )
            said.append(one.communicate()[0])
            done.append(one.returncode)
            asked = ("--aggregator-model", "stub-model", "--aggregator-base-url", base_url)
            one = start(
                *("aggregate", folder / "local.jsonl", "--engine", engine, "--limit", 12, *asked),
                *("--aggregator", "universal_self_consistency", "--output-dir", folder / f"given-{engine}"),
            )
            said.append(one.communicate()[0])
            done.append(one.returncode)
    finally:
        cluster.shutdown()
        server.terminate()
        server.wait()
    if any(done):
        print(*said, sep="\n")
        return False
    stored = [json.loads(line) for line in (folder / "ray" / "samples.jsonl").read_bytes().splitlines()]
    draws = Counter((row["problem_id"], row["index"]) for row in stored)
    same = {
        name: (folder / a).read_bytes() == (folder / b).read_bytes()
        for name, a, b in (
            ("export", "ray.jsonl", "local.jsonl"),
            ("records of the evaluation", "report-ray/questions.jsonl", "report-local/questions.jsonl"),
        )
    }
    given = [
        sorted((folder / f"given-{engine}" / "answers.jsonl").read_bytes().splitlines())
        for engine in ("ray", "local")
    ]
    same["answers of an aggregator"] = given[0] == given[1] and len(given[0]) == 12
    print(f"draws wanted: {wanted}\nserved when the node was lost: {at_loss}\nserved in all: {by_ray}")
    print(f"in the store: {len(draws)}\nstored twice: {len(stored) - len(draws)}")
    for name, equal in same.items():
        print(f"{name} as by the local engine: {'yes' if equal else 'NO'}")
    return at_loss < wanted and len(draws) == len(stored) == wanted and all(same.values())


def served(log: Path) -> int:
    return log.read_bytes().count(b"\n")


if __name__ == "__main__":
    main()
