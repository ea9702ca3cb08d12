"""Rows with a question and completions: what stands where, and which rows belong to one question.

The completions are a text in a column (`response`), a list in one (`outputs`), the reply of an API in one, or
the end of a chat (`messages`). Rows of one question are brought together by an id that several rows share,
else by the question. The samples stand in the order of the rows, the files in natural order (`rs2` before
`rs10`). Where a folder has files of seeds (NeMo-Skills, `output-rs0.jsonl`), its `output.jsonl` is the greedy
run and no sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampleset.errors import DataError
from sampleset.storage.column_names import (
    CHAT_COLUMNS,
    COMPLETION_COLUMNS,
    GOLD_COLUMNS,
    PROMPT_COLUMNS,
    QUESTION_IDS,
    mapped,
)
from sampleset.storage.compressed import plain_name
from sampleset.storage.foreign._chats import (
    is_list,
    is_mapping,
    key_of_chat,
    messages_of,
    parted,
    question_of_prompt,
    text_of_content,
)
from sampleset.storage.foreign._replies import finish_of, rows_of_value, sample_row
from sampleset.storage.foreign.base import (
    ForeignSet,
    RowSource,
    Source,
    gold_fields,
    gold_of,
    grouped,
)
from sampleset.storage.records import (
    ID_COLUMNS,
    REDUCTIONS,
    SAMPLES_COLUMNS,
    Row,
    is_score_column,
    list_in_cell,
    listed_scores,
)
from sampleset.storage.rows import Located, located, parse_line

_ONLY_LISTS = ("code", "choices")
"""Columns that hold completions where they hold lists, the last one a list of objects."""

_WITH_PROMPT = ("generated_text", "text")
"""Columns whose text may begin with the prompt."""

_PLACES = (
    *("index", "sample_index", "sample_idx", "sample_id", "completion_index", "completion_id"),
    *("generation_index", "generation_id", "attempt", "rollout", "repeat", "trial", "run"),
)
"""Where other tools put a completion's place among those of its question."""

_COUNTS = ("prompt_tokens", "completion_tokens", "seed")
_OF_COMPLETION = {"finish_reason", "model", "index", "logprobs", "scores", "error", *_COUNTS}
_SEED_FILE = re.compile(r"(?P<stem>.+)-rs\d+")


@dataclass(frozen=True, slots=True)
class Completed:
    """What a row holds.

    Attributes:
        row: The row under our names of columns.
        kind: `text`, `list` or `chat`: how its completions stand.
        column: Where they stand.
        question: What was asked; `None` where the row does not say.
        key: What rows of the same question share.
        samples: The rows of its samples.
    """

    row: Row
    kind: str
    column: str
    question: str | None
    key: str
    samples: list[dict[str, Any]]


def kind_of_first(source: Source) -> str | None:
    """How the completions stand in the first row; `None` where it has none, or neither question nor id.

    A draw that failed has no text; it counts as one.
    """
    row = source.first_mapped
    if not any(name in row for name in (*PROMPT_COLUMNS, *CHAT_COLUMNS, *QUESTION_IDS)):
        return None
    column = _column(row)
    return column[0] if column else "text" if _is_failed(row) else None


def completion_sets(source: Source) -> Iterator[ForeignSet]:
    """One set a question."""
    rows = list(_rows(source))
    identity = _shared_id([completed for _, _, completed in rows])

    def key(row: Row) -> str:
        completed: Completed = row["completed"]
        return str(completed.row.get(identity)) if identity else completed.key

    def convert(row: Row) -> dict[str, Any]:
        return _set_row(row["completed"], identity)

    def samples(row: Row) -> list[dict[str, Any]]:
        return row["completed"].samples

    wrapped = [(file, number, {"completed": completed}) for file, number, completed in rows]
    for index, foreign in enumerate(grouped(_in_order(wrapped, key), key, convert, samples)):
        foreign.row.setdefault("id", str(index))
        yield ForeignSet(foreign.file, foreign.number, foreign.row)


def flattened_sets(source: Source, flatten: Callable[[Row], Iterable[Row]]) -> Iterator[ForeignSet]:
    """One set a question of rows that hold completions one level down.

    Args:
        source: The rows.
        flatten: The completions of a row, each as a row with a question and a text, or with `failure`.
    """
    flat: list[Row] = []
    for file, number, row in source.rows():
        with located(file, number):
            flat += flatten(row)
    yield from completion_sets(RowSource(source.path, source.columns, source.problems, tuple(flat)))


