"""Hugging Face models as files: the files of a REF, their identity, and loading with the tokenizer.

Weights are read from safetensors and GGUF only, never from pickles. Code that comes with a model never runs.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

from sampleset.engines.checkpoint import read_record
from sampleset.engines.gguf import EMBEDDED, resolve_embedded_model, weights_digest
from sampleset.engines.huggingface.precision import warn_if_slow
from sampleset.engines.openmp import short_waits
from sampleset.errors import (
    BackendError,
    BackendUnreachableError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
    SampleSetError,
    UnknownModelError,
)

INSTALL = "pip install 'sampleset[train]'"
PREFIX = "transformers:"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)

CACHED_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers whose state is one row of keys and values per token."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model.

    Attributes:
        name: A Hub id, or the name of the folder or file.
        path: A folder with `config.json`, a folder with `adapter_config.json`, or a `.gguf` file.
        digest: SHA-256 over the weights' sizes, first and last MiB; for an adapter also over its base's.
        base: The base model of an adapter.
        is_embedded: Whether the user named it `embedded`. Then its path need not be saved.
    """

    name: str
    path: Path
    digest: str
    base: ModelFiles | None = None
    is_embedded: bool = False

    @property
    def identity(self) -> str:
        """Engine, name and 8 hex digits of the digest; never a path."""
        name = self.name if self.base is None else f"{self.base.name}+{self.name}"
        return f"{PREFIX}{name}@{self.digest[:8]}"


def find_model(ref: str, base: str | None = None) -> ModelFiles:
    """The files of a REF. A Hub model that is not in the local cache is fetched.

    Args:
        ref: A folder, a `.gguf` file, a Hub id or `embedded`, with or without the prefix `transformers:`.
        base: For an adapter: its base model, if not where the adapter says.

    Raises:
        InputNotFoundError: There is no such path.
        UnknownModelError: The Hub has no such model, or this user has no access to it.
        DataError: The model cannot be loaded safely, or it is an adapter of another base model.
    """
    ref = ref.removeprefix(PREFIX)
    path = resolve_embedded_model() if ref == EMBEDDED else Path(ref).expanduser()
    if not path.exists() and HUB_ID.fullmatch(ref) and not ref.endswith(".gguf"):
        return _base_free(_of_folder(_fetch(ref), ref), base)
    if not path.exists():
        raise InputNotFoundError(
            f"No model at {ref!r}. Give a folder with config.json or {ADAPTER_CONFIG}, a .gguf file, or the "
            "id of a model on the Hub, such as Qwen/Qwen2.5-0.5B-Instruct."
        )
    if path.is_file():
        digest = weights_digest([path])
        with path.open("rb") as file:
            start = file.read(4)
        if start != b"GGUF":
            raise DataError(
                f"{ref!r} is not a GGUF file (it starts with {start!r}). Give a .gguf file or a folder."
            )
        return _base_free(ModelFiles(path.name, path, digest, is_embedded=ref == EMBEDDED), base)
    if (path / ADAPTER_CONFIG).is_file():
        return _of_adapter(path, base)
    return _base_free(_of_folder(path, path.resolve().name), base)


def _base_free(files: ModelFiles, base: str | None) -> ModelFiles:
    if base is not None:
        raise InvalidArgumentError(
            f"base={base!r} is given, yet {files.name!r} is a whole model. Leave base away."
        )
    return files


def _of_folder(path: Path, name: str) -> ModelFiles:
    if not (path / "config.json").is_file():
        raise DataError(f"The folder {str(path)!r} has no config.json. Name the folder of the model itself.")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise DataError(
            f"The folder {str(path)!r} has no .safetensors file; other formats can run code and are not "
            "loaded. Convert the model: load it where you trust it and call save_pretrained."
        )
    return ModelFiles(name, path, weights_digest(weights))


