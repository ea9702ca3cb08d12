"""A vote fitted on labels: its weights, its worth, its home, and labels that teach nothing."""

import asyncio
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sampleset.aggregators.base import tally
from sampleset.aggregators.learned_vote import LearnedVote
from sampleset.cli.main import app
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.storage.records import StoredSet
from sampleset.training.fit_vote import Gain as VoteGain
from sampleset.training.fit_vote import VoteFit, fit_vote, folds_of, used_on, verdict_of
from sampleset.training.labelled_sets import LabelOptions, Labels, read_labels
from sampleset.training.listwise import Choice, fitted, losses, shares, stacked
from sampleset.types import Answer, LogprobSummary, Problem, Question, Sample, SampleSet


def labelled(
    count: int,
    *,
    telling: bool = True,
    right: Callable[[random.Random], bool] = lambda chance: chance.random() < 0.45,
    seed: int = 0,
    style: str = "Some reasoning.",
    k: int = 4,
    **more,
) -> list[StoredSet]:
    """Questions whose gold answer is 1; a right sample is surer than a wrong one, if `telling`."""
    chance = random.Random(seed)
    sets: list[StoredSet] = []
    for number in range(count):
        samples: list[Sample] = []
        for index in range(k):
            is_right = right(chance)
            sure = -1.0 + (0.6 if is_right and telling else 0.0) + chance.gauss(0, 0.3)
            answer = "1" if is_right else chance.choice("23")
            text = f"{style} {'so ' * chance.randrange(5)}<answer>{answer}</answer>"
            summary = LogprobSummary(sure, sure - 1, sure, sure - 0.5)
            samples.append(Sample(index, text, "stop", logprobs=summary, **more))
        words = " ".join(chance.choices(("apples", "and", "pears", "or", "figs"), k=chance.randint(6, 12)))
        question = Question(f"q{seed}-{number}", f"How many {words}?")
        sets.append(StoredSet(SampleSet(question, tuple(samples), "mine"), Problem(question, "1"), {}))
    return sets


def fitted_quickly(labels: Labels, **more) -> VoteFit:
    """Three folds: what is asked of most tests does not hang on how good the figures are."""
    return fit_vote(labels, folds=3, **more)


async def labels_of(sets: Sequence[StoredSet], **options) -> Labels:
    return await read_labels([sets], LabelOptions(**options))


def choice(features: Sequence[Sequence[float]], *right: bool) -> Choice:
    return Choice("q", np.array(features, dtype=float), np.array(right))


def test_a_feature_that_is_right_three_times_of_four_weighs_the_log_of_its_odds():
    sets = [choice([[1.0], [0.0]], True, False)] * 3 + [choice([[1.0], [0.0]], False, True)]
    weights = fitted(stacked(sets), np.array([1e-9]), np.zeros(1))
    assert weights.tolist() == pytest.approx([math.log(3)], abs=1e-6)
    assert shares(stacked(sets[:1]), weights).tolist() == pytest.approx([0.75, 0.25])
    assert losses(stacked(sets), weights).tolist() == pytest.approx([-math.log(0.75)] * 3 + [-math.log(0.25)])


def test_two_right_candidates_of_three_share_what_is_right():
    sets = [choice([[0.0], [0.0], [0.0]], True, True, False)]
    assert losses(stacked(sets), np.zeros(1)).tolist() == pytest.approx([math.log(3 / 2)])


def test_a_feature_that_separates_all_sets_has_a_finite_weight():
    sets = [choice([[5.0], [0.0]], True, False)] * 20
    (weight,) = fitted(stacked(sets), np.array([1e-3]), np.zeros(1))
    assert 0 < weight < 10


def test_weights_that_are_not_free_stay_where_they_were():
    sets = [choice([[1.0, 0.0], [0.0, 1.0]], True, False)] * 5
    weights = fitted(stacked(sets), np.full(2, 0.1), np.array([0.3, 0.0]), [1])
    assert weights[0] == 0.3
    assert weights[1] < 0


