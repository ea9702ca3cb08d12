"""The reward of a completion, statistics of groups of rewards, and advantages. No model is needed.

Values as in Qi et al. 2025 (arXiv 2506.09014): 1.0 right, 0.05 wrong but well formed, 0 otherwise. The
released code differs from its paper: it reads completions with an XML parser, which fails on a `<` in the
reasoning, and gives credit if the gold text merely occurs. We follow the paper.

A completion is read as follows, after the prompt's opening (`<think>`, `<answer>`) was put before it:

- Only closed `<answer>…</answer>` pairs count. The answer is the last pair after the last `</think>`. So a
  truncated completion earns 0 unless its answer was closed before the cut.
- No other text is searched: a gold answer in the reasoning, in a box or in a sentence earns nothing.
- Closed pairs anywhere with different answers earn 0, even if the last is right: a reader that stops at the
  first closing tag gets another answer. Two boxes or two options within one pair earn 0, too.
- A completion is well formed if it is not truncated and has exactly one pair, with a readable answer (no
  copied placeholder, at most 500 characters) and nothing after it. In mode `think`, non-empty reasoning and
  one `</think>` come before the pair; in the other modes nothing does.
- A right answer need not be well formed. An undecided comparison counts as wrong.
- The content of a pair is read and compared by the row's kind of answers. For mathematics, numbers and
  letters, two boxes, two sentences or two options make an answer unreadable. A text, a JSON value or a
  program may contain them and have up to 100,000 characters.

If a rollout engine removes the stop text `</answer>`, the caller must add it again.
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
"""Added to the standard deviation before dividing by it, as in other implementations of GRPO."""

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
    """The reward of one completion, with its reasons.

    Attributes:
        value: 1.0 right, 0.05 wrong but well formed, 0 otherwise.
        right: Whether its answer is the gold answer.
        formatted: Whether it is well formed.
        answered: Whether it states exactly one readable answer.
        answer: The readable answer, else `None`.
        characters: Length of the completion in characters.
        tokens: Length of the completion in tokens, `None` if unknown.
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
    """The reward of a completion of a row's prompt.

    Args:
        completion: The model's text after the prompt, closing tags included.
        row: The row with the prompt.
        truncated: Whether the token limit cut the completion off.
        tokens: Length of the completion in tokens.
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
    """Refuse rows whose kind of answers a reward cannot compare.

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
    """The row with comparisons in this thread, since trainers do not await rewards."""
    return replace(row, kinds=replace(kinds_of(row.problem.question), inline=True))


@dataclass(frozen=True, slots=True)
class Group:
    """The rewards of the rollouts of one row."""

    row: TrainingRow
    rewards: tuple[Reward, ...]


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Statistics of the rollouts of several rows. A share is `None` if there is nothing to count.

    Attributes:
        groups: Number of rows.
        rollouts: Number of completions.
        reward: Mean reward.
        accuracy: Share of completions that are right.
        formatted: Share of completions that are well formed.
        answered: Share of completions with an answer.
        mean_length: Mean length in tokens, or in characters if some token counts are unknown.
        length_unit: `tokens` or `characters`.
        zero_variance: Share of groups whose rewards are all equal; they give no gradient.
        minority_recovery: Share of right completions where the vote is wrong and some sample is right.
        all_wrong_recovery: Share of right completions where no sample is right.
        harm: Share of wrong completions where the vote is right.
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
    """Statistics of the rollouts of these rows. Groups without rewards are left out."""
    groups = [group for group in groups if group.rewards]
    results = [(group.row, result) for group in groups for result in group.rewards]
    counted = all(result.tokens is not None for _, result in results)
    lengths = [
        result.tokens if counted and result.tokens is not None else result.characters for _, result in results
    ]
    right_by_kind: dict[str, list[bool]] = {"hard": [], "all_wrong": [], "vote_right": []}
    for row, result in results:
        right_by_kind["vote_right" if row.vote_right else row.kind].append(result.right)
    accuracy_where_vote_right = _share(right_by_kind["vote_right"])
    return GroupStatistics(
        groups=len(groups),
        rollouts=len(results),
        reward=_mean([result.value for _, result in results]),
        accuracy=_share([result.right for _, result in results]),
        formatted=_share([result.formatted for _, result in results]),
        answered=_share([result.answered for _, result in results]),
        mean_length=_mean(lengths),
        length_unit="tokens" if counted else "characters",
        zero_variance=_share([len({result.value for result in group.rewards}) == 1 for group in groups]),
        minority_recovery=_share(right_by_kind["hard"]),
        all_wrong_recovery=_share(right_by_kind["all_wrong"]),
        harm=None if accuracy_where_vote_right is None else 1 - accuracy_where_vote_right,
    )


def advantages(rewards: Sequence[float], divide_by_std: bool) -> list[float]:
    """Reward minus the group's mean, for each rollout of one group.

    Advantages sum to 0. In a group of equal rewards they are exactly 0.

    Args:
        rewards: The rewards of one group, at least one.
        divide_by_std: Whether to divide by the standard deviation (n - 1 in its denominator) plus 1e-4, as in
            GRPO. Without it, all groups have the same weight (Liu et al. 2025, arXiv 2503.20783).

    Raises:
        InvalidArgumentError: There are no rewards, or one is not finite.
    """
    if not rewards or not all(math.isfinite(value) for value in rewards):
        raise InvalidArgumentError(f"rewards={list(rewards)!r} must be finite numbers, one at least.")
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)
    mean = fmean(rewards)
    scale = stdev(rewards) + STD_FLOOR if divide_by_std else 1.0
    return [(value - mean) / scale for value in rewards]


def _pairs(text: str) -> list[tuple[tuple[int, int], str]] | None:
    """Closed pairs of answer tags, `None` if there is none."""
    return _closed_pairs(text) or None


def _closed_pairs(text: str) -> list[tuple[tuple[int, int], str]]:
    """((start, end), content) of each closed pair of answer tags, found in one pass over the text."""
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
    """Whether some closed pair has another answer than the last one."""
    last = pairs[-1][1].strip()
    contents = {content.strip() for _, content in [*_closed_pairs(before), *pairs]} - {last}
    if len(contents) > _MAX_ANSWERS:
        return True
    answer = _readable(last, kind)
    others = [_readable(content, kind) for content in contents]
    # Unreadable pairs, such as "<answer>your answer</answer>" quoted in the reasoning, do not count.
    return answer is not None and any(
        other is not None and at_once(kind.same(other, answer)).equal is not True for other in others
    )


def _readable(content: str, kind: AnswerKind) -> str | None:
    """The answer in a pair, `None` if there is none or several."""
    if _is_short(kind) and (
        len(content) > _MAX_CONTENT or any(len(mark.findall(content)) > 1 for mark in (_BOX, _PHRASE))
    ):
        return None
    reading = kind.read(f"{ANSWER_OPEN}{content}{ANSWER_CLOSE}", truncated=True)
    return reading.text if reading and reading.rule == "answer_tag" else None


def _is_short(kind: AnswerKind) -> bool:
    return kind.spec.partition(":")[0] in _SHORT_KINDS


def _reasoned(before: str) -> bool:
    """Whether the text before `</think>` is a single, non-empty piece of reasoning."""
    head, mark, reasoning = before.partition("<think>")
    return bool(mark) and not head.strip() and bool(reasoning.strip()) and _THINK_CLOSE not in before


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _share(values: Sequence[bool]) -> float | None:
    return fmean(values) if values else None
