"""Tool calls in OpenAI's form, from the forms in which servers send them, whole or in pieces.

calls = StreamedCalls()
calls.add([{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}}])
calls.add([{"index": 0, "function": {"arguments": " 1}"}}])
calls.whole()  # one call of f with {"x": 1}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sampleset.wire.parsing import parsed
from sampleset.wire.values import list_of, mapping_of

_KINDS = ("function", "custom")
_IN_PIECES = ("arguments", "input")
# Calls of a reply among which ids are compared.
_MOST_COMPARED = 64
# A test whether a call is complete reads all its arguments. All tests together read at most so many times
# what came, so that no order of pieces makes them long.
_MOST_READINGS = 4
_READ_ANYWAY = 10_000


@dataclass
class _Call:
    """A call that comes in pieces."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    kind: str = "function"
    called: dict[str, Any] = field(default_factory=dict[str, Any])
    pieces: list[str] = field(default_factory=list[str])
    in_pieces: str | None = None
    length: int = 0
    is_complete: bool | None = None

    @property
    def identity(self) -> str | None:
        return self.fields.get("id") or None

    def add(self, fields: Mapping[str, Any], kind: str) -> None:
        """Add a piece. Names arrive whole, arguments in pieces or as an object."""
        for name, value in fields.items():
            if value not in (None, "") and name not in ("index", *_KINDS):
                self.fields.setdefault(name, value)
        called = mapping_of(fields.get(kind))
        if called:
            self.kind = kind
        for name, value in called.items():
            if name not in _IN_PIECES:
                self.called[name] = value or self.called.get(name, value)
                continue
            self.in_pieces, self.is_complete = name, None
            if isinstance(value, str):
                self.pieces.append(value)
                self.length += len(value)
            elif value:
                self.pieces = [json.dumps(value)]
                self.length = len(self.pieces[0])

    def whole(self) -> dict[str, Any]:
        """The call as servers send it whole."""
        called = dict(self.called)
        if self.in_pieces is not None:
            called[self.in_pieces] = "".join(self.pieces)
        return {**self.fields, self.kind: called} if called else dict(self.fields)


class StreamedCalls:
    """Calls in the pieces of a stream.

    Index and id say to which call a piece belongs, and neither can be relied on: some servers number all
    calls 0 or not at all, some send no id, or another one with each piece. A new call begins where a piece
    has a name and a new id, or a name while the call before it is complete.

    Attributes:
        longest: Characters of the longest arguments, which adding a piece may read.
    """

    def __init__(self) -> None:
        self.longest = self._came = self._read = 0
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def add(self, pieces: object) -> None:
        """Add the pieces of an event: a list of them, or one."""
        for piece in map(_nested, map(mapping_of, list_of(pieces) or [pieces])):
            if piece:
                self._add(piece)

    def replace(self, calls: object) -> None:
        """Take these calls instead of those that came; pieces of calls are added."""
        entries = [_nested(mapping_of(call)) for call in list_of(calls) or [calls]]
        called = [mapping_of(call.get(_kind_of(call))) for call in entries]
        if all(one.get("name") and _object_in(one.get("arguments")) is not None for one in called):
            self.__init__()
        self.add(calls)

    def whole(self) -> list[dict[str, Any]]:
        """All calls in the order in which they began."""
        return [call.whole() for call in self._calls]

    def _add(self, piece: Mapping[str, Any]) -> None:
        kind, identity, index = _kind_of(piece), piece.get("id"), _index_of(piece.get("index"))
        called = mapping_of(piece.get(kind))
        identity = identity if isinstance(identity, str) and identity else None
        call = self._call_of(identity, index, called)
        if call is None:
            call = _Call()
            self._calls.append(call)
        elif self._repeats(call, identity, called):
            return
        if identity is not None:
            self._by_id[identity] = call
        if index is not None:
            self._by_index[index] = call
        length = call.length
        call.add(piece, kind)
        self._came += max(0, call.length - length)
        self.longest = max(self.longest, call.length)

    def _is_complete(self, call: _Call) -> bool:
        """Whether the arguments are JSON already; assumed to be incomplete after much reading."""
        if call.is_complete is None:
            if self._read + call.length > _MOST_READINGS * self._came + _READ_ANYWAY:
                return False
            self._read += call.length
            call.is_complete = call.length > 0 and _object_in("".join(call.pieces)) is not None
        return call.is_complete

    def _repeats(self, call: _Call, identity: str | None, called: Mapping[str, Any]) -> bool:
        """Whether a piece is the whole call once more, as some servers end a stream."""
        arguments = called.get("arguments")
        if not (identity and identity == call.identity and called.get("name") == call.called.get("name")):
            return False
        is_as_long = isinstance(arguments, str) and len(arguments) == call.length
        return is_as_long and self._is_complete(call) and "".join(call.pieces) == arguments

    def _call_of(self, identity: str | None, index: int | None, called: Mapping[str, Any]) -> _Call | None:
        """The call that a piece belongs to, `None` if it begins one."""
        name = called.get("name")
        last = self._calls[-1] if self._calls else None
        call = last if index is None else self._by_index.get(index)
        if identity is not None and identity in self._by_id:
            call, is_new_id = self._by_id[identity], False
        else:
            is_new_id = identity is not None and call is not None and call.identity is not None
        if call is None:
            return last if not name and last is not None and not self._is_complete(last) else None
        if is_new_id:
            return None if name or self._is_complete(call) else call
        if not name or not call.called.get("name") or self._repeats(call, identity, called):
            return call
        return None if name != call.called["name"] or self._is_complete(call) else call


