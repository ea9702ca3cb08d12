import pytest

from sampleset.errors import MissingGoldError
from sampleset.grading.grade import grade
from sampleset.types import Problem, Question


@pytest.mark.parametrize(
    ("answer", "correct", "rule"),
    [
        pytest.param("0.5", True, "number", id="equal by value"),
        pytest.param("2", False, "number", id="wrong"),
        pytest.param(None, False, "abstained", id="no answer is not right"),
    ],
)
async def test_an_answer_is_graded_against_gold(answer: str | None, correct: bool, rule: str):
    given = await grade(answer, Problem(Question("q", "?"), "1/2"))
    assert (given.correct, given.rule) == (correct, rule)


async def test_without_gold_nothing_is_graded():
    with pytest.raises(MissingGoldError, match="'q'"):
        await grade("7", Problem(Question("q", "?"), None))


async def test_the_scorer_of_the_problems_own_dataset_decides():
    pytest.importorskip("reasoning_gym")
    extra = {"dataset": "reasoning_gym:chain_sum", "entry": {"answer": "8", "metadata": {}}}
    problem = Problem(Question("q", "?"), "7", extra=extra)
    assert (await grade("8", problem)).correct is True
    assert (await grade("8", problem)).rule == "dataset_scorer"
    # The gold column plays no part, and a score below 1 is not right.
    assert (await grade("7", problem)).correct is False
