"""Rows ↔ records: how problems, samples, sample sets and answers look in a file.

Unknown fields survive a round trip without reaching an aggregator: a `StoredSet` keeps the row it came
from, its `sample_set` holds known fields only. A list of texts, or of sample rows, per question is read under
the names `samples`, `completions`, `responses` and `generations` (ours; search-and-learn;
large_language_monkeys). `storage.foreign` brings other shapes into this one.

A column `scores` or `<name>_scores` with one number per sample becomes `Sample.scores[<column>]`; a
`null` in it is no score. Of a list of numbers per sample, the scores of its steps, the last is the score; it
has their least, product and mean beside it as `<column>.min`, `<column>.product` and `<column>.mean`.
"""

from __future__ import annotations

import ast
import json
import math
import tokenize
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any, TypeGuard, cast

from sampleset.answers import Kinds, answer_kind, with_answer_kind
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.types import (
    DEFAULT_KIND,
    SCHEMA_VERSION,
    Answer,
    Candidate,
    LogprobSummary,
    Problem,
    Question,
    Sample,
    SampleSet,
    Usage,
    as_dict,
)

Row = Mapping[str, Any]

_LONGEST_LITERAL = 1 << 20

ID_COLUMNS = ("id", "problem_id", "unique_id")
QUESTION_COLUMNS = ("question", "problem")
ANSWER_COLUMNS = ("answer", "expected_answer")
SAMPLES_COLUMNS = ("samples", "completions", "responses", "generations")
_OF_SAMPLES = {*SAMPLES_COLUMNS, "generation", "model", "stopped", "prompt_version"}
_PROBLEM_FIELDS = {"schema", "choices", "solution", "subject", "level", "answer_kind"}
_SAMPLE_FIELDS: dict[str, type] = {
    "finish_reason": str,
    "seed": int,
    "prompt_tokens": int,
    "completion_tokens": int,
    "logprobs": Mapping,
    "model": str,
    "error": str,
    "scores": Mapping,
}
_JSON_TYPES = {name: dict if kind is Mapping else kind for name, kind in _SAMPLE_FIELDS.items()}
_LOGPROB_FIELDS = dict.fromkeys(field.name for field in fields(LogprobSummary)).keys()
_NEEDED_LOGPROBS = frozenset({"mean", "min_window"})
_NUMBERS = {int, float}
_ALIASES = {
    "id": ID_COLUMNS,
    "question": QUESTION_COLUMNS,
    "answer": ANSWER_COLUMNS,
    "samples": SAMPLES_COLUMNS,
    **{name: (name,) for name in ("solution", "subject", "level", "choices", "answer_kind", "scores")},
}
REDUCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "product": math.prod,
    "mean": lambda steps: math.fsum(steps) / len(steps),
}


@dataclass(frozen=True, slots=True)
class StoredSet:
    """One row of a file of sample sets: what aggregators see, the gold beside it, and the row itself."""

    sample_set: SampleSet
    problem: Problem
    row: Row

    @classmethod
    def without_gold(cls, sample_set: SampleSet) -> StoredSet:
        """A sample set that was drawn just now, say, as a file without gold answers would hold it."""
        return cls(sample_set, Problem(sample_set.question, None), {})

    def with_answer_kind(self, kind: str | None) -> StoredSet:
        """The same with answers of this kind; `None` leaves it as it is."""
        if kind is None:
            return self
        question = with_answer_kind(self.problem.question, kind)
        sample_set, problem = (
            replace(self.sample_set, question=question),
            replace(self.problem, question=question),
        )
        return StoredSet(sample_set, problem, self.row)

    def with_kinds(self, kinds: Kinds) -> StoredSet:
        """The same with answers compared by what these kinds hold."""
        question = kinds.bind(self.problem.question)
        return StoredSet(
            replace(self.sample_set, question=question), replace(self.problem, question=question), self.row
        )

    def to_row(self) -> dict[str, Any]:
        """The row to write back: the known fields as they are now, every other as it was read."""
        record = {
            name: value
            for name, value in self.row.items()
            if name not in SAMPLES_COLUMNS and name != "answer_kind"
        }
        record["schema"] = SCHEMA_VERSION
        record["id"] = self.sample_set.id
        record["question"] = self.sample_set.question.text
        if self.sample_set.question.answer_kind != DEFAULT_KIND:
            record["answer_kind"] = self.sample_set.question.answer_kind
        if self.sample_set.model is not None:
            record["model"] = self.sample_set.model
        if self.sample_set.stopped is not None:
            record["stopped"] = self.sample_set.stopped
        if self.sample_set.prompt is not None:
            record["prompt_version"] = self.sample_set.prompt
        if self.problem.answer is not None:
            record["answer"] = self.problem.answer
        rows = [sample_to_row(sample) for sample in self.sample_set.samples]
        is_plain = all(set(row) <= {"index", "text", "scores"} for row in rows)
        record["samples"] = [row["text"] for row in rows] if is_plain else rows
        return record


