"""Tallies of parts of one sample set. Its answers are grouped once, and the classes are reused for its parts.

If an answer kind does not allow that (`AnswerKind.restricts`), each part is grouped separately.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampleset.aggregators.base import Tally, tally, tie_place
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.answers import AnswerGroup, Grouping, canonical, kind_of
from sampleset.types import Candidate, SampleSet


class Parts:
    """One sample set and the tallies of its parts.

    Args:
        sample_set: The set.
        full_tally: The tally of the set.
        restricts: Whether the classes of the set hold for its parts.

    Attributes:
        full_tally: The tally of the set.
        restricts: Whether the classes of the set hold for its parts.
    """

    def __init__(self, sample_set: SampleSet, full_tally: Tally, restricts: bool) -> None:
        self.full_tally = full_tally
        self._set = sample_set
        self.restricts = restricts
        self._classes = [len(full_tally.candidates)] * sample_set.n  # the last: no answer
        for number, candidate in enumerate(full_tally.candidates):
            for index in candidate.indices:
                self._classes[index] = number
        self._canonical = [canonical(answer or "") for answer in full_tally.answers]
        self._tallies: dict[tuple[int, ...], Tally] = {}

    @classmethod
    async def of(cls, sample_set: SampleSet) -> Parts:
        """The set, read and grouped."""
        full_tally = await tally(sample_set)
        groups = tuple(
            AnswerGroup(candidate.answer, candidate.indices) for candidate in full_tally.candidates
        )
        kind = kind_of(sample_set.question)
        return cls(
            sample_set, full_tally, kind.restricts(full_tally.answers, Grouping(groups, full_tally.notes))
        )

    async def tally(self, indices: tuple[int, ...]) -> Tally:
        """The tally of the samples with these indices, in this order."""
        if indices not in self._tallies:
            self._tallies[indices] = (
                self._restricted(indices) if self.restricts else await tally(self._set.subset(indices))
            )
        return self._tallies[indices]

    async def vote(self, indices: tuple[int, ...], method: MajorityVote) -> str | None:
        """The answer of the majority vote over these samples, `None` if none of them has an answer.

        Equal to `method.decide(await self.tally(indices), ...)`, and faster if the classes hold for parts.
        """
        if not self.restricts:
            decision = method.decide(await self.tally(indices), self._set.id)
            return decision.winner.answer if decision else None
        index = self.winner(indices, method)
        return None if index is None else self.full_tally.answers[index]

    def winner(self, indices: Sequence[int], method: MajorityVote) -> int | None:
        """The sample whose answer the vote over these samples gives, where the classes hold for parts."""
        classes = self._classes
        counts = [0] * (len(self.full_tally.candidates) + 1)
        for index in indices:
            counts[classes[index]] += 1
        counts[-1] = 0
        most = max(counts)
        if not most:
            return None
        winning = [index for index in indices if counts[classes[index]] == most]
        if len(winning) == most or method.ties == "first":
            return winning[0]
        members: dict[int, list[int]] = {}
        for index in winning:
            members.setdefault(classes[index], []).append(index)
        tied = sorted(members.values(), key=lambda group: min([self._canonical[index] for index in group]))
        return tied[tie_place(len(tied), method.seed, self._set.id)][0]

    def settled(self, size: int, right: Sequence[bool]) -> bool | None:
        """Whether the vote over any `size` samples is right, `None` if that depends on the samples.

        Args:
            size: How many samples vote.
            right: Whether the answer of each sample of the set is right.
        """
        if not self.restricts:
            return None
        if len({*right}) == 1:
            return right[0]
        largest, *others = sorted((one.indices for one in self.full_tally.candidates), key=len, reverse=True)
        least = size - (len(right) - len(largest))
        wins = least > max(map(len, others), default=0)
        return right[largest[0]] if wins and len({right[index] for index in largest}) == 1 else None

    def _restricted(self, indices: Sequence[int]) -> Tally:
        positions_by_class: dict[int, list[int]] = {}
        for position, index in enumerate(indices):
            if (number := self._classes[index]) < len(self.full_tally.candidates):
                positions_by_class.setdefault(number, []).append(position)
        answers = tuple(self.full_tally.answers[index] for index in indices)
        return Tally(
            answers,
            tuple(
                Candidate(answers[positions[0]] or "", len(positions), tuple(positions))
                for positions in positions_by_class.values()
            ),
            (),
        )
