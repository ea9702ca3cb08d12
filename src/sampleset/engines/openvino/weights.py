"""GGUF files for OpenVINO's runtime: settings, and tensors as 8-bit groups."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sampleset.engines.openvino.runtime import import_gguf
from sampleset.errors import DataError

Floats = NDArray[np.float32]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's numbers of scalar types → formats of `struct`."""
_STRING, _ARRAY = 8, 9

LEAST_SCALE = 6.2e-5
"""About the smallest normal 16-bit float; a smaller scale would lose precision."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """The location of a tensor in its file.

    Attributes:
        shape: Its shape in numpy's order, rows first.
        kind: GGUF's number of its type.
        start: Offset of its data in bytes.
    """

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(slots=True)
class GgufContent:
    """The content of a GGUF file.

    Attributes:
        path: The file.
        settings: Its keys and values; for an array only its length.
        tensors: Its tensors by name.
        header: The bytes of a GGUF file with the same keys and no tensors.
    """

    path: Path
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    header: bytes = b""

    @property
    def architecture(self) -> str:
        """The name of the model's architecture, such as `llama` or `qwen2`."""
        return str(self.settings.get("general.architecture", ""))

    def setting(self, name: str, default: Any = None) -> Any:
        """A setting of the architecture: `rope.freq_base` of a llama is `llama.rope.freq_base`."""
        return self.settings.get(f"{self.architecture}.{name}", default)

    def read(self, name: str) -> Floats:
        """A tensor in 32-bit floats.

        Raises:
            DataError: The file is truncated, or the tensor's type is not supported.
        """
        gguf = import_gguf()
        tensor = self.tensors[name]
        try:
            kind = gguf.GGMLQuantizationType(tensor.kind)
            block, size = gguf.GGML_QUANT_SIZES[kind]
            columns = tensor.shape[-1]
            row = columns // block * size
            rows = int(np.prod(tensor.shape[:-1], dtype=np.int64))
            with self.path.open("rb") as file:
                file.seek(tensor.start)
                packed = np.fromfile(file, np.uint8, rows * row)
            if packed.size < rows * row:
                raise DataError(f"The model file {str(self.path)!r} is cut off in {name!r}. Fetch it again.")
            packed = packed.reshape(rows, row)
            return np.asarray(gguf.quants.dequantize(packed, kind), np.float32).reshape(tensor.shape)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise DataError(
                f"{str(self.path)!r} holds {name!r} in a type that cannot be read ({error})."
            ) from error


def read_gguf(path: Path) -> GgufContent:
    """Settings and tensor locations of a GGUF file.

    Raises:
        DataError: The file is not GGUF, is truncated, or states wrong lengths.
    """
    content = GgufContent(path)
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise DataError(f"{str(path)!r} is not a GGUF file. Convert the model first.")
            version, tensors, keys = struct.unpack("<IQQ", _take(file, 20))
            if version not in (2, 3):
                raise DataError(f"{str(path)!r} is GGUF version {version}; 2 and 3 can be read.")
            start = file.tell()
            for _ in range(keys):
                name = _text(file)
                (kind,) = struct.unpack("<I", _take(file, 4))
                content.settings[name] = _value(file, kind)
            end = file.tell()
            entries: list[tuple[str, tuple[int, ...], int, int]] = []
            for _ in range(tensors):
                name = _text(file)
                (dimensions,) = struct.unpack("<I", _take(file, 4))
                shape = struct.unpack(f"<{dimensions}Q", _take(file, 8 * dimensions))
                kind, offset = struct.unpack("<IQ", _take(file, 12))
                entries.append((name, tuple(reversed(shape)), kind, offset))
            alignment = int(content.settings.get("general.alignment", 32))
            first = -(-file.tell() // alignment) * alignment
            file.seek(start)
            content.header = b"GGUF" + struct.pack("<IQQ", version, 0, keys) + _take(file, end - start)
    except (struct.error, EOFError, UnicodeDecodeError, KeyError, OverflowError, MemoryError) as error:
        raise DataError(
            f"The model file {str(path)!r} is cut off or damaged. Fetch it again. ({error!r})"
        ) from error
    except OSError as error:
        raise DataError(f"The model file {str(path)!r} cannot be read ({error.strerror}).") from error
    content.tensors = {name: Tensor(shape, kind, first + offset) for name, shape, kind, offset in entries}
    return content


def eight_bits(weights: Floats, group: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Weights (N, K) as 8-bit numbers around 128 (N, K / group, group), and the scale of each group."""
    rows, columns = weights.shape
    groups = weights.reshape(rows, columns // group, group)
    scales = np.maximum(np.abs(groups).max(axis=2, keepdims=True) / 127, LEAST_SCALE).astype(np.float16)
    numbers = np.rint(groups / scales.astype(np.float32))
    numbers += 128
    return np.clip(numbers, 0, 255).astype(np.uint8), scales


def _take(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError(f"{size} bytes were expected at {file.tell()}")
    return content


def _text(file: BinaryIO) -> str:
    (size,) = struct.unpack("<Q", _take(file, 8))
    return _take(file, size).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        spelling = "<" + _SCALARS[kind]
        return struct.unpack(spelling, _take(file, struct.calcsize(spelling)))[0]
    inner, length = struct.unpack("<IQ", _take(file, 12))
    if inner == _STRING:
        for _ in range(length):
            (size,) = struct.unpack("<Q", _take(file, 8))
            file.seek(size, 1)
    else:
        file.seek(length * struct.calcsize(_SCALARS[inner]), 1)
    return length
