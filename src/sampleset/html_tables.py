"""Rows as an HTML table, for notebooks; every cell is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_LONGEST = 300


def html_table(headings: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table of texts. Numbers have three decimals; a long text is cut; `None` is an empty cell."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return "<td></td>"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return f'<td style="text-align:left;white-space:pre-wrap">{html.escape(shown)}</td>'
