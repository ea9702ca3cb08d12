"""verl: dumps of rollouts and of validation (`STEP.jsonl`), and the Parquet of its generation script.

`score`, `acc` and the other values of the reward function know the gold answer and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.foreign._chats import is_mapping, question_of_prompt
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source, answer_texts, gold_fields, grouped
from sampleset.storage.records import Row
from sampleset.storage.rows import located


@FORMATS.register("verl")
class Verl:
    """Rows with `input`, `output`, `gts` and `step`, or with `prompt`, `responses` and `reward_model`."""

    title: ClassVar[str] = "verl dump"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields of a dump, or of a generation."""
        columns = source.first.keys()
        return {"input", "output", "score"} <= columns or {"prompt", "responses", "reward_model"} <= columns

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a prompt and file (step) of a dump, or one set a row of a generation."""
        if "responses" in source.first:
            for index, (file, number, row) in enumerate(source.rows()):
                with located(file, number):
                    yield ForeignSet(file, number, _generated(row, index), row)
            return
        several = len(source.files) > 1
        for file in source.files:
            for index, foreign in enumerate(grouped(source.rows([file]), _prompt, _row, _samples)):
                step = f"{file.name.partition('.')[0]}/" if several else ""
                foreign.row["id"] = f"{step}{index}"
                yield foreign


def _prompt(row: Row) -> str:
    return str(row["input"])


def _row(row: Row) -> dict[str, Any]:
    known = _gold_fields(row.get("gts", row.get("gt")))
    step = {"step": row["step"]} if "step" in row else {}
    return {"question": question_of_prompt(row["input"]), **known, **step}


def _gold_fields(gold: object) -> dict[str, str]:
    """The gold answer, of several the first; datasets such as Skywork-OR1 write them as JSON."""
    return gold_fields(next(iter(answer_texts(gold)), None))


def _samples(row: Row) -> list[str]:
    return [str(row["output"])]


def _generated(row: Row, position: int) -> dict[str, Any]:
    reward, about = row["reward_model"], row.get("extra_info")
    gold = reward.get("ground_truth") if is_mapping(reward) else None
    index = about.get("index") if is_mapping(about) else None
    return {
        "id": str(position if index is None else index),
        "question": question_of_prompt(row["prompt"]),
        **_gold_fields(gold),
        "samples": row["responses"],
        **({"subject": row["data_source"]} if "data_source" in row else {}),
    }
