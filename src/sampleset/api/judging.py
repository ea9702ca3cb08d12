"""A judge of answers by the name of its model, for calls that are one line."""

from __future__ import annotations

from contextlib import AsyncExitStack

from sampleset.answers import Kinds, with_answer_kind
from sampleset.answers.kinds import DEFAULT_KIND
from sampleset.backends.base import Backend
from sampleset.grading.judge import LLMJudge
from sampleset.models.calls import ModelCalls
from sampleset.models.opening import ready_backend
from sampleset.sampling.sampler import SamplingOptions
from sampleset.types import Question


def kinds_judged_by(judge: str | Backend, stack: AsyncExitStack) -> Kinds:
    """Kinds of answers whose judge is the model.

    Args:
        judge: As `open_backend` takes it, opened when it is first asked; or a backend.
        stack: Closes the model that was opened.
    """

    async def opened() -> Backend:
        options = SamplingOptions()
        backend = await ready_backend(judge) if isinstance(judge, str) else judge
        if isinstance(judge, str):
            stack.push_async_callback(backend.aclose)
        return ModelCalls(backend, options.patience, options.max_concurrency)

    return Kinds(LLMJudge(opened))


def bound_to(kinds: Kinds, question: Question, answer_kind: str | None) -> Question:
    """The question with the kinds. Kinds that the caller has bound (a judge, leave to run code) stay.

    Args:
        kinds: The kinds that compare answers.
        question: It may name the kind of its answers.
        answer_kind: The kind where it names none.
    """
    with_kind = with_answer_kind(question, answer_kind if question.answer_kind == DEFAULT_KIND else None)
    return kinds.bind(with_kind) if with_kind.kinds is None else with_kind
