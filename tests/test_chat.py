"""The seam: prompts of any content, and backends that read text only."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation, Message, Prompt, SamplingParams, first_seed, longest_prompt
from sampleset.errors import UnsupportedByBackendError

CHAT: list[Message] = [{"role": "user", "content": "2 + 2?"}]
TOOLS = [{"type": "function", "function": {"name": "add"}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def test_a_prompt_is_a_sequence_of_messages_with_the_fields_of_a_request():
    prompt = Prompt(CHAT, {"tools": TOOLS})
    assert list(prompt) == CHAT
    assert json.loads(prompt.json) == CHAT
    assert prompt.extra == {"tools": TOOLS}
    assert Prompt(CHAT).extra is None
    copied = copy.deepcopy(prompt)
    assert (list(copied), copied.extra) == (CHAT, prompt.extra)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        pytest.param(Prompt(CHAT, {"tools": TOOLS}), "'tools'", id="tools"),
        pytest.param(Prompt(CHAT, {"response_format": {"type": "json_object"}}), "'response_format'", id="a"),
        pytest.param([{"role": "user", "content": [IMAGE]}], r"messages\[0\]", id="an image"),
        pytest.param(
            [*CHAT, {"role": "tool", "tool_call_id": "1", "content": "4"}], "the role 'tool'", id="a tool"
        ),
        pytest.param([{"role": "assistant", "content": None, "tool_calls": []}], r"messages\[0\]", id="none"),
    ],
)
async def test_a_backend_that_reads_text_refuses_anything_else_by_name(prompt: Any, name: str):
    backend = ReplayBackend(lambda messages, seed: "4")
    with pytest.raises(UnsupportedByBackendError, match=name):
        await backend.generate(prompt, SamplingParams(), [0])
    assert backend.calls == []


async def test_fields_that_the_parameters_say_as_well_are_no_reason_to_refuse():
    prompt = Prompt(CHAT, {"temperature": 0.2, "stop": "END", "max_completion_tokens": 9})
    (drawn,) = await ReplayBackend(lambda messages, seed: "4").generate(prompt, SamplingParams(), [0])
    assert drawn.whole_message == {"role": "assistant", "content": "4"}


def test_a_generation_may_carry_the_whole_message():
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    assert Generation("", "tool_calls", message=message).whole_message is message


def test_tools_and_parts_count_as_prompt():
    plain = longest_prompt(CHAT)
    assert longest_prompt(Prompt(CHAT)) == plain
    assert longest_prompt(Prompt(CHAT, {"tools": TOOLS})) == plain + len(json.dumps({"tools": TOOLS}))
    assert longest_prompt([{"role": "user", "content": [IMAGE]}]) > len(json.dumps(IMAGE))


def test_seeds_of_plain_questions_are_as_they_were():
    assert first_seed(CHAT, 7) == 65536 * 5738 + 7
    assert first_seed([{"role": "user", "content": [IMAGE]}], 0) % 65536 == 0
