"""Rollouts: completions of training prompts, drawn by the policy that is trained.

They are decoded like a backend's draws: the prompt of a group is read once, and groups are decoded together
as far as memory allows. A rollout ends with an end-of-text token or the stop text `</answer>`, which are part
of its tokens. Its random numbers come from its seed, so it depends only on its seed and the policy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from sampleset.chat import SamplingParams
from sampleset.engines.huggingface.batch import end_tokens
from sampleset.engines.huggingface.calls import DrawCall
from sampleset.engines.huggingface.decoder import Decoder
from sampleset.engines.huggingface.model import Loaded, import_extra
from sampleset.engines.huggingface.text import Texts
from sampleset.prompts import ANSWER_CLOSE
from sampleset.training.policy import Policy


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion.

    Attributes:
        tokens: Its tokens, including the end-of-text token and the stop text.
        text: Its text, including the closing tag.
        truncated: Whether the token limit cut it off.
    """

    tokens: tuple[int, ...]
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """A prompt to draw rollouts of.

    Attributes:
        prompt: Tokens of the prompt.
        seeds: One seed for each rollout.
    """

    prompt: tuple[int, ...]
    seeds: tuple[str, ...]

    def again(self, attempt: int) -> Drawing:
        """The same prompt with other seeds, for a further draw of the group. Attempts count from 1."""
        return replace(self, seeds=tuple(f"{seed}:{attempt}" for seed in self.seeds))


def rollout_of(tokens: Sequence[int], texts: Texts, ends: AbstractSet[int], max_tokens: int) -> Rollout:
    """The rollout of an engine's tokens. The stop text is added again if the engine removed it.

    Args:
        tokens: The engine's tokens, at least one.
        texts: The tokenizer.
        ends: End-of-text tokens.
        max_tokens: The engine's token limit.
    """
    ended = tokens[-1] in ends
    text = texts.text(tokens[:-1] if ended else tokens)
    if not ended and ANSWER_CLOSE not in text:
        if len(tokens) >= max_tokens:
            return Rollout(tuple(tokens), text, truncated=True)
        text += ANSWER_CLOSE
    return Rollout(tuple(tokens), text, truncated=False)


def roll_out(
    policy: Policy, drawings: Sequence[Drawing], temperature: float, max_tokens: int
) -> list[list[Rollout]]:
    """The rollouts of every drawing, in order.

    Args:
        policy: The model.
        drawings: Prompts with seeds.
        temperature: Temperature; 0 always takes the likeliest token.
        max_tokens: Most tokens of a rollout.

    Raises:
        BackendError: A single rollout does not fit in memory.
    """
    torch: Any = import_extra("torch")
    model, training = policy.model, policy.model.training
    params = SamplingParams(temperature=temperature, max_tokens=max_tokens, stop=(ANSWER_CLOSE,))
    decoder = Decoder(Loaded(model, policy.tokenizer, model.device), policy.texts)
    calls = [
        DrawCall(list(drawing.prompt), params, [_number(seed) for seed in drawing.seeds])
        for drawing in drawings
    ]
    model.eval()
    try:
        # Not in inference mode, whose tensors, if the model keeps any, cannot be used in training.
        with torch.no_grad():
            for call in calls:
                decoder.take(call)
            while not decoder.is_idle:
                decoder.turn()
    finally:
        model.train(training)
    ends = end_tokens(model, policy.tokenizer)
    rollouts: list[list[Rollout]] = []
    for call in calls:
        count = len(call.result.result())
        rollouts.append(
            [rollout_of(call.tokens[index], policy.texts, ends, max_tokens) for index in range(count)]
        )
    return rollouts


def _number(seed: str) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
