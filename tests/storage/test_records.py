import re

import pytest

from sampleset.errors import DataError
from sampleset.storage.records import (
    answer_from_row,
    answer_to_row,
    problem_from_row,
    problem_to_row,
    sample_from_row,
    sample_to_row,
    stored_set_from_row,
)
from sampleset.types import Answer, Candidate, LogprobSummary, Sample, Usage


def test_unknown_fields_of_a_problem_survive_a_round_trip():
    row = {"schema": 1, "id": "a", "question": "1+1?", "answer": "2", "level": "3", "origin": {"page": 4}}
    assert problem_to_row(problem_from_row(row, 0)) == row


def test_unknown_fields_of_a_sample_set_survive_a_round_trip():
    row = {"id": "a", "question": "1+1?", "answer": "2", "samples": ["2", "3"], "preds": ["2", "3"]}
    assert stored_set_from_row(row, 0).to_row() == {**row, "schema": 1}


def test_what_an_aggregator_sees_holds_neither_gold_nor_labels():
    row = {
        "id": "a",
        "question": "1+1?",
        "answer": "GOLD",
        "solution": "SOLUTION",
        "correct": ["LABEL"],
        "sample_models": ["WRITER"],
        "samples": [{"text": "two", "correct": "LABEL", "answer": "GOLD"}],
    }
    seen = repr(stored_set_from_row(row, 0).sample_set)
    assert "two" in seen
    for secret in ("GOLD", "SOLUTION", "LABEL", "WRITER"):
        assert secret not in seen


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"problem": "1+1?", "completions": ["2", "3"]}, id="search-and-learn"),
        pytest.param({"question": "1+1?", "responses": ["2", "3"]}, id="responses"),
        pytest.param({"question": "1+1?", "samples": [{"text": "2"}, {"text": "3"}]}, id="sample rows"),
    ],
)
def test_foreign_shapes_are_read(row):
    stored = stored_set_from_row(row, 7)
    assert stored.sample_set.question.text == "1+1?"
    assert [sample.text for sample in stored.sample_set.samples] == ["2", "3"]
    assert [sample.index for sample in stored.sample_set.samples] == [0, 1]
    assert stored.problem.id == "7"


def test_a_column_of_scores_reaches_the_samples():
    row = {"question": "?", "samples": ["a", "b"], "rm_scores": [0.5, 0.25], "scores": [1, 2]}
    samples = stored_set_from_row(row, 0).sample_set.samples
    assert [dict(sample.scores) for sample in samples] == [
        {"rm_scores": 0.5, "scores": 1.0},
        {"rm_scores": 0.25, "scores": 2.0},
    ]


def test_a_column_of_booleans_is_no_score():
    row = {"question": "?", "samples": ["a", "b"], "label_scores": [True, False]}
    assert stored_set_from_row(row, 0).sample_set.samples[0].scores == {}


def test_numbers_are_read_as_answers():
    assert problem_from_row({"question": "?", "answer": 27.0}, 0).answer == "27"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param({"answer": "2"}, "no question", id="no question"),
        pytest.param({"question": "  "}, "no question", id="blank question"),
        pytest.param({"question": "?", "answer": ["1"]}, "'answer' must be a text", id="answer is a list"),
        pytest.param({"question": "?", "choices": "AB"}, "'choices' must be a list", id="choices is a text"),
    ],
)
def test_a_row_without_a_problem_says_what_is_missing(row, says):
    with pytest.raises(DataError, match=says):
        problem_from_row(row, 0)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param({"question": "?"}, "no samples", id="no samples"),
        pytest.param({"id": "x", "question": "?", "samples": []}, "'x' has no samples", id="empty list"),
        pytest.param({"question": "?", "samples": "abc"}, "must be a list", id="a text"),
        pytest.param({"question": "?", "samples": ["a", 3]}, "sample 1 must be a text", id="a number"),
        pytest.param({"question": "?", "samples": [{"index": 0}]}, "must have a text", id="no text"),
    ],
)
def test_a_row_without_a_sample_set_says_what_is_missing(row, says):
    with pytest.raises(DataError, match=says):
        stored_set_from_row(row, 0)


def test_a_sample_survives_a_round_trip():
    sample = Sample(
        3, "text", "stop", 14, 20, 9, LogprobSummary(-0.5, -0.75), "model", None, scores={"rm_scores": 0.5}
    )
    assert sample_from_row(sample_to_row(sample)) == sample


def test_an_empty_text_survives_a_round_trip():
    assert sample_from_row(sample_to_row(Sample(0, "", error="refused"))) == Sample(0, "", error="refused")


def test_an_answer_survives_a_round_trip():
    candidates = (Candidate("7", 2, (0, 2), 0.75), Candidate("8", 1, (1,)))
    answer = Answer("q", "vote", "7", "seven", 0.75, candidates, Usage(10, 5, 1), ("tie",))
    assert answer_from_row(answer_to_row(answer, Usage())) == answer


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.0, "1234567"),
        (16777217.0, "16777217"),
        (1e15, "1000000000000000"),
        (0.1, "0.1"),
        (-3.0, "-3"),
    ],
)
def test_no_digit_of_a_number_is_lost(value: float, text: str):
    row = problem_from_row({"question": "?", "answer": value, "id": value}, 0)
    assert (row.answer, row.id) == (text, text)


def test_a_gold_answer_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="'answer' must be a text or a number, got nan"):
        problem_from_row({"question": "?", "answer": float("nan")}, 0)


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        pytest.param({"logprobs": {"content": []}}, "numbers named mean, min_window", id="foreign logprobs"),
        pytest.param({"prompt_tokens": "x"}, "'prompt_tokens' must be int, got 'x'", id="token count"),
        pytest.param({"scores": {"weight": "much"}}, "'scores' must be numbers by name", id="scores"),
    ],
)
def test_fields_of_samples_are_checked(sample: dict[str, object], says: str):
    with pytest.raises(DataError, match=re.escape(says)):
        stored_set_from_row({"question": "?", "samples": [{"text": "a", **sample}]}, 0)


def test_counts_of_a_table_with_gaps_are_whole_numbers():
    row = {"question": "?", "samples": [{"text": "a", "prompt_tokens": 12.0}]}
    (sample,) = stored_set_from_row(row, 0).sample_set.samples
    assert repr(sample.prompt_tokens) == "12"


def test_nulls_among_scores_are_no_scores():
    row = {
        "question": "?",
        "samples": [{"text": "a", "scores": {"weight": None}}, {"text": "b", "scores": None}],
    }
    assert [one.scores for one in stored_set_from_row(row, 0).sample_set.samples] == [{}, {}]
