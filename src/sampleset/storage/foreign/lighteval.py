"""lighteval, details of a task: `details_TASK_DATE.parquet`, in two shapes.

Since 0.9 a row has `doc`, `model_response` and `metric`; before, `example`, `predictions`, `gold` and
`metrics`, whose lists the first versions wrote as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, cast

from sampleset.errors import DataError
from sampleset.storage.foreign._chats import is_list, is_mapping
from sampleset.storage.foreign._replies import sample_row
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source, gold_fields, is_texts
from sampleset.storage.records import Row, list_of_literal
from sampleset.storage.rows import located, parse_line

OURS = "sampleset"
"""The entry of `specific` with the problem as JSON: rows of a table share their columns, problems do not."""
_NO_TEXTS = "holds no texts: tasks that compare likelihoods draw no samples"


@FORMATS.register("lighteval")
class Lighteval:
    """Rows with `doc` and `model_response`, or with `example` and `predictions`."""

    title: ClassVar[str] = "lighteval details"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields of either shape."""
        columns = source.first.keys()
        return {"doc", "model_response"} <= columns or {"full_prompt", "predictions"} <= columns

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a row. Ids count from 0; of several files they begin with the file's name."""
        several = len(source.files) > 1
        for file, number, row in source.rows():
            with located(file, number):
                read = _new(row) if "model_response" in row else _old(row)
                identity = read.pop("id", number - 1)
                if several:
                    identity = f"{file.name.removesuffix('.parquet')}/{identity}"
                read["id"] = str(identity)
                yield ForeignSet(file, number, read, row)


def _ours(specifics: object) -> Row | None:
    """The problem that `sampleset import --form lighteval` wrote, `None` in other files."""
    text = specifics.get(OURS) if is_mapping(specifics) else None
    return parse_line(text) if isinstance(text, str) else None


def _new(row: Row) -> dict[str, Any]:
    doc, reply = cast("Row", row["doc"]), cast("Row", row["model_response"])
    texts, tokens = reply.get("text"), reply.get("output_tokens")
    if not is_texts(texts):
        raise DataError(
            "'model_response.text' holds no texts: tasks that compare likelihoods draw no samples"
        )
    counts: list[int | None] = [None] * len(texts)
    if is_list(tokens) and len(tokens) == len(texts):
        counts = [len(items) if is_list(items) and items else None for items in tokens]
    samples = [sample_row(text, completion_tokens=count) for text, count in zip(texts, counts, strict=True)]
    if (problem := _ours(doc.get("specific"))) is not None:
        return {**problem, "samples": samples}
    choices, indices = doc.get("choices"), doc.get("gold_index")
    return {
        "question": doc.get("query"),
        **gold_fields(_gold(choices, indices)),
        "samples": samples,
        "task": doc.get("task_name"),
    }


def _gold(choices: object, indices: object) -> str | None:
    """The option that is right; of several the first, as lighteval's own metrics take any of them."""
    index = indices[0] if is_list(indices) and indices else indices
    if is_texts(choices) and isinstance(index, int) and 0 <= index < len(choices):
        return choices[index].strip()
    return None


def _old(row: Row) -> dict[str, Any]:
    texts = _list(row["predictions"])
    if len(texts) == 1 and is_list(texts[0]):
        texts = texts[0]
    if not is_texts(texts):
        raise DataError(f"'predictions' {_NO_TEXTS}")
    if (problem := _ours(row.get("specifics"))) is not None:
        return {**problem, "samples": [sample_row(text) for text in texts]}
    golds = _list(row.get("gold"))
    gold = str(golds[0]).strip() if golds else _gold(_list(row.get("choices")), _list(row.get("gold_index")))
    return {
        "question": row.get("example") or row.get("full_prompt"),
        **gold_fields(gold),
        "samples": [sample_row(text) for text in texts],
    }


def _list(value: object) -> list[Any]:
    """A list, or the list that a text writes as Python does; anything else is a list of it."""
    if is_list(value):
        return value
    literal = list_of_literal(value) if isinstance(value, str) else None
    if literal is not None:
        return literal
    return [] if value is None else [value]
