"""What texts have in common at their beginning, which is read once."""

from __future__ import annotations

from collections.abc import Sequence

LEAST_STEM = 16
"""Fewest tokens that must be saved for the common prefix of continuations to be read in a separate step."""


def common_length(texts: Sequence[list[int]]) -> int:
    """Number of tokens with which all texts begin."""
    # All others lie between these two.
    low, high = min(texts), max(texts)
    least = min(len(low), len(high))
    return next((at for at in range(least) if low[at] != high[at]), least)


def stem_length(continuations: Sequence[list[int]]) -> int:
    """Length of the common prefix, without last tokens, if reading it once is worth a step, else 0."""
    if len(continuations) < 2 or not all(continuations):
        return 0
    common = common_length([cut[:-1] for cut in continuations])
    return common if common * (len(continuations) - 1) >= LEAST_STEM else 0
