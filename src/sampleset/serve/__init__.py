"""An OpenAI-compatible server whose answers are made of k samples, and a page to watch it.

    config      what `serve.yaml` says
    parameters  every parameter of the chat API: honoured, passed on, or refused
    requests    the body of a request, checked
    dialects    the other APIs that are answered as chat requests: text completions, responses, messages
    upstreams   one draw: from an OpenAI-compatible server, or from a model in this process
    draws       k draws of one request: retries, hedges, quorum, deadline, stopping rule
    answering   the draws → one message: a vote by value, or an aggregator
    aliases     the configured names, opened
    replies     completions, chunks, usage and errors as they go over the wire
    streaming   server-sent events; a client that leaves cancels its work
    limits      concurrent requests, queue, body size, keys, origins
    metrics     what `/metrics` tells
    feedback    what clients say about answers, and whether an alias is worth more than the vote
    runs        stored runs that the page replays
    app         the routes
    server      start, and stop without cutting anybody off

Needs the extra `serve`; nothing here is imported before `sampleset serve` runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampleset.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


def load() -> tuple[ModuleType, ModuleType]:
    """The modules `server` and `config`.

    Raises:
        MissingExtraError: The extra is not installed.
    """
    try:
        from sampleset.serve import config, server
    except ImportError as error:
        raise MissingExtraError(
            f"Serving needs Starlette, uvicorn and aiohttp ({error}). "
            "Install them: pip install 'sampleset[serve]'"
        ) from error
    return server, config
