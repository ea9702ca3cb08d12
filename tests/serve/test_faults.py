"""Upstreams fail in every way, clients leave, limits are reached: nobody waits for ever, nothing leaks."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import threading
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.serve.config import serve_config
from sampleset.serve.limits import read_keys
from sampleset.storage.files import write_rows
from support.running import Running, Upstream, alias, running
from support.stub_server import FAULTS, Reply, StubServer, error_reply

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


def ask(server: Running, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    return httpx.post(
        f"{server.base_url}/chat/completions", json={**QUESTION, **more}, headers=headers, timeout=30
    )


def metric(server: Running, name: str) -> float:
    lines = [line for line in httpx.get(f"{server.url}/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_draw_that_fails_is_drawn_again(fault: str):
    with StubServer(script=[fault]) as upstream:
        with running({"careful": alias(upstream, k=3, timeout=0.5)}) as server:
            reply = ask(server)
        assert reply.status_code == 200
        assert reply.json()["choices"][0]["sampleset"]["draws"]["returned"] == 3
        assert len(upstream.requests) == 4


def test_a_draw_that_keeps_failing_abstains():
    with (
        StubServer(script=["500"]) as upstream,
        running({"careful": alias(upstream, k=3, max_retries=0)}) as server,
    ):
        draws = ask(server).json()["choices"][0]["sampleset"]["draws"]
    assert (draws["returned"], draws["failed"]) == (2, {"status 500": 1})


def test_below_the_quorum_the_error_says_what_happened():
    with (
        StubServer(script=["500", "reset"]) as upstream,
        running({"careful": alias(upstream, k=3, quorum=2, max_retries=0)}) as server,
    ):
        reply = ask(server)
    assert reply.status_code == 502
    error = reply.json()["error"]
    assert error["code"] == "too_few_samples"
    assert "1 of 3 samples came back, 2 are needed" in error["message"]
    assert "1 time status 500" in error["message"]


def test_an_upstream_that_asks_for_a_long_wait_is_taken_at_its_word_and_the_client_hears_it():
    with Upstream(says=lambda request: error_reply(429, "Per day", retry_after="7200")) as upstream:
        with running({"careful": alias(upstream, k=3)}) as server:
            started = time.monotonic()
            reply = ask(server)
        assert (reply.status_code, reply.headers["retry-after"]) == (502, "7200")
        assert "3 times status 429" in reply.json()["error"]["message"]
        assert time.monotonic() - started < 10


def test_at_the_deadline_what_is_there_has_to_do():
    with Upstream() as upstream:
        said = cycle(["\\boxed{4}", "\\boxed{4}", "hang"])
        upstream.says = lambda request: next(said)
        with running({"careful": alias(upstream, k=3, deadline=0.5)}) as server:
            started = time.monotonic()
            draws = ask(server).json()["choices"][0]["sampleset"]["draws"]
            assert time.monotonic() - started < 2
            assert (draws["returned"], draws["failed"]) == (2, {"the deadline of 0.5 s passed": 1})
            upstream.says = lambda request: "hang"
            assert ask(server).status_code == 504


def test_a_slow_draw_is_hedged():
    with Upstream() as upstream:
        said = cycle(["hang", "\\boxed{4}"])
        upstream.says = lambda request: next(said)
        with running({"careful": alias(upstream, k=1, hedge_after=0.2)}) as server:
            draws = ask(server, seed=7).json()["choices"][0]["sampleset"]["draws"]
        assert (draws["returned"], draws["hedges"], draws["cancelled"]) == (1, 1, 1)
        assert [one["seed"] for one in upstream.requests] == [7, 7]


def test_a_stopping_rule_spares_draws():
    with Upstream() as upstream, running({"careful": alias(upstream, k=16, stop="beta:0.9")}) as server:
        draws = ask(server).json()["choices"][0]["sampleset"]["draws"]
        assert (draws["returned"], draws["stopped"]) == (3, "beta:0.9")
        assert (
            ask(server, sampleset={"stop": "none"}).json()["choices"][0]["sampleset"]["draws"]["returned"]
            == 16
        )


def test_one_upstream_may_fail_altogether():
    with Upstream() as good, StubServer(api_key="other") as bad:
        both = [{"model": "stub-model", "base_url": one.base_url} for one in (good, bad)]
        with running({"careful": {"upstreams": both, "k": 4}}) as server:
            draws = ask(server).json()["choices"][0]["sampleset"]["draws"]
    assert (draws["returned"], draws["failed"]) == (2, {"status 401": 2})


def test_an_aggregator_that_fails_leaves_it_to_the_vote(caplog: pytest.LogCaptureFixture):
    with Upstream() as upstream, StubServer(script=["500"] * 9) as reader:
        said = cycle(["\\boxed{4}", "\\boxed{5}", "\\boxed{4}"])
        upstream.says = lambda request: next(said)
        model = {"model": "stub-model", "base_url": reader.base_url}
        careful = alias(upstream, k=3, aggregator="llm_aggregator", aggregator_model=model, max_retries=0)
        with running({"careful": careful}) as server:
            told = ask(server).json()["choices"][0]["sampleset"]
    assert told["answer"] == "4"
    assert "aggregator_failed" in told["flags"]
    assert "The aggregator llm_aggregator failed (status 500, at " in caplog.text
    assert "the vote answers" in caplog.text


def test_auto_asks_a_replayed_reader_of_another_file(tmp_path: Path):
    """A reader's prompt ends in the beginning of its reply; the question stands before it."""
    question = "What is 2 + 2?"
    files = {"small": ["\\boxed{4}", "\\boxed{5}"], "large": ["<answer>\\boxed{4}</answer>"]}
    for name, texts in files.items():
        samples = [{"text": text} for text in texts]
        write_rows(tmp_path / f"{name}.jsonl", [{"id": "q", "question": question, "samples": samples}])
    reader = f"llm_aggregator[mode=direct,model=replay:{tmp_path / 'large.jsonl'}]"
    settings = {
        "upstreams": [{"model": f"replay:{tmp_path / 'small.jsonl'}"}],
        "k": 2,
        "aggregator": f"auto:reader={reader}",
    }
    with running({"careful": settings}) as server:
        told = ask(server).json()["choices"][0]["sampleset"]
    assert told["explanation"]["method"] == "reader"
    assert "aggregator_failed" not in told["flags"]


