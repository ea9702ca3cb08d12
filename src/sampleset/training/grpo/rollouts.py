"""Rollouts: completions of training prompts, drawn by the policy that is trained.

The prompt of a group is read once and its cache repeated for the rollouts; groups are decoded together as far
as memory allows. A rollout ends with an end-of-text token or the stop text `</answer>`, which stay in its
tokens. Each has random numbers of its own, so that it depends on nothing but its seed and the policy.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from sampleset.engines.huggingface.batch import (
    Block,
    advance,
    cache_tokens,
    choose,
    end_tokens,
    passes_of,
    read,
)
from sampleset.engines.huggingface.model import import_extra
from sampleset.engines.huggingface.text import Texts
from sampleset.prompts import ANSWER_CLOSE
from sampleset.training.policy import Policy

MOST_ROWS = 256
"""Rollouts decoded together at most; a larger group is decoded by itself."""

LEAVING = 8
"""Ended rollouts leave a batch by this part of it at least: each time costs a copy of its cache."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion.

    Attributes:
        tokens: As the model wrote them, the end-of-text token and the stop text included.
        text: What they write, closing tag included.
        truncated: Whether the token limit cut it off.
    """

    tokens: tuple[int, ...]
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """A prompt and what is to be drawn of it.

    Attributes:
        prompt: Its tokens.
        seeds: One for each rollout.
    """

    prompt: tuple[int, ...]
    seeds: tuple[str, ...]


def rollout_of(tokens: Sequence[int], texts: Texts, ends: AbstractSet[int], max_tokens: int) -> Rollout:
    """The rollout that an engine wrote. The stop text is put back where the engine took it off.

    Args:
        tokens: What it wrote, one token at least.
        texts: The tokenizer.
        ends: End-of-text tokens.
        max_tokens: The limit it wrote under.
    """
    ended = tokens[-1] in ends
    text = texts.text(tokens[:-1] if ended else tokens)
    if not ended and ANSWER_CLOSE not in text:
        if len(tokens) >= max_tokens:
            return Rollout(tuple(tokens), text, truncated=True)
        text += ANSWER_CLOSE
    return Rollout(tuple(tokens), text, truncated=False)


def roll_out(
    policy: Policy, drawings: Sequence[Drawing], temperature: float, max_tokens: int
) -> list[list[Rollout]]:
    """The rollouts of every drawing, in order.

    Args:
        policy: The model.
        drawings: What is drawn.
        temperature: 0 takes the likeliest token each time.
        max_tokens: Most tokens of a rollout.
    """
    torch: Any = import_extra("torch")
    model, training = policy.model, policy.model.training
    ends = end_tokens(model, policy.tokenizer)
    rows = [
        _Row(drawing.prompt, place, random.Random(seed))
        for place, drawing in enumerate(drawings)
        for seed in drawing.seeds
    ]
    model.eval()
    try:
        with torch.no_grad():
            for batch in _batches(rows, cache_tokens(model, model.device), max_tokens):
                _decode(policy, batch, ends, temperature, max_tokens)
    finally:
        model.train(training)
    found: list[list[Rollout]] = [[] for _ in drawings]
    for row in rows:
        found[row.place].append(rollout_of(row.tokens, policy.texts, ends, max_tokens))
    return found


@dataclass(eq=False, slots=True)
class _Row:
    """One rollout on its way."""

    prompt: tuple[int, ...]
    place: int
    generator: random.Random
    tokens: list[int] = field(default_factory=list[int])


def _batches(rows: Sequence[_Row], budget: int, max_tokens: int) -> list[list[_Row]]:
    """Rows decoded together, those of one prompt never apart; prompts of like length meet."""
    groups: dict[tuple[int, ...], list[_Row]] = {}
    for row in sorted(rows, key=lambda row: len(row.prompt)):
        groups.setdefault(row.prompt, []).append(row)
    batches: list[list[_Row]] = []
    for prompt, group in groups.items():
        count = len(group) + (len(batches[-1]) if batches else 0)
        if batches and count <= MOST_ROWS and count * (len(prompt) + max_tokens) <= budget:
            batches[-1] += group
        else:
            batches.append(list(group))
    return batches


def _decode(
    policy: Policy, rows: list[_Row], ends: AbstractSet[int], temperature: float, max_tokens: int
) -> None:
    """Write all rows to their ends."""
    block, rows = _read(policy.model, rows)
    live = list(range(len(rows)))
    for _ in range(max_tokens):
        tokens, _ = choose(
            block.logits, [(temperature, 1.0, 0)] * len(rows), [row.generator.random() for row in rows]
        )
        for place in live:
            rows[place].tokens.append(tokens[place])
        live = [
            place
            for place in live
            if tokens[place] not in ends
            and policy.texts.stopped(rows[place].tokens, [ANSWER_CLOSE]) is None
            and len(rows[place].tokens) < max_tokens
        ]
        if not live:
            return
        if (len(rows) - len(live)) * LEAVING >= len(rows):
            block, rows = block.rows(live), [rows[place] for place in live]
            tokens = [tokens[place] for place in live]
            live = list(range(len(rows)))
        advance(policy.model, block, tokens)


def _read(model: Any, rows: Sequence[_Row]) -> tuple[Block, list[_Row]]:
    """The rows' prompts, each read once, and the rows in the order in which they now stand."""
    groups: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.prompt, []).append(row)
    block: Block | None = None
    ordered: list[_Row] = []
    for prompts in passes_of(sorted(groups, key=len), cache_tokens(model, model.device)):
        part = read(model, prompts, model.device)
        counts = [len(groups[prompt]) for prompt in prompts]
        part = part.rows([place for place, count in enumerate(counts) for _ in range(count)])
        ordered += [row for prompt in prompts for row in groups[prompt]]
        if block is None:
            block = part
        else:
            block.add(part)
    assert block is not None
    return block, ordered
