"""AMC 2023: forty competition problems, reworded so that the answer is a whole number."""

from __future__ import annotations

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, text, whole_number
from sampleset.datasets.base import DATASETS
from sampleset.types import Problem, Question


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. The source writes its whole-number answers as floats (`27.0`)."""
    return Problem(Question(f"amc23-{split}-{index:04d}", text(row, "question")), whole_number(row, "answer"))


DATASETS.register("amc23")(
    HubDataset(
        name="amc23",
        about="AMC 12 of 2023, without the options",
        repo="math-ai/amc23",
        revision="80815d37005feb82cd7f8fbc6901d5d3eff43057",
        licence="problems by the MAA; the card states no licence",
        citation="Mathematical Association of America, 2023",
        splits={"test": Split("test-00000-of-00001.parquet", 40)},
        problem=problem,
    )
)
