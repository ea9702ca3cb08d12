"""A backend that returns stored texts: deterministic, free, and the test double of the package.

It has two uses. `ReplayBackend.of_sets` answers a question with its stored samples, so that a file can stand
in for its model. `ReplayBackend(reply)` calls a function with the messages and the seed.
`ScoringReplayBackend` also scores texts.
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
from sampleset.wording import plural

Reply = Callable[[Sequence[Message], int], Generation | str | Exception]
Score = Callable[[Sequence[Message], str], float]


@BACKENDS.register("replay")
@dataclass
class ReplayBackend:
    """Answers from memory.

    Attributes:
        reply: Called with (messages, seed modulo 65,536); returns a completion, its text, or an error to
            raise.
        model: Identity of the model.
        group_size: Draws per call.
        max_calls: `None`: no limit.
        context_size: Tokens of context. A token is a piece of three characters.
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
        """A backend that answers a question with its stored sample number `seed` modulo n.

        A question is recognised by its text in the user's last message. If several texts match, the longest
        counts.
        """
        by_text = {sample_set.question.text: sample_set for sample_set in sample_sets}
        longest_first = sorted(by_text, key=len, reverse=True)

        def reply(messages: Sequence[Message], seed: int) -> Generation | Exception:
            # After it may stand the beginning of a reply, which a reader is to go on with.
            turns = [turn["content"] for turn in messages if turn["role"] == "user"]
            prompt = (turns or [messages[-1]["content"]])[-1]
            stored = next((by_text[text] for text in longest_first if text in prompt), None)
            if stored is None:
                return UnsupportedByBackendError(
                    f"No stored samples for {prompt[:80]!r}; replay knows {plural(len(by_text), 'question')}."
                )
            sample = stored.samples[seed % stored.n]
            return Generation(
                sample.text,
                sample.finish_reason or "stop",
                sample.prompt_tokens,
                sample.completion_tokens,
                sample.logprobs,
            )

        return cls(reply, model=model)

    async def check(self) -> None:
        """Return; nothing is needed."""

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One stored completion for every seed."""
        require_text(messages, self.model)
        self.calls.append((list(messages), params, list(seeds)))
        return [self._generation(messages, seed) for seed in seeds]

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of three characters."""
        return estimate_pieces(text)

    async def aclose(self) -> None:
        """Nothing to free."""

    def _generation(self, messages: Sequence[Message], seed: int) -> Generation:
        reply = self.reply(messages, seed % SEEDS_PER_QUESTION)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Generation):
            return reply
        length = sum(len(estimate_pieces(message["content"])) for message in messages)
        return Generation(reply, "stop", length, len(estimate_pieces(reply)))


@dataclass
class ScoringReplayBackend(ReplayBackend):
    """A replay backend that also scores texts.

    Attributes:
        scores: Called with (messages, continuation); returns its log-probability in nats, by default -100.
    """

    scores: Score = field(default=lambda messages, text: -100.0)

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probabilities by the `scores` function."""
        length = sum(len(estimate_pieces(message["content"])) for message in messages)
        return [
            Continuation(self.scores(messages, text), len(estimate_pieces(text)), length)
            for text in continuations
        ]
