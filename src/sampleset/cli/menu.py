"""The commands by name. A command's module is imported when the command is used; the list of all commands
needs only the summaries here.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from sampleset.cli.parameters import Function, spread_out

_TRY, _SETS, _TRAIN, _REST = "Try it", "Sample sets", "Training", "Serve and look up"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command. Its function is in `commands`.

    Attributes:
        summary: One line on the command; also the first line of the function's docstring.
        panel: Heading above it in the list of commands.
        module: Its module, if not named after the command.
    """

    summary: str
    panel: str
    module: str | None = None


COMMANDS = {
    "demo": Entry("Show the whole path on the embedded model: samples, answers, a table, a page.", _TRY),
    "answer": Entry("Draw k samples for one question, aggregate them, print the final answer.", _TRY),
    "sample": Entry(
        "Draw n samples per question into a store. Run it again to go on where it stopped.", _SETS
    ),
    "store": Entry(
        "Tell what is damaged in a store (file, row, byte, why), and set it aside if asked.", _SETS
    ),
    "import": Entry(
        "Write samples of another tool (lm-eval, inspect, CSV, ...) as sample sets, or the reverse.",
        _SETS,
        "import_sets",
    ),
    "aggregate": Entry(
        "Give one answer per stored sample set. Run it again to go on where it stopped.", _SETS
    ),
    "score": Entry(
        "Score stored samples by a reward model, for by=COLUMN. Run it again to go on where it stopped.",
        _SETS,
    ),
    "evaluate": Entry(
        "Compare aggregators on the same sample sets: tables, and a report to look at. Resumes.", _SETS
    ),
    "replay": Entry(
        "Replay stopping rules on stored sets: accuracy against samples and tokens, "
        "without drawing anything.",
        _SETS,
    ),
    "certify": Entry(
        "Find the confidence above which at most a given share of answers is wrong, with a bound that holds.",
        _SETS,
    ),
    "worth": Entry("Tell whether a method is better than the vote so far: yes, no, or not known.", _SETS),
    "report": Entry(
        "Print a report and make its pages again, or compare two reports problem by problem.", _SETS
    ),
    "fit": Entry(
        "Train an aggregator from questions, and say whether it beats the vote. Goes on where it stopped.",
        _TRAIN,
    ),
    "train-data": Entry(
        "Make training rows of stored sample sets: drawn k, permuted order, balanced by difficulty.", _TRAIN
    ),
    "train": Entry("Train an aggregator by a recipe. Run it again to go on where it stopped.", _TRAIN),
    "calibrate": Entry(
        "Fit how much a trained aggregator's scores, the votes and the confidence count, on rows held back.",
        _TRAIN,
    ),
    "fit-vote": Entry(
        "Learn from labelled sets what speaks for an answer, and say what that is worth. Takes seconds.",
        _TRAIN,
    ),
    "fit-auto": Entry(
        "Learn from labelled sets when a vote is enough and when a dearer method pays, for auto.", _TRAIN
    ),
    "fit-probe": Entry(
        "Fit a verifier head on labelled sets: a probe of a small model's hidden states. Resumes.", _TRAIN
    ),
    "reproduce": Entry(
        "Train and test the aggregators of a study, and print its tables. Goes on where it stopped.", _TRAIN
    ),
    "export": Entry(
        "Make a trained aggregator into files for llama.cpp or for others: an adapter, or a whole model.",
        _TRAIN,
    ),
    "serve": Entry(
        "Serve an OpenAI-compatible endpoint whose answers are made of k samples, and a page to watch it.",
        _REST,
    ),
    "mcp": Entry(
        "Serve tools over MCP on stdin and stdout: answer a question by k samples, vote on texts.", _REST
    ),
    "pull": Entry("Fetch a trained aggregator into the cache by its digest, and say how to use it.", _REST),
    "list": Entry("Print the names of a kind, one line each.", _REST, "listing"),
}
"""To add a command, add `commands/NAME.py` with a function of that name and an `EXAMPLE`, and a line here. A
dash in the name is an underscore in Python. A name that Python reserves ends in an underscore.
"""


class _Loaded(MutableMapping[str, Any]):
    """The commands, made when they are looked up."""

    def __init__(self) -> None:
        self._commands: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands:
            self._commands[name] = _command(name, COMMANDS[name])
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Menu(TyperGroup):
    """A group that knows the names and summaries of its commands without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command with its name and summary only, for the list of all commands."""
        entry = COMMANDS.get(cmd_name)
        return entry and TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command to run, with its options."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self.commands[str(command.name)], rest


def command_function(name: str, entry: Entry) -> Function:
    """The function of a command, from its module."""
    file = name.replace("-", "_")
    module = _module(name, entry)
    return getattr(module, file if hasattr(module, file) else f"{file}_")


def _command(name: str, entry: Entry) -> Any:
    single = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
    example = getattr(_module(name, entry), "EXAMPLE", None)
    epilog = f"Example: {example}" if example else None
    single.command(name, epilog=epilog)(spread_out(command_function(name, entry)))
    return typer.main.get_command(single)


def _module(name: str, entry: Entry) -> ModuleType:
    return import_module(f"sampleset.commands.{entry.module or name.replace('-', '_')}")
