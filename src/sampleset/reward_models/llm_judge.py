"""An LLM as judge, 0 to 10 (Zheng et al. 2023, arXiv 2306.05685, single-answer grading without a reference).

Departures: the scale opens at 0, and the judge says how sure it is of the final answer, not how much it
likes the reply. The last "Score:" of the reply counts, else a reply that is nothing but a number; numbers
beyond 0 to 10 are not read. Two samples against each other: the aggregator `pairwise_knockout`.

Cost: one call per sample: prompt Q + L + about 90 tokens, reply up to `max_tokens`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from sampleset.chat import SamplingParams
from sampleset.reward_models._asking import (
    JUDGE,
    JUDGE_FORM,
    AskingRewardModel,
    conclusion_of,
    require_at_least_one,
    solution_messages,
    usage_of,
)
from sampleset.reward_models.base import REWARD_MODELS, RewardScore
from sampleset.types import Question

_NUMBER = r"(-?\d{1,4}(?:\.\d{1,4})?)"
_SCORE = re.compile(
    r"\b(?:score|rating)\b"
    r"(?:[\s*_]{0,4}\([^()\n]{1,20}\))?"  # the scale: "Score (0-10): 8"
    rf"[\s:*_=\"'`(\[{{]{{0,12}}(?:is\s{{0,3}})?{_NUMBER}(?![\d.]*\d|\s?[-–]\s?\d)",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"[\s*_\"'`(\[{{]{{0,8}}{_NUMBER}(?:\s{{0,3}}/\s{{0,3}}10)?[\s.*_\"'`)\]}}]{{0,8}}")


@REWARD_MODELS.register("llm_judge")
@dataclass(frozen=True)
class LLMJudge(AskingRewardModel):
    """A model that rates each sample from 0 to 10; a reply without a rating is `unreadable`.

    Attributes:
        max_tokens: Most tokens of a reply.
        temperature: 0 by default.
        seed: Seed of the replies.
    """

    kind: ClassVar[str] = "llm_judge"

    max_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least_one(max_tokens=self.max_tokens)

    def options(self) -> str:
        """All."""
        return f"{self.max_tokens},{self.temperature:g},{self.seed}"

    async def score_one(self, question: Question, sample: str) -> RewardScore:
        """The rating, from 0 to 10."""
        params = SamplingParams(temperature=self.temperature, max_tokens=self.max_tokens)
        messages = solution_messages(JUDGE, question, sample, JUDGE_FORM)
        (reply,) = await self.backend.generate(messages, params, [self.seed])
        rating = read_rating(reply.text)
        return RewardScore(rating, usage=usage_of(reply), flag="unreadable" if rating is None else None)


def read_rating(reply: str) -> float | None:
    """The rating that a reply ends in, from 0 to 10; `None` if there is none in that range."""
    text = conclusion_of(reply)
    scores = _SCORE.findall(text)
    alone = _ALONE.fullmatch(text) if not scores else None
    if not scores and alone is None:
        return None
    rating = float(scores[-1] if scores else alone[1])  # type: ignore[index]
    return rating if 0 <= rating <= 10 else None
