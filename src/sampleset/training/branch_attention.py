"""Attention over a prompt and branches that share it, in one sequence.

Computed span by span: the prompt attends to itself, each branch to the prompt and to itself. A mask over the
whole square would cost (P + G T)² products where these cost about P² / 2 + G T (P + T).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sampleset.engines.huggingface.model import import_extra

NAME = "sampleset_branches"
"""Under which transformers knows it. Without the argument `branch_spans` it is `sdpa`."""


def use_branch_attention(model: Any) -> bool:
    """Whether the model computes attention so; one that uses `sdpa` is made to.

    Args:
        model: Of transformers.
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
    """What each token reads: (1, N, H, D) of queries (1, H, N, D) and keys and values (1, K, N, D).

    Args:
        query: Of N tokens and H heads.
        key: Of K heads, each for H / K of the queries'.
        value: As the keys.
        spans: Lengths of the prompt and of every branch; their sum is N.
        scaling: Of the products; by default one over the root of D.
    """
    torch: Any = import_extra("torch")
    attention = torch.nn.functional.scaled_dot_product_attention
    heads, kept = query.shape[1], key.shape[1]
    queries, keys, values = (one.split(list(spans), dim=2) for one in (query, key, value))
    read = [
        attention(queries[0], keys[0], values[0], is_causal=True, scale=scaling, enable_gqa=heads != kept)
    ]
    for branch, length in enumerate(spans[1:], start=1):
        if not length:
            continue
        # The queries of a key's heads stand below each other, so that no key is copied for each of them.
        asked = queries[branch].reshape(1, kept, heads // kept * length, -1)
        mask = query.new_ones((length, spans[0] + length), dtype=torch.bool).tril(spans[0])
        found = attention(
            asked,
            torch.cat([keys[0], keys[branch]], dim=2),
            torch.cat([values[0], values[branch]], dim=2),
            attn_mask=mask.repeat(heads // kept, 1),
            scale=scaling,
        )
        read.append(found.reshape(1, heads, length, -1))
    return torch.cat(read, dim=2).transpose(1, 2)
