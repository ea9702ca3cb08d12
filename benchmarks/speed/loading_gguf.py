"""How long transformers takes to load a GGUF file by itself and by this package, in one process, in turns.

    python benchmarks/speed/loading_gguf.py FILE.gguf

Model and tokenizer, in float32 on the CPU, one thread; by default the embedded model. Both give the same
weights, or it exits with 1.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from sampleset.engines.gguf import resolve_embedded_model
from sampleset.engines.huggingface.model import find_model, load_model, without_progress_bars


def alone(path: Path) -> Any:
    """The model as transformers loads it, after the tokenizer."""
    import torch
    import transformers

    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    transformers.AutoTokenizer.from_pretrained(**where)
    unpacked = transformers.GgufConfig(dequantize=True)
    return transformers.AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=unpacked, dtype=torch.float32
    )


def ours(path: Path) -> Any:
    """The model as this package loads it, after the tokenizer."""
    return load_model(find_model(str(path)), "cpu", None, merge_adapter=False).model


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    path: Path = arguments.file or resolve_embedded_model()
    torch.set_num_threads(1)
    taken: dict[Any, list[tuple[float, float]]] = {alone: [], ours: []}
    weights: dict[Any, dict[str, Any]] = {}
    for turn in range(arguments.repeats + 1):  # the first imports what loading needs, and is dropped
        for load in taken:
            wall, processor = time.perf_counter(), time.process_time()
            with without_progress_bars():
                model = load(path)
            if turn:
                taken[load].append((time.process_time() - processor, time.perf_counter() - wall))
            weights[load] = model.state_dict()
    print(f"{path.name}, medians of {arguments.repeats}")
    median = {load: [statistics.median(one) for one in zip(*taken[load], strict=True)] for load in taken}
    for name, load in (("transformers", alone), ("sampleset", ours)):
        processor, wall = median[load]
        print(f"{name:<14}{processor:6.1f} processor seconds {wall:6.1f} s wall")
    print(f"ratio         {median[alone][0] / median[ours][0]:6.1f}")
    sys.exit(any(not torch.equal(weights[alone][name], one) for name, one in weights[ours].items()))


if __name__ == "__main__":
    main()
