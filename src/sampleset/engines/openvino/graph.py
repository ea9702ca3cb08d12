"""A model for OpenVINO's runtime, built from a GGUF file: decoders like Llama, Qwen2 and Qwen3.

The products of a layer have the file's names, such as `blk.0.attn_q`. `lora` finds them by these names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sampleset.engines.openvino.runtime import import_openvino, import_opset
from sampleset.engines.openvino.weights import Floats, GgufContent, eight_bits
from sampleset.errors import UnsupportedByBackendError

if TYPE_CHECKING:
    from sampleset.engines.openvino.lora import LowRank

ARCHITECTURES = ("llama", "qwen2", "qwen3")

GROUPS = (128, 64, 32)
"""Numbers of weights that may share a scale. Larger groups multiply faster."""

_LAYER_TENSORS = {
    "attn_norm.weight",
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_q.bias",
    "attn_k.bias",
    "attn_v.bias",
    "attn_q_norm.weight",
    "attn_k_norm.weight",
    "attn_output.weight",
    "ffn_norm.weight",
    "ffn_gate.weight",
    "ffn_up.weight",
    "ffn_down.weight",
}
_OTHER_TENSORS = {"token_embd.weight", "output_norm.weight", "output.weight", "rope_freqs.weight"}


def require_known(content: GgufContent) -> None:
    """Refuse a model that `build` would convert wrongly.

    Raises:
        UnsupportedByBackendError: Its architecture, tensors, positions or tokenizer are not supported.
    """
    name = content.path.name
    if content.architecture not in ARCHITECTURES:
        raise UnsupportedByBackendError(
            f"OpenVINO does not know the architecture {content.architecture!r} of {name!r}; it knows "
            f"{', '.join(ARCHITECTURES)}. Use llamacpp:FILE."
        )
    scaling = content.setting("rope.scaling.type", "none")
    if scaling != "none":
        raise UnsupportedByBackendError(
            f"OpenVINO does not know positions scaled by {scaling!r}, as in {name!r}. Use llamacpp:FILE."
        )
    foreign = sorted(
        tensor
        for tensor in content.tensors
        if tensor not in _OTHER_TENSORS
        and not (tensor.startswith("blk.") and tensor.split(".", 2)[2] in _LAYER_TENSORS)
    )
    if foreign:
        raise UnsupportedByBackendError(
            f"OpenVINO does not know the tensor {foreign[0]!r} of {name!r}. Use llamacpp:FILE."
        )
    tokenizer = content.settings.get("tokenizer.ggml.model")
    if tokenizer != "gpt2":
        raise UnsupportedByBackendError(
            f"OpenVINO reads tokenizers of the kind 'gpt2', not {tokenizer!r} as in {name!r}. "
            "Use llamacpp:FILE."
        )


def group_of(content: GgufContent) -> int:
    """Number of weights per scale: the largest of `GROUPS` that divides every product's width."""
    widths = {
        tensor.shape[-1]
        for name, tensor in content.tensors.items()
        if len(tensor.shape) == 2 and name != "rope_freqs.weight"
    }
    for group in GROUPS:
        if all(width % group == 0 for width in widths):
            return group
    raise UnsupportedByBackendError(
        f"OpenVINO cannot group the weights of {content.path.name!r} by {GROUPS[-1]}. Use llamacpp:FILE."
    )


def is_interleaved(architecture: str) -> bool:
    """Whether GGUF files of this architecture interleave the rows of a head's two halves."""
    return architecture == "llama"


