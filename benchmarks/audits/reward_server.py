"""Scores of a reward model that vLLM serves, beside those of the same weights in this process.

    python benchmarks/audits/reward_server.py --make FOLDER --tokenizer FOLDER   # two of random weights
    vllm serve FOLDER/classifier --runner pooling --port 8001 --dtype float32
    python benchmarks/audits/reward_server.py http://localhost:8001 --model FOLDER/classifier
    vllm serve FOLDER/qwen_prm --runner pooling --port 8002 --dtype float32
    python benchmarks/audits/reward_server.py http://localhost:8002 --model FOLDER/qwen_prm

Prints, for every endpoint that gives such a score, the largest difference over recorded GSM8K samples.
"""

import argparse
import asyncio
import json
from itertools import islice
from pathlib import Path
from typing import Any

from sampleset.reward_models.base import RewardScore
from sampleset.reward_models.qwen_prm import QwenPRM
from sampleset.reward_models.sequence_classifier import SequenceClassifier
from sampleset.reward_models.server import ServerRewardModel
from sampleset.storage.sample_sets import SampleFile

SETS = Path(__file__).parents[2] / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"
SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,  # so that scores differ
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("base_url", nargs="?")
    parser.add_argument("--make", type=Path)
    parser.add_argument("--tokenizer", help="for --make: a folder whose tokenizer has a chat template")
    parser.add_argument("--model", help="folder under which vLLM serves it, which is its name there")
    parser.add_argument("--sets", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.make is not None:
        make(arguments.make, arguments.tokenizer)
    else:
        asyncio.run(compare(arguments))


def make(folder: Path, tokenizer_of: str) -> None:
    """A classifier with one label, as Skywork's are, and a process model of Qwen's architecture."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_of)
    tokenizer.save_pretrained(folder / "classifier")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), num_labels=1, pad_token_id=tokenizer.pad_token_id, **SIZES
    )
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder / "classifier")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_0>"]})
    tokenizer.save_pretrained(folder / "qwen_prm")
    config = transformers.Qwen2Config(vocab_size=len(tokenizer), num_labels=2, **SIZES)
    transformers.Qwen2Model(config).save_pretrained(folder / "qwen_prm")
    file = folder / "qwen_prm" / "model.safetensors"
    size = SIZES["hidden_size"]
    weights = {f"model.{name}": value for name, value in load_file(file).items()}
    weights |= {"score.0.weight": torch.randn(size, size) / size**0.5, "score.0.bias": torch.randn(size)}
    weights |= {"score.2.weight": torch.randn(2, size) / size**0.5, "score.2.bias": torch.randn(2)}
    weights["lm_head.weight"] = torch.zeros(len(tokenizer), size)
    save_file(weights, file, metadata={"format": "pt"})
    named = config.to_dict() | {"architectures": ["Qwen2ForProcessRewardModel"], "torch_dtype": "float32"}
    (folder / "qwen_prm" / "config.json").write_text(json.dumps(named))


async def compare(arguments: argparse.Namespace) -> None:
    """Every endpoint against the loader."""
    folder, url = arguments.model, arguments.base_url
    is_process = "qwen_prm" in Path(folder).name
    local = QwenPRM(folder) if is_process else SequenceClassifier(folder)
    served: dict[str, ServerRewardModel] = (
        {"pooling, a score a step": ServerRewardModel(folder, url, layout="qwen_prm")}
        if is_process
        else {
            "classify": ServerRewardModel(folder, url, endpoint="classify", use_activation=False),
            "pooling": ServerRewardModel(folder, url, use_activation=False),
        }
    )
    sets = [stored.sample_set for stored in islice(SampleFile(SETS), arguments.sets)]
    for name, model in served.items():
        pairs: list[tuple[float, float]] = []
        for one in sets:
            texts = [sample.text for sample in one.samples]
            mine, theirs = await local.score(one.question, texts), await model.score(one.question, texts)
            for ours, other in zip(mine, theirs, strict=True):
                pairs += zip(numbers(ours), numbers(other), strict=True)
        worst, scores = max(abs(a - b) for a, b in pairs), [a for a, _ in pairs]
        span = f"{min(scores):.2f} to {max(scores):.2f}"
        print(f"{name}: largest difference {worst:.1e}; {len(pairs)} scores, {span}")
        await model.aclose()
    await local.aclose()


def numbers(score: RewardScore) -> tuple[float, ...]:
    """Of a process model the score of every step; none where the sample has none."""
    return score.steps or (() if score.value is None else (score.value,))


if __name__ == "__main__":
    main()
