"""embedded-ssa as a checkpoint of the backend transformers: `python shipped_checkpoint.py FOLDER`.

What the package holds is a GGUF adapter, which only llama.cpp reads. On a CPU the backend transformers reads
sets about three times faster (bfloat16, several in a pass); the weights are the same.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy

from sampleset.backends._gguf_files import embedded_ssa_folder
from sampleset.backends._transformers_model import import_extra
from sampleset.checkpoint import RECORD_FILE

MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
HEADS = {"attn_q": 9, "attn_k": 3}
"""SmolLM2-135M's heads; a GGUF file keeps the rows of these two in another order within each head."""


def main() -> None:
    """Write the adapter's weights and settings, and the record of how it is asked."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    shipped = embedded_ssa_folder()
    gguf: Any = import_extra("gguf")
    safetensors: Any = import_extra("safetensors.numpy")
    reader = gguf.GGUFReader(shipped / "adapter.gguf")
    weights: dict[str, Any] = {}
    for tensor in reader.tensors:
        _, layer, part, _, side = tensor.name.split(".")  # blk.15.attn_q.weight.lora_a
        values = tensor.data.astype(numpy.float32).reshape(tuple(reversed(tensor.shape)))
        if side == "lora_b" and part in HEADS:
            values = values.reshape(HEADS[part], -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        module = f"model.layers.{layer}.{MODULES[part]}"
        weights[f"base_model.model.{module}.lora_{side[-1].upper()}.weight"] = numpy.ascontiguousarray(values)
    safetensors.save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "embedded",
        "r": next(one.shape[0] for name, one in weights.items() if name.endswith("lora_A.weight")),
        "lora_alpha": reader.fields["adapter.lora.alpha"].contents(),
        "target_modules": sorted(
            {name.split(".lora_")[0].removeprefix("base_model.model.") for name in weights}
        ),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copy(shipped / RECORD_FILE, folder)


if __name__ == "__main__":
    main()
