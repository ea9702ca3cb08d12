"""A stand-in for vLLM as version 0.32 speaks on a CPU: tokens, and log-probabilities of given texts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sampleset.chat import Message
from support.stub_server import Reply, StubServer


def logprob(before: Sequence[int], token: int) -> float:
    """What the stand-in's model says: digits are likely, and 4 the likeliest first one."""
    return -0.1 * (token % 7) - 0.001 * len(before) - (0.0 if chr(token).isdigit() else 1.0)


@dataclass
class VllmStub(StubServer):
    """Every character is a token.

    Attributes:
        knows_tokens: Whether it has the field `logprob_token_ids`; an older one passes over it.
        knows_prompts: Whether it has `prompt_logprobs`.
        folder: Where it says its model comes from.
    """

    owned_by: str = "vllm"
    knows_tokens: bool = True
    knows_prompts: bool = True
    folder: str | None = None
    refusal: Reply | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.completions: list[dict[str, Any]] = []
        rows = [{"id": name, "owned_by": self.owned_by, "root": self.folder} for name in self.models]
        self.listing = Reply(200, {"data": [row | {"max_model_len": 4096} for row in rows]})

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, reader: asyncio.StreamReader
    ) -> Reply | None:
        if path == "/tokenize":
            return self._tokenized(json.loads(body))
        if path == "/v1/completions":
            self.completions.append(json.loads(body))
            return self.refusal or self._completed(self.completions[-1])
        return await super()._answer(method, path, headers, body, reader)

    def _tokenized(self, request: Mapping[str, Any]) -> Reply:
        text = request.get("prompt")
        if text is None:
            assert request["continue_final_message"] is not request["add_generation_prompt"]
            text = rendered(request["messages"])
        names = [{" ": "Ġ", "\n": "Ċ"}.get(one, one) for one in text]
        strings = names if request.get("return_token_strs") else None
        return Reply(200, {"tokens": [ord(one) for one in text], "token_strs": strings})

    def _completed(self, request: Mapping[str, Any]) -> Reply:
        choices: list[dict[str, Any]] = []
        for index, prompt in enumerate(request["prompt"]):
            choice: dict[str, Any] = {"index": index, "text": "x"}
            wanted = request.get("logprob_token_ids", []) if self.knows_tokens else []
            tops = {f"token_id:{token}": logprob(prompt, token) for token in [120, *wanted]}
            if "logprobs" in request:
                choice["logprobs"] = {"top_logprobs": [tops]}
            if "prompt_logprobs" in request and self.knows_prompts:
                rows = [{str(one): {"logprob": logprob(prompt[:n], one)}} for n, one in enumerate(prompt)]
                choice["prompt_logprobs"] = [None, *rows[1:]]
            choices.append(choice)
        return Reply(200, {"choices": choices[::-1]})


def rendered(messages: Sequence[Message]) -> str:
    return "".join(f"[{one['role']}] {one['content']}" for one in messages)
