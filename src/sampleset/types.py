"""Frozen records that the parts hand to each other: question → SampleSet → Answer → Grade.

The gold answer lives in `Problem` only. `Question` and `SampleSet`, which aggregators see, hold known
fields and nothing else, so a row's other columns (labels among them) cannot reach an aggregator.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal, Protocol

from sampleset.errors import InvalidArgumentError
from sampleset.html_tables import html_table

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 1

DEFAULT_KIND = "maths"

_ROUNDING = 1e-9

Mode = Literal["think", "direct", "select"]
"""What an aggregator that reads a set writes: reasoning and answer, the answer, or nothing but scores."""

TrainedMode = Literal[Mode, "verify"]
"""What a model is trained for: a mode of an aggregator, or to say whether one sample is right."""


def whole_characters(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which could not be written to a file."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class KindSource(Protocol):
    """What gives a question the kind of its answers, with all that comparing them needs; see `Kinds`."""

    def kind(self, question: Question) -> Any:
        """The `AnswerKind` of the question's answers."""
        ...


@functools.cache
def _warn_of_halves() -> None:
    _log.warning("A question holds half a character; it is read as U+FFFD. Is the file cut, or not in UTF-8?")


def _replace_halves(record: object, *names: str) -> None:
    """Replace half characters in texts of a record, and say so once."""
    for name in names:
        text = getattr(record, name)
        if isinstance(text, str) and (whole := whole_characters(text)) != text:
            _warn_of_halves()
            object.__setattr__(record, name, whole)


@dataclass(frozen=True, slots=True)
class Question:
    """Text to solve.

    Attributes:
        id: Stable name, unique within a file.
        text: The question as it is put to a model.
        choices: Lettered options in order (`A` first), or `None` for open questions.
        answer_kind: How answers are read and compared, as `answer_kind` reads it: `maths`, `json`, ...
        kinds: Holds what comparing them needs (a judge, leave to run programs); set by `Kinds.bind`, and not
            part of what is stored. `None`: nothing, which is enough for most kinds.
    """

    id: str
    text: str
    choices: tuple[str, ...] | None = None
    answer_kind: str = DEFAULT_KIND
    kinds: KindSource | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Half a character, of a file or an argument cut inside it, could be neither sent nor stored.
        _replace_halves(self, "id", "text")
        choices = self.choices and tuple(map(whole_characters, self.choices))
        if choices != self.choices:
            _warn_of_halves()
            object.__setattr__(self, "choices", choices)


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its gold answer; `answer` is `None` where no gold is known."""

    question: Question
    answer: str | None
    solution: str | None = None
    subject: str | None = None
    level: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        _replace_halves(self, "answer", "solution", "subject", "level")

    @property
    def id(self) -> str:
        """The question's id."""
        return self.question.id


@dataclass(frozen=True, slots=True)
class LogprobSummary:
    """Token log-probabilities of one sample, in nats, kept in summary.

    Attributes:
        mean: Mean over all tokens, ≤ 0.
        min_window: Lowest mean over any window of 32 consecutive tokens (all tokens if fewer), ≤ 0.
        tail: Mean over the last 32 tokens (all if fewer), ≤ 0; `None` in stores from before it was recorded.
        bottom: Mean over the lowest tenth, rounded up, of all windows of 32 consecutive tokens, ≤ 0;
            `None` in stores from before it was recorded.
    """

    mean: float
    min_window: float
    tail: float | None = None
    bottom: float | None = None

    WINDOW = 32

    @classmethod
    def of(cls, logprobs: Sequence[float]) -> LogprobSummary | None:
        """Summary of a sample's token log-probabilities in order; `None` when there are none."""
        if not logprobs:
            return None
        width = min(cls.WINDOW, len(logprobs))
        windows = [sum(logprobs[:width]) / width]
        for entering, leaving in zip(logprobs[width:], logprobs, strict=False):
            windows.append(windows[-1] + (entering - leaving) / width)
        lowest = sorted(windows)[: math.ceil(len(windows) / 10)]
        return cls(sum(logprobs) / len(logprobs), lowest[0], windows[-1], math.fsum(lowest) / len(lowest))


