"""Models, samplers and aggregators of a command: opened from its options."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sampleset.aggregators.base import Aggregator
from sampleset.backends.base import Backend
from sampleset.chat import SamplingParams
from sampleset.commands.options import (
    AggregatorUrl,
    ApiKey,
    BaseUrl,
    Concurrency,
    ContextSize,
    Deadline,
    FirstBatch,
    HedgeAfter,
    MaxCost,
    MaxTokens,
    MinSamples,
    Model,
    Omit,
    OptionGroup,
    PoolFile,
    PriceFile,
    Prompt,
    QuestionTokens,
    ReaderModel,
    Retries,
    RetryFailed,
    Samples,
    Seed,
    Stop,
    Temperature,
    Timeout,
    TopK,
    TopP,
    TotalTokens,
)
from sampleset.commands.score_log import ScoreLog, SharedRewardModels
from sampleset.engines.gguf import EMBEDDED, EMBEDDED_SSA, without_engine
from sampleset.errors import InvalidArgumentError
from sampleset.grading.judge import LLMJudge
from sampleset.models.budget import Budget, Caps, QuestionBudgets
from sampleset.models.calls import ModelCalls
from sampleset.models.opening import ready_backend, runs_here
from sampleset.models.prices import Price, Prices, read_prices
from sampleset.models.ray import RayOptions, open_on_ray, parse_engine
from sampleset.models.retries import Patience
from sampleset.prompts import usual_prompt
from sampleset.sampling.members import Member, read_pool, reader_named
from sampleset.sampling.sampler import Sampler, SamplingOptions, SamplingProgress
from sampleset.sampling.stopping import parse_stop
from sampleset.specs import build, models_of, scores_read, with_default_model
from sampleset.storage.files import JsonlLog
from sampleset.storage.sample_sets import SampleFile
from sampleset.storage.store import SampleStore
from sampleset.wording import plural

if TYPE_CHECKING:
    from sampleset.backends.llamacpp import LlamaCppBackend
    from sampleset.backends.openvino import OpenVinoBackend


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the user names it, see `open_backend`, and the cluster it runs on, if on one."""

    ref: str = "embedded"
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    context_size: int | None = None
    ray: RayOptions | None = None
    omit: tuple[str, ...] = ()

    @classmethod
    def named(cls, name: str, ray: RayOptions | None = None) -> ModelRef:
        """The model that a spec names for its aggregator, on the server that it names."""
        member = reader_named(name)
        return cls(member.model, member.base_url, member.api_key, member.context_size, ray, member.omit)


@asynccontextmanager
async def opened(model: ModelRef, merge_adapter: bool = True) -> AsyncGenerator[Backend]:
    """A backend that is there, closed at the end; `merge_adapter` as in `ready_backend`.

    Raises:
        BackendError: It cannot be asked.
    """
    address = model.ref, model.base_url, model.api_key, model.context_size, model.omit
    if model.ray is not None:
        async with open_on_ray(model.ray, *address) as elsewhere:
            yield elsewhere
        return
    backend = await ready_backend(
        *address,
        on_note=lambda line: print(f"note: {line}", file=sys.stderr),
        merge_adapter=merge_adapter,
    )
    try:
        yield backend
    finally:
        await backend.aclose()


@asynccontextmanager
async def opened_embedded() -> AsyncGenerator[tuple[Backend, Backend]]:
    """The embedded model, and the aggregator trained from it: one engine, one copy of the weights."""
    async with opened(ModelRef(EMBEDDED_SSA), merge_adapter=False) as trained:
        plain = cast("LlamaCppBackend | OpenVinoBackend", trained).plain()
        try:
            yield plain, trained
        finally:
            await plain.aclose()


@dataclass(frozen=True, slots=True)
class Drawing:
    """Who draws, and how.

    Attributes:
        options: The options of the draws, and the defaults for members of a pool.
        model: The model, if there is no pool.
        pool: The members that draw together.
        prices: The prices of their tokens.
    """

    options: SamplingOptions
    model: ModelRef = ModelRef()
    pool: Sequence[Member] | None = None
    prices: Prices | None = None

    def model_of(self, member: Member) -> ModelRef:
        """The model of a pool's member. The command fills in missing values; its key goes to the
        command's server only.
        """
        url_of_member, common = member.base_url, self.model
        url = common.base_url if url_of_member is None and not runs_here(member.model) else url_of_member
        key = common.api_key if member.api_key_env is None and url == common.base_url else member.api_key
        size = member.context_size or common.context_size
        return ModelRef(member.model, url, key, size, common.ray, common.omit + member.omit)

    def tariff(self, backend: Backend) -> Price | None:
        """The price of a model's tokens; checked if there is a cap in money."""
        if self.prices is None or self.options.caps.money is None:
            return None
        self.prices.check([backend.model])
        return self.prices.models[backend.model]


