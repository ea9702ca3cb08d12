"""Those that sample for an alias: a model, the role that it plays, and a request's caps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sampleset.backends.base import Backend, StreamingBackend, takes_requests
from sampleset.chat import Generation, Message, OnText, Prompt, SamplingParams, longest_prompt
from sampleset.errors import BackendError, CapReachedError, SampleSetError
from sampleset.models.budget import Meter, Tariff
from sampleset.models.retries import Limiter, Patience, limiter_for, patiently
from sampleset.prompts import solve_messages
from sampleset.sampling.members import Member
from sampleset.serve.config import AliasConfig
from sampleset.serve.requests import ChatRequest, plain_text
from sampleset.types import Question
from sampleset.wire.values import text_of


class Upstream:
    """A model that draws for requests.

    Args:
        backend: The model. One behind a server gets a client's messages and fields as they are, any other
            the texts of the messages.
        max_concurrency: Calls in flight, at most what the backend can work on.
        prompt: Name of a prompt put around a lone question, for a model that reads texts only.

    Attributes:
        is_local: Whether it runs in this process, and reads texts only.
        group_size: Draws that one call takes at most.
        limiter: Held during a call.
    """

    def __init__(self, backend: Backend, max_concurrency: int, prompt: str | None) -> None:
        self.model = backend.model
        self.is_local = not takes_requests(backend)
        self.group_size = backend.group_size
        self.limiter: Limiter = limiter_for(backend, max_concurrency)
        self._backend = backend
        self._prompt = prompt

    def asked(self, request: ChatRequest, prompt: Prompt) -> Sequence[Message]:
        """What the model is asked."""
        return self._as_text(request, prompt) if self.is_local else prompt

    async def draw(
        self,
        messages: Sequence[Message],
        fields: Mapping[str, Any],
        seeds: Sequence[int],
        on_text: OnText | None,
    ) -> list[Generation]:
        """One reply for every seed; consecutive seeds may share one reading of the prompt.

        Raises:
            TransientBackendError: Worth another try.
            BackendError: Not worth another try.
        """
        params = params_of(fields) if self.is_local else _UNSPOKEN
        if on_text is not None and isinstance(self._backend, StreamingBackend):
            return await self._backend.stream(messages, params, seeds, on_text)
        return await self._backend.generate(messages, params, seeds)

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


class ServedMember:
    """An upstream whose draws are asked for as its entry in the configuration says.

    Args:
        upstream: Who draws.
        entry: Its own parameters, which win over the request's, its role and its weight.
        alias: Whether there are caps: then one call makes one draw, so that it can be refused alone.
        tariff: What its tokens cost, for a cap in money.

    Attributes:
        weight: Weight of each of its draws.
    """

    def __init__(self, upstream: Upstream, entry: Member, alias: AliasConfig, tariff: Tariff | None) -> None:
        self.model = upstream.model
        self.is_local = upstream.is_local
        self.group_size = 1 if alias.has_caps else upstream.group_size
        self.limiter = upstream.limiter
        self.weight = entry.weight
        self._upstream, self._entry, self._tariff = upstream, entry, tariff

    def of(self, request: ChatRequest, patience: Patience) -> RequestDrawer:
        """This member, as it draws for one request."""
        return RequestDrawer(self, self._asked(request), patience)

    async def ask(
        self, request: ChatRequest, seeds: Sequence[int], on_text: OnText | None = None
    ) -> list[Generation]:
        """One completion for every seed; `on_text` is called while it is written, where the model can stream.

        Raises:
            CapReachedError: A cap leaves no room for the worst case of this call.
            BackendError: As of the upstream.
        """
        fields = request.prompt.extra or {}
        messages = self._upstream.asked(request, request.prompt)
        if not request.budgets:
            return await self._upstream.draw(messages, fields, seeds, on_text)
        prompt = longest_prompt(messages) * len(seeds)
        completion = fields.get("max_completion_tokens", 0) * len(seeds)
        async with Meter(request.budgets, self._tariff, self.model).billed(prompt, completion) as bill:
            replies = await self._upstream.draw(messages, fields, seeds, on_text)
            counts = [(reply.prompt_tokens, reply.completion_tokens) for reply in replies]
            if all(read is not None for read, _ in counts):
                bill.prompt = sum(read or 0 for read, _ in counts)
            if all(written is not None for _, written in counts):
                bill.completion = sum(written or 0 for _, written in counts)
            return replies

    def _asked(self, request: ChatRequest) -> ChatRequest:
        """The request in this member's role, with its own parameters."""
        prompt, entry = request.prompt, self._entry
        named = {
            "temperature": entry.temperature,
            "top_p": entry.top_p,
            "max_completion_tokens": entry.max_tokens,
        }
        own = {name: value for name, value in named.items() if value is not None}
        if not own and entry.system is None:
            return request
        messages = prompt if entry.system is None else in_role(prompt, entry.system)
        return replace(request, prompt=Prompt(messages, {**(prompt.extra or {}), **own}))


@dataclass(frozen=True, slots=True)
class RequestDrawer:
    """A member that draws for one request, patiently."""

    member: ServedMember
    request: ChatRequest
    patience: Patience

    @property
    def model(self) -> str:
        """Name of its model."""
        return self.member.model

    @property
    def group_size(self) -> int:
        """How many draws one call takes at most."""
        return self.member.group_size

    @property
    def is_local(self) -> bool:
        """Whether the model runs in this process."""
        return self.member.is_local

    @property
    def weight(self) -> float | None:
        """Weight of each of its draws."""
        return self.member.weight

    async def draw(
        self, seeds: Sequence[int], on_text: OnText | None, on_retry: Callable[[str], None]
    ) -> list[Generation]:
        """One completion for every seed; transient errors are tried again."""
        return await patiently(
            lambda: self.member.ask(self.request, seeds, on_text),
            self.patience,
            self.member.limiter,
            lambda error: on_retry(reason_of(error)),
        )


def reason_of(error: SampleSetError) -> str:
    """Why a draw failed, without what an upstream or a prompt said."""
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
    said = first["content"]
    content = f"{role}\n\n{said}" if isinstance(said, str) else [{"type": "text", "text": role}, *said]
    return [{**first, "content": content}, *rest]
