"""The thread that runs the model: draws and scores of many callers in one batch.

Each step reads one token of every draw and a part of the waiting prompts. A prompt is read once for all its
draws and scores, and its full blocks are kept for texts with the same beginning.
"""

from __future__ import annotations

import codecs
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampleset.chat import Continuation, Generation
from sampleset.engines.openvino.blocks import Blocks, keys_of
from sampleset.engines.openvino.choice import choose
from sampleset.engines.openvino.jobs import Branch, Draw, Promise, Prompt, Score
from sampleset.engines.openvino.paged import Logits, PagedModel, Piece
from sampleset.engines.openvino.prefixes import common_length, stem_length
from sampleset.engines.openvino.runtime import last_line
from sampleset.engines.openvino.text import Tokenizer
from sampleset.errors import BackendError, ContextOverflowError
from sampleset.types import LogprobSummary

READ_TOKENS = 1024
"""Most tokens of prompts and continuations that a step reads, in addition to one of every draw."""

IDLE_PROMPTS = 4
"""Prompts that stay completely in the cache, with their last logits, after their last caller left."""


class Worker:
    """The thread, and the state that only the thread uses."""

    def __init__(self, model: PagedModel, tokenizer: Tokenizer, sequences: int) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._sequences = sequences
        self._blocks = Blocks(model.blocks)
        self._inbox: queue.SimpleQueue[Draw | Score | None] = queue.SimpleQueue()
        self._waiting: deque[Draw | Score] = deque()
        self._prompts: OrderedDict[tuple[float, tuple[int, ...]], Prompt] = OrderedDict()
        self._reading: list[Prompt] = []
        self._draws: list[Draw] = []
        self._scores: list[Score] = []
        self._closing = threading.Event()
        self._ended = "The model was closed while it was being asked."
        self._lock = threading.Lock()
        # A daemon: the interpreter would otherwise wait for all draws before they are ended at exit.
        self._thread = threading.Thread(target=self._work, name="sampleset-openvino", daemon=True)
        self._thread.start()

    def submit(self, job: Draw | Score) -> None:
        """Queue a job.

        Raises:
            BackendError: The engine was closed, or failed.
        """
        with self._lock:  # nothing enters the inbox after the thread has emptied it
            if self._closing.is_set():
                raise BackendError(self._ended)
            self._inbox.put(job)

    def stop(self) -> None:
        """End the thread. Waiting calls fail."""
        self._closing.set()
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        """Body of the thread: run steps while there are jobs, sleep otherwise."""
        try:
            while not self._closing.is_set():
                self._receive()
                self._leave()
                self._admit()
                if self._reading or self._draws or self._scores:
                    self._step()
            error = BackendError(self._ended)
        except Exception as cause:  # every error of the engine must reach the callers
            self._ended = f"OpenVINO failed: {last_line(cause)}"
            error = BackendError(self._ended)
            error.__cause__ = cause
        with self._lock:
            self._closing.set()
            while not self._inbox.empty():
                if (job := self._inbox.get()) is not None:
                    self._waiting.append(job)
        for job in (*self._waiting, *self._draws, *self._scores):
            _resolve(job.result, error)
        # The caches are large, and the engine may be referenced for long.
        self._prompts.clear()
        self._reading.clear()
        del self.model

    def _receive(self) -> None:
        is_idle = not (self._waiting or self._reading or self._draws or self._scores)
        while is_idle or not self._inbox.empty():
            job = self._inbox.get()
            if job is None:
                return
            self._waiting.append(job)
            is_idle = False

    def _leave(self) -> None:
        """Drop cancelled jobs, and prompts that no job needs."""
        for draw in [job for job in self._draws if job.result.cancelled()]:
            self._draws.remove(draw)
            self._end_draw(draw)
        for score in [job for job in self._scores if job.result.cancelled()]:
            self._scores.remove(score)
            self._end_score(score)
        if any(job.result.cancelled() for job in self._waiting):
            self._waiting = deque(job for job in self._waiting if not job.result.cancelled())
        for prompt in [prompt for prompt in self._reading if not prompt.users]:
            self._reading.remove(prompt)
            self._forget(prompt)

    def _admit(self) -> None:
        """Start waiting jobs in order while there is room."""
        while self._waiting:
            job = self._waiting[0]
            if isinstance(job, Draw) and len(self._draws) >= self._sequences:
                return
            more = self._branch_blocks(job)
            prompt = self._find_prompt(job, more)
            if prompt is None:
                if self._reading or self._draws or self._scores:
                    return
                self._waiting.popleft()
                _resolve(
                    job.result,
                    ContextOverflowError("The cache is too small for this call. Raise cache_gib."),
                )
                continue
            self._waiting.popleft()
            prompt.users += 1
            self._blocks.promised += more
            if isinstance(job, Draw):
                job.random = np.random.Generator(np.random.Philox(job.seed % 2**64))
                job.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
                job.branch = Branch(prompt, [], [], len(prompt.tokens), Promise(more))
                self._draws.append(job)
            else:
                job.prompt, job.promise = prompt, Promise(more)
                job.sums = [0.0] * len(job.continuations)
                self._scores.append(job)

    def _branch_blocks(self, job: Draw | Score) -> int:
        """Most blocks that a job needs in addition to its prompt's blocks."""
        size, start = self.model.block, len(job.tokens)
        full = start // size
        if isinstance(job, Draw):
            return -(-(start + job.params.max_tokens) // size) - full
        job.stem = stem_length(job.continuations)
        stem = -(-(start + job.stem) // size) - full if job.stem else 0
        return stem + sum(-(-(start + len(cut)) // size) - full for cut in job.continuations)

    def _find_prompt(self, job: Draw | Score, more: int) -> Prompt | None:
        """The prompt of a job, from the cache or to be read; `None` if prompt and job do not fit."""
        key = (job.scale, tuple(job.tokens))
        prompt = self._prompts.get(key)
        if prompt is not None:
            self._prompts.move_to_end(key)
            return prompt if self._make_room(more, prompt) else None
        keys = keys_of(job.tokens, self.model.block, job.scale)
        # The last token is always read again, since its logits are needed.
        blocks = self._blocks.recall(keys[: (len(job.tokens) - 1) // self.model.block])
        new = -(-len(job.tokens) // self.model.block) - len(blocks)
        if not self._make_room(new + more):
            self._blocks.drop(blocks)
            return None
        self._blocks.promised += new
        blocks_read = len(blocks) * self.model.block
        blocks.extend(self._blocks.take() for _ in range(new))
        past = blocks_read + self._copy_beginning(job, blocks, blocks_read)
        prompt = Prompt(job.tokens, job.scale, blocks, past, keys)
        self._prompts[key] = prompt
        self._reading.append(prompt)
        return prompt

    def _copy_beginning(self, job: Draw | Score, blocks: Sequence[int], past: int) -> int:
        """Copy the first block that is to be read from a prompt whose block begins alike, if there is one.

        Returns the number of tokens that need not be read.
        """
        tokens = job.tokens[past : min(past + self.model.block, len(job.tokens) - 1)]
        lengths = {
            prompt.blocks[past // self.model.block]: common_length(
                [tokens, prompt.tokens[past : prompt.past]]
            )
            for prompt in self._prompts.values()
            if prompt.scale == job.scale and prompt.past > past and prompt.tokens[:past] == job.tokens[:past]
        }
        source = max(lengths, key=lambda block: lengths[block], default=None)
        if source is None or not lengths[source]:
            return 0
        self.model.copy(source, blocks[past // self.model.block])
        return lengths[source]

    def _make_room(self, count: int, kept_prompt: Prompt | None = None) -> bool:
        """Whether this many blocks can be promised, after idle prompts were dropped if necessary."""
        idle = [other for other in self._prompts.values() if not other.users and other is not kept_prompt]
        for prompt in idle:
            if self._blocks.available >= count:
                break
            self._forget(prompt)
        return self._blocks.available >= count

    def _forget(self, prompt: Prompt) -> None:
        del self._prompts[prompt.scale, tuple(prompt.tokens)]
        self._blocks.drop(prompt.blocks)
        if prompt in self._reading:
            self._reading.remove(prompt)

    def _step(self) -> None:
        """Read one token of every draw, and some tokens of waiting prompts and continuations."""
        fresh = [
            draw
            for draw in self._draws
            if (branch := draw.branch) and branch.prompt.logits is not None and not branch.tokens
        ]
        self._choose(fresh, [draw.branch.prompt for draw in fresh if draw.branch])
        pieces: list[Piece] = []
        readers: list[Callable[[Logits], None]] = []
        row = 0
        draws = [draw for draw in self._draws if draw.branch and draw.branch.tokens]
        for draw in draws:
            assert draw.branch is not None
            pieces.append(self._branch_piece(draw.branch, draw.branch.tokens[-1:], [0]))
        row += len(draws)
        room = READ_TOKENS
        for score in self._scores:
            if room > 0 and score.prompt is not None and score.prompt.logits is not None:
                for piece, reader in self._score_pieces(score):
                    pieces.append(piece)
                    readers.append(_at(reader, row, len(piece.looks)))
                    row += len(piece.looks)
                    room -= len(piece.tokens)
        for prompt in self._reading:
            if room <= 0:
                break
            tokens = prompt.tokens[prompt.past : prompt.past + room]
            is_last = prompt.past + len(tokens) == len(prompt.tokens)
            looks = [len(tokens) - 1] if is_last else []
            end = -(-(prompt.past + len(tokens)) // self.model.block)
            pieces.append(Piece(tokens, prompt.past, prompt.blocks[:end], prompt.scale, looks))
            readers.append(_at(self._prompt_reader(prompt, len(tokens)), row, len(looks)))
            row += len(looks)
            room -= len(tokens)
        if not pieces:
            return
        logits = self.model.run(pieces)
        for reader in readers:
            reader(logits)
        if draws:
            values, normaliser = logits.values[: len(draws)], logits.normaliser[: len(draws)]
            self._write(draws, values, normaliser)

    def _prompt_reader(self, prompt: Prompt, count: int) -> Callable[[Logits], None]:
        def read(logits: Logits) -> None:
            before = prompt.past // self.model.block
            prompt.past += count
            for index in range(before, prompt.past // self.model.block):
                self._blocks.remember(prompt.keys[index], prompt.blocks[index])
            if len(logits.values):
                prompt.logits = logits.values[0].copy()
                prompt.normaliser = float(logits.normaliser[0])
                self._reading.remove(prompt)

        return read

    def _branch_piece(self, branch: Branch, tokens: Sequence[int], looks: Sequence[int]) -> Piece:
        """A piece with the next tokens of a branch and the blocks that they need."""
        size = self.model.block
        if not branch.blocks:
            self._start_branch(branch, branch.prompt.blocks, len(branch.prompt.tokens))
        while len(branch.blocks) * size < branch.past + len(tokens):
            branch.blocks.append(self._take(branch))
        piece = Piece(tokens, branch.past, list(branch.blocks), branch.prompt.scale, looks)
        branch.past += len(tokens)
        return piece

    def _start_branch(self, branch: Branch, blocks: Sequence[int], length: int) -> None:
        """Share the full blocks of a text, and copy its last block if it is not full."""
        full = length // self.model.block
        for block in blocks[:full]:
            self._blocks.hold(block)
        branch.blocks.extend(blocks[:full])
        if length % self.model.block:
            block = self._take(branch)
            self.model.copy(blocks[full], block)
            branch.blocks.append(block)

    def _take(self, branch: Branch) -> int:
        branch.promise.blocks -= 1
        return self._blocks.take()

    def _score_pieces(self, score: Score) -> list[tuple[Piece, Callable[[Logits], None]]]:
        """The pieces of a score for this step, each with a function that reads its logits."""
        prompt = score.prompt
        assert prompt is not None and prompt.logits is not None
        if score.stem and score.stem_branch is None:
            for index, cut in enumerate(score.continuations):
                score.sums[index] += float(prompt.logits[cut[0]]) - prompt.normaliser
            return [self._stem_piece(score)]
        pieces: list[tuple[Piece, Callable[[Logits], None]]] = []
        branches: list[Branch] = []
        for index, cut in enumerate(score.continuations):
            if not cut:
                continue
            if not score.stem:
                score.sums[index] += float(prompt.logits[cut[0]]) - prompt.normaliser
            rest = cut[score.stem : -1]
            if not rest:
                continue
            branch = self._score_branch(score)
            if score.stem_branch is not None:
                self._start_branch(branch, score.stem_branch.blocks, score.stem_branch.past)
                branch.past = score.stem_branch.past
            branches.append(branch)
            piece = self._branch_piece(branch, rest, range(len(rest)))

            def read(logits: Logits, index: int = index, cut: list[int] = cut) -> None:
                score.sums[index] += logits.along(cut[score.stem + 1 :])

            pieces.append((piece, read))

        if not pieces:
            self._resolve_score(score, branches)
            return []
        last, reader = pieces[-1]

        def read_last(logits: Logits) -> None:
            reader(logits)
            self._resolve_score(score, branches)

        return [*pieces[:-1], (last, read_last)]

    def _stem_piece(self, score: Score) -> tuple[Piece, Callable[[Logits], None]]:
        """The common prefix of a score's continuations, with a function that reads its logits."""
        branch = score.stem_branch = self._score_branch(score)
        stem = score.continuations[0][: score.stem]

        def read(logits: Logits) -> None:
            for index, cut in enumerate(score.continuations):
                score.sums[index] += logits.along(cut[1 : score.stem + 1])

        return self._branch_piece(branch, stem, range(len(stem))), read

    def _resolve_score(self, score: Score, branches: Sequence[Branch]) -> None:
        """End a score whose continuations are all read, and set its result."""
        for branch in branches:
            self._blocks.drop(branch.blocks)
        self._scores.remove(score)
        self._end_score(score)
        _resolve(
            score.result,
            [
                Continuation(logprob=total, tokens=len(cut), prompt_tokens=len(score.tokens))
                for total, cut in zip(score.sums, score.continuations, strict=True)
            ],
        )

    def _score_branch(self, score: Score) -> Branch:
        assert score.prompt is not None
        return Branch(score.prompt, [], [], len(score.prompt.tokens), score.promise)

    def _choose(self, draws: Sequence[Draw], prompts: Sequence[Prompt]) -> None:
        """Draw the first tokens of draws whose prompts have been read."""
        if draws:
            values = np.stack([prompt.logits for prompt in prompts if prompt.logits is not None])
            self._write(draws, values, np.array([prompt.normaliser for prompt in prompts]))

    def _write(self, draws: Sequence[Draw], values: NDArray[np.float32], normaliser: NDArray[Any]) -> None:
        """Draw one more token for each of the draws."""
        uniforms = [float(draw.random.random()) for draw in draws]
        tokens = choose(values, [draw.params for draw in draws], uniforms)
        logprobs = values[np.arange(len(draws)), tokens] - normaliser
        for draw, token, logprob in zip(draws, tokens.tolist(), logprobs.tolist(), strict=True):
            self._add(draw, token, min(logprob, 0.0))

    def _add(self, draw: Draw, token: int, logprob: float) -> None:
        assert draw.branch is not None
        draw.branch.tokens.append(token)
        draw.logprobs.append(logprob)
        is_end = token in self._tokenizer.ends
        is_full = len(draw.branch.tokens) == draw.params.max_tokens
        piece = b"" if is_end else self._tokenizer.reply_bytes(token)
        before = len(draw.text)
        draw.text += draw.decoder.decode(piece, final=is_end or is_full)
        stops = draw.params.stop
        longest = max((len(stop) for stop in stops), default=0)
        search_start = max(0, before - longest + 1)
        stop_positions = [position for stop in stops if (position := draw.text.find(stop, search_start)) >= 0]
        if stop_positions:
            draw.text = draw.text[: min(stop_positions)]
        is_over = is_end or is_full or bool(stop_positions)
        safe = len(draw.text) if is_over else len(draw.text) - _begun(draw.text, stops)
        if draw.on_text is not None and safe > draw.reported:
            draw.on_text(draw.text[draw.reported : safe])
            draw.reported = safe
        if is_over:
            generation = Generation(
                text=draw.text,
                finish_reason="stop" if is_end or stop_positions else "length",
                prompt_tokens=len(draw.tokens),
                completion_tokens=len(draw.branch.tokens),
                logprobs=LogprobSummary.of(draw.logprobs),
            )
            self._draws.remove(draw)
            self._end_draw(draw)
            _resolve(draw.result, generation)

    def _end_draw(self, draw: Draw) -> None:
        branch = draw.branch
        assert branch is not None
        self._blocks.drop(branch.blocks)
        self._blocks.promised -= branch.promise.blocks
        self._leave_prompt(branch.prompt)

    def _end_score(self, score: Score) -> None:
        assert score.prompt is not None
        if score.stem_branch is not None:
            self._blocks.drop(score.stem_branch.blocks)
        self._blocks.promised -= score.promise.blocks
        self._leave_prompt(score.prompt)

    def _leave_prompt(self, prompt: Prompt) -> None:
        prompt.users -= 1
        idle = [other for other in self._prompts.values() if not other.users and other.logits is not None]
        for other in idle[: max(0, len(idle) - IDLE_PROMPTS)]:
            self._forget(other)


def _at(reader: Callable[[Logits], None], start: int, count: int) -> Callable[[Logits], None]:
    """The reader, called with its rows of the logits."""

    def read(logits: Logits) -> None:
        rows = slice(start, start + count)
        reader(Logits(logits.values[rows], logits.normaliser[rows]))

    return read


def _begun(text: str, stops: Sequence[str]) -> int:
    """Number of characters at the end of a text that may be the beginning of a stop text."""
    for size in range(max((len(stop) for stop in stops), default=1) - 1, 0, -1):
        if any(stop.startswith(text[-size:]) for stop in stops if len(stop) > size) and len(text) >= size:
            return size
    return 0


def _resolve(result: Future[Any], outcome: Any) -> None:
    """Set the outcome, unless the future was cancelled."""
    if result.set_running_or_notify_cancel():
        if isinstance(outcome, Exception):
            result.set_exception(outcome)
        else:
            result.set_result(outcome)
