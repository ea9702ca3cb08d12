"""Reference counts of the paged cache's blocks, and blocks that can be reused by their key."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np


class Blocks:
    """Blocks of a paged cache with reference counts.

    A full block that was remembered under a key can be reused after its last holder left, until its memory is
    needed or too many blocks are idle. The least recently used block is dropped first.

    Args:
        count: Number of blocks.
        most_idle: Most blocks without a holder that are kept for reuse.
    """

    def __init__(self, count: int, most_idle: int = 256) -> None:
        self._most_idle = most_idle
        # The block freed last is taken first, so that unused memory stays untouched.
        self._free = list(range(count - 1, -1, -1))
        self._holders = [0] * count
        self._keys: dict[int, bytes] = {}
        self._block_of: dict[bytes, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self.promised = 0
        """Blocks that were promised and not yet taken."""

    @property
    def available(self) -> int:
        """Blocks that can be promised."""
        return len(self._free) + len(self._idle) - self.promised

    def take(self) -> int:
        """A promised block, to be written."""
        self.promised -= 1
        block = self._free.pop() if self._free else self._oldest()
        self._holders[block] = 1
        return block

    def hold(self, block: int) -> None:
        """Add a holder to a block."""
        if self._holders[block] == 0:
            del self._idle[block]
        self._holders[block] += 1

    def drop(self, blocks: Sequence[int]) -> None:
        """Remove a holder from each block."""
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
        """Forget the least recently used block without a holder; returns it."""
        block, _ = self._idle.popitem(last=False)
        del self._block_of[self._keys.pop(block)]
        return block

    def remember(self, key: bytes, block: int) -> None:
        """Register a full block under a key."""
        if key not in self._block_of and block not in self._keys:
            self._block_of[key] = block
            self._keys[block] = key

    def recall(self, keys: Sequence[bytes]) -> list[int]:
        """The blocks of the longest remembered prefix of the keys. The caller becomes a holder of each."""
        blocks: list[int] = []
        for key in keys:
            block = self._block_of.get(key)
            # The last idle blocks may be promised to others.
            if block is None or (self._holders[block] == 0 and self.available < 1):
                break
            self.hold(block)
            blocks.append(block)
        return blocks


def keys_of(tokens: Sequence[int], block: int, scale: float) -> list[bytes]:
    """A key for each full block of a text: a digest of all tokens up to its end and the adapter's scale."""
    digest = hashlib.blake2b(np.float32(scale).tobytes(), digest_size=16)
    keys: list[bytes] = []
    for start in range(0, len(tokens) - block + 1, block):
        digest.update(np.array(tokens[start : start + block], np.int32).tobytes())
        keys.append(digest.digest())
    return keys
