"""OpenAI's batch API: the output file, and the input file where it lies in the same folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.foreign._batches import batch_sets
from sampleset.storage.foreign._chats import is_mapping
from sampleset.storage.foreign._replies import failed_row, rows_of_body
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source
from sampleset.storage.records import Row


@FORMATS.register("openai_batch")
class OpenAIBatch:
    """Rows with `custom_id` and `response.body`, or with `custom_id` and `body`."""

    title: ClassVar[str] = "OpenAI batch output"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields of a batch's output, or of its input."""
        return "custom_id" in source.first and ("response" in source.first or "body" in source.first)

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        yield from batch_sets(source, "custom_id", _prompt, _samples)


def _prompt(row: Row) -> object:
    """What a request asked, of whichever endpoint."""
    body = row.get("body")
    if "response" in row or not is_mapping(body):
        return None
    return next((body[name] for name in ("messages", "input", "prompt") if name in body), None)


def _samples(row: Row) -> list[dict[str, Any]] | None:
    """The replies of a row; a failed request is a failed draw."""
    if "response" not in row and "error" not in row:
        return None
    response: Any = row["response"] if is_mapping(row.get("response")) else {}
    body: Any = response.get("body") if is_mapping(response.get("body")) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else None
    error = row.get("error") or body.get("error") or f"status {response.get('status_code')}"
    return rows_of_body(body) or [failed_row(error, model)]
