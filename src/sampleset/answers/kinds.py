"""Answer kinds: how the final answer is read out of a sample, and when two answers are equal.

A question names its kind as users type it, `NAME` or `NAME:OPTION`: `maths` (the default), `text`, `choice`,
`json`, `number`, `code`, `judge`. The rules of each stand in the docs, under Answers. What a kind needs
beside its rules, a judge or leave to run programs, stands in `Kinds`, which the question carries.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Protocol, TypeVar, cast

from sampleset.answers.code.programs import code_kind
from sampleset.answers.code.sandbox import RunCode, require_way
from sampleset.answers.grouping import Grouping, group_answers, groups_restrict
from sampleset.answers.json_values import Json
from sampleset.answers.judged import Judge, Judged, Recorded
from sampleset.answers.keyed import Choice, Text
from sampleset.answers.maths.equality.equivalence import matches_gold, same_answer
from sampleset.answers.maths.equality.gold import gold_is_readable
from sampleset.answers.maths.equality.verdicts import Verdict
from sampleset.answers.maths.equality.workers import Budget
from sampleset.answers.maths.near_numbers import number_kind
from sampleset.answers.maths.reading.extraction import Extracted, extract_answer
from sampleset.answers.maths.reading.option_lists import count_choices
from sampleset.caches import BoundedCache
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.types import DEFAULT_KIND, Problem, Question

_Result = TypeVar("_Result")
Texts = Sequence[tuple[str, bool] | None]
"""Text of each sample of a set, and whether the token limit cut it off; `None` of one that failed."""
Answers = tuple[str | None, ...]
"""The answer of each sample of a set; `None` where it states none."""


class AnswerKind(Protocol):
    """How answers are read and compared.

    Comparing is awaited: a judge asks its model, and rules that may take long run beside the event loop.
    """

    @property
    def spec(self) -> str:
        """As users type it."""
        ...

    @property
    def asks_model(self) -> bool:
        """Whether comparing answers asks a model, which worker processes do not have."""
        ...

    def check(self) -> None:
        """Return if answers can be compared here and now.

        Raises:
            InvalidArgumentError: They cannot; the message names the missing part.
        """
        ...

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The final answer of a model's text, `None` if it states none."""
        ...

    def gold_is_readable(self, gold: str) -> bool:
        """Whether a gold answer is one that an answer can equal."""
        ...

    async def group(self, answers: Sequence[str | None]) -> Grouping:
        """The distinct answers of a set; an answer that turns out to be none is in no group."""
        ...

    async def read_and_group(self, texts: Texts, choices: int | None) -> tuple[Answers, Grouping]:
        """The answers that texts state, and the distinct ones among them."""
        ...

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """Whether the groups of any part of these answers are the groups of all, restricted to the part.

        Args:
            answers: The answers of a set.
            grouping: Their groups.
        """
        ...

    async def same(self, a: str, b: str) -> Verdict:
        """Whether two answers are equal, with no gold to lean on."""
        ...

    async def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether an answer is the gold one."""
        ...


class Rules(Protocol):
    """The same of a kind whose comparisons only compute: they need no model, and are not awaited."""

    @property
    def spec(self) -> str:
        """As users type it."""
        ...

    def check(self) -> None:
        """Return if answers can be compared here and now."""
        ...

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The final answer of a model's text, `None` if it states none."""
        ...

    def gold_is_readable(self, gold: str) -> bool:
        """Whether a gold answer is one that an answer can equal."""
        ...

    def group(self, answers: Sequence[str | None], budget: Budget | None = None) -> Grouping:
        """The distinct answers of a set.

        Args:
            answers: Final answers; `None` is none.
            budget: Processor time for comparing; answers still undecided then stay apart, with a note.
        """
        ...

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """Whether the groups of any part of these answers are the groups of all, restricted to the part."""
        ...

    def same(self, a: str, b: str) -> Verdict:
        """Whether two answers are equal."""
        ...

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether an answer is the gold one."""
        ...


@dataclass(frozen=True, slots=True)
class Maths:
    """Numbers, expressions, letters and words, by value: see `extract_answer` and `group_answers`."""

    spec: str = DEFAULT_KIND

    def check(self) -> None:
        """Nothing is missing."""

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The last of the strongest marker."""
        return extract_answer(text, choices=choices, truncated=truncated)

    def group(self, answers: Sequence[str | None], budget: Budget | None = None) -> Grouping:
        """By text, value and algebra."""
        return group_answers(answers, budget)

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """Whether nothing but pairs decided what is equal."""
        return groups_restrict(answers, grouping)

    def same(self, a: str, b: str) -> Verdict:
        """By text, value and algebra."""
        return same_answer(a, b)

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """The gold decides how the answer is read."""
        return matches_gold(answer, gold)

    def gold_is_readable(self, gold: str) -> bool:
        """Whether it states one final answer."""
        return gold_is_readable(gold)


