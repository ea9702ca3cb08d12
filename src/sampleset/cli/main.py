"""The command line: parse, call, print. Data goes to stdout, progress and notes to stderr.

Heavy modules are imported inside the commands, so that `--help` stays quick. Order of settings: defaults,
`--config FILE`, `--set KEY=VALUE`, environment (`SAMPLESET_<OPTION>`), flags.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sampleset import __version__
from sampleset.cli.evaluation import aggregate, evaluate, replay, report
from sampleset.cli.options import (
    AggregatorModel,
    AggregatorUrl,
    AnswerKind,
    ApiKey,
    AsJson,
    BaseUrl,
    Columns,
    Concurrency,
    Config,
    ContextSize,
    DataDir,
    Deadline,
    Engine,
    FirstBatch,
    KeepThinking,
    Limit,
    MaxCost,
    MaxTokens,
    MinSamples,
    Model,
    PoolFile,
    PriceFile,
    Prompt,
    QuestionTokens,
    Retries,
    RunCode,
    Samples,
    Seed,
    Set,
    Stop,
    Temperature,
    Timeout,
    TopP,
    TotalTokens,
    option,
)
from sampleset.cli.scoring import score
from sampleset.cli.serving import serve
from sampleset.cli.support import print_json, print_summary, resolved_settings, run_async
from sampleset.cli.training import calibrate, export, train, train_data
from sampleset.errors import InvalidArgumentError, SampleSetError

if TYPE_CHECKING:
    from sampleset.commands.opening import Drawing

app = typer.Typer(
    help="Learn to reason across parallel samples: draw K solutions, read them together, give one answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; an error the package raises on purpose is one line and an exit code."""
    try:
        app()
    except SampleSetError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that may not be written to
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Learn to reason across parallel samples: draw K solutions, read them together, give one answer."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def demo(
    output_dir: Annotated[Path, option("--output-dir", help="Where the report goes.")] = Path("demo"),
    limit: Limit = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Show the whole path on the embedded model: samples, answers, a table, a page."""
    from sampleset.commands.demo import run_demo

    report = run_async(run_demo(output_dir, limit, seed, quiet=as_json))
    if as_json:
        print_json(report)


@app.command()
def answer(
    question: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
    model: Model = "embedded",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    context_size: ContextSize = None,
    samples: Samples = 5,
    temperature: Temperature = 0.8,
    top_p: TopP = 1.0,
    max_tokens: MaxTokens = 512,
    prompt: Prompt = None,
    seed: Seed = 0,
    max_concurrency: Concurrency = 8,
    max_retries: Retries = 4,
    timeout: Timeout = None,
    deadline: Deadline = None,
    min_samples: MinSamples = 1,
    pool: PoolFile = None,
    stop: Stop = None,
    first_batch: FirstBatch = None,
    max_total_tokens: TotalTokens = None,
    max_question_tokens: QuestionTokens = None,
    max_cost: MaxCost = None,
    prices: PriceFile = None,
    aggregator: Annotated[
        str | None,
        option(
            "--aggregator",
            help="NAME or NAME:key=value,...; default: ssa for the embedded model, or the vote.",
        ),
    ] = None,
    aggregator_model: AggregatorModel = None,
    aggregator_base_url: AggregatorUrl = None,
    settled_by_vote: Annotated[
        bool, option("--settled-by-vote", help="Aggregate only where the vote does not meet the rule.")
    ] = False,
    keep_thinking: KeepThinking = False,
    answer_kind: AnswerKind = None,
    run_code: RunCode = None,
    show: Annotated[bool, typer.Option("--show", help="Print the samples side by side.")] = False,
    output_dir: Annotated[Path | None, option("--output-dir", help="Keep the draws in this store.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Draw k samples for one question, aggregate them, print the final answer."""
    from sampleset.commands.answer import answer_question
    from sampleset.commands.opening import ModelRef
    from sampleset.commands.terminal import print_samples
    from sampleset.storage.records import answer_to_row, sample_to_row

    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise InvalidArgumentError("The question is empty. Give a text, or - to read it from stdin.")
    given = run_async(
        answer_question(
            text,
            _drawing(locals()),
            aggregator=aggregator,
            aggregator_model=ModelRef(aggregator_model, aggregator_base_url, api_key)
            if aggregator_model
            else None,
            settled_by_vote=settled_by_vote,
            keep_thinking=keep_thinking,
            answer_kind=answer_kind,
            store_folder=output_dir,
            settings=resolved_settings("answer", locals()),
            run_code=run_code or "off",
        )
    )
    if as_json:
        row = answer_to_row(given.answer, given.sampling)
        print_json(row | {"samples": [sample_to_row(sample) for sample in given.sample_set.samples]})
        return
    if show:
        print_samples(given.sample_set)
    print(given.answer.answer if given.answer.answer is not None else "(no answer)")
    if given.answer.answer is None:
        raise typer.Exit(1)


