"""Specs, the text that names an aggregator: `NAME` or `NAME:key=value,key=value`.

The key `model` names the model of an aggregator that asks one, where several are compared. An option that
is itself an aggregator, or a reward model, takes `NAME` or `NAME[key=value,key=value]`, to any depth. One
that is several models takes their names joined by `+`, or the YAML file of a pool, whose members may be on
several servers; `FILE.yaml#2` is its second member. One that is several texts takes them joined by `|`, in
brackets where one holds a comma, or a text file with one a line. A reward model asks the model that `model`
names. Any aggregator takes `min_confidence`, below which answers are withheld, and `certificate`, a file that
says below which.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from sampleset.aggregators.base import AGGREGATORS, Aggregator
from sampleset.aggregators.certified import Certified
from sampleset.aggregators.confident import MIN_CONFIDENCE, Confident
from sampleset.backends.base import Backend
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.reward_models.base import REWARD_MODELS, RewardModel
from sampleset.risk.certificate import require_order
from sampleset.settings import read_settings
from sampleset.storage.store import digest
from sampleset.types import LOGPROBS

CERTIFICATE = "certificate"
"""The option, which a spec may give to any aggregator: the file of a certificate."""

_MODELS = tuple[Backend, ...]
_TEXTS = tuple[str, ...]
_POOLS = (".yaml", ".yml")
_MOST_AGENTS = 1000

Shared = Callable[[RewardModel], RewardModel]
"""Called with a reward model; returns the model to use: another with the same identity, or a model that
keeps its scores.
"""


def needs_model(factory: Any) -> bool:
    """Whether an aggregator, or a kind of reward model, asks a backend."""
    return any(field.name == "backend" for field in dataclasses.fields(factory))


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Name and options of `NAME`, `NAME:key=value,key=value` or `NAME[key=value,key=value]`.

    Raises:
        InvalidArgumentError: An option has no `=`, or a bracket has no partner.
    """
    match = re.fullmatch(r"\s*([^:\[\]]*?)\s*(?::(.*)|\[(.*)\]\s*)?", spec, re.DOTALL)
    if match is None:
        raise InvalidArgumentError(f"Cannot read {spec!r}. Write NAME:key=value,... or NAME[key=value,...].")
    options: dict[str, str] = {}
    for item in filter(None, _items(match[2] or match[3] or "", spec)):
        key, equals, value = item.partition("=")
        if not equals:
            raise InvalidArgumentError(f"Option {item!r} of {spec!r} has no value. Write {item}=VALUE.")
        options[key.strip()] = value.strip()
    return match[1], options


def _items(listed: str, spec: str) -> list[str]:
    """The text cut at the commas that stand in no brackets."""
    items, depth = [""], 0
    for character in listed:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth < 0:
            break
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    if depth:
        raise InvalidArgumentError(f"A bracket of {spec!r} has no partner. Close every [ with a ].")
    return items


def model_of(spec: str) -> str | None:
    """The model that a spec names for its aggregator, `None` if it names none."""
    return parse_spec(spec)[1].get("model")


def models_of(spec: str) -> tuple[str | None, ...]:
    """The models that a spec's aggregator and the aggregators it is made of ask; `None` stands for the one
    that is asked where none is named.

    Raises:
        UnknownNameError: No such aggregator.
        InvalidArgumentError: The spec cannot be read.
    """
    name, texts = parse_spec(spec)
    factory = AGGREGATORS.get(name)
    models: list[str | None] = [texts.get("model")] if needs_model(factory) else []
    hints = typing.get_type_hints(factory)
    for key, text in texts.items():
        hint = _without_none(hints.get(key))
        if hint == _MODELS:
            models += _listed(text)
        elif hint is RewardModel and text.lower() != "none":
            models += [texts.get("model")] if needs_model(REWARD_MODELS.get(parse_spec(text)[0])) else []
        elif hint is Aggregator and text.lower() != "none":
            models += models_of(text)
    return tuple(dict.fromkeys(models))


def with_default_model(spec: str, engine: str = "") -> str:
    """The spec with the model that its aggregator asks by default, where it has one and the spec names none.

    Args:
        spec: As a user types it.
        engine: The engine to run that model on, where one was named.

    Raises:
        UnknownNameError: No such aggregator.
        InvalidArgumentError: The spec cannot be read.
    """
    name, texts = parse_spec(spec)
    usual: str | None = getattr(AGGREGATORS.get(name), "default_model", None)
    if usual is None or "model" in texts:
        return spec
    return f"{spec}{',' if texts else ':'}model={f'{engine}:{usual}' if engine else usual}"


def withholding(spec: str, min_confidence: float | None = None, certificate: Path | None = None) -> str:
    """The spec whose aggregator withholds answers of less confidence, or outside of a certificate."""
    for name, value in ((MIN_CONFIDENCE, min_confidence), (CERTIFICATE, certificate)):
        if value is not None:
            spec = f"{spec}{',' if ':' in spec else ':'}{name}={value}"
    return spec


def identity_of(aggregator: Aggregator) -> str:
    """A digest of an aggregator's name and options, the models that it asks among them."""
    return digest([aggregator.name, dict(options_of(aggregator))])[:16]


