"""Settings from a file: `--config FILE` and `--set KEY=VALUE` below the environment and the flags.

A file is YAML. A top-level key is an option of every command that has it, by its long name; a section
named after a command holds options of that command only:

    model: embedded
    temperature: 0.7
    evaluate:
      aggregator: [majority_vote, "llm_aggregator:mode=select"]

`--set temperature=1.0` and `--set evaluate.k=4` overrule the file.
"""

from __future__ import annotations

import difflib
import json
import os
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError

R = TypeVar("R")


def read_settings(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is not YAML, or not a mapping.
    """
    import yaml

    if not path.is_file():
        raise InputNotFoundError(f"No configuration file {str(path)!r}.")
    try:
        loaded: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not YAML ({str(error).splitlines()[0]}).") from error
    if not isinstance(loaded, dict):
        raise DataError(f"{path}: expected `option: value` lines, got {type(loaded).__name__}.")
    return cast("dict[str, Any]", loaded)


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Settings from `KEY=VALUE` texts; a dotted key opens a section, values are read as YAML.

    Raises:
        InvalidArgumentError: A text without `=`, a value that is not YAML, or a key within another's value.
    """
    import yaml

    settings: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InvalidArgumentError(f"--set {text!r} has no value. Write --set KEY=VALUE.")
        *sections, last = key.strip().split(".")
        inner = settings
        for section in sections:
            held: object = inner.setdefault(section, {})
            inner = cast("dict[str, Any]", held)
            if not isinstance(held, dict):
                raise InvalidArgumentError(f"--set {text!r}: {section!r} already has a value of its own.")
        try:
            inner[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InvalidArgumentError(
                f"--set {text!r}: the value is not YAML ({str(error).splitlines()[0]}). Quote it."
            ) from error
    return settings


def options_for(
    command: str, settings: Mapping[str, Any], known: Mapping[str, Iterable[str]]
) -> dict[str, Any]:
    """The settings that concern one command, by option name.

    Args:
        command: Its name.
        settings: What a file or overrides hold. With `command` and `version` they are the saved settings of
            a run, which hold options of that command only.
        known: Option names by command.

    Raises:
        InvalidArgumentError: A key that is no option of any command, or not of its section's, or the saved
            settings of another command.
    """
    if settings.keys() >= {"command", "version"}:
        if settings["command"] != command:
            raise InvalidArgumentError(
                f"These are the settings of a run of `{settings['command']}`, not of `{command}`. Copy the "
                "lines you want to a file without `command` and `version`."
            )
        settings = {command: {key: settings[key] for key in settings if key not in ("command", "version")}}
    common: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in settings.items():
        name = str(key).replace("-", "_")
        if key in known and isinstance(value, Mapping):
            section = cast("Mapping[str, Any]", value)
            for inner, held in section.items():
                checked = _checked(str(inner).replace("-", "_"), set(known[key]), f"{key}.{inner}")
                if key == command:
                    own[checked] = held
        elif name in known[command]:
            common[name] = value
        else:
            _checked(name, {name for names in known.values() for name in names}, str(key))
    return common | own


def save_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the resolved settings as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _checked(name: str, known: set[str], shown: str) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidArgumentError(f"The configuration key {shown!r} is no option.{hint}")
    return name


def typed_record(kind: type[R], given: object, where: str) -> R:
    """A dataclass made of a mapping from YAML, every key and type checked.

    Args:
        kind: The dataclass.
        given: The mapping; a list of texts becomes a tuple, a whole number a float where one is expected.
        where: What messages begin with: the file, and the place in it.

    Raises:
        DataError: An unknown or missing key, or a value of the wrong type.
        InvalidArgumentError: A value out of range.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"{where}: expected `key: value` lines, got {given!r}.")
    hints = typing.get_type_hints(kind)
    listed = fields(cast("Any", kind))
    values: dict[str, Any] = {}
    for key, value in cast("Mapping[Any, Any]", given).items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), list(hints), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(hints)}."
            raise DataError(f"{where}: unknown key {key!r}. {hint}")
        values[key] = _value(value, hints[key], f"{where}: {key}")
    for one in listed:
        if one.default is MISSING and one.default_factory is MISSING and one.name not in values:
            raise DataError(f"{where}: {one.name!r} is missing.")
    try:
        return kind(**values)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where}: {error}") from error


def _value(value: object, hint: Any, where: str) -> Any:
    """The value if it is of the type that a field's annotation names."""
    allowed = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if isinstance(value, list) and any(typing.get_origin(one) is tuple for one in allowed):
        items = tuple(cast("list[object]", value))
        if all(isinstance(item, str) for item in items):
            return items
    for one in allowed:
        plain = typing.get_origin(one) or one
        if plain is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, plain) and not (isinstance(value, bool) and plain is not bool):
            return cast("Any", value)
    names = " or ".join("null" if one is type(None) else getattr(one, "__name__", "list") for one in allowed)
    raise DataError(f"{where}={value!r} must be of type {names}.")


def require_at_least(record: Any, least: float, *names: str) -> None:
    """Refuse fields of a record below `least`; `None` passes.

    Raises:
        InvalidArgumentError: A field is below it.
    """
    for name in names:
        value: float | None = getattr(record, name)
        if value is not None and not value >= least:
            raise InvalidArgumentError(f"{name}={value!r} must be at least {least}.")
