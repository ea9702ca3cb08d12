"""Stopping rules: when the samples drawn so far settle the vote. A rule makes no call and saves draws.

A rule is a pure function of the draws' classes of equal answers, in draw order. A draw that failed or states
no answer has no class. Rules, as users type them:

- `beta:0.95`: Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860). Stop when the leading class
  beats the runner-up with this probability: P(share > 1/2) under Beta(votes + 1, runner-up's votes + 1).
- `dirichlet:0.95`: the same paper's rule over all classes: P(the leader's share is the greatest) under
  Dirichlet(votes + 1). It is never above the probability of `beta`, so it never stops earlier.
- `esc:4`: early-stopping self-consistency (Li et al. 2024, arXiv 2401.10480). Stop when one of the windows
  of 4 consecutive draws (0-3, 4-7, ...) holds one class only.

Departures. Votes are counted over classes of equal answers, not over strings. A draw without an answer counts
as a draw but votes for nothing, so its window is not unanimous. Where all votes agree, `dirichlet` compares
them with one class without votes, as `beta` does. The papers draw one sample, or one window, at a time. Here
draws are made in batches (see `batch_ends`), which takes fewer rounds and a few more samples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from sampleset.aggregators.base import Tally, tally
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.types import SampleSet

Classes = Sequence[int | None]
"""The class of each draw's answer, in draw order; `None` where it has no answer."""


class StoppingRule(Protocol):
    """Says when to stop drawing."""

    @property
    def spec(self) -> str:
        """The rule as users type it."""
        ...

    @property
    def first_batch(self) -> int:
        """The fewest draws that can meet the rule."""
        ...

    def met(self, classes: Classes) -> bool:
        """Whether these draws settle the vote."""
        ...


@dataclass(frozen=True, slots=True)
class BetaRule:
    """Stop when the leading class beats the runner-up with the probability `threshold`."""

    threshold: float = 0.95

    def __post_init__(self) -> None:
        _check_threshold("beta", self.threshold)

    @property
    def spec(self) -> str:
        """As users type it."""
        return f"beta:{self.threshold!r}"

    @property
    def first_batch(self) -> int:
        """The fewest draws that meet the rule if they agree."""
        return _fewest_agreeing(self.threshold)

    def met(self, classes: Classes) -> bool:
        """Whether the leader is ahead with the probability `threshold`."""
        first, second, *_ = *_votes(classes), 0, 0
        return beats_runner_up(first, second) >= self.threshold


@dataclass(frozen=True, slots=True)
class DirichletRule:
    """Stop when the leading class beats every other at once with the probability `threshold`."""

    threshold: float = 0.95

    def __post_init__(self) -> None:
        _check_threshold("dirichlet", self.threshold)

    @property
    def spec(self) -> str:
        """As users type it."""
        return f"dirichlet:{self.threshold!r}"

    @property
    def first_batch(self) -> int:
        """The fewest draws that meet the rule if they agree."""
        return _fewest_agreeing(self.threshold)

    def met(self, classes: Classes) -> bool:
        """Whether the leader is ahead with the probability `threshold`."""
        votes = _votes(classes)
        if not votes or beats_runner_up(votes[0], votes[1] if len(votes) > 1 else 0) < self.threshold:
            return False
        return beats_all(tuple(votes) if len(votes) > 1 else (*votes, 0)) >= self.threshold


@dataclass(frozen=True, slots=True)
class WindowRule:
    """Stop when all draws of one window of `size` agree. Windows follow one another from draw 0."""

    size: int = 5

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InvalidArgumentError(f"esc:{self.size!r} must be a window of at least 2 draws.")

    @property
    def spec(self) -> str:
        """As users type it."""
        return f"esc:{self.size}"

    @property
    def first_batch(self) -> int:
        """One window."""
        return self.size

    def met(self, classes: Classes) -> bool:
        """Whether some complete window is unanimous."""
        windows = (
            set(classes[start : start + self.size])
            for start in range(0, len(classes) - self.size + 1, self.size)
        )
        return any(len(window) == 1 and None not in window for window in windows)


RULES = ("beta", "dirichlet", "esc")


