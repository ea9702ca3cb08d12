"""Tallies of parts of one sample set: its answers are grouped once, and its classes hold for its parts.

Where they do not (`AnswerKind.restricts`), each part is grouped for itself.
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
        whole: Its tally.
        restricts: Whether its classes hold for its parts.

    Attributes:
        whole: The tally of the set.
    """

    def __init__(self, sample_set: SampleSet, whole: Tally, restricts: bool) -> None:
        self.whole = whole
        self._set = sample_set
        self._restricts = restricts
        self._classes: list[int | None] = [None] * sample_set.n
        for number, candidate in enumerate(whole.candidates):
            for place in candidate.indices:
                self._classes[place] = number
        self._canonical = [canonical(answer or "") for answer in whole.answers]
        self._tallies: dict[tuple[int, ...], Tally] = {}

    @classmethod
    async def of(cls, sample_set: SampleSet) -> Parts:
        """The set, read and grouped."""
        whole = await tally(sample_set)
        groups = tuple(AnswerGroup(one.answer, one.indices) for one in whole.candidates)
        kind = kind_of(sample_set.question)
        return cls(sample_set, whole, kind.restricts(whole.answers, Grouping(groups, whole.notes)))

    async def tally(self, places: tuple[int, ...]) -> Tally:
        """The tally of the samples at these places, in this order."""
        if places not in self._tallies:
            self._tallies[places] = (
                self._restricted(places) if self._restricts else await tally(self._set.subset(places))
            )
        return self._tallies[places]

    async def vote(self, places: tuple[int, ...], method: MajorityVote) -> str | None:
        """The answer of the majority vote over these samples, `None` if they give none.

        The same as `method.decide(await self.tally(places), ...)`, and quicker where the classes hold.
        """
        if not self._restricts:
            decision = method.decide(await self.tally(places), self._set.id)
            return decision.winner.answer if decision else None
        members: dict[int, list[int]] = {}
        for place in places:
            if (number := self._classes[place]) is not None:
                members.setdefault(number, []).append(place)
        if not members:
            return None
        most = max(map(len, members.values()))
        tied = [own for own in members.values() if len(own) == most]
        if len(tied) > 1 and method.ties == "seeded":
            tied.sort(key=lambda own: min(self._canonical[place] for place in own))
            return self.whole.answers[tied[tie_place(len(tied), method.seed, self._set.id)][0]]
        return self.whole.answers[tied[0][0]]

    def _restricted(self, places: Sequence[int]) -> Tally:
        indices: dict[int, list[int]] = {}
        for position, place in enumerate(places):
            if (number := self._classes[place]) is not None:
                indices.setdefault(number, []).append(position)
        answers = tuple(self.whole.answers[place] for place in places)
        return Tally(
            answers,
            tuple(Candidate(answers[own[0]] or "", len(own), tuple(own)) for own in indices.values()),
            (),
        )
