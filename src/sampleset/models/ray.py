"""Backends and grading on the nodes of a Ray cluster.

The command itself stays one process. It alone reads and writes the store, chooses the seeds and keeps the
order, so its files equal those of the local engine. A task is one backend call or the grading of one
question. Each actor holds a backend. The calls of one question go to one actor while any of them is in
flight, so that its prompt cache serves them. A call whose actor is lost fails with a transient error, and the
caller tries again on another actor. Ray restarts the actor, on another node if necessary.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from sampleset.answers import use_verdict_store
from sampleset.backends.base import Backend, can_score, record_of
from sampleset.chat import Continuation, Generation, Message, SamplingParams, estimate_pieces
from sampleset.engines.checkpoint import CheckpointRecord
from sampleset.errors import BackendError, InvalidArgumentError, MissingExtraError, TransientBackendError
from sampleset.models.opening import ready_backend
from sampleset.storage.store import digest

_PROBE = 1.0
_CARRIED = ("OPENAI_BASE_URL", "OPENAI_API_KEY")


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Options of a cluster.

    Attributes:
        actors: Actors per model; by default one per node.
        gpus: GPUs of each actor.
    """

    actors: int | None = None
    gpus: float = 0.0


def parse_engine(text: str) -> RayOptions | None:
    """Options of `ray` or `ray:actors=N,gpus=N`; `None` for `local`.

    Raises:
        InvalidArgumentError: The text is none of these.
    """
    if text == "local":
        return None
    name, _, rest = text.partition(":")
    values: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        values[key] = value
    try:
        if name == "ray" and set(values) <= {"actors", "gpus"}:
            actors, gpus = int(values["actors"]) if "actors" in values else None, float(values.get("gpus", 0))
            if (actors is None or actors > 0) and gpus >= 0:
                return RayOptions(actors, gpus)
    except ValueError:
        pass
    raise InvalidArgumentError(f"--engine {text!r} is unknown. Give local, ray, or ray:actors=N,gpus=N.")


@contextmanager
def _cluster() -> Generator[Any]:
    """Ray, connected to the cluster of `RAY_ADDRESS` or `ray start`, or else to a new one on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise MissingExtraError("--engine ray needs Ray: pip install 'sampleset[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


@dataclass(frozen=True, slots=True)
class _Facts:
    """The attributes of a checked backend."""

    model: str
    group_size: int
    max_calls: int | None
    context_size: int | None
    continues_assistant: bool
    scores: bool
    record: CheckpointRecord | None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A backend's error in a form that can be pickled; some errors cannot."""

    kind: type[BackendError]
    message: str
    retry_after: float | None
    waits_for: Any = None

    def error(self) -> BackendError:
        if issubclass(self.kind, TransientBackendError):
            return TransientBackendError(self.message, retry_after=self.retry_after, waits_for=self.waits_for)
        return self.kind(self.message)


class _Host:
    """An actor that holds a backend and runs calls on it."""

    def __init__(self, environment: Mapping[str, str], *model: Any) -> None:
        os.environ.update(environment)
        self._model = model
        self._backend: Backend | None = None

    async def facts(self) -> _Facts | _Refusal:
        try:
            if self._backend is None:
                self._backend = await ready_backend(*self._model)
            backend = self._backend
        except BackendError as error:
            return _refusal(error)
        scores = can_score(backend)
        sizes = backend.group_size, backend.max_calls, backend.context_size
        return _Facts(backend.model, *sizes, backend.continues_assistant, scores, record_of(backend))

    async def ask(self, method: str, arguments: Sequence[Any]) -> Any:
        try:
            return await getattr(self._backend, method)(*arguments)
        except BackendError as error:
            return _refusal(error)


def _refusal(error: BackendError) -> _Refusal:
    waits = getattr(error, "retry_after", None), getattr(error, "waits_for", None)
    return _Refusal(type(error), str(error), *waits)


