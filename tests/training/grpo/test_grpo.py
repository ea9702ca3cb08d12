import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("trl")

from sampleset.engines.huggingface.text import Texts  # noqa: E402
from sampleset.errors import (  # noqa: E402
    BackendError,
    DataError,
    InvalidArgumentError,
    MissingExtraError,
)
from sampleset.prompts import AGGREGATION_PROMPT  # noqa: E402
from sampleset.storage.files import write_rows  # noqa: E402
from sampleset.training.data.rows import RowCandidate, TrainingRow, row_to_json  # noqa: E402
from sampleset.training.export.export import export_checkpoint  # noqa: E402
from sampleset.training.grpo import run as grpo  # noqa: E402
from sampleset.training.grpo.checks import rows_to_write_for  # noqa: E402
from sampleset.training.grpo.rewards import advantages  # noqa: E402
from sampleset.training.grpo.rollouts import Rollout  # noqa: E402
from sampleset.training.grpo.run import train_grpo  # noqa: E402
from sampleset.training.loop import train  # noqa: E402
from sampleset.training.policy import load_weights, start_policy  # noqa: E402
from sampleset.training.recipe import GrpoOptions, LoraOptions, Recipe  # noqa: E402
from sampleset.training.sft import SftLearner  # noqa: E402
from support.tiny_model import save_tiny_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def row(number: int, answers: list[str], right: int) -> TrainingRow:
    return TrainingRow(
        id=f"sets/{number}/0",
        k=len(answers),
        places=tuple(range(len(answers))),
        prompt=(
            {"role": "user", "content": f"{number}? " + " ".join(answers)},
            {"role": "assistant", "content": "<answer>"},
        ),
        mode="direct",
        prompt_version=AGGREGATION_PROMPT,
        prompt_tokens=10,
        answer=answers[right],
        candidates=tuple(RowCandidate(one, 1, place == right) for place, one in enumerate(answers)),
        vote=answers[0],
        vote_right=right == 0,
        right_samples=1,
    )


