"""The server that clients are tried against."""

from collections.abc import Iterator

import pytest

from support.running import Running, Upstream, alias, running


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def server(upstream: Upstream) -> Iterator[Running]:
    with running({"careful": alias(upstream, k=3)}) as server:
        yield server
