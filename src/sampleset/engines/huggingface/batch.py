"""Rows of tokens that a model reads and writes together: the padded cache, and the choice of a token.

Shapes: B rows, H key heads, T tokens, D head size, V vocabulary. Rows are padded on the left, so that the
next token of all rows is in the same column.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROOM = 64
"""Columns by which the cache grows, to avoid copying it for every token."""

HEAD = 1024
"""Most likely tokens among which top_p is searched first; all tokens follow if these do not reach it."""

READ_TOKENS = 16_384
"""Most prompt tokens of one pass, padding included; a longer prompt is read by itself."""

LEAST_FULL = 0.75
"""Length of the shortest prompt of a pass, as a share of the longest."""

CACHE_SHARE = 0.6
"""Share of the CUDA memory left after loading that the tokens of a batch may take."""

CPU_CACHE_BYTES = 2 * 2**30
"""Memory that the tokens of a batch may take on a CPU."""

SPAN = 512
"""Tokens of a span of the vocabulary. A draw first picks a span by its sum of weights."""

CHOICE_ROWS = {"cpu": 4}
"""Rows whose tokens are chosen at once, by kind of device; on a CPU as many as fit in its caches."""

CHOICE_ROWS_ELSEWHERE = 512
"""The same on other devices, which need large batches and a synchronisation after each."""


@functools.cache
def _cache_layer() -> Any:
    """The class for a layer's keys and values, in buffers with room for more tokens."""
    dynamic: Any = importlib.import_module("transformers.cache_utils").DynamicLayer

    class RoomyLayer(dynamic):
        """Keys and values of one layer, (B, H, T, D): views of buffers with up to `ROOM` more columns."""

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            """Append keys and values; returns all of them."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states, value_states
                self.room: list[Any] = []
                return self.keys, self.values
            width, more = self.keys.shape[-2], key_states.shape[-2]
            if not self.room or self.room[0].shape[-2] < width + more:
                pair: list[Any] = [self.keys, self.values]
                self.room = [_widened(states, width + max(more, ROOM)) for states in pair]
            for buffer, states in zip(self.room, (key_states, value_states), strict=True):
                buffer[:, :, width : width + more] = states
            self.keys: Any = self.room[0][:, :, : width + more]
            self.values: Any = self.room[1][:, :, : width + more]
            return self.keys, self.values

        def replace(self, keys: Any, values: Any) -> None:
            """Replace keys and values, and drop the buffers."""
            self.keys, self.values, self.room = keys, values, []

    return RoomyLayer


def _widened(states: Any, width: int) -> Any:
    rows, heads, used, size = states.shape
    wider = states.new_empty((rows, heads, width, size))
    wider[:, :, :used] = states
    return wider


@dataclass(slots=True)
class Block:
    """Rows that were read: their cache, and the logits of the next token.

    Attributes:
        cache: Keys and values of T tokens for each of B rows.
        logits: Logits after the last token, (B, V).
        starts: Column of each row's first token; the columns before it are padding.
        width: T.
    """

    cache: Any
    logits: Any
    starts: list[int]
    width: int

    def rows(self, rows: Sequence[int]) -> Block:
        """A block of these rows, which may repeat. Padding that all of them have is removed."""
        first = min(self.starts[row] for row in rows)
        row_index = self.logits.new_tensor(rows, dtype=_torch().long)
        cache = _empty_cache()
        for layer in self.cache.layers:
            _append(cache, *(states[:, :, first:][row_index] for states in (layer.keys, layer.values)))
        starts = [self.starts[row] - first for row in rows]
        return Block(cache, self.logits[row_index], starts, self.width - first)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows, layer by layer, so that no second cache is in memory."""
        first = min(self.starts[row] for row in rows)
        row_index = self.logits.new_tensor(rows, dtype=_torch().long)
        for layer in self.cache.layers:
            layer.replace(layer.keys[:, :, first:][row_index], layer.values[:, :, first:][row_index])
        self.logits = self.logits[row_index]
        self.starts = [self.starts[row] - first for row in rows]
        self.width -= first

    def add(self, other: Block) -> None:
        """Append the rows of another block. The other block cannot be used afterwards."""
        width = max(self.width, other.width)
        pad = _torch().nn.functional.pad
        for layer, other_layer in zip(self.cache.layers, other.cache.layers, strict=True):
            joined = [
                _torch().cat(
                    [
                        pad(upper, (0, 0, width - self.width, 0)),
                        pad(lower, (0, 0, width - other.width, 0)),
                    ]
                )
                for upper, lower in ((layer.keys, other_layer.keys), (layer.values, other_layer.values))
            ]
            layer.replace(*joined)
            other_layer.replace(None, None)
        self.logits = _torch().cat([self.logits, other.logits])
        self.starts = [start + width - self.width for start in self.starts] + [
            start + width - other.width for start in other.starts
        ]
        self.width = width


