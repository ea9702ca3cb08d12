"""Texts to imitate in supervised fine-tuning, made with the gold answer.

- `answer`: the gold answer alone. In mode `think` its reasoning is empty, and the model learns that, too.
- `sample`: the shortest right sample of the set as the reasoning, without its final line.
- `teacher`: written by a model that knows the gold answer and must argue for it without saying that it knows
  (Qi et al. 2025, arXiv 2506.09014, with our own prompt). The teacher is asked again if the answer of its
  reply is wrong, if there is no reasoning, or if it reveals the secret. After the last try, `sample` is used.

In the modes `direct` and `select` there is no reasoning, so every kind gives the gold answer alone.

A target begins where the prompt ends. It earns the full reward of its row and is well formed. A row without
such a text has no target.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sampleset.answers import kind_of
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

TEACHER_PROMPT = "teacher-2"
_THINK_CLOSE = "</think>"

_TEACHER_HEAD = (
    "You write the solution that a student learns from. The student sees the task between the lines below, "
    "and nothing else. You also know the right final answer, which the student does not."
)
_TEACHER_TAIL = (
    "The right final answer is: {gold}\n\n"
    "Now write the solution to the question itself, not advice on how to solve it: two to six plain "
    "sentences that say where the proposed answers differ, which step of a wrong one fails, and that do the "
    "calculation up to the final answer. Do not mention that you knew it: speak of no key, reference or "
    "given solution. Do not use <think> tags. End with this line:\n<answer>{gold}</answer>"
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
        without_right: Target of a row without a usable right sample: `drop` for none, `answer` for the gold
            answer alone.
        tries: Most calls of the teacher for a row.
        max_tokens: Most tokens of a teacher's reply.
        temperature: Temperature of its replies.
        seed: With the messages it determines the seed of the first try. Each further try adds 1.
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
        completion: The text after the prompt.
        kind: How it was made.
    """

    completion: str
    kind: TargetKind


def completion_text(row: TrainingRow, reasoning: str) -> str:
    """A completion with this reasoning and the gold answer, in the form of the row's mode.

    Args:
        row: The row to answer.
        reasoning: The reasoning, not used in the modes `direct` and `select`. Tags in it are broken up.
    """
    tagged = f"{ANSWER_OPEN}{row.answer.strip()}{ANSWER_CLOSE}"
    completion = tagged
    if row.mode == "think":
        thought = _without_marks(reasoning.strip())
        completion = (
            f"{THINK_OPEN}{thought}\n{_THINK_CLOSE}\n{tagged}"
            if thought
            else f"{THINK_OPEN}{_THINK_CLOSE}\n{tagged}"
        )
    return completion.removeprefix(row.opening)


def answer_target(row: TrainingRow) -> Target | None:
    """The gold answer alone as a target; `None` if it cannot be read back from the tags."""
    return _checked(row, Target(completion_text(row, ""), "answer"), reasoned=False)


def sample_target(row: TrainingRow, samples: Sequence[Sample], right: Sequence[bool]) -> Target | None:
    """A target with the shortest right sample as the reasoning; `None` if no sample can be used.

    Args:
        row: The row to answer.
        samples: Its samples.
        right: Whether each gives the gold answer.
    """
    if row.mode != "think":
        return answer_target(row)
    texts = [
        after_thinking(sample)
        for sample, good in zip(samples, right, strict=True)
        if good and not sample.failed
    ]
    for text in sorted(texts, key=len):
        solution = own_part(text, kind=row.answer_kind)
        target = Target(completion_text(row, without_final_line(solution)), "sample")
        if _checked(row, target, reasoned=True):
            return target
    return None


def without_final_line(text: str) -> str:
    """The solution without its last line, if that line only states the answer.

    The line stays if the line before it ends in a colon.
    """
    head, _, last = text.strip().rpartition("\n")
    head = head.strip()
    if head and not head.endswith(":") and _CLOSING_LINE.fullmatch(last.strip()):
        return head
    return text.strip()


def gives_secret_away(text: str) -> bool:
    """Whether a text mentions an answer that was known beforehand.

    The check is strict: a false alarm costs one more try, a miss teaches a model to mention such an answer.
    """
    return _GIVES_AWAY.search(re.sub(r"\s+", " ", text)) is not None


def teacher_messages(row: TrainingRow) -> list[Message]:
    """The chat that gives a teacher the gold answer and asks for the reasoning that leads to it."""
    task = row.prompt[0]["content"]
    tail = _TEACHER_TAIL.format(gold=row.answer.strip())
    return [{"role": "user", "content": f"{_TEACHER_HEAD}\n\n----------\n{task}\n----------\n\n{tail}"}]


