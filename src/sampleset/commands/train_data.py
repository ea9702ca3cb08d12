"""Training rows of stored sample sets."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.opening import CallOptions, ModelRef, ReaderOptions, opened
from sampleset.commands.options import (
    AnswerOptions,
    DataDir,
    OptionGroup,
    SetOptions,
    VerdictFile,
    argument,
    option,
    saved_settings,
)
from sampleset.commands.run import Run, print_json, run_async
from sampleset.errors import InvalidArgumentError
from sampleset.evaluation import parse_sizes
from sampleset.models.calls import ModelCalls
from sampleset.settings import save_settings
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.build import DataOptions, data_settings, excluded_keys, write_training_rows
from sampleset.training.data.rows import ONLY_METHOD, read_training_rows, write_verl
from sampleset.training.data.summary import beside, save_summary, summary_lines
from sampleset.training.data.targets import TargetOptions, Teacher
from sampleset.wording import plural

ROWS, TARGETS = "Rows", "Texts to imitate"


@dataclass(frozen=True, kw_only=True)
class RowOptions(OptionGroup):
    """How rows are made of sets."""

    k: Annotated[
        str, option("-k", "--k", help="Sizes each row's k is drawn from, as 4-8 or 4,8.", panel=ROWS)
    ] = "4-8"
    subsets: Annotated[int, option("--subsets", help="Most rows per question and file.", panel=ROWS)] = 1
    easy: Annotated[
        float, option("--easy", help="Share kept of sets with a right, contested vote.", panel=ROWS)
    ] = 0.5
    unanimous: Annotated[
        float, option("--unanimous", help="Share kept of unanimous right ones.", panel=ROWS)
    ] = 0.05
    all_wrong: Annotated[
        float, option("--all-wrong", help="Share kept of those without a right one.", panel=ROWS)
    ] = 0.1
    mode: Annotated[
        str, option("--mode", help="think, direct, select, or verify for a verifier.", panel=ROWS)
    ] = "think"
    max_prompt_tokens: Annotated[
        int | None,
        option("--max-prompt-tokens", help="By default what the model's context leaves.", panel=ROWS),
    ] = None
    keep_end_tokens: Annotated[
        int | None,
        option("--keep-end-tokens", help="Show only the last so many tokens of each sample.", panel=ROWS),
    ] = None
    fold: Annotated[
        bool, option("--fold", help="Show samples of equal answers once, with count.", panel=ROWS)
    ] = False
    calculator: Annotated[
        bool, option("--calculator", help="Samples count for what they calculate.", panel=ROWS)
    ] = False
    drawn_order: Annotated[
        bool, option("--drawn-order", help="Show samples in the order drawn, not permuted.", panel=ROWS)
    ] = False
    held_back: Annotated[
        float,
        option("--held-back", help="Share of questions whose rows go to ROWS.held_back.jsonl.", panel=ROWS),
    ] = 0.0
    exclude: Annotated[
        list[str] | None,
        option(
            "--exclude",
            help="Test questions to stay clear of: a file, store or dataset; repeatable.",
            panel=ROWS,
        ),
    ] = None
    seed: Annotated[int, option("--seed", help="Seed of all draws.", panel=ROWS)] = 0

    def options(self, keep_thinking: bool) -> DataOptions:
        """The same, for the builder of rows."""
        return DataOptions(
            ks=parse_sizes(self.k),
            subsets=self.subsets,
            easy=self.easy,
            unanimous=self.unanimous,
            all_wrong=self.all_wrong,
            mode=cast("Any", self.mode),
            max_prompt_tokens=self.max_prompt_tokens,
            keep_end_tokens=self.keep_end_tokens,
            fold=self.fold,
            calculator=self.calculator,
            keep_thinking=keep_thinking,
            drawn_order=self.drawn_order,
            held_back=self.held_back,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class ImitationOptions(OptionGroup):
    """The texts to imitate, and who writes them."""

    target: Annotated[
        str | None,
        option("--target", help="Add texts to imitate: answer, sample or teacher.", panel=TARGETS),
    ] = None
    without_right: Annotated[
        str,
        option(
            "--without-right",
            help="Target where no sample is right: drop the row, or answer.",
            panel=TARGETS,
        ),
    ] = "drop"
    teacher_model: Annotated[
        str | None,
        option("--teacher-model", help="Model that writes targets, given the gold answer.", panel=TARGETS),
    ] = None
    teacher_base_url: Annotated[
        str | None, option("--teacher-base-url", help="Its server.", panel=TARGETS)
    ] = None
    tries: Annotated[
        int, option("--tries", help="How often it is asked for a row at most.", panel=TARGETS)
    ] = 3

    def __post_init__(self) -> None:
        if (self.target == "teacher") != (self.teacher_model is not None):
            raise InvalidArgumentError(
                f"--target {self.target} with --teacher-model {self.teacher_model}: a teacher is named for "
                "the target 'teacher', and for no other. Give both or neither."
            )

    def options(self, seed: int) -> TargetOptions | None:
        """The same, for the builder of rows."""
        if self.target is None:
            return None
        return TargetOptions(
            kind=cast("Any", self.target),
            without_right=cast("Any", self.without_right),
            tries=self.tries,
            seed=seed,
        )

    def teacher(self, api_key: str | None) -> ModelRef | None:
        """The model that writes the texts."""
        return ModelRef(self.teacher_model, self.teacher_base_url, api_key) if self.teacher_model else None


EXAMPLE = "sampleset train-data store --mode select --held-back 0.1 --output rows.jsonl"


def train_data(
    samples: Annotated[list[Path], argument("Stores or files of sample sets, with gold answers.")],
    output: Annotated[Path, option("--output", help="The rows, a .jsonl file; ROWS.summary.json beside it.")],
    rows: RowOptions,
    imitation: ImitationOptions,
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    run: Run,
    export_verl: Annotated[
        Path | None, option("--export-verl", help="Also write the rows for verl, as .parquet.")
    ] = None,
    data_dir: DataDir = None,
    verdicts: VerdictFile = None,
) -> None:
    """Make training rows of stored sample sets: drawn k, permuted order, balanced by difficulty."""
    if export_verl is not None and export_verl.suffix != ".parquet":
        raise InvalidArgumentError(f"--export-verl {str(export_verl)!r} must be a .parquet file.")
    if export_verl is not None and rows.mode == "verify":
        raise InvalidArgumentError(
            "--export-verl with --mode verify: verl trains by rewards, a verifier imitates verdicts. "
            "Leave --export-verl away and train with `sampleset train sft`."
        )
    settings = saved_settings(
        "train-data",
        rows,
        imitation,
        reader,
        sets,
        answers,
        calls,
        samples=samples,
        output=output,
        export_verl=export_verl,
        data_dir=data_dir,
        verdicts=verdicts,
    )
    files = [sets.sample_file(path, answers, run.note) for path in samples]
    use_verdict_store(verdicts or default_verdict_path())
    summary = run_async(
        make_rows(
            output,
            files,
            rows.options(sets.keep_thinking),
            imitation.options(rows.seed),
            excluded_keys(rows.exclude or [], data_dir),
            reader.model_ref(),
            imitation.teacher(reader.api_key),
            calls,
            run,
        )
    )
    path = save_summary(output, summary)
    save_settings(beside(output, "config.json"), settings)
    if export_verl is not None:
        write_verl(export_verl, read_training_rows(output))
    if run.as_json:
        print_json(summary)
    else:
        print("\n".join(summary_lines(summary)))
        run.note(f"rows: {output}, summary: {path}")
        if not summary["rows"]:
            run.note(
                "no rows were made; what was left out, and why, stands above. Nothing can be trained on them"
            )
        else:
            method = ONLY_METHOD.get(rows.mode, "sft" if imitation.target else "grpo")
            run.next("train", method, "RECIPE", "--set", f"rows={output}")
    if not summary["rows"]:
        raise typer.Exit(1)


async def make_rows(
    output: Path,
    files: list[SampleFile],
    options: DataOptions,
    targets: TargetOptions | None,
    excluded: frozenset[str],
    reader: ModelRef,
    teacher_ref: ModelRef | None,
    calls: CallOptions,
    run: Run,
) -> dict[str, Any]:
    """Write the rows of some files with the models that this takes; returns the summary."""
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(opened(reader))
        teacher = None
        if teacher_ref is not None and targets is not None:
            writer = await stack.enter_async_context(opened(teacher_ref))
            log = beside(output, "teacher.jsonl")
            teacher = Teacher(ModelCalls(writer, calls.patience, calls.max_concurrency), log, targets)
        with run.status_line() as show:
            count = await write_training_rows(
                output,
                files,
                backend,
                options,
                excluded=excluded,
                targets=targets,
                teacher=teacher,
                max_concurrency=calls.max_concurrency,
                on_progress=lambda now: show(
                    f"{plural(sum(now.sets.values()), 'set')}, {plural(now.rows, 'row')}"
                ),
            )
        return count.summary(data_settings(options, backend, targets, teacher.model if teacher else None))
