"""OlympiadBench, part OE_TO_maths_en_COMP: English, text only, open-ended competition mathematics."""

from __future__ import annotations

from typing import Any, cast

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, column, optional, text
from sampleset.datasets.base import DATASETS
from sampleset.errors import DataError
from sampleset.types import Problem, Question

_EXTRA_COLUMNS = ("answer_type", "is_multiple_answer", "unit", "error")


def problem(row: Row, split: str, index: int) -> Problem:
    """A problem of a row. The answer is `final_answer` with its dollar signs; several are joined."""
    answers: Any = column(row, "final_answer")
    if not isinstance(answers, list) or not answers:
        raise DataError(f"'final_answer' must be a list of answers, got {answers!r:.80}")
    solution: Any = row.get("solution")
    return Problem(
        Question(f"olympiadbench-{split}-{index:04d}", text(row, "question")),
        ", ".join(str(answer).strip() for answer in cast("list[object]", answers)),
        "\n\n".join(map(str, cast("list[object]", solution)))
        if isinstance(solution, list)
        else optional(row, "solution"),
        subject=optional(row, "subfield"),
        extra={name: row[name] for name in _EXTRA_COLUMNS if row.get(name) not in (None, "")},
    )


DATASETS.register("olympiadbench")(
    HubDataset(
        name="olympiadbench",
        about="olympiad mathematics, open-ended, English, text only (OE_TO_maths_en_COMP)",
        repo="Hothan/OlympiadBench",
        revision="91184b52131e7fc9455fef848035173aea8cc01a",
        licence="Apache-2.0",
        citation="He et al. 2024, arXiv 2402.14008",
        # The source calls it train; nothing here is for training.
        splits={"test": Split("OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet", 674)},
        problem=problem,
    )
)
