"""Checkpoints as GGUF files for llama.cpp: a LoRA adapter, or a whole model made of a base file.

A whole model copies tokenizer, hyperparameters and all untrained tensors from the base file. Files of the
architecture `llama` store the rows of the query and key projections in the order of llama.cpp's rotary
embedding: it pairs neighbouring rows, Hugging Face pairs the halves of a head. Trained weights are put in
that order, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sampleset.engines.huggingface.model import ADAPTER_CONFIG, ADAPTER_WEIGHTS, gguf_reader, import_extra
from sampleset.errors import DataError

ARCHITECTURES = ("llama", "qwen2", "qwen3")
REORDERED = {"llama": {"attn_q": "head_count", "attn_k": "head_count_kv"}}
"""By architecture: the projections whose rows are reordered, with the key of their number of heads."""

MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Linear modules of a layer in these architectures: llama.cpp's name → that of Hugging Face."""

KINDS = {"f32": "F32", "f16": "F16", "q8_0": "Q8_0"}
"""Names of dtypes: the user's → the package `gguf`'s."""

_WRITTEN_AFRESH = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.alignment")
_CONSTANT = "rope_freqs.weight"


@dataclass(frozen=True, slots=True)
class Adapter:
    """The numbers of a LoRA adapter.

    Attributes:
        alpha: Scale: an update is `alpha / r * b @ a`.
        updates: For each module, `a` of shape (r, in) and `b` of shape (out, r).
    """

    alpha: float
    updates: Mapping[str, tuple[Any, Any]]


class BaseFile:
    """A GGUF model file.

    Raises:
        DataError: The file is damaged or split, or its architecture is not supported.
    """

    def __init__(self, path: Path) -> None:
        self._gguf: Any = import_extra("gguf")
        self.path = path
        try:
            self._reader = gguf_reader(str(path))
            self.architecture = str(self._field("general.architecture"))
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise DataError(
                f"{str(path)!r} cannot be read; is it a complete GGUF model? ({error})"
            ) from error
        if self.architecture not in ARCHITECTURES:
            raise DataError(
                f"{path.name!r} is of the architecture {self.architecture!r}; exported are "
                f"{', '.join(ARCHITECTURES)}. Export it as merged, and convert that with llama.cpp's tool."
            )
        if self._field("split.count", 1) > 1:
            raise DataError(f"{path.name!r} is one part of several. Join them with llama-gguf-split --merge.")
        layers = self._field(f"{self.architecture}.block_count")
        kinds = {name: kind for kind, name in self._gguf.MODEL_ARCH_NAMES.items()}
        self._names = self._gguf.get_tensor_name_map(kinds[self.architecture], layers)
        self.tensors: dict[str, Any] = {tensor.name: tensor for tensor in self._reader.tensors}

    def name_of(self, weight: str) -> str:
        """The file's name for a weight such as `model.layers.0.self_attn.q_proj.weight`.

        Raises:
            DataError: The file has no such tensor.
        """
        name = self._names.get_name(weight, try_suffixes=(".weight", ".bias"))
        if name not in self.tensors:
            raise DataError(
                f"The checkpoint changes {weight!r}, which {self.path.name!r} has no tensor for. It is "
                "another model, or llama.cpp cannot change that; export it as merged."
            )
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, rows first."""
        return tuple(int(size) for size in reversed(self.tensors[name].shape))

    def heads(self, name: str) -> int | None:
        """Number of heads whose rows are reordered; `None` if the tensor is not reordered."""
        part = name.split(".")[-2]
        key = REORDERED.get(self.architecture, {}).get(part)
        if key is None:
            return None
        usual = self._field(f"{self.architecture}.attention.head_count")
        return int(self._field(f"{self.architecture}.attention.{key}", usual))

    def arranged(self, name: str, values: Any) -> Any:
        """A trained weight with its rows in the file's order."""
        heads = self.heads(name)
        if heads is None:
            return values
        return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)

    def restored(self, name: str, values: Any) -> Any:
        """A weight in the file's order with its rows in the order of Hugging Face: undoes `arranged`."""
        heads = self.heads(name)
        if heads is None:
            return values
        return values.reshape(heads, -1, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)

    def values(self, name: str) -> Any:
        """A tensor in float32."""
        tensor = self.tensors[name]
        try:
            return self._gguf.dequantize(tensor.data, tensor.tensor_type).reshape(self.shape(name))
        except NotImplementedError as error:
            raise DataError(
                f"{self.path.name!r} holds {name} as {tensor.tensor_type.name}, which cannot be unpacked. "
                "Give --base a file of another quantisation."
            ) from error

    def metadata(self) -> Iterator[tuple[str, Any, Any, Any]]:
        """(key, value, type, type of the items or `None`) of each entry that a copy keeps."""
        for key, field in self._reader.fields.items():
            if key not in _WRITTEN_AFRESH and key != "general.architecture":
                yield key, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None

    def _field(self, key: str, default: Any = None) -> Any:
        field = self._reader.get_field(key)
        if field is not None:
            return field.contents()
        if default is None:
            raise DataError(f"{str(self.path)!r} lacks {key!r}; is it a complete GGUF model?")
        return default