def _of_adapter(path: Path, base: str | None) -> ModelFiles:
    config = _read_json(path / ADAPTER_CONFIG)
    if config.get("peft_type") != "LORA":
        raise DataError(
            f"The adapter {str(path)!r} is of the type {config.get('peft_type')!r}. Only LORA is supported."
        )
    if not (path / ADAPTER_WEIGHTS).is_file():
        raise DataError(f"The adapter {str(path)!r} has no {ADAPTER_WEIGHTS}. Save it as safetensors.")
    base_name = config.get("base_model_name_or_path")
    if not isinstance(base_name, str) or not base_name:
        raise DataError(
            f"{str(path / ADAPTER_CONFIG)!r} names no base model. Set base_model_name_or_path in it."
        )
    try:
        base_files = find_model(base or base_name)
    except InputNotFoundError as error:
        raise InputNotFoundError(
            f"The adapter {str(path)!r} needs the model {base or base_name!r}, which is not there. Put it "
            f"there, or set base_model_name_or_path in its {ADAPTER_CONFIG} to where it is."
        ) from error
    _require_base(path, base_name, base_files)
    adapter_digest = weights_digest([path / ADAPTER_WEIGHTS])
    digest = hashlib.sha256(f"{base_files.digest} {adapter_digest}".encode()).hexdigest()
    return ModelFiles(path.resolve().name, path, digest, base_files)


def _require_base(path: Path, base_name: str, base_files: ModelFiles) -> None:
    """Refuse a model other than the one that the adapter was trained on."""
    record = read_record(path)
    # The base of an adapter exported for a Hub model has a name and no digest.
    if record is not None and "@" in record.base_model:
        recorded = record.base_model
        if recorded.rpartition("@")[2] != base_files.identity.rpartition("@")[2]:
            raise DataError(
                f"The adapter {str(path)!r} was trained on {recorded!r}, not on {base_files.identity!r}. "
                "Give it that model: an adapter on other weights writes nonsense."
            )
        return
    if Path(base_name).name != Path(base_files.name).name:
        raise DataError(
            f"The adapter {str(path)!r} names the base model {base_name!r}, not {base_files.name!r}. "
            "Give it that model."
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read ({error}). Is the folder complete?") from error
    if not isinstance(content, dict):
        raise DataError(f"{str(path)!r} holds no JSON object. Is the folder complete?")
    return cast("dict[str, Any]", content)


def _fetch(name: str) -> Path:
    hub: Any = import_extra("huggingface_hub")
    try:
        return Path(
            hub.snapshot_download(
                name,
                allow_patterns=["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"],
                ignore_patterns=["*/*", "consolidated*"],
            )
        )
    except hub.errors.LocalEntryNotFoundError as error:
        raise BackendUnreachableError(
            f"{name!r} is no folder here, and the Hub cannot be reached to fetch it ({_short(error)}). If a "
            "server is to run it, give --base-url."
        ) from error
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, OSError) as error:
        raise UnknownModelError(
            f"{name!r} is no folder here, and the Hub does not give it ({_short(error)}). Check the name; "
            "for a gated model log in with `hf auth login`; if a server is to run it, give --base-url."
        ) from error


