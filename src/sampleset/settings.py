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

import dataclasses
import difflib
import functools
import hashlib
import json
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError

R = TypeVar("R")


class Finite:
    """Marks a number that may not be infinite, nor none, in an annotation."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """The number's own schema, without infinities."""
        return {**handler(source), "allow_inf_nan": False}


FINITE = Finite()


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


def parse_overrides(overrides: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """Settings from `KEY=VALUE` texts; a dotted key opens a section, values are read as YAML.

    Args:
        overrides: The texts.
        option: The option that they are values of, for error messages.

    Raises:
        InvalidArgumentError: A text without `=`, a value that is not YAML, or a key within another's value.
    """
    import yaml

    settings: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InvalidArgumentError(f"{option} {text!r} has no value. Write {option} KEY=VALUE.")
        *sections, last = key.strip().split(".")
        inner = settings
        for section in sections:
            held: object = inner.setdefault(section, {})
            inner = cast("dict[str, Any]", held)
            if not isinstance(held, dict):
                raise InvalidArgumentError(f"{option} {text!r}: {section!r} already has a value.")
        try:
            inner[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InvalidArgumentError(
                f"{option} {text!r}: the value is not YAML ({str(error).splitlines()[0]}). Quote it."
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
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    # A file's name may not be UTF-8. Python holds such bytes as halves of characters; JSON escapes them so.
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(partial, path)


@dataclasses.dataclass(frozen=True, slots=True)
class SavedKind:
    """A kind of file that this package writes as JSON, and what its errors say.

    Attributes:
        name: As users call what it holds: `fitted vote`.
        schema: The version that is read.
        again: How to make one anew: `Fit the vote again`.
        kind: Its field `kind`; `None` where it has none.
    """

    name: str
    schema: int
    again: str
    kind: str | None = None


def read_saved(path: Path, saved: SavedKind, parse: Callable[[Any], R]) -> tuple[R, str]:
    """What a file of this package holds, and a digest of the file.

    Args:
        path: A file that is there.
        saved: What it should be.
        parse: Called with the JSON values; raises ValueError, KeyError, TypeError, IndexError or
            AttributeError where they do not fit.

    Raises:
        DataError: It is broken, of another kind, or of another version.
    """
    try:
        content = path.read_bytes()
        values: Any = json.loads(content)
        if values.get("kind") != saved.kind:
            raise ValueError(f"kind {values.get('kind')!r}")
        if values["schema"] != saved.schema:
            raise DataError(
                f"{path}: schema {values['schema']!r}, where this version reads {saved.schema}. "
                f"{saved.again}, or use the version of sampleset that wrote it."
            )
        return parse(values), hashlib.sha256(content).hexdigest()[:16]
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"{path} is no {saved.name} ({error!r}). {saved.again}.") from error


def _checked(name: str, known: set[str], shown: str) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidArgumentError(f"The configuration key {shown!r} is no option.{hint}")
    return name


def typed_record(kind: type[R], given: object, where: str) -> R:
    """A dataclass made of a mapping from YAML, every key, type and range checked by pydantic.

    Args:
        kind: The dataclass; ranges stand in its annotations, as `Annotated[int, Ge(1)]`.
        given: The mapping; a list becomes a tuple, a whole number a float and a mapping a dataclass where one
            is expected. A dash in a key is an underscore.
        where: What messages begin with: the file, and the place in it.

    Raises:
        DataError: An unknown or missing key, or a value of the wrong type.
        InvalidArgumentError: A value out of range.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"{where}: expected `key: value` lines, got {given!r}.")
    hints = _hints(kind)
    values: dict[str, Any] = {}
    for key, value in cast("Mapping[Any, Any]", given).items():
        name = str(key).replace("-", "_")
        if name not in hints:
            near = difflib.get_close_matches(name, list(hints), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(hints)}."
            raise DataError(f"{where}: unknown key {key!r}. {hint}")
        inner = next((one for one in _alternatives(hints[name]) if dataclasses.is_dataclass(one)), None)
        if inner is not None and isinstance(value, Mapping):
            inside = cast("object", value)
            value = typed_record(cast("type[Any]", inner), inside, f"{where}: {name}")
        values[name] = _checked_value(kind, name, value, f"{where}: {name}")
    required = [one.name for one in dataclasses.fields(cast("Any", kind)) if _is_required(one)]
    if missing := [name for name in required if name not in values]:
        are = "is" if len(missing) == 1 else "are"
        raise DataError(f"{where}: {', '.join(map(repr, missing))} {are} missing.")
    try:
        return kind(**values)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where}: {error}") from error


def require_valid(record: Any) -> None:
    """Refuse a dataclass with a field out of the range or type that its annotation names.

    Raises:
        InvalidArgumentError: There is one.
    """
    kind = cast("type[Any]", type(record))
    for name in _hints(kind):
        try:
            _checked_value(kind, name, getattr(record, name), name)
        except DataError as error:
            raise InvalidArgumentError(str(error)) from error


def _checked_value(kind: type[Any], name: str, value: object, where: str) -> Any:
    """The value as a field's annotation has it."""
    from pydantic import ValidationError

    hint = _hints(kind)[name]
    whole: object = value
    if isinstance(value, list) and any(typing.get_origin(one) is tuple for one in _alternatives(hint)):
        whole = tuple(cast("list[object]", value))
    try:
        return _adapters(kind)[name].validate_python(whole, strict=True)
    except ValidationError as error:
        # Where several types are allowed there is a complaint of each; one on the range is of the right type.
        complaints = error.errors(include_url=False)
        details = next((one for one in complaints if one["type"] in _RANGES), complaints[0])
    if (wording := _RANGES.get(details["type"])) is not None:
        raise InvalidArgumentError(f"{where}={whole!r} must be {wording.format(**details.get('ctx', {}))}.")
    raise DataError(f"{where}={whole!r} must be {_expected(hint)}.{_yaml_hint(whole, hint)}")


_RANGES = {
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "finite_number": "a finite number",
}
"""Wordings of pydantic's complaints on values of the right type."""


def _expected(hint: Any) -> str:
    """What a value must be, in words."""
    words: list[str] = []
    for one in _alternatives(hint):
        if typing.get_origin(one) is typing.Literal:
            choices = [str(choice).lower() if isinstance(choice, bool) else str(choice)
                       for choice in typing.get_args(one)]  # fmt: skip
            words.append(f"one of: {', '.join(choices)}")
        elif dataclasses.is_dataclass(one):
            example = [f"{part.name}: {part.default}" for part in dataclasses.fields(one)
                       if not _is_required(part)][:2]  # fmt: skip
            words.append(f"a mapping, as {{{', '.join(example)}}}")
        else:
            named = "null" if one is type(None) else getattr(one, "__name__", "list")
            words.append(named if words else f"of type {named}")
    return " or ".join(words)


def _yaml_hint(value: object, hint: Any) -> str:
    if isinstance(value, str) and float in _alternatives(hint):
        try:
            float(value)
        except ValueError:
            return ""
        number = value if "." in value else value.lower().replace("e", ".0e")
        return f" YAML reads {value} as a text; write {number}."
    return ""


def _alternatives(hint: Any) -> list[Any]:
    """The types that an annotation allows, without their ranges."""
    if typing.get_origin(hint) is typing.Annotated:
        return _alternatives(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return [one for part in typing.get_args(hint) for one in _alternatives(part)]
    return [hint]


def _is_required(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {one.name: hints[one.name] for one in dataclasses.fields(kind)}


@functools.cache
def _adapters(kind: type[Any]) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return {name: TypeAdapter[Any](hint) for name, hint in _hints(kind).items()}
