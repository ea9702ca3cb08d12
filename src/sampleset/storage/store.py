"""The append-only store of samples: a stored sample is never paid for twice.

A store is a folder:

- `samples.jsonl`: one row per draw, keyed by (model, messages, sampling parameters, index);
- `problems.jsonl`: the problems it was drawn for, gold answers included;
- `stops.jsonl`: which questions were left with fewer draws on purpose (a stopping rule was met), if any;
- `shared.jsonl`: which problems ask the same as another, so that its draws are theirs, if any;
- `config.json`: the resolved configuration of the last command that drew into it;
- `claims`: locks by which two processes that draw into one store share the work.

A *configuration* is everything in a draw's key but the question and the index. A store may hold several.
A failed draw is kept as a row with an `error`; it counts in n, and a later command draws it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shlex
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sampleset.chat import prompt_version
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError, MalformedRecordError
from sampleset.storage.files import JsonlLog
from sampleset.storage.records import (
    StoredSet,
    problem_from_row,
    problem_to_row,
    sample_from_row,
    sample_to_row,
    without_samples,
)
from sampleset.storage.rows import located
from sampleset.types import SCHEMA_VERSION, Problem, Question, Sample, SampleSet
from sampleset.wording import plural

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Configuration:
    """How a sample set is drawn, the question aside.

    Attributes:
        model: Identity of the model.
        prompt: Name and version of the prompt that turns a question into messages.
        params: Sampling parameters as JSON values, the base seed included.
    """

    model: str
    prompt: str
    params: Mapping[str, Any]

    @property
    def prompt_version(self) -> str:
        """The prompt as sets record it: a system message, which may name a role, by its digest only."""
        return prompt_version(self.prompt)

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stand for the configuration."""
        return digest([self.model, self.prompt, self.params])[:8]


def draw_key(configuration: Configuration, messages: Sequence[Mapping[str, object]]) -> str:
    """Key that all draws of one question under one configuration share; the index completes it."""
    return digest([configuration.model, [dict(message) for message in messages], configuration.params])[:32]


