"""Anthropic's `/v1/messages`, as Claude's clients ask, and its form of errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from sampleset.serve.api_errors import ApiError
from sampleset.serve.dialects.base import Dialect, joined, parts_of, renamed
from sampleset.serve.parameters import PARAMETERS, Parameter, a_list, an_object, one_of, refusal
from sampleset.serve.streaming import Emit
from sampleset.wire.values import list_of, mapping_of, text_of

MESSAGES: dict[str, Parameter] = {
    "model": PARAMETERS["model"],
    "messages": Parameter(
        "honoured", "texts, images, calls of tools and their results; thoughts of earlier turns are left out"
    ),
    "system": Parameter("honoured", "the system message"),
    "max_tokens": replace(PARAMETERS["max_tokens"], says="of each sample; the alias's where there is none"),
    "stop_sequences": Parameter("honoured", "end each sample", PARAMETERS["stop"].check),
    "stream": PARAMETERS["stream"],
    "temperature": PARAMETERS["temperature"],
    "top_p": PARAMETERS["top_p"],
    "top_k": PARAMETERS["top_k"],
    "tools": Parameter(
        "passed",
        "those with an `input_schema`; their calls are voted on by value",
        a_list,
        harmless=(None, []),
    ),
    "tool_choice": Parameter("passed", "with `disable_parallel_tool_use`", an_object),
    "output_config": Parameter(
        "passed", "`effort` as `reasoning_effort`, `format` as `response_format`", an_object
    ),
    "thinking": Parameter(
        "honoured",
        "unless `disabled`: the thought of the reply comes as a block `thinking`, where a model tells it; "
        "`budget_tokens` limits nothing",
        an_object,
    ),
    "metadata": Parameter("passed", "`user_id` as `user`", an_object),
    "service_tier": Parameter(
        "honoured", "there is one tier; either value asks for it", one_of("auto", "standard_only")
    ),
    "cache_control": Parameter("honoured", "here and in blocks: what is cached is up to the upstreams"),
    "sampleset": PARAMETERS["sampleset"],
    "budget": PARAMETERS["budget"],
    "seed": replace(PARAMETERS["seed"], says="not Anthropic's; as in the chat API"),
    "container": Parameter("refused", "nothing is run here"),
    "context_management": Parameter("refused", "messages are not rewritten here"),
    "inference_geo": Parameter("refused", "the upstreams are where they are"),
    "mcp_servers": Parameter("refused", "no other server is called; run tools in the client", harmless=([],)),
}
_SAME = ("model", "max_tokens", "stream", "temperature", "top_p", "top_k", "sampleset", "budget", "seed")
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
_ENDS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class Messages(Dialect):
    """One request for a message."""

    parameters: ClassVar[Mapping[str, Parameter]] = MESSAGES
    names: ClassVar[Mapping[str, str]] = {
        "stop": "stop_sequences",
        "response_format": "output_config.format",
        "reasoning_effort": "output_config.effort",
        "user": "metadata.user_id",
    }

    def chat_body(self) -> dict[str, Any]:
        """The system message, then the turns."""
        request = self._body
        body = renamed(request, {name: name for name in _SAME} | {"stop_sequences": "stop"})
        turns = list_of(request.get("messages"))
        messages = [
            message for index, turn in enumerate(turns) for message in _turns(turn, f"messages[{index}]")
        ]
        if request.get("system"):
            messages.insert(0, {"role": "system", "content": _text(request["system"], "system")})
        body["messages"] = messages
        if request.get("tools"):
            body["tools"] = [
                _tool(mapping_of(tool), f"tools[{index}]")
                for index, tool in enumerate(list_of(request["tools"]))
            ]
        body |= _choice(mapping_of(request.get("tool_choice")))
        body |= _output(mapping_of(request.get("output_config")))
        if user := mapping_of(request.get("metadata")).get("user_id"):
            body["user"] = user
        return body | ({"stream_options": {"include_usage": True}} if body.get("stream") else {})

    def reply(self, completion: Mapping[str, Any]) -> Mapping[str, Any]:
        """The message in blocks."""
        choice = completion["choices"][0]
        message, blocks = mapping_of(choice["message"]), list[dict[str, Any]]()
        if (thought := message.get("reasoning_content")) and self._thinks:
            blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
        if text := text_of(message.get("content")) or message.get("refusal"):
            blocks.append({"type": "text", "text": text})
        blocks += [
            {**_called(call), "input": _arguments(call)} for call in list_of(message.get("tool_calls"))
        ]
        return {
            **_head(completion),
            "content": blocks,
            "stop_reason": _end(choice["finish_reason"], bool(message.get("tool_calls"))),
            "usage": _usage(completion["usage"]),
            "sampleset": {**choice["sampleset"], **completion["sampleset"]},
        }

    def events(self, emit: Emit) -> Emit:
        """The events of a message: its start, blocks one after the other, its end with the usage."""
        return _Events(emit, self._thinks)

    @classmethod
    def error(cls, error: Mapping[str, Any], status: int | None = None) -> Mapping[str, Any]:
        """Anthropic's form; clients know a context that overflows by its words."""
        kind, message = error["type"], error["message"]
        if status is not None or kind == "server_error":
            kind = _ERRORS.get(status or 500, "api_error")
        if error["code"] == "context_length_exceeded" and "prompt is too long" not in message:
            message = f"prompt is too long: {message}"
        details = {name: error[name] for name in ("param", "code") if error[name] is not None}
        return {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": None}

    @property
    def _thinks(self) -> bool:
        return mapping_of(self._body.get("thinking")).get("type", "disabled") != "disabled"


class _Events:
    """A chat stream as the events of one message.

    Args:
        emit: Called with each event.
        thinks: Whether thoughts are sent.
    """

    def __init__(self, emit: Emit, thinks: bool) -> None:
        self._emit, self._thinks = emit, thinks
        self._started = self._has_called = False
        self._block: str | None = None
        self._index = 0
        self._end: dict[str, Any] = {}
        self._extras: Mapping[str, Any] = {}

    def __call__(self, value: Mapping[str, Any] | str) -> None:
        """Take an event of the chat stream."""
        if isinstance(value, str):
            return
        if "error" in value:
            self._emit(Messages.error(value["error"]))
            return
        if not self._started:
            self._started = True
            usage = {"input_tokens": 0, "output_tokens": 0}
            start: dict[str, Any] = {**_head(value), "content": [], "stop_reason": None, "usage": usage}
            self._emit({"type": "message_start", "message": start})
        if not value["choices"]:
            self._finish(value)
            return
        choice = value["choices"][0]
        if "sampleset" in value:
            self._emit({"type": "sampleset.progress", "sampleset": value["sampleset"]})
        self._tell(choice["delta"])
        if choice["finish_reason"] is not None:
            self._end["stop_reason"] = _end(choice["finish_reason"], self._has_called)
            self._extras = choice.get("sampleset", {})

    def _tell(self, delta: Mapping[str, Any]) -> None:
        if self._thinks and (thought := delta.get("reasoning_content")):
            self._say({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", thought)
        if text := text_of(delta.get("content")) or delta.get("refusal"):
            self._say({"type": "text", "text": ""}, "text_delta", text)
        for call in list_of(delta.get("tool_calls")):
            self._has_called = True
            self._close()
            text = text_of(mapping_of(call.get("function")).get("arguments"))
            self._say({**_called(call), "input": {}}, "input_json_delta", text)
            self._close()

    def _say(self, block: Mapping[str, Any], kind: str, text: str) -> None:
        """Go on with the block of this kind, or begin one."""
        if self._block != kind:
            self._close()
            self._emit({"type": "content_block_start", "index": self._index, "content_block": block})
            self._block = kind
        field = "partial_json" if kind == "input_json_delta" else kind.removesuffix("_delta")
        delta = {"type": kind, field: text}
        self._emit({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> None:
        if self._block is not None:
            self._emit({"type": "content_block_stop", "index": self._index})
            self._block = None
            self._index += 1

    def _finish(self, value: Mapping[str, Any]) -> None:
        self._close()
        self._emit(
            {
                "type": "message_delta",
                "delta": {"stop_sequence": None, **self._end},
                "usage": _usage(value["usage"]),
                "sampleset": {**self._extras, **value["sampleset"]},
            }
        )
        self._emit({"type": "message_stop"})


def _turns(turn: object, where: str) -> list[dict[str, Any]]:
    """A turn as chat messages. Results of tools are separate messages, before the user's text."""
    message = mapping_of(turn)
    role = message.get("role")
    if role not in ("user", "assistant", "system"):
        raise ApiError(400, f"'{where}.role' must be user or assistant.", param=f"{where}.role")
    results, contents, calls = list[dict[str, Any]](), list[Mapping[str, Any]](), list[dict[str, Any]]()
    for number, part in enumerate(parts_of(message.get("content"), f"{where}.content")):
        path = f"{where}.content[{number}]"
        match part.get("type"):
            case "text":
                contents.append({"type": "text", "text": text_of(part.get("text"))})
            case "image":
                contents.append({"type": "image_url", "image_url": {"url": _image(part, f"{path}.source")}})
            case "tool_use":
                function = {"name": part.get("name"), "arguments": json.dumps(part.get("input", {}))}
                calls.append({"id": part.get("id"), "type": "function", "function": function})
            case "tool_result":
                text = _text(part.get("content") or "", f"{path}.content")
                text = f"Error: {text}" if part.get("is_error") is True else text
                results.append({"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": text})
            case "thinking" | "redacted_thinking":
                pass
            case kind:
                raise refusal(
                    f"{path}.type", f"{str(kind)[:80]!r} is none of text, image, tool_use, tool_result"
                )
    if not contents and not calls:
        return results
    turn_message: dict[str, Any] = {"role": role, "content": joined(contents) if contents else None}
    return [*results, turn_message | ({"tool_calls": calls} if calls else {})]


def _text(content: object, where: str) -> str:
    """The text of a content that may hold nothing else."""
    parts = parts_of(content, where)
    for number, part in enumerate(parts):
        if part.get("type") != "text":
            raise refusal(f"{where}[{number}].type", "only text is taken here")
    return "\n".join(text_of(part.get("text")) for part in parts)


def _image(part: Mapping[str, Any], where: str) -> str:
    source = mapping_of(part.get("source"))
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return source["url"]
    raise refusal(where, "an image is given by base64 or by url")


def _tool(tool: Mapping[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom" or not isinstance(tool.get("name"), str):
        raise refusal(
            f"{where}.type", "only tools with a name and an input_schema are served; none is run here"
        )
    function = {"name": tool["name"], "parameters": tool.get("input_schema", {"type": "object"})}
    function |= {name: tool[name] for name in ("description", "strict") if name in tool}
    return {"type": "function", "function": function}


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    """How tools are to be called, as the chat API says it."""
    if not choice:
        return {}
    known = {"auto": "auto", "any": "required", "none": "none"}
    kind = choice.get("type")
    if kind == "tool":
        tool_choice: Any = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in known:
        tool_choice = known[kind]
    else:
        raise refusal("tool_choice.type", "it is auto, any, tool or none")
    single = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") is True else {}
    return {"tool_choice": tool_choice, **single}


def _output(config: Mapping[str, Any]) -> dict[str, Any]:
    for name in config:
        if name not in ("effort", "format"):
            raise refusal(f"output_config.{name[:80]}", "effort and format are")
    body: dict[str, Any] = {"reasoning_effort": config["effort"]} if config.get("effort") else {}
    form = mapping_of(config.get("format"))
    if form and form.get("type") != "json_schema":
        raise refusal("output_config.format.type", "it is json_schema")
    if form:
        schema = {"name": "reply", "schema": form.get("schema"), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _head(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{body['id'].removeprefix('chatcmpl-')}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "stop_sequence": None,
    }


def _called(call: Mapping[str, Any]) -> dict[str, Any]:
    name = mapping_of(call.get("function")).get("name")
    return {"type": "tool_use", "id": call.get("id"), "name": name}


def _arguments(call: Mapping[str, Any]) -> Any:
    """The arguments as values; those that are no JSON as the text they are."""
    text = text_of(mapping_of(call.get("function")).get("arguments"))
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text


def _end(finish_reason: str, has_called: bool) -> str:
    return _ENDS.get(finish_reason, "tool_use" if has_called else "end_turn")


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic counts what came out of a cache beside the input, not within it."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return {
        "input_tokens": max(0, usage["prompt_tokens"] - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage["completion_tokens"],
    }
