"""A verifier: rows of single samples, trained by SFT, read by the reward model that asks for a verdict."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.replay import ScoringReplayBackend
from sampleset.engines.checkpoint import CheckpointRecord, read_record
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.reward_models.generative_verifier import VERDICT_PROMPT, VERDICTS, GenerativeVerifier
from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.calibration import calibrate
from sampleset.training.data.build import DataOptions, write_training_rows
from sampleset.training.data.rows import TrainingRow, read_training_rows, row_to_json
from sampleset.training.data.targets import TargetOptions
from sampleset.training.export.model_card import model_card
from sampleset.training.grpo.run import train_grpo
from sampleset.training.loop import train
from sampleset.training.recipe import LoraOptions, Recipe
from sampleset.training.select import SelectLearner
from sampleset.training.sft import SftLearner
from support.command_line import Run
from support.training_builders import SILENT, make_row, write_sets

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
VERIFY = DataOptions(ks=(3, 4, 5), easy=1, unanimous=1, all_wrong=1, mode="verify")
SETS = {
    "hard": ["9", "9", "9", "7"],
    "easy": ["7", "7", "9"],
    "same": ["7", "7", "7"],
    "lost": ["9", "8", "9"],
}


async def made(tmp_path: Path, options: DataOptions = VERIFY):
    output = tmp_path / "rows.jsonl"
    path = write_sets(tmp_path / "sets.jsonl", SETS)
    count = await write_training_rows(output, [SampleFile(path)], SILENT, options)
    return list(read_training_rows(output)), count, list(SampleFile(path))


async def test_a_question_gives_as_many_right_samples_as_wrong_ones(tmp_path: Path):
    rows, count, sets = await made(tmp_path)
    verdicts = Counter((row.id.split("/")[1], row.target) for row in rows)
    assert verdicts == {
        ("hard", "right"): 1,
        ("hard", "wrong"): 1,
        ("easy", "right"): 1,
        ("easy", "wrong"): 1,
        ("same", "right"): 1,
        ("lost", "wrong"): 1,
    }
    assert count.targets == {"right": 3, "wrong": 3}
    answers = {stored.problem.id: SETS[stored.problem.id] for stored in sets}
    for row in rows:
        (place,) = row.places
        name = row.id.split("/")[1]
        assert row.id == f"sets/{name}/{place}"
        assert row.completion == (" Yes" if answers[name][place] == "7" else " No")
        assert f"Step {place} of {name}." in row.prompt[0]["content"]
        assert row.prompt_version == VERDICT_PROMPT


async def test_equal_samples_and_samples_without_an_answer_give_no_second_row(tmp_path: Path):
    texts = ["\\boxed{7}", " \\boxed{7} ", "I do not know.", "\\boxed{8}", "\\boxed{9}"]
    path = tmp_path / "sets.jsonl"
    write_rows(path, [{"id": "q", "question": "What is 3 + 4?", "answer": "7", "samples": texts}])
    await write_training_rows(tmp_path / "rows.jsonl", [SampleFile(path)], SILENT, VERIFY)
    rows = list(read_training_rows(tmp_path / "rows.jsonl"))
    assert sorted(row.target or "" for row in rows) == ["right", "wrong"]
    assert not any("do not know" in row.prompt[0]["content"] for row in rows)


async def test_shares_decide_about_questions_without_a_choice(tmp_path: Path):
    rows, _, _ = await made(tmp_path, replace(VERIFY, unanimous=0, all_wrong=0))
    assert {row.id.split("/")[1] for row in rows} == {"hard", "easy"}


async def test_rows_of_a_held_back_question_go_to_the_other_file(tmp_path: Path):
    rows, count, _ = await made(tmp_path, replace(VERIFY, held_back=1))
    assert (rows, count.held_back) == ([], 6)
    assert len(list(read_training_rows(tmp_path / "rows.held_back.jsonl"))) == 6


@pytest.mark.parametrize("option", [{"keep_end_tokens": 9}, {"fold": True}, {"subsets": 2}])
def test_what_would_not_be_read_so_is_refused(option: dict[str, object]):
    with pytest.raises(InvalidArgumentError, match="reads every sample whole and once"):
        replace(VERIFY, **option)


async def test_a_sample_beyond_the_context_gives_no_row(tmp_path: Path):
    wide = replace(SILENT, context_size=1000)
    path = write_sets(tmp_path / "sets.jsonl", {"q": ["7"] * 3 + ["9"]})
    count = await write_training_rows(tmp_path / "rows.jsonl", [SampleFile(path)], wide, VERIFY)
    assert count.rows == 2
    narrow = replace(SILENT, context_size=200)
    count = await write_training_rows(tmp_path / "rows.jsonl", [SampleFile(path)], narrow, VERIFY)
    assert count.dropped_rows == {"longer than the model's context": 2}


async def test_a_target_is_refused(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", SETS)
    with pytest.raises(InvalidArgumentError, match="Leave --target away"):
        await write_training_rows(
            tmp_path / "rows.jsonl", [SampleFile(path)], SILENT, VERIFY, targets=TargetOptions("answer")
        )


async def test_a_rows_chat_and_verdicts_are_those_that_the_reward_model_sends(tmp_path: Path):
    rows, _, sets = await made(tmp_path)
    sent: list[tuple[object, str]] = []

    def scores(messages: object, text: str) -> float:
        sent.append((messages, text))
        return -1.0

    verifier = GenerativeVerifier(ScoringReplayBackend(SILENT.reply, scores=scores))
    questions = {stored.problem.id: stored.sample_set for stored in sets}
    for row in rows:
        shown = questions[row.id.split("/")[1]]
        await verifier.score(shown.question, [shown.samples[row.places[0]].text])
        assert sent == [(list(row.prompt), VERDICTS[True]), (list(row.prompt), VERDICTS[False])]
        assert row.completion in VERDICTS.values()
        sent.clear()


def recipe(tmp_path: Path, rows: list[TrainingRow], model: Path, **options: object) -> Recipe:
    path = tmp_path / "train.jsonl"
    write_rows(path, map(row_to_json, rows))
    return Recipe(model=str(model), rows=str(path), output_dir=str(tmp_path / "run"), **options)  # type: ignore[arg-type]


async def test_only_sft_trains_on_such_rows(tmp_path: Path):
    pytest.importorskip("torch")
    rows, _, _ = await made(tmp_path)
    refused = recipe(tmp_path, rows, tmp_path / "gone")
    with pytest.raises(InvalidArgumentError, match=r"mode verify, not select.*`sampleset train sft`\."):
        train("select", SelectLearner("cross_entropy"), refused)
    with pytest.raises(InvalidArgumentError, match=r"GRPO cannot train.*`sampleset train sft`"):
        train_grpo(refused)
    with pytest.raises(DataError, match="mixes rows of mode select, verify"):
        train("sft", SftLearner(), recipe(tmp_path, [*rows, make_row(mode="select")], tmp_path / "gone"))
    old = [replace(row, prompt_version="verify-0") for row in rows]
    with pytest.raises(DataError, match=f"'verify-0'; this package asks under '{VERDICT_PROMPT}'"):
        train("sft", SftLearner(), recipe(tmp_path, old, tmp_path / "gone"))


def trained(record: CheckpointRecord) -> ScoringReplayBackend:
    backend = ScoringReplayBackend(SILENT.reply, scores=lambda messages, text: -1.0)
    backend.record = record  # type: ignore[attr-defined]
    return backend


def test_a_verifier_is_asked_as_it_was_trained():
    record = CheckpointRecord("base", "verify", VERDICT_PROMPT)
    assert GenerativeVerifier(trained(record)).kind == "generative_verifier"
    with pytest.raises(InvalidArgumentError, match="Leave reason=true away"):
        GenerativeVerifier(trained(record), reason=True)
    with pytest.raises(InvalidArgumentError, match="trained on the prompt 'verify-0'"):
        GenerativeVerifier(trained(replace(record, prompt_version="verify-0")))
    with pytest.raises(InvalidArgumentError, match="reward_model=generative_verifier,model=FOLDER"):
        SampleSetAggregator(trained(record))


def test_the_card_of_a_verifier_says_how_it_is_used():
    card = model_card(CheckpointRecord("transformers:base@01234567", "verify", VERDICT_PROMPT).to_json())
    assert card.partition("\n# ")[2].startswith("A trained verifier\n")
    assert "--reward-model generative_verifier,model=FOLDER" in card
    assert "--aggregator ssa" not in card


@pytest.mark.parametrize(("name", "is_right"), [("same", True), ("lost", False)])
async def test_training_teaches_the_verdict_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_right: bool
):
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    from sampleset.backends import transformers
    from sampleset.backends.transformers import TransformersBackend
    from sampleset.training.policy import start_policy
    from support.tiny_model import save_tiny_model

    every, _, sets = await made(tmp_path)
    rows = [row for row in every if row.id.startswith(f"sets/{name}/")]
    made_recipe = recipe(
        tmp_path,
        rows,
        save_tiny_model(tmp_path / "tiny"),
        steps=15,
        rows_per_step=1,
        learning_rate=1e-2,
        lora=LoraOptions(4, 8.0),
        threads=1,
        device="cpu",
    )
    examples = [SftLearner().example(row, start_policy(made_recipe)) for row in rows]
    folder = train("sft", SftLearner(), made_recipe).checkpoint
    record = read_record(folder)
    assert record is not None
    assert (record.mode, record.prompt_version) == ("verify", VERDICT_PROMPT)
    calls: list[transformers.ScoreCall] = []

    class Spy(transformers.ScoreCall):
        def __init__(self, *parts: object) -> None:
            super().__init__(*parts)  # type: ignore[arg-type]
            calls.append(self)

    monkeypatch.setattr(transformers, "ScoreCall", Spy)
    backend = TransformersBackend(str(folder), device="cpu")
    try:
        questions = {stored.problem.id: stored.sample_set for stored in sets}
        for row, example in zip(rows, examples, strict=True):
            shown = questions[row.id.split("/")[1]]
            text = shown.samples[row.places[0]].text
            (score,) = await GenerativeVerifier(backend).score(shown.question, [text])
            assert score.value is not None
            assert score.value > 0.9 if is_right else score.value < 0.1
            # The tokens read are the tokens trained on, the end token aside.
            assert example is not None
            (call,) = calls
            assert list(call.prompt) == list(example.prompt)
            yes, no = (tuple(tokens) for tokens in call.texts)
            assert example.completion[:-1] == (yes if row.target == "right" else no)
            calls.clear()
        with pytest.raises(InvalidArgumentError, match="sampleset fit-vote SETS --reward-model"):
            await calibrate(folder, backend, Path(made_recipe.rows), 2)
    finally:
        await backend.aclose()


def test_the_command_makes_rows_and_says_how_to_train_on_them(tmp_path: Path, run: Run):
    sets = write_sets(tmp_path / "s.jsonl", SETS)
    model = ["--aggregator-model", f"replay:{sets}", "--verdicts", tmp_path / "verdicts"]
    shares = ["--easy", 1, "--unanimous", 1, "--all-wrong", 1]
    output = tmp_path / "r.jsonl"
    code, out, err = run(
        "train-data", sets, "-k", "3-4", *shares, *model, "--mode", "verify", "--output", output
    )
    assert code == 0
    assert "6 rows of 4 sets" in out
    assert "hard: 2 rows of 1 sets drawn" in out
    assert "targets: right: 3, wrong: 3" in out
    assert "train sft RECIPE" in err