@dataclass(frozen=True, kw_only=True)
class CallOptions(OptionGroup):
    """How models are called."""

    max_concurrency: Concurrency = 8
    max_retries: Retries = 4
    timeout: Timeout = None

    @property
    def patience(self) -> Patience:
        """Time limit and further tries of one call."""
        return Patience(self.max_retries, self.timeout)


@dataclass(frozen=True, kw_only=True)
class ReaderOptions(OptionGroup):
    """The model that aggregators ask."""

    aggregator_model: ReaderModel = "embedded"
    aggregator_base_url: AggregatorUrl = None
    api_key: ApiKey = None
    context_size: ContextSize = None

    def model_ref(self, engine: str = "local") -> ModelRef:
        """The model, on the engine it runs on."""
        return ModelRef(
            self.aggregator_model,
            self.aggregator_base_url,
            self.api_key,
            self.context_size,
            parse_engine(engine),
        )


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OptionGroup):
    """The model that is sampled."""

    model: Model = "embedded"
    base_url: BaseUrl = None
    api_key: ApiKey = None
    context_size: ContextSize = None
    omit: Omit = None


@dataclass(frozen=True, kw_only=True)
class SampleOptions(OptionGroup):
    """How many samples are drawn, and how each is."""

    samples: Samples = 5
    temperature: Temperature = 0.8
    top_p: TopP = 1.0
    top_k: TopK = None
    max_tokens: MaxTokens = 512
    prompt: Prompt = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InvalidArgumentError(f"-k or -n {self.samples}: give 1 or more samples to draw.")


@dataclass(frozen=True, kw_only=True)
class DrawingOptions(CallOptions, SampleOptions, ModelOptions):
    """Who draws, and how."""

    pool: PoolFile = None
    deadline: Deadline = None
    retry_failed: RetryFailed = False
    hedge_after: HedgeAfter = None
    min_samples: MinSamples = 1
    stop: Stop = None
    first_batch: FirstBatch = None
    max_total_tokens: TotalTokens = None
    max_question_tokens: QuestionTokens = None
    max_cost: MaxCost = None
    prices: PriceFile = None

    def drawing(self, engine: str = "local") -> Drawing:
        """The drawing of these options. Local models run on the engine.

        Raises:
            InvalidArgumentError: Two options contradict each other.
        """
        if self.stop is not None and self.pool is not None:
            raise InvalidArgumentError(
                f"--stop {self.stop} with --pool: which member draws last would decide who votes. Give one "
                "of them."
            )
        if self.max_cost is not None and self.prices is None:
            raise InvalidArgumentError("--max-cost is money: give --prices FILE, too.")
        options = SamplingOptions(
            n=self.samples,
            params=SamplingParams(
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                max_tokens=self.max_tokens,
            ),
            prompt=self.prompt or usual_prompt(self.model),
            seed=self.seed,
            max_concurrency=self.max_concurrency,
            patience=self.patience,
            deadline=self.deadline,
            hedge_after=self.hedge_after,
            retry_failed=self.retry_failed,
            min_samples=self.min_samples,
            stop=None if self.stop is None else parse_stop(self.stop),
            first_batch=self.first_batch,
            caps=Caps(self.max_total_tokens, self.max_question_tokens, self.max_cost),
        )
        return Drawing(
            options,
            ModelRef(
                self.model,
                self.base_url,
                self.api_key,
                self.context_size,
                parse_engine(engine),
                tuple(self.omit or ()),
            ),
            self._members(),
            None if self.prices is None else read_prices(self.prices),
        )

    def settings(self) -> dict[str, Any]:
        """The options, with the pool's members and the prompt in full."""
        members = self._members()
        if members is None:
            return super().settings() | {"prompt": self.prompt or usual_prompt(self.model)}
        rows = [
            asdict(replace(member, prompt=member.prompt or usual_prompt(member.model))) for member in members
        ]
        return super().settings() | {
            "pool": [{name: value for name, value in row.items() if value not in (None, ())} for row in rows]
        }

    def _members(self) -> list[Member] | None:
        if self.pool is None:
            return None
        return [replace(member, prompt=member.prompt or self.prompt) for member in read_pool(self.pool)]


