"""Many aggregators on the same sample sets → Evaluation.

A file is read twice as a stream: first to check that it can be evaluated, before any token is spent, then
problem by problem. Methods that call a model work on several problems at once. Votes and grading run in
worker processes. A few numbers of each scored problem are kept; its full record goes to `on_question`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from sampleset.aggregators.base import Aggregator, tally
from sampleset.answers import Kinds, kind_of, kinds_of, use_verdict_store
from sampleset.datasets.base import GOLD_REMEDY, has_readable_gold, scorer_for
from sampleset.errors import BackendError, DataError, InvalidArgumentError, MissingGoldError
from sampleset.evaluation.answer_log import AnswerLog
from sampleset.evaluation.results import Evaluation, FileResult, QuestionResult
from sampleset.evaluation.scoring import REFERENCE, MethodAnswers, Plan, ProblemScores, Work, score_problems
from sampleset.evaluation.summary import RESAMPLES, FileSummary, Survey, macro_points
from sampleset.evaluation.totals import FileTotals
from sampleset.models.prices import Prices
from sampleset.models.together import in_order
from sampleset.specs import models_asked
from sampleset.storage.records import StoredSet
from sampleset.types import Answer, Problem, SampleSet, Usage

DEFAULT_SUBSETS = 20
_FEW = 200
_OF_A_SET = frozenset({"schema", "id", "question", "samples", "model"})
"""Fewer problems than this are scored before worker processes would have started."""
_BATCH = 16
"""Problems in one task of a worker process, if no method calls a model."""


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How methods are compared.

    Attributes:
        ks: Sizes of the subsets that methods read; by default the size of each file's smallest set. If a
            stopping rule ended a set early, all its samples are read at every larger k.
        subsets: Most subsets per problem and k. All subsets if there are no more, else drawn by the seed. By
            default 20, or 1 if some method calls a model.
        permutations: Further orders in which each method reads the first subset, to count the answers that
            change. By default 1 for methods that call no model, and 0 for methods that do.
        seed: Seed of subsets, orders and bootstrap.
        keep_thinking: Whether methods read a sample's text before `</think>`.
        max_concurrency: Model calls and problems in work at once.
        workers: Processes that vote and grade. A few problems are scored in this process.
        verdicts: File in which slow comparisons of answers are kept between runs.
    """

    ks: tuple[int, ...] | None = None
    subsets: int | None = None
    permutations: int | None = None
    seed: int = 0
    keep_thinking: bool = False
    max_concurrency: int = 8
    workers: int = 1
    verdicts: Path | None = None

    def __post_init__(self) -> None:
        for name in ("subsets", "max_concurrency", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{name}={value!r} must be at least 1.")
        if self.permutations is not None and self.permutations < 0:
            raise InvalidArgumentError(f"permutations={self.permutations!r} must be at least 0.")
        if self.ks is not None and (not self.ks or min(self.ks) < 1):
            raise InvalidArgumentError(f"k={self.ks!r} must name sizes of at least 1.")


@dataclass(slots=True)
class EvaluationProgress:
    """Running totals, for a progress line."""

    source: str = ""
    total: int = 0
    done: int = 0
    usage: Usage = field(default_factory=Usage)
    started: float = field(default_factory=time.monotonic)


async def evaluate(
    files: Mapping[str, Iterable[StoredSet]],
    aggregators: Mapping[str, Aggregator],
    options: EvaluationOptions | None = None,
    *,
    log: AnswerLog | None = None,
    prices: Prices | None = None,
    executor: Executor | None = None,
    on_question: Callable[[QuestionResult], None] | None = None,
    on_progress: Callable[[EvaluationProgress], None] | None = None,
) -> Evaluation:
    """All methods on the same subsets of every file's sample sets.

    Args:
        files: Sample sets with their gold answers, by name; each is read twice.
        aggregators: Methods by label; one of them must be the plain majority vote.
        options: How they are compared.
        log: Log of the answers that cost tokens; by default in memory.
        prices: Prices of tokens; `None` computes no costs.
        executor: Executor that scores problems; by default processes of this machine.
        on_question: Called with the record of each problem, in order.
        on_progress: Called after each problem.

    Raises:
        DataError: A file holds no sets, or a model has no price.
        MissingGoldError: No set of a file has a readable gold answer.
        InvalidArgumentError: No problem of a file has enough samples for any k, or there is no majority vote.
        BackendError: A method failed on every set of a file, or its model cannot be asked.
    """
    if not files:
        raise InvalidArgumentError("No files to evaluate.")
    if REFERENCE not in aggregators:
        raise InvalidArgumentError(f"{REFERENCE!r} must be among the methods; all are compared with it.")
    run = _Run(aggregators, options or EvaluationOptions(), log or AnswerLog(), prices)
    plans = {source: run.plan(source, sets) for source, sets in files.items()}
    totals: dict[str, FileTotals] = {}
    results: list[FileResult] = []
    graded = sum(graded for _, _, graded in plans.values())
    with nullcontext(executor) if executor else _pool(run.options, graded) as pool:
        for source, sets in files.items():
            plan, survey, problems = plans[source]
            left_out = set(survey.unreadable_gold)
            progress = EvaluationProgress(source, total=problems)
            sums = totals[source] = FileTotals()
            chosen = (
                stored
                for stored in sets
                if stored.problem.answer is not None and stored.problem.id not in left_out
            )
            async for scores in run.scores(source, chosen, plan, pool, progress):
                sums.add(scores)
                progress.done += 1
                if on_question is not None:
                    on_question(scores.question)
                if on_progress is not None:
                    on_progress(progress)
            run.refuse_total_failure(source, sums)
            results.append(FileSummary(survey, sums, aggregators, prices, run.options.seed).result())
    return Evaluation(
        files=tuple(results),
        macro=macro_points(results, totals, list(aggregators), run.options.seed),
        comparisons=len(aggregators) - 1,
        subsets=run.subsets,
        resamples=RESAMPLES,
        seed=run.options.seed,
        currency=prices.currency if prices else None,
    )


class _Run:
    """The state that all files of one evaluation share."""

    def __init__(
        self,
        aggregators: Mapping[str, Aggregator],
        options: EvaluationOptions,
        log: AnswerLog,
        prices: Prices | None,
    ) -> None:
        self.options = options
        self._log = log
        self._prices = prices
        self._asking = {
            label: aggregator for label, aggregator in aggregators.items() if models_asked(aggregator)
        }
        self._voting = {
            label: aggregator for label, aggregator in aggregators.items() if label not in self._asking
        }
        self._labels = tuple(aggregators)
        self._calls = asyncio.Semaphore(options.max_concurrency)
        self._first_failure: dict[str, str] = {}
        self.subsets = options.subsets or (1 if self._asking else DEFAULT_SUBSETS)

    def plan(self, source: str, sets: Iterable[StoredSet]) -> tuple[Plan, Survey, int]:
        """The plan for a file, the problems left out of it, and the number of remaining problems.

        Raises:
            DataError: The file has no sets, or a model has no price.
            MissingGoldError: No set has a readable gold answer.
            InvalidArgumentError: No problem has enough samples for any k.
        """
        set_count = without_gold = 0
        unreadable: list[str] = []
        others = ""
        sizes: list[int] = []
        complete_sizes: list[int] = []
        models: set[str] = {
            model for aggregator in self._asking.values() for model in models_asked(aggregator)
        }
        for stored in sets:
            set_count += 1
            sample_set = stored.sample_set
            if stored.problem.answer is None:
                without_gold += 1
                names = [name for name in stored.row if name not in _OF_A_SET]
                others = f" Other columns there: {', '.join(names)}." if names else ""
            elif not has_readable_gold(stored.problem):
                unreadable.append(stored.problem.id)
            else:
                sizes.append(sample_set.n)
                complete_sizes += [] if sample_set.stopped else [sample_set.n]
                models |= {sample.model or sample_set.model or "unknown" for sample in sample_set.samples}
        if not set_count:
            raise DataError(f"{source}: no sample sets to evaluate.")
        if not sizes:
            raise MissingGoldError(
                f"{source}: none of the {set_count} sample sets has a gold answer that can be read "
                f"({without_gold} have no gold, {len(unreadable)} one that cannot be read)."
                f"{others} {GOLD_REMEDY}"
            )
        if self._prices is not None:
            self._prices.check(models)
        ks = (
            tuple(sorted(set(self.options.ks)))
            if self.options.ks
            else (min(complete_sizes, default=max(sizes)),)
        )
        if min(ks) > max(sizes) and len(complete_sizes) == len(sizes):
            raise InvalidArgumentError(
                f"{source}: k={min(ks)} is above the {max(sizes)} samples of its largest set. "
                f"Use -k {max(sizes)}, or draw more samples."
            )
        permutations = {label: self._permutations(label) for label in self._labels}
        plan = Plan(ks, self.subsets, permutations, self.options.seed)
        return plan, Survey(source, without_gold, tuple(unreadable)), len(sizes)

    def _permutations(self, label: str) -> int:
        if self.options.permutations is not None:
            return self.options.permutations
        return 0 if label in self._asking else 1

    async def scores(
        self,
        source: str,
        sets: Iterable[StoredSet],
        plan: Plan,
        pool: Executor,
        progress: EvaluationProgress,
    ) -> AsyncIterator[ProblemScores]:
        """The problems' scores in order, several problems in work at once."""
        size = 1 if self._asking else _BATCH
        loop = asyncio.get_running_loop()
        batch: list[Work] = []
        running: deque[asyncio.Future[list[ProblemScores]]] = deque()

        def start() -> None:
            running.append(loop.run_in_executor(pool, score_problems, tuple(batch)))
            batch.clear()

        try:
            async for work in self._works(source, sets, plan, progress):
                batch.append(work)
                if len(batch) == size:
                    start()
                while len(running) > 2 * self.options.workers:
                    for scores in await running.popleft():
                        yield scores
            if batch:
                start()
            while running:
                for scores in await running.popleft():
                    yield scores
        finally:
            for future in running:
                future.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _works(
        self, source: str, sets: Iterable[StoredSet], plan: Plan, progress: EvaluationProgress
    ) -> AsyncIterator[Work]:
        """The problems to score, in order. Methods that call a model work on several at once."""
        async for work in in_order(
            sets,
            lambda stored: self._work(source, stored, plan, progress),
            self.options.max_concurrency,
        ):
            yield work

    async def _work(self, source: str, stored: StoredSet, plan: Plan, progress: EvaluationProgress) -> Work:
        stored_set = stored.sample_set
        sample_set = stored_set if self.options.keep_thinking else stored_set.without_thinking()
        answers = {label: await self._ask(label, sample_set, plan, progress) for label in self._asking}
        problem = stored.problem
        if scorer_for(problem) is None:
            # Grading does not need these columns, so they are not sent to the worker process.
            problem = replace(problem, solution=None, extra={})
        question = (await self._kinds(problem, sample_set, answers)).bind(problem.question)
        problem, sample_set = replace(problem, question=question), replace(sample_set, question=question)
        return Work(source, sample_set, problem, self._voting, answers, self._labels, plan)

    async def _kinds(
        self,
        problem: Problem,
        sample_set: SampleSet,
        method_answers: Mapping[str, Mapping[int, MethodAnswers]],
    ) -> Kinds:
        """The kinds of the problem with all comparisons by a model recorded, since workers call no model."""
        answers: list[str | None] = []
        if kind_of(problem.question).asks_model:
            all_answers = (
                answer for by_k in method_answers.values() for of_k in by_k.values() for answer in of_k.all
            )
            answers = [*(await tally(sample_set)).answers, *(answer.answer for answer in all_answers)]
        return await kinds_of(problem.question).recorded(problem, answers)

    async def _ask(
        self, label: str, sample_set: SampleSet, plan: Plan, progress: EvaluationProgress
    ) -> dict[int, MethodAnswers]:
        """A method's answers on all subsets of a problem, by k."""

        async def answer(indices: Sequence[int]) -> Answer:
            async with self._calls:
                result = await self._log.answer(self._asking[label], sample_set.subset(indices))
            progress.usage += result.usage
            if "failed" in result.flags:
                self._first_failure.setdefault(label, result.text)
            return result

        by_k: dict[int, MethodAnswers] = {}
        for k in plan.ks:
            if (size := sample_set.size_at(k)) is None:
                continue
            subsets = plan.subsets_for(sample_set.id, sample_set.n, size)
            orders = plan.orders_for(label, sample_set.id, subsets[0])
            answers = await asyncio.gather(*(answer(indices) for indices in (*subsets, *orders)))
            by_k[k] = MethodAnswers(answers[: len(subsets)], answers[len(subsets) :])
        return by_k

    def refuse_total_failure(self, source: str, totals: FileTotals) -> None:
        """Raise if some method failed on every set of a file."""
        for label in self._asking:
            if all(point.methods[label].all_failed for point in totals.points.values()):
                raise BackendError(
                    f"{label} failed on all {totals.problems} sample sets of {source}. "
                    f"First: {self._first_failure[label]}"
                )


@contextmanager
def _pool(options: EvaluationOptions, problems: int) -> Generator[Executor]:
    """Where problems are scored: processes, or a thread of this one."""
    if options.workers == 1 or problems < _FEW:
        use_verdict_store(options.verdicts)
        with ThreadPoolExecutor(1) as pool:
            yield pool
        return
    with ProcessPoolExecutor(
        options.workers,
        mp_context=get_context("spawn"),
        initializer=use_verdict_store,
        initargs=(options.verdicts,),
    ) as pool:
        yield pool
