"""Output for a terminal: samples side by side, answers of several methods, result tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sampleset.aggregators.base import answers_of
from sampleset.evaluation import Evaluation
from sampleset.report import report_tables
from sampleset.types import Answer, SampleSet

_NARROW = 38
_LONGEST = 1200


def print_samples(sample_set: SampleSet) -> None:
    """Print the samples as panels side by side, each with the answer read from it."""
    console = Console()
    answers = answers_of(sample_set)
    width = max(_NARROW, (console.width - 2) // max(1, min(sample_set.n, console.width // _NARROW)))
    panels: list[Panel] = []
    for index, sample in enumerate(sample_set.samples):
        answer = answers[index]
        text = sample.error if sample.error is not None else sample.text.strip()
        body = Text(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")
        foot = Text(f"answer: {answer}" if answer is not None else "no answer", style="bold")
        panels.append(Panel(Group(body, Text(), foot), title=f"sample {index + 1}", width=width))
    console.print(Columns(panels, padding=(0, 0)))


def print_answers(answers: Sequence[Answer], right: Sequence[bool | None], labels: Sequence[str]) -> None:
    """Print the answer of each method to one question, and whether it is right."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("method", "answer", "", "confidence", "tokens", "notes"):
        table.add_column(heading, justify="right" if heading in ("confidence", "tokens") else "left")
    marks = {True: "✓ right", False: "✗ wrong", None: "? undecided"}
    for answer, correct, label in zip(answers, right, labels, strict=True):
        table.add_row(
            label.replace(":", "\n  ").replace(",", "\n  "),
            "(abstains)" if answer.answer is None else Text(answer.answer),
            marks[correct],
            "" if answer.confidence is None else f"{answer.confidence:.2f}",
            str(answer.usage.total_tokens or ""),
            ", ".join(answer.flags),
        )
    Console().print(table)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the tables of a report."""
    console = Console()
    for table in report_tables(evaluation):
        console.print(table)
        console.print()