def failure(reason: object) -> dict[str, str]:
    """The columns of a draw that failed, in the place of a text."""
    return {"finish_reason": "error", "error": str(reason or "no output")}


def _in_order(rows: list[Located], key: Callable[[Row], str]) -> Iterator[Located]:
    """The rows, those of a question in the order that a column of numbers states if each has its own."""
    groups: dict[str, list[Located]] = {}
    for row in rows:
        groups.setdefault(key(row[2]), []).append(row)
    for group in groups.values():
        contents: list[Row] = [row["completed"].row for _, _, row in group]
        for name in _PLACES:
            places = [_integer(content.get(name)) for content in contents]
            known = [place for place in places if place is not None]
            if len({*known}) == len(group):
                order = sorted(range(len(group)), key=known.__getitem__)
                group = [group[place] for place in order]
                break
        yield from group


def _rows(source: Source) -> Iterator[tuple[Path, int, Completed]]:
    first: str | None = None
    for file, number, row in source.rows(_without_greedy(source.files)):
        with located(file, number):
            named = mapped(row, source.columns)
            kind, column = _column(named) or ("text", None)
            is_table = plain_name(file).endswith((".csv", ".tsv"))  # an empty cell is absent
            if column is None and not is_table and not _is_failed(named):
                raise DataError(
                    f"no text of a completion in one of {', '.join(COMPLETION_COLUMNS)}, nor at the end "
                    f"of a chat in one of {', '.join(CHAT_COLUMNS)}; the columns here are "
                    f"{', '.join(row)}. Name it by --columns samples=COLUMN"
                )
            first = first or column
            completed = _completed(named, kind, column or first or COMPLETION_COLUMNS[0])
        yield file, number, completed


def _without_greedy(files: list[Path]) -> list[Path]:
    """The files without those beside files of seeds of the same name: `output.jsonl` is the greedy run."""
    stems = tuple({match["stem"] for file in files if (match := _SEED_FILE.match(file.name))})
    return [file for file in files if _SEED_FILE.match(file.name) or not file.name.startswith(stems)]


def _column(row: Row) -> tuple[str, str] | None:
    """How the completions of a row stand, and in which column."""
    for name in (*COMPLETION_COLUMNS, *_ONLY_LISTS):
        value = _cell(row, name)
        if isinstance(value, str) and name not in _ONLY_LISTS:
            return "text", name
        if is_list(value) and name == "choices" and not (value and all(map(is_mapping, value))):
            continue  # the options of a question
        if value == [] or ((is_list(value) or is_mapping(value)) and rows_of_value(value) is not None):
            return "list", name
    chat = next((name for name in CHAT_COLUMNS if any(parted(chat)[1] for chat in _chats(row, name))), None)
    return ("chat", chat) if chat else None


def _cell(row: Row, name: str) -> object:
    """The value of a column; a list that CSV writes as text is one where the column's name is of a list."""
    value = row.get(name)
    return list_in_cell(value) if name.endswith("s") else value


def _chats(row: Row, name: str) -> list[list[dict[str, Any]]]:
    """The chats in a column, which holds one or a list of them."""
    value = row.get(name)
    chat = messages_of(value)
    if chat is not None:
        return [chat]
    chats = [messages_of(item) for item in value] if is_list(value) else []
    return [chat for chat in chats if chat is not None] if all(chat is not None for chat in chats) else []


def _completed(row: Row, kind: str, column: str) -> Completed:
    question, key = _question(row, column if kind != "chat" else None)
    if kind == "chat":
        replies = [message for chat in _chats(row, column) for message in parted(chat)[1]]
        samples = [sample_row(text_of_content(message["content"])) for message in replies]
    elif kind == "list":
        samples = rows_of_value(_cell(row, column)) or []
    else:
        text = str(row.get(column, ""))
        if column in _WITH_PROMPT and question and text.startswith(question):
            text = text.removeprefix(question)
        samples = [sample_row(text)]
    alone = _fields(row) if len(samples) == 1 else {}
    reasons = row.get("finish_reasons", row.get("finish_reason"))
    listed = reasons if is_list(reasons) and len(reasons) == len(samples) else [None] * len(samples)
    scores = _scores(row, len(samples), is_listed=kind == "list")
    model = {"model": row["model"]} if isinstance(row.get("model"), str) else {}
    samples = [
        {
            **model,
            **({} if reason is None else {"finish_reason": finish_of(reason)}),
            **alone,
            **sample,
            **_of_sample(scores, place, sample),
        }
        for place, (sample, reason) in enumerate(zip(samples, listed, strict=True))
    ]
    return Completed(row, kind, column, question, key, samples)


