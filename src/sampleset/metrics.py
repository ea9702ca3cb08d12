"""Numbers only: accuracy intervals, paired tests and pass@k. Nothing here knows of models or files.

Problems are the unit of every interval and test: what is measured on several subsets of one problem's
samples is averaged first, for these measurements are not independent.
`benchmarks/audits/interval_coverage.py` shows how often the intervals hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sampleset.errors import InvalidArgumentError

Floats = NDArray[np.float64]

_Z95 = 1.959963984540054
_SAME = 1e-9
"""Shares that differ by less are one: means of equal numbers are not equal to the last bit."""
MOST_WANTED = 50
"""A gain that would take more than this many times the existing questions to show is not worth mentioning."""
_PSEUDO_VALUES = np.array([-1.0, 0.0, 1.0])
_PSEUDO_COUNTS = np.array([0.5, 1.0, 0.5])


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), within [0, 1].

    Raises:
        InvalidArgumentError: No trials, or more successes than trials.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise InvalidArgumentError(f"{successes!r} successes in {trials!r} trials make no proportion.")
    share = successes / trials
    scale = 1 + _Z95**2 / trials
    centre = (share + _Z95**2 / (2 * trials)) / scale
    half = _Z95 / scale * math.sqrt(share * (1 - share) / trials + _Z95**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def clustered_interval(shares: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of per-problem shares, within [0, 1].

    Wilson's interval with as many trials as would give the variance that is seen between problems (the
    effective sample size of Korn and Graubard 1998, with its correction for few problems), and never fewer
    than problems. With shares of 0 and 1 alone this is Wilson's interval itself.

    Args:
        shares: One per problem in [0, 1]: how often its subsets were answered right.

    Raises:
        InvalidArgumentError: No problems.
    """
    if not shares:
        raise InvalidArgumentError("An interval needs at least one problem.")
    values = np.asarray(shares, dtype=np.float64)
    mean = min(1.0, float(values.mean()))
    trials = float(len(values))
    if np.ptp(values) > _SAME:
        seen = mean * (1 - mean) / float(values.var(ddof=1))
        trials = max(trials, trials * seen * (_Z95 / _t95(len(values) - 1)) ** 2)
    return wilson_interval(mean * trials, trials)


def _t95(freedom: int) -> float:
    """97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5; 1 % off with two degrees of freedom)."""
    z = _Z95
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


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


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def paired_bootstrap(differences: Sequence[float], resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean difference, problems drawn with replacement.

    Two made-up problems are drawn from as well: one without a difference, and one that is half a gain and
    half a loss, as Agresti and Min (2005) smooth paired proportions. Without them the interval has no width
    where the methods never differed, and is too short where they seldom did.

    Args:
        differences: Method minus reference, one per problem, each in [-1, 1].
        resamples: Bootstrap samples.
        seed: Seed of the draws.

    Raises:
        InvalidArgumentError: No differences.
    """
    return _quantiles(_bootstrap_means(differences, resamples, np.random.default_rng(seed)))


def questions_to_show(difference: float, low: float, high: float, questions: int) -> int | None:
    """About how many questions would show a gain of this size: its 95 % interval would begin at 0.

    `None` where there is no gain.

    Args:
        difference: The gain on these questions.
        low: Lower end of its interval.
        high: Upper end.
        questions: Their number.
    """
    if difference <= 0:
        return None
    return math.ceil(questions * ((high - low) / 2 / difference) ** 2)


def rounded_up(count: int) -> int:
    """A count rounded up to two digits."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def macro_bootstrap(groups: Sequence[Sequence[float]], resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of the groups' means, drawn within each group.

    The values are drawn as in `paired_bootstrap`; the groups are taken as they are.

    Args:
        groups: Values in [-1, 1], one list per group.
        resamples: Bootstrap samples.
        seed: Seed of the draws.

    Raises:
        InvalidArgumentError: No groups, or an empty one.
    """
    if not groups:
        raise InvalidArgumentError("A macro average needs at least one group.")
    generator = np.random.default_rng(seed)
    means = [_bootstrap_means(group, resamples, generator) for group in groups]
    return _quantiles(np.mean(means, axis=0))


def macro_interval(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """95 % interval of the mean of the groups' means, from the groups' clustered intervals.

    They are put together by how far each limit lies from its mean (the method of variance estimates recovery,
    Zou and Donner 2008); the groups are taken as they are.

    Args:
        groups: Shares in [0, 1], one list per group.

    Raises:
        InvalidArgumentError: No groups, or an empty one.
    """
    if not groups:
        raise InvalidArgumentError("A macro average needs at least one group.")
    limits = np.array([clustered_interval(group) for group in groups])
    means = np.array([np.mean(group) for group in groups])
    below, above = np.sqrt(np.sum((limits - means[:, None]) ** 2, axis=0)) / len(groups)
    return float(means.mean() - below), float(means.mean() + above)


def _bootstrap_means(values: Sequence[float], resamples: int, generator: np.random.Generator) -> Floats:
    if not values:
        raise InvalidArgumentError("A bootstrap needs at least one problem.")
    # The mean depends on how often each distinct value is drawn only, so draw counts, not problems.
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    distinct = np.concatenate([distinct, _PSEUDO_VALUES])
    weights = np.concatenate([counts, _PSEUDO_COUNTS])
    drawn = generator.multinomial(len(values) + 2, weights / weights.sum(), size=resamples)
    return drawn @ distinct / (len(values) + 2)


def _quantiles(means: Floats) -> tuple[float, float]:
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
