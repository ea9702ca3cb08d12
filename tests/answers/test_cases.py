"""Answers as a mathematician judges them: cases by kind, and variants of each.

`cases/mended.jsonl` was wrong or undecided once, `cases/kept.jsonl` was always right; both are reduced from
public bug reports and the field's usual forms. `cases/variants.jsonl` holds further members of their kinds.
Of a row, `right` says whether the prediction is to be graded right; `null`, that no answer is to be read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sampleset.answers import extract_answer, matches_gold, same_answer

_FOLDER = Path(__file__).with_name("cases")


def _rows(name: str) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        kinds.setdefault(row["kind"], []).append(row)
    return kinds


_CASES = [
    pytest.param(rows, id=f"{name}-{kind}")
    for name in ("mended", "kept", "variants")
    for kind, rows in _rows(f"{name}.jsonl").items()
]


def _is_judged_right(row: dict[str, Any]) -> bool:
    gold, prediction, right = row.get("gold"), row["prediction"], row["right"]
    if row["form"] == "reply":
        found = extract_answer(prediction, choices=row.get("choices"))
        if right is None:
            return found is None
        return (found is not None and matches_gold(found.text, gold).equal is True) is right
    verdict, same = matches_gold(prediction, gold), same_answer(prediction, gold)
    assert same == same_answer(gold, prediction)
    return verdict.equal is True if right else verdict.equal is False and same.equal is not True


@pytest.mark.parametrize("rows", _CASES)
def test_answers_are_judged_as_a_mathematician_would(rows: list[dict[str, Any]]) -> None:
    assert [row for row in rows if not _is_judged_right(row)] == []
