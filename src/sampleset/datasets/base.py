"""Problems by name, from the hub or from a local copy, or from a file of one's own."""

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
    """Problems and where they come from.

    Attributes:
        source: The file, or the hub's repository and revision.
        stated: How many problems the whole split has, `None` where that is not known.
    """

    problems: Sequence[Problem]
    source: str
    stated: int | None = None

    @property
    def is_part(self) -> bool:
        """Whether there are fewer problems than the whole split has."""
        return self.stated is not None and len(self.problems) < self.stated


class Dataset(Protocol):
    """A named set of problems.

    A dataset with a scorer of its own also has `score(answer: str, problem: Problem) -> float`, in
    [0, 1]; its problems carry what that needs in `extra`, and their dataset's reference under
    `extra["dataset"]`. See `scorer_for`.

    Attributes:
        summary: One line: what it is, from where, under which licence.
    """

    @property
    def summary(self) -> str: ...  # noqa: D102

    def load(self, part: str, data_dir: Path | None) -> Loaded:
        """The problems of one part, in a fixed order.

        Args:
            part: What stands after the colon of the reference: a split, mostly. Empty by default.
            data_dir: Folder of local copies, looked into first.
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
            to a JSONL or Parquet file with one problem a row.
        limit: How many at most.
        data_dir: Folder with local copies of datasets; by default the environment's `SAMPLESET_DATA`.
        columns: For a file: our name of a column → the file's, where they differ.
        answer_kind: How all answers are compared (`json`, ...), whatever the dataset says.
        shuffle: Seed of the order, by problems' ids, so that a higher limit adds to what a lower one takes;
            the dataset's own order if `None`.

    Raises:
        UnknownNameError: No dataset, or no answer kind, of that name.
        InputNotFoundError: No such file, or neither a local copy nor an answer from the hub.
        MalformedRecordError: A row holds no problem.
        DataError: A gold answer cannot be read, or the hub's split is not what it should be.
        InvalidArgumentError: limit is below 1, the dataset has no such part, or `columns` was given
            for a named dataset.
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
    """As `load_problems`, with where the problems come from."""
    if limit is not None and limit < 1:
        raise InvalidArgumentError(f"limit={limit!r} must be at least 1.")
    name, _, part = ref.partition(":")
    named = name in DATASETS.names() and not Path(ref).is_file()
    if named:
        if columns:
            raise InvalidArgumentError(
                f"A mapping of columns is for files of your own; {ref!r} knows the columns of its source."
            )
        loaded = DATASETS.get(name).load(part, _local_folder(data_dir))
    elif ref.endswith(READABLE) or "/" in ref or Path(ref).is_file():
        read = read_problems(Path(ref), columns)
        loaded = Loaded(list(read if shuffle is not None else islice(read, limit)), ref)
    else:
        loaded = DATASETS.get(name).load(part, None)
    ordered = loaded.problems if shuffle is None else _shuffled(loaded.problems, shuffle)
    problems = [replace(one, question=with_answer_kind(one.question, answer_kind)) for one in ordered[:limit]]
    loaded = replace(loaded, problems=problems)
    _refuse_unreadable(loaded)
    return loaded


def scorer_for(problem: Problem) -> Callable[[str], float] | None:
    """The scorer of the problem's own dataset, if it has one: answer → score in [0, 1], 1 being right.

    The problem may have been through a file or a store since it was made.
    """
    score = _own_scorer(problem)
    return None if score is None else partial(score, problem=problem)


def has_readable_gold(problem: Problem) -> bool:
    """Whether the problem has a gold answer that answers of its kind can equal, or a scorer that knows."""
    if problem.answer is None:
        return False
    return _own_scorer(problem) is not None or kind_of(problem.question).gold_is_readable(problem.answer)


def shared_questions(first: Iterable[Problem], second: Iterable[Problem]) -> list[tuple[str, str]]:
    r"""Pairs of ids, one from each side, whose questions are the same text.

    The same means: of one `question_key`. Other numbers make another question.
    """
    by_key: dict[str, list[str]] = defaultdict(list)
    for problem in first:
        by_key[question_key(problem.question.text)].append(problem.id)
    return [
        (one, problem.id) for problem in second for one in by_key.get(question_key(problem.question.text), ())
    ]


def question_key(text: str) -> str:
    r"""The text by which questions are the same.

    It has gone through Unicode compatibility normalisation and is without case, white space, dollar
    signs and LaTeX spacing (`\,` `\!` `\;` `\:` `\ `).
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"(?<!\\)\\[,!;: ]|\$|\s", "", text)


def _shuffled(problems: Sequence[Problem], seed: int) -> list[Problem]:
    return sorted(problems, key=lambda one: hashlib.sha256(f"{seed}:{one.id}".encode()).digest())


def _own_scorer(problem: Problem) -> Callable[..., float] | None:
    ref = problem.extra.get("dataset")
    return _scorer_of(ref.partition(":")[0]) if isinstance(ref, str) else None


@cache
def _scorer_of(name: str) -> Callable[..., float] | None:
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
    """Stop at gold answers that nothing can equal, before a token is spent on their questions."""
    bad = [
        problem
        for problem in loaded.problems
        if problem.answer is not None and not has_readable_gold(problem)
    ]
    if bad:
        shown = "; ".join(f"{problem.id!r}: {_shown(problem.answer)}" for problem in bad[:3])
        raise DataError(
            f"{loaded.source}: {len(bad)} gold answers cannot be read as a final answer ({shown}). "
            "Correct them, name the right column with --columns answer=NAME, or name the dataset the rows "
            "are from, as in gsm8k:FILE."
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
