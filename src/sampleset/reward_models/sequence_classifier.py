"""Outcome reward models with one label, such as Skywork-Reward (Liu et al. 2024, arXiv 2410.18451).

Convention (huggingface.co/Skywork/Skywork-Reward-Llama-3.1-8B-v0.2 and Skywork-Reward-V2-*): the chat of the
question as `user` and the solution as `assistant`, without a system message, through the chat template and
without a generation prompt; if both the template and the tokenizer put a BOS, one is taken off; the score
is the one logit, any real number, higher is better. The token it is read from is the last one that is not
the configuration's padding token, as transformers does it for a single text.

Cost: one forward pass per sample, Q + L tokens (question and sample). Use `softmax=true` in `weighted_vote`:
the logit may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sampleset.engines.huggingface.model import Loaded, import_extra
from sampleset.errors import BackendError
from sampleset.reward_models._local import LocalRewardModel, Reading, rendered
from sampleset.reward_models.base import REWARD_MODELS, RewardScore
from sampleset.types import Usage


@REWARD_MODELS.register("sequence_classifier")
@dataclass(eq=False)
class SequenceClassifier(LocalRewardModel):
    """An outcome model: a classifier with one label over the whole chat (Skywork-Reward)."""

    kind: ClassVar[str] = "sequence_classifier"

    def architecture(self) -> Any:
        """The classifier that the folder's configuration names."""
        return import_extra("transformers").AutoModelForSequenceClassification

    def prepare(self, loaded: Loaded) -> None:
        """Check that it has one label."""
        labels = loaded.model.config.num_labels
        if labels != 1:
            raise BackendError(
                f"{self.model!r} has {labels} labels; an outcome reward model has 1. Is it of another kind?"
            )

    def read(self, tokenizer: Any, question: str, sample: str) -> Reading | None:
        """The chat; the model itself finds its last token."""
        chat = rendered(
            tokenizer, [{"role": "user", "content": question}, {"role": "assistant", "content": sample}]
        )
        tokens: list[int] = tokenizer.encode(chat)
        is_doubled = tokens[:2] == [tokenizer.bos_token_id] * 2
        return Reading(tokens[1:] if is_doubled else tokens, [0])

    def outputs(self, model: Any, tokens: Any, mask: Any, positions: Sequence[int]) -> Any:
        """The logits, (B, 1)."""
        return model(input_ids=tokens, attention_mask=mask, use_cache=False).logits

    def make_score(self, values: Sequence[float], usage: Usage) -> RewardScore:
        """The logit, without steps."""
        return RewardScore(values[-1], usage=usage)