def cache_tokens(model: Any, device: Any) -> int:
    """Most tokens of a batch by the device's memory, including padding and room for completions."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cell = 2 * config.num_hidden_layers * heads * size * model.dtype.itemsize
    if device.type != "cuda":
        return max(1, CPU_CACHE_BYTES // cell)
    cuda = _torch().cuda
    free, _ = cuda.mem_get_info(device)
    unused = cuda.memory_reserved(device) - cuda.memory_allocated(device)
    return max(1, int(CACHE_SHARE * (free + unused)) // cell)


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end a completion, by the model's generation config and by the tokenizer."""
    config = getattr(model, "generation_config", None)
    model_ends: int | list[int] | None = getattr(config, "eos_token_id", None)
    tokenizer_end: int | None = tokenizer.eos_token_id
    return {
        token
        for token in (tokenizer_end, *(model_ends if isinstance(model_ends, list) else [model_ends]))
        if token is not None
    }


def passes_of(prompts: Sequence[tuple[int, ...]], budget: int) -> list[list[tuple[int, ...]]]:
    """Prompts, sorted by length, cut into passes of similar length."""
    passes: list[list[tuple[int, ...]]] = []
    for prompt in prompts:
        last = passes[-1] if passes else None
        if (
            last is not None
            and len(prompt) * (len(last) + 1) <= min(READ_TOKENS, budget)
            and len(last[0]) >= LEAST_FULL * len(prompt)
        ):
            last.append(prompt)
        else:
            passes.append([prompt])
    return passes


def read(model: Any, prompts: Sequence[Sequence[int]], device: Any) -> Block:
    """Read the prompts in one pass."""
    torch = _torch()
    width = max(map(len, prompts))
    starts = [width - len(prompt) for prompt in prompts]
    tokens = torch.tensor([[0] * start + list(prompt) for start, prompt in zip(starts, prompts, strict=True)])
    cache = _empty_cache()
    logits = _forward(model, tokens.to(device), cache, starts, 0, last_only=True)
    return Block(cache, logits[:, -1], starts, width)


def advance(model: Any, block: Block, tokens: Sequence[int]) -> None:
    """Read one more token of every row."""
    ids = block.logits.new_tensor(tokens, dtype=_torch().long)[:, None]
    block.logits = _forward(model, ids, block.cache, block.starts, block.width, last_only=True)[:, -1]
    block.width += 1


