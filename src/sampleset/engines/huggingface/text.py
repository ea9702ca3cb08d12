"""Conversion between text and tokens: the rendered chat, continuations, and the text of tokens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

from sampleset.chat import Message, estimate_pieces
from sampleset.errors import InvalidArgumentError

ANCHOR = "\n"
"""Text put before a continuation, for tokenizers that tokenize the start of a text differently."""

_SLACK = 8
"""Additional tokens searched for a stop text, beyond its number of bytes: some tokens write nothing."""


class Texts:
    """A tokenizer that several threads can use.

    Args:
        tokenizer: A tokenizer of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._anchor: list[int] = []
        # SentencePiece puts a space before a text; a continuation has none.
        start, after = self._encode("a"), self._encode(f"{ANCHOR}a")
        if after[-len(start) :] != start:
            self._anchor = self._encode(ANCHOR)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the rendered chat. A last message of the assistant is left open.

        A tokenizer without a chat template belongs to a base model; see `plain_prompt`.
        """
        if not messages:
            raise InvalidArgumentError("The chat is empty; give at least one message.")
        with self._lock:
            if self._tokenizer.chat_template is None:
                return self._tokenizer.encode(plain_prompt(messages))
            return self._tokenizer.encode(self._rendered(messages), add_special_tokens=False)

    def continuation(self, text: str) -> list[int]:
        """Tokens of a text that continues another, tokenized by itself."""
        with self._lock:
            if not self._anchor:
                return self._encode(text)
            tokens = self._encode(ANCHOR + text)
            length = len(self._anchor)
            return tokens[length:] if tokens[:length] == self._anchor else self._encode(text)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of a completion's tokens, without special tokens."""
        with self._lock:
            text: str = self._tokenizer.decode(
                [*self._anchor, *tokens], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        return text.removeprefix(ANCHOR) if self._anchor else text

    def stopped(self, tokens: Sequence[int], stop: Sequence[str]) -> str | None:
        """The text before the first stop text if the last token completed one, else `None`."""
        if not stop:
            return None
        tail = self.text(tokens[-(max(len(stop_text.encode()) for stop_text in stop) + _SLACK) :])
        if not any(stop_text in tail for stop_text in stop):
            return None
        text = self.text(tokens)
        positions = [position for stop_text in stop if (position := text.find(stop_text)) >= 0]
        return text[: min(positions)] if positions else None

    def pieces(self, text: str) -> list[str]:
        """The piece of each token of a text; estimated if the tokenizer has no offsets."""
        with self._lock:
            if not self._tokenizer.is_fast:
                return estimate_pieces(text)
            encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        starts = [cast(int, start) for start, _ in encoding["offset_mapping"]]
        pieces: list[str] = []
        done = 0
        for end in [*starts[1:], len(text)] if starts else []:
            # A character of several tokens is in the piece of its last token.
            pieces.append(text[done : max(done, end)])
            done = max(done, end)
        return pieces

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _rendered(self, messages: Sequence[Message]) -> str:
        chat = [dict(message) for message in messages]
        if chat[-1]["role"] != "assistant":
            return self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, enable_thinking=True
            )
        # Thinking is enabled, as in other backends, unless the reply is begun already.
        try:
            return self._tokenizer.apply_chat_template(
                chat, tokenize=False, continue_final_message=True, enable_thinking=False
            )
        except ValueError:  # the template alters the message, so its end cannot be found
            opened: str = self._tokenizer.apply_chat_template(
                chat[:-1], tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            return opened + messages[-1]["content"]


def plain_prompt(messages: Sequence[Message]) -> str:
    """A chat for a base model: the messages, each followed by a blank line, without roles.

    A last message of the assistant is left open.
    """
    *before, last = messages
    text = "".join(f"{message['content']}\n\n" for message in before)
    return text + (last["content"] if last["role"] == "assistant" else f"{last['content']}\n\n")
