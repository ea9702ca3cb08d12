"""AIME 2024: thirty competition problems whose answers are whole numbers from 0 to 999."""

from __future__ import annotations

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, optional, text, whole_number
from sampleset.datasets.base import DATASETS
from sampleset.types import Problem, Question


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. The answer loses the leading zeros of the competition's answer sheet."""
    return Problem(
        Question(f"aime24-{split}-{index:04d}", text(row, "problem")),
        whole_number(row, "answer"),
        optional(row, "solution"),
    )


DATASETS.register("aime24")(
    HubDataset(
        name="aime24",
        about="AIME 2024, I and II",
        repo="HuggingFaceH4/aime_2024",
        revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
        licence="problems by the MAA; the card states no licence",
        citation="Mathematical Association of America, 2024",
        # The source calls it train; nothing here is for training.
        splits={"test": Split("data/train-00000-of-00001.parquet", 30)},
        problem=problem,
    )
)