class RayBackend:
    """A backend whose calls run on actors. Made by `open_on_ray`."""

    def __init__(self, ray: Any, hosts: Sequence[Any], facts: _Facts) -> None:
        self._ray, self._hosts = ray, hosts
        self._up = set(range(len(hosts)))
        self._busy: Counter[int] = Counter()
        self._assignments: dict[str, tuple[int, int]] = {}
        self._probes: set[asyncio.Task[None]] = set()
        self.model, self.group_size, self.record = facts.model, facts.group_size, facts.record
        self.max_calls = None if facts.max_calls is None else facts.max_calls * len(hosts)
        self.context_size, self.continues_assistant = facts.context_size, facts.continues_assistant
        self.scores = facts.scores

    async def check(self) -> None:
        """Return; every actor's backend was checked when it was opened."""

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """As the backend's."""
        return await self._ask(messages, "generate", [messages, params, seeds])

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """As the backend's, where it scores."""
        return await self._ask(messages, "score", [messages, continuations])

    async def tokenize(self, text: str) -> list[str]:
        """As the backend's; an estimate on the long side if the actor was lost."""
        try:
            return await self._ask(text, "tokenize", [text])
        except TransientBackendError:
            return estimate_pieces(text)

    async def aclose(self) -> None:
        """End the actors."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
        for host in self._hosts:
            self._ray.kill(host)

    async def _ask(self, shard: object, method: str, arguments: Sequence[Any]) -> Any:
        """The result of a call on the shard's actor.

        Raises:
            TransientBackendError: The actor was lost, or no actor is running.
            BackendError: As the backend's.
        """
        key = digest(shard)
        if not self._up:
            raise TransientBackendError("no actor of the Ray cluster is running")
        host, calls = self._assignments.get(key, (-1, 0))
        if host not in self._up:
            host = min(sorted(self._up), key=self._busy.__getitem__)
        self._assignments[key] = host, calls + 1
        self._busy[host] += 1
        reply = self._hosts[host].ask.remote(method, arguments)
        try:
            result = await reply
        except asyncio.CancelledError:
            self._ray.cancel(reply)
            raise
        except self._ray.exceptions.RayActorError as error:
            self._lost(host)
            raise TransientBackendError(f"actor {host} of the Ray cluster was lost") from error
        finally:
            self._busy[host] -= 1
            current, calls = self._assignments.pop(key)
            if calls > 1:
                self._assignments[key] = current, calls - 1
        if isinstance(result, _Refusal):
            raise result.error()
        return result

    def _lost(self, host: int) -> None:
        """Assign no calls to the actor until Ray has restarted it."""
        if host not in self._up:
            return
        self._up.discard(host)

        async def probe() -> None:
            while True:
                await asyncio.sleep(_PROBE)
                try:
                    if isinstance(await self._hosts[host].facts.remote(), _Facts):
                        break
                except self._ray.exceptions.RayActorError:
                    pass
            self._up.add(host)

        task = asyncio.create_task(probe())
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)


@asynccontextmanager
async def open_on_ray(
    options: RayOptions,
    ref: str,
    base_url: str | None,
    api_key: str | None,
    context_size: int | None,
    omit: Sequence[str] = (),
) -> AsyncGenerator[RayBackend]:
    """A backend whose calls run on the cluster.

    Each node needs the package and, for local models, the same paths. A server's address and key are taken
    from this process, not from the nodes' environment.

    Raises:
        BackendError: An actor's backend cannot be asked.
    """
    environment = {name: os.environ[name] for name in _CARRIED if name in os.environ}
    with _cluster() as ray:
        count = options.actors or sum(node["Alive"] for node in ray.nodes())
        actor_class = ray.remote(_Host).options(
            num_cpus=1, num_gpus=options.gpus, max_restarts=-1, scheduling_strategy="SPREAD"
        )
        actors = [
            actor_class.remote(environment, ref, base_url, api_key, context_size, omit) for _ in range(count)
        ]
        replies = await asyncio.gather(*(actor.facts.remote() for actor in actors))
        for facts in replies:
            if isinstance(facts, _Refusal):
                raise facts.error()
        backend = RayBackend(ray, actors, replies[0])
        try:
            yield backend
        finally:
            await backend.aclose()


class RayExecutor(Executor):
    """Runs calls as tasks of a cluster. A task whose node is lost is run again."""

    def __init__(self, ray: Any, verdicts: Path | None) -> None:
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._task = ray.remote(_with_verdicts).options(
            num_cpus=1, max_retries=-1, scheduling_strategy="SPREAD"
        )
        self._verdicts = verdicts

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of the call's result."""
        return self._task.remote(self._verdicts, fn, args, kwargs).future()


@contextmanager
def ray_executor(verdicts: Path | None) -> Generator[RayExecutor]:
    """An executor on the cluster. Each node keeps its own verdict file at the path `verdicts`."""
    with _cluster() as ray:
        yield RayExecutor(ray, verdicts)


def _with_verdicts(verdicts: Path | None, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    global _using
    if _using != (verdicts,):
        use_verdict_store(verdicts)
        _using = (verdicts,)
    return fn(*args, **kwargs)


_using: tuple[Path | None] | None = None
