"""What it saves in GRPO to compute the prompt of a group once.

    python benchmarks/speed/shared_prompt_training.py --threads 1 --repeats 2

One group in three ways: with our trainer; with TRL's own; and with ours made to compute the prompt once per
rollout, which is TRL's algorithm without the price of its head on a CPU (there, not on CUDA, TRL computes the
head at all positions). Measured are the loss forward and backward, and the drawing of the rollouts.

A model of the shape of SmolLM2-135M with random weights, or --model; a LoRA adapter on all layers;
activations computed twice, TRL's default, without which its pass needs tens of GB. Every measurement has a
process of its own, and the ways take turns. The peak of memory is that of the process. Ratios are of the time
on the processor, which others on the machine disturb less; give as many threads as cores or fewer.

The limit is the ratio of the products of matrices, forward: layers, attention, and the head at the
completion tokens.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

SHARED, REPEATED, STOCK = "shared", "repeated", "stock TRL"
WAYS = {"train": (SHARED, REPEATED, STOCK), "generate": (SHARED, STOCK)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", help="a folder or Hub id; by default random weights")
    parser.add_argument("--layers", type=int, default=30, help="of the random model")
    parser.add_argument("--prompt-tokens", type=int, default=1024)
    parser.add_argument("--completion-tokens", type=int, default=64)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-checkpointing", action="store_true", help="keep all activations")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "WORK", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments, *arguments.one)))
    else:
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    shape = f"prompt {arguments.prompt_tokens}, {arguments.generations} x {arguments.completion_tokens}"
    print(f"{shape}, {arguments.device}, {arguments.dtype}, {arguments.threads} threads")
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for work in ("train", "generate"):
            ways = WAYS[work]
            found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
            for repeat in range(arguments.repeats):
                for place in range(len(ways)):
                    way = ways[(repeat + place) % len(ways)]
                    found[way].append(in_child(way, work, Path(folder) / f"{way}.pt"))
            report(work, found, arguments)
            if work == "train":
                for way in ways[1:]:
                    apart = difference(Path(folder), way)
                    print(f"  largest difference from the gradient of {way}: {apart:.1e} of the largest")
                for name, ratio in found[SHARED][0].items():
                    if name.startswith("limit"):
                        print(f"  {name}: {ratio:.2f} times")


def in_child(way: str, work: str, file: Path) -> dict[str, float]:
    command = [sys.executable, *sys.argv, "--one", way, work, str(file)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def report(work: str, found: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> None:
    tokens = arguments.generations * arguments.completion_tokens
    print(f"\n{work}")
    for way, runs in found.items():
        seconds = [one["seconds"] for one in runs]
        peaks = [one["peak_mb"] for one in runs]
        print(
            f"  {way:9} {median(seconds):7.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), "
            f"{median(one['counted'] for one in runs):.2f} s counted  "
            f"{tokens / median(seconds):6.1f} completion tokens/s  peak {median(peaks):.0f} MB, "
            f"{median(one['idle_mb'] for one in runs):.0f} before"
        )
    for way, runs in list(found.items())[1:]:
        ratios = [one["counted"] / own["counted"] for own, one in zip(found[SHARED], runs, strict=True)]
        print(f"  {way} takes {median(ratios):.2f} times as long ({min(ratios):.2f} to {max(ratios):.2f})")


def difference(folder: Path, way: str) -> float:
    import torch

    shared, other = (torch.load(folder / f"{one}.pt", weights_only=True) for one in (SHARED, way))
    return float((shared - other).abs().max() / other.abs().max())


def measured(arguments: argparse.Namespace, way: str, work: str, file: str) -> dict[str, float]:
    import torch

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, way, folder)
        bench.run(work, 32, 4)
        idle = peak_mb(arguments.device)
        started, busy = time.perf_counter(), time.process_time()
        bench.run(work, arguments.prompt_tokens, arguments.completion_tokens)
        peak = peak_mb(arguments.device)  # on CUDA it waits for the end
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
    if work == "train":
        grads = [one.grad.flatten().float().cpu() for one in bench.weights if one.grad is not None]
        torch.save(torch.cat(grads), file)
    return {
        "seconds": seconds,
        "counted": busy if arguments.device == "cpu" else seconds,
        "idle_mb": idle,
        "peak_mb": peak,
        **bench.limits(),
    }


def peak_mb(device: str) -> float:
    import torch

    if device != "cpu":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


class Bench:
    """The model with its trainer, ours or TRL's."""

    def __init__(self, arguments: argparse.Namespace, way: str, folder: str) -> None:
        import torch

        from sampleset.engines.huggingface.text import Texts
        from sampleset.training.policy import Policy

        self.arguments, self.way = arguments, way
        tokenizer = one_word_tokenizer()
        self.model = adapted(arguments)
        if not arguments.no_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.policy = Policy(self.model, tokenizer, Texts(tokenizer), torch.zeros(2), None)  # type: ignore[arg-type]
        self.weights = self.policy.trained
        self.vocabulary = self.model.config.vocab_size
        self.stock = self.stock_trainer(folder) if way == STOCK else None

    def stock_trainer(self, folder: str) -> Any:
        import trl

        import datasets

        arguments = self.arguments
        settings = trl.GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=arguments.generations,
            num_generations=arguments.generations,
            max_completion_length=arguments.completion_tokens,
            max_steps=1,
            bf16=False,
            gradient_checkpointing=not arguments.no_checkpointing,
            use_cpu=arguments.device == "cpu",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = trl.GRPOTrainer(
            model=self.model,
            reward_funcs=lambda **_: None,
            args=settings,
            train_dataset=datasets.Dataset.from_dict({"prompt": ["0"]}),
            processing_class=self.policy.tokenizer,
        )
        trainer.current_gradient_accumulation_steps = 1
        return trainer

    def run(self, work: str, prompt_tokens: int, completion_tokens: int) -> None:
        drawn = random.Random(0)
        prompt = [drawn.randrange(1, self.vocabulary) for _ in range(prompt_tokens)]
        if work == "train":
            self.train(prompt, drawn, completion_tokens)
        else:
            self.generate(prompt, completion_tokens)

    def train(self, prompt: list[int], drawn: random.Random, tokens: int) -> None:
        import torch

        from sampleset.training.grpo.loss import GroupLesson, group_loss, group_scores
        from sampleset.training.recipe import GrpoOptions

        count, device = self.arguments.generations, self.model.device
        written = [[drawn.randrange(1, self.vocabulary) for _ in range(tokens)] for _ in range(count)]
        advantages = torch.linspace(-1, 2, count)
        self.model.train()
        self.model.zero_grad()
        if self.stock is None:
            options = GrpoOptions(shared_prompt=self.way == SHARED)
            lesson = GroupLesson(
                prompt=tuple(prompt),
                completions=tuple(map(tuple, written)),
                advantages=tuple(advantages.tolist()),
                taking_part=(True,) * count,
                tokens=count * tokens,
                rows=1,
            )
            scores = group_scores(self.policy, lesson.prompt, lesson.completions, options)
            group_loss(scores, lesson, options, tokens)[0].backward()
            return
        inputs = {
            "prompt_ids": torch.tensor([prompt] * count),
            "prompt_mask": torch.ones(count, len(prompt), dtype=torch.long),
            "completion_ids": torch.tensor(written),
            "completion_mask": torch.ones(count, tokens, dtype=torch.long),
            "advantages": advantages,
            "num_items_in_batch": torch.tensor(count * tokens),
        }
        inputs = {name: value.to(device) for name, value in inputs.items()}
        self.stock.compute_loss(self.stock.model, inputs).backward()

    def generate(self, prompt: list[int], tokens: int) -> None:
        from sampleset.training.grpo.rollouts import Drawing, roll_out

        count = self.arguments.generations
        if self.stock is None:
            seeds = tuple(f"{number}" for number in range(count))
            (rollouts,) = roll_out(self.policy, [Drawing(tuple(prompt), seeds)], 1.0, tokens)
            lengths = [len(one.tokens) for one in rollouts]
        else:
            self.stock.model.eval()
            self.stock.generation_config.max_new_tokens = tokens
            written, _ = self.stock._generate_single_turn([prompt] * count, None, {}, count)
            lengths = [len(one) for one in written]
        assert lengths == [tokens] * count, lengths

    def limits(self) -> dict[str, float]:
        """Products of matrices of the stock way over those of ours, forward."""
        config = self.model.config
        prompt, tokens = self.arguments.prompt_tokens, self.arguments.completion_tokens
        count = self.arguments.generations
        width = config.num_attention_heads * (config.hidden_size // config.num_attention_heads)
        keys = width * config.num_key_value_heads // config.num_attention_heads
        layer = config.hidden_size * (2 * width + 2 * keys + 3 * config.intermediate_size)
        per_pair, head = 2 * width, config.hidden_size * config.vocab_size

        def cost(read: int, pairs: float, scored: int) -> float:
            return config.num_hidden_layers * (layer * read + per_pair * pairs) + head * scored

        whole, own = count * (prompt + tokens), count * tokens
        stock = cost(whole, count * (prompt + tokens) ** 2 / 2, own)
        shared = cost(prompt + own, prompt**2 / 2 + own * (prompt + tokens / 2), own)
        return {"limit by tokens read": whole / (prompt + own), "limit by products": stock / shared}


def adapted(arguments: argparse.Namespace) -> Any:
    import peft
    import torch
    import transformers

    torch.manual_seed(0)
    dtype = getattr(torch, arguments.dtype)
    if arguments.model:
        model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=dtype)
    else:
        config = transformers.LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=arguments.layers,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
        model = transformers.LlamaForCausalLM(config).to(dtype)
    options = peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model.to(arguments.device), options)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # at 0, half of the gradients are
            torch.nn.init.normal_(weight, std=0.02)
    return model


def one_word_tokenizer() -> Any:
    """The rollouts are never read."""
    import tokenizers
    import transformers

    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<|endoftext|>": 0}, unk_token="<|endoftext|>"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )


if __name__ == "__main__":
    main()