async def test_what_tells_right_from_wrong_is_learned_and_its_worth_is_shown():
    fit = fit_vote(await labels_of(labelled(100)), folds=5)
    by_name = {one.name: one.weight * one.spread for one in fit.model.features}
    sure = sum(by_name[name] for name in ("confidence", "window", "tail", "bottom"))
    assert sure > 0.3
    assert fit.gains["vote"].low > 0
    assert fit.verdict.startswith("Use it: +")
    assert fit.right["vote"] < fit.right["learned"] <= fit.right["oracle"]


async def test_labels_that_show_nothing_leave_the_vote_as_it_is():
    fit = fitted_quickly(await labels_of(labelled(100, telling=False)))
    assert fit.verdict.startswith("Not shown")
    assert fit.gains["vote"].high > 0
    assert all(abs(one.weight * one.spread) < 0.3 for one in fit.model.features)


async def test_the_same_sets_make_the_same_file():
    first, second = [fitted_quickly(await labels_of(labelled(60))).model.to_json() for _ in range(2)]
    assert json.dumps(first) == json.dumps(second)


async def test_subsets_of_one_question_are_in_one_fold():
    labels = await labels_of(labelled(40), ks=(2, 3), subsets=2)
    assert len(labels.sets) == 160
    assert {one.n for one in labels.sets} == {2, 3}
    folds = folds_of(labels, 10)
    assert len(folds) == 40
    assert sorted(set(folds.values())) == list(range(10))


async def test_the_curve_has_the_sizes_that_the_labels_allow():
    fit = fitted_quickly(await labels_of(labelled(130)))
    assert [point.labels for point in fit.curve] == [50]


async def test_a_fitted_vote_does_what_is_told_of_it(tmp_path: Path):
    fit = fitted_quickly(await labels_of(labelled(120)))
    path = tmp_path / "vote.json"
    path.write_text(json.dumps(fit.model.to_json()))
    other = labelled(60, seed=1)
    use = used_on(fit.model, await labels_of(other))
    answers = [await LearnedVote(str(path)).aggregate(one.sample_set) for one in other]
    assert sum("away" in one.flags for one in answers) == round(60 * use.away)
    right = sum(one.answer == "1" for one in answers) / 60
    vote = np.mean([one.vote_right for one in (await labels_of(other)).sets])
    assert right - vote == pytest.approx(use.gain.difference, abs=0.02)


async def test_the_probability_that_an_answer_is_right_is_about_the_share_that_is(tmp_path: Path):
    fit = fitted_quickly(await labels_of(labelled(300)))
    path = tmp_path / "vote.json"
    path.write_text(json.dumps(fit.model.to_json()))
    answers = [await LearnedVote(str(path)).aggregate(one.sample_set) for one in labelled(300, seed=2)]
    home = [one for one in answers if one.confidence is not None]
    told = sum(one.confidence or 0.0 for one in home) / len(home)
    right = sum(one.answer == "1" for one in home) / len(home)
    assert told == pytest.approx(right, abs=0.07)
    sure = [one for one in home if (one.confidence or 0) > 0.9]
    assert len(sure) > 20
    assert sum(one.answer == "1" for one in sure) / len(sure) > 0.85


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(
            {"style": "A very long-winded solution, line by line.\n" * 30}, id="another style of samples"
        ),
        pytest.param({"k": 12}, id="another number of samples"),
    ],
)
async def test_sets_that_look_otherwise_are_away(elsewhere: dict):
    fit = fitted_quickly(await labels_of(labelled(120)))
    use = used_on(fit.model, await labels_of(labelled(40, seed=3, **elsewhere)))
    assert use.away == 1.0
    assert use.gain.difference == 0.0


async def test_sets_like_those_fitted_on_are_at_home():
    fit = fitted_quickly(await labels_of(labelled(120)))
    assert used_on(fit.model, await labels_of(labelled(120, seed=3))).away < 0.1


