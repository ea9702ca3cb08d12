"""Pools in `serve`: roles, temperatures and weights; the vote in place of the aggregator; caps."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.serve.config import serve_config
from sampleset.serve.members import in_role
from support.running import Upstream, alias, running

QUESTION = [{"role": "user", "content": "2 + 2?"}]


def ask(url: str, messages: Any = None, **more: Any) -> httpx.Response:
    body = {"model": "m", "messages": messages or QUESTION, **more}
    return httpx.post(f"{url}/chat/completions", json=body, timeout=30)


def pool(upstream: Upstream, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    own = [{"model": "stub-model", "base_url": upstream.base_url, **entry} for entry in entries]
    return {"m": {"upstreams": own, **more}}


def by_role(request: dict[str, Any]) -> str:
    first = request["messages"][0]
    return "\\boxed{7}" if first["role"] == "system" and "bold" in first["content"] else "\\boxed{4}"


def test_each_upstream_draws_its_count_in_its_role_at_its_temperature():
    with (
        Upstream() as upstream,
        running(pool(upstream, {"count": 2}, {"system": "Be bold.", "temperature": 1.5})) as server,
    ):
        assert ask(server.base_url, temperature=0.5).status_code == 200
    seen = sorted((one["temperature"], len(one["messages"])) for one in upstream.requests)
    assert seen == [(0.5, 1), (0.5, 1), (1.5, 2)]
    (bold,) = [one for one in upstream.requests if len(one["messages"]) == 2]
    assert bold["messages"] == [{"role": "system", "content": "Be bold."}, *QUESTION]


def test_an_upstream_has_its_own_top_k_and_fields_that_it_is_never_sent():
    entries = {"count": 2, "omit": ["temperature"]}, {"top_k": 5}
    with Upstream() as upstream, running(pool(upstream, *entries)) as server:
        assert ask(server.base_url, temperature=0.5).status_code == 200
    seen = [(request.get("temperature"), request.get("top_k")) for request in upstream.requests]
    assert sorted(seen, key=str) == [(0.5, 5), (None, None), (None, None)]


@pytest.mark.parametrize(
    ("weight", "answer"),
    [pytest.param(5.0, "7", id="heavy"), pytest.param(0.5, "4", id="light")],
)
def test_weights_are_read_by_the_weighted_vote(weight: float, answer: str):
    entries = {"count": 2, "weight": 1.0}, {"system": "Be bold.", "weight": weight}
    with (
        Upstream(says=by_role) as upstream,
        running(pool(upstream, *entries, aggregator="weighted_vote:by=weight")) as server,
    ):
        assert ask(server.base_url).json()["choices"][0]["sampleset"]["answer"] == answer


def test_a_role_goes_before_the_clients_own_system_message():
    theirs = {"role": "developer", "content": "Use metres."}
    assert in_role([theirs, *QUESTION], "Be bold.") == [
        {"role": "developer", "content": "Be bold.\n\nUse metres."},
        *QUESTION,
    ]
    parts = [{"type": "text", "text": "Use metres."}]
    assert in_role([{"role": "system", "content": parts}], "Be bold.") == [
        {"role": "system", "content": [{"type": "text", "text": "Be bold."}, *parts]}
    ]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        pytest.param({"upstreams": [{"model": "a", "temperature": -1}]}, "temperature=-1", id="temperature"),
        pytest.param({"upstreams": [{"model": "a", "weight": float("inf")}]}, "finite", id="weight"),
        pytest.param({"settled_by_vote": True}, "needs the rule", id="no rule"),
        pytest.param({"max_total_tokens": 100}, "give max_tokens", id="no worst case"),
        pytest.param({"max_total_tokens": 0, "max_tokens": 5}, "tokens=0", id="cap of 0"),
        pytest.param({"max_cost": 1.0, "max_tokens": 5}, "give prices", id="no prices"),
    ],
)
def test_settings_out_of_range_are_refused(config: dict[str, Any], says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        serve_config({"models": {"m": {"upstreams": [{"model": "a"}], **config}}})


def test_a_reader_plays_no_role():
    config = {"upstreams": [{"model": "a"}], "aggregator_model": {"model": "b", "system": "Be bold."}}
    with pytest.raises(DataError, match="the rest is of those that sample"):
        serve_config({"models": {"m": config}})


def reader(request: dict[str, Any]) -> str:
    """Says 9 where it is asked to aggregate."""
    return "<answer>9</answer>" if "proposed answers" in json.dumps(request) else by_role(request)


def test_an_aggregator_is_not_asked_where_the_vote_is_settled():
    settings = {"aggregator": "llm_aggregator:mode=direct", "stop": "esc:2", "settled_by_vote": True}
    with Upstream(says=reader) as upstream, running({"m": alias(upstream, k=4, **settings)}) as server:
        told = ask(server.base_url).json()["choices"][0]["sampleset"]
        asked = ask(server.base_url, sampleset={"settled_by_vote": False}).json()["choices"][0]["sampleset"]
        refused = ask(server.base_url, sampleset={"settled_by_vote": True, "stop": "none"})
    assert (told["answer"], told["draws"]["stopped"]) == ("4", "esc:2")
    assert "settled_by_vote" in told["flags"]
    assert asked["answer"] == "9"
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "sampleset.settled_by_vote")


def test_an_aggregator_is_asked_where_the_samples_do_not_settle_it():
    entries = {}, {"system": "Be bold."}
    settings = {"aggregator": "llm_aggregator:mode=direct", "stop": "esc:2", "settled_by_vote": True}
    with Upstream(says=reader) as upstream, running(pool(upstream, *entries, k=2, **settings)) as server:
        told = ask(server.base_url).json()["choices"][0]["sampleset"]
    assert told["answer"] == "9"
    assert "settled_by_vote" not in told["flags"]


def test_a_cap_in_tokens_cuts_the_samples_short_and_is_not_passed():
    # The stub bills 15 tokens a call; the worst case of one is its bytes, 128 and max_tokens.
    with (
        Upstream() as upstream,
        running({"m": alias(upstream, k=20, max_tokens=300, max_total_tokens=700)}) as server,
    ):
        reply = ask(server.base_url).json()
    draws = reply["choices"][0]["sampleset"]["draws"]
    assert 1 <= draws["returned"] == len(upstream.requests) < 20
    assert draws["failed"] == {"cap reached": 20 - draws["returned"]}
    assert reply["usage"]["total_tokens"] == 15 * draws["returned"] <= 700


def test_a_cap_that_no_sample_fits_is_told_and_nothing_is_asked():
    with (
        Upstream() as upstream,
        running({"m": alias(upstream, k=3, max_tokens=300, max_total_tokens=300)}) as server,
    ):
        refused = ask(server.base_url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "cap_reached")
    assert upstream.requests == []


def test_the_vote_answers_where_a_cap_leaves_no_room_for_the_aggregator():
    entries = {}, {"system": "Be bold."}
    settings = {"aggregator": "llm_aggregator:mode=direct", "max_tokens": 50, "max_total_tokens": 600}
    with Upstream(says=reader) as upstream, running(pool(upstream, *entries, k=2, **settings)) as server:
        told = ask(server.base_url).json()["choices"][0]["sampleset"]
    assert "cap_reached" in told["flags"]
    assert len(upstream.requests) == 2


def test_a_cap_in_money_goes_by_the_price_file(tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: USD\nmodels:\n  stub-model: {prompt: 1000000, completion: 1000000}\n")
    settings = {"k": 3, "max_tokens": 300, "max_cost": 300.0, "aggregator": "majority_vote"}
    with Upstream() as upstream, running({"m": alias(upstream, **settings)}, prices=str(prices)) as server:
        assert ask(server.base_url).json()["error"]["code"] == "cap_reached"
    prices.write_text("currency: USD\nmodels:\n  another: {prompt: 1, completion: 1}\n")
    with (
        Upstream() as upstream,
        pytest.raises(DataError, match="'stub-model'"),
        running({"m": alias(upstream, **settings)}, prices=str(prices)),
    ):
        pass


def test_images_are_refused_under_a_cap():
    content = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]
    with (
        Upstream() as upstream,
        running({"m": alias(upstream, max_tokens=9, max_total_tokens=900)}) as server,
    ):
        refused = ask(server.base_url, [{"role": "user", "content": content}])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_content")


def test_the_share_of_a_request_leaves_room_for_second_draws():
    settings = {"k": 5, "max_request_tokens": 50}
    with (
        Upstream() as upstream,
        running(
            {"m": alias(upstream, **settings), "h": alias(upstream, hedge_after=9.0, **settings)}
        ) as server,
    ):
        ask(server.base_url)
        ask(server.base_url, model="h")
        assert ask(server.base_url, sampleset={"k": 30}).status_code == 200
        refused = ask(server.base_url, model="h", sampleset={"k": 30})
    limits = [one["max_tokens"] for one in upstream.requests]
    assert limits == [10] * 5 + [5] * 5 + [1] * 30
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "sampleset.k")


def test_an_answer_below_min_confidence_is_withheld():
    settings = {"k": 4, "min_confidence": 0.75, "withheld_text": "Please ask a person."}
    with Upstream() as upstream, running({"m": alias(upstream, **settings)}) as server:
        upstream.says = lambda request: rf"\boxed{{{request['seed'] % 2}}}"
        split = ask(server.base_url).json()["choices"][0]
        upstream.says = lambda request: r"\boxed{1}"
        sure = ask(server.base_url).json()["choices"][0]
    assert split["message"]["content"] == "Please ask a person."
    told = split["sampleset"]
    assert (told["answer"], told["confidence"], told["chosen"]) == (None, 0.5, None)
    assert "low_confidence" in told["flags"]
    assert len(told["candidates"]) == 2
    assert (sure["sampleset"]["answer"], sure["message"]["content"]) == ("1", r"\boxed{1}")


def test_a_header_says_that_an_answer_is_withheld():
    with Upstream() as upstream, running({"m": alias(upstream, k=4)}) as server:
        upstream.says = lambda request: rf"\boxed{{{request['seed'] % 2}}}"
        split = ask(server.base_url, sampleset={"min_confidence": 0.75})
        free = ask(server.base_url)
        with httpx.Client(base_url=server.base_url) as client:
            asked = {"model": "m", "max_tokens": 9, "sampleset": {"min_confidence": 0.75}}
            other = client.post("/messages", json={**asked, "messages": [{"role": "user", "content": "?"}]})
        upstream.says = lambda request: r"\boxed{1}"
        sure = ask(server.base_url, sampleset={"min_confidence": 0.75})
    assert split.headers["x-sampleset-withheld"] == "low_confidence"
    assert split.json()["choices"][0]["sampleset"]["answer"] is None
    assert other.headers["x-sampleset-withheld"] == "low_confidence"
    assert "x-sampleset-withheld" not in free.headers
    assert "x-sampleset-withheld" not in sure.headers


def test_a_request_may_ask_for_more_confidence_than_the_alias_and_not_for_less():
    with Upstream() as upstream, running({"m": alias(upstream, k=4, min_confidence=0.75)}) as server:
        upstream.says = lambda request: rf"\boxed{{{request['seed'] % 4 != 0:d}}}"
        answers = [
            ask(server.base_url, sampleset=own).json()["choices"][0]["sampleset"]["answer"]
            for own in ({}, {"min_confidence": 0.8}, {"min_confidence": 0.1})
        ]
        upstream.says = lambda request: rf"\boxed{{{request['seed'] % 2}}}"
        low = ask(server.base_url, sampleset={"min_confidence": 0.1}).json()["choices"][0]["sampleset"]
        refused = ask(server.base_url, sampleset={"min_confidence": 1.5})
    assert answers == ["1", None, "1"]
    assert low["answer"] is None
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "sampleset.min_confidence")


def test_a_stream_shows_nothing_of_an_answer_that_is_withheld():
    body = {"model": "m", "messages": [{"role": "user", "content": "1+1?"}], "stream": True}
    with Upstream() as upstream, running({"m": alias(upstream, k=4)}) as server:
        upstream.says = lambda request: rf"\boxed{{{request['seed'] % 2}}}"
        with httpx.Client(base_url=server.base_url) as client:
            reply = client.post("/chat/completions", json={**body, "sampleset": {"min_confidence": 0.75}})
    chunks = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    content = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert content == "No answer: the samples do not agree enough."
    told = chunks[-1]["choices"][0]["sampleset"]
    assert (told["answer"], told["flags"][-1]) == (None, "low_confidence")
    assert "x-sampleset-withheld" not in reply.headers


def test_an_aggregator_that_withholds_is_followed_too():
    settings = {"k": 4, "aggregator": "majority_vote:min_confidence=0.75"}
    with Upstream() as upstream, running({"m": alias(upstream, **settings)}) as server:
        upstream.says = lambda request: rf"\boxed{{{request['seed'] % 2}}}"
        choice = ask(server.base_url).json()["choices"][0]
    assert choice["message"]["content"] == "No answer: the samples do not agree enough."
    assert (choice["sampleset"]["answer"], choice["sampleset"]["flags"][-1]) == (None, "low_confidence")


def test_agents_of_two_providers_are_asked_each_on_its_server(tmp_path, monkeypatch):
    monkeypatch.setenv("SECOND_KEY", "sk-second")
    with Upstream() as first, Upstream() as second, Upstream() as sampled:
        pool_file = tmp_path / "agents.yaml"
        pool_file.write_text(
            f"pool:\n- {{model: one, base_url: {first.base_url}}}\n"
            f"- {{model: two, base_url: {second.base_url}, api_key_env: SECOND_KEY, count: 2}}\n"
        )
        settings = {"k": 2, "aggregator": f"mixture_of_agents:models={pool_file},agents=3"}
        with running({"m": alias(sampled, **settings)}) as server:
            told = ask(server.base_url).json()["choices"][0]["sampleset"]
    assert told["answer"] == "4"
    assert [request["model"] for request in first.requests] == ["one"]
    assert [request["model"] for request in second.requests] == ["two", "two"]
    assert second.keys == ["sk-second", "sk-second"]
    assert len(sampled.requests) == 3  # two samples, and the last solution
