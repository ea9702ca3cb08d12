import pytest

from sampleset.errors import InvalidArgumentError
from sampleset.types import Answer, LogprobSummary, Question, Sample, SampleSet, Usage


def test_the_lowest_window_is_the_lowest_mean_of_32_consecutive_tokens():
    logprobs = [-0.1] * 40 + [-2.0] * 32 + [-0.1] * 40
    summary = LogprobSummary.of(logprobs)
    assert summary is not None
    assert summary.min_window == pytest.approx(-2.0)
    assert summary.mean == pytest.approx((-0.1 * 80 - 2.0 * 32) / 112)


def test_a_short_sample_is_one_window():
    assert LogprobSummary.of([-1.0, -3.0]) == LogprobSummary(-2.0, min_window=-2.0, tail=-2.0, bottom=-2.0)


def test_the_bottom_is_the_mean_of_the_lowest_tenth_of_the_windows():
    # 51 windows, 32 of them with the one token among 31 zeros.
    logprobs = [0.0] * 40 + [-3.2] + [0.0] * 41
    summary = LogprobSummary.of(logprobs)
    assert summary is not None
    assert summary.bottom == pytest.approx(-0.1)
    # 11 windows: one holds both tokens, one holds one.
    rising = LogprobSummary.of([0.0] * 40 + [-3.2, -3.2])
    assert rising is not None
    assert (rising.min_window, rising.tail, rising.bottom) == (
        pytest.approx(-0.2),
        pytest.approx(-0.2),
        pytest.approx(-0.15),
    )


def test_no_tokens_have_no_summary():
    assert LogprobSummary.of([]) is None


def test_a_subset_keeps_the_order_asked_for():
    whole = SampleSet(Question("q", "?"), tuple(Sample(index, str(index)) for index in range(4)))
    assert [sample.text for sample in whole.subset([3, 0]).samples] == ["3", "0"]


def test_a_subset_beyond_the_set_names_the_place_and_the_range():
    whole = SampleSet(Question("q7", "?"), (Sample(0, "a"),))
    with pytest.raises(InvalidArgumentError, match=r"'q7' has samples 0 to 0; sample 1"):
        whole.subset([1])


def test_draws_without_token_counts_are_said_to_be_uncounted():
    whole = SampleSet(
        Question("q", "?"), (Sample(0, "a", prompt_tokens=5, completion_tokens=7), Sample(1, "b"))
    )
    assert whole.usage == Usage(prompt_tokens=5, completion_tokens=7, calls=2, uncounted=1)


@pytest.mark.parametrize(
    ("text", "finish_reason", "says"),
    [
        pytest.param("<think>hm</think>\n\n7", "stop", "7", id="thinking and answer"),
        pytest.param("hm</think>7", "stop", "7", id="opened by the chat template"),
        pytest.param("<think>a</think>b<think>c</think>d", "stop", "d", id="the last end counts"),
        pytest.param("<think >hm</ think >\n7", "stop", "7", id="tags with spaces"),
        pytest.param('<THINK time="3">hm</THINK>7', "stop", "7", id="capitals and an attribute"),
        pytest.param("<Think>hm</Think>7", "stop", "7", id="a capital"),
        pytest.param("<think>hm", "length", "", id="cut off while thinking"),
        pytest.param("<think >hm", "length", "", id="cut off, a tag with a space"),
        pytest.param("<think>so it is 7", "stop", "<think>so it is 7", id="never closed"),
        pytest.param("just 7", "stop", "just 7", id="no thinking"),
    ],
)
def test_what_a_sample_says_after_its_thinking(text: str, finish_reason: str, says: str):
    sample_set = SampleSet(Question("q", "?"), (Sample(0, text, finish_reason),))
    assert sample_set.without_thinking().samples[0].text == says


@pytest.mark.parametrize("confidence", [1.5, -0.1, float("nan")])
def test_a_confidence_that_is_no_probability_names_the_aggregator_and_the_question(confidence: float):
    with pytest.raises(InvalidArgumentError, match=r"'mine' gives question 'q7' confidence="):
        Answer("q7", "mine", "4", confidence=confidence)


@pytest.mark.parametrize("confidence", [None, 0.0, 1.0, 1 + 1e-15])
def test_a_sum_that_is_rounded_is_a_probability(confidence: float | None):
    assert Answer("q7", "mine", "4", confidence=confidence).confidence == confidence
