"""What the engine's thread works on: draws, scores, and the prompts that they share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampleset.chat import Continuation, Generation, SamplingParams


@dataclass(eq=False, slots=True)
class Prompt:
    """A prompt that is in the cache or being read into it."""

    tokens: list[int]
    scale: float
    blocks: list[int]
    past: int = 0
    keys: list[bytes] = field(default_factory=list[bytes])
    logits: NDArray[np.float32] | None = None
    normaliser: float = 0.0
    users: int = 0


@dataclass(eq=False, slots=True)
class Promise:
    """Number of blocks that a job may still take."""

    blocks: int = 0


@dataclass(eq=False, slots=True)
class Branch:
    """Tokens after a prompt: a draw, or a continuation to score."""

    prompt: Prompt
    tokens: list[int]
    blocks: list[int]
    past: int
    promise: Promise


@dataclass(eq=False, slots=True)
class Draw:
    """A draw: the call, its state and its result. `reported` counts the characters given to `on_text`."""

    tokens: list[int]
    scale: float
    params: SamplingParams
    seed: int
    on_text: Callable[[str], None] | None
    result: Future[Generation]
    random: Any = None
    branch: Branch | None = None
    logprobs: list[float] = field(default_factory=list[float])
    decoder: Any = None
    text: str = ""
    reported: int = 0


@dataclass(eq=False, slots=True)
class Score:
    """Continuations of one prompt to score. `stem` is the length of their common prefix."""

    tokens: list[int]
    scale: float
    continuations: list[list[int]]
    result: Future[list[Continuation]]
    prompt: Prompt | None = None
    promise: Promise = field(default_factory=Promise)
    stem: int = 0
    stem_branch: Branch | None = None
    sums: list[float] = field(default_factory=list[float])
