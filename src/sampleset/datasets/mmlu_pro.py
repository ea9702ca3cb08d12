"""MMLU-Pro: questions of fourteen fields with up to ten lettered options."""

from __future__ import annotations

from typing import Any, cast

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, column, multiple_choice, optional, text
from sampleset.datasets.base import DATASETS
from sampleset.errors import DataError
from sampleset.types import Problem


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. Options keep the source's order; the id contains the source's `question_id`."""
    options: Any = column(row, "options")
    answer = text(row, "answer")
    if not isinstance(options, list) or len(answer) != 1:
        raise DataError(f"'options' must be a list and 'answer' a letter, got {options!r:.60} and {answer!r}")
    return multiple_choice(
        f"mmlu_pro-{split}-{text(row, 'question_id'):0>5}",
        text(row, "question"),
        [str(option) for option in cast("list[object]", options)],
        ord(answer) - ord("A"),
        subject=optional(row, "category"),
    )


DATASETS.register("mmlu_pro")(
    HubDataset(
        name="mmlu_pro",
        about="knowledge and reasoning in 14 fields, ten options",
        repo="TIGER-Lab/MMLU-Pro",
        revision="527feea0afed1de15a8c115abf7be4c912123315",
        licence="MIT",
        citation="Wang et al. 2024, arXiv 2406.01574",
        splits={
            "validation": Split("data/validation-00000-of-00001.parquet", 70),
            "test": Split("data/test-00000-of-00001.parquet", 12032),
        },
        problem=problem,
        is_choice=True,
    )
)
