"""The trained aggregator asks its model as the record beside the weights says."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampleset.aggregators.calculator import Calculator
from sampleset.aggregators.llm_aggregator import LLMAggregator, candidate_confidences, softmax
from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.replay import ScoringReplayBackend
from sampleset.chat import Generation
from sampleset.engines.checkpoint import CheckpointRecord, read_record, write_record
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.models.calls import ModelCalls
from sampleset.models.retries import Patience
from sampleset.specs import options_of
from sampleset.types import Candidate, Question, Sample, SampleSet

RECORD = CheckpointRecord(
    "tiny@0123abcd", "select", "aggregate-1", vote_weight=1.5, keep_end_tokens=4, training={"steps": 3}
)


def trained(record: CheckpointRecord | None = RECORD) -> Any:
    backend: Any = ScoringReplayBackend(
        lambda messages, seed: Generation("2</answer>", "stop", 9, 3),
        scores=lambda messages, text: -0.5 if text.startswith("2") else -1.5,
    )
    backend.record = record
    return backend


async def test_it_asks_as_the_record_says(make_set):
    sets = make_set(["1", "1", "2"])
    asked, told = trained(), trained()
    answer = await SampleSetAggregator(asked).aggregate(sets)
    reader = LLMAggregator(told, mode="select", vote_weight=1.5, keep_end_tokens=4)
    expected = await reader.aggregate(sets)
    assert answer == replace(expected, aggregator="ssa")
    assert asked.calls == told.calls
    # Two votes to one: 1.5 ln 2 = 1.04 outweighs one nat.
    assert answer.answer == "1"
    assert (await LLMAggregator(trained(), mode="select").aggregate(sets)).answer == "2"


async def test_it_drops_ends_before_it_keeps_those_of_its_training(make_set):
    prompts: list[str] = []
    backend = trained()
    backend.scores = lambda messages, text: prompts.append(messages[0]["content"]) or -1.0
    await SampleSetAggregator(backend, drop_end_tokens=4).aggregate(make_set(["1", "1", "2"]))
    reader = LLMAggregator(backend, mode="select", keep_end_tokens=4, drop_end_tokens=4)
    await reader.aggregate(make_set(["1", "1", "2"]))
    assert len(prompts) == 4
    assert set(prompts) == {prompts[0]}
    assert prompts[0].count("…") == 6
    assert "boxed" not in prompts[0]


async def test_one_that_learned_from_samples_put_right_reads_them_put_right():
    texts = ["So 10 + 20 = 40.\n<answer>40</answer>", "It is <answer>2</answer>", "It is <answer>30</answer>"]
    sets = SampleSet(Question("q", "What is it?"), tuple(map(Sample, range(3), texts)))
    aided = SampleSetAggregator(trained(replace(RECORD, calculator=True)))
    within = Calculator(SampleSetAggregator(trained()))
    answer = await aided.aggregate(sets)
    assert answer == replace(await within.aggregate(sets), aggregator="ssa")
    assert [candidate.answer for candidate in answer.candidates] == ["30", "2"]
    assert answer.flags == ("calculated",)
    plain = await SampleSetAggregator(trained()).aggregate(sets)
    assert [candidate.answer for candidate in plain.candidates] == ["40", "2", "30"]


async def test_a_trained_confidence_weight_counts(make_set):
    sure = make_set(["1", "2"], confidences=[-0.1, -0.9])
    answer = await SampleSetAggregator(trained(replace(RECORD, confidence_weight=5.0))).aggregate(sure)
    assert answer.answer == "1"
    assert answer.confidence == pytest.approx(softmax([-1.5 - 0.5, -0.5 - 4.5])[0])
    unknown = SampleSetAggregator(trained(replace(RECORD, confidence_weight=5.0)))
    assert (await unknown.aggregate(make_set(["1", "2"]))).answer == "2"


async def test_sets_without_log_probabilities_have_weights_of_their_own(make_set):
    record = replace(RECORD, blind_score_weight=0.5, blind_vote_weight=0.25)
    for confidences, score, votes in (([-0.3] * 3, 1.0, 1.5), (None, 0.5, 0.25)):
        answer = await SampleSetAggregator(trained(record)).aggregate(
            make_set(["1", "1", "2"], confidences=confidences)
        )
        expected = softmax([score * -1.5 + votes * math.log(2), score * -0.5])
        assert answer.confidence == pytest.approx(max(expected))
        assert answer.answer == ("1" if expected[0] > expected[1] else "2")


def test_confidences_are_means_over_a_candidates_samples(make_set):
    sets = make_set(["1", "1", "2"], confidences=[-0.2, -0.4, -0.6])
    candidates = [Candidate("1", 2, (0, 1)), Candidate("2", 1, (2,))]
    assert candidate_confidences(sets, candidates) == pytest.approx([-0.3, -0.6])
    partly = replace(sets, samples=(*sets.samples[:2], replace(sets.samples[2], logprobs=None)))
    assert candidate_confidences(partly, candidates) is None


def test_the_record_is_seen_through_retries_and_named_in_the_options():
    asked = ModelCalls(trained(), Patience(), 2)
    options = options_of(SampleSetAggregator(asked))
    assert options["reader"]["vote_weight"] == 1.5
    assert options["reader"]["keep_end_tokens"] == 4
    assert options["permutations"] == 1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        pytest.param(None, "no trained aggregator", id="untrained"),
        pytest.param(replace(RECORD, prompt_version="aggregate-0"), "'aggregate-0'", id="another prompt"),
    ],
)
def test_a_model_that_was_not_trained_for_it_is_refused(record: CheckpointRecord | None, message: str):
    with pytest.raises(InvalidArgumentError, match=message):
        SampleSetAggregator(trained(record))


def test_a_record_is_read_as_it_was_written(tmp_path: Path):
    assert read_record(tmp_path) is None
    record = replace(RECORD, others={"gguf_base": {"name": "a.gguf"}})
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="a list"),
        pytest.param('{"schema": 9}', id="another schema"),
        pytest.param('{"schema": 1, "mode": "shout"}', id="an unknown mode"),
        pytest.param(
            '{"schema": 1, "mode": "select", "base_model": "a", "prompt_version": "b", '
            '"vote_weight": "x", "confidence_weight": 0}',
            id="a weight that is no number",
        ),
    ],
)
def test_a_broken_record_is_refused(tmp_path: Path, text: str):
    (tmp_path / "sampleset.json").write_text(text)
    with pytest.raises(DataError, match=r"sampleset\.json"):
        read_record(tmp_path)
