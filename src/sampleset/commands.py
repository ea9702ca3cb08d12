"""What each command does, as coroutines: open the model, do the work, close the model."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from itertools import tee
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import Aggregator, tally, vote_answer
from sampleset.answers import kind_of, with_answer_kind
from sampleset.backends._gguf_files import EMBEDDED, EMBEDDED_SSA, embedded_ssa_is_installed
from sampleset.backends.base import Backend, record_of
from sampleset.budget import metered
from sampleset.datasets.base import read_dataset
from sampleset.drawing import Drawing, ModelRef, opened, opened_samplers
from sampleset.engines.ray import ray_executor
from sampleset.errors import CapReachedError, InvalidArgumentError
from sampleset.evaluation import (
    REFERENCE,
    AnswerLog,
    Evaluation,
    EvaluationOptions,
    ReplayFile,
    ReplayOptions,
    answer_all,
    evaluate,
    read_prices,
    replay_file,
)
from sampleset.judging import LLMJudge, judging
from sampleset.pool import Pool
from sampleset.progress import evaluation_line, sampling_line, status_line
from sampleset.records import answer_to_row
from sampleset.report import replay_csv, replay_dict, write_report
from sampleset.retries import Patience, patient
from sampleset.reward_models._cache import ScoreLog, SharedRewardModels
from sampleset.reward_models.base import RewardModel
from sampleset.sample_files import SampleFile, smallest_set
from sampleset.sample_store import digest
from sampleset.sampling import SamplingProgress
from sampleset.settings import save_settings
from sampleset.specs import build, models_asked, models_of, needs_model, with_default_model
from sampleset.stopping import StoppingRule, classes_in
from sampleset.storage import JsonlLog, check_target, new_jsonl, write_rows
from sampleset.types import Answer, Problem, Question, SampleSet, Usage

DEFAULT_METHODS = ("first_sample", REFERENCE, "weighted_vote", "best_of_n")


@dataclass(frozen=True, slots=True)
class Answered:
    """One question's samples, the answer made of them, and the tokens of all draws, cancelled ones too."""

    sample_set: SampleSet
    answer: Answer
    sampling: Usage


async def answer_question(
    text: str,
    drawing: Drawing,
    *,
    aggregator: str | None,
    aggregator_model: ModelRef | None,
    settled_by_vote: bool,
    keep_thinking: bool,
    answer_kind: str | None,
    store_folder: Path | None,
    settings: dict[str, Any],
) -> Answered:
    """Draw samples for one question and aggregate them. An aggregator that asks a model asks, by default,
    the one that was sampled (of a pool, the first), and so does the judge of answers; `ssa` asks the one of
    this package unless the sampled one is trained. Their calls fit the run's caps, too. Where they do not, or
    need not be made, the vote answers, flagged `cap_reached` or `settled_by_vote`.
    """
    options = drawing.options
    if settled_by_vote and options.stop is None:
        raise InvalidArgumentError("--settled-by-vote needs the rule that settles it: give --stop, too.")
    aggregator = aggregator or _usual_aggregator(drawing, aggregator_model)
    models_of(aggregator)  # refused before a model is opened
    question = with_answer_kind(Question(id="question", text=text), answer_kind)
    async with AsyncExitStack() as stack:
        show = stack.enter_context(status_line())
        draws = await stack.enter_async_context(
            opened_samplers(drawing, store_folder, 1, lambda now: show(sampling_line(now)))
        )

        async def asked(model: ModelRef | None) -> Backend:
            backend = await stack.enter_async_context(opened(model)) if model else draws.each[0].backend
            capped = metered(backend, draws.budgets, drawing.tariff(backend)) if draws.budgets else backend
            return patient(capped, options.patience, options.max_concurrency)

        if aggregator_model is None and record_of(draws.each[0].backend) is None:
            aggregator = with_default_model(aggregator)
        ready = {
            named: await asked(aggregator_model if named is None else ModelRef(named))
            for named in models_of(aggregator)
        }
        judge = stack.enter_context(judging(lambda: asked(aggregator_model)))
        await asyncio.to_thread(kind_of(question).check)
        rewards = SharedRewardModels(ScoreLog())
        stack.push_async_callback(rewards.aclose)

        def shared(model: RewardModel) -> RewardModel:
            if draws.budgets and not needs_model(type(model)):
                raise InvalidArgumentError(
                    f"A cap counts what backends are asked, not the tokens of {model.identity!r}. Leave "
                    "the cap away, or take a reward model that asks a backend, such as llm_judge."
                )
            return rewards(model)

        method = build(aggregator, ready.get(None), ready, shared)
        if draws.store is not None and store_folder is not None:
            question = replace(question, id=digest(text)[:12])
            draws.store.add_problems([Problem(question, None)])
            save_settings(store_folder / "config.json", settings)
        drawn = await (Pool(draws.each) if drawing.pool else draws.each[0]).sample(question)
        show("aggregating")
        shown = drawn if keep_thinking else drawn.without_thinking()
        rule = options.stop if settled_by_vote and models_asked(method) else None
        answer = await _answer(method, shown, rule)
    _warn_of_identical(draws.progress)
    _tell_of_judge(judge)
    notes = ["capped"] if draws.progress.capped else ["stopped_early"] if drawn.stopped else []
    cancelled = draws.progress.cancelled
    return Answered(
        drawn,
        replace(answer, flags=(*answer.flags, *notes)),
        drawn.usage + Usage(calls=cancelled, uncounted=cancelled),
    )


