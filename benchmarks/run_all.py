r"""Every benchmark that this machine has the parts for, and what each printed, in docs/benchmarks.md.

    python benchmarks/run_all.py --list
    python benchmarks/run_all.py startup votes_and_grades
    python benchmarks/run_all.py --at optillm=VENV --at its_hub=VENV --at lm_eval=VENV --at lighteval=VENV \
        --at recorded=FOLDER --at vllm_url=http://localhost:8000/v1 --at vllm_model=NAME

Without names, all of them, one after another: some hours on two cores. One whose packages are not beside
this Python, or that needs something which `--at` does not name, is left out with a line that says what it
lacks; a peer that is not named is left out of its comparison. The page keeps what was measured before of all
those that were not run, or that failed (exit code 1). Every benchmark is a command of its own: `--help` tells
its options. They lie in speed/ (how fast, as ratios), audits/ (is it right) and load/ (the server and stores
under many requests).
"""

import argparse
import importlib.metadata as metadata
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by benchmarks/run_all.py: begin -->", "<!-- end -->"


@dataclass(frozen=True)
class Benchmark:
    """One command.

    Attributes:
        shows: What it is about.
        arguments: In them `{recorded}` and the like stand for places given by `--at`, which must be there.
        peers: Name of a place → further arguments if it is given.
        needs: Packages that have to be beside this Python.
        file: Of the program, if its name is another.
    """

    shows: str
    arguments: tuple[str, ...] = ()
    peers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    needs: tuple[str, ...] = ()
    file: str | None = None


STARTUP_PEERS = {
    "optillm": ("--peer", "optillm={optillm}/bin/optillm"),
    "its_hub": ("--peer", "its_hub={its_hub}/bin/its-iaas"),
}
SIZE_PEERS = {
    "optillm": ("--peer", "optillm={optillm}/bin/python"),
    "its_hub": ("--peer", "its_hub[iaas]={its_hub}/bin/python"),
    "lm_eval": ("--peer", "lm_eval[math]={lm_eval}/bin/python"),
    "lighteval": ("--peer", "lighteval[math]={lighteval}/bin/python"),
}
SERVER_PEERS = {
    "optillm": ("--optillm", "{optillm}/bin/optillm"),
    "its_hub": ("--its-hub", "{its_hub}/bin/its-iaas"),
}
AGGREGATION_PEERS = tuple(
    text
    for option, place in (
        ("--sampleset", "sampleset"),
        ("--llm", "llm"),
        ("--inspect", "inspect_ai"),
        ("--lighteval", "lighteval"),
        ("--its", "its_hub"),
    )
    for text in (option, f"{{{place}}}/bin/python")
)
GRADE_PEERS = {
    "lm_eval": ("--lm-eval", "{lm_eval}/bin/python"),
    "lighteval": ("--lighteval", "{lighteval}/bin/python"),
}

