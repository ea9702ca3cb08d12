"""Mixed sample pools: several models, temperatures or roles draw for one question, each its count.

A pool is a YAML list, in a file of its own or under `pool:` in a settings file:

    pool:
      - {model: gpt-4o-mini, base_url: https://api.openai.com/v1, api_key_env: OPENAI_API_KEY, count: 4}
      - {model: gpt-4o-mini, count: 2, temperature: 1.2, system: You are a careful examiner.}
      - {model: embedded, count: 2, prompt: worked_examples, weight: 0.5}

What a member leaves out is as the command's own options say. Each member is a configuration of its own in the
store. A question's pooled set shuffles all draws by a hash, and each draw names its model. `weight` is kept
with each draw, for `weighted_vote:by=weight`; where one member names it, that of the others is 1.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError, SamplingError
from sampleset.models.together import gathered
from sampleset.prompts import usual_prompt
from sampleset.sampling.options import SamplingOptions
from sampleset.sampling.sampler import Sampler
from sampleset.storage.store import pooled
from sampleset.types import Question, SampleSet

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """One of those that draw; `None` is as the command's own option.

    Attributes:
        model: A model REF.
        count: Draws per question.
        base_url: Its server.
        api_key_env: Name of the environment variable that holds the server's key.
        system: A system message: a role to play, say.
        prompt: How a solution is asked for.
        seed: Seed of its first draw.
        weight: Weight of each of its draws; 1 where another member names one.
    """

    model: str
    count: int = 1
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    system: str | None = None
    prompt: str | None = None
    seed: int | None = None
    weight: float | None = None

    @property
    def api_key(self) -> str | None:
        """The key from the environment.

        Raises:
            InvalidArgumentError: The variable is not set.
        """
        if self.api_key_env is None:
            return None
        if not (key := os.environ.get(self.api_key_env)):
            raise InvalidArgumentError(
                f"The pool's member {self.model!r} takes its key from the environment variable "
                f"{self.api_key_env!r}, which is not set."
            )
        return key

    def options(self, common: SamplingOptions, weight: float | None = None) -> SamplingOptions:
        """How this member draws, where the others draw as `common` says.

        Args:
            common: The command's own options.
            weight: Weight of its draws where it names none.
        """
        own = {name: getattr(self, name) for name in ("temperature", "top_p", "max_tokens")}
        return replace(
            common,
            n=self.count,
            params=replace(common.params, **{name: one for name, one in own.items() if one is not None}),
            prompt=self.prompt or usual_prompt(self.model),
            system=self.system,
            seed=common.seed if self.seed is None else self.seed,
            min_samples=min(common.min_samples, self.count),
            weight=weight if self.weight is None else self.weight,
        )


def read_pool(source: object) -> list[Member]:
    """The members of a pool.

    Args:
        source: A path to a YAML file, or the list that such a file holds.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is not YAML, or not a list of members.
    """
    where, listed = "pool", source
    if isinstance(source, str | Path):
        where, listed = str(source), _load(Path(source))
    if isinstance(listed, Mapping):
        listed = cast("Mapping[str, object]", listed).get("pool")
    if not isinstance(listed, list) or not listed:
        raise DataError(f"{where}: expected a list of members, as `pool: [{{model: NAME, count: 4}}, ...]`.")
    return [
        _member(f"{where}: member {number}", entry)
        for number, entry in enumerate(cast("list[object]", listed), start=1)
    ]


def _load(path: Path) -> object:
    import yaml

    if not path.is_file():
        raise InputNotFoundError(f"No pool file {str(path)!r}. Give a YAML file with a list `pool:`.")
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not YAML ({str(error).splitlines()[0]}).") from error


_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
}


def _member(where: str, entry: object) -> Member:
    if not isinstance(entry, Mapping):
        raise DataError(f"{where}: expected {{model: NAME, ...}}, got {entry!r}.")
    values = cast("Mapping[str, Any]", entry)
    known = {one.name: str(one.type).split(" ")[0] for one in fields(Member)}
    if unknown := sorted(set(map(str, values)) - set(known)):
        raise DataError(f"{where}: unknown {unknown[0]!r}. It takes {', '.join(known)}.")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, _KINDS[known[name]]):
            raise DataError(f"{where}: {name}={value!r} must be a value of type {known[name]}.")
    if not values.get("model"):
        raise DataError(f"{where}: it names no model.")
    member = Member(**values)
    if member.count < 1:
        raise DataError(f"{where}: count={member.count!r} must be at least 1.")
    return member


class Pool:
    """Samplers that draw for the same questions, into one store.

    Args:
        samplers: One per member.

    Raises:
        InvalidArgumentError: Two members would make the very same draws.
    """

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self.samplers = samplers
        _refuse_same([sampler.configuration.id for sampler in samplers])

    async def sample(self, question: Question) -> SampleSet:
        """The pooled set of one question; members that miss their quorum add nothing.

        Raises:
            InvalidArgumentError: Two members would make the very same draws.
            SamplingError: All members did.
            BackendError: A member's model cannot be asked at all.
        """
        self._refuse_same_draws([question])
        found = await gathered(_or_error(sampler.sample(question)) for sampler in self.samplers)
        drawn = [
            (sampler.configuration.id, replace(sample, model=sampler.configuration.model))
            for sampler, sample_set in zip(self.samplers, found, strict=True)
            if not isinstance(sample_set, SamplingError)
            for sample in sample_set.samples
        ]
        if not drawn:
            raise next(one for one in found if isinstance(one, SamplingError))
        return pooled(question, drawn)

    async def sample_many(self, questions: Sequence[Question]) -> None:
        """Draw for all questions, every member at its own pace. What was drawn is in the store.

        Raises:
            InvalidArgumentError: Two members would make the very same draws.
            SamplingError: Some member got nothing at all; the others went on to their end.
            BackendError: A member's model cannot be asked at all.
        """
        self._refuse_same_draws(questions)

        async def draw(sampler: Sampler) -> None:
            async for _ in sampler.sample_many(questions):
                pass

        found = await gathered(_or_error(draw(sampler)) for sampler in self.samplers)
        for error in found:
            if error is not None:
                raise error

    def _refuse_same_draws(self, questions: Sequence[Question]) -> None:
        """Two prompts by name may send one text for some questions."""
        for question in questions if len(self.samplers) > 1 else ():
            _refuse_same([sampler.key(question) for sampler in self.samplers])


def _refuse_same(members: Sequence[str]) -> None:
    """Refuse two members of the same key."""
    for number, key in enumerate(members, start=1):
        if (first := members.index(key) + 1) < number:
            raise InvalidArgumentError(
                f"Members {first} and {number} of the pool make the very same draws. Give one the sum of "
                "their counts, or another seed."
            )


async def _or_error(work: Coroutine[Any, Any, T]) -> T | SamplingError:
    try:
        return await work
    except SamplingError as error:
        return error
