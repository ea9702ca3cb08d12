"""A vLLM server: beyond OpenAI's API it offers its tokenizer and scores texts.

Texts are scored without generating them. One request asks for the token after the prompt and after every
prefix of a text, and names the tokens whose log-probabilities are wanted (`logprob_token_ids`, since vLLM
0.32). All but the last block of the prompt comes from vLLM's prefix cache. A server without that field gets
prompt and text as one prompt for each text and returns `prompt_logprobs`; then the prompt is computed again
for each text.

The prompt is rendered by the server's chat template. Each text is tokenized by itself, as by the models in
this process.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampleset.backends.base import BACKENDS
from sampleset.backends.openai import OpenAIBackend
from sampleset.chat import Continuation, Message, estimate_pieces
from sampleset.engines.checkpoint import CheckpointRecord, read_record
from sampleset.errors import BackendError, TransientBackendError
from sampleset.wire.replies import decoded
from sampleset.wire.values import count_of, list_of, mapping_of

MOST_TOKENS = 128
"""Most tokens whose log-probabilities vLLM returns in one request."""

_ANCHOR = "\n"
_UNFILTERED = {"max_tokens": 1, "temperature": 1.0, "top_p": 1.0, "top_k": -1}

Step = tuple[tuple[int, ...], int]
"""The tokens of a text before a token, and the token."""


@BACKENDS.register("vllm")
@dataclass(eq=False)
class VllmBackend(OpenAIBackend):
    """A model, or a LoRA module by its name, behind `vllm serve`.

    Attributes:
        record: Record of a trained aggregator, if the folder that the server loaded is on this machine, too;
            set by `check`.
        names_tokens: Whether the server takes `logprob_token_ids`; true until it refuses the field.
    """

    record: CheckpointRecord | None = field(default=None, init=False)
    names_tokens: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._anchor: list[int] | None = None

    async def check(self) -> None:
        """As `OpenAIBackend.check`, and the server must be vLLM.

        Raises:
            BackendError: The server is not vLLM, or it cannot be asked.
        """
        await super().check()
        if self.owner != "vllm":
            raise BackendError(f"{self._where} says that it is {self.owner!r}, not vLLM.")
        if self.served_from is not None:
            self.record = read_record(Path(self.served_from))

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one for each token; estimated if the tokenizer's names cannot be read."""
        reply = await self._post("/tokenize", {**self._tokenize_request(text), "return_token_strs": True})
        pieces = pieces_of([str(piece) for piece in list_of(reply.get("token_strs"))])
        return pieces if "".join(pieces) == text else estimate_pieces(text)

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in nats, in order.

        Raises:
            BackendError: As `generate`.
        """
        continues = messages[-1]["role"] == "assistant"
        chat = {
            "model": self.model,
            "messages": list(messages),
            "add_generation_prompt": not continues,
            "continue_final_message": continues,
            # Thinking is enabled, as in other backends, unless the reply is begun already.
            "chat_template_kwargs": {"enable_thinking": not continues},
        }
        if self._anchor is None:
            # SentencePiece puts a space before a text; a continuation has none.
            start, after, anchor = [await self._plain(text) for text in ("a", f"{_ANCHOR}a", _ANCHOR)]
            self._anchor = [] if after[-len(start) :] == start else anchor
        prompt, *texts = await asyncio.gather(
            self._tokens(chat), *(self._continuation(text) for text in continuations)
        )
        logprob_of = await self._step_logprobs(prompt, texts) if self.names_tokens else None
        if logprob_of is None:
            self.names_tokens = False
            logprobs = await self._read(prompt, texts)
        else:
            logprobs = [sum((logprob_of[step] for step in steps_of(text)), 0.0) for text in texts]
        return [
            Continuation(logprob, len(text), len(prompt))
            for text, logprob in zip(texts, logprobs, strict=True)
        ]

    async def _step_logprobs(self, prompt: list[int], texts: Sequence[list[int]]) -> dict[Step, float] | None:
        """The log-probability of each step of the texts; `None` if the server does not support that."""
        logprob_of: dict[Step, float] = {}
        for steps in requests_of(step for text in texts for step in steps_of(text)):
            before = list(dict.fromkeys(prefix for prefix, _ in steps))
            request = {
                "prompt": [[*prompt, *prefix] for prefix in before],
                "logprobs": 1,
                "logprob_token_ids": sorted({token for _, token in steps}),
                "return_tokens_as_token_ids": True,
            }
            try:
                choices = await self._choices(request)
            except BackendError as error:
                if "logprob_token_ids" in str(error):
                    return None
                raise
            for prefix, token in steps:
                tops = list_of(mapping_of(choices[before.index(prefix)].get("logprobs")).get("top_logprobs"))
                value = mapping_of(tops[0] if tops else None).get(f"token_id:{token}")
                if not isinstance(value, (int, float)):
                    return None
                logprob_of[prefix, token] = float(value)
        return logprob_of

    async def _read(self, prompt: list[int], texts: Sequence[list[int]]) -> list[float]:
        """The log-probability of each text, read as the end of a prompt."""
        request = {"prompt": [[*prompt, *text] for text in texts], "prompt_logprobs": 0}
        sums: list[float] = []
        for text, choice in zip(texts, await self._choices(request), strict=True):
            rows = list_of(choice.get("prompt_logprobs"))[len(prompt) :]
            values = [
                mapping_of(mapping_of(row).get(str(token))).get("logprob")
                for row, token in zip(rows, text, strict=False)
            ]
            numbers = [float(value) for value in values if isinstance(value, (int, float))]
            if len(numbers) < len(text):
                raise BackendError(
                    f"{self._where} gives no log-probabilities of a given text, neither by logprob_token_ids "
                    "nor by prompt_logprobs. Use mode=direct, or a newer vLLM."
                )
            sums.append(sum(numbers, 0.0))
        return sums

    async def _choices(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The choices of a completion request, in the order of its prompts."""
        prompts = len(request["prompt"])
        if not prompts:
            return []
        reply = await self._post("/v1/completions", {"model": self.model, **_UNFILTERED, **request})
        choices = sorted(
            map(mapping_of, list_of(reply.get("choices"))), key=lambda choice: choice.get("index", 0)
        )
        if len(choices) != prompts:
            raise TransientBackendError(
                f"{self._where} answered {prompts} prompts with {len(choices)} choices."
            )
        return choices

    async def _continuation(self, text: str) -> list[int]:
        """Tokens of a text that continues another, tokenized by itself."""
        if not text or not self._anchor:
            return await self._plain(text) if text else []
        tokens = await self._plain(_ANCHOR + text)
        length = len(self._anchor)
        return tokens[length:] if tokens[:length] == self._anchor else await self._plain(text)

    async def _plain(self, text: str) -> list[int]:
        return await self._tokens(self._tokenize_request(text))

    def _tokenize_request(self, text: str) -> dict[str, Any]:
        return {"model": self.model, "prompt": text, "add_special_tokens": False}

    async def _tokens(self, request: Mapping[str, Any]) -> list[int]:
        tokens = list_of((await self._post("/tokenize", request)).get("tokens"))
        if any(count_of(token) is None for token in tokens):
            raise TransientBackendError(f"{self._where} answered /tokenize with no list of tokens.")
        return tokens

    async def _post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The reply to a request at the server's root."""
        reply = await self._client.post(self._client.root_url(path), [json.dumps(body).encode()])
        if reply.status != 200:
            raise await self._error(self._fault(reply))
        try:
            return mapping_of(decoded(reply.raw))
        except (ValueError, RecursionError) as error:
            raise TransientBackendError(
                f"{self._where} answered {path} with broken JSON.", kind="damaged reply"
            ) from error


