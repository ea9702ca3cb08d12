"""The reward of a completion, what a group of rewards says, and advantages. No model is needed.

Values as in Qi et al. 2025 (arXiv 2506.09014): 1.0 right, 0.05 wrong but well formed, 0 otherwise. The
released code departs from its paper, and so do we from that code: it reads completions with an XML parser,
to which a `<` in the reasoning is an error, and gives credit where the gold text merely occurs.

How a completion is read, the prompt's opening words (`<think>`, `<answer>`) put before it:

- Only closed `<answer>…</answer>` pairs count, and of them the last one after the last `</think>`. So a
  truncated completion earns 0 unless its answer was closed before the cut.
- Nothing else is searched: a gold answer in the reasoning, in a box or in a sentence earns nothing.
- Closed pairs, wherever they stand, that hold different answers earn 0, though the last be right: a reader
  that stops at the first closing tag gets the other one. So do two boxes or two options within one pair.
- Well formed is: exactly one pair, holding a readable answer (no copied placeholder, at most 500 characters),
  nothing after it, not truncated; in mode `think` reasoning that is not empty, then one `</think>`, then the
  pair; in the other modes nothing before it.
- A right answer need not be well formed. An undecided comparison counts as wrong.
- What a pair holds is read, and compared with gold and with other pairs, by the row's kind of answers. Two
  boxes, two sentences or two options make an answer unreadable where answers are mathematics, numbers or
  letters; a text, a JSON value or a program may hold such words, up to 100,000 characters.

A rollout engine that takes the stop text `</answer>` off has to put it back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from sampleset.answers import AnswerKind, at_once, kind_of, kinds_of
from sampleset.errors import InvalidArgumentError
from sampleset.grading.grade import grade
from sampleset.prompts import ANSWER_CLOSE, ANSWER_OPEN
from sampleset.training.data.rows import TrainingRow

RIGHT = 1.0
WELL_FORMED = 0.05
STD_FLOOR = 1e-4
"""Added to the standard deviation before a division by it, as GRPO's implementations do."""

_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_THINK_CLOSE = "</think>"
_MAX_ANSWERS = 8
_MAX_CONTENT = 2000
_SHORT_KINDS = ("maths", "number", "choice")
"""Kinds whose answers are one number, expression or letter."""
_LETTER = re.compile(r"[A-Z]")
_OPTION = re.compile(r"(?<![A-Za-z\\])([A-Z])(?![A-Za-z])")
_BOX = re.compile(r"\\(?:boxed|fbox)\b")
_PHRASE = re.compile(r"\banswers? (?:is|are)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reward:
    """What one completion earns, and why.

    Attributes:
        value: 1.0 right, 0.05 wrong but well formed, 0 otherwise.
        right: Whether its answer is the gold one.
        formatted: Whether it is well formed.
        answered: Whether it states a readable answer, and one only.
        answer: That answer.
        characters: Length of the completion.
        tokens: Its length in tokens, where the caller knows.
    """

    value: float
    right: bool
    formatted: bool
    answered: bool
    answer: str | None
    characters: int
    tokens: int | None = None


def reward(
    completion: str, row: TrainingRow, *, truncated: bool = False, tokens: int | None = None
) -> Reward:
    """What a completion of a row's prompt earns.

    Args:
        completion: What the model wrote after the prompt, closing tags included.
        row: The row whose prompt it answers.
        truncated: Whether the token limit cut it off.
        tokens: Its length in tokens.
    """
    text = row.opening + completion
    before, mark, after = text.rpartition(_THINK_CLOSE)
    pairs = _pairs(after)
    problem = _without_waiting(row).problem
    kind = kind_of(problem.question)
    if pairs is None or _disagree(pairs, before, kind):
        return Reward(0.0, False, False, False, None, len(completion), tokens)
    (start, end), content = pairs[-1]
    answer = _readable(content, kind)
    right = answer is not None and at_once(grade(answer, problem)).correct is True
    if right and _is_short(kind) and _LETTER.fullmatch(row.answer.strip()):
        # "A) 3 or B) 4" names two options.
        right = len(set(_OPTION.findall(content))) < 2
    lead = after[:start].strip()
    formatted = (
        answer is not None
        and not truncated
        and len(pairs) == 1
        and not lead
        and not after[end:].strip()
        and _closed_pairs(before) == []
        and (_reasoned(before) if row.mode == "think" else not mark)
    )
    value = RIGHT if right else WELL_FORMED if formatted else 0.0
    return Reward(value, right, formatted, answer is not None, answer, len(completion), tokens)


def require_comparable(rows: Iterable[TrainingRow]) -> None:
    """Refuse rows with answers of a kind that no reward can compare.

    Raises:
        InvalidArgumentError: Answers are compared by a judge, or by programs that may not be run.
    """
    for kind in {row.answer_kind: kind_of(_without_waiting(row).problem.question) for row in rows}.values():
        if kind.asks_model:
            raise InvalidArgumentError(
                f"Rows have answers of the kind {kind.spec!r}, and a reward asks no model. Use rows of "
                "another kind, or `sampleset train select`."
            )
        kind.check()


def _without_waiting(row: TrainingRow) -> TrainingRow:
    """The row with answers that are compared in place: trainers do not await rewards."""
    return replace(row, kinds=replace(kinds_of(row.problem.question), inline=True))


@dataclass(frozen=True, slots=True)
class Group:
    """The rewards of the rollouts of one row."""

    row: TrainingRow
    rewards: tuple[Reward, ...]


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """What the rollouts of several rows amount to; a share is `None` where there is nothing to count.

    Attributes:
        groups: How many rows.
        rollouts: How many completions.
        reward: Mean reward.
        accuracy: Share of completions that are right.
        formatted: Share that is well formed.
        answered: Share that states an answer.
        mean_length: Mean length in tokens; in characters where tokens are not known of all.
        length_unit: `tokens` or `characters`.
        zero_variance: Share of groups whose rewards are all the same: they give no gradient.
        minority_recovery: Right, of the completions where the vote is wrong and some sample is right.
        all_wrong_recovery: Right, of those where no sample is.
        harm: Not right, of those where the vote is right.
    """

    groups: int
    rollouts: int
    reward: float | None
    accuracy: float | None
    formatted: float | None
    answered: float | None
    mean_length: float | None
    length_unit: str
    zero_variance: float | None
    minority_recovery: float | None
    all_wrong_recovery: float | None
    harm: float | None


def group_statistics(groups: Sequence[Group]) -> GroupStatistics:
    """What the rollouts of these rows amount to. Groups without rewards are left out."""
    groups = [group for group in groups if group.rewards]
    every = [(group.row, one) for group in groups for one in group.rewards]
    counted = all(one.tokens is not None for _, one in every)
    lengths = [one.tokens if counted and one.tokens is not None else one.characters for _, one in every]
    right_by_kind: dict[str, list[bool]] = {"hard": [], "all_wrong": [], "vote_right": []}
    for row, one in every:
        right_by_kind["vote_right" if row.vote_right else row.kind].append(one.right)
    kept = _share(right_by_kind["vote_right"])
    return GroupStatistics(
        groups=len(groups),
        rollouts=len(every),
        reward=_mean([one.value for _, one in every]),
        accuracy=_share([one.right for _, one in every]),
        formatted=_share([one.formatted for _, one in every]),
        answered=_share([one.answered for _, one in every]),
        mean_length=_mean(lengths),
        length_unit="tokens" if counted else "characters",
        zero_variance=_share([len({one.value for one in group.rewards}) == 1 for group in groups]),
        minority_recovery=_share(right_by_kind["hard"]),
        all_wrong_recovery=_share(right_by_kind["all_wrong"]),
        harm=None if kept is None else 1 - kept,
    )


def advantages(rewards: Sequence[float], divide_by_std: bool) -> list[float]:
    """Reward minus the group's mean, for each rollout of one group.

    They sum to 0, and are exactly 0 in a group of equal rewards.

    Args:
        rewards: The rewards of one group, one at least.
        divide_by_std: Divide by the standard deviation (n - 1 in its denominator) plus 1e-4, as in GRPO.
            Without it, hard and easy groups keep their weight (Liu et al. 2025, arXiv 2503.20783).

    Raises:
        InvalidArgumentError: There are no rewards, or one is not finite.
    """
    if not rewards or not all(math.isfinite(one) for one in rewards):
        raise InvalidArgumentError(f"rewards={list(rewards)!r} must be finite numbers, one at least.")
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)
    mean = fmean(rewards)
    scale = stdev(rewards) + STD_FLOOR if divide_by_std else 1.0
    return [(one - mean) / scale for one in rewards]


