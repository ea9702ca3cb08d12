"""Plain functions as aggregators and as models.

`FunctionAggregator` makes an aggregator of a function. `sampled` makes a function that asks an LLM once into
one that asks it k times and returns one answer:

    @sampled(k=5)
    def solve(question: str) -> str:
        return client.responses.create(model="gpt-4o-mini", input=question).output_text

    print(solve("What is 6 x 7?").answer)
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, cast

from sampleset.aggregators.base import Aggregator, tally
from sampleset.answers import with_answer_kind
from sampleset.api.blocking import run_blocking
from sampleset.api.judging import kinds_judged_by
from sampleset.backends.base import Backend
from sampleset.errors import InvalidArgumentError, SamplingError
from sampleset.html_tables import html_table
from sampleset.specs import build
from sampleset.types import Answer, Question, Sample, SampleSet, Usage

Function = Callable[[SampleSet], "Answer | str | Awaitable[Answer | str | None] | None"]
"""A function, async or not, that aggregates a sample set. It returns the answer's text,
`None` to abstain, or a whole `Answer`.
"""


@dataclass(frozen=True)
class FunctionAggregator:
    """The aggregator that a function is.

    Attributes:
        function: See `Function`.
    """

    name: ClassVar[str] = "function"
    function: Function

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the function, with the candidates of the set."""
        returned = cast("object", self.function(sample_set))
        if inspect.isawaitable(returned):
            returned = await returned
        if isinstance(returned, Answer):
            return returned
        name = getattr(self.function, "__name__", self.name)
        if isinstance(returned, bool) or not isinstance(returned, str | int | float | None):
            raise InvalidArgumentError(
                f"The function {name!r} returned {type(returned).__name__}; return the answer's text, None "
                "to abstain, or an Answer."
            )
        counted = await tally(sample_set)
        return Answer(
            id=sample_set.id,
            aggregator=name,
            answer=None if returned is None else str(returned),
            candidates=counted.candidates,
            flags=counted.notes,
        )


def as_aggregator(method: str | Aggregator | Function) -> Aggregator:
    """The aggregator that a text names, that a function is, or the aggregator itself.

    Raises:
        InvalidArgumentError: It is none of these, or it names one that asks a model.
    """
    if isinstance(method, str):
        return build(method)
    if isinstance(method, type):
        raise InvalidArgumentError(f"{method.__name__} is a class. Give an aggregator: {method.__name__}().")
    if hasattr(method, "aggregate"):
        return cast("Aggregator", method)
    if callable(method):
        return FunctionAggregator(method)
    raise InvalidArgumentError(
        f"{method!r} is no aggregator. Give a name such as 'majority_vote', an aggregator, or a function of "
        "a sample set."
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """The samples of one question and the answer made of them."""

    sample_set: SampleSet
    result: Answer

    @property
    def answer(self) -> str | None:
        """The final answer; `None` where the method abstains."""
        return self.result.answer

    @property
    def text(self) -> str:
        """The sample, or the text of the aggregator, that the answer was read from."""
        return self.result.text

    @property
    def confidence(self) -> float | None:
        """Probability that the method gives its answer, `None` if it has none."""
        return self.result.confidence

    @property
    def usage(self) -> Usage:
        """Tokens of all draws and of the aggregation."""
        return self.sample_set.usage + self.result.usage

    def __str__(self) -> str:
        return self.answer or ""

    def _repr_html_(self) -> str:
        rows = [
            (candidate.answer, candidate.votes, candidate.probability) for candidate in self.result.candidates
        ]
        return html_table(("answer", "votes", "probability"), rows, f"{self.answer}")


def sampled(
    k: int = 5,
    aggregator: str | Aggregator | Function = "majority_vote",
    *,
    answer_kind: str | None = None,
    judge: str | Backend | None = None,
    max_concurrency: int = 8,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the function is called k times, and its results become one `Answered`.

    The function's first argument is the question. It returns a text, or a reply of OpenAI's client, whose
    usage is counted; it should sample at a temperature above 0. A call that raises is a failed draw. An
    async function stays async.

    Args:
        k: Calls of the function.
        aggregator: A name, an aggregator, or a function of a sample set.
        answer_kind: How answers are compared; by default as mathematics.
        judge: The model that compares answers of the kind `judge`, as `open_backend` takes it, opened for
            each call where it is needed; or a backend.
        max_concurrency: Calls in flight at once; functions that are not async run in threads.

    Raises:
        InvalidArgumentError: k or max_concurrency is below 1, there is no such aggregator, or no judge for
            answers of the kind `judge`.
        SamplingError: On a call: every draw failed.
    """
    if k < 1 or max_concurrency < 1:
        raise InvalidArgumentError(f"k={k!r} and max_concurrency={max_concurrency!r} must be at least 1.")
    method = as_aggregator(aggregator)
    if answer_kind == "judge" and judge is None:
        raise InvalidArgumentError("answer_kind='judge' asks a model. Name it: judge='gpt-4o-mini' say.")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        async def answered(*arguments: Any, **options: Any) -> Answered:
            limiter = asyncio.Semaphore(max_concurrency)
            text = str(arguments[0] if arguments else next(iter(options.values()), ""))

            async def draw(index: int) -> Sample:
                async with limiter:
                    try:
                        if inspect.iscoroutinefunction(function):
                            reply = await function(*arguments, **options)
                        else:
                            reply = await asyncio.to_thread(function, *arguments, **options)
                    # Any error of a user's own client; it is kept, and raised where no draw succeeds.
                    except Exception as error:
                        failures.append(error)
                        return Sample(index, "", finish_reason="error", error=str(error) or repr(error))
                return _sample(index, reply)

            failures: list[Exception] = []
            samples = await asyncio.gather(*(draw(index) for index in range(k)))
            if len(failures) == k:
                raise SamplingError(f"All {k} calls failed. First: {failures[0]!r}") from failures[0]
            question = with_answer_kind(Question(text[:64], text), answer_kind)
            async with AsyncExitStack() as stack:
                if judge is not None:
                    question = kinds_judged_by(judge, stack).bind(question)
                sample_set = SampleSet(question, tuple(samples))
                return Answered(sample_set, await method.aggregate(sample_set.without_thinking()))

        if inspect.iscoroutinefunction(function):
            return wraps(function)(answered)

        @wraps(function)
        def blocking(*arguments: Any, **options: Any) -> Answered:
            return run_blocking(answered(*arguments, **options))

        return blocking

    return decorate


def _sample(index: int, reply: Any) -> Sample:
    """The sample of a function's result: a text, or a chat completion or response of OpenAI's client."""
    if isinstance(reply, str):
        return Sample(index, reply)
    choices: Any = getattr(reply, "choices", None)
    text: Any = (choices[0].message.content or "") if choices else getattr(reply, "output_text", None)
    if not isinstance(text, str):
        raise InvalidArgumentError(
            f"The function returned {type(reply).__name__}; return a text, or a reply of OpenAI's client."
        )
    usage = getattr(reply, "usage", None)
    return Sample(
        index,
        text,
        finish_reason=choices[0].finish_reason if choices else None,
        prompt_tokens=_first(usage, "prompt_tokens", "input_tokens"),
        completion_tokens=_first(usage, "completion_tokens", "output_tokens"),
        model=getattr(reply, "model", None),
    )


def _first(usage: object, *names: str) -> int | None:
    return next((count for name in names if isinstance(count := getattr(usage, name, None), int)), None)
