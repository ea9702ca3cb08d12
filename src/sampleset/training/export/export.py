"""A trained aggregator made into files for other engines: safetensors (whole or LoRA), or GGUF for llama.cpp.

An exported folder contains the record, too, so the model is used as it was trained. The folder is written
completely or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from sampleset.engines.checkpoint import (
    RECORD_FILE,
    CheckpointRecord,
    read_record,
    read_trained_on,
    write_record,
    write_trained_on,
)
from sampleset.engines.gguf import (
    ADAPTER_FILE,
    EMBEDDED,
    EMBEDDED_DIGEST,
    EMBEDDED_SSA,
    MODEL_FILE,
    embedded_ssa_folder,
    find_gguf,
)
from sampleset.engines.huggingface.model import (
    ADAPTER_CONFIG,
    HUB_ID,
    ModelFiles,
    find_model,
    import_extra,
    load_model,
    open_weights,
)
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError, UnknownNameError
from sampleset.training.export.gguf import (
    Adapter,
    BaseFile,
    read_adapter,
    read_gguf_adapter,
    write_adapted_model,
    write_adapter,
    write_whole_model,
)
from sampleset.training.export.model_card import model_card
from sampleset.training.export.peft import write_peft_adapter
from sampleset.training.policy import replace_folder
from sampleset.types import TrainedMode

ExportFormat = Literal["merged", "peft", "gguf-adapter", "gguf"]

DTYPES: Mapping[ExportFormat, Mapping[str, str]] = {
    "merged": {"f32": "float32", "f16": "float16", "bf16": "bfloat16"},
    "peft": {"f32": "float32", "f16": "float16"},
    "gguf-adapter": {"f32": "f32", "f16": "f16"},
    "gguf": {"f32": "f32", "f16": "f16", "q8_0": "q8_0"},
}
"""Values of `dtype` by format, with the name of torch or GGUF."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """The result of an export.

    Attributes:
        folder: The new folder.
        format: Its format.
        mode: The mode that the model was trained in.
        files: Size of each file, in bytes.
    """

    folder: Path
    format: ExportFormat
    mode: TrainedMode
    files: Mapping[str, int]


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    format: ExportFormat,
    base: str | None = None,
    dtype: str | None = None,
) -> ExportSummary:
    """Write a checkpoint in another format into a new folder.

    Args:
        checkpoint: A checkpoint of `sampleset train`, a merged export of one, `embedded-ssa`, or a folder
            with a GGUF adapter, which cannot be merged.
        output: The folder; new or empty.
        format: `merged`: a whole Hugging Face model; `peft`: a LoRA adapter for transformers and vLLM;
            `gguf-adapter`: a LoRA adapter beside the base model's GGUF file; `gguf`: a whole model for
            llama.cpp.
        base: The base model, if not where the checkpoint says: `embedded` or a path. For both GGUF formats
            this is a GGUF file, required if the checkpoint was trained on another format. For `peft` it may
            be a Hub id, which is written into the folder and not fetched.
        dtype: Type of the trained weights; by default f16, for `peft` f32, and for `merged` the type of a
            base model in safetensors.

    Raises:
        InputNotFoundError: The checkpoint or its base model does not exist.
        InvalidArgumentError: The output is not empty, or the format or dtype is unknown.
        DataError: The folder is not a checkpoint, it has another base model, or the format cannot hold it.
        MissingExtraError: torch, transformers, peft or gguf is not installed.
    """
    if format not in DTYPES:
        raise UnknownNameError("export format", format, get_args(ExportFormat))
    if dtype is not None and dtype not in DTYPES[format]:
        raise InvalidArgumentError(
            f"dtype={dtype!r} cannot be written as {format}. Use {', '.join(DTYPES[format])}."
        )
    if str(checkpoint) == EMBEDDED_SSA and not checkpoint.exists():
        checkpoint = embedded_ssa_folder()
    if not checkpoint.is_dir():
        raise InputNotFoundError(
            f"No checkpoint at {str(checkpoint)!r}. Name the folder that sampleset train wrote."
        )
    record = read_record(checkpoint)
    if record is None:
        raise DataError(
            f"{str(checkpoint)!r} has no {RECORD_FILE}. Name the folder that sampleset train wrote."
        )
    others = {name: value for name, value in record.others.items() if name != "gguf_base"}
    record = replace(record, others=others)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InvalidArgumentError(f"The output {str(output)!r} is taken. Name a new or empty folder.")
    new = output.absolute().with_name(f".{output.absolute().name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        if format == "merged":
            _write_merged(checkpoint, new, base, dtype)
        elif format == "peft":
            record = _write_peft(checkpoint, new, record, base, DTYPES[format][dtype or "f32"])
        else:
            record = _write_gguf(checkpoint, new, record, format, base, DTYPES[format][dtype or "f16"])
        record = replace(
            record, training=_without_folders(record.training), others={**record.others, "format": format}
        )
        open_weights(new)
        write_record(new, record)
        if (questions := read_trained_on(checkpoint)) is not None:
            write_trained_on(new, questions)
        (new / "README.md").write_text(model_card(record.to_json()), encoding="utf-8")
        replace_folder(new, output.absolute())
    finally:
        shutil.rmtree(new, ignore_errors=True)
    sizes = {file.name: file.stat().st_size for file in sorted(output.iterdir())}
    return ExportSummary(output, format, record.mode, sizes)


def _without_folders(training: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with file names instead of paths, so that an export reveals no paths of its author."""
    paths = {key: training.get(key) for key in ("rows", "eval_rows", "output_dir")}
    model = training.get("model")
    if model and Path(model).is_absolute():  # a name on a hub has a slash, too
        paths["model"] = model
    return {**training, **{key: Path(path).name for key, path in paths.items() if path}}


