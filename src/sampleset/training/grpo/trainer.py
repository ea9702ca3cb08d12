"""TRL's GRPO trainer with the prompt of a group computed once, its groups kept whole, and our checkpoints.

What is replaced: the order of the rows, the split of a generated batch into micro-batches (here one group
each, in order, where TRL shuffles rollouts), the log-probabilities of rollouts, logging, saving and loading.
Advantages, loss, clipping and KL divergence are TRL's.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from sampleset.engines.huggingface.model import import_extra
from sampleset.training.memory import memory_advice
from sampleset.training.shared_prompt import branch_scores

ADVICE = (
    "grpo.num_generations, grpo.max_completion_tokens, max_tokens (longer rows are left out), "
    "lora.last_layers, or the precision (dtype=bfloat16), or set grpo.gradient_checkpointing=true"
)


class Hooks(Protocol):
    """What the trainer asks of the run."""

    shared_prompt: bool

    def order(self) -> Iterator[int]:
        """Places of rows, without end."""
        ...

    def tokens(self, prompts: Sequence[str]) -> int:
        """Tokens of the longest of these prompts with all its rollouts at full length."""
        ...

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the trainer's figures of a step."""
        ...

    def save(self, trainer: Any) -> None:
        """Write a checkpoint."""
        ...

    def load_weights(self) -> None:
        """Put the checkpoint's weights into the model."""
        ...

    def load_optimiser(self, trainer: Any) -> None:
        """Put the checkpoint's state into optimiser and schedule."""
        ...


class GroupOrder:
    """The places of rows as TRL's data loader wants them, for a whole run.

    A generation batch comes once for every micro-batch made of it, each row as often as it has rollouts.

    Args:
        places: Places of rows.
        steps: Optimiser steps.
        rows: Rows of a step, over all processes.
        generations: Rollouts of a row.
        uses: Micro-batches of a process for which a generation batch serves, all its iterations included.
        iterations: Optimiser steps with the same rollouts.
    """

    def __init__(
        self, places: Iterator[int], steps: int, rows: int, generations: int, uses: int, iterations: int
    ) -> None:
        self._places = places
        self._batches = -(-steps // iterations)
        self._rows, self._generations, self._uses = rows, generations, uses

    def __iter__(self) -> Iterator[int]:
        for _ in range(self._batches):
            chosen = [next(self._places) for _ in range(self._rows)]
            for _ in range(self._uses):
                for place in chosen:
                    yield from [place] * self._generations

    def __len__(self) -> int:
        return self._batches * self._uses * self._rows * self._generations


@functools.cache
def group_trainer() -> Any:
    """The class of the trainer; it takes `hooks` beside TRL's own arguments."""
    torch: Any = import_extra("torch")
    stock: Any = import_extra("trl").GRPOTrainer

    class GroupTrainer(stock):
        """See the module."""

        def __init__(self, hooks: Hooks, **options: Any) -> None:
            self._hooks = hooks
            self._buffered_inputs: Any = None
            base: Any = super()
            base.__init__(**options)

        def _get_train_sampler(self, dataset: Any = None) -> GroupOrder:
            args = self.args
            return GroupOrder(
                self._hooks.order(),
                args.max_steps,
                args.generation_batch_size // self.num_generations,
                self.num_generations,
                args.steps_per_generation * self.num_iterations,
                self.num_iterations,
            )

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Any:
            tokens = self._hooks.tokens([one["prompt"] for one in inputs])
            base: Any = super()
            with memory_advice(tokens, ADVICE):
                return base.training_step(model, inputs, num_items_in_batch)

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            held = self.args.steps_per_generation
            if self._step % (held * self.num_iterations) == 0 or self._buffered_inputs is None:
                made = self._generate_and_score_completions(generation_batch)
                self._buffered_inputs = [
                    _group(made, place * self.num_generations, self.num_generations) for place in range(held)
                ]
            return self._buffered_inputs[self._step % held]

        def _get_per_token_logps_and_entropies(
            self,
            model: Any,
            input_ids: Any,
            attention_mask: Any,
            logits_to_keep: int,
            batch_size: int | None = None,
            compute_entropy: bool = False,
            compute_aux_loss: bool = False,
            **others: Any,
        ) -> tuple[Any, Any, Any]:
            if not self._hooks.shared_prompt or compute_aux_loss:
                base: Any = super()
                return base._get_per_token_logps_and_entropies(
                    model,
                    input_ids,
                    attention_mask,
                    logits_to_keep,
                    batch_size,
                    compute_entropy,
                    compute_aux_loss,
                    **others,
                )
            logps, entropies = shared_logprobs(
                model, input_ids, attention_mask, logits_to_keep, self.temperature
            )
            return logps, entropies if compute_entropy else None, None

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            held: Mapping[str, Sequence[float]] = self._metrics["train"]
            means = {name: fmean(held[name]) for name in ("kl", "entropy") if held.get(name)}
            self._metrics["train"].clear()
            if "loss" in logs:
                self._hooks.log(self.state.global_step, logs | means)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            self._hooks.save(self)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            self._hooks.load_weights()

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                self._hooks.load_optimiser(self)

        def _load_rng_state(self, checkpoint: str | None) -> None:
            """Nothing is drawn from a generator that outlives a step."""

    def _group(made: Mapping[str, Any], first: int, count: int) -> dict[str, Any]:
        return {
            name: value[first : first + count] if torch.is_tensor(value) and value.dim() else value
            for name, value in made.items()
        }

    return GroupTrainer


def shared_logprobs(
    model: Any, input_ids: Any, attention_mask: Any, completion: int, temperature: float
) -> tuple[Any, Any]:
    """Log-probabilities and entropies of completions, (B, T) each; rows of equal prompts share it.

    Args:
        model: The policy.
        input_ids: Prompts, padded on the left, then completions, padded on the right: (B, P + T).
        attention_mask: 1 where there is a token.
        completion: T.
        temperature: Logits are divided by it.
    """
    torch: Any = import_extra("torch")
    rows: list[tuple[list[int], list[int]]] = [
        (ids[:-completion][mask[:-completion]].tolist(), ids[-completion:][mask[-completion:]].tolist())
        for ids, mask in zip(input_ids, attention_mask.bool(), strict=True)
    ]
    places: dict[tuple[int, ...], list[int]] = {}
    for place, (prompt, _) in enumerate(rows):
        places.setdefault(tuple(prompt), []).append(place)
    found: list[Any] = [None] * len(rows)
    for prompt, group in places.items():
        scores = branch_scores(model, prompt, [rows[place][1] for place in group], temperature)
        for place, score in zip(group, scores, strict=True):
            found[place] = torch.nn.functional.pad(torch.stack(score), (0, completion - len(score[0])))
    logprobs, entropies = torch.stack(found, dim=1)
    return logprobs, entropies.detach()


def checkpoint_state(trainer: Any, folder: Path) -> dict[str, Any]:
    """State of optimiser and schedule; the trainer's own counters go to a file in the folder."""
    trainer.state.save_to_json(str(folder / "trainer_state.json"))
    return {"optimiser": trainer.optimizer.state_dict(), "schedule": trainer.lr_scheduler.state_dict()}
