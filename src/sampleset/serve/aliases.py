"""The aliases of the server, opened: the models that sample and read, and the answer to one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.certified import Certified
from sampleset.answers import Kinds, kind_of
from sampleset.backends.base import Backend, record_of, takes_requests
from sampleset.chat import Message
from sampleset.errors import BackendError, InvalidArgumentError, UnsupportedByBackendError
from sampleset.evaluation import Price, Prices, read_prices
from sampleset.grading.judge import LLMJudge
from sampleset.models.budget import Budget
from sampleset.models.calls import CallContext, ModelCalls
from sampleset.models.opening import open_backend, ready_backend, runs_here
from sampleset.models.retries import Patience
from sampleset.reward_models.base import RewardModel
from sampleset.risk.certificate import read_certificate, require_order
from sampleset.risk.escalation import STEP_FAILED, Step, StepReport, escalate, terms_of
from sampleset.sampling.draws import Draw
from sampleset.sampling.members import Member, reader_named
from sampleset.serve.answering import Outcome, choose, is_settled, vote_so_far, withheld
from sampleset.serve.config import ALWAYS_ALLOWED, AliasConfig, ServeConfig
from sampleset.serve.draws import Drawn, OnEvent, draw_all
from sampleset.serve.members import ServedMember
from sampleset.serve.promises import (
    Promise,
    certificate_file,
    certified_by,
    failure_of,
    promise_of,
    require_prompt,
)
from sampleset.serve.requests import ChatRequest
from sampleset.serve.voice import OnDelta, Voice, voice_of
from sampleset.specs import build, models_of, needs_model, with_default_model
from sampleset.vote_features.members import member_of
from sampleset.wording import plural

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


def _context_of_judge() -> CallContext:
    """The context of the calls of this request's judge: its caps. What it reads and writes is not shown."""
    return CallContext(budgets=_budgets.get())


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer and the draws behind it.

    Attributes:
        drawn: The draws.
        outcome: The answer made of them.
        k: Samples that were asked for.
        aggregator: The spec of what made it.
        readers: Names of the models that this asks.
        promise: What became of the answer under the alias's certificates.
        earlier: The steps before, which did not answer.
    """

    drawn: Drawn
    outcome: Outcome
    k: int
    aggregator: str
    readers: Sequence[str] = ()
    promise: Promise | None = None
    earlier: Sequence[Answered] = ()

    @property
    def attempts(self) -> tuple[Answered, ...]:
        """All steps that came to a result, this one last."""
        return (*self.earlier, self)


@dataclass(slots=True)
class Alias:
    """A model name of this server, ready to answer.

    Attributes:
        plan: The members that sample, each as often as its share; draw i goes to member i modulo their count.
        aggregator: The spec of the usual aggregator.
        methods: Aggregators by spec.
        readers: Names of the models that the aggregators ask, by spec.
        here: Names of the models that run in this process.
        judge: The model that says whether two answers mean the same, if there is one.
        is_step: Whether it is one of several steps. Then nothing answers in a failed aggregator's place.
        further: The further steps, where an answer is not sure enough.
    """

    name: str
    config: AliasConfig
    plan: list[ServedMember]
    aggregator: str
    methods: dict[str, Aggregator] = field(default_factory=dict[str, Aggregator])
    readers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    here: set[str] = field(default_factory=set[str])
    judge: Backend | None = None
    is_step: bool = False
    further: list[Alias] = field(default_factory=list["Alias"])

    @property
    def steps(self) -> tuple[Alias, ...]:
        """This alias and its further steps."""
        return (self, *self.further)

    @property
    def step_name(self) -> str:
        """What answers, in words."""
        models = " + ".join(dict.fromkeys(member.model for member in self.plan))
        return f"{plural(self.config.k, 'sample')} of {models}, {self.aggregator}"

    @property
    def certified(self) -> Certified | None:
        """The usual aggregator, if the alias has a certificate."""
        method = self.methods.get(self.aggregator)
        return method if isinstance(method, Certified) and self.config.certificate is not None else None

    @property
    def is_local(self) -> bool:
        """Whether one of its upstreams is a model in this process."""
        return any(member.is_local for step in self.steps for member in step.plan)

    def judged(self, request: ChatRequest) -> ChatRequest:
        """The request, with a judge of its own if its answers need one, so that its tokens are counted."""
        if self.judge is None or not kind_of(request.question).asks_model:
            return request
        judge = LLMJudge(self.judge)
        return replace(request, question=Kinds(judge).bind(request.question), judge=judge)

    def startup_line(self) -> str:
        """The line that names the models that sample and the aggregator."""

        def joined(models: Iterable[str]) -> str:
            return " + ".join(
                f"{model} (in this process)" if model in self.here else model for model in models
            )

        samplers = joined(dict.fromkeys(member.model for member in self.plan))
        reading = joined(self.readers[self.aggregator])
        decides = self.aggregator + (f", read by {reading}" if reading else "")
        if self.judge is not None:
            decides += f", answers judged by {joined([self.judge.model])}"
        line = f"{self.name}: {plural(self.config.k, 'sample')} of {samplers}; {decides}"
        return "; else ".join([line, *(step.step_name for step in self.further)])

    def listing(self) -> dict[str, Any]:
        """The fields of `/v1/models` beside the name."""
        config = self.config
        return {
            "k": config.k,
            "max_k": config.max_k,
            "aggregator": self.aggregator,
            "aggregators": [self.aggregator] if config.is_bound else list(self.methods),
            "upstreams": list(dict.fromkeys(member.model for member in self.plan)),
            "text_only": self.is_local,
            "ignores": list(config.ignore),
            "certificate": None if self.certified is None else terms_of(self.certified.certificate),
            "escalate": [step.step_name for step in self.further],
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
        if not self.further and self.certified is None:
            answered = await self._attempt(request, number, on_event, on_delta)
            outcome = withheld(answered.outcome, request.min_confidence, self.config.withheld_text)
            return replace(answered, outcome=outcome)
        requests = self._requests(request)
        for step, part in zip(self.steps, requests, strict=True):
            if step.certified is not None:
                require_prompt(step.certified.certificate, part, step.plan)

        def tell_next(at: int, report: StepReport) -> None:
            step = self.steps[at]
            on_event(
                "escalating", {"step": at + 1, "name": step.step_name, "k": step.config.k, **report.fields()}
            )

        trail = await escalate(
            [
                Step(
                    step.step_name,
                    None if step.certified is None else step.certified.certificate,
                    partial(step._attempt, part, number, on_event),
                    step.config.min_confidence,
                )
                for step, part in zip(self.steps, requests, strict=True)
            ],
            lambda answered: answered.outcome,
            partial(failure_of, self.name),
            tell_next,
        )
        *earlier, last = trail.results
        outcome = last.outcome
        if trail.has_failed:
            outcome = replace(outcome, answer=None, flags=(*outcome.flags, STEP_FAILED))
        least = request.min_confidence
        if self.further and least == self.config.min_confidence:
            least = None  # the first step's, which it has gone by
        outcome = withheld(outcome, least, self.config.withheld_text)
        drifted = any(step.certified.alarm.alarmed for step in self.steps if step.certified is not None)
        promise = promise_of(trail, outcome, least, in_steps=bool(self.further), drifted=drifted)
        return replace(last, outcome=outcome, promise=promise, earlier=tuple(earlier))

    def _requests(self, request: ChatRequest) -> list[ChatRequest]:
        """The request as each step answers it, each with other seeds."""
        requests, seed = [request], request.seed + request.n * request.k
        for step in self.further:
            config = step.config
            requests.append(
                replace(
                    request,
                    k=config.k,
                    seed=seed,
                    aggregator=step.aggregator,
                    quorum=min(config.quorum, config.k),
                    deadline=min(request.deadline, config.deadline),
                )
            )
            seed += request.n * config.k
        return requests

    async def _attempt(
        self, request: ChatRequest, number: int, on_event: OnEvent, on_delta: OnDelta | None = None
    ) -> Answered:
        """The answer of this step alone. An answer that it is not to give is withheld."""
        config, k = self.config, request.k
        patience = Patience(config.max_retries, config.timeout)
        plan = [self.plan[(number * k + index) % len(self.plan)] for index in range(k)]
        seed = request.seed + number * k
        draws = await draw_all(request, plan, seed, patience, config.hedge_after, on_event)
        readers = self.readers[request.aggregator]
        settled = bool(readers) and await is_settled(request, draws)
        if request.ballot == "text" and readers and not settled:
            on_event("aggregating", {"aggregator": request.aggregator, "models": readers})
        method = self.methods[request.aggregator]
        reads: list[str] = []
        tokens = (
            _reads.set(reads),
            # A message that may be withheld is not streamed: steps come without `on_delta`.
            _voice.set(
                None if on_delta is None or request.min_confidence is not None else voice_of(method, on_delta)
            ),
            _budgets.set(request.budgets),
        )
        may_guess = not self.is_step and self.certified is None
        try:
            outcome = await choose(
                request, draws, method, config.aggregation_deadline, settled=settled, may_guess=may_guess
            )
        finally:
            _reads.reset(tokens[0])
            _voice.reset(tokens[1])
            _budgets.reset(tokens[2])
        if self.is_step:
            outcome = withheld(outcome, config.min_confidence, config.withheld_text)
        if reads:
            on_event("read", {"prompts": reads, "text": outcome.text})
        return Answered(draws, outcome, k, request.aggregator, readers)

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
                alias = await self._opened(name, config)
                for number, step in enumerate(config.escalate, start=2):
                    alias.further.append(await self._opened(f"{name}, step {number}", step))
                for step in alias.steps:
                    step.is_step = bool(alias.further)
                require_order([step.certified and step.certified.certificate for step in alias.steps])
                self.aliases[name] = alias
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
        if config.judge is not None:
            backend = await self._backend(config.judge)
            alias.judge = self._asked(backend, config, _context_of_judge)
            if not takes_requests(backend):
                alias.here.add(backend.model)
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
        if config.labelled is not None:
            config = replace(
                config, risk=None, labelled=None,
                certificate=await certificate_file(config, usual, alias.methods[usual]),
            )  # fmt: skip
            alias.config, certificate = config, read_certificate(Path(config.certificate or ""))
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
        return self._asked(backend, config, _context)

    def _asked(self, backend: Backend, config: AliasConfig, context: Callable[[], CallContext]) -> Backend:
        return ModelCalls(
            backend,
            Patience(config.max_retries, config.timeout),
            config.max_concurrency,
            tariff=self._tariff(backend.model, config),
            context=context,
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
