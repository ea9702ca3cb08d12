from __future__ import annotations

import pytest

from sampleset.commands.progress import sampling_line
from sampleset.sampling.sampler import SamplingProgress
from sampleset.wording import plural


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 draws"), (1, "1 draw"), (2, "2 draws"), (1200, "1,200 draws")],
)
def test_a_number_of_things(count: int, text: str):
    assert plural(count, "draw") == text


def test_words_that_do_not_end_in_an_s():
    assert [plural(count, "try", "tries") for count in (1, 2)] == ["1 try", "2 tries"]


def test_one_draw_of_one_question_is_told_in_the_singular():
    progress = SamplingProgress(total=1, questions=1, drawn=1, retries=1)
    assert sampling_line(progress).startswith("1/1 question, 1 draw, 1 retry, ")
