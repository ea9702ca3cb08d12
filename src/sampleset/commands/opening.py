"""Who draws, and how: from what a command is told to samplers that are ready."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sampleset.aggregators.base import Aggregator
from sampleset.answers import Kinds, RunCode
from sampleset.backends.base import Backend
from sampleset.commands.score_log import ScoreLog, SharedRewardModels
from sampleset.engines.gguf import EMBEDDED
from sampleset.evaluation import (
    Price,
    Prices,
)
from sampleset.grading.judge import LLMJudge
from sampleset.models.budget import Budget, QuestionBudgets
from sampleset.models.opening import ready_backend, runs_here
from sampleset.models.ray import RayOptions, open_on_ray
from sampleset.models.retries import Patience, patient
from sampleset.sampling.pool import Member
from sampleset.sampling.sampler import Sampler, SamplingOptions, SamplingProgress
from sampleset.specs import build, models_of, with_default_model
from sampleset.storage.files import JsonlLog
from sampleset.storage.store import SampleStore


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the user names it, see `open_backend`, and the cluster it runs on, if on one."""

    ref: str = "embedded"
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    context_size: int | None = None
    ray: RayOptions | None = None


@asynccontextmanager
async def opened(model: ModelRef) -> AsyncGenerator[Backend]:
    """A backend that is there, closed at the end.

    Raises:
        BackendError: It cannot be asked.
    """
    named = model.ref, model.base_url, model.api_key, model.context_size
    if model.ray is not None:
        async with open_on_ray(model.ray, *named) as elsewhere:
            yield elsewhere
        return
    backend = await ready_backend(*named)
    try:
        yield backend
    finally:
        await backend.aclose()


@dataclass(frozen=True, slots=True)
class Drawing:
    """Who draws, and how.

    Attributes:
        options: How; of a pool's members, what they do not say themselves.
        model: Who, where there is no pool.
        pool: Those who draw together.
        prices: What their tokens cost.
    """

    options: SamplingOptions
    model: ModelRef = ModelRef()
    pool: Sequence[Member] | None = None
    prices: Prices | None = None

    def model_of(self, member: Member) -> ModelRef:
        """The model of a pool's member: what it leaves out is as that of the command, whose key goes to the
        command's server only.
        """
        own, common = member.base_url, self.model
        url = common.base_url if own is None and not runs_here(member.model) else own
        key = common.api_key if member.api_key_env is None and url == common.base_url else member.api_key
        return ModelRef(member.model, url, key, common.context_size, common.ray)

    def tariff(self, backend: Backend) -> Price | None:
        """What a model's tokens cost; checked where there is a cap in money."""
        if self.prices is None or self.options.caps.money is None:
            return None
        self.prices.check([backend.model])
        return self.prices.models[backend.model]


@dataclass(frozen=True, slots=True)
class Samplers:
    """Samplers that are ready, and what they share."""

    each: list[Sampler]
    store: SampleStore | None
    budgets: list[Budget]
    progress: SamplingProgress


@asynccontextmanager
async def opened_samplers(
    drawing: Drawing,
    store_folder: Path | None,
    questions: int,
    on_progress: Callable[[SamplingProgress], None] | None = None,
) -> AsyncGenerator[Samplers]:
    """One sampler, or one per member of the pool; each model is opened once, and the store after them."""
    who = [(drawing.model, drawing.options)]
    if drawing.pool is not None:
        members = drawing.pool
        default = 1.0 if any(one.weight is not None for one in members) else None
        who = [(drawing.model_of(one), one.options(drawing.options, default)) for one in members]
    progress, caps = SamplingProgress(total=questions * len(who)), drawing.options.caps
    budgets, samplers = caps.run_budgets(), list[Sampler]()
    of_question = None
    if caps.question_tokens is not None:
        of_question = QuestionBudgets(
            caps.question_tokens, len(who), lambda asked: sum(one.stored_tokens(asked) for one in samplers)
        )
    async with AsyncExitStack() as stack:
        backends = {model: await stack.enter_async_context(opened(model)) for model in dict(who)}
        store = None if store_folder is None else SampleStore(store_folder)
        samplers += [
            Sampler(
                backends[model],
                options,
                store,
                on_progress,
                budgets=budgets,
                question_budgets=of_question,
                tariff=drawing.tariff(backends[model]),
                progress=progress,
            )
            for model, options in who
        ]
        try:
            yield Samplers(samplers, store, budgets, progress)
        finally:
            if store is not None:
                store.close()


@asynccontextmanager
async def opened_methods(
    specs: Sequence[str],
    aggregator_model: ModelRef,
    patience: Patience,
    max_concurrency: int,
    output_dir: Path | None,
    run_code: RunCode = "off",
) -> AsyncGenerator[tuple[dict[str, Aggregator], Kinds]]:
    """The aggregators by the text that names them, and the kinds of answers that they compare.

    Each model that one of them asks is opened once. The aggregators' model also judges answers of the kind
    `judge`, if there are any.
    """
    by_default = aggregator_model.ref == EMBEDDED
    full = {spec: with_default_model(spec) if by_default else spec for spec in specs}
    models = {
        named: aggregator_model if named is None else ModelRef(named, ray=aggregator_model.ray)
        for spec in full.values()
        for named in models_of(spec)
    }
    async with AsyncExitStack() as stack:
        asked: dict[ModelRef, Backend] = {}

        async def ask(model: ModelRef) -> Backend:
            if model not in asked:
                backend = await stack.enter_async_context(opened(model))
                asked[model] = patient(backend, patience, max_concurrency)
            return asked[model]

        ready = {named: await ask(model) for named, model in models.items()}
        log = JsonlLog(output_dir / "judgements.jsonl") if output_dir else None
        judge = LLMJudge(lambda: ask(aggregator_model), log)
        rewards = SharedRewardModels(ScoreLog(JsonlLog(output_dir / "scores.jsonl") if output_dir else None))
        stack.push_async_callback(rewards.aclose)
        methods = {spec: build(one, ready.get(None), ready, rewards) for spec, one in full.items()}
        yield methods, Kinds(judge, run_code)
        print_judge_usage(judge)


def print_judge_usage(judge: LLMJudge) -> None:
    """Note on stderr what a judge of answers spent, if it was asked."""
    if judge.usage.calls:
        print(
            f"note: the judge of answers was asked {judge.usage.calls} times, "
            f"{judge.usage.total_tokens} tokens; they are in no other count",
            file=sys.stderr,
        )
