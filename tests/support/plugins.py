"""A package that another author might install: modules and entry points, in a folder on the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampleset import registry


def install_plugin(
    monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, code: str, entry_points: str
) -> None:
    """Put a module and its entry points, as lines of `entry_points.txt`, where Python finds them."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {module}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(folder)
    # Entry points are looked up once in a process.
    monkeypatch.setattr(registry, "_points_of", registry._points_of.__wrapped__)
