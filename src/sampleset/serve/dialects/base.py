"""The base of a dialect: an API whose requests are chat requests in other words.

A request of any dialect becomes the body of a chat request and is answered as such; its reply is put into the
form of the dialect, whole or event by event. Nothing here knows of samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sampleset.serve.parameters import PARAMETERS, Parameter, refusal
from sampleset.serve.streaming import Emit
from sampleset.wire.values import list_of, mapping_of


class Dialect:
    """The chat API itself, which needs no translation; the other dialects derive from it.

    An instance stands for one request.

    Args:
        given: The fields of the request, checked by `parameters`, without those that are `null`.

    Attributes:
        parameters: How each field is treated.
        names: Fields of the chat API that this one names otherwise, for errors.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = PARAMETERS
    names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def chat_body(self) -> dict[str, Any]:
        """The body of the chat request that asks the same.

        Raises:
            ApiError: 400; a part of a field is of no kind that is served.
        """
        return dict(self._body)

    def reply(self, completion: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body of the reply, made from the chat completion."""
        return completion

    def events(self, emit: Emit) -> Emit:
        """A callback for events of the chat stream. It calls `emit` with events of the dialect."""
        return emit

    @classmethod
    def error(cls, error: Mapping[str, Any], status: int | None = None) -> Mapping[str, Any]:
        """The body of an error.

        Args:
            error: In OpenAI's form: `message`, `type`, `param`, `code`.
            status: Its HTTP status; `None` in a stream that has begun.
        """
        return {"error": error}


def renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The fields that are in both, under the names of the chat API."""
    return {names[name]: value for name, value in body.items() if name in names}


def same_names(parameters: Mapping[str, Parameter]) -> dict[str, str]:
    """The fields of a table that the chat API knows under the same name."""
    return {
        name: name
        for name, parameter in parameters.items()
        if name in PARAMETERS and parameter.how != "refused"
    }


def parts_of(content: object, where: str) -> list[Mapping[str, Any]]:
    """The parts of a message; a text is one part.

    Raises:
        ApiError: 400; it is neither a text nor a list of objects.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts = [mapping_of(part) for part in list_of(content)]
    if not parts or not all(parts):
        raise refusal(where, "it must be a text, or a list of parts with a 'type'")
    return parts


def joined(parts: Sequence[Mapping[str, Any]]) -> str | Sequence[Mapping[str, Any]]:
    """Parts as the content of a chat message: a text where there is but one."""
    if len(parts) == 1 and parts[0].get("type") == "text":
        return parts[0]["text"]
    return parts
