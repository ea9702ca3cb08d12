"""Sampling, aggregating and evaluating in one call each that waits, in scripts and notebooks alike.

sets = draw_sets(["What is 6 x 7?"], "gpt-4o-mini", n=8)
answers = aggregate_sets(sets, "majority_vote")
report = evaluate_sets("draws.jsonl", ["majority_vote", lambda sample_set: "42"])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, SupportsIndex, cast, overload

from sampleset.aggregators.base import Aggregator
from sampleset.api.blocking import run_blocking
from sampleset.api.functions import Function, as_aggregator
from sampleset.api.judging import bound_to, kinds_judged_by
from sampleset.api.sampled_model import SampledModel, opened_aggregator
from sampleset.backends.base import Backend
from sampleset.chat import SamplingParams
from sampleset.datasets.base import load_problems
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.evaluation import REFERENCE, AnswerLog, EvaluationOptions, answer_all, evaluate
from sampleset.html_tables import html_table
from sampleset.prompts import usual_prompt
from sampleset.report import write_report
from sampleset.report.loaded import Report
from sampleset.sampling.sampler import SamplingOptions
from sampleset.storage.exchange import to_dataset, to_pandas
from sampleset.storage.files import new_jsonl, sets_in, write_rows
from sampleset.storage.records import Row, StoredSet, number_text
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Answer, Problem, Question, SampleSet

Method = str | Aggregator | Function


class SampleSets(list[StoredSet]):
    """Sample sets with their gold answers, where they are known; a notebook shows them as a table."""

    @overload
    def __getitem__(self, key: SupportsIndex) -> StoredSet: ...
    @overload
    def __getitem__(self, key: slice) -> SampleSets: ...
    def __getitem__(self, key: SupportsIndex | slice) -> StoredSet | SampleSets:
        """One set, or some of them."""
        return SampleSets(super().__getitem__(key)) if isinstance(key, slice) else super().__getitem__(key)

    def save(self, path: Path | str) -> None:
        """Write the sets to a file, `.jsonl`, `.jsonl.gz` or `.parquet`."""
        write_rows(Path(path), (stored.to_row() for stored in self))

    def to_pandas(self) -> Any:
        """A `DataFrame` with one row a sample."""
        return to_pandas(self)

    def to_dataset(self) -> Any:
        """A `datasets.Dataset` with one row a sample."""
        return to_dataset(self)

    def _repr_html_(self) -> str:
        rows = [
            (stored.problem.id, stored.problem.question.text, stored.problem.answer, stored.sample_set.n)
            for stored in self[:50]
        ]
        return html_table(("id", "question", "gold answer", "samples"), rows, f"{len(self)} sample sets")


class Table(Protocol):
    """Rows in memory: a `DataFrame` of pandas or Polars, or a `datasets.Dataset`."""

    def to_dict(self, *arguments: Any, **options: Any) -> Any:
        """The table as a dictionary."""
        ...


Sets = Path | str | SampleSet | StoredSet | Iterable[StoredSet | SampleSet | Row] | Row | Table
"""Sample sets: the path of a store or of a file, sets, or one set; or rows of any shape that files may have,
as dictionaries or as a table.
"""

Gold = Mapping[str, str | float] | Sequence[str | float]
"""Gold answers: by the question's id, or one for each set, in their order."""


def load_sets(source: Sets, gold: Gold | None = None) -> SampleSets:
    """Sample sets of a store, a file or folder of any known shape, of rows, or those that are given.

    Args:
        source: A path, sets, one set, or rows.
        gold: Gold answers by the question's id, or one for each set, where the sets have none.

    Raises:
        InvalidArgumentError: The source is none of these, or the gold answers do not fit it.
        DataError: The source cannot be read as sample sets.
    """
    if isinstance(source, SampleSet | StoredSet):
        source = [source]
    if isinstance(source, str | Path):
        return _with_gold(list(SampleFile(source)), gold)
    stored: list[StoredSet] = []
    rows: list[Row] = []
    for entry in _entries(source):
        if isinstance(entry, StoredSet):
            stored.append(entry)
        elif isinstance(entry, SampleSet):
            stored.append(StoredSet.without_gold(entry))
        elif isinstance(entry, Mapping):
            rows.append(cast("Row", entry))
        else:
            raise InvalidArgumentError(
                f"{entry!r} is no sample set. Give a path, sets such as SampleSet.of(question, texts), "
                "or rows with a question and samples."
            )
    return _with_gold(stored + list(sets_in(rows)), gold)


