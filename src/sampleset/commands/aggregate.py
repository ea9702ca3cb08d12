"""One answer per stored sample set."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import tee
from pathlib import Path
from typing import Annotated, Any

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
    SetOptions,
    aggregator_option,
    argument,
    option,
    saved_settings,
)
from sampleset.commands.promises import FurtherStep, PromiseOptions, StoredSteps, certificate_of_labels
from sampleset.commands.run import Run, as_json, run_async
from sampleset.errors import InvalidArgumentError
from sampleset.evaluation import AnswerLog, answer_all
from sampleset.risk.certificate import read_certificate
from sampleset.settings import save_settings
from sampleset.specs import withholding
from sampleset.storage.files import JsonlLog
from sampleset.storage.records import answer_to_row
from sampleset.storage.sample_sets import SampleFile, smallest_set
from sampleset.types import Usage
from sampleset.wording import plural

EXAMPLE = "sampleset aggregate store --aggregator weighted_vote --output-dir answers"


def aggregate(
    samples: Annotated[Path, argument("A store, or a file of sample sets.")],
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    promise: PromiseOptions,
    run: Run,
    aggregator: Annotated[
        str | None,
        aggregator_option("NAME or NAME:key=value,...; default: the certificate's, or majority_vote."),
    ] = None,
    k: Annotated[int | None, option("-k", "--k", help="Samples read per question; all by default.")] = None,
    engine: Engine = "local",
    output_dir: Annotated[
        Path | None, option("--output-dir", help="Write answers.jsonl here, not to stdout.")
    ] = None,
) -> None:
    """Give one answer per stored sample set. Run it again to go on where it stopped."""
    further = promise.further()
    if promise.certificate is not None:
        certificate = read_certificate(promise.certificate)
        aggregator = aggregator or certificate.aggregator
        k = certificate.k if further and k is None else k
    aggregator = aggregator or "majority_vote"
    settings = saved_settings(
        "aggregate",
        reader,
        sets,
        answers,
        calls,
        promise,
        samples=samples,
        aggregator=aggregator,
        k=k,
        engine=engine,
        output_dir=output_dir,
    )
    summary = run_async(
        aggregate_file(
            sets.sample_file(samples, answers, run.note),
            answers,
            aggregator,
            k,
            promise,
            further,
            reader.model_ref(engine),
            calls,
            output_dir,
            settings,
            run,
            keep_thinking=sets.keep_thinking,
        )
    )
    if output_dir is not None:
        run.print_summary(summary)
        run.next("evaluate", samples, "--aggregator", aggregator)


async def aggregate_file(
    sets: SampleFile,
    answers: AnswerOptions,
    aggregator: str,
    k: int | None,
    promise: PromiseOptions,
    further: Sequence[FurtherStep],
    aggregator_model: ModelRef,
    calls: CallOptions,
    output_dir: Path | None,
    settings: dict[str, Any],
    run: Run,
    *,
    keep_thinking: bool,
) -> dict[str, Any]:
    """One aggregator's answers over stored sets, to `answers.jsonl` or as JSON lines to stdout."""
    certificate = await certificate_of_labels(
        promise, aggregator, k, aggregator_model, answers, calls, output_dir, run, keep_thinking=keep_thinking
    )
    if further and certificate is not None:
        k = read_certificate(certificate).k
    steps = StoredSteps(aggregator, k, certificate, promise.min_confidence, further)
    specs = steps.specs if further else [withholding(aggregator, promise.min_confidence, certificate)]
    _require_samples(sets, [size for size in steps.sizes if size is not None])
    answered = abstained = failed = escalated = 0
    async with opened_methods(
        specs, aggregator_model, calls.patience, calls.max_concurrency, output_dir, run.note
    ) as (methods, judge):
        refuse_absent_scores(methods, [sets])
        method = steps.method(methods) if further else methods[specs[0]]
        k = None if further else k
        stored = (row.sample_set for row in sets.with_kinds(answers.kinds(judge)))
        read = (sample_set if keep_thinking else sample_set.without_thinking() for sample_set in stored)
        cut, sample_sets = tee(
            sample_set.subset(range(sample_set.n if k is None else min(k, sample_set.n)))
            for sample_set in read
        )
        log = AnswerLog(
            JsonlLog(output_dir / "answers.jsonl") if output_dir else None, aggregator_model.context_size
        )
        if output_dir is not None:
            save_settings(output_dir / "config.json", settings)
        usage = Usage()
        with run.status_line() as show:
            async for answer in answer_all(method, cut, log, calls.max_concurrency):
                sample_set = next(sample_sets)
                answered += 1
                abstained += answer.answer is None
                escalated += answer.explanation.get("promise", {}).get("decision") == "escalated"
                failed += "failed" in answer.flags
                usage += answer.usage
                show(f"{plural(answered, 'answer')}, {plural(usage.total_tokens, 'token')}")
                if output_dir is None:
                    print(as_json(answer_to_row(answer, sample_set.usage)), flush=True)
    return {
        "sets": answered,
        "escalated": escalated if further else None,
        "abstained": abstained,
        "failed": failed,
        "aggregation_tokens": usage.total_tokens,
        "answers": str(output_dir / "answers.jsonl") if output_dir else None,
    }


def _require_samples(sets: SampleFile, sizes: Sequence[int]) -> None:
    """Refuse sizes that a set does not have.

    Raises:
        InvalidArgumentError: There is one.
    """
    if not sizes:
        return
    smallest, identity = smallest_set(sets)
    for k in sizes:
        if not 1 <= k <= smallest:
            raise InvalidArgumentError(
                f"k={k} must lie between 1 and {smallest}, the samples of question {identity!r} in "
                f"{sets.path}."
            )
