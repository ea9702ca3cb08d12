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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError


def read_settings(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is not YAML, or not a mapping.
    """
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
