"""Each server of docs/reference/servers.md, as documented, against the client and `serve`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from sampleset.backends.openai import OpenAIBackend
from sampleset.chat import Message, SamplingParams
from sampleset.errors import AuthenticationError
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.types import Question
from support.running import running
from support.servers import ANSWER, KNOWN_SERVERS, NEWER_CLAUDE, KnownServer, KnownServerStub

CHAT: list[Message] = [{"role": "user", "content": "What is 2 + 2?"}]
ALL = SamplingParams(temperature=0.7, top_p=0.9, top_k=20, max_tokens=50, stop=("END",))
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "servers.md").read_text()


@pytest.fixture(params=(*KNOWN_SERVERS, NEWER_CLAUDE), ids=lambda known: known.name)
def known(request: pytest.FixtureRequest) -> KnownServer:
    return request.param


def test_every_server_of_the_page_has_a_stub():
    (table,) = re.findall(r"^## What is known of each\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows[1:] == [known.name for known in KNOWN_SERVERS]


async def test_draws_come_whatever_the_server_refuses(known: KnownServer):
    with KnownServerStub(known=known) as server:
        backend = OpenAIBackend("stub-model", server.base_url, api_key="key")
        await backend.check()
        options = SamplingOptions(n=6, params=ALL)
        sampled = await Sampler(backend, options).sample(Question("q", "What is 2 + 2?"))
        await backend.aclose()
    assert [sample.text for sample in sampled.samples] == [ANSWER] * 6
    assert {sample.completion_tokens for sample in sampled.samples} == {5}
    taken = [request for request in server.requests if known.refuses(request) is None]
    assert len(taken) == 6
    # What a server takes reaches it: no field is lost for the sake of another.
    last = taken[-1]
    assert last.get("max_tokens", last.get("max_completion_tokens")) == 50
    assert last["stop"] == ["END"]
    wanted = {"temperature": 0.7, "top_p": 0.9, "top_k": 20}
    for name, value in wanted.items():
        assert last.get(name) == value or known.refuses({**last, name: value}) is not None


async def test_a_reply_is_read_while_it_is_written(known: KnownServer):
    heard: list[str] = []
    with KnownServerStub(known=known) as server:
        backend = OpenAIBackend("stub-model", server.base_url, api_key="key")
        (generation,) = await backend.stream(CHAT, ALL, [7], lambda place, text: heard.append(text))
        await backend.aclose()
    assert (generation.text, generation.finish_reason) == (ANSWER, "stop")
    assert (generation.prompt_tokens, generation.completion_tokens) == (10, 5)
    assert "".join(heard) == ANSWER
    assert len(heard) > 1


async def test_the_key_is_where_the_server_looks_for_it(known: KnownServer, monkeypatch: pytest.MonkeyPatch):
    if known.name == "Azure":
        # It is known by its host.
        monkeypatch.setattr("sampleset.wire.client._AZURE", re.compile("127.0.0.1"))
    with KnownServerStub(known=known, api_key="right") as server:
        for key, is_right in (("right", True), ("wrong", False)):
            backend = OpenAIBackend("stub-model", server.base_url, api_key=key)
            if is_right:
                await backend.generate(CHAT, SamplingParams(), [0])
            else:
                with pytest.raises(AuthenticationError):
                    await backend.generate(CHAT, SamplingParams(), [0])
            await backend.aclose()


@pytest.mark.parametrize("path", ["chat/completions", "responses", "messages"])
def test_serve_answers_by_it(known: KnownServer, path: str):
    asked: dict[str, Any] = {
        "chat/completions": {"messages": CHAT, "max_tokens": 50, "stop": ["END"]},
        "responses": {"input": "What is 2 + 2?", "max_output_tokens": 50},
        "messages": {"messages": CHAT, "max_tokens": 50},
    }[path]
    with KnownServerStub(known=known) as server:
        upstream = {"model": "stub-model", "base_url": server.base_url}
        with running({"careful": {"upstreams": [upstream], "k": 3}}) as serving:
            reply = httpx.post(f"{serving.base_url}/{path}", json={"model": "careful", **asked}, timeout=30)
    assert reply.status_code == 200, reply.text
    assert ANSWER in reply.text.replace("\\\\", "\\")
    told = reply.json()["sampleset"]["usage"]["sampling"]
    assert (told["calls"], told["uncounted"]) == (3, 0)