def _pairs(text: str) -> list[tuple[tuple[int, int], str]] | None:
    """Closed pairs of answer tags, `None` if there is none."""
    return _closed_pairs(text) or None


def _closed_pairs(text: str) -> list[tuple[tuple[int, int], str]]:
    """Where each closed pair of answer tags begins and ends, and what it holds; one pass over the text."""
    pairs: list[tuple[tuple[int, int], str]] = []
    opened: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened = tag
        elif opened is not None:
            pairs.append(((opened.start(), tag.end()), text[opened.end() : tag.start()]))
            opened = None
    return pairs


def _disagree(pairs: Sequence[tuple[tuple[int, int], str]], before: str, kind: AnswerKind) -> bool:
    """Whether some closed pair says something else than the last one."""
    last = pairs[-1][1].strip()
    contents = {content.strip() for _, content in [*_closed_pairs(before), *pairs]} - {last}
    if len(contents) > _MAX_ANSWERS:
        return True
    answer = _readable(last, kind)
    others = [_readable(content, kind) for content in contents]
    # What nobody can read as an answer ("<answer>your answer</answer>" quoted in the reasoning) says nothing.
    return answer is not None and any(
        other is not None and at_once(kind.same(other, answer)).equal is not True for other in others
    )


def _readable(content: str, kind: AnswerKind) -> str | None:
    """The one answer that a pair holds, `None` if it holds none or several."""
    if _is_short(kind) and (
        len(content) > _MAX_CONTENT or any(len(mark.findall(content)) > 1 for mark in (_BOX, _PHRASE))
    ):
        return None
    found = kind.read(f"{ANSWER_OPEN}{content}{ANSWER_CLOSE}", truncated=True)
    return found.text if found and found.rule == "answer_tag" else None


def _is_short(kind: AnswerKind) -> bool:
    return kind.spec.partition(":")[0] in _SHORT_KINDS


def _reasoned(before: str) -> bool:
    """Whether what stands before `</think>` is one stretch of reasoning that is not empty."""
    head, mark, reasoning = before.partition("<think>")
    return bool(mark) and not head.strip() and bool(reasoning.strip()) and _THINK_CLOSE not in before


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _share(values: Sequence[bool]) -> float | None:
    return fmean(values) if values else None
