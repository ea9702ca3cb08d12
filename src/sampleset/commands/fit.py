"""Train an aggregator from questions to a verdict, in one command that goes on where it stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.fit_options import DrawOptions, SizeOptions
from sampleset.commands.fit_questions import FitQuestions
from sampleset.commands.fit_stages import Fit
from sampleset.commands.opening import CallOptions
from sampleset.commands.options import (
    argument,
    option,
    saved_settings,
)
from sampleset.commands.run import Run, print_json
from sampleset.commands.sample import DatasetOptions
from sampleset.errors import (
    InvalidArgumentError,
)
from sampleset.report.verdict import verdict_lines
from sampleset.settings import save_settings
from sampleset.training.pipeline import Pipeline, Stage, Summary

EXAMPLE = (
    "sampleset fit gsm8k:train --limit 400 --model NAME --base-url URL --base embedded --output-dir runs/fit"
)


def fit(
    questions: Annotated[
        str, argument("NAME or NAME:SPLIT of a dataset, or a file of questions; or sample sets, with gold.")
    ],
    base: Annotated[
        str, option("--base", help="Model to train: embedded, a .gguf file, a folder or a Hub id.")
    ],
    size: SizeOptions,
    draws: DrawOptions,
    dataset: DatasetOptions,
    calls: CallOptions,
    run: Run,
    output_dir: Annotated[
        Path, option("--output-dir", help="Folder of all files; goes on where it stopped.")
    ] = Path("runs/fit"),
    until: Annotated[str | None, option("--until", help="Stop after this stage: rows, say.")] = None,
    dry_run: Annotated[bool, option("--dry-run", help="Check all, and print the plan only.")] = False,
) -> None:
    """Train an aggregator from questions, and say whether it beats the vote. Goes on where it stopped."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidArgumentError(
            "fit runs in one process. Stop it with --until rows, run `accelerate launch -m sampleset train` "
            "by the recipe in the folder, and then fit again."
        )
    settings = saved_settings(
        "fit", size, draws, dataset, calls, questions=questions, base=base, output_dir=output_dir
    )
    asked = FitQuestions(questions, size, dataset, draws.model is None, run)
    work = Fit(asked, base, output_dir, size, draws, dataset, calls, run, settings)
    pipeline = work.pipeline()
    work.require_possible(pipeline)
    if dry_run:
        run.print_summary(work.plan())
        return
    summaries = go_on(work, pipeline, until)
    if not pipeline.is_done(pipeline.stages[-1].name):
        run.print_summary({"folder": str(output_dir), **summaries})
        return
    verdict = work.verdict
    if run.as_json:
        print_json({"folder": str(output_dir), "stages": summaries, "verdict": verdict.to_json()})
        return
    print("\n".join(verdict_lines(verdict)))
    run.note(f"report: {output_dir / 'report' / 'report.html'}, card: {work.aggregator / 'README.md'}")
    run.next("answer", "QUESTION", "--model", draws.model or "NAME", "-k", verdict.k, "--aggregator",
             work.specs.get(verdict.recommended, verdict.recommended))  # fmt: skip


def go_on(work: Fit, pipeline: Pipeline, until: str | None) -> dict[str, Summary]:
    """Do the stages of a fit that are not done yet; returns the results by stage."""
    work.output.mkdir(parents=True, exist_ok=True)
    save_settings(work.output / "config.json", work.settings)
    use_verdict_store(default_verdict_path())

    def on_stage(number: int, stage: Stage, done: bool) -> None:
        work.run.note(f"{number}/{len(pipeline.stages)} {stage.name}{': done before' if done else ''}")

    return pipeline.run(until, on_stage)