@dataclass(frozen=True, slots=True)
class Computed:
    """A kind whose answers are compared by rules alone, off the event loop.

    Attributes:
        rules: The rules.
        inline: Whether they may hold up the event loop: where nothing else runs on it.
    """

    rules: Rules
    inline: bool = False

    @property
    def spec(self) -> str:
        """As users type it."""
        return self.rules.spec

    @property
    def asks_model(self) -> bool:
        """Rules do not."""
        return False

    def check(self) -> None:
        """Raise if the rules cannot be applied here."""
        self.rules.check()

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """By the rules."""
        return self.rules.read(text, choices, truncated)

    def gold_is_readable(self, gold: str) -> bool:
        """By the rules."""
        return self.rules.gold_is_readable(gold)

    async def group(self, answers: Sequence[str | None]) -> Grouping:
        """By the rules."""
        if self.inline:
            return _grouped(self.rules, tuple(answers), Budget())
        return await _counted(partial(_grouped, self.rules, tuple(answers)))

    async def read_and_group(self, texts: Texts, choices: int | None) -> tuple[Answers, Grouping]:
        """By the rules."""
        if self.inline:
            return _read_and_grouped(self.rules, texts, choices, Budget())
        return await _counted(partial(_read_and_grouped, self.rules, texts, choices))

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """By the rules."""
        return self.rules.restricts(answers, grouping)

    async def same(self, a: str, b: str) -> Verdict:
        """By the rules."""
        if self.inline:
            return self.rules.same(a, b)
        import asyncio  # here, so that reading answers imports no event loop

        return await asyncio.to_thread(self.rules.same, a, b)

    async def matches_gold(self, answer: str, gold: str) -> Verdict:
        """By the rules."""
        if self.inline:
            return self.rules.matches_gold(answer, gold)
        import asyncio

        return await asyncio.to_thread(self.rules.matches_gold, answer, gold)


_counters = ThreadPoolExecutor(64, "votes")
"""Votes are counted here, each in a thread that mostly waits for its turn with the workers."""
_groupings: BoundedCache[tuple[Rules, Answers], Grouping] = BoundedCache(16 * 2**20)
_read_answers: BoundedCache[tuple[Rules, str, bool, int | None], tuple[str | None]] = BoundedCache(64 * 2**20)


async def _counted(count: Callable[[Budget], _Result]) -> _Result:
    """The result of counting votes off the event loop; the work stops when its caller is cancelled."""
    import asyncio

    budget = Budget()
    try:
        return await asyncio.get_running_loop().run_in_executor(_counters, count, budget)
    except asyncio.CancelledError:
        budget.cancel()
        raise


def is_cut_short(notes: Sequence[str]) -> bool:
    """Whether what was left undecided, by the notes of a grouping, may be decided another time."""
    return bool({"cancelled", "no_worker", "crash"} & set(notes))


def _grouped(rules: Rules, answers: Answers, budget: Budget) -> Grouping:
    """The distinct answers. Subsets of one set often state the same answers in the same order."""
    known = _groupings.get((rules, answers))
    if known is None:
        known = rules.group(answers, budget)
        if not is_cut_short(known.notes):
            _groupings.put((rules, answers), known, sum(len(answer) for answer in answers if answer))
    return known


def _read_and_grouped(
    rules: Rules, texts: Texts, choices: int | None, budget: Budget
) -> tuple[Answers, Grouping]:
    answers = tuple(None if text is None else _answer(rules, *text, choices) for text in texts)
    return answers, _grouped(rules, answers, budget)


def _answer(rules: Rules, text: str, truncated: bool, choices: int | None) -> str | None:
    """The answer that a sample's text states. The samples of a set are read in many subsets of it."""
    key = (rules, text, truncated, choices)
    known = _read_answers.get(key)
    if known is None:
        stated = rules.read(text, choices, truncated)
        known = (stated.text if stated else None,)
        _read_answers.put(key, known, len(text))
    return known[0]


