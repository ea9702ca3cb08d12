"""Stored runs, for links that replay one: the newest ones, in memory or in a folder, only if configured."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections import OrderedDict
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_-]{16}")


class Runs:
    """The newest runs by name. A name cannot be guessed: who has the link may read the run.

    Args:
        most: How many are kept; 0 keeps none.
        folder: Where, if not in memory.
    """

    def __init__(self, most: int, folder: str | None = None) -> None:
        self._most = most
        self._folder = Path(folder) if folder and most else None
        self._texts: OrderedDict[str, str] = OrderedDict()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def __bool__(self) -> bool:
        return self._most > 0

    def new_name(self) -> str | None:
        """The name of a run that is to be kept, `None` if none is."""
        return secrets.token_urlsafe(12) if self._most else None

    def keep(self, name: str, run: dict[str, Any]) -> None:
        """Keep a run, and drop the oldest runs beyond the limit."""
        text = json.dumps(run)
        if self._folder is None:
            self._texts[name] = text
            while len(self._texts) > self._most:
                self._texts.popitem(last=False)
            return
        path = self._folder / f"{name}.json"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        paths = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for old in paths[: -self._most]:
            old.unlink(missing_ok=True)

    def read(self, name: str) -> str | None:
        """A run as JSON, `None` if there is none of that name."""
        if not _NAME.fullmatch(name):
            return None
        if self._folder is None:
            return self._texts.get(name)
        path = self._folder / f"{name}.json"
        return path.read_text("utf-8") if path.is_file() else None
