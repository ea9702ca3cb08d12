"""A server whose samples come from a stub, and OpenAI's client of it."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from support.running import Running, Upstream, alias, running


@pytest.fixture
def server(upstream: Upstream) -> Iterator[Running]:
    with running({"careful": alias(upstream, k=3)}, keep_alive=0.2) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        yield client