def halves(rows: Floats, heads: int) -> Floats:
    """Rows of queries or keys, (heads · size, ...), with each head's first half before its second."""
    size = rows.shape[0] // heads
    turned = rows.reshape(heads, size // 2, 2, *rows.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(turned.reshape(rows.shape))


def build(
    content: GgufContent,
    on_layer: Callable[[int, int], None] | None = None,
    adapter: Mapping[str, LowRank] | None = None,
) -> Any:
    """The model with its cache as state, in the form of OpenVINO's converters.

    Args:
        content: The file.
        on_layer: Called with (layers built, all layers).
        adapter: The parts of an adapter, by product, to add to the weights.

    Raises:
        UnsupportedByBackendError: The kind of model is not supported.
        DataError: The file is truncated.
    """
    require_known(content)
    return _Build(content, adapter or {}).model(on_layer)


class _Build:
    def __init__(self, content: GgufContent, adapter: Mapping[str, LowRank]) -> None:
        self._ops = import_opset()
        self._content = content
        self._adapter = adapter
        self._group = group_of(content)
        self._heads = int(content.setting("attention.head_count"))
        self._key_heads = int(content.setting("attention.head_count_kv", self._heads))
        self._width = int(content.setting("embedding_length"))
        self._size = int(content.setting("attention.key_length", self._width // self._heads))
        self._epsilon = float(content.setting("attention.layer_norm_rms_epsilon"))
        self._sinks: list[Any] = []

    def model(self, on_layer: Callable[[int, int], None] | None) -> Any:
        ops, content = self._ops, self._content
        self._ids = self._input("input_ids", 2, np.int64)
        self._mask = self._input("attention_mask", 2, np.int64)
        self._positions = self._input("position_ids", 2, np.int64)
        self._order = self._input("beam_idx", 1, np.int32)
        self._batch = ops.gather(ops.shape_of(self._ids), self._numbers([0]), self._number(0))
        # Zero where a token is visible. Paged attention adds the causal mask.
        visible = ops.convert(ops.unsqueeze(self._mask, self._numbers([1, 2])), np.float32)
        self._bias = ops.multiply(
            ops.subtract(ops.constant(np.float32(1)), visible), ops.constant(np.float32(-65504))
        )
        self._rotation = self._angles()
        embedding = self._weights(content.read("token_embd.weight"))
        hidden = ops.gather(embedding, ops.convert(self._ids, np.int32), self._number(0))
        count = int(content.setting("block_count"))
        for layer in range(count):
            hidden = self._layer(hidden, f"blk.{layer}.")
            if on_layer is not None:
                on_layer(layer + 1, count)
        hidden = self._normed(hidden, "output_norm.weight")
        has_head = "output.weight" in content.tensors
        head = self._weights(content.read("output.weight")) if has_head else embedding
        logits = ops.matmul(hidden, head, False, True)
        logits.set_friendly_name("output")
        logits.output(0).set_names({"logits"})
        inputs = [self._ids, self._mask, self._positions, self._order]
        return import_openvino().Model([ops.result(logits)], self._sinks, inputs, content.path.stem)

    def _layer(self, hidden: Any, prefix: str) -> Any:
        ops = self._ops
        normed = self._normed(hidden, f"{prefix}attn_norm.weight")
        queries = self._heads_of(normed, f"{prefix}attn_q", self._heads)
        keys = self._heads_of(normed, f"{prefix}attn_k", self._key_heads)
        values = self._heads_of(normed, f"{prefix}attn_v", self._key_heads)
        queries, keys = self._rotated(queries), self._rotated(keys)
        attended = ops.scaled_dot_product_attention(
            queries,
            self._repeated(self._remembered(keys, f"{prefix}key")),
            self._repeated(self._remembered(values, f"{prefix}value")),
            self._bias,
        )
        joined = ops.reshape(
            ops.transpose(attended, self._numbers([0, 2, 1, 3])),
            self._numbers([0, 0, self._heads * self._size]),
            True,
        )
        hidden = ops.add(hidden, self._product(joined, f"{prefix}attn_output"))
        normed = self._normed(hidden, f"{prefix}ffn_norm.weight")
        gate = ops.swish(self._product(normed, f"{prefix}ffn_gate"))
        inner = ops.multiply(gate, self._product(normed, f"{prefix}ffn_up"))
        return ops.add(hidden, self._product(inner, f"{prefix}ffn_down"))

    def _product(self, hidden: Any, name: str) -> Any:
        weights = self._content.read(f"{name}.weight")
        heads = {"attn_q": self._heads, "attn_k": self._key_heads}.get(name.rsplit(".", 1)[1])
        turns = heads is not None and is_interleaved(self._content.architecture)
        weights = halves(weights, heads) if turns and heads else weights
        if name in self._adapter:
            part = self._adapter[name]
            weights = (weights + part.second @ part.first).astype(np.float32)
        product = self._ops.matmul(hidden, self._weights(weights), False, True)
        product.set_friendly_name(name)
        if f"{name}.bias" not in self._content.tensors:
            return product
        bias = self._content.read(f"{name}.bias")
        bias = halves(bias, heads) if turns and heads else bias
        return self._ops.add(product, self._ops.constant(bias.reshape(1, 1, -1)))

    def _heads_of(self, hidden: Any, name: str, heads: int) -> Any:
        """A product cut into heads, (B, heads, T, size)."""
        ops = self._ops
        product = ops.reshape(self._product(hidden, name), self._numbers([0, 0, heads, self._size]), True)
        if f"{name}_norm.weight" in self._content.tensors:
            product = self._normed(product, f"{name}_norm.weight")
        return ops.transpose(product, self._numbers([0, 2, 1, 3]))

    def _normed(self, hidden: Any, name: str) -> Any:
        ops = self._ops
        squares = ops.power(hidden, ops.constant(np.float32(2)))
        mean = ops.reduce_mean(squares, self._numbers([-1]), True)
        root = ops.sqrt(ops.add(mean, ops.constant(np.float32(self._epsilon))))
        scaled = ops.multiply(hidden, ops.divide(ops.constant(np.float32(1)), root))
        return ops.multiply(scaled, ops.constant(self._content.read(name)))

    def _angles(self) -> tuple[Any, Any]:
        """Cosines and sines of the positions, (B, 1, T, size)."""
        ops, content = self._ops, self._content
        base = float(content.setting("rope.freq_base", 10_000.0))
        turns = 1.0 / base ** (np.arange(0, self._size, 2, dtype=np.float64) / self._size)
        if "rope_freqs.weight" in content.tensors:
            turns = turns / content.read("rope_freqs.weight")
        rates = ops.constant(turns.astype(np.float32).reshape(1, -1, 1))
        rates = ops.broadcast(
            rates,
            ops.concat([self._batch, self._numbers([1]), self._numbers([1])], 0),
            broadcast_spec="BIDIRECTIONAL",
        )
        positions = ops.convert(ops.unsqueeze(self._positions, self._number(1)), np.float32)
        half = ops.transpose(ops.matmul(rates, positions, False, False), self._numbers([0, 2, 1]))
        angles = ops.concat([half, half], -1)
        return ops.unsqueeze(ops.cos(angles), self._number(1)), ops.unsqueeze(
            ops.sin(angles), self._number(1)
        )

    def _rotated(self, states: Any) -> Any:
        ops, half = self._ops, self._size // 2
        cosines, sines = self._rotation
        step, last = self._numbers([1]), self._numbers([3])
        second = ops.slice(states, self._numbers([half]), self._numbers([2**63 - 1]), step, last)
        first = ops.slice(states, self._numbers([0]), self._numbers([half]), step, last)
        minus = ops.constant(np.full((1, 1, 1, 1), -1, np.float32))
        turned = ops.concat([ops.multiply(second, minus), first], -1)
        return ops.add(ops.multiply(states, cosines), ops.multiply(turned, sines))

    def _remembered(self, states: Any, name: str) -> Any:
        """The states of all earlier tokens followed by these states."""
        openvino, ops = import_openvino(), self._ops
        info = openvino.op.util.VariableInfo()
        info.data_shape = openvino.PartialShape([-1, self._key_heads, -1, self._size])
        info.data_type = openvino.Type.f32
        info.variable_id = name
        variable = openvino.op.util.Variable(info)
        shape = ops.concat([self._batch, self._numbers([self._key_heads, 0, self._size])], 0)
        empty = ops.broadcast(ops.constant(np.float32(0)), shape)
        past = ops.gather(ops.read_value(empty, variable), self._order, self._number(0))
        everything = ops.concat([past, states], 2)
        self._sinks.append(ops.assign(everything, variable))
        return everything

    def _repeated(self, states: Any) -> Any:
        """Keys or values, repeated for every head of the queries."""
        ops, times = self._ops, self._heads // self._key_heads
        if times == 1:
            return states
        shape = ops.concat([self._batch, self._numbers([self._key_heads, times, 1, self._size])], 0)
        wide = ops.broadcast(ops.unsqueeze(states, self._number(2)), shape, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(wide, self._numbers([0, self._heads, -1, self._size]), True)

    def _weights(self, weights: Floats) -> Any:
        """Weights (N, K) in 8 bits, which the runtime unpacks while it multiplies."""
        ops = self._ops
        numbers, scales = eight_bits(weights, self._group)
        middle = ops.constant(np.full(scales.shape, 128, np.uint8))
        centred = ops.subtract(
            ops.convert(ops.constant(numbers), np.float16), ops.convert(middle, np.float16)
        )
        scaled = ops.multiply(centred, ops.constant(scales))
        return ops.convert(ops.reshape(scaled, self._numbers(list(weights.shape)), False), np.float32)

    def _input(self, name: str, dimensions: int, kind: Any) -> Any:
        parameter = self._ops.parameter([-1] * dimensions, kind, name=name)
        parameter.output(0).set_names({name})
        return parameter

    def _numbers(self, values: list[int]) -> Any:
        return self._ops.constant(np.array(values, np.int64))

    def _number(self, value: int) -> Any:
        return self._ops.constant(np.int64(value))
