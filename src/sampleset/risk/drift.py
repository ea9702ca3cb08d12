"""Whether confidences still look as they did when a threshold was certified: a test that runs along.

A conformal test martingale (Vovk et al., arXiv 2102.10439). Each new confidence gets a p-value by its rank
among all seen so far; as long as they come from one distribution, p-values are independent and uniform, and a
game that bets against this does not grow. It multiplies its money by 100 with a probability of at most 1 %,
however long it runs. (Ville's inequality.)
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence

_BINS = 20
_JUMP = 0.01
_BETS = (-1.0, 0.0, 1.0)


class DriftAlarm:
    """Watches a stream of confidences. Memory and work for each are bounded.

    Args:
        confidences: Those of the certified questions, in [0, 1].
        false_alarms: Probability of an alarm in a stream that has not changed.
        seed: Of the ties between equal ranks.

    Attributes:
        seen: Confidences of the stream so far.
        evidence: The game's money, of 1 at the start: large where the stream has changed.
    """

    def __init__(self, confidences: Sequence[float], false_alarms: float = 0.01, seed: int = 0) -> None:
        ordered = sorted(confidences)
        self._edges = sorted({ordered[len(ordered) * place // _BINS] for place in range(1, _BINS)})
        self._counts = [0] * (len(self._edges) + 1)
        for value in ordered:
            self._counts[self._bin(value)] += 1
        self._limit = 1 / false_alarms
        self._random = random.Random(seed)
        self._money = [1 / len(_BETS)] * len(_BETS)
        self._most = 1.0
        self.seen = 0

    @property
    def evidence(self) -> float:
        """The game's money."""
        return sum(self._money)

    @property
    def alarmed(self) -> bool:
        """Whether the evidence has passed the limit, now or before."""
        return self._most >= self._limit

    def add(self, confidence: float) -> bool:
        """Look at one more confidence; whether there is an alarm."""
        place = self._bin(confidence)
        below, same = sum(self._counts[:place]), self._counts[place] + 1
        rank = (below + same * self._random.random()) / (sum(self._counts) + 1)
        self._counts[place] += 1
        self.seen += 1
        total = self.evidence
        kept = [(1 - _JUMP) * money + _JUMP * total / len(_BETS) for money in self._money]
        self._money = [money * (1 + bet * (rank - 0.5)) for money, bet in zip(kept, _BETS, strict=True)]
        self._most = max(self._most, self.evidence)
        return self.alarmed

    def _bin(self, confidence: float) -> int:
        return bisect.bisect_right(self._edges, confidence)
