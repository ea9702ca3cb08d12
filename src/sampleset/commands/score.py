"""Have a reward model score stored sample sets, and write the sets with its scores."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast, get_args

from sampleset.commands.opening import CallOptions, ModelRef, opened
from sampleset.commands.options import (
    MODEL,
    ApiKey,
    BaseUrl,
    ContextSize,
    OptionGroup,
    SetOptions,
    argument,
    names,
    option,
    saved_settings,
)
from sampleset.commands.run import Run, run_async
from sampleset.commands.score_log import KeptRewardModel, ScoreLog
from sampleset.errors import BackendError, InvalidArgumentError
from sampleset.models.calls import ModelCalls
from sampleset.reward_models.base import REWARD_MODELS, Reduction, RewardModel, RewardScore, reduced
from sampleset.settings import save_settings
from sampleset.specs import build_reward_model, needs_model, parse_spec
from sampleset.storage.files import JsonlLog, check_target, write_rows
from sampleset.storage.records import StoredSet, is_score_column
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Usage
from sampleset.wording import plural


@dataclass(frozen=True, kw_only=True)
class RewardModelOptions(OptionGroup):
    """The model that scores, and the scores' name."""

    reward_model: Annotated[
        str,
        option(
            "--reward-model",
            help="A kind of `sampleset list reward-models`, its options in brackets.",
            autocompletion=names("reward_models.base:REWARD_MODELS"),
        ),
    ]
    model: Annotated[
        str, option("--model", help="A folder, a Hub id, or what a judge may be asked as.", panel=MODEL)
    ]
    base_url: BaseUrl = None
    api_key: ApiKey = None
    context_size: ContextSize = None
    column: Annotated[
        str | None, option("--column", help="Name of the scores, ending in _scores; by default KIND_scores.")
    ] = None
    steps: Annotated[
        str, option("--steps", help="Of a process model's steps: last, min, product or mean.")
    ] = "last"

    def __post_init__(self) -> None:
        if self.steps not in get_args(Reduction):
            raise InvalidArgumentError(
                f"--steps {self.steps!r} must be one of {', '.join(get_args(Reduction))}."
            )

    @property
    def model_ref(self) -> ModelRef:
        """The model as it is named."""
        return ModelRef(self.model, self.base_url, self.api_key, self.context_size)


EXAMPLE = "sampleset score store --reward-model llm_judge --model embedded --output scored.jsonl"


def score(
    samples: Annotated[Path, argument("A store, or a file of sample sets.")],
    output: Annotated[Path, option("--output", help="The same sets with scores: .jsonl[.gz] or .parquet.")],
    scorer: RewardModelOptions,
    sets: SetOptions,
    calls: CallOptions,
    run: Run,
) -> None:
    """Score stored samples by a reward model, for by=COLUMN. Run it again to go on where it stopped."""
    settings = saved_settings("score", scorer, sets, calls, samples=samples, output=output)
    summary = run_async(
        score_file(
            sets.sample_file(samples, None, run.note),
            output,
            scorer,
            calls,
            settings,
            run,
            keep_thinking=sets.keep_thinking,
        )
    )
    run.print_summary(summary)
    run.next("evaluate", output, "--aggregator", f"best_of_n:by={summary['column']}")


