"""Stages of work in one folder: which are done, and what a change of their settings undoes.

A stage writes files into the folder and returns a summary. The file `stages.json` has every stage that has
begun, with its settings, and with its summary if it is done. A stage that is done and whose files are there
is not done again. If a stage is done again, the later ones are, too; each of them goes on from what it has.

The settings of a stage may change until a later stage has begun that cannot be undone (`Stage.binds`), a
training run say. After that another folder is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampleset.errors import DataError, InvalidArgumentError, UnknownNameError
from sampleset.settings import save_settings
from sampleset.training.run_folder import sole_use

LEDGER = "stages.json"
"""File of the folder that says which stages are done."""

Summary = Mapping[str, Any]
"""The result of a stage, as JSON values."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        name: Its name.
        outputs: Files or folders that it makes, by their names in the folder.
        work: Does the work; called without arguments. If it was killed before, it goes on.
        settings: The values that its result depends on, as JSON values.
        binds: Whether settings of this stage and of earlier ones cannot change once it has begun.
    """

    name: str
    outputs: Sequence[str]
    work: Callable[[], Summary]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    binds: bool = False


class Pipeline:
    """The stages of a folder, in order.

    Args:
        folder: The folder.
        stages: The stages.

    Raises:
        InvalidArgumentError: A setting differs from the one that the folder was begun with, and a stage has
            begun that binds it.
        DataError: The ledger cannot be read.
    """

    def __init__(self, folder: Path, stages: Sequence[Stage]) -> None:
        self.folder = folder
        self.stages = tuple(stages)
        self._ledger: dict[str, dict[str, Any]] = _read(folder / LEDGER)
        self._undo_changed()

    def is_done(self, name: str) -> bool:
        """Whether a stage is done, with all its files."""
        stage = next(stage for stage in self.stages if stage.name == name)
        done = "summary" in self._ledger.get(name, {})
        return done and all((self.folder / output).exists() for output in stage.outputs)

    @property
    def summaries(self) -> dict[str, Summary]:
        """The results of the stages that are done."""
        return {name: entry["summary"] for name, entry in self._ledger.items() if "summary" in entry}

    def run(self, until: str | None, on_stage: Callable[[int, Stage, bool], None]) -> dict[str, Summary]:
        """Do what is not done yet; returns the results by stage.

        Args:
            until: The last stage to do; `None` for all.
            on_stage: Called with number, stage, and whether it is done already.

        Raises:
            UnknownNameError: There is no such stage.
            InvalidArgumentError: Another process works in the folder.
        """
        names = [stage.name for stage in self.stages]
        if until is not None and until not in names:
            raise UnknownNameError("stage", until, names)
        busy = f"Another process works in {str(self.folder)!r}. Wait for it, or name another folder."
        with sole_use(self.folder, busy):
            for number, stage in enumerate(self.stages, 1):
                done = self.is_done(stage.name)
                on_stage(number, stage, done)
                if not done:
                    self._do(stage)
                if stage.name == until:
                    break
        return self.summaries

    def _do(self, stage: Stage) -> None:
        self._forget_from(self.stages.index(stage))
        self._ledger[stage.name] = {"settings": _plain(stage.settings)}
        self._save()
        self._ledger[stage.name]["summary"] = _plain(stage.work())
        self._save()

    def _undo_changed(self) -> None:
        """Forget the stages from the first one on whose settings have changed."""
        for index, stage in enumerate(self.stages):
            before = self._ledger.get(stage.name)
            if before is None or before["settings"] == _plain(stage.settings):
                continue
            if binding := next(
                (s.name for s in self.stages[index:] if s.binds and s.name in self._ledger), None
            ):
                name, old, new = _difference(before["settings"], _plain(stage.settings))
                raise InvalidArgumentError(
                    f"{str(self.folder)!r} was begun with {name}={old!r}, not {new!r}, and the stage "
                    f"{binding!r} has begun. Name another folder, or give the former value."
                )
            self._forget_from(index)
            return

    def _forget_from(self, index: int) -> None:
        for stage in self.stages[index:]:
            self._ledger.pop(stage.name, None)

    def _save(self) -> None:
        save_settings(self.folder / LEDGER, self._ledger)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        ledger: Any = json.loads(path.read_bytes())
        if not all(isinstance(entry["settings"], dict) for entry in ledger.values()):
            raise ValueError("an entry has no settings")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(f"{path}: not a list of stages ({error}). Name another folder.") from error
    return ledger


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON gives them back."""
    return json.loads(json.dumps(values))


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """Name, former and present value of the first setting that differs."""
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            return name, before.get(name), after.get(name)
    raise AssertionError("no setting differs")
