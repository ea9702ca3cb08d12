"""A LoRA adapter as a folder of peft, which transformers, vLLM and SGLang load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sampleset.engines.huggingface.model import ADAPTER_CONFIG, ADAPTER_WEIGHTS, import_extra
from sampleset.training.export.gguf import Adapter


def write_peft_adapter(folder: Path, adapter: Adapter, base: str, dtype: str) -> None:
    """Write weights and settings of an adapter.

    Args:
        folder: An existing folder.
        adapter: Its numbers.
        base: Name of the base model: a Hub id, a path, or `embedded`.
        dtype: Name of numpy's type of the weights.
    """
    numpy: Any = import_extra("numpy")
    safetensors: Any = import_extra("safetensors.numpy")
    weights: dict[str, Any] = {}
    for module, (a, b) in adapter.updates.items():
        for side, values in (("A", a), ("B", b)):
            name = f"base_model.model.{module}.lora_{side}.weight"
            weights[name] = numpy.ascontiguousarray(values, dtype=dtype)
    safetensors.save_file(weights, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": next(iter(adapter.updates.values()))[0].shape[0],
        "lora_alpha": int(adapter.alpha) if adapter.alpha.is_integer() else adapter.alpha,
        "target_modules": sorted(adapter.updates),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
