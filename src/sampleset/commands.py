"""What each command does, as coroutines: open the model, do the work, close the model."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import tee
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import AGGREGATORS, Aggregator
from sampleset.backends.base import BACKENDS, Backend
from sampleset.datasets.base import DATASETS, read_dataset
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.evaluation import (
    REFERENCE,
    AnswerLog,
    Evaluation,
    EvaluationOptions,
    answer_all,
    evaluate,
    read_prices,
)
from sampleset.models import open_backend
from sampleset.progress import evaluation_line, sampling_line, status_line
from sampleset.records import answer_to_row
from sampleset.report import write_report
from sampleset.retries import Patience, patient
from sampleset.sample_files import SampleFile, smallest_set
from sampleset.sample_store import SampleStore, digest
from sampleset.sampling import Sampler, SamplingOptions, SamplingProgress
from sampleset.settings import save_settings
from sampleset.specs import build, model_of, needs_model, parse_spec, summary
from sampleset.storage import JsonlLog, new_jsonl, write_rows
from sampleset.types import Answer, Problem, Question, SampleSet, Usage

DEFAULT_METHODS = ("first_sample", REFERENCE, "weighted_vote", "best_of_n")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the user names it; see `open_backend`."""

    ref: str = "embedded"
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    context_size: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One question's samples and the answer made of them."""

    sample_set: SampleSet
    answer: Answer


@asynccontextmanager
async def opened(model: ModelRef) -> AsyncGenerator[Backend]:
    """A backend that is there, closed at the end.

    Raises:
        BackendError: It cannot be asked.
    """
    backend = open_backend(model.ref, model.base_url, model.api_key, model.context_size)
    try:
        await backend.check()
        yield backend
    finally:
        await backend.aclose()


async def answer_question(
    text: str,
    options: SamplingOptions,
    *,
    model: ModelRef,
    aggregator: str,
    aggregator_model: ModelRef | None,
    keep_thinking: bool,
    store_folder: Path | None,
    settings: dict[str, Any],
) -> Answered:
    """Draw samples for one question and aggregate them. An aggregator that asks a model asks, by default,
    the one that was sampled.
    """
    factory = AGGREGATORS.get(parse_spec(aggregator)[0])
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(opened(model))
        asked = backend
        named = model_of(aggregator)
        if named is not None:
            aggregator_model = ModelRef(named)
        if needs_model(factory) and aggregator_model is not None:
            asked = await stack.enter_async_context(opened(aggregator_model))
        method = build(aggregator, patient(asked, options.patience, options.max_concurrency))
        question = Question(id="question", text=text)
        store = None
        if store_folder is not None:
            store = SampleStore(store_folder)
            question = Question(id=digest(text)[:12], text=text)
            store.add_problems([Problem(question, None)])
            save_settings(store_folder / "config.json", settings)
        with status_line() as show:
            sampler = Sampler(backend, options, store, lambda now: show(sampling_line(now)))
            sampler.progress.total = 1
            drawn = await sampler.sample(question)
            show("aggregating")
            answer = await method.aggregate(drawn if keep_thinking else drawn.without_thinking())
        if store is not None:
            store.close()
    _warn_of_identical(sampler.progress)
    return Answered(drawn, answer)


