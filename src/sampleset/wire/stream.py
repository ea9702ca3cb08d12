"""A completion sent as server-sent events, joined into the body of an unstreamed reply."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sampleset.wire.values import list_of, mapping_of, text_of

_IN_PIECES = ("arguments", "input")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class StreamedCompletion:
    """The first choice of a stream.

    Attributes:
        has_begun: Whether an event has come.
        is_whole: Whether the end has: a finish reason, or `[DONE]`.
        length: Bytes that have come.
    """

    def __init__(self) -> None:
        self.has_begun = self.is_whole = False
        self.length = 0
        self._rest = b""
        # The name of the event, and the lines of data that are no JSON by themselves.
        self._event = b""
        self._data: list[bytes] = []
        self._texts: dict[str, list[str]] = {}
        self._calls: list[dict[str, Any]] = []
        # The position in `_calls` of the call that pieces with an index belong to.
        self._positions: dict[int, int] = {}
        self._logprobs: list[Any] = []
        self._others: dict[str, Any] = {}
        self._finish_reason: Any = None
        self._usage: Any = None
        self._error: Any = None

    def feed(self, part: bytes | bytearray) -> list[str]:
        """Take the next bytes; returns what each event in them adds to the content.

        Raises:
            ValueError: An event is not JSON.
        """
        if self.length == 0:
            part = part.removeprefix(_BYTE_ORDER_MARK)
        self.length += len(part)
        buffer = self._rest + part
        # A line feed may follow in the next part.
        end = len(buffer) - buffer.endswith(b"\r")
        *lines, rest = _LINE_END.split(buffer[:end])
        self._rest = rest + buffer[end:]
        return list(filter(None, map(self._take, lines)))

    def close(self) -> str:
        """Read the last line, which may lack a line break; returns its content.

        Raises:
            ValueError: It is an event that is not JSON.
        """
        line, self._rest = self._rest, b""
        return self._take(line.removesuffix(b"\r")) + self._take(b"")

    def add(self, event: Mapping[str, Any]) -> str:
        """Add an event; returns its content."""
        self.has_begun = True
        self._error = event.get("error") or self._error
        groq = mapping_of(event.get("x_groq"))
        self._usage = event.get("usage") or groq.get("usage") or self._usage
        before = len(self._texts.get("content", ()))
        for choice in map(mapping_of, list_of(event.get("choices"))):
            if choice.get("index", 0) == 0:
                self._error = choice.get("error") or self._error
                delta = mapping_of(choice.get("delta")) or mapping_of(choice.get("message"))
                self._add(delta or {"content": choice.get("text")})
                self._logprobs += list_of(mapping_of(choice.get("logprobs")).get("content"))
                self._finish_reason = choice.get("finish_reason") or self._finish_reason
                self.is_whole = self.is_whole or self._finish_reason is not None
        return "".join(self._texts.get("content", ())[before:])

    def body(self) -> dict[str, Any]:
        """The body of the same reply without streaming. It has no choices if the stream broke off."""
        if self._error is not None:
            return {"error": self._error, "choices": []}
        if not self.is_whole:
            return {"error": "the stream was cut off", "choices": []}
        message: dict[str, Any] = {"role": "assistant", "content": None, **self._others}
        message |= {name: "".join(pieces) for name, pieces in self._texts.items()}
        if self._calls:
            message["tool_calls"] = self._calls
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        return {"choices": [choice], "usage": self._usage}

    def _take(self, line: bytes) -> str:
        """Read a line; returns its content. A line of bare JSON is an error of the server.

        Servers that leave the empty line between events out are read, too: an event is complete when its
        data are JSON. Data over several lines are read at the empty line.
        """
        if not line.strip():
            data, self._data = b"\n".join(self._data), []
            content = self._add_data(json.loads(data, parse_constant=lambda _: None)) if data else ""
            self._event = b""
            return content
        if line.startswith(b"event:"):
            self._event = line[6:].strip()
        is_data = line.startswith(b"data:")
        data = line[5:].strip() if is_data else line.strip()
        if not data or (not is_data and not data.startswith(b"{")):
            return ""
        if data == b"[DONE]":
            self.is_whole = True
            return ""
        if self._data:
            self._data.append(data)
            return ""
        try:
            value = json.loads(data, parse_constant=lambda _: None)
        except ValueError:
            if self._event == b"error":
                value = data.decode("utf-8", "replace")
            elif is_data:
                self._data.append(data)
                return ""
            else:
                raise
        return self._add_data(value)

    def _add_data(self, value: object) -> str:
        """Add the data of an event, which may be an error by the event's name."""
        event = mapping_of(value)
        if self._event == b"error" and not event.get("error"):
            event = {"error": value or "no reason given"}
        return self.add(event)

    def _add(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if name == "tool_calls":
                for position, call in enumerate(map(mapping_of, list_of(value))):
                    self._add_call(call["index"] if isinstance(call.get("index"), int) else position, call)
            elif isinstance(value, str) or name == "content":
                if name != "role" and (text := text_of(value)):
                    self._texts.setdefault(name, []).append(text)
                if (parts := list_of(value)) and not text_of(parts):
                    self._others["thinking_blocks"] = [*self._others.get("thinking_blocks", ()), *parts]
            elif (parts := list_of(value)) and isinstance(self._others.get(name), list):
                self._others[name] = [*self._others[name], *parts]
            elif value is not None:
                self._others[name] = value

    def _add_call(self, index: int, call: Mapping[str, Any]) -> None:
        """Add a piece of a tool call. Names arrive whole, arguments in pieces.

        A new id begins a new call, whatever its index: some servers number all calls 0.
        """
        position = self._positions.get(index)
        identity = call.get("id")
        if position is None or (identity and self._calls[position].get("id", identity) != identity):
            position = self._positions[index] = len(self._calls)
            self._calls.append({})
        joined = self._calls[position]
        for name, value in call.items():
            if inner := mapping_of(value):
                before = mapping_of(joined.get(name))
                joined[name] = {
                    **before,
                    **{key: _joined(before, key, piece) for key, piece in inner.items()},
                }
            elif value is not None and name != "index" and not (name == "id" and not value):
                joined[name] = value


def _joined(before: Mapping[str, Any], name: str, piece: object) -> object:
    """A field of a call with one more piece added. Arguments sent as an object are written as JSON."""
    if name not in _IN_PIECES:
        return piece if piece else before.get(name, piece)
    text = piece if isinstance(piece, str) else "" if piece is None else json.dumps(piece)
    return f"{before.get(name, '')}{text}"
