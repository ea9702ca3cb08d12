"""Shared by the integrations: one model for all calls with the same options, chats as questions."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, cast

from sampleset.api.blocking import in_background
from sampleset.api.functions import Answered
from sampleset.api.sampled_model import SampledModel
from sampleset.chat import Message
from sampleset.errors import InvalidArgumentError

_models: dict[tuple[Any, ...], SampledModel] = {}


def answer_in_background(
    chat: Iterable[Mapping[str, Any]],
    *,
    model: str = "embedded",
    k: int | str = 5,
    aggregator: str = "majority_vote",
    base_url: str | None = None,
    api_key: str | None = None,
    answer_kind: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> Future[Answered]:
    """The future of the answer to a chat, drawn by a model that stays open for the calls to come.

    Args:
        chat: Messages with `role` and `content`, sent as they are.
        model: As `open_backend` takes it.
        k: Samples.
        aggregator: A name with options.
        base_url: Address of the server.
        api_key: The server's key.
        answer_kind: How answers are compared; by default as mathematics.
        params: Sampling parameters by our names; `None` among them is left out.
    """
    messages = [Message(role=str(message["role"]), content=_text(message["content"])) for message in chat]
    known = {name: value for name, value in (params or {}).items() if value is not None}
    return in_background(
        _answer(messages, (model, base_url, api_key, aggregator), int(k), answer_kind, known)
    )


def reply_text(answered: Answered) -> str:
    """The reply of one call: the text that the answer was read from, or the answer itself."""
    return answered.text or answered.answer or ""


def vote_table(answered: Answered) -> dict[str, Any]:
    """Answer, confidence and votes as JSON values."""
    candidates = answered.result.candidates
    return {
        "answer": answered.answer,
        "confidence": answered.confidence,
        "votes": [{"answer": candidate.answer, "votes": candidate.votes} for candidate in candidates],
        "samples": answered.sample_set.n,
        "tokens": answered.usage.total_tokens,
        "flags": list(answered.result.flags),
    }


async def _answer(
    messages: list[Message],
    key: tuple[str, str | None, str | None, str],
    k: int,
    answer_kind: str | None,
    params: dict[str, Any],
) -> Answered:
    if key not in _models:
        model, base_url, api_key, aggregator = key
        _models[key] = SampledModel(model, k, aggregator, base_url=base_url, api_key=api_key)
    question = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    return await _models[key].answer(question, messages, answer_kind=answer_kind, k=k, params=params)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        if all(isinstance(part, Mapping) and "text" in part for part in parts):
            return "".join(str(part["text"]) for part in parts)
    excerpt = str(cast("Any", content))[:80]
    raise InvalidArgumentError(f"Messages of text only can be sampled, got {excerpt!r}.")


def close_models() -> None:
    """Close the models that calls have opened."""

    async def close() -> None:
        while _models:
            await _models.popitem()[1].aclose()

    if _models:
        in_background(close()).result(timeout=10)


atexit.register(close_models)
