"""Turns a command's function into one that typer reads: one parameter for each option of a group."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from sampleset.commands.options import FOLDER, OptionGroup
from sampleset.errors import InvalidArgumentError

Function = Callable[..., None]

_REFERENCES = ("model", "aggregator_model", "aggregator", "judge", "reader")
"""Options that name a model or a method."""
_OUTPUTS = ("output_dir", "output", "export")
"""Options that name what a command writes."""


def spread_out(function: Function) -> Function:
    """A function with one parameter for each option, which calls the command's function.

    Args:
        function: The command's function, with arguments, options and groups of options.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[Parameter] = []
    groups: dict[str, tuple[type[OptionGroup], list[str]]] = {}
    for parameter in signature(function).parameters.values():
        hint = hints[parameter.name]
        if isinstance(hint, type) and issubclass(hint, OptionGroup):
            spread = _parameters(hint)
            groups[parameter.name] = hint, [option.name for option in spread]
            parameters += spread
        else:
            parameters.append(parameter.replace(annotation=_annotation(hint), kind=Parameter.KEYWORD_ONLY))
    folders = {option.name for option in parameters if FOLDER in get_args(option.annotation)}

    def call(**values: Any) -> None:
        if not gc.isenabled():  # as `main` leaves it
            # To look for garbage in what is loaded by now, here and at the end, takes a sixth of a start.
            gc.freeze()
            gc.enable()
        for name in _REFERENCES:
            if values.get(name) == "":
                raise InvalidArgumentError(f"The value of {name.replace('_', '-')!r} is empty. {_UNSET}")
        # The list of all commands needs no formats of files.
        from sampleset.storage.files import require_writable

        # Known now, it costs no tokens.
        for name in _OUTPUTS:
            if isinstance(path := values.get(name), Path):
                require_writable(path, is_folder=name == "output_dir" or name in folders)
        packed = {
            name: kind(**{option: values.pop(option) for option in options})
            for name, (kind, options) in groups.items()
        }
        function(**values, **packed)

    call.__doc__ = function.__doc__
    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in parameters}
    return call


def path(text: str | os.PathLike[str]) -> Path:
    """A path of the command line; an empty text, which would be the current folder, is refused."""
    if text == "":
        raise typer.BadParameter(f"it is empty. {_UNSET}")
    return Path(text)


_UNSET = "Is a variable of the shell unset?"


def _annotation(hint: Any) -> Any:
    """The annotation of a parameter; that of a path, or of paths, with the function that reads them."""
    kind, *others = get_args(hint)
    if Path not in (kind, *get_args(kind)):
        return hint
    info, *marks = others
    if info.parser is None:
        info = copy(info)
        info.parser = path
    return Annotated[(kind, info, *marks)]


def _parameters(kind: type[OptionGroup]) -> list[Parameter]:
    """A parameter for each field of a group."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        Parameter(
            option.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if option.default is MISSING else option.default,
            annotation=_annotation(hints[option.name]),
        )
        for option in fields(kind)
    ]
