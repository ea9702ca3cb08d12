"""P(true) as in CISC (Kadavath et al. 2022, arXiv 2207.05221; Taubenfeld et al. 2025, arXiv 2502.06233):
the model goes on from its own solution with "Now I will rate my confidence in the proposed answer as either
0 or 1", and the score is the probability of 1.

Give it the model that drew the samples: it rates its own words, unlike `generative_verifier`, which is
shown a stranger's. Departure: the probability is that of 1 against 0, not of 1 among all tokens. CISC
weighs by a softmax of these scores at a tuned temperature: `weighted_vote:softmax=true,temperature=T`.

Cost: one scoring call per sample: prompt Q + L + about 25 tokens, of which all but the last were read when
the sample was drawn; two tokens scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sampleset.answers import choices_of
from sampleset.backends.base import can_score
from sampleset.chat import Message
from sampleset.errors import UnsupportedByBackendError
from sampleset.prompts import solve_messages
from sampleset.reward_models._asking import CONFIDENCE, AskingRewardModel
from sampleset.reward_models.base import REWARD_MODELS, RewardScore
from sampleset.reward_models.generative_verifier import probability_of_first
from sampleset.types import Question
from sampleset.untrusted import defuse


@REWARD_MODELS.register("p_true")
@dataclass(frozen=True)
class PTrue(AskingRewardModel):
    """A model's confidence in its own solution, from 0 to 1.

    Attributes:
        prompt: The name of the prompt that the samples were drawn by.
    """

    kind: ClassVar[str] = "p_true"

    prompt: str = "solve"

    def __post_init__(self) -> None:
        if not can_score(self.backend) or not self.backend.continues_assistant:
            raise UnsupportedByBackendError(
                f"{self.backend.model!r} cannot say how likely a text is after a reply it has begun, which "
                "p_true needs. Use a model in this process (a folder, a Hub id, embedded), or llm_judge."
            )

    def options(self) -> str:
        """The prompt."""
        return self.prompt

    async def score_one(self, question: Question, sample: str) -> RewardScore:
        """The probability of 1 against 0."""
        solution = defuse(sample.strip(), choices_of(question), question.answer_kind)
        reply: Message = {"role": "assistant", "content": f"{solution}{CONFIDENCE}"}
        messages = [*solve_messages(question, self.prompt), reply]
        value, spent = await probability_of_first(self.backend, messages, ["1", "0"])
        return RewardScore(value, usage=spent)
