"""Log-probabilities of several continuations of one prompt, which is computed once, forward and backward.

Prompt and branches are in one sequence. A branch attends to the prompt and to itself, never to another
branch, and its positions continue from the prompt's end. Values and gradients equal those of a pass per
branch. The prompt, which is many times longer than a branch here, costs one pass instead of one per branch.

With `sdpa` attention, pairs of tokens that do not attend to each other are not computed (see
`branch_attention`). With `eager` attention the whole square is computed. Other kinds of attention accept no
such mask.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sampleset.engines.huggingface.model import import_extra
from sampleset.errors import InvalidArgumentError
from sampleset.training.branch_attention import use_branch_attention

LOGITS_AT_ONCE = 2**24
"""Most logits whose softmax is computed at once."""

_WINDOWS = {"sliding_window": "sliding_attention", "attention_chunk_size": "chunked_attention"}
"""Fields of a model's configuration, with the kind of layers that they concern."""


def branch_logprobs(
    model: Any, prompt: Sequence[int], branches: Sequence[Sequence[int]], temperature: float = 1.0
) -> list[Any]:
    """Log-probability of every token of every branch, given the prompt and the branch before it.

    Args:
        model: A causal language model of transformers; gradients flow where they are enabled.
        prompt: Tokens of the prompt, at least one.
        branches: Tokens of each continuation, at least one.
        temperature: Logits are divided by it.

    Returns:
        One tensor of shape (T,) per branch, in nats.

    Raises:
        InvalidArgumentError: The prompt or a branch is empty, or the model's attention does not fit.
    """
    return [logprobs for logprobs, _ in branch_scores(model, prompt, branches, temperature)]


def branch_scores(
    model: Any, prompt: Sequence[int], branches: Sequence[Sequence[int]], temperature: float = 1.0
) -> list[tuple[Any, Any]]:
    """As `branch_logprobs`, with the entropy at each token: two tensors of shape (T,) per branch, in nats.

    The entropy has no gradient.
    """
    if not prompt or not branches or not all(branches):
        raise InvalidArgumentError("A prompt and its branches need at least one token each.")
    torch: Any = import_extra("torch")
    device = model.device
    _require_window(model.config.get_text_config(), len(prompt) + max(map(len, branches)))
    # The prediction after the last token of a branch is not needed.
    inputs = [branch[:-1] for branch in branches]
    spans = [len(prompt), *map(len, inputs)]
    logit_indices, start = list[int](), len(prompt)
    for branch in inputs:
        # The last token of the prompt predicts the first of every branch.
        logit_indices += [len(prompt) - 1, *range(start, start + len(branch))]
        start += len(branch)
    positions = [
        *range(len(prompt)),
        *(len(prompt) + offset for branch_input in inputs for offset in range(len(branch_input))),
    ]
    has_spans = use_branch_attention(model)
    logits = model(
        input_ids=torch.tensor(
            [[*prompt, *(token for branch_input in inputs for token in branch_input)]], device=device
        ),
        attention_mask=_mask(spans, None if has_spans else model.dtype, device),
        position_ids=torch.tensor([positions], device=device),
        logits_to_keep=torch.tensor(logit_indices, device=device),
        use_cache=False,
        **({"branch_spans": tuple(spans)} if has_spans else {}),
    ).logits[0]
    targets = torch.tensor([token for branch in branches for token in branch], device=device)
    lengths = [len(branch) for branch in branches]
    chosen, entropies = _chosen_logprobs().apply(logits, targets, temperature)
    return list(zip(chosen.split(lengths), entropies.split(lengths), strict=True))


def separate_scores(
    model: Any, prompt: Sequence[int], branches: Sequence[Sequence[int]], temperature: float = 1.0
) -> list[tuple[Any, Any]]:
    """As `branch_scores`, but the prompt is computed once per branch, for models that cannot share it."""
    if not prompt or not branches or not all(branches):
        raise InvalidArgumentError("A prompt and its branches need at least one token each.")
    torch: Any = import_extra("torch")
    longest = max(map(len, branches))
    padding = [longest - len(branch) for branch in branches]
    # Padding on the right comes after all needed tokens, so it needs no mask.
    tokens = [[*prompt, *branch, *[0] * more] for branch, more in zip(branches, padding, strict=True)]
    logits = model(
        input_ids=torch.tensor(tokens, device=model.device)[:, :-1], logits_to_keep=longest, use_cache=False
    ).logits
    branch_logits = torch.cat([rows[: len(branch)] for rows, branch in zip(logits, branches, strict=True)])
    targets = torch.tensor([token for branch in branches for token in branch], device=model.device)
    chosen, entropies = _chosen_logprobs().apply(branch_logits, targets, temperature)
    lengths = [len(branch) for branch in branches]
    return list(zip(chosen.split(lengths), entropies.split(lengths), strict=True))


