import asyncio
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

from sampleset.backends.transformers import TransformersBackend  # noqa: E402
from sampleset.chat import SamplingParams  # noqa: E402
from sampleset.engines.checkpoint import read_trained_on  # noqa: E402
from sampleset.engines.gguf import resolve_embedded_model  # noqa: E402
from sampleset.engines.huggingface import precision  # noqa: E402
from sampleset.engines.huggingface.model import find_model  # noqa: E402
from sampleset.engines.huggingface.text import Texts  # noqa: E402
from sampleset.errors import (  # noqa: E402
    BackendError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
)
from sampleset.prompts import AGGREGATION_PROMPT  # noqa: E402
from sampleset.storage.files import write_rows  # noqa: E402
from sampleset.training.data.rows import TrainingRow, row_to_json  # noqa: E402
from sampleset.training.grpo.rewards import reward  # noqa: E402
from sampleset.training.loop import train  # noqa: E402
from sampleset.training.policy import load_weights, start_policy  # noqa: E402
from sampleset.training.recipe import LoraOptions, Recipe  # noqa: E402
from sampleset.training.select import SelectLearner, select_example, select_loss  # noqa: E402
from sampleset.training.sft import SftLearner  # noqa: E402
from sampleset.training.shared_prompt import branch_logprobs  # noqa: E402
from support.command_line import Run  # noqa: E402
from support.tiny_model import save_tiny_model  # noqa: E402
from support.training_builders import launcher, short_row  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
SELECT = SelectLearner("cross_entropy")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def even_is_right(count: int, first: int, shuffled: bool = False) -> list[TrainingRow]:
    """Sets of an even digit and three odd ones; the even one is right, or, shuffled, any of them."""
    generator = random.Random(first)
    rows: list[TrainingRow] = []
    for number in range(first, first + count):
        answers = [generator.choice("2468"), *generator.sample("13579", 3)]
        generator.shuffle(answers)
        right = (
            generator.randrange(4) if shuffled else next(p for p, one in enumerate(answers) if one in "2468")
        )
        rows.append(short_row(number, answers, [place == right for place in range(4)]))
    return rows


def recipe(tmp_path: Path, model: Path, rows: list[TrainingRow], **options: Any) -> Recipe:
    path = tmp_path / "rows.jsonl"
    write_rows(path, map(row_to_json, rows))
    held_back = tmp_path / "held_back.jsonl"
    write_rows(held_back, map(row_to_json, even_is_right(24, 10_000)))
    settings = {
        "output_dir": str(tmp_path / "run"),
        "eval_rows": str(held_back),
        "learning_rate": 1e-2,
        "threads": 1,
        "device": "cpu",
        "lora": LoraOptions(r=4, alpha=8),
    }
    return Recipe(model=str(model), rows=str(path), **settings | options)


def passes(model: Any, prompt: list[int], branches: list[list[int]]) -> list[Any]:
    """The same log-probabilities by a whole pass per branch."""
    found: list[Any] = []
    for branch in branches:
        logits = model(input_ids=torch.tensor([prompt + branch])).logits[0, len(prompt) - 1 : -1]
        found.append(torch.log_softmax(logits, -1).gather(1, torch.tensor(branch)[:, None])[:, 0])
    return found


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        pytest.param("GPT2", 1e-9, id="float64 throughout"),
        # Its norms compute in float32 whatever the weights are.
        pytest.param("Llama", 1e-5, id="float64 with float32 norms"),
    ],
)
def test_a_shared_prompt_gives_the_values_and_gradients_of_a_pass_per_branch(kind: str, tolerance: float):
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4} if kind == "GPT2" else {"hidden_size": 32}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=260, num_hidden_layers=2, num_attention_heads=4, initializer_range=0.2, **sizes
    )
    head = "GPT2LMHeadModel" if kind == "GPT2" else "LlamaForCausalLM"
    model = getattr(transformers, head)(config).double().eval()
    prompt, branches = [5, 9, 200, 31, 7, 90], [[4, 8, 15], [16], [23, 42, 4, 8]]
    weights = [0.3, -1.0, 2.0]
    gradients: list[list[Any]] = []
    values: list[Any] = []
    for way in (branch_logprobs, passes):
        model.zero_grad()
        found = way(model, prompt, branches)
        values.append(torch.cat(found).detach())
        sum(weight * one.sum() for weight, one in zip(weights, found, strict=True)).backward()  # pyright: ignore[reportAttributeAccessIssue]
        gradients.append([one.grad.clone() for one in model.parameters()])
    torch.testing.assert_close(values[0], values[1], rtol=tolerance, atol=1e-12)
    for shared, stock in zip(*gradients, strict=True):
        torch.testing.assert_close(shared, stock, rtol=tolerance, atol=tolerance * float(stock.abs().max()))
    assert max(float(one.abs().max()) for one in gradients[0]) > 1e-3


