"""The members of a pool: several models, temperatures or roles draw for one question.

A pool is a YAML list, in a separate file or under `pool:` in a settings file:

    pool:
      - {model: gpt-4o-mini, base_url: https://api.openai.com/v1, api_key_env: OPENAI_API_KEY, count: 4}
      - {model: gpt-4o-mini, count: 2, temperature: 1.2, system: You are a careful examiner.}
      - {model: embedded, count: 2, prompt: worked_examples, weight: 0.5}

The upstreams of an alias in `serve.yaml` are members, too. A field that a member leaves out is taken from the
command's options, the alias or the request. Each member is a separate configuration in the store. The draws
of a pooled set are ordered by a hash, and each names its model. `weight` is stored with each draw, for
`weighted_vote:by=weight`. If any member names a weight, the weight of the others is 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

from annotated_types import Ge

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError, UnknownNameError
from sampleset.prompts import SOLVE_PROMPTS, usual_prompt
from sampleset.sampling.options import SamplingOptions
from sampleset.settings import FINITE, require_valid, typed_record


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a pool; `None` takes the command's option.

    Attributes:
        model: A model REF.
        count: Draws per question.
        base_url: Address of its server.
        api_key_env: Name of the environment variable that holds the server's key.
        system: A system message, such as a role to play.
        prompt: Name of the prompt that asks for a solution.
        seed: Seed of its first draw.
        weight: Weight of each of its draws; 1 if only other members name one.
        context_size: Tokens of prompt and completion together, where the default is wrong.
        omit: Fields that are never sent to its server, in addition to those of the command.
    """

    model: str
    count: Annotated[int, Ge(1)] = 1
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: Annotated[float, Ge(0), FINITE] | None = None
    top_p: float | None = None
    top_k: Annotated[int, Ge(0)] | None = None
    max_tokens: Annotated[int, Ge(1)] | None = None
    system: str | None = None
    prompt: str | None = None
    seed: Annotated[int, Ge(0)] | None = None
    weight: Annotated[float, Ge(0), FINITE] | None = None
    context_size: Annotated[int, Ge(1)] | None = None
    omit: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.model:
            raise InvalidArgumentError("model='' names no model. Give a model REF.")
        require_valid(self)
        if self.prompt is not None and self.prompt not in SOLVE_PROMPTS:
            raise UnknownNameError("prompt", self.prompt, SOLVE_PROMPTS)

    @property
    def api_key(self) -> str | None:
        """The key from the environment.

        Raises:
            InvalidArgumentError: The variable is not set.
        """
        if self.api_key_env is None:
            return None
        if not (key := os.environ.get(self.api_key_env, "").strip()):
            raise InvalidArgumentError(
                f"The model {self.model!r} takes its key from the environment variable "
                f"{self.api_key_env!r}, which is not set."
            )
        return key

    def options(self, common: SamplingOptions, weight: float | None = None) -> SamplingOptions:
        """This member's options: its own fields, and the common ones where it has none.

        Args:
            common: The command's options.
            weight: Weight of its draws if it names none.
        """
        values = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        return replace(
            common,
            n=self.count,
            params=replace(
                common.params, **{name: value for name, value in values.items() if value is not None}
            ),
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
        typed_record(Member, entry, f"{where}: member {number}")
        for number, entry in enumerate(cast("list[object]", listed), start=1)
    ]


def reader_named(name: str) -> Member:
    """The model that an aggregator asks, by its name in a spec: a REF, or `FILE.yaml#NUMBER` for a member of
    a pool.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: The file is no pool, or the member names more than a model, its server and its context.
    """
    file, mark, number = name.rpartition("#")
    if not mark or not file.endswith((".yaml", ".yml")):
        return Member(name)
    members = read_pool(Path(file))
    if not number.isdecimal() or not 1 <= int(number) <= len(members):
        raise DataError(f"{name}: {file} has the members 1 to {len(members)}.")
    return require_reader(members[int(number) - 1], f"{file}: member {number}")


def require_reader(member: Member, where: str) -> Member:
    """The member, if it names a model and a server and nothing else.

    Raises:
        DataError: It says how to sample, too.
    """
    plain = Member(
        member.model,
        count=member.count,
        base_url=member.base_url,
        api_key_env=member.api_key_env,
        context_size=member.context_size,
        omit=member.omit,
    )
    if member != plain:
        raise DataError(
            f"{where}: a model that an aggregator asks takes model, base_url, api_key_env, context_size and "
            "omit; the rest is of those that sample. Leave it away."
        )
    return member


def _load(path: Path) -> object:
    import yaml

    if not path.is_file():
        raise InputNotFoundError(f"No pool file {str(path)!r}. Give a YAML file with a list `pool:`.")
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not YAML ({str(error).splitlines()[0]}).") from error