def read_adapter(checkpoint: Path) -> Adapter:
    """The adapter of a checkpoint.

    Raises:
        DataError: It contains more than low-rank updates of linear layers, or NaN or infinity.
    """
    config = cast("dict[str, Any]", json.loads((checkpoint / ADAPTER_CONFIG).read_bytes()))
    if config.get("alpha_pattern"):
        raise DataError(
            f"{str(checkpoint)!r} has different alphas for some modules, which a GGUF adapter cannot hold. "
            "Export it as merged."
        )
    pairs: dict[str, dict[str, Any]] = {}
    for key, make in _weights(checkpoint, ADAPTER_WEIGHTS):
        module, _, part = key.removeprefix("base_model.model.").rpartition(".lora_")
        if part not in ("A.weight", "B.weight"):
            raise DataError(
                f"{str(checkpoint)!r} holds {key!r}; only plain LoRA on linear layers can be exported to "
                "GGUF. Export it as merged."
            )
        pairs.setdefault(module, {})[part[0]] = make()
    if config.get("use_rslora"):  # alpha / sqrt(r), where llama.cpp divides by r
        for pair in pairs.values():
            pair["B"] = pair["B"] * math.sqrt(pair["A"].shape[0])
    return Adapter(
        float(config["lora_alpha"]), {name: (pair["A"], pair["B"]) for name, pair in pairs.items()}
    )


def read_gguf_adapter(path: Path, base: BaseFile) -> Adapter:
    """The numbers of a GGUF LoRA adapter of a base file, in the order of Hugging Face.

    Raises:
        DataError: The file is damaged, or changes other tensors than the linear ones of layers.
    """
    gguf: Any = import_extra("gguf")
    numpy: Any = import_extra("numpy")
    sides: dict[str, dict[str, Any]] = {}
    try:
        reader = gguf_reader(str(path))
        alpha = float(reader.fields["adapter.lora.alpha"].contents())
        for tensor in reader.tensors:
            name, _, side = str(tensor.name).rpartition(".lora_")  # as blk.15.attn_q.weight.lora_a
            block, layer, part, weight = name.split(".")
            if (block, weight) != ("blk", "weight") or side not in ("a", "b"):
                raise ValueError(f"it holds {tensor.name!r}")
            values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
            values = values.reshape([int(size) for size in reversed(tensor.shape)])
            if side == "b":
                values = base.restored(name, values)
            sides.setdefault(f"model.layers.{int(layer)}.{MODULES[part]}", {})[side] = values
        updates = {module: (pair["a"], pair["b"]) for module, pair in sides.items()}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{str(path)!r} is no LoRA adapter of linear layers ({error}). Is it complete?"
        ) from error
    return Adapter(alpha, updates)


def write_adapter(path: Path, adapter: Adapter, base: BaseFile, dtype: str) -> None:
    """Write a GGUF LoRA adapter for a base file.

    Raises:
        DataError: The adapter does not fit the base file.
    """
    gguf: Any = import_extra("gguf")
    tensors: list[_Tensor] = []
    for module, (a, b) in adapter.updates.items():
        name = base.name_of(f"{module}.weight")
        _require_shape(base, name, (b.shape[0], a.shape[1]))
        # The rows of an update are the rows of b.
        for part, values in (("lora_a", a), ("lora_b", base.arranged(name, b))):
            tensors.append(_tensor(f"{name}.{part}", values.shape, dtype, lambda values=values: values))
    text = gguf.GGUFValueType.STRING
    metadata = [
        ("general.type", "adapter", text, None),
        ("general.name", path.parent.name.strip("."), text, None),
        ("adapter.type", "lora", text, None),
        ("adapter.lora.alpha", adapter.alpha, gguf.GGUFValueType.FLOAT32, None),
    ]
    _write(path, base.architecture, metadata, tensors)


def write_adapted_model(path: Path, adapter: Adapter, base: BaseFile, dtype: str) -> None:
    """Write the base file with the adapter added to its tensors.

    Raises:
        DataError: The adapter does not fit the base file.
    """
    updates: dict[str, tuple[Any, Any]] = {}
    for module, (a, b) in adapter.updates.items():
        name = base.name_of(f"{module}.weight")
        _require_shape(base, name, (b.shape[0], a.shape[1]))
        updates[name] = (a, b)

    def adapted(name: str) -> Any:
        a, b = updates[name]
        return base.values(name) + base.arranged(name, (adapter.alpha / a.shape[0]) * (b @ a))

    makers = {name: lambda name=name: adapted(name) for name in updates}
    _write(path, base.architecture, base.metadata(), _model_tensors(base, makers, dtype))