@pytest.mark.parametrize(("prompt", "branches"), [([], [[1]]), ([1], []), ([1], [[2], []])])
def test_a_prompt_or_branch_of_nothing_is_refused(prompt: list[int], branches: list[list[int]]):
    with pytest.raises(InvalidArgumentError, match="at least one token"):
        branch_logprobs(None, prompt, branches)


def test_the_loss_is_the_probability_of_the_right_candidates():
    log_probs = torch.tensor([0.5, 0.3, 0.2]).log()
    right = [False, True, True]
    assert float(select_loss(log_probs, right, "expected_reward")) == pytest.approx(-0.5)
    assert float(select_loss(log_probs, right, "cross_entropy")) == pytest.approx(0.6931, abs=1e-4)


def test_the_gradient_of_the_expected_reward_is_that_of_the_sum_over_all_actions():
    scores = torch.tensor([0.2, -0.4, 1.0], dtype=torch.float64, requires_grad=True)
    select_loss(torch.log_softmax(scores, 0), [False, True, False], "expected_reward").backward()
    p = torch.softmax(scores.detach(), 0)
    # d p1 / d s_c = p1 (1[c=1] - p_c)
    expected = -p[1] * (torch.tensor([0.0, 1.0, 0.0]) - p)
    torch.testing.assert_close(scores.grad, expected)


@pytest.mark.parametrize(
    ("answers", "right"),
    [
        pytest.param(["7"], [True], id="one candidate"),
        pytest.param(["7", "8"], [False, False], id="nothing right"),
    ],
)
def test_a_set_without_a_choice_teaches_nothing(tiny: Path, answers: list[str], right: list[bool]):
    from transformers import AutoTokenizer

    texts = Texts(AutoTokenizer.from_pretrained(str(tiny)))
    assert select_example(short_row(0, answers, right), texts) is None


def test_training_raises_the_reward_on_held_back_sets_and_shuffled_rewards_do_not(tmp_path: Path, tiny: Path):
    outcomes: dict[bool, tuple[float, float]] = {}
    for shuffled in (False, True):
        folder = tmp_path / str(shuffled)
        folder.mkdir()
        rows = even_is_right(120, 0, shuffled)
        summary = train("select", SELECT, recipe(folder, tiny, rows, steps=120, eval_every=120))
        outcomes[shuffled] = summary.before["eval_reward"], summary.after["eval_reward"]
    before, after = outcomes[False]
    assert after > 0.8 > 0.5 > before
    assert outcomes[True][1] < 0.5


def test_sft_raises_the_likelihood_of_what_it_imitates(tmp_path: Path, tiny: Path):
    rows = [replace(one, completion=f"{one.answer}</answer>") for one in even_is_right(40, 0)]
    made = recipe(tmp_path, tiny, rows, steps=60, eval_rows=None)
    train("sft", SftLearner(), made)
    log = [json.loads(line) for line in (made.folder / "log.jsonl").read_text().splitlines()]
    early, late = log[:10], log[-10:]
    assert sum(one["logprob"] for one in late) / 10 > sum(one["logprob"] for one in early) / 10 + 1.0


async def rewards_of(model: Path, rows: list[TrainingRow]) -> float:
    """Mean reward of what the model writes greedily on these rows."""
    backend = TransformersBackend(model=str(model), device="cpu", threads=1)
    params = SamplingParams(temperature=0.0, max_tokens=16, stop=("</answer>",))
    calls = [backend.generate(one.prompt, params, [0]) for one in rows]
    replies = [reply.text for (reply,) in await asyncio.gather(*calls)]
    await backend.aclose()
    values = [reward(f"{text}</answer>", one).value for text, one in zip(replies, rows, strict=True)]
    return sum(values) / len(values)


