import inspect
import json
import math
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from sampleset.engines.huggingface.text import Texts  # noqa: E402
from sampleset.errors import (  # noqa: E402
    BackendError,
    DataError,
    InvalidArgumentError,
    MissingExtraError,
)
from sampleset.storage.files import write_rows  # noqa: E402
from sampleset.training import loop  # noqa: E402
from sampleset.training.data.rows import TrainingRow, row_to_json  # noqa: E402
from sampleset.training.grpo import run as grpo  # noqa: E402
from sampleset.training.grpo.loss import GroupLesson, importance_weights  # noqa: E402
from sampleset.training.grpo.rewards import advantages  # noqa: E402
from sampleset.training.grpo.rollouts import Rollout  # noqa: E402
from sampleset.training.grpo.run import train_grpo  # noqa: E402
from sampleset.training.loop import TrainingRun, train  # noqa: E402
from sampleset.training.recipe import LoraOptions, Recipe  # noqa: E402
from sampleset.training.sft import SftLearner  # noqa: E402
from support.grpo_builders import log_of, log_of_a_killed_run, opened, recipe, two_is_right, weights_of  # noqa: E402
from support.training_builders import launcher, short_row  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def test_grpo_raises_the_reward_on_held_back_sets_and_shuffled_rewards_do_not(tmp_path: Path, guessing: Path):
    held_back = tmp_path / "held_back.jsonl"
    write_rows(held_back, map(row_to_json, two_is_right(24, 70)))
    outcomes: dict[bool, tuple[float, float]] = {}
    for shuffled in (False, True):
        folder = tmp_path / str(shuffled)
        folder.mkdir()
        made = recipe(
            folder,
            guessing,
            two_is_right(64, 0, shuffled),
            {"num_generations": 8},
            steps=24,
            rows_per_step=4,
            eval_rows=str(held_back),
        )
        summary = train_grpo(made)
        outcomes[shuffled] = summary.before["eval_reward"], summary.after["eval_reward"]
    before, after = outcomes[False]
    assert after > 0.9 > 0.5 > before
    assert outcomes[True][1] < 0.5


def test_a_step_is_logged_with_what_the_rollouts_came_to(tmp_path: Path, guessing: Path):
    held_back = tmp_path / "held_back.jsonl"
    write_rows(held_back, map(row_to_json, two_is_right(4, 10_000)))
    made = recipe(
        tmp_path, guessing, two_is_right(8, 0), {"beta": 0.1}, rows_per_step=2, eval_rows=str(held_back)
    )
    summary = train_grpo(made)
    first, last = log_of(made)
    assert set(first) == {"step"} | {
        f"eval_{one}" for one in ("reward", "accuracy", "formatted", "truncated", "vote")
    }
    assert set(last) >= set(first) | {
        "reward",
        "accuracy",
        "formatted",
        "answered",
        "mean_length",
        "zero_variance",
        "truncated",
        "loss",
        "kl",
        "entropy",
        "grad_norm",
        "learning_rate",
    }
    record = json.loads((summary.checkpoint / "sampleset.json").read_text())
    assert (record["mode"], record["training"]["method"]) == ("direct", "grpo")
    assert record["training"]["grpo"]["beta"] == 0.1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="on policy"),
        pytest.param({"num_iterations": 2, "beta": 0.05}, id="rollouts used twice, with KL"),
    ],
)
def test_a_killed_run_ends_where_an_unbroken_one_does(
    tmp_path: Path, guessing: Path, options: dict[str, Any]
):
    log_of_a_killed_run(tmp_path, guessing, options)


def test_a_run_killed_before_its_first_checkpoint_writes_its_log_anew(tmp_path: Path, guessing: Path):
    class Killed(Exception):
        pass

    def dies(progress: Any) -> None:
        raise Killed

    held_back = tmp_path / "held_back.jsonl"
    write_rows(held_back, map(row_to_json, two_is_right(2, 10_000)))
    made = recipe(tmp_path, guessing, two_is_right(4, 0), steps=2, eval_rows=str(held_back))
    with pytest.raises(Killed):
        train_grpo(made, dies)
    assert [one["step"] for one in log_of(made)] == [0, 1]
    train_grpo(made)
    assert [one["step"] for one in log_of(made)] == [0, 1, 2]
    write_rows(held_back, map(row_to_json, two_is_right(2, 20_000)))
    with pytest.raises(InvalidArgumentError, match=r"held_back\.jsonl has changed"):
        train_grpo(made)


