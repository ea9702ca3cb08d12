"""Rows of another tool → rows of ours: the interface of a format, and how it is recognised.

A format looks at the first row of the input (and at the names of the files) and says whether it recognises
it; no option is needed. One file per format, whose name is the module's name. Grades and scores
that another tool made with the gold answer in hand never become scores of samples, which aggregators see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeGuard

from sampleset.answers import extract_answer
from sampleset.errors import DataError
from sampleset.registry import Registry
from sampleset.storage.column_names import GOLD_COLUMNS, mapped
from sampleset.storage.foreign._chats import is_list, is_mapping
from sampleset.storage.records import (
    ANSWER_COLUMNS,
    QUESTION_COLUMNS,
    SAMPLES_COLUMNS,
    Row,
    column_value,
    list_in_cell,
    number_text,
    problem_to_row,
)
from sampleset.storage.row_folders import row_files, rows_in
from sampleset.storage.rows import Located, located, read_rows
from sampleset.types import Problem


@dataclass(frozen=True)
class Source:
    """The input of a read: the files, their rows, and the columns that the user mapped.

    Attributes:
        path: As the user gave it.
        columns: Our name of a column → the file's.
        problems: Questions and gold answers that the rows lack.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    problems: tuple[Problem, ...] = ()

    @cached_property
    def files(self) -> list[Path]:
        """The files whose rows belong together, in order."""
        return row_files(self.path)

    @cached_property
    def _first(self) -> tuple[int, Row]:
        nothing: tuple[int, Row] = (0, {})
        return next(iter(read_rows(self.files[0])), nothing)

    @cached_property
    def first(self) -> Row:
        """The first row as it stands; empty where there is none."""
        return self._first[1]

    @cached_property
    def first_mapped(self) -> Row:
        """The first row under our names of columns."""
        number, row = self._first
        with located(self.files[0], number):
            return mapped(row, self.columns) if row else {}

    @cached_property
    def _known(self) -> dict[tuple[str, str], Problem]:
        """The problems by text, spaces evened, and by id."""
        by_text = {("text", _even(problem.question.text)): problem for problem in self.problems}
        return by_text | {("id", problem.id): problem for problem in self.problems}

    def completed(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with question and gold answer of the problem that it belongs to.

        Raises:
            DataError: There are problems, and none has the row's question or its id.
        """
        if not self.problems:
            return row
        question, identity = row.get("question"), str(row.get("id"))
        known = self._known.get(("text", _even(question))) if isinstance(question, str) else None
        known = known or self._known.get(("id", identity))
        if known is None:
            raise DataError(
                f"no problem has the id {identity!r} or the question {str(question)[:60]!r}; "
                "are these the problems that the samples were drawn for?"
            )
        return row | problem_to_row(known)

    def rows(self, files: Sequence[Path] | None = None) -> Iterator[Located]:
        """Rows as they stand, of all files or of some."""
        for file in self.files if files is None else files:
            yield from rows_in(file)


@dataclass(frozen=True)
class RowSource(Source):
    """Rows in memory as the input of a read; its path is a name for messages."""

    listed: tuple[Row, ...] = ()

    @cached_property
    def files(self) -> list[Path]:
        """The name in the place of a file."""
        return [self.path]

    @cached_property
    def _first(self) -> tuple[int, Row]:
        return 1, self.listed[0]

    def rows(self, files: Sequence[Path] | None = None) -> Iterator[Located]:
        """The rows, counted from 1."""
        for number, row in enumerate(self.listed, 1):
            yield self.path, number, dict(row)


@dataclass(frozen=True, slots=True)
class ForeignSet:
    """One sample set on its way: the row in our shape, and where its first part stood.

    Attributes:
        raw: The row that `--columns` looks into; `None` where it was looked into before.
    """

    file: Path
    number: int
    row: dict[str, Any]
    raw: Row | None = None

    def with_columns(self, columns: Mapping[str, str]) -> dict[str, Any]:
        """The row in our shape, with the columns that the user mapped taken from the raw row."""
        if self.raw is None:
            return self.row
        raw = self.raw
        return {**self.row, **{ours: column_value(raw, theirs, ours) for ours, theirs in columns.items()}}


class Format(Protocol):
    """One shape in which another tool writes samples.

    Attributes:
        title: Its name in messages.
        general: Whether it goes by names of columns that many files have; such formats are tried last.
    """

    title: ClassVar[str]
    general: ClassVar[bool]

    def recognises(self, source: Source) -> bool:
        """Whether the first row, and the names of the files, are of this format."""
        ...

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """The sample sets, each in a row of our shape."""
        ...


FORMATS: Registry[type[Format]] = Registry("format", "sampleset.storage.foreign")


def recognised(source: Source) -> Format | None:
    """The format of the input, `None` where it is in our own shape or in an unknown one."""
    if not source.first or is_ours(source):
        return None
    formats = [FORMATS.get(name)() for name in FORMATS.names()]
    formats.sort(key=lambda form: form.general)
    return next((form for form in formats if form.recognises(source)), None)


def is_ours(source: Source) -> bool:
    """Whether a row holds a question and a list of its samples under names that `records` knows."""
    row = source.first_mapped
    return any(is_list(row.get(name)) or _is_listed(row.get(name)) for name in SAMPLES_COLUMNS) and any(
        isinstance(row.get(name), str) for name in QUESTION_COLUMNS
    )


@dataclass
class Group:
    """Samples of one question that stand in several rows."""

    file: Path
    number: int
    row: dict[str, Any]
    raw: Row
    samples: list[Any] = field(default_factory=list[Any])

    def set(self) -> ForeignSet:
        """The set of the group."""
        return ForeignSet(self.file, self.number, {**self.row, "samples": self.samples}, self.raw)


def grouped(
    rows: Iterator[Located],
    key: Callable[[Row], object],
    convert: Callable[[Row], Mapping[str, Any]],
    samples: Callable[[Row], Sequence[Any]],
) -> Iterator[ForeignSet]:
    """The sets of rows that hold some samples of a question each, in the order the questions first appear.

    Args:
        rows: The rows.
        key: What rows of one question share.
        convert: The set's row in our shape, but for the samples.
        samples: The samples of a row.
    """
    groups: dict[object, Group] = {}
    for file, number, row in rows:
        group = groups.get(name := key(row))
        if group is None:
            group = groups[name] = Group(file, number, dict(convert(row)), row)
        group.samples += samples(row)
    for group in groups.values():
        yield group.set()


def gold_fields(gold: str | None) -> dict[str, str]:
    """`answer`, and `solution` where the gold text is a worked solution that states it at its end."""
    if gold is None:
        return {}
    if "####" in gold or r"\boxed" in gold or "\n" in gold.strip():
        answer = extract_answer(gold, truncated=True)
        if answer is not None:
            return {"answer": answer.text, "solution": gold}
    return {"answer": gold}


def gold_of(row: Row) -> str | None:
    """The gold answer of a row: in one of its columns, or where verl puts it.

    Of a list of answers it is the first, as any is right; beside options all of them together are.
    """
    reward = row.get("reward_model")
    nested = reward.get("ground_truth") if is_mapping(reward) else None
    label = row.get("label") if "predict" in row else None  # LLaMA-Factory's predictions
    for value in (*(row.get(name) for name in GOLD_COLUMNS), nested, label):
        answers = answer_texts(value)
        if answers:
            return ", ".join(answers) if row.get("choices") else answers[0]
    worked = row.get("solution")  # as in MATH, whose answer stands at its end
    return worked if isinstance(worked, str) and ("####" in worked or r"\boxed" in worked) else None


def has_plain_gold(row: Row) -> bool:
    """Whether the gold answer is one text or number in our column; a kind of answers may have lists."""
    value = next((row[name] for name in ANSWER_COLUMNS if row.get(name) is not None), None)
    text = number_text(value)
    return text is not None and ("answer_kind" in row or answer_texts(value) == [text])


def answer_texts(value: object) -> list[str]:
    """The gold answers that a value holds: a text, a number, or a list of these, also as JSON of texts."""
    if isinstance(value, str) and value.lstrip().startswith('["'):
        listed = list_in_cell(value)
        value = listed if is_texts(listed) else value
    texts = [number_text(item) for item in (value if is_list(value) else [value])]
    return [text for text in texts if text is not None]


def first_text(row: Row, names: Sequence[str]) -> str | None:
    """The first of these columns that holds a text."""
    return next((value for name in names if isinstance(value := row.get(name), str) and value.strip()), None)


def _even(text: str) -> str:
    return " ".join(text.split())


def is_texts(value: object) -> TypeGuard[list[str]]:
    """Whether a value is a list of texts, at least one."""
    return is_list(value) and bool(value) and all(isinstance(item, str) for item in value)


def _is_listed(value: object) -> bool:
    """Whether a cell of a CSV file holds a list as JSON."""
    return isinstance(value, str) and value.lstrip().startswith("[")
