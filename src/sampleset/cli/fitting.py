"""The command that fits a vote on labelled sample sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from sampleset.cli.options import (
    AggregatorUrl,
    AnswerKind,
    ApiKey,
    AsJson,
    Columns,
    Concurrency,
    Config,
    Configuration,
    ContextSize,
    KeepThinking,
    Limit,
    ReaderModel,
    Retries,
    RunCode,
    Set,
    Timeout,
    VerdictFile,
    option,
)
from sampleset.cli.support import print_json, run_async
from sampleset.errors import InvalidArgumentError


def fit_vote(
    samples: Annotated[list[Path], typer.Argument(help="Stores or files of sample sets, with gold answers.")],
    output: Annotated[Path, option("--output", help="The fitted vote, a .json file.")] = Path("vote.json"),
    k: Annotated[
        str | None, option("-k", "--k", help="Fit on subsets of these sizes, as 5 or 4-8; else whole sets.")
    ] = None,
    subsets: Annotated[int, option("--subsets", help="Most subsets per question and size.")] = 8,
    folds: Annotated[int, option("--folds", help="Of the cross-validation, by question.")] = 10,
    without: Annotated[
        list[str] | None, option("--without", help="A feature, or a group of them, to leave out; repeatable.")
    ] = None,
    reader: Annotated[
        str | None, option("--reader", help="Also learn from an aggregator that reads, as ssa:model=REF.")
    ] = None,
    reward_model: Annotated[
        str | None, option("--reward-model", help="Also learn from scores, as p_true,model=REF.")
    ] = None,
    steps: Annotated[
        str, option("--steps", help="Of a process model's steps: last, min, product or mean.")
    ] = "last",
    aggregator_model: ReaderModel = "embedded",
    aggregator_base_url: AggregatorUrl = None,
    api_key: ApiKey = None,
    context_size: ContextSize = None,
    configuration: Configuration = None,
    columns: Columns = None,
    limit: Limit = None,
    keep_thinking: KeepThinking = False,
    answer_kind: AnswerKind = None,
    run_code: RunCode = None,
    max_concurrency: Concurrency = 8,
    max_retries: Retries = 4,
    timeout: Timeout = None,
    verdicts: VerdictFile = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Learn from labelled sets what speaks for an answer, and say what that is worth. No GPU, seconds."""
    from sampleset.answers import default_verdict_path, use_verdict_store
    from sampleset.commands.fit_vote import fit_lines, fit_vote_file, usage_of_fit
    from sampleset.commands.opening import ModelRef
    from sampleset.evaluation import parse_sizes
    from sampleset.reward_models.base import Reduction
    from sampleset.storage.records import parse_columns
    from sampleset.storage.sample_sets import SampleFile
    from sampleset.training.labelled_sets import LabelOptions

    how: Any = steps
    if how not in get_args(Reduction):
        raise InvalidArgumentError(f"--steps {steps!r} must be one of {', '.join(get_args(Reduction))}.")
    mapping = parse_columns(columns) if columns else None
    use_verdict_store(verdicts or default_verdict_path())
    fit = run_async(
        fit_vote_file(
            [SampleFile(path, configuration, limit, mapping, answer_kind) for path in samples],
            output,
            LabelOptions(
                ks=parse_sizes(k) if k else None,
                subsets=subsets,
                keep_thinking=keep_thinking,
                without=tuple(without or ()),
                steps=how,
            ),
            folds=folds,
            reader=reader,
            reward_model=reward_model,
            aggregator_model=ModelRef(aggregator_model, aggregator_base_url, api_key, context_size),
            patience=(max_retries, timeout),
            max_concurrency=max_concurrency,
        )
    )
    if as_json:
        print_json(fit.model.to_json())
        return
    print("\n".join(fit_lines(fit)))
    print(f"use it: --aggregator '{usage_of_fit(output, fit, reader, reward_model)}'", file=sys.stderr)
