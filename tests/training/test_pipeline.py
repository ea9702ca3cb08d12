import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampleset.errors import DataError, InvalidArgumentError, UnknownNameError
from sampleset.training.pipeline import LEDGER, Pipeline, Stage
from sampleset.training.run_folder import sole_use

NAMES = ("draw", "train", "measure")


class Work:
    """Three stages that each write a file; `done` is what was worked on, `fails` a stage that is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []
        self.fails: str | None = None

    def stages(self, **settings: Any) -> list[Stage]:
        """The stages; `settings` are values of the first, by name, and `measure` one of the last."""
        last = {"method": settings.pop("measure", "vote")}
        return [
            Stage("draw", ("draws",), self._work("draw"), settings),
            Stage("train", ("model",), self._work("train"), binds=True),
            Stage("measure", ("report",), self._work("measure"), last),
        ]

    def _work(self, name: str) -> Callable[[], dict[str, Any]]:
        def work() -> dict[str, Any]:
            if self.fails == name:
                raise KeyboardInterrupt
            self.done.append(name)
            output = {"draw": "draws", "train": "model", "measure": "report"}[name]
            (self.folder / output).write_text(name)
            return {"made": output}

        return work

    def run(self, until: str | None = None, **settings: Any) -> list[tuple[str, bool]]:
        """The stages that were gone through, each with whether it was done before."""
        seen: list[tuple[str, bool]] = []
        self.done.clear()
        pipeline = Pipeline(self.folder, self.stages(**settings))
        pipeline.run(until, lambda number, stage, done: seen.append((stage.name, done)))
        return seen


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_stages_run_in_order_and_their_results_are_kept(work: Work):
    assert work.run(n=4) == [("draw", False), ("train", False), ("measure", False)]
    assert work.done == ["draw", "train", "measure"]
    assert Pipeline(work.folder, work.stages(n=4)).summaries["train"] == {"made": "model"}


def test_what_is_done_is_not_done_again(work: Work):
    work.run(n=4)
    assert work.run(n=4) == [(name, True) for name in NAMES]
    assert work.done == []


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_killed_in_a_stage_goes_on_with_that_stage(work: Work, name: str):
    work.fails = name
    with pytest.raises(KeyboardInterrupt):
        work.run(n=4)
    before, work.fails = NAMES.index(name), None
    work.run(n=4)
    assert work.done == list(NAMES[before:])


def test_a_stage_whose_file_is_gone_is_done_again_and_so_are_the_later_ones(work: Work):
    work.run(n=4)
    (work.folder / "model").unlink()
    work.run(n=4)
    assert work.done == ["train", "measure"]


def test_settings_may_change_until_a_stage_has_begun_that_binds_them(work: Work):
    work.run("draw", n=4)
    work.run("draw", n=5)
    assert work.done == ["draw"]
    work.fails = "train"
    with pytest.raises(KeyboardInterrupt):
        work.run(n=5)
    with pytest.raises(InvalidArgumentError, match=r"begun with n=5, not 6, and the stage 'train' has begun"):
        work.run(n=6)


def test_the_settings_of_a_later_stage_may_change_and_undo_nothing_before_it(work: Work):
    work.run(n=4)
    work.run(n=4, measure="ssa")
    assert work.done == ["measure"]


def test_a_run_stops_after_the_stage_that_is_named(work: Work):
    assert work.run("train") == [("draw", False), ("train", False)]
    with pytest.raises(UnknownNameError, match="measure"):
        work.run("mesure")


def test_two_processes_do_not_work_in_one_folder(work: Work):
    with sole_use(work.folder, "busy"), pytest.raises(InvalidArgumentError, match="Another process"):
        work.run()
    assert work.run()


@pytest.mark.parametrize("text", ["{", "[]", '{"draw": 3}', '{"draw": {}}'])
def test_a_broken_list_of_stages_is_an_error_that_names_the_file(work: Work, text: str):
    (work.folder / LEDGER).write_text(text)
    with pytest.raises(DataError, match=LEDGER):
        work.run()


def test_the_list_of_stages_says_what_is_done(work: Work):
    work.run("draw", n=4)
    ledger = json.loads((work.folder / LEDGER).read_text())
    assert ledger == {"draw": {"settings": {"n": 4}, "summary": {"made": "draws"}}}
