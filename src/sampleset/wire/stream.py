"""A completion sent as server-sent events, joined into the body of an unstreamed reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from sampleset.wire.native import in_chat_form
from sampleset.wire.parsing import parsed
from sampleset.wire.statuses import finish_of
from sampleset.wire.tool_calls import StreamedCalls
from sampleset.wire.values import list_of, mapping_of, text_of

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELD = re.compile(rb"(?:event|id|retry|comment)?:", re.IGNORECASE)
_BEGIN = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:", re.IGNORECASE)


def begins_events(raw: bytes | bytearray) -> bool:
    """Whether a body is a stream of events, for servers that do not declare it."""
    return _BEGIN.match(raw) is not None


class StreamedCompletion:
    """The first choice of a stream.

    Attributes:
        has_begun: Whether an event has come.
        is_whole: Whether the end has: a finish reason, or `[DONE]`.
        length: Bytes that have come.
    """

    def __init__(self) -> None:
        self.has_begun = self.is_whole = self._is_done = False
        self.length = 0
        # The line that has not ended, and its bytes.
        self._rest: list[bytes | bytearray] = []
        self._waiting = 0
        # The name of the event, and the lines of data that are no JSON by themselves.
        self._event = b""
        self._data: list[bytes] = []
        self._texts: dict[str, list[str]] = {}
        self._lengths: dict[str, int] = {}
        self._calls = StreamedCalls()
        # The older field of one call, which knows no ids.
        self._function_call = StreamedCalls()
        self._logprobs: list[Any] = []
        self._others: dict[str, Any] = {}
        self._finish_reason: Any = None
        self._usage: Any = None
        self._error: Any = None

    def work(self, part: bytes | bytearray) -> int:
        """Bytes that `feed` would read: of the part, of a line that it ends, and of a call that goes on."""
        waiting = self._waiting + sum(map(len, self._data)) if self._ends_a_line(part) else 0
        return len(part) + waiting + self._calls.longest + self._function_call.longest

    def feed(self, part: bytes | bytearray) -> list[str]:
        """Take the next bytes; returns what each event in them adds to the content.

        Raises:
            ValueError: An event is not JSON.
        """
        if self.length == 0:
            part = part.removeprefix(_BYTE_ORDER_MARK)
        self.length += len(part)
        if not self._ends_a_line(part):
            self._rest.append(part)
            self._waiting += len(part)
            return []
        buffer = b"".join([*self._rest, part])
        # A line feed may follow in the next part.
        end = len(buffer) - buffer.endswith(b"\r")
        *lines, rest = _LINE_END.split(buffer[:end])
        self._rest = [rest + buffer[end:]]
        self._waiting = len(self._rest[0])
        return list(filter(None, map(self._take, lines)))

    def close(self) -> str:
        """Read the last line, which may lack a line break; returns its content.

        Raises:
            ValueError: It is an event that is not JSON.
        """
        line, self._rest = b"".join(self._rest), []
        if b"data: [DONE]".startswith(line.rstrip()):
            line = b""  # torn, but nothing is lost
        return self._take(line.removesuffix(b"\r")) + self._take(b"")

    def _ends_a_line(self, part: bytes | bytearray) -> bool:
        return b"\n" in part or b"\r" in part or (bool(self._rest) and self._rest[-1].endswith(b"\r"))

    def add(self, event: Mapping[str, Any]) -> str:
        """Add an event; returns its content."""
        self.has_begun = True
        if not (event.get("choices") or event.get("error")) and (
            event.get("object") == "error"
            or event.keys() & {"detail", "errors", "error_message", "error_msg"}
        ):
            event = {"error": event}
        event = in_chat_form(event)
        self._error = event.get("error") or self._error
        groq = mapping_of(event.get("x_groq"))
        usage = event.get("usage") or groq.get("usage")
        self._usage = {**mapping_of(self._usage), **usage} if isinstance(usage, dict) else self._usage
        before = len(self._texts.get("content", ()))
        for choice in map(mapping_of, list_of(event.get("choices"))):
            if choice.get("index", 0) == 0:
                self._error = choice.get("error") or self._error
                delta = mapping_of(choice.get("delta"))
                if not delta and (whole := mapping_of(choice.get("message"))):
                    self._add_whole(whole)
                else:
                    self._add(delta or {"content": choice.get("text")})
                self._logprobs += list_of(mapping_of(choice.get("logprobs")).get("content"))
                self._finish_reason = finish_of(choice) or self._finish_reason
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
        if calls := self._calls.whole():
            message["tool_calls"] = calls
        if calls := self._function_call.whole():
            message["function_call"] = calls[0].get("function")
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        return {"choices": [choice], "usage": self._usage}

    def _take(self, line: bytes) -> str:
        """Read a line; returns its content. Bare JSON, over several lines, too, is a reply or an error.

        Servers that leave the empty line between events out are read, too: an event is complete when its
        data are JSON. Data over several lines are read at the empty line.
        """
        if not line.strip():
            data, self._data = b"\n".join(self._data), []
            content = self._add_data(parsed(data)) if data else ""
            self._event = b""
            return content
        name = line[:6].lower()
        if name == b"event:":
            self._event = line[6:].strip()
        is_data = name.startswith(b"data:")
        # Some relays write the name of the field twice.
        data = line[5:].strip().removeprefix(b"data:").strip() if is_data else line.strip()
        if not is_data and _FIELD.match(line):
            return ""
        if data[:8].strip(b'"').upper() == b"[DONE]":
            self.is_whole = self._is_done = True
            return ""
        if self._is_done:
            return ""  # what a relay sends behind the end
        if self._data:
            self._data.append(data)
            return ""
        if not data or (not is_data and not data.startswith(b"{")):
            return ""
        try:
            value = parsed(data)
        except ValueError:
            if self._event == b"error":
                value = data.decode("utf-8", "replace")
            else:
                # A mere word, such as `ping`, is passed over; what looks like JSON may go on.
                if data[:1] in (b"{", b"["):
                    self._data.append(data)
                return ""
        return self._add_data(value)

    def _add_data(self, value: object) -> str:
        """Add the data of an event, which may be an error by the event's name."""
        if isinstance(value, str) and value.startswith("{"):  # JSON written twice
            value = parsed(value)
        event = mapping_of(value)
        if self._event == b"error" and not event.get("error"):
            event = {"error": value or "no reason given"}
        return self.add(event)

    def _add(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if name == "tool_calls":
                self._calls.add(value)
            elif name == "function_call":
                self._function_call.add({"index": 0, "function": value})
            elif isinstance(value, str) or name == "content":
                if name != "role" and (text := text_of(value)):
                    self._texts.setdefault(name, []).append(text)
                    self._lengths[name] = self._lengths.get(name, 0) + len(text)
                if (parts := list_of(value)) and not text_of(parts):
                    self._add_parts("thinking_blocks", parts)
            elif parts := list_of(value):
                self._add_parts(name, parts)
            elif value is not None:
                self._others[name] = value

    def _add_parts(self, name: str, parts: list[Any]) -> None:
        known = self._others.get(name)
        if isinstance(known, list):
            cast("list[Any]", known).extend(parts)
        else:
            self._others[name] = list(parts)

    def _add_whole(self, message: Mapping[str, Any]) -> None:
        """Add a message as of an unstreamed reply. It may hold again what came before."""
        fields = dict(message)
        for name, value in message.items():
            length = self._lengths.get(name, 0)
            # Compared only where the text is as long as what came, so that a long stream is not read often.
            if length and isinstance(value, str) and len(value) >= length:
                fields[name] = value.removeprefix("".join(self._texts[name]))
        if calls := fields.pop("tool_calls", None):
            self._calls.replace(calls)
        self._add(fields)
