"""Small evaluations: a vote, and a method that reads the samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from sampleset.evaluation.results import (
    Bin,
    Calibration,
    CoveragePoint,
    CurvePoint,
    Evaluation,
    FileResult,
    Interval,
    MacroMethod,
    MacroPoint,
    MatchedVote,
    MethodResult,
    PointResult,
    QuestionResult,
    Rate,
    Slice,
    TokenUse,
)

VOTE = MethodResult(
    label="majority_vote",
    options={"ties": "seeded"},
    model=None,
    accuracy=0.5,
    interval=Interval(0.15, 0.85),
    difference=0.0,
    difference_interval=Interval(0.0, 0.0),
    mended=0,
    spoilt=0,
    p_value=1.0,
    p_holm=None,
    minority_recovery=Rate(0.0, 1.5),
    all_wrong_recovery=Rate(0.0, 0.5),
    harm=Rate(0.0, 2.0),
    abstained=0.0,
    failed=0.0,
    undecided=0.0,
    flips=Rate(0.25, 4.0),
    calibration=Calibration(
        0.125,
        1.0,
        (Bin(0.5, 0.6, 0.5, 0.5, 4.0),),
        (CoveragePoint(0.5, 1.0, 0.776), CoveragePoint(1.0, 0.5, 0.902)),
    ),
    usage=TokenUse(0.0, 0.0, 0.0),
    cost=None,
    matched=None,
    flags={"tie": 1},
)
READER = replace(
    VOTE,
    label="llm_aggregator:mode=select",
    options={"mode": "select"},
    model="reader",
    accuracy=0.75,
    interval=Interval(0.301, 0.954),
    difference=0.25,
    difference_interval=Interval(0.125, 0.5),
    mended=2,
    spoilt=1,
    p_value=0.0004,
    p_holm=0.0012,
    minority_recovery=Rate(0.5, 1.5),
    all_wrong_recovery=Rate(0.25, 0.5),
    harm=Rate(0.125, 2.0),
    flips=None,
    calibration=None,
    usage=TokenUse(1000.0, 234.0, 1.0),
    matched=MatchedVote(9, 4, 0.625, 0.125, Interval(-0.25, 0.5), False),
    flags={},
)


def a_point(k: int = 2, methods: Sequence[MethodResult] = (VOTE, READER), **fields: Any) -> PointResult:
    shares = {method.label: method.accuracy for method in methods}
    whole = PointResult(
        k=k,
        problems=4,
        left_out=0,
        subsets=1.0,
        all_subsets=True,
        sample_accuracy=0.375,
        pass_at_k=0.875,
        oracle=0.875,
        sampling=TokenUse(200.0, 1000.0, 2.0),
        sampling_cost=None,
        methods=tuple(methods),
        breakdowns={"level": (Slice("1", 1.5, shares, 1.0), Slice("2", 2.5, shares, 0.75))},
    )
    return replace(whole, **fields)


def a_file(*points: PointResult, **fields: Any) -> FileResult:
    whole = FileResult(
        source="gsm8k",
        problems=4,
        without_gold=0,
        unreadable_gold=(),
        unreadable_gold_count=0,
        smallest=4,
        largest=4,
        undecided_samples=0,
        points=points or (a_point(),),
        curve=(
            CurvePoint(1, 4, 0.375, Interval(0.1, 0.7), 0.375),
            CurvePoint(2, 4, 0.5, Interval(0.15, 0.85), 0.875),
        ),
    )
    return replace(whole, **fields)


def an_evaluation(*files: FileResult, **fields: Any) -> Evaluation:
    return replace(Evaluation(files or (a_file(),), (), 1, 20, 10_000, 0), **fields)


def a_macro(*sources: str) -> MacroPoint:
    methods = tuple(
        MacroMethod(one.label, one.accuracy, one.interval, one.difference, one.difference_interval)
        for one in (VOTE, READER)
    )
    return MacroPoint(2, sources, 0.875, methods)


def a_question(number: int = 0, **fields: Any) -> QuestionResult:
    whole = QuestionResult(
        file="gsm8k",
        id=f"q{number}",
        question=f"What is {number} + 1?",
        gold=f"{number + 1}",
        level=None,
        subject=None,
        k=2,
        shown=(0, 3),
        samples=("So it is 1.", "So it is 2."),
        sample_answers=("1", "2"),
        sample_right=(True, False),
        answers={VOTE.label: "2", READER.label: "1"},
        right={VOTE.label: False, READER.label: True},
        confidences={VOTE.label: 0.5},
        texts={},
        accuracies={"2": {VOTE.label: 0.0, READER.label: 1.0}},
    )
    return replace(whole, **fields)


def rows_of(questions: Sequence[QuestionResult]) -> list[dict[str, Any]]:
    """As `questions.jsonl` gives them back."""
    return [json.loads(json.dumps(asdict(one))) for one in questions]


class Page(HTMLParser):
    """What a browser finds in a page: the scripts, the styles and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.bodies: list[tuple[str, str]] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._open = tag if tag in ("script", "style") else ""
        if self._open:
            self.bodies.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, before = self.bodies[-1]
            self.bodies[-1] = (tag, before + data)

    def of(self, tag: str) -> list[str]:
        return [body for name, body in self.bodies if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.of("script")[0])


def write_questions(path: Path, questions: Sequence[QuestionResult]) -> Path:
    """A `questions.jsonl` with these questions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(questions)))
    return path
