"""ARC, challenge set: school science questions with lettered options."""

from __future__ import annotations

from typing import Any

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, column, multiple_choice, text
from sampleset.datasets.base import DATASETS
from sampleset.errors import DataError
from sampleset.types import Problem


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. Options keep the source's order and are lettered from A, never numbered."""
    choices: Any = column(row, "choices")
    right = text(row, "answerKey")
    try:
        texts, labels = choices["text"], list(choices["label"])
    except (KeyError, TypeError) as error:
        raise DataError(f"'choices' must hold 'text' and 'label', got {choices!r:.80}") from error
    if right not in labels:
        raise DataError(f"'answerKey' is {right!r}, which is none of the labels {', '.join(labels)}")
    source = {"source_id": row["id"]} if "id" in row else {}
    return multiple_choice(
        f"arc_challenge-{split}-{index:04d}", text(row, "question"), texts, labels.index(right), extra=source
    )


DATASETS.register("arc_challenge")(
    HubDataset(
        name="arc_challenge",
        about="school science, multiple choice, hard part",
        repo="allenai/ai2_arc",
        revision="210d026faf9955653af8916fad021475a3f00453",
        licence="CC-BY-SA-4.0",
        citation="Clark et al. 2018, arXiv 1803.05457",
        splits={
            "train": Split("ARC-Challenge/train-00000-of-00001.parquet", 1119),
            "validation": Split("ARC-Challenge/validation-00000-of-00001.parquet", 299),
            "test": Split("ARC-Challenge/test-00000-of-00001.parquet", 1172),
        },
        problem=problem,
        is_choice=True,
    )
)
