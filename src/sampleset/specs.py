"""What a user types to name an aggregator: `NAME` or `NAME:key=value,key=value`.

The key `model` names the model of an aggregator that asks one, where several are compared.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, cast

from sampleset.aggregators.base import AGGREGATORS, Aggregator
from sampleset.backends.base import Backend
from sampleset.errors import InvalidArgumentError


def needs_model(aggregator: type[Aggregator]) -> bool:
    """Whether the aggregator asks a model."""
    return any(field.name == "backend" for field in dataclasses.fields(cast("Any", aggregator)))


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Name and options of `NAME` or `NAME:key=value,key=value`.

    Raises:
        InvalidArgumentError: An option has no `=`.
    """
    name, _, listed = spec.partition(":")
    options: dict[str, str] = {}
    for item in filter(None, listed.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise InvalidArgumentError(f"Option {item!r} of {spec!r} has no value. Write {item}=VALUE.")
        options[key.strip()] = value.strip()
    return name.strip(), options


def model_of(spec: str) -> str | None:
    """The model that a spec names for its aggregator, `None` if it names none."""
    return parse_spec(spec)[1].get("model")


def build(spec: str, backend: Backend | None = None) -> Aggregator:
    """The aggregator that `NAME` or `NAME:key=value,key=value` describes.

    Args:
        spec: As a user types it.
        backend: The model it may ask; the one that the spec names, where it does.

    Raises:
        UnknownNameError: No such aggregator.
        InvalidArgumentError: No such option, or a value of the wrong type or range; a model is needed and
            there is none.
    """
    name, texts = parse_spec(spec)
    factory = AGGREGATORS.get(name)
    hints = typing.get_type_hints(factory)
    options: dict[str, Any] = {}
    allowed = [
        one.name for one in dataclasses.fields(cast("Any", factory)) if one.init and one.name != "backend"
    ]
    for key, text in texts.items():
        if key == "model" and needs_model(factory):
            continue
        if key not in allowed:
            raise InvalidArgumentError(
                f"Aggregator {name!r} has no option {key!r}. It has: {', '.join(allowed) or 'none'}."
            )
        options[key] = _convert(text, hints[key], f"option {key!r} of aggregator {name!r}")
    if needs_model(factory):
        if backend is None:
            raise InvalidArgumentError(f"Aggregator {name!r} asks a model. Name one: --aggregator-model REF.")
        options["backend"] = backend
    return factory(**options)


def options_of(aggregator: Aggregator) -> Mapping[str, Any]:
    """The options of an aggregator as JSON values; a model is given by its identity, and an aggregator that
    this one is made of by its own options.
    """
    found: dict[str, Any] = {}
    for one in dataclasses.fields(cast("Any", aggregator)):
        value = getattr(aggregator, one.name)
        if isinstance(value, Backend):
            found[one.name] = value.model
        elif dataclasses.is_dataclass(value):
            found[one.name.lstrip("_")] = options_of(cast("Any", value))
        elif value is not None:
            found[one.name] = value
    return found


def summary(aggregator: type[Aggregator]) -> str:
    """First sentence of what the aggregator says of itself."""
    lines = (aggregator.__doc__ or "").strip().split("\n\n")[0]
    return re.sub(r"\s+", " ", lines)


def _convert(text: str, hint: Any, where: str) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if text.lower() == "none":
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is Literal:
        known = cast("tuple[str, ...]", typing.get_args(hint))
        if text not in known:
            raise InvalidArgumentError(f"{text!r} is no value for {where}. It takes: {', '.join(known)}.")
        return text
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise InvalidArgumentError(f"{text!r} is no value for {where}. It takes: true, false.")
        return text.lower() == "true"
    try:
        return hint(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{text!r} is no value for {where}: not a {hint.__name__}.") from error
