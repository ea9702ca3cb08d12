"""A fitted vote: what it picks, when it leaves that to the vote, and what its file may hold."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.aggregators.learned_vote import (
    FeatureWeight,
    Home,
    LearnedVote,
    VoteModel,
    read_vote,
    reader_identity,
)
from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.replay import ScoringReplayBackend
from sampleset.engines.checkpoint import CheckpointRecord
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.specs import build, options_of
from sampleset.types import LogprobSummary, Question, Sample, SampleSet

HOME = Home(
    answer_kind="maths",
    sizes=(2, 5),
    models=(),
    names=("confidence",),
    centre=(-1.0,),
    deviation=(0.5,),
    precision=((1.0,),),
    limit=4.0,
)
MODEL = VoteModel(
    vote_weight=1.0,
    features=(FeatureWeight("confidence", 2.0, 0.5),),
    home=HOME,
    certainty=(0.0, 1.0, 0.0, 3.0),
)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    def write(model: VoteModel = MODEL, **changes) -> str:
        path = tmp_path / "vote.json"
        path.write_text(json.dumps(model.to_json() | changes))
        return str(path)

    return write


async def test_two_unsure_votes_lose_against_one_that_is_sure(written, make_set):
    sets = make_set(["1", "1", "2"], confidences=[-1.5, -1.5, -0.5])
    answer = await LearnedVote(written()).aggregate(sets)
    # log 2 + 2·(-1.5) against log 1 + 2·(-0.5)
    chance = math.exp(-1) / (math.exp(-1) + 2 * math.exp(-3))
    assert answer.answer == "2"
    assert [one.probability for one in answer.candidates] == pytest.approx([1 - chance, chance])
    assert answer.confidence == pytest.approx(chance)  # its logit, by the certainty of this file
    assert answer.flags == ()


async def test_what_spoke_for_an_answer_adds_up_to_its_lead(written, make_set):
    answer = await LearnedVote(written()).aggregate(make_set(["1", "1", "2"], confidences=[-1.5, -1.5, -0.5]))
    assert answer.evidence == {"votes": pytest.approx(-math.log(2), abs=1e-4), "confidence": 2.0}


async def test_a_unanimous_set_has_the_certainty_of_such(written, make_set):
    answer = await LearnedVote(written()).aggregate(make_set(["1", "1"], confidences=[-1.0, -1.0]))
    assert answer.confidence == pytest.approx(1 / (1 + math.exp(-3)))
    assert "unanimous" in answer.flags


async def test_a_set_without_answers_abstains(written, make_set):
    answer = await LearnedVote(written()).aggregate(make_set([None, None]))
    assert answer.answer is None
    assert "no_answers" in answer.flags


@pytest.mark.parametrize(
    ("home", "flag"),
    [
        pytest.param(replace(HOME, answer_kind="text"), "away_kind", id="another kind of answers"),
        pytest.param(replace(HOME, models=("other",)), "away_model", id="another model"),
        pytest.param(replace(HOME, prompts=("short-1",)), "away_prompt", id="another prompt"),
        pytest.param(replace(HOME, sizes=(7, 9)), "away_size", id="fewer than half the samples"),
        pytest.param(replace(HOME, sizes=(1, 1)), "away_size", id="more than twice the samples"),
        pytest.param(replace(HOME, centre=(-4.0,)), "away_style", id="another look"),
    ],
)
async def test_a_set_away_from_home_is_answered_by_the_vote(written, make_set, home: Home, flag: str):
    sets = make_set(["1", "1", "2"], confidences=[-1.5, -1.5, -0.5])
    sets = replace(sets, model="mine", prompt="solve-1")
    path = written(replace(MODEL, home=home))
    answer = await LearnedVote(path).aggregate(sets)
    assert answer.answer == "1"
    assert answer.flags == ("away", flag, "fallback_vote")
    assert answer.confidence is None
    used = await LearnedVote(path, away="use").aggregate(sets)
    assert (used.answer, used.flags, used.confidence) == ("2", ("away", flag), None)


async def test_a_set_without_a_recorded_prompt_is_at_home_and_so_is_any_in_a_file_without_prompts(
    written, make_set
):
    sets = make_set(["1", "1", "2"], confidences=[-1.5, -1.5, -0.5])
    path = written(replace(MODEL, home=replace(HOME, prompts=("short-1",))))
    assert (await LearnedVote(path).aggregate(sets)).flags == ()
    asked = replace(sets, prompt="solve-1")
    assert (await LearnedVote(written(MODEL)).aggregate(asked)).flags == ()


async def test_a_set_whose_model_was_fitted_on_is_at_home_on_another_engine(written, make_set):
    path = written(replace(MODEL, home=replace(HOME, models=("m@12345678",))))
    sets = make_set(["1", "2"], confidences=[-1.5, -0.5])
    answer = await LearnedVote(path).aggregate(replace(sets, model="llamacpp:m@12345678"))
    assert answer.flags == ()


async def test_a_set_that_lacks_a_fitted_feature_is_answered_by_the_vote(written, make_set):
    answer = await LearnedVote(written()).aggregate(make_set(["1", "1", "2"]))
    assert (answer.answer, answer.flags) == ("1", ("features_missing",))


async def test_a_set_that_lacks_confidences_is_decided_by_the_blind_weights(written, make_set):
    features = (FeatureWeight("answer_length", 5.0, 1.0),)
    nowhere = replace(HOME, names=(), centre=(), deviation=(), precision=())
    blind = replace(MODEL, features=features, home=nowhere)
    method = LearnedVote(written(replace(MODEL, blind=blind)))
    answer = await method.aggregate(make_set(["1", "1", "22"]))
    assert (answer.answer, answer.flags) == ("22", ("blind",))
    assert (await method.aggregate(make_set(["1", "1", "22"], confidences=[-1.0] * 3))).flags == ()


async def test_one_answering_sample_without_a_number_is_enough_to_lack_a_feature(written):
    samples = tuple(
        Sample(index, f"<answer>{text}</answer>", logprobs=summary)
        for index, (text, summary) in enumerate((("1", LogprobSummary(-1, -1)), ("2", None)))
    )
    answer = await LearnedVote(written()).aggregate(SampleSet(Question("q", "?"), samples))
    assert "features_missing" in answer.flags


async def test_a_failed_draw_is_not_asked_for_its_features(written):
    samples = (
        Sample(0, "<answer>1</answer>", logprobs=LogprobSummary(-1.5, -1)),
        Sample(1, "<answer>2</answer>", logprobs=LogprobSummary(-0.5, -1)),
        Sample(2, "", error="busy"),
    )
    answer = await LearnedVote(written()).aggregate(SampleSet(Question("q", "?"), samples))
    assert (answer.answer, answer.flags) == ("2", ())


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(5)))
async def test_without_ties_the_order_of_the_samples_does_not_matter(order):
    # Hypothesis runs many orders in one test: a file of its own, outside of the fixtures.
    import tempfile

    confidences = [-1.5, -0.5, -1.1, -0.9, -0.7]
    samples = [
        Sample(place, f"<answer>{text}</answer>", logprobs=LogprobSummary(confidence, confidence))
        for place, (text, confidence) in enumerate(zip("11223", confidences, strict=True))
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vote.json"
        path.write_text(json.dumps(MODEL.to_json()))
        shuffled = SampleSet(Question("q", "?"), tuple(samples[place] for place in order))
        answer = await LearnedVote(str(path)).aggregate(shuffled)
    assert answer.answer == "2"


async def test_weights_of_nothing_but_votes_are_the_majority_vote(written, make_set):
    plain = replace(MODEL, features=(), home=replace(HOME, names=(), centre=(), deviation=(), precision=()))
    for answers in (["1", "2", "2"], ["3", "1", "3", "1"], ["5", None, "6", "6"]):
        sets = make_set(answers)
        learned = await LearnedVote(written(plain)).aggregate(sets)
        vote = await build("majority_vote").aggregate(sets)
        assert learned.answer == vote.answer


async def test_answers_of_another_kind_vote_by_equality_of_that_kind(written):
    home = replace(HOME, answer_kind="json", names=(), centre=(), deviation=(), precision=())
    sets = SampleSet(
        Question("q", "?", answer_kind="json"),
        tuple(Sample(i, text) for i, text in enumerate(('{"n": 2}', '{"n": 2.0}', '{"n": 3}'))),
    )
    answer = await LearnedVote(written(replace(MODEL, features=(), home=home))).aggregate(sets)
    assert answer.answer == '{"n": 2}'
    assert [one.votes for one in answer.candidates] == [2, 1]


READING = replace(
    MODEL, features=(FeatureWeight("reader", 1.0, 1.0),), reader="llm_aggregator:replay:m", vote_weight=0.0
)


def backend() -> ScoringReplayBackend:
    made = ScoringReplayBackend(lambda *_: "", scores=lambda _, text: 0.0 if text.startswith("2") else -3.0)
    made.model = "replay:m"
    return made


async def test_a_reader_counts_by_the_log_of_its_probability(written, make_set):
    method = build(f"learned_vote:file={written(READING)},reader=llm_aggregator[mode=select]", backend())
    answer = await method.aggregate(make_set(["1", "1", "2"], confidences=[-1.0] * 3))
    assert answer.answer == "2"
    assert answer.candidates[1].probability == pytest.approx(1 / (1 + math.exp(-3)))
    assert answer.usage.calls == 1


async def test_a_reader_that_only_names_an_answer_counts_for_that_one(written, make_set):
    replies = ScoringReplayBackend(lambda *_: "2</answer>", scores=lambda *_: 0.0)
    replies.model = "replay:m"
    method = build(f"learned_vote:file={written(READING)},reader=llm_aggregator[mode=direct]", replies)
    answer = await method.aggregate(make_set(["1", "1", "2"], confidences=[-1.0] * 3))
    assert answer.answer == "2"
    assert answer.candidates[1].probability == pytest.approx(math.e / (math.e + 1))


async def test_a_reader_is_not_asked_about_a_set_that_the_vote_answers(written, make_set):
    method = build(f"learned_vote:file={written(READING)},reader=llm_aggregator[mode=select]", backend())
    assert (await method.aggregate(make_set(["1", "1"], confidences=[-1.0] * 2))).usage.calls == 0
    assert (await method.aggregate(make_set(["1", "2"], confidences=[-9.0] * 2))).usage.calls == 0


def test_the_reader_that_was_fitted_must_be_there_and_no_other(written):
    with pytest.raises(InvalidArgumentError, match="was fitted with reader 'llm_aggregator:replay:m'"):
        build(f"learned_vote:file={written(READING)}")
    with pytest.raises(InvalidArgumentError, match="was fitted without a reader"):
        build(f"learned_vote:file={written()},reader=llm_aggregator[mode=select]", backend())


def test_a_reader_with_other_multiples_than_those_fitted_is_refused(written):
    spec = "reader=llm_aggregator[mode=select,vote_weight={}]"
    file = written(replace(READING, reader="llm_aggregator:replay:m[vote_weight=0.5]"))
    build(f"learned_vote:file={file},{spec.format(0.5)}", backend())
    with pytest.raises(InvalidArgumentError, match=r"\[vote_weight=0.7\]'.* is given.* fit the vote again"):
        build(f"learned_vote:file={file},{spec.format(0.7)}", backend())


def test_a_file_that_does_not_say_a_readers_multiples_is_read_with_a_note(written, caplog):
    spec = f"learned_vote:file={written(READING)},reader=llm_aggregator[mode=select,score_weight=2]"
    build(spec, backend())
    assert "does not say with which multiples" in caplog.text
    assert "score_weight=2 now" in caplog.text


def test_a_trained_readers_multiples_are_part_of_its_identity():
    record = CheckpointRecord(
        "m", "select", "aggregate-1", vote_weight=0.4, score_weight=0.8, max_score_tokens=12
    )
    model: Any = backend()
    model.record = record
    assert reader_identity(SampleSetAggregator(model)) == (
        "ssa:replay:m[score_weight=0.8,vote_weight=0.4,max_score_tokens=12]"
    )


def test_a_file_says_what_stands_in_it(written):
    assert read_vote(Path(written()))[0] == MODEL


def test_what_is_saved_of_its_options_names_the_files_content(written):
    method = LearnedVote(written())
    assert options_of(method) == {
        "file": method.file,
        "away": "vote",
        "steps": "last",
        "seed": 0,
        "digest": method.digest,
    }
    other = LearnedVote(written(replace(MODEL, vote_weight=2.0)))
    assert other.digest != method.digest


def test_without_a_file_the_option_is_asked_for():
    with pytest.raises(InvalidArgumentError, match="needs the option 'file'"):
        build("learned_vote")


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(InputNotFoundError, match="fit-vote"):
        LearnedVote(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"schema": 99}, "schema 99, where this version reads 1", id="another version"),
        pytest.param({"kind": "report"}, "no fitted vote", id="another file of ours"),
        pytest.param({"vote_weight": "1"}, "no fitted vote", id="a text for a number"),
        pytest.param({"vote_weight": float("nan")}, "no fitted vote", id="not a number"),
        pytest.param({"certainty": [1.0]}, "unequal lengths", id="too few numbers"),
        pytest.param({"features": [{"name": "x"}]}, "no fitted vote", id="a feature without a weight"),
    ],
)
def test_a_file_that_is_no_fitted_vote_is_refused(written, changes: dict, message: str):
    with pytest.raises(DataError, match=message):
        LearnedVote(written(**changes))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path):
    path = tmp_path / "vote.json"
    path.write_text("weights")
    with pytest.raises(DataError, match="no fitted vote"):
        LearnedVote(str(path))
