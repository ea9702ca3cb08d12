"""A log of scores. A killed command continues from it, and no sample is scored twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from sampleset.errors import DataError
from sampleset.models.together import gathered
from sampleset.prompts import question_text
from sampleset.reward_models.base import RewardModel, RewardScore
from sampleset.storage.files import JsonlLog
from sampleset.storage.store import digest
from sampleset.types import Question, Usage, as_dict


class ScoreLog:
    """Scores by reward model, question and sample, in an append-only file or in memory.

    With a file, only the places of the scores are held in memory.

    Args:
        log: The file; without one, scores are kept for this process only.

    Raises:
        DataError: The file holds something else.
    """

    def __init__(self, log: JsonlLog | None = None) -> None:
        self._log = log
        self._offsets: dict[str, int] = {}
        self._known: dict[str, RewardScore] = {}
        self._refresh()

    def get(self, key: str) -> RewardScore | None:
        """The score of that key."""
        if self._log is not None and key in self._offsets:
            return _from_row(self._log.row_at(self._offsets[key]))
        return self._known.get(key)

    def put(self, identity: str, scores: dict[str, RewardScore]) -> None:
        """Keep scores; with a file they are safe from a kill once this returns."""
        if self._log is None:
            self._known.update(scores)
        elif scores:
            self._log.append(
                {"key": key, "model": identity, **as_dict(score)} for key, score in scores.items()
            )
            self._refresh()

    def _refresh(self) -> None:
        for offset, row in self._log.new_rows() if self._log else ():
            try:
                _from_row(row)
                self._offsets[row["key"]] = offset
            except (KeyError, TypeError) as error:
                where = self._log and self._log.path
                raise DataError(f"{where}: a row is no score ({error}). Use another file.") from error


class SharedRewardModels:
    """The reward models of one run: each is there once, however often it is named, and keeps its scores.

    Args:
        log: The log of the scores.
    """

    def __init__(self, log: ScoreLog) -> None:
        self._log = log
        self._models: dict[str, KeptRewardModel] = {}

    def __call__(self, model: RewardModel) -> KeptRewardModel:
        """The one that is used for a reward model and all its equals."""
        return self._models.setdefault(model.identity, KeptRewardModel(model, self._log))

    async def aclose(self) -> None:
        """Close the reward models."""
        for model in self._models.values():
            await model.aclose()


class KeptRewardModel:
    """A reward model whose scores are looked up first. A stored score has the usage of its first call.

    Args:
        inner: The reward model.
        log: The log of its scores.
    """

    def __init__(self, inner: RewardModel, log: ScoreLog) -> None:
        self._inner = inner
        self._log = log
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def model(self) -> str:
        """As of the reward model."""
        return self._inner.model

    @property
    def identity(self) -> str:
        """As of the reward model."""
        return self._inner.identity

    @property
    def batched(self) -> bool:
        """As of the reward model."""
        return self._inner.batched

    async def score(self, question: Question, samples: Sequence[str]) -> list[RewardScore]:
        """One score per sample, in order; equal samples of a question are scored once.

        Raises:
            BackendError: The model cannot be asked; what other samples were given is kept.
        """
        text = question_text(question)
        keys = [digest([self.identity, text, sample])[:32] for sample in samples]
        lock = self._locks.setdefault(text, asyncio.Lock())
        async with lock:  # calls on one question may share samples
            known = {key: score for key in set(keys) if (score := self._log.get(key)) is not None}
            new = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in known}
            if self.batched or not new:
                known |= await self._score_new(question, new)
            else:
                for new_scores in await gathered(self._score_new(question, {key: new[key]}) for key in new):
                    known |= new_scores
        return [known[key] for key in keys]

    async def _score_new(self, question: Question, new: dict[str, str]) -> dict[str, RewardScore]:
        """Scores of samples that have none, by key; kept at once."""
        scores = await self._inner.score(question, list(new.values())) if new else []
        score_by_key = dict(zip(new, scores, strict=True))
        # A refusal without a call is not stored: with a larger context the sample may be scored.
        stored = {
            key: score for key, score in score_by_key.items() if score.value is not None or score.usage.calls
        }
        self._log.put(self.identity, stored)
        return score_by_key

    async def aclose(self) -> None:
        """As of the reward model."""
        await self._inner.aclose()


def _from_row(row: dict[str, Any]) -> RewardScore:
    steps, usage = tuple(row.get("steps", ())), Usage(**row.get("usage", {}))
    return RewardScore(row.get("value"), steps, usage, row.get("flag"))
