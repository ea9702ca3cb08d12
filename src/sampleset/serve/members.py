"""One of those that sample for an alias: an upstream, the role that it plays, and a request's caps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sampleset.chat import Generation, OnText
from sampleset.models.budget import Meter, Tariff
from sampleset.models.retries import Patience, patiently
from sampleset.serve.config import AliasConfig, UpstreamConfig
from sampleset.serve.requests import ChatRequest
from sampleset.serve.upstreams import Upstream


class Member:
    """An upstream whose draws are asked for as its entry in the configuration says.

    Args:
        upstream: Who draws.
        entry: Its temperature, which wins over the request's, its role and its weight.
        alias: Whether there are caps: then one call makes one draw, so that it can be refused alone.
        tariff: What its tokens cost, for a cap in money.

    Attributes:
        weight: Weight of each of its draws.
    """

    def __init__(
        self, upstream: Upstream, entry: UpstreamConfig, alias: AliasConfig, tariff: Tariff | None
    ) -> None:
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
        """One completion for every seed, reported while it is written where the model can stream.

        Raises:
            CapReachedError: A cap leaves no room for the worst case of this call.
            BackendError: As of the upstream.
        """
        prompt = self._upstream.longest_prompt(request) * len(seeds)
        completion = request.fields.get("max_completion_tokens", 0) * len(seeds)
        async with Meter(request.budgets, self._tariff, self.model).billed(prompt, completion) as bill:
            replies = await self._upstream.draw(request, seeds, on_text)
            counts = [(reply.prompt_tokens, reply.completion_tokens) for reply in replies]
            if all(read is not None for read, _ in counts):
                bill.prompt = sum(read or 0 for read, _ in counts)
            if all(written is not None for _, written in counts):
                bill.completion = sum(written or 0 for _, written in counts)
            return replies

    def _asked(self, request: ChatRequest) -> ChatRequest:
        """The request in this member's role."""
        if self._entry.temperature is not None:
            request = replace(request, fields={**request.fields, "temperature": self._entry.temperature})
        if self._entry.system is not None:
            request = replace(request, messages=in_role(request.messages, self._entry.system), wire="")
        return request


@dataclass(frozen=True, slots=True)
class RequestDrawer:
    """A member that draws for one request, patiently."""

    member: Member
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
            on_retry,
        )


def in_role(messages: Sequence[Mapping[str, Any]], role: str) -> list[Mapping[str, Any]]:
    """The messages under a role: put before the client's own system message, or in place of one."""
    first, *rest = messages
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": role}, *messages]
    said = first["content"]
    content = f"{role}\n\n{said}" if isinstance(said, str) else [{"type": "text", "text": role}, *said]
    return [{**first, "content": content}, *rest]
