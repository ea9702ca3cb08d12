"""A client of mcp itself talks to `sampleset mcp` over its standard input and output."""

import json
import os
import sys
from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

pytestmark = pytest.mark.filterwarnings("ignore")


async def call(model: str, tool: str, **arguments: Any) -> Any:
    command = ["-m", "sampleset", "mcp", "--model", model, "-k", "4"]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        assert {one.name for one in (await session.list_tools()).tools} == {"answer", "vote"}
        return await session.call_tool(tool, arguments)


async def test_a_question_is_answered_with_votes_and_confidence(model: str):
    result = await call(model, "answer", question="2+3?")
    told = json.loads(result.content[0].text)
    assert (told["answer"], told["confidence"], told["samples"]) == ("5", 0.75, 4)
    assert told["votes"] == [{"answer": "6", "votes": 1}, {"answer": "5", "votes": 3}]


async def test_texts_are_voted_on(model: str):
    result = await call(model, "vote", question="2+3?", texts=["It is 1/2", "0.5", "The answer is 7."])
    assert json.loads(result.content[0].text)["answer"] in ("1/2", "0.5")


async def test_too_many_samples_are_refused(model: str):
    result = await call(model, "answer", question="2+3?", samples=1000)
    assert "between 1 and 64" in result.content[0].text