def whole_call(call: object, position: int = 0, *, check: bool = True) -> dict[str, Any] | None:
    """A call in OpenAI's form; `None` if it or its arguments are malformed.

    Args:
        call: The call as the server sent it.
        position: Its place among the calls of the reply. A call without an id gets one made of it.
        check: Whether the arguments have to be JSON. At a limit of tokens they may break off.
    """
    fields = _nested(mapping_of(call))
    kind = _kind_of(fields)
    called = mapping_of(fields.get(kind))
    if not isinstance(called.get("name"), str):
        return None
    made = dict(called)
    if kind == "function":
        arguments = called.get("arguments")
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        elif not isinstance(arguments, str) or not arguments.strip():
            arguments = "{}" if check else ""
        elif check:
            try:
                value: object = parsed(arguments, strict=True)
            except (ValueError, RecursionError):
                return None
            # Some servers write them as JSON twice.
            if isinstance(value, str) and _object_in(value) is not None:
                arguments = value
        made["arguments"] = arguments
    identity = fields.get("id")
    if not identity:
        identity = f"call_{hashlib.sha256(json.dumps([position, made]).encode()).hexdigest()[:24]}"
    return {**fields, "id": identity, "type": fields.get("type") or kind, kind: made}


def whole_calls(calls: object, *, check: bool) -> list[dict[str, Any]] | None:
    """The calls of a reply, each with an id of its own; `None` if one is malformed."""
    whole = list[dict[str, Any]]()
    for position, call in enumerate(list_of(calls) or [None]):
        read = whole_call(call, position, check=check)
        if read is not None and any(read["id"] == other["id"] for other in whole[:_MOST_COMPARED]):
            read = whole_call({**read, "id": None}, position, check=False)
        if read is None:
            return None
        whole.append(read)
    return whole


def _nested(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The call with name and arguments under `function`, where some servers send them beside the id."""
    if any(mapping_of(call.get(kind)) for kind in _KINDS):
        return call
    called = {name: call[name] for name in ("name", "arguments") if call.get(name) is not None}
    others = {name: value for name, value in call.items() if name not in ("name", "arguments", *_KINDS)}
    return {**others, "function": called} if called else others


def _kind_of(call: Mapping[str, Any]) -> str:
    return "custom" if mapping_of(call.get("custom")) else "function"


def _index_of(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _object_in(text: object) -> Mapping[str, Any] | None:
    """The object that a text holds as JSON; `None` if it holds none."""
    if not isinstance(text, str):
        return mapping_of(text) or None
    if not text.rstrip().endswith("}"):
        return None
    try:
        value: object = parsed(text, strict=True)
    except (ValueError, RecursionError):
        return None
    return mapping_of(cast("object", value)) if isinstance(value, dict) else None