BENCHMARKS: dict[str, Benchmark] = {
    "startup": Benchmark("time of import and --help", peers=STARTUP_PEERS),
    "http_clients": Benchmark("HTTP clients by processor time a draw", needs=("openai", "httpx")),
    "install_size": Benchmark("packages and MB of an installation", peers=SIZE_PEERS),
    "shared_prompt": Benchmark(
        "K draws of one prompt in one batch against one by one",
        ("--k", "5", "10", "20", "--repeats", "2"),
        needs=("xllamacpp",),
    ),
    "transformers_batching": Benchmark("many draws at once, backend transformers", needs=("torch",)),
    "thread_waiting": Benchmark(
        "how the engines' threads wait", needs=("xllamacpp", "torch", "transformers")
    ),
    "engines": Benchmark(
        "reading, scoring and drawing on OpenVINO and on llama.cpp",
        needs=("openvino_genai", "gguf", "xllamacpp"),
    ),
    "loading_gguf": Benchmark(
        "a GGUF file loaded by transformers alone and by this package",
        needs=("torch", "transformers", "gguf"),
    ),
    "aggregator_modes": Benchmark("modes select, direct and think", needs=("xllamacpp",)),
    "aggregator_batching": Benchmark("sets at once, embedded model", needs=("xllamacpp",)),
    "aggregator_batching_transformers": Benchmark(
        "sets at once, backend transformers",
        ("--model", "transformers", "--at-once", "1", "4", "8"),
        needs=("torch",),
        file="aggregator_batching",
    ),
    "shared_prompt_training": Benchmark("one step of GRPO against stock TRL", needs=("torch", "trl")),
    "training_step": Benchmark(
        "a step of training on a CPU, by the dtype of matrix products",
        ("--profile",),
        needs=("torch", "peft"),
    ),
    "versions": Benchmark("this version beside an older one: source, processor time", ("{before}",)),
    "votes_and_grades": Benchmark("votes and grades against math-verify pair by pair"),
    "peers": Benchmark("five samples as other tools aggregate them", arguments=AGGREGATION_PEERS),
    "grades_beside_others": Benchmark("grades against other packages' metrics, GSM8K", peers=GRADE_PEERS),
    "grades_beside_others_math": Benchmark(
        "the same on level-5 MATH",
        ("{recorded}/samplesets/math_l5_small8.jsonl.gz", "--limit", "60"),
        GRADE_PEERS,
        file="grades_beside_others",
    ),
    "answers_by_kind": Benchmark("cases by kind, beside math-verify and lm-eval"),
    "vote_vs_strings": Benchmark("votes over classes against strings", ("{recorded}/samplesets",)),
    "recorded_grades": Benchmark("our grades against recorded ones", ("{recorded}/samplesets",)),
    "full_evaluation": Benchmark("a whole evaluation, and ten times its size"),
    "evaluation": Benchmark("processor time of an evaluation a question", ("--repeats", "1")),
    "server_load": Benchmark("the server beside others", peers=SERVER_PEERS, needs=("aiohttp", "starlette")),
    "server_faults": Benchmark("the server under faults", needs=("aiohttp", "starlette")),
    "server_hold_ups": Benchmark("how long large requests hold others up", needs=("aiohttp", "starlette")),
    "scale_model": Benchmark("the model of docs/reference/scale.md against measurements", ("--measure",)),
    "vllm_server": Benchmark(
        "vLLM: draws of one prompt, and two ways of scoring",
        ("{vllm_url}", "{vllm_model}", "--repeats", "2", "--max-tokens", "8"),
    ),
    "reward_server": Benchmark(
        "scores of a reward model behind vLLM against those of our loader",
        ("{reward_url}", "--model", "{reward_model}"),
        needs=("torch",),
    ),
    "ray_node_loss": Benchmark("a lost node of a Ray cluster", needs=("ray",)),
    "crash_safety": Benchmark("kill -9 while drawing", ("--kills", "20", "--questions", "150")),
    "interval_coverage": Benchmark("coverage of the intervals", ("--runs", "400")),
    "continuous_batching": Benchmark(
        "the batching of transformers against ours, on a CPU", needs=("torch", "transformers")
    ),
    "auto_worth": Benchmark("whether auto pays, and whether the test of it errs seldom", ("data/draws",)),
    "certificates": Benchmark("whether certified thresholds keep their promise", ("{recorded}/samplesets",)),
    "hostile_replies": Benchmark(
        "hostile texts as answers, as votes and as replies", needs=("aiohttp", "starlette")
    ),
    "injected_samples": Benchmark("samples that try to steer the aggregator", needs=("xllamacpp",)),
}
LIBRARIES = ("sampleset", "openvino-genai", "xllamacpp", "torch", "transformers", "trl", "math-verify", "ray")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all")
    parser.add_argument("--at", action="append", default=[], metavar="PLACE=FOLDER")
    parser.add_argument("--list", action="store_true", help="what there is and what of it would be run")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--limit-minutes", type=float, default=60.0, help="for one benchmark")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {sorted(unknown)}; there are {', '.join(BENCHMARKS)}")
    places = dict(one.partition("=")[::2] for one in arguments.at)
    failed = 0
    for name in arguments.names or BENCHMARKS:
        missing = lacking(BENCHMARKS[name], places)
        print(f"== {name}: {BENCHMARKS[name].shows}" + (f"; left out: {missing}" if missing else ""))
        if missing or arguments.list:
            continue
        section = run(name, places, arguments.limit_minutes)
        if section is None:
            failed += 1
        else:
            page = arguments.page.read_text(encoding="utf-8")
            arguments.page.write_text(merged(page, {name: section}), encoding="utf-8")
    sys.exit(failed > 0)


