"""Log-probabilities of several continuations of one prompt, the prompt computed once, forward and backward.

Prompt and branches stand in one sequence: a branch sees the prompt and itself, never another branch, and its
positions go on from the prompt's end. Mathematically this is the same as a pass per branch, and so are its
gradients; the prompt, many times longer than a branch here, costs one pass instead of one per branch.

With `sdpa` attention nothing is computed for pairs of tokens that do not see each other (see
`branch_attention`); with `eager` the whole square is. Other kinds of attention take no such mask.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sampleset.engines.huggingface.model import import_extra
from sampleset.errors import InvalidArgumentError
from sampleset.training.branch_attention import use_branch_attention

LOGITS_AT_ONCE = 2**24
"""Logits whose softmax is computed at once."""

_WINDOWS = {"sliding_window": "sliding_attention", "attention_chunk_size": "chunked_attention"}
"""Fields of a model's configuration, and the kind of layers they speak of."""


def branch_logprobs(
    model: Any, prompt: Sequence[int], branches: Sequence[Sequence[int]], temperature: float = 1.0
) -> list[Any]:
    """Log-probability of every token of every branch, given the prompt and the branch before it.

    Args:
        model: A causal language model of transformers; gradients flow where they are enabled.
        prompt: Tokens of the prompt, one at least.
        branches: Tokens of each continuation, one at least.
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

    No gradient flows through the entropy.
    """
    if not prompt or not branches or not all(branches):
        raise InvalidArgumentError("A prompt and its branches need at least one token each.")
    torch: Any = import_extra("torch")
    device = model.device
    _require_window(model.config.get_text_config(), len(prompt) + max(map(len, branches)))
    # The last token of a branch predicts nothing that is asked for.
    read = [branch[:-1] for branch in branches]
    spans = [len(prompt), *map(len, read)]
    kept, start = list[int](), len(prompt)
    for branch in read:
        # The last token of the prompt predicts the first of every branch.
        kept += [len(prompt) - 1, *range(start, start + len(branch))]
        start += len(branch)
    positions = [*range(len(prompt)), *(len(prompt) + place for one in read for place in range(len(one)))]
    bound = use_branch_attention(model)
    logits = model(
        input_ids=torch.tensor([[*prompt, *(token for one in read for token in one)]], device=device),
        attention_mask=_mask(spans, None if bound else model.dtype, device),
        position_ids=torch.tensor([positions], device=device),
        logits_to_keep=torch.tensor(kept, device=device),
        use_cache=False,
        **({"branch_spans": tuple(spans)} if bound else {}),
    ).logits[0]
    targets = torch.tensor([token for branch in branches for token in branch], device=device)
    lengths = [len(branch) for branch in branches]
    chosen, entropies = _chosen_logprobs().apply(logits, targets, temperature)
    return list(zip(chosen.split(lengths), entropies.split(lengths), strict=True))


def separate_scores(
    model: Any, prompt: Sequence[int], branches: Sequence[Sequence[int]], temperature: float = 1.0
) -> list[tuple[Any, Any]]:
    """As `branch_scores`, the prompt computed once per branch: for models whose prompt cannot be shared."""
    if not prompt or not branches or not all(branches):
        raise InvalidArgumentError("A prompt and its branches need at least one token each.")
    torch: Any = import_extra("torch")
    longest = max(map(len, branches))
    padding = [longest - len(branch) for branch in branches]
    # Padding on the right is behind all that is asked for, so no mask is needed for it.
    tokens = [[*prompt, *branch, *[0] * more] for branch, more in zip(branches, padding, strict=True)]
    logits = model(
        input_ids=torch.tensor(tokens, device=model.device)[:, :-1], logits_to_keep=longest, use_cache=False
    ).logits
    kept = torch.cat([rows[: len(branch)] for rows, branch in zip(logits, branches, strict=True)])
    targets = torch.tensor([token for branch in branches for token in branch], device=model.device)
    chosen, entropies = _chosen_logprobs().apply(kept, targets, temperature)
    lengths = [len(branch) for branch in branches]
    return list(zip(chosen.split(lengths), entropies.split(lengths), strict=True))


def rows_logprobs(
    model: Any, rows: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]
) -> list[list[Any]]:
    """As `branch_logprobs` for several rows in one pass, which fills a GPU where single rows do not.

    Prompts are padded on the left and branches on the right, so that all prompts end in one column. The whole
    square of each row is computed, padding and unseen pairs included.

    Args:
        model: A causal language model of transformers; gradients flow where they are enabled.
        rows: Prompt and branches of each, one token at least everywhere.

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
    tokens, owners, positions, kept = list[Any](), list[Any](), list[Any](), list[int]()
    for place, (prompt, branches) in enumerate(rows):
        _require_window(config, len(prompt) + max(map(len, branches)))
        read = [branch[:-1] for branch in branches]
        left, right = before - len(prompt), after - sum(map(len, read))
        tokens.append([0] * left + [*prompt, *(token for one in read for token in one)] + [0] * right)
        # Padding belongs to nobody, and each of its tokens sees only itself.
        owner = [number for number, one in enumerate(read, start=1) for _ in one]
        owners.append([-1] * left + [0] * len(prompt) + owner + [-1] * right)
        own = [len(prompt) + number for one in read for number in range(len(one))]
        positions.append([0] * left + [*range(len(prompt)), *own] + [0] * right)
        start = place * (after + 1)
        first = start + 1
        for one in read:
            kept += [start, *range(first, first + len(one))]
            first += len(one)
    owner = torch.tensor(owners, device=device)
    order = torch.arange(before + after, device=device)
    same = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    seen = (order[None, :] <= order[:, None]) & same & (owner[:, None, :] >= 0)
    seen |= order[None, :] == order[:, None]
    if config._attn_implementation == "eager":
        least = torch.finfo(model.dtype).min
        seen = torch.zeros(seen.shape, dtype=model.dtype, device=device).masked_fill(~seen, least)
    logits = model(
        input_ids=torch.tensor(tokens, device=device),
        attention_mask=seen[:, None],
        position_ids=torch.tensor(positions, device=device),
        logits_to_keep=after + 1,
        use_cache=False,
    ).logits
    targets = [token for _, branches in rows for branch in branches for token in branch]
    chosen, _ = _chosen_logprobs().apply(
        logits.flatten(0, 1)[torch.tensor(kept, device=device)], torch.tensor(targets, device=device), 1.0
    )
    parts = iter(chosen.split([len(branch) for _, branches in rows for branch in branches]))
    return [[next(parts) for _ in branches] for _, branches in rows]


def _mask(spans: Sequence[int], additive: Any, device: Any) -> Any:
    """What sees what, (1, 1, N, N): `True`, or 0 instead of the least number of the dtype `additive`."""
    torch: Any = import_extra("torch")
    owner = torch.arange(len(spans), device=device).repeat_interleave(torch.tensor(spans, device=device))
    order = torch.arange(sum(spans), device=device)
    seen = (order[None, :] <= order[:, None]) & ((owner[None, :] == 0) | (owner[None, :] == owner[:, None]))
    if additive is not None:
        least = torch.finfo(additive).min
        seen = torch.zeros(seen.shape, dtype=additive, device=device).masked_fill(~seen, least)
    return seen[None, None]


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
        """It keeps the logits alone for the way back, and softens them part by part."""

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
            found = torch.empty_like(logits)
            for part in parts(logits):
                slope = (wide(logits[part], ctx.temperature) - totals[part, None]).exp_()
                slope *= -grad[part, None]
                slope.scatter_add_(1, targets[part, None], grad[part, None])
                found[part] = slope
            return found, None, None

    return Chosen
