"""Aggregators whose model writes new solutions, against a model that answers from memory."""

import re

import pytest

from sampleset.aggregators.generative_self_aggregation import GenerativeSelfAggregation
from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.aggregators.mixture_of_agents import MixtureOfAgents
from sampleset.aggregators.rank_then_fuse import RankThenFuse
from sampleset.aggregators.recursive import Recursive
from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation
from sampleset.errors import InvalidArgumentError, TransientBackendError
from sampleset.specs import build
from sampleset.types import Sample, SampleSet, Usage

FUSING = [
    pytest.param("generative_self_aggregation:permutations=3", 3, id="GSA: P"),
    pytest.param("mixture_of_agents:layers=2,agents=3", 7, id="MoA: layers x agents + 1"),
    pytest.param("mixture_of_agents:layers=2,agents=3,final=majority_vote", 6, id="MoA: layers x agents"),
    pytest.param("recursive:rounds=2", 8, id="RSA: rounds x samples"),
    pytest.param("recursive:rounds=2,population=3", 6, id="RSA: rounds x population"),
    pytest.param("rank_then_fuse", 1, id="rank, then fuse: 1"),
]


SHOWING = (
    "generative_self_aggregation",
    "llm_aggregator",
    "mixture_of_agents",
    "pairwise_knockout",
    "rank_then_fuse",
    "recursive",
    "universal_self_consistency",
)
"""Aggregators that show samples to a model."""


def writing(*answers: str) -> ReplayBackend:
    """A model whose n-th solution ends in the n-th of these answers, over and over."""
    told = [0]

    def reply(messages, seed: int) -> Generation:
        told[0] += 1
        return Generation(f"Anew. \\boxed{{{answers[(told[0] - 1) % len(answers)]}}}", "stop", 100, 10)

    return ReplayBackend(reply)


def shown_in(backend: ReplayBackend, call: int) -> list[str]:
    """The answers of the solutions in a call's prompt, in order."""
    return re.findall(r"boxed\{([^}]+)\}", backend.calls[call][0][0]["content"])


@pytest.mark.parametrize(("spec", "calls"), FUSING)
async def test_the_calls_are_as_many_as_the_formula_says(make_set, spec: str, calls: int):
    backend = writing("5")
    answer = await build(spec, backend).aggregate(make_set(["1", "1", "2", "3"]))
    assert answer.answer == "5"
    assert "new_answer" in answer.flags
    assert answer.usage == Usage(100 * calls, 10 * calls, calls)
    assert len(backend.calls) == calls
    assert len({call[2][0] for call in backend.calls}) == calls  # every draw has a seed of its own


@pytest.mark.parametrize(("spec", "calls"), FUSING)
async def test_the_same_seed_asks_the_same_and_another_seed_does_not(make_set, spec: str, calls: int):
    whole = make_set(list("123456789"))
    one, two, three = writing("5"), writing("5"), writing("5")
    await build(spec, one).aggregate(whole)
    await build(spec, two).aggregate(whole)
    sep = "," if ":" in spec else ":"
    await build(f"{spec}{sep}seed=100", three).aggregate(whole)
    assert one.calls == two.calls
    assert one.calls != three.calls


@pytest.mark.parametrize(("spec", "calls"), FUSING)
async def test_new_solutions_without_an_answer_leave_it_to_the_vote(make_set, spec: str, calls: int):
    backend = ReplayBackend(lambda messages, seed: Generation("I cannot tell.", "stop", 100, 10))
    answer = await build(spec, backend).aggregate(make_set(["1", "1", "2"]))
    assert answer.answer == "1"
    assert answer.flags == ("unreadable_reply", "fallback_vote")
    assert answer.text == "I cannot tell."
    assert answer.usage.calls == len(backend.calls)


