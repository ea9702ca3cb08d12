"""The answer in a reply that is a JSON object or a Python dictionary, or its verdict on each option."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.boxes import boxed_answers
from sampleset.answers.maths.reading.marked_texts import is_prose, may_be_answer, without_aside
from sampleset.answers.maths.reading.no_answers import states_no_answer
from sampleset.answers.maths.reading.phrases import phrased_answers
from sampleset.answers.maths.reading.sentences import last_sentence, number_of_sentence

_MOST_JSON = 20_000
_JSON_LEVELS = 2
_KEYS = (
    "final_answer", "finalanswer", "answer", "correct_answer", "ans", "answer_letter", "result", "solution",
    "choice", "selected", "selected_option", "option", "letter", "response", "output", "value", "final",
    "answers", "solutions", "roots", "results",
)  # fmt: skip
_ANSWER_KEY = lazy_pattern(r"(?:^|_)(?:answer|option|choice|prediction)$")
_KEY_OF_TEXT = lazy_pattern(
    r"(?:['\"]|[{,\n]\s{0,9}(?=\w))(?P<key>[A-Za-z_ ]{3,14})['\"]?\s*:\s*"
    r"(?P<value>'[^'\n]{0,500}'|\"(?:[^\"\\\n]|\\.){0,500}\""
    r"|-?\d[\d.eE+-]{0,40})"
)
_LOST_COMMAND = lazy_pattern("[\f\b](?=[a-z])|\t(?=ext|imes|heta|an|frac)|\r(?=ight|ho)")


def answer_in_json(text: str, has_choices: bool) -> str | None:
    """The answer in a reply that is a JSON object or a Python dictionary."""
    body = text.strip()
    if body.endswith("```"):
        opening = body.rfind("```", 0, len(body) - 3)
        body = (
            body[opening + 3 : -3].removeprefix("json").removeprefix("JSON").strip() if opening >= 0 else ""
        )
    is_listed = body.startswith("[") and body.endswith("]") and body[1:-1].strip().startswith("{")
    if not (is_listed or (body.startswith("{") and body.endswith("}"))) or len(body) > _MOST_JSON:
        return None
    try:
        document: object = json.loads(body, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        written = {document["key"].lower(): document["value"] for document in _KEY_OF_TEXT.finditer(body)}
        document = {key: value.strip("'\"") for key, value in written.items()}
    if has_choices and (verdicts := _verdicts_in(document)):
        chosen = [letter for letter, is_right in verdicts.items() if is_right]
        return chosen[0] if len(chosen) == 1 else None
    if isinstance(document, list):
        document = cast("list[object]", document)[-1]
    return _answer_in(document, _JSON_LEVELS)


def _verdicts_in(document: object) -> dict[str, bool]:
    """What a document says of each option: `{"A": false, "B": true}`, or objects with letter and verdict."""
    if isinstance(document, dict) and len(cast("dict[str, object]", document)) == 1:
        (document,) = cast("dict[str, object]", document).values()
    if isinstance(document, list):
        pairs = [_verdict_in(option) for option in cast("list[object]", document)]
        document = dict(pair for pair in pairs if pair) if all(pairs) else None
    options = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    verdicts = {
        letter.upper(): is_right
        for letter, told in options.items()
        if len(letter) == 1 and (is_right := _truth(told)) is not None
    }
    return verdicts if len(verdicts) == len(options) > 1 else {}


def _truth(value: object) -> bool | None:
    """A verdict, also as text: `"true"`."""
    if isinstance(value, str):
        return {"true": True, "correct": True, "false": False, "incorrect": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _verdict_in(option: object) -> tuple[str, bool] | None:
    values = list(cast("dict[str, object]", option).values()) if isinstance(option, dict) else []
    letters = [value for value in values if isinstance(value, str) and len(value) == 1]
    verdicts = [told for value in values if (told := _truth(value)) is not None]
    return (letters[0], verdicts[0]) if len(letters) == len(verdicts) == 1 else None


def _answer_in(value: object, depth: int) -> str | None:
    if isinstance(value, dict) and depth:
        members = {
            key.lower().replace(" ", "_"): inner for key, inner in cast("dict[str, Any]", value).items()
        }
        for key in _KEYS:
            if key in members and (answer := _answer_in(members[key], depth - 1)) is not None:
                return answer
        inner = [key for key in members if _ANSWER_KEY.search(key)] or [*members][: depth < _JSON_LEVELS]
        return _answer_in(members[inner[0]], depth - 1) if len(inner) == 1 and inner else None
    if isinstance(value, list):
        members = [_answer_in(member, 0) for member in cast("list[object]", value)]
        return ", ".join(member for member in members if member) if members and all(members) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _LOST_COMMAND.sub(_restored, value).strip() if isinstance(value, str) else ""
    if not may_be_answer(text) or (text.startswith(("I ", "We ")) and states_no_answer(text)):
        return None
    marked = next(boxed_answers(text), None) or next(phrased_answers(text), None)
    if marked:
        return marked[0]
    return (number_of_sentence(last_sentence(text)) if is_prose(text) else None) or without_aside(text)


def _restored(match: re.Match[str]) -> str:
    r"""The command that one backslash too few made a control character of: `\frac`, `\text`."""
    return "\\" + {"\f": "f", "\b": "b", "\t": "t", "\r": "r"}[match[0]]
