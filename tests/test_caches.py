"""Caches hold so many bytes, whatever is put into them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampleset.caches import BoundedCache


@given(sizes=st.lists(st.integers(0, 5_000), max_size=60))
def test_a_cache_never_weighs_more_than_it_may(sizes: list[int]) -> None:
    cache: BoundedCache[int, str] = BoundedCache(20_000)
    for key, size in enumerate(sizes):
        cache.put(key % 7, "x", size)
        assert 0 <= cache.weight <= 20_000


def test_the_least_recently_used_goes_first() -> None:
    cache: BoundedCache[str, int] = BoundedCache(4_000)
    for key in "abcdef":
        cache.put(key, 1, 200)
    assert cache.get("a") == 1
    cache.put("g", 1, 200)
    cache.put("h", 1, 200)
    cache.put("i", 1, 200)
    assert (cache.get("a"), cache.get("b"), cache.get("i")) == (1, None, 1)


def test_what_would_fill_the_cache_alone_is_not_held() -> None:
    cache: BoundedCache[str, str] = BoundedCache(8_000)
    cache.put("small", "x", 10)
    cache.put("large", "y", 5_000)
    assert (cache.get("small"), cache.get("large")) == ("x", None)


def test_a_value_put_again_weighs_once() -> None:
    cache: BoundedCache[str, str] = BoundedCache(8_000)
    for _ in range(100):
        cache.put("key", "x", 100)
    assert cache.weight == 400
