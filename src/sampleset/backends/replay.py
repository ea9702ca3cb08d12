"""A backend that gives stored texts back: deterministic, free, and the test double of the package.

It has two uses. `ReplayBackend.of_sets` answers a question with the samples that were once drawn for it,
so that a recorded file can stand in for its model. `ReplayBackend(reply)` answers with whatever a plain
function makes of the messages and the seed; `ScoringReplayBackend` also tells how likely texts are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sampleset.backends.base import BACKENDS
from sampleset.chat import (
    SEEDS_PER_QUESTION,
    Continuation,
    Generation,
    Message,
    SamplingParams,
    estimate_pieces,
    require_text,
)
from sampleset.errors import UnsupportedByBackendError
from sampleset.types import SampleSet

Reply = Callable[[Sequence[Message], int], Generation | str | Exception]
Score = Callable[[Sequence[Message], str], float]


@BACKENDS.register("replay")
@dataclass
class ReplayBackend:
    """Answers from memory.

    Attributes:
        reply: Messages and the seed within those of the question (modulo 65,536) → a completion, its text, or
            an error to raise.
        model: Identity of the model.
        group_size: Draws per call.
        max_calls: No limit.
        context_size: Tokens of context; pieces of three characters count as tokens.
        continues_assistant: Whether a last assistant message counts as continued.
        calls: Messages, parameters and seeds of every `generate` call so far.
    """

    reply: Reply
    model: str = "replay"
    group_size: int = 1
    max_calls: int | None = None
    context_size: int | None = None
    continues_assistant: bool = True
    calls: list[tuple[list[Message], SamplingParams, list[int]]] = field(
        default_factory=list[tuple[list[Message], SamplingParams, list[int]]]
    )

    @classmethod
    def of_sets(cls, sample_sets: Iterable[SampleSet], model: str = "replay") -> ReplayBackend:
        """A backend that gives the question's sample number `seed` (modulo n) to whoever asks it.

        A question is recognised by its text standing in the last message; of several texts, the longest.
        """
        by_text = {one.question.text: one for one in sample_sets}
        longest_first = sorted(by_text, key=len, reverse=True)

        def reply(messages: Sequence[Message], seed: int) -> Generation | Exception:
            asked = messages[-1]["content"]
            found = next((by_text[text] for text in longest_first if text in asked), None)
            if found is None:
                return UnsupportedByBackendError(
                    f"No stored samples for {asked[:80]!r}; replay knows {len(by_text)} questions."
                )
            sample = found.samples[seed % found.n]
            return Generation(
                sample.text,
                sample.finish_reason or "stop",
                sample.prompt_tokens,
                sample.completion_tokens,
                sample.logprobs,
            )

        return cls(reply, model=model)

    async def check(self) -> None:
        """Return; memory is always there."""

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One stored completion for every seed."""
        require_text(messages, self.model)
        self.calls.append((list(messages), params, list(seeds)))
        return [self._one(messages, seed) for seed in seeds]

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of three characters."""
        return estimate_pieces(text)

    async def aclose(self) -> None:
        """Nothing to free."""

    def _one(self, messages: Sequence[Message], seed: int) -> Generation:
        made = self.reply(messages, seed % SEEDS_PER_QUESTION)
        if isinstance(made, Exception):
            raise made
        if isinstance(made, Generation):
            return made
        length = sum(len(estimate_pieces(message["content"])) for message in messages)
        return Generation(made, "stop", length, len(estimate_pieces(made)))


@dataclass
class ScoringReplayBackend(ReplayBackend):
    """The same with log-probabilities from memory.

    Attributes:
        scores: Messages and continuation → its log-probability; unlikely (-100) by default.
    """

    scores: Score = field(default=lambda messages, text: -100.0)

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probabilities by the `scores` function."""
        length = sum(len(estimate_pieces(message["content"])) for message in messages)
        return [
            Continuation(self.scores(messages, text), len(estimate_pieces(text)), length)
            for text in continuations
        ]
