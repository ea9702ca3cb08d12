"""Rows and sets for the tests of training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sampleset.backends.replay import ReplayBackend
from sampleset.prompts import AGGREGATION_PROMPT
from sampleset.storage.files import write_rows
from sampleset.training.data.rows import RowCandidate, TrainingRow

SILENT = ReplayBackend(lambda messages, seed: "")


def make_row(gold: str = "7", mode: Any = "think", **more: Any) -> TrainingRow:
    """A row whose vote says 9 and whose minority says the gold answer."""
    opening = {"think": "<think>\n"}.get(mode, "<answer>")
    values: dict[str, Any] = {
        "id": "sets/q/0",
        "k": 3,
        "places": (2, 0, 1),
        "prompt": (
            {"role": "user", "content": "What is 3 plus 4?"},
            {"role": "assistant", "content": opening},
        ),
        "mode": mode,
        "prompt_version": AGGREGATION_PROMPT,
        "prompt_tokens": 9,
        "answer": gold,
        "candidates": (RowCandidate("9", 2, False), RowCandidate(gold, 1, True, -0.25)),
        "vote": "9",
        "vote_right": False,
        "right_samples": 1,
    }
    return TrainingRow(**{**values, **more})


def short_row(
    number: int,
    answers: Sequence[str],
    right: Sequence[bool],
    *,
    mode: Any = "select",
    completion: str | None = None,
) -> TrainingRow:
    """A row that shows nothing but the answers, each of one sample; the first is the vote's."""
    return TrainingRow(
        id=f"sets/{number}/0",
        k=len(answers),
        places=tuple(range(len(answers))),
        prompt=(
            {"role": "user", "content": f"{number}? " + " ".join(answers)},
            {"role": "assistant", "content": "<answer>"},
        ),
        mode=mode,
        prompt_version=AGGREGATION_PROMPT,
        prompt_tokens=10,
        answer=next((one for one, fits in zip(answers, right, strict=True) if fits), "none"),
        candidates=tuple(RowCandidate(one, 1, fits) for one, fits in zip(answers, right, strict=True)),
        vote=answers[0],
        vote_right=right[0],
        right_samples=sum(right),
        completion=completion,
    )


def write_sets(path: Path, answers_of: dict[str, list[str]], gold: str | None = "7", **more: Any) -> Path:
    """A file with one set a question; each sample reasons a little and boxes its answer."""
    write_rows(
        path,
        (
            {
                "id": name,
                "question": f"Question {name}?",
                **({"answer": gold} if gold is not None else {}),
                "samples": [
                    f"Step {place} of {name}.\nThe final answer is \\boxed{{{one}}}."
                    for place, one in enumerate(answers)
                ],
                **more,
            }
            for name, answers in answers_of.items()
        ),
    )
    return path


def launcher(count: int) -> list[str]:
    """What Python is told to run a module in so many processes on the CPU; one needs nothing."""
    words = ["-m", "accelerate.commands.launch", "--cpu", "--num_machines=1", f"--num_processes={count}"]
    return words if count > 1 else []
