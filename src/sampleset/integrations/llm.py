"""A plugin of `llm`: the model `sampleset`, each of whose replies is made of k samples.

llm -m sampleset -o model gpt-4o-mini -o k 5 'What is 6 x 7?'
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import llm
from pydantic import Field

from sampleset.integrations.base import answer_in_background, reply_text, vote_table


class SampledLLM(llm.Model):
    """The model `sampleset` of `llm`."""

    model_id = "sampleset"
    can_stream = False

    class Options(llm.Options):
        """The options of `-o NAME VALUE`."""

        model: str = Field(
            description="As sampleset takes it: embedded, a .gguf path, a name", default="embedded"
        )
        k: int = Field(description="Samples", default=5)
        aggregator: str = Field(description="NAME or NAME:key=value,...", default="majority_vote")
        base_url: str | None = Field(description="Address of the server, up to /v1", default=None)
        answer_kind: str | None = Field(description="How answers are compared", default=None)
        temperature: float | None = Field(description="0 is greedy", default=None)
        max_tokens: int | None = Field(description="Most tokens of a sample", default=None)

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        """The chosen text; votes and confidence stand in the logged response."""
        messages: list[dict[str, str]] = []
        if prompt.system:
            messages.append({"role": "system", "content": prompt.system})
        for earlier in conversation.responses if conversation else ():
            messages.append({"role": "user", "content": earlier.prompt.prompt})
            messages.append({"role": "assistant", "content": earlier.text()})
        messages.append({"role": "user", "content": prompt.prompt})
        options = prompt.options
        answered = answer_in_background(
            messages,
            model=options.model,
            k=options.k,
            aggregator=options.aggregator,
            base_url=options.base_url,
            answer_kind=options.answer_kind,
            params={"temperature": options.temperature, "max_tokens": options.max_tokens},
        ).result()
        response.response_json = vote_table(answered)
        response.set_usage(input=answered.usage.prompt_tokens, output=answered.usage.completion_tokens)
        yield reply_text(answered)


@llm.hookimpl
def register_models(register: Any) -> None:
    """Called by `llm` when it starts."""
    register(SampledLLM())