async def test_the_model_that_drew_a_sample_is_learned_in_a_pool():
    chance = random.Random(5)
    sets = []
    for stored in labelled(120, telling=False, right=lambda _: False):
        samples = []
        for sample in stored.sample_set.samples:
            model = "strong" if sample.index % 2 else "weak"
            answer = "1" if chance.random() < (0.7 if model == "strong" else 0.2) else chance.choice("23")
            samples.append(replace(sample, text=f"<answer>{answer}</answer>", model=model))
        sets.append(replace(stored, sample_set=replace(stored.sample_set, samples=tuple(samples))))
    fit = fitted_quickly(await labels_of(sets))
    weights = {one.name: one.weight for one in fit.model.features}
    assert weights["member:strong"] > 0.3 > -0.3 > weights["member:weak"]
    assert fit.model.home.models == ("strong", "weak")
    assert fit.gains["vote"].low > 0


async def test_names_of_models_in_a_column_of_the_row_are_pointed_out():
    sets = [replace(one, row={"sample_models": ["a", "b", "c", "d"]}) for one in labelled(60)]
    labels = await labels_of(sets)
    assert any("'sample_models'" in note and "--pool" in note for note in labels.notes)
    assert not any(name.startswith("member:a") for one in labels.sets for name in one.columns)


async def test_a_feature_that_some_records_lack_is_not_used_and_that_is_said():
    sets = labelled(80)
    for place in range(20):
        samples = tuple(replace(one, logprobs=None) for one in sets[place].sample_set.samples)
        sets[place] = replace(sets[place], sample_set=replace(sets[place].sample_set, samples=samples))
    fit = fitted_quickly(await labels_of(sets))
    assert "confidence" not in fit.model.names
    assert fit.model.training["left_out"]["confidence"] == "not recorded in 25% of the sets"
    assert "votes_and_confidence" not in fit.right


async def test_sets_without_confidences_are_decided_by_weights_that_know_none(tmp_path: Path):
    fit = fitted_quickly(await labels_of(labelled(120)))
    assert fit.model.blind is not None
    assert "confidence" not in fit.model.blind.names
    assert fit.right["without_records"] < fit.right["learned"]
    path = tmp_path / "vote.json"
    path.write_text(json.dumps(fit.model.to_json()))
    stored = labelled(1, seed=4)[0]
    samples = tuple(replace(one, logprobs=None) for one in stored.sample_set.samples)
    answer = await LearnedVote(str(path)).aggregate(replace(stored.sample_set, samples=samples))
    assert answer.flags[0] == "blind"
    assert answer.confidence is not None


async def test_features_are_left_out_by_name_or_by_group():
    labels = await labels_of(labelled(60))
    fit = fitted_quickly(labels, without=("confidence", "numbers", "length"))
    assert "confidence" not in fit.model.names
    assert "characters" not in fit.model.names
    assert "tail" in fit.model.names
    with pytest.raises(
        InvalidArgumentError, match=r"'confidenc' to leave out. There are: .*bottom.*logprobs"
    ):
        fitted_quickly(labels, without=("confidenc",))


async def test_too_few_labels_are_refused_with_how_many_it_takes():
    with pytest.raises(DataError, match=r"of the 10 labelled questions .* 20 are needed .* some 2\d lab"):
        await labels_of(labelled(10))


@pytest.mark.parametrize(
    ("is_right", "message"),
    [
        pytest.param(True, "every sample is right, so that there is nothing to learn", id="all right"),
        pytest.param(False, "no sample is right. Check the labels", id="all wrong"),
    ],
)
async def test_labels_that_are_all_alike_are_refused(is_right: bool, message: str):
    with pytest.raises(DataError, match=message):
        await labels_of(labelled(60, right=lambda _: is_right))


async def test_sets_without_a_gold_answer_teach_nothing():
    bare = [replace(one, problem=replace(one.problem, answer=None)) for one in labelled(30)]
    with pytest.raises(DataError, match="30 have none"):
        await labels_of(bare)
    labels = await labels_of([*bare, *labelled(60, seed=1)])
    assert len(labels.sets) == 60
    assert any("30 sets without a gold answer" in note for note in labels.notes)


async def test_answers_of_several_kinds_need_a_vote_each():
    text = [one.with_answer_kind("text") for one in labelled(60, seed=1)]
    with pytest.raises(DataError, match=r"several kinds \(maths, text\)"):
        fit_vote(await labels_of([*labelled(60), *text]))


