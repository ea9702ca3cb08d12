"""Out of memory: an error that says what to lower."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sampleset.engines.huggingface.model import import_extra
from sampleset.errors import BackendError


@contextmanager
def memory_advice(tokens: int, advice: str) -> Generator[None]:
    """Turn torch's errors for lack of memory into one that helps.

    Args:
        tokens: How many the pass in question reads.
        advice: What to lower, after "Lower".

    Raises:
        BackendError: Memory ran out.
    """
    torch: Any = import_extra("torch")
    try:
        yield
    except RuntimeError as error:
        # On a CPU it is a plain RuntimeError of the allocator.
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise BackendError(
            f"Memory ran out on a row of {tokens} tokens. Lower {advice}; what is trained up to the last "
            "checkpoint is kept, and a run with other settings needs another output_dir."
        ) from error