def parse_stop(text: str) -> StoppingRule:
    """The rule that `beta:0.95`, `dirichlet:0.95` or `esc:4` names. The default numbers are 0.95 and 5.

    Raises:
        UnknownNameError: There is no such rule.
        InvalidArgumentError: The number is malformed or out of range.
    """
    name, _, number = (part.strip() for part in text.partition(":"))
    if name not in RULES:
        raise UnknownNameError("stopping rule", name, RULES)
    try:
        value = int(number or 5) if name == "esc" else float(number or 0.95)
    except ValueError as error:
        raise InvalidArgumentError(
            f"Stopping rule {text!r}: {number!r} is no number. Write beta:0.95, dirichlet:0.95 or esc:4."
        ) from error
    if name == "esc":
        return WindowRule(int(value))
    return BetaRule(value) if name == "beta" else DirichletRule(value)


def batch_ends(first: int, n: int) -> list[int]:
    """Number of draws after each batch: `first`, then twice as many each time, up to n."""
    ends = [min(first, n)]
    while ends[-1] < n:
        ends.append(min(2 * ends[-1], n))
    return ends


async def classes_of(sample_set: SampleSet) -> Classes:
    """The classes of a set's answers. Answers are read after any thinking."""
    return classes_in(await tally(sample_set.without_thinking()))


def classes_in(counted: Tally) -> Classes:
    """The class of each sample of a tally, by the sample's index."""
    classes: list[int | None] = [None] * len(counted.answers)
    for number, candidate in enumerate(counted.candidates):
        for index in candidate.indices:
            classes[index] = number
    return classes


@lru_cache(65536)
def beats_runner_up(votes: int, runner_up: int) -> float:
    """Posterior probability that a class with these votes is more frequent than its runner-up.

    P(x > 1/2) for x ~ Beta(votes + 1, runner_up + 1), which for whole numbers is a binomial tail: at most
    `votes` heads in votes + runner_up + 1 tosses of a coin. Exact up to the last rounding.
    """
    tosses = votes + runner_up + 1
    return sum(math.comb(tosses, heads) for heads in range(votes + 1)) / 2**tosses


_NEGLIGIBLE = 40.0


@lru_cache(65536)
def beats_all(votes: tuple[int, ...]) -> float:
    """Posterior probability that the first class has the greatest share of all, under Dirichlet(votes + 1).

    The shares are independent Gamma(votes + 1) variables over their sum, so this is the integral over x of
    the leader's density times every other's P(below x). With x = exp(u) the integrand and its derivatives
    vanish at both ends, where the trapezoidal rule converges exponentially; the error is below 1e-9.

    Args:
        votes: Votes by class, the first class first.
    """
    leader, rest = votes[0], Counter(votes[1:])
    shape = leader + 1.0
    low = (math.lgamma(shape) - _NEGLIGIBLE) / shape
    high = math.log(shape + _NEGLIGIBLE + math.sqrt(_NEGLIGIBLE**2 + 2 * _NEGLIGIBLE * shape))
    steps = math.ceil((high - low) * math.sqrt(max(votes) + 1) / 0.25)
    width = (high - low) / steps
    most = max(rest, default=0)
    total = 0.0
    for step in range(steps + 1):
        log_x = low + step * width
        x = math.exp(log_x)
        product = math.exp(shape * log_x - x - math.lgamma(shape))
        # P(Gamma(c + 1) < x) is one minus the Poisson probability of at most c events at rate x.
        tail = 0.0
        for count in range(most + 1):
            tail += math.exp(count * log_x - x - math.lgamma(count + 1))
            if count in rest:
                product *= max(0.0, 1.0 - tail) ** rest[count]
        total += product
    return min(1.0, total * width)


def _votes(classes: Classes) -> list[int]:
    """Votes by class, falling."""
    counted = Counter(number for number in classes if number is not None)
    return [votes for _, votes in counted.most_common()]


def _fewest_agreeing(threshold: float) -> int:
    votes = 1
    while beats_runner_up(votes, 0) < threshold:
        votes += 1
    return votes


def _check_threshold(name: str, threshold: float) -> None:
    if not 0.5 < threshold <= 0.999999:
        raise InvalidArgumentError(f"{name}:{threshold!r} must be a probability above 0.5 and below 1.")
