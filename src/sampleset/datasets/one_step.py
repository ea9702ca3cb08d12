"""One-step word problems written for this package: the size the embedded model gets right sometimes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files

from sampleset.datasets.base import DATASETS
from sampleset.storage import read_problems
from sampleset.types import Problem


@dataclass(frozen=True)
class OneStep:
    """The problems in `sampleset/data/demo_questions.jsonl`."""

    summary: str = "one-step word problems for trying things out; ours, Apache-2.0, in the package"

    def load(self) -> Iterator[Problem]:
        """The problems; the first is the demo's live question."""
        with as_file(files("sampleset") / "data" / "demo_questions.jsonl") as path:
            yield from read_problems(path)


DATASETS.register("one_step")(OneStep())
