"""Stored sample sets → what other tools take: rows of one completion, lm-eval's samples, pandas, datasets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from sampleset.errors import MissingExtraError
from sampleset.storage.foreign.lighteval import OURS
from sampleset.storage.records import StoredSet, is_score_column, problem_to_row, sample_to_row
from sampleset.types import SampleSet

Rows = Iterator[dict[str, Any]]


_ABOUT = ("question", "answer", "choices", "answer_kind", "solution", "subject", "level")


def set_rows(sets: Iterable[StoredSet]) -> Rows:
    """Our own shape: one row a question, with the list of its samples."""
    return (stored.to_row() for stored in sets)


def completion_rows(sets: Iterable[StoredSet]) -> Rows:
    """One row a sample: `problem_id`, the question's columns, `answer` (gold), `index`, `completion`, tokens.

    A score stands in a column named after it, with `scores.` before a name that does not end in `_scores`.
    """
    for stored in sets:
        problem = problem_to_row(stored.problem)
        about = {"problem_id": problem["id"]} | {name: problem[name] for name in _ABOUT if name in problem}
        if stored.sample_set.stopped is not None:
            about["stopped"] = stored.sample_set.stopped
        for sample in stored.sample_set.samples:
            row = sample_to_row(sample)
            scores = {
                name if is_score_column(name.partition(".")[0]) else f"scores.{name}": score
                for name, score in row.pop("scores", {}).items()
            }
            yield {**about, "index": row.pop("index"), "completion": row.pop("text"), **row, **scores}


def lm_eval_rows(sets: Iterable[StoredSet]) -> Rows:
    """Rows like those of lm-eval's `--log_samples`, the samples as repeats of one request."""
    for index, stored in enumerate(sets):
        texts = [sample.text for sample in stored.sample_set.samples]
        question = stored.problem.question.text
        doc = problem_to_row(stored.problem)
        yield {
            "doc_id": index,
            "doc": doc,
            "target": stored.problem.answer,
            "arguments": {"gen_args_0": {"arg_0": question, "arg_1": {}}},
            "resps": [texts],
            "filtered_resps": texts[:1],
            "filter": "none",
            "metrics": [],
        }


def lighteval_rows(sets: Iterable[StoredSet]) -> Rows:
    """Rows like those of lighteval's details since 0.9; tokens and metrics are empty."""
    for stored in sets:
        texts = [sample.text for sample in stored.sample_set.samples]
        question, gold = stored.problem.question.text, _golds(stored)
        yield {
            "doc": {
                "query": question,
                "choices": gold,
                "gold_index": list(range(len(gold))),
                "id": stored.problem.id,
                "task_name": "sampleset",
                "specific": {OURS: json.dumps(problem_to_row(stored.problem), default=str)},
                "num_samples": len(texts),
            },
            "metric": None,
            "model_response": {
                "input": question,
                "input_tokens": [],
                "text": texts,
                "output_tokens": [],
                "truncated_tokens_count": 0,
                "padded_tokens_count": 0,
            },
        }


def lighteval_old_rows(sets: Iterable[StoredSet]) -> Rows:
    """Rows like those of lighteval's details before 0.9; tokens and metrics are empty."""
    for stored in sets:
        question = stored.problem.question.text
        yield {
            "example": question,
            "full_prompt": question,
            "instruction": "",
            "gold": _golds(stored),
            "gold_index": [],
            "choices": [],
            "predictions": [sample.text for sample in stored.sample_set.samples],
            "specifics": {OURS: json.dumps(problem_to_row(stored.problem), default=str)},
            "metrics": None,
            "num_asked_few_shots": -1,
            "num_effective_few_shots": -1,
            **{
                name: list[int]()
                for name in ("input_tokens", "cont_tokens", "pred_logits", "truncated", "padded")
            },
        }


def _golds(stored: StoredSet) -> list[str]:
    return [] if stored.problem.answer is None else [stored.problem.answer]


FORMS: Mapping[str, Callable[[Iterable[StoredSet]], Rows]] = {
    "sets": set_rows,
    "completions": completion_rows,
    "lm-eval": lm_eval_rows,
    "lighteval": lighteval_rows,
    "lighteval-0.8": lighteval_old_rows,
}
"""Shapes that sets are written in, by the name that users type."""


def to_pandas(sets: Iterable[StoredSet | SampleSet]) -> Any:
    """A pandas `DataFrame` with one row a sample; see `completion_rows`.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    return _module("pandas").DataFrame(list(completion_rows(_stored(sets))))


def to_dataset(sets: Iterable[StoredSet | SampleSet]) -> Any:
    """A `datasets.Dataset` of Hugging Face with one row a sample; see `completion_rows`.

    Raises:
        MissingExtraError: datasets is not installed.
    """
    rows = list(completion_rows(_stored(sets)))
    # Rows of different shapes share a table: a column that a row lacks is null in it.
    columns = dict.fromkeys(name for row in rows for name in row)
    return _module("datasets").Dataset.from_list([{name: row.get(name) for name in columns} for row in rows])


def _stored(sets: Iterable[StoredSet | SampleSet]) -> Iterator[StoredSet]:
    return (item if isinstance(item, StoredSet) else StoredSet.without_gold(item) for item in sets)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"{name} is not installed: pip install {name}") from error