def digest(value: object) -> str:
    """SHA-256 of a JSON value, in hexadecimal; the order of object keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class SampleStore:
    """One store folder; several processes may use it at once.

    Args:
        folder: Made if it is not there, unless `must_exist`.

    Raises:
        InputNotFoundError: `must_exist`, and the folder holds no store.
        MalformedRecordError: A row cannot be read.
    """

    def __init__(self, folder: Path | str, *, must_exist: bool = False) -> None:
        folder = Path(folder)
        if must_exist and not is_store(folder):
            raise InputNotFoundError(f"No sample store in {str(folder)!r}. Draw one with `sampleset sample`.")
        self.folder = folder
        self._log = JsonlLog(folder / "samples.jsonl")
        self._problem_log = JsonlLog(folder / "problems.jsonl")
        self._stop_log = JsonlLog(folder / "stops.jsonl")
        self._share_log = JsonlLog(folder / "shared.jsonl")
        self._problems: dict[str, Problem] = {}
        self._draws: dict[str, dict[int, _Draw]] = {}
        self._stops: dict[str, tuple[str, int]] = {}
        self._keys_by_problem: dict[str, dict[str, str]] = {}
        self._configurations: dict[str, Configuration] = {}
        self._claims: int | None = None
        self._claimed: set[str] = set()
        self._has_warned = False
        self._with_other_schema: set[str] = set()
        if folder.exists() and not folder.is_dir():
            raise InvalidArgumentError(
                f"{str(folder)!r} is a file; a sample store is a folder. Name another."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.refresh()

    def refresh(self) -> None:
        """Take in what other processes have added.

        Raises:
            MalformedRecordError: A row is damaged; says which, and how to set it aside.
        """
        self._refresh_problems()
        for offset, row in self._rows(self._log, partial(self._checked_draw, "samples.jsonl")):
            self._index(offset, row)
        for _, row in self._rows(self._share_log, partial(self._checked_draw, "shared.jsonl")):
            self._key_of(row)
        for _, row in self._rows(self._stop_log, partial(checked_row, "stops.jsonl")):
            self._stops[row["key"]] = row["rule"], row["n"]

    def _refresh_problems(self) -> None:
        for _, problem in self._rows(
            self._problem_log, lambda row: problem_from_row(row, len(self._problems))
        ):
            self._problems.setdefault(problem.id, problem)

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Record the problems that are drawn for; those already there stay as they are.

        Raises:
            DataError: An id stands for another question, or another gold answer, in this store.
        """
        new: list[Problem] = []
        for problem in problems:
            known = self._problems.get(problem.id)
            if known is None:
                new.append(problem)
                self._problems[problem.id] = problem
            elif (known.question, known.answer) != (problem.question, problem.answer):
                raise DataError(
                    f"The id {problem.id!r} stands for another question or gold answer in "
                    f"{str(self.folder)!r}. Draw into another --output-dir."
                )
        if new:
            self._problem_log.append(problem_to_row(problem) for problem in new)

    def add(self, key: str, problem_id: str, configuration: Configuration, samples: Sequence[Sample]) -> None:
        """Append draws; they are safe from a kill once this returns."""
        head = {"schema": SCHEMA_VERSION, "key": key, "problem_id": problem_id}
        self._log.append(
            head | sample_to_row(sample) | _configuration_row(configuration) for sample in samples
        )
        self.refresh()

    def share(self, key: str, problem_id: str, configuration: Configuration) -> None:
        """Record that a problem's draws are those under a key, if they were drawn for another that asks the
        same, or under another name of the prompt.
        """
        if key in self._draws and self._keys_by_problem.get(problem_id, {}).get(configuration.id) != key:
            head = {"schema": SCHEMA_VERSION, "key": key, "problem_id": problem_id}
            self._share_log.append([head | _configuration_row(configuration)])
            self.refresh()

    def add_stop(self, key: str, problem_id: str, rule: str) -> None:
        """Record that a question's draws are complete. Drawing more samples for it ends that."""
        if self.stopped(key) != rule:
            n = len(self._draws[key])
            head = {"schema": SCHEMA_VERSION, "key": key, "problem_id": problem_id}
            self._stop_log.append([head | {"rule": rule, "n": n}])
            self.refresh()

    def stopped(self, key: str) -> str | None:
        """Why there are no more draws under a key, where that was on purpose."""
        rule, n = self._stops.get(key, (None, 0))
        return rule if n == len(self._draws.get(key, {})) else None

    def drawn(self, key: str) -> dict[int, Sample]:
        """The draws under a key, by index; failed ones included."""
        return {index: self._read(draw) for index, draw in sorted(self._draws.get(key, {}).items())}

    def succeeded(self, key: str) -> set[int]:
        """Indices of the draws under a key that did not fail."""
        return {index for index, draw in self._draws.get(key, {}).items() if not draw.failed}

    def sample_sets(self, configuration: str | None = None) -> Iterator[StoredSet]:
        """The sample sets of one configuration, in the order of the problems.

        Args:
            configuration: Its id, or the beginning of it; not needed where the store holds one only. Several,
                parted by commas, or `all` make one set a question: each draw with its model's name, in an
                order by a hash of question, configuration and index, so that a place tells nothing.

        Raises:
            DataError: None or several match, the store is empty, or problems.jsonl is.
        """
        self._tell_of_draws_without_problem()
        if configuration == "all" and self._configurations:
            chosen = list(self._configurations.values())
        else:
            wanted = configuration.split(",") if configuration else [None]
            chosen = list({choice.id: choice for choice in map(self._choose, wanted)}.values())
        for problem in self._problems.values():
            keys = self._keys_by_problem.get(problem.id, {})
            # Two configurations that send the same share their draws, which count once.
            parts = {keys[choice.id]: choice for choice in chosen if choice.id in keys}
            if parts:
                sample_set = self._set(problem, parts) if len(chosen) == 1 else self._pooled(problem, parts)
                yield StoredSet(sample_set, problem, without_samples(problem_to_row(problem)))

    def _tell_of_draws_without_problem(self) -> None:
        """Warn of draws that no set can hold, once; with no problem at all they are an error."""
        if self._keys_by_problem.keys() - self._problems.keys():
            self._refresh_problems()  # another process may have added problem and draws just now
        missing = len(self._keys_by_problem.keys() - self._problems.keys())
        if missing and not self._problems:
            raise DataError(draws_without_problem(self.folder, missing))
        if missing and not self._has_warned:
            self._has_warned = True
            _log.warning(draws_without_problem(self.folder, missing))

    def _set(self, problem: Problem, parts: Mapping[str, Configuration]) -> SampleSet:
        ((key, configuration),) = parts.items()
        samples = tuple(self.drawn(key).values())
        stopped = self.stopped(key)
        return SampleSet(
            problem.question, samples, configuration.model, stopped, configuration.prompt_version
        )

    def _pooled(self, problem: Problem, parts: Mapping[str, Configuration]) -> SampleSet:
        draws = [
            (configuration.id, sample)
            for key, configuration in parts.items()
            for sample in self.drawn(key).values()
        ]
        return pooled(
            problem.question, draws, [configuration.prompt_version for configuration in parts.values()]
        )

    def claim(self, key: str) -> bool:
        """Take a question until `release`, or until the process ends.

        Returns:
            Whether it was free.
        """
        if key in self._claimed:
            return False
        if self._claims is None:
            path = self.folder / "claims"
            self._claims = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.fcntl(self._claims, fcntl.F_OFD_SETLK, _byte_lock(fcntl.F_WRLCK, key))
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            error.filename = str(self.folder / "claims")
            raise
        self._claimed.add(key)
        return True

    def release(self, key: str) -> None:
        """Give a claimed question back."""
        self._claimed.discard(key)
        if self._claims is not None:
            fcntl.fcntl(self._claims, fcntl.F_OFD_SETLK, _byte_lock(fcntl.F_UNLCK, key))

    def close(self) -> None:
        """Give back every claim and flush appended rows to the disk itself."""
        if self._claims is not None:
            os.close(self._claims)
            self._claims = None
            self._claimed.clear()
        if self._log.path.exists():
            with open(self._log.path, "rb") as file:
                os.fsync(file.fileno())

    def _rows(self, log: JsonlLog, read: Callable[[dict[str, Any]], T]) -> Iterator[tuple[int, T]]:
        """New rows of a log as they are read, each with its offset."""
        try:
            for offset, row in log.new_rows():
                if self._is_of_this_schema(log, row):
                    with located(log.path, log.lines):
                        value = read(row)
                    yield offset, value
        except MalformedRecordError as error:
            raise self._damaged(str(error)) from error

    def _is_of_this_schema(self, log: JsonlLog, row: dict[str, Any]) -> bool:
        """Whether a row can be read; others are passed over, with a warning at the first of a file."""
        try:
            require_known_schema(row)
        except DataError as error:
            if log.path.name not in self._with_other_schema:
                self._with_other_schema.add(log.path.name)
                _log.warning(
                    "%s:%d: %s. This row is not used, nor are others like it. Update sampleset, or set them "
                    "aside: sampleset store check %s --repair",
                    log.path, log.lines, error, shlex.quote(str(self.folder)),
                )  # fmt: skip
            return False
        return True

    def _damaged(self, message: str) -> MalformedRecordError:
        return MalformedRecordError(
            f"{message} `sampleset store check {shlex.quote(str(self.folder))}` tells all that is damaged in "
            "this store; with --repair it sets that aside and keeps the rest."
        )

    def _index(self, offset: int, row: dict[str, Any]) -> None:
        draws, index = self._draws.setdefault(self._key_of(row), {}), row["index"]
        # A draw that failed is drawn again later; one that succeeded stands.
        if index not in draws or draws[index].failed:
            draws[index] = _Draw(offset, "error" in row)

    def _checked_draw(self, file: str, row: dict[str, Any]) -> dict[str, Any]:
        """The row, if it is one of draws; its configuration is noted."""
        checked_row(file, row)
        if row["configuration"] not in self._configurations:
            self._configurations[row["configuration"]] = configuration_of(row)
        return row

    def _key_of(self, row: dict[str, Any]) -> str:
        """The key of a row's draws, noted for their question and configuration."""
        key, problem_id, identity = row["key"], row["problem_id"], row["configuration"]
        self._keys_by_problem.setdefault(problem_id, {})[identity] = key
        return key

    def _read(self, draw: _Draw) -> Sample:
        try:
            return sample_from_row(self._log.row_at(draw.offset))
        except DataError as error:
            raise self._damaged(f"{self._log.path}: the row at byte {draw.offset}: {error}.") from error

    def _choose(self, wanted: str | None) -> Configuration:
        matching = {
            identity: configuration
            for identity, configuration in self._configurations.items()
            if identity.startswith(wanted or "")
        }
        if len(matching) == 1:
            return next(iter(matching.values()))
        if not self._configurations:
            raise DataError(f"The sample store {str(self.folder)!r} holds no samples yet.")
        listed = "; ".join(
            f"{identity}: {known.model}, {known.prompt}, {json.dumps(dict(known.params))}"
            for identity, known in self._configurations.items()
        )
        remedy = "Choose one with --configuration ID, several with ID,ID, or all"
        if wanted is not None:
            remedy = f"Configuration {wanted!r} is not one"
        raise DataError(f"The sample store {str(self.folder)!r} holds {listed}. {remedy}.")


