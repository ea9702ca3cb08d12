import re

import pytest

from sampleset.aggregators.pairwise_knockout import PairwiseKnockout
from sampleset.backends.replay import ReplayBackend, ScoringReplayBackend
from sampleset.chat import Generation


def pair_of(messages) -> list[str]:
    return re.findall(r"boxed\{([^}]+)\}", messages[0]["content"])


def preferring_greater(messages, seed: int) -> Generation:
    one, other = pair_of(messages)
    return Generation(" 1" if int(one) > int(other) else " 2", "stop", 100, 2)


async def test_the_sample_that_wins_all_its_matches_is_taken(make_set):
    backend = ReplayBackend(preferring_greater)
    answer = await PairwiseKnockout(backend).aggregate(make_set(["3", "9", "4", "4", "7"]))
    assert answer.answer == "9"
    assert answer.flags == ()
    assert answer.usage.calls == len(backend.calls) == 2 * (4 - 1)


async def test_every_pair_is_judged_in_both_orders(make_set):
    backend = ReplayBackend(preferring_greater)
    await PairwiseKnockout(backend).aggregate(make_set(["1", "2"]))
    assert sorted(pair_of(call[0]) for call in backend.calls) == [["1", "2"], ["2", "1"]]


async def test_a_judge_that_likes_a_place_leaves_it_to_the_votes(make_set):
    answer = await PairwiseKnockout(ReplayBackend(lambda messages, seed: " 1")).aggregate(
        make_set(["1", "2", "2"])
    )
    assert answer.answer == "2"
    assert answer.flags == ("judge_undecided",)


async def test_equal_votes_are_decided_by_the_seed(make_set):
    backend = ReplayBackend(lambda messages, seed: " 1")
    answers = {
        (await PairwiseKnockout(backend, seed=seed).aggregate(make_set(["1", "2"]))).answer
        for seed in range(10)
    }
    assert answers == {"1", "2"}


async def test_a_model_that_scores_is_asked_for_the_likelier_verdict(make_set):
    def score(messages, text: str) -> float:
        # It likes the first place, and the answer 7 more.
        place = int(text) - 1
        return (pair_of(messages)[place] == "7") * 2.0 - place

    backend = ScoringReplayBackend(lambda messages, seed: "", scores=score)
    answer = await PairwiseKnockout(backend).aggregate(make_set(["1", "7", "3", "1"]))
    assert answer.answer == "7"
    assert answer.usage.calls == 4
    assert backend.calls == []


async def test_judgements_that_cannot_be_read_leave_it_to_the_vote(make_set):
    answer = await PairwiseKnockout(ReplayBackend(lambda messages, seed: " neither.")).aggregate(
        make_set(["1", "2", "2"])
    )
    assert answer.answer == "2"
    assert answer.flags == ("unreadable_reply", "fallback_vote")
    assert answer.usage.calls == 2


@pytest.mark.parametrize(("fold", "calls"), [(True, 2), (False, 4)])
async def test_equal_answers_never_meet(make_set, fold: bool, calls: int):
    whole = make_set(["1", "2", "2"], id="q1")
    for seed in range(6):
        backend = ReplayBackend(preferring_greater)
        answer = await PairwiseKnockout(backend, fold=fold, seed=seed).aggregate(whole)
        assert answer.answer == "2"
        assert len(backend.calls) <= calls
        assert all(len(set(pair_of(call[0]))) == 2 for call in backend.calls)


async def test_unanimous_sets_are_not_asked_about(make_set):
    backend = ReplayBackend(preferring_greater)
    answer = await PairwiseKnockout(backend).aggregate(make_set(["1", "1", None]))
    assert (answer.answer, answer.flags, backend.calls) == ("1", ("unanimous",), [])
