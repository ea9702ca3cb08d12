"""A sample's numbers: those of the question, those of its sums, and those that other samples reach.

Every pattern is bounded, and only the last characters of a text are read.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from sampleset.answers.code.calculated import NUMERIC_KINDS
from sampleset.answers.code.sums import written_sums
from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet

_MOST = 400
"""Numbers of a text that are looked at, its last ones."""
_NUMBER = re.compile(r"(?<![\w.])\d{1,15}(?:,\d{3}){0,4}(?:\.\d{1,12})?(?![\w]|\.\d)")


class Numbers:
    """Share of the question's numbers that are used, how many numbers there are, sums that do not come out,
    and the share of its numbers that other samples hold.
    """

    def columns(self, counted: CountedSet) -> Columns:
        """No columns where answers are not numbers."""
        question = counted.sample_set.question
        if question.answer_kind.partition(":")[0] not in NUMERIC_KINDS:
            return {}
        wanted = _numbers(question.text[-4_000:])
        numbers_by_sample = [_numbers(text) for text in counted.texts]
        sums = [[one.comes_out for one in written_sums(text)] for text in counted.texts]
        shared: list[float] = []
        answer_shares: list[float] = []
        for index, mine in enumerate(numbers_by_sample):
            others = [numbers for number, numbers in enumerate(numbers_by_sample) if number != index]
            added = mine - wanted
            hits = sum(number in numbers for number in added for numbers in others)
            shared.append(hits / (len(added) * len(others)) if added and others else 0.0)
            answer = _plain(counted.answers[index] or "")
            answer_shares.append(
                sum(answer in numbers for numbers in others) / len(others) if others else 0.0
            )
        return {
            "numbers_used": [
                len(mine & wanted) / len(wanted) if wanted else 1.0 for mine in numbers_by_sample
            ],
            "numbers": [math.log1p(len(mine)) for mine in numbers_by_sample],
            "sums_right": [math.log1p(of_one.count(True)) for of_one in sums],
            "sums_wrong": [math.log1p(of_one.count(False)) for of_one in sums],
            "numbers_shared": shared,
            "answer_named": answer_shares,
            "answer_of_question": [float(_plain(answer or "") in wanted) for answer in counted.answers],
        }


@lru_cache(4096)
def _numbers(text: str) -> frozenset[str]:
    """The distinct numbers of a text, the last ones of a long one."""
    return frozenset(_plain(match) for match in _NUMBER.findall(text)[-_MOST:])


def _plain(number: str) -> str:
    """A number as its digits: without separators and trailing zeros of a fraction."""
    text = number.replace(",", "").strip("$ ")
    return text.rstrip("0").rstrip(".") if "." in text else text


VOTE_FEATURES.register("numbers")(Numbers())
