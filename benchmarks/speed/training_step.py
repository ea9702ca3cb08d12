"""What a step of training costs on a CPU: matrix products in bfloat16 against float32.

    python benchmarks/speed/training_step.py [--model FILE.gguf] [--tokens 1000] [--repeats 5] [--profile]

Steps of the select mode on one row, by the loop that `sampleset train` runs: forward, backward, gradient
norm, optimiser. LoRA of rank 16 on all layers, weights in float32, one thread. Processor seconds for each
thousand tokens read; the ways take turns, and the ratio is of turns side by side. Beside it, how far the
gradients of one way are from the other's. --profile prints which operations take the time, as shares.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from sampleset.engines.gguf import resolve_embedded_model
from sampleset.prompts import AGGREGATION_PROMPT
from sampleset.storage.files import write_rows
from sampleset.training.data.rows import RowCandidate, TrainingRow, row_to_json
from sampleset.training.loop import TrainingRun
from sampleset.training.recipe import Recipe
from sampleset.training.select import SelectLearner

WAYS: dict[str, Any] = {"float32": None, "bfloat16": "bfloat16"}
TEXT = "Each box holds 12 pens, and 7 boxes were sold for 3 dollars a pen, so the shop took 252 dollars. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="by default the embedded model, its weights unpacked")
    parser.add_argument("--tokens", type=int, default=1000, help="about so many in the row")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", [row_to_json(row(arguments.tokens))])
        model = str(arguments.model or resolve_embedded_model())
        runs = {way: started(model, folder, way) for way in WAYS}
        costs: dict[str, list[float]] = {way: [] for way in WAYS}
        gradients = {way: gradient(run) for way, run in runs.items()}
        for _ in range(arguments.repeats):
            for way, run in runs.items():
                costs[way].append(step_cost(run))
        for way, found in costs.items():
            print(f"{way:9} {median(found):6.2f} ({min(found):.2f} to {max(found):.2f}) s for 1,000 tokens")
        ratios = [one / other for one, other in zip(*costs.values(), strict=True)]
        print(f"float32 takes {median(ratios):.2f} times as long ({min(ratios):.2f} to {max(ratios):.2f})")
        one, other = gradients.values()
        print(f"cosine of the two gradients: {float((one @ other) / (one.norm() * other.norm())):.5f}")
        if arguments.profile:
            for way, run in runs.items():
                print(f"\n{way}\n{profiled(run)}")


def row(tokens: int) -> TrainingRow:
    """A row of about so many tokens, whose three candidates are a few each."""
    text = TEXT * max(1, tokens // 30)
    return TrainingRow(
        id="sets/1/0",
        k=5,
        places=tuple(range(5)),
        prompt=({"role": "user", "content": text}, {"role": "assistant", "content": "<answer>"}),
        mode="select",
        prompt_version=AGGREGATION_PROMPT,
        prompt_tokens=tokens,
        answer="252",
        candidates=(RowCandidate("252", 2, True), RowCandidate("84", 2, False), RowCandidate("36", 1, False)),
        vote="252",
        vote_right=True,
        right_samples=2,
    )


def started(model: str, folder: Path, way: str) -> TrainingRun:
    recipe = Recipe(
        model=model,
        rows=str(folder / "rows.jsonl"),
        output_dir=str(folder / way),
        device="cpu",
        threads=1,
        matmul_dtype=WAYS[way],
    )
    return TrainingRun("select", SelectLearner("cross_entropy"), recipe)


def gradient(run: TrainingRun) -> Any:
    """Of the first step, which is a warm-up, too. Half of an adapter's weights have none there."""
    import torch

    kept: list[Any] = []
    step = run.optimiser.step
    run.optimiser.step = lambda: kept.extend(
        weight.grad.flatten().clone() for weight in run.policy.trained if weight.grad is not None
    )
    run.step(run.examples)
    run.optimiser.step = step
    return torch.cat(kept)


def step_cost(run: TrainingRun) -> float:
    """Processor seconds of one step for each thousand tokens."""
    (example,) = run.examples
    tokens = len(example.prompt) + sum(map(len, example.branches))
    started = time.process_time()
    run.step(run.examples)
    return (time.process_time() - started) * 1000 / tokens


def profiled(run: TrainingRun) -> str:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        run.step(run.examples)
    events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return "\n".join(
        f"  {event.self_cpu_time_total / total:6.1%} {event.count:6} x {event.key}" for event in events[:14]
    )


if __name__ == "__main__":
    main()