def build(
    spec: str,
    backend: Backend | None = None,
    named: Mapping[str | None, Backend] | None = None,
    share: Shared = lambda model: model,
) -> Aggregator:
    """The aggregator that `NAME` or `NAME:key=value,key=value` describes.

    Args:
        spec: As a user types it.
        backend: The model that it and its parts may ask.
        named: Models by their name in the spec. A model that the spec names for the aggregator itself,
            and that is not among them, is `backend`.
        share: Called with each reward model of the spec; returns the model to use.

    Raises:
        UnknownNameError: No such aggregator, or no such kind of reward model.
        InvalidArgumentError: No such option, or a value of the wrong type or range; a model is needed and
            there is none.
    """
    named = named or {}
    name, texts = parse_spec(spec)
    factory = AGGREGATORS.get(name)
    hints = typing.get_type_hints(factory)
    options: dict[str, Any] = {}
    least = None if MIN_CONFIDENCE in hints else texts.pop(MIN_CONFIDENCE, None)
    certificate = texts.pop(CERTIFICATE, None)
    rewarded = any(_without_none(hints.get(key)) is RewardModel for key in texts)
    for key, text in texts.items():
        if key == "model" and (needs_model(factory) or rewarded):
            continue
        _require_option(factory, key, f"Aggregator {name!r}")
        hint = _without_none(hints[key])
        if hint is RewardModel and text.lower() != "none":
            model = texts.get("model")
            options[key] = share(build_reward_model(text, model, named.get(model, backend)))
        elif hint == _MODELS:
            options[key] = tuple(_opened(model, named, spec) for model in _listed(text))
        elif hint is Aggregator and text.lower() != "none":
            model, reader = model_of(text), backend
            if model is not None and model in models_of(text):
                reader = _opened(model, named, spec)
            options[key] = build(text, reader, named, share)
        else:
            options[key] = _convert(text, hints[key], f"option {key!r} of aggregator {name!r}")
    if needs_model(factory):
        reader = named.get(texts.get("model", ""), backend)
        if reader is None:
            raise InvalidArgumentError(f"Aggregator {name!r} asks a model. Name one: --aggregator-model REF.")
        options["backend"] = reader
    for field in dataclasses.fields(cast("Any", factory)):
        is_required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.init and is_required and field.name not in options:
            wanted = f"{name}:{field.name}={field.name.upper()}"
            raise InvalidArgumentError(
                f"Aggregator {name!r} needs the option {field.name!r}. Write {wanted}."
            )
    aggregator = factory(**options)
    if least is not None:
        where = f"option {MIN_CONFIDENCE!r} of aggregator {name!r}"
        aggregator = Confident(_convert(least, float, where), aggregator)
    if certificate is None:
        return aggregator
    certified = Certified(certificate, aggregator)
    require_order([certified.certificate])
    certified.certificate.require_setting(identity_of(aggregator), certified.certificate.k)
    return certified


def build_reward_model(text: str, model: str | None, backend: Backend | None) -> RewardModel:
    """The reward model that `KIND` or `KIND[key=value,key=value]` describes. Nothing is loaded yet.

    Args:
        text: As a user types it.
        model: The REF of a kind that runs in this process, or the name that a server knows.
        backend: The model that the other kinds ask.

    Raises:
        UnknownNameError: No such kind.
        InvalidArgumentError: No such option, or a value of the wrong type or range; no model is named.
        InputNotFoundError: No such model.
    """
    kind, texts = parse_spec(text)
    factory = REWARD_MODELS.get(kind)
    hints = typing.get_type_hints(factory)
    options: dict[str, Any] = {}
    for key, value in texts.items():
        _require_option(factory, key, f"Reward model {kind!r}")
        options[key] = _convert(value, hints[key], f"option {key!r} of reward model {kind!r}")
    reward_source = backend if needs_model(factory) else model
    if reward_source is None:
        raise InvalidArgumentError(f"Reward model {kind!r} needs a model. Name one: model=REF.")
    return factory(reward_source, **options)


def _require_option(factory: Any, key: str, whose: str) -> None:
    """Refuse an unknown option. A model or a backend of the factory is no option."""
    allowed = [
        option.name for option in dataclasses.fields(factory) if option.init and option.name != "backend"
    ]
    allowed = [option for option in allowed if option != "model"]
    if key not in allowed:
        raise InvalidArgumentError(f"{whose} has no option {key!r}. It has: {', '.join(allowed) or 'none'}.")


def _opened(model: str, backends: Mapping[str | None, Backend], spec: str) -> Backend:
    if model not in backends:
        raise InvalidArgumentError(
            f"{spec!r} names the model {model!r} for a part of it, and it is not open. Give it in `named`."
        )
    return backends[model]


def _listed(text: str) -> list[str]:
    """The models that a text names, by the name each is opened by."""
    listed = [model.strip() for model in text.split("+") if model.strip()]
    return [name for model in listed for name in (_pool_names(model) if model.endswith(_POOLS) else [model])]


