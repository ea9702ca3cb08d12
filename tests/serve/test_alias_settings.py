"""What an alias leaves aside, and what its `usage` counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.errors import InvalidArgumentError
from sampleset.models.retries import Patience
from sampleset.sampling.members import Member
from sampleset.serve.config import IGNORABLE, serve_config
from sampleset.serve.members import ServedMember
from sampleset.serve.requests import parse_request
from support.running import Running, Upstream, alias, local_alias, running
from support.stub_server import Reply

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


def ask(server: Running, **more: Any) -> httpx.Response:
    return httpx.post(f"{server.base_url}/chat/completions", json={**QUESTION, **more}, timeout=30)


def test_a_model_in_the_servers_process_leaves_aside_what_its_alias_names(tmp_path: Path):
    left = ["frequency_penalty", "presence_penalty", "logprobs", "top_logprobs", "reasoning_effort"]
    asked = {
        "seed": 7,
        "stop": ["END"],
        "frequency_penalty": 0.5,
        "logprobs": True,
        "reasoning_effort": "low",
    }
    aliases = {
        "careful": local_alias(tmp_path, "What is 2 + 2?", ignore=left),
        "strict": local_alias(tmp_path, "What is 2 + 2?"),
    }
    with running(aliases) as server:
        told = ask(server, **asked)
        assert told.status_code == 200, told.text
        assert told.json()["sampleset"]["ignored"] == ["frequency_penalty", "logprobs", "reasoning_effort"]
        assert told.json()["sampleset"]["seed"] == 7
        assert "ignored" not in ask(server).json()["sampleset"]
        refused = ask(server, **{**asked, "model": "strict"}).json()["error"]
        assert (refused["param"], refused["code"]) == ("frequency_penalty", "unsupported_parameter")
        (shown, _) = httpx.get(f"{server.base_url}/models").json()["data"]
        assert shown["sampleset"]["ignores"] == left


def test_a_model_in_the_servers_process_is_told_the_stop_and_the_seed_of_a_request():
    aliases = serve_config({"models": {"careful": {"upstreams": [{"model": "embedded"}]}}}).models
    body = {**QUESTION, "stop": "END", "seed": 7}
    request, _ = parse_request(body, aliases, {"careful": "majority_vote"}, {"careful": True})
    member = ServedMember(ReplayBackend(lambda messages, seed: "x"), Member("x"), aliases["careful"], None)
    assert (member.drawer(request, Patience()).params.stop, request.seed) == (("END",), 7)


def test_what_an_alias_leaves_aside_reaches_no_upstream():
    with (
        Upstream() as upstream,
        running({"careful": alias(upstream, k=1, ignore=["user", "store", "temperature"])}) as server,
    ):
        told = ask(server, user="ann", store=True, temperature=9).json()
        assert told["sampleset"]["ignored"] == ["user", "store", "temperature"]
    assert not {"user", "store", "temperature"} & set(upstream.requests[0])


def test_a_parameter_is_left_aside_by_its_name_in_either_api(tmp_path: Path):
    aliases = {"careful": local_alias(tmp_path, "2?", ignore=["reasoning_effort", "background"])}
    with running(aliases) as server:
        body = {"model": "careful", "input": "2?", "reasoning": {"effort": "low"}, "background": True}
        told = httpx.post(f"{server.base_url}/responses", json=body).json()
    assert told["sampleset"]["ignored"] == ["background", "reasoning_effort"]


@pytest.mark.parametrize(
    "name", ["model", "messages", "input", "prompt", "stream", "sampleset", "n", "loggprobs"]
)
def test_what_makes_a_request_cannot_be_left_aside(name: str):
    assert name not in IGNORABLE
    with pytest.raises(InvalidArgumentError, match=name):
        serve_config(
            {"models": {"a": {"upstreams": [{"model": "x", "base_url": "http://a"}], "ignore": [name]}}}
        )


def counted(request: dict[str, Any]) -> Reply:
    """A reply whose completion is as long as its seed."""
    seed = request["seed"]
    details = {"cached_tokens": 3}
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": seed,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    message = {"role": "assistant", "content": f"\\boxed{{{7 if seed < 102 else 8}}}"}
    return Reply(200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


def test_usage_is_the_sum_or_the_last_reading():
    with (
        Upstream(says=counted) as upstream,
        running({"careful": alias(upstream, k=3), "short": alias(upstream, k=3, usage="last")}) as server,
    ):
        summed = ask(server, seed=100).json()
        last = ask(server, seed=100, sampleset={"usage": "last"}).json()
        by_alias = ask(server, seed=100, model="short").json()
        back = ask(server, seed=100, model="short", sampleset={"usage": "sum"}).json()
        two = ask(server, seed=100, model="short", n=2).json()
    assert summed["usage"] == back["usage"]
    assert (summed["usage"]["prompt_tokens"], summed["usage"]["completion_tokens"]) == (30, 303)
    assert last["usage"] == by_alias["usage"]
    assert last["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 100,
        "total_tokens": 110,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert last["sampleset"]["usage"] == summed["sampleset"]["usage"]
    # Two answers to one prompt: it is read once, and both completions count.
    assert (two["usage"]["prompt_tokens"], two["usage"]["completion_tokens"]) == (10, 100 + 103)


def test_the_last_reading_is_that_of_other_apis_too():
    with (
        Upstream(says=counted) as upstream,
        running({"careful": alias(upstream, k=3, usage="last")}) as server,
    ):
        body = {**QUESTION, "seed": 100, "max_tokens": 500}
        told = httpx.post(f"{server.base_url}/messages", json=body).json()["usage"]
        assert (told["input_tokens"], told["cache_read_input_tokens"], told["output_tokens"]) == (7, 3, 100)
        body = {"model": "careful", "input": "2?", "seed": 100}
        assert httpx.post(f"{server.base_url}/responses", json=body).json()["usage"]["total_tokens"] == 110


def test_an_unknown_kind_of_usage_is_refused():
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        refused = ask(server, sampleset={"usage": "mean"}).json()["error"]
    assert refused["param"] == "sampleset.usage"
