"""Converted models on disk, by the digest of their source file.

They are in `openvino/` of the package's cache folder (`$SAMPLESET_CACHE`, else `sampleset` in
`$XDG_CACHE_HOME` or `~/.cache`). To clear the cache, remove that folder; models are converted again when they
are needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sampleset.engines.gguf import weights_digest
from sampleset.engines.openvino.graph import build, group_of, require_known
from sampleset.engines.openvino.lora import adapter_files, read_adapter
from sampleset.engines.openvino.runtime import import_genai, import_gguf, import_openvino, last_line
from sampleset.engines.openvino.weights import GgufContent
from sampleset.errors import BackendError

FORM = 1
"""Version of the converted form. Models of another version are converted again."""

MOST_BYTES = 20 * 2**30
"""Most bytes of the cache; beyond it, the least recently used models are removed."""

RECORD = "converted.json"
"""The last file written of a converted model, with the digests of its source and its files."""

MODEL_FILES = ("openvino_model.xml", "openvino_model.bin")
TOKENIZER_FILES = ("openvino_tokenizer.xml", "openvino_tokenizer.bin", "openvino_detokenizer.xml")


def cache_folder() -> Path:
    """The folder of converted models."""
    chosen = os.environ.get("SAMPLESET_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "openvino"
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # By its specification, a relative path is ignored.
    folder = Path(shared) if os.path.isabs(shared) else Path.home() / ".cache"
    return folder / "sampleset" / "openvino"


def converted(
    content: GgufContent, on_note: Callable[[str], None] | None = None, adapter: Path | None = None
) -> Path:
    """Folder with the converted model of a GGUF file. The model is converted if it is missing or incomplete.

    Args:
        content: The file.
        on_note: Called with a line before a model is converted.
        adapter: A LoRA adapter to add to the weights, as for `read_adapter`.

    Raises:
        UnsupportedByBackendError: This package cannot run this kind of model on OpenVINO.
        DataError: The file is truncated, or the adapter belongs to another model.
        MissingExtraError: A package is not installed.
        BackendError: There is no room for the converted model, or the folder cannot be written.
    """
    require_known(content)
    source = weights_digest([content.path])
    name = content.path.name
    if adapter is not None:
        source = hashlib.sha256(f"{source} {weights_digest(adapter_files(adapter))}".encode()).hexdigest()
        name = f"{name} with its adapter"
    folder = cache_folder() / f"{content.path.stem[:60]}-{source[:16]}-{FORM}"
    if is_complete(folder, source):
        os.utime(folder / RECORD)
        return folder
    for load in (import_openvino, import_genai, import_gguf):
        load()
    if on_note is not None:
        on_note(f"{name} is converted for OpenVINO, once, into {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _require_room(content, folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
            new_folder = Path(new)
            _convert(content, new_folder, source, adapter)
            shutil.rmtree(folder, ignore_errors=True)
            new_folder.chmod(0o755)
            # Another process may have converted the same model meanwhile.
            if not folder.exists():
                new_folder.rename(folder)
                new_folder.mkdir()
        _shrink(folder)
    except OSError as error:
        raise BackendError(
            f"The converted model cannot be written to {str(folder.parent)!r} ({error.strerror or error}). "
            "Name another folder as SAMPLESET_CACHE, or use llamacpp:FILE."
        ) from error
    except RuntimeError as error:
        if isinstance(error, BackendError):
            raise
        raise BackendError(
            f"OpenVINO cannot convert {content.path.name!r}: {last_line(error)}. Use llamacpp:FILE."
        ) from error
    return folder


def is_complete(folder: Path, source: str) -> bool:
    """Whether a folder holds a complete model, converted from the file with this digest."""
    try:
        record: Any = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files: dict[str, str] = record["files"]
        return (
            record["source"] == source
            and set(files) >= {*MODEL_FILES, *TOKENIZER_FILES}
            and all(weights_digest([folder / Path(name).name]) == digest for name, digest in files.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def group_in(folder: Path) -> int | None:
    """Number of weights per scale in a converted model; `None` if another tool converted it."""
    try:
        return int(json.loads((folder / RECORD).read_text(encoding="utf-8"))["group"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _convert(content: GgufContent, folder: Path, source: str, adapter: Path | None) -> None:
    openvino = import_openvino()
    parts = read_adapter(adapter, content) if adapter is not None else None
    # The tokenizer is made from the file's keys alone, since openvino-genai would read all weights, too.
    keys = folder / "tokenizer.gguf"
    keys.write_bytes(content.header)
    import_genai().Tokenizer(str(keys), enable_save_ov_model=True)
    keys.unlink()
    openvino.save_model(build(content, adapter=parts), folder / MODEL_FILES[0], compress_to_fp16=False)
    files = {path.name: weights_digest([path]) for path in sorted(folder.iterdir())}
    record = {"source": source, "name": content.path.name, "group": group_of(content), "files": files}
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _require_room(content: GgufContent, folder: Path) -> None:
    numbers = sum(_count(tensor.shape) for tensor in content.tensors.values())
    needed = int(numbers * 1.05) + 16 * 2**20
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackendError(
            f"The converted model takes {needed // 2**20} MiB, and {free // 2**20} MiB are free in "
            f"{str(folder)!r}. Name a folder with room as SAMPLESET_CACHE, or use llamacpp:FILE."
        )


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _shrink(newest: Path) -> None:
    """Remove the least recently used models until the cache is within its bound."""
    folders = [path for path in newest.parent.iterdir() if (path / RECORD).is_file()]
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders}
    total = sum(sizes.values())
    for path in sorted(folders, key=lambda path: (path / RECORD).stat().st_mtime):
        if total <= MOST_BYTES or path == newest:
            break
        shutil.rmtree(path, ignore_errors=True)
        total -= sizes[path]
