"""The order of the rows and the learning rate of a run, as functions of seed and step."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from sampleset.training.recipe import Recipe


def learning_rate_share(step: int, recipe: Recipe) -> float:
    """Share of the highest learning rate at a step (from 0), in [0, 1]: a linear rise, then half a cosine."""
    warm = round(recipe.warmup * recipe.steps)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, recipe.steps - warm)))


def row_order(count: int, seed: int, start: int) -> Iterator[int]:
    """Indices of rows, beginning with the `start`-th. Each pass over the rows has another order."""
    epoch = start // count
    skip = start % count
    while True:
        indices = list(range(count))
        random.Random(f"{seed}:{epoch}").shuffle(indices)
        yield from indices[skip:]
        skip, epoch = 0, epoch + 1
