"""What a configured model name stands for, opened: who samples, who reads, and one request carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import Aggregator
from sampleset.backends.base import Backend, record_of, takes_requests
from sampleset.chat import Message
from sampleset.errors import BackendError, InvalidArgumentError, UnsupportedByBackendError
from sampleset.evaluation import Price, Prices, read_prices
from sampleset.models.budget import Budget
from sampleset.models.calls import CallContext, ModelCalls
from sampleset.models.opening import open_backend, ready_backend, runs_here
from sampleset.models.retries import Patience
from sampleset.reward_models.base import RewardModel
from sampleset.sampling.draws import Draw
from sampleset.sampling.members import Member, reader_named
from sampleset.serve.answering import Outcome, choose, is_settled, vote_so_far, withheld
from sampleset.serve.config import ALWAYS_ALLOWED, AliasConfig, ServeConfig
from sampleset.serve.draws import Drawn, OnEvent, draw_all
from sampleset.serve.members import ServedMember
from sampleset.serve.requests import ChatRequest
from sampleset.serve.voice import OnDelta, Voice, voice_of
from sampleset.specs import build, models_of, needs_model, with_default_model

NO_KEY = "not-needed"
_MOST_READ = 200_000
"""Characters of the prompts that an aggregator reads which are kept for the page."""

_reads: ContextVar[list[str] | None] = ContextVar("reads", default=None)
"""Prompts that this request's aggregator has read."""
_voice: ContextVar[Voice | None] = ContextVar("voice", default=None)
"""Who is told what it writes."""
_budgets: ContextVar[Sequence[Budget]] = ContextVar("budgets", default=())
"""What this request may cost."""


