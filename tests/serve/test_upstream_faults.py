"""The table of server faults against the server."""

from __future__ import annotations

import httpx
import pytest

from support.faults import FAULTS, ServerFault
from support.running import Running, Upstream, alias, running

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
TOLD = {
    "overflow": (400, "context_length_exceeded"),
    "refused": (400, None),
    "credit": (502, "upstream_error"),
    "key": (502, "upstream_error"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampleset.models.retries.backoff", lambda attempt, retry_after: 0.0)


def ask(server: Running) -> httpx.Response:
    return httpx.post(f"{server.base_url}/chat/completions", json=QUESTION, timeout=30)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_of_an_upstream_is_drawn_again_or_told(fault: ServerFault):
    with Upstream() as upstream, running({"careful": alias(upstream, k=3, max_retries=1)}) as server:
        replies = iter([fault.reply])
        upstream.says = lambda request: next(replies, "\\boxed{4}")
        reply = ask(server)
        told = reply.json()["choices"][0]["sampleset"]
        assert told["answer"] == "4"
        assert told["draws"]["returned"] == (3 if fault.means == "passing" else 2)
        if fault.means == "passing":
            return
        upstream.says = lambda request: fault.reply
        refused = ask(server)
    error = refused.json()["error"]
    expected = TOLD.get(fault.means, (400 if fault.reply.status >= 400 else 502, "content_filter"))
    assert (refused.status_code, error["code"]) == expected