def continuation_logprobs(model: Any, block: Block, texts: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability of each row's text after the row, in nats, summed over its tokens.

    The block cannot be used afterwards.

    Args:
        model: The model.
        block: One row for each text.
        texts: Tokens, at least one each.
    """
    torch = _torch()
    longest = max(map(len, texts))
    ids = block.logits.new_tensor([[*text, *[0] * (longest - len(text))] for text in texts], dtype=torch.long)
    real = block.logits.new_tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    logits = block.logits[:, None]
    if longest > 1:
        # Padding on the right comes after all needed tokens, so it needs no mask.
        more = _forward(model, ids[:, :-1], block.cache, block.starts, block.width, last_only=False)
        logits = torch.cat([logits, more], dim=1)
    logprobs = _wide(logits).log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    return torch.where(real > 0, logprobs, torch.zeros_like(logprobs)).sum(-1).tolist()


def _forward(model: Any, ids: Any, cache: Any, starts: Sequence[int], width: int, *, last_only: bool) -> Any:
    """Logits (B, 1 or T, V) of tokens (B, T) in the columns from `width` on."""
    torch = _torch()
    more = ids.shape[1]
    begin = torch.tensor(starts, device=ids.device)[:, None]
    columns = torch.arange(width + more, device=ids.device)[None]
    mask = (columns >= begin).long() if any(starts) else None
    positions = (columns[:, width:] - begin).clamp_min(0)
    options = {"logits_to_keep": 1} if last_only else {}
    return model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **options,
    ).logits


def choose(logits: Any, rules: Sequence[tuple[float, float, int]], uniforms: Sequence[float]) -> Any:
    """One token for every row, and its log-probability: two lists of B.

    The choice inverts the cumulative distribution at the row's uniform number, so it depends on the row
    alone. Temperature is applied first, then top_k, then top_p, as in the other backends. The log-probability
    is the model's own, before them.

    Args:
        logits: (B, V).
        rules: Temperature, top_p and top_k (0: none) of each row.
        uniforms: Numbers in [0, 1).
    """
    tokens: list[int] = []
    logprobs: list[float] = []
    at_once = CHOICE_ROWS.get(logits.device.type, CHOICE_ROWS_ELSEWHERE)
    for first in range(0, len(rules), at_once):
        part = slice(first, first + at_once)
        chosen, likely = _choose(_wide(logits[part]), rules[part], uniforms[part])
        tokens += chosen
        logprobs += likely
    return tokens, logprobs


def _choose(
    logits: Any, rules: Sequence[tuple[float, float, int]], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    torch = _torch()
    chosen = logits.argmax(-1)
    sampled_rows = [row for row, (temperature, _, _) in enumerate(rules) if temperature > 0]
    cut_rows = {row for row in sampled_rows if rules[row][1] < 1 or rules[row][2] > 0}
    for rows, pick in (
        ([row for row in sampled_rows if row not in cut_rows], _pick),
        (sorted(cut_rows), _pick_cut),
    ):
        if rows:
            values = [(*rules[row], uniforms[row]) for row in rows]
            columns = torch.tensor(values, dtype=torch.float64, device=logits.device).T[:, :, None]
            if len(rows) == len(rules):
                chosen = pick(logits, *columns)
            else:
                row_index = torch.tensor(rows, device=logits.device)
                chosen[row_index] = pick(logits[row_index], *columns)
    logprobs = logits.gather(-1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
    return chosen.tolist(), logprobs.tolist()


def _pick(logits: Any, temperature: Any, _top_p: Any, _top_k: Any, uniform: Any) -> Any:
    """Choose in two steps, a span and a token in it, to avoid cumulative sums over the whole vocabulary."""
    torch = _torch()
    rows, size = logits.shape
    # The maximum is subtracted first, since a temperature close to 0 would overflow.
    weights = ((logits - logits.amax(-1, keepdim=True)) / temperature.to(logits.dtype)).exp()
    spans = torch.nn.functional.pad(weights, (0, -size % SPAN)).view(rows, -1, SPAN)
    cumulative = spans.sum(-1, dtype=torch.float64).cumsum(-1)
    target = uniform * cumulative[:, -1:]
    span = torch.searchsorted(cumulative, target, right=True).clamp_max(cumulative.shape[1] - 1)
    before = torch.nn.functional.pad(cumulative, (1, 0)).gather(-1, span)
    within = spans[torch.arange(rows, device=logits.device), span[:, 0]].double().cumsum(-1)
    # Sums in another order may differ in the last digit, which must not reach a token of weight 0.
    rest = (target - before).clamp_min(0.0).minimum(within[:, -1:] * (1 - 1e-12))
    return (span * SPAN + torch.searchsorted(within, rest, right=True))[:, 0].clamp_max(size - 1)


def _pick_cut(logits: Any, temperature: Any, top_p: Any, top_k: Any, uniform: Any) -> Any:
    torch = _torch()
    scaled = logits.double() / temperature
    size = scaled.shape[-1]
    most = torch.where(top_k > 0, top_k, size)
    total = scaled.logsumexp(-1, keepdim=True)
    largest_top_k = int(torch.where(top_k > 0, top_k, 0).max())
    for width in (min(size, max(HEAD, largest_top_k)), size):
        values, ids = scaled.topk(width)
        weights = (values - total).exp() * (torch.arange(width, device=scaled.device) < most)
        cumulative = weights.cumsum(-1)
        reached = torch.where(top_k > 0, 1.0, cumulative[:, -1:]) >= top_p
        if width == size or bool(reached.all()):
            break
    mass = torch.where(top_k > 0, cumulative[:, -1:], 1.0)
    # A token is kept if the tokens before it do not fill the nucleus yet.
    nucleus = weights * (cumulative - weights < top_p * mass)
    return ids.gather(-1, _invert(nucleus, uniform))[:, 0]


def _invert(weights: Any, uniform: Any) -> Any:
    """Index in each row at which the cumulative weight passes the row's uniform number: (B, 1)."""
    cumulative = weights.cumsum(-1)
    indices = _torch().searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    return indices.clamp_max(weights.shape[-1] - 1)


def _wide(logits: Any) -> Any:
    """The logits in float32 at least."""
    torch = _torch()
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _empty_cache() -> Any:
    cache: Any = importlib.import_module("transformers.cache_utils").Cache
    return cache(layer_class_to_replicate=_cache_layer())


def _append(cache: Any, keys: Any, values: Any) -> None:
    cache.update(keys, values, len(cache.layers))


def _torch() -> Any:
    return importlib.import_module("torch")
