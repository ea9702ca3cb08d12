import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampleset.aggregators.base import decide, tally
from sampleset.aggregators.best_of_n import BestOfN
from sampleset.aggregators.first_sample import FirstSample
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.aggregators.weighted_vote import WeightedVote
from sampleset.backends.replay import ScoringReplayBackend
from sampleset.errors import InvalidArgumentError
from sampleset.reward_models.p_true import PTrue
from sampleset.types import Candidate, LogprobSummary, Question, Sample, SampleSet

some_answers = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=9)
with_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


async def test_the_most_frequent_answer_wins(make_set):
    answer = await MajorityVote().aggregate(make_set(["7", "8", "7"]))
    assert answer.answer == "7"
    assert answer.confidence == pytest.approx(2 / 3)
    assert answer.candidates == (Candidate("7", 2, (0, 2)), Candidate("8", 1, (1,)))


async def test_one_half_and_a_half_vote_together(make_set):
    spellings = ["0.5", "3", "\\frac{1}{2}", "3", "1/2"]
    assert (await MajorityVote().aggregate(make_set(spellings))).answer == "0.5"


async def test_a_sample_without_an_answer_never_votes(make_set):
    answer = await MajorityVote().aggregate(make_set([None, None, "7", None]))
    assert answer.answer == "7"
    assert answer.confidence == pytest.approx(1 / 4)


async def test_no_answers_at_all_abstain(make_set):
    for aggregator in (MajorityVote(), WeightedVote(), BestOfN(), FirstSample()):
        assert (await aggregator.aggregate(make_set([None, None]))).answer is None


async def test_a_failed_draw_and_a_truncated_guess_do_not_vote():
    samples = (
        Sample(0, "", error="busy"),
        Sample(1, "so far 12 and", finish_reason="length"),
        Sample(2, "it must be 9"),
    )
    assert (await tally(SampleSet(Question("q", "How many?"), samples))).answers == (None, None, "9")


async def test_letters_are_read_where_the_question_has_options():
    samples = (Sample(0, "I think the answer is (B), as 12 is even."), Sample(1, "b"))
    choices = SampleSet(Question("q", "Which?", ("11", "12")), samples)
    lettered = SampleSet(Question("q", "Which?\nA. 11\nB. 12"), samples)
    assert (await tally(choices)).answers[0] == "B"
    assert (await tally(lettered)).answers[0] == "B"


async def test_a_tie_is_flagged_and_decided_by_the_seed_alone(make_set):
    votes = [await MajorityVote(seed=3).aggregate(make_set(order)) for order in (["1", "2"], ["2", "1"])]
    assert votes[0].answer == votes[1].answer
    assert "tie" in votes[0].flags
    winners = {(await MajorityVote(seed=seed).aggregate(make_set(["1", "2"]))).answer for seed in range(20)}
    assert winners == {"1", "2"}


@pytest.mark.parametrize("seed", range(6))
async def test_a_tie_does_not_depend_on_which_writing_comes_first(make_set, seed: int):
    vote = MajorityVote(seed=seed)
    first = await vote.aggregate(make_set(["50%", "0.5", "3", "3"]))
    second = await vote.aggregate(make_set(["0.5", "50%", "3", "3"]))
    assert "tie" in first.flags
    assert (first.answer == "3") == (second.answer == "3")


async def test_a_tie_can_go_to_the_first(make_set):
    for seed in range(10):
        answer = await MajorityVote(ties="first", seed=seed).aggregate(make_set(["2", "1", "1", "2"]))
        assert answer.answer == "2"


def test_sums_that_differ_in_the_last_bits_are_a_tie():
    candidates = [Candidate("1", 3, (0, 1, 2)), Candidate("2", 1, (3,))]
    decision = decide(candidates, [0.1 + 0.2, 0.3], "first", 0, "q")
    assert decision is not None
    assert decision.tied


@with_fixture
@given(some_answers, st.randoms())
async def test_without_ties_the_order_is_irrelevant(make_set, answers, random):
    first = await MajorityVote().aggregate(make_set(answers))
    shuffled = random.sample(answers, len(answers))
    second = await MajorityVote().aggregate(make_set(shuffled))
    assert first.answer == second.answer


