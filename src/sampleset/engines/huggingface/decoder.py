"""One decoder for a backend's draws and for rollouts of training: many sequences, one step at a time.

Draws join the running batch between two steps and leave it when they end. If memory runs out, the batch is
dropped, the token budget is halved, and its draws begin again. Their seeds give the same draws.
"""

from __future__ import annotations

from sampleset.chat import Continuation, Generation
from sampleset.engines.huggingface.batch import (
    LEAST_FULL,
    READ_TOKENS,
    Block,
    advance,
    cache_tokens,
    choose,
    continuation_logprobs,
    end_tokens,
    passes_of,
    read,
)
from sampleset.engines.huggingface.calls import DrawCall, Row, ScoreCall, fail, resolve
from sampleset.engines.huggingface.model import Loaded, attention_plans_avoided, import_extra
from sampleset.engines.huggingface.text import Texts
from sampleset.errors import BackendError
from sampleset.types import LogprobSummary

LOGITS_AT_ONCE = 2**28
"""Most logits of scored texts in memory at a time."""

MAX_SEQUENCES = {"cuda": 4096}
"""Draws decoded together by default, by kind of device; elsewhere 256. Memory may limit them further."""

JOIN_SHARE = 8
"""Draws join or leave a batch when they are at least one part in this many, since each copies the cache."""


