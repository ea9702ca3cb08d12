"""OpenAI's `/v1/responses`: created, plain and streamed, and never stored."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

from sampleset.serve.api_errors import ApiError
from sampleset.serve.dialects.base import Dialect, joined, parts_of, renamed, same_names
from sampleset.serve.parameters import (
    PARAMETERS,
    Parameter,
    a_list,
    an_object,
    check_fields,
    flag,
    one_of,
    refusal,
)
from sampleset.serve.streaming import Emit
from sampleset.wire.values import list_of, mapping_of, text_of

_UNSTORED = "responses are not stored here; send the whole conversation as input"


def _includes(value: Any) -> str | None:
    known = ("reasoning.encrypted_content", "message.output_text.logprobs")
    is_known = isinstance(value, list) and all(name in known for name in cast("list[Any]", value))
    return None if is_known else f"a list of {' and '.join(known)}"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "a text"


RESPONSES: dict[str, Parameter] = {
    "model": PARAMETERS["model"],
    "input": Parameter(
        "honoured",
        "a text, or messages, calls of functions and their outputs; `reasoning` items are left out",
    ),
    "instructions": Parameter("honoured", "a system message before the others", _text),
    "max_output_tokens": replace(PARAMETERS["max_tokens"], says="of each sample, not of their sum"),
    **{name: PARAMETERS[name] for name in ("temperature", "top_p", "stream")},
    "stream_options": replace(PARAMETERS["stream_options"], says="`include_obfuscation` pads nothing here"),
    "text": Parameter("passed", "`format` as `response_format`, `verbosity`", an_object),
    "reasoning": Parameter(
        "passed",
        "`effort` as `reasoning_effort`; whatever `summary` says, a thought comes as it is",
        an_object,
    ),
    "tools": Parameter(
        "passed", "those of type `function`; their calls are voted on by value", a_list, harmless=(None, [])
    ),
    "tool_choice": PARAMETERS["tool_choice"],
    "parallel_tool_calls": PARAMETERS["parallel_tool_calls"],
    "include": Parameter(
        "honoured",
        "`message.output_text.logprobs` as `logprobs`; `reasoning.encrypted_content` adds nothing",
        _includes,
    ),
    "top_logprobs": PARAMETERS["top_logprobs"],
    "metadata": Parameter("honoured", "comes back as it is", an_object),
    "store": Parameter("honoured", "nothing is stored, whatever it says; the reply says `false`", flag),
    "truncation": Parameter(
        "honoured", "`disabled`; what is too long is refused, not shortened", one_of("disabled")
    ),
    **{
        name: PARAMETERS[name]
        for name in (
            *("service_tier", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
            *("prompt_cache_options", "moderation", "sampleset", "budget"),
        )
    },
    "seed": replace(PARAMETERS["seed"], says="not of this API; as in the chat API"),
    "access_programs": Parameter("refused", "no such program is known here"),
    "background_options": Parameter("refused", "replies are awaited or streamed"),
    "image": Parameter("refused", "images are not rewritten here"),
    "background": Parameter("refused", "replies are awaited or streamed", harmless=(None, False)),
    "context_management": Parameter("refused", "conversations are not rewritten here", harmless=([],)),
    "conversation": Parameter("refused", _UNSTORED),
    "max_tool_calls": Parameter("refused", "it limits tools that a server runs; none is run here"),
    "previous_response_id": Parameter("refused", _UNSTORED),
    "prompt": Parameter("refused", "prompts are not stored here; send the messages"),
}
_FORMAT: dict[str, Parameter] = {
    "format": Parameter("passed", "", an_object),
    "verbosity": PARAMETERS["verbosity"],
}
_REASONING: dict[str, Parameter] = {
    "effort": PARAMETERS["reasoning_effort"],
    "summary": PARAMETERS["user"],
    "generate_summary": PARAMETERS["user"],
    "context": PARAMETERS["user"],
}
_CHAT_NAMES = {
    name: same
    for name, same in same_names(RESPONSES).items()
    if name not in ("metadata", "stream_options", "tools", "tool_choice", "store")
} | {"max_output_tokens": "max_completion_tokens"}
_CUT_OFF = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Responses(Dialect):
    """One request for a response."""

    parameters: ClassVar[Mapping[str, Parameter]] = RESPONSES
    names: ClassVar[Mapping[str, str]] = {
        "messages": "input",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
        "reasoning_effort": "reasoning.effort",
        "logprobs": "include",
    }

    def chat_body(self) -> dict[str, Any]:
        """The instructions and the input as messages."""
        request = self._body
        body = renamed(request, _CHAT_NAMES)
        turns = request.get("input")
        messages = [{"role": "user", "content": turns}] if isinstance(turns, str) else _messages(turns)
        if request.get("instructions"):
            messages.insert(0, {"role": "system", "content": request["instructions"]})
        body["messages"] = messages
        body |= self._format() | self._reasoning()
        if request.get("tools"):
            body["tools"] = [
                _tool(mapping_of(tool), f"tools[{index}]")
                for index, tool in enumerate(list_of(request["tools"]))
            ]
        if "tool_choice" in request:
            body["tool_choice"] = _choice(request["tool_choice"])
        if "message.output_text.logprobs" in request.get("include", ()):
            body["logprobs"] = True
        return body | ({"stream_options": {"include_usage": True}} if body.get("stream") else {})

    def reply(self, completion: Mapping[str, Any]) -> Mapping[str, Any]:
        """The response that a stream of the same reply ends with."""
        events = _Events(self, lambda event: None)
        choice = completion["choices"][0]
        head = {name: value for name, value in completion.items() if name != "sampleset"}
        events({**head, "choices": [{**choice, "delta": choice["message"]}]})
        events({**completion, "choices": []})
        return events.response

    def events(self, emit: Emit) -> Emit:
        """The events of a response: it is created, its items come one after the other, it is completed."""
        return _Events(self, emit)

    def response(self, head: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """A response object with the fields of the request.

        Args:
            head: A body of the chat API with the same id.
            more: Its fields so far.
        """
        request = self._body
        form = mapping_of(request.get("text"))
        reasoning = mapping_of(request.get("reasoning"))
        return {
            "id": f"resp_{_token(head)}",
            "object": "response",
            "created_at": head["created"],
            "status": "in_progress",
            "completed_at": None,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": request.get("instructions"),
            "max_output_tokens": request.get("max_output_tokens"),
            "metadata": request.get("metadata", {}),
            "model": head["model"],
            "output": [],
            "parallel_tool_calls": request.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "reasoning": {"effort": reasoning.get("effort"), "summary": None},
            "store": False,
            "temperature": request.get("temperature"),
            "text": {"format": {"type": "text"}, **form},
            "tool_choice": request.get("tool_choice", "auto"),
            "tools": request.get("tools", []),
            "top_p": request.get("top_p"),
            "truncation": "disabled",
            "usage": None,
            "user": request.get("user"),
            **more,
        }

    def _format(self) -> dict[str, Any]:
        text = {
            name: value for name, value in mapping_of(self._body.get("text")).items() if value is not None
        }
        check_fields(text, _FORMAT, "text.")
        body = renamed(text, {"verbosity": "verbosity"})
        form = dict(mapping_of(text.get("format")))
        if form.get("type") == "json_schema":
            schema = {
                name: form[name] for name in ("name", "description", "schema", "strict") if name in form
            }
            form = {"type": "json_schema", "json_schema": schema}
        return body | ({"response_format": form} if form else {})

    def _reasoning(self) -> dict[str, Any]:
        reasoning = mapping_of(self._body.get("reasoning"))
        known = {name: value for name, value in reasoning.items() if value is not None}
        check_fields(known, _REASONING, "reasoning.")
        return renamed(known, {"effort": "reasoning_effort"})


class _Events:
    """A chat stream as the events of one response.

    Args:
        dialect: The request.
        emit: Called with each event.

    Attributes:
        response: The last state of it.
    """

    def __init__(self, dialect: Responses, emit: Emit) -> None:
        self._dialect, self._emit = dialect, emit
        self.response: dict[str, Any] = {}
        self._output: list[dict[str, Any]] = []
        self._number = 0
        self._kind = self._id = ""
        self._pieces: list[str] = []
        self._end = "stop"
        self._extras: Mapping[str, Any] = {}

    def __call__(self, value: Mapping[str, Any] | str) -> None:
        """Take an event of the chat stream."""
        if isinstance(value, str):
            return
        if "error" in value:
            error = value["error"]
            # Clients look for either form.
            self._send(
                "error", code=error["code"], message=error["message"], param=error["param"], error=error
            )
            return
        if not self.response:
            self.response = self._dialect.response(value)
            self._send("response.created", response=self.response)
            self._send("response.in_progress", response=self.response)
        if not value["choices"]:
            self._finish(value)
            return
        choice = value["choices"][0]
        if "sampleset" in value:
            self._send("sampleset.progress", sampleset=value["sampleset"])
        self._tell(choice["delta"], _token(value))
        if choice["finish_reason"] is not None:
            self._end, self._extras = choice["finish_reason"], choice["sampleset"]
            self._close(mapping_of(choice["logprobs"]).get("content"))

    def _tell(self, delta: Mapping[str, Any], token: str) -> None:
        for name, kind in _KINDS.items():
            text = delta.get(name)
            if not isinstance(text, str) or not text:
                continue
            if self._kind != kind:
                self._close()
                self._open(kind, f"{'rs' if kind == 'reasoning' else 'msg'}_{token}_{len(self._output)}")
            self._pieces.append(text)
            self._send(f"response.{_DELTAS[kind]}.delta", **self._position, delta=text, **_logprobs(kind))
        for call in list_of(delta.get("tool_calls")):
            self._close()
            function = mapping_of(call.get("function"))
            arguments = text_of(function.get("arguments"))
            position = {"output_index": len(self._output), "item_id": f"fc_{token}_{len(self._output)}"}
            item: dict[str, Any] = {
                "type": "function_call",
                "id": position["item_id"],
                "call_id": call.get("id"),
                "name": function.get("name"),
            }
            self._add({**item, "arguments": "", "status": "in_progress"})
            self._send("response.function_call_arguments.delta", **position, delta=arguments)
            self._send(
                "response.function_call_arguments.done",
                **position,
                arguments=arguments,
                name=function.get("name"),
            )
            self._done({**item, "arguments": arguments, "status": "completed"})

    @property
    def _text(self) -> str:
        return "".join(self._pieces)

    @property
    def _position(self) -> dict[str, Any]:
        return {"output_index": len(self._output), "item_id": self._id, "content_index": 0}

    def _open(self, kind: str, name: str) -> None:
        self._kind, self._id, self._pieces = kind, name, []
        self._add(self._item([], "in_progress"))
        self._send("response.content_part.added", **self._position, part=self._part(None))

    def _close(self, logprobs: object = None) -> None:
        """End the item that is open, if there is one."""
        if not self._kind:
            return
        part, name = self._part(logprobs), "refusal" if self._kind == "refusal" else "text"
        content: dict[str, Any] = {name: self._text}
        if self._kind == "output_text":
            content["logprobs"] = part["logprobs"]
        self._send(f"response.{_DELTAS[self._kind]}.done", **self._position, **content)
        self._send("response.content_part.done", **self._position, part=part)
        self._done(self._item([part], "incomplete" if self._end in _CUT_OFF else "completed"))
        self._kind = ""

    def _part(self, logprobs: object) -> dict[str, Any]:
        if self._kind == "reasoning":
            return {"type": "reasoning_text", "text": self._text}
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": self._text}
        return {"type": "output_text", "text": self._text, "annotations": [], "logprobs": list_of(logprobs)}

    def _item(self, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
        if self._kind == "reasoning":
            fields: dict[str, Any] = {"type": "reasoning", "summary": []}
        else:
            fields = {"type": "message", "role": "assistant"}
        return {"id": self._id, **fields, "content": content, "status": status}

    def _add(self, item: Mapping[str, Any]) -> None:
        self._send("response.output_item.added", output_index=len(self._output), item=item)

    def _done(self, item: dict[str, Any]) -> None:
        self._send("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)

    def _finish(self, value: Mapping[str, Any]) -> None:
        reason = _CUT_OFF.get(self._end)
        status = "incomplete" if reason else "completed"
        self.response = self._dialect.response(
            value,
            status=status,
            completed_at=None if reason else int(time.time()),
            incomplete_details={"reason": reason} if reason else None,
            output=self._output,
            usage=_usage(value["usage"]),
            sampleset={**self._extras, **value["sampleset"]},
        )
        self._send(f"response.{status}", response=self.response)

    def _send(self, kind: str, **fields: Any) -> None:
        self._emit({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1


_KINDS = {"reasoning_content": "reasoning", "content": "output_text", "refusal": "refusal"}
_DELTAS = {"reasoning": "reasoning_text", "output_text": "output_text", "refusal": "refusal"}


def _logprobs(kind: str) -> dict[str, Any]:
    return {"logprobs": []} if kind == "output_text" else {}


def _messages(items: object) -> list[dict[str, Any]]:
    """Items as chat messages; calls of functions belong to the assistant's turn before them."""
    messages: list[dict[str, Any]] = []
    for index, entry in enumerate(list_of(items)):
        item, where = mapping_of(entry), f"input[{index}]"
        match item.get("type", "message"):
            case "message":
                parts = parts_of(item.get("content"), f"{where}.content")
                content = [_part(part, f"{where}.content[{number}]") for number, part in enumerate(parts)]
                messages.append({"role": _role(item, where), "content": joined(content)})
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments", "{}")}
                call = {"id": item.get("call_id"), "type": "function", "function": function}
                if not messages or messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": None})
                messages[-1].setdefault("tool_calls", []).append(call)
            case "function_call_output":
                output = item.get("output")
                parts = parts_of(output, f"{where}.output") if output else []
                content = [_part(part, f"{where}.output[{number}]") for number, part in enumerate(parts)]
                output_text = joined(content) if content else ""
                messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output_text})
            case "reasoning":
                pass
            case kind:
                says = (
                    _UNSTORED
                    if kind == "item_reference"
                    else "only messages, functions' calls and outputs are"
                )
                raise refusal(f"{where}.type", f"{str(kind)[:80]!r}: {says}")
    return messages


