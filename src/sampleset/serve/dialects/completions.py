"""OpenAI's `/v1/completions`, as older clients and evaluation tools ask: the prompt is a user's message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from sampleset.serve.dialects.base import Dialect, renamed, same_names
from sampleset.serve.parameters import PARAMETERS, Parameter
from sampleset.serve.streaming import Emit
from sampleset.wire.values import list_of, mapping_of, text_of


def _prompt(value: Any) -> str | None:
    texts = [value] if isinstance(value, str) else list_of(value)
    is_text = len(texts) == 1 and isinstance(texts[0], str)
    return None if is_text else "a text, or a list with one text; tokens and several prompts are not taken"


COMPLETIONS: dict[str, Parameter] = {
    "model": PARAMETERS["model"],
    "prompt": Parameter("honoured", "a text, or a list with one: the message of a user", _prompt),
    "max_tokens": replace(PARAMETERS["max_tokens"], says="of each sample; the alias's where there is none"),
    **{
        name: PARAMETERS[name]
        for name in (
            *("n", "seed", "stream", "stream_options", "temperature", "top_p", "stop", "frequency_penalty"),
            *("presence_penalty", "logit_bias", "user", "top_k", "min_p", "repetition_penalty"),
            *("sampleset", "budget"),
        )
    },
    "best_of": Parameter("refused", "the samples of an answer are `sampleset.k`", harmless=(None, 1)),
    "echo": Parameter("refused", "prompts are not repeated or scored", harmless=(None, False)),
    "logprobs": Parameter(
        "refused", "an answer of k samples has no log-probabilities; ask `/v1/chat/completions`"
    ),
    "suffix": Parameter("refused", "nothing is inserted into texts", harmless=(None, "")),
}
_CHAT_NAMES = same_names(COMPLETIONS)


class Completions(Dialect):
    """One request for a completion."""

    parameters: ClassVar[Mapping[str, Parameter]] = COMPLETIONS
    names: ClassVar[Mapping[str, str]] = {"messages": "prompt"}

    def chat_body(self) -> dict[str, Any]:
        """The prompt as the only message."""
        prompt = self._body.get("prompt")
        messages = [
            {"role": "user", "content": text}
            for text in ([prompt] if isinstance(prompt, str) else list_of(prompt))
        ]
        return {**renamed(self._body, _CHAT_NAMES), "messages": messages}

    def reply(self, completion: Mapping[str, Any]) -> Mapping[str, Any]:
        """The texts of the messages."""
        choices = [
            _choice(choice, choice["message"].get("content"), sampleset=choice["sampleset"])
            for choice in completion["choices"]
        ]
        return {**completion, **_head(completion), "choices": choices}

    def events(self, emit: Emit) -> Emit:
        """The chunks with texts in place of messages; those that say nothing are left out."""

        def send(value: Mapping[str, Any] | str) -> None:
            if isinstance(value, str) or "error" in value:
                emit(value)
                return
            choices: list[dict[str, Any]] = []
            for choice in value["choices"]:
                text = choice["delta"].get("content")
                if text or choice["finish_reason"] or "sampleset" in value:
                    extras = {name: choice[name] for name in ("sampleset",) if name in choice}
                    choices.append(_choice(choice, text, **extras))
            if choices or not value["choices"]:
                emit({**value, **_head(value), "choices": choices})

        return send


def _head(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": f"cmpl-{body['id'].removeprefix('chatcmpl-')}", "object": "text_completion"}


def _choice(choice: Mapping[str, Any], content: object, **extras: Any) -> dict[str, Any]:
    return {
        "index": choice["index"],
        "text": text_of(content),
        "logprobs": None,
        "finish_reason": choice["finish_reason"],
        **mapping_of(extras),
    }
