"""Half a character in a question is read as U+FFFD, from wherever it comes."""

import json
import logging
import os
from pathlib import Path

import pytest

from sampleset import types
from sampleset.settings import save_settings
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


def test_settings_with_a_file_name_that_is_not_utf_8_are_saved_and_read_back(tmp_path: Path):
    name = os.fsdecode(b"draws\xf0")
    save_settings(tmp_path / "settings.json", {"output_dir": name})
    assert json.loads((tmp_path / "settings.json").read_text("utf-8")) == {"output_dir": name}
