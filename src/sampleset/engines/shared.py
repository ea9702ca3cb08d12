"""An engine that several backends share, such as a model with and without its adapter."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

E = TypeVar("E")


class SharedEngine(Generic[E]):
    """An engine that is loaded for its first user and closed after its last one.

    Args:
        start: Called without arguments; returns the loaded engine.
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
        """The engine, loaded if necessary."""
        with self._lock:
            if self._engine is None:
                self._engine = self._start()
            self._users.add(user)
            return self._engine

    def leave(self, user: object) -> E | None:
        """The engine for the caller to close, if it has no more users; else `None`."""
        with self._lock:
            self._users.discard(user)
            if self._users:
                return None
            engine, self._engine = self._engine, None
            return engine