def test_an_aggregator_reads_the_conversation_and_words_a_new_answer():
    with Upstream() as upstream, Upstream() as reader:
        upstream.says = lambda request: f"\\boxed{{{request['seed']}}}"
        reader.says = lambda request: "They all err.</think>\n<answer>42</answer>"
        model = {"model": "stub-model", "base_url": reader.base_url}
        careful = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=model)
        messages = [
            {"role": "user", "content": "Think of a number."},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "Which one?"},
        ]
        with running({"careful": careful}, keep_runs=1) as server:
            reply = ask(server, messages=messages, seed=1).json()
            run = httpx.get(f"{server.base_url}/runs/{reply['sampleset']['run']}").json()
    message = reply["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("42", "They all err.")
    asked = reader.requests[0]["messages"][-1]["content"]
    assert "User: Think of a number." in asked
    assert "The message to answer:\n\nWhich one?" in asked
    assert reply["usage"]["prompt_tokens"] == 30
    assert reply["sampleset"]["usage"]["aggregation"]["calls"] == 1
    (read,) = [one for one in run["events"] if one["event"] == "read"]
    assert "They all err" not in read["prompts"][0]
    assert "Which one?" in read["prompts"][0]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_everything_within_a_second(stream: bool):
    with StubServer(latency=30) as upstream, running({"careful": alias(upstream, k=5)}) as server:
        body = json.dumps({**QUESTION, "stream": stream}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + body)
            until(lambda: len(upstream.requests) == 5)
        left = time.monotonic()
        until(lambda: upstream.abandoned == 5)
        assert time.monotonic() - left < 1
        until(lambda: metric(server, 'sampleset_requests_total{model="careful",status="499"}') == 1)
        assert metric(server, "sampleset_requests_active") == 0


def until(met: Any) -> None:
    end = time.monotonic() + 10
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_stream_opens_at_once_and_is_kept_alive():
    go = threading.Event()

    def says(request: dict[str, Any]) -> str:
        go.wait(30)
        return "\\boxed{4}"

    with Upstream(says=says) as upstream, running({"careful": alias(upstream)}, keep_alive=0.05) as server:
        url = f"{server.base_url}/chat/completions"
        with httpx.stream("POST", url, json=QUESTION | {"stream": True}, timeout=30) as reply:
            lines = reply.iter_lines()
            comments = 0
            while comments < 4:
                comments += next(lines).startswith(":")
            go.set()  # nothing was answered before
            assert list(lines)[-2:] == ["data: [DONE]", ""]


def test_more_requests_than_the_queue_holds_are_told_when_to_return():
    replies: list[httpx.Response] = []
    with (
        StubServer(latency=2.0) as upstream,
        running({"careful": alias(upstream)}, max_concurrent=1, max_queue=1) as server,
    ):
        threads = [threading.Thread(target=lambda: replies.append(ask(server))) for _ in range(4)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
    assert sorted(one.status_code for one in replies) == [200, 200, 429, 429]
    turned_away = next(one for one in replies if one.status_code == 429)
    assert int(turned_away.headers["retry-after"]) >= 1
    assert turned_away.json()["error"]["code"] == "queue_full"


def test_bodies_are_limited_and_must_be_json():
    with Upstream() as upstream, running({"careful": alias(upstream)}, max_body_bytes=1000) as server:
        url = f"{server.base_url}/chat/completions"
        assert ask(server, user="x" * 1000).status_code == 413
        chunks = (b"x" * 100 for _ in range(20))
        assert httpx.post(url, content=chunks).status_code == 413
        for body in (b"{", b"[1]", b"\xff", b"[" * 900, b'{"model": NaN}', b""):
            reply = httpx.post(url, content=body)
            assert reply.status_code == 400
            assert reply.json()["error"]["type"] == "invalid_request_error"
        assert httpx.get(url).status_code == 405
        assert httpx.get(f"{server.base_url}/nothing").json()["error"]["message"]


def test_tokens_of_a_request_are_limited():
    with Upstream() as upstream:
        with running({"careful": alias(upstream, k=4, max_request_tokens=400)}) as server:
            assert ask(server, max_tokens=101).status_code == 400
            assert ask(server, max_tokens=100).status_code == 200
            assert ask(server).status_code == 200
        assert upstream.requests[-1]["max_tokens"] == 100


def test_a_key_is_asked_for_where_there_are_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keys = tmp_path / "keys"
    keys.write_text("\ufeffkey-jim\n# of ann\nkey-ann\n", "utf-8")  # as editors of Windows begin a file
    monkeypatch.setenv("SAMPLESET_API_KEYS", "key-bob, key-eve")
    with Upstream() as upstream, running({"careful": alias(upstream)}, api_keys_file=str(keys)) as server:
        for key, status in (("key-jim", 200), ("key-ann", 200), ("key-eve", 200), ("key", 401), ("-", 401)):
            assert ask(server, {"Authorization": f"Bearer {key}"}).status_code == status
        assert ask(server).json()["error"]["code"] == "invalid_api_key"
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        assert httpx.get(f"{server.url}/health").json()["status"] == "ok"


def test_pages_of_other_sites_may_not_ask():
    with (
        Upstream() as upstream,
        running({"careful": alias(upstream)}, allow_origins=["https://ui.test"]) as server,
    ):
        assert ask(server, {"Origin": server.url}).status_code == 200
        assert ask(server, {"Origin": "https://evil.test"}).status_code == 403
        assert ask(server, {"Host": "evil.test"}).status_code == 403
        allowed = ask(server, {"Origin": "https://ui.test"})
        assert allowed.headers["access-control-allow-origin"] == "https://ui.test"
        asked_before = httpx.options(f"{server.base_url}/models", headers={"Origin": "https://ui.test"})
        assert asked_before.status_code == 204


def test_neither_keys_nor_prompts_reach_logs_or_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("THE_KEY", "sk-upstream-secret")
    caplog.set_level(logging.DEBUG)

    def says(request: dict[str, Any]) -> Reply:
        error = {"error": {"message": "No: sk-upstream-secret, What is 2 + 2?", "type": "x"}}
        return Reply(503 if request["seed"] % 2 else 401, error)

    with Upstream(says=says) as upstream:
        secret = {"model": "stub-model", "base_url": upstream.base_url, "api_key_env": "THE_KEY"}
        with running({"careful": {"upstreams": [secret], "max_retries": 0}}) as server:
            reply = ask(server)
        assert set(upstream.keys) == {"sk-upstream-secret"}
    told = reply.text + caplog.text
    assert reply.status_code == 502
    assert "secret" not in told
    assert "2 + 2" not in told


def test_a_fault_of_our_own_is_logged_by_place_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(raw: bytes, **_: bool) -> None:
        raise KeyError("a prompt")

    monkeypatch.setattr("sampleset.backends.openai.read_completion", broken)
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        reply = ask(server)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")
    assert "KeyError at" in caplog.text
    assert "a prompt" not in caplog.text + reply.text


def test_no_redirect_is_followed_and_no_image_is_fetched():
    with Upstream() as elsewhere, Upstream() as upstream:
        image = {"type": "image_url", "image_url": {"url": f"{elsewhere.base_url}/secret.png"}}
        upstream.says = lambda request: Reply(307, {}, {"location": f"{elsewhere.base_url}/chat/completions"})
        with running({"careful": alias(upstream, max_retries=0)}) as server:
            reply = ask(server, messages=[{"role": "user", "content": [image]}])
        assert reply.status_code == 502
        assert elsewhere.connections == 0


def test_a_server_that_stops_ends_what_it_has_begun():
    with StubServer(latency=0.7) as upstream, running({"careful": alias(upstream)}) as server:
        replies: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: replies.append(ask(server)))
        thread.start()
        until(lambda: len(upstream.requests) == 5)
        server.stop()
        until(lambda: not can_connect(server.port))
        thread.join()
    assert replies[0].status_code == 200


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_runs_are_kept_only_if_configured(tmp_path: Path):
    with Upstream() as upstream:
        with running({"careful": alias(upstream)}) as server:
            assert "run" not in ask(server).json()["sampleset"]
        with running({"careful": alias(upstream)}, keep_runs=2, runs_folder=str(tmp_path)) as server:
            names = [ask(server).json()["sampleset"]["run"] for _ in range(3)]
            found = [httpx.get(f"{server.base_url}/runs/{name}").status_code for name in names]
            assert found == [404, 200, 200]
            assert httpx.get(f"{server.base_url}/runs/..%2F..%2Fetc").status_code == 404
            assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_cannot_be_stored_is_answered_all_the_same(
    stream: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "runs"
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with (
        Upstream() as upstream,
        running({"careful": alias(upstream)}, keep_runs=2, runs_folder=str(folder)) as server,
    ):
        assert '"run": "' in ask(server, **more).text
        shutil.rmtree(folder)
        reply = ask(server, **more)
    assert reply.status_code == 200
    assert "boxed{4}" in reply.text
    assert '"usage": {' in reply.text
    assert '"run"' not in reply.text
    assert "FileNotFoundError at" in caplog.text


def test_costs_are_told_by_stage(tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: USD\nmodels:\n  stub-model: {prompt: 1, completion: 2}\n")
    with Upstream() as upstream, running({"careful": alias(upstream, k=2)}, prices=str(prices)) as server:
        cost = ask(server).json()["sampleset"]["cost"]
    assert cost == {
        "currency": "USD",
        "sampling": pytest.approx(4e-5),
        "aggregation": 0.0,
        "total": pytest.approx(4e-5),
    }


UPSTREAM = {"upstreams": [{"model": "m", "base_url": "http://localhost:1/v1"}]}


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        pytest.param({}, DataError, "models", id="no models"),
        pytest.param({"models": {"a": {}}}, DataError, "upstreams", id="no upstreams"),
        pytest.param({"models": {"a": UPSTREAM}, "prot": 1}, DataError, "'port'", id="unknown key"),
        pytest.param({"models": {"a": {**UPSTREAM, "k": "5"}}}, DataError, "k='5'", id="type"),
        pytest.param({"models": {"a": {**UPSTREAM, "k": True}}}, DataError, "k=True", id="flag as a number"),
        pytest.param({"models": {"a": {**UPSTREAM, "k": 99}}}, InvalidArgumentError, "max_k", id="range"),
        pytest.param(
            {"models": {"a": {**UPSTREAM, "aggregator": "vote"}}}, InvalidArgumentError, "vote", id="name"
        ),
        pytest.param({"models": {"a": UPSTREAM}, "port": 70000}, InvalidArgumentError, "port", id="port"),
    ],
)
def test_a_configuration_that_does_not_do_says_why(given: dict, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        serve_config(given)


def test_an_address_that_others_reach_needs_keys():
    with pytest.raises(InvalidArgumentError, match="open_to_all"):
        read_keys(serve_config({"models": {"a": UPSTREAM}, "host": "0.0.0.0"}))
    assert not read_keys(serve_config({"models": {"a": UPSTREAM}, "host": "0.0.0.0", "open_to_all": True}))


async def test_nothing_is_left_when_thirty_percent_fail():
    kinds = ("429", "500", "reset", "truncated", "empty", "hang")
    with StubServer(fail_rate=0.3, fail_kinds=kinds, seed=1) as upstream:
        with running({"careful": alias(upstream, k=4, timeout=0.3, hedge_after=0.15)}) as server:
            async with httpx.AsyncClient(timeout=30) as client:
                replies = await asyncio.gather(
                    *(client.post(f"{server.base_url}/chat/completions", json=QUESTION) for _ in range(40))
                )
            assert [one.status_code for one in replies] == [200] * 40
            assert metric(server, "sampleset_requests_active") == 0
        until(lambda: not upstream._clients)