def _entries(source: Any) -> Iterable[object]:
    """The sets or rows of a source; the rows of a `DataFrame` without its missing values."""
    if hasattr(source, "notna"):
        return source.astype(object).where(source.notna(), None).to_dict("records")
    if hasattr(source, "to_dicts"):  # of Polars
        return source.to_dicts()
    if isinstance(source, Mapping):  # one row
        return [cast("Row", source)]
    return source


def _with_gold(stored: list[StoredSet], gold: Gold | None) -> SampleSets:
    if gold is None:
        return SampleSets(stored)
    ids = [stored_set.problem.id for stored_set in stored]
    if isinstance(gold, Mapping):
        if len({*ids}) < len(ids):
            raise InvalidArgumentError(
                "Several sets have the same id. Give a list of gold answers, one a set."
            )
        if not gold.keys() & {*ids}:
            raise InvalidArgumentError(
                f"No set has an id of the gold answers ({', '.join(map(repr, [*gold][:3]))}); ids here are "
                f"{', '.join(map(repr, ids[:3]))}."
            )
        answers = [gold.get(identity) for identity in ids]
    else:
        answers = [gold] if isinstance(gold, str) else list(gold)
        if len(answers) != len(ids):
            raise InvalidArgumentError(f"{len(answers)} gold answers for {len(ids)} sets; give one for each.")
    return SampleSets(
        replace(stored_set, problem=replace(stored_set.problem, answer=number_text(answer)))
        if answer is not None
        else stored_set
        for stored_set, answer in zip(stored, answers, strict=True)
    )


def draw_sets(
    questions: str | Path | Question | Problem | Sequence[str | Question | Problem],
    model: str | Backend = "embedded",
    n: int = 8,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    limit: int | None = None,
    temperature: float = 0.8,
    max_tokens: int = 512,
    seed: int = 0,
    options: SamplingOptions | None = None,
) -> SampleSets:
    """Draw n samples of each question, and wait for them. `sampleset sample` keeps draws in a store besides.

    Args:
        questions: A dataset's name, a file of problems, or texts, questions or problems. One text stands in
            a list.
        model: As `open_backend` takes it, or a backend.
        n: Samples per question.
        base_url: Address of the server.
        api_key: The server's key.
        limit: Only the first so many questions.
        temperature: 0 is greedy.
        max_tokens: Most tokens of one sample.
        seed: Seed of the draws.
        options: All other options; the four above are then taken from it.

    Raises:
        SamplingError: No question could be drawn.
        BackendError: The model cannot be asked.
    """
    problems = _problems(questions, limit)
    if options is None:
        prompt = usual_prompt(model) if isinstance(model, str) else "solve"
        params = SamplingParams(temperature=temperature, max_tokens=max_tokens)
        options = SamplingOptions(prompt=prompt, params=params, seed=seed)

    async def draw() -> list[SampleSet]:
        async with SampledModel(model, n, base_url=base_url, api_key=api_key, options=options) as sampled:
            return await sampled.sets([problem.question for problem in problems])

    by_id = {problem.id: problem for problem in problems}
    return SampleSets(
        StoredSet(sample_set, by_id[sample_set.id], dict(by_id[sample_set.id].extra))
        for sample_set in run_blocking(draw())
    )


def aggregate_sets(
    sets: Sets,
    aggregator: Method = "majority_vote",
    *,
    aggregator_model: str | Backend = "embedded",
    answer_kind: str | None = None,
    judge: str | Backend | None = None,
    max_concurrency: int = 8,
) -> list[Answer]:
    """One answer per sample set, in their order, waited for.

    Args:
        sets: A path, or sets.
        aggregator: A name with options, an aggregator, or a function of a sample set.
        aggregator_model: The model that it asks, if it asks one.
        answer_kind: How answers are compared, where the sets do not say.
        judge: The model that compares answers of the kind `judge`; by default `aggregator_model`.
        max_concurrency: Sets in work at once.

    Raises:
        BackendError: The method failed on every set, or its model cannot be asked.
    """
    loaded = load_sets(sets)

    async def answers() -> list[Answer]:
        async with AsyncExitStack() as stack:
            method = await _method(aggregator, aggregator_model, stack)
            judged = _judged(loaded, answer_kind, judge or aggregator_model, stack)
            read = (stored.sample_set.without_thinking() for stored in judged)
            return [answer async for answer in answer_all(method, read, AnswerLog(), max_concurrency)]

    return run_blocking(answers())


