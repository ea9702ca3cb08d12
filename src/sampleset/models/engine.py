"""Which engine runs the embedded model: the fastest that is installed and right for this machine."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

OPENVINO, LLAMACPP = "openvino", "llamacpp"

PACKAGES = {OPENVINO: ("openvino", "openvino_genai", "gguf"), LLAMACPP: ("xllamacpp", "httpx")}
"""Packages that an engine imports, by the engine's name."""

INSTRUCTIONS = ("avx512_vnni", "avx_vnni")
"""Instructions of x86-64 that multiply 8-bit numbers. With either, OpenVINO is faster than llama.cpp."""

_FLAGS = Path("/proc/cpuinfo")


def fastest_engine() -> str:
    """The engine for the embedded model: OpenVINO where the processor suits it, else llama.cpp."""
    if is_installed(OPENVINO) and (has_instructions() or not is_installed(LLAMACPP)):
        return OPENVINO
    return LLAMACPP


def is_installed(engine: str) -> bool:
    """Whether an engine's packages are installed; nothing is imported."""
    return all(importlib.util.find_spec(name) for name in PACKAGES[engine])


def has_instructions() -> bool:
    """Whether this processor multiplies 8-bit numbers as OpenVINO's fast paths do."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        flags = set(_FLAGS.read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return False
    return any(name in flags for name in INSTRUCTIONS)
