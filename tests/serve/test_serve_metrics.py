"""What is counted, and that nothing is left out of it."""

from __future__ import annotations

import threading
import time

import httpx

from sampleset.serve.metrics import Metrics
from support.running import Running, Upstream, alias, running
from support.stub_server import StubServer

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


def ask(server: Running) -> httpx.Response:
    return httpx.post(f"{server.base_url}/chat/completions", json=QUESTION, timeout=30)


def lines(server: Running) -> list[str]:
    return httpx.get(f"{server.url}/metrics").text.splitlines()


def test_a_counter_is_told_in_all_its_digits():
    metrics = Metrics()
    metrics.add("tokens", 123_456_789, model="careful")
    metrics.add("tokens", model="careful")
    assert 'sampleset_tokens_total{model="careful"} 123456790' in metrics.text(0, 0).splitlines()


def test_draws_of_a_request_that_fails_are_counted():
    with (
        StubServer(script=["500", "429"]) as upstream,
        running({"careful": alias(upstream, k=3, quorum=3, max_retries=0)}) as server,
    ):
        assert ask(server).status_code == 502
        told = lines(server)
    assert 'sampleset_samples_total{model="stub-model",outcome="returned"} 1' in told
    assert 'sampleset_samples_total{model="stub-model",outcome="failed"} 2' in told


def test_draws_of_a_client_that_leaves_are_counted():
    with Upstream() as upstream, running({"careful": alias(upstream, k=3)}) as server:
        upstream.says = lambda request: "hang" if request["seed"] == 2 else "\\boxed{4}"
        body = {**QUESTION, "seed": 0, "stream": True, "sampleset": {"progress": True}}
        with httpx.stream("POST", f"{server.base_url}/chat/completions", json=body, timeout=20) as reply:
            told = (line for line in reply.iter_lines() if '"event": "sample"' in line)
            next(told)
            next(told)
        counted = 'sampleset_samples_total{model="stub-model",outcome="returned"} 2'
        end = time.monotonic() + 10
        while counted not in lines(server):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert "sampleset_cancelled_total 1" in lines(server)


def test_requests_that_are_turned_away_are_counted():
    with (
        StubServer(latency=1) as upstream,
        running({"careful": alias(upstream)}, max_concurrent=1, max_queue=0) as server,
    ):
        first = threading.Thread(target=ask, args=(server,))
        first.start()
        while not upstream.requests:
            time.sleep(0.01)
        assert ask(server).status_code == 429
        first.join()
        assert 'sampleset_requests_total{model="careful",status="429"} 1' in lines(server)