def test_a_kill_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch
):
    made = recipe(tmp_path, guessing, two_is_right(5, 0), steps=3, save_every=1)
    save, saved = loop.save_policy, list[int]()

    def dies(*arguments: Any) -> None:
        save(*arguments)
        if saved:
            raise KeyboardInterrupt
        saved.append(1)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_policy", dies)
        with pytest.raises(KeyboardInterrupt):
            train_grpo(made)
    assert (made.folder / "checkpoint.new" / "sampleset.json").exists()
    other = replace(made, output_dir=str(tmp_path / "whole"))
    train_grpo(made)
    train_grpo(other)
    assert [one["step"] for one in log_of(made)] == [1, 2, 3]
    first, second = weights_of(made), weights_of(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("loss_type", ["dapo", "dr_grpo", "bnpo", "grpo"])
def test_losses_and_gradients_are_those_of_the_stock_trainer(
    tmp_path: Path, guessing: Path, loss_type: str, shared: bool
):
    """TRL 1.16.0, on the same rollouts of two groups, with old and reference probabilities, in float64."""
    trl = pytest.importorskip("trl")
    made = recipe(
        tmp_path,
        guessing,
        two_is_right(4, 0),
        {
            "beta": 0.1,
            "num_iterations": 2,
            "temperature": 0.8,
            "loss_type": loss_type,
            "shared_prompt": shared,
        },
        dtype="float64",
        rows_per_step=2,
        save_every=2,
    )
    run, learner = opened(made)
    model = run.policy.model.double()
    move(model, 0)
    lessons, _ = learner.lessons(run.examples[:2], 0, run.policy, run.processes)
    lessons = [
        replace(one, advantages=tuple(torch.linspace(-1, 1 + number, 4).tolist()))
        for number, one in enumerate(lessons)
    ]
    move(model, 1)
    stock = stock_trainer(trl, made, run)
    found: list[list[Any]] = []
    for losses in (
        [loss / 2 for loss, _ in learner.losses(lessons, run.policy)],
        [stock.compute_loss(stock.model, stock_inputs(one, stock)) for one in lessons],
    ):
        model.zero_grad()
        torch.stack(losses).sum().backward()
        gradient = torch.cat([weight.grad.flatten() for weight in run.policy.trained])
        found.append([torch.stack(losses).detach(), gradient])
    for ours, theirs in zip(*found, strict=True):
        largest = float(theirs.abs().max())
        # TRL's own sums are in float32.
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-5, atol=1e-5 * largest)
    assert float(found[0][1].abs().max()) > 1e-3
    old, reference = (torch.cat(list(one or [])) for one in (lessons[0].old, lessons[0].reference))
    assert not torch.allclose(old, reference, atol=1e-3)


