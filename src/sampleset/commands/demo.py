"""The demo: the whole path on parts that install from PyPI, in one to two minutes on two cores.

First a one-step question is put to the embedded model (135 million parameters, which is too small for
real word problems) and every method answers from its samples. Then recorded sample sets of larger models
are aggregated and graded: by votes at once, and live by the embedded model and by the aggregator trained
on it, which read the samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

from sampleset.aggregators.base import Aggregator
from sampleset.backends.base import Backend
from sampleset.chat import SamplingParams
from sampleset.commands.opening import opened_embedded
from sampleset.commands.options import Limit, Seed, option
from sampleset.commands.progress import evaluation_line, sampling_line
from sampleset.commands.run import Output, Run, print_json, run_async
from sampleset.commands.terminal import print_answers, print_evaluation, print_samples
from sampleset.datasets.base import load_problems
from sampleset.evaluation import AnswerLog, Evaluation, EvaluationOptions, evaluate
from sampleset.grading.grade import grade
from sampleset.models.calls import ModelCalls
from sampleset.models.retries import Patience
from sampleset.report import report_dict, write_report
from sampleset.report.wording import percent, points, points_range
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.specs import build, models_of
from sampleset.storage.files import JsonlLog, new_jsonl
from sampleset.storage.sample_sets import SampleFile

K = 5
VOTES = ("first_sample", "majority_vote", "calculator")
CONFIDENCE = ("weighted_vote", "weighted_vote:by=window", "best_of_n")
UNTRAINED = ("llm_aggregator:mode=select,max_prompt_tokens=400",)
TRAINED = ("ssa",)
RECORDED = (
    ("gsm8k_qwen05b_100", 50, VOTES + CONFIDENCE + TRAINED),
    ("gsm8k_small8_100", 20, VOTES + UNTRAINED + TRAINED),
)
"""Files of recorded sets in the package, how many of each are read (a second or two of a core each on
OpenVINO), and the methods that read them.
"""

_LIVE = (*VOTES, *CONFIDENCE, "universal_self_consistency:max_prompt_tokens=400", *UNTRAINED, *TRAINED)

EXAMPLE = "sampleset demo --limit 5"

_SHOWN = Output()


def demo(
    run: Run,
    output_dir: Annotated[Path, option("--output-dir", help="Where the report goes.")] = Path("demo"),
    limit: Limit = None,
    seed: Seed = 0,
) -> None:
    """Show the whole path on the embedded model: samples, answers, a table, a page."""
    report = run_async(run_demo(output_dir, limit, seed, quiet=run.as_json, output=run))
    if run.as_json:
        print_json(report)
    run.next("answer", "What is 17 + 25?", "--show")


async def run_demo(
    folder: Path, limit: int | None, seed: int, *, quiet: bool, output: Output = _SHOWN
) -> dict[str, Any]:
    """Run the demo, print its results unless `quiet`, and return the report's figures.

    Args:
        folder: The folder of the report.
        limit: Recorded sets per file instead of those in `RECORDED`.
        seed: Seed of the live draws.
        quiet: Print nothing to stdout.
        output: Shows the progress.

    Raises:
        MissingExtraError: The embedded model or its engine is not installed.
    """
    async with opened_embedded() as (plain, trained):
        await _live(plain, trained, seed, output, quiet=quiet)
        settings = {"command": "demo", "model": plain.model, "seed": seed, "limit": limit, "k": K}
        evaluations = await _recorded(plain, trained, folder, limit, settings, output)
    if not quiet:
        for name, evaluation in evaluations.items():
            print_evaluation(evaluation)
            print(f"As a page, with every question and its samples: {folder / name / 'report.html'}\n")
        print(_conclusion(evaluations[RECORDED[0][0]]))
    return {name: report_dict(evaluation, settings) for name, evaluation in evaluations.items()}


async def _live(backend: Backend, trained: Backend, seed: int, output: Output, *, quiet: bool) -> None:
    """One question, K samples side by side, and every method's answer."""
    problem = load_problems("one_step", limit=1)[0]
    with output.status_line() as show:
        params = SamplingParams(max_tokens=200)
        options = SamplingOptions(n=K, params=params, prompt="worked_examples", seed=seed)
        sampler = Sampler(
            backend, options, on_progress=lambda now: show(sampling_line(now), now.questions, now.total)
        )
        sampler.progress.total = 1
        sample_set = await sampler.sample(problem.question)
        answers = [await method.aggregate(sample_set) for method in _built(_LIVE, backend, trained).values()]
    if quiet:
        return
    print(f"Question: {problem.question.text}\n(right answer: {problem.answer})\n")
    print(f"{K} samples of the embedded model, {backend.model}; it is tiny, and often wrong:\n")
    print_samples(sample_set)
    print("\nOne answer from these samples, by method:\n")
    print_answers(answers, [(await grade(answer.answer, problem)).correct for answer in answers], list(_LIVE))
    print(
        "\nOne question proves nothing. So: recorded samples of larger models on GSM8K test questions, "
        f"{K} read per question.\n",
        flush=True,
    )


async def _recorded(
    backend: Backend,
    trained: Backend,
    folder: Path,
    limit: int | None,
    settings: dict[str, Any],
    output: Output,
) -> dict[str, Evaluation]:
    """Every recorded file with its methods; answers are logged, so a second run is quick."""
    log = AnswerLog(JsonlLog(folder / "answers.jsonl"))
    evaluations: dict[str, Evaluation] = {}
    with output.status_line() as show:
        for name, sets, methods in RECORDED:
            questions = folder / name / "questions.jsonl"
            with (
                as_file(files("sampleset") / "data" / f"{name}.jsonl.gz") as path,
                new_jsonl(questions) as write,
            ):
                evaluation = evaluations[name] = await evaluate(
                    {name: SampleFile(path, limit=sets if limit is None else limit)},
                    _built(methods, backend, trained),
                    EvaluationOptions(ks=(K,)),
                    log=log,
                    on_question=lambda question, write=write: write(asdict(question)),
                    on_progress=lambda now: show(evaluation_line(now), now.done, now.total),
                )
            write_report(folder / name, evaluation, settings, questions)
    return evaluations


def _conclusion(evaluation: Evaluation) -> str:
    """What the demo shows, in one sentence."""
    point = evaluation.files[0].points[-1]
    methods = {method.label: method for method in point.methods}
    vote, trained = methods["majority_vote"], methods[TRAINED[0]]
    interval = trained.difference_interval
    if interval.low > 0:
        verdict = "the trained aggregator is better"
    elif interval.high < 0:
        verdict = "the vote is better"
    else:
        verdict = f"so {point.problems} questions do not tell which is better"
    return (
        f"You saw {K} samples of a question become one answer, and on {point.problems} recorded questions "
        f"the trained aggregator ({trained.label}) was right on {percent(trained.accuracy)} % and the "
        f"majority vote on {percent(vote.accuracy)} %: {points(trained.difference)} points, 95 % interval "
        f"{points_range(interval)}, {verdict}."
    )


def _built(specs: Sequence[str], backend: Backend, trained: Backend) -> dict[str, Aggregator]:
    plain, reader = (ModelCalls(model, Patience(), max_concurrency=1) for model in (backend, trained))
    return {
        spec: build(spec, (reader if spec in TRAINED else plain) if models_of(spec) else None)
        for spec in specs
    }