def lacking(one: Benchmark, places: Mapping[str, str]) -> str:
    """What it cannot do without and is not there; empty if nothing."""
    packages = [package for package in one.needs if version_of(package) is None]
    unnamed = [name for part in one.arguments for name in re.findall(r"\{(\w+)\}", part)]
    wanted = [f"--at {name}=FOLDER" for name in unnamed if name not in places]
    return ", ".join([*packages, *wanted])


def run(name: str, places: Mapping[str, str], minutes: float) -> str | None:
    """The benchmark's section of the page; `None` if it failed."""
    one = BENCHMARKS[name]
    parts = list(one.arguments)
    for peer, more in one.peers.items():
        parts += more if peer in places else ()
    script = script_of(name)
    command = [sys.executable, "-u", str(HERE / script), *(part.format_map(places) for part in parts)]
    started, lines = time.monotonic(), list[str]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        # Its group, since servers that it started would outlive it.
        limit = threading.Timer(minutes * 60, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        for line in process.stdout:
            lines.append(line.rstrip())
            print("  " + lines[-1], flush=True)
        limit.cancel()
    if process.returncode:
        print(f"  failed with exit code {process.returncode}; the page keeps what it says")
        return None
    shown = [re.sub(r"\{(\w+)\}", lambda place: place[1].upper(), part) for part in parts]
    said = "\n".join(lines)
    for place, folder in places.items():
        said = said.replace(folder, place.upper())
    took = (time.monotonic() - started) / 60
    return (
        f"{one.shows[0].upper()}{one.shows[1:]}: `{' '.join(['python', f'benchmarks/{script}', *shown])}`\n\n"
        f"{machine()}; {took:.1f} minutes.\n\n```\n{said.strip()}\n```"
    )


def script_of(name: str) -> str:
    """The benchmark's program, as a path from the folder of benchmarks."""
    (path,) = HERE.glob(f"*/{BENCHMARKS[name].file or name}.py")
    return path.relative_to(HERE).as_posix()


def machine() -> str:
    """Processor, cores that may be used, load, and versions."""
    models = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    model = models[0] if models else platform.machine()
    cores = len(os.sched_getaffinity(0))
    versions = [f"{name} {found}" for name in LIBRARIES if (found := version_of(name))]
    return (
        f"{model}, {cores} core{'s' * (cores > 1)} of {os.cpu_count()}, load"
        f" {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {', '.join(versions)}"
    )


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def merged(page: str, sections: Mapping[str, str]) -> str:
    """The page with these sections in place of those of the same names, in the order of the benchmarks.

    Raises:
        ValueError: The page has no place for them.
    """
    before, _, after = parts_of(page)
    kept = sections_of(page) | dict(sections)
    ordered = [f"### {name}\n\n{kept[name]}\n" for name in BENCHMARKS if name in kept]
    return before + BEGIN + "\n\n" + "\n".join(ordered) + "\n" + END + after


def sections_of(page: str) -> dict[str, str]:
    """Name and text of each section of the page."""
    parts: Sequence[str] = re.split(r"^### (\w+)\n", parts_of(page)[1], flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def parts_of(page: str) -> tuple[str, str, str]:
    """What stands before the sections, the sections, and what stands after them.

    Raises:
        ValueError: The page has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    written, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return before, written, after


if __name__ == "__main__":
    main()
