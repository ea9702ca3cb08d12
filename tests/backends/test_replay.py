import pytest

from sampleset.backends.base import Backend, ScoringBackend
from sampleset.backends.replay import ReplayBackend, ScoringReplayBackend
from sampleset.chat import SamplingParams
from sampleset.errors import UnsupportedByBackendError
from sampleset.types import Question, Sample, SampleSet

ASK = [{"role": "user", "content": "What is it?"}]


def test_it_is_a_backend_and_scores_only_if_it_says_so():
    plain, scoring = ReplayBackend(lambda m, s: ""), ScoringReplayBackend(lambda m, s: "")
    assert isinstance(plain, Backend)
    assert not isinstance(plain, ScoringBackend)
    assert isinstance(scoring, ScoringBackend)


async def test_stored_samples_come_back_by_seed_with_their_counts():
    stored = SampleSet(Question("q", "What is it?"), (Sample(0, "a", completion_tokens=7), Sample(1, "b")))
    backend = ReplayBackend.of_sets([stored])
    one, two, three = await backend.generate(ASK, SamplingParams(), [0, 1, 2])
    assert (one.text, two.text, three.text) == ("a", "b", "a")
    assert one.completion_tokens == 7


async def test_of_questions_that_hold_one_another_the_longest_is_meant():
    sets = [SampleSet(Question(text, text), (Sample(0, text),)) for text in ("1+1", "1+1+5")]
    asked = [{"role": "user", "content": "What is 1+1+5?"}]
    (reply,) = await ReplayBackend.of_sets(sets).generate(asked, SamplingParams(), [0])
    assert reply.text == "1+1+5"


async def test_a_question_is_found_before_the_beginning_of_a_reply():
    """A reader's prompt ends in the first words of its answer."""
    stored = SampleSet(Question("q", "What is it?"), (Sample(0, "a"),))
    asked = [*ASK, {"role": "assistant", "content": "<answer>"}]
    (reply,) = await ReplayBackend.of_sets([stored]).generate(asked, SamplingParams(), [0])
    assert reply.text == "a"


async def test_a_question_it_does_not_know_is_refused():
    backend = ReplayBackend.of_sets([])
    with pytest.raises(UnsupportedByBackendError, match="replay knows 0 questions"):
        await backend.generate(ASK, SamplingParams(), [0])


async def test_scores_come_from_the_function():
    backend = ScoringReplayBackend(lambda m, s: "", scores=lambda m, text: -float(len(text)))
    assert [one.logprob for one in await backend.score(ASK, ["ab", "abcd"])] == [-2.0, -4.0]
