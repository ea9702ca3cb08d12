"""Several aggregators on the same sample sets, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sampleset.answers import RunCode
from sampleset.commands.opening import ModelRef, opened_methods
from sampleset.commands.progress import evaluation_line, status_line
from sampleset.errors import InvalidArgumentError
from sampleset.evaluation import (
    REFERENCE,
    AnswerLog,
    Evaluation,
    EvaluationOptions,
    evaluate,
    read_prices,
)
from sampleset.models.ray import ray_executor
from sampleset.models.retries import Patience
from sampleset.report import write_report
from sampleset.settings import save_settings
from sampleset.storage.files import JsonlLog, new_jsonl
from sampleset.storage.sample_sets import SampleFile

DEFAULT_METHODS = ("first_sample", REFERENCE, "weighted_vote", "best_of_n")


async def evaluate_files(
    files: Sequence[SampleFile],
    aggregators: Sequence[str],
    options: EvaluationOptions,
    *,
    aggregator_model: ModelRef,
    patience: tuple[int, float | None],
    prices: Path | None,
    output_dir: Path,
    settings: dict[str, Any],
    run_code: RunCode = "off",
) -> Evaluation:
    """Several aggregators on the same sets of each file; writes the report's folder."""
    labels = list(dict.fromkeys(aggregators))
    if REFERENCE not in labels:
        labels.append(REFERENCE)
    named = {one.name: one for one in files}
    if len(named) < len(files):
        raise InvalidArgumentError(
            f"Two of the files have the same name: {', '.join(str(one.path) for one in files)}. Rename one."
        )
    questions = output_dir / "questions.jsonl"
    async with opened_methods(
        labels, aggregator_model, Patience(*patience), options.max_concurrency, output_dir, run_code
    ) as (methods, kinds):
        with ExitStack() as open_:
            show, write = open_.enter_context(status_line()), open_.enter_context(new_jsonl(questions))
            executor = None
            if aggregator_model.ray is not None:
                executor = open_.enter_context(ray_executor(options.verdicts))
                options = replace(options, workers=executor.workers)
            evaluation = await evaluate(
                {name: file.with_kinds(kinds) for name, file in named.items()},
                methods,
                options,
                log=AnswerLog(JsonlLog(output_dir / "answers.jsonl"), aggregator_model.context_size),
                prices=read_prices(prices) if prices else None,
                executor=executor,
                on_question=lambda question: write(asdict(question)),
                on_progress=lambda now: show(evaluation_line(now)),
            )
    write_report(output_dir, evaluation, settings, questions)
    save_settings(output_dir / "config.json", settings)
    return evaluation