@app.command()
def sample(
    dataset: Annotated[
        str, typer.Argument(help="NAME or NAME:SPLIT (`sampleset list datasets`), or a file of problems.")
    ],
    output_dir: Annotated[Path, option("--output-dir", help="The store; a later run goes on in it.")],
    model: Model = "embedded",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    context_size: ContextSize = None,
    samples: Samples = 8,
    temperature: Temperature = 0.8,
    top_p: TopP = 1.0,
    max_tokens: MaxTokens = 512,
    prompt: Prompt = None,
    seed: Seed = 0,
    limit: Limit = None,
    shuffle: Annotated[
        int | None, option("--shuffle", help="Take questions in an order shuffled by this seed.")
    ] = None,
    data_dir: DataDir = None,
    columns: Columns = None,
    answer_kind: AnswerKind = None,
    run_code: RunCode = None,
    engine: Engine = "local",
    max_concurrency: Concurrency = 8,
    max_retries: Retries = 4,
    timeout: Timeout = None,
    deadline: Deadline = None,
    min_samples: MinSamples = 1,
    pool: PoolFile = None,
    stop: Stop = None,
    first_batch: FirstBatch = None,
    max_total_tokens: TotalTokens = None,
    max_question_tokens: QuestionTokens = None,
    max_cost: MaxCost = None,
    prices: PriceFile = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Also write the sets to .jsonl[.gz] or .parquet.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Draw n samples per question into a store. Run it again to go on where it stopped."""
    from sampleset.commands.sample import sample_dataset
    from sampleset.storage.records import parse_columns

    summary = run_async(
        sample_dataset(
            dataset,
            output_dir,
            _drawing(locals()),
            limit=limit,
            shuffle=shuffle,
            data_dir=data_dir,
            columns=parse_columns(columns) if columns else None,
            answer_kind=answer_kind,
            export=export,
            settings=resolved_settings("sample", locals()),
            run_code=run_code or "off",
        )
    )
    print_summary(summary, as_json)
    if summary["below_quorum"] or summary["capped"]:
        raise typer.Exit(1)


app.command()(aggregate)
app.command()(evaluate)
app.command()(replay)
app.command()(report)
app.command()(score)
app.command()(train_data)
app.command()(train)
app.command()(calibrate)
app.command()(export)
app.command()(serve)


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="aggregators, backends, datasets or reward-models; all by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what there is, one line each."""
    from sampleset.commands.listing import listing

    entries = listing(kind)
    if as_json:
        print_json(entries)
        return
    for one, names in entries.items():
        width = max(len(name) for name in names)
        if kind is None:
            print(f"{one}:")
        for name, says in names.items():
            print(f"{'' if kind else '  '}{name:<{width}}  {says}")


def _drawing(values: dict[str, Any]) -> Drawing:
    """Who draws, and how, by the options of a command."""
    from dataclasses import replace

    from sampleset.chat import SamplingParams
    from sampleset.commands.opening import Drawing, ModelRef
    from sampleset.evaluation import read_prices
    from sampleset.models.budget import Caps
    from sampleset.models.ray import parse_engine
    from sampleset.models.retries import Patience
    from sampleset.prompts import usual_prompt
    from sampleset.sampling.pool import read_pool
    from sampleset.sampling.sampler import SamplingOptions
    from sampleset.sampling.stopping import parse_stop

    stop, prices, pool, prompt = (values[name] for name in ("stop", "prices", "pool", "prompt"))
    if stop is not None and pool is not None:
        raise InvalidArgumentError(
            f"--stop {stop} with --pool: which member draws last would decide who votes. Give one of them."
        )
    if values["max_cost"] is not None and prices is None:
        raise InvalidArgumentError("--max-cost is money: give --prices FILE, too.")
    options = SamplingOptions(
        n=values["samples"],
        params=SamplingParams(
            temperature=values["temperature"], top_p=values["top_p"], max_tokens=values["max_tokens"]
        ),
        prompt=prompt or usual_prompt(values["model"]),
        seed=values["seed"],
        max_concurrency=values["max_concurrency"],
        patience=Patience(values["max_retries"], values["timeout"]),
        deadline=values["deadline"],
        min_samples=values["min_samples"],
        stop=None if stop is None else parse_stop(stop),
        first_batch=values["first_batch"],
        caps=Caps(values["max_total_tokens"], values["max_question_tokens"], values["max_cost"]),
    )
    return Drawing(
        options,
        ModelRef(
            values["model"],
            values["base_url"],
            values["api_key"],
            values["context_size"],
            parse_engine(values.get("engine", "local")),
        ),
        None if pool is None else [replace(one, prompt=one.prompt or prompt) for one in read_pool(pool)],
        None if prices is None else read_prices(prices),
    )
