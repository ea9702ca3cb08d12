"""The clients of JavaScript programs: npm's `openai`, `@anthropic-ai/sdk` and `ai`.

They are looked for where SAMPLESET_NODE_MODULES says, a folder `node_modules` made by
`npm install openai @anthropic-ai/sdk ai @ai-sdk/openai @ai-sdk/openai-compatible zod`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.running import Upstream, alias, call, running

NODE_MODULES = os.environ.get("SAMPLESET_NODE_MODULES")


@pytest.mark.skipif(NODE_MODULES is None, reason="SAMPLESET_NODE_MODULES is not set")
def test_npm_clients_get_what_they_ask_for():
    node = shutil.which("node")
    assert node, "SAMPLESET_NODE_MODULES is set, and there is no node"

    def says(request: dict[str, Any]) -> Any:
        if request.get("tools"):
            return call("weather", '{"city": "Oslo"}')
        return (
            '{"city": "Rome"}' if request["messages"][-1]["content"] == "an object" else "It is \\boxed{4}."
        )

    with Upstream(says=says) as upstream, running({"careful": alias(upstream, k=3)}) as server:
        done = subprocess.run(
            [node, str(Path(__file__).with_name("npm_clients.cjs")), server.base_url],
            env={**os.environ, "NODE_PATH": str(NODE_MODULES), "AI_SDK_LOG_WARNINGS": "false"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    text = "It is \\boxed{4}."
    plain = ("chat", "completion", "responses", "messages", "compatibleText", "openaiText")
    streamed = ("chatStream", "responsesStream", "messagesStream", "compatibleStream", "openaiStream")
    assert json.loads(done.stdout.splitlines()[-1]) == {
        **dict.fromkeys((*plain, *streamed), text),
        "refusal": "background",
        **dict.fromkeys(
            ("compatibleTool", "compatibleToolStream", "openaiTool", "openaiToolStream"), "rain in Oslo"
        ),
        **dict.fromkeys(("compatibleObject", "openaiObject"), "Rome"),
    }
