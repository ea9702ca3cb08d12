"""GSM8K: grade school word problems with whole-number answers."""

from __future__ import annotations

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, text
from sampleset.datasets.base import DATASETS
from sampleset.errors import DataError
from sampleset.types import Problem, Question


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. The answer is the text after `####` without commas, the solution the whole text."""
    solution = text(row, "answer")
    _, mark, answer = solution.rpartition("####")
    if not mark or not answer.strip():
        raise DataError(f"'answer' must end in `#### NUMBER`, got {solution[-40:]!r}")
    return Problem(
        Question(f"gsm8k-{split}-{index:04d}", text(row, "question")),
        answer.strip().replace(",", ""),
        solution,
    )


DATASETS.register("gsm8k")(
    HubDataset(
        name="gsm8k",
        about="grade school word problems",
        repo="openai/gsm8k",
        revision="740312add88f781978c0658806c59bc2815b9866",
        licence="MIT",
        citation="Cobbe et al. 2021, arXiv 2110.14168",
        splits={
            "train": Split("main/train-00000-of-00001.parquet", 7473),
            "test": Split("main/test-00000-of-00001.parquet", 1319),
        },
        problem=problem,
    )
)