def _role(item: Mapping[str, Any], where: str) -> str:
    if (role := item.get("role")) not in ("user", "assistant", "system", "developer"):
        raise ApiError(
            400, f"'{where}.role' must be user, assistant, system or developer.", param=f"{where}.role"
        )
    return str(role)


def _part(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A part of a message as the chat API writes it."""
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            return {"type": "text", "text": text_of(part.get("text"))}
        case "refusal":
            return {"type": "refusal", "refusal": part.get("refusal")}
        case "input_image" if isinstance(part.get("image_url"), str):
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
        case "input_file" if isinstance(part.get("file_data"), str):
            names = {name: name for name in ("file_data", "filename")}
            return {"type": "file", "file": renamed(part, names)}
        case kind:
            says = "texts, images by image_url and files by file_data are; nothing is stored or fetched here"
            raise refusal(where, f"{str(kind)[:80]!r}: {says}")


def _tool(tool: Mapping[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise refusal(f"{where}.type", "only tools of type function are served; none is run here")
    names = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in names if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _choice(choice: object) -> Any:
    """Which tool is to be called, as the chat API says it."""
    if isinstance(choice, str):
        return choice
    named_tool = mapping_of(choice)
    if named_tool.get("type") == "function":
        return {"type": "function", "function": {"name": named_tool.get("name")}}
    if named_tool.get("type") == "allowed_tools":
        tools = [_choice(tool) for tool in list_of(named_tool.get("tools"))]
        return {"type": "allowed_tools", "allowed_tools": {"mode": named_tool.get("mode"), "tools": tools}}
    raise refusal("tool_choice.type", "it is function or allowed_tools")


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": usage["prompt_tokens_details"],
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": usage["completion_tokens_details"],
        "total_tokens": usage["total_tokens"],
    }


def _token(body: Mapping[str, Any]) -> str:
    return body["id"].removeprefix("chatcmpl-")
