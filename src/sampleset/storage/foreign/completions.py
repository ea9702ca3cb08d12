"""One row a completion: JSONL, CSV or Parquet, in one file, in shards, or in one file per seed (NeMo-Skills).

Rows of one question are brought together by an id that several rows share, else by the question's text. The
samples stand in the order of the rows, the files in natural order (`rs2` before `rs10`). Where a folder has
files of seeds (`output-rs0.jsonl`), its `output.jsonl` is the greedy run and no sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from sampleset.errors import DataError
from sampleset.storage.foreign.base import (
    FORMATS,
    GOLD_COLUMNS,
    PROMPT_COLUMNS,
    ForeignSet,
    Source,
    gold_fields,
    grouped,
    is_mapping,
    question_of_prompt,
    sample_row,
)
from sampleset.storage.records import (
    ID_COLUMNS,
    REDUCTIONS,
    SAMPLES_COLUMNS,
    Row,
    is_score_column,
    with_columns,
)
from sampleset.storage.rows import Located, located, parse_line

TEXT_COLUMNS = (
    "samples",
    "generation",
    "completion",
    "response",
    "output",
    "sample",
    "generated_text",
    "model_output",
    "prediction",
    "text",
)
"""Where other tools put the text of a completion, the likeliest first."""

_QUESTION_IDS = (
    "problem_id",
    "question_id",
    "prompt_id",
    "task_id",
    "unique_id",
    "example_id",
    "doc_id",
    "id",
)
_COUNTS = ("prompt_tokens", "completion_tokens", "seed")
_SEED_FILE = re.compile(r"(?P<stem>.+)-rs\d+")


@FORMATS.register("completions")
class Completions:
    """Rows with a question and the text of one completion."""

    title: ClassVar[str] = "one row a completion"
    general: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        """Whether a row has a text beside the question's text, or beside an id."""
        row = source.first_mapped
        has_question = any(name in row for name in (*PROMPT_COLUMNS, "messages", *_QUESTION_IDS))
        return has_question and (_text_column(row) is not None or _is_failed(row))

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        rows = list(self._rows(source))
        if not rows:
            return
        column = next((name for _, _, row in rows if (name := _text_column(row))), TEXT_COLUMNS[0])
        identity = _shared_id(rows)

        def key(row: Row) -> str:
            return str(row.get(identity)) if identity else str(_question(row, column))

        def samples(row: Row) -> list[dict[str, Any]]:
            return [_sample(row, column)]

        for index, foreign in enumerate(
            grouped(iter(rows), key, lambda row: _row(row, column, identity), samples)
        ):
            foreign.row.setdefault("id", str(index))
            yield ForeignSet(foreign.file, foreign.number, foreign.row)

    def _rows(self, source: Source) -> Iterator[Located]:
        for file, number, row in source.rows(_without_greedy(source.files)):
            with located(file, number):
                mapped = dict(with_columns(row, source.columns))
                is_table = file.name.endswith((".csv", ".csv.gz", ".tsv"))  # an empty cell is absent
                if _text_column(mapped) is None and not is_table and not _is_failed(mapped):
                    raise DataError(
                        f"no text of a completion in one of {', '.join(TEXT_COLUMNS)}; the columns here are "
                        f"{', '.join(row)}. Name it by --columns samples=COLUMN"
                    )
            yield file, number, mapped


def _without_greedy(files: list[Path]) -> list[Path]:
    stems = {match["stem"] for file in files if (match := _SEED_FILE.match(file.name))}
    return [file for file in files if file.name.partition(".")[0] not in stems]


def _text_column(row: Row) -> str | None:
    """The column of the completion's text; a column that a question may stand in is none."""
    return next((name for name in TEXT_COLUMNS if isinstance(row.get(name), str)), None)


def _is_failed(row: Row) -> bool:
    """Whether the draw failed, so that it has no text."""
    return isinstance(row.get("error"), str) and row.get("finish_reason") == "error"


def _question(row: Row, column: str) -> str | None:
    others = {name: value for name, value in row.items() if name != column}
    names = (*PROMPT_COLUMNS, "messages")
    return next((question for name in names if (question := question_of_prompt(others.get(name)))), None)


def _shared_id(rows: list[Located]) -> str | None:
    """The column whose values rows of one question share, each with one question of its own.

    Where no value comes again, it counts only if no question does either: then each question was drawn once.
    """
    for name in _QUESTION_IDS:
        values = [row.get(name) for _, _, row in rows]
        if any(value is None for value in values):
            continue
        pairs = {(str(row[name]), _question(row, _text_column(row) or "")) for _, _, row in rows}
        questions = {question for _, question in pairs}
        ids = {*map(str, values)}
        if len(pairs) == len(ids) and (len(ids) < len(values) or len(questions) in (1, len(ids))):
            if len(ids) == len(values) and len(questions) == 1 and None not in questions:
                continue  # one question, drawn often: the ids are those of the draws
            return name
    return None


def _row(row: Row, column: str, identity: str | None) -> dict[str, Any]:
    """The set's own columns: those of its first row that are not about one completion."""
    of_completion = {column, "finish_reason", "model", "index", "logprobs", "scores", "error", *_COUNTS}
    dropped = {*of_completion, *PROMPT_COLUMNS, *GOLD_COLUMNS, *ID_COLUMNS, *SAMPLES_COLUMNS, "messages"}
    gold = next((row[name] for name in GOLD_COLUMNS if isinstance(row.get(name), str | int | float)), None)
    shared = row.get(identity) if identity else None
    question = _question(row, column)
    return {
        **({"id": str(shared)} if shared is not None else {}),
        **({"question": question} if question else {}),
        **(gold_fields(str(gold)) if gold is not None else {}),
        **{name: value for name, value in row.items() if name not in dropped and _score_name(name) is None},
    }


def _sample(row: Row, column: str) -> dict[str, Any]:
    names = ("finish_reason", "model", "error")
    texts = {name: row[name] for name in names if isinstance(row.get(name), str)}
    counts = {name: count for name in _COUNTS if (count := _integer(row.get(name))) is not None}
    named = {_score_name(name): _number(value) for name, value in row.items()}
    scores = {name: value for name, value in named.items() if name is not None and value is not None}
    logprobs = _object(row.get("logprobs"))
    return sample_row(str(row.get(column, "")), **texts, **counts, logprobs=logprobs, scores=scores or None)


def _score_name(column: str) -> str | None:
    """The score that a column holds: `scores`, `NAME_scores`, reductions of steps, and `scores.NAME`."""
    base, _, reduction = column.partition(".")
    if not is_score_column(base):
        return None
    return reduction if base == "scores" and reduction and reduction not in REDUCTIONS else column


def _object(value: object) -> Row | None:
    """An object of JSON, which CSV writes as text."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = parse_line(value)
        except DataError:
            return None
    return {name: item for name, item in value.items() if item is not None} if is_mapping(value) else None


def _integer(value: object) -> int | None:
    """A whole number, which CSV writes as text."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    """A finite number, which CSV writes as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
