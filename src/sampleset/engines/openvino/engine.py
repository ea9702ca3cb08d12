"""The loaded model, as its callers see it: futures of draws and scores."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from sampleset.chat import Continuation, Generation, SamplingParams
from sampleset.engines.openvino.jobs import Draw, Score
from sampleset.engines.openvino.paged import PagedModel
from sampleset.engines.openvino.text import Tokenizer
from sampleset.engines.openvino.worker import Worker
from sampleset.errors import ContextOverflowError


class Engine:
    """A model that draws and scores for many callers.

    Args:
        model: The compiled model.
        tokenizer: Its tokenizer.
        sequences: Draws decoded together.
        context_size: Tokens that prompt and completion may take together.
    """

    def __init__(self, model: PagedModel, tokenizer: Tokenizer, sequences: int, context_size: int) -> None:
        self.tokenizer = tokenizer
        self.context_size = context_size
        self._worker = Worker(model, tokenizer, sequences)
        self.close: Callable[[], object] = weakref.finalize(self, self._worker.stop)

    @property
    def tokens_read(self) -> int:
        """Tokens read so far: of prompts, continuations and draws."""
        return self._worker.model.tokens_read

    def draw(
        self,
        prompt: list[int],
        scale: float,
        params: SamplingParams,
        seed: int,
        on_text: Callable[[str], None] | None = None,
    ) -> Future[Generation]:
        """A future of a draw. Cancelling it stops the draw.

        Args:
            prompt: Tokens of the prompt.
            scale: Factor of the adapter's part; 0 is the model without its adapter.
            params: Sampling parameters.
            seed: Seed of the draw's random numbers.
            on_text: Called in the engine's thread with the next piece of the text.

        Raises:
            ContextOverflowError: Prompt and `max_tokens` exceed the context.
            BackendError: The engine was closed, or failed.
        """
        self._require_room(prompt, params.max_tokens, "max_tokens")
        draw = Draw(prompt, scale, params, seed, on_text, Future())
        self._worker.submit(draw)
        return draw.result

    def score(
        self, prompt: list[int], scale: float, continuations: Sequence[str]
    ) -> Future[list[Continuation]]:
        """A future of the log-probabilities of continuations, in nats, in order."""
        cuts = [self.tokenizer.tokens(text) if text else [] for text in continuations]
        longest = max((len(cut) for cut in cuts), default=0)
        self._require_room(prompt, longest, "tokens of the longest continuation")
        score = Score(prompt, scale, cuts, Future())
        self._worker.submit(score)
        return score.result

    def _require_room(self, prompt: Sequence[int], more: int, what: str) -> None:
        if len(prompt) + more > self.context_size:
            raise ContextOverflowError(
                f"The prompt has {len(prompt)} tokens; with {more} {what} that exceeds the context of "
                f"{self.context_size}. Shorten the prompt, lower max_tokens or raise context_size."
            )
