"""Draw samples for every question of a dataset into a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sampleset.commands.opening import Drawing, DrawingOptions, opened_samplers, warn_of_identical
from sampleset.commands.options import (
    SETS,
    AnswerOptions,
    Columns,
    DataDir,
    Engine,
    Limit,
    Samples,
    argument,
    names,
    option,
    saved_settings,
)
from sampleset.commands.progress import sampling_line
from sampleset.commands.run import Run, run_async
from sampleset.datasets.base import Loaded, read_dataset
from sampleset.sampling.pool import Pool
from sampleset.settings import save_settings
from sampleset.storage.files import check_target, write_rows
from sampleset.storage.records import parse_columns
from sampleset.wording import plural

_MOST_REASONS = 5


@dataclass(frozen=True, kw_only=True)
class DatasetOptions(AnswerOptions):
    """Which questions are read, and how."""

    limit: Limit = None
    shuffle: Annotated[
        int | None,
        option("--shuffle", help="Take questions in an order shuffled by this seed.", panel=SETS),
    ] = None
    data_dir: DataDir = None
    columns: Columns = None

    def read(self, dataset: str) -> Loaded:
        """The dataset's questions."""
        return read_dataset(
            dataset,
            self.limit,
            data_dir=self.data_dir,
            columns=parse_columns(self.columns) if self.columns else None,
            answer_kind=self.answer_kind,
            shuffle=self.shuffle,
        )


@dataclass(frozen=True, kw_only=True)
class ManyDrawingOptions(DrawingOptions):
    """Who draws for many questions, and how."""

    samples: Samples = 8


EXAMPLE = "sampleset sample gsm8k --limit 20 -n 8 --model gpt-4o-mini --output-dir store"


def sample(
    dataset: Annotated[
        str,
        argument(
            "NAME or NAME:SPLIT (`sampleset list datasets`), or a file of problems.",
            autocompletion=names("datasets.base:DATASETS"),
        ),
    ],
    output_dir: Annotated[Path, option("--output-dir", help="The store; a later run goes on in it.")],
    drawing: ManyDrawingOptions,
    questions: DatasetOptions,
    run: Run,
    engine: Engine = "local",
    export: Annotated[
        Path | None, typer.Option("--export", help="Also write the sets to .jsonl[.gz] or .parquet.")
    ] = None,
) -> None:
    """Draw n samples per question into a store. Run it again to go on where it stopped."""
    settings = saved_settings(
        "sample",
        drawing,
        questions,
        dataset=dataset,
        output_dir=output_dir,
        engine=engine,
        export=export,
    )
    who = drawing.drawing(engine)
    summary = run_async(sample_dataset(dataset, output_dir, who, questions, export, settings, run))
    run.print_summary(summary)
    run.next("evaluate", export or output_dir)
    if summary["below_quorum"] or summary["capped"]:
        raise typer.Exit(1)


async def sample_dataset(
    dataset: str,
    folder: Path,
    drawing: Drawing,
    questions: DatasetOptions,
    export: Path | None,
    settings: dict[str, Any],
    run: Run,
) -> dict[str, Any]:
    """Draw samples for every problem of a dataset into a store, and sum up what came back."""
    if export is not None:
        check_target(export)
    loaded = questions.read(dataset)
    problems = loaded.problems
    if loaded.is_part and questions.limit is None:
        run.note(f"note: {loaded.source} holds {len(problems)} of the {loaded.stated} problems of {dataset}")
    with run.status_line() as show:
        async with opened_samplers(
            drawing, folder, len(problems), lambda now: show(sampling_line(now), now.questions, now.total)
        ) as draws:
            assert draws.store is not None
            draws.store.add_problems(problems)
            save_settings(folder / "config.json", settings)
            kinds = questions.kinds()
            await Pool(draws.each).sample_many([kinds.bind(problem.question) for problem in problems])
    progress = draws.progress
    warn_of_identical(progress)
    if progress.refused:
        run.note(
            f"note: {plural(progress.refused, 'draw')} that the server refused in an earlier run "
            f"{'was' if progress.refused == 1 else 'were'} not made again; "
            "--retry-failed does."
        )
    if progress.failed:
        run.note(
            f"note: {plural(progress.failed, 'draw')} failed. The same command draws again, but for what the "
            "server refused; --retry-failed draws that, too."
        )
    drawn_under = ",".join(sampler.configuration.id for sampler in draws.each)
    if export is not None:
        write_rows(export, (stored.to_row() for stored in draws.store.sample_sets(drawn_under)))
    return {
        "questions": progress.questions // len(draws.each),
        "samples": progress.returned,
        "distinct": progress.distinct,
        "drawn_now": progress.drawn - progress.failed,
        "from_store": progress.reused,
        "failed": progress.failed,
        "reasons": dict(progress.reasons.most_common(_MOST_REASONS)) or None,
        "refused_before": progress.refused or None,
        "retries": progress.retries,
        "stopped_early": progress.stopped or None,
        "not_needed": progress.spared or None,
        "cancelled": progress.cancelled or None,
        "capped": progress.capped or None,
        "below_quorum": list(progress.below_quorum),
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "store": str(folder),
        "configuration": drawn_under,
    }
