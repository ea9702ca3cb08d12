"""One-step word problems written for this package. The embedded model solves some of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from sampleset.datasets.base import DATASETS, Loaded
from sampleset.errors import InvalidArgumentError
from sampleset.storage.files import read_problems


@dataclass(frozen=True)
class OneStep:
    """The problems in `sampleset/data/demo_questions.jsonl`."""

    summary: str = "one-step word problems for trying things out; ours, Apache-2.0, in the package"

    def load(self, part: str, data_dir: Path | None) -> Loaded:
        """The problems. The first is the demo's live question. The only part is `test`."""
        if part not in ("", "test"):
            raise InvalidArgumentError(f"one_step has no split {part!r}; its split is test.")
        with as_file(files("sampleset") / "data" / "demo_questions.jsonl") as path:
            problems = list(read_problems(path))
        return Loaded(problems, "the package", len(problems))


DATASETS.register("one_step")(OneStep())
