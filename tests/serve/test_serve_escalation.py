"""An alias with further steps: answered, escalated, abstained, and why."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.risk.certificate import read_certificate
from sampleset.serve.config import serve_config
from sampleset.storage.files import write_rows
from support.browser import DESK, PHONE, faint_texts, opened, overflow
from support.certificates import certificate
from support.running import Running, Upstream, alias, running

WITHHELD = "Ask a person."


def small(request: dict[str, Any]) -> str:
    """The small model is sure of easy questions only."""
    answers = ["7"] if "easy" in str(request["messages"]) else ["1", "2", "3", "4"]
    return f"It is \\boxed{{{answers[request['seed'] % len(answers)]}}}."


def large(request: dict[str, Any]) -> str:
    """The large model is unsure of impossible questions."""
    answers = ["1", "2"] if "impossible" in str(request["messages"]) else ["9"]
    return f"So \\boxed{{{answers[request['seed'] % len(answers)]}}}."


def steps(folder: Path, first: Upstream, second: Upstream, **more: Any) -> dict[str, Any]:
    one = certificate(folder / "first.json", models=("small",))
    two = certificate(
        folder / "later.json", k=2, models=("large",), risk=0.1, after=read_certificate(one).digest
    )
    members = [{"model": "large", "base_url": second.base_url}]
    return {
        "upstreams": [{"model": "small", "base_url": first.base_url}], "k": 4, "certificate": str(one),
        "withheld_text": WITHHELD, "max_retries": 0,
        "escalate": [{"upstreams": members, "k": 2, "certificate": str(two)}], **more,
    }  # fmt: skip


@pytest.fixture
def pair() -> Iterator[tuple[Upstream, Upstream]]:
    with Upstream(says=small) as first, Upstream(says=large) as second:
        yield first, second


@pytest.fixture
def server(pair: tuple[Upstream, Upstream], tmp_path: Path) -> Iterator[Running]:
    with running({"m": steps(tmp_path, *pair)}, keep_runs=5) as server:
        yield server


def ask(server: Running, text: str, **more: Any) -> httpx.Response:
    body = {"model": "m", "seed": 4, "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=60)


def promise(reply: httpx.Response) -> dict[str, Any]:
    return reply.json()["choices"][0]["sampleset"]["promise"]


def test_a_sure_answer_is_given_and_no_further_model_is_asked(
    server: Running, pair: tuple[Upstream, Upstream]
):
    reply = ask(server, "An easy one?")
    assert reply.json()["choices"][0]["message"]["content"] == "It is \\boxed{7}."
    assert promise(reply)["decision"] == "answered"
    assert [step["decision"] for step in promise(reply)["steps"]] == ["answered"]
    assert pair[1].requests == []


def test_an_unsure_answer_is_asked_of_the_next_step(server: Running):
    reply = ask(server, "A hard one?")
    body = reply.json()
    assert body["choices"][0]["message"]["content"] == "So \\boxed{9}."
    assert "x-sampleset-withheld" not in reply.headers
    told = promise(reply)
    assert (told["decision"], told["risk"], told["certified"]) == ("escalated", 0.1, True)
    assert told["why"] == (
        "step 2 (2 samples of large, majority_vote): the confidence of 1.000 is above 0.600"
    )
    assert [(step["decision"], step["why"]) for step in told["steps"]] == [
        ("escalated", "the confidence of 0.250 is not above 0.600"),
        ("answered", "the confidence of 1.000 is above 0.600"),
    ]
    assert body["sampleset"]["usage"]["sampling"]["calls"] == 6
    assert body["usage"]["total_tokens"] == 6 * 15


def test_where_no_step_is_sure_the_answer_is_withheld(server: Running):
    reply = ask(server, "A hard and impossible one?")
    assert reply.json()["choices"][0]["message"]["content"] == WITHHELD
    assert reply.headers["x-sampleset-withheld"] == "low_confidence"
    assert promise(reply)["decision"] == "abstained"
    assert [step["decision"] for step in promise(reply)["steps"]] == ["escalated", "abstained"]


def test_the_steps_draw_with_seeds_of_their_own(server: Running, pair: tuple[Upstream, Upstream]):
    ask(server, "A hard one?", n=2)
    assert sorted(request["seed"] for request in pair[0].requests) == [*range(4, 12)]
    assert sorted(request["seed"] for request in pair[1].requests) == [*range(12, 16)]


def test_a_step_that_is_down_abstains_and_the_operator_can_read_why(
    pair: tuple[Upstream, Upstream], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    first, second = pair
    models = steps(tmp_path, first, second)
    models["escalate"].append({"upstreams": [{"model": "any", "base_url": first.base_url}]})
    models["escalate"][0]["upstreams"] = [{"model": "large", "base_url": "http://127.0.0.1:9/v1"}]
    with running({"m": models}) as server, caplog.at_level(logging.WARNING):
        reply = ask(server, "A hard one?")
        assert ask(server, "An easy one?").json()["choices"][0]["sampleset"]["answer"] == "7"
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["message"]["content"] == WITHHELD
    assert "step_failed" in reply.headers["x-sampleset-withheld"]
    assert promise(reply)["decision"] == "abstained"
    assert "it failed, and no later step may answer in its place" in promise(reply)["why"]
    assert len(promise(reply)["steps"]) == 2
    assert "m: a step of the escalation failed, and the answer is withheld" in caplog.text


def test_a_first_step_that_is_down_is_an_error(pair: tuple[Upstream, Upstream], tmp_path: Path):
    models = steps(tmp_path, *pair)
    models["upstreams"] = [{"model": "small", "base_url": "http://127.0.0.1:9/v1"}]
    with running({"m": models}) as server:
        assert ask(server, "A hard one?").status_code == 502


def test_a_last_step_without_a_certificate_says_that_nothing_is_promised(
    pair: tuple[Upstream, Upstream], tmp_path: Path
):
    first, second = pair
    models = steps(tmp_path, first, second)
    models["escalate"] = [{"upstreams": [{"model": "large", "base_url": second.base_url}], "k": 1}]
    with running({"m": models}) as server:
        reply = ask(server, "A hard one?")
        told = promise(reply)
        assert (told["decision"], told["certified"]) == ("escalated", False)
        assert "nothing is promised of its errors" in told["why"]
        assert "risk" not in told
        pair[1].says = lambda request: "I wonder."
        reply = ask(server, "A hard one?")
        assert reply.json()["choices"][0]["message"]["content"] == WITHHELD
        assert promise(reply)["decision"] == "abstained"


def test_steps_go_by_least_confidences_where_there_are_no_certificates(
    pair: tuple[Upstream, Upstream], tmp_path: Path
):
    first, second = pair
    models = steps(tmp_path, first, second, min_confidence=0.6)
    del models["certificate"]
    models["escalate"] = [{"upstreams": [{"model": "large", "base_url": second.base_url}], "k": 2}]
    with running({"m": models}) as server:
        told = promise(ask(server, "A hard one?"))
        assert [step["decision"] for step in told["steps"]] == ["escalated", "answered"]
        assert told["steps"][0]["why"] == "the confidence of 0.250 is below min_confidence=0.6"
        reply = ask(server, "A hard and impossible one?")
        assert reply.json()["choices"][0]["sampleset"]["answer"] in ("1", "2")
        reply = ask(server, "A hard and impossible one?", sampleset={"min_confidence": 0.9})
        assert promise(reply)["decision"] == "abstained"
        assert promise(reply)["why"] == "the request asks for a confidence of at least 0.9"


@pytest.mark.parametrize("progress", [True, "words"])
def test_a_stream_tells_that_it_escalates_and_shows_the_last_answer_alone(progress: object, server: Running):
    reply = ask(server, "A hard one?", stream=True, sampleset={"progress": progress})
    events = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == "So \\boxed{9}."
    told = [event["sampleset"] for event in events if "sampleset" in event]
    (escalating,) = [event for event in told if event.get("event") == "escalating"]
    assert (escalating["step"], escalating["k"]) == (2, 2)
    assert escalating["why"] == "the confidence of 0.250 is not above 0.600"
    votes = [event for event in told if event.get("event") == "vote"]
    assert (votes[-1]["draws"], votes[-1]["candidates"][0]["answer"]) == (2, "9")
    assert events[-1]["choices"][0]["sampleset"]["promise"]["decision"] == "escalated"


def test_metrics_count_what_was_escalated_and_the_list_names_the_steps(server: Running):
    for text in ("An easy one?", "A hard one?", "A hard and impossible one?"):
        ask(server, text)
    text = httpx.get(f"{server.url}/metrics").text
    for decision in ("answered", "escalated", "abstained"):
        assert f'sampleset_promises_total{{model="m",decision="{decision}"}} 1' in text
    row = httpx.get(f"{server.base_url}/models").json()["data"][0]["sampleset"]
    assert row["escalate"] == ["2 samples of large, majority_vote"]


def test_openais_sdk_reads_answered_escalated_and_abstained(server: Running):
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
    decisions = []
    for text in ("An easy one?", "A hard one?", "A hard and impossible one?"):
        raw = client.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": text}], seed=4
        )
        reply = raw.parse()
        told = reply.choices[0].model_extra["sampleset"]["promise"]  # type: ignore[index]
        decisions.append((told["decision"], reply.choices[0].message.content))
        assert ("x-sampleset-withheld" in raw.headers) == (told["decision"] == "abstained")
    assert decisions == [
        ("answered", "It is \\boxed{7}."),
        ("escalated", "So \\boxed{9}."),
        ("abstained", WITHHELD),
    ]


def test_openais_sdk_reads_a_stream_that_escalates(server: Running):
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "A hard one?"}], seed=4, stream=True
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "So \\boxed{9}."
    told = chunks[-1].choices[0].model_extra["sampleset"]["promise"]  # type: ignore[index]
    assert told["decision"] == "escalated"


def test_openais_sdk_raises_on_a_request_outside_the_promise(server: Running):
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "An easy one?"}],
            extra_body={"sampleset": {"k": 3}},
        )
    assert refusal.value.code == "certificate_void"


def test_openais_responses_api_escalates_too(server: Running):
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
    assert client.responses.create(model="m", input="A hard one?").output_text == "So \\boxed{9}."


@pytest.mark.parametrize(
    ("changes", "error", "wanted"),
    [
        ({"escalate": [{"k": 2, "temperature": 1.0}]}, DataError, "unknown key 'temperature'"),
        ({"escalate": {"k": 2}}, DataError, "a list of further steps"),
        ({"escalate": [5]}, DataError, "expected a mapping"),
        ({"certificate": None, "escalate": [{"k": 2}]}, InvalidArgumentError, "step 1 says of no answer"),
        ({"escalate": [{"k": 2}, {"k": 8}]}, InvalidArgumentError, "step 2 says of no answer"),
        ({"min_confidence": 0.5}, InvalidArgumentError, "leave min_confidence away"),
        ({"risk": 0.1}, InvalidArgumentError, "risk and labelled go together"),
        ({"risk": 0.1, "labelled": "x"}, InvalidArgumentError, "leave certificate and stop away"),
        ({"risk": 1.5, "labelled": "x"}, InvalidArgumentError, "risk=1.5"),
    ],
)
def test_steps_that_cannot_work_are_refused(
    changes: dict[str, Any], error: type[Exception], wanted: str, tmp_path: Path
):
    values = {
        "upstreams": [{"model": "small", "base_url": "http://127.0.0.1:9/v1"}], "k": 4,
        "certificate": "c.json", "escalate": [{"k": 8, "certificate": "d.json"}], **changes,
    }  # fmt: skip
    with pytest.raises(error, match=wanted):
        serve_config({"models": {"m": values}})


def test_certificates_of_other_steps_stop_the_server_at_its_start(
    pair: tuple[Upstream, Upstream], tmp_path: Path
):
    models = steps(tmp_path, *pair)
    certificate(tmp_path / "later.json", k=2, models=("large",), after="another")
    with (
        pytest.raises(InvalidArgumentError, match="was not made after that of step 1"),
        running({"m": models}),
    ):
        pass
    lone = alias(pair[1], k=2, certificate=str(tmp_path / "later.json"))
    lone["upstreams"][0]["model"] = "large"
    with pytest.raises(InvalidArgumentError, match="an earlier step left unanswered"), running({"m": lone}):
        pass


def test_the_server_certifies_on_labels_at_its_start(
    pair: tuple[Upstream, Upstream], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SAMPLESET_CACHE", str(tmp_path / "cache"))
    rows = []
    for number in range(200):
        texts = ["7"] * 4 if number % 2 else ["7", "7", "1", "2"]
        gold = "7" if number % 2 or number % 4 else "8"
        samples = [{"text": f"\\boxed{{{text}}} {at}", "model": "small"} for at, text in enumerate(texts)]
        rows.append({"id": f"l{number}", "question": f"L {number}?", "answer": gold, "samples": samples})
    write_rows(tmp_path / "labels.jsonl", rows)
    settings: dict[str, Any] = {
        "upstreams": [{"model": "small", "base_url": pair[0].base_url}],
        "k": 4,
        "risk": 0.05,
        "labelled": str(tmp_path / "labels.jsonl"),
        "withheld_text": WITHHELD,
    }
    with running({"m": settings}) as server:
        told = promise(ask(server, "An easy one?"))
        assert (told["decision"], told["labels"], told["threshold"]) == ("answered", 200, 0.5)
        assert promise(ask(server, "A hard one?"))["decision"] == "abstained"
        assert ask(server, "An easy one?", sampleset={"k": 3}).status_code == 400
    write_rows(tmp_path / "labels.jsonl", rows[:30])
    with pytest.raises(DataError, match="it takes 80 answered ones"), running({"m": settings}):
        pass


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
def test_a_person_sees_what_was_answered_escalated_and_withheld(
    browser: Any, server: Running, scheme: str, screen: dict[str, int]
):
    page, errors = opened(browser, server.url, color_scheme=scheme, viewport=screen)
    for text, decision, final in (
        ("An easy one?", "Answered", "7"),
        ("A hard one?", "Escalated", "9"),
        ("A hard and impossible one?", "Abstained", WITHHELD),
    ):
        page.get_by_label("Question", exact=True).fill(text)
        page.get_by_role("button", name="Ask").click()
        page.get_by_text(decision, exact=True).wait_for()
        page.get_by_text("Tokens", exact=True).wait_for()
        assert page.locator("#final").inner_text() == final
        assert faint_texts(page) == []
        assert overflow(page) == 0
        steps_shown = page.locator("#taken li").all_inner_texts()
        assert len(steps_shown) == (1 if decision == "Answered" else 2)
        if decision == "Escalated":
            assert page.locator(".sample").count() == 2
            assert "handed on, the confidence of" in steps_shown[0]
            assert "At most 10 % of the answers given are wrong, with 95 %" in page.inner_text("#terms")
    link = page.url
    again = browser.new_page()
    again.goto(link)
    again.get_by_text("Abstained", exact=True).wait_for()
    assert not errors