def steps_of(text: Sequence[int]) -> list[Step]:
    """Each token of a text with the tokens before it."""
    return [(tuple(text[:index]), token) for index, token in enumerate(text)]


def requests_of(steps: Iterable[Step]) -> list[list[Step]]:
    """The distinct steps in order, split so that no request names more than `MOST_TOKENS` tokens."""
    requests: list[list[Step]] = []
    tokens: set[int] = set()
    for step in dict.fromkeys(steps):
        if not requests or len(tokens | {step[1]}) > MOST_TOKENS:
            requests.append([])
            tokens = set[int]()
        requests[-1].append(step)
        tokens.add(step[1])
    return requests


def pieces_of(names: Sequence[str]) -> list[str]:
    """The text of each token, from its name in a vocabulary of byte-level BPE or SentencePiece."""
    if any("▁" in name for name in names):
        raw = [
            bytes([int(name[3:5], 16)])
            if re.fullmatch("<0x[0-9A-F]{2}>", name)
            else name.replace("▁", " ").encode()
            for name in names
        ]
    else:
        raw = [b"".join(_BYTES.get(character, character.encode()) for character in name) for name in names]
    # A character may span several tokens: the decoder writes it when it is complete.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return [decoder.decode(piece) for piece in raw]


def _byte_names() -> dict[str, bytes]:
    """The byte for each character of byte-level BPE.

    Printable bytes have their own character. The other bytes have the characters from 256 on, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    names = {chr(byte): bytes([byte]) for byte in printable}
    return names | {chr(256 + number): bytes([byte]) for number, byte in enumerate(others)}


_BYTES = _byte_names()
