"""The features of a learned vote, by hand."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sampleset.aggregators.base import tally
from sampleset.aggregators.learned_vote import columns_of
from sampleset.storage.records import stored_set_from_row
from sampleset.types import LogprobSummary, Question, Sample, SampleSet
from sampleset.vote_features.base import VOTE_FEATURES, CountedSet
from sampleset.vote_features.members import member_of


async def columns(sample_set: SampleSet) -> dict[str, Sequence[float | None]]:
    return columns_of(sample_set, await tally(sample_set))


def set_of(*texts: str, question: str = "Add 3 and 4.", kind: str = "maths", **more) -> SampleSet:
    samples = tuple(Sample(index, text, **more) for index, text in enumerate(texts))
    return SampleSet(Question("q", question, answer_kind=kind), samples)


async def test_a_sum_that_does_not_come_out_is_counted_apart():
    found = await columns(
        set_of("3 + 4 = 7\n2 * 5 = 11\n10 / 4 = 2.5\n<answer>7</answer>", "<answer>7</answer>")
    )
    assert found["sums_right"] == [pytest.approx(math.log(3)), 0.0]
    assert found["sums_wrong"] == [pytest.approx(math.log(2)), 0.0]


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        pytest.param("1,200 + 300 = 1,500", 1, 0, id="separators"),
        pytest.param("$5 x $3 = $15", 1, 0, id="money"),
        pytest.param("\\(7 \\times 6 = 42\\)", 1, 0, id="LaTeX"),
        pytest.param("10 / 3 = 3.33", 1, 0, id="a rounded result"),
        pytest.param("4 / 0 = 3", 0, 0, id="a division by nothing is no sum"),
        pytest.param("2 + 3 * 4 = 14", 1, 0, id="products come before sums"),
        pytest.param("336 - 270 - 494 = -428", 1, 0, id="below zero"),
        pytest.param("646 = 128 \\times 5 + 132", 0, 1, id="the result first"),
        pytest.param("27 = 3 \\times 3 \\times 3 = 3^3", 2, 0, id="a chain, with a power"),
        pytest.param("2**3 = 8 and 2^{3} + 1 = 9", 2, 0, id="powers"),
        pytest.param("9**99999999999 = 1, 9^99 * 9^99 = 1", 0, 0, id="numbers that are too large"),
        pytest.param("2 + 3 = 5 * 4 = 20", 2, 0, id="a chain that goes on with what came out"),
        pytest.param("6.67 = 20 / 3", 1, 0, id="a rounded result first"),
        pytest.param("646 \\div 128 = 5 \\text{ remainder } 6", 1, 0, id="a remainder"),
        pytest.param("646 / 128 = 5 with a remainder of 92", 0, 1, id="a wrong remainder"),
        pytest.param("416 / 362 = 1, remainder 416 - 362 = 54", 2, 0, id="a remainder that is a sum"),
        pytest.param("(3 + 4) * 5 = 35", 1, 0, id="brackets"),
        pytest.param("14 = 2 + 6 * (1 + 1)", 1, 0, id="brackets behind the result"),
        pytest.param("(9 + 20 = 29)", 1, 0, id="a sum in brackets"),
        pytest.param("f(2) + 3 = 7, 5 = 2 + g(1)", 0, 0, id="parts of a longer sum are not judged"),
        pytest.param("3 \\text{ miles} \\times 2 \\text{ miles/hour} = 6 \\text{ miles}", 1, 0, id="units"),
        pytest.param("24 eggs - 7 eggs = 17 eggs", 1, 0, id="units in words"),
        pytest.param("2 shirts at $20 each = 2 * 20 = 40", 1, 0, id="words behind a number by itself"),
        pytest.param("\\frac{1460 \\text{ dollars}}{2} = 730 dollars", 1, 0, id="a fraction"),
        pytest.param("\\frac{1}{\\frac{1}{16}} = 16 and \\frac{1}{2} \\times 9 = 4.0", 1, 1, id="fractions"),
        pytest.param("20% of 50 = 10, 10/50 * 100 = 20%, 10/50 = 20%", 3, 0, id="percent"),
        pytest.param("76,000 + 6% = 80,560", 0, 0, id="a percentage that is added to a number"),
        pytest.param("a total of 76,000 + 53,200 = 129,200", 1, 0, id="of"),
        pytest.param("17 / 1/4 = 68", 1, 0, id="a division by a fraction"),
        pytest.param("50 cents * 20 apples = $10", 0, 0, id="cents and dollars"),
        pytest.param("10 (25% of 40) + 3 = 13", 0, 0, id="a remark in brackets"),
        pytest.param("**5 + 3 = 8**", 1, 0, id="emphasis"),
        pytest.param("10 / 3 \\approx 3.33", 1, 0, id="about"),
        pytest.param("x = 5 + 3 = 9", 0, 1, id="a name that is given a value"),
        pytest.param("2x + 3 = 7 - 2, 3x -2 = 4", 0, 0, id="equations"),
        pytest.param(
            "349 / 7 = 49, \\frac{349}{7} = 50, 349 / 7 = 51", 2, 1, id="how often a number is in another"
        ),
        pytest.param("\\log_2{2^3} = 3", 0, 0, id="the argument of a function"),
        pytest.param("8 - 5 = 4", 0, 1, id="wrong"),
    ],
)
async def test_sums_are_read_as_they_are_written(text: str, right: int, wrong: int):
    found = await columns(set_of(f"{text}\n<answer>1</answer>"))
    assert found["sums_right"] == [math.log1p(right)]
    assert found["sums_wrong"] == [math.log1p(wrong)]


async def test_the_numbers_of_the_question_that_a_sample_uses_are_a_share():
    texts = ("3 and 9 <answer>9</answer>", "3 with 4 <answer>7</answer>", "no <answer>a</answer>")
    found = await columns(set_of(*texts))
    assert found["numbers_used"] == [0.5, 1.0, 0.0]
    assert found["answer_of_question"] == [0.0, 0.0, 0.0]


async def test_numbers_that_other_samples_reach_are_shared():
    texts = ("12 then <answer>20</answer>", "12 then <answer>30</answer>", "<answer>20</answer>")
    found = await columns(set_of(*texts))
    # Of the first's 12 and 20 the second holds 12, the third 20.
    assert found["numbers_shared"] == [0.5, 0.25, 0.5]
    assert found["answer_named"] == [0.5, 0.0, 0.5]


async def test_numbers_say_nothing_of_answers_that_are_none():
    assert "numbers_used" not in (await columns(set_of("<answer>B</answer>", kind="choice")))


def program(code: str, answer: str) -> str:
    return f"```python\n{code}\n```\n<answer>{answer}</answer>"


async def test_programs_speak_for_the_answers_that_they_come_to():
    found = await columns(
        set_of(
            program("print(3 + 4)", "7"),
            program("print(3 + 4)", "8"),
            program("for a in b: print(a)", "8"),
            "<answer>7</answer>",
            "no answer",
        )
    )
    assert found["program_right"] == [1, 0, 0, 0, 0]
    assert found["program_wrong"] == [0, 1, 0, 0, 0]
    assert found["program_unclear"] == [0, 0, 1, 0, 0]
    assert found["programs_for"] == [0.4, 0, 0, 0.4, 0]


async def test_programs_say_nothing_of_answers_that_are_no_numbers():
    found = await columns(set_of(program("print(3)", "3"), kind="text"))
    assert [name for name in found if name.startswith("program")] == []


async def test_confidence_is_what_was_recorded_and_none_where_nothing_was():
    known = set_of("<answer>1</answer>", logprobs=LogprobSummary(-0.5, -2.0, -0.1, -1.5))
    older = set_of("<answer>1</answer>", logprobs=LogprobSummary(-0.5, -2.0))
    names = ("confidence", "window", "tail", "bottom")
    assert [(await columns(known))[name] for name in names] == [[-0.5], [-2.0], [-0.1], [-1.5]]
    assert [(await columns(older))[name] for name in names] == [[-0.5], [-2.0], [None], [None]]


async def test_the_form_of_a_sample_is_told_by_its_marks():
    found = await columns(set_of("```python\n1\n```\n\\boxed{-1.5}", "so it is 3", finish_reason="length"))
    assert found["code_block"] == [1.0, 0.0]
    assert found["boxed"] == [1.0, 0.0]
    assert found["cut_off"] == [1.0, 1.0]
    assert found["answer_negative"] == [1.0, 0.0]
    assert found["answer_decimal"] == [1.0, 0.0]


async def test_words_that_samples_share_are_a_share_of_all_their_words():
    assert (await columns(set_of("one two <answer>1</answer>", "two three <answer>1</answer>")))[
        "words_shared"
    ] == [
        pytest.approx(2 / 4),
        pytest.approx(2 / 4),
    ]


async def test_a_member_of_a_pool_is_known_by_its_model_whatever_engine_runs_it():
    assert member_of("openvino:qwen.gguf@12345678") == member_of("llamacpp:qwen.gguf@12345678")
    assert member_of("gpt-4o:extended") == "gpt-4o:extended"
    samples = (Sample(0, "<answer>1</answer>", model="a"), Sample(1, "<answer>2</answer>", model="b"))
    found = await columns(SampleSet(Question("q", "?"), samples))
    assert found["member:a"] == [1.0, 0.0]
    assert found["member:b"] == [0.0, 1.0]


async def test_every_feature_is_a_finite_number_or_nothing():
    texts = ("", "\\boxed{}", "<answer>x</answer>", "9" * 500, "1e999 <answer>1</answer>", "\udc80 = =")
    for kind in ("maths", "text", "choice", "json", "number"):
        for name, column in (await columns(set_of(*texts, kind=kind))).items():
            assert len(column) == len(texts), name
            assert all(value is None or math.isfinite(value) for value in column), name


@pytest.mark.parametrize("piece", ["1", "1,", "1 + ", "$-", "1.1", "a", "\n", "= 1 "])
def test_no_text_keeps_the_features_busy(piece: str):
    long = set_of(piece * (300_000 // len(piece)), "<answer>1</answer>")
    counted = CountedSet(long, (None, "1"), ())
    began = time.process_time()
    for name in VOTE_FEATURES.names():
        VOTE_FEATURES.get(name).columns(counted)
    assert time.process_time() - began < 2.0


async def test_the_feature_of_the_page_is_one_file_that_runs():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "learned-vote.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    try:
        exec(compile(code, "hedging.py", "exec"), {"__name__": "hedging"})  # noqa: S102
        found = await columns(set_of("Perhaps 3, perhaps 4.", "It is 7."))
        assert found["perhaps"] == [2.0, 0.0]
    finally:
        VOTE_FEATURES._entries.pop("hedging", None)


def test_every_group_of_features_stands_on_the_page():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "learned-vote.md").read_text()
    assert all(f"| `{name}` |" in page for name in VOTE_FEATURES.names())


async def test_no_gold_answer_and_no_column_of_labels_reaches_a_feature():
    row = {"id": "q", "question": "?", "answer": "1", "samples": ["<answer>1</answer>", "<answer>2</answer>"]}
    labelled = row | {
        "answer": "2",
        "correct": [True, False],
        "preds": ["1", "2"],
        "solution": "2",
        "sample_models": ["a", "b"],
    }
    plain, told = (stored_set_from_row(one, 0).sample_set for one in (row, labelled))
    assert (await columns(plain)) == await columns(told)
    assert plain == told
