"""Options of pytest for `make test` and `make test-full`: which tests may be skipped, and which ran before.

--skips base     a test skipped for a reason that tests/skips.txt does not allow in this environment fails
--passed-to F    the names of the tests that passed are written to the file F
--passed-in F    those named there are left out: they need nothing that another environment adds
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "skips.txt"
ENVIRONMENTS = ("base", "full")


@dataclass(frozen=True)
class Allowed:
    """One line of the list.

    Attributes:
        environment: `base`, `full` or `any`.
        reason: How the reason that pytest gives begins.
        why: Why the test may be left out there, and where it runs.
    """

    environment: str
    reason: str
    why: str

    def fits(self, environment: str, reason: str) -> bool:
        return self.environment in (environment, "any") and reason.startswith(self.reason)


def read_list(text: str) -> list[Allowed]:
    """The lines of `ENVIRONMENT | REASON | WHY`; those that begin with # are comments."""
    allowed: list[Allowed] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ")]
        if len(parts) != 3 or not all(parts) or parts[0] not in (*ENVIRONMENTS, "any"):
            raise pytest.UsageError(f"{LIST.name}:{number}: not ENVIRONMENT | REASON | WHY: {line!r}")
        allowed.append(Allowed(*parts))
    return allowed


@dataclass(eq=False)
class Gate:
    """What a run of the tests came to."""

    environment: str | None
    allowed: list[Allowed]
    passed_to: Path | None
    passed_in: frozenset[str]
    is_worker: bool = False
    """One of several processes of pytest-xdist; it runs the tests, and another reports them."""
    passed: list[str] = field(default_factory=list[str])
    unlisted: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def skipped(self, name: str, longrepr: object) -> None:
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        reason = str(reason).removeprefix("Skipped: ")
        if self.environment and not any(one.fits(self.environment, reason) for one in self.allowed):
            self.unlisted.append((name, reason))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped(report.nodeid, report.longrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped(report.nodeid, report.longrepr)
        elif report.when == "call" and report.passed:
            self.passed.append(report.nodeid)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        before = [item for item in items if item.nodeid in self.passed_in]
        if before:
            config.hook.pytest_deselected(items=before)
            items[:] = [item for item in items if item.nodeid not in self.passed_in]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.is_worker:
            return
        if self.passed_to is not None:
            self.passed_to.write_text("".join(f"{name}\n" for name in self.passed), encoding="utf-8")
        if self.unlisted and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unlisted:
            terminalreporter.section(f"skipped, and not in {LIST.name}")
            for name, reason in self.unlisted:
                terminalreporter.line(f"{name}: {reason}")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sampleset")
    group.addoption("--skips", choices=ENVIRONMENTS, help=f"the environment, for {LIST.name}")
    group.addoption("--passed-to", type=Path, metavar="FILE")
    group.addoption("--passed-in", type=Path, metavar="FILE")


def pytest_configure(config: pytest.Config) -> None:
    passed_in: Path | None = config.getoption("--passed-in")
    if passed_in is not None and not passed_in.is_file():
        raise pytest.UsageError(f"--passed-in: no file {str(passed_in)!r}. Run `make test` first.")
    gate = Gate(
        config.getoption("--skips"),
        read_list(LIST.read_text(encoding="utf-8")),
        config.getoption("--passed-to"),
        frozenset(passed_in.read_text(encoding="utf-8").splitlines()) if passed_in else frozenset(),
        is_worker=hasattr(config, "workerinput"),
    )
    config.pluginmanager.register(gate, "sampleset-gate")
