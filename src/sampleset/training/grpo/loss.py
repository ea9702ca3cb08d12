"""The loss of GRPO over one group of rollouts (Shao et al. 2024, arXiv 2402.03300), as TRL's trainer has it.

It is implemented here so that a group's prompt is computed once and the loop of all methods can be used. A
test compares values and gradients with TRL's trainer.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sampleset.engines.huggingface.model import import_extra
from sampleset.training.policy import Policy
from sampleset.training.recipe import GrpoOptions
from sampleset.training.shared_prompt import branch_scores, separate_scores

IMPORTANCE_CAP = 3.0
"""A rollout of another engine is weighted by its importance ratio; above this cap by 0, as in TRL."""


@dataclass(frozen=True, slots=True)
class GroupLesson:
    """The inputs of the loss of one group of rollouts. T is the length of a rollout in tokens.

    Attributes:
        prompt: Tokens of the prompt.
        completions: Tokens of each rollout, at least one.
        advantages: Advantage of each rollout.
        taking_part: Whether each rollout is part of the loss.
        tokens: Tokens of all rollouts of the step that take part, over all groups and processes.
        rows: Groups of the step, over all processes.
        old: Log-probabilities when the rollouts were drawn, shapes (T,); `None` if the policy is unchanged.
        reference: Log-probabilities by the model that the policy started from; `None` without a KL term.
        weights: Importance weight of each rollout that another engine drew; `None` if this process drew them.
    """

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    advantages: tuple[float, ...]
    taking_part: tuple[bool, ...]
    tokens: float
    rows: int
    old: Sequence[Any] | None = None
    reference: Sequence[Any] | None = None
    weights: tuple[float, ...] | None = None


def group_scores(
    policy: Policy, prompt: Sequence[int], completions: Sequence[Sequence[int]], options: GrpoOptions
) -> list[tuple[Any, Any]]:
    """Log-probability and entropy at each token of each completion: two tensors of shape (T,) each."""
    scores = branch_scores if options.shared_prompt else separate_scores
    return scores(policy.model, prompt, completions, options.temperature)


def group_loss(
    scores: Sequence[tuple[Any, Any]], lesson: GroupLesson, options: GrpoOptions, most: int
) -> tuple[Any, dict[str, float]]:
    """The loss, and the group's mean entropy and KL divergence.

    Args:
        scores: Result of `group_scores` for the current policy.
        lesson: The group.
        options: Options of the loss.
        most: Most tokens of a rollout.
    """
    torch: Any = import_extra("torch")
    pad = torch.nn.utils.rnn.pad_sequence
    now = pad([logprobs for logprobs, _ in scores], batch_first=True)
    entropy = pad([entropies for _, entropies in scores], batch_first=True)

    def column(values: Sequence[float]) -> Any:
        return torch.tensor(values, device=now.device, dtype=now.dtype)[:, None]

    mask = pad([torch.ones_like(logprobs) for logprobs, _ in scores], batch_first=True).detach()
    mask = mask * column(lesson.taking_part)
    old = now.detach() if lesson.old is None else pad(list(lesson.old), batch_first=True)
    ratio = (now - old).exp()
    advantages = column(lesson.advantages)
    clipped = ratio.clamp(1 - options.epsilon, 1 + options.epsilon)
    loss = -(ratio * advantages).minimum(clipped * advantages)
    if lesson.weights is not None:
        loss = loss * column(lesson.weights)
    figures = {"entropy": float((entropy * mask).sum() / mask.sum().clamp_min(1))}
    if lesson.reference is not None:
        further = pad(list(lesson.reference), batch_first=True) - now
        # Times the ratio, so that the gradient is that of the divergence, not of the estimate alone.
        divergence = (further.exp() - further - 1) * ratio
        loss = loss + options.beta * divergence
        figures["kl"] = float((divergence.detach() * mask).sum() / mask.sum().clamp_min(1))
    loss = loss * mask
    if options.loss_type == "grpo":
        return (loss.sum(-1) / mask.sum(-1).clamp_min(1)).mean(), figures
    if options.loss_type == "bnpo":
        return loss.sum() / mask.sum().clamp_min(1), figures
    if options.loss_type == "dr_grpo":
        return loss.sum() / (len(lesson.completions) * most), figures
    return loss.sum() * lesson.rows / max(1.0, lesson.tokens), figures


def importance_weights(
    policy_logprobs: Sequence[Any],
    engine_logprobs: Sequence[Sequence[float | None]],
    taking_part: Sequence[bool],
) -> tuple[float, ...]:
    """Ratio of each rollout's probability by the policy to that by its engine; 0 above `IMPORTANCE_CAP`.

    Args:
        policy_logprobs: Log-probabilities by the policy, shapes (T,).
        engine_logprobs: Log-probabilities that the engine reported; tokens without one count as equal.
        taking_part: Whether each rollout takes part. Other rollouts have the weight 1.
    """
    weights: list[float] = []
    for logprobs, reported, counts in zip(policy_logprobs, engine_logprobs, taking_part, strict=True):
        pairs = zip(logprobs.tolist(), reported, strict=True)
        further = sum(
            policy_logprob - engine_logprob
            for policy_logprob, engine_logprob in pairs
            if engine_logprob is not None and engine_logprob == engine_logprob
        )
        weight = math.exp(min(further, 50.0)) if counts else 1.0
        weights.append(weight if weight <= IMPORTANCE_CAP else 0.0)
    return tuple(weights)


class Reference:
    """The weights that a policy started from, for the KL term.

    Args:
        policy: The policy at the start.
    """

    def __init__(self, policy: Policy) -> None:
        self._weights = policy.trained
        self._start = [weight.detach().clone() for weight in self._weights]

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Within this context the policy has its first weights."""
        now = [weight.data for weight in self._weights]
        try:
            for weight, start in zip(self._weights, self._start, strict=True):
                weight.data = start
            yield
        finally:
            for weight, data in zip(self._weights, now, strict=True):
                weight.data = data