def write_whole_model(path: Path, checkpoint: Path, base: BaseFile, dtype: str) -> None:
    """Write a checkpoint without adapter under the base file's names, with its tokenizer and settings.

    Raises:
        DataError: The checkpoint does not fit the base file, or lacks a tensor.
    """
    weights = {base.name_of(key): make for key, make in _weights(checkpoint, "*.safetensors")}
    if "output.weight" in base.tensors and "token_embd.weight" in weights:
        weights.setdefault("output.weight", weights["token_embd.weight"])  # tied
    if lacking := sorted(base.tensors.keys() - weights.keys() - {_CONSTANT}):
        raise DataError(
            f"The checkpoint {str(checkpoint)!r} lacks {lacking[0]} ({len(lacking)} missing) of "
            f"{base.path.name!r}. Give --base a GGUF file of the model it was trained from."
        )

    def arranged(name: str) -> Any:
        values = weights[name]()
        _require_shape(base, name, values.shape)
        return base.arranged(name, values)

    makers = {name: lambda name=name: arranged(name) for name in weights}
    _write(path, base.architecture, base.metadata(), _model_tensors(base, makers, dtype))


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor to write. It is made when it is written, so that only one is in memory."""

    name: str
    shape: tuple[int, ...]
    kind: Any
    make: Callable[[], Any]


def _tensor(name: str, shape: Sequence[int], dtype: str, make: Callable[[], Any]) -> _Tensor:
    """A tensor of float32 values, stored as `dtype` if its shape allows."""
    gguf: Any = import_extra("gguf")
    kind = gguf.GGMLQuantizationType[KINDS[dtype]]
    if len(shape) == 1:  # llama.cpp needs norms and biases in float32
        kind = gguf.GGMLQuantizationType.F32
    elif shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = gguf.GGMLQuantizationType.F16

    def stored() -> Any:
        numpy: Any = import_extra("numpy")
        values = gguf.quantize(numpy.ascontiguousarray(make(), dtype="float32"), kind)
        if values.dtype.kind == "f" and not numpy.isfinite(values).all():
            raise DataError(f"{name} holds values that are no numbers in {dtype}. Try f32, or train again.")
        return values

    return _Tensor(name, tuple(shape), kind, stored)


def _model_tensors(base: BaseFile, made: Mapping[str, Callable[[], Any]], dtype: str) -> list[_Tensor]:
    """The tensors of the base file in its order, with the trained ones replaced."""
    return [
        _tensor(name, base.shape(name), dtype, made[name])
        if name in made
        else _Tensor(name, base.shape(name), tensor.tensor_type, lambda tensor=tensor: tensor.data)
        for name, tensor in base.tensors.items()
    ]


def _write(path: Path, architecture: str, metadata: Any, tensors: Sequence[_Tensor]) -> None:
    gguf: Any = import_extra("gguf")
    writer = gguf.GGUFWriter(str(path), architecture)
    for key, value, kind, items in metadata:
        writer.add_key_value(key, value, kind, sub_type=items)
    for tensor in tensors:
        block, size = gguf.GGML_QUANT_SIZES[tensor.kind]
        length = math.prod(tensor.shape) // block * size
        writer.add_tensor_info(tensor.name, tensor.shape, None, length, raw_dtype=tensor.kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(tensor.make())
    finally:
        writer.close()


def _weights(folder: Path, pattern: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name of each weight, and a function that reads it in float32."""
    safetensors: Any = import_extra("safetensors")
    import_extra("torch")  # numpy has no bfloat16
    for path in sorted(folder.glob(pattern)):
        try:
            with safetensors.safe_open(str(path), framework="pt") as file:
                keys = list(file.keys())
        except (OSError, safetensors.SafetensorError) as error:
            raise DataError(f"{str(path)!r} cannot be read ({error}). Is the checkpoint complete?") from error

        for key in keys:

            def read(path: Path = path, key: str = key) -> Any:
                with safetensors.safe_open(str(path), framework="pt") as file:
                    return file.get_tensor(key).float().numpy()

            yield key, read


def _require_shape(base: BaseFile, name: str, shape: tuple[int, ...]) -> None:
    if base.shape(name) != tuple(shape):
        raise DataError(
            f"The checkpoint's {name} has the shape {tuple(shape)}, that of {base.path.name!r} "
            f"{base.shape(name)}: it is another model. Give --base a GGUF file of the one it was trained on."
        )
