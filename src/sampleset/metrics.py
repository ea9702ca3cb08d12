"""Numbers only: accuracy intervals, paired tests and pass@k. Nothing here knows of models or files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sampleset.errors import InvalidArgumentError

_Z95 = 1.959963984540054


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), within [0, 1].

    Raises:
        InvalidArgumentError: No trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise InvalidArgumentError(f"{successes!r} successes in {trials!r} trials make no proportion.")
    share = successes / trials
    scale = 1 + _Z95**2 / trials
    centre = (share + _Z95**2 / (2 * trials)) / scale
    half = _Z95 / scale * math.sqrt(share * (1 - share) / trials + _Z95**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that at least one of k samples is correct.

    Unbiased over all k-subsets of n samples (Chen et al. 2021, arXiv 2107.03374).

    Args:
        n: Samples drawn, n ≥ k.
        correct: How many of them are correct, 0 ≤ correct ≤ n.
        k: Samples in a subset, k ≥ 1.

    Raises:
        InvalidArgumentError: k < 1, k > n, or correct out of range.
    """
    if not 1 <= k <= n:
        raise InvalidArgumentError(f"k={k!r} must lie between 1 and n={n!r}.")
    if not 0 <= correct <= n:
        raise InvalidArgumentError(f"correct={correct!r} must lie between 0 and n={n!r}.")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def mcnemar_exact(mended: int, spoilt: int) -> float:
    """Two-sided p-value that mended and spoilt problems are equally likely (exact McNemar test).

    Args:
        mended: Problems that the method has right and the reference wrong.
        spoilt: Problems that the method has wrong and the reference right.
    """
    total = mended + spoilt
    tail = sum(math.comb(total, count) for count in range(min(mended, spoilt) + 1))
    return min(1.0, 2 * tail / 2**total)


def paired_bootstrap(differences: Sequence[float], resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean difference, problems drawn with replacement.

    Args:
        differences: Method minus reference, one per problem.
        resamples: Bootstrap samples.
        seed: Seed of the draws.

    Raises:
        InvalidArgumentError: No differences.
    """
    if not differences:
        raise InvalidArgumentError("A bootstrap needs at least one problem.")
    values = np.asarray(differences, dtype=np.float64)
    generator = np.random.default_rng(seed)
    # The mean depends on how often each distinct value is drawn only, so draw counts, not problems.
    distinct, counts = np.unique(values, return_counts=True)
    drawn = generator.multinomial(len(values), counts / len(values), size=resamples)
    means = drawn @ distinct / len(values)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