def parse_columns(text: str) -> dict[str, str]:
    """The mapping that `question=prompt,answer=target` states: our name of a column → the file's.

    Raises:
        InvalidArgumentError: A part is not `OURS=THEIRS`, or `OURS` is neither one of our columns nor a name
            of scores.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        is_ours = ours in _ALIASES or is_score_column(ours)
        if not equals or not theirs or not is_ours or ours in columns:
            raise InvalidArgumentError(
                f"Columns {text!r}: {part.strip()!r} must be OURS=THEIRS, as in "
                f"question=prompt,answer=target; OURS is one of {', '.join(_ALIASES)}, or a name of scores, "
                "each at most once."
            )
        columns[ours] = theirs
    return columns


def with_columns(row: Row, columns: Mapping[str, str] | None) -> Row:
    """The row under our names of columns; columns that are not mapped keep theirs.

    Args:
        row: A row as it stands in a file.
        columns: Our name of a column → the file's. Any other column under our name is dropped.

    Raises:
        DataError: The row lacks a mapped column.
    """
    if not columns:
        return row
    values = {ours: column_value(row, theirs, ours) for ours, theirs in columns.items()}
    replaced = {name for ours in columns for name in _ALIASES.get(ours, (ours,))} | set(columns.values())
    others = {name: value for name, value in row.items() if name not in replaced}
    return {**values, **others}


def column_value(row: Row, name: str, ours: str) -> Any:
    """The value of a column of the file; `doc.question` and `resps.0` are paths into the value.

    Args:
        row: The row.
        name: The column, or the way to a value in it, its steps joined by dots.
        ours: The name of ours that it is wanted for, for the message.

    Raises:
        DataError: There is no such column, or nothing at the end of the way.
    """
    if name in row:
        return row[name]
    value: Any = row
    for step in name.split("."):
        container: Row = cast("Row", value) if isinstance(value, Mapping) else {}
        listed: list[Any] = cast("list[Any]", value) if isinstance(value, list) else []
        if step in container:
            value = container[step]
        elif step.isdecimal() and int(step) < len(listed):
            value = listed[int(step)]
        else:
            raise DataError(
                f"no column {name!r}, which was named for {ours!r}; the columns here are {', '.join(row)}"
            )
    return value


def problem_from_row(row: Row, number: int) -> Problem:
    """The problem of a row; without an id column its id is its place in the file, from 0.

    Raises:
        DataError: There is no question, or a field has the wrong type.
    """
    text = _text(row, QUESTION_COLUMNS)
    if text is None or not text.strip():
        raise DataError(
            f"no question: expected a non-empty text in one of {', '.join(QUESTION_COLUMNS)}; the columns "
            f"here are {', '.join(row)}. Name yours by --columns question=COLUMN, or add the questions by "
            "sampleset import SAMPLES --problems DATASET"
        )
    choices = list_in_cell(row.get("choices"))
    if choices is not None and not _is_texts(choices):
        raise DataError(f"'choices' must be a list of texts, got {_excerpt(choices)}")
    identity = _text(row, ID_COLUMNS)
    known = {*ID_COLUMNS, *QUESTION_COLUMNS, *ANSWER_COLUMNS, *_PROBLEM_FIELDS}
    return Problem(
        question=Question(
            id=str(number) if identity is None else identity,
            text=text,
            choices=tuple(choices) if choices else None,
            answer_kind=_answer_kind(row),
        ),
        answer=_text(row, ANSWER_COLUMNS),
        solution=_text(row, ("solution",)),
        subject=_text(row, ("subject",)),
        level=_text(row, ("level",)),
        extra={name: value for name, value in row.items() if name not in known},
    )


def problem_to_row(problem: Problem) -> dict[str, Any]:
    """The row of a problem, unknown fields included."""
    row: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "id": problem.id,
        "question": problem.question.text,
        "answer": problem.answer,
    }
    for name in ("solution", "subject", "level"):
        if (value := getattr(problem, name)) is not None:
            row[name] = value
    if problem.question.answer_kind != DEFAULT_KIND:
        row["answer_kind"] = problem.question.answer_kind
    if problem.question.choices:
        row["choices"] = list(problem.question.choices)
    return row | dict(problem.extra)


def is_score_column(name: str) -> bool:
    """Whether a column of this name may hold a score of every sample."""
    return name == "scores" or name.endswith("_scores")


def without_samples(row: Row) -> dict[str, Any]:
    """The row without the columns about its samples; other samples replace them."""
    return {
        name: value for name, value in row.items() if name not in _OF_SAMPLES and not is_score_column(name)
    }


def sample_to_row(sample: Sample) -> dict[str, Any]:
    """The row of a sample, empty fields left out."""
    return {"index": sample.index, "text": sample.text} | as_dict(sample)


def sample_from_row(row: Row, index: int | None = None) -> Sample:
    """The sample of a row; fields that are not a sample's stay behind.

    Args:
        row: The row; `text` is required.
        index: Place in the draw order where the row itself does not say.

    Raises:
        DataError: The text or the index is missing or has the wrong type.
    """
    text = row.get("text", row.get("generation"))
    position = row.get("index", index)
    if not isinstance(text, str):
        raise DataError(f"a sample must have a text, got {_excerpt(text)}")
    if not isinstance(position, int):
        raise DataError(f"a sample's 'index' must be an integer, got {_excerpt(position)}")
    values = {name: value for name, value in row.items() if name in _SAMPLE_FIELDS and value is not None}
    for name, value in values.items():
        if type(value) is _JSON_TYPES[name]:
            continue
        if _SAMPLE_FIELDS[name] is int and isinstance(value, float) and value.is_integer():
            values[name] = int(value)  # of a table that has gaps
        elif not isinstance(value, _SAMPLE_FIELDS[name]) or isinstance(value, bool):
            raise DataError(
                f"a sample's {name!r} must be {_SAMPLE_FIELDS[name].__name__}, got {_excerpt(value)}"
            )
    for name in ("prompt_tokens", "completion_tokens"):
        if values.get(name, 0) < 0:
            raise DataError(f"a sample's {name!r} must be at least 0, got {_excerpt(values[name])}")
    if "logprobs" in values:
        values["logprobs"] = LogprobSummary(**_numbers(values["logprobs"], "logprobs", _LOGPROB_FIELDS))
    # Parquet fills in a null for a name that only other rows have.
    values["scores"] = _numbers(values["scores"], "scores") if values.get("scores") else {}
    return Sample(index=position, text=text, **values)


def _numbers(row: Row, name: str, known: Set[str] | None = None) -> dict[str, float]:
    """The numbers that a sample's row holds by name, nulls left out."""
    numbers = {key: value for key, value in row.items() if value is not None}
    named = known is None or _NEEDED_LOGPROBS <= numbers.keys() <= known
    if not named or not ({*map(type, numbers.values())} <= _NUMBERS or _is_numbers([*numbers.values()])):
        expected = "numbers by name" if known is None else f"numbers named {', '.join(known)}"
        raise DataError(f"a sample's {name!r} must be {expected}, or left out; got {_excerpt(row)}")
    return numbers


