"""Attention over a prompt and branches that share it, in one sequence.

Attention is computed for each span: the prompt attends to itself, each branch to the prompt and to itself. A
mask over the whole square would cost (P + G T)² products; the spans cost about P² / 2 + G T (P + T).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sampleset.engines.huggingface.model import import_extra

NAME = "sampleset_branches"
"""The attention's name in transformers. Without the argument `branch_spans` it equals `sdpa`."""


def use_branch_attention(model: Any) -> bool:
    """Switch a model from `sdpa` to this attention; returns whether the model now uses it.

    Args:
        model: A model of transformers.
    """
    if model.config._attn_implementation == "sdpa":
        _register()
        model.set_attn_implementation(NAME)
    return model.config._attn_implementation == NAME


@functools.cache
def _register() -> None:
    transformers: Any = import_extra("transformers")
    sdpa = import_extra("transformers.integrations.sdpa_attention").sdpa_attention_forward
    mask = import_extra("transformers.masking_utils").sdpa_mask

    def attend(
        module: Any,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,
        branch_spans: Sequence[int] | None = None,
        scaling: float | None = None,
        **options: Any,
    ) -> tuple[Any, None]:
        if branch_spans is None:
            return sdpa(module, query, key, value, attention_mask, scaling=scaling, **options)
        return span_attention(query, key, value, branch_spans, scaling), None

    transformers.AttentionInterface.register(NAME, attend)
    transformers.AttentionMaskInterface.register(NAME, mask)


def span_attention(query: Any, key: Any, value: Any, spans: Sequence[int], scaling: float | None) -> Any:
    """The attention's output, shape (1, N, H, D).

    Args:
        query: Shape (1, H, N, D): N tokens, H heads.
        key: Shape (1, K, N, D): K heads, each for H / K heads of the queries.
        value: Shape (1, K, N, D).
        spans: Lengths of the prompt and of every branch; their sum is N.
        scaling: Factor of the products; by default one over the root of D.
    """
    torch: Any = import_extra("torch")
    attention = torch.nn.functional.scaled_dot_product_attention
    heads, key_heads = query.shape[1], key.shape[1]
    queries, keys, values = (states.split(list(spans), dim=2) for states in (query, key, value))
    outputs = [
        attention(
            queries[0], keys[0], values[0], is_causal=True, scale=scaling, enable_gqa=heads != key_heads
        )
    ]
    for branch, length in enumerate(spans[1:], start=1):
        if not length:
            continue
        # The queries of one key head are stacked, so that keys need not be copied for each query head.
        branch_queries = queries[branch].reshape(1, key_heads, heads // key_heads * length, -1)
        mask = query.new_ones((length, spans[0] + length), dtype=torch.bool).tril(spans[0])
        output = attention(
            branch_queries,
            torch.cat([keys[0], keys[branch]], dim=2),
            torch.cat([values[0], values[branch]], dim=2),
            attn_mask=mask.repeat(heads // key_heads, 1),
            scale=scaling,
        )
        outputs.append(output.reshape(1, heads, length, -1))
    return torch.cat(outputs, dim=2).transpose(1, 2)