def _write_merged(checkpoint: Path, folder: Path, base: str | None, dtype: str | None) -> None:
    if (checkpoint / ADAPTER_FILE).is_file():
        raise DataError(
            f"{str(checkpoint)!r} holds an adapter for llama.cpp. Export it with --format peft, then that "
            "folder with --format merged."
        )
    torch: Any = import_extra("torch")
    files = find_model(str(checkpoint), base)
    # The adapter is added in float32, so that nothing is rounded twice.
    loaded = load_model(files, "cpu", "float32", merge_adapter=True)
    kind = DTYPES["merged"][dtype] if dtype else _stored_dtype(files.base or files)
    model = loaded.model.to(getattr(torch, kind))
    if hasattr(model.config, "quantization_config"):  # from a GGUF base; the merged weights are not quantised
        del model.config.quantization_config
    model.save_pretrained(str(folder), safe_serialization=True)
    loaded.tokenizer.save_pretrained(str(folder))


def _stored_dtype(files: ModelFiles) -> str:
    """Torch's name for the dtype of a model's files; float16 for GGUF."""
    config = files.path / "config.json"
    if not config.is_file():
        return "float16"
    values: dict[str, Any] = json.loads(config.read_bytes())
    return values.get("dtype") or values.get("torch_dtype") or "float32"


def _write_peft(
    checkpoint: Path, folder: Path, record: CheckpointRecord, base: str | None, dtype: str
) -> CheckpointRecord:
    """Write the adapter for peft; returns the record, which names the base model of a new one."""
    if not _is_adapter(checkpoint):
        raise DataError(
            f"{str(checkpoint)!r} holds a whole model, no adapter. Export it with --format merged or gguf."
        )
    if base is not None:
        record = replace(record, base_model=_identity_of(checkpoint, record, base))
    write_peft_adapter(folder, _adapter_of(checkpoint, None), base or _named_base(checkpoint, record), dtype)
    return record


