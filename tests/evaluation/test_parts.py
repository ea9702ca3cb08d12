"""Tallies of parts of a set: grouped once, and the same as if each part were grouped for itself."""

import random
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.aggregators.base import tally
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.answers import AnswerGroup, Grouping, Kinds, answer_kind
from sampleset.evaluation.parts import Parts
from sampleset.types import Question, Sample, SampleSet

KINDS = Kinds(inline=True)
ANSWERS = (
    *("7", "7.0", "$7", "7 cm", "7 m", "7%", "0.07", "1/3", "0.33", "0.3333", "33.3%", "1", "100%", "1%"),
    *("8 hours", "8 hours per day", "8", "(1,2)", "1<x<2", "x+1", "1+x", "B", "seven", None, None),
)


def set_of(answers: list[str | None], kind: str = "maths") -> SampleSet:
    texts = ["" if answer is None else f"<answer>{answer}</answer>" for answer in answers]
    question = KINDS.bind(Question("q", "How much?", answer_kind=kind))
    return SampleSet(question, tuple(Sample(index, text) for index, text in enumerate(texts)))


async def check(whole: SampleSet, order: random.Random) -> None:
    parts = await Parts.of(whole)
    for size in range(1, whole.n + 1):
        places = tuple(order.sample(range(whole.n), size))
        alone = await tally(whole.subset(places))
        assert await parts.tally(places) == alone
        for method in (MajorityVote(), MajorityVote(ties="first"), MajorityVote(seed=7)):
            decision = method.decide(alone, whole.id)
            assert await parts.vote(places, method) == (decision and decision.winner.answer)


@settings(deadline=None)
@given(st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=8), st.randoms(use_true_random=False))
async def test_a_part_has_the_tally_that_it_would_have_alone(answers: list[str | None], order: random.Random):
    await check(set_of(answers), order)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=7), st.data())
async def test_a_settled_vote_is_that_of_every_part(answers: list[str | None], data: st.DataObject):
    whole = set_of(answers)
    parts = await Parts.of(whole)
    verdicts = {answer: data.draw(st.booleans()) for answer in ("1", "2", "3")} | {None: False}
    right = [verdicts[answer] for answer in answers]
    for size in range(1, whole.n + 1):
        settled = parts.settled(size, right)
        for places in combinations(range(whole.n), size):
            vote = await parts.vote(places, MajorityVote())
            assert settled is None or verdicts[vote] is settled


@pytest.mark.parametrize(
    ("answers", "size", "settled"),
    [
        pytest.param(["1", "1", "1"], 2, True, id="unanimous and right"),
        pytest.param(["2", "3", None], 2, False, id="nothing right"),
        pytest.param(["1", "1", "1", "2"], 3, True, id="always ahead"),
        pytest.param(["1", "1", "1", "2"], 2, None, id="a tie with the other"),
        pytest.param(["1", "1", None], 1, None, id="one without an answer alone"),
        pytest.param(["2", "2", "2", "2", "1"], 3, False, id="always behind"),
    ],
)
async def test_votes_that_need_no_parts(answers: list[str | None], size: int, settled: bool | None):
    parts = await Parts.of(set_of(answers))
    assert parts.settled(size, [answer == "1" for answer in answers]) is settled


@pytest.mark.parametrize("kind", ["text", "choice", "json", "number", "number:0.5"])
async def test_so_it_is_in_other_kinds(kind: str):
    order = random.Random(0)
    for _ in range(20):
        await check(set_of([order.choice(ANSWERS) for _ in range(6)], kind), order)


@pytest.mark.parametrize(
    ("answers", "groups", "restricts"),
    [
        pytest.param(["7", "7.0", "8", "B"], [(0, 1), (2,), (3,)], True, id="numbers of one value"),
        pytest.param(["7", "7.0", "$7", "8"], [(0, 1, 2), (3,)], False, id="two readings of a number"),
        pytest.param(["x+1", "7", "8"], [(0,), (1,), (2,)], True, id="nothing joined"),
        pytest.param(["7%", "8"], [(0,), (1,)], True, id="a percentage that stands alone"),
        pytest.param(["7%", "7"], [(0, 1)], False, id="a percentage beside its number"),
        pytest.param(["1/3", "0.3333"], [(0, 1)], False, id="a decimal near a fraction"),
        pytest.param(["7", "7.0", "x+1"], [(0, 1), (2,)], True, id="joined beside what needs algebra"),
        pytest.param(["x+1", "1+x"], [(0, 1)], False, id="joined by algebra"),
    ],
)
def test_classes_hold_for_parts_where_pairs_decide(
    answers: list[str], groups: list[tuple[int, ...]], restricts: bool
):
    kind = answer_kind("maths")
    grouping = Grouping(tuple(AnswerGroup(answers[own[0]], own) for own in groups), ())
    assert kind.restricts(answers, grouping) is restricts
    assert not kind.restricts(answers, replace(grouping, notes=("timeout",)))
