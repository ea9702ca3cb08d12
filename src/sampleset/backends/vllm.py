"""A vLLM server: beyond OpenAI's API it has its tokenizer and log-probabilities of given texts.

Texts are scored after a prompt without anything being written. One request asks for the next token behind
the prompt and behind every beginning of a text, and names the tokens whose log-probabilities are wanted
(`logprob_token_ids`, which vLLM 0.32 has): of the prompt, all but its last block comes from vLLM's prefix
cache. Of a server that does not know the field, each text is sent behind the prompt, and `prompt_logprobs`
are read; such a prompt is computed anew for each text.

The prompt comes from the server's chat template, and each text is cut into tokens on its own, as by the
models in this process.
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
"""Tokens whose log-probabilities vLLM gives at most in one request."""

_ANCHOR = "\n"
_UNFILTERED = {"max_tokens": 1, "temperature": 1.0, "top_p": 1.0, "top_k": -1}

Step = tuple[tuple[int, ...], int]
"""A token of a text, and those before it."""


@BACKENDS.register("vllm")
@dataclass(eq=False)
class VllmBackend(OpenAIBackend):
    """A model, or a LoRA module by its name, behind `vllm serve`.

    Attributes:
        record: How a trained aggregator is to be asked, where the folder that the server loaded is on this
            machine, too; known once `check` ran.
        names_tokens: Whether the server takes `logprob_token_ids`; false once it did not.
    """

    record: CheckpointRecord | None = field(default=None, init=False)
    names_tokens: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._anchor: list[int] | None = None

    async def check(self) -> None:
        """As any server's; and it has to be vLLM.

        Raises:
            BackendError: It is none, or it cannot be asked.
        """
        await super().check()
        if self.owner != "vllm":
            raise BackendError(f"{self._where} says that it is {self.owner!r}, not vLLM.")
        if self.served_from is not None:
            self.record = read_record(Path(self.served_from))

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one a token; estimated where the tokenizer's own writing cannot be read."""
        reply = await self._post("/tokenize", {**self._asked(text), "return_token_strs": True})
        pieces = pieces_of([str(one) for one in list_of(reply.get("token_strs"))])
        return pieces if "".join(pieces) == text else estimate_pieces(text)

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in order.

        Raises:
            BackendError: As `generate`.
        """
        continues = messages[-1]["role"] == "assistant"
        chat = {
            "model": self.model,
            "messages": list(messages),
            "add_generation_prompt": not continues,
            "continue_final_message": continues,
            # Models that can think do so, as they would elsewhere, unless their reply is already begun.
            "chat_template_kwargs": {"enable_thinking": not continues},
        }
        if self._anchor is None:
            # SentencePiece puts a space before a text; a continuation has none.
            start, after, anchor = [await self._plain(text) for text in ("a", f"{_ANCHOR}a", _ANCHOR)]
            self._anchor = [] if after[-len(start) :] == start else anchor
        prompt, *texts = await asyncio.gather(
            self._tokens(chat), *(self._continuation(text) for text in continuations)
        )
        known = await self._named(prompt, texts) if self.names_tokens else None
        if known is None:
            self.names_tokens = False
            logprobs = await self._read(prompt, texts)
        else:
            logprobs = [sum((known[step] for step in steps_of(text)), 0.0) for text in texts]
        return [
            Continuation(logprob, len(text), len(prompt))
            for text, logprob in zip(texts, logprobs, strict=True)
        ]

    async def _named(self, prompt: list[int], texts: Sequence[list[int]]) -> dict[Step, float] | None:
        """The log-probability of each step of the texts; `None` if the server cannot be asked for it."""
        known: dict[Step, float] = {}
        for steps in requests_of(step for text in texts for step in steps_of(text)):
            before = list(dict.fromkeys(prefix for prefix, _ in steps))
            asked = {
                "prompt": [[*prompt, *prefix] for prefix in before],
                "logprobs": 1,
                "logprob_token_ids": sorted({token for _, token in steps}),
                "return_tokens_as_token_ids": True,
            }
            try:
                choices = await self._choices(asked)
            except BackendError as error:
                if "logprob_token_ids" in str(error):
                    return None
                raise
            for prefix, token in steps:
                tops = list_of(mapping_of(choices[before.index(prefix)].get("logprobs")).get("top_logprobs"))
                value = mapping_of(tops[0] if tops else None).get(f"token_id:{token}")
                if not isinstance(value, (int, float)):
                    return None
                known[prefix, token] = float(value)
        return known

    async def _read(self, prompt: list[int], texts: Sequence[list[int]]) -> list[float]:
        """The log-probability of each text, read as the end of a prompt."""
        asked = {"prompt": [[*prompt, *text] for text in texts], "prompt_logprobs": 0}
        sums: list[float] = []
        for text, choice in zip(texts, await self._choices(asked), strict=True):
            rows = list_of(choice.get("prompt_logprobs"))[len(prompt) :]
            values = [
                mapping_of(mapping_of(row).get(str(token))).get("logprob")
                for row, token in zip(rows, text, strict=False)
            ]
            found = [float(value) for value in values if isinstance(value, (int, float))]
            if len(found) < len(text):
                raise BackendError(
                    f"{self._where} gives no log-probabilities of a given text, neither by logprob_token_ids "
                    "nor by prompt_logprobs. Use mode=direct, or a newer vLLM."
                )
            sums.append(sum(found, 0.0))
        return sums

    async def _choices(self, asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The choices of a completion request, in the order of its prompts."""
        prompts = len(asked["prompt"])
        if not prompts:
            return []
        reply = await self._post("/v1/completions", {"model": self.model, **_UNFILTERED, **asked})
        choices = sorted(map(mapping_of, list_of(reply.get("choices"))), key=lambda one: one.get("index", 0))
        if len(choices) != prompts:
            raise TransientBackendError(
                f"{self._where} answered {prompts} prompts with {len(choices)} choices."
            )
        return choices

    async def _continuation(self, text: str) -> list[int]:
        """Tokens of a text that goes on from another, cut on its own."""
        if not text or not self._anchor:
            return await self._plain(text) if text else []
        tokens = await self._plain(_ANCHOR + text)
        length = len(self._anchor)
        return tokens[length:] if tokens[:length] == self._anchor else await self._plain(text)

    async def _plain(self, text: str) -> list[int]:
        return await self._tokens(self._asked(text))

    def _asked(self, text: str) -> dict[str, Any]:
        return {"model": self.model, "prompt": text, "add_special_tokens": False}

    async def _tokens(self, asked: Mapping[str, Any]) -> list[int]:
        tokens = list_of((await self._post("/tokenize", asked)).get("tokens"))
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
    """Each token of a text with those before it."""
    return [(tuple(text[:place]), token) for place, token in enumerate(text)]


