"""The record beside a trained model's weights: its mode and prompt, and the questions trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from sampleset.settings import SavedKind, read_saved
from sampleset.types import TrainedMode

RECORD_FILE = "sampleset.json"
RECORD_SCHEMA = 1
_SAVED = SavedKind("record of a trained aggregator", RECORD_SCHEMA, "Train again")
QUESTIONS_FILE = "trained_on.txt"
"""File beside the record with the digest of every question trained on, one per line."""


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The settings under which a trained aggregator, or a trained verifier, must be used.

    Attributes:
        base_model: Identity of the model it started from, ending in `@` and 8 hex digits of its digest.
        mode: The mode it was trained in.
        prompt_version: Version of the prompt it was trained on.
        score_weight: Multiple of a candidate's log-probability, mode `select`; `sampleset calibrate` fits it.
        vote_weight: Learned multiple of the log of a candidate's votes, mode `select`.
        confidence_weight: Learned multiple of a candidate's mean token log-probability, mode `select`.
        max_score_tokens: The log-probability of a longer answer is scaled to so many tokens, mode `select`;
            `None` for the plain sum.
        blind_score_weight: As `score_weight`, for sets in which some samples have no log-probabilities;
            `None` for the same weight.
        blind_vote_weight: As `vote_weight`, for such sets.
        keep_end_tokens: Tokens shown of each sample, its last ones; `None` for all.
        fold: Whether samples of equal answers are shown once, with their count.
        calculator: Whether samples that miscalculate end with what they calculate, before they are read.
        max_prompt_tokens: Token budget of its prompts; `None` for the model's context less the reply.
        training: The recipe, the steps done, and the figures before and after.
        others: Further fields, such as those of `sampleset export`.
    """

    base_model: str
    mode: TrainedMode
    prompt_version: str
    score_weight: float = 1.0
    vote_weight: float = 0.0
    confidence_weight: float = 0.0
    max_score_tokens: int | None = None
    blind_score_weight: float | None = None
    blind_vote_weight: float | None = None
    keep_end_tokens: int | None = None
    fold: bool = False
    calculator: bool = False
    max_prompt_tokens: int | None = None
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])
    others: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        plain = asdict(self)
        others = plain.pop("others")
        return {"schema": RECORD_SCHEMA, **plain, **others}


def read_record(folder: Path) -> CheckpointRecord | None:
    """The record in a folder, `None` if there is none.

    Raises:
        DataError: The record is malformed, or has another schema.
    """
    path = folder / RECORD_FILE
    if not path.is_file():
        return None
    return read_saved(path, _SAVED, _record_of)[0]


def _record_of(values: Any) -> CheckpointRecord:
    if values["mode"] not in get_args(TrainedMode):
        raise ValueError(f"mode {values['mode']!r}")
    named = {
        name: values.pop(name)
        for name in CheckpointRecord.__dataclass_fields__
        if name in values and name != "others"
    }
    del values["schema"]
    for name in ("score", "vote", "confidence", "blind_score", "blind_vote"):
        name += "_weight"
        if named.get(name) is not None:
            named[name] = float(named[name])
    return CheckpointRecord(**named, others=values)


def write_record(folder: Path, record: CheckpointRecord) -> None:
    """Write the record into a folder."""
    (folder / RECORD_FILE).write_text(json.dumps(record.to_json(), indent=2) + "\n", encoding="utf-8")


def read_trained_on(folder: Path) -> frozenset[str] | None:
    """Digests of the questions that the model in a folder was trained on, `None` if unknown."""
    path = folder / QUESTIONS_FILE
    return frozenset(path.read_text("utf-8").split()) if path.is_file() else None


def write_trained_on(folder: Path, digests: Iterable[str]) -> None:
    """Write the digests of the questions trained on into a folder."""
    (folder / QUESTIONS_FILE).write_text(
        "".join(f"{digest}\n" for digest in sorted(digests)), encoding="utf-8"
    )
