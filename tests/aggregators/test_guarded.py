import pytest

from sampleset.aggregators.guarded import Guarded
from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation
from sampleset.specs import build
from sampleset.types import Usage


def answering(answer: str) -> LLMAggregator:
    text = f"{answer}</answer>"
    return LLMAggregator(
        ReplayBackend(lambda messages, seed: Generation(text, "stop", 100, 10)), mode="direct"
    )


@pytest.mark.parametrize(
    ("said", "answer", "flags"),
    [
        pytest.param("1", "1", (), id="given twice"),
        pytest.param("\\frac{2}{2}", "\\frac{2}{2}", (), id="given twice in another spelling"),
        pytest.param("7", "3", ("guarded",), id="given once"),
        pytest.param("9", "3", ("new_answer", "guarded"), id="given by no sample"),
    ],
)
async def test_an_answer_needs_enough_samples(make_set, said: str, answer: str, flags: tuple[str, ...]):
    given = await Guarded(answering(said)).aggregate(make_set(["3", "1", "3", "7", "1", "3"]))
    assert (given.answer, given.flags) == (answer, flags)
    assert given.aggregator == "guarded"
    assert given.usage == Usage(100, 10, 1)


async def test_where_no_answer_has_enough_the_vote_draws_one(make_set):
    whole = make_set(["1", "2", "7"])
    answers = {(await Guarded(answering("7"), seed=seed).aggregate(whole)).answer for seed in range(20)}
    assert answers == {"1", "2", "7"}


async def test_an_abstention_is_handed_on(make_set):
    assert (await build("guarded:inner=first_sample").aggregate(make_set([None, "1", "1"]))).answer is None


async def test_siding_with_one_other_sample_is_enough(make_set):
    """The bound is on what one sample alone says."""
    given = await Guarded(answering("7")).aggregate(make_set(["3", "3", "3", "7", "7"]))
    assert given.answer == "7"
    assert (
        await Guarded(answering("7"), votes=3).aggregate(make_set(["3", "3", "3", "7", "7"]))
    ).answer == "3"