def context_of(files: ModelFiles) -> int | None:
    """Context size from `config.json`, without loading the model; `None` if there is no such file."""
    path = (files.base or files).path / "config.json"
    if not path.is_file():
        return None
    config = _read_json(path)
    size: Any = config.get("text_config", config).get("max_position_embeddings")
    return size if isinstance(size, int) else None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to compute, with its tokenizer."""

    model: Any
    tokenizer: Any
    device: Any


def load_model(
    files: ModelFiles, device: str | None, dtype: str | None, merge_adapter: bool, architecture: Any = None
) -> Loaded:
    """Model and tokenizer, by default in bfloat16 on CUDA if there is one, else in float32 on the CPU.

    Args:
        files: The files of the model.
        device: Device of the model, such as `cpu` or `cuda:1`.
        dtype: Type of the weights, such as `bfloat16`.
        merge_adapter: Whether an adapter is added to the weights.
        architecture: Class whose `from_pretrained` makes the model; by default a causal language model.

    Raises:
        MissingExtraError: torch, transformers, peft or gguf is not installed.
        InvalidArgumentError: There is no such device or dtype.
        BackendError: transformers cannot load the files.
    """
    torch = import_extra("torch")
    transformers = import_extra("transformers")
    broken: type[Exception] = import_extra("safetensors").SafetensorError
    torch_device, kind = _device_and_type(device, dtype)
    base_files = files.base or files
    options: dict[str, Any] = {"dtype": kind, "trust_remote_code": False}
    folder, extra = base_files.path, dict[str, Any]()
    if base_files.path.is_file():
        import_extra("gguf")
        folder, extra = base_files.path.parent, {"gguf_file": base_files.path.name}
        if hasattr(transformers, "GgufConfig"):  # earlier versions unpack all weights
            options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    else:
        options["use_safetensors"] = True
    texts = files.path if (files.path / "tokenizer_config.json").is_file() else folder
    try:
        with without_progress_bars(), _files_read_once() if extra else nullcontext():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(texts), trust_remote_code=False, **({} if texts != folder else extra)
            )
            if base_files.path.is_file() and texts == folder:
                _cut_digits(tokenizer, base_files.path)
            auto_class = architecture or transformers.AutoModelForCausalLM
            model, loading_info = auto_class.from_pretrained(
                str(folder), output_loading_info=True, **options, **extra
            )
            # Missing weights would be filled with random numbers.
            if lacking := sorted(loading_info["missing_keys"]):
                raise BackendError(
                    f"The weights of {base_files.name!r} lack {lacking[0]} ({len(lacking)} missing). "
                    "Fetch them again."
                )
            model = model.to(torch_device)
            if files.base is not None:
                model = _apply(model, files.path, merge_adapter)
    except torch.OutOfMemoryError as error:
        raise BackendError(
            f"{torch_device} has too little memory for {base_files.name!r} in {kind}. Use a smaller model, "
            "or device=cpu."
        ) from error
    except SampleSetError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, UserWarning, broken) as error:
        raise BackendError(
            f"transformers cannot load {files.name!r}; are its files complete? ({_short(error)})"
        ) from error
    _require_cached_layers(model, base_files.name)
    return Loaded(model.eval(), tokenizer, torch_device)


def _device_and_type(device: str | None, dtype: str | None) -> tuple[Any, Any]:
    """Device and dtype of torch; by default CUDA with bfloat16 if there is one, else the CPU with float32."""
    torch = import_extra("torch")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch_device = torch.device(device)
        torch.empty(0, device=torch_device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidArgumentError(
            f"device={device!r} cannot be used here ({_short(error)}). Use cpu, cuda or cuda:1; for CUDA "
            "install a build of torch that has it (pytorch.org)."
        ) from error
    kind = getattr(torch, dtype or ("bfloat16" if torch_device.type == "cuda" else "float32"), None)
    if not isinstance(kind, torch.dtype):
        raise InvalidArgumentError(f"dtype={dtype!r} is unknown. Use bfloat16, float16 or float32.")
    if dtype:
        warn_if_slow(torch, dtype, torch_device.type, "dtype")
    return torch_device, kind


def _require_cached_layers(model: Any, name: str) -> None:
    kinds = set[str](getattr(model.config.get_text_config(), "layer_types", None) or ())
    if not kinds <= CACHED_LAYERS:
        raise BackendError(
            f"{name!r} has layers of the kind {', '.join(sorted(kinds - CACHED_LAYERS))}, which this backend "
            "cannot batch. Serve it with vLLM and give its --base-url."
        )


# llama.cpp, src/llama-vocab.cpp: these split off every digit before GPT-2's pattern splits the rest.
_CUTS_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")


def _cut_digits(tokenizer: Any, path: Path) -> None:
    """Let the tokenizer split digits as the GGUF file says; transformers (5.23) uses GPT-2's pattern."""
    pre_tokenizer = import_extra("gguf").GGUFReader(str(path)).get_field("tokenizer.ggml.pre")
    if pre_tokenizer is None or pre_tokenizer.contents() not in _CUTS_DIGITS:
        return
    cuts: Any = import_extra("tokenizers").pre_tokenizers
    tokenizer.backend_tokenizer.pre_tokenizer = cuts.Sequence(
        [cuts.Digits(individual_digits=True), cuts.ByteLevel(add_prefix_space=False, use_regex=True)]
    )


