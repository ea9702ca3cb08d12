"""Training rows: one prompt of an aggregator, the gold answer, and facts on the samples shown.

A row contains the gold answer because it is training data. Aggregators never see rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sampleset.chat import Message
from sampleset.datasets.base import question_key
from sampleset.errors import DataError, MalformedRecordError
from sampleset.prompts import AGGREGATION_PROMPT, opening_of
from sampleset.reward_models.generative_verifier import VERDICT_PROMPT
from sampleset.storage.files import write_rows
from sampleset.storage.rows import read_rows
from sampleset.types import DEFAULT_KIND, KindSource, Problem, Question, TrainedMode

ROW_SCHEMA = 1

Kind = Literal["hard", "easy", "unanimous", "all_wrong"]


@dataclass(frozen=True, slots=True)
class RowCandidate:
    """One distinct answer of the samples shown.

    Attributes:
        answer: The answer, as its first sample writes it.
        votes: Number of samples that give it.
        right: Whether it is the gold answer; `None` if undecided.
        confidence: Mean over its samples of their mean token log-probability, ≤ 0; `None` if not recorded.
    """

    answer: str
    votes: int
    right: bool | None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One set of samples as an aggregator is trained on it, or one sample of it as a verifier is.

    Attributes:
        id: `FILE/QUESTION/NUMBER`, unique among the rows of one call.
        k: Samples in the set.
        places: Indices of the samples in the stored set, in the order in which they are shown; in mode
            `verify` that of the sample shown.
        prompt: The chat, with the first words of the reply if the model continues them.
        prompt_version: Version of the prompt's text.
        prompt_tokens: Tokens of the messages' texts, without those of the chat template.
        answer: The gold answer.
        candidates: Distinct answers of the set, in the order they first appear.
        vote: The majority vote's answer; `None` if no sample has an answer.
        vote_right: Whether the vote's answer is the gold answer.
        right_samples: Number of samples that give the gold answer.
        keep_end_tokens: Tokens shown of each sample, its last ones; `None` for all.
        fold: Whether samples of equal answers are shown once.
        calculator: Whether samples that miscalculate end with what they calculate.
        max_prompt_tokens: Requested token budget of the prompt.
        extra: Data for the dataset's scorer, if it has one.
        answer_kind: Kind by which answers are read and compared.
        kinds: Judge and sandbox by which answers are compared, if the kind needs them; not stored.
        completion: A text to imitate, starting after the prompt; `None` if no targets were requested.
        target: How that text was made: `answer`, `sample` or `teacher`; in mode `verify` whether the sample
            is `right` or `wrong`.
        question_digest: See `question_digest`; `None` in rows of versions without digests.
    """

    id: str
    k: int
    places: tuple[int, ...]
    prompt: tuple[Message, ...]
    mode: TrainedMode
    prompt_version: str
    prompt_tokens: int
    answer: str
    candidates: tuple[RowCandidate, ...]
    vote: str | None
    vote_right: bool
    right_samples: int
    keep_end_tokens: int | None = None
    fold: bool = False
    calculator: bool = False
    max_prompt_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    answer_kind: str = DEFAULT_KIND
    kinds: KindSource | None = field(default=None, compare=False, repr=False)
    completion: str | None = None
    target: str | None = None
    question_digest: str | None = None

    @property
    def question_id(self) -> str:
        """`FILE/QUESTION` of the id."""
        return self.id.rpartition("/")[0]

    @property
    def opening(self) -> str:
        """The first words of the reply, at the end of the prompt; empty if there are none."""
        return opening_of(self.prompt)

    @property
    def kind(self) -> Kind:
        """How hard the set is: see `kind_of`."""
        return kind_of(self.vote_right, self.right_samples, len(self.candidates))

    @property
    def problem(self) -> Problem:
        """The problem by which an answer is graded."""
        question = Question(
            self.id, self.prompt[0]["content"], answer_kind=self.answer_kind, kinds=self.kinds
        )
        return Problem(question, self.answer, extra=self.extra)


SHOWN_AS = ("keep_end_tokens", "fold", "calculator", "max_prompt_tokens")
"""How samples are shown, under the same names in rows, in their options and in a trained model's record."""

ONLY_METHOD = {"select": "select", "verify": "sft"}
"""The one training method of a mode; rows of the other modes are trained by `sft` and `grpo`."""


def prompt_version_of(mode: TrainedMode) -> str:
    """Version of the prompt of the rows of a mode."""
    return VERDICT_PROMPT if mode == "verify" else AGGREGATION_PROMPT


def question_digest(question: str) -> str:
    """12 hex digits of a digest of the question's `question_key`."""
    return hashlib.sha256(question_key(question).encode()).hexdigest()[:12]


