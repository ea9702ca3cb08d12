"""The table of server faults against the client, `sample` and, in tests/serve, the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampleset.backends.openai import OpenAIBackend
from sampleset.chat import Generation, Message, SamplingParams
from sampleset.errors import (
    AuthenticationError,
    BackendError,
    ContextOverflowError,
    InvalidArgumentError,
    QuotaError,
    RefusedPromptError,
    RequestRefusedError,
    SamplingError,
    TransientBackendError,
)
from sampleset.models.retries import Patience
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.storage.store import SampleStore
from sampleset.types import Question, SampleSet
from sampleset.wire.replies import completion_of
from support.faults import FAULTS, MANNERS, Manner, ServerFault, said
from support.running import Upstream
from support.stub_server import Reply, StubServer, error_reply

CHAT: list[Message] = [{"role": "user", "content": "What is 2 + 2?"}]
KINDS = {
    "passing": TransientBackendError,
    "overflow": ContextOverflowError,
    "filtered": RefusedPromptError,
    "refused": RequestRefusedError,
    "credit": QuotaError,
    "key": AuthenticationError,
}
SOON = SamplingOptions(n=2, max_concurrency=4, patience=Patience(max_retries=1))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampleset.models.retries.backoff", lambda attempt, retry_after: 0.0)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_means_the_same_in_every_wording(fault: ServerFault):
    with Upstream(says=lambda request: fault.reply) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(BackendError) as caught:
            await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()
    assert isinstance(caught.value, KINDS[fault.means])
    assert len(server.requests) == 1


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.name)
async def test_a_refused_field_is_left_out_from_then_on_and_said_once(
    manner: Manner, caplog: pytest.LogCaptureFixture
):
    def says(request: dict[str, Any]) -> Any:
        return manner.reply if manner.refuses(request) else "\\boxed{4}"

    with Upstream(says=says) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        for seed in range(3):
            await backend.generate(CHAT, SamplingParams(top_p=0.9), [seed])
        await backend.aclose()
    refused = [request for request in server.requests if manner.refuses(request)]
    assert 1 <= len(refused) <= 3
    assert not any(map(manner.refuses, server.requests[-2:]))
    told = [record.message for record in caplog.records if "refuses" in record.message]
    assert len(told) == len(set(told)) == len(refused)


async def drawn(sampler: Sampler, questions: int) -> list[SampleSet]:
    asked = [Question(f"q{number}", f"What is {number} + 1?") for number in range(questions)]
    return [sample_set async for sample_set in sampler.sample_many(asked)]


OF_A_PROMPT = [fault for fault in FAULTS if fault.means in ("overflow", "filtered", "refused")]


@pytest.mark.parametrize("place", [0, 4])
@pytest.mark.parametrize("fault", OF_A_PROMPT, ids=lambda fault: fault.name)
async def test_one_question_that_is_refused_does_not_end_the_run(fault: ServerFault, place: int):
    def says(request: dict[str, Any]) -> Any:
        return fault.reply if f"What is {place} +" in request["messages"][0]["content"] else "\\boxed{4}"

    with Upstream(says=says) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        sampler = Sampler(backend, SOON)
        sets = await drawn(sampler, 12)
        await backend.aclose()
    assert len(sets) == 11
    assert len(server.requests) == 24
    assert (sampler.progress.drawn, sampler.progress.failed) == (24, 2)
    assert len(sampler.progress.below_quorum) == 1


PASSING = [fault for fault in FAULTS if fault.means == "passing"]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
async def test_a_passing_fault_costs_a_try_and_does_not_vote(fault: ServerFault):
    with Upstream() as server:
        replies = iter([fault.reply])
        server.says = lambda request: next(replies, "\\boxed{4}")
        backend = OpenAIBackend("stub-model", server.base_url)
        sample_set = await Sampler(backend, SOON).sample(Question("q", "What is 2 + 2?"))
        await backend.aclose()
    assert [sample.text for sample in sample_set.samples] == ["\\boxed{4}"] * 2
    assert len(server.requests) == 3


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded"])
async def test_a_limit_by_any_name_is_a_truncation(reason: str):
    with Upstream(says=lambda request: said("So far", reason)) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        (generation,) = await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()
    assert (generation.text, generation.finish_reason) == ("So far", "length")


# What a rerun pays


async def test_a_refused_draw_is_kept_with_its_reason_and_not_paid_again(tmp_path: Path):
    def says(request: dict[str, Any]) -> Any:
        is_bad = "What is 4 +" in request["messages"][0]["content"]
        return error_reply(400, "Something that no list holds.") if is_bad else "\\boxed{4}"

    with Upstream(says=says) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        for run, options in enumerate((SOON, SOON, replace(SOON, retry_failed=True))):
            store = SampleStore(tmp_path)
            sampler = Sampler(backend, options, store)
            before = len(server.requests)
            assert len(await drawn(sampler, 12)) == 11
            store.close()
            assert len(server.requests) - before == (24, 0, 2)[run]
            assert sampler.progress.refused == (0, 2, 0)[run]
            assert "no list holds" in sampler.progress.below_quorum[0]
        await backend.aclose()
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row.get("finish_reason") == "refused"]
    assert {row["problem_id"] for row in kept} == {"q4"}
    assert all("no list holds" in row["error"] for row in kept)


async def test_many_refused_questions_of_a_store_do_not_end_a_rerun(tmp_path: Path):
    def says(request: dict[str, Any]) -> Any:
        number = int(request["messages"][0]["content"].split("What is ")[1].split(" ")[0])
        return error_reply(400, "prompt is too long") if number < 12 else "\\boxed{4}"

    with Upstream(says=says) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        for _ in range(2):
            store = SampleStore(tmp_path)
            assert len(await drawn(Sampler(backend, SOON, store), 14)) == 2
            store.close()
        await backend.aclose()
    assert len(server.requests) == 28


async def test_a_server_that_refuses_eight_questions_in_a_row_ends_the_run():
    with Upstream(says=lambda request: error_reply(400, "No such thing.")) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(SamplingError, match=r"8 questions in a row.*No such thing"):
            await drawn(Sampler(backend, SOON), 40)
        await backend.aclose()
    assert len(server.requests) < 40


async def test_no_credit_ends_the_run_at_once():
    reply = error_reply(429, "You exceeded your quota.", code="insufficient_quota")
    with Upstream(says=lambda request: reply) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(QuotaError, match="Add credit"):
            await drawn(Sampler(backend, SOON), 40)
        await backend.aclose()


NO_COMPLETIONS = {
    "a page": ("<!doctype html><p>Welcome", "a page of HTML"),
    "an object": ({"version": 1, "models": ["m"]}, "an object of 'version', 'models'"),
    "a text": ("OK", "the text 'OK'"),
    "nothing": ("", "an empty body"),
    "an empty object": ("{}", "an object of no fields"),
    "a value": ("true", "the value True"),
}


@pytest.mark.parametrize(("body", "words"), NO_COMPLETIONS.values(), ids=NO_COMPLETIONS)
async def test_a_server_that_sends_no_completions_from_the_start_ends_the_run(body: Any, words: str):
    with Upstream(says=lambda request: Reply(200, body)) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(BackendError, match=words) as caught:
            await Sampler(backend, SamplingOptions(n=1)).sample(Question("q", "What is 2 + 2?"))
        await backend.aclose()
    assert not isinstance(caught.value, TransientBackendError)
    assert "base URL" in str(caught.value)
    assert len(server.requests) == 3


async def test_a_page_is_a_passing_fault_once_the_server_has_drawn():
    page = Reply(200, "<html>We will be back.")
    replies = iter([page, page, "\\boxed{4}", page, page, page])
    with Upstream(says=lambda request: next(replies, "\\boxed{4}")) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        options = SamplingOptions(n=2, max_concurrency=1)
        sample_set = await Sampler(backend, options).sample(Question("q", "What is 2 + 2?"))
        await backend.aclose()
    assert [sample.text for sample in sample_set.samples] == ["\\boxed{4}"] * 2


async def test_the_usual_address_is_named_where_no_completions_come():
    class Page(StubServer):
        async def _answer(self, *_: object) -> Reply:
            return Reply(200, "<html>Welcome")

    with Page() as server:
        root = server.base_url.removesuffix("/v1")
        backend = OpenAIBackend("stub-model", root)
        with pytest.raises(BackendError, match=f"HTML.* It usually ends in /v1.*: {root}/v1, say"):
            await Sampler(backend, SamplingOptions(n=1)).sample(Question("q", "What is 2 + 2?"))
        await backend.aclose()


# Replies that are odd, and whole


def message_of(**message: Any) -> Reply:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return Reply(200, {"choices": [choice]})


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        *(
            pytest.param(message_of(content="", **{name: value}), "", id=name)
            for name, value in {
                "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}],
                "thinking": "Hm.",
                "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}],
                "reasoning_text": "Hm.",
                "thoughts": "Hm.",
                "reasoning_summary": [{"text": "Hm."}],
                "analysis": "Hm.",
                "provider_specific_fields": {"thinking_blocks": [{"type": "thinking"}]},
            }.items()
        ),
        pytest.param(message_of(content=[{"type": "thinking", "thinking": "Hm."}]), "", id="thinking parts"),
        pytest.param(
            message_of(content=[{"type": "text", "text": None}], thinking="Hm."), "", id="null part"
        ),
        pytest.param(message_of(content=[{"type": "output_text", "text": "4"}]), "4", id="output_text"),
        pytest.param(message_of(content=["So ", "4"]), "So 4", id="a list of strings"),
        pytest.param(message_of(content=[{"type": "text", "content": "4"}]), "4", id="a part's content"),
        pytest.param(message_of(content={"type": "text", "text": "4"}), "4", id="one part"),
    ],
)
async def test_odd_contents_are_read_and_paid_once(reply: Reply, text: str):
    with Upstream(says=lambda request: reply) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        (generation,) = await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()
    assert generation.text == text


EVENTS = "".join(
    f"data: {json.dumps(event)}\n\n"
    for event in (
        {"choices": [{"index": 0, "delta": {"content": "So "}}]},
        {"choices": [{"index": 0, "delta": {"content": "\\boxed{4}"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}},
    )
)


WHOLE = {
    "choices": [{"message": {"content": "So \\boxed{4}"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3},
}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(EVENTS + "data: [DONE]\n\n", "text/event-stream", id="whole"),
        pytest.param(EVENTS.rstrip("\n"), "text/event-stream; charset=utf-8", id="no line break at the end"),
        pytest.param(": waiting\n\n" + EVENTS, "application/json", id="told as JSON"),
        pytest.param("\ufeff" + EVENTS, "text/event-stream", id="a byte order mark"),
        pytest.param(EVENTS.replace("\n", "\r\n"), "text/event-stream", id="CRLF"),
        pytest.param(EVENTS.replace("\n", "\r"), "text/event-stream", id="CR"),
        pytest.param(
            EVENTS.replace(', "delta"', ',\ndata: "delta"'), "text/event-stream", id="data over two lines"
        ),
        pytest.param(EVENTS.replace("\n\n", "\n"), "text/event-stream", id="no empty lines"),
        pytest.param("\ufeff" + EVENTS, "text/plain", id="a byte order mark, told as text"),
        pytest.param("retry: 3000\n\n" + EVENTS, "text/plain", id="a time to wait first"),
        pytest.param("id: 1\n" + EVENTS, "text/plain", id="a number first"),
        pytest.param("\n" * 400 + EVENTS, "text/plain", id="empty lines first"),
        pytest.param(EVENTS.replace("data:", "data: data:"), "text/event-stream", id="the field twice"),
        pytest.param(EVENTS.replace("data:", "Data:"), "text/event-stream", id="the field in capitals"),
        pytest.param("event: ping\ndata: now\n\n" + EVENTS, "text/event-stream", id="a word first"),
        pytest.param("data: ping\n" + EVENTS, "text/event-stream", id="a word in the first event"),
        pytest.param(EVENTS + "data: [done]\n\n", "text/event-stream", id="an end in small letters"),
        pytest.param(EVENTS + "data: END\n\n", "text/event-stream", id="an end in another word"),
        pytest.param(EVENTS + "data: [DO", "text/event-stream", id="a torn end"),
        pytest.param(
            EVENTS.replace("data: ", "") + "[DONE]\n", "application/x-ndjson", id="lines of JSON, and the end"
        ),
        pytest.param(
            "".join(
                f"data: {json.dumps(line[6:])}\n\n" for line in EVENTS.splitlines() if line.startswith("data")
            ),
            "text/event-stream",
            id="JSON written twice",
        ),
        pytest.param(json.dumps(WHOLE, indent=2), "text/event-stream", id="a whole reply, told as a stream"),
        pytest.param(
            f"data: {json.dumps(WHOLE, indent=2)}\n\n", "text/event-stream", id="lines without their field"
        ),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_server_that_streams_all_the_same_is_read(body: str, kind: str, streamed: bool):
    heard: list[str] = []
    with Upstream(says=lambda request: Reply(200, body, {"content-type": kind})) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        if streamed:
            hear = lambda place, text: heard.append(text)  # noqa: E731
            (generation,) = await backend.stream(CHAT, SamplingParams(), [0], hear)
        else:
            (generation,) = await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()
    assert (generation.text, generation.prompt_tokens) == ("So \\boxed{4}", 3)
    assert [request["stream"] for request in server.requests] == [streamed]
    assert "".join(heard) == ("So \\boxed{4}" if streamed else "")


WHOLE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "So 4"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "So "}}]},
    {"choices": [{"index": 0, "delta": {"content": "4"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}},
]


@pytest.mark.parametrize(
    "body",
    [
        *(
            pytest.param({name: WHOLE}, id=name)
            for name in ("result", "data", "response", "output", "body", "completion")
        ),
        pytest.param(
            {"code": 0, "msg": "ok", "success": True, "errors": [], "data": WHOLE}, id="with a code"
        ),
        pytest.param({"data": {"result": WHOLE}}, id="twice"),
        pytest.param({"statusCode": 200, "body": json.dumps(WHOLE)}, id="as a text"),
        pytest.param(
            {"output": {"choices": WHOLE["choices"]}, "usage": {"input_tokens": 3, "output_tokens": 2}},
            id="tokens outside, by other names",
        ),
        pytest.param([WHOLE], id="in a list"),
        pytest.param("\n".join(map(json.dumps, CHUNKS)), id="a chunk a line"),
        pytest.param("\n\n".join(map(json.dumps, CHUNKS)) + "\n", id="lines between them"),
        pytest.param("".join(map(json.dumps, CHUNKS)), id="chunks without a break"),
        pytest.param("\n".join(json.dumps(chunk, indent=1) for chunk in CHUNKS), id="chunks over lines"),
        pytest.param("\n".join(json.dumps({"result": chunk}) for chunk in CHUNKS), id="wrapped chunks"),
        pytest.param(CHUNKS, id="a list of chunks"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_a_reply_in_a_wrapping_or_in_chunks_is_read(body: Any, kind: str):
    with Upstream(says=lambda request: Reply(200, body, {"content-type": kind})) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        (generation,) = await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()
    assert (generation.text, generation.finish_reason, generation.prompt_tokens) == ("So 4", "stop", 3)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"result": {"error": {"message": "gone", "code": 502}}}, id="an error within"),
        pytest.param({"data": None, "error": {"message": "gone"}}, id="an error beside nothing"),
        pytest.param("\n".join(map(json.dumps, CHUNKS[:2])), id="chunks cut off"),
        pytest.param("\n".join(map(json.dumps, CHUNKS)) + '\n{"choi', id="chunks cut off in one"),
        pytest.param(
            "\n".join(map(json.dumps, [CHUNKS[0], {"error": {"message": "gone"}}])), id="an error as a chunk"
        ),
    ],
)
async def test_a_wrapped_error_or_chunks_that_break_off_are_no_sample(body: Any):
    with Upstream(says=lambda request: Reply(200, body)) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(TransientBackendError):
            await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param('data: {"choices": [{"delta": {}, "finish_reason": "error"}]}\n\n', id="finish reason"),
        pytest.param('data: {"error": {"message": "gone"}}\n\n', id="an error event"),
        pytest.param('{"error": {"message": "gone"}}', id="an error without a name"),
        pytest.param(
            'data: {"object": "error", "message": "gone", "code": 500}\n\n', id="an object of errors"
        ),
        pytest.param('data: {"detail": "gone"}\n\n', id="a detail"),
        pytest.param("", id="cut off"),
        pytest.param('data: {"choi', id="cut off in an event"),
    ],
)
async def test_a_stream_that_breaks_off_is_no_sample(ending: str):
    body = 'data: {"choices": [{"delta": {"content": "\\\\boxed{99}"}}]}\n\n' + ending
    with Upstream(says=lambda request: Reply(200, body, {"content-type": "text/event-stream"})) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(TransientBackendError):
            await backend.stream(CHAT, SamplingParams(), [0], lambda place, text: None)
        await backend.aclose()


async def test_an_error_within_a_stream_keeps_its_meaning():
    event = '{"object": "error", "message": "This model\'s maximum context length is 4096 tokens."}'
    with Upstream(
        says=lambda request: Reply(200, f"data: {event}\n\n", {"content-type": "text/event-stream"})
    ) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(ContextOverflowError, match="4096"):
            await backend.stream(CHAT, SamplingParams(), [0], lambda place, text: None)
        await backend.aclose()


@pytest.mark.parametrize("status", [201, 203, 206])
@pytest.mark.parametrize("form", ["text/event-stream", "application/json"])
async def test_a_completion_is_one_by_whatever_status_of_success(status: int, form: str):
    choice = {"message": {"content": "4"}, "delta": {"content": "4"}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]})
    reply = Reply(status, f"data: {body}\n\n" if "event" in form else body, {"content-type": form})
    with Upstream(says=lambda request: reply) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        [generation] = await backend.stream(CHAT, SamplingParams(), [0], lambda place, text: None)
        await backend.aclose()
    assert generation.text == "4"


async def test_a_server_that_refuses_the_field_stream_is_sent_none():
    message = "Malformed input request: #: extraneous key [stream] is not permitted"
    with StubServer(script=[error_reply(400, message)]) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        await backend.generate(CHAT, SamplingParams(), [0, 1])
        await backend.aclose()
    assert ["stream" in request for request in server.requests] == [True, False, False]


async def test_what_comes_behind_the_end_of_a_stream_is_no_part_of_it():
    event = 'data: {"choices": [{"delta": {"content": "%s"}, "finish_reason": "stop"}]}\n\n'
    body = event % "4" + "data: [DONE]\n\n" + event % "5"
    with Upstream(says=lambda request: Reply(200, body, {"content-type": "text/event-stream"})) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        [generation] = await backend.stream(CHAT, SamplingParams(), [0], lambda place, text: None)
        await backend.aclose()
    assert generation.text == "4"


@pytest.mark.parametrize("error", [{"code": 0, "message": ""}, {"code": 0, "message": "OK"}, "success", {}])
def test_a_field_that_says_there_is_no_error_is_none(error: Any):
    choice = {"message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
    body = {"choices": [choice], "error": error}
    assert isinstance(completion_of(body), Generation)


# Addresses


async def test_the_query_of_a_base_url_stands_behind_each_path():
    with Upstream() as server:
        seen: list[str] = []
        answer = server._answer

        async def note(method: str, path: str, *rest: Any) -> Any:
            seen.append(path)
            return await answer(method, path.partition("?")[0], *rest)

        server._answer = note  # type: ignore[method-assign]
        backend = OpenAIBackend("stub-model", f"{server.base_url}?api-version=2026-01-01")
        await backend.check()
        await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()
    assert seen == ["/v1/models?api-version=2026-01-01", "/v1/chat/completions?api-version=2026-01-01"]


async def test_a_redirect_is_told_with_its_target_and_not_followed():
    moved = Reply(301, "", {"location": "https://example.com/v1/chat/completions?key=secret"})
    with Upstream(says=lambda request: moved) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(BackendError, match=r"301, a redirect.*--base-url https://example.com/v1$"):
            await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()


@pytest.mark.parametrize(
    ("location", "advice"),
    [
        ("/api/v1/chat/completions", "give --base-url {root}/api/v1"),
        ("//example.com/v1/chat/completions?x=1", "give --base-url http://example.com/v1"),
        ("/login?next=%2Fv1", "It leads to {root}/login. Is the base URL right?"),
        ("", "Is the base URL right?"),
        ("http://[::1", "Is the base URL right?"),
    ],
)
async def test_the_target_of_a_redirect_is_a_whole_address_or_none(location: str, advice: str):
    with StubServer(script=[Reply(308, "", {"location": location})]) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        with pytest.raises(BackendError) as caught:
            await backend.generate(CHAT, SamplingParams(), [0])
        await backend.aclose()
        assert str(caught.value).endswith(advice.format(root=server.base_url.removesuffix("/v1")))


@pytest.mark.parametrize("address", ["http://[::1", "http://", "http://proxy:0"])
def test_an_address_of_a_proxy_that_is_none_is_named(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", address)
    with pytest.raises(InvalidArgumentError, match="ALL_PROXY is no address of a proxy"):
        OpenAIBackend("stub-model", "https://example.com/v1")


@pytest.mark.parametrize("exempt", ["10.0.0.5:8000", "10.0.0.0/8", "bad/net, 10.0.0.0/8", "fd00::/8"])
def test_no_proxy_names_an_address_with_its_port_or_a_network(exempt: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://localhost:1080")
    monkeypatch.setenv("NO_PROXY", exempt)
    OpenAIBackend(
        "stub-model", "http://[fd00::5]:8000/v1" if ":" in exempt[:5] else "http://10.0.0.5:8000/v1"
    )
    with pytest.raises(InvalidArgumentError, match="socks5"):
        OpenAIBackend("stub-model", "http://11.0.0.5:8001/v1")


async def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    backend = OpenAIBackend("stub-model", "http://example.com/v1")
    with pytest.raises(BackendError, match="by the proxy of HTTP_PROXY"):
        await backend.check()
    await backend.aclose()


@pytest.mark.parametrize("host", ["a..b", "a" * 300 + ".com"])
def test_a_host_that_cannot_be_looked_up_is_no_address(host: str):
    with pytest.raises(InvalidArgumentError, match="is no HTTP address"):
        OpenAIBackend("stub-model", f"http://{host}/v1")


async def test_a_draw_under_way_goes_without_the_field_that_another_left_out():
    refusal = error_reply(400, "Der Wert ist hier nicht vorgesehen: seed")

    class Slow(Upstream):
        async def _answer(
            self, method: str, path: str, headers: Mapping[str, str], body: bytes, reader: Any
        ) -> Any:
            reply = await super()._answer(method, path, headers, body, reader)
            await asyncio.sleep(0.3 if b"seed" in body and b"slow" in body else 0)
            return reply

    with Slow(says=lambda request: refusal if "seed" in request else said("4", "stop")) as server:
        backend = OpenAIBackend("stub-model", server.base_url)
        chats: list[list[Message]] = [[{"role": "user", "content": text}] for text in ("quick", "slow")]
        draws = await asyncio.gather(*(backend.generate(chat, SamplingParams(), [0]) for chat in chats))
        await backend.aclose()
    assert [draw[0].text for draw in draws] == ["4", "4"]
    assert len(server.requests) == 4


def test_a_proxy_that_is_not_supported_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@localhost:1080")
    with pytest.raises(InvalidArgumentError, match=r"ALL_PROXY.*'socks5'.*HTTPS_PROXY") as caught:
        OpenAIBackend("stub-model", "https://example.com/v1")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "localhost,example.com")
    OpenAIBackend("stub-model", "https://example.com/v1")