LOGPROBS = {"confidence": "mean", "window": "min_window", "tail": "tail", "bottom": "bottom"}
"""Names of the scores that are log-probabilities, and the field of `LogprobSummary` that each is."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One generated solution; `error` says why there is none.

    Attributes:
        index: Place in the draw order, from 0.
        text: What the model wrote; empty for a failed draw.
        finish_reason: `stop`, `length` (truncated), `error`, `refused`, or what the server said.
        prompt_tokens: Prompt length in tokens, `None` if unknown.
        completion_tokens: Sample length in tokens, `None` if unknown.
        scores: Scores by name (a reward model's, say), without gold.
    """

    index: int
    text: str
    finish_reason: str | None = None
    seed: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: LogprobSummary | None = None
    model: str | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def failed(self) -> bool:
        """Whether the draw failed; a failed draw counts in n and abstains."""
        return self.error is not None

    @property
    def refused(self) -> bool:
        """Whether the draw failed because its prompt is refused, so that another try would fail, too."""
        return self.failed and self.finish_reason == "refused"

    @property
    def truncated(self) -> bool:
        """Whether the token limit cut the sample off."""
        return self.finish_reason == "length"


# As models write the tags: some with spaces, attributes or capitals.
_START_OF_THOUGHT = re.compile(r"\s*<\s{0,4}think(?:\s[^<>/]{0,200})?>", re.IGNORECASE)
_END_OF_THOUGHT = re.compile(r"<\s{0,4}/\s{0,4}think\s{0,4}>", re.IGNORECASE)


