"""Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K (Zhang et al. 2025, arXiv 2501.07301).

Convention (huggingface.co/Qwen/Qwen2.5-Math-PRM-7B): a chat of the system message below, the question as
`user` and the steps as `assistant`, each followed by `<extra_0>`, without a generation prompt; a step's
score is the softmax probability of label 1 of 2 at its `<extra_0>`. The head is two linear layers with a
ReLU between them over the last hidden states of Qwen2.

Upstream ships the model as code to be run on loading; here it is a class of this package, and only the
weights are read. Upstream also drops probabilities that are exactly 0 from its list of steps; here they are
kept.

Cost: one forward pass per sample, Q + L + s tokens for s steps, and about 35 of the chat's marks and the
system message. The context is 4,096 tokens.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sampleset.chat import Message
from sampleset.engines.huggingface.model import Loaded, import_extra
from sampleset.errors import BackendError
from sampleset.reward_models._local import LocalRewardModel, Reading, rendered, token_of
from sampleset.reward_models.base import MAX_STEPS, REWARD_MODELS, cut_steps

TAG = "<extra_0>"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


@REWARD_MODELS.register("qwen_prm")
@dataclass(eq=False)
class QwenPRM(LocalRewardModel):
    """A process model: a classifier with two labels at each step's tag (Qwen2.5-Math-PRM)."""

    kind: ClassVar[str] = "qwen_prm"
    mark: ClassVar[str | None] = TAG
    _tag: int = field(default=0, init=False, repr=False)

    def architecture(self) -> Any:
        """Qwen2 with a head of two layers."""
        return _architecture()

    def prepare(self, loaded: Loaded) -> None:
        """Look up the tag."""
        if loaded.model.config.num_labels != 2:
            raise BackendError(
                f"{self.model!r} has {loaded.model.config.num_labels} labels; a reward model of this kind "
                "has 2."
            )
        self._tag = token_of(loaded.tokenizer, TAG, self.model)

    def read(self, tokenizer: Any, question: str, sample: str) -> Reading | None:
        """The tagged chat; a position is that of a tag."""
        steps = cut_steps(sample)
        if len(steps) > MAX_STEPS:
            return None
        tokens: list[int] = tokenizer.encode(rendered(tokenizer, tagged_chat(question, steps)))
        positions = [position for position, token in enumerate(tokens) if token == self._tag]
        if len(positions) != len(steps):
            raise BackendError(
                f"{self.model!r} reads {len(positions)} tags in a chat of {len(steps)} steps. Is it a reward "
                "model of this kind?"
            )
        return Reading(tokens, positions)

    def outputs(self, model: Any, tokens: Any, mask: Any, positions: Sequence[int]) -> Any:
        """Probability of label 1."""
        return model(tokens, mask, tokens.new_tensor(positions)).float().softmax(-1)[..., 1]


def tagged_chat(question: str, steps: Sequence[str]) -> list[Message]:
    """The chat with a tag behind each step."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
        {"role": "assistant", "content": "".join(f"{step}{TAG}" for step in steps)},
    ]


@functools.cache
def _architecture() -> Any:
    """The class of the model, under upstream's names of weights."""
    nn: Any = import_extra("torch").nn
    import_extra("transformers")
    qwen2: Any = importlib.import_module("transformers.models.qwen2.modeling_qwen2")
    base: Any = qwen2.Qwen2PreTrainedModel

    class Qwen2ForProcessRewardModel(base):
        """Qwen2 and, over its last hidden states, two layers."""

        def __init__(self, config: Any) -> None:
            base.__init__(self, config)
            size = config.hidden_size
            self.model: Any = qwen2.Qwen2Model(config)
            self.score: Any = nn.Sequential(
                nn.Linear(size, size), nn.ReLU(), nn.Linear(size, config.num_labels)
            )
            self.post_init()

        def forward(self, tokens: Any, mask: Any, positions: Any) -> Any:
            """Logits at P positions: (B, P, 2)."""
            states = self.model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
            return self.score(states[:, positions])

    return Qwen2ForProcessRewardModel
