"""Regular expressions that are compiled when first used, so that importing the package stays light."""

from __future__ import annotations

import re
from typing import Any, cast


class _LazyPattern:
    """Stands in for a compiled pattern and becomes it, method by method."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        # `re` caches too, but may drop entries. What is set here is found without this method.
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(re.compile(self._pattern, self._flags), name)
        setattr(self, name, method)
        return method


def lazy_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """A pattern that is compiled on first use."""
    return cast("re.Pattern[str]", _LazyPattern(pattern, flags))