class Decoder:
    """The calls to a model and the running batch of sequences.

    Args:
        loaded: Model, tokenizer, device.
        texts: Conversion between text and tokens.
        max_sequences: Draws decoded together; by default 4,096 on CUDA, 256 elsewhere.
        batch_tokens: Tokens of a batch, including padding and room for completions; by default as many as fit
            in memory.

    Attributes:
        budget: Most tokens of a batch; halved if memory runs out.
        largest: Most rows decoded together so far.
        max_sequences: Most rows allowed.
    """

    def __init__(
        self,
        loaded: Loaded,
        texts: Texts,
        max_sequences: int | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        self._torch = import_extra("torch")
        self._model, self._device = loaded.model, loaded.device
        self._texts = texts
        self._ends = end_tokens(loaded.model, loaded.tokenizer)
        self.max_sequences = max_sequences or MAX_SEQUENCES.get(self._device.type, 256)
        self.budget = batch_tokens or cache_tokens(self._model, self._device)
        self.largest = 0
        self._scores: list[ScoreCall] = []
        self._waiting: list[Row] = []
        self._rows: list[Row | None] = []
        self._block: Block | None = None
        self._tried = (0, 0)
        self._alone: DrawCall | ScoreCall | None = None

    def take(self, call: DrawCall | ScoreCall) -> None:
        """Accept a call. Its `result` gets the outcome."""
        if isinstance(call, ScoreCall):
            self._scores.append(call)
        else:
            self._waiting += [Row(call, index) for index in range(len(call.seeds))]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to compute."""
        return not (self._scores or self._waiting or self._rows)

    def drop_cancelled(self) -> None:
        """Drop calls that were cancelled."""
        self._scores = [call for call in self._scores if not call.result.cancelled()]
        self._waiting = [row for row in self._waiting if not row.call.result.done()]
        self._rows = [None if row is None or row.call.result.done() else row for row in self._rows]

    def turn(self) -> None:
        """Score all waiting texts, let draws join, and draw one more token of each."""
        try:
            with attention_plans_avoided(self._device):
                self._score()
                self._admit()
                self._step()
        except self._torch.OutOfMemoryError as cause:
            self._lower_budget(cause)

    def end(self, error: Exception) -> None:
        """Fail every call with this error, and drop the model."""
        for score in self._scores:
            fail(score.result, error)
        for row in (*self._rows, *self._waiting):
            if row is not None:
                fail(row.call.result, error)
        self._block, self._rows, self._waiting, self._scores = None, [], [], []
        del self._model

    def _admit(self) -> None:
        """Let waiting draws join the batch: the oldest, then others of similar length."""
        if not self._waiting:
            return
        oldest = self._waiting[0]
        active = [row for row in self._rows if row is not None]
        joining: list[Row] = []
        widest = max((row.cells for row in active), default=0)
        if active and not self._fits(len(active) + 1, max(widest, oldest.cells)):
            return
        for row in sorted(self._waiting, key=lambda row: abs(row.cells - oldest.cells)):
            rows, cells = len(active) + len(joining) + 1, max(widest, row.cells)
            if rows > 1 and not self._fits(rows, cells):
                break
            joining.append(row)
            widest = cells
        if active and len(joining) < min(len(self._waiting), -(-len(active) // JOIN_SHARE)):
            return
        self._try(len(active) + len(joining), widest, joining[0].call)
        self._compact()
        joining_ids = {id(row) for row in joining}
        self._waiting = [row for row in self._waiting if id(row) not in joining_ids]
        by_prompt: dict[tuple[int, ...], list[Row]] = {}
        for row in joining:
            row.begin(self._torch)
            by_prompt.setdefault(tuple(row.call.prompt), []).append(row)
        # They are added to the rows before they are read, so that none is lost if memory runs out.
        passes = list(passes_of(sorted(by_prompt, key=len), self.budget))
        before = len(active)
        self._rows += [row for prompts in passes for prompt in prompts for row in by_prompt[prompt]]
        for prompts in passes:
            block = read(self._model, prompts, self._device)
            counts = [len(by_prompt[prompt]) for prompt in prompts]
            if max(counts) > 1:
                block = block.rows([index for index, count in enumerate(counts) for _ in range(count)])
            if self._block is None:
                self._block = block
            else:
                self._block.add(block)
        assert self._block is not None
        assert len(self._block.starts) == before + len(joining)
        self.largest = max(self.largest, len(self._rows))

    def _fits(self, rows: int, cells: int) -> bool:
        return rows <= self.max_sequences and rows * cells <= self.budget

    def _try(self, rows: int, cells: int, call: DrawCall | ScoreCall) -> None:
        """Record the size of the next computation, in case memory runs out."""
        self._tried = rows, cells
        self._alone = call if rows == 1 else None

    def _compact(self) -> None:
        """Remove the rows that ended from the batch."""
        live_indices = [index for index, row in enumerate(self._rows) if row is not None]
        if not live_indices:
            self._block = None
        elif self._block is not None and len(live_indices) < len(self._rows):
            self._block.keep(live_indices)
        self._rows = [self._rows[index] for index in live_indices]

    def _step(self) -> None:
        """Draw one more token of every draw in the batch."""
        live = [row for row in self._rows if row is not None]
        if not live or self._block is None:
            self._block, self._rows = None, []
            return
        self._try(len(self._rows), max(row.cells for row in live), live[0].call)
        torch = self._torch
        tokens, logprobs = choose(
            self._block.logits,
            [(0.0, 1.0, 0) if row is None else row.rule for row in self._rows],
            [0.0 if row is None else row.uniform(torch) for row in self._rows],
        )
        for index, row in enumerate(self._rows):
            if row is not None:
                row.tokens.append(tokens[index])
                row.logprobs.append(min(logprobs[index], 0.0))
                if self._settle(row):
                    self._rows[index] = None
        gone = sum(row is None for row in self._rows)
        if gone == len(self._rows):
            self._block, self._rows = None, []
            return
        if gone * JOIN_SHARE >= len(self._rows):
            tokens = [token for token, row in zip(tokens, self._rows, strict=True) if row is not None]
            self._compact()
        advance(self._model, self._block, tokens)

    def _settle(self, row: Row) -> bool:
        """Whether the draw has ended; if so, store it, and resolve its call after the last draw."""
        params = row.call.params
        if row.tokens[-1] in self._ends:
            text, reason = self._texts.text(row.tokens[:-1]), "stop"
        elif (before := self._texts.stopped(row.tokens, params.stop)) is not None:
            text, reason = before, "stop"
        elif len(row.tokens) >= params.max_tokens:
            text, reason = self._texts.text(row.tokens), "length"
        else:
            return False
        done = row.call.done
        row.call.tokens[row.index] = tuple(row.tokens)
        done[row.index] = Generation(
            text=text,
            finish_reason=reason,
            prompt_tokens=len(row.call.prompt),
            completion_tokens=len(row.tokens),
            logprobs=LogprobSummary.of(row.logprobs),
        )
        if len(done) == len(row.call.seeds):
            resolve(row.call.result, [done[index] for index in range(len(done))])
        return True

    def _score(self) -> None:
        """Compute all score calls: prompts of similar length in one pass, then their texts."""
        while self._scores:
            calls = self._score_batch()
            cells = max(call.cells for call in calls)
            self._try(sum(max(1, len(call.texts)) for call in calls) + len(self._rows), cells, calls[0])
            block = read(self._model, [call.prompt for call in calls], self._device)
            jobs = [
                (call_index, text_index)
                for call_index, call in enumerate(calls)
                for text_index, text in enumerate(call.texts)
                if text
            ]
            sums = [[0.0] * len(call.texts) for call in calls]
            longest = max((len(text) for call in calls for text in call.texts), default=1)
            logits = LOGITS_AT_ONCE // (block.logits.shape[-1] * max(1, longest))
            most = max(1, min(self.budget // cells, logits))
            for first in range(0, len(jobs), most):
                part = jobs[first : first + most]
                self._try(len(part) + len(self._rows), cells, calls[part[0][0]])
                texts = [calls[call_index].texts[text_index] for call_index, text_index in part]
                rows = block.rows([call_index for call_index, _ in part])
                logprobs_of_part = continuation_logprobs(self._model, rows, texts)
                for (call_index, text_index), logprob in zip(part, logprobs_of_part, strict=True):
                    sums[call_index][text_index] = min(logprob, 0.0)
            for call, logprobs in zip(calls, sums, strict=True):
                self._scores.remove(call)
                lengths = [len(text) for text in call.texts]
                resolve(
                    call.result,
                    [
                        Continuation(logprob, length, len(call.prompt))
                        for logprob, length in zip(logprobs, lengths, strict=True)
                    ],
                )

    def _score_batch(self) -> list[ScoreCall]:
        """The oldest call, and calls with prompts of similar length that fit in the same pass."""
        oldest = self._scores[0]
        calls: list[ScoreCall] = []
        rows = 0
        for call in sorted(self._scores, key=lambda call: abs(len(call.prompt) - len(oldest.prompt))):
            lengths = [len(other.prompt) for other in (*calls, call)]
            rows += max(1, len(call.texts))
            cells = max(other.cells for other in (*calls, call))
            if calls and (
                max(lengths) * len(lengths) > min(READ_TOKENS, self.budget)
                or rows * cells > self.budget
                or min(lengths) < LEAST_FULL * max(lengths)
            ):
                break
            calls.append(call)
        return calls

    def _lower_budget(self, cause: Exception) -> None:
        """Lower the budget after memory ran out, or fail the call if it was computed alone."""
        rows, cells = self._tried
        self.budget = max(1, min(self.budget, rows * cells) // 2)
        if self._alone is not None:
            error = BackendError(
                f"{self._device} has too little memory for one sequence of {cells} tokens. Lower max_tokens "
                "or shorten the prompt, take a smaller model or dtype=bfloat16, or free memory."
            )
            error.__cause__ = cause
            fail(self._alone.result, error)
            self._scores = [call for call in self._scores if call is not self._alone]
        self._block = None
        self._waiting = [row for row in self._rows if row is not None] + self._waiting
        self._rows = []
        cause.__traceback__ = None  # it references the tensors that did not fit
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()
