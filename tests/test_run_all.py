"""The command that runs all benchmarks: its list and the page that it writes."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
HELPERS = {"timing", "fixed_latency_stub"}


@pytest.fixture(scope="module")
def run_all() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_all", ROOT / "benchmarks" / "run_all.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_all"] = module
    spec.loader.exec_module(module)
    return module


def test_every_benchmark_is_in_the_list_and_the_list_names_no_other(run_all: ModuleType):
    files = {path.stem for path in (ROOT / "benchmarks").glob("*/*.py")} - HELPERS
    assert {one.file or name for name, one in run_all.BENCHMARKS.items()} == files
    assert all((ROOT / "benchmarks" / run_all.script_of(name)).is_file() for name in run_all.BENCHMARKS)


def test_a_section_replaces_the_one_of_its_name_and_leaves_the_others(run_all: ModuleType):
    page = f"top\n{run_all.BEGIN}\n\n{run_all.END}\nbottom\n"
    first = run_all.merged(page, {"startup": "old\n\n```\na\n```", "votes_and_grades": "votes"})
    second = run_all.merged(first, {"startup": "new"})
    assert run_all.sections_of(second) == {"startup": "new", "votes_and_grades": "votes"}
    assert second.startswith("top\n")
    assert second.endswith("bottom\n")
    assert run_all.merged(second, {}) == second


def test_sections_stand_in_the_order_of_the_list(run_all: ModuleType):
    page = f"{run_all.BEGIN}\n{run_all.END}"
    assert list(run_all.sections_of(run_all.merged(page, {"votes_and_grades": "b", "startup": "a"}))) == [
        "startup",
        "votes_and_grades",
    ]


def test_a_page_without_a_place_is_refused(run_all: ModuleType):
    with pytest.raises(ValueError, match="no lines"):
        run_all.merged("a page", {"startup": "a"})


def test_what_is_missing_is_named(run_all: ModuleType):
    one = run_all.Benchmark("a try", ("{recorded}/x",), needs=("no-such-package",))
    assert run_all.lacking(one, {}) == "no-such-package, --at recorded=FOLDER"
    assert run_all.lacking(run_all.Benchmark("a try", ("{recorded}/x",)), {"recorded": "y"}) == ""


def test_the_sections_of_the_page_are_of_benchmarks_that_there_are(run_all: ModuleType):
    sections = run_all.sections_of((ROOT / "docs" / "benchmarks.md").read_text())
    assert sections.keys() <= run_all.BENCHMARKS.keys()
    assert sections
