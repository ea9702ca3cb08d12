"""Traces and experiments whose question and completion stand one level down: LangSmith, Langfuse, Weave.

`inputs` and `outputs` (or `input` and `output`) are objects, or columns such as `inputs.question`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.column_names import (
    CHAT_COLUMNS,
    COMPLETION_COLUMNS,
    PROMPT_COLUMNS,
    QUESTION_IDS,
    even,
)
from sampleset.storage.foreign._chats import (
    is_list,
    is_mapping,
    messages_of,
    question_of_prompt,
    text_of_content,
)
from sampleset.storage.foreign._completions import failure, flattened_sets, object_in_cell
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source, answer_texts, gold_of
from sampleset.storage.records import Row

_ASKED = ("inputs", "input")
_SAID = ("outputs", "output")
_GOLD = ("reference_outputs", "reference_output", "expected_output", "expected", "reference")
_OF_MODEL = (*COMPLETION_COLUMNS, "answer", "final_answer", "content", "result", "message")
_OF_RUN = ("id", "idx", "uid")
_IDS = ("reference_example_id", "dataset_item_id", *(name for name in QUESTION_IDS if name not in _OF_RUN))
_DEEPEST = 12


@FORMATS.register("traces")
class Traces:
    """Rows with an object in `inputs` and another, or a text, in `outputs`."""

    title: ClassVar[str] = "traces with inputs and outputs"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether the first row holds a question in `inputs`, and `outputs`."""
        row = _nested(source.first)
        asked = _first(row, _ASKED)
        return is_mapping(asked) and _question(asked) is not None and _first(row, _SAID) is not None

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        yield from flattened_sets(source, lambda row: [_completion(_nested(row))])


def _nested(row: Row) -> dict[str, Any]:
    """The row with objects in the place of their JSON, and of columns `inputs.question`."""
    nested: dict[str, Any] = {}
    for name, value in row.items():
        outer, dot, inner = name.partition(".")
        known = even(outer)
        if dot and known in (*_ASKED, *_SAID, *_GOLD):
            part = nested.setdefault(known, {})
            if is_mapping(part):
                nested[known] = {**part, inner: value}
        else:
            nested[known if known in (*_ASKED, *_SAID, *_GOLD) else name] = _decoded(value)
    return nested


def _decoded(value: object) -> object:
    decoded = object_in_cell(value) if isinstance(value, str) else None
    return value if decoded is None else decoded


def _completion(row: Row) -> dict[str, Any]:
    asked, said = _first(row, _ASKED), _first(row, _SAID)
    text = _text(said)
    gold = next((gold for name in _GOLD if (gold := _gold(row.get(name))) is not None), None)
    identity = next((row[name] for name in _IDS if row.get(name) is not None), None)
    return {
        "question": _question(asked) if is_mapping(asked) else asked,
        **({} if identity is None else {"example_id": str(identity)}),
        **({} if gold is None else {"answer": gold}),
        **(failure(row.get("error")) if text is None else {"output": text}),
    }


def _first(row: Row, names: tuple[str, ...]) -> object:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _question(asked: Row) -> str | None:
    """The question among the inputs: under a known name, or the only text."""
    for name in (*PROMPT_COLUMNS, *CHAT_COLUMNS):
        value = asked.get(name)
        if is_list(value) and len(value) == 1 and is_list(value[0]):
            value = value[0]  # a batch of one chat, as LangChain writes it
        if question := question_of_prompt(value):
            return question
    texts = [value for value in asked.values() if isinstance(value, str) and value.strip()]
    return texts[0] if len(texts) == 1 else None


def _text(said: object, depth: int = _DEEPEST) -> str | None:
    """The completion among the outputs: under a known name, or the only text."""
    while is_list(said) and len(said) == 1:
        said = said[0]
    if said is None or isinstance(said, str):
        return said
    if not depth:
        return None
    if (messages := messages_of(said)) is not None:
        return text_of_content(messages[-1]["content"])
    if not is_mapping(said):
        return None
    for name in (*_OF_MODEL, *CHAT_COLUMNS, *_SAID, "choices", "kwargs"):
        if (text := _text(said.get(name), depth - 1)) is not None:
            return text
    texts = [value for value in said.values() if isinstance(value, str)]
    return texts[0] if len(texts) == 1 else None


def _gold(value: object) -> str | None:
    """The gold answer in a value, or under a known name in an object."""
    if is_mapping(value) and (named := gold_of(value)) is not None:
        return named
    answers = answer_texts(value.get("output") if is_mapping(value) else value)
    return answers[0] if answers else None
