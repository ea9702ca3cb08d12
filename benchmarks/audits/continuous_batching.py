"""What the continuous batching of transformers gives a draw, beside the engine of this package, on a CPU.

    python benchmarks/audits/continuous_batching.py [--model FILE.gguf] [--draws 16] [--max-tokens 64]

Draws the same question alone and beside another under the same seed, by the manager of transformers and by
`engines.huggingface`: do the tokens stay? Compares the log-probabilities that the manager reports with the
model's own and with those after temperature. Then both draw one question many times, on one thread:
processor seconds for each thousand tokens, and their ratio. See docs/design/tried-and-left.md.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID253  it measures nothing without it
import transformers  # noqa: TID253

from sampleset.chat import Generation, SamplingParams
from sampleset.engines.gguf import resolve_embedded_model
from sampleset.engines.huggingface.calls import DrawCall
from sampleset.engines.huggingface.engine import Engine
from sampleset.engines.huggingface.model import Loaded, find_model, load_model

TEMPERATURE = 0.8
SEED = 7
QUESTIONS = ("What is 17 + 5? Think step by step.", "Name a river in France and say where it ends.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="by default the embedded model, its weights unpacked")
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_model(find_model(str(arguments.model or resolve_embedded_model())), "cpu", None, True)
    engine = Engine(loaded, None, None, 1)
    prompts = [engine.texts.prompt([{"role": "user", "content": text}]) for text in QUESTIONS]
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, one thread")

    alone, again, company = (managed(loaded, asked, 32)[0] for asked in (prompts[:1], prompts[:1], prompts))
    print(f"manager: the same seed again gives the same tokens: {is_same(alone, again)}")
    print(f"manager: ... and beside another question: {is_same(alone, company)}")
    own = [draws(engine, asked, 32, [SEED])[0] for asked in (prompts[:1], prompts)]
    print(f"engine:  a seed beside another question gives the same text: {own[0].text == own[1].text}")

    said = torch.tensor(alone.logprobs)
    for name, divisor in (("the model's own", 1.0), ("those after temperature", TEMPERATURE)):
        gap = (said - logprobs(loaded, prompts[0], alone.generated_tokens, divisor)).abs().max()
        print(f"manager: its log-probabilities differ from {name} by up to {gap:.4f} nats")

    costs: dict[str, float] = {}
    started = time.process_time()
    drawn = managed(loaded, prompts[:1] * arguments.draws, arguments.max_tokens)
    costs["manager"] = (time.process_time() - started) / sum(len(one.generated_tokens) for one in drawn)
    started = time.process_time()
    texts = draws(engine, prompts[:1], arguments.max_tokens, list(range(arguments.draws)))
    costs["engine"] = (time.process_time() - started) / sum(one.completion_tokens or 0 for one in texts)
    for name, cost in costs.items():
        print(
            f"{name:8} {1000 * cost:6.1f} processor seconds for 1,000 tokens, {arguments.draws} draws at once"
        )
    print(f"ratio    {costs['manager'] / costs['engine']:6.1f}")
    engine.close()


def managed(loaded: Loaded, prompts: Sequence[Sequence[int]], most: int) -> list[Any]:
    """The manager's draws, in the order of the prompts."""
    sampling = transformers.GenerationConfig(
        max_new_tokens=most,
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        top_p=1.0,
        eos_token_id=loaded.tokenizer.eos_token_id,
    )
    batching = transformers.ContinuousBatchingConfig(
        return_logprobs=True, seed=SEED, num_blocks=64, max_batch_tokens=512
    )
    attention = loaded.model.config._attn_implementation
    found = loaded.model.generate_batch(
        [list(prompt) for prompt in prompts],
        generation_config=sampling,
        continuous_batching_config=batching,
        progress_bar=False,
    )
    loaded.model.set_attn_implementation(attention)
    return list(found.values())


def draws(
    engine: Engine, prompts: Sequence[Sequence[int]], most: int, seeds: Sequence[int]
) -> list[Generation]:
    """The engine's draws of the first prompt; the others are asked beside it."""
    params = SamplingParams(temperature=TEMPERATURE, max_tokens=most)
    calls = [DrawCall(list(prompt), params, seeds) for prompt in prompts]
    for call in calls:
        engine.submit(call)
    first, *_ = [call.result.result() for call in calls]
    return first


def is_same(first: Any, second: Any) -> bool:
    return first.generated_tokens == second.generated_tokens


def logprobs(loaded: Loaded, prompt: Sequence[int], written: Sequence[int], divisor: float) -> Any:
    """Log-probability of each written token, the logits divided first."""
    tokens = torch.tensor([[*prompt, *written]])
    with torch.no_grad():
        logits = loaded.model(input_ids=tokens).logits[0, len(prompt) - 1 : -1] / divisor
    return logits.log_softmax(-1).gather(1, tokens[0, len(prompt) :, None])[:, 0]


if __name__ == "__main__":
    main()
