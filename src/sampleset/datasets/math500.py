"""MATH-500: five hundred problems of MATH's test split."""

from __future__ import annotations

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, optional, text
from sampleset.datasets.base import DATASETS
from sampleset.types import Problem, Question


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. The source's id is kept as `source_id`."""
    return Problem(
        Question(f"math500-{split}-{index:04d}", text(row, "problem")),
        text(row, "answer"),
        optional(row, "solution"),
        subject=optional(row, "subject"),
        level=optional(row, "level"),
        extra={"source_id": row["unique_id"]} if "unique_id" in row else {},
    )


DATASETS.register("math500")(
    HubDataset(
        name="math500",
        about="500 problems of MATH's test split",
        repo="HuggingFaceH4/MATH-500",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        licence="MIT",
        citation="Lightman et al. 2023, arXiv 2305.20050; problems by Hendrycks et al. 2021",
        splits={"test": Split("test.jsonl", 500)},
        problem=problem,
    )
)