def stored_set_from_row(row: Row, number: int) -> StoredSet:
    """The sample set of a row with its gold answer beside it.

    Raises:
        DataError: There is no question or no list of samples, or the list is empty.
    """
    problem = problem_from_row(row, number)
    column = next((name for name in SAMPLES_COLUMNS if name in row), None)
    if column is None:
        raise DataError(
            f"no samples: expected a list in one of {', '.join(SAMPLES_COLUMNS)}; the columns here are "
            f"{', '.join(row)}. Name yours by --columns samples=COLUMN"
        )
    listed = list_in_cell(row[column])
    if not _is_list(listed):
        raise DataError(f"{column!r} must be a list of texts or sample rows, got {_excerpt(listed)}")
    if not listed:
        raise DataError(f"question {problem.id!r} has no samples")
    scores = listed_scores({name: row[name] for name in row if is_score_column(name)}, len(listed))
    samples = tuple(
        _sample_of(
            item,
            index,
            {name: value for name, column in scores.items() if (value := column[index]) is not None},
        )
        for index, item in enumerate(listed)
    )
    model, stopped, prompt = (
        value if isinstance(value, str) else None
        for value in map(row.get, ("model", "stopped", "prompt_version"))
    )
    return StoredSet(SampleSet(problem.question, samples, model, stopped, prompt), problem, row)


def answer_to_row(answer: Answer, sampling: Usage) -> dict[str, Any]:
    """The row of an answer, with the tokens of both stages."""
    return {
        "schema": SCHEMA_VERSION,
        "id": answer.id,
        "aggregator": answer.aggregator,
        "answer": answer.answer,
        "text": answer.text,
        "confidence": answer.confidence,
        "candidates": [as_dict(candidate) for candidate in answer.candidates],
        "usage": {"sampling": as_dict(sampling), "aggregation": as_dict(answer.usage)},
        "flags": list(answer.flags),
        **({"evidence": dict(answer.evidence)} if answer.evidence else {}),
        **({"explanation": dict(answer.explanation)} if answer.explanation else {}),
    }