async def test_sft_raises_the_reward_on_held_back_sets_and_shuffled_targets_do_not(
    tmp_path: Path, tiny: Path
):
    held_back = [replace(one, mode="direct") for one in even_is_right(32, 10_000)]
    after: dict[bool, float] = {}
    for shuffled in (False, True):
        folder = tmp_path / str(shuffled)
        folder.mkdir()
        rows = [
            replace(one, mode="direct", completion=f"{one.answer}</answer>")
            for one in even_is_right(150, 0, shuffled)
        ]
        summary = train(
            "sft",
            SftLearner(),
            recipe(
                folder, tiny, rows, steps=150, rows_per_step=4, lora=None, learning_rate=3e-3, eval_rows=None
            ),
        )
        after[shuffled] = await rewards_of(summary.checkpoint, held_back)
    assert await rewards_of(tiny, held_back) < 0.3
    assert after[False] > 0.7
    assert after[True] < 0.5


@pytest.mark.parametrize(
    "last", [pytest.param(2, id="before its first checkpoint"), pytest.param(5, id="after a checkpoint")]
)
def test_a_killed_run_ends_where_an_unbroken_one_does(tmp_path: Path, tiny: Path, last: int):
    class Killed(Exception):
        pass

    def dies(progress: Any) -> None:
        if progress.step == last:
            raise Killed

    rows = even_is_right(7, 0)
    weights: list[dict[str, Any]] = []
    logs: list[str] = []
    for name in ("whole", "killed"):
        made = recipe(
            tmp_path, tiny, rows, steps=9, save_every=3, eval_every=4, output_dir=str(tmp_path / name)
        )
        if name == "killed":
            with pytest.raises(Killed):
                train("select", SELECT, made, dies)
        summary = train("select", SELECT, made)
        assert summary.steps == 9
        policy = start_policy(made)
        load_weights(policy, summary.checkpoint)
        weights.append({**policy.model.state_dict(), "prior": policy.prior.detach()})
        logs.append((made.folder / "log.jsonl").read_text())
    assert all(torch.equal(weights[0][one], weights[1][one]) for one in weights[0])
    assert logs[0] == logs[1]


@pytest.mark.filterwarnings("ignore::sampleset.engines.huggingface.precision.SlowTypeWarning")
def test_products_in_bfloat16_train_nearly_the_same_weights_in_float32(tmp_path: Path, tiny: Path):
    found: list[dict[str, Any]] = []
    for products in (None, "bfloat16"):
        made = recipe(
            tmp_path,
            tiny,
            even_is_right(4, 0),
            steps=2,
            matmul_dtype=products,
            output_dir=str(tmp_path / str(products)),
        )
        train("select", SELECT, made)
        policy = start_policy(made)
        load_weights(policy, made.folder / "checkpoint")
        found.append(policy.model.state_dict())
    whole, mixed = found
    assert all(mixed[name].dtype == torch.float32 for name in whole)
    assert any(not torch.equal(whole[name], mixed[name]) for name in whole)
    for name in whole:
        torch.testing.assert_close(mixed[name], whole[name], rtol=0, atol=0.05)


@pytest.mark.parametrize("option", ["dtype", "matmul_dtype"])
def test_a_type_in_which_the_processor_is_slow_is_warned_of(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, option: str
):
    made = recipe(tmp_path, tiny, even_is_right(4, 0), device="cpu", **{option: "bfloat16"})
    monkeypatch.setattr(precision, "slowness", lambda *_: 16.2)
    with pytest.warns(
        precision.SlowTypeWarning, match=rf"16 times as long in bfloat16 .* Leave out {option}=bfloat16"
    ):
        start_policy(made)
    monkeypatch.setattr(precision, "slowness", lambda *_: 0.6)
    start_policy(made)  # a warning would be an error