def evaluate_sets(
    sets: Sets,
    aggregators: Sequence[Method] | Mapping[str, Method] = (REFERENCE,),
    *,
    k: int | Sequence[int] | None = None,
    gold: Gold | None = None,
    aggregator_model: str | Backend = "embedded",
    answer_kind: str | None = None,
    judge: str | Backend | None = None,
    output_dir: Path | str | None = None,
    options: EvaluationOptions | None = None,
) -> Report:
    """Compare aggregators on the same sample sets, waited for.

    Args:
        sets: A path, or sets, with gold answers.
        aggregators: Names, aggregators or functions; a mapping gives them labels. The majority vote is
            always among them.
        k: Samples that each method reads, one number or several; by default the smallest set's.
        gold: Gold answers by the question's id, or one for each set, where the sets have none.
        aggregator_model: The model that methods ask where they name none.
        answer_kind: How answers are compared, where the sets do not say.
        judge: The model that compares answers of the kind `judge`; by default `aggregator_model`.
        output_dir: The folder of the report's files; `None` writes none.
        options: All other options; `k` goes before theirs.

    Raises:
        MissingGoldError: No set has a gold answer.
        BackendError: A method failed on every set.
    """
    loaded = load_sets(sets, gold)
    name = Path(sets).stem if isinstance(sets, str | Path) else "sets"
    labelled = _labelled(aggregators)
    chosen = options or EvaluationOptions()
    if k is not None:
        chosen = replace(chosen, ks=(k,) if isinstance(k, int) else tuple(k))
    folder = None if output_dir is None else Path(output_dir)
    questions: list[dict[str, Any]] = []

    async def report() -> Report:
        async with AsyncExitStack() as stack:
            methods = {
                label: await _method(method, aggregator_model, stack) for label, method in labelled.items()
            }
            evaluation = await evaluate(
                {name: _judged(loaded, answer_kind, judge or aggregator_model, stack)},
                methods,
                chosen,
                on_question=lambda result: questions.append(asdict(result)),
            )
        settings = {"aggregators": list(labelled), "sets": name}
        if folder is not None:
            with new_jsonl(folder / "questions.jsonl") as write:
                for row in questions:
                    write(row)
            write_report(folder, evaluation, settings, folder / "questions.jsonl")
        return Report(evaluation, settings, tuple(questions), folder)

    return run_blocking(report())


def _judged(
    sets: SampleSets, answer_kind: str | None, judge: str | Backend, stack: AsyncExitStack
) -> list[StoredSet]:
    """The sets, answers of the kind `judge` compared by the model, which is opened when it is first asked."""
    kinds = kinds_judged_by(judge, stack)

    def judged(stored: StoredSet) -> StoredSet:
        question = bound_to(kinds, stored.problem.question, answer_kind)
        drawn_question = bound_to(kinds, stored.sample_set.question, answer_kind)
        return replace(
            stored,
            problem=replace(stored.problem, question=question),
            sample_set=replace(stored.sample_set, question=drawn_question),
        )

    return [judged(stored) for stored in sets]


def _labelled(aggregators: Sequence[Method] | Mapping[str, Method]) -> dict[str, Method]:
    if isinstance(aggregators, str):
        raise InvalidArgumentError(f"aggregators={aggregators!r} must be a list: [{aggregators!r}].")
    if isinstance(aggregators, Mapping):
        labelled = dict(aggregators)
    else:
        labelled = {_label(aggregator): aggregator for aggregator in aggregators}
        if len(labelled) < len(aggregators):
            raise InvalidArgumentError("Two of the aggregators have the same name. Give a mapping of labels.")
    return labelled | ({} if REFERENCE in labelled else {REFERENCE: REFERENCE})


def _label(method: Method) -> str:
    if isinstance(method, str):
        return method
    return str(getattr(method, "name", None) or getattr(method, "__name__", None) or type(method).__name__)


async def _method(method: Method, model: str | Backend, stack: AsyncExitStack) -> Aggregator:
    if isinstance(method, str):
        return await opened_aggregator(method, model, stack, SamplingOptions())
    return as_aggregator(method)


def _problems(
    questions: str | Path | Question | Problem | Sequence[str | Question | Problem], limit: int | None
) -> list[Problem]:
    if isinstance(questions, str | Path):
        try:
            return load_problems(str(questions), limit)
        except UnknownNameError as error:
            raise InvalidArgumentError(f"{error} A question of your own stands in a list.") from error
    if isinstance(questions, Question | Problem):
        questions = [questions]
    made: list[Problem] = []
    for index, entry in enumerate(questions[:limit]):
        question = Question(str(index), entry) if isinstance(entry, str) else entry
        made.append(question if isinstance(question, Problem) else Problem(question, None))
    return made
