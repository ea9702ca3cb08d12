"""Stored sample sets → training rows.

Departures from Qi et al. 2025 (arXiv 2506.09014), which trains on sets of five in the order drawn and keeps
all of them: k is drawn for each row, the order is permuted, and sets are balanced by difficulty, as AggLM
(arXiv 2509.06870) found best: all sets whose vote is wrong though some sample is right, and a part of the
others. Prompts over the budget are not dropped: each sample is cut to its ending, as at test time.

Equal inputs and equal options give equal bytes. What is drawn of a question depends on the seed, the file's
name and the question's id only; which rows the balance keeps depends on the rows before them as well.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from sampleset.aggregators.base import decide, prompt_budget, tally
from sampleset.answers import choices_of
from sampleset.backends.base import Backend
from sampleset.datasets.base import has_readable_gold, question_key, read_dataset, scorer_for
from sampleset.errors import ContextOverflowError, InvalidArgumentError
from sampleset.grading.grade import grade
from sampleset.prompts import (
    AGGREGATION_PROMPT,
    Shown,
    aggregation_messages,
    defuse,
    with_ending_only,
)
from sampleset.storage.files import new_jsonl, read_problems
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.rows import Kind, RowCandidate, TrainingRow, question_digest, row_to_json
from sampleset.training.data.summary import DataCount, beside
from sampleset.training.data.targets import TargetOptions, Teacher, make_target
from sampleset.types import Candidate, Mode, Problem, SampleSet

HELD_BACK = "held_back.jsonl"


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How rows are made of sets.

    Attributes:
        ks: Sizes from which each row's k is drawn; those above a set's samples are left out for it.
        subsets: Most rows per question and file; they are distinct as sets.
        easy: Share kept of subsets whose vote is right against other answers.
        unanimous: Share kept of those whose samples give one answer, the right one.
        all_wrong: Share kept of those without a right sample. All others, the hard ones, are kept.
        mode: What the aggregator is to write.
        max_prompt_tokens: Token budget of a prompt; by default what the model's context leaves.
        keep_end_tokens: Show only so many tokens of each sample, its last ones.
        fold: Show samples of equal answers once, with their count; those without an answer are left out.
        keep_thinking: Show what samples say before `</think>`, too.
        drawn_order: Show samples in the order in which they were drawn, as the paper does, and not permuted.
        held_back: Share of the questions whose rows go to a file of their own, to measure progress on.
        seed: Seed of all draws, and of ties of the vote.
    """

    ks: tuple[int, ...] = (4, 5, 6, 7, 8)
    subsets: int = 1
    easy: float = 0.5
    unanimous: float = 0.05
    all_wrong: float = 0.1
    mode: Mode = "think"
    max_prompt_tokens: int | None = None
    keep_end_tokens: int | None = None
    fold: bool = False
    keep_thinking: bool = False
    drawn_order: bool = False
    held_back: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise InvalidArgumentError(f"ks={self.ks!r} must hold sizes of 1 at least, as in (4, 5, 6).")
        if self.mode not in get_args(Mode):
            raise InvalidArgumentError(f"mode={self.mode!r} must be think, direct or select.")
        for name in ("easy", "unanimous", "all_wrong", "held_back"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidArgumentError(f"{name}={getattr(self, name)!r} must be a share from 0 to 1.")
        for name in ("subsets", "max_prompt_tokens", "keep_end_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{name}={value!r} must be at least 1.")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A subset that is to become a row: its samples in the order shown, and the row without its prompt."""

    sample_set: SampleSet
    candidates: tuple[Candidate, ...]
    right: tuple[bool, ...]
    row: TrainingRow
    held_back: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A row, whether the budget cut one of its samples, and whether it is held back."""

    row: TrainingRow
    cut: bool
    held_back: bool


async def write_training_rows(
    output: Path,
    files: Sequence[SampleFile],
    backend: Backend,
    options: DataOptions,
    *,
    excluded: AbstractSet[str] = frozenset(),
    targets: TargetOptions | None = None,
    teacher: Teacher | None = None,
    max_concurrency: int = 8,
    on_progress: Callable[[DataCount], None] | None = None,
) -> DataCount:
    """Write the training rows of stored sets to a JSONL file, whole or not at all.

    Rows of questions that are held back go to `OUTPUT.held_back.jsonl`. Which these are depends on the
    question's text and the seed only.

    Args:
        output: The file.
        files: The sets, with gold answers.
        backend: The model that is to be trained, for its tokenizer and its context.
        options: How rows are made.
        excluded: Keys of questions that must not be trained on; see `excluded_keys`.
        targets: How texts to imitate are made; none if `None`.
        teacher: The model that writes them, for that kind of target.
        max_concurrency: Rows worked on at once.
        on_progress: Called with the counts after each row.

    Raises:
        ContextOverflowError: The token budget does not fit the model's context.
        InvalidArgumentError: Two files have the same name.
        DataError: A file cannot be read as sample sets.
        BackendError: A model cannot be asked.
    """
    if not output.name.endswith(".jsonl"):
        raise InvalidArgumentError(f"Rows go to a .jsonl file; {str(output)!r} is none. Name one.")
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(
            f"Two of the files have the same name: {', '.join(str(file.path) for file in files)}. Rename one."
        )
    budget = prompt_budget(backend, options.max_prompt_tokens, 512 if options.mode == "think" else 64)
    count = DataCount()
    drawn = _drawn_sets(files, options, excluded, count)

    async def work(one: Drawn) -> Made | str:
        return await _finished(one, backend, options, budget, targets, teacher)

    with ExitStack() as stack:
        write = stack.enter_context(new_jsonl(output))
        keep = stack.enter_context(new_jsonl(beside(output, HELD_BACK))) if options.held_back else write
        async for made in _in_order(drawn, work, max_concurrency):
            if isinstance(made, str):
                count.dropped_rows[made] += 1
            elif made.held_back:
                keep(row_to_json(made.row))
                count.held_back += 1
            else:
                write(row_to_json(made.row))
                count.add(made.row, made.cut)
            if on_progress is not None:
                on_progress(count)
    return count


def excluded_keys(refs: Iterable[str], data_dir: Path | None = None) -> frozenset[str]:
    """Keys of the questions of files, stores and named datasets, for rows to stay clear of.

    Args:
        refs: Each a store, a file of problems or sets, or a dataset as `gsm8k` or `math:test`.
        data_dir: Folder of local copies of datasets.

    Raises:
        InputNotFoundError: There is nothing of that name.
        DataError: It cannot be read.
    """
    return frozenset(question_key(one.question.text) for ref in refs for one in _problems_of(ref, data_dir))


def data_settings(
    options: DataOptions, backend: Backend, targets: TargetOptions | None, teacher_model: str | None
) -> dict[str, Any]:
    """What rows were made with, as JSON values."""
    made = {**asdict(options), "ks": list(options.ks), "model": backend.model, "prompt": AGGREGATION_PROMPT}
    if targets is not None:
        made["targets"] = {**asdict(targets), "teacher": teacher_model}
    return made


@dataclass
class Balance:
    """Keeps a share of each kind, spread evenly over the order in which subsets come.

    Of n subsets of a kind it keeps n times the share, rounded up or down; a higher share does not keep fewer.
    """

    options: DataOptions
    _sums: dict[Kind, float] = field(default_factory=dict["Kind", float])

    def keeps(self, kind: Kind) -> bool:
        """Whether this subset, the next of its kind, is kept."""
        if kind == "hard":
            return True
        share = float(getattr(self.options, kind))
        before = self._sums.setdefault(kind, random.Random(f"{self.options.seed}:{kind}").random())
        self._sums[kind] = before + share
        # Sums of a share such as 0.1 fall short of whole numbers in the last bits.
        return int(before + share + 1e-9) > int(before + 1e-9)


def draw_places(
    usable: Sequence[int], ks: Sequence[int], subsets: int, seed: int, key: str
) -> list[tuple[int, ...]]:
    """Subsets of the usable places, distinct as sets, each of a drawn size and in a drawn order.

    Fewer than `subsets` where there are not that many, or where further tries keep meeting the same ones.
    """
    fitting = [k for k in ks if k <= len(usable)]
    generator = random.Random(f"{seed}:{key}")
    found: dict[frozenset[int], tuple[int, ...]] = {}
    for _ in range(8 * subsets if fitting else 0):
        places = tuple(generator.sample(usable, generator.choice(fitting)))
        found.setdefault(frozenset(places), places)
        if len(found) == subsets:
            break
    return list(found.values())


def _problems_of(ref: str, data_dir: Path | None) -> Iterator[Problem]:
    path = Path(ref)
    if path.is_dir():
        return (one.problem for one in SampleFile(path))
    if path.is_file():
        return read_problems(path)
    return iter(read_dataset(ref, data_dir=data_dir).problems)


async def _drawn_sets(
    files: Sequence[SampleFile], options: DataOptions, excluded: AbstractSet[str], count: DataCount
) -> AsyncIterator[Drawn]:
    balance = Balance(options)
    for file in files:
        for stored in file:
            count.sets[file.name] += 1
            unfit = _unfit(stored.problem, excluded)
            if unfit is not None:
                count.dropped_sets[unfit] += 1
                continue
            read = stored.sample_set if options.keep_thinking else stored.sample_set.without_thinking()
            usable = [place for place, sample in enumerate(read.samples) if not sample.failed]
            key = f"{file.name}/{stored.problem.id}"
            subsets = draw_places(usable, options.ks, options.subsets, options.seed, key)
            if not subsets:
                count.dropped_sets[f"with fewer than {min(options.ks)} samples"] += 1
            for number, places in enumerate(subsets):
                shown = tuple(sorted(places)) if options.drawn_order else places
                drawn = await _graded(read, stored, shown, f"{key}/{number}", options)
                count.found[drawn.row.kind] += 1
                if balance.keeps(drawn.row.kind):
                    yield drawn


def _unfit(problem: Problem, excluded: AbstractSet[str]) -> str | None:
    """Why nothing can be learnt from this problem's sets, `None` if something can."""
    if question_key(problem.question.text) in excluded:
        return "with an excluded question"
    if problem.answer is None:
        return "without a gold answer"
    if not has_readable_gold(problem):
        return "with an unreadable gold answer"
    return None


async def _graded(
    read: SampleSet, stored: StoredSet, places: tuple[int, ...], row_id: str, options: DataOptions
) -> Drawn:
    """The subset with its vote and what of it is right."""
    chosen, problem = read.subset(places), stored.problem
    counted = await tally(chosen)
    verdicts = [(await grade(one.answer, problem)).correct for one in counted.candidates]
    right = [False] * len(places)
    for one, verdict in zip(counted.candidates, verdicts, strict=True):
        for place in one.indices:
            right[place] = verdict is True
    votes = [float(one.votes) for one in counted.candidates]
    decision = decide(counted.candidates, votes, "seeded", options.seed, chosen.id, counted.answers)
    winner = counted.candidates.index(decision.winner) if decision else None
    row = TrainingRow(
        id=row_id,
        k=len(places),
        places=places,
        prompt=(),
        mode=options.mode,
        prompt_version=AGGREGATION_PROMPT,
        prompt_tokens=0,
        answer=problem.answer or "",
        candidates=tuple(
            RowCandidate(one.answer, one.votes, verdict, _confidence(chosen, one))
            for one, verdict in zip(counted.candidates, verdicts, strict=True)
        ),
        vote=decision.winner.answer if decision else None,
        vote_right=winner is not None and verdicts[winner] is True,
        right_samples=sum(right),
        keep_end_tokens=options.keep_end_tokens,
        fold=options.fold,
        max_prompt_tokens=options.max_prompt_tokens,
        extra=dict(problem.extra) if scorer_for(problem) else {},
        answer_kind=problem.question.answer_kind,
        kinds=problem.question.kinds,
        question_digest=question_digest(problem.question.text),
    )
    return Drawn(chosen, counted.candidates, tuple(right), row, _is_held_back(problem.question.text, options))


def _is_held_back(question: str, options: DataOptions) -> bool:
    return random.Random(f"{options.seed}:{question_key(question)}").random() < options.held_back


def _confidence(chosen: SampleSet, candidate: Candidate) -> float | None:
    logprobs = [chosen.samples[place].logprobs for place in candidate.indices]
    means = [one.mean for one in logprobs if one is not None]
    return round(fmean(means), 6) if len(means) == len(logprobs) else None


async def _finished(
    drawn: Drawn,
    backend: Backend,
    options: DataOptions,
    budget: int,
    targets: TargetOptions | None,
    teacher: Teacher | None,
) -> Made | str:
    """The row with its prompt and target; or why there is no row."""
    if options.mode == "select" and len(drawn.candidates) < 2:
        return "with fewer than two candidates to select from"
    if options.mode == "select" and not drawn.row.right_samples:
        return "without a right candidate to select"
    shown = _shown(drawn, options.fold)
    whole, question = [one.text for one in shown], drawn.sample_set.question
    read_as = choices_of(question), question.answer_kind
    if options.keep_end_tokens is not None:
        shown = [await with_ending_only(one, options.keep_end_tokens, backend, *read_as) for one in shown]
    try:
        prompt = await aggregation_messages(question, shown, options.mode, backend, budget)
    except ContextOverflowError:
        return "whose question leaves no room in the token budget"
    tokens = sum([len(await backend.tokenize(message["content"])) for message in prompt])
    row = replace(drawn.row, prompt=tuple(prompt), prompt_tokens=tokens)
    if targets is not None:
        target = await make_target(row, drawn.sample_set.samples, drawn.right, targets, teacher)
        if target is None:
            return "for which no target could be made"
        row = replace(row, completion=target.completion, target=target.kind)
    cut = any(defuse(text.strip(), *read_as) not in prompt[0]["content"] for text in whole)
    return Made(row, cut, drawn.held_back)


def _shown(drawn: Drawn, fold: bool) -> list[Shown]:
    """The samples in the order of the places; folded, one of each answer where it first appears."""
    if not fold or not drawn.candidates:
        return [Shown(sample.text) for sample in drawn.sample_set.samples]
    firsts = sorted(drawn.candidates, key=lambda one: one.indices[0])
    return [Shown(drawn.sample_set.samples[one.indices[0]].text, one.votes) for one in firsts]


async def _in_order(
    items: AsyncIterator[Drawn], work: Callable[[Drawn], Any], window: int
) -> AsyncIterator[Made | str]:
    """Results in the order of the items, of which up to `window` are worked on at once."""
    pending: deque[asyncio.Task[Any]] = deque()
    try:
        async for item in items:
            pending.append(asyncio.create_task(work(item)))
            if len(pending) >= window:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
