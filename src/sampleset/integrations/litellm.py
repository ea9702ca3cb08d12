"""LiteLLM: the provider `sampleset/MODEL`, each of whose replies is made of k samples.

    import litellm
    from sampleset.integrations.litellm import register

    register()
    litellm.completion(model="sampleset/gpt-4o-mini", messages=[...], k=5, aggregator="majority_vote")

LiteLLM's proxy finds it by `custom_handler: sampleset.integrations.litellm.provider` in its configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

import litellm
from litellm import CustomLLM
from litellm.types.utils import GenericStreamingChunk, ModelResponse, Usage

from sampleset.api.functions import Answered
from sampleset.integrations.base import answer_in_background, reply_text, vote_table

_NAMES = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_tokens"}
_OURS = ("k", "aggregator", "answer_kind")


class SampledProvider(CustomLLM):
    """The provider; options of ours are `k`, `aggregator` and `answer_kind`."""

    def completion(self, *arguments: Any, **options: Any) -> ModelResponse:
        """One reply, waited for."""
        return _response(_answered(options).result(), options)

    async def acompletion(self, *arguments: Any, **options: Any) -> ModelResponse:
        """One reply."""
        return _response(await asyncio.wrap_future(_answered(options)), options)

    def streaming(self, *arguments: Any, **options: Any) -> Iterator[GenericStreamingChunk]:
        """The reply in one chunk: there is nothing to stream before all samples are back."""
        yield _chunk(_answered(options).result())

    async def astreaming(self, *arguments: Any, **options: Any) -> AsyncIterator[GenericStreamingChunk]:
        """The reply in one chunk."""
        yield _chunk(await asyncio.wrap_future(_answered(options)))


provider = SampledProvider()


def register(name: str = "sampleset") -> None:
    """Make the provider known to LiteLLM in this process."""
    known = [entry for entry in litellm.custom_provider_map if entry["provider"] != name]
    litellm.custom_provider_map = [*known, {"provider": name, "custom_handler": provider}]
    litellm.utils.custom_llm_setup()


def _answered(options: dict[str, Any]) -> Future[Answered]:
    params = options["optional_params"]
    # Options that LiteLLM does not know come in `extra_body` or beside the others.
    ours = {**(params.get("extra_body") or {}), **params}
    return answer_in_background(
        options["messages"],
        model=options["model"],
        base_url=options.get("api_base") or None,
        api_key=options.get("api_key") or None,
        params={name: params.get(theirs) for theirs, name in _NAMES.items()},
        **{name: ours[name] for name in _OURS if ours.get(name) is not None},
    )


def _response(answered: Answered, options: dict[str, Any]) -> ModelResponse:
    response: ModelResponse = options["model_response"]
    response.model = options["model"]
    response.choices[0].message.content = reply_text(answered)  # type: ignore[union-attr]
    response.choices[0].finish_reason = "stop"
    used = answered.usage
    response.usage = Usage(  # type: ignore[attr-defined]
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        total_tokens=used.total_tokens,
    )
    response._hidden_params["sampleset"] = vote_table(answered)
    return response


def _chunk(answered: Answered) -> GenericStreamingChunk:
    used = answered.usage
    return GenericStreamingChunk(
        text=reply_text(answered),
        is_finished=True,
        finish_reason="stop",
        index=0,
        tool_use=None,
        usage={
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "total_tokens": used.total_tokens,
        },
    )
