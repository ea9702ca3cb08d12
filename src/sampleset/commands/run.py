"""One run of a command: the files its settings come from, and how it prints.

Data goes to stdout, progress and notes to stderr. Settings are taken from the defaults, then `--config FILE`,
`--set KEY=VALUE`, the environment (`SAMPLESET_<OPTION>`) and the flags; the later ones win.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from sampleset.commands.options import LOGIN, NOT_SAVED, RUN, OptionGroup, option

if TYPE_CHECKING:
    from sampleset.commands.progress import Show

T = TypeVar("T")


class _OptionNames(Mapping[str, list[str]]):
    """The names of every command's options; a command is loaded when it is looked up."""

    def __init__(self, context: typer.Context) -> None:
        self._commands: Mapping[str, Any] = cast("Any", context.find_root().command).commands

    def __getitem__(self, command: str) -> list[str]:
        return [parameter.name or "" for parameter in self._commands[command].params]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


def _load_config(context: typer.Context, path: Path | None) -> Path | None:
    from sampleset.settings import read_settings

    if path is not None:
        _take_settings(context, read_settings(path), overrule=False)
    return path


def _load_overrides(context: typer.Context, overrides: list[str] | None) -> list[str] | None:
    from sampleset.settings import parse_overrides

    if overrides:
        _take_settings(context, parse_overrides(overrides), overrule=True)
    return overrides


def _take_settings(context: typer.Context, settings: dict[str, Any], *, overrule: bool) -> None:
    """Make settings the defaults of the command that is being parsed."""
    from sampleset.settings import options_for

    new = options_for(context.command.name or "", settings, _OptionNames(context))
    old = dict(context.default_map or {})
    context.default_map = {**old, **new} if overrule else {**new, **old}


@dataclass(frozen=True, kw_only=True)
class Output(OptionGroup):
    """How a command prints."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=RUN), NOT_SAVED] = (
        False
    )
    quiet: Annotated[
        bool, option("--quiet", "-q", help="Print no progress and no notes.", panel=RUN), NOT_SAVED
    ] = False

    def status_line(self) -> AbstractContextManager[Show]:
        """A function that shows the state of the work. The line is cleared at the end."""
        from sampleset.commands.progress import show_nothing, status_line

        return nullcontext(show_nothing) if self.quiet else status_line()

    def note(self, text: str) -> None:
        """Print a line for people on stderr."""
        if not self.quiet:
            print(text, file=sys.stderr)

    def next(self, *command: object) -> None:
        """Name a command to go on with, on stderr."""
        if not self.as_json:
            line = shlex.join(map(str, (_program(), *command)))
            self.note(f"next: {LOGIN.sub('//USER:PASSWORD@', line)}")

    def print_summary(self, summary: dict[str, Any]) -> None:
        """Print a command's summary, empty entries left out, or all of it as JSON."""
        if self.as_json:
            print_json(summary)
            return
        for name, value in summary.items():
            if value not in (None, [], {}):
                print(f"{name.replace('_', ' ')}: {value}")


def _program() -> str:
    """What to type for this program: its name, or its path if the shell does not find the name."""
    path = Path(sys.argv[0])
    if path.name != "sampleset" or not path.is_file():
        return "sampleset"
    found = shutil.which("sampleset")
    return "sampleset" if found and path.samefile(found) else sys.argv[0]


@dataclass(frozen=True, kw_only=True)
class Run(Output):
    """How a command prints, and the files that its settings come from."""

    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Settings from a YAML file.",
            is_eager=True,
            callback=_load_config,
            rich_help_panel=RUN,
        ),
        NOT_SAVED,
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE over the file.",
            is_eager=True,
            callback=_load_overrides,
            rich_help_panel=RUN,
        ),
        NOT_SAVED,
    ] = None


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work; an interrupt ends the command with a word on how to go on."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on where it stopped", file=sys.stderr)
        raise typer.Exit(130) from None


def print_json(value: object) -> None:
    """Print a value as JSON for people and programs alike."""
    print(as_json(value, indent=2))


def as_json(value: object, indent: int | None = None) -> str:
    """A value as JSON that stdout can encode."""
    encoding = (sys.stdout.encoding or "utf-8").lower()
    return json.dumps(value, indent=indent, ensure_ascii=not encoding.startswith("utf"))
