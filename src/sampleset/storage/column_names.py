"""The names under which other tools put what we read, and other ways of writing a name that we know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sampleset.storage.records import (
    ANSWER_COLUMNS,
    ID_COLUMNS,
    QUESTION_COLUMNS,
    SAMPLES_COLUMNS,
    with_columns,
)

PROMPT_COLUMNS = (
    *QUESTION_COLUMNS,
    "prompt",
    "query",
    "instruction",
    "input",
    "question_text",
    "problem_statement",
    "problem_text",
    "user_prompt",
    "user_input",
    "origin_prompt",
)
"""Where other tools put the question, the likeliest first."""

CHAT_COLUMNS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog")
"""Where other tools put a whole chat."""

GOLD_COLUMNS = (
    *ANSWER_COLUMNS,
    "gold",
    "ground_truth",
    "reference_answer",
    "target",
    "gold_answer",
    "correct_answer",
    "gt",
    "golden_answer",
    "ground_truth_answer",
    "gold_label",
    "expected",
    "expected_output",
    "ideal",
    "reference",
    "truth",
    "gts",
    "gold_answers",
    "golden_answers",
    "ground_truths",
    "reference_answers",
    "references",
    "targets",
    "gold_solution",
    "reference_solution",
)
"""Where other tools put the gold answer, the likeliest first: a text, a number or a list of answers."""

COMPLETION_COLUMNS = (
    "samples",
    "outputs",
    *SAMPLES_COLUMNS[1:],
    "generation",
    "completion",
    "response",
    "output",
    "sample",
    "generated_texts",
    "generated_text",
    "generated_responses",
    "generated_response",
    "generated_answer",
    "generated",
    "model_outputs",
    "model_output",
    "model_responses",
    "model_response",
    "model_completions",
    "model_completion",
    "model_generations",
    "model_answers",
    "model_answer",
    "llm_response",
    "llm_output",
    "raw_response",
    "raw_output",
    "full_response",
    "output_texts",
    "output_text",
    "rollouts",
    "attempts",
    "solutions",
    "replies",
    "reply",
    "actual_outputs",
    "actual_output",
    "predictions",
    "prediction",
    "predict",
    "candidates",
    "texts",
    "text",
)
"""Where other tools put completions, the likeliest first: a text, or a list of texts or of objects."""

QUESTION_IDS = (
    "problem_id",
    "question_id",
    "prompt_id",
    "task_id",
    "unique_id",
    "example_id",
    "doc_id",
    "id",
    "idx",
    "uid",
)
"""Where other tools put what rows of one question share."""

_KNOWN = {
    *(*ID_COLUMNS, *PROMPT_COLUMNS, *CHAT_COLUMNS, *GOLD_COLUMNS, *COMPLETION_COLUMNS, *QUESTION_IDS),
    *("solution", "subject", "level", "choices", "answer_kind", "scores", "model", "finish_reason", "seed"),
}


def even(name: str) -> str:
    """A name as we write it: `Expected Answer`, `expected-answer`, `expectedAnswer` are `expected_answer`."""
    return "_".join(_HUMP.sub("_", name).lower().replace("-", " ").split())


_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def mapped(row: Mapping[str, Any], columns: Mapping[str, str] | None) -> Mapping[str, Any]:
    """The row under our names of columns; a known name may be written in capitals, or with spaces.

    Args:
        row: A row as it stands in a file.
        columns: Our name of a column → the file's.

    Raises:
        DataError: The row lacks a mapped column.
    """
    row = with_columns(row, columns)
    spelled = _spelled(tuple(row))
    return {spelled.get(name, name): value for name, value in row.items()} if spelled else row


@lru_cache(256)
def _spelled(names: tuple[str, ...]) -> Mapping[str, str]:
    """Names that spell a known one in another way → that one; a column that has the known name goes first."""
    spelled: dict[str, str] = {}
    for name in names:
        known = even(name)
        if name not in _KNOWN and known in _KNOWN and known not in (*names, *spelled.values()):
            spelled[name] = known
    return spelled
