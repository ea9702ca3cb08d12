"""Problems of a dataset by name, from the Hub or a local copy, or of a user's file."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from sampleset.answers import kind_of, with_answer_kind
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.registry import Registry
from sampleset.storage.files import read_problems
from sampleset.storage.rows import READABLE
from sampleset.types import Problem

DATA_VARIABLE = "SAMPLESET_DATA"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Problems and their source.

    Attributes:
        source: The file, or the Hub's repository and revision.
        stated: Number of problems in the whole split, `None` if unknown.
    """

    problems: Sequence[Problem]
    source: str
    stated: int | None = None

    @property
    def is_part(self) -> bool:
        """Whether these are fewer problems than the whole split has."""
        return self.stated is not None and len(self.problems) < self.stated


class Dataset(Protocol):
    """A named set of problems.

    A dataset may have a scorer: a method `score(answer: str, problem: Problem) -> float`, in [0, 1]. Then
    `extra` of its problems holds what the scorer needs, and the dataset's reference as `extra["dataset"]`.
    See `scorer_for`.

    Attributes:
        summary: One line: description, source and licence.
    """

    @property
    def summary(self) -> str: ...  # noqa: D102

    def load(self, part: str, data_dir: Path | None) -> Loaded:
        """The problems of one part, in a fixed order.

        Args:
            part: The text after the colon of the reference, usually a split. Empty by default.
            data_dir: Folder of local copies, searched first.
        """
        ...


DATASETS: Registry[Dataset] = Registry("dataset", "sampleset.datasets")


def load_problems(
    ref: str,
    limit: int | None = None,
    *,
    data_dir: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    answer_kind: str | None = None,
    shuffle: int | None = None,
) -> list[Problem]:
    """The first problems of a dataset, or of its problems in a shuffled order.

    Args:
        ref: A registered name (`gsm8k`), one with a part (`gsm8k:train`, `gsm8k:rows.jsonl`), or a path
            to a JSONL or Parquet file with one problem per row.
        limit: Most problems; `None` for all.
        data_dir: Folder with local copies of datasets; by default the environment's `SAMPLESET_DATA`.
        columns: For a file: our name of a column → the file's, where they differ.
        answer_kind: Kind by which all answers are compared (`json`, ...), instead of the dataset's own.
        shuffle: Seed of a shuffled order by the problems' ids. A higher limit adds to the problems of a lower
            one. `None` keeps the dataset's order.

    Raises:
        UnknownNameError: There is no such dataset or answer kind.
        InputNotFoundError: There is no such file, or neither a local copy nor access to the Hub.
        MalformedRecordError: A row holds no problem.
        DataError: A gold answer cannot be read, or the Hub's split has another number of rows.
        InvalidArgumentError: limit is below 1, the dataset has no such part, or `columns` is given for a
            named dataset.
    """
    loaded = read_dataset(
        ref, limit, data_dir=data_dir, columns=columns, answer_kind=answer_kind, shuffle=shuffle
    )
    return list(loaded.problems)


def read_dataset(
    ref: str,
    limit: int | None = None,
    *,
    data_dir: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    answer_kind: str | None = None,
    shuffle: int | None = None,
) -> Loaded:
    """As `load_problems`, with the source of the problems."""
    if limit is not None and limit < 1:
        raise InvalidArgumentError(f"limit={limit!r} must be at least 1.")
    name, _, part = ref.partition(":")
    is_registered = name in DATASETS.names() and not Path(ref).is_file()
    if is_registered:
        if columns:
            raise InvalidArgumentError(
                f"A mapping of columns is for files of your own; {ref!r} knows the columns of its source."
            )
        loaded = DATASETS.get(name).load(part, _local_folder(data_dir))
    elif ref.endswith(READABLE) or "/" in ref or Path(ref).is_file():
        file_problems = read_problems(Path(ref), columns)
        loaded = Loaded(list(file_problems if shuffle is not None else islice(file_problems, limit)), ref)
    else:
        loaded = DATASETS.get(name).load(part, None)
    ordered = loaded.problems if shuffle is None else _shuffled(loaded.problems, shuffle)
    problems = [
        replace(problem, question=with_answer_kind(problem.question, answer_kind))
        for problem in ordered[:limit]
    ]
    loaded = replace(loaded, problems=problems)
    _refuse_unreadable(loaded)
    return loaded


def scorer_for(problem: Problem) -> Callable[[str], float] | None:
    """The scorer of the problem's dataset: answer → score in [0, 1], where 1 is right. `None` if it has none.

    This also works for problems that were read from a file or a store.
    """
    score = _scorer_of_problem(problem)
    return None if score is None else partial(score, problem=problem)


GOLD_REMEDY = (
    "Name the column by --columns answer=COLUMN, or add gold answers by sampleset import SAMPLES --problems "
    "DATASET."
)
"""What to do where sample sets have no gold answer."""


def has_readable_gold(problem: Problem) -> bool:
    """Whether the problem has a gold answer that can be compared with others, by its kind or a scorer."""
    if problem.answer is None:
        return False
    return _scorer_of_problem(problem) is not None or kind_of(problem.question).gold_is_readable(
        problem.answer
    )


def shared_questions(first: Iterable[Problem], second: Iterable[Problem]) -> list[tuple[str, str]]:
    """Pairs of ids (first, second) whose questions have the same `question_key`.

    Questions that differ in a number are different.
    """
    by_key: dict[str, list[str]] = defaultdict(list)
    for problem in first:
        by_key[question_key(problem.question.text)].append(problem.id)
    return [
        (first_id, problem.id)
        for problem in second
        for first_id in by_key.get(question_key(problem.question.text), ())
    ]


def question_key(text: str) -> str:
    r"""The normalised text of a question; equal for two writings of the same question.

    Unicode compatibility normalisation is applied, and case, white space, dollar signs and LaTeX spacing
    (`\,` `\!` `\;` `\:` `\ `) are removed.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"(?<!\\)\\[,!;: ]|\$|\s", "", text)


def _shuffled(problems: Sequence[Problem], seed: int) -> list[Problem]:
    return sorted(problems, key=lambda problem: hashlib.sha256(f"{seed}:{problem.id}".encode()).digest())


def _scorer_of_problem(problem: Problem) -> Callable[..., float] | None:
    ref = problem.extra.get("dataset")
    return _scorer_of_dataset(ref.partition(":")[0]) if isinstance(ref, str) else None


@cache
def _scorer_of_dataset(name: str) -> Callable[..., float] | None:
    return getattr(DATASETS.get(name), "score", None) if name in DATASETS.names() else None


def _local_folder(data_dir: Path | str | None) -> Path | None:
    chosen = data_dir or os.environ.get(DATA_VARIABLE)
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise InputNotFoundError(
            f"No folder {str(chosen)!r} with local datasets. Correct --data-dir (or {DATA_VARIABLE})."
        )
    return folder


def _refuse_unreadable(loaded: Loaded) -> None:
    """Refuse gold answers that cannot be compared, before tokens are spent on their questions."""
    bad = [
        problem
        for problem in loaded.problems
        if problem.answer is not None and not has_readable_gold(problem)
    ]
    if bad:
        examples = "; ".join(f"{problem.id!r}: {_excerpt(problem.answer)}" for problem in bad[:3])
        raise DataError(
            f"{loaded.source}: {len(bad)} gold answers cannot be read as a final answer ({examples}). "
            "Correct them, name the right column with --columns answer=NAME, or name the dataset the rows "
            "are from, as in gsm8k:FILE."
        )


def _excerpt(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
