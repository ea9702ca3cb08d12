"""Verdicts of workers kept in a file, shared by processes and by runs; off until a path is given.

A verdict found by algebra takes milliseconds to seconds, and the same pairs come back in every run
over the same sample sets. Only decided ones are kept: what ran out of time or memory, or crashed,
may do better on a machine less busy.

The file is an sqlite3 database in WAL mode, so it belongs on a local disk. Each verdict is written at
once; a kill loses at most the one being written. A row holds a hash of the rules' version and the two
texts, no text itself. Anyone who can write the file decides verdicts: keep it where only you can.

Nothing here stops a comparison: a file that cannot be opened, is damaged, cannot be written to or
stays locked for `BUSY_SECONDS` is reported in one `VerdictStoreWarning`, and not used any more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import sqlite3

MAX_VERDICTS = 500_000
"""Rows; beyond it the oldest are removed. The file stays below about 60 MB."""
BUSY_SECONDS = 5.0
"""How long to wait for a file that another process is writing to."""
_APPLICATION_ID = 0x53535631
_Result = TypeVar("_Result")
_PACKAGES = ("sampleset", "math-verify", "latex2sympy2_extended", "sympy", "mpmath", "antlr4-python3-runtime")


class VerdictStoreWarning(RuntimeWarning):
    """The file of verdicts cannot be used; comparisons go on without it."""


def default_verdict_path() -> Path:
    """Where the verdicts of a user are kept.

    `$SAMPLESET_CACHE/verdicts.sqlite3`, else `sampleset/verdicts.sqlite3` in `$XDG_CACHE_HOME`
    or `~/.cache`.
    """
    chosen = os.environ.get("SAMPLESET_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "verdicts.sqlite3"
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one has no meaning, as its specification says.
    folder = Path(shared) if os.path.isabs(shared) else Path.home() / ".cache"
    return folder / "sampleset" / "verdicts.sqlite3"


def use_verdict_store(path: Path | None) -> None:
    """Keep this process's verdicts in a file from now on, or with `None` no longer.

    Holds for all threads, and for processes forked from this one; a spawned process calls it
    itself. May be called again, with the same path or another. The folder is made where needed.

    Warns:
        VerdictStoreWarning: The file cannot be used; no file is then in use.
    """
    _store.use(path)


def stored_verdict(mode: str, answer: str, gold: str) -> tuple[bool, str] | None:
    """The kept verdict and its rule, or `None`."""
    return _store.get(mode, answer, gold) if _store.path else None


def store_verdict(mode: str, answer: str, gold: str, equal: bool, rule: str) -> None:
    """Keep a verdict, if a file is in use."""
    if _store.path:
        _store.put(mode, answer, gold, equal, rule)


@cache
def rules_version() -> str:
    """Changes when a comparison might come out otherwise: with this package's code or its libraries."""
    # Imported here, as sqlite3 is: most processes keep no verdicts, and importing this should be light.
    import hashlib
    import platform
    from importlib import metadata

    digest = hashlib.sha256(platform.python_version().encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.name.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            digest.update(f"{package}=={metadata.version(package)}\n".encode())
    return digest.hexdigest()


def _key(mode: str, answer: str, gold: str) -> bytes:
    import hashlib

    # A model's text may hold halves of characters, which have no UTF-8.
    texts = [text.encode("utf-8", "surrogatepass") for text in (answer, gold)]
    opening = f"{rules_version()} {mode} {len(texts[0])} ".encode()
    return hashlib.sha256(opening + b"".join(texts)).digest()


class _Store:
    """The file in use, if any; safe between threads, and closed while the process forks.

    A connection must not be carried over a fork; both sides open one when they next need it.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()

    def use(self, path: Path | None) -> None:
        with self._lock:
            if path != self.path:
                self._close()
                self.path = path
        self._run(lambda _: None)

    def get(self, mode: str, answer: str, gold: str) -> tuple[bool, str] | None:
        def look_up(connection: sqlite3.Connection) -> tuple[bool, str] | None:
            row: tuple[Any, ...] | None = connection.execute(
                "SELECT equal, rule FROM verdicts WHERE key = ?", (_key(mode, answer, gold),)
            ).fetchone()
            # A damaged file may hold anything.
            if row and row[0] in (0, 1) and isinstance(row[1], str):
                return bool(row[0]), row[1]
            return None

        return self._run(look_up)

    def put(self, mode: str, answer: str, gold: str, equal: bool, rule: str) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR IGNORE INTO verdicts (key, equal, rule) VALUES (?, ?, ?)",
                (_key(mode, answer, gold), int(equal), rule),
            )
            connection.execute(
                "DELETE FROM verdicts WHERE number <= (SELECT max(number) FROM verdicts) - ?", (MAX_VERDICTS,)
            )

        self._run(write)

    def _run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result | None:
        """What `work` returns; `None` without a file, and where it fails, which ends the use of the file."""
        with self._lock:
            path = self.path
            if path is None:
                return None
            try:
                import sqlite3
            except ImportError as error:  # a Python built without it
                reason = str(error)
            else:
                try:
                    if self._connection is None:
                        self._connection = _connect(path)
                    return work(self._connection)
                except (OSError, ValueError, sqlite3.Error) as error:
                    reason = str(error)
            self.path = None
            self._close()
        # Outside the lock: a filter may turn the warning into an exception, or show it at length.
        warnings.warn(
            f"Verdicts are not kept in {str(path)!r}: {reason}. Comparisons go on without it. "
            "Remove the file, or name one that can be written.",
            VerdictStoreWarning,
            stacklevel=2,
        )
        return None

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def before_fork(self) -> None:
        self._lock.acquire()
        self._close()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock = threading.RLock()


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that can be written to, its table made.

    Raises:
        OSError: The folder cannot be made.
        ValueError: The file is the database of something else.
        sqlite3.Error: The file is no database, is damaged, locked or cannot be written to.
    """
    import sqlite3

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # Several processes may change the mode of a new file at once; one of them does.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        # A loss of power may lose the last verdicts but does not damage the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != _APPLICATION_ID and (owner or tables):
            raise ValueError("it is a database of something else")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS verdicts (number INTEGER PRIMARY KEY, "
            "key BLOB NOT NULL UNIQUE, equal INTEGER NOT NULL, rule TEXT NOT NULL)"
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


_store = _Store()
os.register_at_fork(
    before=_store.before_fork,
    after_in_parent=_store.after_fork_in_parent,
    after_in_child=_store.after_fork_in_child,
)
