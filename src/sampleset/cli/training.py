"""The commands on the way to a trained aggregator: train-data, train, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    DataDir,
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

if TYPE_CHECKING:
    from sampleset.commands.opening import ModelRef
    from sampleset.models.retries import Patience
    from sampleset.storage.sample_sets import SampleFile
    from sampleset.training.calibration import Calibration
    from sampleset.training.data.build import DataOptions
    from sampleset.training.data.targets import TargetOptions


def train_data(
    samples: Annotated[list[Path], typer.Argument(help="Stores or files of sample sets, with gold answers.")],
    output: Annotated[Path, option("--output", help="The rows, a .jsonl file; ROWS.summary.json beside it.")],
    k: Annotated[str, option("-k", "--k", help="Sizes each row's k is drawn from, as 4-8 or 4,8.")] = "4-8",
    subsets: Annotated[int, option("--subsets", help="Most rows per question and file.")] = 1,
    easy: Annotated[float, option("--easy", help="Share kept of sets with a right, contested vote.")] = 0.5,
    unanimous: Annotated[float, option("--unanimous", help="Share kept of unanimous right ones.")] = 0.05,
    all_wrong: Annotated[float, option("--all-wrong", help="Share kept of those without a right one.")] = 0.1,
    mode: Annotated[str, option("--mode", help="think, direct or select.")] = "think",
    aggregator_model: ReaderModel = "embedded",
    aggregator_base_url: AggregatorUrl = None,
    api_key: ApiKey = None,
    context_size: ContextSize = None,
    max_prompt_tokens: Annotated[
        int | None, option("--max-prompt-tokens", help="By default what the model's context leaves.")
    ] = None,
    keep_end_tokens: Annotated[
        int | None, option("--keep-end-tokens", help="Show only the last so many tokens of each sample.")
    ] = None,
    fold: Annotated[bool, option("--fold", help="Show samples of equal answers once, with count.")] = False,
    drawn_order: Annotated[
        bool, option("--drawn-order", help="Show samples in the order drawn, not permuted.")
    ] = False,
    held_back: Annotated[
        float, option("--held-back", help="Share of questions whose rows go to ROWS.held_back.jsonl.")
    ] = 0.0,
    exclude: Annotated[
        list[str] | None,
        option("--exclude", help="Test questions to stay clear of: a file, store or dataset; repeatable."),
    ] = None,
    target: Annotated[
        str | None, option("--target", help="Add texts to imitate: answer, sample or teacher.")
    ] = None,
    without_right: Annotated[
        str, option("--without-right", help="Target where no sample is right: drop the row, or answer.")
    ] = "drop",
    teacher_model: Annotated[
        str | None, option("--teacher-model", help="Model that writes targets, given the gold answer.")
    ] = None,
    teacher_base_url: Annotated[str | None, option("--teacher-base-url", help="Its server.")] = None,
    tries: Annotated[int, option("--tries", help="How often it is asked for a row at most.")] = 3,
    export_verl: Annotated[
        Path | None, option("--export-verl", help="Also write the rows for verl, as .parquet.")
    ] = None,
    configuration: Configuration = None,
    columns: Columns = None,
    data_dir: DataDir = None,
    limit: Limit = None,
    keep_thinking: KeepThinking = False,
    answer_kind: AnswerKind = None,
    run_code: RunCode = None,
    seed: Annotated[int, option("--seed", help="Seed of all draws.")] = 0,
    max_concurrency: Concurrency = 8,
    max_retries: Retries = 4,
    timeout: Timeout = None,
    verdicts: VerdictFile = None,
    as_json: AsJson = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Make training rows of stored sample sets: drawn k, permuted order, balanced by difficulty."""
    from typing import cast

    from sampleset.answers import Kinds, default_verdict_path, use_verdict_store
    from sampleset.commands.opening import ModelRef
    from sampleset.evaluation import parse_sizes
    from sampleset.models.retries import Patience
    from sampleset.storage.records import parse_columns
    from sampleset.storage.sample_sets import SampleFile
    from sampleset.training.data.build import DataOptions, excluded_keys
    from sampleset.training.data.rows import read_training_rows, write_verl
    from sampleset.training.data.summary import save_summary, summary_lines
    from sampleset.training.data.targets import TargetOptions

    if (target == "teacher") != (teacher_model is not None):
        raise InvalidArgumentError(
            f"--target {target} with --teacher-model {teacher_model}: a teacher is named for the target "
            "'teacher', and for no other. Give both or neither."
        )
    if export_verl is not None and export_verl.suffix != ".parquet":
        raise InvalidArgumentError(f"--export-verl {str(export_verl)!r} must be a .parquet file.")
    mapping = parse_columns(columns) if columns else None
    options = DataOptions(
        ks=parse_sizes(k),
        subsets=subsets,
        easy=easy,
        unanimous=unanimous,
        all_wrong=all_wrong,
        mode=cast("Any", mode),
        max_prompt_tokens=max_prompt_tokens,
        keep_end_tokens=keep_end_tokens,
        fold=fold,
        keep_thinking=keep_thinking,
        drawn_order=drawn_order,
        held_back=held_back,
        seed=seed,
    )
    targets = None
    if target is not None:
        targets = TargetOptions(
            kind=cast("Any", target), without_right=cast("Any", without_right), tries=tries, seed=seed
        )
    use_verdict_store(verdicts or default_verdict_path())
    kinds = Kinds(run_code=run_code or "off")
    summary = run_async(
        _make_rows(
            output,
            [SampleFile(path, configuration, limit, mapping, answer_kind, kinds) for path in samples],
            options,
            targets,
            excluded_keys(exclude or [], data_dir),
            ModelRef(aggregator_model, aggregator_base_url, api_key, context_size),
            ModelRef(teacher_model, teacher_base_url, api_key) if teacher_model else None,
            Patience(max_retries, timeout),
            max_concurrency,
        )
    )
    path = save_summary(output, summary)
    if export_verl is not None:
        write_verl(export_verl, read_training_rows(output))
    if as_json:
        print_json(summary)
    else:
        print("\n".join(summary_lines(summary)))
        print(f"rows: {output}, summary: {path}", file=sys.stderr)
    if not summary["rows"]:
        raise typer.Exit(1)


