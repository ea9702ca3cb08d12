import time

import pytest

from sampleset.commands.progress import duration, evaluation_line, sampling_line
from sampleset.evaluation import EvaluationProgress
from sampleset.sampling.sampler import SamplingProgress
from sampleset.types import Usage


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_written_as_people_write_them(seconds: float, text: str):
    assert duration(seconds) == text


def test_the_sampling_line_tells_what_is_done_and_what_is_left():
    progress = SamplingProgress(
        total=4, questions=1, drawn=10, reused=2, failed=1, retries=3, completion_tokens=1000
    )
    progress.started = time.monotonic() - 10
    assert sampling_line(progress) == (
        "1/4 questions, 10 draws, 2 from the store, 1 failed, 3 retries, 100 tokens/s, 30 s left"
    )


def test_the_evaluation_line_says_how_far_it_is():
    started = time.monotonic() - 10
    progress = EvaluationProgress("gsm8k", total=8, done=2, usage=Usage(90, 10, 2), started=started)
    assert evaluation_line(progress) == "gsm8k: 2/8 problems, 100 tokens, 30 s left"
