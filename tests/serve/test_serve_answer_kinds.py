"""Votes and the chosen message follow the kind of the answers that an alias or a request names."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from sampleset.errors import InvalidArgumentError
from sampleset.serve.config import serve_config
from support.running import Running, Upstream, alias, call, running
from support.stub_server import Reply

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def ask(server: Running, **more: Any) -> httpx.Response:
    body = {"model": "careful", "messages": [{"role": "user", "content": "Which?"}], **more}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=30)


def say(upstream: Upstream, *said: Any) -> None:
    replies = cycle(said)
    upstream.says = lambda request: next(replies)


@pytest.mark.parametrize(
    ("kind", "said", "answer", "votes"),
    [
        pytest.param("text", ["Answer: Paris", "Answer: Lyon", "Answer: PARIS"], "Paris", [1, 2], id="text"),
        pytest.param("text:exact", ["Answer: Lyon"] * 2 + ["Answer: LYON"], "Lyon", [1, 2], id="exact text"),
        pytest.param("choice", ["(B)", "I choose option A.", "The answer is B."], "B", [1, 2], id="choice"),
        pytest.param(
            "json:city", ['{"city": "Oslo", "n": 1}', '{"n": 2, "city": "Oslo"}', "{}"], None, [1, 2]
        ),
        pytest.param("number:1%", ["299792", "It is 300000.", "280000"], "299792", [1, 2], id="number"),
    ],
)
def test_the_vote_follows_the_kind_of_the_request(
    kind: str, said: list[str], answer: str | None, votes: list
):
    with Upstream() as upstream, running({"careful": alias(upstream, k=3)}) as server:
        say(upstream, *said)
        told = ask(server, sampleset={"answer_kind": kind}).json()["choices"][0]["sampleset"]
    assert sorted(one["votes"] for one in told["candidates"]) == votes
    assert told["agreement"] == pytest.approx(2 / 3)
    assert answer is None or told["answer"] == answer


@pytest.mark.parametrize(
    ("kind", "samples", "decided", "sample"),
    [
        pytest.param("text", ["Answer: Rome", "Answer:  New\tYork"], "NEW YORK", 1, id="text"),
        pytest.param("choice", ["Option A.", "The answer is (B)."], "B. mitosis", 1, id="choice"),
        pytest.param("json", ['{"a": 1}', '{"a": 2, "b": 3}'], '{"b": 3.0, "a": 2}', 1, id="json"),
    ],
)
def test_what_an_aggregator_decides_is_found_among_the_samples_by_the_kind(
    kind: str, samples: list[str], decided: str, sample: int
):
    with Upstream() as upstream, Upstream() as reader:
        upstream.says = lambda request: samples[request["seed"]]
        reader.says = lambda request: f"So.</think>\n<answer>{decided}</answer>"
        model = {"model": "stub-model", "base_url": reader.base_url}
        own = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=model, answer_kind=kind)
        with running({"careful": own}) as server:
            choice = ask(server, seed=0).json()["choices"][0]
    told = choice["sampleset"]
    assert told["candidates"][told["chosen"]]["indices"] == [sample]
    assert choice["message"]["content"] == samples[sample]


def test_equal_as_maths_is_not_equal_as_text():
    with Upstream() as upstream, running({"careful": alias(upstream, k=3, answer_kind="text")}) as server:
        say(upstream, "Answer: 1/2", "Answer: 0.5", "Answer: 1/2")
        told = ask(server).json()["choices"][0]["sampleset"]
        as_maths = ask(server, sampleset={"answer_kind": "maths"}).json()["choices"][0]["sampleset"]
    assert sorted(one["votes"] for one in told["candidates"]) == [1, 2]
    assert [one["votes"] for one in as_maths["candidates"]] == [3]


def test_samples_are_named_rightly_where_some_call_a_tool():
    with Upstream() as upstream, running({"careful": alias(upstream, k=3)}) as server:
        said = [call("weather", "{}"), "So \\boxed{4}.", "It is \\boxed{4}."]
        upstream.says = lambda request: said[request["seed"]]
        told = ask(server, seed=0, tools=TOOLS).json()["choices"][0]["sampleset"]
    assert told["candidates"] == [{"answer": "4", "votes": 2, "indices": [1, 2]}]


def test_json_is_voted_on_by_value_where_most_samples_call_no_tool():
    own = {
        "sampleset": {"k": 6, "progress": True, "samples": True},
        "response_format": {"type": "json_object"},
    }
    said = [
        call("weather", "{}"),
        '{"sum": 5}',
        '{"sum": 4, "of": [2, 2]}',
        "It is \\boxed{5}.",
        '{"of": [2.0, 2.0], "sum": 4}',
        call("weather", "{}"),
    ]
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        upstream.says = lambda request: said[request["seed"]]
        choice = ask(server, seed=0, tools=TOOLS, **own).json()["choices"][0]
        told = ask(server, seed=0, tools=TOOLS, stream=True, **own).text
    assert choice["message"]["content"] == '{"sum": 4, "of": [2, 2]}'
    assert choice["sampleset"]["candidates"] == [
        {"answer": '{"sum": 5}', "votes": 1, "indices": [1]},
        {"answer": '{"of": [2, 2], "sum": 4}', "votes": 2, "indices": [2, 4]},
    ]
    events = [
        json.loads(line[6:]).get("sampleset", {}) for line in told.splitlines() if line[:7] == "data: {"
    ]
    *_, last = [one for one in events if one.get("event") == "vote"]
    assert [(one["answer"], one["votes"]) for one in last["candidates"]] == [
        ('{"of": [2, 2], "sum": 4}', 2),
        ('{"sum": 5}', 1),
    ]
    assert (last["answers"]["0"], last["answers"]["1"], last["answers"]["3"]) == (
        "weather({})",
        '{"sum": 5}',
        None,
    )


@pytest.mark.parametrize("kind", ["code", "judge", "poem", "json:"])
def test_kinds_that_run_programs_or_ask_or_are_not_there_are_refused(kind: str):
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        reply = ask(server, sampleset={"answer_kind": kind})
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "sampleset.answer_kind"
        assert not upstream.requests
    with pytest.raises(InvalidArgumentError):
        serve_config({"models": {"careful": {"upstreams": [{"model": "m"}], "answer_kind": kind}}})


POEMS = ["<answer>a calm sea</answer>", "<answer>the ocean is still</answer>", "<answer>a storm</answer>"]


def same_poem(request: dict[str, Any]) -> str:
    """A judge that holds all answers without a storm for the same."""
    text = request["messages"][-1]["content"]
    return "no" if "storm" in text else "yes"


def judged_alias(upstream: Upstream, judge: Upstream, **more: Any) -> dict[str, Any]:
    model = {"model": "judge-model", "base_url": judge.base_url}
    return alias(upstream, **{"answer_kind": "judge", "k": 3, "judge": model, "max_retries": 0, **more})


def test_a_judge_compares_the_answers_once_and_its_tokens_count():
    with Upstream() as upstream, Upstream() as judge:
        upstream.says = lambda request: POEMS[request["seed"]]
        judge.says = same_poem
        with running({"careful": judged_alias(upstream, judge)}) as server:
            whole = ask(server, seed=0, sampleset={"progress": True}).json()
            asked = len(judge.requests)
            streamed = ask(server, seed=0, stream=True, sampleset={"progress": True}).text
    assert whole["choices"][0]["sampleset"]["candidates"] == [
        {"answer": "a calm sea", "votes": 2, "indices": [0, 1]},
        {"answer": "a storm", "votes": 1, "indices": [2]},
    ]
    assert whole["choices"][0]["message"]["content"] == POEMS[0]
    assert asked == 2
    assert len(judge.requests) == 2 * asked
    assert whole["sampleset"]["usage"]["judging"]["calls"] == asked
    assert whole["usage"]["total_tokens"] == 15 * (3 + asked)
    events = [
        json.loads(line[6:]).get("sampleset", {}) for line in streamed.splitlines() if line[:7] == "data: {"
    ]
    votes = [event for event in events if event.get("event") == "vote"]
    assert [[row["votes"] for row in vote["candidates"]] for vote in votes] == [[2, 1]]


def test_what_a_judge_costs_is_told(tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "currency: USD\nmodels:\n"
        "  stub-model: {prompt: 1, completion: 2}\n  judge-model: {prompt: 10, completion: 20}\n"
    )
    with Upstream() as upstream, Upstream() as judge:
        upstream.says = lambda request: POEMS[request["seed"]]
        judge.says = same_poem
        with running({"careful": judged_alias(upstream, judge)}, prices=str(prices)) as server:
            cost = ask(server, seed=0).json()["sampleset"]["cost"]
    assert cost["judging"] == pytest.approx(2 * (10 * 10 + 5 * 20) / 1e6)
    assert cost["total"] == pytest.approx(cost["sampling"] + cost["judging"])


def test_a_judge_that_is_down_leaves_a_vote_over_texts():
    with Upstream() as upstream, Upstream() as judge:
        upstream.says = lambda request: [POEMS[0], POEMS[0], POEMS[2]][request["seed"]]
        judge.says = lambda request: Reply(500, {"error": {"message": "no"}})
        with running({"careful": judged_alias(upstream, judge)}) as server:
            told = ask(server, seed=0).json()["choices"][0]["sampleset"]
    assert told["answer"] == "a calm sea"
    assert [row["votes"] for row in told["candidates"]] == [2, 1]
    assert "aggregator_failed" in told["flags"]


def test_feedback_on_judged_answers_says_whether_they_were_right(tmp_path: Path):
    with Upstream() as upstream, Upstream() as judge:
        upstream.says = lambda request: POEMS[request["seed"]]
        judge.says = same_poem
        own = judged_alias(upstream, judge)
        with running({"careful": own}, feedback_file=str(tmp_path / "feedback.jsonl")) as server:
            identity = ask(server, seed=0).json()["id"]
            gold, right = (
                httpx.post(f"{server.url}/feedback", json={"id": identity, **said}, timeout=30)
                for said in ({"gold": "the sea is calm"}, {"right": True})
            )
    assert (gold.status_code, gold.json()["error"]["param"]) == (400, "gold")
    assert right.json()["right"] is True


@pytest.mark.parametrize("settings", [{"stop": "beta:0.95"}, {"risk": 0.1, "labelled": "sets.jsonl"}])
def test_what_compares_before_a_judge_is_asked_is_refused(settings: dict[str, Any]):
    upstreams = [{"model": "m"}]
    own = {"upstreams": upstreams, "answer_kind": "judge", "judge": {"model": "j"}, **settings}
    with pytest.raises(InvalidArgumentError, match="judge"):
        serve_config({"models": {"careful": own}})
    with Upstream() as upstream, running({"careful": judged_alias(upstream, upstream)}) as server:
        reply = ask(server, sampleset={"stop": "beta:0.95"})
    assert reply.status_code == 400
    assert "judge" in reply.json()["error"]["message"]