def rows_logprobs(
    model: Any, rows: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]
) -> list[list[Any]]:
    """As `branch_logprobs` for several rows in one pass, to use a GPU better.

    Prompts are padded on the left and branches on the right, so that all prompts end in one column. The whole
    square of each row is computed, including padding and masked pairs.

    Args:
        model: A causal language model of transformers; gradients flow where they are enabled.
        rows: Prompt and branches of each row, each with at least one token.

    Returns:
        For each row one tensor of shape (T,) per branch, in nats.

    Raises:
        InvalidArgumentError: A prompt or a branch is empty, or the model's attention does not fit.
    """
    if len(rows) == 1:
        return [branch_logprobs(model, *rows[0])]
    if not all(prompt and branches and all(branches) for prompt, branches in rows):
        raise InvalidArgumentError("A prompt and its branches need at least one token each.")
    torch: Any = import_extra("torch")
    device, config = model.device, model.config.get_text_config()
    before = max(len(prompt) for prompt, _ in rows)
    after = max(sum(len(branch) - 1 for branch in branches) for _, branches in rows)
    tokens, owners, positions, logit_indices = list[Any](), list[Any](), list[Any](), list[int]()
    for row_number, (prompt, branches) in enumerate(rows):
        _require_window(config, len(prompt) + max(map(len, branches)))
        inputs = [branch[:-1] for branch in branches]
        left, right = before - len(prompt), after - sum(map(len, inputs))
        tokens.append(
            [0] * left
            + [*prompt, *(token for branch_input in inputs for token in branch_input)]
            + [0] * right
        )
        # Padding has the owner -1, and each padding token attends only to itself.
        owner = [number for number, branch_input in enumerate(inputs, start=1) for _ in branch_input]
        owners.append([-1] * left + [0] * len(prompt) + owner + [-1] * right)
        branch_positions = [
            len(prompt) + number for branch_input in inputs for number in range(len(branch_input))
        ]
        positions.append([0] * left + [*range(len(prompt)), *branch_positions] + [0] * right)
        start = row_number * (after + 1)
        first = start + 1
        for branch_input in inputs:
            logit_indices += [start, *range(first, first + len(branch_input))]
            first += len(branch_input)
    owner = torch.tensor(owners, device=device)
    order = torch.arange(before + after, device=device)
    same = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    mask = (order[None, :] <= order[:, None]) & same & (owner[:, None, :] >= 0)
    mask |= order[None, :] == order[:, None]
    if config._attn_implementation == "eager":
        least = torch.finfo(model.dtype).min
        mask = torch.zeros(mask.shape, dtype=model.dtype, device=device).masked_fill(~mask, least)
    logits = model(
        input_ids=torch.tensor(tokens, device=device),
        attention_mask=mask[:, None],
        position_ids=torch.tensor(positions, device=device),
        logits_to_keep=after + 1,
        use_cache=False,
    ).logits
    targets = [token for _, branches in rows for branch in branches for token in branch]
    chosen, _ = _chosen_logprobs().apply(
        logits.flatten(0, 1)[torch.tensor(logit_indices, device=device)],
        torch.tensor(targets, device=device),
        1.0,
    )
    parts = iter(chosen.split([len(branch) for _, branches in rows for branch in branches]))
    return [[next(parts) for _ in branches] for _, branches in rows]


def _mask(spans: Sequence[int], additive: Any, device: Any) -> Any:
    """The attention mask, shape (1, 1, N, N): booleans, or 0 and the least number of the dtype `additive`."""
    torch: Any = import_extra("torch")
    owner = torch.arange(len(spans), device=device).repeat_interleave(torch.tensor(spans, device=device))
    order = torch.arange(sum(spans), device=device)
    mask = (order[None, :] <= order[:, None]) & ((owner[None, :] == 0) | (owner[None, :] == owner[:, None]))
    if additive is not None:
        least = torch.finfo(additive).min
        mask = torch.zeros(mask.shape, dtype=additive, device=device).masked_fill(~mask, least)
    return mask[None, None]


def _require_window(config: Any, longest: int) -> None:
    kinds: Sequence[str] = getattr(config, "layer_types", None) or ("sliding_attention",)
    for name, kind in _WINDOWS.items():
        window: int | None = getattr(config, name, None)
        if kind in kinds and window is not None and window < longest:
            raise InvalidArgumentError(
                f"The model attends to {window} tokens at a time, and a row has {longest}: its prompt cannot "
                f"be shared. Set max_tokens={window}, or for GRPO grpo.shared_prompt=false."
            )


@functools.cache
def _chosen_logprobs() -> Any:
    """The function (N, V) logits, (N,) targets, temperature → (N,) log-probabilities and entropies."""
    torch: Any = import_extra("torch")

    def parts(logits: Any) -> list[slice]:
        step = max(1, LOGITS_AT_ONCE // logits.shape[1])
        return [slice(first, first + step) for first in range(0, logits.shape[0], step)]

    def wide(logits: Any, temperature: float) -> Any:
        # Sums over a vocabulary of 50,000 lose too much in half precision.
        return logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature

    class Chosen(torch.autograd.Function):
        """Keeps only the logits for the backward pass, and computes their softmax in parts."""

        @staticmethod
        def forward(ctx: Any, logits: Any, targets: Any, temperature: float) -> tuple[Any, Any]:
            totals, chosen, entropies = list[Any](), list[Any](), list[Any]()
            for part in parts(logits):
                scaled = wide(logits[part], temperature)
                total = scaled.logsumexp(-1)
                totals.append(total)
                chosen.append(scaled.gather(1, targets[part, None])[:, 0] - total)
                weights = (scaled - total[:, None]).exp_()
                entropies.append(total - (weights * scaled).sum(-1))
            ctx.save_for_backward(logits, targets, torch.cat(totals))
            ctx.temperature = temperature
            entropy = torch.cat(entropies)
            ctx.mark_non_differentiable(entropy)
            return torch.cat(chosen), entropy

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> tuple[Any, None, None]:
            logits, targets, totals = ctx.saved_tensors
            grad = grads[0] / ctx.temperature
            logits_grad = torch.empty_like(logits)
            for part in parts(logits):
                slope = (wide(logits[part], ctx.temperature) - totals[part, None]).exp_()
                slope *= -grad[part, None]
                slope.scatter_add_(1, targets[part, None], grad[part, None])
                logits_grad[part] = slope
            return logits_grad, None, None

    return Chosen
