"""inspect_ai: a model whose every reply is made of k samples, and a solver for models of inspect's own.

`inspect eval task.py --model sampleset/gpt-4o-mini -M k=5` asks the provider. The solver `aggregated` draws
from whatever model the task runs on:

    from sampleset.inspect import aggregated

    Task(dataset=..., solver=[aggregated(k=5)], scorer=match())
"""

from __future__ import annotations

import asyncio
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolChoice, ToolInfo

from sampleset.api.functions import Answered, as_aggregator
from sampleset.errors import InvalidArgumentError
from sampleset.integrations.base import answer_in_background, reply_text, vote_table
from sampleset.types import Question, Sample, SampleSet


@modelapi(name="sampleset")
class SampledModelAPI(ModelAPI):
    """The provider `sampleset/MODEL`; `-M k=5 -M aggregator=NAME` are its options."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        k: int = 5,
        aggregator: str = "majority_vote",
        **options: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        if options:
            raise InvalidArgumentError(f"Unknown options {', '.join(options)}; there are k and aggregator.")
        self._options: dict[str, Any] = {"k": k, "aggregator": aggregator}

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """The chosen text, with the votes in the output's metadata."""
        if tools:
            raise InvalidArgumentError("sampleset/ models call no tools. Take the tools out of the task.")
        answered = await asyncio.wrap_future(
            answer_in_background(
                [{"role": message.role, "content": message.text} for message in input],
                model=self.model_name,
                base_url=self.base_url,
                api_key=self.api_key,
                params={
                    "temperature": config.temperature,
                    "top_p": config.top_p,
                    "max_tokens": config.max_tokens,
                },
                **self._options,
            )
        )
        output = ModelOutput.from_content(self.model_name, reply_text(answered))
        output.usage = _usage(answered)
        output.metadata = vote_table(answered)
        return output


@solver
def aggregated(k: int = 5, aggregator: str = "majority_vote", answer_kind: str = "maths") -> Solver:
    """Draw k replies of the task's model, and go on with the one that the aggregator's answer is read from.

    Votes and confidence stand in the sample's metadata under `sampleset`.

    Args:
        k: Replies.
        aggregator: A name with options, of an aggregator that asks no model.
        answer_kind: How answers are compared.
    """
    method = as_aggregator(aggregator)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model()
        outputs = await asyncio.gather(*(model.generate(state.messages) for _ in range(k)))
        samples = tuple(
            Sample(
                index,
                output.completion,
                finish_reason="length" if output.stop_reason == "max_tokens" else output.stop_reason,
                prompt_tokens=output.usage.input_tokens if output.usage else None,
                completion_tokens=output.usage.output_tokens if output.usage else None,
                model=output.model,
            )
            for index, output in enumerate(outputs)
        )
        choices = tuple(str(choice.value) for choice in state.choices) or None
        kind = "choice" if choices and answer_kind == "maths" else answer_kind
        question = Question(str(state.sample_id), state.input_text, choices, kind)
        sample_set = SampleSet(question, samples)
        answered = Answered(sample_set, await method.aggregate(sample_set.without_thinking()))
        text = reply_text(answered)
        chosen = next((output for output in outputs if output.completion == text), None)
        state.output = chosen or ModelOutput.from_content(str(model), text)
        state.messages.append(ChatMessageAssistant(content=text, source="generate"))
        state.metadata["sampleset"] = vote_table(answered)
        return state

    return solve


def _usage(answered: Answered) -> ModelUsage:
    used = answered.usage
    return ModelUsage(
        input_tokens=used.prompt_tokens, output_tokens=used.completion_tokens, total_tokens=used.total_tokens
    )
