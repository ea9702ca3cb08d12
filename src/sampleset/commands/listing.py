"""Lists of aggregators, backends, datasets, formats, trained models and reward models."""

from __future__ import annotations

import shutil
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Annotated

from sampleset.aggregators.base import AGGREGATORS
from sampleset.backends.base import BACKENDS
from sampleset.commands.options import argument
from sampleset.commands.run import Output, print_json
from sampleset.datasets.base import DATASETS
from sampleset.engines.gguf import EMBEDDED, EMBEDDED_SSA, embedded_ssa_folder, embedded_ssa_is_installed
from sampleset.errors import UnknownNameError
from sampleset.models.pulled import Pulled, described, models_folder, pulled_in
from sampleset.reward_models.base import REWARD_MODELS
from sampleset.specs import summary
from sampleset.storage.foreign.base import FORMATS

EXAMPLE = "sampleset list aggregators"

_USES = {
    "aggregators": ("evaluate", "STORE", "--aggregator", "NAME"),
    "backends": ("answer", "What is 17 + 25?", "--model", "NAME:REF"),
    "datasets": ("sample", "NAME", "--output-dir", "STORE"),
    "formats": ("import", "FILE", "--output", "sets.jsonl"),
    "models": ("answer", "What is 17 + 25?", "--aggregator", "ssa", "--aggregator-model", "NAME"),
    "reward-models": (
        "score",
        "STORE",
        "--reward-model",
        "NAME",
        "--model",
        "REF",
        "--output",
        "scored.jsonl",
    ),
}
"""The end of a command line that uses each kind."""

_NARROWEST = 28
"""Fewest characters of a terminal's line that what an entry says shares with its name."""


def list_(
    output: Output,
    kind: Annotated[
        str | None,
        argument(
            "aggregators, backends, datasets, formats, models or reward-models; all by default.",
            autocompletion=lambda: list(_USES),
        ),
    ] = None,
) -> None:
    """Print the names of a kind, one line each."""
    entries = listing(kind)
    if output.as_json:
        print_json(entries)
        return
    for heading, names in entries.items():
        width = max((len(name) for name in names), default=0)
        if kind is None:
            print(f"{heading}:")
        for name, says in names.items():
            print_entry(f"{'' if kind else '  '}{name:<{width}}  ", says)
    output.next(*(_USES[kind] if kind else ("list", "aggregators")))


def print_entry(name: str, says: str) -> None:
    """Print a line; on a terminal that is too narrow for it, what it says goes on below."""
    width = shutil.get_terminal_size((0, 0)).columns
    if not width or len(name) + len(says) <= width:
        print(name + says)
        return
    if width - len(name) < _NARROWEST:
        print(name.rstrip())
        name = " " * 6
    print(textwrap.fill(says, width, initial_indent=name, subsequent_indent=" " * len(name)))


def listing(kind: str | None) -> dict[str, dict[str, str]]:
    """The names of each kind, with one line on each.

    Raises:
        UnknownNameError: No such kind.
    """
    kinds = ("aggregators", "backends", "datasets", "formats", "models", "reward-models")
    if kind is not None and kind not in kinds:
        raise UnknownNameError("kind of things to list", kind, kinds)
    rows: dict[str, dict[str, str]] = {}
    for kind_listed in kinds if kind is None else (kind,):
        if kind_listed == "aggregators":
            rows[kind_listed] = {name: summary(AGGREGATORS.get(name)) for name in AGGREGATORS.names()}
        elif kind_listed == "backends":
            rows[kind_listed] = {name: _first_line(f"{BACKENDS.package}.{name}") for name in BACKENDS.names()}
        elif kind_listed == "formats":
            rows[kind_listed] = {name: FORMATS.get(name).title for name in FORMATS.names()}
        elif kind_listed == "models":
            rows[kind_listed] = _models()
        elif kind_listed == "reward-models":
            rows[kind_listed] = {name: summary(REWARD_MODELS.get(name)) for name in REWARD_MODELS.names()}
        else:
            rows[kind_listed] = {name: DATASETS.get(name).summary for name in DATASETS.names()}
    return rows


def _models() -> dict[str, str]:
    """The values of --aggregator-model: embedded models, those in ./adapters, and those in the cache."""
    models = {EMBEDDED: "the embedded model, not trained to aggregate"}
    if embedded_ssa_is_installed():
        models[EMBEDDED_SSA] = _says(described(embedded_ssa_folder()), "in this package")
    for folder, where in ((Path("adapters"), "in ./adapters"), (models_folder(), "pulled")):
        models |= {str(model.folder): _says(model, where) for model in pulled_in(folder)}
    return models


def _says(model: Pulled, where: str) -> str:
    return f"mode {model.record.mode} on {model.record.base_model}; {where}; {model.digest[:19]}"


def _first_line(module: str) -> str:
    return (import_module(module).__doc__ or "").strip().split("\n")[0]