def test_a_checkpoint_says_how_it_is_to_be_asked(tmp_path: Path, tiny: Path):
    made = recipe(tmp_path, tiny, even_is_right(4, 0), steps=2, vote_prior=0.5, prior_learning_rate=0.0)
    summary = train("select", SELECT, made)
    record = json.loads((summary.checkpoint / "sampleset.json").read_text())
    assert record["mode"] == "select"
    assert record["prompt_version"] == AGGREGATION_PROMPT
    assert record["base_model"].startswith("transformers:tiny@")
    assert record["vote_weight"] == 0.5
    assert record["training"]["steps_done"] == 2
    assert len({file.stat().st_mode for file in summary.checkpoint.iterdir()}) == 1


def test_only_the_last_layers_are_adapted_where_asked_for(tmp_path: Path, tiny: Path):
    lora = LoraOptions(r=2, last_layers=1)
    policy = start_policy(recipe(tmp_path, tiny, even_is_right(1, 0), lora=lora))
    adapted = {name for name, one in policy.model.named_parameters() if one.requires_grad}
    assert adapted
    assert all(".layers.1." in name for name in adapted)


def test_another_recipe_does_not_go_on_in_a_runs_folder(tmp_path: Path, tiny: Path):
    made = recipe(tmp_path, tiny, even_is_right(4, 0), steps=1)
    train("select", SELECT, made)
    with pytest.raises(InvalidArgumentError, match=r"learning_rate=0\.01, not 0\.5"):
        train("select", SELECT, replace(made, learning_rate=0.5))


@pytest.mark.parametrize("name", ["rows.jsonl", "held_back.jsonl", "tiny"])
@pytest.mark.parametrize("steps", [pytest.param(2, id="amid the run"), pytest.param(1, id="after it")])
def test_a_run_does_not_go_on_with_other_rows_or_another_model_of_the_same_name(
    tmp_path: Path, name: str, steps: int
):
    class Killed(Exception):
        pass

    def dies(progress: Any) -> None:
        raise Killed

    made = recipe(tmp_path, save_tiny_model(tmp_path / "tiny"), even_is_right(4, 0), steps=steps)
    if steps == 1:
        train("select", SELECT, made)
    else:
        with pytest.raises(Killed):
            train("select", SELECT, made, dies)
    if name == "tiny":
        save_tiny_model(tmp_path / "tiny", seed=1)
    else:
        write_rows(tmp_path / name, map(row_to_json, even_is_right(4, 500)))
    with pytest.raises(InvalidArgumentError, match=f"{name} has changed since the run in .*/run' began"):
        train("select", SELECT, made)


def test_a_run_begun_before_digests_were_kept_goes_on(tmp_path: Path, tiny: Path):
    made = recipe(tmp_path, tiny, even_is_right(4, 0), steps=1)
    made.folder.mkdir()
    (made.folder / "config.json").write_text(json.dumps(made.settings("select")))
    assert train("select", SELECT, made).steps == 1
    assert "digests" not in json.loads((made.folder / "config.json").read_text())


def test_two_processes_do_not_train_into_one_folder(tmp_path: Path, tiny: Path):
    made = recipe(tmp_path, tiny, even_is_right(4, 0), steps=1, eval_rows=None)

    def trains_again(progress: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="Another process trains into"):
            train("select", SELECT, made)

    train("select", SELECT, made, trains_again)
    assert train("select", SELECT, made).steps == 1
    assert len((made.folder / "log.jsonl").read_text().splitlines()) == 1


def test_rows_that_do_not_fit_are_refused_before_the_model_is_looked_for(tmp_path: Path):
    rows, gone = even_is_right(2, 0), tmp_path / "gone"
    direct = [replace(one, mode="direct", completion="2</answer>") for one in rows]
    with pytest.raises(InvalidArgumentError, match=r"mode direct, not select.*--mode select"):
        train("select", SELECT, recipe(tmp_path, gone, direct, eval_rows=None))
    with pytest.raises(DataError, match=r"held_back\.jsonl mixes rows of mode direct, select"):
        train("sft", SftLearner(), recipe(tmp_path, gone, direct))
    with pytest.raises(DataError, match="has rows on questions of"):
        train("select", SELECT, recipe(tmp_path, gone, even_is_right(1, 10_000)))
    with pytest.raises(InputNotFoundError, match="gone"):
        train("select", SELECT, recipe(tmp_path, gone, rows))


