"""The subsets of a problem's samples that every method reads."""

from __future__ import annotations

import math
import random
from itertools import combinations

from sampleset.errors import InvalidArgumentError

Subset = tuple[int, ...]
"""Indices of samples, rising."""

_EVERY_K = 32
_SMALL = 21
"""Up to so many, `random.sample` draws from a list that it shortens, whatever k is."""


def subsets_of(n: int, k: int, limit: int, seed: int, problem_id: str) -> tuple[Subset, ...]:
    """Distinct subsets of k of n samples: all if there are at most `limit`, else `limit` random ones.

    The result depends on the arguments alone, so every method, and every later run, reads the same subsets.
    """
    if math.comb(n, k) <= limit:
        return tuple(combinations(range(n), k))
    generator = random.Random(f"{seed}:{k}:{problem_id}")
    subsets: dict[Subset, None] = {}
    while len(subsets) < limit:
        subsets[tuple(sorted(drawn(generator, n, k)))] = None
    return tuple(subsets)


def drawn(generator: random.Random, n: int, k: int) -> list[int]:
    """`generator.sample(range(n), k)`, the same numbers from the same state, for small n in less time."""
    if n > _SMALL:
        return generator.sample(range(n), k)
    bits = generator.getrandbits
    pool = list(range(n))
    result: list[int] = []
    for left in range(n, n - k, -1):
        length = left.bit_length()
        place = bits(length)
        while place >= left:
            place = bits(length)
        result.append(pool[place])
        pool[place] = pool[left - 1]
    return result


def parse_sizes(text: str) -> tuple[int, ...]:
    """The sizes that `5,10,20` or `1-12` name, rising.

    Raises:
        InvalidArgumentError: A part is not a size, or a range is empty.
    """
    sizes: set[int] = set()
    for part in text.split(","):
        low, dash, high = (piece.strip() for piece in part.partition("-"))
        bounds = [low, high] if dash else [low]
        if not all(bound.isdecimal() and len(bound) < 7 for bound in bounds):
            raise InvalidArgumentError(f"k={text!r}: {part.strip()!r} is no size. Write 5, 5,10,20 or 1-12.")
        first, last = int(bounds[0]), int(bounds[-1])
        if first < 1:
            raise InvalidArgumentError(f"k={text!r}: a set has at least 1 sample. Write 5, 5,10,20 or 1-12.")
        if last < first:
            raise InvalidArgumentError(f"k={text!r}: {part.strip()!r} must rise. Write {last}-{first}.")
        sizes.update(range(first, last + 1))
    return tuple(sorted(sizes))


def permuted(subset: Subset, seed: int, permutation: int, problem_id: str) -> Subset:
    """The subset in another random order. A single sample is returned unchanged."""
    if len(subset) < 2:
        return subset
    generator = random.Random(f"{seed}:{permutation}:{problem_id}")
    indices = list(subset)
    while tuple(indices) == subset:
        generator.shuffle(indices)
    return tuple(indices)


def curve_sizes(n: int) -> tuple[int, ...]:
    """The k of the vote's curve: every k up to 32, then in steps of a quarter, and n as the last."""
    sizes = list(range(1, min(n, _EVERY_K) + 1))
    while sizes[-1] < n:
        sizes.append(min(n, math.ceil(sizes[-1] * 1.25)))
    return tuple(sizes)
