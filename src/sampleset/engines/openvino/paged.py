"""A compiled model with a paged cache: one call reads any tokens of any number of texts.

The cache consists of blocks of tokens. A text is a list of blocks, so texts with the same beginning share
blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampleset.engines.openvino.lora import SWITCH, LowRank, insert
from sampleset.engines.openvino.runtime import (
    import_openvino,
    import_opset,
    import_transformations,
    last_line,
)
from sampleset.errors import BackendError

LOOKED_AT = "looked_at"
"""Input with the indices, among all tokens of a call, after which logits or states are computed."""

LayersOf = Callable[[int], tuple[int, ...]]
"""Numbers of layers, from 1 and rising, by how many a model has."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text that a call reads.

    Attributes:
        tokens: The tokens to read.
        past: Number of tokens of the text that are in the cache already.
        blocks: Blocks of the text, including those for `tokens`.
        scale: Factor of the adapter's part.
        looks: Indices in `tokens` after which logits or states are needed, rising.
    """

    tokens: Sequence[int]
    past: int
    blocks: Sequence[int]
    scale: float
    looks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Logits:
    """The logits after the requested tokens, valid until the next call.

    Attributes:
        values: Logits, (R, V).
        normaliser: Log of the sum of their exponentials, (R,).
    """

    values: NDArray[np.float32]
    normaliser: NDArray[np.float32]

    def along(self, tokens: Sequence[int]) -> float:
        """Sum of the log-probabilities of tokens, one per row of logits."""
        chosen = self.values[np.arange(len(tokens)), np.array(tokens, np.int64)]
        return float((chosen.astype(np.float64) - self.normaliser[: len(tokens)]).sum())


class PagedModel:
    """A converted model, compiled for this machine.

    Activations are rounded to 8 bits, as in llama.cpp, where the model's weights are in groups of 8 bits. The
    cache and the products of attention are in bfloat16, where the processor multiplies such numbers. All else
    is in 32-bit floats: OpenVINO's default, bfloat16 throughout, would round logits of 20 to eighths.

    Args:
        folder: Folder with `openvino_model.xml`.
        cache_bytes: Size of the cache.
        threads: CPU threads.
        adapter: The parts of an adapter, by product.
        group: Number of values of an activation per scale; 0 keeps them, and attention, in 32-bit floats;
            `None` leaves it to OpenVINO.
        states_of: The layers whose states `states` gives; without it, `run` gives logits.

    Raises:
        BackendError: OpenVINO cannot compile the model.
    """

    def __init__(
        self,
        folder: Path,
        cache_bytes: int,
        threads: int,
        adapter: Mapping[str, LowRank] | None = None,
        group: int | None = None,
        states_of: LayersOf | None = None,
    ) -> None:
        openvino = import_openvino()
        options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f16",
            "ENABLE_CPU_PINNING": False,
        }
        if group is not None:
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = group
        try:
            core = openvino.Core()
            model = core.read_model(folder / "openvino_model.xml")
            import_transformations().paged_attention_transformation(model)
            looked_at = import_opset().parameter([-1], np.int64, name=LOOKED_AT)
            looked_at.output(0).set_names({LOOKED_AT})
            narrow = _narrow_last_layer(model, looked_at)
            if adapter:
                insert(model, adapter, narrow, looked_at)
            self.layers = _look_at_some(model, looked_at, bool(narrow), states_of)
            """Numbers of the layers whose states are computed."""
            # OpenVINO's default is bfloat16 where the processor multiplies such numbers.
            if group != 0 and core.get_property("CPU", "INFERENCE_PRECISION_HINT") == openvino.Type.bf16:
                _attend_in_bfloat16(model)
                options["KV_CACHE_PRECISION"] = "bf16"
            model.validate_nodes_and_infer_types()
            compiled = core.compile_model(model, "CPU", options)
            self._request = compiled.create_infer_request()
        except (RuntimeError, KeyError) as error:
            raise BackendError(f"OpenVINO cannot load {folder.name!r}: {last_line(error)}") from error
        self._has_adapter = bool(adapter)
        self._caches: list[NDArray[Any]] = []
        shapes: list[tuple[str, Any, list[int]]] = []
        for port in compiled.inputs:
            name = port.any_name
            if name.startswith(("key_cache.", "value_cache.")):
                sizes = [port.partial_shape[axis].get_length() for axis in (1, 2, 3)]
                shapes.append((name, port.element_type, sizes))
        self.block = shapes[0][2][1]
        """Tokens of a block."""
        per_block = sum(kind.size * int(np.prod(sizes)) for _, kind, sizes in shapes)
        self.blocks = max(1, cache_bytes // per_block)
        """Blocks of the cache."""
        for name, kind, sizes in shapes:
            # The system provides a page of memory when it is first written.
            tensor = openvino.Tensor(kind, openvino.Shape([self.blocks, *sizes]))
            self._request.set_tensor(name, tensor)
            self._caches.append(tensor.data)
        self._tensor: Any = openvino.Tensor
        self.tokens_read = 0
        """Tokens of all calls so far."""

    def run(self, pieces: Sequence[Piece]) -> Logits:
        """Read the pieces; returns the logits of their `looks`, piece after piece."""
        self._read(pieces)
        values = self._request.get_tensor("logits").data
        normaliser = self._request.get_tensor("normaliser").data
        return Logits(values.reshape(values.shape[0], -1), normaliser.reshape(-1))

    def states(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        """Read the pieces; returns the states after their `looks`, (R, layers · width), piece after piece.

        The last layer's state is normed, as the logits are computed from it.
        """
        self._read(pieces)
        values = self._request.get_tensor("states").data
        return values.reshape(values.shape[0], -1).copy()

    def _read(self, pieces: Sequence[Piece]) -> None:
        tokens: list[int] = []
        positions: list[int] = []
        looks: list[int] = []
        begins, block_begins = [0], [0]
        blocks: list[int] = []
        scales: list[float] = []
        for piece in pieces:
            looks.extend(len(tokens) + look for look in piece.looks)
            tokens.extend(piece.tokens)
            positions.extend(range(piece.past, piece.past + len(piece.tokens)))
            scales.extend([piece.scale] * len(piece.tokens))
            blocks.extend(piece.blocks)
            begins.append(len(tokens))
            block_begins.append(len(blocks))
        self._set("input_ids", tokens, np.int64)
        self._set("position_ids", positions, np.int64)
        self._set("past_lens", [piece.past for piece in pieces], np.int32)
        self._set("subsequence_begins", begins, np.int32)
        self._set("block_indices", blocks, np.int32)
        self._set("block_indices_begins", block_begins, np.int32)
        self._set("max_context_len", max(piece.past + len(piece.tokens) for piece in pieces), np.int32)
        self._set(LOOKED_AT, looks or [0], np.int64)
        if self._has_adapter:
            self._request.set_tensor(SWITCH, self._tensor(np.array(scales, np.float32).reshape(-1, 1, 1)))
        self._request.infer()
        self.tokens_read += len(tokens)

    def copy(self, source: int, target: int) -> None:
        """Copy a block."""
        for cache in self._caches:
            cache[target] = cache[source]

    def _set(self, name: str, values: Any, kind: Any) -> None:
        self._request.set_tensor(name, self._tensor(np.array(values, kind)))


def _narrow_last_layer(model: Any, looked_at: Any) -> list[str]:
    """Compute what follows the last layer's attention for the tokens of `looked_at` only.

    Returns:
        The names of the products in question; empty for a model of another tool, which has other names.
    """
    ops = import_opset()
    products = {
        operation.get_friendly_name(): operation
        for operation in model.get_ordered_ops()
        if operation.get_type_name() == "MatMul"
    }
    layer = sum(name.endswith(".attn_output") for name in products) - 1
    names = [f"blk.{layer}.{product}" for product in ("attn_output", "ffn_gate", "ffn_up", "ffn_down")]
    if not all(name in products for name in names):
        return []
    (reader,) = products[names[0]].output(0).get_target_inputs()
    # It adds the product to the state before the layer.
    for place in (products[names[0]].input(0), reader.get_node().input(1 - reader.get_index())):
        values = place.get_source_output()
        place.replace_source_output(ops.gather(values, looked_at, ops.constant(np.int64(0))).output(0))
    return names


def _attend_in_bfloat16(model: Any) -> None:
    """Compute queries times keys and weights times values in bfloat16; sums stay in 32 bits."""
    openvino, ops = import_openvino(), import_opset()
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != "PagedAttentionExtension":
            continue
        for index in range(3):
            place = operation.input(index)
            place.replace_source_output(ops.convert(place.get_source_output(), openvino.Type.bf16).output(0))
        readers = list(operation.output(0).get_target_inputs())
        attended = ops.convert(operation.output(0), np.float32)
        for reader in readers:
            reader.replace_source_output(attended.output(0))


def _look_at_some(model: Any, looked_at: Any, is_narrow: bool, states_of: LayersOf | None) -> tuple[int, ...]:
    """Compute the results for the tokens of `looked_at` only; returns the layers whose states are results.

    The results are the logits and their normaliser, or states in place of them. `is_narrow` says whether the
    last layer ends with these tokens only.
    """
    ops = import_opset()
    (result,) = model.get_results()
    logits = result.input_value(0)
    head = logits.get_node()
    while head.get_type_name() != "MatMul":
        head = head.input_value(0).get_node()
    hidden = head.input_value(0)
    axis = 0 if hidden.get_partial_shape()[0].is_dynamic else 1

    def looked(values: Any) -> Any:
        return ops.gather(values, looked_at, ops.constant(np.int64(axis)))

    model.add_parameters([looked_at])
    if states_of is not None:
        layers, states = _states(model, states_of, hidden)
        joined = ops.concat(
            [state if is_narrow and state is hidden else looked(state) for state in states], -1
        )
        joined.output(0).set_names({"states"})
        model.remove_result(result)
        model.add_results([ops.result(joined)])
        return layers
    if not is_narrow:
        head.input(0).replace_source_output(looked(hidden).output(0))
    highest = ops.reduce_max(logits, ops.constant(np.int64(-1)), True)
    weights = ops.exp(ops.subtract(logits, highest))
    total = ops.add(ops.log(ops.reduce_sum(weights, ops.constant(np.int64(-1)), True)), highest)
    total.output(0).set_names({"normaliser"})
    logits.set_names({"logits"})
    model.add_results([ops.result(total)])
    return ()


def _states(model: Any, states_of: LayersOf, last: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Numbers of layers, and the states after them; `last` is that of the last one."""
    ends = {
        operation.get_friendly_name(): operation.output(0)
        for operation in model.get_ordered_ops()
        if operation.get_friendly_name().endswith(".ffn_down")
    }
    layers = states_of(len(ends))
    states: list[Any] = []
    for layer in layers:
        if layer == len(ends):
            states.append(last)
            continue
        # The only reader of a layer's last product adds it to the state.
        (reader,) = ends[f"blk.{layer - 1}.ffn_down"].get_target_inputs()
        states.append(reader.get_node().output(0))
    return layers, states
