"""Stored sample sets → training rows.

Departures from Qi et al. 2025 (arXiv 2506.09014), which trains on all sets of five in the order drawn: k is
drawn for each row, the order is permuted, and sets are balanced by difficulty, as AggLM (arXiv 2509.06870)
found best: all sets with a wrong vote and a right sample, and a share of the others. Prompts over the budget
are not dropped: each sample is cut to its ending, as at test time.

Equal inputs and options give equal bytes. The subsets of a question depend only on the seed, the file's name
and the question's id. Which rows the balance keeps also depends on the rows before them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from sampleset.aggregators.base import decide, prompt_budget, tally
from sampleset.aggregators.calculator import calculated
from sampleset.answers import choices_of
from sampleset.backends.base import Backend
from sampleset.chat import Message
from sampleset.datasets.base import has_readable_gold, question_key, read_dataset, scorer_for
from sampleset.errors import ContextOverflowError, InvalidArgumentError
from sampleset.grading.grade import grade
from sampleset.models.together import in_order
from sampleset.prompts import Shown, aggregation_messages, defuse, with_ending_only
from sampleset.reward_models.generative_verifier import VERDICTS, verdict_messages
from sampleset.storage.files import new_jsonl, read_problems
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.rows import (
    Kind,
    RowCandidate,
    TrainingRow,
    prompt_version_of,
    question_digest,
    row_to_json,
)
from sampleset.training.data.summary import DataCount, beside
from sampleset.training.data.targets import TargetOptions, Teacher, make_target
from sampleset.types import Candidate, Problem, SampleSet, TrainedMode

HELD_BACK = "held_back.jsonl"


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How rows are made of sets.

    Attributes:
        ks: Sizes from which each row's k is drawn. Sizes above a set's number of samples are skipped for it.
        subsets: Most rows per question and file; their sets of samples differ.
        easy: Share of subsets to keep whose vote is right but not unanimous, in [0, 1].
        unanimous: Share of subsets to keep whose samples all give the right answer, in [0, 1].
        all_wrong: Share of subsets to keep without a right sample, in [0, 1]. Hard subsets are all kept.
        mode: What the aggregator learns to write; `verify` makes a row of each sample, for a verifier.
        max_prompt_tokens: Token budget of a prompt; by default the model's context less the reply.
        keep_end_tokens: Show only this many tokens of each sample, its last ones.
        fold: Show samples of equal answers once, with their count. Samples without an answer are left out.
        calculator: Samples that miscalculate end with what they calculate, as in the aggregator of that name.
        keep_thinking: Show the text before `</think>`, too.
        drawn_order: Show samples in the order in which they were drawn, as in the paper, not permuted.
        held_back: Share of questions whose rows go to a separate file, for measuring progress.
        seed: Seed of all draws, and of ties of the vote.
    """

    ks: tuple[int, ...] = (4, 5, 6, 7, 8)
    subsets: int = 1
    easy: float = 0.5
    unanimous: float = 0.05
    all_wrong: float = 0.1
    mode: TrainedMode = "think"
    max_prompt_tokens: int | None = None
    keep_end_tokens: int | None = None
    fold: bool = False
    calculator: bool = False
    keep_thinking: bool = False
    drawn_order: bool = False
    held_back: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise InvalidArgumentError(f"ks={self.ks!r} must hold sizes of 1 at least, as in (4, 5, 6).")
        if self.mode not in get_args(TrainedMode):
            raise InvalidArgumentError(f"mode={self.mode!r} must be think, direct, select or verify.")
        for name in ("easy", "unanimous", "all_wrong", "held_back"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidArgumentError(f"{name}={getattr(self, name)!r} must be a share from 0 to 1.")
        for name in ("subsets", "max_prompt_tokens", "keep_end_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{name}={value!r} must be at least 1.")
        parts = (self.keep_end_tokens, self.max_prompt_tokens)
        if self.mode == "verify" and (parts != (None, None) or self.fold or self.subsets > 1):
            raise InvalidArgumentError(
                "Mode verify reads every sample whole and once. Leave subsets, fold, keep_end_tokens and "
                "max_prompt_tokens away; k says how many samples of a question are read."
            )


@dataclass(frozen=True, slots=True)
class DrawnSubset:
    """A subset of a set's samples, and its row without the prompt.

    Attributes:
        sample_set: The samples in the order shown.
        candidates: Their distinct answers.
        right: Whether each sample is right.
        row: The row without prompt and target.
        held_back: Whether the row is held back.
    """

    sample_set: SampleSet
    candidates: tuple[Candidate, ...]
    right: tuple[bool, ...]
    row: TrainingRow
    held_back: bool


@dataclass(frozen=True, slots=True)
class FinishedRow:
    """A complete row.

    Attributes:
        row: The row.
        cut: Whether the budget cut one of its samples.
        held_back: Whether the row is held back.
    """

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
    """Write the training rows of stored sets to a JSONL file, completely or not at all.

    Rows of held-back questions go to `OUTPUT.held_back.jsonl`. Whether a question is held back depends only
    on its text and the seed.

    Args:
        output: The file.
        files: The sets, with gold answers.
        backend: The model to train, for its tokenizer and its context.
        options: How rows are made.
        excluded: Keys of questions that must not be trained on; see `excluded_keys`.
        targets: How texts to imitate are made; `None` makes none.
        teacher: The model that writes targets of the kind `teacher`.
        max_concurrency: Rows worked on at once.
        on_progress: Called with the counts after each row.

    Raises:
        ContextOverflowError: The token budget does not fit the model's context.
        InvalidArgumentError: Two files have the same name.
        DataError: A file cannot be read as sample sets.
        BackendError: A model cannot be asked.
    """
    if not output.name.endswith(".jsonl"):
        raise InvalidArgumentError(
            f"Rows go to a .jsonl file; {str(output)!r} is not one. Name a .jsonl file."
        )
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise InvalidArgumentError(
            f"Two of the files have the same name: {', '.join(str(file.path) for file in files)}. Rename one."
        )
    if options.mode == "verify" and targets is not None:
        raise InvalidArgumentError(
            f"target={targets.kind!r} with mode verify, whose rows have a text to imitate: Yes or No. Leave "
            "--target away."
        )
    budget = prompt_budget(backend, options.max_prompt_tokens, 512 if options.mode == "think" else 64)
    count = DataCount()
    subsets = _draw_from_files(files, options, excluded, count)

    async def work(subset: DrawnSubset) -> list[FinishedRow | str]:
        return await _finish(subset, backend, options, budget, targets, teacher)

    with ExitStack() as stack:
        write = stack.enter_context(new_jsonl(output))
        write_held_back = (
            stack.enter_context(new_jsonl(beside(output, HELD_BACK))) if options.held_back else write
        )
        async for result in in_order(subsets, work, max_concurrency):
            for finished in result:
                if isinstance(finished, str):
                    count.dropped_rows[finished] += 1
                elif finished.held_back:
                    write_held_back(row_to_json(finished.row))
                    count.held_back += 1
                else:
                    write(row_to_json(finished.row))
                    count.add(finished.row, finished.cut)
            if on_progress is not None:
                on_progress(count)
    return count


def excluded_keys(refs: Iterable[str], data_dir: Path | None = None) -> frozenset[str]:
    """Keys of the questions of files, stores and named datasets, to exclude from training rows.

    Args:
        refs: Stores, files of problems or sets, or datasets such as `gsm8k` or `math:test`.
        data_dir: Folder of local copies of datasets.

    Raises:
        InputNotFoundError: A reference names nothing that exists.
        DataError: A file cannot be read.
    """
    return frozenset(
        question_key(problem.question.text) for ref in refs for problem in _problems_of(ref, data_dir)
    )


def data_settings(
    options: DataOptions, backend: Backend, targets: TargetOptions | None, teacher_model: str | None
) -> dict[str, Any]:
    """The settings that rows were made with, as JSON values."""
    settings = {
        **asdict(options),
        "ks": list(options.ks),
        "model": backend.model,
        "prompt": prompt_version_of(options.mode),
    }
    if targets is not None:
        settings["targets"] = {**asdict(targets), "teacher": teacher_model}
    return settings


@dataclass
class Balance:
    """Keeps a share of each kind of subsets, evenly spread over their order.

    Of n subsets of a kind it keeps n times the share, rounded up or down. A higher share never keeps fewer.
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
        # Sums of a share such as 0.1 are slightly below whole numbers.
        return int(before + share + 1e-9) > int(before + 1e-9)


def draw_subsets(
    usable: Sequence[int], ks: Sequence[int], count: int, seed: int, key: str
) -> list[tuple[int, ...]]:
    """Random subsets of the usable indices, each of a random size and in a random order.

    No two are equal as sets. There are fewer than `count` if no more exist, or if further tries find none.
    """
    fitting = [k for k in ks if k <= len(usable)]
    generator = random.Random(f"{seed}:{key}")
    subsets_by_content: dict[frozenset[int], tuple[int, ...]] = {}
    for _ in range(8 * count if fitting else 0):
        subset = tuple(generator.sample(usable, generator.choice(fitting)))
        subsets_by_content.setdefault(frozenset(subset), subset)
        if len(subsets_by_content) == count:
            break
    return list(subsets_by_content.values())


def _problems_of(ref: str, data_dir: Path | None) -> Iterator[Problem]:
    path = Path(ref)
    if path.is_dir():
        return (stored.problem for stored in SampleFile(path))
    if path.is_file():
        return read_problems(path)
    return iter(read_dataset(ref, data_dir=data_dir).problems)


async def _draw_from_files(
    files: Sequence[SampleFile], options: DataOptions, excluded: AbstractSet[str], count: DataCount
) -> AsyncIterator[DrawnSubset]:
    balance = Balance(options)
    for file in files:
        for stored in file:
            count.sets[file.name] += 1
            unfit = _unfit(stored.problem, excluded)
            if unfit is not None:
                count.dropped_sets[unfit] += 1
                continue
            sample_set = stored.sample_set if options.keep_thinking else stored.sample_set.without_thinking()
            if options.calculator:
                sample_set = calculated(sample_set)
            usable = [index for index, sample in enumerate(sample_set.samples) if not sample.failed]
            key = f"{file.name}/{stored.problem.id}"
            subsets = draw_subsets(usable, options.ks, options.subsets, options.seed, key)
            if not subsets:
                count.dropped_sets[f"with fewer than {min(options.ks)} samples"] += 1
            for number, indices in enumerate(subsets):
                ordered = tuple(sorted(indices)) if options.drawn_order else indices
                subset = await _grade_subset(sample_set, stored, ordered, f"{key}/{number}", options)
                count.drawn_by_kind[subset.row.kind] += 1
                if balance.keeps(subset.row.kind):
                    yield subset


def _unfit(problem: Problem, excluded: AbstractSet[str]) -> str | None:
    """The reason why this problem's sets cannot be used, `None` if they can."""
    if question_key(problem.question.text) in excluded:
        return "with an excluded question"
    if problem.answer is None:
        return "without a gold answer"
    if not has_readable_gold(problem):
        return "with an unreadable gold answer"
    return None


async def _grade_subset(
    sample_set: SampleSet, stored: StoredSet, indices: tuple[int, ...], row_id: str, options: DataOptions
) -> DrawnSubset:
    """The subset with its vote and the grades of its samples."""
    chosen, problem = sample_set.subset(indices), stored.problem
    counted = await tally(chosen)
    verdicts = [(await grade(candidate.answer, problem)).correct for candidate in counted.candidates]
    right = [False] * len(indices)
    for candidate, verdict in zip(counted.candidates, verdicts, strict=True):
        for index in candidate.indices:
            right[index] = verdict is True
    votes = [float(candidate.votes) for candidate in counted.candidates]
    decision = decide(counted.candidates, votes, "seeded", options.seed, chosen.id, counted.answers)
    winner = counted.candidates.index(decision.winner) if decision else None
    row = TrainingRow(
        id=row_id,
        k=len(indices),
        places=indices,
        prompt=(),
        mode=options.mode,
        prompt_version=prompt_version_of(options.mode),
        prompt_tokens=0,
        answer=problem.answer or "",
        candidates=tuple(
            RowCandidate(candidate.answer, candidate.votes, verdict, _confidence(chosen, candidate))
            for candidate, verdict in zip(counted.candidates, verdicts, strict=True)
        ),
        vote=decision.winner.answer if decision else None,
        vote_right=winner is not None and verdicts[winner] is True,
        right_samples=sum(right),
        keep_end_tokens=options.keep_end_tokens,
        fold=options.fold,
        calculator=options.calculator,
        max_prompt_tokens=options.max_prompt_tokens,
        extra=dict(problem.extra) if scorer_for(problem) else {},
        answer_kind=problem.question.answer_kind,
        kinds=problem.question.kinds,
        question_digest=question_digest(problem.question.text),
    )
    return DrawnSubset(
        chosen, counted.candidates, tuple(right), row, is_held_back(problem.question.text, options)
    )


def is_held_back(question: str, options: DataOptions) -> bool:
    """Whether the rows of a question are held back: it depends on its text, the share and the seed alone."""
    return random.Random(f"{options.seed}:{question_key(question)}").random() < options.held_back


def _confidence(chosen: SampleSet, candidate: Candidate) -> float | None:
    logprobs = [chosen.samples[index].logprobs for index in candidate.indices]
    means = [summary.mean for summary in logprobs if summary is not None]
    return round(fmean(means), 6) if len(means) == len(logprobs) else None


async def _finish(
    subset: DrawnSubset,
    backend: Backend,
    options: DataOptions,
    budget: int,
    targets: TargetOptions | None,
    teacher: Teacher | None,
) -> list[FinishedRow | str]:
    """The rows with prompt and target, or the reason why there is no row."""
    if options.mode == "verify":
        return [
            await _verdict_row(subset, index, is_right, backend, budget)
            for index, is_right in _balanced_samples(subset)
        ]
    if options.mode == "select" and len(subset.candidates) < 2:
        return ["with fewer than two candidates to select from"]
    if options.mode == "select" and not subset.row.right_samples:
        return ["without a right candidate to select"]
    samples = _shown_samples(subset, options.fold)
    texts, question = [sample.text for sample in samples], subset.sample_set.question
    read_as = choices_of(question), question.answer_kind
    if options.keep_end_tokens is not None:
        samples = [
            await with_ending_only(sample, options.keep_end_tokens, backend, *read_as) for sample in samples
        ]
    try:
        prompt = await aggregation_messages(question, samples, options.mode, backend, budget)
    except ContextOverflowError:
        return ["whose question leaves no room in the token budget"]
    row = replace(subset.row, prompt=tuple(prompt), prompt_tokens=await _tokens_of(prompt, backend))
    if targets is not None:
        target = await make_target(row, subset.sample_set.samples, subset.right, targets, teacher)
        if target is None:
            return ["for which no target could be made"]
        row = replace(row, completion=target.completion, target=target.kind)
    cut = any(defuse(text.strip(), *read_as) not in prompt[0]["content"] for text in texts)
    return [FinishedRow(row, cut, subset.held_back)]


async def _tokens_of(prompt: Sequence[Message], backend: Backend) -> int:
    return sum([len(await backend.tokenize(message["content"])) for message in prompt])


def _balanced_samples(subset: DrawnSubset) -> list[tuple[int, bool]]:
    """Indices of distinct samples with an answer, and whether each is right: as many right as wrong ones.

    Where all are right or all wrong, the first one.
    """
    graded = {
        index: shown.right
        for candidate, shown in zip(subset.candidates, subset.row.candidates, strict=True)
        for index in candidate.indices
    }
    distinct: dict[str, tuple[int, bool]] = {}
    for index, is_right in sorted(graded.items()):
        if is_right is not None:
            distinct.setdefault(subset.sample_set.samples[index].text.strip(), (index, is_right))
    right = [pair for pair in distinct.values() if pair[1]]
    wrong = [pair for pair in distinct.values() if not pair[1]]
    most = max(1, min(len(right), len(wrong)))
    return sorted([*right[:most], *wrong[:most]])


async def _verdict_row(
    subset: DrawnSubset, index: int, is_right: bool, backend: Backend, budget: int
) -> FinishedRow | str:
    """The row of one sample, its verdict as the text to imitate."""
    prompt = verdict_messages(subset.sample_set.question, subset.sample_set.samples[index].text)
    tokens = await _tokens_of(prompt, backend)
    if tokens > budget:
        return "longer than the model's context"
    place = subset.row.places[index]
    row = replace(
        subset.row,
        id=f"{subset.row.question_id}/{place}",
        places=(place,),
        prompt=tuple(prompt),
        prompt_tokens=tokens,
        completion=VERDICTS[is_right],
        target="right" if is_right else "wrong",
    )
    return FinishedRow(row, False, subset.held_back)


def _shown_samples(subset: DrawnSubset, fold: bool) -> list[Shown]:
    """The samples in order; if folded, the first sample of each answer."""
    if not fold or not subset.candidates:
        return [Shown(sample.text) for sample in subset.sample_set.samples]
    firsts = sorted(subset.candidates, key=lambda candidate: candidate.indices[0])
    return [
        Shown(subset.sample_set.samples[candidate.indices[0]].text, candidate.votes) for candidate in firsts
    ]
