"""Evaluation → one page with tables, pictures and questions to read.

The page is one file: it loads nothing, and its policy forbids it to. Questions, samples and answers are
untrusted text. They travel as JSON that cannot close its own element; the script puts them into text nodes,
and delimited mathematics through KaTeX, whose `trust` option is off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, cast

from sampleset.answers import canonical
from sampleset.evaluation.results import Evaluation
from sampleset.report.json_form import report_dict
from sampleset.report.notes import MATCHED_CAPTION, captions, macro_caption
from sampleset.report.wording import vote_of

_LONGEST_TEXT = 12_000
"""Characters of one text in the page; `questions.jsonl` has the whole."""
_MOST_TEXT = 10_000_000
"""Characters of all samples in the page, shared by the files: browsers take a page of this size at once."""
_SCRIPTS = ("katex/katex.min.js", "page.mathematics.js", "page.folds.js", "page.figures.js", "page.js")


def report_html(
    evaluation: Evaluation,
    settings: Mapping[str, Any],
    questions: Iterable[Mapping[str, Any]] = (),
    browse: int = 300,
) -> str:
    """The report as one page that needs no network.

    Args:
        evaluation: The results.
        settings: How it was made.
        questions: Rows of `questions.jsonl`; read once, as a stream.
        browse: Questions per file in the page at most. Those on which methods differ have precedence.
    """
    data = report_dict(evaluation, settings)
    data["told"] = {
        "captions": captions(evaluation),
        "macro": macro_caption(evaluation),
        "matched": MATCHED_CAPTION,
    }
    points = [point for file in evaluation.files for point in file.points]
    votes = [vote.label for point in points if (vote := vote_of(point)) is not None]
    data["vote"] = votes[0] if votes else ""
    chosen = _chosen([file.source for file in evaluation.files], questions, browse)
    for file in data["files"]:
        file["questions"] = chosen[file["source"]].in_file_order()
        file["questions_in_all"] = chosen[file["source"]].count
    style = _template("page.css") + _mathematics_style()
    scripts = [_template(name) for name in _SCRIPTS]
    parts = {
        "style": style,
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
        "data": _json_for_script(data),
        "style_hash": f"'{_csp_hash(style)}'",
        "script_hashes": " ".join(f"'{_csp_hash(script)}'" for script in scripts),
    }
    # One pass, so that inserted text is not searched again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _template("page.html"))


@dataclass
class _Chosen:
    """Questions of one file for the page, each with its number in the file."""

    browse: int
    room: int
    count: int = 0
    telling: list[tuple[int, dict[str, Any]]] = field(default_factory=list[tuple[int, dict[str, Any]]])
    others: list[tuple[int, dict[str, Any]]] = field(default_factory=list[tuple[int, dict[str, Any]]])

    def take(self, row: Mapping[str, Any]) -> None:
        self.count += 1
        disagree = _methods_disagree(row)
        rows = self.telling if disagree or len(set(row["right"].values())) > 1 else self.others
        # Rows without a difference are used only where the others leave room.
        if len(self.telling) < self.browse and len(rows) < self.browse:
            rows.append((self.count, {**_shortened(row), "disagree": disagree}))

    def in_file_order(self) -> list[dict[str, Any]]:
        rows: list[tuple[int, dict[str, Any]]] = []
        for number, row in [*self.telling, *self.others][: self.browse]:
            self.room -= len(row["question"]) + sum(map(len, [*row["samples"], *row["texts"].values()]))
            if self.room < 0 and rows:
                break
            rows.append((number, row))
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _chosen(sources: list[str], questions: Iterable[Mapping[str, Any]], browse: int) -> dict[str, _Chosen]:
    room = _MOST_TEXT // max(1, len(sources))
    chosen = {source: _Chosen(browse, room) for source in sources}
    for row in questions:
        if row["file"] in chosen:
            chosen[row["file"]].take(row)
    return chosen


def _methods_disagree(row: Mapping[str, Any]) -> bool:
    answers = set(cast("Mapping[str, str | None]", row["answers"]).values())
    return len(answers) > 1 and len({None if answer is None else canonical(answer) for answer in answers}) > 1


def _shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without the fields that only other programs read; long texts are cut."""
    left_out = ("file", "accuracies", "models", "answer_kind", "prompt")
    short = {name: value for name, value in row.items() if name not in left_out}
    short["question"] = _cut(row["question"])
    short["samples"] = [_cut(text) for text in row["samples"]]
    short["texts"] = {label: _cut(text) for label, text in row["texts"].items()}
    return short


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[:_LONGEST_TEXT]}\n… ({len(text) - _LONGEST_TEXT:,} more characters in questions.jsonl)"


@cache
def _mathematics_style() -> str:
    """KaTeX's style with the fonts of the package inlined; faces of other fonts are left out."""

    def face(match: re.Match[str]) -> str:
        url = re.search(r"url\((fonts/[\w-]+\.woff2)\)", match[0])
        font = _templates() / "katex" / url[1] if url else None
        if font is None or not font.is_file():
            return ""
        inside = base64.b64encode(font.read_bytes()).decode()
        return re.sub(r"src:[^}]*", f'src:url(data:font/woff2;base64,{inside}) format("woff2")', match[0])

    return re.sub(r"@font-face\{[^}]*\}", face, _template("katex/katex.min.css"))


def _templates() -> Traversable:
    return resources.files("sampleset") / "report" / "page"


def _template(name: str) -> str:
    return (_templates() / name).read_text("utf-8")


def _json_for_script(data: object) -> str:
    """JSON in ASCII without `<`, `>` and `&`: no text within can end the element, or open a comment."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _csp_hash(text: str) -> str:
    # A browser reads `\r\n` as `\n`, and a lone `\r` too, before it takes the hash.
    read = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"sha256-{base64.b64encode(hashlib.sha256(read.encode()).digest()).decode()}"
