"""Texts to imitate in supervised fine-tuning, written with the gold answer at hand.

- `answer`: the gold answer alone. In mode `think` its reasoning is empty, which a model learns, too.
- `sample`: the shortest right sample of the set as the reasoning, without its own final line.
- `teacher`: written by a model that is given the gold answer and must argue for it without saying so
  (Qi et al. 2025, arXiv 2506.09014, in words of our own). A reply whose answer is not gold, that has no
  reasoning or gives the secret away is asked for again; after the last try, `sample` takes its place.

Modes `direct` and `select` hold no reasoning, so every way comes to the gold answer there.

A target begins where the prompt ends. Each earns the full reward of its row and is well formed; a row for
which that cannot be had gets none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sampleset.backends.base import Backend
from sampleset.chat import Generation, Message, SamplingParams, first_seed, plain_params
from sampleset.errors import InvalidArgumentError, RefusedPromptError
from sampleset.prompts import ANSWER_CLOSE, ANSWER_OPEN, THINK_OPEN
from sampleset.storage.files import JsonlLog
from sampleset.storage.store import digest
from sampleset.training.data.rows import TrainingRow
from sampleset.training.grpo.rewards import reward
from sampleset.types import Sample, after_thinking
from sampleset.untrusted import broken_up, own_part

TargetKind = Literal["answer", "sample", "teacher"]

TEACHER_PROMPT = "teacher-1"
_THINK_CLOSE = "</think>"

_TEACHER_HEAD = (
    "You write model solutions that a student will learn from. The student is shown the task between the "
    "lines below, and nothing else. You also know the right final answer, which the student does not."
)
_TEACHER_TAIL = (
    "The right final answer is: {gold}\n\n"
    "Write what a careful student should think on the task: look at the proposed answers one by one, find "
    "the step where a wrong one goes wrong, check the calculation, and arrive at the final answer by that "
    "reasoning alone. Let nothing show that you knew the final answer beforehand: speak of no key, "
    "reference or given solution. Write in plain sentences, as short as the task allows, without <think> "
    "tags. End with the final answer alone inside <answer></answer>."
)

_GIVEN_AWAY = (
    # "the reference answer", "the ground-truth solution"
    r"\b(?:reference|gold(?:en)?|ground[- ]?truth|official|secret|hidden|expected|intended|known|target)"
    r"(?: (?:final|correct|right))? (?:answers?|solutions?|results?|keys?)\b",
    r"\b(?:answer|solution) keys?\b",
    r"\baccording to the (?:key|reference|solution|correct answer|right answer)\b",
    # "the correct answer given", "the right final answer, which was provided"
    r"\b(?:correct|right|true|final) (?:final )?(?:answer|result|solution)[\s,]{1,3}"
    r"(?:(?:that|which|as) )?(?:(?:is|was|has been|have been|were|I was|we were|I am|we are) )?(?:already )?"
    r"(?:given|provided|supplied|stated above|told|specified|known)\b(?! by (?:person|answer|proposed))",
    # "the given correct answer", "provided final answer"
    r"\b(?:given|provided|supplied|stated|known) (?:the )?(?:correct|right|true|final) (?:final )?"
    r"(?:answer|result|solution)\b",
    r"\b(?:given|knowing) that the (?:(?:correct|right|true|final) )+(?:answer|result|solution)\b",
    r"\bas (?:was |were )?(?:provided|supplied|instructed|told)\b"
    r"(?! (?:in|by) the (?:question|problem|task))",
    r"\b(?:I|we) (?:was|were|am|are|have been|had been) (?:told|informed|instructed)\b",
    r"\b(?:I|we) (?:already |do )?know (?:that )?(?:the|what the) (?:(?:correct|right|true|final) )?"
    r"(?:answer|result)\b",
    r"\b(?:answer|result) is (?:supposed|known|meant|expected) to be\b",
    r"\b(?:match|agree|coincide|consistent|line)(?:e?s|ing|ed)?(?: up)?(?: with)? the "
    r"(?:provided|given|supplied|correct|right|true|known|expected)(?: final)? (?:answer|result|solution)\b",
)
_GIVES_AWAY = re.compile("|".join(_GIVEN_AWAY), re.IGNORECASE)

_CLOSING_LINE = re.compile(
    r"#{4}.{1,100}"
    r"|(?:(?:so|thus|therefore|hence)\b,? ?)?\W{0,4}(?:the )?(?:final |correct )?answer\b"
    r"(?: is\b| =|:).{0,100}"
    r"|\W{0,12}(?:the )?(?:(?:final )?answer is )?\W{0,6}\\boxed ?\{[^{}]{0,60}\}\W{0,8}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How targets are made.

    Attributes:
        kind: `answer`, `sample` or `teacher`.
        without_right: What a row without a right sample gets where one is needed: `drop`, nothing; `answer`,
            the gold answer alone.
        tries: How often a teacher is asked for a row at most.
        max_tokens: Most tokens of a teacher's reply.
        temperature: Temperature of its replies.
        seed: Picks, with the messages, the seed of its first try; each further one adds 1.
    """

    kind: TargetKind = "answer"
    without_right: Literal["drop", "answer"] = "drop"
    tries: int = 3
    max_tokens: int = 1024
    temperature: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("answer", "sample", "teacher"):
            raise InvalidArgumentError(f"target={self.kind!r} must be answer, sample or teacher.")
        if self.without_right not in ("drop", "answer"):
            raise InvalidArgumentError(f"without_right={self.without_right!r} must be drop or answer.")
        if self.tries < 1:
            raise InvalidArgumentError(f"tries={self.tries!r} must be at least 1.")