def test_held_back_rows_of_another_file_that_share_a_question_are_refused(tmp_path: Path, tiny: Path):
    rows = [replace(one, question_digest=f"{number:012}") for number, one in enumerate(even_is_right(4, 0))]
    made = recipe(tmp_path, tiny, rows)
    held_back = [replace(one, id=f"other/{number}/0") for number, one in enumerate(rows[2:])]
    write_rows(tmp_path / "held_back.jsonl", map(row_to_json, held_back))
    with pytest.raises(DataError, match=r"has rows on questions of .*'other/0/0' for one"):
        train("select", SELECT, made)


def test_a_checkpoint_lists_the_questions_trained_on_and_those_of_the_model_it_started_from(
    tmp_path: Path, tiny: Path
):
    rows = [replace(one, question_digest=f"{number:012}") for number, one in enumerate(even_is_right(4, 0))]
    first = train("select", SELECT, recipe(tmp_path, tiny, rows[:2], steps=1, eval_rows=None)).checkpoint
    assert (first / "trained_on.txt").read_text() == "000000000000\n000000000001\n"
    further = recipe(tmp_path, first, rows[2:], steps=1, eval_rows=None, output_dir=str(tmp_path / "second"))
    second = train("select", SELECT, further).checkpoint
    assert read_trained_on(second) == {f"{number:012}" for number in range(4)}
    old = replace(rows[0], question_digest=None)
    unknown = recipe(tmp_path, first, [old], steps=1, eval_rows=None, output_dir=str(tmp_path / "third"))
    assert read_trained_on(train("select", SELECT, unknown).checkpoint) is None


def test_an_adapter_is_merged_where_every_weight_is_trained(tmp_path: Path, tiny: Path):
    rows = even_is_right(4, 0)
    first = train("select", SELECT, recipe(tmp_path, tiny, rows, steps=1, eval_rows=None)).checkpoint
    second = recipe(
        tmp_path, first, rows, steps=2, eval_rows=None, lora=None, output_dir=str(tmp_path / "second")
    )
    before = start_policy(second)
    assert len(before.trained) == len(list(before.model.parameters()))
    checkpoint = train("select", SELECT, second).checkpoint
    assert (checkpoint / "model.safetensors").exists()
    after = start_policy(second)
    load_weights(after, checkpoint)
    changed = [
        name
        for name, weight in after.model.named_parameters()
        if not torch.equal(weight, before.model.get_parameter(name))
    ]
    assert any("embed_tokens" in name for name in changed)
    assert len(changed) > 10


def test_an_adapter_trained_further_keeps_its_layers(tmp_path: Path, tiny: Path):
    whole = LoraOptions(r=4, alpha=8)
    upper = replace(whole, last_layers=1)
    for lora, other in ((whole, upper), (upper, replace(whole, last_layers=2))):
        folder = tmp_path / str(lora.last_layers)
        folder.mkdir()
        made = recipe(folder, tiny, even_is_right(2, 0), steps=1, eval_rows=None, lora=lora)
        further = replace(made, model=str(train("select", SELECT, made).checkpoint))
        assert start_policy(further).trained
        assert start_policy(replace(further, lora=whole)).trained
        with pytest.raises(InvalidArgumentError, match=rf"last_layers={other.last_layers}\. Leave it out"):
            start_policy(replace(further, lora=other))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_device_that_is_not_there_is_named_with_the_remedy(tmp_path: Path, tiny: Path, device: str):
    made = recipe(tmp_path, tiny, even_is_right(1, 0), device=device)
    with pytest.raises(InvalidArgumentError, match=rf"device='{device}' cannot be used.*pytorch\.org"):
        start_policy(made)


def test_rows_of_another_prompt_or_of_nothing_are_refused(tmp_path: Path, tiny: Path):
    rows = [replace(one, prompt_version="aggregate-0") for one in even_is_right(2, 0)]
    with pytest.raises(DataError, match="version 'aggregate-0'"):
        train("select", SELECT, recipe(tmp_path, tiny, rows))
    with pytest.raises(DataError, match="None of the 1 row can be learnt from"):
        train("select", SELECT, recipe(tmp_path, tiny, [short_row(0, ["7"], [True])]))
    with pytest.raises(DataError, match="has rows on questions of"):
        train("select", SELECT, recipe(tmp_path, tiny, even_is_right(1, 10_000)))


