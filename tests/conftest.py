"""Small builders, and a network that ends at this machine."""

import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sampleset.types import LogprobSummary, Question, Sample, SampleSet
from support.browser import chromium
from support.command_line import Run, call
from support.gate import pytest_addoption, pytest_configure

__all__ = ["pytest_addoption", "pytest_configure"]

_real_connect = socket.socket.connect


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: object) -> None:
        is_local = self.family == socket.AF_UNIX or (
            isinstance(address, tuple) and str(address[0]) in ("127.0.0.1", "::1", "localhost")
        )
        if not is_local:
            raise AssertionError(f"a test tried to reach {address!r}")
        return _real_connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def converted_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models that tests convert are kept, for all tests."""
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, converted_models: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("SAMPLESET_", "OPENAI_")) or name == "COLUMNS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(converted_models))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of a command: `run("list", "aggregators")`."""

    def command(*arguments: object) -> tuple[int, str, str]:
        return call(monkeypatch, capsys, *arguments)

    return command


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless Chromium; a test that takes it is skipped where there is none."""
    yield from chromium()


@pytest.fixture
def make_set() -> Callable[..., SampleSet]:
    """A set whose samples end in these answers; `None` makes a sample that states none."""

    def make(
        answers: Sequence[str | None],
        *,
        question: str = "What is it?",
        id: str = "q",
        confidences: Sequence[float] | None = None,
        scores: Sequence[float] | None = None,
    ) -> SampleSet:
        samples = [
            Sample(
                index=index,
                text="I do not know." if answer is None else f"Some reasoning. \\boxed{{{answer}}}",
                logprobs=LogprobSummary(confidences[index], confidences[index]) if confidences else None,
                scores={"rm_scores": scores[index]} if scores else {},
            )
            for index, answer in enumerate(answers)
        ]
        return SampleSet(Question(id, question), tuple(samples))

    return make


@pytest.fixture
def problems_file(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_text(
        "".join(
            f'{{"id": "p{number}", "question": "What is {number} plus 1?", "answer": "{number + 1}"}}\n'
            for number in range(6)
        )
    )
    return path
