"""The commands over stored sample sets: aggregate, evaluate, replay, report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sampleset.cli.options import (
    Aggregators,
    AggregatorUrl,
    AnswerKind,
    ApiKey,
    AsJson,
    Columns,
    Concurrency,
    Config,
    Configuration,
    ContextSize,
    Engine,
    FirstBatch,
    KeepThinking,
    Limit,
    OneAggregator,
    Permutations,
    PriceFile,
    ReaderModel,
    Retries,
    RunCode,
    Seed,
    Set,
    Sizes,
    Subsets,
    Timeout,
    VerdictFile,
    Workers,
    option,
)
from sampleset.cli.support import print_json, print_summary, resolved_settings, run_async
from sampleset.errors import InvalidArgumentError


def aggregate(
    samples: Annotated[Path, typer.Argument(help="A store, or a file of sample sets.")],
    aggregator: OneAggregator = "majority_vote",
    k: Annotated[int | None, option("-k", "--k", help="Samples read per question; all by default.")] = None,
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
    engine: Engine = "local",
    max_concurrency: Concurrency = 8,
    max_retries: Retries = 4,
    timeout: Timeout = None,
    output_dir: Annotated[
        Path | None, option("--output-dir", help="Write answers.jsonl here, not to stdout.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Give one answer per stored sample set. Run it again to go on where it stopped."""
    from sampleset.commands.aggregate import aggregate_file
    from sampleset.commands.opening import ModelRef
    from sampleset.models.ray import parse_engine
    from sampleset.storage.records import parse_columns

    summary = run_async(
        aggregate_file(
            samples,
            aggregator,
            k=k,
            aggregator_model=ModelRef(
                aggregator_model, aggregator_base_url, api_key, context_size, parse_engine(engine)
            ),
            configuration=configuration,
            limit=limit,
            columns=parse_columns(columns) if columns else None,
            answer_kind=answer_kind,
            keep_thinking=keep_thinking,
            max_concurrency=max_concurrency,
            patience=(max_retries, timeout),
            output_dir=output_dir,
            settings=resolved_settings("aggregate", locals()),
            run_code=run_code or "off",
        )
    )
    if output_dir is not None:
        print_summary(summary, as_json)


