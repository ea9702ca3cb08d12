"""Functions that map a source's rows to problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sampleset.answers.maths.spelling.brackets import closing
from sampleset.errors import DataError
from sampleset.types import Problem, Question

Row = Mapping[str, Any]


def column(row: Row, name: str) -> Any:
    """The value of a required column.

    Raises:
        DataError: The column is missing; the message names the existing ones.
    """
    if name not in row:
        raise DataError(f"no column {name!r}; the columns here are {', '.join(row)}")
    return row[name]


def text(row: Row, name: str) -> str:
    """The stripped text of a column. Whole numbers lose their decimal point.

    Raises:
        DataError: The column is missing, or holds neither text nor a number.
    """
    value = column(row, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise DataError(f"{name!r} must be a text, got {value!r:.80}")
    return str(value).strip()


def optional(row: Row, name: str) -> str | None:
    """The text of a column that may be absent, empty or null."""
    return None if row.get(name) in (None, "") else text(row, name)


def whole_number(row: Row, name: str) -> str:
    """The whole number in a column, without leading zeros or a decimal point.

    Raises:
        DataError: It holds something else.
    """
    value = text(row, name).removesuffix(".0")
    if not value.removeprefix("-").isdecimal():
        raise DataError(f"{name!r} must be a whole number, got {value!r:.80}")
    return str(int(value))


def last_box(solution: str) -> str | None:
    r"""The content of the last `\boxed{}`, or of the last `\boxed 5`; `None` where there is none."""
    start = solution.rfind("\\boxed")
    if start < 0:
        return None
    rest = solution[start + len("\\boxed") :].lstrip()
    if rest.startswith("{"):
        end = closing(rest, 0)
        return rest[1:end].strip() if end > 0 else None
    return rest.split("$")[0].split()[0] if rest.split() else None


def multiple_choice(id: str, question: str, options: Sequence[str], right: int, **more: Any) -> Problem:
    """A problem whose question ends in its lettered options, one per line, and whose answer is a letter.

    Args:
        id: The problem's id.
        question: The question without its options.
        options: The options in order.
        right: Index of the right option, from 0.
        more: Other fields of `Problem`.

    Raises:
        DataError: `right` is out of range.
    """
    options = [" ".join(option.split()) for option in options]
    if not 0 <= right < len(options):
        raise DataError(f"the right option is number {right} of {len(options)}")
    lines = [question.strip(), *(f"{_letter(index)}. {option}" for index, option in enumerate(options))]
    return Problem(Question(id, "\n".join(lines), tuple(options)), _letter(right), **more)


def with_choices(problem: Problem) -> Problem:
    """The problem with `choices` set from the lettered options at the end of its question.

    Raises:
        DataError: The question has no lettered lines, or the answer is not the letter of one.
    """
    rest, options = problem.question.text, list[str]()
    while (start := rest.rfind("\n")) >= 0 and not rest[start + 1 :].startswith("A. "):
        options.insert(0, rest[start + 1 :])
        rest = rest[:start]
    options.insert(0, rest[start + 1 :])
    choices: list[str] = []
    for line in options:
        mark = f"{_letter(len(choices))}. "
        if line.startswith(mark):
            choices.append(line.removeprefix(mark))
        elif choices:
            choices[-1] += f"\n{line}"
    if (
        start < 0
        or len(choices) < 2
        or problem.answer not in [_letter(index) for index in range(len(choices))]
    ):
        raise DataError(f"{problem.id!r} is not a question with lettered options and a letter as its answer")
    return replace(problem, question=replace(problem.question, choices=tuple(choices)))


def _letter(index: int) -> str:
    return chr(ord("A") + index)
