"""Anthropic's message batches: the results, and the requests where they lie in the same folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.foreign._batches import batch_sets
from sampleset.storage.foreign._chats import is_mapping
from sampleset.storage.foreign._replies import failed_row, rows_of_body
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source
from sampleset.storage.records import Row


@FORMATS.register("anthropic_batch")
class AnthropicBatch:
    """Rows with `custom_id` and `result`, or with `custom_id` and `params`."""

    title: ClassVar[str] = "Anthropic batch results"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields of a result, or of a request."""
        return "custom_id" in source.first and ("result" in source.first or "params" in source.first)

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        yield from batch_sets(source, "custom_id", _prompt, _samples)


def _prompt(row: Row) -> object:
    request = row.get("params")
    return request.get("messages") if is_mapping(request) else None


def _samples(row: Row) -> list[dict[str, Any]] | None:
    """The reply of a row; a request that failed, was cancelled or ran out of time is a failed draw."""
    result = row.get("result")
    if not is_mapping(result):
        return None
    message = result.get("message")
    rows = rows_of_body({"type": "message", **message}) if is_mapping(message) else None
    return rows or [failed_row(result.get("error") or result.get("type") or "no message")]
