"""A LoRA adapter beside a model's weights: two small products for each product of the model.

The adapter is scaled for each token, so one graph with one copy of the weights serves the plain and the
adapted model in the same batch.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sampleset.engines.openvino.graph import halves, is_interleaved
from sampleset.engines.openvino.runtime import import_opset
from sampleset.engines.openvino.weights import Floats, GgufContent, read_gguf
from sampleset.errors import DataError

SWITCH = "adapter_scale"
"""Input with one number per token: the factor of the adapter's part."""

_GGUF_NAME = re.compile(r"(blk\.\d+\.\w+)\.weight\.lora_([ab])")
_PEFT_NAME = re.compile(r".*\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight")
_PEFT_PRODUCTS = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}

_SHARING = (("attn_q", "attn_k", "attn_v"), ("ffn_gate", "ffn_up"))
"""Products of a layer with the same input. Their first small products are computed as one."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """An adapter's part of one product: `second @ first`, shapes (N, r) and (r, K). `second` is scaled."""

    first: Floats
    second: Floats


def read_adapter(path: Path, base: GgufContent) -> dict[str, LowRank]:
    """The parts of an adapter by product.

    Args:
        path: A GGUF file, or a folder of PEFT.
        base: The base model.

    Raises:
        DataError: The adapter is truncated, or belongs to another model.
    """
    parts = _peft(path) if path.is_dir() else _gguf(path, base)
    for name, part in parts.items():
        tensor = base.tensors.get(f"{name}.weight")
        shape = (part.second.shape[0], part.first.shape[1])
        if tensor is None or tensor.shape != shape:
            raise DataError(
                f"The adapter {str(path)!r} does not belong to {base.path.name!r}: {name} is {shape} in it, "
                f"{tensor and tensor.shape} in the model."
            )
    if not parts:
        raise DataError(f"The adapter {str(path)!r} holds no part for any product of the model.")
    return parts


def adapter_files(path: Path) -> list[Path]:
    """The files of an adapter: a GGUF file, or those in a folder of PEFT."""
    return [path / "adapter_config.json", path / "adapter_model.safetensors"] if path.is_dir() else [path]


def insert(
    model: Any, parts: Mapping[str, LowRank], narrow: Collection[str] = (), looked_at: Any = None
) -> None:
    """Insert an adapter's parts into a model whose hidden states have the tokens as first dimension.

    Args:
        model: The model.
        parts: The parts by product.
        narrow: Products that are computed for the tokens of `looked_at` only.
        looked_at: The input with their indices.
    """
    ops = import_opset()
    switch = ops.parameter([-1, 1, 1], np.float32, name=SWITCH)
    switch.output(0).set_names({SWITCH})
    products = {
        operation.get_friendly_name(): operation
        for operation in model.get_ordered_ops()
        if operation.get_type_name() == "MatMul"
    }
    for names in _together(parts):
        hidden = products[names[0]].input_value(0)
        first = np.concatenate([parts[name].first for name in names])
        scale = ops.gather(switch, looked_at, ops.constant(np.int64(0))) if names[0] in narrow else switch
        inner = ops.multiply(ops.matmul(hidden, ops.constant(first), False, True), scale)
        start = 0
        for name in names:
            second = np.zeros((parts[name].second.shape[0], len(first)), np.float32)
            rank = parts[name].second.shape[1]
            second[:, start : start + rank] = parts[name].second
            start += rank
            readers = list(products[name].output(0).get_target_inputs())
            total = ops.add(products[name], ops.matmul(inner, ops.constant(second), False, True))
            for reader in readers:
                reader.replace_source_output(total.output(0))
    model.add_parameters([switch])


def _together(parts: Mapping[str, LowRank]) -> list[list[str]]:
    """Names of the products, grouped by input."""
    groups: dict[tuple[str, int], list[str]] = {}
    for name in parts:
        layer, product = name.rsplit(".", 1)
        group = next((group for group, names in enumerate(_SHARING) if product in names), None)
        key = (layer, group) if group is not None else (name, -1)
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _gguf(path: Path, base: GgufContent) -> dict[str, LowRank]:
    content = read_gguf(path)
    if content.settings.get("adapter.type") != "lora":
        raise DataError(f"{str(path)!r} is no LoRA adapter.")
    alpha = float(content.settings.get("adapter.lora.alpha", 0.0))
    halves_of: dict[str, dict[str, Floats]] = {}
    for name in content.tensors:
        match = _GGUF_NAME.fullmatch(name)
        if match is None:
            raise DataError(
                f"The adapter {str(path)!r} changes {name!r}, which OpenVINO cannot. Use llamacpp."
            )
        halves_of.setdefault(match[1], {})[match[2]] = content.read(name)
    turned = is_interleaved(base.architecture)
    heads = {
        "attn_q": int(base.setting("attention.head_count", 1)),
        "attn_k": int(base.setting("attention.head_count_kv", 1)),
    }
    parts: dict[str, LowRank] = {}
    for name, halves_of_product in halves_of.items():
        if set(halves_of_product) != {"a", "b"}:
            raise DataError(f"The adapter {str(path)!r} holds half of {name!r} only.")
        rows = halves_of_product["b"]
        count = heads.get(name.rsplit(".", 1)[1])
        if turned and count is not None:
            rows = halves(rows, count)
        rank = halves_of_product["a"].shape[0]
        parts[name] = LowRank(halves_of_product["a"], rows * np.float32(alpha / rank if alpha else 1.0))
    return parts


def _peft(folder: Path) -> dict[str, LowRank]:
    load_file: Any = importlib.import_module("safetensors.numpy").load_file
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The adapter {str(folder)!r} cannot be read ({error!r}).") from error
    if config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise DataError(f"The adapter {str(folder)!r} is no plain LoRA. Use transformers:FOLDER.")
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    halves_of: dict[str, dict[str, Floats]] = {}
    for name, tensor in tensors.items():
        match = _PEFT_NAME.fullmatch(name)
        if match is None or match[2] not in _PEFT_PRODUCTS:
            raise DataError(f"The adapter {str(folder)!r} changes {name!r}. Use transformers:FOLDER.")
        product = f"blk.{match[1]}.{_PEFT_PRODUCTS[match[2]]}"
        halves_of.setdefault(product, {})[match[3]] = np.asarray(tensor, np.float32)
    return {
        name: LowRank(halves_of_product["A"], halves_of_product["B"] * np.float32(scale))
        for name, halves_of_product in halves_of.items()
        if set(halves_of_product) == {"A", "B"}
    }
