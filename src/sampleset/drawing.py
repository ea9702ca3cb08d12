"""Who draws, and how: from what a command is told to samplers that are ready."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sampleset.backends.base import Backend
from sampleset.budget import Budget, QuestionBudgets
from sampleset.engines.ray import RayOptions, open_on_ray
from sampleset.evaluation import Price, Prices
from sampleset.models import ready_backend, runs_here
from sampleset.pool import Member
from sampleset.sample_store import SampleStore
from sampleset.sampling import Sampler, SamplingOptions, SamplingProgress


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
