"""Name → factory, found by file name.

A registry watches one folder: the module called `x` in it must register the name `x`. Adding a file
adds an entry; there is no list to edit. `base` and names that open with an underscore are no entries.
Other packages add theirs by an entry point in the group `sampleset.<folder>`. A module is imported only
when its name is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from sampleset.errors import UnknownNameError

T = TypeVar("T")
F = TypeVar("F")


class Registry(Generic[T]):
    """The entries of one kind.

    Args:
        kind: What an entry is called in messages, e.g. `aggregator`.
        package: Dotted name of the folder whose modules register themselves.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Decorator that stores what it decorates under `name`."""

        def store(entry: F) -> F:
            self._entries[name] = entry  # type: ignore[assignment]
            return entry

        return store

    def names(self) -> list[str]:
        """All names, sorted, without importing what they stand for."""
        return sorted({*self._modules(), *self._plugins(), *self._entries})

    def get(self, name: str) -> T:
        """The entry of that name.

        Raises:
            UnknownNameError: There is none; the message suggests the nearest.
        """
        if name not in self._entries:
            if name in self._modules():
                importlib.import_module(f"{self.package}.{name}")
            elif name in (plugins := self._plugins()):
                self._entries.setdefault(name, plugins[name].load())
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self.names())
        return self._entries[name]

    def _modules(self) -> set[str]:
        folder = importlib.import_module(self.package)
        names = {module.name for module in pkgutil.iter_modules(folder.__path__)} - {"base"}
        return {name for name in names if not name.startswith("_")}

    def _plugins(self) -> dict[str, EntryPoint]:
        return _points_of(self.package)


@cache
def _points_of(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group; looked for once, for that reads a file of every installed package."""
    return {point.name: point for point in entry_points(group=group)}
