"""Those that sample for an alias: a model, the role that it plays, and a request's caps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sampleset.backends.base import Backend, takes_requests
from sampleset.chat import Message, Prompt, SamplingParams
from sampleset.errors import BackendError, CapReachedError, SampleSetError
from sampleset.models.budget import Tariff
from sampleset.models.calls import ModelCalls
from sampleset.models.retries import Limiter, Patience, limiter_for
from sampleset.prompts import solve_messages, solve_prompt_of
from sampleset.sampling.draws import Drawer
from sampleset.sampling.members import Member
from sampleset.serve.config import AliasConfig
from sampleset.serve.requests import ChatRequest, plain_text
from sampleset.types import Question
from sampleset.wire.values import text_of


class ServedMember:
    """A member of an alias, opened.

    Args:
        backend: The model. One behind a server gets a client's messages and fields as they are, any other
            the texts of the messages.
        entry: Its own parameters, which win over the request's, its role and its weight.
        alias: How many calls may be in flight, and the prompt put around a lone question.
        tariff: The price of its tokens, for a cap in money.

    Attributes:
        is_local: Whether it runs in this process, and reads texts only.
    """

    def __init__(self, backend: Backend, entry: Member, alias: AliasConfig, tariff: Tariff | None) -> None:
        self.model = backend.model
        self.is_local = not takes_requests(backend)
        self._backend, self._entry, self._tariff = backend, entry, tariff
        self._prompt = entry.prompt or alias.prompt
        self._limiter: Limiter = limiter_for(backend, alias.max_concurrency)

    def drawer(self, request: ChatRequest, patience: Patience) -> Drawer:
        """The member as it draws for one request, within the request's budgets."""
        calls = ModelCalls(
            self._backend, patience, limiter=self._limiter, budgets=request.budgets, tariff=self._tariff
        )
        prompt = self._in_role(request.prompt)
        if self.is_local:
            fields = prompt.extra or {}
            return Drawer(calls, self._as_text(request, prompt), params_of(fields), self._entry.weight)
        _ = prompt.size  # written now, since a long one is not to be written on the event loop
        return Drawer(calls, prompt, _UNSPOKEN, self._entry.weight)

    def prompt_version(self, request: ChatRequest) -> str | None:
        """Name and version of the prompt that a draw is asked with; `None` for words of the client's own."""
        prompt = self._in_role(request.prompt)
        return solve_prompt_of(self._as_text(request, prompt) if self.is_local else prompt)

    def _in_role(self, prompt: Prompt) -> Prompt:
        """The request's prompt in this member's role, with its own parameters."""
        entry = self._entry
        options = {
            "temperature": entry.temperature,
            "top_p": entry.top_p,
            "top_k": entry.top_k,
            "max_completion_tokens": entry.max_tokens,
        }
        role_options = {name: value for name, value in options.items() if value is not None}
        if not role_options and entry.system is None:
            return prompt
        messages = prompt if entry.system is None else in_role(prompt, entry.system)
        return Prompt(messages, {**(prompt.extra or {}), **role_options})

    def _as_text(self, request: ChatRequest, prompt: Prompt) -> list[Message]:
        """The messages as a model in this process takes them."""
        roles = {"developer": "system"}
        messages = [
            cast("Message", {"role": roles.get(turn["role"], turn["role"]), "content": plain_text(turn)})
            for turn in prompt
        ]
        *before, last = messages
        is_lone = last["role"] == "user" and [turn["role"] for turn in before] in ([], ["system"])
        if self._prompt is None or not is_lone:
            return messages
        return [*before, *solve_messages(Question(request.question.id, last["content"]), self._prompt)]


def reason_of(error: SampleSetError) -> str:
    """Why a draw failed, without text of an upstream or a prompt."""
    while isinstance(error.__cause__, BackendError):
        error = error.__cause__
    if isinstance(error, CapReachedError):
        return "cap reached"
    kind = error.kind if isinstance(error, BackendError) else None
    return kind or (str(error) if str(error).startswith("no reply within") else type(error).__name__)


def params_of(fields: Mapping[str, Any]) -> SamplingParams:
    """The fields of a request as a model in this process takes them."""
    stop = fields.get("stop", [])
    return SamplingParams(
        temperature=float(fields.get("temperature", 0.8)),
        top_p=float(fields.get("top_p", 1.0)) or 1e-6,
        top_k=max(0, fields["top_k"]) if "top_k" in fields else None,
        max_tokens=fields.get("max_completion_tokens", 512),
        stop=tuple(map(text_of, [stop] if isinstance(stop, str) else stop)),
    )


# A server goes by the fields of the request instead.
_UNSPOKEN = SamplingParams()


def in_role(messages: Sequence[Mapping[str, Any]], role: str) -> list[Mapping[str, Any]]:
    """The messages under a role: put before the client's own system message, or in place of one."""
    first, *rest = messages
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": role}, *messages]
    body = first["content"]
    content = f"{role}\n\n{body}" if isinstance(body, str) else [{"type": "text", "text": role}, *body]
    return [{**first, "content": content}, *rest]
