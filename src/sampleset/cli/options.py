"""The options that commands share: their names, help and environment variables, and settings from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer


def option(*names: str, help: str, **more: Any) -> Any:
    """An option whose environment variable is `SAMPLESET_` and its long name."""
    long = next(name for name in names if name.startswith("--"))
    variable = f"SAMPLESET_{long.removeprefix('--').replace('-', '_').upper()}"
    return typer.Option(*names, help=help, envvar=variable, show_envvar=False, **more)


def _load_config(context: typer.Context, path: Path | None) -> Path | None:
    from sampleset.settings import read_settings

    if path is not None:
        _take_settings(context, read_settings(path), overrule=False)
    return path


def _load_overrides(context: typer.Context, overrides: list[str] | None) -> list[str] | None:
    from sampleset.settings import parse_overrides

    _take_settings(context, parse_overrides(overrides or []), overrule=True)
    return overrides


def _take_settings(context: typer.Context, settings: dict[str, Any], *, overrule: bool) -> None:
    """Make settings the defaults of the command that is being parsed."""
    from sampleset.settings import options_for

    commands: dict[str, Any] = cast("Any", context.find_root().command).commands
    known = {
        name: [parameter.name or "" for parameter in command.params] for name, command in commands.items()
    }
    new = options_for(context.command.name or "", settings, known)
    old = dict(context.default_map or {})
    context.default_map = {**old, **new} if overrule else {**new, **old}


def _as_it_is(value: object) -> object:
    """A path from the command line, or what a settings file holds in its place."""
    return value


Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings from a YAML file.", is_eager=True, callback=_load_config),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE over the file.", is_eager=True, callback=_load_overrides),
]
Model = Annotated[str, option("--model", help="embedded, a .gguf path, replay:FILE, or a server's name.")]
BaseUrl = Annotated[str | None, option("--base-url", help="OpenAI-compatible server, up to /v1.")]
ApiKey = Annotated[str | None, option("--api-key", help="The server's key; by default OPENAI_API_KEY.")]
ContextSize = Annotated[int | None, option("--context-size", help="Tokens of prompt and completion.")]
Samples = Annotated[int, option("-k", "-n", "--samples", help="Samples drawn per question.")]
Temperature = Annotated[float, option("--temperature", help="0 is greedy.")]
TopP = Annotated[float, option("--top-p", help="Nucleus mass.")]
MaxTokens = Annotated[int, option("--max-tokens", help="Most tokens of one sample.")]
Prompt = Annotated[
    str | None,
    option("--prompt", help="solve, or worked_examples (for very small models; the embedded one's default)."),
]
Seed = Annotated[int, option("--seed", help="Seed of all that is drawn by chance.")]
Engine = Annotated[
    str, option("--engine", help="Where models and grading run: local, ray, or ray:actors=N,gpus=N.")
]
Concurrency = Annotated[int, option("--max-concurrency", help="Backend calls in flight at once.")]
Retries = Annotated[int, option("--max-retries", help="Further tries after a transient error.")]
Timeout = Annotated[
    float | None,
    option("--timeout", help="Seconds one call may take; by default 600 for a server's, else no limit."),
]
Deadline = Annotated[float | None, option("--deadline", help="Seconds one question may take.")]
MinSamples = Annotated[int, option("--min-samples", help="Quorum: fewer successful draws are an error.")]
Stop = Annotated[
    str | None,
    option("--stop", help="Draw no more once the vote is settled: beta:0.95, dirichlet:0.95 or esc:4."),
]
FirstBatch = Annotated[
    int | None,
    option("--first-batch", help="Draws before the rule is first asked; then what there is doubles."),
]
TotalTokens = Annotated[
    int | None, option("--max-total-tokens", help="Cap of the run's tokens, never passed.")
]
QuestionTokens = Annotated[int | None, option("--max-question-tokens", help="The same for each question.")]
MaxCost = Annotated[float | None, option("--max-cost", help="Cap of the run's money, by --prices.")]
PoolFile = Annotated[
    Any, option("--pool", help="YAML file of models that draw, each its count.", parser=_as_it_is)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int | None, option("--limit", help="Only the first so many questions.")]
OneAggregator = Annotated[str, option("--aggregator", help="NAME or NAME:key=value,key=value.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Local copies of datasets, looked into before the hub.",
        envvar="SAMPLESET_DATA",
        show_envvar=False,
    ),
]
Sizes = Annotated[
    str | None, option("-k", "--k", help="Sizes, as 5,10,20 or 1-12; by default the smallest set's.")
]
Subsets = Annotated[
    int | None,
    option("--subsets", help="Most subsets per question and k; by default 20, or 1 where a model is asked."),
]
Permutations = Annotated[
    int | None,
    option("--permutations", help="Other orders to try; by default 1, or 0 where a model is asked."),
]
Workers = Annotated[
    int | None, option("--workers", help="Processes that vote and grade; by default one per core.")
]
PriceFile = Annotated[Path | None, option("--prices", help="YAML file of what tokens cost.")]
Columns = Annotated[
    str | None, option("--columns", help="Names of a file's columns: question=prompt,samples=outputs,...")
]


def _way_to_run(value: object) -> object:
    """As it is; `off` without quotes is false in YAML."""
    return "off" if value is False else value


AnswerKind = Annotated[
    str | None,
    option(
        "--answer-kind",
        help="How answers are compared: maths, text, choice, json, number:TOLERANCE, code or judge.",
    ),
]
RunCode = Annotated[
    Any,
    option(
        "--run-code",
        help="Run programs of the answer kind code: sandbox, limits, or off (the default).",
        parser=_way_to_run,
        metavar="<str>",
    ),
]
KeepThinking = Annotated[bool, option("--keep-thinking", help="Read what samples say before </think>, too.")]
VerdictFile = Annotated[
    Path | None, option("--verdicts", help="Cache of slow answer comparisons; by default in ~/.cache.")
]
Aggregators = Annotated[
    list[str] | None, option("--aggregator", help="NAME or NAME:key=value,...; repeatable.")
]
AggregatorModel = Annotated[str | None, option("--aggregator-model", help="Model an aggregator asks.")]
ReaderModel = Annotated[str, option("--aggregator-model", help="Model an aggregator asks.")]
AggregatorUrl = Annotated[str | None, option("--aggregator-base-url", help="Its server, up to /v1.")]
Configuration = Annotated[
    str | None, option("--configuration", help="Which of a store's to read: ID, several ID,ID, or all.")
]
