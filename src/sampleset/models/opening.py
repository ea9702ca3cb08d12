"""From a model REF, as users type it, to a backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sampleset.backends.base import BACKENDS, Backend
from sampleset.engines.gguf import EMBEDDED, EMBEDDED_SSA, is_exported, is_on_embedded
from sampleset.errors import InputNotFoundError, InvalidArgumentError, SampleSetError
from sampleset.models.engine import LLAMACPP, OPENVINO, fastest_engine, is_installed
from sampleset.storage.files import read_sample_sets

FOLDER_CONFIGS = ("config.json", "adapter_config.json")
"""Either file makes a folder a Hugging Face model."""

DTYPE_VARIABLE = "SAMPLESET_DTYPE"
"""Environment variable with the type of the weights of Hugging Face models, where the default is wrong."""


def open_backend(
    ref: str,
    base_url: str | None = None,
    api_key: str | None = None,
    context_size: int | None = None,
    omit: Sequence[str] = (),
) -> Backend:
    """The backend for a model. Nothing is loaded yet; only models of the Hub are fetched now.

    Args:
        ref: `embedded`; `embedded-ssa`, the trained aggregator on it; a folder of `sampleset export` with
            another `adapter.gguf` on it: these run on the fastest engine that is installed and right for
            this machine; a path to a `.gguf` file; any other folder of `sampleset export`; `openvino:REF`
            or `llamacpp:REF` for any of these on that engine, and `openvino:FOLDER` for a converted folder;
            a folder with `config.json` or `adapter_config.json` for a Hugging Face model or LoRA adapter in
            this process; `transformers:REF` for any of those, a `.gguf` file or a Hub id; `replay:FILE` for
            the samples stored in a file; `NAME:REF` for the backend that another package, or a file in
            `sampleset/backends`, registers as NAME; with a base URL, the name of a model of that
            OpenAI-compatible server; without one, a Hub id such as `Qwen/Qwen2.5-0.5B-Instruct`, fetched
            unless it is in the local cache, or, with a key, the name of a model of OpenAI (without a slash).
        base_url: Address of the server, up to and including `/v1`; by default `OPENAI_BASE_URL`.
        api_key: The server's key; by default `OPENAI_API_KEY`.
        context_size: Tokens that prompt and completion may take together, where the default is wrong.
        omit: Fields that are never sent to a server, such as `temperature`.

    Raises:
        InputNotFoundError: The path does not exist.
        InvalidArgumentError: The name needs a server and none is given.
        MissingExtraError: The backend's package is not installed.
    """
    sized: dict[str, Any] = {} if context_size is None else {"context_size": context_size}
    is_local = runs_here(ref)
    if is_local and base_url is not None:
        raise InvalidArgumentError(
            f"{ref!r} runs in this process, yet a base URL is given. Name a model that the server at "
            f"{base_url!r} knows (--model NAME), or leave the base URL away."
        )
    if ref.startswith("replay:"):
        sample_sets = (
            stored_set.sample_set for stored_set in read_sample_sets(Path(ref.removeprefix("replay:")))
        )
        replay: Any = BACKENDS.get("replay")
        return replay.of_sets(sample_sets, model=ref)
    if (engine := _engine_named(ref)) is not None and engine != "transformers":
        return BACKENDS.get(engine)(model=ref.partition(":")[2], **sized)
    if base_url is None and is_on_embedded(ref):
        return BACKENDS.get(fastest_engine())(model=ref, **sized)
    if ref.startswith("transformers:"):
        return _transformers(ref, sized)
    if is_local:
        return BACKENDS.get("llamacpp")(model=ref, **sized)
    if base_url is None and any((Path(ref) / name).is_file() for name in FOLDER_CONFIGS):
        return _transformers(ref, sized)
    if base_url is None and is_exported(Path(ref)):
        return BACKENDS.get("llamacpp")(model=ref, **sized)
    base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    if base_url is not None:
        return _server(ref, base_url, api_key, sized, omit)
    if Path(ref).exists():
        raise InvalidArgumentError(
            f"{ref!r} is not a .gguf file, nor a folder with {' or '.join(FOLDER_CONFIGS)}. "
            "Serve a Hugging Face folder with vLLM and give its --base-url, or name the model's own folder."
        )
    if ref.startswith((".", "/", "~")):
        raise InputNotFoundError(f"No model file {ref!r}. Give the path of an existing .gguf file.")
    if "/" in ref:
        return _transformers(ref, sized)
    if api_key or os.environ.get("OPENAI_API_KEY", "").strip():
        return _server(ref, None, api_key, sized, omit)
    raise InvalidArgumentError(
        f"{ref!r} needs a server that knows it: set OPENAI_API_KEY to ask OpenAI, give --base-url URL (or "
        "set OPENAI_BASE_URL), a path to a .gguf file or a Hugging Face folder, a Hub id, or 'embedded'."
    )


_ASK_SERVERS = ("openai", "vllm")


def _engine_named(ref: str) -> str | None:
    """The backend that a REF names before its colon, such as `openvino` or a plugin's; `None` for servers."""
    name, colon, _ = ref.partition(":")
    is_name = bool(colon) and name.isidentifier() and name not in _ASK_SERVERS
    return name if is_name and name in BACKENDS.names() else None


