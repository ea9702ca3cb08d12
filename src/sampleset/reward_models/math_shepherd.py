"""Math-Shepherd's process reward model, peiyi9979/math-shepherd-mistral-7b-prm (Wang et al. 2023, arXiv
2312.08935).

Convention (huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm): plain text, no chat template: the
question, a space, and steps one a line, "Step 1: ... ки"; a step's score is the probability of "+" against
"-" as the next token at its tag "ки", with the tokens of "+ -" (648 and 387 there). The card's solutions
number their steps; steps that do not say "Step i" are given "Step i: ". A "ки" in a sample's own text is
broken up.

Cost: one forward pass per sample, Q + L + about 6·s tokens for s steps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sampleset.engines.huggingface.model import Loaded, import_extra
from sampleset.errors import BackendError
from sampleset.reward_models._local import LocalRewardModel, Reading, share_of_first
from sampleset.reward_models.base import MAX_STEPS, REWARD_MODELS, cut_steps

TAG = "ки"


@REWARD_MODELS.register("math_shepherd")
@dataclass(eq=False)
class MathShepherd(LocalRewardModel):
    """A process model that says "+" or "-" after each step's tag (Math-Shepherd)."""

    kind: ClassVar[str] = "math_shepherd"
    mark: ClassVar[str | None] = TAG
    _pair: tuple[int, int] = field(default=(0, 0), init=False, repr=False)
    _tag: int = field(default=0, init=False, repr=False)

    def architecture(self) -> Any:
        """A causal language model."""
        return import_extra("transformers").AutoModelForCausalLM

    def prepare(self, loaded: Loaded) -> None:
        """Look up the tag and the two signs."""
        tokenizer = loaded.tokenizer
        signs: list[int] = tokenizer.encode("+ -", add_special_tokens=False)
        tag: list[int] = tokenizer.encode(TAG, add_special_tokens=False)
        if len(signs) != 2 or len(tag) != 1 or tokenizer.unk_token_id in (*signs, *tag):
            raise BackendError(
                f"'+ -' and {TAG!r} are the tokens {signs!r} and {tag!r} of {self.model!r}, not two and one. "
                "Is it a reward model of this kind?"
            )
        self._pair, self._tag = (signs[0], signs[1]), tag[0]

    def read(self, tokenizer: Any, question: str, sample: str) -> Reading | None:
        """The tagged text; a position is that of a tag."""
        steps = cut_steps(sample)
        if len(steps) > MAX_STEPS:
            return None
        tokens: list[int] = tokenizer.encode(tagged_text(question, steps))
        positions = [position for position, token in enumerate(tokens) if token == self._tag]
        if len(positions) != len(steps):
            raise BackendError(
                f"{self.model!r} reads {len(positions)} tags in a text of {len(steps)} steps. Is it a reward "
                "model of this kind?"
            )
        return Reading(tokens, positions)

    def outputs(self, model: Any, tokens: Any, mask: Any, positions: Sequence[int]) -> Any:
        """Probability of "+" against "-"."""
        return share_of_first(model, tokens, mask, positions, self._pair)


def tagged_text(question: str, steps: Sequence[str]) -> str:
    """Question and numbered steps, each with its tag."""
    numbered = (
        step if re.match(r"Step \d", step) else f"Step {number}: {step}"
        for number, step in enumerate(steps, start=1)
    )
    return f"{question} " + "\n".join(f"{step} {TAG}" for step in numbered)
