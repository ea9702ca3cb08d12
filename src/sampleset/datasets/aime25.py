"""AIME 2025: thirty competition problems whose answers are whole numbers from 0 to 999."""

from __future__ import annotations

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, text, whole_number
from sampleset.datasets.base import DATASETS
from sampleset.types import Problem, Question


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. The answer loses the leading zeros of the competition's answer sheet."""
    return Problem(Question(f"aime25-{split}-{index:04d}", text(row, "problem")), whole_number(row, "answer"))


DATASETS.register("aime25")(
    HubDataset(
        name="aime25",
        about="AIME 2025, I and II",
        repo="math-ai/aime25",
        revision="563bb8404243c5f09de6ec262f2db674fe5bce9b",
        licence="Apache-2.0; problems by the MAA",
        citation="Mathematical Association of America, 2025",
        splits={"test": Split("test.jsonl", 30)},
        problem=problem,
    )
)
