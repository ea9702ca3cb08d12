"""Aggregators that ask a model, against a model that answers from memory."""

from typing import Any

import pytest

from sampleset.aggregators.base import shown_order
from sampleset.aggregators.llm_aggregator import LLMAggregator, softmax
from sampleset.aggregators.universal_self_consistency import UniversalSelfConsistency
from sampleset.backends.replay import ReplayBackend, ScoringReplayBackend
from sampleset.chat import Generation
from sampleset.errors import ContextOverflowError, InvalidArgumentError, UnsupportedByBackendError
from sampleset.types import Question, Sample, SampleSet, Usage


def saying(text: str) -> ReplayBackend:
    return ReplayBackend(lambda messages, seed: Generation(text, "stop", 100, 10))


def liking(answer: str) -> ScoringReplayBackend:
    return ScoringReplayBackend(
        lambda messages, seed: "", scores=lambda messages, text: -0.5 if text.startswith(answer) else -4.0
    )


async def test_thinking_reads_the_answer_in_the_tags(make_set):
    backend = saying("They disagree; 2 is right.</think>\n<answer>2</answer>")
    answer = await LLMAggregator(backend).aggregate(make_set(["1", "1", "2"]))
    assert answer.answer == "2"
    assert answer.usage == Usage(100, 10, 1)
    assert answer.flags == ()
    assert backend.calls[0][0][-1] == {"role": "assistant", "content": "<think>\n"}


async def test_an_answer_that_no_sample_gives_is_flagged(make_set):
    answer = await LLMAggregator(saying("</think><answer>42</answer>")).aggregate(make_set(["1", "2"]))
    assert answer.answer == "42"
    assert answer.flags == ("new_answer",)


@pytest.mark.parametrize("reply", ["Option B", "B - mitosis", "option (B)", "(B) mitosis", "b"])
async def test_a_reply_to_a_question_with_options_is_read_as_a_letter(reply: str):
    question = Question("q", "Which?", ("meiosis", "mitosis", "osmosis", "lysis"))
    samples = (Sample(0, "The answer is (A)."), Sample(1, "The answer is (B)."))
    backend = saying(f"</think><answer>{reply}</answer>")
    answer = await LLMAggregator(backend).aggregate(SampleSet(question, samples))
    assert (answer.answer, answer.flags) == ("B", ())


@pytest.mark.parametrize("samples", [(), (Sample(0, "", error="busy"),)])
async def test_a_set_whose_draws_all_failed_is_not_asked_about(samples: tuple[Sample, ...]):
    backend = saying("</think><answer>2</answer>")
    answer = await LLMAggregator(backend).aggregate(SampleSet(Question("q", "What is it?"), samples))
    assert (answer.answer, answer.flags, answer.usage) == (None, ("no_answers",), Usage())
    assert not backend.calls


async def test_an_equal_answer_in_another_spelling_is_not_new(make_set):
    reply = saying("</think><answer>\\frac{1}{2}</answer>")
    assert (await LLMAggregator(reply).aggregate(make_set(["0.5", "2"]))).flags == ()


async def test_a_direct_answer_needs_no_closing_tag(make_set):
    answer = await LLMAggregator(saying("2"), mode="direct").aggregate(make_set(["1", "2"]))
    assert answer.answer == "2"


async def test_a_model_that_does_not_continue_is_not_given_the_first_words(make_set):
    backend = saying("<answer>2</answer>")
    backend.continues_assistant = False
    answer = await LLMAggregator(backend, mode="direct").aggregate(make_set(["1", "2"]))
    assert answer.answer == "2"
    assert [message["role"] for message in backend.calls[0][0]] == ["user"]


async def test_an_answer_outside_the_tags_counts_and_is_flagged(make_set):
    answer = await LLMAggregator(saying("so \\boxed{2}")).aggregate(make_set(["1", "2"]))
    assert answer.answer == "2"
    assert answer.flags == ("untagged_answer",)