def _context() -> CallContext:
    """What concerns the calls of the request at hand: its caps, its notes, and who is shown the words."""
    voice = _voice.get()
    return CallContext(
        budgets=_budgets.get(),
        on_messages=_note,
        listener=None if voice is None else lambda: voice.listener if voice.speaks() else None,
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer and the draws behind it."""

    drawn: Drawn
    outcome: Outcome


@dataclass(slots=True)
class Alias:
    """A model name of this server, ready to answer.

    Attributes:
        plan: Those who sample by share; draw i goes to number i modulo their count.
        aggregator: The usual one's spec.
        methods: Aggregators by spec.
        readers: Names of the models that they ask, by spec.
        here: Names of the models that run in this process.
    """

    name: str
    config: AliasConfig
    plan: list[ServedMember]
    aggregator: str
    methods: dict[str, Aggregator] = field(default_factory=dict[str, Aggregator])
    readers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    here: set[str] = field(default_factory=set[str])

    @property
    def is_local(self) -> bool:
        """Whether one of its upstreams is a model in this process."""
        return any(one.is_local for one in self.plan)

    def told_at_start(self) -> str:
        """Who samples and who decides, in a line."""

        def named(models: Iterable[str]) -> str:
            return " + ".join(f"{one} (in this process)" if one in self.here else one for one in models)

        samplers = named(dict.fromkeys(one.model for one in self.plan))
        reading = named(self.readers[self.aggregator])
        decides = self.aggregator + (f", read by {reading}" if reading else "")
        return f"{self.name}: {self.config.k} samples of {samplers}; {decides}"

    def shown(self) -> dict[str, Any]:
        """What `/v1/models` tells of it beside its name."""
        config = self.config
        return {
            "k": config.k,
            "max_k": config.max_k,
            "aggregator": self.aggregator,
            "aggregators": list(self.methods),
            "upstreams": list(dict.fromkeys(one.model for one in self.plan)),
            "text_only": self.is_local,
            "ignores": list(config.ignore),
        }

    async def answer(
        self, request: ChatRequest, number: int, on_event: OnEvent, on_delta: OnDelta | None = None
    ) -> Answered:
        """Answer number `number` of a request.

        Args:
            request: What is asked.
            number: Which of its answers.
            on_event: Told how far it is.
            on_delta: Told what the aggregator writes of the message while it writes it.

        Raises:
            ApiError: Too few samples came back.
        """
        config, k = self.config, request.k
        patience = Patience(config.max_retries, config.timeout)
        plan = [self.plan[(number * k + index) % len(self.plan)] for index in range(k)]
        seed = request.seed + number * k
        drawn = await draw_all(request, plan, seed, patience, config.hedge_after, on_event)
        asks = bool(self.readers[request.aggregator])
        settled = asks and await is_settled(request, drawn)
        if request.ballot == "text" and asks and not settled:
            on_event(
                "aggregating", {"aggregator": request.aggregator, "models": self.readers[request.aggregator]}
            )
        method = self.methods[request.aggregator]
        reads: list[str] = []
        withholds = request.min_confidence is not None
        own = (
            _reads.set(reads),
            # What may be withheld is not shown while it is written.
            _voice.set(None if on_delta is None or withholds else voice_of(method, on_delta)),
            _budgets.set(request.budgets),
        )
        try:
            outcome = await choose(request, drawn, method, config.aggregation_deadline, settled=settled)
            outcome = withheld(outcome, request.min_confidence, config.withheld_text)
        finally:
            _reads.reset(own[0])
            _voice.reset(own[1])
            _budgets.reset(own[2])
        if reads:
            on_event("read", {"prompts": reads, "text": outcome.text})
        return Answered(drawn, outcome)

    async def told(self, request: ChatRequest, draws: Sequence[Draw]) -> dict[str, Any]:
        """The vote so far, as JSON values."""
        found, answers = await vote_so_far(request, draws)
        candidates = [
            {
                "answer": one.answer,
                "votes": one.votes,
                "indices": [draws[place].index for place in one.indices],
            }
            for one in found
        ]
        said = {str(draw.index): answer for draw, answer in zip(draws, answers, strict=True)}
        return {"candidates": candidates, "answers": said, "draws": len(draws)}


class Models:
    """All aliases, and the models behind them; each model is opened once."""

    def __init__(self, config: ServeConfig) -> None:
        self.prices: Prices | None = read_prices(Path(config.prices)) if config.prices else None
        self._config = config
        self._backends: dict[tuple[Any, ...], Backend] = {}
        self.aliases: dict[str, Alias] = {}

    async def open(self) -> None:
        """Open and load what can be; servers are not asked before the first request.

        Raises:
            SampleSetError: A model is not there, or an aggregator cannot be built.
        """
        try:
            for name, config in self._config.models.items():
                self.aliases[name] = await self._opened(name, config)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all models and connections."""
        for backend in self._backends.values():
            await backend.aclose()
        self._backends.clear()

    async def _opened(self, name: str, config: AliasConfig) -> Alias:
        plan: list[ServedMember] = []
        for one in config.upstreams:
            backend = await self._sampled(one)
            plan += [ServedMember(backend, one, config, self._tariff(backend.model, config))] * one.count
        reader = config.aggregator_model or config.upstreams[0]
        is_trained = record_of(await self._backend(reader)) is not None
        usual = config.aggregator or ("ssa" if is_trained else "majority_vote")
        specs = [usual, *config.aggregators]
        if config.aggregator_model is None and not is_trained:
            # Who names `ssa` and no trained model means the one of this package.
            usual, *others = map(with_default_model, specs)
            config = replace(config, aggregators=tuple(others))
        here = {one.model for one in plan if one.is_local}
        alias = Alias(name, config, plan, usual, here=here)
        for spec in dict.fromkeys((usual, *config.aggregators, *ALWAYS_ALLOWED)):
            ready: dict[str | None, Backend] = {}
            for named in models_of(spec):
                model = reader if named is None else reader_named(named)
                backend = await self._backend(model)
                ready[named] = self._reading(backend, config)
                if not takes_requests(backend):
                    alias.here.add(backend.model)
            alias.methods[spec] = await self._built(spec, ready, reader, config)
            alias.readers[spec] = [one.model for one in ready.values()]
        return alias

    async def _built(
        self, spec: str, ready: dict[str | None, Backend], reader: Member, config: AliasConfig
    ) -> Aggregator:
        """The aggregator; where it wants more than every server has, they are asked what they are."""
        try:
            return build(spec, ready.get(None), ready, _within_caps(config))
        except (InvalidArgumentError, UnsupportedByBackendError) as refusal:
            for named in ready:
                model = reader if named is None else reader_named(named)
                if takes_requests(await self._backend(model)):
                    try:
                        ready[named] = self._reading(await self._backend(model, asked=True), config)
                    except BackendError as error:
                        raise InvalidArgumentError(f"{refusal} ({error})") from error
            return build(spec, ready.get(None), ready, _within_caps(config))

    async def _sampled(self, one: Member) -> Backend:
        """The model of a member that samples."""
        backend = await self._backend(one)
        # A trained aggregator reads; what it was trained from, on the same engine, samples.
        plain: Callable[[], Backend] | None = getattr(backend, "plain", None)
        if plain is not None and record_of(backend) is not None:
            backend = self._backends.setdefault(("plain", backend.model), plain())
        return backend

    async def _backend(self, one: Member, asked: bool = False) -> Backend:
        """The model, opened once; a server is asked what it is only on request."""
        key = (one.model, one.base_url, one.api_key_env, one.context_size, one.omit, asked)
        if key not in self._backends:
            # A key in the environment is for the server it is meant for, not for every one that is named.
            named = one.model, one.base_url, one.api_key or (NO_KEY if one.base_url else None)
            if asked or runs_here(one.model):
                self._backends[key] = await ready_backend(*named, one.context_size, one.omit)
                return self._backends[key]
            backend = open_backend(*named, one.context_size, one.omit)
            self._backends[key] = backend
            if not takes_requests(backend):
                await backend.check()
        return self._backends[key]

    def _tariff(self, model: str, config: AliasConfig) -> Price | None:
        """What a model's tokens cost, where there is a cap in money."""
        if self.prices is None or config.max_cost is None:
            return None
        self.prices.check([model])
        return self.prices.models[model]

    def _reading(self, backend: Backend, config: AliasConfig) -> Backend:
        return ModelCalls(
            backend,
            Patience(config.max_retries, config.timeout),
            config.max_concurrency,
            tariff=self._tariff(backend.model, config),
            context=_context,
        )


def _within_caps(config: AliasConfig) -> Callable[[RewardModel], RewardModel]:
    """Refuses, where there are caps, reward models whose tokens they would not count."""

    def counted(model: RewardModel) -> RewardModel:
        if config.has_caps and not needs_model(type(model)):
            raise InvalidArgumentError(
                f"max_total_tokens and max_cost count what backends are asked, not the tokens of "
                f"{model.identity!r}. Leave the cap away, or take a reward model that asks a backend, such "
                "as llm_judge."
            )
        return model

    return counted


def _note(messages: Sequence[Message]) -> None:
    reads = _reads.get()
    if reads is not None and sum(map(len, reads)) < _MOST_READ:
        reads.append("\n\n".join(f"{one['role']}:\n{one['content']}" for one in messages)[:_MOST_READ])