def runs_here(ref: str) -> bool:
    """Whether a REF names a model in this process, or names its backend."""
    return ref in (EMBEDDED, EMBEDDED_SSA) or ref.endswith(".gguf") or _engine_named(ref) is not None


def path_of(ref: str) -> Path:
    """The file or folder that a REF of a local model names, without the backend before it."""
    return Path(ref.partition(":")[2] if _engine_named(ref) is not None else ref)


async def ready_backend(
    ref: str,
    base_url: str | None = None,
    api_key: str | None = None,
    context_size: int | None = None,
    omit: Sequence[str] = (),
    on_note: Callable[[str], None] | None = None,
    merge_adapter: bool = True,
) -> Backend:
    """The backend of `open_backend`, checked. For a vLLM server it is the backend that also scores texts.

    If OpenVINO was chosen for the embedded model and cannot run it, llama.cpp does, if it is installed.

    Args:
        ref: As in `open_backend`, as are the next four.
        base_url: Address of the server.
        api_key: The server's key.
        context_size: Tokens that prompt and completion may take together.
        omit: Fields that are never sent to a server.
        on_note: Called with a line about the chosen engine.
        merge_adapter: On OpenVINO, whether the embedded model's adapter is merged into its weights: not if
            the model is used without it, too.

    Raises:
        BackendError: The model cannot be asked.
    """
    if base_url is None and is_on_embedded(ref) and fastest_engine() == OPENVINO:
        return await _fastest(ref, context_size, on_note or (lambda line: None), merge_adapter)
    backend = await _checked(open_backend(ref, base_url, api_key, context_size, omit))
    if getattr(backend, "owner", None) != "vllm":
        return backend
    await backend.aclose()
    return await _checked(
        BACKENDS.get("vllm")(
            model=ref, base_url=base_url, api_key=api_key, context_size=context_size, omit=tuple(omit)
        )
    )


async def _fastest(
    ref: str, context_size: int | None, on_note: Callable[[str], None], merge_adapter: bool
) -> Backend:
    """The embedded model on OpenVINO, or on llama.cpp where OpenVINO cannot run it."""
    sized: dict[str, Any] = {} if context_size is None else {"context_size": context_size}
    try:
        backend = await _checked(
            BACKENDS.get(OPENVINO)(model=ref, on_note=on_note, merge_adapter=merge_adapter, **sized)
        )
        on_note(f"{ref} runs on OpenVINO; llamacpp:{ref} would be llama.cpp")
        return backend
    except SampleSetError as error:
        if not is_installed(LLAMACPP):
            raise
        on_note(f"{ref} runs on llama.cpp, which is slower here: {error}")
        return await _checked(open_backend(f"{LLAMACPP}:{ref}", context_size=context_size))


async def _checked(backend: Backend) -> Backend:
    try:
        await backend.check()
    except BaseException:
        await backend.aclose()
        raise
    return backend


def _server(
    ref: str, base_url: str | None, api_key: str | None, sized: Mapping[str, Any], omit: Sequence[str]
) -> Backend:
    """A model behind a server."""
    return BACKENDS.get("openai")(model=ref, base_url=base_url, api_key=api_key, omit=tuple(omit), **sized)


def _transformers(ref: str, sized: Mapping[str, Any]) -> Backend:
    """A Hugging Face model in this process, with the dtype that the environment names."""
    return BACKENDS.get("transformers")(model=ref, dtype=os.environ.get(DTYPE_VARIABLE) or None, **sized)
