"""Generative verification (Zhang et al. 2024, GenRM, arXiv 2408.15240): the probability of "Yes" to "Is the
answer correct?", at once, or after written reasoning and averaged over m votes.

Departures: any model; one that is trained for it (`sampleset train-data --mode verify`) has learned to give
its verdict at once. The probability is that of "Yes" against "No", not of "Yes" among all tokens. A backend
that does not score texts writes its verdict, and the score is the share of "Yes" among the votes that can be
read: the verdict is the word that a reply opens with, or, after reasoning, the one that follows the closing
question of the prompt, else the one that its last line opens with.

Cost per sample: one scoring call of a prompt of Q + L + about 60 tokens; with `reason=true` m = `votes`
replies of up to `max_tokens` and, where the backend scores, as many scoring calls that read the reasoning
again. Without scores m replies.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from sampleset.backends.base import Backend, ScoringBackend, can_score, record_of
from sampleset.chat import Message, SamplingParams, first_seed
from sampleset.errors import InvalidArgumentError
from sampleset.models.together import gathered
from sampleset.reward_models._asking import (
    PROMPTS,
    VERIFY,
    VERIFY_DIRECT,
    VERIFY_OPEN,
    VERIFY_REASON,
    AskingRewardModel,
    conclusion_of,
    require_at_least_one,
    solution_messages,
    usage_of,
)
from sampleset.reward_models.base import REWARD_MODELS, RewardScore, require_finite
from sampleset.types import Question, Usage

_ASKED = re.compile(r"is the answer correct\W{0,8}(?:yes\s?/\s?no)?", re.IGNORECASE)
# "No mistakes were found" is no verdict.
_VERDICT = re.compile(r"\W{0,20}(yes\b|no\b(?!\s+\w))", re.IGNORECASE)
_SHORT_REPLY = 16

VERDICT_PROMPT = f"verify-{PROMPTS}"
"""Version of the prompt that a trained verifier learns."""

VERDICTS = {True: " Yes", False: " No"}
"""How the begun reply of `verdict_messages` goes on for a right and for a wrong sample."""


@REWARD_MODELS.register("generative_verifier")
@dataclass(frozen=True)
class GenerativeVerifier(AskingRewardModel):
    """A model that says whether the answer is correct; the score is the probability of "Yes".

    A sample of which no vote can be read is `unreadable`.

    Attributes:
        reason: Whether the model reasons first.
        votes: m, how often it is asked; more than once only where its replies differ.
        max_tokens: Most tokens of the reasoning.
        temperature: Of the reasoning, and of written verdicts where there are several.
        seed: Seed of the votes; each vote draws with another seed.
    """

    kind: ClassVar[str] = "generative_verifier"

    reason: bool = False
    votes: int = 1
    max_tokens: int = 1024
    temperature: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least_one(votes=self.votes, max_tokens=self.max_tokens)
        record = record_of(self.backend)
        if record is not None and record.mode == "verify":
            if self.reason:
                raise InvalidArgumentError(
                    f"{self.backend.model!r} has learned to give its verdict at once. Leave reason=true away."
                )
            if record.prompt_version != VERDICT_PROMPT:
                raise InvalidArgumentError(
                    f"{self.backend.model!r} was trained on the prompt {record.prompt_version!r}; this "
                    f"version asks under {VERDICT_PROMPT!r}. Train it again, or use the version that did."
                )
        if self.votes > 1 and not self.reason and can_score(self.backend):
            raise InvalidArgumentError(
                f"votes={self.votes} without reason=true: a probability is the same each time. Leave votes "
                "away, or give reason=true."
            )

    def options(self) -> str:
        """All that are used."""
        if not self.reason and self.votes == 1:
            return ""
        return f"{self.reason},{self.votes},{self.max_tokens},{self.temperature:g},{self.seed}"

    async def score_one(self, question: Question, sample: str) -> RewardScore:
        """Mean of the votes, from 0 to 1."""
        form = VERIFY_REASON if self.reason else VERIFY_DIRECT
        messages = solution_messages(VERIFY, question, sample, form)
        if can_score(self.backend) and not self.reason:
            votes = [await _probability(self.backend, messages, "")]
        else:
            first = first_seed(messages, self.seed)
            votes = await gathered(self._vote(messages, first + vote) for vote in range(self.votes))
        usage = sum((spent for _, spent in votes), Usage())
        read = [value for value, _ in votes if value is not None]
        if not read:
            return RewardScore(None, usage=usage, flag="unreadable")
        return RewardScore(math.fsum(read) / len(read), usage=usage)

    async def _vote(self, messages: list[Message], seed: int) -> tuple[float | None, Usage]:
        """One written reply: its probability where the backend tells it, else 1 for "Yes" and 0 for "No"."""
        temperature = self.temperature if self.reason or self.votes > 1 else 0.0
        most = self.max_tokens if self.reason else _SHORT_REPLY
        params = SamplingParams(temperature=temperature, max_tokens=most)
        (reply,) = await self.backend.generate(messages, params, [seed])
        spent = usage_of(reply)
        if can_score(self.backend) and self.backend.continues_assistant:
            reasoning = reply.text.split(VERIFY_OPEN)[0].rstrip()
            value, more = await _probability(self.backend, messages, f"{reasoning}\n\n")
            return value, spent + more
        was_cut = reply.finish_reason == "length"
        return read_verdict(reply.text, reasoned=self.reason, was_cut=was_cut), spent


def read_verdict(reply: str, *, reasoned: bool, was_cut: bool = False) -> float | None:
    """1 for a reply that says "Yes", 0 for one that says "No", `None` for one that does not say.

    Args:
        reply: The model's reply.
        reasoned: Its verdict comes last; else first.
        was_cut: The token limit cut the reply off, so its last line may be no conclusion.
    """
    text = conclusion_of(reply)
    questions = list(_ASKED.finditer(text))
    match = _VERDICT.match(text, questions[-1].end()) if questions else None
    if match is None and not (reasoned and was_cut):
        match = _VERDICT.match(text.rstrip().rpartition("\n")[2] if reasoned else text)
    return float(match[1].lower() == "yes") if match else None


def verdict_messages(question: Question, sample: str) -> list[Message]:
    """The chat that asks for a verdict at once, with the first words of the reply; see `VERDICTS`."""
    return _begun(solution_messages(VERIFY, question, sample, VERIFY_DIRECT), "")


def _begun(messages: list[Message], before: str) -> list[Message]:
    return [*messages, {"role": "assistant", "content": f"{before}{VERIFY_OPEN}"}]


async def _probability(backend: ScoringBackend, messages: list[Message], before: str) -> tuple[float, Usage]:
    """How likely "Yes" is against "No" after the opening words of a reply, and the tokens it took."""
    if backend.continues_assistant:
        return await probability_of_first(
            backend, _begun(messages, before), [VERDICTS[True], VERDICTS[False]]
        )
    return await probability_of_first(backend, messages, ["Yes", "No"])


async def probability_of_first(
    backend: Backend, messages: list[Message], pair: list[str]
) -> tuple[float, Usage]:
    """How likely the first of two continuations is against the second, and the tokens it took.

    Raises:
        BackendError: The log-probabilities are not finite.
    """
    assert can_score(backend)
    first, second = await backend.score(messages, pair)
    require_finite((first.logprob, second.logprob), backend.model)
    spent = Usage(first.prompt_tokens, first.tokens + second.tokens, calls=1)
    return 1 / (1 + math.exp(min(700.0, second.logprob - first.logprob))), spent
