import asyncio
from collections.abc import AsyncIterator

import pytest

from sampleset.models.together import in_order


class Workers:
    """Count those who work, and how many did at once at most."""

    def __init__(self) -> None:
        self.at_work = self.most = 0
        self.cancelled: list[int] = []

    async def __call__(self, number: int) -> int:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await asyncio.sleep(0.001 * (5 - number))
            if number == 3:
                raise ValueError("three")
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            self.at_work -= 1
        return number * 10


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize("at_once", [1, 2, 8])
async def test_results_come_in_order_from_no_more_at_once_than_asked(at_once: int):
    workers = Workers()
    assert [result async for result in in_order(range(3), workers, at_once)] == [0, 10, 20]
    assert workers.most == min(at_once, 3)
    assert [result async for result in in_order(numbers(3), workers, at_once)] == [0, 10, 20]


async def test_items_are_read_as_they_are_needed():
    read: list[int] = []

    async def told() -> AsyncIterator[int]:
        async for number in numbers(100):
            read.append(number)
            yield number if number < 3 else 0

    results = in_order(told(), Workers(), 2)
    assert [await anext(results), await anext(results)] == [0, 10]
    assert read == [0, 1, 2]
    await results.aclose()


async def test_a_failure_ends_the_others():
    workers = Workers()
    results: list[int] = []
    with pytest.raises(ValueError, match="three"):
        async for result in in_order([0, 1, 3, -50, -60], workers, 5):
            results.append(result)
    assert results == [0, 10]
    assert workers.cancelled == [-50, -60]
    assert workers.at_work == 0
