"""Feedback on answers: kept on disk, counted once, and whether `auto` is worth it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from sampleset.errors import DataError
from sampleset.serve import feedback
from support.command_line import Run
from support.running import Running, Upstream, alias, running

ASKED = {
    "model": "careful",
    "messages": [{"role": "user", "content": "What is 2 + 2?"}],
    "seed": 0,
    "sampleset": {"samples": False},
}
FUSING = "auto:fusion=generative_self_aggregation[max_tokens=50]"


def says(request: dict[str, Any]) -> str:
    """Three samples that differ, and a fusion of them."""
    if "Below are the responses" in request["messages"][-1]["content"]:
        return "Together \\boxed{4}"
    return f"\\boxed{{{request['seed'] % 3 + 3}}}"


def ask(server: Running, path: str = "chat/completions") -> dict[str, Any]:
    body = httpx.post(f"{server.base_url}/{path}", json=ASKED, timeout=30)
    assert body.status_code == 200, body.text
    return body.json()


def tell(server: Running, **fields: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/feedback", json=fields, timeout=30)


@pytest.fixture
def fused(upstream: Upstream, tmp_path: Path):
    upstream.says = says
    file = str(tmp_path / "feedback.jsonl")
    with running({"careful": alias(upstream, k=3, aggregator=FUSING)}, feedback_file=file) as server:
        yield server


def test_an_answer_of_auto_explains_itself(fused: Running):
    choice = ask(fused)["choices"][0]
    explanation = choice["sampleset"]["explanation"]
    assert explanation["method"] == "fusion"
    assert "below agreement=0.6" in explanation["why"]
    assert [row["answer"] for row in explanation["agreed"]] == ["4"]
    assert sorted(row["answer"] for row in explanation["disagreed"]) == ["3", "5"]
    assert choice["message"]["content"] == "Together \\boxed{4}"


def test_gold_answers_make_a_verdict_that_the_metrics_tell(fused: Running, tmp_path: Path, run: Run):
    for _ in range(3):
        said = tell(fused, id=ask(fused)["id"], gold="4.0")
        assert said.status_code == 200
        assert said.json()["right"] is True
    worth = said.json()["worth"]
    assert (worth["verdict"], worth["against"]) == ("not known", "the vote over the same samples")
    assert worth["better"] + worth["alike"] == 3
    told = httpx.get(f"{fused.url}/metrics").text.splitlines()
    assert f'sampleset_feedback{{model="careful",outcome="better"}} {worth["better"]}' in told
    assert 'sampleset_worth{model="careful"} 0' in told
    code, out, _ = run("worth", str(tmp_path / "feedback.jsonl"))
    assert code == 0
    assert out.startswith("careful: worth it so far: not known. Against the vote over the same samples")


def test_feedback_survives_a_new_start(upstream: Upstream, tmp_path: Path):
    upstream.says = says
    file = tmp_path / "feedback.jsonl"
    rows = [{"id": str(at), "model": "careful", "right": True, "vote_right": False} for at in range(10)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with running({"careful": alias(upstream, k=3, aggregator=FUSING)}, feedback_file=str(file)) as server:
        assert 'sampleset_worth{model="careful"} 1' in httpx.get(f"{server.url}/metrics").text
        assert tell(server, id=ask(server)["id"], right=True).status_code == 200
    assert len(file.read_text().splitlines()) == 11


def test_a_file_of_other_rows_is_refused(upstream: Upstream, tmp_path: Path):
    file = tmp_path / "feedback.jsonl"
    file.write_text('{"question": "1"}\n')
    with (
        pytest.raises(DataError, match="a row is no feedback"),
        running({"careful": alias(upstream)}, feedback_file=str(file)),
    ):
        pass


def test_feedback_twice_counts_once(fused: Running):
    identity = ask(fused)["id"]
    assert tell(fused, id=identity, right=True).status_code == 200
    again = tell(fused, id=identity, gold="5")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "feedback_twice")


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"id": "chatcmpl-1", "right": True}, 404, "There is no reply 'chatcmpl-1'"),
        ({"right": True}, 400, "'id' must be"),
        ({"id": "x"}, 400, "Give one of 'gold'"),
        ({"id": "x", "gold": "1", "right": True}, 400, "Give one of 'gold'"),
        ({"id": "x", "right": "yes"}, 400, "'right' must be true or false"),
        ({"id": "x", "gold": "4" * 5000}, 400, "'gold' must be a text of 1 to 4000"),
        ({"id": "x", "right": True, "note": "!"}, 400, "Unknown field 'note'"),
    ],
)
def test_feedback_that_cannot_be_read_is_refused(fused: Running, fields, status, message):
    said = tell(fused, **fields)
    assert (said.status_code, message in said.json()["error"]["message"]) == (status, True)


def test_a_wrong_answer_without_gold_says_nothing_about_another_vote(upstream: Upstream, tmp_path: Path):
    upstream.says = lambda request: (
        "New \\boxed{9}" if "Below are the responses" in request["messages"][-1]["content"] else says(request)
    )
    models = {"careful": alias(upstream, k=3, aggregator=FUSING)}
    with running(models, feedback_file=str(tmp_path / "feedback.jsonl")) as server:
        wrong = tell(server, id=ask(server)["id"], right=False).json()
        right = tell(server, id=ask(server)["id"], right=True).json()
    assert (wrong["vote_right"], wrong["counted"]) == (None, False)
    assert (right["vote_right"], right["counted"], right["worth"]["better"]) == (False, True, 1)


def test_the_ids_of_other_dialects_are_known(fused: Running):
    body = httpx.post(
        f"{fused.base_url}/responses", json={"model": "careful", "input": "What is 2 + 2?"}, timeout=30
    ).json()
    assert tell(fused, id=body["id"], right=True).status_code == 200


def test_a_stream_is_remembered_too(fused: Running):
    with httpx.stream(
        "POST", f"{fused.base_url}/chat/completions", json=ASKED | {"stream": True}, timeout=30
    ) as reply:
        lines = [line for line in reply.iter_lines() if line.startswith("data: {")]
    assert tell(fused, id=json.loads(lines[0][6:])["id"], gold="4").json()["right"] is True


def test_the_oldest_replies_are_forgotten(fused: Running, monkeypatch):
    monkeypatch.setattr(feedback, "MOST_REPLIES", 2)
    identities = [ask(fused)["id"] for _ in range(3)]
    assert [tell(fused, id=one, right=True).status_code for one in identities] == [404, 200, 200]


def test_feedback_takes_a_key_where_chats_do(upstream: Upstream, tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    file = str(tmp_path / "feedback.jsonl")
    with running({"careful": alias(upstream)}, api_keys_file=str(keys), feedback_file=file) as server:
        assert tell(server, id="x", right=True).status_code == 401


def test_without_a_file_no_feedback_is_taken(server: Running):
    said = tell(server, id=ask(server)["id"], right=True)
    assert (said.status_code, said.json()["error"]["code"]) == (404, "feedback_not_kept")