def train(
    method: Annotated[str, typer.Argument(help="select (score the candidates), sft (imitate) or grpo.")],
    recipe: Annotated[Path, typer.Argument(help="YAML file with model, rows, output_dir, steps, ...")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE over the recipe, as lora.r=8.")
    ] = None,
    run_code: RunCode = None,
    as_json: AsJson = False,
) -> None:
    """Train an aggregator by a recipe. Run it again to go on where it stopped."""
    from typing import get_args

    from sampleset.commands.progress import status_line, training_line
    from sampleset.errors import UnknownNameError
    from sampleset.settings import parse_overrides, read_settings
    from sampleset.training.grpo.run import train_grpo
    from sampleset.training.loop import TrainingProgress
    from sampleset.training.loop import train as run_training
    from sampleset.training.processes import is_main_process
    from sampleset.training.recipe import Method, recipe_of
    from sampleset.training.select import SelectLearner
    from sampleset.training.sft import SftLearner

    settings = read_settings(recipe)
    for key, value in parse_overrides(overrides or []).items():
        held = settings.get(key)
        settings[key] = {**held, **value} if isinstance(held, dict) and isinstance(value, dict) else value
    made = recipe_of(settings)
    if method not in get_args(Method):
        raise UnknownNameError("training method", method, get_args(Method))
    with status_line() as show:

        def on_progress(now: TrainingProgress) -> None:
            show(training_line(now))

        try:
            if method == "grpo":
                summary = train_grpo(made, on_progress, run_code or "off")
            elif method == "select":
                summary = run_training("select", SelectLearner(made.objective), made, on_progress)
            else:
                summary = run_training("sft", SftLearner(), made, on_progress)
        except KeyboardInterrupt:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            raise typer.Exit(130) from None
    if not is_main_process():
        return
    figures = {"checkpoint": str(summary.checkpoint), "steps": summary.steps}
    held_back = {
        name: {"before": summary.before[name], "after": summary.after[name]} for name in summary.after
    }
    if as_json:
        print_json(figures | {"held_back": held_back})
        return
    print(f"checkpoint: {summary.checkpoint}, {summary.steps} steps")
    for name, one in held_back.items():
        print(f"{name.removeprefix('eval_')} on held-back rows: {one['before']:.3f} -> {one['after']:.3f}")


