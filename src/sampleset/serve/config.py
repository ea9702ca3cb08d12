"""The configuration of the server: `serve.yaml` → frozen records. Unknown keys and wrong types are errors.

models:
  careful:
    upstreams:
      - {model: gpt-4o-mini, base_url: https://api.openai.com/v1, api_key_env: OPENAI_API_KEY}
    k: 5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, Lt

from sampleset.answers import answer_kind
from sampleset.engines.gguf import EMBEDDED, EMBEDDED_SSA, embedded_ssa_is_installed, without_engine
from sampleset.errors import DataError, InvalidArgumentError, UnknownNameError
from sampleset.models.budget import Budget, Caps
from sampleset.prompts import SOLVE_PROMPTS
from sampleset.sampling.members import Member, require_reader
from sampleset.sampling.stopping import StoppingRule, parse_stop
from sampleset.serve.dialects.completions import COMPLETIONS
from sampleset.serve.dialects.messages import MESSAGES
from sampleset.serve.dialects.responses import RESPONSES
from sampleset.serve.parameters import PARAMETERS
from sampleset.settings import read_settings, require_valid, typed_record
from sampleset.specs import models_of
from sampleset.types import DEFAULT_KIND

R = TypeVar("R")

USUAL_PORT = 8700
ALWAYS_ALLOWED = ("majority_vote", "weighted_vote", "first_sample")
"""Aggregators a request may name under any alias: they ask no model."""
IGNORABLE = {
    *(
        name
        for table in (PARAMETERS, COMPLETIONS, RESPONSES, MESSAGES)
        for name, parameter in table.items()
        # The prompt of one API is stored and refused; that of the other is the question.
        if parameter.how != "honoured" and name != "prompt"
    ),
    *("seed", "stop", "stop_sequences", "temperature", "top_p"),
}
"""Parameters that an alias may leave aside. The rest is still a request."""


def served_kind(spec: str, *, has_judge: bool) -> str:
    """The answer kind as users type it.

    Args:
        spec: The kind.
        has_judge: Whether the alias names a model that compares answers of the kind `judge`.

    Raises:
        InvalidArgumentError: There is none, or it runs programs, or it asks a judge and there is none.
    """
    kind = answer_kind(spec)
    if kind.asks_model:
        if not has_judge:
            raise InvalidArgumentError(
                f"Answers of the kind {spec!r} are compared by a model, and this alias names none. Give it "
                "judge: {model: NAME, base_url: URL}, or take text, choice, json, number or maths."
            )
        return kind.spec
    try:
        kind.check()
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"The server does not compare answers of the kind {spec!r}, because it runs no programs. Take "
            "text, choice, json, number or maths."
        ) from error
    return kind.spec


def require_unjudged(kind: str, setting: str) -> None:
    """Return if a setting does not compare answers before the end, when the judge is asked.

    Raises:
        InvalidArgumentError: It does, and a model compares them.
    """
    if answer_kind(kind).asks_model:
        raise InvalidArgumentError(
            f"{setting} compares answers, and the judge of the kind {kind!r} is asked once, when all samples "
            "are there. Leave one of them away."
        )


@dataclass(frozen=True, slots=True)
class AliasConfig:
    """The configuration of one model name of this server.

    Attributes:
        upstreams: The models that sample.
        k: Samples of one answer; by default the sum of the counts where that is above 1, else 5.
        aggregator: How they become one answer; by default `ssa` if who reads is a trained aggregator, else
            `majority_vote`. `ssa` with nobody trained to read is that of this package, in this process.
        aggregator_model: Who reads, for an aggregator that asks a model; by default the first upstream.
        aggregators: Others that a request may choose, beside those that ask no model.
        answer_kind: How answers are read and compared, where the request does not say.
        judge: Who says whether two answers of the kind `judge` mean the same.
        prompt: Name of a prompt put around a lone question; by default messages pass untouched.
        temperature: Where the request says none.
        max_tokens: Of one sample, where the request says none.
        quorum: Fewest samples an answer is made of.
        deadline: Seconds for the samples. After that the answer is made of the samples that are there.
        aggregation_deadline: Seconds for the aggregator; then the vote answers.
        timeout: Seconds of one try of one call.
        max_retries: Further tries after a transient error.
        hedge_after: Seconds after which a draw that is not back is drawn a second time.
        stop: A stopping rule, `beta:0.95` say.
        settled_by_vote: Whether the vote answers where the rule is met, and the aggregator is not asked.
        min_confidence: Least confidence of an answer that is given; others are withheld.
        withheld_text: The text of the message if an answer is withheld.
        certificate: File of `sampleset certify`: answers that it does not cover are withheld.
        risk: Largest share of wrong answers among those given, certified on `labelled` at the start.
        labelled: File or store of sample sets with gold answers, for `risk`.
        escalate: Further steps, each an alias in all that it does not name: an answer that is not sure enough
            is asked of the next one.
        ignore: Parameters that a request may carry and this alias leaves aside, `logprobs` say.
        usage: What `usage` in a reply counts, where the request does not say.
        max_concurrency: Calls in flight to each of its models.
        max_k: Most samples a request may ask for.
        max_n: Most answers a request may ask for.
        max_sample_tokens: Most `max_tokens` of a request.
        max_request_tokens: Most completion tokens that the samples of a request may take together.
        max_total_tokens: Cap on all tokens of a request: prompts and completions, samples, second draws and
            tries, aggregator.
        max_cost: The same in money, by the server's price file.
    """

    upstreams: tuple[Member, ...]
    k: Annotated[int, Ge(0)] = 0
    aggregator: str | None = None
    aggregator_model: Member | None = None
    aggregators: tuple[str, ...] = ()
    answer_kind: str = DEFAULT_KIND
    judge: Member | None = None
    prompt: str | None = None
    temperature: Annotated[float, Ge(0)] | None = None
    max_tokens: Annotated[int, Ge(1)] | None = None
    quorum: Annotated[int, Ge(1)] = 1
    deadline: Annotated[float, Gt(0)] = 300.0
    aggregation_deadline: Annotated[float, Gt(0)] = 120.0
    timeout: Annotated[float, Gt(0)] = 120.0
    max_retries: Annotated[int, Ge(0)] = 2
    hedge_after: Annotated[float, Gt(0)] | None = None
    stop: str | None = None
    settled_by_vote: bool = False
    min_confidence: Annotated[float, Ge(0), Le(1)] | None = None
    withheld_text: str = "No answer: the samples do not agree enough."
    certificate: str | None = None
    risk: Annotated[float, Gt(0), Lt(1)] | None = None
    labelled: str | None = None
    escalate: tuple[AliasConfig, ...] = ()
    ignore: tuple[str, ...] = ()
    usage: Literal["sum", "last"] = "sum"
    max_concurrency: Annotated[int, Ge(1)] = 64
    max_k: Annotated[int, Ge(1)] = 32
    max_n: Annotated[int, Ge(1)] = 4
    max_sample_tokens: Annotated[int, Ge(1)] | None = None
    max_request_tokens: Annotated[int, Ge(1)] | None = None
    max_total_tokens: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if not self.upstreams:
            raise InvalidArgumentError("An alias needs upstreams: [{model: NAME, base_url: URL}, ...].")
        if self.k == 0:
            total = sum(member.count for member in self.upstreams)
            object.__setattr__(self, "k", total if total > 1 else 5)
        require_valid(self)
        if self.k > self.max_k or self.quorum > self.k:
            raise InvalidArgumentError(
                f"quorum={self.quorum} ≤ k={self.k} ≤ max_k={self.max_k} must hold; change one of them."
            )
        if self.prompt is not None and self.prompt not in SOLVE_PROMPTS:
            raise UnknownNameError("prompt", self.prompt, SOLVE_PROMPTS)
        for spec in (self.aggregator, *self.aggregators):
            if spec is not None:
                models_of(spec)
        for name in self.ignore:
            if name not in IGNORABLE:
                raise UnknownNameError("parameter to ignore", name, IGNORABLE)
        served_kind(self.answer_kind, has_judge=self.judge is not None)
        if self.stop is not None:
            require_unjudged(self.answer_kind, f"stop={self.stop!r}")
        if self.labelled is not None:
            require_unjudged(self.answer_kind, f"labelled={self.labelled!r}")
        if self.stopping_rule() is None and self.settled_by_vote:
            raise InvalidArgumentError("settled_by_vote needs the rule that settles it, stop: beta:0.95 say.")
        self._require_promise()
        self.budgets()
        if self.has_caps and self.max_tokens is None and self.max_sample_tokens is None:
            raise InvalidArgumentError(
                "max_total_tokens and max_cost need the worst case of a sample: give max_tokens, too."
            )

    def _require_promise(self) -> None:
        """Refuse settings that no certificate, or no escalation, can act on."""
        if self.certificate is not None and self.stop is not None:
            raise InvalidArgumentError(
                f"certificate={self.certificate!r} is of all k samples; leave stop={self.stop!r} away."
            )
        if (self.risk is None) != (self.labelled is None):
            raise InvalidArgumentError("risk and labelled go together; give both, or a certificate.")
        if self.risk is not None and (self.certificate is not None or self.stop is not None):
            raise InvalidArgumentError(
                f"risk={self.risk:g} makes a certificate of all k samples; leave certificate and stop away."
            )
        steps = (self, *self.escalate) if self.escalate else ()
        for number, step in enumerate(steps, start=1):
            is_certified = step.certificate is not None or step.risk is not None
            if number < len(steps) and not is_certified and step.min_confidence is None:
                raise InvalidArgumentError(
                    f"escalate: step {number} says of no answer that it is unsure. Give it a certificate, or "
                    "min_confidence."
                )
            if is_certified and step.min_confidence is not None:
                raise InvalidArgumentError(
                    f"escalate: the certificate of step {number} decides what is sure enough; leave "
                    "min_confidence away."
                )

    @property
    def is_bound(self) -> bool:
        """Whether requests must leave k, aggregator and kind of answers as they are."""
        return self.certificate is not None or bool(self.escalate)

    def most_draws(self, k: int) -> int:
        """Samples of one answer that takes all steps, k of them in the first."""
        return k + sum(step.k for step in self.escalate)

    @property
    def has_caps(self) -> bool:
        """Whether the cost of a request is capped."""
        return self.max_total_tokens is not None or self.max_cost is not None

    def budgets(self) -> list[Budget]:
        """The caps on the cost of one request."""
        return Caps(tokens=self.max_total_tokens, money=self.max_cost).run_budgets()

    def stopping_rule(self) -> StoppingRule | None:
        """The rule that `stop` names."""
        return None if self.stop is None else parse_stop(self.stop)


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """The whole server.

    Attributes:
        models: The alias of each model name.
        host: Address to bind.
        port: Port to bind; 0 takes a free one.
        open_to_all: Allow an address other machines reach without API keys.
        api_keys_file: File of keys that clients may use, one a line; `SAMPLESET_API_KEYS` adds more.
        allow_origins: Web origins, beside the server's own, whose pages may ask.
        max_concurrent: Requests in work at once.
        max_queue: Requests that may wait; the next gets status 429.
        max_body_bytes: Longest request body.
        max_connections: Connections at once; never more than half of the files that the process may open.
        max_connections_per_peer: The same of one address; never more than three quarters of all.
        header_seconds: Seconds for the header of a request to arrive.
        body_seconds: Seconds for its body, and for a client to go on reading.
        max_key_requests: Requests in work or in the queue of one key, or of one address where there are no
            keys.
        max_key_bytes: Bytes of the bodies of these.
        key_requests_per_minute: Requests of one key, or address, within any minute.
        key_bytes_per_minute: Bytes of their bodies.
        allow_hosts: Names, beside this machine's own and those without a dot, that a server without keys is
            asked by.
        keep_alive: Seconds between two comments on a stream that has nothing to say.
        drain: Seconds that requests in work have to end when the server is stopped.
        prices: Price file, for costs in replies and metrics.
        keep_runs: Runs kept for replay, the newest ones; 0 keeps none.
        runs_folder: Keep them in this folder instead of in memory.
        feedback_file: File for feedback on answers, which only grows; without it none is taken.
    """

    models: Mapping[str, AliasConfig]
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = USUAL_PORT
    open_to_all: bool = False
    api_keys_file: str | None = None
    allow_origins: tuple[str, ...] = ()
    max_concurrent: Annotated[int, Ge(1)] = 64
    max_queue: Annotated[int, Ge(0)] = 128
    max_body_bytes: Annotated[int, Ge(1)] = 8_000_000
    max_connections: Annotated[int, Ge(1)] = 4096
    max_connections_per_peer: Annotated[int, Ge(1)] = 3072
    header_seconds: Annotated[float, Gt(0)] = 10.0
    body_seconds: Annotated[float, Gt(0)] = 60.0
    max_key_requests: Annotated[int, Ge(1)] | None = None
    max_key_bytes: Annotated[int, Ge(1)] = 256_000_000
    key_requests_per_minute: Annotated[int, Ge(1)] | None = None
    key_bytes_per_minute: Annotated[int, Ge(1)] | None = None
    allow_hosts: tuple[str, ...] = ()
    keep_alive: Annotated[float, Gt(0)] = 5.0
    drain: Annotated[float, Ge(0)] = 30.0
    prices: str | None = None
    keep_runs: Annotated[int, Ge(0)] = 0
    runs_folder: str | None = None
    feedback_file: str | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise InvalidArgumentError("The configuration names no models. Add `models: {NAME: {...}}`.")
        require_valid(self)
        if not self.host.strip():
            raise InvalidArgumentError(
                f"host={self.host!r} names no address: give 127.0.0.1 for this machine, 0.0.0.0 for all."
            )
        if self.prices is None and any(alias.max_cost is not None for alias in self.models.values()):
            raise InvalidArgumentError("max_cost needs to know what tokens cost: give prices, too.")
        origins = tuple(map(_origin, self.allow_origins))
        hosts = tuple(host.strip().lower().rstrip(".") for host in self.allow_hosts)
        object.__setattr__(self, "allow_origins", origins)
        object.__setattr__(self, "allow_hosts", hosts)
        if self.runs_folder is not None and not self.keep_runs:
            raise InvalidArgumentError(f"runs_folder={self.runs_folder!r} needs keep_runs, say 100.")


def _origin(text: str) -> str:
    """An origin as browsers write it: in small letters, without a path and the usual port.

    Raises:
        InvalidArgumentError: It is none.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.scheme or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidArgumentError(
            f"allow_origins={text!r} is no origin: list each page's own, such as https://ui.example.org."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_usual = port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{port}"


def read_serve_config(path: Path) -> dict[str, Any]:
    """The mapping in `serve.yaml`; see `serve_config`."""
    return read_settings(path)


def serve_config(settings: Mapping[str, Any], where: str = "serve.yaml") -> ServeConfig:
    """The records that a mapping describes.

    Raises:
        DataError: An unknown key, or a value of the wrong type.
        InvalidArgumentError: A value out of range.
    """
    models = settings.get("models")
    if not isinstance(models, dict) or not models:
        raise DataError(f"{where}: expected `models: {{NAME: {{upstreams: [...]}}}}`.")
    aliases: dict[str, AliasConfig] = {}
    for name, entry in cast("dict[Any, Any]", models).items():
        aliases[str(name)] = _alias(entry, f"{where}: models.{name}")
    return typed_record(ServeConfig, {**settings, "models": aliases}, where)


def default_alias(ref: str, base_url: str | None, api_key_env: str | None) -> dict[str, Any]:
    """An alias for one model without any configuration.

    The embedded one needs worked examples; the aggregator that was trained on it, if it is there, reads.
    """
    is_embedded = without_engine(ref) in (EMBEDDED, EMBEDDED_SSA)
    if without_engine(ref) == EMBEDDED and embedded_ssa_is_installed():
        ref = (
            ref.removesuffix(EMBEDDED) + EMBEDDED_SSA
        )  # one engine does both: without its adapter it samples
    upstream = {"model": ref, "base_url": base_url, "api_key_env": api_key_env}
    alias: dict[str, Any] = {"upstreams": [{name: value for name, value in upstream.items() if value}]}
    if is_embedded:
        alias |= {"prompt": "worked_examples", "max_tokens": 256, "deadline": 600.0, "timeout": 600.0}
    return alias


def _alias(entry: object, where: str) -> AliasConfig:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected a mapping with `upstreams`, got {entry!r}.")
    values = dict(cast("dict[str, Any]", entry))
    listed = values.get("upstreams")
    if not isinstance(listed, list) or not listed:
        raise DataError(f"{where}: expected `upstreams: [{{model: NAME, base_url: URL}}, ...]`.")
    members = [
        typed_record(Member, entry, f"{where}: upstream {number}")
        for number, entry in enumerate(cast("list[object]", listed), start=1)
    ]
    if any(member.seed is not None for member in members):
        raise DataError(f"{where}: upstreams: seed: the request names it. Leave it away.")
    values["upstreams"] = tuple(members)
    if values.get("k") == 0:
        raise InvalidArgumentError(f"{where}: k=0: give 1 or more samples, or leave k away.")
    for key in ("aggregator_model", "judge"):
        if (reader := values.get(key)) is not None:
            member_settings = {"model": reader} if isinstance(reader, str) else reader
            member = typed_record(Member, member_settings, f"{where}: {key}")
            values[key] = require_reader(member, f"{where}: {key}")
    steps: object = values.pop("escalate", None) or []
    if not isinstance(steps, list):
        raise DataError(f"{where}: expected `escalate: [{{k: 20}}, ...]`, a list of further steps.")
    further = cast("list[object]", steps)
    values["escalate"] = tuple(
        _further_step(cast("object", entry), step, f"{where}: escalate: step {number}")
        for number, step in enumerate(further, start=2)
    )
    return typed_record(AliasConfig, values, where)


def _further_step(alias: object, step: object, where: str) -> AliasConfig:
    """A further step: the alias it belongs to, and what it names itself."""
    if not isinstance(step, dict):
        raise DataError(f"{where}: expected a mapping, {{k: 20, certificate: FILE}} say, got {step!r}.")
    named = {str(key).replace("-", "_"): value for key, value in cast("dict[Any, Any]", step).items()}
    if unknown := sorted(set(named) - _OF_STEP):
        known = ", ".join(sorted(_OF_STEP))
        raise DataError(f"{where}: unknown key {unknown[0]!r}. A step takes: {known}.")
    common = {
        name: value
        for key, value in cast("dict[Any, Any]", alias).items()
        if (name := str(key).replace("-", "_")) not in _OF_FIRST_STEP
    }
    if "upstreams" in named:
        common = {name: value for name, value in common.items() if name != "aggregator_model"}
    merged = {**common, **named}
    if isinstance(k := merged.get("k"), int) and isinstance(most := merged.get("max_k"), int | None):
        merged["max_k"] = max(k, most or 32)
    return _alias(merged, where)


_OF_STEP = {
    *(
        "upstreams",
        "k",
        "aggregator",
        "aggregator_model",
        "certificate",
        "min_confidence",
        "prompt",
        "quorum",
    ),
    *("deadline", "aggregation_deadline", "timeout", "max_retries", "hedge_after", "max_concurrency"),
}
"""The keys that a further step may name. All others are the alias's own."""
_OF_FIRST_STEP = {
    *("escalate", "certificate", "risk", "labelled", "min_confidence", "aggregators"),
    *("stop", "settled_by_vote"),
}
"""The keys that a further step does not take over."""
