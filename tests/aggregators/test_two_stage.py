import re

import pytest

from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.aggregators.two_stage import TwoStage
from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation
from sampleset.specs import build
from sampleset.types import Usage


def saying(text: str) -> ReplayBackend:
    return ReplayBackend(lambda messages, seed: Generation(text, "stop", 100, 10))


async def test_groups_vote_and_their_answers_vote(make_set):
    answer = await TwoStage(group=3).aggregate(make_set(["1"] * 7 + ["2"] * 2))
    assert answer.answer == "1"
    assert answer.aggregator == "two_stage"
    assert answer.usage == Usage()
    assert [one.votes for one in answer.candidates] == [7, 2]


@pytest.mark.parametrize(
    ("n", "calls"),
    [
        pytest.param(4, 1, id="one group is read once"),
        pytest.param(8, 3, id="two groups and their answers"),
        pytest.param(9, 4, id="three groups and their answers"),
    ],
)
async def test_the_calls_are_as_many_as_the_formula_says(make_set, n: int, calls: int):
    backend = saying("<answer>1</answer>")
    spec = "two_stage:inner=llm_aggregator[mode=direct],group=4"
    answer = await build(spec, backend).aggregate(make_set(["1", "2", "3"] * 3).subset(range(n)))
    assert answer.answer == "1"
    assert answer.usage == Usage(100 * calls, 10 * calls, calls)
    assert len(backend.calls) == calls


async def test_every_sample_is_in_one_group_and_groups_are_of_like_size(make_set):
    backend = saying("<answer>5</answer>")
    method = TwoStage(LLMAggregator(backend, mode="direct"), MajorityVote(), group=4)
    await method.aggregate(make_set(list("123456789")))
    prompts = [call[0][0]["content"] for call in backend.calls]
    shown = [re.findall(r"boxed\{(.)\}", prompt) for prompt in prompts]
    assert [len(one) for one in shown] == [3, 3, 3]
    assert sorted(answer for one in shown for answer in one) == list("123456789")


async def test_the_second_stage_may_be_another_aggregator(make_set):
    backend = saying("<answer>2</answer>")
    spec = "two_stage:inner=majority_vote,outer=llm_aggregator[mode=direct],group=2"
    answer = await build(spec, backend).aggregate(make_set(["1", "1", "1", "2"]))
    assert answer.answer == "2"
    assert answer.usage.calls == 1


async def test_a_group_states_its_answer_to_the_second_stage(make_set):
    """Mode select shows a sample, which may spell the answer in another way; direct writes a bare tag."""
    backend = saying("7</answer>")
    method = TwoStage(LLMAggregator(backend, mode="direct"), LLMAggregator(backend, mode="direct"), group=2)
    answer = await method.aggregate(make_set(["1", "2", "3"]))
    assert answer.answer == "7"
    assert "7" in backend.calls[-1][0][0]["content"].split("Answer 1:")[1]


async def test_groups_that_abstain_have_no_say(make_set):
    answer = await TwoStage(group=1).aggregate(make_set([None, "1", "2", "1"]))
    assert answer.answer == "1"
    assert answer.flags == ("group_abstained",)


async def test_a_set_without_answers_is_abstained_on(make_set):
    answer = await TwoStage(group=1).aggregate(make_set([None, None]))
    assert answer.answer is None
    assert answer.flags == ("group_abstained", "fallback_vote", "no_answers")


async def test_groups_that_fell_back_are_flagged(make_set):
    method = TwoStage(LLMAggregator(saying("I have no idea.")), MajorityVote(), group=2)
    answer = await method.aggregate(make_set(["1", "1", "1"]))
    assert answer.answer == "1"
    assert answer.flags == ("group_fallback_vote",)


async def test_stages_nest(make_set):
    spec = "two_stage:group=4,inner=two_stage[group=2,inner=first_sample,outer=majority_vote]"
    answer = await build(spec).aggregate(make_set(["1"] * 8))
    assert answer.answer == "1"