def _of_sample(
    scores: Mapping[str, list[float | None]], place: int, sample: Row
) -> dict[str, dict[str, float]]:
    """The scores of a sample: those in columns of its row, and its own."""
    values = {name: value for name, column in scores.items() if (value := column[place]) is not None}
    values |= sample.get("scores") or {}
    return {"scores": values} if values else {}


def _is_failed(row: Row) -> bool:
    """Whether the draw failed, so that it has no text."""
    return isinstance(row.get("error"), str) and row.get("finish_reason") == "error"


def _question(row: Row, column: str | None) -> tuple[str | None, str]:
    """What was asked, and what rows of the same question share."""
    for name in (*PROMPT_COLUMNS, *CHAT_COLUMNS):
        if name == column:
            continue
        value = next(iter(_chats(row, name)), None) or row.get(name)
        chat = messages_of(value)
        before = value if chat is None else parted(chat)[0]
        if question := question_of_prompt(before):
            data = row.get("input")
            if name == "instruction" and isinstance(data, str) and data.strip() and column != "input":
                question = f"{question}\n\n{data}"  # a task, and what it is about
            return question, question if chat is None else key_of_chat(parted(chat)[0])
    return None, "None"


def _shared_id(rows: list[Completed]) -> str | None:
    """The column whose values rows of one question share, each with one question.

    Where no value comes again, it counts if no question does either: then each question was drawn once. It
    counts, too, where each row has several samples: then each row is a set.
    """
    are_sets = all(completed.kind != "text" and len(completed.samples) > 1 for completed in rows)
    for name in QUESTION_IDS:
        values = [completed.row.get(name) for completed in rows]
        if any(value is None for value in values):
            continue
        pairs = {(str(completed.row[name]), completed.key) for completed in rows}
        questions = {question for _, question in pairs}
        ids = {*map(str, values)}
        if len(pairs) > len(ids):
            continue
        is_each_once = len(ids) == len(values)
        if is_each_once and len(questions) == 1 < len(values) and not are_sets and questions != {"None"}:
            continue  # one question, drawn often: the ids are those of the draws
        if not is_each_once or are_sets or len(questions) in (1, len(ids)):
            return name
    return None


def _set_row(completed: Completed, identity: str | None) -> dict[str, Any]:
    """The set's own columns: those of its first row that are not about one completion."""
    row, column = completed.row, completed.column
    dropped = {
        *(column, "finish_reasons", *_OF_COMPLETION, *PROMPT_COLUMNS, *GOLD_COLUMNS),
        *(*ID_COLUMNS, *SAMPLES_COLUMNS, *CHAT_COLUMNS),
    }
    shared = row.get(identity) if identity else None
    return {
        **({"id": str(shared)} if shared is not None else {}),
        **({"question": completed.question} if completed.question else {}),
        **gold_fields(gold_of(row)),
        **{name: value for name, value in row.items() if name not in dropped and _score_name(name) is None},
    }


def _fields(row: Row) -> dict[str, Any]:
    """What a row says of its only completion."""
    texts = {name: row[name] for name in ("finish_reason", "error") if isinstance(row.get(name), str)}
    counts = {name: count for name in _COUNTS if (count := _integer(row.get(name))) is not None}
    logprobs = object_in_cell(row.get("logprobs"))
    return {**texts, **counts, **({} if logprobs is None else {"logprobs": logprobs})}


def _scores(row: Row, n: int, *, is_listed: bool) -> Mapping[str, list[float | None]]:
    """The scores in columns of a row, one for each of its n samples; lists of steps are reduced.

    Args:
        row: The row.
        n: How many samples it has.
        is_listed: Whether a column holds a list of n scores, and not the score of the only sample.
    """
    columns: dict[str, Any] = {}
    for column, value in row.items():
        name = _score_name(column)
        if name is None:
            continue
        value = list_in_cell(value)
        if not is_listed and n == 1:
            value = [value if is_list(value) else _number(value)]
        columns[name] = value
    return listed_scores(columns, n)


def _score_name(column: str) -> str | None:
    """The score that a column holds: `scores`, `NAME_scores`, reductions of steps, and `scores.NAME`."""
    base, _, reduction = column.partition(".")
    if not is_score_column(base):
        return None
    return reduction if base == "scores" and reduction and reduction not in REDUCTIONS else column


def object_in_cell(value: object) -> Row | None:
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