def requests_of(steps: Iterable[Step]) -> list[list[Step]]:
    """The distinct steps in order, parted where a request would name more than `MOST_TOKENS` tokens."""
    requests: list[list[Step]] = []
    tokens: set[int] = set()
    for step in dict.fromkeys(steps):
        if not requests or len(tokens | {step[1]}) > MOST_TOKENS:
            requests.append([])
            tokens = set[int]()
        requests[-1].append(step)
        tokens.add(step[1])
    return requests


def pieces_of(written: Sequence[str]) -> list[str]:
    """What tokens write, from their names in the vocabulary: of byte-level BPE, or of SentencePiece."""
    if any("▁" in name for name in written):
        raw = [
            bytes([int(name[3:5], 16)])
            if re.fullmatch("<0x[0-9A-F]{2}>", name)
            else name.replace("▁", " ").encode()
            for name in written
        ]
    else:
        raw = [b"".join(_BYTES.get(character, character.encode()) for character in name) for name in written]
    # A character's bytes may be spread over tokens: the decoder writes it when it is complete.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return [decoder.decode(one) for one in raw]


def _byte_names() -> dict[str, bytes]:
    """The byte that each character of byte-level BPE stands for.

    Printable ones stand for themselves, and the characters from 256 on for the others, in their order.
    """
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    names = {chr(byte): bytes([byte]) for byte in own}
    return names | {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}


_BYTES = _byte_names()
