"""An aggregator that scores, on a server that does."""

import httpx
import pytest

from sampleset.errors import InvalidArgumentError, UnsupportedByBackendError
from support.running import alias, running
from support.stub_server import StubServer
from support.vllm_stub import VllmStub

SELECT = "llm_aggregator:mode=select"


def test_a_vllm_server_is_asked_what_it_is_where_an_aggregator_scores():
    with VllmStub() as upstream, running({"careful": alias(upstream, k=4, aggregator=SELECT)}) as server:
        body = {
            "model": "careful",
            "messages": [{"role": "user", "content": "What is 6 times 7?"}],
            "seed": 0,
        }
        reply = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=30)
        assert reply.status_code == 200
    told = reply.json()["choices"][0]["sampleset"]
    assert sum(one["probability"] for one in told["candidates"]) == pytest.approx(1)
    assert told["candidates"][told["chosen"]]["probability"] == told["confidence"]
    assert len(upstream.requests) == 4
    assert all("logprob_token_ids" in one for one in upstream.completions)
    assert upstream.completions


def test_another_server_is_refused_for_it():
    with (
        StubServer() as upstream,
        pytest.raises(UnsupportedByBackendError, match="log-probabilities of given texts"),
        running({"careful": alias(upstream, k=4, aggregator=SELECT)}),
    ):
        pass


def test_a_server_that_is_not_there_is_named_with_what_it_was_wanted_for():
    upstream = StubServer(port=1)
    with (
        pytest.raises(InvalidArgumentError, match=r"log-probabilities.*No answer from"),
        running({"careful": alias(upstream, k=4, aggregator=SELECT)}),
    ):
        pass
