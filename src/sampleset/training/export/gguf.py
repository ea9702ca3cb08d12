"""Checkpoints as GGUF files for llama.cpp: a LoRA adapter, or a whole model made of a base file.

Tokenizer and hyperparameters are never guessed: a whole model copies them from the base file, with every
tensor that was not trained. Files of the architecture `llama` hold the rows of the query and key projections
in the order of llama.cpp's rotary embedding (pairs of neighbours, where Hugging Face pairs the halves of a
head); what was trained is put in that order too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sampleset.engines.huggingface.model import ADAPTER_CONFIG, ADAPTER_WEIGHTS, import_extra
from sampleset.errors import DataError

ARCHITECTURES = ("llama", "qwen2", "qwen3")
REORDERED = {"llama": {"attn_q": "head_count", "attn_k": "head_count_kv"}}
"""Per architecture: the projections whose rows are reordered, with the key of their number of heads."""

KINDS = {"f32": "F32", "f16": "F16", "q8_0": "Q8_0"}
"""Names of dtypes as users and as the package `gguf` write them."""

_WRITTEN_AFRESH = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.alignment")
_CONSTANT = "rope_freqs.weight"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter as numbers.

    Attributes:
        alpha: An update is `alpha / r * b @ a`.
        updates: Of each module, `a` of shape (r, in) and `b` of shape (out, r).
    """

    alpha: float
    updates: Mapping[str, tuple[Any, Any]]


class BaseFile:
    """A GGUF model, read.

    Raises:
        DataError: It is damaged, split, or of an architecture that is not supported.
    """

    def __init__(self, path: Path) -> None:
        self._gguf: Any = import_extra("gguf")
        self.path = path
        try:
            self._reader = self._gguf.GGUFReader(str(path))
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
        self.tensors: dict[str, Any] = {one.name: one for one in self._reader.tensors}

    def name_of(self, weight: str) -> str:
        """The file's name for a weight, as `model.layers.0.self_attn.q_proj.weight`.

        Raises:
            DataError: It has no such tensor.
        """
        name = self._names.get_name(weight, try_suffixes=(".weight", ".bias"))
        if name not in self.tensors:
            raise DataError(
                f"The checkpoint changes {weight!r}, which {self.path.name!r} has no tensor for. It is "
                "another model, or llama.cpp cannot change that; export it as merged."
            )
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor, rows first."""
        return tuple(int(size) for size in reversed(self.tensors[name].shape))

    def heads(self, name: str) -> int | None:
        """Heads whose rows are reordered, `None` if the tensor's are not."""
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
        """Key, value, type and type of the items, of all that a copy takes over."""
        for key, one in self._reader.fields.items():
            if key not in _WRITTEN_AFRESH and key != "general.architecture":
                yield key, one.contents(), one.types[0], one.types[-1] if len(one.types) > 1 else None

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
        DataError: It is more than low-rank updates of linear layers, or not a number.
    """
    config = cast("dict[str, Any]", json.loads((checkpoint / ADAPTER_CONFIG).read_bytes()))
    if config.get("alpha_pattern"):
        raise DataError(
            f"{str(checkpoint)!r} has an alpha of its own for some modules, which a GGUF adapter cannot "
            "say. Export it as merged."
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
    return Adapter(float(config["lora_alpha"]), {name: (one["A"], one["B"]) for name, one in pairs.items()})


def write_adapter(path: Path, adapter: Adapter, base: BaseFile, dtype: str) -> None:
    """Write a GGUF LoRA adapter for a base file.

    Raises:
        DataError: It does not fit.
    """
    gguf: Any = import_extra("gguf")
    tensors: list[_Tensor] = []
    for module, (a, b) in adapter.updates.items():
        name = base.name_of(f"{module}.weight")
        _require_shape(base, name, (b.shape[0], a.shape[1]))
        # The rows of an update are those of b.
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
        DataError: It does not fit.
    """
    updates: dict[str, tuple[Any, Any]] = {}
    for module, (a, b) in adapter.updates.items():
        name = base.name_of(f"{module}.weight")
        _require_shape(base, name, (b.shape[0], a.shape[1]))
        updates[name] = (a, b)

    def adapted(name: str) -> Any:
        a, b = updates[name]
        return base.values(name) + base.arranged(name, (adapter.alpha / a.shape[0]) * (b @ a))

    made = {name: lambda name=name: adapted(name) for name in updates}
    _write(path, base.architecture, base.metadata(), _model_tensors(base, made, dtype))


def write_whole_model(path: Path, checkpoint: Path, base: BaseFile, dtype: str) -> None:
    """Write a checkpoint without adapter under the base file's names, with its tokenizer and settings.

    Raises:
        DataError: It does not fit, or lacks a tensor.
    """
    found = {base.name_of(key): make for key, make in _weights(checkpoint, "*.safetensors")}
    if "output.weight" in base.tensors and "token_embd.weight" in found:
        found.setdefault("output.weight", found["token_embd.weight"])  # tied
    if lacking := sorted(base.tensors.keys() - found.keys() - {_CONSTANT}):
        raise DataError(
            f"The checkpoint {str(checkpoint)!r} lacks {lacking[0]} ({len(lacking)} missing) of "
            f"{base.path.name!r}. Give --base a GGUF file of the model it was trained from."
        )

    def placed(name: str) -> Any:
        values = found[name]()
        _require_shape(base, name, values.shape)
        return base.arranged(name, values)

    made = {name: lambda name=name: placed(name) for name in found}
    _write(path, base.architecture, base.metadata(), _model_tensors(base, made, dtype))


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor to be written; made when its turn comes, so that one is in memory at a time."""

    name: str
    shape: tuple[int, ...]
    kind: Any
    make: Callable[[], Any]


def _tensor(name: str, shape: Sequence[int], dtype: str, make: Callable[[], Any]) -> _Tensor:
    """A tensor of float32 values, stored as `dtype` where that is possible."""
    gguf: Any = import_extra("gguf")
    kind = gguf.GGMLQuantizationType[KINDS[dtype]]
    if len(shape) == 1:  # llama.cpp wants norms and biases in full
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
    """Those of the base file in its order, the trained ones made anew."""
    return [
        _tensor(name, base.shape(name), dtype, made[name])
        if name in made
        else _Tensor(name, base.shape(name), one.tensor_type, lambda one=one: one.data)
        for name, one in base.tensors.items()
    ]


def _write(path: Path, architecture: str, metadata: Any, tensors: Sequence[_Tensor]) -> None:
    gguf: Any = import_extra("gguf")
    writer = gguf.GGUFWriter(str(path), architecture)
    for key, value, kind, items in metadata:
        writer.add_key_value(key, value, kind, sub_type=items)
    for one in tensors:
        block, size = gguf.GGML_QUANT_SIZES[one.kind]
        length = math.prod(one.shape) // block * size
        writer.add_tensor_info(one.name, one.shape, None, length, raw_dtype=one.kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for one in tensors:
            writer.write_tensor_data(one.make())
    finally:
        writer.close()


def _weights(folder: Path, pattern: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name of each weight, and what reads it in float32."""
    safetensors: Any = import_extra("safetensors")
    import_extra("torch")  # numpy knows no bfloat16
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