async def test_a_number_in_passing_is_no_answer_so_the_vote_decides(make_set):
    answer = await LLMAggregator(saying("Of the 5 answers some say 2")).aggregate(make_set(["1", "1", "2"]))
    assert answer.answer == "1"
    assert answer.flags == ("unreadable_reply", "fallback_vote")
    assert answer.usage == Usage(100, 10, 1)


async def test_orders_vote_among_themselves(make_set):
    replies = iter(["<answer>2</answer>", "nothing", "<answer>2</answer>", "<answer>1</answer>"])
    backend = ReplayBackend(lambda messages, seed: next(replies))
    answer = await LLMAggregator(backend, permutations=4).aggregate(make_set(["1", "1", "2"]))
    assert answer.answer == "2"
    assert answer.confidence == pytest.approx(2 / 4)
    assert answer.usage.calls == 4
    assert len({call[0][0]["content"] for call in backend.calls}) > 1


async def test_the_same_seed_shows_the_same_order(make_set):
    one, two = saying("<answer>1</answer>"), saying("<answer>1</answer>")
    whole = make_set(list("123456789"))
    await LLMAggregator(one, seed=5).aggregate(whole)
    await LLMAggregator(two, seed=5).aggregate(whole)
    assert one.calls == two.calls


async def test_selecting_takes_the_likeliest_candidate_with_its_probability(make_set):
    answer = await LLMAggregator(liking("2"), mode="select").aggregate(make_set(["1", "1", "2"]))
    assert answer.answer == "2"
    chances = softmax([-4.0, -0.5])
    assert answer.confidence == pytest.approx(chances[1])
    assert [one.probability for one in answer.candidates] == pytest.approx(chances)
    assert answer.usage.calls == 1


async def test_votes_can_be_weighed_in(make_set):
    aggregator = LLMAggregator(liking("2"), mode="select", vote_weight=10.0)
    assert (await aggregator.aggregate(make_set(["1", "1", "2"]))).answer == "1"


async def test_scores_that_are_too_sure_can_be_weighed_down(make_set):
    sample_set = make_set(["1", "1", "2"])
    for weight, answer in ((1.0, "2"), (0.01, "1")):
        aggregator = LLMAggregator(liking("2"), mode="select", vote_weight=2.0, score_weight=weight)
        assert (await aggregator.aggregate(sample_set)).answer == answer


async def test_at_weight_zero_the_model_is_not_asked(make_set):
    def never(messages, text: str) -> float:
        raise AssertionError("the model was asked")

    backend = ScoringReplayBackend(lambda messages, seed: "", scores=never)
    aggregator = LLMAggregator(backend, mode="select", vote_weight=1.0, score_weight=0.0)
    answer = await aggregator.aggregate(make_set(["1", "2", "2"]))
    assert answer.answer == "2"
    assert answer.confidence == pytest.approx(2 / 3)
    assert answer.usage.calls == 0


async def test_selecting_does_not_ask_about_unanimous_sets(make_set):
    def never(messages, text: str) -> float:
        raise AssertionError("a unanimous set was asked about")

    backend = ScoringReplayBackend(lambda messages, seed: "", scores=never)
    answer = await LLMAggregator(backend, mode="select").aggregate(make_set(["1", "1", None]))
    assert answer.answer == "1"
    assert answer.confidence == 1.0
    assert answer.flags == ("unanimous",)


async def test_folding_shows_equal_answers_once(make_set):
    backend = saying("<answer>1</answer>")
    await LLMAggregator(backend, fold=True).aggregate(make_set(["0.5", "1/2", "3", None]))
    prompt = backend.calls[0][0][0]["content"]
    assert "(given 2 times)" in prompt
    assert prompt.count("Some reasoning.") == 2


async def test_only_the_endings_are_shown_where_asked_for(make_set):
    prompts: list[str] = []
    for tokens in (None, 8):
        backend = saying("2")
        await LLMAggregator(backend, mode="direct", keep_end_tokens=tokens).aggregate(
            make_set(["one two three four five", "7"])
        )
        prompts.append(backend.calls[0][0][0]["content"])
    assert "one two three four five" in prompts[0]
    assert "one two" not in prompts[1]
    assert "…" in prompts[1]
    assert "five" in prompts[1]


