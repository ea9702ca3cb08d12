"""Many aggregators on the same sample sets → Evaluation.

A file is read as a stream, twice: first to see that it can be evaluated, before any token is spent, then
problem by problem. Methods that ask a model are asked about several problems at once; the votes and all
grading run in worker processes. Of a scored problem a few numbers are kept, and its record is handed on.
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
from sampleset.datasets.base import has_readable_gold, scorer_for
from sampleset.errors import BackendError, DataError, InvalidArgumentError, MissingGoldError
from sampleset.evaluation.answer_log import AnswerLog
from sampleset.evaluation.results import Evaluation, FileResult, QuestionResult
from sampleset.evaluation.scoring import REFERENCE, Given, Plan, ProblemScores, Work, score_problems
from sampleset.evaluation.summary import RESAMPLES, FileSummary, Survey, macro_points
from sampleset.evaluation.totals import FileTotals
from sampleset.models.prices import Prices
from sampleset.specs import models_asked
from sampleset.storage.records import StoredSet
from sampleset.types import Answer, Problem, SampleSet, Usage

DEFAULT_SUBSETS = 20
_FEW = 200
"""Problems that are scored sooner than worker processes start."""
_BATCH = 16
"""Problems that a worker process is handed at once, where no model is asked about them."""


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How methods are compared.

    Attributes:
        ks: Sizes of the subsets that methods read; by default the size of each file's smallest set. Sets that
            a stopping rule left with fewer are read whole at every larger k.
        subsets: Most subsets per problem and k: all where there are no more, else drawn by the seed. By
            default 20, or 1 where some method asks a model.
        permutations: Further orders in which each method reads the first subset, to count the answers that
            change. By default 1 for methods that ask no model, and 0 for those that do.
        seed: Seed of subsets, orders and bootstrap.
        keep_thinking: Whether methods read what a sample says before `</think>`.
        max_concurrency: Model calls and problems in work at once.
        workers: Processes that vote and grade; few problems are scored in this one.
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
        log: Where answers that cost tokens are kept and looked up.
        prices: What tokens cost.
        executor: Where problems are scored; by default processes of this machine.
        on_question: Called with the record of each problem, in order.
        on_progress: Called after each problem.

    Raises:
        DataError: A file holds no sets, or a model has no price.
        MissingGoldError: No set of a file has a gold answer that can be read.
        InvalidArgumentError: No problem of a file has as many samples as any k asks for, or there is no
            majority vote.
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
                one for one in sets if one.problem.answer is not None and one.problem.id not in left_out
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
    """What is the same for all files of one evaluation."""

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
        self._asking = {label: one for label, one in aggregators.items() if models_asked(one)}
        self._voting = {label: one for label, one in aggregators.items() if label not in self._asking}
        self._labels = tuple(aggregators)
        self._calls = asyncio.Semaphore(options.max_concurrency)
        self._first_failure: dict[str, str] = {}
        self.subsets = options.subsets or (1 if self._asking else DEFAULT_SUBSETS)

    def plan(self, source: str, sets: Iterable[StoredSet]) -> tuple[Plan, Survey, int]:
        """What is run on a file, what is left out of it, and how many problems remain.

        Raises:
            DataError: No sets, or a model without a price.
            MissingGoldError: No gold answer that can be read.
            InvalidArgumentError: No problem has as many samples as any k.
        """
        read = without_gold = 0
        unreadable: list[str] = []
        sizes: list[int] = []
        whole: list[int] = []
        models: set[str] = {model for one in self._asking.values() for model in models_asked(one)}
        for stored in sets:
            read += 1
            sample_set = stored.sample_set
            if stored.problem.answer is None:
                without_gold += 1
            elif not has_readable_gold(stored.problem):
                unreadable.append(stored.problem.id)
            else:
                sizes.append(sample_set.n)
                whole += [] if sample_set.stopped else [sample_set.n]
                models |= {one.model or sample_set.model or "unknown" for one in sample_set.samples}
        if not read:
            raise DataError(f"{source}: no sample sets to evaluate.")
        if not sizes:
            raise MissingGoldError(
                f"{source}: none of the {read} sample sets has a gold answer that can be read "
                f"({without_gold} have no gold, {len(unreadable)} one that cannot be read)."
            )
        if self._prices is not None:
            self._prices.check(models)
        ks = tuple(sorted(set(self.options.ks))) if self.options.ks else (min(whole, default=max(sizes)),)
        if min(ks) > max(sizes) and len(whole) == len(sizes):
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
        """The problems to score, in order; methods that ask a model are asked about several at once."""
        running: deque[asyncio.Task[Work]] = deque()
        window = self.options.max_concurrency
        try:
            for stored in sets:
                asks = bool(self._asking) or kind_of(stored.problem.question).asks_model
                if not asks and not running:
                    yield await self._work(source, stored, plan, progress)
                    continue
                running.append(asyncio.create_task(self._work(source, stored, plan, progress)))
                if len(running) >= window:
                    yield await running.popleft()
            while running:
                yield await running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _work(self, source: str, stored: StoredSet, plan: Plan, progress: EvaluationProgress) -> Work:
        whole = stored.sample_set
        sample_set = whole if self.options.keep_thinking else whole.without_thinking()
        given = {label: await self._ask(label, sample_set, plan, progress) for label in self._asking}
        problem = stored.problem
        if scorer_for(problem) is None:
            # Columns that grading does not need, the samples among them, need not travel.
            problem = replace(problem, solution=None, extra={})
        question = (await self._kinds(problem, sample_set, given)).bind(problem.question)
        problem, sample_set = replace(problem, question=question), replace(sample_set, question=question)
        return Work(source, sample_set, problem, self._voting, given, self._labels, plan)

    async def _kinds(
        self, problem: Problem, sample_set: SampleSet, given: Mapping[str, Mapping[int, Given]]
    ) -> Kinds:
        """What the answers to a problem are compared with where it is scored: no model is asked there."""
        answers: list[str | None] = []
        if kind_of(problem.question).asks_model:
            asked = (answer for by_k in given.values() for at in by_k.values() for answer in at.all)
            answers = [*(await tally(sample_set)).answers, *(answer.answer for answer in asked)]
        return await kinds_of(problem.question).recorded(problem, answers)

    async def _ask(
        self, label: str, sample_set: SampleSet, plan: Plan, progress: EvaluationProgress
    ) -> dict[int, Given]:
        """A method's answers on all subsets of a problem, by k."""

        async def answer(places: Sequence[int]) -> Answer:
            async with self._calls:
                given = await self._log.answer(self._asking[label], sample_set.subset(places))
            progress.usage += given.usage
            if "failed" in given.flags:
                self._first_failure.setdefault(label, given.text)
            return given

        by_k: dict[int, Given] = {}
        for k in plan.ks:
            if (size := sample_set.size_at(k)) is None:
                continue
            subsets = plan.subsets_for(sample_set.id, sample_set.n, size)
            orders = plan.orders_for(label, sample_set.id, subsets[0])
            given = await asyncio.gather(*(answer(places) for places in (*subsets, *orders)))
            by_k[k] = Given(given[: len(subsets)], given[len(subsets) :])
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
