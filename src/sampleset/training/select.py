"""The select mode, trained by the exact gradient of its expected reward.

The candidates of one set are a finite action space. The policy picks candidate c with probability
softmax(score)_c. The score is the log-likelihood of the candidate's text under the prompt plus learned
multiples of the log of its votes and of its mean token log-probability. The expected reward is the
probability of the right candidates, so no rollouts are needed (Qi et al. 2025, arXiv 2506.09014, train by
GRPO on sampled answers), and one pass per set with a shared prompt gives its gradient.

The option `cross_entropy` minimises the negative log of the same probability. Its gradient does not vanish if
the right candidate has a low probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sampleset.engines.checkpoint import CheckpointRecord
from sampleset.engines.huggingface.model import import_extra
from sampleset.engines.huggingface.text import Texts
from sampleset.errors import InvalidArgumentError
from sampleset.prompts import ANSWER_CLOSE
from sampleset.training.data.rows import ONLY_METHOD, TrainingRow
from sampleset.training.loop import RowLearner
from sampleset.training.policy import Policy
from sampleset.training.recipe import Objective
from sampleset.training.shared_prompt import rows_logprobs


@dataclass(frozen=True, slots=True)
class SelectExample:
    """One set as tokens.

    Attributes:
        prompt: Tokens of the prompt with the reply's first words.
        branches: Tokens of each candidate's text.
        log_votes: Log of each candidate's votes.
        confidences: Mean token log-probability of each candidate's samples; 0 where not recorded.
        right: Whether each candidate is right.
        vote: Index of the majority vote's candidate.
    """

    prompt: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]
    log_votes: tuple[float, ...]
    confidences: tuple[float, ...]
    right: tuple[bool, ...]
    vote: int


@dataclass(frozen=True, slots=True)
class SelectLearner(RowLearner[SelectExample]):
    """Trains the select mode; see the module.

    It logs `reward`, the expected reward; `accuracy`, whether the likeliest candidate is right; `vote`,
    whether the majority vote is right; `mended` and `spoilt` against the vote; and the learned multiples.
    """

    objective: Objective

    def require(
        self, rows: Sequence[TrainingRow], held_back: Sequence[TrainingRow], record: CheckpointRecord
    ) -> None:
        """Refuse rows of another mode.

        Raises:
            InvalidArgumentError: The rows have another mode.
        """
        if record.mode != "select":
            other = ONLY_METHOD.get(record.mode, "sft` or `grpo")
            raise InvalidArgumentError(
                f"The rows are of the mode {record.mode}, not select. Make rows with `sampleset train-data "
                f"--mode select`, or train with `sampleset train {other}`."
            )

    def example(self, row: TrainingRow, policy: Policy) -> SelectExample | None:
        """The row as tokens; `None` if it has fewer than two candidates, or none is right."""
        return select_example(row, policy.texts)

    def length(self, example: SelectExample) -> int:
        """Tokens of the prompt and of all candidates."""
        return len(example.prompt) + sum(len(branch) for branch in example.branches)

    def losses(self, lessons: Sequence[SelectExample], policy: Policy) -> list[tuple[Any, dict[str, float]]]:
        """The objective on each set, with figures to log."""
        log_probs = log_probabilities(policy.model, policy.prior, lessons)
        return [self._loss(*pair, policy) for pair in zip(lessons, log_probs, strict=True)]

    def _loss(self, example: SelectExample, log_probs: Any, policy: Policy) -> tuple[Any, dict[str, float]]:
        right = example.right[int(log_probs.argmax())]
        vote = example.right[example.vote]
        figures = {
            "reward": float(probability_right(log_probs.detach(), example.right).exp()),
            "accuracy": float(right),
            "vote": float(vote),
            "mended": float(right and not vote),
            "spoilt": float(vote and not right),
            "vote_weight": float(policy.prior[0].detach()),
            "confidence_weight": float(policy.prior[1].detach()),
        }
        return select_loss(log_probs, example.right, self.objective), figures


def select_example(row: TrainingRow, texts: Texts) -> SelectExample | None:
    """The row as tokens; `None` if it has fewer than two candidates, or none is right."""
    right = tuple(candidate.right is True for candidate in row.candidates)
    if len(right) < 2 or not any(right):
        return None
    confidences = [candidate.confidence for candidate in row.candidates]
    known = all(confidence is not None for confidence in confidences)
    return SelectExample(
        prompt=tuple(texts.prompt(row.prompt)),
        branches=tuple(
            tuple(texts.continuation(candidate.answer + ANSWER_CLOSE)) for candidate in row.candidates
        ),
        log_votes=tuple(math.log(candidate.votes) for candidate in row.candidates),
        confidences=tuple((confidence or 0.0) if known else 0.0 for confidence in confidences),
        right=right,
        vote=next(
            (index for index, candidate in enumerate(row.candidates) if candidate.answer == row.vote), 0
        ),
    )


def log_probabilities(model: Any, prior: Any, examples: Sequence[SelectExample]) -> list[Any]:
    """Log-probability of each candidate of each set, shapes (C,).

    Args:
        model: The policy.
        prior: The learned multiples of log votes and of confidence, shape (2,).
        examples: The sets, computed in one pass.
    """
    torch: Any = import_extra("torch")
    log_probs: list[Any] = []
    rows = rows_logprobs(model, [(example.prompt, example.branches) for example in examples])
    for example, branches in zip(examples, rows, strict=True):
        scores = torch.stack([branch.sum() for branch in branches])
        features = torch.tensor(
            [example.log_votes, example.confidences], dtype=scores.dtype, device=scores.device
        )
        log_probs.append(torch.log_softmax(scores + (prior.to(scores)[:, None] * features).sum(0), dim=0))
    return log_probs


def probability_right(log_probs: Any, right: Sequence[bool]) -> Any:
    """Log of the probability that a right candidate is picked, which is the expected reward."""
    torch: Any = import_extra("torch")
    return torch.logsumexp(log_probs[torch.tensor(right, device=log_probs.device)], dim=0)


def select_loss(log_probs: Any, right: Sequence[bool], objective: Objective) -> Any:
    """The loss: minus the expected reward, or minus its log."""
    log_right = probability_right(log_probs, right)
    return -log_right.exp() if objective == "expected_reward" else -log_right
