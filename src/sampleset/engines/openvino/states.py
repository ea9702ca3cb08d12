"""Hidden states at the end of texts that begin alike, which a verifier head is fitted on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sampleset.engines.openvino.paged import LayersOf, PagedModel, Piece
from sampleset.engines.openvino.prefixes import common_length
from sampleset.errors import ContextOverflowError

READ_TOKENS = 2048
"""Tokens that a call reads, unless one text alone has more."""


class StatesModel:
    """A converted model that gives hidden states instead of logits.

    Args:
        folder: Folder with `openvino_model.xml`, converted by this package.
        layers_of: Numbers of the layers to read, from 1, by the number of layers.
        cache_bytes: Size of the cache.
        group: As in `PagedModel`.

    Raises:
        BackendError: OpenVINO cannot compile the model.
    """

    def __init__(
        self, folder: Path, layers_of: LayersOf, group: int | None = None, cache_bytes: int = 2 * 2**30
    ) -> None:
        threads = len(os.sched_getaffinity(0))
        self._model = PagedModel(folder, cache_bytes, threads, group=group, states_of=layers_of)

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the layers that are read."""
        return self._model.layers

    def at_ends(self, texts: Sequence[list[int]]) -> list[NDArray[np.float32]]:
        """The states of each text's last token after the layers, one after the other: (layers · width,).

        What the texts have in common at their beginning is read once.

        Args:
            texts: Tokens of each text.

        Raises:
            ContextOverflowError: A text does not fit the cache.
        """
        size = self._model.block
        longest = max(map(len, texts), default=0)
        if longest > self._model.blocks * size:
            raise ContextOverflowError(
                f"A text of {longest} tokens does not fit the cache of {self._model.blocks * size} tokens. "
                "Lower context_size, so that it is left out."
            )
        # The last token of each is read, as its state is needed.
        shared = common_length([text[:-1] for text in texts]) // size * size if len(texts) > 1 else 0
        states: list[NDArray[np.float32]] = []
        if shared:
            self._model.states([Piece(texts[0][:shared], 0, range(shared // size), 0.0, ())])
        batch: list[Piece] = []
        first = shared // size
        for text in texts:
            needed = -(-(len(text) - shared) // size)
            is_full = first + needed > self._model.blocks
            if batch and (is_full or sum(len(piece.tokens) for piece in batch) + len(text) > READ_TOKENS):
                states.extend(self._model.states(batch))
                batch, first = [], shared // size
            blocks = [*range(shared // size), *range(first, first + needed)]
            batch.append(Piece(text[shared:], shared, blocks, 0.0, [len(text) - shared - 1]))
            first += needed
        return [*states, *self._model.states(batch)] if batch else states
