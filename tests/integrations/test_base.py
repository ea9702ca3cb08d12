"""What the integrations share needs none of the tools."""

import asyncio

import pytest

from sampleset.errors import InvalidArgumentError
from sampleset.integrations import base
from sampleset.integrations.base import answer_in_background, close_models, reply_text, vote_table


def test_calls_from_threads_and_loops_share_a_model(model: str):
    chat = [{"role": "user", "content": [{"type": "text", "text": "2+3?"}]}]
    first = answer_in_background(chat, model=model, k="4").result()
    assert reply_text(first) == "So it is \\boxed{5}."

    async def second() -> str | None:
        return (await asyncio.wrap_future(answer_in_background(chat, model=model, k=1))).answer

    assert asyncio.run(second()) == "6"
    assert len(base._models) == 1
    close_models()
    assert base._models == {}


def test_votes_are_plain_values(model: str):
    answered = answer_in_background([{"role": "user", "content": "2+3?"}], model=model, k=4).result()
    assert vote_table(answered) == {
        "answer": "5",
        "confidence": 0.75,
        "votes": [{"answer": "6", "votes": 1}, {"answer": "5", "votes": 3}],
        "samples": 4,
        "tokens": 44,
        "flags": [],
    }
    close_models()


def test_an_image_is_refused():
    chat = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    with pytest.raises(InvalidArgumentError, match="text only"):
        answer_in_background(chat)