def answer_from_row(row: Row) -> Answer:
    """The answer of a row that `answer_to_row` wrote."""
    return Answer(
        id=row["id"],
        aggregator=row["aggregator"],
        answer=row["answer"],
        text=row["text"],
        confidence=row["confidence"],
        candidates=tuple(
            Candidate(item["answer"], item["votes"], tuple(item["indices"]), item.get("probability"))
            for item in row["candidates"]
        ),
        usage=Usage(**row["usage"]["aggregation"]),
        flags=tuple(row["flags"]),
        evidence=row.get("evidence", {}),
        explanation=row.get("explanation", {}),
    )


def _sample_of(item: object, index: int, scores: Mapping[str, float]) -> Sample:
    if isinstance(item, str):
        return Sample(index=index, text=item, scores=scores)
    if isinstance(item, Mapping):
        row = cast("Row", item)
        return sample_from_row({**row, "scores": {**(row.get("scores") or {}), **scores}}, index)
    raise DataError(f"sample {index} must be a text or a sample row, got {_excerpt(item)}")


def listed_scores(columns: Row, n: int) -> dict[str, list[float | None]]:
    """The scores in columns that hold one number, one list of steps' numbers, or nothing per sample."""
    scores: dict[str, list[float | None]] = {}
    for name, column in columns.items():
        if not _is_list(column) or len(column) != n:
            continue
        if _is_numbers(column):
            scores[name] = [None if value is None else float(value) for value in column]
        elif all(value is None or _is_numbers(value) for value in column):
            steps = [[score for score in cast("list[float | None]", value or []) if score is not None]
                     for value in column]  # fmt: skip
            scores[name] = [values[-1] if values else None for values in steps]
            for how, reduce in REDUCTIONS.items():
                scores[f"{name}.{how}"] = [reduce(values) if values else None for values in steps]
    return scores


def _text(row: Row, names: Sequence[str]) -> str | None:
    """The first of these columns that holds something; numbers become text."""
    for name in names:
        value = row.get(name)
        if (text := number_text(value)) is not None:
            return text
        if value is not None:
            raise DataError(f"{name!r} must be a text or a number, got {_excerpt(value)}")
    return None


def number_text(value: object) -> str | None:
    """A text as it is, or a finite number as a text; `None` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _answer_kind(row: Row) -> str:
    """The kind that a row names; an unknown kind is refused, since its answers would be misread."""
    kind = row.get("answer_kind")
    if kind is None:
        return DEFAULT_KIND
    if not isinstance(kind, str):
        raise DataError(f"'answer_kind' must be a text, got {_excerpt(kind)}")
    try:
        return answer_kind(kind).spec
    except InvalidArgumentError as error:
        raise DataError(f"'answer_kind' cannot be read: {str(error).rstrip('.')}") from error


def list_in_cell(value: object) -> object:
    """The value; a list that a cell of a CSV file holds as JSON, or as pandas writes it, becomes one."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        parsed = list_of_literal(value.strip())
    return parsed if _is_list(parsed) else value


def list_of_literal(text: str) -> list[object] | None:
    """The list that a text writes as Python does, `['5', "it's"]`; `None` where it is none, or too long.

    Between texts a comma may be missing, as in an array of NumPy's that pandas wrote to a cell.
    """
    if not text.startswith("[") or len(text) > _LONGEST_LITERAL:
        return None
    try:
        text = _with_commas(text)
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if _is_list(value) else None


def _with_commas(text: str) -> str:
    """The text with a comma between two texts that follow each other, which Python would join to one."""
    lines = text.splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]
    pieces: list[str] = []
    end = 0
    before: int | None = None
    try:
        for token in tokenize.generate_tokens(iter(lines).__next__):
            if token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT):
                continue
            start = starts[token.start[0] - 1] + token.start[1]
            if token.type == before == tokenize.STRING:
                pieces += [text[end:start], ", "]
                end = start
            before = token.type
    except (tokenize.TokenError, SyntaxError, IndexError):
        return text
    return "".join([*pieces, text[end:]])


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return _is_list(value) and all(isinstance(item, str) for item in value)


def _is_numbers(value: object) -> TypeGuard[list[float | None]]:
    return _is_list(value) and all(
        item is None or (isinstance(item, int | float) and not isinstance(item, bool)) for item in value
    )


def _excerpt(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
