"""Other people's clients, as they are: LangChain's ChatOpenAI, and `llm`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampleset.serve.config import default_alias
from support.running import Running, Upstream, call, running
from support.stub_server import Reply

EGGS = "A box holds 6 eggs. How many eggs do 3 boxes hold?"


def chat_openai(server: Running, model: str = "careful", **more: Any) -> Any:
    langchain = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    return langchain.ChatOpenAI(model=model, base_url=server.base_url, api_key="none", max_retries=0, **more)


def test_langchain_asks_and_passes_overrides(server: Running, upstream: Upstream):
    chat = chat_openai(server, temperature=0.5, extra_body={"sampleset": {"k": 2}})
    reply = chat.invoke([("system", "Be brief."), ("human", "2 + 2?"), ("ai", "3"), ("human", "Sure?")])
    assert reply.content == "\\boxed{4}"
    assert reply.usage_metadata["total_tokens"] == 30
    assert reply.response_metadata["finish_reason"] == "stop"
    assert len(upstream.requests) == 2
    roles = [one["role"] for one in upstream.requests[0]["messages"]]
    assert (roles, upstream.requests[0]["temperature"]) == (["system", "user", "assistant", "user"], 0.5)


async def test_langchain_streams(server: Running, upstream: Upstream):
    upstream.says = lambda request: "word " * 100 + "\\boxed{4}"
    chunks = [chunk async for chunk in chat_openai(server, stream_usage=True).astream("2 + 2?")]
    assert len(chunks) > 3
    assert "".join(chunk.content for chunk in chunks) == "word " * 100 + "\\boxed{4}"
    assert sum(chunk.usage_metadata["total_tokens"] for chunk in chunks if chunk.usage_metadata) == 45


def test_langchain_binds_tools_and_reads_structured_output(server: Running, upstream: Upstream):
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    upstream.says = lambda request: call("weather", '{"city": "Oslo"}')
    reply = chat_openai(server).bind_tools([weather]).invoke("How is it in Oslo?")
    assert [(one["name"], one["args"]) for one in reply.tool_calls] == [("weather", {"city": "Oslo"})]
    upstream.says = lambda request: '{"city": "Rome"}'
    schema = {"title": "Where", "type": "object", "properties": {"city": {"type": "string"}}}
    where = chat_openai(server).with_structured_output(schema, method="json_schema").invoke("Where?")
    assert where == {"city": "Rome"}


def test_langchain_raises_what_the_server_says(server: Running, upstream: Upstream):
    import openai

    with pytest.raises(openai.NotFoundError, match="This server has: careful"):
        chat_openai(server, "other").invoke("2 + 2?")
    with pytest.raises(openai.BadRequestError, match="above the 32"):
        chat_openai(server, extra_body={"sampleset": {"k": 33}}).invoke("2 + 2?")
    upstream.says = lambda request: Reply(401, {"error": {"message": "no"}})
    with pytest.raises(openai.APIError, match="refuses the server's key"):
        list(chat_openai(server).stream("2 + 2?"))


@pytest.fixture
def llm(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command `llm`, which knows the model `careful` of a server."""
    pytest.importorskip("llm", reason="llm is not installed")

    def run(server: Running, *arguments: str, model: str = "careful") -> subprocess.CompletedProcess[str]:
        entry = f'- {{model_id: {model}, model_name: {model}, api_base: "{server.base_url}"}}\n'
        (tmp_path / "extra-openai-models.yaml").write_text(entry)
        # The embedded model comes in a plugin of it, which would load an engine that is not there.
        environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": ""}
        return subprocess.run(
            [sys.executable, "-m", "llm", "-m", model, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    return run


@pytest.mark.parametrize("streaming", [(), ("--no-stream",)], ids=["streamed", "plain"])
def test_llm_asks(server: Running, upstream: Upstream, llm: Any, streaming: tuple[str, ...]):
    done = llm(server, "2 + 2?", "-s", "Be brief.", "-o", "temperature", "0.5", *streaming)
    assert (done.stdout, done.returncode) == ("\\boxed{4}\n", 0), done.stderr
    assert [one["role"] for one in upstream.requests[0]["messages"]] == ["system", "user"]
    assert upstream.requests[0]["temperature"] == 0.5


def test_llm_tells_what_is_wrong(server: Running, upstream: Upstream, llm: Any):
    done = llm(server, "2 + 2?", "-o", "max_tokens", "0")
    assert done.returncode == 1
    assert "max_tokens" in done.stderr
    upstream.says = lambda request: Reply(401, {"error": {"message": "no"}})
    done = llm(server, "2 + 2?")
    assert done.returncode == 1
    assert "refuses the server's key" in done.stderr


@pytest.mark.model
def test_both_ask_the_embedded_model(llm: Any):
    with running({"embedded": {**default_alias("embedded", None, None), "k": 2, "max_tokens": 64}}) as server:
        chat = chat_openai(server, "embedded", seed=1)
        plain = chat.invoke(EGGS)
        assert plain.content
        assert plain.usage_metadata["output_tokens"] > 2
        streamed = "".join(chunk.content for chunk in chat.stream(EGGS))
        assert streamed == plain.content
        done = llm(server, EGGS, "-o", "seed", "1", model="embedded")
        assert done.stdout.strip() == plain.content.strip(), done.stderr
