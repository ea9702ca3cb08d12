"""The tokenizer and chat template of a converted model, through openvino-genai."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sampleset.chat import Message
from sampleset.engines.openvino.runtime import import_genai, last_line
from sampleset.errors import BackendError

END_TEXTS = (
    b"<|im_end|>",
    b"<|endoftext|>",
    b"<|eot_id|>",
    b"<|eom_id|>",
    b"<|end_of_text|>",
    b"<|end|>",
    b"<|endofprompt|>",
    b"</s>",
)
"""Special tokens that end a reply, in addition to the one that the model's file names."""


class Tokenizer:
    """The tokenizer in a converted model's folder.

    Raises:
        MissingExtraError: openvino-genai is not installed.
        BackendError: The folder's tokenizer cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer: Any = import_genai().Tokenizer(str(folder))
            vocabulary: dict[Any, int] = self._tokenizer.get_vocab()
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot read the tokenizer in {folder.name!r}: {last_line(error)}"
            ) from error
        self._bytes: dict[int, bytes] = {
            number: piece if isinstance(piece, bytes) else str(piece).encode()
            for piece, number in vocabulary.items()
        }
        numbers = {piece: number for number, piece in self._bytes.items() if piece in END_TEXTS}
        self.ends = frozenset({self._tokenizer.get_eos_token_id(), *numbers.values()})
        """Tokens that end a reply."""
        self._lock = threading.Lock()
        self._reply_bytes: dict[int, bytes] = {}

    def tokens(self, text: str) -> list[int]:
        """Tokens of a text. Special tokens written in the text are read as special tokens."""
        with self._lock:
            encoded = self._tokenizer.encode(text, add_special_tokens=False)
            return encoded.input_ids.data[0].tolist()

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the rendered chat. A last message of the assistant is left open.

        Raises:
            BackendError: The template refuses the messages.
        """
        prefill = messages[-1]["content"] if messages[-1]["role"] == "assistant" else None
        turns = messages if prefill is None else messages[:-1]
        # Thinking is enabled, as in other backends, unless the reply is begun already.
        rendered = self._rendered(turns, True, {"enable_thinking": prefill is None})
        return self.tokens(rendered + (prefill or ""))

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a rendered chat that is over: no reply is begun after it.

        Raises:
            BackendError: The template refuses the messages.
        """
        return self.tokens(self._rendered(messages, False, {}))

    def marks(self) -> list[str]:
        """Texts of the special tokens, which the tokenizer reads as such wherever they stand."""
        likely = [number for number, piece in self._bytes.items() if piece[:1] == b"<" and piece[-1:] == b">"]
        return [self._bytes[number].decode() for number in likely if not self.reply_bytes(number)]

    def _rendered(self, messages: Sequence[Message], opened: bool, context: dict[str, Any]) -> str:
        try:
            with self._lock:
                turns = [dict(message) for message in messages]
                return self._tokenizer.apply_chat_template(turns, opened, extra_context=context)
        except (RuntimeError, TypeError, ValueError) as error:
            raise BackendError(f"OpenVINO cannot read the request: {last_line(error)}") from error

    def pieces(self, text: str) -> list[str]:
        """The piece of each token of a text. A character of several tokens is in the last one's piece."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return [decoder.decode(self._bytes.get(token, b"")) for token in self.tokens(text)]

    def reply_bytes(self, token: int) -> bytes:
        """The bytes that a token adds to a reply; empty for special tokens."""
        piece = self._reply_bytes.get(token)
        if piece is None:
            with self._lock:
                is_mark = not self._tokenizer.decode([[token]], skip_special_tokens=True)[0]
            piece = self._reply_bytes[token] = b"" if is_mark else self._bytes.get(token, b"")
        return piece
