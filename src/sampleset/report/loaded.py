"""A report in Python: its figures as a table of pandas, as a plot, and in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from sampleset.errors import MissingExtraError
from sampleset.evaluation.results import Evaluation
from sampleset.html_tables import html_table
from sampleset.report.csv_files import method_rows
from sampleset.report.files import evaluation_in, question_rows, read_report
from sampleset.report.markdown import report_markdown


@dataclass(frozen=True)
class Report:
    """The results of an evaluation.

    Attributes:
        evaluation: All figures, as records.
        settings: How it was made.
        questions: One record a question, as in `questions.jsonl`.
        folder: Where its files are; `None` where it was not written.
    """

    evaluation: Evaluation
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    questions: tuple[Mapping[str, Any], ...] = ()
    folder: Path | None = None

    def to_pandas(self) -> Any:
        """A `DataFrame` with one row a file, k and method: accuracy, intervals, differences, tokens.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return _module("pandas", "pandas").DataFrame(list(method_rows(self.evaluation)))

    def to_markdown(self) -> str:
        """The report as `report.md` has it."""
        return report_markdown(self.evaluation, self.settings)

    def plot(self, axes: Any = None) -> Any:
        """Accuracy of each method by k with its 95 % interval, drawn by matplotlib.

        Args:
            axes: What to draw on; by default a new figure. Of several files the first is drawn.

        Returns:
            The axes.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        pyplot = _module("matplotlib.pyplot", "matplotlib")
        if axes is None:
            axes = pyplot.subplots()[1]
        file = self.evaluation.files[0]
        labels = dict.fromkeys(method.label for point in file.points for method in point.methods)
        for label in labels:
            results = [
                (point.k, method)
                for point in file.points
                for method in point.methods
                if method.label == label
            ]
            right = [method.accuracy for _, method in results]
            # Rounding may put the end of an interval beyond a share of 0 or 1.
            below = [max(0.0, method.accuracy - method.interval.low) for _, method in results]
            above = [max(0.0, method.interval.high - method.accuracy) for _, method in results]
            axes.errorbar([k for k, _ in results], right, [below, above], marker="o", capsize=3, label=label)
        axes.set_xlabel("k")
        axes.set_ylabel("share right")
        axes.set_title(file.source)
        axes.legend()
        return axes

    def _repr_html_(self) -> str:
        headings = ("file", "k", "method", "right", "low", "high", "vs vote", "low", "high")
        rows = [
            (
                file.source,
                point.k,
                method.label,
                method.accuracy,
                method.interval.low,
                method.interval.high,
                method.difference,
                method.difference_interval.low,
                method.difference_interval.high,
            )
            for file in self.evaluation.files
            for point in file.points
            for method in point.methods
        ]
        return html_table(headings, rows, "shares right with 95 % intervals")


def load_report(folder: Path | str) -> Report:
    """The report in a folder that `sampleset evaluate` or `evaluate_sets` wrote.

    Raises:
        InputNotFoundError: There is no report in the folder.
        DataError: It cannot be read.
    """
    path = Path(folder)
    report = read_report(path)
    questions = tuple(question_rows(path / "questions.jsonl"))
    settings = json.loads(json.dumps(report.get("settings", {})))
    return Report(evaluation_in(path, report), settings, questions, path)


def _module(name: str, package: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"{package} is not installed: pip install 'sampleset[notebook]', or pip install {package}"
        ) from error
