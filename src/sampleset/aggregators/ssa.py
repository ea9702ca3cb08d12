"""The Sample Set Aggregator: a language model trained to read a whole set and give the answer (Qi et al.
2025, arXiv 2506.09014).

Departures from the paper: trained to think, to answer at once, or to select among the answers; in mode
`select` the log of the votes and the samples' confidence count beside the model's score, by learned
weights; samples are shown in permuted order, cut, folded and put right by a calculator as in training.

Cost with P permutations: that of `llm_aggregator` in the mode it was trained for, P calls of a prompt of
about 100 + Q + n·(L + 7) tokens, where L is at most the `keep_end_tokens` it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, Aggregator, Writing
from sampleset.aggregators.calculator import Calculator
from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.backends.base import Backend, record_of
from sampleset.engines.checkpoint import read_record
from sampleset.engines.gguf import EMBEDDED_SSA
from sampleset.errors import InvalidArgumentError
from sampleset.prompts import AGGREGATION_PROMPT
from sampleset.types import Answer, SampleSet


@AGGREGATORS.register("ssa")
@dataclass(frozen=True)
class SampleSetAggregator:
    """Return the answer that a trained aggregator gives after it has read all samples.

    Mode, prompt, learned weights, and how samples are cut and folded come from the record beside the model's
    weights, so that it is asked as it was trained. Fallbacks, flags and confidence are those of
    `llm_aggregator`, which reads any other model the same way. One that was trained on samples that a
    `calculator` had put right reads them within it.

    Attributes:
        backend: The trained model: a checkpoint of `sampleset train`, or what `sampleset export` made of it;
            on the command line, by default, the one of this package.
        permutations: How many orders of the samples are read.
        skip_unanimous: Take the answer of sets whose samples all give one without asking; mode `select`
            always does.
        max_tokens: Most tokens of a reply; by default 512 in mode `think`, 64 in mode `direct`.
        seed: Seed of the orders, of the replies and of ties.
        drop_end_tokens: Do not show so many tokens at the end of each sample, to see
            whether it only copies final answers. In mode `select` it is given the candidates all the same.
        record: Folder with the record, where it is not beside the model: a copy of what a server runs.
    """

    name: ClassVar[str] = "ssa"
    default_model: ClassVar[str] = EMBEDDED_SSA
    backend: Backend
    permutations: int = 1
    skip_unanimous: bool = False
    max_tokens: int | None = None
    seed: int = 0
    record: str | None = None
    drop_end_tokens: int | None = None
    _reader: LLMAggregator = field(init=False, repr=False, compare=False)
    _asked: Aggregator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        record = record_of(self.backend) if self.record is None else read_record(Path(self.record))
        if record is None:
            if self.record is not None:
                raise InvalidArgumentError(f"record={self.record!r} is no folder with a sampleset.json.")
            raise InvalidArgumentError(
                f"The model {self.backend.model!r} is no trained aggregator: no sampleset.json stands beside "
                "its weights. Name embedded-ssa or a folder that sampleset train or export wrote; of a model "
                "that a server runs, give that folder as record=FOLDER; or use llm_aggregator."
            )
        if record.mode == "verify":
            raise InvalidArgumentError(
                f"{self.backend.model!r} was trained to verify one sample, not to read a set. Use it as a "
                "reward model: best_of_n:reward_model=generative_verifier,model=FOLDER, or "
                "sampleset fit-vote SETS --reward-model generative_verifier,model=FOLDER."
            )
        if record.prompt_version != AGGREGATION_PROMPT:
            raise InvalidArgumentError(
                f"{self.backend.model!r} was trained on the prompt {record.prompt_version!r}; this version "
                f"asks under {AGGREGATION_PROMPT!r}. Train it again, or use the version that trained it."
            )
        reader = LLMAggregator(
            self.backend,
            mode=record.mode,
            permutations=self.permutations,
            max_prompt_tokens=record.max_prompt_tokens,
            keep_end_tokens=record.keep_end_tokens,
            max_tokens=self.max_tokens,
            fold=record.fold,
            score_weight=record.score_weight,
            vote_weight=record.vote_weight,
            confidence_weight=record.confidence_weight,
            max_score_tokens=record.max_score_tokens,
            blind_score_weight=record.blind_score_weight,
            blind_vote_weight=record.blind_vote_weight,
            skip_unanimous=self.skip_unanimous,
            drop_end_tokens=self.drop_end_tokens,
            seed=self.seed,
        )
        object.__setattr__(self, "_reader", reader)
        object.__setattr__(self, "_asked", Calculator(reader) if record.calculator else reader)

    @property
    def multiples(self) -> str:
        """What the record says of how a candidate's score is made, as far as it is no default."""
        return self._reader.multiples

    @property
    def writing(self) -> Writing | None:
        """The thought of a model that was trained to think."""
        return self._reader.writing

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The trained model's answer to the question of this set."""
        return replace(await self._asked.aggregate(sample_set), aggregator=self.name)
