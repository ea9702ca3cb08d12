"""RLHFlow's reward models, RLHFlow/Llama3.1-8B-PRM-* and -ORM-* (Xiong et al. 2024, RLHF-Reward-Modeling).

Convention (github.com/RLHFlow/RLHF-Reward-Modeling, math-rm/prm_evaluate.py and orm_evaluate.py): a chat in
which each step is a `user` turn, the first one "question step", and each `assistant` turn is "+"; a step's
score is the probability of "+" against "-" where the reply begins, given the steps before, each answered by
"+". The outcome models read the whole solution as one step (`whole=true`). Upstream reads one chat per
step; here one chat holds all of them: attention is causal, so the scores are the same.

Cost: one forward pass per sample, Q + L + s·c tokens: s steps, c tokens of the template's marks for two turns
(about 11 in Llama 3.1's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sampleset.chat import Message
from sampleset.engines.huggingface.model import Loaded, import_extra
from sampleset.errors import BackendError
from sampleset.reward_models._local import LocalRewardModel, Reading, rendered, share_of_first, token_of
from sampleset.reward_models.base import MAX_STEPS, REWARD_MODELS, RewardScore, cut_steps
from sampleset.types import Usage


@REWARD_MODELS.register("rlhflow")
@dataclass(eq=False)
class RLHFlow(LocalRewardModel):
    """A process or outcome model that answers each step by "+" or "-" (RLHFlow Llama3.1-8B-PRM, -ORM).

    Attributes:
        whole: Read the solution as one step, as the ORM models do.
    """

    kind: ClassVar[str] = "rlhflow"
    whole: bool = False
    _pair: tuple[int, int] = field(default=(0, 0), init=False, repr=False)

    @property
    def identity(self) -> str:
        """The kind, its form and the model."""
        return f"{self.kind}[whole]:{self.model}" if self.whole else f"{self.kind}:{self.model}"

    def architecture(self) -> Any:
        """A causal language model."""
        return import_extra("transformers").AutoModelForCausalLM

    def prepare(self, loaded: Loaded) -> None:
        """Look up "+" and "-"."""
        if not loaded.tokenizer.is_fast:
            raise BackendError(f"The tokenizer of {self.model!r} cannot tell where its tokens stand.")
        plus, minus = (token_of(loaded.tokenizer, sign, self.model) for sign in "+-")
        self._pair = plus, minus

    def read(self, tokenizer: Any, question: str, sample: str) -> Reading | None:
        """The chat of all steps; a position is the token before a "+"."""
        steps = [sample] if self.whole else cut_steps(sample)
        if len(steps) > MAX_STEPS:
            return None
        chat: list[Message] = []
        starts: list[int] = []
        openings: list[str] = []
        for number, step in enumerate(steps):
            content = f"{question} {step}" if number == 0 else step
            chat.append({"role": "user", "content": content})
            openings.append(rendered(tokenizer, chat, opened=True))
            starts.append(len(openings[-1]))
            chat.append({"role": "assistant", "content": "+"})
        text = rendered(tokenizer, chat)
        cut = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        tokens: list[int] = cut["input_ids"]
        token_at = {
            start: position for position, (start, end) in enumerate(cut["offset_mapping"]) if end > start
        }
        positions = [token_at.get(start, 0) for start in starts]
        if not all(text.startswith(opening) for opening in openings) or any(
            tokens[position] != self._pair[0] for position in positions
        ):
            raise BackendError(
                f'The chat template of {self.model!r} does not put "+" where a reply begins. Is it a reward '
                "model of this kind?"
            )
        return Reading(tokens, [position - 1 for position in positions])

    def outputs(self, model: Any, tokens: Any, mask: Any, positions: Sequence[int]) -> Any:
        """Probability of "+" against "-"."""
        return share_of_first(model, tokens, mask, positions, self._pair)

    def make_score(self, values: Sequence[float], usage: Usage) -> RewardScore:
        """Those of the steps, or of the whole."""
        return RewardScore(values[-1], () if self.whole else tuple(values), usage)