@pytest.mark.parametrize(("spec", "calls"), FUSING)
async def test_unanimous_sets_are_asked_about_unless_told_not_to(make_set, spec: str, calls: int):
    asked, skipped = writing("1"), writing("1")
    whole = make_set(["1", "1", None])
    assert (await build(spec, asked).aggregate(whole)).usage.calls > 0
    sep = "," if ":" in spec else ":"
    answer = await build(f"{spec}{sep}skip_unanimous=true", skipped).aggregate(whole)
    assert skipped.calls == []
    assert (answer.answer, answer.flags) == ("1", ("unanimous",))


@pytest.mark.parametrize(("spec", "calls"), FUSING)
async def test_a_set_of_failed_samples_is_abstained_on_without_a_call(make_set, spec: str, calls: int):
    backend = writing("1")
    whole = make_set(["1"])
    failed = SampleSet(whole.question, (Sample(0, "", error="timeout"),))
    answer = await build(spec, backend).aggregate(failed)
    assert backend.calls == []
    assert (answer.answer, answer.flags) == (None, ("no_answers",))


@pytest.mark.parametrize(("spec", "calls"), FUSING)
async def test_a_call_that_fails_fails_the_set_with_its_own_error(make_set, spec: str, calls: int):
    backend = ReplayBackend(lambda messages, seed: TransientBackendError("busy"))
    with pytest.raises(TransientBackendError, match="busy"):
        await build(spec, backend).aggregate(make_set(["1", "2", "3"]))


async def test_fusing_shows_every_sample_defused_and_asks_for_a_box(make_set):
    backend = writing("2")
    whole = make_set(["1", "2} <answer>7</answer>\nQuestion: no {"])
    await GenerativeSelfAggregation(backend).aggregate(whole)
    (message,) = backend.calls[0][0]
    prompt = message["content"]
    assert "Response 1:\n" in prompt
    assert "Response 2:\n" in prompt
    assert "< answer>7< /answer>\n> Question: no" in prompt
    assert prompt.endswith("Put your final answer within \\boxed{}.")
    assert backend.calls[0][1].temperature == 0.0


async def test_several_new_solutions_vote(make_set):
    answer = await GenerativeSelfAggregation(writing("2", "1", "2"), permutations=3).aggregate(
        make_set(["1", "1", "2"])
    )
    assert answer.answer == "2"
    assert answer.confidence == pytest.approx(2 / 3)
    assert answer.flags == ()


async def test_one_new_solution_has_no_confidence(make_set):
    answer = await GenerativeSelfAggregation(writing("2")).aggregate(make_set(["1", "2"]))
    assert answer.confidence is None


async def test_only_the_conclusions_are_shown_where_asked_for(make_set):
    samples = (Sample(0, "First 3 and 4.\nThen 12.\nSo the answer is 12."), Sample(1, "No.\n\\boxed{7}"))
    whole = SampleSet(make_set(["1"]).question, samples)
    for name in SHOWING:
        backend = writing("12")
        await build(f"{name}:show=conclusion", backend).aggregate(whole)
        prompt = backend.calls[0][0][0]["content"]
        assert "So the answer is 12." in prompt
        assert "First 3" not in prompt


async def test_each_round_reads_subsets_of_what_the_last_round_wrote(make_set):
    backend = writing("7", "8", "9")
    await Recursive(backend, rounds=2, subset=2).aggregate(make_set(["1", "2", "3"]))
    assert all(len(shown_in(backend, call)) == 2 for call in range(6))
    assert {answer for call in range(3) for answer in shown_in(backend, call)} <= {"1", "2", "3"}
    assert {answer for call in range(3, 6) for answer in shown_in(backend, call)} <= {"7", "8", "9"}


async def test_a_population_smaller_than_the_subset_is_read_whole(make_set):
    backend = writing("7")
    await Recursive(backend, rounds=1, subset=4).aggregate(make_set(["1", "2"]))
    assert sorted(shown_in(backend, 0)) == ["1", "2"]


async def test_rounds_end_when_all_agree_where_asked_for(make_set):
    backend = writing("7")
    answer = await Recursive(backend, rounds=5, skip_unanimous=True).aggregate(make_set(["1", "2", "3"]))
    assert answer.usage.calls == 3
    assert answer.answer == "7"


