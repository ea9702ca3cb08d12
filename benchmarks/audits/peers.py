"""What four other tools make of the same five samples: each is run in an environment of its own.

    python benchmarks/audits/peers.py --llm PY --inspect PY --lighteval PY --its PY --sampleset PY

Each PY is the interpreter of an environment into which only that package was installed (`pip install llm`,
`inspect-ai`, `lighteval`, `its_hub`, `sampleset`). Prints the table of docs/peers.md. Nothing leaves the
machine.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

HALVES = ["0.5", "1/2", r"\frac{1}{2}", "3", "3"]

ITS = """
import asyncio
from its_hub import AbstractLanguageModel, SelfConsistency
class Model(AbstractLanguageModel):
    def __init__(self, texts): self.texts = iter(texts)
    async def agenerate(self, messages, *arguments, **options):
        text = next(self.texts)
        if text is None: raise RuntimeError("the server is down")
        return {"role": "assistant", "content": text}
    agenerate_single = agenerate
try:
    print(asyncio.run(SelfConsistency().ainfer(Model(TEXTS), "q", 5))["content"])
except Exception as error:
    print(type(error).__name__)
"""
INSPECT = """
from inspect_ai.scorer import Score, mode_score
print(mode_score()([Score(value=text) for text in TEXTS]).value)
"""
INSPECT_RUN = """
import os, tempfile
os.chdir(tempfile.mkdtemp())
from inspect_ai import Epochs, Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, scorer
from inspect_ai.solver import solver
texts = iter(TEXTS)
@solver
def answers():
    async def solve(state, generate):
        text = next(texts)
        if text is None: raise RuntimeError("the server is down")
        state.output.completion = text
        return state
    return solve
@scorer(metrics=[])
def says():
    async def score(state, target): return Score(value=state.output.completion)
    return score
task = Task([Sample("q", target="4")], solver=answers(), scorer=says(), epochs=Epochs(len(TEXTS), "mode"))
(log,) = eval(task, model="mockllm/model", display="none", max_samples=1, log_dir="logs")
print(log.status if log.error is None else log.error.message.split("(")[0])
"""
LIGHTEVAL = """
from lighteval.metrics.metrics_sample import MajAtN
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.requests import Doc
vote = MajAtN(n=len(TEXTS))
def scores(gold):
    doc = Doc(query="q", choices=[gold], gold_index=0)
    return vote.compute(doc=doc, model_response=ModelResponse(text=TEXTS))
print(*[text for text in dict.fromkeys(TEXTS) if scores(text)])
"""
OURS = """
from sampleset import Question, Sample, SampleSet, aggregate_sets
texts = [(text, None) if text else ("", "down") for text in TEXTS]
samples = [Sample(place, f"Answer: {text}", error=error) for place, (text, error) in enumerate(texts)]
print(aggregate_sets([SampleSet(Question("q", "?"), tuple(samples))])[0].answer)
"""
COUNT = (
    "import importlib.metadata as m; print(len({d.name for d in m.distributions()} - {'pip', 'setuptools'}))"
)


def printed(python: Path, code: str, texts: list[str | None] | None = None) -> str:
    """The last line that a program prints under the interpreter."""
    done = subprocess.run(
        [python, "-c", f"TEXTS = {texts!r}\n{code}"], capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr}")
    return done.stdout.strip().splitlines()[-1]


def shown(python: Path, *command: str) -> str:
    """The help of a command of the interpreter's environment; empty where there is no such command."""
    program = python.parent / command[0]
    if not program.exists():
        return ""
    help_ = [program, *command[1:], "--help"]
    return subprocess.run(help_, capture_output=True, text=True, timeout=300).stdout


def has_command(python: Path, command: str | None) -> bool:
    """Whether the environment has the command."""
    return command is not None and (python.parent / command).exists()


def main() -> None:
    """Run all checks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("sampleset", "llm", "inspect", "lighteval", "its")
    for name in names:
        parser.add_argument(f"--{name}", type=Path, required=True)
    pythons: dict[str, Path] = vars(parser.parse_args())
    packages = {"sampleset": "sampleset", "llm": "llm", "inspect": "inspect-ai", "lighteval": "lighteval"}
    packages["its"] = "its_hub"
    version = "from importlib.metadata import version; print(version({!r}))"
    versions = {name: printed(pythons[name], version.format(packages[name])) for name in names}
    failing: list[str | None] = ["4", "4", "4", "4", None]

    def options(name: str, pattern: tuple[str, ...], *command: str) -> str:
        text = shown(pythons[name], *command)
        return next((f"`{one}`" for one in pattern if one in text), "no")

    rows = {
        "packages that its installation brings": {name: printed(pythons[name], COUNT) for name in names},
        "several samples of one question on the command line": {
            "sampleset": options("sampleset", ("--samples",), "sampleset", "answer"),
            "llm": options("llm", ("--samples", "--num-choices", "--epochs"), "llm", "prompt"),
            "inspect": options("inspect", ("--epochs",), "inspect", "eval"),
            "lighteval": options("lighteval", ("--epochs",), "lighteval", "eval"),
            "its": options("its", ("--budget", "--samples"), "its-iaas"),
        },
        "the answer of 0.5, 1/2, `\\frac{1}{2}`, 3, 3": {
            "sampleset": printed(pythons["sampleset"], OURS, list(HALVES)),
            "llm": "not checked",
            "inspect": printed(pythons["inspect"], INSPECT, list(HALVES)),
            "lighteval": printed(pythons["lighteval"], LIGHTEVAL, list(HALVES)),
            "its": printed(pythons["its"], ITS, list(HALVES)),
        },
        "four samples say 4, the fifth call fails": {
            "sampleset": printed(pythons["sampleset"], OURS, failing),
            "llm": "not checked",
            "inspect": printed(pythons["inspect"], INSPECT_RUN, failing),
            "lighteval": "not checked",
            "its": printed(pythons["its"], ITS, failing),
        },
        "a server of such answers": {
            "sampleset": options("sampleset", ("serve",), "sampleset"),
            "llm": options("llm", (" serve",), "llm"),
            "inspect": options("inspect", (" serve",), "inspect"),
            "lighteval": options("lighteval", (" serve",), "lighteval"),
            "its": "`its-iaas`" if has_command(pythons["its"], "its-iaas") else "no",
        },
    }
    print("| | " + " | ".join(f"{packages[name]} {versions[name]}" for name in names) + " |")
    print("|---|" + "---|" * len(names))
    for row, cells in rows.items():
        print(f"| {row} | " + " | ".join(cells[name] for name in names) + " |")


if __name__ == "__main__":
    main()
