import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.evaluation.mentions import mention_share
from sampleset.types import Question, Sample, SampleSet

BACKEND = ReplayBackend(lambda messages, seed: "")  # pieces of three characters


def set_of(*texts: str) -> SampleSet:
    return SampleSet(Question("q", "?"), tuple(Sample(index, text) for index, text in enumerate(texts)))


TEXTS = ("Twice 21 is 42, so we are done. \\boxed{42}", "Twice 21: \\boxed{43}", "Who knows?")


@pytest.mark.parametrize(
    ("dropped", "kept", "share"),
    [
        pytest.param(None, None, 1.0, id="whole samples"),
        pytest.param(4, None, 0.5, id="said before, and not"),
        pytest.param(4, 3, 0.0, id="said before, but not shown"),
        pytest.param(99, None, 0.0, id="nothing shown"),
    ],
)
async def test_samples_with_an_answer_are_counted_by_what_is_shown(
    dropped: int | None, kept: int | None, share: float
):
    assert await mention_share([set_of(*TEXTS)], BACKEND, dropped, kept) == share


async def shares(*words: str) -> list[float | None]:
    """Of a sample with each word in what is shown, before its answer, which is not."""
    sets = [set_of(f"So {word:>5} \\boxed{{7}}") for word in words]
    return [await mention_share([sample_set], BACKEND, 3) for sample_set in sets]


async def test_part_of_a_longer_number_or_word_is_no_mention():
    assert await shares("17", "7.5", "1.7", "x7", "7th", "7,000") == [0.0] * 6
    assert await shares("7", "7.", "($7)", "7,") == [1.0] * 4


async def test_without_answers_there_is_no_share():
    assert await mention_share([set_of("Who knows?")], BACKEND) is None