def _usual_aggregator(drawing: Drawing, aggregator_model: ModelRef | None) -> str:
    """A trained one where it is named, or with this package's own model; samples of others are voted on."""
    ours = (
        drawing.pool is None
        and drawing.model.base_url is None
        and drawing.model.ref in (EMBEDDED, EMBEDDED_SSA)
    )
    trained = aggregator_model is not None or (ours and embedded_ssa_is_installed())
    return "ssa" if trained else REFERENCE


async def _answer(method: Aggregator, shown: SampleSet, rule: StoppingRule | None) -> Answer:
    """The method's answer, or the vote's where the rule says that it is settled or a cap forbids to ask."""
    counted = await tally(shown)
    if rule is not None and rule.met(classes_in(counted)):
        return vote_answer(shown, method.name, counted, ["settled_by_vote"], 0)
    try:
        return await method.aggregate(shown)
    except CapReachedError as refusal:
        print(f"note: {method.name} was not asked. {refusal}", file=sys.stderr)
        return vote_answer(shown, method.name, counted, ["cap_reached"], 0)


async def sample_dataset(
    dataset: str,
    folder: Path,
    drawing: Drawing,
    *,
    limit: int | None,
    shuffle: int | None,
    data_dir: Path | None,
    columns: Mapping[str, str] | None,
    answer_kind: str | None,
    export: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Draw samples for every problem of a dataset into a store, and sum up what came back."""
    if export is not None:
        check_target(export)
    loaded = read_dataset(
        dataset, limit, data_dir=data_dir, columns=columns, answer_kind=answer_kind, shuffle=shuffle
    )
    problems = loaded.problems
    if loaded.is_part and limit is None:
        print(
            f"note: {loaded.source} holds {len(problems)} of the {loaded.stated} problems of {dataset}",
            file=sys.stderr,
        )
    with status_line() as show:
        async with opened_samplers(
            drawing, folder, len(problems), lambda now: show(sampling_line(now))
        ) as draws:
            assert draws.store is not None
            draws.store.add_problems(problems)
            save_settings(folder / "config.json", settings)
            await Pool(draws.each).sample_many([problem.question for problem in problems])
    progress = draws.progress
    _warn_of_identical(progress)
    drawn_under = ",".join(sampler.configuration.id for sampler in draws.each)
    if export is not None:
        write_rows(export, (one.to_row() for one in draws.store.sample_sets(drawn_under)))
    return {
        "questions": progress.questions // len(draws.each),
        "samples": progress.returned,
        "distinct": progress.distinct,
        "drawn_now": progress.drawn - progress.failed,
        "from_store": progress.reused,
        "failed": progress.failed,
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


async def aggregate_file(
    samples: Path,
    aggregator: str,
    *,
    k: int | None,
    aggregator_model: ModelRef,
    configuration: str | None,
    limit: int | None,
    columns: Mapping[str, str] | None,
    answer_kind: str | None,
    keep_thinking: bool,
    max_concurrency: int,
    patience: tuple[int, float | None],
    output_dir: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """One aggregator's answers over stored sets, to `answers.jsonl` or as JSON lines to stdout."""
    sets = SampleFile(samples, configuration, limit, columns, answer_kind)
    if k is not None:
        smallest, identity = smallest_set(sets)
        if not 1 <= k <= smallest:
            raise InvalidArgumentError(
                f"k={k} must lie between 1 and {smallest}, the samples of question {identity!r} in {samples}."
            )
    read = (one.sample_set if keep_thinking else one.sample_set.without_thinking() for one in sets)
    cut, shown = tee(one.subset(range(one.n if k is None else min(k, one.n))) for one in read)
    given = abstained = failed = 0
    async with _methods(
        [aggregator], aggregator_model, Patience(*patience), max_concurrency, output_dir
    ) as methods:
        log = AnswerLog(
            JsonlLog(output_dir / "answers.jsonl") if output_dir else None, aggregator_model.context_size
        )
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
    patience: tuple[int, float | None],
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
    async with _methods(
        labels, aggregator_model, Patience(*patience), options.max_concurrency, output_dir
    ) as methods:
        with ExitStack() as open_:
            show, write = open_.enter_context(status_line()), open_.enter_context(new_jsonl(questions))
            executor = None
            if aggregator_model.ray is not None:
                executor = open_.enter_context(ray_executor(options.verdicts))
                options = replace(options, workers=executor.workers)
            evaluation = await evaluate(
                named,
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


def replay_files(
    files: Sequence[SampleFile], options: ReplayOptions, output_dir: Path | None, settings: dict[str, Any]
) -> list[ReplayFile]:
    """Stopping rules on each file; writes the tables' numbers if there is a folder for them."""
    replayed: list[ReplayFile] = []
    with status_line() as show:
        for one in files:
            name = one.name

            def told(done: int, name: str = name) -> None:
                show(f"{name}: {done} questions")

            replayed.append(replay_file(name, one, options, told))
    if output_dir is not None:
        save_settings(output_dir / "replay.json", replay_dict(replayed, settings))
        (output_dir / "replay.csv").write_text(replay_csv(replayed), encoding="utf-8")
    return replayed


@asynccontextmanager
async def _methods(
    specs: Sequence[str],
    aggregator_model: ModelRef,
    patience: Patience,
    max_concurrency: int,
    output_dir: Path | None,
) -> AsyncGenerator[dict[str, Aggregator]]:
    """The aggregators by the text that names them; each model that one of them asks is opened once. The
    aggregators' model also judges answers of the kind `judge`, if there are any.
    """
    by_default = aggregator_model.ref == EMBEDDED
    full = {spec: with_default_model(spec) if by_default else spec for spec in specs}
    models = {
        named: aggregator_model if named is None else ModelRef(named, ray=aggregator_model.ray)
        for spec in full.values()
        for named in models_of(spec)
    }
    async with AsyncExitStack() as stack:
        asked: dict[ModelRef, Backend] = {}

        async def ask(model: ModelRef) -> Backend:
            if model not in asked:
                backend = await stack.enter_async_context(opened(model))
                asked[model] = patient(backend, patience, max_concurrency)
            return asked[model]

        ready = {named: await ask(model) for named, model in models.items()}
        log = JsonlLog(output_dir / "judgements.jsonl") if output_dir else None
        judge = stack.enter_context(judging(lambda: ask(aggregator_model), log))
        rewards = SharedRewardModels(ScoreLog(JsonlLog(output_dir / "scores.jsonl") if output_dir else None))
        stack.push_async_callback(rewards.aclose)
        yield {spec: build(one, ready.get(None), ready, rewards) for spec, one in full.items()}
        _tell_of_judge(judge)


def _write_line(row: dict[str, Any]) -> None:
    # Lone surrogates, which models' broken byte pieces may leave, have no UTF-8 form.
    print(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode(), flush=True)


def _tell_of_judge(judge: LLMJudge) -> None:
    if judge.usage.calls:
        print(
            f"note: the judge of answers was asked {judge.usage.calls} times, "
            f"{judge.usage.total_tokens} tokens; they are in no other count",
            file=sys.stderr,
        )


def _warn_of_identical(progress: SamplingProgress) -> None:
    if progress.seeds_ignored:
        print(
            "warning: all draws of a question are one and the same text. The server seems to ignore the "
            "seed, or to answer from a cache; such samples carry no more than one does.",
            file=sys.stderr,
        )