def test_the_command_trains_goes_on_and_says_what_came_of_it(tmp_path: Path, tiny: Path, run: Run):
    made = recipe(tmp_path, tiny, even_is_right(10, 0), steps=3)
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(made.to_dict()))

    code, out, _ = run("train", "select", str(path), "--set", "lora.r=2", "--set", "steps=2", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["steps"] == 2
    assert set(found["held_back"]["eval_reward"]) == {"before", "after"}
    config = json.loads((made.folder / "config.json").read_text())
    assert config["lora"] == {"r": 2, "alpha": 8, "last_layers": None}
    assert run("train", "select", str(path), "--set", "lora.r=2", "--set", "steps=2", "--json")[1] == out
    code, out, err = run("train", "dpo", str(path))
    assert (code, out) == (2, "")
    assert "'dpo'" in err


@pytest.mark.timeout(600)
def test_two_processes_train_as_one_does(tmp_path: Path, tiny: Path):
    """The rows of a step are shared out and their gradients summed."""
    weights: list[dict[str, Any]] = []
    logs: list[list[dict[str, float]]] = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        made = recipe(
            folder, tiny, even_is_right(8, 0), steps=3, rows_per_step=4, output_dir=str(folder / "run")
        )
        path = folder / "recipe.yaml"
        path.write_text(json.dumps(made.to_dict()))
        done = subprocess.run(
            [sys.executable, *launcher(count), "-m", "sampleset", "train", "select", str(path)],
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("checkpoint: ") == 1
        policy = start_policy(made)
        load_weights(policy, made.folder / "checkpoint")
        weights.append({**policy.model.state_dict(), "prior": policy.prior.detach()})
        logs.append([json.loads(line) for line in (made.folder / "log.jsonl").read_text().splitlines()])
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-4, atol=1e-5)
    for one, two in zip(*logs, strict=True):
        assert two == pytest.approx(one, abs=1e-4)


def test_figures_go_to_a_tracker_on_request(tmp_path: Path, tiny: Path):
    pytest.importorskip("tensorboard")
    made = recipe(tmp_path, tiny, even_is_right(4, 0), steps=2, report_to="tensorboard")
    train("select", SELECT, made)
    assert list(made.folder.rglob("events.out.tfevents*"))


def test_an_unknown_tracker_is_named(tmp_path: Path, tiny: Path):
    with pytest.raises(InvalidArgumentError, match="report_to='smoke signals'"):
        train("select", SELECT, recipe(tmp_path, tiny, even_is_right(4, 0), report_to="smoke signals"))


def test_out_of_memory_says_what_to_lower(tmp_path: Path, tiny: Path):
    class Greedy(SelectLearner):
        def losses(self, examples: Any, policy: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(BackendError, match="Lower rows_per_pass"):
        train("select", Greedy("cross_entropy"), recipe(tmp_path, tiny, even_is_right(4, 0), eval_rows=None))


def test_the_embedded_model_can_be_trained_and_is_named_without_its_place(tmp_path: Path):
    pytest.importorskip("gguf")
    try:
        resolve_embedded_model()
    except MissingExtraError:
        pytest.skip("the embedded model is not installed")
    rows = even_is_right(2, 0)
    made = recipe(tmp_path, Path("embedded"), rows, steps=1, eval_rows=None, lora=LoraOptions(2, 4, 1))
    summary = train("select", SELECT, made)
    config = json.loads((summary.checkpoint / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "embedded"
    record = json.loads((summary.checkpoint / "sampleset.json").read_text())
    assert record["base_model"].endswith("@747cb1f0")


def test_a_checkpoint_finds_a_base_that_was_named_by_a_link(tmp_path: Path, tiny: Path):
    link = tmp_path / "another-name"
    link.symlink_to(tiny)
    made = recipe(tmp_path, link, even_is_right(2, 0), steps=1, eval_rows=None)
    summary = train("select", SELECT, made)
    assert find_model(str(summary.checkpoint)).base == find_model(str(tiny))
