"""Types of numbers in which a processor is slow."""

from __future__ import annotations

import time
import warnings
from functools import cache
from typing import Any

_SIDE = 192
_TRIES = 3
_SLOW = 4.0


class SlowTypeWarning(UserWarning):
    """The processor computes in a type much slower than in float32."""


def warn_if_slow(torch: Any, dtype: str, device: str, option: str) -> None:
    """Warn, with the figure, if this CPU multiplies matrices in a type much slower than in float32.

    Without instructions for bfloat16 (`avx512_bf16`, `amx_bf16`) a training may take 20 times as long.

    Args:
        torch: The module.
        dtype: Name of the type, such as `bfloat16`.
        device: Type of the device; others than `cpu` are not looked at.
        option: The option that asked for the type, to be left out.
    """
    if device == "cpu" and dtype != "float32" and (times := slowness(torch, dtype)) > _SLOW:
        warnings.warn(
            f"Products take {times:.0f} times as long in {dtype} on this processor as in float32. "
            f"Leave out {option}={dtype}, unless the weights do not fit into memory otherwise.",
            SlowTypeWarning,
            stacklevel=2,
        )


@cache
def slowness(torch: Any, dtype: str) -> float:
    """Processor time of a product of matrices in a type, in multiples of its time in float32."""
    times: list[float] = []
    for kind in (torch.float32, getattr(torch, dtype)):
        factor = torch.ones(_SIDE, _SIDE, dtype=kind)
        factor.mm(factor)
        tries: list[float] = []
        for _ in range(_TRIES):
            start = time.process_time()
            factor.mm(factor)
            tries.append(time.process_time() - start)
        times.append(min(tries))
    return times[1] / max(times[0], 1e-6)
