"""Supervised fine-tuning on the completions of rows: mean cross-entropy of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sampleset.training.data.rows import TrainingRow
from sampleset.training.loop import RowLearner
from sampleset.training.policy import Policy
from sampleset.training.shared_prompt import rows_logprobs


@dataclass(frozen=True, slots=True)
class SftExample:
    """Tokens of a prompt and of the completion to imitate, the end-of-text token last."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SftLearner(RowLearner[SftExample]):
    """Imitates completions. It logs `logprob`, the mean log-probability of a completion's token."""

    def example(self, row: TrainingRow, policy: Policy) -> SftExample | None:
        """The row as tokens; `None` if it has no completion."""
        if row.completion is None:
            return None
        end = policy.tokenizer.eos_token_id
        completion = [*policy.texts.continuation(row.completion), *([] if end is None else [end])]
        return SftExample(tuple(policy.texts.prompt(row.prompt)), tuple(completion))

    def length(self, example: SftExample) -> int:
        """Tokens of prompt and completion."""
        return len(example.prompt) + len(example.completion)

    def losses(self, lessons: Sequence[SftExample], policy: Policy) -> list[tuple[Any, dict[str, float]]]:
        """Cross-entropy per token of each row, in nats."""
        rows = rows_logprobs(policy.model, [(example.prompt, [example.completion]) for example in lessons])
        losses = [-logprobs.mean() for (logprobs,) in rows]
        return [(loss, {"logprob": -float(loss.detach())}) for loss in losses]
