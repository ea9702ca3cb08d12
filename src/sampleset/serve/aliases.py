"""The aliases of the server, opened: the models that sample and read, and the answer to one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.certified import Certified
from sampleset.backends.base import Backend, record_of, takes_requests
from sampleset.chat import Message
from sampleset.errors import BackendError, InvalidArgumentError, UnsupportedByBackendError
from sampleset.evaluation import Price, Prices, read_prices
from sampleset.models.budget import Budget
from sampleset.models.calls import CallContext, ModelCalls
from sampleset.models.opening import open_backend, ready_backend, runs_here
from sampleset.models.retries import Patience
from sampleset.reward_models.base import RewardModel
from sampleset.risk.certificate import read_certificate
from sampleset.sampling.draws import Draw
from sampleset.sampling.members import Member, reader_named
from sampleset.serve.answering import Outcome, choose, is_settled, vote_so_far, withheld
from sampleset.serve.config import ALWAYS_ALLOWED, AliasConfig, ServeConfig
from sampleset.serve.draws import Drawn, OnEvent, draw_all
from sampleset.serve.members import ServedMember
from sampleset.serve.promises import Promise, certified_by, promise_of, require_prompt, terms_of
from sampleset.serve.requests import ChatRequest
from sampleset.serve.voice import OnDelta, Voice, voice_of
from sampleset.specs import build, models_of, needs_model, with_default_model
from sampleset.vote_features.members import member_of

NO_KEY = "not-needed"
_MOST_READ = 200_000
"""The page keeps this many characters of the prompts that an aggregator reads."""

_reads: ContextVar[list[str] | None] = ContextVar("reads", default=None)
"""Prompts that this request's aggregator has read."""
_voice: ContextVar[Voice | None] = ContextVar("voice", default=None)
"""Listens to the text that the aggregator of this request writes."""
_budgets: ContextVar[Sequence[Budget]] = ContextVar("budgets", default=())
"""Caps on the cost of this request."""


