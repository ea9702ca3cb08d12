"""Rank, then fuse (Jiang et al. 2023, LLM-Blender, arXiv 2306.02561): a model is shown the best few samples
only, and writes a new solution out of them.

Departures: no trained pair ranker and no trained fuser. Samples are ranked by their votes, by token
confidence or by scores that came with them; each distinct answer is shown once, by its best sample, with its
count; the model is any.

Cost with a question of Q tokens, samples of L tokens and m = `top`: no call for the ranking; 1 call of a
prompt of about 100 + Q + m·L tokens and up to `max_tokens` of reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators._fusion import Fuser, concluded, require_positive
from sampleset.aggregators._scores import sample_score
from sampleset.aggregators.base import AGGREGATORS, Tally, Writing, shown_order, tally, vote_answer
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.prompts import Shown
from sampleset.types import Answer, SampleSet


@AGGREGATORS.register("rank_then_fuse")
@dataclass(frozen=True)
class RankThenFuse(Fuser):
    """Return the answer of a new solution that a model makes of the best m distinct answers' samples.

    Samples without an answer are not shown. Ties in rank go to the answer that appears first; an answer whose
    samples have no score ranks last, and where none has one the votes rank, flagged `no_scores`. A solution
    without an answer falls back to the majority vote, flagged `fallback_vote`.

    Attributes:
        by: `votes`, `confidence` (mean token log-probability), `window` (its lowest window), `bottom` (mean
            of the lowest tenth of the windows), `tail` (that of the last tokens), or the name of a score that
            the samples carry, such as `rm_scores`.
        top: m, how many distinct answers are shown at most.
        temperature: 0 by default.
    """

    name: ClassVar[str] = "rank_then_fuse"
    temperature: float = 0.0
    by: str = "votes"
    top: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "top")

    @property
    def writing(self) -> Writing | None:
        """The only solution."""
        return Writing("solution")

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the new solution."""
        counted = await tally(sample_set)
        if not counted.candidates or (self.skip_unanimous and len(counted.candidates) == 1):
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        best, notes = self._best(sample_set, counted)
        solutions = [
            Shown(sample_set.samples[index].text, best[index])
            for index in shown_order(sample_set, self.seed, 0)
            if index in best
        ]
        written = await self.write(sample_set.question, solutions, 0)
        last = SampleSet(sample_set.question, (written,))
        noted = Tally(counted.answers, counted.candidates, (*counted.notes, *notes))
        vote = MajorityVote(seed=self.seed)
        return await concluded(self.name, sample_set, noted, last, vote, last.usage, self.seed)

    def _best(self, sample_set: SampleSet, counted: Tally) -> tuple[dict[int, int], tuple[str, ...]]:
        """Index and votes of the sample that stands for each of the best answers; the flags."""
        ranked: list[tuple[float, int, int]] = []
        scored = False
        for candidate in counted.candidates:
            best_index, score = candidate.indices[0], float("-inf")
            for index in candidate.indices if self.by != "votes" else ():
                value = sample_score(sample_set.samples[index], self.by)
                scored = scored or value is not None
                if value is not None and value > score:
                    best_index, score = index, value
            ranked.append((score, candidate.votes, best_index))
        # Sorting is stable, so that ties stay in the order of appearance.
        ranked.sort(key=lambda row: row[:2] if scored else row[1], reverse=True)
        notes = () if scored or self.by == "votes" else ("no_scores",)
        return {best_index: votes for _, votes, best_index in ranked[: self.top]}, notes