@dataclass(frozen=True, slots=True)
class Target:
    """A text to imitate.

    Attributes:
        completion: From the prompt's last character on.
        kind: How it was made.
    """

    completion: str
    kind: TargetKind


def completion_text(row: TrainingRow, reasoning: str) -> str:
    """The completion that reasons so and then gives the gold answer, in the form of the row's mode.

    Args:
        row: The row to answer.
        reasoning: Left out in the modes `direct` and `select`. Tags in it are broken up.
    """
    tagged = f"{ANSWER_OPEN}{row.answer.strip()}{ANSWER_CLOSE}"
    whole = tagged
    if row.mode == "think":
        shown = _without_marks(reasoning.strip())
        whole = (
            f"{THINK_OPEN}{shown}\n{_THINK_CLOSE}\n{tagged}"
            if shown
            else f"{THINK_OPEN}{_THINK_CLOSE}\n{tagged}"
        )
    return whole.removeprefix(row.opening)


def answer_target(row: TrainingRow) -> Target | None:
    """The gold answer alone; `None` where it cannot be read back from the tags."""
    return _checked(row, Target(completion_text(row, ""), "answer"), reasoned=False)


def sample_target(row: TrainingRow, samples: Sequence[Sample], right: Sequence[bool]) -> Target | None:
    """The shortest right sample as the reasoning; `None` if there is none that can be used.

    Args:
        row: The row to answer.
        samples: Its samples.
        right: Whether each gives the gold answer.
    """
    if row.mode != "think":
        return answer_target(row)
    texts = [after_thinking(one) for one, good in zip(samples, right, strict=True) if good and not one.failed]
    for text in sorted(texts, key=len):
        own = own_part(text, kind=row.answer_kind)
        target = Target(completion_text(row, without_final_line(own)), "sample")
        if _checked(row, target, reasoned=True):
            return target
    return None


def without_final_line(text: str) -> str:
    """The solution without its last line, where that does nothing but state the answer in brief.

    A line that the one before announces with a colon stays.
    """
    head, _, last = text.strip().rpartition("\n")
    head = head.strip()
    if head and not head.endswith(":") and _CLOSING_LINE.fullmatch(last.strip()):
        return head
    return text.strip()


def gives_secret_away(text: str) -> bool:
    """Whether a text speaks of an answer that was known beforehand.

    It is strict: a false alarm costs one more try, a miss teaches a student to speak of what it never has.
    """
    return _GIVES_AWAY.search(re.sub(r"\s+", " ", text)) is not None


def teacher_messages(row: TrainingRow) -> list[Message]:
    """The chat that asks a teacher, who is told the gold answer, for the reasoning that leads to it."""
    task = row.prompt[0]["content"]
    tail = _TEACHER_TAIL.format(gold=row.answer.strip())
    return [{"role": "user", "content": f"{_TEACHER_HEAD}\n\n----------\n{task}\n----------\n\n{tail}"}]