def configuration_of(row: Mapping[str, Any]) -> Configuration:
    """The configuration of a row's draws.

    Raises:
        DataError: It is not the one that the row names: its questions would be found by nobody.
    """
    configuration = Configuration(row["model"], row["prompt"], row["params"])
    if row["configuration"] != configuration.id:
        raise DataError(
            f"'configuration' is {row['configuration'][:_SHOWN]!r}, but its fields make {configuration.id!r}"
        )
    return configuration


def _configuration_row(configuration: Configuration) -> dict[str, Any]:
    """The fields of a row that identify its configuration."""
    return {
        "configuration": configuration.id,
        "model": configuration.model,
        "prompt": configuration.prompt,
        "params": dict(configuration.params),
    }


def pooled(question: Question, drawn: Iterable[tuple[str, Sample]], prompts: Iterable[str] = ()) -> SampleSet:
    """Draws of several configurations as one set, numbered anew in an order independent of configuration.

    Args:
        question: The question.
        drawn: Draws, each with the id of its configuration.
        prompts: Names and versions of the prompts they were asked with.
    """
    ordered = sorted(drawn, key=lambda draw: digest([question.id, draw[0], draw[1].index]))
    samples = (replace(sample, index=index) for index, (_, sample) in enumerate(ordered))
    return SampleSet(question, tuple(samples), POOL, prompt=" + ".join(sorted(set(prompts))) or None)