def evaluate(
    samples: Annotated[list[Path], typer.Argument(help="Stores or files of sample sets, with gold answers.")],
    aggregator: Aggregators = None,
    k: Sizes = None,
    subsets: Subsets = None,
    permutations: Permutations = None,
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
    seed: Seed = 0,
    engine: Engine = "local",
    max_concurrency: Concurrency = 8,
    max_retries: Retries = 4,
    timeout: Timeout = None,
    workers: Workers = None,
    verdicts: VerdictFile = None,
    prices: PriceFile = None,
    output_dir: Annotated[Path, option("--output-dir", help="The report's folder.")] = Path("report"),
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Compare aggregators on the same sample sets: tables, and a report to look at. Resumes."""
    from sampleset.answers import default_verdict_path
    from sampleset.commands.evaluate import DEFAULT_METHODS, evaluate_files
    from sampleset.commands.opening import ModelRef
    from sampleset.commands.terminal import print_evaluation
    from sampleset.evaluation import EvaluationOptions, parse_sizes
    from sampleset.models.ray import parse_engine
    from sampleset.report import report_dict
    from sampleset.storage.records import parse_columns
    from sampleset.storage.sample_sets import SampleFile

    settings = resolved_settings("evaluate", locals())
    mapping = parse_columns(columns) if columns else None
    evaluation = run_async(
        evaluate_files(
            [SampleFile(path, configuration, limit, mapping, answer_kind) for path in samples],
            aggregator or list(DEFAULT_METHODS),
            EvaluationOptions(
                ks=parse_sizes(k) if k else None,
                subsets=subsets,
                permutations=permutations,
                seed=seed,
                keep_thinking=keep_thinking,
                max_concurrency=max_concurrency,
                workers=workers if workers is not None else os.cpu_count() or 1,
                verdicts=verdicts or default_verdict_path(),
            ),
            aggregator_model=ModelRef(
                aggregator_model, aggregator_base_url, api_key, context_size, parse_engine(engine)
            ),
            patience=(max_retries, timeout),
            prices=prices,
            output_dir=output_dir,
            settings=settings,
            run_code=run_code or "off",
        )
    )
    if as_json:
        print_json(report_dict(evaluation, settings))
    else:
        print_evaluation(evaluation)
        print(f"report: {output_dir / 'report.html'}", file=sys.stderr)


def replay(
    samples: Annotated[list[Path], typer.Argument(help="Stores or files of sample sets, with gold answers.")],
    stop: Annotated[
        str, option("--stop", help="Rules, parted by commas: beta:P, dirichlet:P, esc:W.")
    ] = "beta:0.8,beta:0.9,beta:0.95,dirichlet:0.95,esc:3,esc:4,esc:5",
    k: Annotated[
        int | None, option("-k", "--k", help="Samples per question at most; by default the smallest set's.")
    ] = None,
    orders: Annotated[int, option("--orders", help="Orders of each question's samples.")] = 20,
    first_batch: FirstBatch = None,
    resample: Annotated[
        bool, option("--resample", help="Draw the k from a set's samples with replacement.")
    ] = False,
    configuration: Configuration = None,
    columns: Columns = None,
    limit: Limit = None,
    keep_thinking: KeepThinking = False,
    answer_kind: AnswerKind = None,
    run_code: RunCode = None,
    seed: Seed = 0,
    verdicts: VerdictFile = None,
    output_dir: Annotated[
        Path | None, option("--output-dir", help="Write replay.json and replay.csv here.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Replay stopping rules on stored sets: accuracy against samples and tokens, without drawing anything."""
    from rich.console import Console

    from sampleset.answers import Kinds, default_verdict_path, use_verdict_store
    from sampleset.commands.replay import replay_files
    from sampleset.evaluation import ReplayOptions
    from sampleset.report import replay_dict, replay_tables
    from sampleset.sampling.stopping import parse_stop
    from sampleset.storage.records import parse_columns
    from sampleset.storage.sample_sets import SampleFile

    settings = resolved_settings("replay", locals())
    mapping = parse_columns(columns) if columns else None
    use_verdict_store(verdicts or default_verdict_path())
    kinds = Kinds(run_code=run_code or "off", inline=True)
    files = run_async(
        replay_files(
            [SampleFile(path, configuration, limit, mapping, answer_kind, kinds) for path in samples],
            ReplayOptions(
                rules=tuple(parse_stop(one) for one in stop.split(",")),
                k=k,
                orders=orders,
                first_batch=first_batch,
                with_replacement=resample,
                seed=seed,
                keep_thinking=keep_thinking,
            ),
            output_dir,
            settings,
        )
    )
    if as_json:
        print_json(replay_dict(files, settings))
        return
    for table in replay_tables(files):
        Console().print(table, end="\n\n")


def report(
    folder: Annotated[Path, typer.Argument(help="A report's folder, as `sampleset evaluate` writes it.")],
    other: Annotated[Path | None, typer.Argument(help="A second one, to compare with the first.")] = None,
    output_dir: Annotated[
        Path | None, option("--output-dir", help="Write comparison.json and comparison.md here.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Print a report and make its pages again, or compare two reports problem by problem."""
    from rich.console import Console

    from sampleset import report as reports

    if other is None:
        if output_dir is not None:
            raise InvalidArgumentError("--output-dir is for a comparison. Give two reports' folders.")
        evaluation, _ = reports.rewrite_report(folder)
        found, tables = reports.read_report(folder), reports.report_tables(evaluation)
    else:
        comparison = reports.compare_runs(folder, other)
        found, tables = reports.comparison_dict(comparison), reports.comparison_tables(comparison)
        if output_dir is not None:
            reports.write_comparison(output_dir, comparison)
    if as_json:
        print_json(found)
        return
    for table in tables:
        Console().print(table, end="\n\n")