async def score_file(
    samples: SampleFile,
    output: Path,
    scorer: RewardModelOptions,
    calls: CallOptions,
    settings: dict[str, Any],
    run: Run,
    *,
    keep_thinking: bool,
) -> dict[str, Any]:
    """Write the sets with a column of scores, by which later methods may go (`by=COLUMN`).

    Each score is saved in `<output>.scores.jsonl` at once; the output is written after the last score.

    Raises:
        DataError: The output is no kind of file that can be written.
        InvalidArgumentError: The output or the column has another form, or the reward model's options have.
        BackendError: The reward model cannot be asked, or scores no sample at all.
    """
    column, steps = _column(samples, output, scorer), cast("Reduction", scorer.steps)
    values: list[list[float | None]] = []
    flags: Counter[str] = Counter()
    usage = Usage()
    async with AsyncExitStack() as stack:
        inner = await _opened(stack, scorer.reward_model, scorer.model_ref, calls)
        reward_model = KeptRewardModel(
            inner, ScoreLog(JsonlLog(output.with_name(f"{output.name}.scores.jsonl")))
        )
        stack.push_async_callback(reward_model.aclose)
        show = stack.enter_context(run.status_line())
        for stored in samples:
            scores = await _scores(reward_model, stored, keep_thinking)
            values.append([None if score is None else reduced(score, steps) for score in scores])
            flags.update("failed" if score is None else score.flag or "scored" for score in scores)
            # Equal samples of a set are scored once.
            usage += sum(
                (score.usage for score in {id(score): score for score in scores if score}.values()), Usage()
            )
            show(f"{plural(len(values), 'set')}, {plural(usage.total_tokens, 'token')}")
    if not flags["scored"]:
        raise BackendError(f"{reward_model.identity} scores none of the samples: {dict(flags)!r}.")
    write_rows(output, _rows(samples, values, column))
    save_settings(output.with_name(f"{output.name}.config.json"), settings)
    return {
        "sets": len(values),
        "samples": flags.total(),
        **dict(flags),
        "column": column,
        "reward_model": reward_model.identity,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "calls": usage.calls,
        "output": str(output),
    }


def _column(samples: SampleFile, output: Path, scorer: RewardModelOptions) -> str:
    """The name of the column, after a check of the output."""
    kind = parse_spec(scorer.reward_model)[0]
    column = scorer.column or f"{kind}_scores"
    if not is_score_column(column):
        raise InvalidArgumentError(f"--column {column!r} must end in '_scores', or it is not read as scores.")
    check_target(output)
    if os.path.realpath(output) == os.path.realpath(samples.path):
        raise InvalidArgumentError(f"--output {str(output)!r} is what is read. Name another file.")
    return column


async def _opened(stack: AsyncExitStack, text: str, model: ModelRef, calls: CallOptions) -> RewardModel:
    """The reward model, with the backend it asks, or the server it runs on."""
    kind, options = parse_spec(text)
    factory = REWARD_MODELS.get(kind)
    if needs_model(factory):
        backend = await stack.enter_async_context(opened(model))
        return build_reward_model(text, None, ModelCalls(backend, calls.patience, calls.max_concurrency))
    return build_reward_model(_with_url(text, options, factory, model), model.ref, None)


def _with_url(text: str, options: Mapping[str, str], factory: Any, model: ModelRef) -> str:
    """The reward model as it is named, with the server's address where it has one."""
    if model.base_url is None:
        return text
    if "base_url" not in getattr(factory, "__dataclass_fields__", {}):
        raise InvalidArgumentError(
            f"--base-url {model.base_url!r}: {text!r} runs in this process. Use the reward model 'server'."
        )
    options_text = ",".join(
        f"{key}={value}" for key, value in ({"base_url": model.base_url} | dict(options)).items()
    )
    return f"{parse_spec(text)[0]}[{options_text}]"


async def _scores(
    reward_model: RewardModel, stored: StoredSet, keep_thinking: bool
) -> list[RewardScore | None]:
    """One score per sample; `None` for draws that failed."""
    sample_set = stored.sample_set if keep_thinking else stored.sample_set.without_thinking()
    texts = list(dict.fromkeys(sample.text for sample in sample_set.samples if not sample.failed))
    scores = await reward_model.score(sample_set.question, texts) if texts else []
    by_text = dict(zip(texts, scores, strict=True))
    return [None if sample.failed else by_text[sample.text] for sample in sample_set.samples]


def _rows(samples: SampleFile, values: list[list[float | None]], column: str) -> Iterator[dict[str, Any]]:
    """The sets as rows, with the scores beside them and in each sample."""
    for stored, column_values in zip(samples, values, strict=True):
        scored = tuple(
            replace(sample, scores={name: old for name, old in sample.scores.items() if name != column})
            if value is None
            else replace(sample, scores={**sample.scores, column: value})
            for sample, value in zip(stored.sample_set.samples, column_values, strict=True)
        )
        sample_set = replace(stored.sample_set, samples=scored)
        yield StoredSet(sample_set, stored.problem, {**stored.row, column: column_values}).to_row()