POOL = "pool"
"""The model's name of a pooled set; each of its samples names the model that drew it."""


def is_store(folder: Path) -> bool:
    """Whether a folder holds a sample store, be it one that nothing was drawn into yet, or whose problems are
    lost.
    """
    if (folder / "problems.jsonl").exists():
        return any((folder / name).exists() for name in ("samples.jsonl", "claims"))
    if not (folder / "samples.jsonl").is_file():
        return False
    try:
        with open(folder / "samples.jsonl", "rb") as file:
            return _DRAW_START.match(file.read(_HEAD)) is not None
    except OSError:
        return False


_HEAD = 65_536
_SHOWN = 60
_DRAW_START = re.compile(rb'\s*\{"schema": ?\d+, ?"key": ?"[0-9a-f]{32}", ?"problem_id"')


def draws_without_problem(folder: Path, count: int) -> str:
    """What to do about questions whose draws are in a store while problems.jsonl lacks them."""
    path = str(folder / "problems.jsonl")
    return (
        f"{path!r} lacks {plural(count, 'question')} with draws, so that these are not used. Run the same "
        "`sampleset sample` again: it writes the questions, and draws nothing that is there."
    )


_TYPES: Mapping[str, tuple[type, str]] = {
    "index": (int, "a whole number"),
    "n": (int, "a whole number"),
    "params": (Mapping, "an object"),
}
_DRAWN = ("key", "problem_id", "configuration", "model", "prompt", "params")
_FIELDS = {
    "samples.jsonl": (*_DRAWN, "index", "text"),
    "shared.jsonl": _DRAWN,
    "stops.jsonl": ("key", "rule", "n"),
}
"""What each row of a store's files must hold."""


_MOST = 2**31


def require_known_schema(row: Mapping[str, Any]) -> None:
    """Refuse a row in the form of another version, whose fields may mean something else.

    Raises:
        DataError: Names its schema.
    """
    schema = row.get("schema", SCHEMA_VERSION)
    if schema != SCHEMA_VERSION:
        raise DataError(
            f"'schema' is {str(schema)[:_SHOWN]!r}, and this version of sampleset reads {SCHEMA_VERSION} only"
        )


def checked_row(file: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row, if a store's file of this name can hold it.

    Raises:
        DataError: A field is missing or of the wrong type.
    """
    for name in _FIELDS[file]:
        kind, what = _TYPES.get(name, (str, "a text"))
        if name not in row:
            raise DataError(f"the row lacks the field {name!r}; it is no row of a sample store")
        if not isinstance(row[name], kind) or isinstance(row[name], bool):
            raise DataError(f"{name!r} must be {what}, got {str(row[name])[:60]!r}")
        if kind is int and not 0 <= row[name] < _MOST:
            raise DataError(f"{name!r} must be from 0 to {_MOST - 1}, got {str(row[name])[:60]}")
    return row


@dataclass(frozen=True, slots=True)
class _Draw:
    offset: int
    failed: bool


def _byte_lock(kind: int, key: str) -> bytes:
    """A `struct flock` over one byte whose place is read off the key."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, int(key[:14], 16), 1, 0)