class Teacher:
    """A model that writes targets, and a log of what it wrote.

    Every reply is in the log before it is used. A later run reads it there: a kill loses nothing, and the
    same rows get the same targets.

    Args:
        backend: The model.
        log: Where its replies are kept; only in memory if `None`.
        options: How it is asked.
    """

    def __init__(self, backend: Backend, log: Path | None, options: TargetOptions) -> None:
        self.model = backend.model
        self.calls = 0
        self._backend = backend
        self._options = options
        self._log = None if log is None else JsonlLog(log)
        self._known: dict[str, str] = {}
        if self._log is not None:
            for _, row in self._log.new_rows():
                self._known[row["key"]] = "" if row["finish_reason"] == "length" else row["text"]

    async def target(self, row: TrainingRow) -> Target | None:
        """The first reply that passes, as a target; `None` if none does.

        Raises:
            BackendError: The model cannot be asked.
        """
        messages = teacher_messages(row)
        params = SamplingParams(temperature=self._options.temperature, max_tokens=self._options.max_tokens)
        for attempt in range(self._options.tries):
            seed = first_seed(messages, self._options.seed) + attempt
            text = await self._reply(row, messages, params, seed)
            target, _ = target_of_reply(row, text)
            if target is not None:
                return target
        return None

    async def _reply(
        self, row: TrainingRow, messages: Sequence[Message], params: SamplingParams, seed: int
    ) -> str:
        key = digest([self._backend.model, list(messages), plain_params(params), seed])
        if key not in self._known:
            try:
                (made,) = await self._backend.generate(messages, params, [seed])
            except RefusedPromptError:  # held back by a content filter: not logged, a later run asks again
                return ""
            self.calls += 1
            # A cut reply is not used, though it may hold a closed answer.
            self._known[key] = "" if made.finish_reason == "length" else made.text
            if self._log is not None:
                self._log.append([_log_row(key, row, self._backend.model, seed, made)])
        return self._known[key]


def target_of_reply(row: TrainingRow, text: str) -> tuple[Target | None, str]:
    """A teacher's reply as a target, or why it is none.

    Returns:
        The target or `None`; and `accepted`, `no_answer`, `wrong_answer`, `no_reasoning` or `gives_away`.
    """
    visible = text.rpartition(_THINK_CLOSE)[2]
    reasoning, mark, rest = visible.rpartition(ANSWER_OPEN)
    answer, closed, _ = rest.partition(ANSWER_CLOSE)
    if not mark or not closed:
        return None, "no_answer"
    # Graded as an answer of the model's own, beside a line of reasoning that cannot fail the form.
    own = f"{THINK_OPEN}.\n{_THINK_CLOSE}\n{ANSWER_OPEN}{answer}{ANSWER_CLOSE}"
    if row.mode != "think":
        own = f"{ANSWER_OPEN}{answer}{ANSWER_CLOSE}"
    if not reward(own.removeprefix(row.opening), row).right:
        return None, "wrong_answer"
    if not reasoning.strip():
        return None, "no_reasoning"
    if gives_secret_away(reasoning):
        return None, "gives_away"
    target = _checked(row, Target(completion_text(row, reasoning), "teacher"), reasoned=row.mode == "think")
    return target, "accepted" if target else "wrong_answer"


async def make_target(
    row: TrainingRow,
    samples: Sequence[Sample],
    right: Sequence[bool],
    options: TargetOptions,
    teacher: Teacher | None = None,
) -> Target | None:
    """The target of a row in the way the options ask for; `None` if there is none to be had.

    Args:
        row: The row to answer.
        samples: Its samples.
        right: Whether each gives the gold answer.
        options: How targets are made.
        teacher: Needed by the kind `teacher`.

    Raises:
        InvalidArgumentError: A teacher is needed and there is none.
        BackendError: The teacher cannot be asked.
    """
    if options.kind == "answer" or row.mode != "think":
        return answer_target(row)
    if options.kind == "teacher":
        if teacher is None:
            raise InvalidArgumentError("target='teacher' asks a model. Name one: --teacher-model REF.")
        if (written := await teacher.target(row)) is not None:
            return written
    found = sample_target(row, samples, right)
    return found or (answer_target(row) if options.without_right == "answer" else None)


def _without_marks(text: str) -> str:
    """The text with tags and template marks broken up; lines like the prompt's headings may stay here."""
    lines = zip(text.split("\n"), broken_up(text).split("\n"), strict=True)
    return "\n".join(safe if line.startswith("> ") else safe.removeprefix("> ") for line, safe in lines)


def _checked(row: TrainingRow, target: Target, *, reasoned: bool) -> Target | None:
    earned = reward(target.completion, row)
    return target if earned.right and (earned.formatted or not reasoned) else None


def _log_row(key: str, row: TrainingRow, model: str, seed: int, made: Generation) -> Mapping[str, Any]:
    return {
        "schema": 1,
        "key": key,
        "row": row.id,
        "model": model,
        "prompt_version": TEACHER_PROMPT,
        "seed": seed,
        "text": made.text,
        "outcome": "cut" if made.finish_reason == "length" else target_of_reply(row, made.text)[1],
        "finish_reason": made.finish_reason,
        "prompt_tokens": made.prompt_tokens,
        "completion_tokens": made.completion_tokens,
    }