@dataclass(frozen=True, slots=True)
class Samplers:
    """Opened samplers with their shared store, budgets and progress."""

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
    opened_before: Mapping[ModelRef, Backend] | None = None,
    budgets: list[Budget] | None = None,
) -> AsyncGenerator[Samplers]:
    """One sampler, or one per member of the pool; each model is opened once, and the store after them.

    Args:
        drawing: The models that draw, and the options.
        store_folder: The store, `None` to keep nothing.
        questions: The number of questions.
        on_progress: Called with the totals whenever they change.
        opened_before: Backends that are open already; they stay open.
        budgets: Budgets that other samplers share, too; by default new ones, of the options' caps.
    """
    who = [(drawing.model, drawing.options)]
    if drawing.pool is not None:
        members = drawing.pool
        default = 1.0 if any(member.weight is not None for member in members) else None
        who = [(drawing.model_of(member), member.options(drawing.options, default)) for member in members]
    progress, caps = SamplingProgress(total=questions * len(who)), drawing.options.caps
    budgets, samplers = caps.run_budgets() if budgets is None else budgets, list[Sampler]()
    of_question = None
    if caps.question_tokens is not None:
        of_question = QuestionBudgets(
            caps.question_tokens,
            len(who),
            lambda question: sum(sampler.stored_tokens(question) for sampler in samplers),
        )
    async with AsyncExitStack() as stack:
        backends = dict(opened_before or {})
        for model in dict(who):
            if model not in backends:
                backends[model] = await stack.enter_async_context(opened(model))
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
    note: Callable[[str], None] | None = None,
) -> AsyncGenerator[tuple[dict[str, Aggregator], LLMJudge]]:
    """The aggregators by their spec, and the judge of answers, which asks the aggregators' model.

    Each model that they ask is opened once. `note` is called with a line on the tokens of the judge.
    """
    by_default = without_engine(aggregator_model.ref) == EMBEDDED
    engine = aggregator_model.ref.removesuffix(EMBEDDED).rstrip(":") if by_default else ""
    full = {spec: with_default_model(spec, engine) if by_default else spec for spec in specs}
    models = {
        name: aggregator_model if name is None else ModelRef.named(name, aggregator_model.ray)
        for spec in full.values()
        for name in models_of(spec)
    }
    async with AsyncExitStack() as stack:
        model_calls: dict[ModelRef, Backend] = {}

        async def ask(model: ModelRef) -> Backend:
            if model not in model_calls:
                backend = await stack.enter_async_context(opened(model))
                model_calls[model] = ModelCalls(backend, patience, max_concurrency)
            return model_calls[model]

        readers = {name: await ask(model) for name, model in models.items()}
        log = JsonlLog(output_dir / "judgements.jsonl") if output_dir else None
        judge = LLMJudge(lambda: ask(aggregator_model), log)
        rewards = SharedRewardModels(ScoreLog(JsonlLog(output_dir / "scores.jsonl") if output_dir else None))
        stack.push_async_callback(rewards.aclose)
        yield (
            {spec: build(full_spec, readers.get(None), readers, rewards) for spec, full_spec in full.items()},
            judge,
        )
        if note is not None:
            note_judge_usage(judge, note)


def refuse_absent_scores(methods: Mapping[str, Aggregator], files: Iterable[SampleFile]) -> None:
    """Refuse a method that goes by a score which no sample of a file has.

    Raises:
        InvalidArgumentError: There is one; it names the scores that are there.
    """
    wanted = {name: spec for spec, method in methods.items() for name in scores_read(method)}
    for samples in files:
        absent, present = dict(wanted), set[str]()
        for stored in samples if absent else ():
            for sample in stored.sample_set.samples:
                present |= sample.scores.keys()
            absent = {name: spec for name, spec in absent.items() if name not in present}
            if not absent:
                break
        for name, spec in absent.items():
            known = ", ".join(sorted(present)) or "none"
            raise InvalidArgumentError(
                f"No sample of {samples.path} has a score named {name!r}, by which {spec!r} goes. Scores "
                f"there: {known}. A column whose name does not end in _scores is named by "
                "--columns scores=COLUMN."
            )


def note_judge_usage(judge: LLMJudge, note: Callable[[str], None]) -> None:
    """Note the tokens of a judge of answers, if it was asked."""
    if judge.usage.calls:
        note(
            f"note: the judge of answers was asked {plural(judge.usage.calls, 'time')}, "
            f"{plural(judge.usage.total_tokens, 'token')}; they are in no other count"
        )


def warn_of_identical(progress: SamplingProgress) -> None:
    """Warn on stderr where all draws of a question are one text."""
    if progress.seeds_ignored:
        print(
            "warning: all draws of a question are one and the same text. The server seems to ignore the "
            "seed, or to answer from a cache; such samples carry no more than one does.",
            file=sys.stderr,
        )
