"""TruthfulQA, multiple choice with one right answer (MC1): questions that invite common falsehoods."""

from __future__ import annotations

import random
from typing import Any

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, column, multiple_choice, optional, text
from sampleset.datasets.base import DATASETS
from sampleset.errors import DataError
from sampleset.types import Problem

_SEED = 0


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. Options are shuffled by a fixed seed and the question: the source has the right
    option first.
    """
    targets: Any = column(row, "mc1_targets")
    try:
        options = list(zip(targets["choices"], targets["labels"], strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"'mc1_targets' must hold 'choices' and 'labels', got {targets!r:.80}") from error
    if [label for _, label in options].count(1) != 1:
        raise DataError("'mc1_targets' must mark one choice as right")
    question = text(row, "question")
    random.Random(f"{_SEED}:{question}").shuffle(options)
    right = [label for _, label in options].index(1)
    return multiple_choice(
        f"truthfulqa-{split}-{index:04d}",
        question,
        [choice for choice, _ in options],
        right,
        subject=optional(row, "category"),
    )


DATASETS.register("truthfulqa_mc")(
    HubDataset(
        name="truthfulqa_mc",
        about="questions that invite common falsehoods, one right option",
        repo="truthfulqa/truthful_qa",
        revision="741b8276f2d1982aa3d5b832d3ee81ed3b896490",
        licence="Apache-2.0",
        citation="Lin et al. 2021, arXiv 2109.07958",
        # The source calls it validation.
        splits={"test": Split("multiple_choice/validation-00000-of-00001.parquet", 817)},
        problem=problem,
        local=("truthfulqa", {"test": "mc1"}),
        is_choice=True,
    )
)
