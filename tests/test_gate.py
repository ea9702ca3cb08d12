"""The gate of the tests: skips that are not listed fail, and a second run leaves out what passed."""

from pathlib import Path

import pytest

from support.gate import LIST, Gate, read_list

pytest_plugins = ["pytester"]

TESTS = """
import pytest
def test_one(): pass
def test_two(): pytest.skip("no torch here")
"""


def gated(pytester: pytest.Pytester, *arguments: str, listed: str = "") -> pytest.RunResult:
    pytester.makepyfile(test_it=TESTS)
    gate = Path(__file__).parent / "support" / "gate.py"
    (pytester.path / "gate_plugin.py").write_text(gate.read_text())
    (pytester.path / "skips.txt").write_text(listed)
    pytester.makeconftest(
        "import gate_plugin\n"
        "from pathlib import Path\n"
        "gate_plugin.LIST = Path(__file__).parent / 'skips.txt'\n"
        "from gate_plugin import pytest_addoption, pytest_configure\n"
    )
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_a_skip_that_is_not_listed_fails(pytester: pytest.Pytester):
    done = gated(pytester, "--skips", "base", listed="full | no torch | elsewhere\n")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["*skipped, and not in skips.txt*", "test_it.py::test_two: no torch here"])


def test_a_listed_skip_and_a_run_without_the_option_pass(pytester: pytest.Pytester):
    assert gated(pytester, "--skips", "base", listed="base | no torch | elsewhere\n").ret == 0
    assert gated(pytester).ret == 0


def test_a_second_run_leaves_out_what_passed(pytester: pytest.Pytester):
    gated(pytester, "--passed-to", "passed")
    assert (pytester.path / "passed").read_text() == "test_it.py::test_one\n"
    done = gated(pytester, "--passed-in", "passed")
    done.assert_outcomes(skipped=1, deselected=1)
    assert gated(pytester, "--passed-in", "missing").ret == pytest.ExitCode.USAGE_ERROR


def test_several_processes_find_the_same(pytester: pytest.Pytester):
    two = ("-n", "2")
    done = gated(pytester, "--skips", "base", "--passed-to", "passed", *two)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["*skipped, and not in skips.txt*", "test_it.py::test_two: no torch here"])
    assert (pytester.path / "passed").read_text() == "test_it.py::test_one\n"
    gated(pytester, "--passed-in", "passed", *two).assert_outcomes(skipped=1)


@pytest.mark.parametrize("line", ["base | no torch", "elsewhere | no torch | why", "base |  | why"])
def test_a_line_without_its_three_parts_is_refused(line: str):
    with pytest.raises(pytest.UsageError, match=r"skips\.txt:1: not ENVIRONMENT"):
        read_list(line)


def test_every_line_of_the_list_is_read():
    allowed = read_list(LIST.read_text(encoding="utf-8"))
    gate = Gate("base", allowed, None, frozenset())
    gate.skipped(
        "tests/x.py", ("tests/x.py", 1, "Skipped: could not import 'torch': No module named 'torch'")
    )
    gate.skipped("tests/y.py", "Skipped: I do not feel like it")
    assert gate.unlisted == [("tests/y.py", "I do not feel like it")]
