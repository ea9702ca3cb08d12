"""inspect_ai logs, `.eval` and `.json`: one row a sample and epoch; the epochs are the samples of a question.

The verdicts of a task's scorers are left out: the scorers saw the target.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.foreign._chats import is_list, is_mapping, question_of_prompt, text_of_content
from sampleset.storage.foreign._replies import sample_row
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source, gold_fields, grouped, is_texts
from sampleset.storage.records import Row

_REASONS = {"max_tokens": "length", "model_length": "length"}


@FORMATS.register("inspect_ai")
class InspectAi:
    """Samples with `input`, `target`, `epoch` and `output`."""

    title: ClassVar[str] = "inspect_ai log"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields of a sample in a log."""
        return {"input", "epoch", "output"} <= source.first.keys()

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a sample's id; of several logs, one a log and id."""
        several = len(source.files) > 1
        for file in source.files:
            for foreign in grouped(source.rows([file]), _identity, _row, _samples):
                if several:
                    foreign.row["id"] = f"{file.name}/{foreign.row['id']}"
                yield foreign


def _identity(row: Row) -> str:
    return str(row.get("id"))


def _row(row: Row) -> dict[str, Any]:
    target = row.get("target")
    choices = row.get("choices")
    # Of several targets any is right; beside options all of them together are.
    gold = (", ".join(target) if choices else target[0]) if is_texts(target) else target
    about = row.get("metadata")
    return {
        "id": _identity(row),
        "question": question_of_prompt(row["input"]),
        **gold_fields(gold if isinstance(gold, str) and gold else None),
        **({"choices": choices} if is_texts(choices) else {}),
        **({"metadata": about} if is_mapping(about) and about else {}),
    }


def _samples(row: Row) -> list[dict[str, Any]]:
    """The replies of one epoch, as many as `num_choices` asked for; a failed one where there is none."""
    output: Any = row["output"] if is_mapping(row["output"]) else {}
    listed = output.get("choices")
    choices = [choice for choice in listed if is_mapping(choice)] if is_list(listed) else []
    usage: Any = output.get("usage") if is_mapping(output.get("usage")) else {}
    if not choices:
        error: Any = row.get("error")
        message = error.get("message") if is_mapping(error) else "the log holds no reply"
        return [sample_row("", finish_reason="error", error=str(message))]
    alone = len(choices) == 1
    return [_sample(choice, output.get("model"), usage if alone else {}) for choice in choices]


def _sample(choice: Row, model: object, usage: Row) -> dict[str, Any]:
    message: Any = choice.get("message")
    reason = choice.get("stop_reason")
    return sample_row(
        text_of_content(message.get("content")) if is_mapping(message) else "",
        finish_reason=_REASONS.get(str(reason), reason) if isinstance(reason, str) else None,
        prompt_tokens=usage.get("input_tokens"),
        completion_tokens=usage.get("output_tokens"),
        model=model if isinstance(model, str) else None,
    )
