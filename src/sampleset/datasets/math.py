"""MATH: competition problems with LaTeX answers, in seven subjects and five levels.

Five of the 7,500 problems of the train split are left out: two have an empty box as answer, three are in the
test split, too.
"""

from __future__ import annotations

from sampleset.datasets._hub import HubDataset, Split
from sampleset.datasets._rows import Row, last_box, optional, text
from sampleset.datasets.base import DATASETS, question_key
from sampleset.types import Problem, Question

_ALSO_IN_TEST = frozenset(
    question_key(question)
    for question in (
        "A parabola with equation $y = x^2 + bx + c$ passes through the points $(2,3)$ and $(4,3)$. "
        "What is $c$?",
        "Let $f$ be a linear function for which $f(6)-f(2)=12$. What is $f(12)-f(2)?$",
        "The points $(0,0)$, $(a,11)$, and $(b,37)$ are the vertices of an equilateral triangle. "
        "Find the value of $ab$.",
    )
)
"""Questions that are in both the train and the test split."""


def problem(row: Row, split: str, index: int) -> Problem | None:
    """A problem of a row, `None` if the last box, which holds the answer, is empty."""
    solution = text(row, "solution")
    answer = last_box(solution)
    if not answer:
        return None
    level = optional(row, "level")
    return Problem(
        Question(f"math-{split}-{index:04d}", text(row, "problem")),
        answer,
        solution,
        subject=optional(row, "type"),
        level=level.removeprefix("Level ") if level else None,
    )


DATASETS.register("math")(
    HubDataset(
        name="math",
        about="competition mathematics",
        repo="DigitalLearningGmbH/MATH-lighteval",
        revision="0530c78699ea5e8eb5530600900e1f328b48acad",
        licence="MIT",
        citation="Hendrycks et al. 2021, arXiv 2103.03874",
        splits={
            "train": Split("data/train-00000-of-00001.parquet", 7500),
            "test": Split("data/test-00000-of-00001.parquet", 5000),
        },
        problem=problem,
        left_out={"train": _ALSO_IN_TEST},
    )
)
