"""Rows of tokens that a model reads and writes together: the padded cache, and the choice of a token.

Shapes: B rows, H key heads, T tokens, D head size, V vocabulary. Rows are padded on the left, so that all
write their next token in the same column.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROOM = 64
"""Columns by which the cache grows, so that it is not copied at every token."""

HEAD = 1024
"""Most likely tokens looked at first by top_p; all of them only where these do not reach it."""

READ_TOKENS = 16_384
"""Prompt tokens, padding included, read in one pass; a longer prompt is read by itself."""

LEAST_FULL = 0.75
"""Length of the shortest prompt of a pass, as a share of the longest."""

CACHE_SHARE = 0.6
"""Share of the CUDA memory left after loading that the tokens of a batch may take."""

CPU_CACHE_BYTES = 2 * 2**30
"""Memory that the tokens of a batch may take on a CPU."""

SPAN = 512
"""Tokens of the vocabulary whose weights are summed before a draw looks into one such span."""

CHOICE_ROWS = {"cpu": 4}
"""Rows whose probabilities are worked on at once, by kind of device; on a CPU what its caches hold."""

CHOICE_ROWS_ELSEWHERE = 512
"""The same on a device that has to be filled, and waited for after each part."""


@functools.cache
def _cache_layer() -> Any:
    """The class of a layer's keys and values, in buffers with room for more tokens."""
    dynamic: Any = importlib.import_module("transformers.cache_utils").DynamicLayer

    class RoomyLayer(dynamic):
        """Keys and values of one layer, (B, H, T, D): views on buffers with up to `ROOM` more columns."""

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            """Keys and values with the new ones behind them."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states, value_states
                self.room: list[Any] = []
                return self.keys, self.values
            width, more = self.keys.shape[-2], key_states.shape[-2]
            if not self.room or self.room[0].shape[-2] < width + more:
                held: list[Any] = [self.keys, self.values]
                self.room = [_widened(one, width + max(more, ROOM)) for one in held]
            for buffer, states in zip(self.room, (key_states, value_states), strict=True):
                buffer[:, :, width : width + more] = states
            self.keys: Any = self.room[0][:, :, : width + more]
            self.values: Any = self.room[1][:, :, : width + more]
            return self.keys, self.values

        def replace(self, keys: Any, values: Any) -> None:
            """Take other keys and values; the buffers are given up."""
            self.keys, self.values, self.room = keys, values, []

    return RoomyLayer


def _widened(states: Any, width: int) -> Any:
    rows, heads, used, size = states.shape
    wider = states.new_empty((rows, heads, width, size))
    wider[:, :, :used] = states
    return wider


@dataclass(slots=True)
class Block:
    """Rows that were read: their cache, and the model's guess of what comes next.

    Attributes:
        cache: Keys and values of T tokens for each of B rows.
        logits: (B, V), after the last token.
        starts: Column of each row's first token; what is before it is padding.
        width: T.
    """

    cache: Any
    logits: Any
    starts: list[int]
    width: int

    def rows(self, places: Sequence[int]) -> Block:
        """The rows of these places, some perhaps several times; padding that all have is cut off."""
        first = min(self.starts[place] for place in places)
        index = self.logits.new_tensor(places, dtype=_torch().long)
        cache = _empty_cache()
        for layer in self.cache.layers:
            _append(cache, *(states[:, :, first:][index] for states in (layer.keys, layer.values)))
        starts = [self.starts[place] - first for place in places]
        return Block(cache, self.logits[index], starts, self.width - first)

    def keep(self, places: Sequence[int]) -> None:
        """Drop all other rows, layer by layer, so that no second cache is held beside this one."""
        first = min(self.starts[place] for place in places)
        index = self.logits.new_tensor(places, dtype=_torch().long)
        for layer in self.cache.layers:
            layer.replace(layer.keys[:, :, first:][index], layer.values[:, :, first:][index])
        self.logits = self.logits[index]
        self.starts = [self.starts[place] - first for place in places]
        self.width -= first

    def add(self, other: Block) -> None:
        """Put the rows of another block under these. The other block is used up."""
        width = max(self.width, other.width)
        pad = _torch().nn.functional.pad
        for own, new in zip(self.cache.layers, other.cache.layers, strict=True):
            joined = [
                _torch().cat(
                    [
                        pad(upper, (0, 0, width - self.width, 0)),
                        pad(lower, (0, 0, width - other.width, 0)),
                    ]
                )
                for upper, lower in ((own.keys, new.keys), (own.values, new.values))
            ]
            own.replace(*joined)
            new.replace(None, None)
        self.logits = _torch().cat([self.logits, other.logits])
        self.starts = [start + width - self.width for start in self.starts] + [
            start + width - other.width for start in other.starts
        ]
        self.width = width


def cache_tokens(model: Any, device: Any) -> int:
    """Tokens of a batch that the device's memory allows, padding and room for completions included."""
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
    """Tokens that end a completion: the model's own, and the tokenizer's."""
    config = getattr(model, "generation_config", None)
    named: int | list[int] | None = getattr(config, "eos_token_id", None)
    own: int | None = tokenizer.eos_token_id
    return {one for one in (own, *(named if isinstance(named, list) else [named])) if one is not None}