@dataclass(frozen=True, slots=True)
class Kinds:
    """Answer kinds with what they need to compare answers: pass one on, by the questions it is bound to.

        kinds = Kinds(judge=LLMJudge(backend), run_code="sandbox")
        answer = await aggregator.aggregate(SampleSet(kinds.bind(question), samples))

    Attributes:
        judge: Compares answers of the kind `judge`; without one they are refused.
        run_code: Whether programs, answers of the kind `code`, may be run, and how.
        inline: Whether comparing may hold up the event loop; set where nothing else runs on it.

    Raises:
        InvalidArgumentError: run_code is no way to run programs.
    """

    judge: Judge | None = None
    run_code: RunCode = "off"
    inline: bool = False

    def __post_init__(self) -> None:
        require_way(self.run_code)

    def kind(self, question: Question) -> AnswerKind:
        """The kind of a question's answers.

        Raises:
            UnknownNameError: No such kind.
            InvalidArgumentError: Its option has no meaning.
        """
        return self.named(question.answer_kind, question)

    def named(self, spec: str, question: Question | None = None) -> AnswerKind:
        """The kind that `NAME` or `NAME:OPTION` names; a judge needs the question, too, to compare answers.

        Raises:
            UnknownNameError: No such kind.
            InvalidArgumentError: Its option has no meaning.
        """
        if spec == DEFAULT_KIND:
            return _MATHS_INLINE if self.inline else _MATHS
        name, colon, option = spec.strip().partition(":")
        if name not in ANSWER_KINDS:
            raise UnknownNameError("answer kind", name, ANSWER_KINDS)
        if colon and not option.strip():
            raise InvalidArgumentError(
                f"Answer kind {spec!r} has an empty option. Write {name}, or {name}:OPTION."
            )
        return ANSWER_KINDS[name](option.strip() or None, self, question)

    def bind(self, question: Question) -> Question:
        """The question, its answers compared with what these kinds hold."""
        return replace(question, kinds=self)

    async def recorded(self, problem: Problem, answers: Iterable[str | None]) -> Kinds:
        """Kinds for another process: the judge judges these answers now; rules are not run.

        Args:
            problem: The question, and the gold answer if it has one.
            answers: All answers that will be compared there.
        """
        judge = None
        if self.judge is not None and self.kind(problem.question).asks_model:
            judge, answers = self.judge, list(answers)
            judgements = await judge.classify(problem.question, answers)
            if problem.answer is not None:
                judgements = await judge.grade(problem.question, problem.answer, answers)
            judge = Recorded(judgements)
        return Kinds(judge, self.run_code, inline=True)


def answer_kind(spec: str) -> AnswerKind:
    """The kind that `NAME` or `NAME:OPTION` names, without judge and without leave to run programs.

    Raises:
        UnknownNameError: No such kind.
        InvalidArgumentError: The option has no meaning.
    """
    return _BARE.named(spec)


def kind_of(question: Question) -> AnswerKind:
    """The kind of a question's answers, with the judge and permissions that the question carries."""
    return cast("AnswerKind", (question.kinds or _BARE).kind(question))


def kinds_of(question: Question) -> Kinds:
    """The kinds that a question carries for comparing its answers; by default those of the rules alone."""
    return question.kinds if isinstance(question.kinds, Kinds) else _BARE


def at_once(comparison: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of a comparison under `Kinds(inline=True)`, which waits for nothing.

    For callers that cannot await, such as the reward functions of trainers.

    Raises:
        InvalidArgumentError: It has to wait: a judge would ask a model.
    """
    try:
        comparison.send(None)
    except StopIteration as end:
        return cast("_Result", end.value)
    comparison.close()
    raise InvalidArgumentError("Comparing these answers asks a model, and cannot be waited for here.")


def choices_of(question: Question) -> int | None:
    """How many lettered options a question has, given or in its text; `None` if it is open."""
    return len(question.choices) if question.choices else _count_choices(question.text)


_count_choices = lru_cache(64)(count_choices)


def with_answer_kind(question: Question, spec: str | None) -> Question:
    """The question with this kind of answers; `None` leaves it as it is.

    Raises:
        InvalidArgumentError: There is no such kind.
    """
    return question if spec is None else replace(question, answer_kind=answer_kind(spec).spec)


def _maths(option: str | None, kinds: Kinds, question: Question | None) -> AnswerKind:
    _refuse_option(DEFAULT_KIND, option)
    return _MATHS_INLINE if kinds.inline else _MATHS


def _text(option: str | None, kinds: Kinds, question: Question | None) -> AnswerKind:
    if option not in (None, "exact"):
        raise InvalidArgumentError(f"Answer kind 'text:{option}': write text or text:exact.")
    return Computed(Text(option == "exact"), kinds.inline)


def _choice(option: str | None, kinds: Kinds, question: Question | None) -> AnswerKind:
    _refuse_option("choice", option)
    return Computed(Choice(), kinds.inline)


def _json(option: str | None, kinds: Kinds, question: Question | None) -> AnswerKind:
    keys = tuple(dict.fromkeys(key.strip() for key in option.split(","))) if option else ()
    return Computed(Json(keys), kinds.inline)


def _number(option: str | None, kinds: Kinds, question: Question | None) -> AnswerKind:
    return Computed(number_kind(option), kinds.inline)


def _code(option: str | None, kinds: Kinds, question: Question | None) -> AnswerKind:
    return Computed(code_kind(option, kinds.run_code), kinds.inline)


def _judge(option: str | None, kinds: Kinds, question: Question | None) -> AnswerKind:
    _refuse_option("judge", option)
    return Judged(kinds.judge, question)


ANSWER_KINDS: dict[str, Callable[[str | None, Kinds, Question | None], AnswerKind]] = {
    "maths": _maths,
    "text": _text,
    "choice": _choice,
    "json": _json,
    "number": _number,
    "code": _code,
    "judge": _judge,
}


def _refuse_option(name: str, option: str | None) -> None:
    """Raise if a kind that has no option was given one."""
    if option is not None:
        raise InvalidArgumentError(f"Answer kind '{name}:{option}': {name} has no option. Write {name}.")


_MATHS, _MATHS_INLINE = Computed(Maths()), Computed(Maths(), inline=True)
_BARE = Kinds()
