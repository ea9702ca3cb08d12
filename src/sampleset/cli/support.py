"""What the commands share beside their options: run the work, save the settings, print the outcome."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import typer

from sampleset import __version__


def resolved_settings(command: str, values: dict[str, Any]) -> dict[str, Any]:
    """The resolved options as JSON values, without the key and without what led to them."""
    left_out = ("api_key", "config", "set_", "as_json", "options")
    plain: Callable[[Any], Any] = lambda value: str(value) if isinstance(value, Path) else value  # noqa: E731
    return {"version": __version__, "command": command} | {
        name: [plain(item) for item in cast("list[Any]", value)] if isinstance(value, list) else plain(value)
        for name, value in values.items()
        if name not in left_out and isinstance(value, str | int | float | bool | Path | list | None)
    }


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """What the work returns; an interrupt ends the command with a word on how to go on."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on where it stopped", file=sys.stderr)
        raise typer.Exit(130) from None


def print_json(value: object) -> None:
    """Print a value as JSON for people and programs alike."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_summary(summary: dict[str, Any], as_json: bool) -> None:
    """Print a command's summary, empty entries left out, or all of it as JSON."""
    if as_json:
        print_json(summary)
        return
    for name, value in summary.items():
        if value not in (None, [], {}):
            print(f"{name.replace('_', ' ')}: {value}")
