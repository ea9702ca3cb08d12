"""Half a character in a question is read as U+FFFD, from wherever it comes."""

import logging

import pytest

from sampleset import types
from sampleset.types import Problem, Question


def test_half_a_character_in_a_question_is_replaced_and_said_once(caplog: pytest.LogCaptureFixture):
    types._warn_of_halves.cache_clear()
    with caplog.at_level(logging.WARNING):
        questions = [Question("q", "7+5 \ud83d?"), Question("q", "\udcf0 7+5?"), Question("q", "7+5 🎉?")]
    assert [one.text for one in questions] == ["7+5 \ufffd?", "\ufffd 7+5?", "7+5 🎉?"]
    assert len(caplog.records) == 1


def test_half_a_character_beside_a_question_is_replaced(caplog: pytest.LogCaptureFixture):
    problem = Problem(Question("a\ud83d", "7+5?", ("\ud83d", "x")), "\udc00", subject="\ud800")
    assert (problem.id, problem.question.choices) == ("a\ufffd", ("\ufffd", "x"))
    assert (problem.answer, problem.subject) == ("\ufffd", "\ufffd")
