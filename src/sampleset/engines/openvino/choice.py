"""The next token of a draw, by its logits and its random number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sampleset.chat import SamplingParams

COLUMNS = 128
"""Vocabulary entries of a run. A draw first picks a run by its sum of weights."""

MOST_LIKELY = 1024
"""Most likely entries among which a nucleus is searched first."""


def choose(
    logits: NDArray[np.float32], params: Sequence[SamplingParams], uniforms: Sequence[float]
) -> NDArray[np.int64]:
    """A token for each row.

    Temperature is applied first, then `top_k`, then the nucleus. The random number picks by the tokens' order
    in the vocabulary, so that slightly different logits with equal numbers give the same token.

    Args:
        logits: Logits, (R, V).
        params: Sampling parameters of each row.
        uniforms: Random number in [0, 1) of each row.
    """
    tokens = np.zeros(len(params), np.int64)
    plain = [row for row, row_params in enumerate(params) if _is_plain(row_params)]
    for row, row_params in enumerate(params):
        if row_params.temperature == 0:
            tokens[row] = int(logits[row].argmax())
        elif not _is_plain(row_params):
            tokens[row] = _narrowed(logits[row], row_params, uniforms[row])
    if plain:
        rows = logits if len(plain) == len(params) else logits[plain]
        tokens[plain] = _spread(
            rows,
            np.array([params[row].temperature for row in plain], np.float32),
            np.array([uniforms[row] for row in plain]),
        )
    return tokens


def _is_plain(params: SamplingParams) -> bool:
    return params.temperature > 0 and not params.top_k and params.top_p >= 1


def _spread(
    logits: NDArray[np.float32], temperatures: NDArray[np.float32], uniforms: NDArray[np.float64]
) -> NDArray[np.int64]:
    rows, width = logits.shape
    weights = logits - logits.max(axis=1, keepdims=True)
    weights *= (1 / temperatures)[:, None]
    np.exp(weights, out=weights)
    starts = range(0, width, COLUMNS)
    if width % COLUMNS == 0:
        sums = weights.reshape(rows, -1, COLUMNS).sum(axis=2, dtype=np.float32)
    else:
        sums = np.add.reduceat(weights, list(starts), axis=1)
    ends: NDArray[np.float64] = np.cumsum(sums, axis=1, dtype=np.float64)
    tokens = np.zeros(rows, np.int64)
    for row in range(rows):
        goal = uniforms[row] * ends[row, -1]
        run = min(int(np.count_nonzero(ends[row] <= goal)), len(starts) - 1)
        start = starts[run]
        inner: NDArray[np.float64] = np.cumsum(weights[row, start : start + COLUMNS], dtype=np.float64)
        rest = goal - (ends[row, run - 1] if run else 0.0)
        column = int(np.count_nonzero(inner <= rest))
        tokens[row] = start + min(column, int(np.count_nonzero(inner < inner[-1])))
    return tokens


def _narrowed(logits: NDArray[np.float32], params: SamplingParams, uniform: float) -> int:
    width = len(logits)
    scaled = (logits.astype(np.float64) - float(logits.max())) / params.temperature
    weights = np.exp(scaled)
    total = float(weights.sum())
    count = min(params.top_k or width, width)
    width_read = min(count, MOST_LIKELY)
    while True:
        if width_read == width:
            order = np.argsort(-weights, kind="stable")
        else:
            columns = np.argpartition(-weights, width_read - 1)[:width_read]
            order = columns[np.argsort(-weights[columns], kind="stable")]
        mass: NDArray[np.float64] = np.cumsum(weights[order])
        mass_total = float(weights[order].sum()) if params.top_k else total
        needed = int(np.count_nonzero(mass < params.top_p * mass_total)) + 1
        if needed <= width_read or width_read >= count:
            break
        width_read = min(count, width_read * 16)
    chosen = np.sort(order[: min(needed, len(order))])
    ends: NDArray[np.float64] = np.cumsum(weights[chosen])
    return int(chosen[min(int(np.count_nonzero(ends <= uniform * ends[-1])), len(chosen) - 1)])