def two_is_right(count: int, first: int, shuffled: bool = False) -> list[TrainingRow]:
    """Sets of the digit 2 and three others; 2 is right, or, shuffled, any of them."""
    generator = random.Random(first)
    rows: list[TrainingRow] = []
    for number in range(first, first + count):
        answers = [*generator.sample("1345678", 3), "2"]
        generator.shuffle(answers)
        rows.append(row(number, answers, generator.randrange(4) if shuffled else answers.index("2")))
    return rows


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def guessing(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Path:
    """A model that writes digits as answers, none more often than another."""
    folder = tmp_path_factory.mktemp("sft")
    generator = random.Random(0)
    rows = [
        replace(one, completion=f"{generator.choice('12345678')}</answer>") for one in two_is_right(40, 0)
    ]
    write_rows(folder / "rows.jsonl", map(row_to_json, rows))
    made = Recipe(
        model=str(blank),
        rows=str(folder / "rows.jsonl"),
        output_dir=str(folder / "run"),
        steps=80,
        rows_per_step=2,
        learning_rate=1e-2,
        threads=1,
        device="cpu",
        lora=None,
    )
    return train("sft", SftLearner(), made).checkpoint


def recipe(
    tmp_path: Path, model: Path, rows: list[TrainingRow], grpo: dict[str, Any] | None = None, **options: Any
) -> Recipe:
    path = tmp_path / "rows.jsonl"
    write_rows(path, map(row_to_json, rows))
    settings = {
        "output_dir": str(tmp_path / "run"),
        "steps": 1,
        "learning_rate": 1e-2,
        "threads": 1,
        "device": "cpu",
        "lora": LoraOptions(r=8, alpha=16),
        "grpo": GrpoOptions(**{"num_generations": 4, "max_completion_tokens": 12} | (grpo or {})),
    }
    return Recipe(model=str(model), rows=str(path), **settings | options)


def log_of(made: Recipe) -> list[dict[str, float]]:
    return [json.loads(line) for line in (made.folder / "log.jsonl").read_text().splitlines()]


def weights_of(made: Recipe) -> dict[str, Any]:
    policy = start_policy(made)
    load_weights(policy, made.folder / "checkpoint")
    return policy.model.state_dict()


def opened(made: Recipe, held_back: list[TrainingRow] | None = None) -> Any:
    """A run, not started."""
    return grpo._Run(made, rows_to_write_for(made.rows), held_back or [], lambda _: None)


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
    class Killed(Exception):
        pass

    def dies(progress: Any) -> None:
        if progress.step == 3:
            raise Killed

    found: list[tuple[dict[str, Any], list[dict[str, float]]]] = []
    for name in ("whole", "killed"):
        made = recipe(
            tmp_path,
            guessing,
            two_is_right(5, 0),
            options,
            steps=6,
            rows_per_step=2,
            save_every=2,
            output_dir=str(tmp_path / name),
        )
        if name == "killed":
            with pytest.raises(Killed):
                train_grpo(made, dies)
        assert train_grpo(made).steps == 6
        found.append((weights_of(made), log_of(made)))
    (whole, log), (killed, log_again) = found
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert log == log_again


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
    save, saved = grpo.checkpoint_state, list[int]()

    def dies(trainer: Any, folder: Path) -> dict[str, Any]:
        if saved:
            raise KeyboardInterrupt
        saved.append(1)
        return save(trainer, folder)

    with monkeypatch.context() as patch:
        patch.setattr(grpo, "checkpoint_state", dies)
        with pytest.raises(KeyboardInterrupt):
            train_grpo(made)
    assert (made.folder / "checkpoint.new" / "sampleset.json").exists()
    other = replace(made, output_dir=str(tmp_path / "whole"))
    train_grpo(made)
    train_grpo(other)
    assert [one["step"] for one in log_of(made)] == [1, 2, 3]
    first, second = weights_of(made), weights_of(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("loss_type", ["dapo", "dr_grpo", "bnpo", "grpo"])
def test_a_shared_prompt_gives_the_gradients_of_the_stock_trainer(
    tmp_path: Path, guessing: Path, loss_type: str
):
    """On the same rollouts, with old and reference probabilities, in float64 but for TRL's own sums."""
    made = recipe(
        tmp_path,
        guessing,
        two_is_right(4, 0),
        {"beta": 0.1, "num_iterations": 2, "temperature": 0.8, "loss_type": loss_type},
        dtype="float64",
        rows_per_step=2,
        save_every=2,
    )
    run = opened(made)
    trainer = run._trainer()
    trainer.current_gradient_accumulation_steps = 2
    model = trainer.model.double()
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data += 0.05 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    batch = [{"prompt": str(place)} for place in (0, 1) for _ in range(4)]
    model.train()
    found: dict[bool, list[Any]] = {}
    for shared in (True, False):
        run.shared_prompt = shared
        trainer._step, trainer._buffered_inputs = 0, None
        made_inputs = [trainer._prepare_inputs(batch)]
        trainer._step = 1
        made_inputs.append(trainer._prepare_inputs(batch))
        model.zero_grad()
        for number, inputs in enumerate(made_inputs):
            inputs["advantages"] = torch.linspace(-1, 1 + number, 4, dtype=torch.float64)
            trainer.compute_loss(trainer.model, inputs).backward()
        gradient = torch.cat([one.grad.flatten() for one in run._policy.trained])
        inputs = made_inputs[0]
        found[shared] = [
            inputs["completion_ids"],
            inputs["old_per_token_logps"] * inputs["completion_mask"],
            inputs["ref_per_token_logps"] * inputs["completion_mask"],
            gradient,
        ]
    for one, other in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(
            one.double(), other.double(), rtol=1e-5, atol=1e-5 * float(other.abs().max())
        )
    assert float(found[True][3].abs().max()) > 1e-3
    assert not torch.allclose(found[True][1], found[True][2], atol=1e-3)


def test_a_micro_batch_is_one_group_and_its_advantages_are_ours(tmp_path: Path, guessing: Path):
    made = recipe(tmp_path, guessing, two_is_right(4, 0), {"num_generations": 8}, rows_per_step=2)
    run = opened(made)
    trainer = run._trainer()
    trainer.model.train()
    batch = [{"prompt": str(place)} for place in (2, 0) for _ in range(8)]
    earned: list[float] = []
    trainer.reward_funcs = [lambda **given: earned.extend(run.reward(**given)) or earned]
    for number, place in enumerate((2, 0)):
        trainer._step = number
        inputs = trainer._prepare_inputs(batch)
        prompts = [
            tuple(ids[mask.bool()].tolist())
            for ids, mask in zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)
        ]
        assert prompts == [run._prompts[place]] * 8
        own = advantages(earned[8 * number : 8 * number + 8], divide_by_std=True)
        assert inputs["advantages"].tolist() == pytest.approx(own, abs=1e-4)
    assert len(set(earned)) > 1


def test_training_reads_the_tokens_that_evaluation_reads(tmp_path: Path, guessing: Path):
    rows = two_is_right(1, 0)
    run = opened(recipe(tmp_path, guessing, rows))
    texts = Texts(transformers.AutoTokenizer.from_pretrained(str(guessing)))
    assert run._prompts == [tuple(texts.prompt(rows[0].prompt))]
    made = run.roll_out(["0"] * 4, type("Trainer", (), {"state": type("State", (), {"global_step": 0})}))
    assert made["prompt_ids"] == [list(run._prompts[0])] * 4


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
    run = opened(
        recipe(tmp_path, guessing, two_is_right(1, 0), {"truncated": "mask", "max_completion_tokens": 2})
    )
    trainer = type("Trainer", (), {"state": type("State", (), {"global_step": 0})})
    made = run.roll_out(["0"] * 4, trainer)
    assert made["truncated"] == [True] * 4
    assert made["env_mask"] == [[0, 0]] * 4


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


def test_an_adapter_that_is_merged_cannot_be_held_near_itself(tmp_path: Path, blank: Path):
    rows = [replace(one, completion="2</answer>") for one in two_is_right(2, 0)]
    adapter = train("sft", SftLearner(), recipe(tmp_path, blank, rows)).checkpoint
    made = recipe(tmp_path, adapter, rows, {"beta": 0.1}, lora=None, output_dir=str(tmp_path / "other"))
    with pytest.raises(InvalidArgumentError, match=r"beta=0\.1 with lora=null.*export .* --format merged"):
        train_grpo(made)
    merged = export_checkpoint(adapter, tmp_path / "merged", "merged").folder
    train_grpo(replace(made, model=str(merged)))
    assert log_of(made)[0]["kl"] == pytest.approx(0, abs=1e-6)


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
            [replace(row(0, ["1", "2"], 1), mode="select")],
            {},
            {},
            InvalidArgumentError,
            "sampleset train select",
            id="rows to select from",
        ),
        pytest.param([], {}, {}, DataError, "no rows", id="no rows"),
        pytest.param(
            [row(0, ["1", "2"], 1)],
            {"save_every": 3},
            {"num_iterations": 2},
            InvalidArgumentError,
            "save_every=3 must be a multiple",
            id="saved amid rollouts",
        ),
        pytest.param(
            [row(0, ["1", "2"], 1)],
            {},
            {"vllm": "colocate"},
            MissingExtraError,
            "pip install vllm",
            id="vllm",
        ),
        pytest.param(
            [row(0, ["1", "2"], 1)],
            {"lora": None},
            {"beta": 0.1},
            InvalidArgumentError,
            "cannot be done from a .gguf file",
            id="two models from a gguf file",
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


def test_two_processes_train_as_one_does(tmp_path: Path, guessing: Path):
    """A group stays with one process; rewards are logged over all of them."""
    found: list[tuple[dict[str, Any], list[dict[str, float]]]] = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        made = recipe(folder, guessing, two_is_right(8, 0), steps=2, rows_per_step=4)
        held_back = folder / "held_back.jsonl"
        write_rows(held_back, map(row_to_json, two_is_right(3, 10_000)))
        made = replace(made, eval_rows=str(held_back))
        (folder / "recipe.yaml").write_text(json.dumps(made.to_dict()))
        launched = [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--cpu",
            "--num_processes",
            str(count),
        ]
        done = subprocess.run(
            [
                *launched,
                *("--num_machines", "1", "-m", "sampleset", "train", "grpo"),
                str(folder / "recipe.yaml"),
            ],
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("checkpoint: ") == 1
        found.append((weights_of(made), log_of(made)))
    (one, log), (two, log_of_two) = found
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-4)
    for single, double in zip(log, log_of_two, strict=True):
        assert double == pytest.approx(single, abs=1e-3)