def passes_of(prompts: Sequence[tuple[int, ...]], budget: int) -> list[list[tuple[int, ...]]]:
    """Prompts, shortest first, cut into passes of like length."""
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
    """The prompts, read in one pass."""
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
    """Log-probability of each row's text after the row, summed over its tokens. Uses the block up.

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
        # Padding on the right is behind all that is asked for, so no mask is needed for it.
        more = _forward(model, ids[:, :-1], block.cache, block.starts, block.width, last_only=False)
        logits = torch.cat([logits, more], dim=1)
    logprobs = _wide(logits).log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    return torch.where(real > 0, logprobs, torch.zeros_like(logprobs)).sum(-1).tolist()


def _forward(model: Any, ids: Any, cache: Any, starts: Sequence[int], width: int, *, last_only: bool) -> Any:
    """Logits (B, 1 or T, V) of tokens (B, T) that come in the columns from `width` on."""
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

    The choice inverts the cumulative distribution at the row's own uniform number, so it depends on
    nothing but the row. The distribution is that of temperature, then top_k, then top_p, as in the other
    backends; the log-probability is the model's own, before them.

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
    drawn = [place for place, (temperature, _, _) in enumerate(rules) if temperature > 0]
    cut = {place for place in drawn if rules[place][1] < 1 or rules[place][2] > 0}
    for places, pick in (([place for place in drawn if place not in cut], _pick), (sorted(cut), _pick_cut)):
        if places:
            values = [(*rules[place], uniforms[place]) for place in places]
            columns = torch.tensor(values, dtype=torch.float64, device=logits.device).T[:, :, None]
            if len(places) == len(rules):
                chosen = pick(logits, *columns)
            else:
                index = torch.tensor(places, device=logits.device)
                chosen[index] = pick(logits[index], *columns)
    logprobs = logits.gather(-1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
    return chosen.tolist(), logprobs.tolist()


def _pick(logits: Any, temperature: Any, _top_p: Any, _top_k: Any, uniform: Any) -> Any:
    """Inverts in two steps, a span and a place in it, so that no sums over a whole vocabulary are written."""
    torch = _torch()
    rows, size = logits.shape
    # A temperature close to 0 would overflow: the highest goes to 0 first.
    weights = ((logits - logits.amax(-1, keepdim=True)) / temperature.to(logits.dtype)).exp()
    spans = torch.nn.functional.pad(weights, (0, -size % SPAN)).view(rows, -1, SPAN)
    cumulative = spans.sum(-1, dtype=torch.float64).cumsum(-1)
    target = uniform * cumulative[:, -1:]
    span = torch.searchsorted(cumulative, target, right=True).clamp_max(cumulative.shape[1] - 1)
    before = torch.nn.functional.pad(cumulative, (1, 0)).gather(-1, span)
    within = spans[torch.arange(rows, device=logits.device), span[:, 0]].double().cumsum(-1)
    # Sums of another order may differ in their last digit; a token of weight 0 must not be reached by that.
    rest = (target - before).clamp_min(0.0).minimum(within[:, -1:] * (1 - 1e-12))
    return (span * SPAN + torch.searchsorted(within, rest, right=True))[:, 0].clamp_max(size - 1)


def _pick_cut(logits: Any, temperature: Any, top_p: Any, top_k: Any, uniform: Any) -> Any:
    torch = _torch()
    scaled = logits.double() / temperature
    size = scaled.shape[-1]
    most = torch.where(top_k > 0, top_k, size)
    total = scaled.logsumexp(-1, keepdim=True)
    kept_most = int(torch.where(top_k > 0, top_k, 0).max())
    for width in (min(size, max(HEAD, kept_most)), size):
        values, ids = scaled.topk(width)
        weights = (values - total).exp() * (torch.arange(width, device=scaled.device) < most)
        cumulative = weights.cumsum(-1)
        reached = torch.where(top_k > 0, 1.0, cumulative[:, -1:]) >= top_p
        if width == size or bool(reached.all()):
            break
    whole = torch.where(top_k > 0, cumulative[:, -1:], 1.0)
    # A token stays if those before it do not make up the nucleus yet.
    kept = weights * (cumulative - weights < top_p * whole)
    return ids.gather(-1, _invert(kept, uniform))[:, 0]


def _invert(weights: Any, uniform: Any) -> Any:
    """Place in each row at which the cumulative weight passes the row's share: (B, 1)."""
    cumulative = weights.cumsum(-1)
    places = _torch().searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    return places.clamp_max(weights.shape[-1] - 1)


def _wide(logits: Any) -> Any:
    """In float32 at least."""
    torch = _torch()
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _empty_cache() -> Any:
    cache: Any = importlib.import_module("transformers.cache_utils").Cache
    return cache(layer_class_to_replicate=_cache_layer())


def _append(cache: Any, keys: Any, values: Any) -> None:
    cache.update(keys, values, len(cache.layers))


def _torch() -> Any:
    return importlib.import_module("torch")