@with_fixture
@given(some_answers)
async def test_equal_weights_are_a_majority_vote(make_set, answers):
    weighted = await WeightedVote().aggregate(make_set(answers, confidences=[-0.5] * len(answers)))
    assert weighted.answer == (await MajorityVote().aggregate(make_set(answers))).answer


@with_fixture
@given(st.sampled_from(["1", "2", None]))
async def test_one_sample_is_returned_as_it_is(make_set, only):
    one = make_set([only], confidences=[-1.0], scores=[0.5])
    for aggregator in (
        MajorityVote(),
        WeightedVote(),
        WeightedVote(by="rm_scores"),
        BestOfN(),
        FirstSample(),
    ):
        assert (await aggregator.aggregate(one)).answer == only


async def test_confidence_can_outweigh_a_majority(make_set):
    confident = make_set(["1", "1", "2"], confidences=[-2.0, -2.0, -0.1])
    answer = await WeightedVote().aggregate(confident)
    assert answer.answer == "2"
    assert answer.confidence == pytest.approx(math.exp(-0.1) / (math.exp(-0.1) + 2 * math.exp(-2.0)))


async def test_given_scores_weigh(make_set):
    scored = make_set(["1", "1", "2"], scores=[0.1, 0.2, 0.9])
    assert (await WeightedVote(by="rm_scores").aggregate(scored)).answer == "2"


async def test_without_weights_the_votes_count_and_it_is_said(make_set):
    answer = await WeightedVote().aggregate(make_set(["1", "1", "2"]))
    assert answer.answer == "1"
    assert answer.flags == ("no_weights",)


async def test_weights_of_nought_are_no_weights(make_set):
    for seed in range(6):
        vote = WeightedVote(by="rm_scores", seed=seed)
        answer = await vote.aggregate(make_set(["1", "1", "2"], scores=[0.0, 0.0, 0.0]))
        assert (answer.answer, answer.flags) == ("1", ("no_weights",))
        answer = await vote.aggregate(make_set(["1", "1", "2", None], scores=[0.0, 0.0, 0.0, 0.9]))
        assert (answer.answer, answer.flags) == ("1", ("no_weights",))
    answer = await WeightedVote(by="rm_scores").aggregate(make_set([None], scores=[0.0]))
    assert answer.flags == ("no_answers",)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
async def test_a_score_that_is_not_finite_is_refused(make_set, score: float):
    given = make_set(["1", "2"], scores=[0.5, score])
    drawn = make_set(["1", "2"], confidences=[-0.5, score])
    for aggregator in (WeightedVote, BestOfN):
        with pytest.raises(InvalidArgumentError, match=r"'rm_scores' of a sample of question 'q' is"):
            await aggregator(by="rm_scores").aggregate(given)
        with pytest.raises(InvalidArgumentError, match=r"'confidence' of a sample of question 'q' is"):
            await aggregator().aggregate(drawn)


async def test_a_sample_without_a_weight_weighs_the_mean(make_set):
    partly = make_set(["1", "2", "2"], scores=[0.9, 0.2, 0.2])
    without = SampleSet(partly.question, (*partly.samples[:2], Sample(2, partly.samples[2].text)))
    answer = await WeightedVote(by="rm_scores").aggregate(without)
    assert answer.answer == "1"
    assert answer.confidence == pytest.approx(0.9 / (0.9 + 0.2 + 0.55))
    assert answer.flags == ("weights_missing",)


async def test_a_negative_weight_is_refused(make_set):
    with pytest.raises(InvalidArgumentError, match=r"'rm_scores'.*-1.0.*Use softmax=true"):
        await WeightedVote(by="rm_scores").aggregate(make_set(["1"], scores=[-1.0]))


async def test_negative_scores_weigh_by_softmax(make_set):
    scored = make_set(["1", "1", "2"], scores=[-3.0, -3.0, -1.0])
    answer = await WeightedVote(by="rm_scores", softmax=True).aggregate(scored)
    assert answer.answer == "2"
    assert answer.confidence == pytest.approx(1 / (1 + 2 * math.exp(-2.0)))


