"""lm-evaluation-harness, `--log_samples`: `samples_TASK_DATE.jsonl`, one row a document and filter.

`repeats` of a task are the samples. Rows of several filters hold the same replies and count once. Tasks that
compare likelihoods of options (`multiple_choice`) draw no samples and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeGuard

from sampleset.errors import DataError
from sampleset.storage.column_names import PROMPT_COLUMNS
from sampleset.storage.foreign._chats import is_list, is_mapping, question_of_prompt
from sampleset.storage.foreign.base import (
    FORMATS,
    ForeignSet,
    Source,
    first_text,
    gold_fields,
    is_texts,
)
from sampleset.storage.records import Row
from sampleset.storage.rows import located
from sampleset.types import SCHEMA_VERSION


@FORMATS.register("lm_eval")
class LmEval:
    """Rows with `doc`, `arguments` and `resps`."""

    title: ClassVar[str] = "lm-eval samples"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields that lm-eval writes."""
        return {"doc_id", "doc", "resps"} <= source.first.keys()

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a document; of several tasks, ids begin with the task's file.

        Several files of a task are several runs of it, whose replies are samples of the same question.
        """
        tasks = [file for file in source.files if file.name.startswith("samples_")] or source.files
        several = len({_task(file.name) for file in tasks}) > 1
        sets: dict[str, ForeignSet] = {}
        for file in tasks:
            identities: set[str] = set()
            for _, number, row in source.rows([file]):
                with located(file, number):
                    doc: object = row["doc"]
                    identity = str(doc["id"] if _is_ours(doc) else row["doc_id"])
                    if several:
                        identity = f"{_task(file.name)}/{identity}"
                    if identity in identities:
                        continue  # the same replies through another filter
                    identities.add(identity)
                    foreign = ForeignSet(file, number, _row(row, identity), row)
                    before = sets.setdefault(identity, foreign)
                    if before is foreign:
                        continue
                    if before.row["question"] != foreign.row["question"]:
                        raise DataError(
                            f"document {identity!r} has another question than in {before.file.name}; give "
                            "the files one by one"
                        )
                    before.row["samples"] = [*before.row["samples"], *foreign.row["samples"]]
        yield from sets.values()


def _task(name: str) -> str:
    """The task in `samples_TASK_2026-11-28T21-37-59.878450.jsonl`."""
    return name.removeprefix("samples_").rpartition("_")[0] or name


def _is_ours(doc: object) -> TypeGuard[Row]:
    """Whether a document is a problem that `sampleset import --form lm-eval` wrote."""
    return is_mapping(doc) and doc.get("schema") == SCHEMA_VERSION and {"id", "question"} <= doc.keys()


def _row(row: Row, identity: str) -> dict[str, Any]:
    replies = row["resps"]
    texts = replies[0] if is_list(replies) and len(replies) == 1 else replies
    if not is_texts(texts):
        raise DataError(
            "'resps' holds no texts: tasks that compare likelihoods draw no samples. Use a task of the type "
            "generate_until, with `repeats` above 1"
        )
    doc: Row = row["doc"] if is_mapping(row["doc"]) else {}
    if _is_ours(doc):
        return {**doc, "id": identity, "samples": texts}
    target = row.get("target")
    return {
        "id": identity,
        "question": first_text(doc, PROMPT_COLUMNS) or _prompt(row),
        **gold_fields(str(target) if isinstance(target, str | int | float) else None),
        "samples": texts,
        "doc": doc,
    }


def _prompt(row: Row) -> str | None:
    """The prompt as it was sent."""
    arguments: Any = row.get("arguments")
    first: Any = next(iter(arguments.values()), None) if is_mapping(arguments) else arguments
    while is_list(first) and first:
        first = first[0]  # lists of arguments, as older versions write them
    return question_of_prompt(first.get("arg_0") if is_mapping(first) else first)
