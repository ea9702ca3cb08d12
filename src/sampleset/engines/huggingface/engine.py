"""The thread that owns a model: it collects concurrent requests into batches and computes them."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Callable

from sampleset.engines.huggingface.calls import DrawCall, ScoreCall
from sampleset.engines.huggingface.decoder import Decoder
from sampleset.engines.huggingface.model import Loaded, import_extra
from sampleset.engines.huggingface.text import Texts
from sampleset.errors import BackendError

GATHER = 0.005
"""Seconds that an idle worker waits for further requests after the first."""


class Engine:
    """The loaded model and the thread that runs it.

    Args:
        loaded: Model, tokenizer, device.
        max_sequences: Draws decoded together; see `Decoder`.
        batch_tokens: Tokens of a batch; see `Decoder`.
        threads: CPU threads, by default torch's own choice.

    Attributes:
        texts: Conversion between text and tokens.
        decoder: The decoder, used by the thread alone.
    """

    def __init__(
        self, loaded: Loaded, max_sequences: int | None, batch_tokens: int | None, threads: int | None
    ) -> None:
        self._torch = import_extra("torch")
        self.texts = Texts(loaded.tokenizer)
        self.decoder = Decoder(loaded, self.texts, max_sequences, batch_tokens)
        self._threads = threads
        self._inbox: queue.SimpleQueue[DrawCall | ScoreCall | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._ended = "The model was closed while it was being asked."
        self._lock = threading.Lock()
        # A daemon: the interpreter would otherwise wait for all draws before `finalize` ends them at exit.
        self._thread = threading.Thread(target=self._work, name="sampleset-transformers", daemon=True)
        self._thread.start()
        self.close: Callable[[], object] = weakref.finalize(
            self, _stop, self._closing, self._inbox, self._thread
        )

    def submit(self, call: DrawCall | ScoreCall) -> None:
        """Queue a call. Its `result` gets the outcome; cancelling the result drops the call.

        Raises:
            BackendError: The engine was closed, or failed.
        """
        with self._lock:  # nothing enters the inbox after the thread has emptied it
            if self._closing.is_set():
                raise BackendError(self._ended)
            self._inbox.put(call)

    def _work(self) -> None:
        """Body of the thread: decode while there are calls, sleep otherwise."""
        if self._threads is not None:
            self._torch.set_num_threads(self._threads)
        try:
            with self._torch.inference_mode():
                while self._collect():
                    self.decoder.turn()
            error = BackendError(self._ended)
        except Exception as cause:  # every error of the model must reach the callers
            self._ended = f"transformers failed while generating: {type(cause).__name__}: {str(cause)[:300]}"
            error = BackendError(self._ended)
            error.__cause__ = cause
        with self._lock:
            self._closing.set()
            self._take_all()
        self.decoder.end(error)

    def _collect(self) -> bool:
        """Accept new calls and drop cancelled ones; returns `False` if the engine is closing."""
        if self.decoder.is_idle:
            self._take(self._inbox.get())
            time.sleep(GATHER)
        self._take_all()
        self.decoder.drop_cancelled()
        return not self._closing.is_set()

    def _take_all(self) -> None:
        while not self._inbox.empty():
            self._take(self._inbox.get())

    def _take(self, call: DrawCall | ScoreCall | None) -> None:
        if call is not None:
            self.decoder.take(call)


def _stop(
    closing: threading.Event, inbox: queue.SimpleQueue[DrawCall | ScoreCall | None], thread: threading.Thread
) -> None:
    closing.set()
    inbox.put(None)
    thread.join()
