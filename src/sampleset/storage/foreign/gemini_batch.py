"""Gemini's batches: the results of its API (`key`) and of Vertex AI, which repeats the request in the row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.foreign._batches import batch_sets
from sampleset.storage.foreign._chats import is_list, is_mapping
from sampleset.storage.foreign._replies import failed_row, rows_of_body
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source
from sampleset.storage.records import Row


@FORMATS.register("gemini_batch")
class GeminiBatch:
    """Rows with `response.candidates`, with `request.contents`, or with both."""

    title: ClassVar[str] = "Gemini batch results"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields of a result, or of a request."""
        response = source.first.get("response")
        candidates = response.get("candidates") if is_mapping(response) else None
        return is_list(candidates) or _prompt(source.first) is not None

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        yield from batch_sets(source, "key", _prompt, _samples)


def _prompt(row: Row) -> object:
    """The contents of a request; a part of them that names no role is the user's."""
    request = row.get("request")
    contents = request.get("contents") if is_mapping(request) else None
    if not is_list(contents):
        return None
    return [{"role": "user", **item} for item in contents if is_mapping(item)]


def _samples(row: Row) -> list[dict[str, Any]] | None:
    """The replies of a row; a failed request is a failed draw."""
    response = row.get("response")
    error = row.get("error") or row.get("status")
    if not is_mapping(response) and not error:
        return None
    rows = rows_of_body(response) if is_mapping(response) else None
    return rows or [failed_row(error or "no candidate")]
