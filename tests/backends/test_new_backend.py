"""The backend of the guide: one file, in this package or another, that serves tools."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sampleset import backends
from sampleset.backends.base import BACKENDS
from sampleset.models.opening import open_backend, runs_here
from support.command_line import Run
from support.plugins import install_plugin
from support.running import running

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "add-a-backend.md"
QUESTION = {"role": "user", "content": "17 and 25?"}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(BACKENDS, "_entries", {**BACKENDS._entries})
    (code,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    yield code
    for module in ("adder", "sampleset.backends.adder"):
        sys.modules.pop(module, None)


@pytest.fixture
def in_the_package(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adder.py").write_text(source)
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(tmp_path)])


@pytest.fixture
def in_another_package(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(monkeypatch, tmp_path, "adder", source, "[sampleset.backends]\nadder = adder:Adder\n")


@pytest.mark.parametrize("where", ["in_the_package", "in_another_package"])
def test_it_answers_and_serves_tools(where: str, run: Run, request: pytest.FixtureRequest):
    request.getfixturevalue(where)
    code, out, err = run("answer", "17 and 25?", "--model", "adder:any", "-k", 3)
    assert (code, out) == (0, "42\n"), err
    with running({"sums": {"upstreams": [{"model": "adder:any", "count": 3}]}}) as server:
        body = {"model": "sums", "messages": [QUESTION], "tools": TOOLS}
        asked = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=30).json()
        (choice,) = asked["choices"]
        (call,) = choice["message"]["tool_calls"]
        told = {"role": "tool", "tool_call_id": call["id"], "content": "42"}
        body["messages"] = [QUESTION, choice["message"], told]
        answered = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=30).json()
    assert call["function"] == {"name": "add", "arguments": '{"numbers": [17, 25]}'}
    assert choice["sampleset"]["candidates"][0]["votes"] == 3
    assert answered["choices"][0]["message"]["content"] == "\\boxed{42}"


def test_a_colon_alone_names_no_backend(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    for ref in ("qwen2.5:7b", "llama3:latest", "openai:gpt-4o", "ft:gpt-4o:me"):
        assert not runs_here(ref)
        assert open_backend(ref).model == ref
