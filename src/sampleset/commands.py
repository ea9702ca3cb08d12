"""What each command does, as coroutines: open the model, do the work, close the model."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import AGGREGATORS, Aggregator
from sampleset.backends.base import BACKENDS, Backend
from sampleset.datasets.base import DATASETS, load_problems
from sampleset.errors import InputNotFoundError, InvalidArgumentError, UnknownNameError
from sampleset.evaluation import (
    REFERENCE,
    AnswerLog,
    EvaluationProgress,
    FileResult,
    answer_all,
    checked_k,
    evaluate,
)
from sampleset.models import open_backend
from sampleset.progress import evaluation_line, sampling_line, status_line
from sampleset.records import StoredSet, answer_to_row
from sampleset.report import write_report
from sampleset.retries import Patience, patient
from sampleset.sample_store import SampleStore, digest, is_store
from sampleset.sampling import Sampler, SamplingOptions, SamplingProgress
from sampleset.settings import save_settings
from sampleset.specs import build, needs_model, parse_spec, summary
from sampleset.storage import SUFFIXES, JsonlLog, read_sample_sets, write_rows
from sampleset.types import Answer, Problem, Question, SampleSet

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
            answer = await method.aggregate(drawn)
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
    export: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Draw samples for every problem of a dataset into a store, and sum up what came back."""
    problems = load_problems(dataset, limit)
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
    max_concurrency: int,
    patience: tuple[int, float],
    output_dir: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """One aggregator's answers over stored sets, to `answers.jsonl` or as JSON lines to stdout."""
    stored = load_sets(samples, configuration, limit)
    cut = [one.sample_set for one in stored]
    if k is not None:
        k = checked_k(str(samples), stored, k)
        cut = [one.subset(range(k)) for one in cut]
    given: list[Answer] = []
    async with _methods([aggregator], aggregator_model, Patience(*patience), max_concurrency) as methods:
        log = AnswerLog(JsonlLog(output_dir / "answers.jsonl") if output_dir else None)
        if output_dir is not None:
            save_settings(output_dir / "config.json", settings)
        progress = EvaluationProgress(total=len(cut), method=aggregator)
        with status_line() as show:
            async for answer in answer_all(methods[aggregator], cut, log, max_concurrency):
                given.append(answer)
                progress.done, progress.usage = progress.done + 1, progress.usage + answer.usage
                show(evaluation_line(progress))
                if output_dir is None:
                    _write_line(answer_to_row(answer, cut[len(given) - 1].usage))
    return {
        "sets": len(given),
        "abstained": sum(answer.answer is None for answer in given),
        "failed": sum("failed" in answer.flags for answer in given),
        "aggregation_tokens": progress.usage.total_tokens,
        "answers": str(output_dir / "answers.jsonl") if output_dir else None,
    }


async def evaluate_files(
    files: Sequence[Path],
    aggregators: Sequence[str],
    *,
    k: int | None,
    aggregator_model: ModelRef,
    configuration: str | None,
    limit: int | None,
    seed: int,
    max_concurrency: int,
    patience: tuple[int, float],
    output_dir: Path,
    settings: dict[str, Any],
) -> list[FileResult]:
    """Several aggregators on the same sets of each file; writes the report's folder."""
    labels = list(dict.fromkeys(aggregators))
    if REFERENCE not in labels:
        labels.append(REFERENCE)
    loaded = {str(path): load_sets(path, configuration, limit) for path in files}
    for source, stored in loaded.items():
        checked_k(source, stored, k)
    results: list[FileResult] = []
    async with _methods(labels, aggregator_model, Patience(*patience), max_concurrency) as methods:
        log = AnswerLog(JsonlLog(output_dir / "answers.jsonl"))
        with status_line() as show:
            for source, stored in loaded.items():
                name = source_name(Path(source))
                results.append(
                    await evaluate(
                        name,
                        stored,
                        methods,
                        k=k,
                        seed=seed,
                        log=log,
                        max_concurrency=max_concurrency,
                        on_progress=lambda now, name=name: show(f"{name}: {evaluation_line(now)}"),
                    )
                )
    write_report(output_dir, results, settings)
    save_settings(output_dir / "config.json", settings)
    return results


def load_sets(path: Path, configuration: str | None = None, limit: int | None = None) -> list[StoredSet]:
    """The sample sets of a store, of a file, or of a folder with one file per seed.

    Raises:
        InputNotFoundError: There is nothing of that name.
        DataError: It cannot be read as sample sets, or holds none.
    """
    if limit is not None and limit < 1:
        raise InvalidArgumentError(f"limit={limit!r} must be at least 1.")
    if not path.exists():
        raise InputNotFoundError(f"No file or folder {str(path)!r}. Give a store or a file of sample sets.")
    if path.is_dir() and is_store(path):
        return list(islice(SampleStore(path, must_exist=True).sample_sets(configuration), limit))
    if configuration is not None:
        raise InvalidArgumentError(f"--configuration chooses within a store; {str(path)!r} is not a store.")
    return list(islice(read_sample_sets(path), limit))


def source_name(path: Path) -> str:
    """A file's or folder's name without what it ends in."""
    name = path.resolve().name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


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
    """The aggregators by the text that names them; a model is opened only if one of them asks it."""
    factories = [AGGREGATORS.get(parse_spec(spec)[0]) for spec in specs]
    async with AsyncExitStack() as stack:
        asked = None
        if any(needs_model(factory) for factory in factories):
            backend = await stack.enter_async_context(opened(aggregator_model))
            asked = patient(backend, patience, max_concurrency)
        yield {spec: build(spec, asked) for spec in specs}


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
