"""A trained aggregator as files for llama.cpp or for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

from sampleset.commands.options import FOLDER, argument, option
from sampleset.commands.run import Output, print_json
from sampleset.training.export.export import export_checkpoint

EXAMPLE = "sampleset export runs/select/checkpoint --output exported"


def export(
    checkpoint: Annotated[
        Path, argument("A checkpoint of sampleset train, a folder with adapter.gguf, or embedded-ssa.")
    ],
    output: Annotated[Path, option("--output", help="The exported folder, new or empty."), FOLDER],
    run: Output,
    format: Annotated[
        str,
        option(
            "--format", help="gguf-adapter (beside the base's file), gguf (whole), peft (LoRA), or merged."
        ),
    ] = "gguf-adapter",
    base: Annotated[
        str | None,
        option(
            "--base", help="The base, if not where the checkpoint says: a .gguf file, for peft also a Hub id."
        ),
    ] = None,
    dtype: Annotated[
        str | None, option("--dtype", help="Of the trained weights: f32, f16, q8_0 (gguf), bf16 (merged).")
    ] = None,
) -> None:
    """Make a trained aggregator into files for llama.cpp or for others: an adapter, or a whole model."""
    made = export_checkpoint(checkpoint, output, cast("Any", format), base, dtype)
    if run.as_json:
        print_json({"folder": str(made.folder), "format": made.format, "files": dict(made.files)})
        return
    print(f"{made.format}: {made.folder}")
    for name, size in made.files.items():
        print(f"  {name}  {size / 1e6:.1f} MB")
    if made.mode == "verify":
        run.next("fit-vote", "SETS", "--reward-model", f"generative_verifier,model={output}")
    else:
        run.next("answer", "QUESTION", "--aggregator", "ssa", "--aggregator-model", output)