def _context() -> CallContext:
    """The context of the calls of this request: its caps, its notes, and the listener of the text."""
    voice = _voice.get()
    return CallContext(
        budgets=_budgets.get(),
        on_messages=_note,
        listener=None if voice is None else lambda: voice.listener if voice.speaks() else None,
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, the draws behind it, and what became of it under the alias's certificate."""

    drawn: Drawn
    outcome: Outcome
    promise: Promise | None = None


@dataclass(slots=True)
class Alias:
    """A model name of this server, ready to answer.

    Attributes:
        plan: The members that sample, each as often as its share; draw i goes to member i modulo their count.
        aggregator: The spec of the usual aggregator.
        methods: Aggregators by spec.
        readers: Names of the models that the aggregators ask, by spec.
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
    def certified(self) -> Certified | None:
        """The usual aggregator, if the alias has a certificate."""
        method = self.methods.get(self.aggregator)
        return method if isinstance(method, Certified) and self.config.certificate is not None else None

    @property
    def is_local(self) -> bool:
        """Whether one of its upstreams is a model in this process."""
        return any(member.is_local for member in self.plan)

    def startup_line(self) -> str:
        """The line that names the models that sample and the aggregator."""

        def joined(models: Iterable[str]) -> str:
            return " + ".join(
                f"{model} (in this process)" if model in self.here else model for model in models
            )

        samplers = joined(dict.fromkeys(member.model for member in self.plan))
        reading = joined(self.readers[self.aggregator])
        decides = self.aggregator + (f", read by {reading}" if reading else "")
        return f"{self.name}: {self.config.k} samples of {samplers}; {decides}"

    def listing(self) -> dict[str, Any]:
        """The fields of `/v1/models` beside the name."""
        config = self.config
        return {
            "k": config.k,
            "max_k": config.max_k,
            "aggregator": self.aggregator,
            "aggregators": list(self.methods),
            "upstreams": list(dict.fromkeys(member.model for member in self.plan)),
            "text_only": self.is_local,
            "ignores": list(config.ignore),
            "certificate": None if self.certified is None else terms_of(self.certified.certificate),
        }

    async def answer(
        self, request: ChatRequest, number: int, on_event: OnEvent, on_delta: OnDelta | None = None
    ) -> Answered:
        """Answer number `number` of a request.

        Args:
            request: The request.
            number: The number of the answer, from 0.
            on_event: Called with (kind, fields) at each step.
            on_delta: Called with (field, text) while the aggregator writes the message.

        Raises:
            ApiError: Too few samples came back.
        """
        config, k = self.config, request.k
        patience = Patience(config.max_retries, config.timeout)
        plan = [self.plan[(number * k + index) % len(self.plan)] for index in range(k)]
        if self.certified is not None:
            require_prompt(self.certified.certificate, request, plan)
        seed = request.seed + number * k
        draws = await draw_all(request, plan, seed, patience, config.hedge_after, on_event)
        asks = bool(self.readers[request.aggregator])
        settled = asks and await is_settled(request, draws)
        if request.ballot == "text" and asks and not settled:
            on_event(
                "aggregating", {"aggregator": request.aggregator, "models": self.readers[request.aggregator]}
            )
        method = self.methods[request.aggregator]
        reads: list[str] = []
        withholds = request.min_confidence is not None or self.certified is not None
        tokens = (
            _reads.set(reads),
            # A message that may be withheld is not streamed.
            _voice.set(None if on_delta is None or withholds else voice_of(method, on_delta)),
            _budgets.set(request.budgets),
        )
        try:
            outcome = await choose(request, draws, method, config.aggregation_deadline, settled=settled)
            outcome = withheld(outcome, request.min_confidence, config.withheld_text)
        finally:
            _reads.reset(tokens[0])
            _voice.reset(tokens[1])
            _budgets.reset(tokens[2])
        if reads:
            on_event("read", {"prompts": reads, "text": outcome.text})
        promise = None if self.certified is None else promise_of(self.certified, outcome)
        return Answered(draws, outcome, promise)

    async def vote_table(self, request: ChatRequest, draws: Sequence[Draw]) -> dict[str, Any]:
        """The vote so far, as JSON values."""
        counted, answers = await vote_so_far(request, draws)
        candidates = [
            {
                "answer": candidate.answer,
                "votes": candidate.votes,
                "indices": [draws[number].index for number in candidate.indices],
            }
            for candidate in counted
        ]
        answer_by_index = {str(draw.index): answer for draw, answer in zip(draws, answers, strict=True)}
        return {"candidates": candidates, "answers": answer_by_index, "draws": len(draws)}


class Models:
    """All aliases, and the models behind them; each model is opened once."""

    def __init__(self, config: ServeConfig) -> None:
        self.prices: Prices | None = read_prices(Path(config.prices)) if config.prices else None
        self._config = config
        self._backends: dict[tuple[Any, ...], Backend] = {}
        self.aliases: dict[str, Alias] = {}

    async def open(self) -> None:
        """Open the models of this process. Servers are not asked before the first request.

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
        for member in config.upstreams:
            backend = await self._sampled(member)
            plan += [
                ServedMember(backend, member, config, self._tariff(backend.model, config))
            ] * member.count
        reader = config.aggregator_model or config.upstreams[0]
        is_trained = record_of(await self._backend(reader)) is not None
        certificate = None if config.certificate is None else read_certificate(Path(config.certificate))
        by_default = "ssa" if is_trained else "majority_vote"
        usual = config.aggregator or (by_default if certificate is None else certificate.aggregator)
        specs = [usual, *config.aggregators]
        if config.aggregator_model is None and not is_trained:
            # `ssa` without a trained model means the model of this package.
            usual, *others = map(with_default_model, specs)
            config = replace(config, aggregators=tuple(others))
        local = {member.model for member in plan if member.is_local}
        alias = Alias(name, config, plan, usual, here=local)
        for spec in dict.fromkeys((usual, *config.aggregators, *ALWAYS_ALLOWED)):
            backends: dict[str | None, Backend] = {}
            for name_read in models_of(spec):
                model = reader if name_read is None else reader_named(name_read)
                backend = await self._backend(model)
                backends[name_read] = self._reading(backend, config)
                if not takes_requests(backend):
                    alias.here.add(backend.model)
            alias.methods[spec] = await self._built(spec, backends, reader, config)
            alias.readers[spec] = [member.model for member in backends.values()]
        if certificate is not None:
            models = {member_of(member.model) or member.model for member in plan}
            alias.methods[usual] = certified_by(certificate, config, alias.methods[usual], models)
        return alias

    async def _built(
        self, spec: str, backends: dict[str | None, Backend], reader: Member, config: AliasConfig
    ) -> Aggregator:
        """The aggregator. If it needs an ability that not every server has, the servers are asked."""
        try:
            return build(spec, backends.get(None), backends, _within_caps(config))
        except (InvalidArgumentError, UnsupportedByBackendError) as refusal:
            for name in backends:
                model = reader if name is None else reader_named(name)
                if takes_requests(await self._backend(model)):
                    try:
                        backends[name] = self._reading(await self._backend(model, is_checked=True), config)
                    except BackendError as error:
                        raise InvalidArgumentError(f"{refusal} ({error})") from error
            return build(spec, backends.get(None), backends, _within_caps(config))

    async def _sampled(self, member: Member) -> Backend:
        """The model of a member that samples."""
        backend = await self._backend(member)
        # A trained aggregator reads; its base model samples on the same engine.
        plain: Callable[[], Backend] | None = getattr(backend, "plain", None)
        if plain is not None and record_of(backend) is not None:
            backend = self._backends.setdefault(("plain", backend.model), plain())
        return backend

    async def _backend(self, member: Member, is_checked: bool = False) -> Backend:
        """The model, opened once. A server is asked for its abilities only if `is_checked`."""
        key = (
            member.model,
            member.base_url,
            member.api_key_env,
            member.context_size,
            member.omit,
            is_checked,
        )
        if key not in self._backends:
            # A key in the environment is meant for one server, not for every server that is named.
            address = member.model, member.base_url, member.api_key or (NO_KEY if member.base_url else None)
            if is_checked or runs_here(member.model):
                self._backends[key] = await ready_backend(*address, member.context_size, member.omit)
                return self._backends[key]
            backend = open_backend(*address, member.context_size, member.omit)
            self._backends[key] = backend
            if not takes_requests(backend):
                await backend.check()
        return self._backends[key]

    def _tariff(self, model: str, config: AliasConfig) -> Price | None:
        """The price of a model's tokens; `None` without a cap in money."""
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
        reads.append(
            "\n\n".join(f"{message['role']}:\n{message['content']}" for message in messages)[:_MOST_READ]
        )
