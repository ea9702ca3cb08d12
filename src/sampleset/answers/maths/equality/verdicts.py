"""Verdicts on two answers; those of the algebra workers are kept, in memory and in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sampleset.answers.maths.equality.linear import linear_verdict
from sampleset.answers.maths.equality.verdict_store import store_verdict, stored_verdict
from sampleset.answers.maths.equality.workers import TIME_LIMIT, Budget, compare_expressions, compare_regions
from sampleset.answers.maths.forms.simple_forms import Form
from sampleset.caches import BoundedCache

Mode = Literal["gold", "same", "vote"]
_CACHE_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one comparison.

    Attributes:
        equal: `None` where it could not be decided.
        rule: What decided it: `text`, `number`, `kind`, `numeric` or `symbolic` (by algebra),
            or why nothing did: `timeout`, `memory`, `too_long`, `ambiguous`, ...
    """

    equal: bool | None
    rule: str


_cache: BoundedCache[tuple[str, str, str], Verdict] = BoundedCache(_CACHE_BYTES)
os.register_at_fork(after_in_child=_cache.renew_lock)


def verdict_on_expressions(answer: str, gold: str, mode: Mode, budget: Budget) -> Verdict:
    """Whether two expressions in LaTeX are equal."""
    equal = linear_verdict(answer, gold)
    if equal is not None:
        return Verdict(equal, "numeric")
    if mode != "gold":
        answer, gold = sorted((answer, gold))
    return _decided(
        (mode, answer, gold), budget, lambda: compare_expressions(gold, answer, mode=mode, budget=budget)
    )


def verdict_on_regions(first: Form, second: Form, budget: Budget) -> Verdict:
    """Whether two conditions hold for the same numbers."""
    left, right = sorted((first.region, second.region), key=repr)
    key = ("region", repr(left), repr(right))
    return _decided(key, budget, lambda: compare_regions(left, right, budget=budget))


def _decided(
    key: tuple[str, str, str], budget: Budget, compare: Callable[[], tuple[bool | None, str]]
) -> Verdict:
    """The verdict of a worker, or one that is known."""
    known = _cache.get(key)
    if known is not None:
        return known
    stored = stored_verdict(*key)
    if stored is not None:
        verdict = Verdict(*stored)
        _cache.put(key, verdict, len(key[1]) + len(key[2]))
        return verdict
    seconds = budget.left
    if seconds < 0.01:
        return Verdict(None, "cancelled" if budget.is_cancelled else "timeout")
    equal, rule = compare()
    verdict = Verdict(equal, rule)
    # What failed for lack of a worker, or of time spent on other members, may succeed later.
    if rule not in ("no_worker", "crash", "cancelled") and (rule != "timeout" or seconds > 0.9 * TIME_LIMIT):
        _cache.put(key, verdict, len(key[1]) + len(key[2]))
    if equal is not None:
        store_verdict(*key, equal, rule)
    return verdict
