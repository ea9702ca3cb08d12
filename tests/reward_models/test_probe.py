"""A probe of hidden states: fitted on made-up states, read from a tiny model, used as a reward model."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sampleset.cli.main import app
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.training.fit_probe import ProbedSamples, fit_probe


def probed(count: int, *, telling: float, width: int = 30, seed: int = 0) -> list[ProbedSamples]:
    """Questions of four samples each; one number of the states tells right from wrong, as much as asked."""
    chance = np.random.default_rng(seed)
    made: list[ProbedSamples] = []
    for number in range(count):
        right = chance.random(4) < 0.5
        states = chance.normal(size=(4, width)) + chance.normal(size=width) * 3
        states[:, 0] += telling * right
        keys = tuple(f"{number}-{place}" for place in range(4))
        made.append(ProbedSamples(f"question {number}", states, right, keys))
    return made


@pytest.mark.parametrize("width", [pytest.param(30, id="few numbers"), pytest.param(300, id="many numbers")])
def test_a_number_that_tells_right_from_wrong_is_found(width: int):
    fit = fit_probe(probed(60, telling=3.0, width=width))
    assert fit.auc > 0.8
    assert np.argmax(np.abs(fit.weights)) == 0
    fresh = probed(60, telling=3.0, width=width, seed=1)
    scores = [one.states @ fit.weights + fit.bias for one in fresh]
    leads = [
        score[one.right].mean() > score[~one.right].mean()
        for one, score in zip(fresh, scores, strict=True)
        if one.right.any() and not one.right.all()
    ]
    assert np.mean(leads) > 0.8


def test_states_that_tell_nothing_score_the_samples_fitted_on_no_better_than_chance():
    found = [fit_probe(probed(60, telling=0.0, width=300, seed=seed)).auc for seed in range(4)]
    assert np.mean(found) < 0.55


def test_too_few_questions_are_refused():
    with pytest.raises(DataError, match="20 are needed to fit a probe"):
        fit_probe(probed(10, telling=1.0))


def test_the_same_samples_make_the_same_probe():
    first, second = (fit_probe(probed(40, telling=1.0)) for _ in range(2))
    assert first.weights.tolist() == second.weights.tolist()


torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from sampleset.reward_models.probe import HiddenStates, Probe, ProbeWeights, sample_key  # noqa: E402
from sampleset.specs import build  # noqa: E402
from sampleset.types import Question  # noqa: E402
from support.tiny_model import save_tiny_model  # noqa: E402

needs_warnings = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
QUESTION = Question("q", "What is 3 + 4?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


def write_probe(path: Path, folder: Path, **changes) -> str:
    model = HiddenStates(str(folder)).model.partition(":")[2]
    probe = ProbeWeights(model, (1, 2), tuple(0.1 for _ in range(64)), 0.5, {})
    path.write_text(json.dumps(probe.to_json() | changes))
    return str(path)


@needs_warnings
async def test_a_score_is_the_weighed_state_of_the_last_token(folder: Path, tmp_path: Path):
    probe = Probe(str(folder), file=write_probe(tmp_path / "probe.json", folder))
    short, long = "It is 7.", "Three and four are seven, so that the answer is 7."
    scores = await probe.score(QUESTION, [short, long, " "])
    states = HiddenStates(str(folder)).vectors(QUESTION, [long, short])
    assert scores[0].value == pytest.approx(0.1 * sum(states[1] or ()) + 0.5, abs=1e-4)
    assert scores[1].value == pytest.approx(0.1 * sum(states[0] or ()) + 0.5, abs=1e-4)
    assert (scores[2].value, scores[2].flag) == (None, "empty")
    loaded = HiddenStates(str(folder))
    loaded.vectors(QUESTION, [short])
    assert loaded.read_layers == (1, 2)


@needs_warnings
async def test_a_sample_that_was_fitted_on_has_the_score_of_a_probe_that_had_not_seen_it(
    folder: Path, tmp_path: Path
):
    seen = {sample_key(QUESTION, "It is 7."): -2.5}
    probe = Probe(str(folder), file=write_probe(tmp_path / "probe.json", folder, seen=seen))
    known, other = await probe.score(QUESTION, ["It is 7.", "It is 8."])
    assert known.value == -2.5
    assert known.usage.calls == 0
    assert other.value != -2.5
    assert other.usage.calls == 1


def test_a_probe_belongs_to_its_model(folder: Path, tmp_path: Path):
    with pytest.raises(InvalidArgumentError, match="was fitted on the states of 'other@1'"):
        Probe(str(folder), file=write_probe(tmp_path / "probe.json", folder, model="other@1"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"schema": 9}, "schema 9, where this version reads 1", id="another version"),
        pytest.param({"kind": "learned_vote"}, "is no probe", id="another file"),
        pytest.param({"weights": ["x"]}, "is no probe", id="a text for a number"),
        pytest.param({"bias": float("inf")}, "is no probe", id="not finite"),
    ],
)
def test_a_file_that_is_no_probe_is_refused(folder: Path, tmp_path: Path, changes: dict, message: str):
    with pytest.raises(DataError, match=message):
        Probe(str(folder), file=write_probe(tmp_path / "probe.json", folder, **changes))


def test_a_probe_without_its_file_says_how_to_make_one(folder: Path, tmp_path: Path):
    with pytest.raises(InvalidArgumentError, match="fit-probe"):
        Probe(str(folder))
    with pytest.raises(InputNotFoundError, match="fit-probe"):
        Probe(str(folder), file=str(tmp_path / "none.json"))


@needs_warnings
def test_a_probe_is_fitted_and_counts_in_a_learned_vote_by_the_command_line(folder: Path, tmp_path: Path):
    chance = np.random.default_rng(0)
    rows = []
    for number in range(40):
        answers = chance.choice([1, 2, 3], size=3).tolist()
        samples = [f"{'aaaa' if one == 1 else 'zz'} <answer>{one}</answer>" for one in answers]
        words = " ".join(chance.choice(["apples", "pears", "figs"], size=4 + number % 3).tolist())
        rows.append({"id": f"q{number}", "question": f"How many {words} {number}?", "answer": "1"})
        rows[-1]["samples"] = samples
    sets, probe, vote = tmp_path / "sets.jsonl", tmp_path / "probe.json", tmp_path / "vote.json"
    sets.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["fit-probe", str(sets), "--model", str(folder), "--output", str(probe), "--json"]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["auc"] > 0.8
    read = len((tmp_path / "probe.states.jsonl").read_text().splitlines())
    made = probe.read_bytes()
    run = CliRunner().invoke(app, ["fit-probe", "--config", str(tmp_path / "probe.config.json"), "--json"])
    assert run.exit_code == 0, run.output
    assert probe.read_bytes() == made
    assert len((tmp_path / "probe.states.jsonl").read_text().splitlines()) == read  # nothing is read twice
    reward = f"probe[file={probe}],model={folder}"
    run = CliRunner().invoke(app, ["fit-vote", str(sets), "--reward-model", reward, "--output", str(vote)])
    assert run.exit_code == 0, run.output
    assert "reward_model" in run.output
    assert f"learned_vote:file={vote},reward_model={reward}" in run.stderr
    assert build(f"learned_vote:file={vote},reward_model={reward}")
