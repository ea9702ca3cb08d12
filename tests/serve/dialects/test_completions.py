# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""`/v1/completions`, as OpenAI's own client asks."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import openai
import pytest

from support.running import Running, Upstream


@pytest.mark.parametrize("prompt", ["What is 2 + 2?", ["What is 2 + 2?"]], ids=["text", "list of one"])
def test_a_prompt_is_answered_by_the_vote(client: openai.OpenAI, upstream: Upstream, prompt: Any):
    replies = cycle(["It is \\boxed{1/2}.", "It is \\boxed{3}.", "It is \\boxed{0.5}."])
    upstream.says = lambda request: next(replies)
    reply = client.completions.create(
        model="careful", prompt=prompt, max_tokens=50, temperature=0.5, stop=["END"], seed=7
    )
    assert reply.choices[0].text in ("It is \\boxed{1/2}.", "It is \\boxed{0.5}.")
    assert (reply.object, reply.id[:5], reply.choices[0].finish_reason) == (
        "text_completion",
        "cmpl-",
        "stop",
    )
    assert reply.usage.total_tokens == 45
    assert reply.choices[0].model_extra["sampleset"]["candidates"][0]["votes"] == 2
    assert sorted(one["seed"] for one in upstream.requests) == [7, 8, 9]
    for request in upstream.requests:
        assert request["messages"] == [{"role": "user", "content": "What is 2 + 2?"}]
        assert (request["max_tokens"], request["temperature"], request["stop"]) == (
            50,
            0.5,
            ["END"],
        )
        assert "prompt" not in request


def test_n_texts_are_n_answers(client: openai.OpenAI, upstream: Upstream):
    reply = client.completions.create(model="careful", prompt="2 + 2?", n=2)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert len(upstream.requests) == 6


async def test_texts_are_streamed(server: Running, upstream: Upstream):
    upstream.says = lambda request: "word " * 100 + "\\boxed{4}"
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
        stream = await client.completions.create(
            model="careful", prompt="2 + 2?", stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    texts = [choice.text for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == "word " * 100 + "\\boxed{4}"
    assert len(texts) > 3
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 45)


def test_progress_comes_between_the_texts(client: openai.OpenAI):
    own = {"sampleset": {"progress": True, "k": 1}}
    chunks = list(client.completions.create(model="careful", prompt="2?", stream=True, extra_body=own))
    events = [chunk.model_extra["sampleset"]["event"] for chunk in chunks if "sampleset" in chunk.model_extra]
    assert events == ["start", "sample", "vote"]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        pytest.param({"suffix": "end"}, "suffix", id="suffix"),
        pytest.param({"echo": True}, "echo", id="echo"),
        pytest.param({"logprobs": 1}, "logprobs", id="logprobs"),
        pytest.param({"best_of": 3}, "best_of", id="best_of"),
        pytest.param({"prompt": ["a", "b"]}, "prompt", id="several prompts"),
        pytest.param({"prompt": [1, 2]}, "prompt", id="tokens"),
        pytest.param({"prompt": None}, "prompt", id="no prompt"),
        pytest.param({"messages": []}, "messages", id="a field of the chat API"),
    ],
)
def test_what_is_not_served_is_refused_by_name(
    client: openai.OpenAI, upstream: Upstream, given: dict[str, Any], param: str
):
    body = {"model": "careful", "prompt": "2 + 2?", **given}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/completions", body=body, cast_to=object)
    assert caught.value.param == param
    assert not upstream.requests


def test_values_that_ask_for_nothing_are_taken(client: openai.OpenAI):
    client.completions.create(model="careful", prompt="2 + 2?", echo=False, best_of=1, suffix="")