def after_thinking(sample: Sample) -> str:
    """What a sample of a long-reasoning model says after its last `</think>`.

    Nothing, where the token limit cut the sample off within its thinking; the whole text, where it shows no
    thinking.
    """
    ends = list(_END_OF_THOUGHT.finditer(sample.text))
    if ends:
        return sample.text[ends[-1].end() :].lstrip()
    unfinished = sample.truncated and _START_OF_THOUGHT.match(sample.text)
    return "" if unfinished else sample.text


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the model calls of one stage.

    Attributes:
        prompt_tokens: Prompt tokens. Every draw counts its own prompt, though a batch may read it once.
        completion_tokens: Generated tokens.
        calls: Model calls made.
        uncounted: Calls whose tokens the source did not record; they are missing from the sums.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    uncounted: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
            self.uncounted + other.uncounted,
        )

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class SampleSet:
    """The samples of one question, in draw order; this is all an aggregator sees.

    Attributes:
        stopped: Why there are fewer than were asked for, where that was on purpose: the stopping rule that
            was met (`beta:0.95`), or `cap`. Such a set is whole. `None` for all others.
        prompt: Name and version of the prompt that the samples were asked with; `None` if not recorded.
    """

    question: Question
    samples: tuple[Sample, ...]
    model: str | None = None
    stopped: str | None = None
    prompt: str | None = None

    @property
    def id(self) -> str:
        """The question's id."""
        return self.question.id

    @classmethod
    def of(
        cls,
        question: str | Question,
        texts: Iterable[str],
        *,
        choices: Sequence[str] | None = None,
        answer_kind: str = DEFAULT_KIND,
        model: str | None = None,
    ) -> SampleSet:
        """The sample set of texts that are there already.

        Args:
            question: The question; a text is its own id, a long one its start and a digest.
            texts: The samples, in the order they were drawn.
            choices: Lettered options in order, of a question that is a text.
            answer_kind: How answers are compared, of a question that is a text.
            model: Who drew them.

        Raises:
            InvalidArgumentError: There are no texts, they are one text, or one of them is no text.
        """
        listed = [] if isinstance(texts, str) else list(texts)
        if not listed:
            raise InvalidArgumentError(f"texts={texts!r} must be a list of texts, one or more.")
        for index, text in enumerate(listed):
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(f"texts[{index}]={text!r} must be a text.")
        if isinstance(question, str):
            question = Question(
                _id_of(question), question, None if choices is None else tuple(choices), answer_kind
            )
        samples = tuple(Sample(index, str(text), model=model) for index, text in enumerate(listed))
        return cls(question, samples, model)

    def _repr_html_(self) -> str:
        rows = [(one.index, one.error or one.text, one.completion_tokens) for one in self.samples]
        return html_table(("sample", "text", "tokens"), rows, self.question.text)

    @property
    def n(self) -> int:
        """Samples drawn, failed ones included."""
        return len(self.samples)

    def size_at(self, k: int) -> int | None:
        """How many samples a method reads that may read k: all of a set that was stopped before; `None` if
        the set is too small otherwise.
        """
        return k if k <= self.n else self.n if self.stopped else None

    def subset(self, indices: Sequence[int]) -> SampleSet:
        """The samples at these places of the tuple, in the order given.

        Raises:
            InvalidArgumentError: A place is out of range.
        """
        n = self.n
        for place in indices:
            if not 0 <= place < n:
                raise InvalidArgumentError(
                    f"Question {self.id!r} has samples 0 to {n - 1}; sample {place!r} was asked for."
                )
        samples = tuple([self.samples[place] for place in indices])
        return SampleSet(self.question, samples, self.model, self.stopped, self.prompt)

    def without_thinking(self) -> SampleSet:
        """The set with each sample cut down to what it says after its thinking; see `after_thinking`."""
        if not any("hink" in sample.text or "HINK" in sample.text for sample in self.samples):
            return self
        return replace(self, samples=tuple(replace(one, text=after_thinking(one)) for one in self.samples))

    @property
    def usage(self) -> Usage:
        """Tokens it took to draw the set: every draw's completion, every draw's prompt."""
        return Usage(
            prompt_tokens=sum(sample.prompt_tokens or 0 for sample in self.samples),
            completion_tokens=sum(sample.completion_tokens or 0 for sample in self.samples),
            calls=self.n,
            uncounted=sum(sample.completion_tokens is None for sample in self.samples),
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One distinct answer of a sample set.

    Attributes:
        answer: The answer as its first sample writes it.
        votes: How many samples give it, up to equivalence.
        indices: Places of those samples in the set, rising.
        probability: What the aggregator gives it, in [0, 1], the sum over the set's candidates 1; `None` from
            those that give none.
    """

    answer: str
    votes: int
    indices: tuple[int, ...]
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an aggregator makes of one sample set.

    Attributes:
        answer: The final answer; `None` abstains.
        text: The text it was read from (a sample, or what the aggregator wrote).
        confidence: Probability in [0, 1] that the method gives its answer, `None` if it has none.
        candidates: Distinct answers of the set, in the order they first appear.
        usage: Tokens of the aggregation alone; the sampling is the sample set's own.
        flags: Notes by name on what happened on the way (`tie`, `fallback_vote`, ...).
        evidence: What spoke for the answer against the next likeliest, in nats by name, where the method
            weighs named features.
        explanation: How the answer came about, as JSON values, from methods that choose or fuse: the classes
            of samples that agree and disagree with it, the method that was taken, and why.

    Raises:
        InvalidArgumentError: The confidence is no probability.
    """

    id: str
    aggregator: str
    answer: str | None
    text: str = ""
    confidence: float | None = None
    candidates: tuple[Candidate, ...] = ()
    usage: Usage = Usage()
    flags: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict[str, float])
    explanation: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def _repr_html_(self) -> str:
        rows = [(one.answer, one.votes, one.probability) for one in self.candidates]
        return html_table(("candidate", "votes", "probability"), rows, f"{self.aggregator}: {self.answer}")

    def __post_init__(self) -> None:
        if self.confidence is not None and not -_ROUNDING <= self.confidence <= 1 + _ROUNDING:
            raise InvalidArgumentError(
                f"Aggregator {self.aggregator!r} gives question {self.id!r} confidence={self.confidence!r}; "
                "it must be a probability in [0, 1], or None."
            )


@dataclass(frozen=True, slots=True)
class Grade:
    """Correctness against gold; `correct` is `None` where it could not be decided."""

    correct: bool | None
    rule: str


def as_dict(record: Any) -> dict[str, Any]:
    """A record as plain JSON values, without the fields that are empty."""
    plain = asdict(record, dict_factory=_without_none)
    return {name: value for name, value in plain.items() if value is not None and value not in ((), {}, [])}


def _without_none(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if value is not None}


def _id_of(text: str) -> str:
    """An id for a question that is a text: long texts may begin alike."""
    digest = sha256(text.encode("utf-8", "replace")).hexdigest()
    return text if len(text) <= 64 else f"{text[:51]} {digest[:12]}"