async def test_a_score_that_is_the_label_itself_is_refused():
    sets = []
    for stored in labelled(60):
        samples = tuple(
            replace(one, scores={"correct_scores": float("<answer>1<" in one.text)})
            for one in stored.sample_set.samples
        )
        sets.append(replace(stored, sample_set=replace(stored.sample_set, samples=samples)))
    labels = await labels_of(sets)
    with pytest.raises(DataError, match=r"without a fault, as a label does.*--without score:correct_scores"):
        fitted_quickly(labels)
    assert fitted_quickly(labels, without=("score:correct_scores",)).verdict


async def test_other_gold_answers_change_what_is_right_and_no_feature():
    sets = labelled(60)
    other = [replace(one, problem=replace(one.problem, answer="2")) for one in sets]
    first, second = await labels_of(sets), await labels_of(other)
    assert [one.columns for one in first.sets] == [one.columns for one in second.sets]
    assert [one.right for one in first.sets] != [one.right for one in second.sets]
    assert first.digest != second.digest


async def test_a_reader_reads_several_sets_at_once_and_learns_the_same():
    class Reader:
        name = "reader"
        at_work = most = 0

        async def aggregate(self, sample_set: SampleSet) -> Answer:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            await asyncio.sleep(0)
            self.at_work -= 1
            told = (await tally(sample_set)).candidates
            shares = [1 / len(told)] * len(told) if len(told) != 2 else [0.25, 0.75]
            told = [replace(one, probability=share) for one, share in zip(told, shares, strict=True)]
            return Answer(sample_set.id, self.name, told[0].answer, candidates=tuple(told))

    sets, options = labelled(80), LabelOptions()
    together, alone = Reader(), Reader()
    labels = await read_labels([sets], options, together, max_concurrency=4)
    assert labels == await read_labels([sets], options, alone, max_concurrency=1)
    assert (together.most, alone.most) == (4, 1)


def test_fewer_than_two_folds_are_refused():
    with pytest.raises(InvalidArgumentError, match="folds=1"):
        fit_vote(Labels((), ""), folds=1)


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        pytest.param(VoteGain(0.05, 0.02, 0.08), "Use it: +5.0 of 100", id="shown"),
        # 1.96 of the error, 0.03, is 1.5 times the gain: 2.25 times the labels.
        pytest.param(VoteGain(0.02, -0.01, 0.05), "about 230 labelled questions; there are 100", id="soon"),
        pytest.param(VoteGain(-0.01, -0.03, 0.01), "The vote does as well", id="nothing"),
        pytest.param(VoteGain(-0.03, -0.05, -0.01), "Do not use it", id="harm"),
    ],
)
def test_the_verdict_is_what_the_interval_says(gain: VoteGain, words: str):
    assert words in verdict_of(gain, 100, [])


def write_sets(path: Path, sets: Sequence[StoredSet]) -> Path:
    path.write_text("".join(json.dumps(one.to_row()) + "\n" for one in sets))
    return path


def test_a_vote_is_fitted_used_and_reported_by_the_command_line(tmp_path: Path):
    train = write_sets(tmp_path / "train.jsonl", labelled(120))
    test = write_sets(tmp_path / "test.jsonl", labelled(30, seed=1))
    vote = tmp_path / "vote.json"
    run = CliRunner().invoke(app, ["fit-vote", str(train), "--output", str(vote), "--folds", "3"])
    assert run.exit_code == 0, run.output
    assert "Use it: +" in run.output
    assert "what speaks for an answer" in run.output
    assert f"learned_vote:file={vote}" in run.stderr
    spec = f"learned_vote:file={vote}"
    folder = tmp_path / "report"
    command = ["evaluate", str(test), "--aggregator", spec, "--output-dir", str(folder), "--workers", "1"]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    assert "what decided, in nats per question" in " ".join(run.output.split())
    report = json.loads((folder / "report.json").read_text())
    (learned,) = [one for one in report["files"][0]["points"][0]["methods"] if one["label"] == spec]
    assert learned["evidence"]["votes"] > 0
    assert learned["calibration"] is not None
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert any(spec in row["evidence"] for row in rows)
    run = CliRunner().invoke(app, ["report", str(folder)])
    assert run.exit_code == 0, run.output
    asked = labelled(30, seed=1)[0].sample_set.question.text
    command = ["answer", asked, "--model", f"replay:{test}", "-k", "4", "--aggregator", spec, "--json"]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    assert "away_model" in json.loads(run.stdout)["flags"]  # the replayed model is not the one fitted on