class Teacher:
    """A model that writes targets, with a log of its replies.

    Every reply is logged before it is used, and a later run reads it from the log. So nothing is lost when a
    run is killed, and the same rows get the same targets.

    Args:
        backend: The model.
        log: File of its replies; `None` keeps them in memory only.
        options: How targets are made.
    """

    def __init__(self, backend: Backend, log: Path | None, options: TargetOptions) -> None:
        self.model = backend.model
        self.calls = 0
        self._backend = backend
        self._options = options
        self._log = None if log is None else JsonlLog(log)
        self._texts: dict[str, str] = {}
        if self._log is not None:
            for _, row in self._log.new_rows():
                self._texts[row["key"]] = "" if row["finish_reason"] == "length" else row["text"]

    async def target(self, row: TrainingRow) -> Target | None:
        """The first acceptable reply as a target; `None` if no reply is acceptable.

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
        if key not in self._texts:
            try:
                (reply,) = await self._backend.generate(messages, params, [seed])
            except RefusedPromptError:  # refused by a content filter: not logged, so a later run asks again
                return ""
            self.calls += 1
            # A truncated reply is not used, even if it contains a closed answer.
            self._texts[key] = "" if reply.finish_reason == "length" else reply.text
            if self._log is not None:
                self._log.append([_log_row(key, row, self._backend.model, seed, reply)])
        return self._texts[key]


def target_of_reply(row: TrainingRow, text: str) -> tuple[Target | None, str]:
    """A teacher's reply as a target, or the reason why it cannot be one.

    Its answer stands in tags or behind a marker such as "The answer is", and its reasoning states no other.

    Returns:
        The target or `None`; and `accepted`, `no_answer`, `wrong_answer`, `no_reasoning` or `gives_away`.
    """
    visible = text.rpartition(_THINK_CLOSE)[2]
    kind = kind_of(row.problem.question)
    reasoning, opened, rest = visible.rpartition(ANSWER_OPEN)
    tagged, closed, _ = rest.partition(ANSWER_CLOSE)
    if not opened:
        # A small teacher often keeps to its own form: "The final answer is 22 bags."
        reasoning = visible
    conclusion = kind.read(reasoning, truncated=True)  # by markers only
    answers = [tagged] if closed else []
    if conclusion is not None:
        answers.append(conclusion.text)
    if not answers or (opened and not closed):
        return None, "no_answer"
    if not all(_is_right(answer, row) for answer in answers):
        return None, "wrong_answer"
    if not reasoning.strip():
        return None, "no_reasoning"
    if gives_secret_away(reasoning):
        return None, "gives_away"
    if not opened:
        reasoning = without_final_line(reasoning)
    target = _checked(row, Target(completion_text(row, reasoning), "teacher"), reasoned=row.mode == "think")
    return target, "accepted" if target else "wrong_answer"


def _is_right(answer: str, row: TrainingRow) -> bool:
    """Whether an answer is right, graded as a completion of the model that is well formed."""
    completion = f"{ANSWER_OPEN}{answer}{ANSWER_CLOSE}"
    if row.mode == "think":
        completion = f"{THINK_OPEN}.\n{_THINK_CLOSE}\n{completion}"
    return reward(completion.removeprefix(row.opening), row).right


async def make_target(
    row: TrainingRow,
    samples: Sequence[Sample],
    right: Sequence[bool],
    options: TargetOptions,
    teacher: Teacher | None = None,
) -> Target | None:
    """The target of a row by the options; `None` if none can be made.

    Args:
        row: The row to answer.
        samples: Its samples.
        right: Whether each gives the gold answer.
        options: How targets are made.
        teacher: The teacher, for the kind `teacher`.

    Raises:
        InvalidArgumentError: The kind is `teacher` and there is no teacher.
        BackendError: The teacher cannot be asked.
    """
    if options.kind == "answer" or row.mode != "think":
        return answer_target(row)
    if options.kind == "teacher":
        if teacher is None:
            raise InvalidArgumentError("target='teacher' asks a model. Name one: --teacher-model REF.")
        if (teacher_target := await teacher.target(row)) is not None:
            return teacher_target
    target = sample_target(row, samples, right)
    return target or (answer_target(row) if options.without_right == "answer" else None)


def _without_marks(text: str) -> str:
    """The text with tags and template marks broken up. Lines like the prompt's headings stay unchanged."""
    lines = zip(text.split("\n"), broken_up(text).split("\n"), strict=True)
    return "\n".join(safe if line.startswith("> ") else safe.removeprefix("> ") for line, safe in lines)


def _checked(row: TrainingRow, target: Target, *, reasoned: bool) -> Target | None:
    earned = reward(target.completion, row)
    return target if earned.right and (earned.formatted or not reasoned) else None


def _log_row(key: str, row: TrainingRow, model: str, seed: int, reply: Generation) -> Mapping[str, Any]:
    return {
        "schema": 1,
        "key": key,
        "row": row.id,
        "model": model,
        "prompt_version": TEACHER_PROMPT,
        "seed": seed,
        "text": reply.text,
        "outcome": "cut" if reply.finish_reason == "length" else target_of_reply(row, reply.text)[1],
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
    }
