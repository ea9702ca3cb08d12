"""Who holds which blocks of the paged cache, and which beginnings of texts it still remembers."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np


class Blocks:
    """Blocks of a paged cache, counted by their holders.

    A full block that was remembered under a key stays readable after its last holder left, until its room is
    needed, or too many are remembered: the one that was used longest ago goes first.

    Args:
        count: How many there are.
        most_idle: How many stay readable without a holder; more would take memory that nobody uses.
    """

    def __init__(self, count: int, most_idle: int = 256) -> None:
        self._most_idle = most_idle
        # The last one freed is the first one taken: memory that was never touched stays untouched.
        self._free = list(range(count - 1, -1, -1))
        self._holders = [0] * count
        self._keys: dict[int, bytes] = {}
        self._known: dict[bytes, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self.promised = 0
        """Blocks that were promised and not taken yet."""

    @property
    def available(self) -> int:
        """Blocks that can be promised."""
        return len(self._free) + len(self._idle) - self.promised

    def take(self) -> int:
        """A block that was promised, to be written."""
        self.promised -= 1
        block = self._free.pop() if self._free else self._oldest()
        self._holders[block] = 1
        return block

    def hold(self, block: int) -> None:
        """One holder more."""
        if self._holders[block] == 0:
            del self._idle[block]
        self._holders[block] += 1

    def drop(self, blocks: Sequence[int]) -> None:
        """One holder less of each."""
        for block in blocks:
            self._holders[block] -= 1
            if self._holders[block] == 0:
                if block in self._keys:
                    self._idle[block] = None
                else:
                    self._free.append(block)
        while len(self._idle) > self._most_idle:
            self._free.append(self._oldest())

    def _oldest(self) -> int:
        """The block without a holder that was used longest ago, forgotten."""
        block, _ = self._idle.popitem(last=False)
        del self._known[self._keys.pop(block)]
        return block

    def remember(self, key: bytes, block: int) -> None:
        """Let a full block be found under a key."""
        if key not in self._known and block not in self._keys:
            self._known[key] = block
            self._keys[block] = key

    def recall(self, keys: Sequence[bytes]) -> list[int]:
        """The blocks of the longest known beginning, held for the caller."""
        blocks: list[int] = []
        for key in keys:
            block = self._known.get(key)
            # The last idle blocks may be promised to others.
            if block is None or (self._holders[block] == 0 and self.available < 1):
                break
            self.hold(block)
            blocks.append(block)
        return blocks


def keys_of(tokens: Sequence[int], block: int, scale: float) -> list[bytes]:
    """A key for each full block of a text: of all tokens up to its end, and of the adapter's scale."""
    digest = hashlib.blake2b(np.float32(scale).tobytes(), digest_size=16)
    keys: list[bytes] = []
    for start in range(0, len(tokens) - block + 1, block):
        digest.update(np.array(tokens[start : start + block], np.int32).tobytes())
        keys.append(digest.digest())
    return keys
