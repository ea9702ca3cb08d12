"""Several aggregators on the same sample sets, and the report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from sampleset.answers import default_verdict_path
from sampleset.commands.opening import (
    CallOptions,
    ModelRef,
    ReaderOptions,
    opened_methods,
    refuse_absent_scores,
)
from sampleset.commands.options import (
    AnswerOptions,
    Engine,
    OptionGroup,
    PriceFile,
    Seed,
    SetOptions,
    VerdictFile,
    aggregator_option,
    argument,
    option,
    saved_settings,
)
from sampleset.commands.progress import evaluation_line
from sampleset.commands.run import Run, print_json, run_async
from sampleset.errors import InvalidArgumentError
from sampleset.evaluation import (
    REFERENCE,
    AnswerLog,
    Evaluation,
    EvaluationOptions,
    parse_sizes,
    read_prices,
)
from sampleset.evaluation import evaluate as evaluated
from sampleset.models.ray import ray_executor
from sampleset.report import report_dict, write_report
from sampleset.settings import save_settings
from sampleset.storage.files import JsonlLog, new_jsonl
from sampleset.storage.sample_sets import SampleFile

DEFAULT_METHODS = ("first_sample", REFERENCE, "weighted_vote", "best_of_n")


@dataclass(frozen=True, kw_only=True)
class MethodOptions(OptionGroup):
    """The aggregators that are compared, and the measures."""

    aggregator: Annotated[
        list[str] | None,
        aggregator_option("NAME or NAME:key=value,...; repeatable."),
    ] = None
    k: Annotated[
        str | None, option("-k", "--k", help="Sizes, as 5,10,20 or 1-12; by default the smallest set's.")
    ] = None
    subsets: Annotated[
        int | None,
        option(
            "--subsets", help="Most subsets per question and k; by default 20, or 1 where a model is asked."
        ),
    ] = None
    permutations: Annotated[
        int | None,
        option("--permutations", help="Other orders to try; by default 1, or 0 where a model is asked."),
    ] = None
    seed: Seed = 0
    workers: Annotated[
        int | None, option("--workers", help="Processes that vote and grade; by default one per core.")
    ] = None
    verdicts: VerdictFile = None
    prices: PriceFile = None

    @property
    def aggregators(self) -> list[str]:
        """The methods that are compared."""
        return list(dict.fromkeys([*(self.aggregator or DEFAULT_METHODS), REFERENCE]))

    def options(self, keep_thinking: bool, max_concurrency: int) -> EvaluationOptions:
        """How they are measured."""
        return EvaluationOptions(
            ks=parse_sizes(self.k) if self.k else None,
            subsets=self.subsets,
            permutations=self.permutations,
            seed=self.seed,
            keep_thinking=keep_thinking,
            max_concurrency=max_concurrency,
            workers=self.workers if self.workers is not None else os.cpu_count() or 1,
            verdicts=self.verdicts or default_verdict_path(),
        )

    def settings(self) -> dict[str, Any]:
        """The options, with the default methods by name."""
        return super().settings() | {"aggregator": self.aggregator or list(DEFAULT_METHODS)}


EXAMPLE = "sampleset evaluate store --aggregator majority_vote --aggregator best_of_n -k 1-8"


def evaluate(
    samples: Annotated[list[Path], argument("Stores or files of sample sets, with gold answers.")],
    methods: MethodOptions,
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    run: Run,
    engine: Engine = "local",
    output_dir: Annotated[Path, option("--output-dir", help="The report's folder.")] = Path("report"),
) -> None:
    """Compare aggregators on the same sample sets: tables, and a report to look at. Resumes."""
    settings = saved_settings(
        "evaluate",
        methods,
        reader,
        sets,
        answers,
        calls,
        samples=samples,
        engine=engine,
        output_dir=output_dir,
    )
    evaluation = run_async(
        evaluate_files(
            [sets.sample_file(path, answers, run.note) for path in samples],
            answers,
            methods.aggregators,
            methods.options(sets.keep_thinking, calls.max_concurrency),
            reader.model_ref(engine),
            calls,
            methods.prices,
            output_dir,
            settings,
            run,
        )
    )
    if run.as_json:
        print_json(report_dict(evaluation, settings))
        return
    from sampleset.commands.terminal import print_evaluation

    print_evaluation(evaluation)
    run.note(f"report: {output_dir / 'report.html'}")
    run.next("report", output_dir, "OTHER_REPORT")


async def evaluate_files(
    files: Sequence[SampleFile],
    answers: AnswerOptions,
    aggregators: Sequence[str],
    options: EvaluationOptions,
    aggregator_model: ModelRef,
    calls: CallOptions,
    prices: Path | None,
    output_dir: Path,
    settings: dict[str, Any],
    run: Run,
) -> Evaluation:
    """Several aggregators on the same sets of each file; writes the report's folder."""
    file_by_name = {file.name: file for file in files}
    if len(file_by_name) < len(files):
        raise InvalidArgumentError(
            f"Two of the files have the same name: {', '.join(str(file.path) for file in files)}. Rename one."
        )
    questions = output_dir / "questions.jsonl"
    async with opened_methods(
        aggregators, aggregator_model, calls.patience, calls.max_concurrency, output_dir, run.note
    ) as (methods, judge):
        refuse_absent_scores(methods, files)
        with ExitStack() as open_:
            show, write = open_.enter_context(run.status_line()), open_.enter_context(new_jsonl(questions))
            executor = None
            if aggregator_model.ray is not None:
                executor = open_.enter_context(ray_executor(options.verdicts))
                options = replace(options, workers=executor.workers)
            evaluation = await evaluated(
                {name: file.with_kinds(answers.kinds(judge)) for name, file in file_by_name.items()},
                methods,
                options,
                log=AnswerLog(JsonlLog(output_dir / "answers.jsonl"), aggregator_model.context_size),
                prices=read_prices(prices) if prices else None,
                executor=executor,
                on_question=lambda question: write(asdict(question)),
                on_progress=lambda now: show(evaluation_line(now), now.done, now.total),
            )
    write_report(output_dir, evaluation, settings, questions)
    save_settings(output_dir / "config.json", settings)
    return evaluation
