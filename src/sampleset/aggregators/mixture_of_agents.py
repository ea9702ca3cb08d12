"""Mixture of agents (Wang et al. 2024, arXiv 2406.04692): layers of models, each reading what all models of
the layer before wrote; a last model writes the answer. With one model it is Self-MoA (Li et al. 2025, arXiv
2502.00674).

Departures: the sample set, drawn from one model or from several, is the first layer; every agent is shown
the solutions in another order; any aggregator may replace the last model.

Cost with n samples and solutions of L tokens, `layers` layers of A agents: layers·A + 1 calls (without
`final`). A prompt holds Q + n·L tokens in the first layer and Q + A·L in the others, with Q those of the
question and about 100 of ours; each call writes up to `max_tokens`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators._fusion import Fuser, concluded, require_positive
from sampleset.aggregators.base import AGGREGATORS, Aggregator, Writing, tally, vote_answer
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.backends.base import Backend
from sampleset.models.together import gathered
from sampleset.prompts import Shown
from sampleset.types import Answer, Sample, SampleSet, Usage


@AGGREGATORS.register("mixture_of_agents")
@dataclass(frozen=True)
class MixtureOfAgents(Fuser):
    """Return the answer that a model makes of what layers of agents wrote after reading the layer before.

    Where no answer comes of it the majority vote of the samples answers, flagged `fallback_vote`.

    Attributes:
        layers: Layers of agents between the samples and the last model.
        agents: Agents in each layer.
        models: The agents' models, in turn; by default all ask `backend`.
        roles: The role of each agent, in turn, as a system message; by default nothing. The last
            model plays none.
        final: What makes the answer of the last layer; by default `backend` writes one more solution.
    """

    name: ClassVar[str] = "mixture_of_agents"
    layers: int = 1
    agents: int = 3
    models: tuple[Backend, ...] = ()
    roles: tuple[str, ...] | None = None
    final: Aggregator | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "layers", "agents")

    @property
    def writing(self) -> Writing | None:
        """The solution after the last layer."""
        return Writing("solution", self.layers * self.agents if self.final is None else None)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer after the last layer."""
        counted = await tally(sample_set)
        layer = [sample for sample in sample_set.samples if not sample.failed]
        if not layer or (self.skip_unanimous and len(counted.candidates) == 1):
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        models = self.models or (self.backend,)
        usage = Usage()
        for number in range(self.layers):
            first = number * self.agents
            agents = [
                self._agent(
                    sample_set,
                    layer,
                    first + agent,
                    models[agent % len(models)],
                    self.roles[agent % len(self.roles)] if self.roles else None,
                )
                for agent in range(self.agents)
            ]
            layer = await gathered(agents)
            usage += SampleSet(sample_set.question, tuple(layer)).usage
        final = self.final
        if final is None:
            final = MajorityVote(seed=self.seed)
            layer = [await self._agent(sample_set, layer, self.layers * self.agents, self.backend)]
            usage += SampleSet(sample_set.question, tuple(layer)).usage
        last = SampleSet(sample_set.question, tuple(layer))
        return await concluded(self.name, sample_set, counted, last, final, usage, self.seed)

    async def _agent(
        self,
        sample_set: SampleSet,
        layer: Sequence[Sample],
        index: int,
        model: Backend,
        role: str | None = None,
    ) -> Sample:
        order = list(layer)
        random.Random(f"{self.seed}:{index}:{sample_set.id}").shuffle(order)
        shown = [Shown(sample.text) for sample in order]
        return await self.write(sample_set.question, shown, index, model, role)