def _pool_names(file: str) -> list[str]:
    """Each member of a pool's file as `FILE#NUMBER`, as often as its `count` says."""
    pool = read_settings(Path(file)).get("pool")
    if not isinstance(pool, list) or not pool:
        raise DataError(f"{file}: expected `pool: [{{model: NAME, base_url: URL}}, ...]`.")
    entries = cast("list[Any]", pool)
    counts = [
        cast("dict[str, Any]", entry).get("count", 1) if isinstance(entry, dict) else 1 for entry in entries
    ]
    return [
        f"{file}#{number}"
        for number, count in enumerate(counts, start=1)
        for _ in range(count if isinstance(count, int) and 1 <= count <= _MOST_AGENTS else 1)
    ]


def options_of(aggregator: Aggregator) -> Mapping[str, Any]:
    """The options of an aggregator as JSON values; a model is given by its identity, and an aggregator that
    this one is made of by its own options.
    """
    options: dict[str, Any] = {}
    for field in dataclasses.fields(cast("Any", aggregator)):
        if not field.metadata.get("is_option", True):
            continue
        value = getattr(aggregator, field.name)
        if isinstance(value, RewardModel):
            options[field.name] = value.identity
        elif isinstance(value, Backend):
            options[field.name] = value.model
        elif isinstance(value, tuple) and any(isinstance(part, Backend) for part in cast("Any", value)):
            options[field.name] = [model.model for model in cast("Any", value)]
        elif isinstance(value, tuple) and any(map(dataclasses.is_dataclass, cast("Any", value))):
            options[field.name] = [dict(options_of(part)) for part in cast("Any", value)]
        elif dataclasses.is_dataclass(cast("Any", value)):
            inner = cast("Any", value)
            name_option = (
                {} if field.name.startswith("_") or not hasattr(inner, "name") else {"name": inner.name}
            )
            options[field.name.lstrip("_")] = {**name_option, **options_of(inner)}
        elif callable(cast("Any", value)):
            function = cast("Any", value)
            options[field.name] = getattr(function, "__qualname__", type(function).__name__)
        elif value is not None:
            options[field.name] = value
    return options


def models_asked(aggregator: Any) -> tuple[str, ...]:
    """Identities of the models that an aggregator and the aggregators it is made of ask."""
    models: list[str] = []
    for field in dataclasses.fields(aggregator):
        value: Any = getattr(aggregator, field.name)
        for part in cast("tuple[Any, ...]", value if isinstance(value, tuple) else (value,)):
            if isinstance(part, Backend | RewardModel):
                models.append(part.model)
            elif dataclasses.is_dataclass(part):
                models += models_asked(part)
    return tuple(dict.fromkeys(models))


def scores_read(aggregator: Any) -> tuple[str, ...]:
    """Names of the recorded scores that an aggregator and the aggregators it is made of go by.

    Log-probabilities are none of them: samples may lack them, and then the vote decides.
    """
    names: list[str] = []
    by = getattr(aggregator, "by", None)
    is_recorded = isinstance(by, str) and getattr(aggregator, "reward_model", None) is None
    if is_recorded and by not in (*LOGPROBS, "votes"):
        names.append(cast("str", by))
    for field in dataclasses.fields(aggregator):
        value: Any = getattr(aggregator, field.name)
        for part in cast("tuple[Any, ...]", value if isinstance(value, tuple) else (value,)):
            if dataclasses.is_dataclass(part) and not isinstance(part, Backend | RewardModel):
                names += scores_read(part)
    return tuple(dict.fromkeys(names))


def summary(factory: type[Any]) -> str:
    """First sentence of the docstring of an aggregator or a kind of reward model."""
    lines = (factory.__doc__ or "").strip().split("\n\n")[0]
    return re.sub(r"\s+", " ", lines)


def _without_none(hint: Any) -> Any:
    """The type of an option's value where it is not `None`."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _convert(text: str, hint: Any, where: str) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if text.lower() == "none":
            return None
        hint = _without_none(hint)
    if typing.get_origin(hint) is Literal:
        known = cast("tuple[str, ...]", typing.get_args(hint))
        if text not in known:
            raise InvalidArgumentError(f"{text!r} is no value for {where}. It takes: {', '.join(known)}.")
        return text
    if hint == _TEXTS:
        return _texts(text, where)
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise InvalidArgumentError(f"{text!r} is no value for {where}. It takes: true, false.")
        return text.lower() == "true"
    try:
        return hint(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{text!r} is no value for {where}: not a {hint.__name__}.") from error


def _texts(text: str, where: str) -> tuple[str, ...]:
    """The texts of an option: the lines of a `.txt` file, or what stands between `|`."""
    if text.endswith(".txt"):
        path = Path(text)
        if not path.is_file():
            raise InputNotFoundError(f"No file {text!r} for {where}. Write one text a line.")
        try:
            parts = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{text}: not UTF-8 ({error}), for {where}.") from error
    else:
        parts = (text[1:-1] if text.startswith("[") and text.endswith("]") else text).split("|")
    if not (texts := tuple(part.strip() for part in parts if part.strip())):
        raise InvalidArgumentError(f"{text!r} is no value for {where}: it holds no text.")
    return texts
