"""Caches that hold so many bytes, not so many entries."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")
_ENTRY_BYTES = 300
"""What an entry weighs beside its texts, about."""


class BoundedCache(Generic[_Key, _Value]):
    """Values by key, the least recently used dropped first; safe between threads.

    Args:
        most_bytes: What all entries together may weigh, as their writers say. One that alone weighs more than
            an eighth of it is not held at all.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._weight = 0
        self._entries: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Value | None:
        """The value, or `None`."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: _Key, value: _Value, size: int) -> None:
        """Hold a value.

        Args:
            key: What it is held by.
            value: What is held.
            size: Characters of key and value, about.
        """
        weight = size + _ENTRY_BYTES
        if weight > self._most // 8:
            return
        with self._lock:
            _, before = self._entries.pop(key, (None, 0))
            self._weight += weight - before
            self._entries[key] = value, weight
            while self._weight > self._most:
                _, (_, freed) = self._entries.popitem(last=False)
                self._weight -= freed

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()
            self._weight = 0

    @property
    def weight(self) -> int:
        """What all entries together weigh now."""
        return self._weight