def test_the_prompts_that_were_fitted_on_are_recorded():
    sets = [
        replace(stored, sample_set=replace(stored.sample_set, prompt="solve-1")) for stored in labelled(60)
    ]
    labels = asyncio.run(read_labels([sets], LabelOptions(ks=(3,), subsets=1)))
    assert fit_vote(labels).model.home.prompts == ("solve-1",)


def test_the_command_line_says_what_is_wrong_with_labels(tmp_path: Path):
    few = write_sets(tmp_path / "few.jsonl", labelled(5))
    run = CliRunner().invoke(app, ["fit-vote", str(few), "--output", str(tmp_path / "vote.json")])
    assert isinstance(run.exception, DataError)
    assert not (tmp_path / "vote.json").exists()
    run = CliRunner().invoke(app, ["fit-vote", str(few), "--output", str(tmp_path / "vote.txt")])
    assert "must be a .json file" in str(run.exception)


def miscalculating(count: int) -> list[StoredSet]:
    """Questions whose gold answer is 7, in each of which two samples state another result of 3 + 4."""
    chance = random.Random(0)
    sets: list[StoredSet] = []
    for number in range(count):
        slips = [f"So 3 + 4 = {wrong}.\n<answer>{wrong}</answer>" for wrong in chance.choices((6, 8), k=2)]
        others = ["<answer>7</answer>" if number % 3 else "<answer>5</answer>", "<answer>9</answer>"]
        question = Question(f"q{number}", f"How many are 3 and 4 of {number}?")
        samples = tuple(Sample(index, text) for index, text in enumerate((*slips, *others)))
        sets.append(StoredSet(SampleSet(question, samples, "mine"), Problem(question, "7"), {}))
    return sets


async def test_with_a_calculator_gains_are_over_the_vote_on_what_is_stated(tmp_path: Path):
    sets = miscalculating(60)
    plain = await labels_of(sets)
    told = await labels_of(sets, calculator=True)
    assert [note for note in plain.notes if "--calculator" in note] == [
        "calculations that come to another number than is stated: 120 samples; --calculator counts what they "
        "come to"
    ]
    assert not any("--calculator" in note for note in told.notes)
    assert [one.vote_right for one in told.sets] == [one.vote_right for one in plain.sets]
    assert {one.aided_vote_right for one in told.sets} == {1.0}
    fit = fitted_quickly(told)
    assert fit.model.calculator
    assert fit.right["aided_vote"] == fit.right["learned"] == 1.0
    assert fit.gains["vote"].difference == pytest.approx(1.0 - fit.right["vote"])
    assert "aided_vote" not in fitted_quickly(plain).right

    path = tmp_path / "vote.json"
    path.write_text(json.dumps(fit.model.to_json()))
    answer = await LearnedVote(str(path)).aggregate(sets[0].sample_set)
    assert answer.answer == "7"
    assert "calculated" in answer.flags


async def test_a_vote_that_stands_aside_is_over_what_is_stated(tmp_path: Path):
    fit = fitted_quickly(await labels_of(miscalculating(60), calculator=True))
    path = tmp_path / "vote.json"
    path.write_text(json.dumps(fit.model.to_json()))
    stated = SampleSet(
        Question("q", "?"), tuple(Sample(index, "So 3 + 4 = 8.\n<answer>8</answer>") for index in range(9))
    )
    answer = await LearnedVote(str(path)).aggregate(stated)
    assert answer.answer == "8"
    assert "away" in answer.flags
    assert "calculated" not in answer.flags