def _identity_of(checkpoint: Path, record: CheckpointRecord, base: str) -> str:
    """The identity of another base model for an adapter; for a Hub id the id itself, without a digest."""
    if base == EMBEDDED or Path(base).is_file():
        return _gguf_base(checkpoint, record, base).identity
    if Path(base).exists() or not HUB_ID.fullmatch(base):
        return find_model(base).identity
    return base


def _is_adapter(checkpoint: Path) -> bool:
    return any((checkpoint / name).is_file() for name in (ADAPTER_CONFIG, ADAPTER_FILE))


def _adapter_of(checkpoint: Path, base: BaseFile | None) -> Adapter:
    """The numbers of an adapter, of peft or of llama.cpp; `base` is the file of the latter if it is open."""
    if (checkpoint / ADAPTER_CONFIG).is_file():
        return read_adapter(checkpoint)
    return read_gguf_adapter(checkpoint / ADAPTER_FILE, base or BaseFile(find_gguf(str(checkpoint)).find()))


def _write_gguf(
    checkpoint: Path, folder: Path, record: CheckpointRecord, format: str, base: str | None, dtype: str
) -> CheckpointRecord:
    """Write the GGUF file; returns the record, which now names the GGUF base."""
    is_adapter = _is_adapter(checkpoint)
    if format == "gguf-adapter" and not is_adapter:
        raise DataError(
            f"{str(checkpoint)!r} holds a whole model, no adapter. Export it with --format gguf or merged."
        )
    files = _gguf_base(checkpoint, record, base)
    file = BaseFile(files.path)
    if format == "gguf-adapter":
        write_adapter(folder / ADAPTER_FILE, _adapter_of(checkpoint, file), file, dtype)
    elif is_adapter:
        write_adapted_model(folder / MODEL_FILE, _adapter_of(checkpoint, file), file, dtype)
    else:
        write_whole_model(folder / MODEL_FILE, checkpoint, file, dtype)
    digest = files.digest[:8]
    if not _is_gguf(record.base_model):
        record = replace(record, base_model=f"{files.name}@{digest}")
    if format == "gguf":
        return record
    path = EMBEDDED if digest == EMBEDDED_DIGEST else str(files.path.resolve())
    base_entry = {"name": files.name, "digest8": digest, "path": path}
    return replace(record, others={**record.others, "gguf_base": base_entry})


def _gguf_base(checkpoint: Path, record: CheckpointRecord, base: str | None) -> ModelFiles:
    """The GGUF file of the base model. If the checkpoint was trained on a GGUF file, it must be that file."""
    trained_on_gguf = _is_gguf(record.base_model)
    if base is None and not trained_on_gguf:
        raise InvalidArgumentError(
            f"{str(checkpoint)!r} was trained on {record.base_model!r}, which is no GGUF file. Name one of "
            "the same model with --base FILE.gguf."
        )
    files = find_model(base or _named_base(checkpoint, record))
    if not files.path.is_file():
        raise InvalidArgumentError(f"The base {base!r} is no GGUF file. Give --base FILE.gguf.")
    digest = record.base_model.rpartition("@")[2]
    if trained_on_gguf and files.digest[:8] != digest:
        raise DataError(
            f"{str(checkpoint)!r} was trained on {record.base_model!r}, not on {files.identity!r}. Give "
            "--base the file it was trained on: what was learned on it does not fit other weights."
        )
    return files


def _named_base(checkpoint: Path, record: CheckpointRecord) -> str:
    """The base model's location according to the checkpoint."""
    if (checkpoint / ADAPTER_FILE).is_file():
        model = find_gguf(str(checkpoint)).model
        return EMBEDDED if model is None else str(model.resolve())
    config = checkpoint / ADAPTER_CONFIG
    if config.is_file():
        return json.loads(config.read_bytes())["base_model_name_or_path"]
    return str(record.training.get("model", ""))


def _is_gguf(identity: str) -> bool:
    return identity.rpartition("@")[0].endswith(".gguf")