async def sample_dataset(
    dataset: str,
    folder: Path,
    options: SamplingOptions,
    *,
    model: ModelRef,
    limit: int | None,
    data_dir: Path | None,
    columns: Mapping[str, str] | None,
    export: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Draw samples for every problem of a dataset into a store, and sum up what came back."""
    loaded = read_dataset(dataset, limit, data_dir=data_dir, columns=columns)
    problems = loaded.problems
    if loaded.is_part and limit is None:
        print(
            f"note: {loaded.source} holds {len(problems)} of the {loaded.stated} problems of {dataset}",
            file=sys.stderr,
        )
    async with opened(model) as backend:
        store = SampleStore(folder)
        store.add_problems(problems)
        save_settings(folder / "config.json", settings)
        with status_line() as show:
            sampler = Sampler(backend, options, store, lambda now: show(sampling_line(now)))
            sampler.progress.total = len(problems)
            try:
                async for _ in sampler.sample_many(problem.question for problem in problems):
                    pass
            finally:
                store.close()
    progress = sampler.progress
    _warn_of_identical(progress)
    if export is not None:
        write_rows(export, (one.to_row() for one in store.sample_sets(sampler.configuration.id)))
    return {
        "questions": progress.questions,
        "samples": progress.returned,
        "distinct": progress.distinct,
        "drawn_now": progress.drawn - progress.failed,
        "from_store": progress.reused,
        "failed": progress.failed,
        "retries": progress.retries,
        "below_quorum": list(progress.below_quorum),
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "store": str(folder),
        "configuration": sampler.configuration.id,
    }


async def aggregate_file(
    samples: Path,
    aggregator: str,
    *,
    k: int | None,
    aggregator_model: ModelRef,
    configuration: str | None,
    limit: int | None,
    columns: Mapping[str, str] | None,
    keep_thinking: bool,
    max_concurrency: int,
    patience: tuple[int, float],
    output_dir: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """One aggregator's answers over stored sets, to `answers.jsonl` or as JSON lines to stdout."""
    sets = SampleFile(samples, configuration, limit, columns)
    if k is not None:
        smallest, identity = smallest_set(sets)
        if not 1 <= k <= smallest:
            raise InvalidArgumentError(
                f"k={k} must lie between 1 and {smallest}, the samples of question {identity!r} in {samples}."
            )
    read = (one.sample_set if keep_thinking else one.sample_set.without_thinking() for one in sets)
    cut, shown = tee(one.subset(range(one.n if k is None else min(k, one.n))) for one in read)
    given = abstained = failed = 0
    async with _methods([aggregator], aggregator_model, Patience(*patience), max_concurrency) as methods:
        log = AnswerLog(JsonlLog(output_dir / "answers.jsonl") if output_dir else None)
        if output_dir is not None:
            save_settings(output_dir / "config.json", settings)
        usage = Usage()
        with status_line() as show:
            async for answer in answer_all(methods[aggregator], cut, log, max_concurrency):
                sample_set = next(shown)
                given += 1
                abstained += answer.answer is None
                failed += "failed" in answer.flags
                usage += answer.usage
                show(f"{given} answers, {usage.total_tokens} tokens")
                if output_dir is None:
                    _write_line(answer_to_row(answer, sample_set.usage))
    return {
        "sets": given,
        "abstained": abstained,
        "failed": failed,
        "aggregation_tokens": usage.total_tokens,
        "answers": str(output_dir / "answers.jsonl") if output_dir else None,
    }


async def evaluate_files(
    files: Sequence[SampleFile],
    aggregators: Sequence[str],
    options: EvaluationOptions,
    *,
    aggregator_model: ModelRef,
    patience: tuple[int, float],
    prices: Path | None,
    output_dir: Path,
    settings: dict[str, Any],
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
    async with _methods(labels, aggregator_model, Patience(*patience), options.max_concurrency) as methods:
        with status_line() as show, new_jsonl(questions) as write:
            evaluation = await evaluate(
                named,
                methods,
                options,
                log=AnswerLog(JsonlLog(output_dir / "answers.jsonl")),
                prices=read_prices(prices) if prices else None,
                on_question=lambda question: write(asdict(question)),
                on_progress=lambda now: show(evaluation_line(now)),
            )
    write_report(output_dir, evaluation, settings, questions)
    save_settings(output_dir / "config.json", settings)
    return evaluation


def listing(kind: str | None) -> dict[str, dict[str, str]]:
    """What there is, by kind and name, with one line on each.

    Raises:
        UnknownNameError: No such kind.
    """
    kinds = ("aggregators", "backends", "datasets")
    if kind is not None and kind not in kinds:
        raise UnknownNameError("kind of things to list", kind, kinds)
    found: dict[str, dict[str, str]] = {}
    for one in kinds if kind is None else (kind,):
        if one == "aggregators":
            found[one] = {name: summary(AGGREGATORS.get(name)) for name in AGGREGATORS.names()}
        elif one == "backends":
            found[one] = {name: _first_line(f"{BACKENDS.package}.{name}") for name in BACKENDS.names()}
        else:
            found[one] = {name: DATASETS.get(name).summary for name in DATASETS.names()}
    return found


@asynccontextmanager
async def _methods(
    specs: Sequence[str],
    aggregator_model: ModelRef,
    patience: Patience,
    max_concurrency: int,
) -> AsyncGenerator[dict[str, Aggregator]]:
    """The aggregators by the text that names them; each model that one of them asks is opened once."""
    asking = [spec for spec in specs if needs_model(AGGREGATORS.get(parse_spec(spec)[0]))]
    models = {
        spec: aggregator_model if (named := model_of(spec)) is None else ModelRef(named) for spec in asking
    }
    async with AsyncExitStack() as stack:
        asked: dict[ModelRef, Backend] = {}
        for model in models.values():
            if model not in asked:
                backend = await stack.enter_async_context(opened(model))
                asked[model] = patient(backend, patience, max_concurrency)
        yield {spec: build(spec, asked[models[spec]] if spec in models else None) for spec in specs}


def _first_line(module: str) -> str:
    return (import_module(module).__doc__ or "").strip().split("\n")[0]


def _write_line(row: dict[str, Any]) -> None:
    print(json.dumps(row, ensure_ascii=False), flush=True)


def _warn_of_identical(progress: SamplingProgress) -> None:
    if progress.seeds_ignored:
        print(
            "warning: all draws of a question are one and the same text. The server seems to ignore the "
            "seed, or to answer from a cache; such samples carry no more than one does.",
            file=sys.stderr,
        )