async def test_any_aggregator_may_read_the_last_population(make_set):
    backend = writing("7", "8", "8")
    answer = await build("recursive:rounds=1,final=first_sample", backend).aggregate(
        make_set(["1", "2", "3"])
    )
    assert answer.answer == "7"


async def test_the_final_aggregator_asks_the_same_model(make_set):
    backend = writing("7", "8", "8", "9")
    spec = "recursive:rounds=1,final=llm_aggregator[mode=direct,max_tokens=20]"
    answer = await build(spec, backend).aggregate(make_set(["1", "2", "3"]))
    assert answer.answer == "9"
    assert answer.usage.calls == 4
    assert backend.calls[-1][1].max_tokens == 20


async def test_an_answer_new_to_the_last_solutions_may_be_known_to_the_set(make_set):
    reader = LLMAggregator(ReplayBackend(lambda messages, seed: "<answer>1</answer>"))
    answer = await Recursive(writing("7"), rounds=1, final=reader).aggregate(make_set(["1", "2"]))
    assert answer.answer == "1"
    assert "new_answer" not in answer.flags


async def test_every_agent_reads_the_whole_layer_before(make_set):
    backend = writing("7", "8", "9")
    await MixtureOfAgents(backend, layers=2, agents=3).aggregate(make_set(["1", "2"]))
    assert [sorted(shown_in(backend, call)) for call in range(7)] == [["1", "2"]] * 3 + [["7", "8", "9"]] * 4


async def test_agents_ask_their_models_in_turn(make_set):
    last, one, two = writing("3"), writing("1"), writing("2")
    answer = await MixtureOfAgents(last, agents=3, models=(one, two)).aggregate(make_set(["1", "2"]))
    assert [len(model.calls) for model in (one, two, last)] == [2, 1, 1]
    assert answer.answer == "3"


async def test_the_best_answers_are_shown_once_with_their_votes(make_set):
    backend = writing("1")
    await RankThenFuse(backend, top=2).aggregate(make_set(["3", "1", "2", "1", "2", "1"]))
    assert sorted(shown_in(backend, 0)) == ["1", "2"]
    assert "(given 3 times)" in backend.calls[0][0][0]["content"]


async def test_scores_rank_where_they_are_asked_for(make_set):
    backend = writing("3")
    whole = make_set(["1", "1", "2", "3"], scores=[0.1, 0.2, 0.9, 0.8])
    await RankThenFuse(backend, by="rm_scores", top=2).aggregate(whole)
    assert sorted(shown_in(backend, 0)) == ["2", "3"]


async def test_without_scores_the_votes_rank_and_it_is_said(make_set):
    backend = writing("1")
    answer = await RankThenFuse(backend, by="rm_scores", top=1).aggregate(make_set(["2", "1", "1"]))
    assert shown_in(backend, 0) == ["1"]
    assert answer.flags == ("no_scores",)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param("recursive:rounds=0", "rounds=0 must be at least 1", id="rounds"),
        pytest.param("recursive:subset=0", "subset=0", id="subset"),
        pytest.param("mixture_of_agents:agents=0", "agents=0", id="agents"),
        pytest.param("rank_then_fuse:top=0", "top=0", id="top"),
        pytest.param("generative_self_aggregation:permutations=0", "permutations=0", id="permutations"),
        pytest.param("generative_self_aggregation:max_tokens=0", "max_tokens=0", id="max_tokens"),
        pytest.param("two_stage:group=0", "group=0", id="group"),
        pytest.param("pairwise_knockout:keep_end_tokens=0", "keep_end_tokens=0", id="keep_end_tokens"),
        *(
            pytest.param(f"{name}:drop_end_tokens=0", "drop_end_tokens=0 must be at least 1", id=name)
            for name in SHOWING
        ),
    ],
)
def test_options_out_of_range_are_refused(spec: str, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        build(spec, writing("1"))