async def test_each_measure_of_the_log_probabilities_weighs():
    def one(index: int, answer: str, *measures: float) -> Sample:
        return Sample(index, f"\\boxed{{{answer}}}", logprobs=LogprobSummary(*measures))

    drawn = SampleSet(
        Question("q", "?"),
        (
            one(0, "1", -0.1, -9.0, -9.0, -9.0),
            one(1, "2", -9.0, -0.1, -9.0, -9.0),
            one(2, "3", -9.0, -9.0, -0.1, -9.0),
            one(3, "4", -9.0, -9.0, -9.0, -0.1),
        ),
    )
    for by, answer in (("confidence", "1"), ("window", "2"), ("tail", "3"), ("bottom", "4")):
        assert (await WeightedVote(by=by).aggregate(drawn)).answer == answer
        assert (await BestOfN(by=by).aggregate(drawn)).answer == answer
        assert (await WeightedVote(by=by, keep=0.25).aggregate(drawn)).confidence == 1


async def test_only_the_best_tenth_votes(make_set):
    scores = [0.5] * 18 + [0.9, 0.8]
    filtered = await WeightedVote(by="rm_scores", keep=0.1).aggregate(
        make_set(["1"] * 18 + ["2", "2"], scores=scores)
    )
    assert (filtered.answer, filtered.confidence) == ("2", 1)


async def test_p_true_weighs_by_a_softmax_at_a_temperature_as_in_cisc(make_set):
    def logprob(messages: object, text: str) -> float:
        true = 0.9 if "boxed{2}" in str(messages) else 0.4
        return math.log(true if text == "1" else 1 - true)

    backend = ScoringReplayBackend(lambda messages, seed: "", scores=logprob)
    cisc = WeightedVote(softmax=True, temperature=0.25, reward_model=PTrue(backend))
    answer = await cisc.aggregate(make_set(["1", "1", "2"]))
    # exp(0.4 / 0.25) twice against exp(0.9 / 0.25)
    assert answer.answer == "2"
    assert answer.confidence == pytest.approx(math.exp(2) / (math.exp(2) + 2))
    assert answer.usage.calls == 2  # equal samples are scored once
    flat = await WeightedVote(reward_model=PTrue(backend)).aggregate(make_set(["1", "1", "1", "2"]))
    assert flat.answer == "1"
    best = await BestOfN(reward_model=PTrue(backend)).aggregate(make_set(["1", "1", "1", "2"]))
    assert best.answer == "2"


async def test_a_measure_that_a_store_does_not_hold_is_named(make_set):
    older = make_set(["1", "2", "2"], confidences=[-0.1, -2.0, -2.0])
    answer = await WeightedVote(by="bottom").aggregate(older)
    assert (answer.answer, answer.flags) == ("2", ("bottom_not_recorded", "no_weights"))
    answer = await BestOfN(by="tail").aggregate(older)
    assert answer.flags == ("tail_not_recorded", "no_scores", "fallback_vote")


async def test_the_highest_score_wins_and_the_earliest_of_equals(make_set):
    best = BestOfN(by="rm_scores")
    assert (await best.aggregate(make_set(["1", "2", "3"], scores=[-5.0, -0.5, -0.5]))).answer == "2"


async def test_a_sample_without_an_answer_cannot_be_the_best(make_set):
    assert (await BestOfN().aggregate(make_set([None, "2"], confidences=[-0.1, -3.0]))).answer == "2"


async def test_best_of_n_without_scores_falls_back_to_the_vote(make_set):
    answer = await BestOfN().aggregate(make_set(["1", "2", "2"]))
    assert answer.answer == "2"
    assert answer.flags == ("no_scores", "fallback_vote")


async def test_the_first_sample_is_the_first(make_set):
    assert (await FirstSample().aggregate(make_set(["1", "2", "2"]))).answer == "1"
    assert (await FirstSample().aggregate(make_set([None, "2"]))).answer is None
    assert (await FirstSample().aggregate(make_set([]))).flags == ("no_answers",)
