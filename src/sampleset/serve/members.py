"""One of those that sample for an alias: an upstream, the role that it plays, and a request's caps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sampleset.chat import OnText
from sampleset.models.budget import Meter, Tariff
from sampleset.serve.config import AliasConfig, UpstreamConfig
from sampleset.serve.requests import ChatRequest
from sampleset.serve.upstream_replies import Reply
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

    async def draw(
        self, request: ChatRequest, seeds: Sequence[int], on_text: OnText | None = None
    ) -> list[Reply]:
        """One reply for every seed, told while it is written if it can be.

        Raises:
            CapReachedError: A cap leaves no room for the worst case of this call.
            BackendError: As of the upstream.
        """
        request = self._asked(request)
        prompt = self._upstream.longest_prompt(request) * len(seeds)
        completion = request.fields.get("max_completion_tokens", 0) * len(seeds)
        async with Meter(request.budgets, self._tariff, self.model).billed(prompt, completion) as bill:
            replies = await self._upstream.draw(request, seeds, on_text)
            told = [(one.prompt_tokens, one.completion_tokens) for one in replies]
            if all(read is not None for read, _ in told):
                bill.prompt = sum(read or 0 for read, _ in told)
            if all(written is not None for _, written in told):
                bill.completion = sum(written or 0 for _, written in told)
            return replies

    def _asked(self, request: ChatRequest) -> ChatRequest:
        """The request in this member's role."""
        if self._entry.temperature is not None:
            request = replace(request, fields={**request.fields, "temperature": self._entry.temperature})
        if self._entry.system is not None:
            request = replace(request, messages=in_role(request.messages, self._entry.system), wire="")
        return request


def in_role(messages: Sequence[Mapping[str, Any]], role: str) -> list[Mapping[str, Any]]:
    """The messages under a role: put before the client's own system message, or in place of one."""
    first, *rest = messages
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": role}, *messages]
    said = first["content"]
    content = f"{role}\n\n{said}" if isinstance(said, str) else [{"type": "text", "text": role}, *said]
    return [{**first, "content": content}, *rest]
