"""How much a sample's words are those of the others: a solution that others share is seldom a slip."""

from __future__ import annotations

import re
from functools import lru_cache

from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet

_WORD = re.compile(r"[^\W_]{2,30}")
_MOST = 3_000


class Agreement:
    """Mean share of words that a sample has in common with another (Jaccard)."""

    def columns(self, counted: CountedSet) -> Columns:
        """0 for a sample without words, or without others beside it."""
        words = [_words(text) for text in counted.texts]
        means: list[float] = []
        for index, mine in enumerate(words):
            others = [other for number, other in enumerate(words) if number != index]
            shares = [len(mine & other) / len(mine | other) if mine | other else 0.0 for other in others]
            means.append(sum(shares) / len(shares) if shares else 0.0)
        return {"words_shared": means}


@lru_cache(4096)
def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text)[-_MOST:])


VOTE_FEATURES.register("agreement")(Agreement())
