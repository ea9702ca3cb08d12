"""How a command declares its options, and the options that several commands share.

A command is a function in the module of its name. Each parameter of the function is an argument, an option,
or a group of options: a frozen dataclass whose fields are options. To add an option, add a field to the group
of the code that it steers:

    @dataclass(frozen=True, kw_only=True)
    class RuleOptions(OptionGroup):
        orders: Annotated[int, option("--orders", help="Orders of each question's samples.")] = 20

`cli.parameters` reads name, help, type and default from the field, the environment variable follows from the
name, and the value is saved with the settings of the run unless the field is marked `NOT_SAVED`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from sampleset import __version__
from sampleset.errors import InvalidArgumentError

if TYPE_CHECKING:
    from sampleset.answers import Judge, Kinds
    from sampleset.storage.sample_sets import SampleFile
    from sampleset.types import Problem

NOT_SAVED = "not saved"
"""Marks an option that is no setting of the work: a key, or how the outcome is printed."""

FOLDER = "folder"
"""Marks `--output` where a command writes a folder; elsewhere it is a file."""

MODEL, SAMPLES, CALLS, STOPPING, COSTS = "Model", "Samples", "Calls", "Stopping early", "Costs"
AGGREGATION, SETS, RUN = "Aggregation", "Sample sets", "Settings and output"
"""Headings of the groups in `--help`; options without one come first."""


def option(*names: str, help: str, panel: str | None = None, **more: Any) -> Any:
    """An option whose environment variable is `SAMPLESET_` and its long name."""
    long = next(name for name in names if name.startswith("--"))
    variable = f"SAMPLESET_{long.removeprefix('--').replace('-', '_').upper()}"
    more = {"envvar": variable, **more}
    return typer.Option(*names, help=help, show_envvar=False, rich_help_panel=panel, **more)


def argument(help: str, **more: Any) -> Any:
    """A positional argument."""
    return typer.Argument(help=help, **more)


def names(registry: str) -> Callable[[str], list[str]]:
    """Completes a name of a registry, `aggregators.base:AGGREGATORS` say."""

    def complete(incomplete: str) -> list[str]:
        module, _, name = registry.partition(":")
        entries = getattr(import_module(f"sampleset.{module}"), name)
        return [entry for entry in entries.names() if entry.startswith(incomplete)]

    return complete


def aggregator_option(help: str) -> Any:
    """The option that names an aggregator."""
    return option(
        "--aggregator",
        help=help,
        panel=AGGREGATION,
        autocompletion=names("aggregators.base:AGGREGATORS"),
    )


@dataclass(frozen=True, kw_only=True)
class OptionGroup:
    """Options that belong together; each field is an option of the commands that take the group."""

    def settings(self) -> dict[str, Any]:
        """The options as they are saved, with defaults filled in."""
        hints = get_type_hints(type(self), include_extras=True)
        return {
            option.name: getattr(self, option.name)
            for option in fields(self)
            if NOT_SAVED not in getattr(hints[option.name], "__metadata__", ())
        }


def require_json(output: Path) -> None:
    """Return if the value of `--output` names a JSON file.

    Raises:
        InvalidArgumentError: It does not.
    """
    if output.suffix != ".json":
        raise InvalidArgumentError(f"--output {str(output)!r} must be a .json file.")


LOGIN = re.compile(r"//[^/@\s'\"]+@")
"""User and password in an address."""


def saved_settings(command: str, *groups: OptionGroup, **values: object) -> dict[str, Any]:
    """The settings of a run as JSON values; `--config` with the file that holds them repeats the run.

    Args:
        command: Its name.
        groups: Its groups of options.
        values: Its arguments and other options, and what replaces a value of a group.
    """
    settings: dict[str, Any] = {"version": __version__, "command": command}
    for group in groups:
        settings |= group.settings()
    return {name: _plain(value) for name, value in (settings | values).items()}


def _plain(value: object) -> object:
    if isinstance(value, str):
        return LOGIN.sub("//", value)  # as keys, passwords are not saved
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[object]", value)]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in cast("Mapping[str, object]", value).items()}
    return value


def _as_it_is(value: object) -> object:
    """A path from the command line, or the value of a settings file."""
    return value


Model = Annotated[
    str, option("--model", help="embedded, a .gguf path, replay:FILE, or a server's name.", panel=MODEL)
]
BaseUrl = Annotated[
    str | None, option("--base-url", help="OpenAI-compatible server, up to /v1.", panel=MODEL)
]
ApiKey = Annotated[
    str | None,
    option("--api-key", help="The server's key; by default OPENAI_API_KEY.", panel=MODEL),
    NOT_SAVED,
]
ContextSize = Annotated[
    int | None, option("--context-size", help="Tokens of prompt and completion.", panel=MODEL)
]
Omit = Annotated[
    list[str] | None,
    option("--omit", help="A field that the server is never sent, temperature say; repeatable.", panel=MODEL),
]
RetryFailed = Annotated[
    bool,
    option("--retry-failed", help="Draw again what the store holds as refused by the server.", panel=CALLS),
]
Samples = Annotated[int, option("-k", "-n", "--samples", help="Samples drawn per question.", panel=SAMPLES)]
Temperature = Annotated[float, option("--temperature", help="0 is greedy.", panel=SAMPLES)]
TopP = Annotated[float, option("--top-p", help="Nucleus mass.", panel=SAMPLES)]
TopK = Annotated[
    int | None,
    option("--top-k", help="Most likely tokens kept; 0 keeps all, else the server chooses.", panel=SAMPLES),
]
MaxTokens = Annotated[int, option("--max-tokens", help="Most tokens of one sample.", panel=SAMPLES)]
Prompt = Annotated[
    str | None,
    option(
        "--prompt",
        help="solve, or worked_examples (for very small models; the embedded one's default).",
        panel=SAMPLES,
    ),
]
PoolFile = Annotated[
    Any,
    option(
        "--pool",
        help="YAML file of models that draw, each its count.",
        panel=MODEL,
        parser=_as_it_is,
        metavar="<Path>",
    ),
]
Seed = Annotated[int, option("--seed", help="Seed of all that is drawn by chance.")]
Engine = Annotated[
    str,
    option("--engine", help="Where models and grading run: local, ray, or ray:actors=N,gpus=N.", panel=CALLS),
]
Concurrency = Annotated[
    int, option("--max-concurrency", help="Backend calls in flight at once.", panel=CALLS)
]
Retries = Annotated[int, option("--max-retries", help="Further tries after a transient error.", panel=CALLS)]
Timeout = Annotated[
    float | None,
    option(
        "--timeout",
        help="Seconds one call may take; by default 600 for a server's, else no limit.",
        panel=CALLS,
    ),
]
Deadline = Annotated[float | None, option("--deadline", help="Seconds one question may take.", panel=CALLS)]
HedgeAfter = Annotated[
    float | None,
    option(
        "--hedge-after",
        help="Seconds until a missing draw is drawn a second time; the first of the two counts.",
        panel=CALLS,
    ),
]
MinSamples = Annotated[
    int, option("--min-samples", help="Quorum: fewer successful draws are an error.", panel=CALLS)
]
Stop = Annotated[
    str | None,
    option(
        "--stop",
        help="Draw no more once the vote is settled: beta:0.95, dirichlet:0.95 or esc:4.",
        panel=STOPPING,
    ),
]
FirstBatch = Annotated[
    int | None,
    option(
        "--first-batch",
        help="Draws before the rule is first asked; then their number doubles.",
        panel=STOPPING,
    ),
]
TotalTokens = Annotated[
    int | None, option("--max-total-tokens", help="Cap of the run's tokens, never passed.", panel=COSTS)
]
QuestionTokens = Annotated[
    int | None, option("--max-question-tokens", help="The same for each question.", panel=COSTS)
]
MaxCost = Annotated[
    float | None, option("--max-cost", help="Cap of the run's money, by --prices.", panel=COSTS)
]
PriceFile = Annotated[Path | None, option("--prices", help="YAML file of what tokens cost.", panel=COSTS)]
ReaderModel = Annotated[
    str, option("--aggregator-model", help="Model an aggregator asks.", panel=AGGREGATION)
]
CertificateFile = Annotated[
    Path | None,
    option(
        "--certificate",
        help="File of `sampleset certify`: answers that it does not cover are withheld.",
        panel=AGGREGATION,
    ),
]
RISK_HELP = "Largest share of wrong answers among those given."
MinConfidence = Annotated[
    float | None,
    option("--min-confidence", help="Withhold an answer that is less sure, 0 to 1.", panel=AGGREGATION),
]
AggregatorUrl = Annotated[
    str | None, option("--aggregator-base-url", help="Its server, up to /v1.", panel=AGGREGATION)
]
Configuration = Annotated[
    str | None,
    option("--configuration", help="Which of a store's to read: ID, several ID,ID, or all.", panel=SETS),
]
Columns = Annotated[
    str | None,
    option(
        "--columns", help="Names of a file's columns: question=doc.prompt,samples=outputs,...", panel=SETS
    ),
]
Limit = Annotated[int | None, option("--limit", help="Only the first so many questions.", panel=SETS)]
KeepThinking = Annotated[
    bool, option("--keep-thinking", help="Read what samples say before </think>, too.", panel=SETS)
]
AnswerKind = Annotated[
    str | None,
    option(
        "--answer-kind",
        help="How answers are compared: maths, text, choice, json, number:TOLERANCE, code or judge.",
        panel=SETS,
    ),
]
RunCode = Annotated[
    str | None,
    option(
        "--run-code",
        help="Run programs of the answer kind code: sandbox, limits, or off (the default).",
        panel=SETS,
    ),
]
DataDir = Annotated[
    Path | None,
    option(
        "--data-dir",
        help="Local copies of datasets, looked into before the hub.",
        panel=SETS,
        envvar="SAMPLESET_DATA",
    ),
]
VerdictFile = Annotated[
    Path | None,
    option("--verdicts", help="Cache of slow answer comparisons; by default in ~/.cache.", panel=SETS),
]


@dataclass(frozen=True, kw_only=True)
class SetOptions(OptionGroup):
    """How stored sample sets are read."""

    configuration: Configuration = None
    columns: Columns = None
    limit: Limit = None
    keep_thinking: KeepThinking = False

    def sample_file(
        self,
        path: Path,
        answers: AnswerOptions | None,
        note: Callable[[str], None],
        problems: Sequence[Problem] = (),
    ) -> SampleFile:
        """The sample sets at a path, their answers compared as `answers` say.

        The note is called with a line where another tool wrote them.
        """
        from sampleset.storage.records import parse_columns
        from sampleset.storage.sample_sets import SampleFile

        columns = parse_columns(self.columns) if self.columns else None
        answers = answers or AnswerOptions()
        kind, kinds = answers.answer_kind, answers.kinds()
        file = SampleFile(path, self.configuration, self.limit, columns, kind, problems, kinds)
        if file.form is not None:
            note(f"note: {path} is read as: {file.form}")
        return file


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(OptionGroup):
    """How answers are compared."""

    answer_kind: AnswerKind = None
    run_code: RunCode = None

    def kinds(self, judge: Judge | None = None, *, inline: bool = False) -> Kinds:
        """The kinds of answers, with their judge."""
        from sampleset.answers import Kinds

        return Kinds(judge, cast("Any", self.run_code or "off"), inline)