def sharing_questions(rows: Sequence[TrainingRow], others: Sequence[TrainingRow]) -> list[TrainingRow]:
    """The rows whose question is in `others`, by digest or, for rows without one, by FILE/QUESTION."""
    digests = {other.question_digest for other in others}
    ids = {other.question_id for other in others}
    old_ids = {other.question_id for other in others if other.question_digest is None}
    return [
        row
        for row in rows
        if (
            row.question_id in ids
            if row.question_digest is None
            else row.question_digest in digests or row.question_id in old_ids
        )
    ]


def kind_of(vote_right: bool, right_samples: int, candidates: int) -> Kind:
    """The difficulty of a set.

    Returns:
        `all_wrong`: no sample is right. `hard`: the vote is wrong and some sample is right. `unanimous`:
        there is one answer and it is right. `easy`: the vote is right against other answers.
    """
    if not right_samples:
        return "all_wrong"
    if not vote_right:
        return "hard"
    return "unanimous" if candidates == 1 else "easy"


def row_to_json(row: TrainingRow) -> dict[str, Any]:
    """A row as JSON values. Empty optional fields are left out."""
    plain = {"schema": ROW_SCHEMA} | asdict(replace(row, kinds=None))
    del plain["kinds"]
    for name in (*SHOWN_AS, "extra", "completion", "target"):
        if not plain[name]:
            del plain[name]
    if row.answer_kind == DEFAULT_KIND:
        del plain["answer_kind"]
    if row.question_digest is None:
        del plain["question_digest"]
    return plain


def row_from_json(values: Mapping[str, Any]) -> TrainingRow:
    """The row that `row_to_json` wrote. Unknown fields are ignored.

    Raises:
        KeyError: A field is missing.
        TypeError: A field has another shape.
    """
    return TrainingRow(
        id=values["id"],
        k=values["k"],
        places=tuple(values["places"]),
        prompt=tuple(Message(role=entry["role"], content=entry["content"]) for entry in values["prompt"]),
        mode=values["mode"],
        prompt_version=values["prompt_version"],
        prompt_tokens=values["prompt_tokens"],
        answer=values["answer"],
        candidates=tuple(
            RowCandidate(entry["answer"], entry["votes"], entry["right"], entry.get("confidence"))
            for entry in values["candidates"]
        ),
        vote=values["vote"],
        vote_right=values["vote_right"],
        right_samples=values["right_samples"],
        keep_end_tokens=values.get("keep_end_tokens"),
        fold=values.get("fold", False),
        calculator=values.get("calculator", False),
        max_prompt_tokens=values.get("max_prompt_tokens"),
        extra=values.get("extra", {}),
        answer_kind=values.get("answer_kind", DEFAULT_KIND),
        completion=values.get("completion"),
        target=values.get("target"),
        question_digest=values.get("question_digest"),
    )


def holds_training_rows(path: Path) -> bool:
    """Whether a file's first row is a training row, of any schema."""
    if not path.is_file() or path.suffix != ".jsonl":
        return False
    try:
        for _, first in read_rows(path):
            return {"prompt_version", "candidates"} <= first.keys()
    except DataError:
        pass
    return False


def read_training_rows(path: Path) -> Iterator[TrainingRow]:
    """The rows of a file that `sampleset train-data` wrote, in order.

    Raises:
        MalformedRecordError: A row is not a training row, or has another schema.
    """
    for number, values in read_rows(path):
        if values.get("schema") != ROW_SCHEMA:
            raise MalformedRecordError(
                f"{path}:{number}: schema {values.get('schema')!r} where a training row has {ROW_SCHEMA}. "
                "Make the rows again with `sampleset train-data`."
            )
        try:
            row = row_from_json(values)
        except (KeyError, TypeError) as error:
            raise MalformedRecordError(
                f"{path}:{number}: not a training row ({error!r}). Make the rows with `sampleset train-data`."
            ) from error
        yield row


def write_verl(path: Path, rows: Iterable[TrainingRow]) -> int:
    """Write rows to a Parquet file in the columns that verl's trainers read; returns the number of rows.

    The prompt lacks the first words of the reply, since verl closes the last turn and opens a new one. They
    are in `extra_info.opening`, and the model must write them itself.
    """
    return write_rows(path, (_verl_row(row, index) for index, row in enumerate(rows)))


def _verl_row(row: TrainingRow, index: int) -> dict[str, Any]:
    prompt = row.prompt[:-1] if row.opening else row.prompt
    return {
        "data_source": f"sampleset/{row.id.partition('/')[0]}",
        "prompt": [dict(message) for message in prompt],
        "ability": "aggregation",
        "reward_model": {"style": "rule", "ground_truth": row.answer},
        "extra_info": {
            "split": "train",
            "index": index,
            "id": row.id,
            "k": row.k,
            "mode": row.mode,
            "answer_kind": row.answer_kind,
            "prompt_version": row.prompt_version,
            "opening": row.opening,
            "vote": row.vote,
            "vote_right": row.vote_right,
            "right_samples": row.right_samples,
            "extra": json.dumps(dict(row.extra)),
        },
    }