def calibrate(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a select checkpoint, or of an export of one.")
    ],
    rows: Annotated[Path, typer.Argument(help="Rows that it was not trained on: ROWS.held_back.jsonl.")],
    folds: Annotated[int, option("--folds", help="Of the cross-validation, by question.")] = 10,
    context_size: ContextSize = None,
    as_json: AsJson = False,
) -> None:
    """Fit how much a trained aggregator's scores, the votes and the confidence count, on rows held back."""
    from dataclasses import asdict

    figures = run_async(_calibrated(checkpoint, rows, folds, context_size))
    if not figures.overlap_checked:
        print(
            f"not checked whether {checkpoint} was trained on questions of {rows}: the rows that it was "
            "trained on are not found, and not both have digests of their questions",
            file=sys.stderr,
        )
    if as_json:
        print_json(asdict(figures))
        return
    print(f"{figures.rows} rows of {figures.questions} questions with a choice to make")
    labels = {
        "vote": "majority vote",
        "before": "model, weights until now",
        "prior": f"votes and confidence alone, {folds}-fold",
        "after": f"model, fitted weights, {folds}-fold",
        "blind": f"model, without confidence, {folds}-fold",
    }
    for name, label in labels.items():
        one = figures.figures[name]
        loss = "" if one.cross_entropy is None else f"  cross-entropy {one.cross_entropy:.3f}"
        print(f"{label:<44} right {one.accuracy:.3f}{loss}")
    for name, label in (("before", "until now"), ("after", "fitted")):
        gain = figures.gains[name]
        print(
            f"by question, {label} less votes and confidence alone: "
            f"{gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        )
    for name, value in asdict(figures.after).items():
        print(f"weight of {name}: {getattr(figures.before, name):.3f} -> {value:.3f}")
    blind = figures.blind
    print(f"where samples carry no log-probabilities: score {blind.score:.3f}, votes {blind.votes:.3f}")


async def _calibrated(checkpoint: Path, rows: Path, folds: int, context_size: int | None) -> Calibration:
    from sampleset.commands.opening import ModelRef, opened
    from sampleset.commands.progress import status_line
    from sampleset.training.calibration import calibrate as fitted

    async with opened(ModelRef(str(checkpoint), None, None, context_size)) as backend:
        with status_line() as show:
            return await fitted(
                checkpoint, backend, rows, folds, lambda done, of: show(f"{done}/{of} rows scored")
            )


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint that sampleset train wrote.")],
    output: Annotated[Path, option("--output", help="The exported folder, new or empty.")],
    format: Annotated[
        str, option("--format", help="gguf-adapter (beside the base's file), gguf (whole), or merged.")
    ] = "gguf-adapter",
    base: Annotated[
        str | None,
        option("--base", help="The base model, if not where the checkpoint says; for GGUF a .gguf."),
    ] = None,
    dtype: Annotated[
        str | None, option("--dtype", help="Of the trained weights: f32, f16, q8_0 (gguf), bf16 (merged).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a checkpoint into files for llama.cpp or for others: an adapter, or a whole model."""
    from typing import cast

    from sampleset.training.export.export import export_checkpoint

    made = export_checkpoint(checkpoint, output, cast("Any", format), base, dtype)
    if as_json:
        print_json({"folder": str(made.folder), "format": made.format, "files": dict(made.files)})
        return
    print(f"{made.format}: {made.folder}")
    for name, size in made.files.items():
        print(f"  {name}  {size / 1e6:.1f} MB")


async def _make_rows(
    output: Path,
    files: list[SampleFile],
    options: DataOptions,
    targets: TargetOptions | None,
    excluded: frozenset[str],
    reader: ModelRef,
    teacher_ref: ModelRef | None,
    patience: Patience,
    max_concurrency: int,
) -> dict[str, Any]:
    """Open the models, write the rows, and return the summary."""
    from contextlib import AsyncExitStack

    from sampleset.commands.opening import opened
    from sampleset.commands.progress import status_line
    from sampleset.models.retries import patient
    from sampleset.training.data.build import data_settings, write_training_rows
    from sampleset.training.data.summary import beside
    from sampleset.training.data.targets import Teacher

    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(opened(reader))
        teacher = None
        if teacher_ref is not None and targets is not None:
            asked = await stack.enter_async_context(opened(teacher_ref))
            log = beside(output, "teacher.jsonl")
            teacher = Teacher(patient(asked, patience, max_concurrency), log, targets)
        with status_line() as show:
            count = await write_training_rows(
                output,
                files,
                backend,
                options,
                excluded=excluded,
                targets=targets,
                teacher=teacher,
                max_concurrency=max_concurrency,
                on_progress=lambda now: show(f"{sum(now.sets.values())} sets, {now.rows} rows"),
            )
        return count.summary(data_settings(options, backend, targets, teacher.model if teacher else None))
