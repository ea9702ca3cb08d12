"""Turns a command's function into one that typer reads: one parameter for each option of a group."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, cast, get_type_hints

from sampleset.commands.options import OptionGroup
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
            parameters.append(parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY))

    def call(**values: Any) -> None:
        if not gc.isenabled():  # as `main` leaves it
            # To look for garbage in what is loaded by now, here and at the end, takes a sixth of a start.
            gc.freeze()
            gc.enable()
        _require_no_empty(values)
        # The list of all commands needs no formats of files.
        from sampleset.storage.files import require_writable

        # Known now, it costs no tokens.
        for name in _OUTPUTS:
            if isinstance(path := values.get(name), Path):
                writes_folder = name == "output_dir" or function.__name__.startswith("export")
                require_writable(path, is_folder=writes_folder)
        packed = {
            name: kind(**{option: values.pop(option) for option in options})
            for name, (kind, options) in groups.items()
        }
        function(**values, **packed)

    call.__doc__ = function.__doc__
    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in parameters}
    return call


def _require_no_empty(values: Mapping[str, Any]) -> None:
    """Refuse an empty path or model, which would be the current folder.

    Raises:
        InvalidArgumentError: Names it.
    """
    has_empty = any(argument == "" or argument.endswith("=") for argument in sys.argv[1:])
    has_empty = has_empty and not {".", "./"} & set(sys.argv)
    for name, value in values.items():
        paths = cast("Sequence[object]", value) if isinstance(value, list | tuple) else [value]
        is_path = has_empty and Path() in paths
        if is_path or (value == "" and name in _REFERENCES):
            raise InvalidArgumentError(
                f"The value of {name.replace('_', '-')!r} is empty. Is a variable of the shell unset?"
            )


def _parameters(kind: type[OptionGroup]) -> list[Parameter]:
    """A parameter for each field of a group."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        Parameter(
            option.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if option.default is MISSING else option.default,
            annotation=hints[option.name],
        )
        for option in fields(kind)
    ]
