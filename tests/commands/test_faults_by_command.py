"""The table of server faults against the commands `answer` and `sample`."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from support.command_line import Run
from support.faults import FAULTS, MANNERS, Manner, ServerFault
from support.running import Upstream
from support.stub_server import Reply

OF_A_PROMPT = ("overflow", "filtered", "refused")
ENDS = {"credit": "credit", "key": "key"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two tries, and the minute that a limited server is given lasts half a second."""
    monkeypatch.setattr("sampleset.models.retries.backoff", lambda attempt, retry_after: 0.01)
    monkeypatch.setattr("sampleset.models.retries._now", lambda: 120 * time.monotonic())


def answer(run: Run, server: Upstream, *options: object) -> tuple[int, str, str]:
    model = ("--model", "stub-model", "--base-url", server.base_url, "--api-key", "any")
    return run("answer", "What is 2 + 2?", *model, "-k", 3, "--max-retries", 1, *options)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_answer_draws_a_fault_again_or_does_without_that_draw(fault: ServerFault, run: Run):
    with Upstream() as server:
        replies = iter([fault.reply])
        server.says = lambda request: next(replies, "\\boxed{4}")
        code, out, err = answer(run, server, "--json")
    if fault.means in ENDS:
        assert code != 0
        assert ENDS[fault.means] in err.lower()
        return
    assert code == 0, err
    row = json.loads(out)
    assert row["answer"] == "4"
    texts = [sample["text"] for sample in row["samples"] if sample["finish_reason"] == "stop"]
    assert texts == ["\\boxed{4}"] * (3 if fault.means == "passing" else 2)
    assert len(server.requests) == (4 if fault.means == "passing" else 3)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_answer_ends_in_one_error_where_no_draw_can_be_had(fault: ServerFault, run: Run):
    with Upstream(says=lambda request: fault.reply) as server:
        code, out, err = answer(run, server)
    assert code not in (0, None)
    assert out == ""
    assert err.lower().startswith("error:")
    assert "Traceback" not in err
    if fault.means != "passing":
        assert len(server.requests) <= 3


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_sample_finishes_all_other_questions(fault: ServerFault, run: Run, tmp_path: Path):
    questions = tmp_path / "questions.jsonl"
    rows = [{"id": f"q{number}", "question": f"What is {number} + 1?", "answer": "4"} for number in range(8)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Upstream() as server:
        server.says = lambda request: (
            fault.reply if "What is 4 +" in request["messages"][0]["content"] else "\\boxed{4}"
        )
        model = ("--model", "stub-model", "--base-url", server.base_url, "--api-key", "any")
        options = ("-n", 2, "--max-retries", 1, "--output-dir", tmp_path / "store")
        code, out, err = run("sample", questions, *model, *options)
        kept = [json.loads(line) for line in (tmp_path / "store" / "samples.jsonl").read_text().splitlines()]
        server.says = lambda request: "\\boxed{4}"
        retry = ("--retry-failed",) if fault.means in OF_A_PROMPT else ()
        again, *_ = run("sample", questions, *model, *options, *retry)
    assert "Traceback" not in err
    assert code != 0  # a question has no sample
    drawn = [row["problem_id"] for row in kept if row["finish_reason"] == "stop"]
    assert "q4" not in drawn
    if fault.means not in ENDS:
        assert len(drawn) == 14
    if fault.means in OF_A_PROMPT:
        assert [row["problem_id"] for row in kept if row["finish_reason"] == "refused"] == ["q4"] * 2
        assert "q4" in out
    assert again == 0


def test_forty_questions_with_a_refused_question_are_finished_in_one_go(run: Run, tmp_path: Path):
    questions = tmp_path / "questions.jsonl"
    rows = [{"id": f"q{number}", "question": f"What is {number} + 1?", "answer": "4"} for number in range(40)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    refusal = Reply(400, {"error": {"message": "No words that this table knows.", "type": "odd"}})
    with Upstream() as server:
        server.says = lambda request: (
            refusal if "What is 4 +" in request["messages"][0]["content"] else "\\boxed{4}"
        )
        model = ("--model", "stub-model", "--base-url", server.base_url, "--api-key", "any")
        options = ("-n", 2, "--output-dir", tmp_path / "store")
        code, out, err = run("sample", questions, *model, *options)
        asked = len(server.requests)
        again, *_ = run("sample", questions, *model, *options)
        assert len(server.requests) == asked  # nothing is paid twice, the refused question neither
    rows = [json.loads(line) for line in (tmp_path / "store" / "samples.jsonl").read_text().splitlines()]
    ends = Counter((row["problem_id"] == "q4", row["finish_reason"]) for row in rows)
    assert ends == {(False, "stop"): 78, (True, "refused"): 2}
    assert (code, again) == (1, 1)  # a question has no sample
    assert "q4" in out
    assert "--retry-failed" in out + err


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.name)
def test_answer_leaves_a_refused_field_out(manner: Manner, run: Run):
    with Upstream() as server:
        server.says = lambda request: manner.reply if manner.refuses(request) else "\\boxed{4}"
        code, out, err = answer(run, server)
    assert (code, out.strip()) == (0, "4"), err