def move(model: Any, seed: int) -> None:
    """Move the adapter's weights by random numbers."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data += 0.05 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


def stock_trainer(trl: Any, made: Recipe, run: TrainingRun) -> Any:
    options = made.grpo
    settings = trl.GRPOConfig(
        output_dir=str(made.folder / "stock"),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_generations=4,
        max_completion_length=options.max_completion_tokens,
        temperature=options.temperature,
        beta=0.0,
        loss_type=options.loss_type,
        num_iterations=2,
        bf16=False,
        use_cpu=True,
        report_to="none",
    )
    stock = trl.GRPOTrainer(
        model=run.policy.model,
        reward_funcs=lambda **_: [0.0],
        args=settings,
        train_dataset=pytest.importorskip("datasets").Dataset.from_dict({"prompt": ["0"]}),
        processing_class=run.policy.tokenizer,
    )
    stock.beta = options.beta
    stock.current_gradient_accumulation_steps = 2
    return stock


def stock_inputs(lesson: GroupLesson, stock: Any) -> dict[str, Any]:
    pad = torch.nn.utils.rnn.pad_sequence
    completions = [torch.tensor(one) for one in lesson.completions]
    prompts = torch.tensor([lesson.prompt] * len(completions))
    return {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": pad(completions, batch_first=True),
        "completion_mask": pad([torch.ones_like(one) for one in completions], batch_first=True),
        "advantages": torch.tensor(lesson.advantages, dtype=torch.float64),
        "old_per_token_logps": pad(list(lesson.old or []), batch_first=True),
        "ref_per_token_logps": pad(list(lesson.reference or []), batch_first=True),
        "num_items_in_batch": torch.tensor(lesson.tokens),
    }


def test_what_vllm_is_asked_for_is_there_in_the_trl_that_was_read(monkeypatch: pytest.MonkeyPatch):
    """TRL 1.16.0: the parameters given, and what `generate` returns, by its own annotation and text."""
    module = pytest.importorskip("trl.generation.vllm_generation")
    assert version("trl").startswith("1.16")
    made = inspect.signature(module.VLLMGeneration.__init__).parameters
    assert {
        "model",
        "accelerator",
        "processing_class",
        "mode",
        "gpu_memory_utilization",
        "max_model_length",
        "max_num_seqs",
        "temperature",
        "max_completion_length",
        "generation_kwargs",
    } <= set(made)
    generate = module.VLLMGeneration.generate
    assert list(inspect.signature(generate).parameters)[1:4] == ["prompts", "images", "num_generations"]
    assert "Tuple of (prompt_ids, completion_ids, logprobs, logprob_token_ids)" in generate.__doc__
    assert not inspect.signature(module.VLLMGeneration.sync_weights).parameters.keys() - {"self"}


def test_rollouts_of_vllm_count_by_how_likely_they_are_here(
    tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch
):
    class Drawn:
        """vLLM as TRL links to it; it takes off the stop text of the first rollout."""

        synchronised = 0

        def sync_weights(self) -> None:
            self.synchronised += 1

        def generate(self, prompts: list[list[int]], images: None, num_generations: int) -> Any:
            assert len(prompts) == 2 * num_generations
            written = [[18], [19, 30], [20, 31, 40], [21]] * 2
            return prompts, written, [[[-0.5]] * len(one) for one in written], None

    drawn = Drawn()
    monkeypatch.setattr(grpo, "vllm_generation", lambda *_: drawn)
    made = recipe(
        tmp_path, guessing, two_is_right(4, 0), {"max_completion_tokens": 3}, steps=2, rows_per_step=2
    )
    run, learner = opened(made)
    learner._vllm = drawn
    lessons, _ = learner.lessons(run.examples[:2], 0, run.policy, run.processes)
    assert drawn.synchronised == 1
    assert lessons[0].completions == ((18,), (19, 30), (20, 31, 40), (21,))
    ((logprobs, _),) = grpo.group_scores(run.policy, lessons[0].prompt, [(18,)], made.grpo)
    expected = math.exp(float(logprobs[0]) + 0.5)
    assert lessons[0].weights is not None
    assert lessons[0].weights[0] == pytest.approx(expected if expected <= 3 else 0.0, rel=1e-4)


def test_a_rollout_far_likelier_here_than_where_it_was_drawn_does_not_count():
    here = [torch.tensor([-1.0, -1.0]), torch.tensor([-1.0]), torch.tensor([-0.1]), torch.tensor([-0.1])]
    weights = importance_weights(here, [[-1.0, -1.5], [None], [-2.0], [-2.0]], [True, True, True, False])
    assert weights == pytest.approx((math.exp(0.5), 1.0, 0.0, 1.0))


def test_the_advantages_of_a_group_are_ours(tmp_path: Path, guessing: Path):
    made = recipe(tmp_path, guessing, two_is_right(4, 0), {"num_generations": 8}, rows_per_step=2)
    run, learner = opened(made)
    chosen = [run.examples[2], run.examples[0]]
    lessons, figures = learner.lessons(chosen, 0, run.policy, run.processes)
    assert [one.prompt for one in lessons] == [one.prompt for one in chosen]
    earned = [
        [
            grpo.reward(run.policy.texts.text(tokens), example.row, truncated=len(tokens) == 12).value
            for tokens in lesson.completions
        ]
        for example, lesson in zip(chosen, lessons, strict=True)
    ]
    for lesson, rewards in zip(lessons, earned, strict=True):
        assert lesson.advantages == pytest.approx(advantages(rewards, divide_by_std=True))
    assert figures["reward"] == pytest.approx(sum(map(sum, earned)) / 16)
    assert len({one for rewards in earned for one in rewards}) > 1


def test_training_reads_the_tokens_that_evaluation_reads(tmp_path: Path, guessing: Path):
    rows = two_is_right(1, 0)
    run, _ = opened(recipe(tmp_path, guessing, rows))
    texts = Texts(transformers.AutoTokenizer.from_pretrained(str(guessing)))
    assert [one.prompt for one in run.examples] == [tuple(texts.prompt(rows[0].prompt))]


def test_a_row_drawn_twice_in_a_step_has_other_rollouts(tmp_path: Path, guessing: Path):
    run, learner = opened(recipe(tmp_path, guessing, two_is_right(1, 0), rows_per_step=2))
    drawings = learner._drawings([run.examples[0]] * 2, 3)
    assert len({seed for one in drawings for seed in one.seeds}) == 8


@pytest.mark.parametrize(("truncated", "norm"), [("mask", 0.0), ("penalise", None)])
def test_a_truncated_rollout_earns_nothing_or_takes_no_part(
    tmp_path: Path, guessing: Path, truncated: str, norm: float | None, monkeypatch: pytest.MonkeyPatch
):
    cut = Rollout((40, 41), "2</ans", truncated=True)
    whole = Rollout((18, 30), "2</answer>", truncated=False)

    def drawn(policy: Any, drawings: Any, *_: Any) -> list[list[Rollout]]:
        return [[cut, cut, cut, whole if truncated == "penalise" else cut] for _ in drawings]

    monkeypatch.setattr(grpo, "roll_out", drawn)
    made = recipe(tmp_path, guessing, two_is_right(2, 0), {"truncated": truncated})
    train_grpo(made)
    (line,) = log_of(made)
    assert line["truncated"] == (1.0 if truncated == "mask" else 0.75)
    assert line["reward"] == (0.0 if truncated == "mask" else 0.25)
    assert (line["grad_norm"] == 0) == (norm == 0.0)


def test_a_masked_rollout_still_counts_in_the_mean_of_its_group(tmp_path: Path, guessing: Path):
    made = recipe(tmp_path, guessing, two_is_right(1, 0), {"truncated": "mask", "max_completion_tokens": 2})
    run, learner = opened(made)
    (lesson,), figures = learner.lessons(run.examples, 0, run.policy, run.processes)
    assert figures["truncated"] == 1.0
    assert lesson.taking_part == (False,) * 4
    assert lesson.tokens == 0
    assert len(lesson.advantages) == 4


def test_every_weight_can_be_trained_with_a_kl_term(tmp_path: Path, guessing: Path):
    made = recipe(tmp_path, guessing, two_is_right(4, 0), {"beta": 0.1}, steps=2, lora=None, rows_per_step=4)
    summary = train_grpo(made)
    assert (summary.checkpoint / "model.safetensors").exists()
    first, second = log_of(made)
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert second["kl"] > 0


def test_an_adapter_is_trained_further_and_compared_with_itself(tmp_path: Path, guessing: Path):
    first = recipe(
        tmp_path, guessing, two_is_right(8, 0), rows_per_step=4, output_dir=str(tmp_path / "first")
    )
    started = train_grpo(first).checkpoint
    made = recipe(tmp_path, started, two_is_right(8, 0), {"beta": 0.1}, steps=2, rows_per_step=4)
    summary = train_grpo(made)
    one, two = log_of(made)
    assert one["kl"] == pytest.approx(0, abs=1e-6)
    assert two["kl"] > 0
    assert not [path for path in summary.checkpoint.iterdir() if path.is_dir()]
    records = [json.loads((path / "sampleset.json").read_text()) for path in (started, summary.checkpoint)]
    assert records[0]["base_model"] == records[1]["base_model"]
    with pytest.raises(InvalidArgumentError, match=r"has r=8, alpha=16.*Set them alike"):
        train_grpo(replace(made, lora=LoraOptions(r=4), output_dir=str(tmp_path / "other")))


def test_activations_computed_twice_give_the_same_weights(tmp_path: Path, guessing: Path):
    found: list[dict[str, Any]] = []
    for twice in (False, True):
        made = recipe(
            tmp_path,
            guessing,
            two_is_right(2, 0),
            {"gradient_checkpointing": twice},
            output_dir=str(tmp_path / str(twice)),
        )
        train_grpo(made)
        found.append(weights_of(made))
    once, twice_computed = found
    assert all(torch.equal(once[name], twice_computed[name]) for name in once)


def test_an_adapter_that_is_merged_is_held_near_itself(tmp_path: Path, blank: Path):
    rows = [replace(one, completion="2</answer>") for one in two_is_right(2, 0)]
    adapter = train("sft", SftLearner(), recipe(tmp_path, blank, rows)).checkpoint
    made = recipe(tmp_path, adapter, rows, {"beta": 0.1}, lora=None, output_dir=str(tmp_path / "other"))
    train_grpo(made)
    assert log_of(made)[0]["kl"] == pytest.approx(0, abs=1e-6)


def test_a_run_begun_with_the_trainer_of_trl_goes_on(tmp_path: Path, guessing: Path):
    made = recipe(tmp_path, guessing, two_is_right(5, 0), steps=4, save_every=2, rows_per_step=2)

    def dies(progress: Any) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_grpo(made, dies)
    path = made.folder / "checkpoint" / "training_state.pt"
    state = torch.load(path, weights_only=True)
    # As it was written: with the scheduler's state, and its start in the optimiser's groups.
    state["schedule"] = {"last_epoch": 2, "lr_lambdas": [None], "base_lrs": [0.01]}
    state["optimiser"]["param_groups"][0]["initial_lr"] = 0.01
    torch.save(state, path)
    (made.folder / "checkpoint" / "trainer_state.json").write_text("{}")
    whole = replace(made, output_dir=str(tmp_path / "whole"))
    assert train_grpo(made).steps == 4
    train_grpo(whole)
    first, second = weights_of(made), weights_of(whole)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_rows_without_room_for_a_completion_are_left_out_and_counted(tmp_path: Path, guessing: Path):
    rows = two_is_right(2, 0)
    long = replace(rows[1], prompt=({"role": "user", "content": "long " * 50}, rows[1].prompt[1]))
    made = recipe(tmp_path, guessing, [rows[0], long], max_tokens=200)
    skipped: list[int] = []
    train_grpo(made, lambda progress: skipped.append(progress.skipped))
    assert skipped == [1]
    short = replace(made, max_tokens=40, output_dir=str(tmp_path / "other"))
    with pytest.raises(DataError, match=r"room for 12 tokens of completion within 40.*Raise max_tokens"):
        train_grpo(short)
    assert train_grpo(replace(short, max_tokens=200)).steps == 1


def test_out_of_memory_says_what_to_lower(tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch):
    def greedy(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(grpo, "roll_out", greedy)
    with pytest.raises(BackendError, match=r"Lower grpo\.num_generations, grpo\.max_completion_tokens"):
        train_grpo(recipe(tmp_path, guessing, two_is_right(2, 0)))


@pytest.mark.parametrize(
    ("rows", "options", "grpo", "error", "message"),
    [
        pytest.param(
            [short_row(0, ["1", "2"], [False, True])],
            {},
            {},
            InvalidArgumentError,
            "sampleset train select",
            id="rows to select from",
        ),
        pytest.param([], {}, {}, DataError, "no rows", id="no rows"),
        pytest.param(
            [short_row(0, ["1", "2"], [False, True], mode="direct")],
            {"save_every": 3},
            {"num_iterations": 2},
            InvalidArgumentError,
            "save_every=3 must be a multiple",
            id="saved amid rollouts",
        ),
        pytest.param(
            [short_row(0, ["1", "2"], [False, True], mode="direct")],
            {},
            {"vllm": "colocate"},
            MissingExtraError,
            "pip install vllm",
            id="vllm",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(
    tmp_path: Path,
    rows: list[TrainingRow],
    options: dict[str, Any],
    grpo: dict[str, Any],
    error: type[Exception],
    message: str,
):
    model = tmp_path / "none.gguf"
    model.write_bytes(b"GGUF no model")
    with pytest.raises(error, match=message):
        train_grpo(recipe(tmp_path, model, rows, grpo, **options))


@pytest.mark.timeout(600)
def test_two_processes_train_as_one_does(tmp_path: Path, guessing: Path):
    """A group stays with one process; rewards are logged over all of them."""
    found: list[tuple[dict[str, Any], list[dict[str, float]]]] = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        made = recipe(folder, guessing, two_is_right(8, 0), {"dynamic_sampling": 2}, steps=2, rows_per_step=4)
        held_back = folder / "held_back.jsonl"
        write_rows(held_back, map(row_to_json, two_is_right(3, 10_000)))
        made = replace(made, eval_rows=str(held_back))
        (folder / "recipe.yaml").write_text(json.dumps(made.to_dict()))
        done = subprocess.run(
            [
                sys.executable,
                *launcher(count),
                "-m",
                "sampleset",
                "train",
                "grpo",
                str(folder / "recipe.yaml"),
            ],
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("checkpoint: ") == 1
        found.append((weights_of(made), log_of(made)))
    (one, log), (two, log_of_two) = found
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-4)
    for single, double in zip(log, log_of_two, strict=True):
        assert double == pytest.approx(single, abs=1e-3)
    assert sum(line.get("drawn_anew", 0) for line in log) > 0
