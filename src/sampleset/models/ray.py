"""Backends and grading on the nodes of a Ray cluster.

The command itself stays one process: it alone reads and writes the store, gives out seeds and keeps order, so
its files are those of the local engine. What goes over the wire is one backend call or one question's
grading at a time. Each actor holds a backend; the calls of one question go to one actor while any of them
is in flight, so that its prompt cache serves them. A call whose actor is lost is a transient error, which the
caller tries again elsewhere; Ray starts the actor anew, on another node if need be.
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
    """How a cluster is used.

    Attributes:
        actors: Actors per model; by default one per node.
        gpus: GPUs of each actor.
    """

    actors: int | None = None
    gpus: float = 0.0


def parse_engine(text: str) -> RayOptions | None:
    """Options of `ray` or `ray:actors=N,gpus=N`; `None` for `local`.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if text == "local":
        return None
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        given[key] = value
    try:
        if name == "ray" and set(given) <= {"actors", "gpus"}:
            actors, gpus = int(given["actors"]) if "actors" in given else None, float(given.get("gpus", 0))
            if (actors is None or actors > 0) and gpus >= 0:
                return RayOptions(actors, gpus)
    except ValueError:
        pass
    raise InvalidArgumentError(f"--engine {text!r} is none. Give local, ray, or ray:actors=N,gpus=N.")


@contextmanager
def _cluster() -> Generator[Any]:
    """Ray, connected to the cluster that `RAY_ADDRESS` or `ray start` names, else to one of this machine."""
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
    """What a backend says of itself once it was checked."""

    model: str
    group_size: int
    max_calls: int | None
    context_size: int | None
    continues_assistant: bool
    scores: bool
    record: CheckpointRecord | None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A backend's error as it goes over the wire: some errors' own constructors do not survive pickling."""

    kind: type[BackendError]
    message: str
    retry_after: float | None
    waits_for: Any = None

    def error(self) -> BackendError:
        if issubclass(self.kind, TransientBackendError):
            return TransientBackendError(self.message, retry_after=self.retry_after, waits_for=self.waits_for)
        return self.kind(self.message)


class _Host:
    """An actor: a backend and what it is asked."""

    def __init__(self, environment: Mapping[str, str], *model: Any) -> None:
        os.environ.update(environment)
        self._model = model
        self._backend: Backend | None = None

    async def facts(self) -> _Facts | _Refusal:
        try:
            if self._backend is None:
                self._backend = await ready_backend(*self._model)
            one = self._backend
        except BackendError as error:
            return _refusal(error)
        scores = can_score(one)
        sizes = one.group_size, one.max_calls, one.context_size
        return _Facts(one.model, *sizes, one.continues_assistant, scores, record_of(one))

    async def ask(self, what: str, arguments: Sequence[Any]) -> Any:
        try:
            return await getattr(self._backend, what)(*arguments)
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
        self._places: dict[str, tuple[int, int]] = {}
        self._probes: set[asyncio.Task[None]] = set()
        self.model, self.group_size, self.record = facts.model, facts.group_size, facts.record
        self.max_calls = None if facts.max_calls is None else facts.max_calls * len(hosts)
        self.context_size, self.continues_assistant = facts.context_size, facts.continues_assistant
        self.scores = facts.scores

    async def check(self) -> None:
        """Every actor's backend was checked when it was opened."""

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """As the backend's."""
        return await self._ask(messages, "generate", [messages, params, seeds])

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """As the backend's, where it scores."""
        return await self._ask(messages, "score", [messages, continuations])

    async def tokenize(self, text: str) -> list[str]:
        """As the backend's; what is lost on the way is estimated, on the long side."""
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

    async def _ask(self, shard: object, what: str, arguments: Sequence[Any]) -> Any:
        """What the shard's actor replies.

        Raises:
            TransientBackendError: The actor was lost, or none is there now.
            BackendError: As the backend's.
        """
        key = digest(shard)
        if not self._up:
            raise TransientBackendError("no actor of the Ray cluster is there just now")
        place, calls = self._places.get(key, (-1, 0))
        if place not in self._up:
            place = min(sorted(self._up), key=self._busy.__getitem__)
        self._places[key] = place, calls + 1
        self._busy[place] += 1
        reply = self._hosts[place].ask.remote(what, arguments)
        try:
            given = await reply
        except asyncio.CancelledError:
            self._ray.cancel(reply)
            raise
        except self._ray.exceptions.RayActorError as error:
            self._lost(place)
            raise TransientBackendError(f"actor {place} of the Ray cluster was lost") from error
        finally:
            self._busy[place] -= 1
            now, calls = self._places.pop(key)
            if calls > 1:
                self._places[key] = now, calls - 1
        if isinstance(given, _Refusal):
            raise given.error()
        return given

    def _lost(self, place: int) -> None:
        """Give the actor nothing to do until Ray has started it anew."""
        if place not in self._up:
            return
        self._up.discard(place)

        async def probe() -> None:
            while True:
                await asyncio.sleep(_PROBE)
                try:
                    if isinstance(await self._hosts[place].facts.remote(), _Facts):
                        break
                except self._ray.exceptions.RayActorError:
                    pass
            self._up.add(place)

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
    """A backend whose calls run on the cluster. Nodes need the package, and paths that are there on each.

    A server's address and key are taken from this process, not from the nodes' environment.

    Raises:
        BackendError: An actor's backend cannot be asked.
    """
    environment = {name: os.environ[name] for name in _CARRIED if name in os.environ}
    with _cluster() as ray:
        count = options.actors or sum(node["Alive"] for node in ray.nodes())
        host = ray.remote(_Host).options(
            num_cpus=1, num_gpus=options.gpus, max_restarts=-1, scheduling_strategy="SPREAD"
        )
        hosts = [host.remote(environment, ref, base_url, api_key, context_size, omit) for _ in range(count)]
        found = await asyncio.gather(*(one.facts.remote() for one in hosts))
        for facts in found:
            if isinstance(facts, _Refusal):
                raise facts.error()
        backend = RayBackend(ray, hosts, found[0])
        try:
            yield backend
        finally:
            await backend.aclose()


class RayExecutor(Executor):
    """Calls as tasks of a cluster; a task whose node is lost is run again."""

    def __init__(self, ray: Any, verdicts: Path | None) -> None:
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._task = ray.remote(_with_verdicts).options(
            num_cpus=1, max_retries=-1, scheduling_strategy="SPREAD"
        )
        self._verdicts = verdicts

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The call's outcome, to come."""
        return self._task.remote(self._verdicts, fn, args, kwargs).future()


@contextmanager
def ray_executor(verdicts: Path | None) -> Generator[RayExecutor]:
    """An executor on the cluster; each node keeps a verdict file of its own at the path given."""
    with _cluster() as ray:
        yield RayExecutor(ray, verdicts)


def _with_verdicts(verdicts: Path | None, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    global _using
    if _using != (verdicts,):
        use_verdict_store(verdicts)
        _using = (verdicts,)
    return fn(*args, **kwargs)


_using: tuple[Path | None] | None = None
