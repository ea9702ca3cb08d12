"""The command that has a reward model score stored sample sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from sampleset.cli.options import (
    ApiKey,
    AsJson,
    BaseUrl,
    Columns,
    Concurrency,
    Config,
    Configuration,
    ContextSize,
    KeepThinking,
    Limit,
    Retries,
    Set,
    Timeout,
    option,
)
from sampleset.cli.support import print_summary, resolved_settings, run_async
from sampleset.errors import InvalidArgumentError


def score(
    samples: Annotated[Path, typer.Argument(help="A store, or a file of sample sets.")],
    output: Annotated[Path, option("--output", help="The same sets with scores: .jsonl[.gz] or .parquet.")],
    reward_model: Annotated[
        str,
        option("--reward-model", help="A kind of `sampleset list reward-models`, its options in brackets."),
    ],
    model: Annotated[str, option("--model", help="A folder, a Hub id, or what a judge may be asked as.")],
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    context_size: ContextSize = None,
    column: Annotated[
        str | None, option("--column", help="Name of the scores, ending in _scores; by default KIND_scores.")
    ] = None,
    steps: Annotated[
        str, option("--steps", help="Of a process model's steps: last, min, product or mean.")
    ] = "last",
    configuration: Configuration = None,
    columns: Columns = None,
    limit: Limit = None,
    keep_thinking: KeepThinking = False,
    max_concurrency: Concurrency = 8,
    max_retries: Retries = 4,
    timeout: Timeout = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Score stored samples by a reward model, for by=COLUMN. Run it again to go on where it stopped."""
    from sampleset.commands.opening import ModelRef
    from sampleset.commands.score import score_file
    from sampleset.models.retries import Patience
    from sampleset.reward_models.base import Reduction
    from sampleset.storage.records import parse_columns
    from sampleset.storage.sample_sets import SampleFile

    how: Any = steps
    if how not in get_args(Reduction):
        raise InvalidArgumentError(f"--steps {steps!r} must be one of {', '.join(get_args(Reduction))}.")
    summary = run_async(
        score_file(
            SampleFile(samples, configuration, limit, parse_columns(columns) if columns else None),
            output,
            reward_model,
            ModelRef(model, base_url, api_key, context_size),
            column=column,
            steps=how,
            keep_thinking=keep_thinking,
            patience=Patience(max_retries, timeout),
            max_concurrency=max_concurrency,
            settings=resolved_settings("score", locals()),
        )
    )
    print_summary(summary, as_json)
