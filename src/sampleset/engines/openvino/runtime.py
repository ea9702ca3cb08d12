"""OpenVINO's packages, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from sampleset.errors import MissingExtraError


def import_openvino() -> Any:
    """OpenVINO's runtime.

    Raises:
        MissingExtraError: It is not installed.
    """
    return _import("openvino")


def import_opset() -> Any:
    """The operations of which models are built.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    return _import("openvino.opset13")


def import_transformations() -> Any:
    """Transformations, such as the one from a model with its cache as state to a paged cache.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    return _import("openvino._offline_transformations")


def import_genai() -> Any:
    """OpenVINO's package for language models: tokenizers and chat templates.

    Raises:
        MissingExtraError: It is not installed.
    """
    return _import("openvino_genai")


def import_gguf() -> Any:
    """The package that unpacks GGUF's types.

    Raises:
        MissingExtraError: It is not installed.
    """
    _import("gguf.quants")
    return _import("gguf")


def last_line(error: Exception) -> str:
    """The last line of an engine's message, without the lines that name its source."""
    return (str(error).strip().splitlines() or [repr(error)])[-1][:300]


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"Models on OpenVINO need openvino-genai and gguf ({error}). "
            "Install them: pip install 'sampleset[openvino]'"
        ) from error