_reader_lock = threading.Lock()


@contextmanager
def _files_read_once() -> Generator[None]:
    """Let transformers read the head of a GGUF file once while it loads it, and map its tensors' names once.

    Version 5.23 reads the head for the configuration, the tokenizer and the weights, value by value in
    Python, and makes that map anew for each module: most of the time in which a small model is loaded.
    """
    gguf = import_extra("gguf")
    with _reader_lock:
        own = gguf.GGUFReader, gguf.get_tensor_name_map
        gguf.GGUFReader, gguf.get_tensor_name_map = cache(gguf_reader), cache(gguf.get_tensor_name_map)
        try:
            yield
        finally:
            gguf.GGUFReader, gguf.get_tensor_name_map = own


_plans_lock = threading.Lock()
_plans_avoided = 0
_plans_were = False


@contextmanager
def attention_plans_avoided(device: Any) -> Generator[None]:
    """Turn off cuDNN attention while a model on this device computes, and restore it afterwards.

    torch prefers cuDNN on Hopper, where it builds a plan for every new number of rows or keys, which takes
    20 ms and more. Here each token read and each training pass has a new shape. (pytorch/pytorch,
    sdp_utils.cpp.) The switch holds for the process, so the last of several concurrent models restores it.
    """
    global _plans_avoided, _plans_were
    if device.type != "cuda":
        yield
        return
    cuda: Any = import_extra("torch").backends.cuda
    with _plans_lock:
        if not _plans_avoided:
            _plans_were = cuda.cudnn_sdp_enabled()
            cuda.enable_cudnn_sdp(False)
        _plans_avoided += 1
    try:
        yield
    finally:
        with _plans_lock:
            _plans_avoided -= 1
            if not _plans_avoided:
                cuda.enable_cudnn_sdp(_plans_were)


def _apply(model: Any, folder: Path, merge: bool) -> Any:
    peft = import_extra("peft")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing adapter keys", category=UserWarning)
        adapted = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    return adapted.merge_and_unload() if merge else adapted


@contextmanager
def without_progress_bars() -> Generator[None]:
    """Turn off progress bars of transformers; the command line has its own.

    The bar over a GGUF file's tensors, which takes long, stays on a terminal, and goes into no log.
    """
    logging: Any = import_extra("transformers").utils.logging
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    unpacking: Any = None
    with suppress(ImportError):  # a version that unpacks elsewhere
        unpacking = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar = getattr(unpacking, "tqdm", None)
    if bar is not None:
        unpacking.tqdm = partial(bar, disable=None)  # tqdm's own rule: only a terminal shows it
    try:
        yield
    finally:
        if bar is not None:
            unpacking.tqdm = bar
        if was_enabled:
            logging.enable_progress_bar()


def open_weights(folder: Path) -> None:
    """Give weights the mode of their folder: safetensors writes them for their owner alone."""
    for weights in folder.glob("*.safetensors"):
        weights.chmod(folder.stat().st_mode & 0o666)


def import_extra(name: str) -> Any:
    """A package of the extra `train`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with short_waits():
            return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"Hugging Face models in this process need {name} ({error}). Install it: {INSTALL}. "
            "If a server runs the model, give its --base-url."
        ) from error


def gguf_reader(path: str) -> Any:
    """The package gguf's reader of a file, over a plain array: it cuts a slice for every value of the head,
    which takes three times as long from numpy's map of a file.
    """
    base: Any = import_extra("gguf.gguf_reader").GGUFReader
    numpy: Any = import_extra("numpy")

    class Reader(base):
        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, numpy.asarray(value) if name == "data" else value)

    return Reader(path)


def _short(error: Exception) -> str:
    """The first line of a message."""
    return (str(error).strip().splitlines() or [repr(error)])[0][:300]
