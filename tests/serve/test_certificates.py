"""An alias with a certificate: answers that it covers are given, all others are withheld."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sampleset.errors import InvalidArgumentError
from sampleset.prompts import solve_messages
from sampleset.types import Question
from support.certificates import certificate
from support.running import Running, Upstream, alias, running

SPLIT = {"hard": ["1", "2", "3", "4"], "easy": ["7"]}


def says(request: dict[str, Any]) -> str:
    """Each draw of a hard question another answer, by its seed."""
    answers = SPLIT["hard" if "hard" in str(request["messages"]) else "easy"]
    return f"It is \\boxed{{{answers[request['seed'] % len(answers)]}}}."


def served(upstream: Upstream, path: Path, **more: Any) -> dict[str, Any]:
    return alias(upstream, **{"k": 4, "certificate": str(path), "withheld_text": "Ask a person.", **more})


@pytest.fixture
def promising(tmp_path: Path) -> Iterator[Running]:
    with (
        Upstream(says=says) as upstream,
        running({"m": served(upstream, certificate(tmp_path / "c.json"))}) as server,
    ):
        yield server


def ask(server: Running, text: str, **more: Any) -> httpx.Response:
    body = {"model": "m", "seed": 4, "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=60)


def test_an_answer_above_the_threshold_is_given(promising: Running):
    reply = ask(promising, "An easy one?")
    choice = reply.json()["choices"][0]
    assert choice["message"]["content"] == "It is \\boxed{7}."
    assert "x-sampleset-withheld" not in reply.headers
    promise = choice["sampleset"]["promise"]
    assert (promise["decision"], promise["risk"], promise["certainty"]) == ("answered", 0.05, 0.95)
    assert promise["why"] == "the confidence of 1.000 is above 0.600"


def test_any_other_answer_is_withheld_and_says_why(promising: Running):
    reply = ask(promising, "A hard one?")
    choice = reply.json()["choices"][0]
    assert choice["message"]["content"] == "Ask a person."
    assert reply.headers["x-sampleset-withheld"] == "low_confidence"
    assert choice["sampleset"]["answer"] is None
    promise = choice["sampleset"]["promise"]
    assert promise["decision"] == "abstained"
    assert promise["why"] == "the confidence of 0.250 is not above 0.600"


def test_a_stream_shows_the_text_alone_and_the_promise_at_its_end(promising: Running):
    reply = ask(promising, "A hard one?", stream=True)
    events = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == "Ask a person."
    assert events[-1]["choices"][0]["sampleset"]["promise"]["decision"] == "abstained"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("completions", {"prompt": "A hard one?"}),
        ("responses", {"input": "A hard one?"}),
        ("messages", {"messages": [{"role": "user", "content": "A hard one?"}], "max_tokens": 50}),
    ],
)
def test_the_other_apis_withhold_as_well(path: str, body: dict[str, Any], promising: Running):
    for _ in range(8):  # seeds are drawn where the API has none
        reply = httpx.post(f"{promising.base_url}/{path}", json={"model": "m", **body}, timeout=60)
        assert reply.headers["x-sampleset-withheld"] == "low_confidence"
        assert "Ask a person." in reply.text


def test_metrics_count_decisions_and_the_alarm(promising: Running, caplog: pytest.LogCaptureFixture):
    ask(promising, "An easy one?")
    text = httpx.get(f"{promising.url}/metrics").text
    assert 'sampleset_promises_total{model="m",decision="answered"} 1' in text
    assert 'sampleset_drift_alarm{model="m"} 0' in text
    with caplog.at_level(logging.WARNING):
        for number in range(60):
            reply = ask(promising, f"A hard one, number {number}?")
    assert reply.json()["choices"][0]["sampleset"]["promise"]["drifted"]
    text = httpx.get(f"{promising.url}/metrics").text
    assert 'sampleset_promises_total{model="m",decision="abstained"} 60' in text
    assert 'sampleset_drift_alarm{model="m"} 1' in text
    assert caplog.text.count("no longer look like those that were certified") == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"sampleset": {"k": 3}}, "sampleset.k"),
        ({"sampleset": {"stop": "beta:0.95"}}, "sampleset.stop"),
        ({"sampleset": {"aggregator": "first_sample"}}, "sampleset.aggregator"),
        ({"sampleset": {"answer_kind": "text"}}, "sampleset.answer_kind"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ],
)
def test_a_request_cannot_leave_the_promise(changes: dict[str, Any], param: str, promising: Running):
    reply = ask(promising, "An easy one?", **changes)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("changes", "settings", "wanted"),
    [
        ({}, {"k": 5}, "k=4 samples, and there are 5"),
        ({"models": ("other",)}, {}, "samples of other, and they are of stub-model"),
        ({}, {"aggregator": "weighted_vote"}, "the aggregator, or its model, is another"),
        ({}, {"answer_kind": "text"}, "answers of the kind maths"),
        ({}, {"stop": "beta:0.95"}, "leave stop='beta:0.95' away"),
    ],
)
def test_a_certificate_of_another_setting_is_refused_at_the_start(
    changes: dict[str, Any], settings: dict[str, Any], wanted: str, tmp_path: Path
):
    path = certificate(tmp_path / "c.json", **changes)
    with (
        Upstream() as upstream,
        pytest.raises(InvalidArgumentError, match=wanted),
        running({"m": served(upstream, path, **settings)}),
    ):
        pass


def test_a_request_in_another_prompt_is_refused_before_anything_is_drawn(tmp_path: Path):
    path = certificate(tmp_path / "c.json", prompt="solve-1")
    with Upstream(says=says) as upstream, running({"m": served(upstream, path)}) as server:
        refused = ask(server, "An easy one?")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "certificate_void")
        assert "the prompt 'solve-1'" in refused.json()["error"]["message"]
        assert upstream.requests == []
        asked = solve_messages(Question("q", "An easy one?"))[-1]["content"]
        assert ask(server, asked).json()["choices"][0]["sampleset"]["answer"] == "7"


def test_samples_that_fail_make_no_answer_outside_the_promise(tmp_path: Path):
    """A sample that states nothing is no answer, and the first sample does not speak in its place."""
    path = certificate(tmp_path / "c.json")
    with (
        Upstream(says=lambda request: "I wonder.") as upstream,
        running({"m": served(upstream, path)}) as server,
    ):
        choice = ask(server, "A poem?").json()["choices"][0]
    assert choice["message"]["content"] == "Ask a person."
    assert choice["sampleset"]["promise"]["why"] == "there is no answer with a confidence"
