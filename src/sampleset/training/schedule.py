"""What a run does at which step: the order of the rows, and the learning rate. Functions of seed and step."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from sampleset.training.recipe import Recipe


def learning_rate_share(step: int, recipe: Recipe) -> float:
    """Share of the learning rate at a step, from 0: a rise in a line, then half a cosine."""
    warm = round(recipe.warmup * recipe.steps)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, recipe.steps - warm)))


def row_order(count: int, seed: int, start: int) -> Iterator[int]:
    """Places of rows from the `start`-th on; each pass over the rows has an order of its own."""
    epoch = start // count
    skip = start % count
    while True:
        places = list(range(count))
        random.Random(f"{seed}:{epoch}").shuffle(places)
        yield from places[skip:]
        skip, epoch = 0, epoch + 1
