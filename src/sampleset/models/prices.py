"""Prices of tokens, from a file of the user.

    currency: USD
    models:
      gpt-4o-mini: {prompt: 0.15, completion: 0.60}
      embedded: {prompt: 0, completion: 0}

Prices are per million tokens. `shared_prompt: true` beside them means that the server bills a question's
prompt once for all its samples, as APIs do for one request with n choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sampleset.errors import DataError, InputNotFoundError

_PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Price of one model's tokens.

    Attributes:
        prompt: Per million prompt tokens.
        completion: Per million generated tokens.
        shared_prompt: Whether a question's prompt is billed once for all its samples.
    """

    prompt: float
    completion: float
    shared_prompt: bool = False

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Money for this many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _PER


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by model, in one currency."""

    source: str
    currency: str
    models: Mapping[str, Price]

    def check(self, models: Iterable[str]) -> None:
        """Refuse models without a price.

        Raises:
            DataError: A model has no price. The message names all such models.
        """
        missing = sorted({model for model in models if model not in self.models})
        if missing:
            listed = ", ".join(repr(model) for model in missing)
            raise DataError(
                f"{self.source}: no price for {listed}. Add under 'models': "
                f"{missing[0]!r}: {{prompt: 0.0, completion: 0.0}}"
            )


def read_prices(path: Path) -> Prices:
    """The prices of a YAML file.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is not a price file, or a price is not a number ≥ 0.
    """
    import yaml

    if not path.is_file():
        raise InputNotFoundError(
            f"No price file {str(path)!r}. Give a YAML file with 'currency' and 'models'."
        )
    try:
        loaded: Any = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not YAML ({error}).") from error
    content = cast("dict[str, Any]", loaded if isinstance(loaded, dict) else {})
    models, currency = content.get("models"), content.get("currency")
    if not isinstance(models, dict) or not models or not isinstance(currency, str):
        raise DataError(f"{path}: expected 'currency' (a text) and 'models' (prices by model name).")
    listed = cast("dict[Any, Any]", models)
    return Prices(
        str(path), currency, {str(name): _price(path, name, entry) for name, entry in listed.items()}
    )


def _price(path: Path, name: object, entry: object) -> Price:
    where = f"{path}: model {name!r}"
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected {{prompt: NUMBER, completion: NUMBER}}, got {entry!r}.")
    fields = cast("dict[str, Any]", entry)
    if unknown := sorted(set(fields) - {"prompt", "completion", "shared_prompt"}):
        raise DataError(f"{where}: unknown {unknown[0]!r}. It takes prompt, completion and shared_prompt.")
    numbers: list[float] = []
    for kind in ("prompt", "completion"):
        value = fields.get(kind)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise DataError(f"{where}: {kind}={value!r} must be a number, 0 or more, per million tokens.")
        numbers.append(float(value))
    shared = fields.get("shared_prompt", False)
    if not isinstance(shared, bool):
        raise DataError(f"{where}: shared_prompt={shared!r} must be true or false.")
    return Price(numbers[0], numbers[1], shared)
