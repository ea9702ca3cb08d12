"""docs/reference/serve.md says what the code does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import httpx
import pytest
import yaml
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from sampleset.sampling.members import Member
from sampleset.serve.config import AliasConfig, ServeConfig, default_alias, serve_config
from sampleset.serve.dialects.completions import COMPLETIONS
from sampleset.serve.dialects.messages import MESSAGES
from sampleset.serve.dialects.responses import RESPONSES
from sampleset.serve.metrics import Metrics
from sampleset.serve.parameters import OVERRIDES, PARAMETERS, Parameter
from support.running import running

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "serve.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("title", "known"),
    [
        pytest.param("Parameters", PARAMETERS, id="parameters"),
        pytest.param("Overrides", OVERRIDES, id="overrides"),
        pytest.param("Text completions", COMPLETIONS, id="text completions"),
        pytest.param("Responses", RESPONSES, id="responses"),
        pytest.param("Messages", MESSAGES, id="messages"),
    ],
)
def test_the_table_is_the_one_that_requests_are_checked_by(title: str, known: Mapping[str, Parameter]):
    rows = [line for line in section(title).splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | {one.how} | {one.says} |" for name, one in known.items()]


def test_every_parameter_of_openais_client_has_a_row():
    theirs = {
        *CompletionCreateParamsNonStreaming.__annotations__,
        *CompletionCreateParamsStreaming.__annotations__,
    }
    for kind in (CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming):
        theirs |= kind.__required_keys__ | kind.__optional_keys__
    assert {"messages", "stream", "tools", "metadata"} <= theirs
    assert theirs <= set(PARAMETERS)


def test_every_key_of_the_file_has_a_row():
    first = [line.split("|")[1] for line in section("Aliases").splitlines() if line.startswith("| `")]
    told = [name for cell in first for name in re.findall(r"`(\w+)`", cell)]
    known = [one.name for kind in (AliasConfig, Member, ServeConfig) for one in fields(kind)]
    assert sorted(told) == sorted(known)


def test_the_defaults_of_the_tables_are_those_of_the_file():
    rows = re.findall(r"^\| `(\w+)` \| ([\d,.]+|true|false) \|", section("Aliases"), re.MULTILINE)
    assert len(rows) >= 8
    defaults = {one.name: one.default for kind in (AliasConfig, ServeConfig) for one in fields(kind)}
    for name, shown in rows:
        assert yaml.safe_load(shown.replace(",", "")) == defaults[name], name


def test_the_files_of_the_page_can_be_read():
    usual, judged = (serve_config(yaml.safe_load(text)) for text in blocks("yaml"))
    assert list(usual.models) == ["careful", "quick"]
    assert usual.models["careful"].k == 5
    assert judged.models["advice"].judge is not None


def test_the_metrics_of_the_page_are_there():
    text = Metrics().text(0, 0)
    for word in ("requests", "samples", "retries", "hedges", "cancelled", "tokens", "seconds", "waiting"):
        assert word in section("Metrics")
        assert re.search(rf"^# HELP sampleset_\w*{word}", text, re.MULTILINE), word


@pytest.mark.model
def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]):
    chat, responses = blocks("python")
    with running({"embedded": {**default_alias("embedded", None, None), "k": 3, "max_tokens": 64}}) as server:
        for code in (chat, responses):
            exec(compile(code.replace("http://127.0.0.1:8700", server.url), "serve.md", "exec"), {})
    told, text = capsys.readouterr().out.rsplit("'votes'", 1)
    assert told
    assert text.partition("\n")[2].strip()


@pytest.mark.model
def test_the_embedded_model_samples_and_the_aggregator_trained_on_it_reads():
    own = {**default_alias("embedded", None, None), "k": 2, "max_tokens": 64}
    with running({"embedded": own}) as server:
        (row,) = httpx.get(f"{server.base_url}/models").json()["data"]
        body = {"model": "embedded", "messages": [{"role": "user", "content": "What is 2 + 2?"}], "seed": 1}
        reply = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=300).json()
    assert row["sampleset"]["aggregator"] == "ssa"
    assert reply["sampleset"]["usage"]["sampling"]["calls"] == 2
    assert reply["choices"][0]["message"]["content"]
