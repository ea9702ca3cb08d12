"""An engine for several backends: a model with an adapter beside it serves as two of them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

E = TypeVar("E")


class SharedEngine(Generic[E]):
    """An engine that is loaded for its first user and leaves with its last one.

    Args:
        start: Returns the loaded engine.
    """

    def __init__(self, start: Callable[[], E]) -> None:
        self._start = start
        self._engine: E | None = None
        self._users = weakref.WeakSet[object]()
        self._lock = threading.Lock()

    def engine_of(self, user: object) -> E | None:
        """The engine, if this user has joined."""
        return self._engine if user in self._users else None

    def join(self, user: object) -> E:
        """The engine, loaded if it has to be."""
        with self._lock:
            if self._engine is None:
                self._engine = self._start()
            self._users.add(user)
            return self._engine

    def leave(self, user: object) -> E | None:
        """The engine, to be closed, if nobody uses it any more."""
        with self._lock:
            self._users.discard(user)
            if self._users:
                return None
            engine, self._engine = self._engine, None
            return engine
