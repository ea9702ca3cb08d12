"""A GGUF adapter as a checkpoint for transformers: `python adapter_checkpoint.py ADAPTER BASE FOLDER`.

ADAPTER is `embedded-ssa` or a folder of `sampleset export`, BASE its base model (`embedded` or a .gguf file).
Only llama.cpp reads such adapters; on a CPU the backend transformers reads sets about three times faster
(bfloat16, several in a pass). The weights are the same.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy

from sampleset.engines.checkpoint import RECORD_FILE
from sampleset.engines.gguf import EMBEDDED, EMBEDDED_SSA, embedded_ssa_folder, resolve_embedded_model
from sampleset.engines.huggingface.model import import_extra
from sampleset.training.export.gguf import BaseFile

MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def main() -> None:
    """Write the adapter's weights and settings, and the record of how it is asked."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, base, target = sys.argv[1:]
    adapter = embedded_ssa_folder() if source == EMBEDDED_SSA else Path(source)
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    gguf: Any = import_extra("gguf")
    base_file = BaseFile(resolve_embedded_model() if base == EMBEDDED else Path(base))
    reader = gguf.GGUFReader(adapter / "adapter.gguf")
    weights: dict[str, Any] = {}
    for tensor in reader.tensors:
        _, layer, part, _, side = tensor.name.split(".")  # as blk.15.attn_q.weight.lora_a
        values = tensor.data.astype(numpy.float32).reshape(tuple(reversed(tensor.shape)))
        heads = base_file.heads(tensor.name.removesuffix(f".{side}"))
        if side == "lora_b" and heads is not None:  # what BaseFile.arranged does, undone
            values = values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        name = f"base_model.model.model.layers.{layer}.{MODULES[part]}.lora_{side[-1].upper()}.weight"
        weights[name] = numpy.ascontiguousarray(values)
    safetensors: Any = import_extra("safetensors.numpy")
    safetensors.save_file(weights, folder / "adapter_model.safetensors")
    modules = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in weights}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": next(one.shape[0] for name, one in weights.items() if ".lora_A." in name),
        "lora_alpha": reader.fields["adapter.lora.alpha"].contents(),
        "target_modules": sorted(modules),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copy(adapter / RECORD_FILE, folder)


if __name__ == "__main__":
    main()
