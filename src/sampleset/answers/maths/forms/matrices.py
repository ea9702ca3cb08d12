r"""How the text of a matrix or a vector is cut into its entries: LaTeX, `[[1, 2], [3, 4]]`, `3\mathbf{i}`."""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import split_top

_MATRIX = lazy_pattern(
    r"(?P<factor>-?(?:\d{1,6}(?:[./]\d{1,6})?|\\frac ?\{[^&]{1,40}\} ?\{[^&]{1,40}\}"
    r"|\\sqrt ?\{[^{}&]{1,20}\}|[a-z])?)"
    r" ?(?:\\cdot )?"
    r"[(\[]? ?\\begin ?\{(?P<name>[pbB]?matrix|smallmatrix|array)\}(?: ?\{[lcr| ]*\})?"
    r"(?P<rows>(?:(?!\\(?:begin|end) ?\{).)*)"
    r"\\end ?\{(?P=name)\} ?[)\]]?",
    re.DOTALL,
)
_ROW_END = lazy_pattern(r"\\\\(?: ?\[[^\]]*\])?")
_GRID_LINE = lazy_pattern(
    r"[ \t]*\[{0,2}[ \t]*-?\d+(?:\.\d*)?(?:[ \t]+-?\d+(?:\.\d*)?){1,31}[ \t]*\]{0,2}[ \t]*"
)
_TRANSPOSED = lazy_pattern(r"(.+[)\]}]) ?\^\{ ?(?:T|t|\\top|\\intercal|\\mathsf\{T\}) ?\}", re.DOTALL)
_CALL = lazy_pattern(r"(?:(?:np|numpy|sympy|sp)\.)?(?:array|[Mm]atrix)\((.+)\)", re.DOTALL)
_ANGLES = lazy_pattern(r"\\langle ?(.+?) ?\\rangle|<([^<>]+,[^<>]+)>")
_SCALED = lazy_pattern(
    r"(-?(?:\d{1,6}|\\frac ?\{[^{}()]{1,20}(?:\{[^{}()]{1,20}\})?\} ?\{[^{}()]{1,20}(?:\{[^{}()]{1,20}\})?\}"
    r"|\\sqrt ?\{\d{1,6}\})) ?(?:\((.+)\)|\\langle ?(.+?) ?\\rangle)"
)
_UNIT_VECTOR = lazy_pattern(r"([+-]?) ?([^+-]*?) ?(\\hat[ijk]|(?<![A-Za-z])[ijk])(?![A-Za-z]) ?")


def matrix_rows(text: str) -> list[list[str]] | None:
    """The entries of a matrix by row, `None` of anything else; a column has one entry a row."""
    call = _CALL.fullmatch(text)
    if call:
        text = call[1].strip()
        if not text.startswith("[["):
            return None
    transposed = _TRANSPOSED.fullmatch(text)
    if transposed:
        rows = matrix_rows(transposed[1]) or _row(transposed[1])
        if not rows or len({len(row) for row in rows}) > 1:
            return None
        return [list(column) for column in zip(*rows, strict=True)]
    match = _MATRIX.fullmatch(text)
    if match:
        rows = [row.split("&") for row in _ROW_END.split(match["rows"]) if row.strip()]
        factor = "-1" if match["factor"] == "-" else match["factor"]
        return [
            [rf"{factor} \cdot ({cell.strip()})" if factor else cell.strip() for cell in row] for row in rows
        ]
    if text.startswith("[[") and text.endswith("]]"):
        return [split_top(row.strip()[1:-1], ",") for row in split_top(text[1:-1], ",")]
    if text.startswith("[") and text.endswith("]") and ";" in text and "[" not in text[1:]:
        rows = [re.split(r" ?, ?| ", row) for row in split_top(text[1:-1], ";")]
        # `[0;1]` is an interval.
        return rows if all(len(row) > 1 for row in rows) else None
    return None


def grid_as_rows(text: str) -> str:
    """Rows of numbers on lines of their own, in brackets: of `1 2` above `3 4`, `[[1, 2], [3, 4]]`."""
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [re.findall(r"-?[\d.]+", line) for line in lines if _GRID_LINE.fullmatch(line)]
    if len(rows) < 2 or len(rows) < len(lines) or len({len(row) for row in rows}) > 1:
        return text
    inner = ", ".join(f"[{', '.join(row)}]" for row in rows)
    return f"[{inner}]"


def array_of_one_row(text: str) -> str | None:
    """The list in an array of code that has one dimension: of `np.array([1, 2])`, `[1, 2]`."""
    call = _CALL.fullmatch(text)
    inner = call[1].strip() if call else ""
    return inner if inner.startswith("[") and not inner.startswith("[[") else None


def scaled_entries(text: str) -> list[str] | None:
    r"""The entries of a tuple with a constant before it: of `\frac{1}{3}(2, 1)`, a third of each."""
    match = _SCALED.fullmatch(text)
    members = split_top(match[2] or match[3], ",") if match else []
    return [rf"{match[1]} \cdot ({member})" for member in members] if match and len(members) > 1 else None


def _row(text: str) -> list[list[str]] | None:
    """`(2, -5)` or `[2, -5]` as the one row of a matrix."""
    members = split_top(text[1:-1], ",") if text[:1] + text[-1:] in ("()", "[]") else []
    return [members] if len(members) > 1 else None


def vector_entries(text: str) -> list[str] | None:
    r"""The entries of `\langle 1,2 \rangle` and of `3\mathbf{i}-\mathbf{j}`; `None` of anything else."""
    angles = _ANGLES.fullmatch(text)
    if angles:
        members = split_top(angles[1] or angles[2], ",;")
        return members if len(members) > 1 else None
    hats = re.findall(r"\\hat([ijk])(?![A-Za-z])", text)
    letters = re.findall(r"(?<![\\A-Za-z])[A-Za-z]+", text)
    if not hats and not (set(letters) in ({"i", "j"}, {"i", "j", "k"}) and len(letters) == len(set(letters))):
        return None
    entries: dict[str, str] = {}
    position = 0
    while position < len(text):
        term = _UNIT_VECTOR.match(text, position)
        if (
            not term
            or term.end() == position
            or term[3][-1] in entries
            or term[2].count("(") != term[2].count(")")
        ):
            return None
        entries[term[3][-1]] = f"{term[1]}{term[2].strip() or '1'}".removeprefix("+")
        position = term.end()
    return [entries.get(axis, "0") for axis in ("ijk" if "k" in entries else "ij")]