@pytest.mark.parametrize("mode", ["direct", "think"])
async def test_without_their_ends_samples_show_no_answers_and_their_votes_count(make_set, mode: Any):
    backend = saying("")
    whole = make_set(["1234", "1234", "99"])
    aggregator = LLMAggregator(backend, mode=mode, drop_end_tokens=20)
    answer = await aggregator.aggregate(whole)
    shown = backend.calls[0][0][0]["content"]
    assert "1234" not in shown
    assert "99" not in shown
    assert shown.count("…") == 3
    assert (answer.answer, answer.candidates[0].votes) == ("1234", 2)
    assert "fallback_vote" in answer.flags


async def test_candidates_are_scored_though_no_sample_shows_them(make_set):
    scored: list[str] = []

    def score(messages: Any, text: str) -> float:
        scored.append(text)
        assert "1234" not in messages[0]["content"]
        return -0.5 if text.startswith("99") else -1.5

    backend = ScoringReplayBackend(lambda messages, seed: "", scores=score)
    aggregator = LLMAggregator(backend, mode="select", drop_end_tokens=20)
    assert (await aggregator.aggregate(make_set(["1234", "1234", "99"]))).answer == "99"
    assert scored == ["1234</answer>", "99</answer>"]


def test_selecting_is_refused_where_a_model_cannot_score():
    with pytest.raises(UnsupportedByBackendError, match="'replay' does not give"):
        LLMAggregator(saying(""), mode="select")


async def test_a_budget_beyond_the_context_is_refused_before_asking(make_set):
    backend = saying("<answer>1</answer>")
    backend.context_size = 1000
    with pytest.raises(ContextOverflowError, match="max_prompt_tokens=5000"):
        await LLMAggregator(backend, max_prompt_tokens=5000).aggregate(make_set(["1", "2"]))
    assert backend.calls == []


def test_options_out_of_range_are_refused():
    with pytest.raises(InvalidArgumentError, match="permutations=0 must be at least 1"):
        LLMAggregator(saying(""), permutations=0)


async def test_the_named_response_is_taken(make_set):
    backend = saying(" 1.")
    whole = make_set(["1", "2", "3"])
    answer = await UniversalSelfConsistency(backend).aggregate(whole)
    shown = backend.calls[0][0][0]["content"]
    first = shown.split("Response 1:\n")[1].split("\n\n")[0]
    assert f"\\boxed{{{answer.answer}}}" in first


async def test_a_model_that_scores_is_asked_for_the_likeliest_number(make_set):
    whole = make_set(["1", "2", "3"])
    answer = await UniversalSelfConsistency(liking(" 2")).aggregate(whole)
    order = shown_order(whole, 0, 0)
    assert answer.answer == ["1", "2", "3"][order[1]]
    assert answer.text == "The most consistent response is Response 2"
    assert answer.usage.calls == 1


@pytest.mark.parametrize(
    ("reply", "flag"),
    [
        pytest.param(" that agrees most.", "unreadable_reply", id="names none"),
        pytest.param(" 12", "unreadable_reply", id="out of range"),
    ],
)
async def test_a_reply_that_names_no_sample_falls_back_to_the_vote(make_set, reply: str, flag: str):
    answer = await UniversalSelfConsistency(saying(reply)).aggregate(make_set(["1", "1", "2"]))
    assert answer.answer == "1"
    assert answer.flags == (flag, "fallback_vote")
    assert answer.text == f"The most consistent response is Response{reply}"


async def test_a_named_sample_without_an_answer_falls_back_to_the_vote(make_set):
    whole = make_set([None, "1", "1", "2"])
    backend = saying(" 1")
    answers = [await UniversalSelfConsistency(backend, seed=seed).aggregate(whole) for seed in range(12)]
    assert ("chose_no_answer", "fallback_vote") in {answer.flags for answer in answers}


async def test_unanimous_sets_are_not_asked_about(make_set):
    backend = saying(" 1")
    assert (await UniversalSelfConsistency(backend).aggregate(make_set(["1", "1"]))).answer == "1"
    assert backend.calls == []
