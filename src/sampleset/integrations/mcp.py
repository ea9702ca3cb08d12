"""An MCP server: tools that answer a question by k samples, and that vote on answers that are there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sampleset.answers import with_answer_kind
from sampleset.api.functions import Answered, as_aggregator
from sampleset.api.sampled_model import SampledModel
from sampleset.errors import MissingExtraError, SampleSetError
from sampleset.integrations.base import reply_text, vote_table
from sampleset.specs import models_of
from sampleset.types import Question, SampleSet

MOST_SAMPLES = 64
"""Most samples that a client may ask for."""


def mcp_server(model: SampledModel, aggregator: str, k: int) -> Any:
    """The server; `run()` serves standard input and output.

    Args:
        model: The model that is sampled.
        aggregator: How `vote` decides, where it asks no model; else it takes the majority vote.
        k: Samples of a question where the client does not say.

    Raises:
        MissingExtraError: The package mcp is not installed.
    """
    server_class, tool_error = _package()
    server = server_class("sampleset")

    voter = as_aggregator("majority_vote" if models_of(aggregator) else aggregator)

    @server.tool()
    async def answer(question: str, samples: int = k, answer_kind: str = "maths") -> dict[str, Any]:
        """Answer a question by several independent samples of a language model, combined in one answer.

        Returns the answer, its confidence, how many samples gave each answer, and the text it was read from.
        Use it for questions with one checkable answer: a number, an expression, a choice.
        """
        if not 1 <= samples <= MOST_SAMPLES:
            raise tool_error(f"samples={samples} must lie between 1 and {MOST_SAMPLES}.")
        try:
            answered = await model.answer(question, k=samples, answer_kind=answer_kind)
        except SampleSetError as error:
            raise tool_error(str(error)) from error
        return vote_table(answered) | {"text": reply_text(answered)}

    @server.tool()
    async def vote(question: str, texts: list[str], answer_kind: str = "maths") -> dict[str, Any]:
        """Combine solutions of a question that you have already in one answer; equal answers vote as one."""
        try:
            full_question = with_answer_kind(Question(question[:64], question), answer_kind)
            sample_set = SampleSet.of(full_question, texts[:MOST_SAMPLES])
            return vote_table(Answered(sample_set, await voter.aggregate(sample_set)))
        except SampleSetError as error:
            raise tool_error(str(error)) from error

    return server


def _package() -> tuple[Any, Any]:
    """The classes of the server and of the error that a client is shown."""
    try:
        server = import_module("mcp.server.mcpserver")
        errors = import_module("mcp.server.mcpserver.exceptions")
    except ImportError as error:
        raise MissingExtraError(
            "An MCP server needs mcp 2 or newer: pip install 'sampleset[mcp]', or pip install -U mcp"
        ) from error
    return server.MCPServer, errors.ToolError
