"""Fit a vote on labelled sample sets, and write it with its measured gain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast, get_args

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.learned_vote import reader_identity
from sampleset.aggregators.weighted_vote import WeightedVote
from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.opening import CallOptions, ModelRef, ReaderOptions, opened_methods
from sampleset.commands.options import (
    AGGREGATION,
    AnswerOptions,
    OptionGroup,
    SetOptions,
    VerdictFile,
    argument,
    option,
    require_json,
    saved_settings,
)
from sampleset.commands.run import Run, print_json, run_async
from sampleset.errors import InvalidArgumentError
from sampleset.evaluation import AnswerLog, parse_sizes
from sampleset.reward_models.base import Reduction
from sampleset.settings import save_settings
from sampleset.specs import models_asked
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_vote import VoteFit
from sampleset.training.fit_vote import fit_vote as fitted
from sampleset.training.labelled_sets import LabelOptions, read_labels
from sampleset.types import Answer, SampleSet
from sampleset.wording import plural

_MOST_NAMED = 12
"""Features that are printed, the loudest ones."""


@dataclass(frozen=True, kw_only=True)
class FitOptions(OptionGroup):
    """The subsets that a vote is fitted on, and the features."""

    k: Annotated[
        str | None, option("-k", "--k", help="Fit on subsets of these sizes, as 5 or 4-8; else whole sets.")
    ] = None
    subsets: Annotated[int, option("--subsets", help="Most subsets per question and size.")] = 8
    folds: Annotated[int, option("--folds", help="Of the cross-validation, by question.")] = 10
    without: Annotated[
        list[str] | None, option("--without", help="A feature, or a group of them, to leave out; repeatable.")
    ] = None
    calculator: Annotated[bool, option("--calculator", help="Samples count for what they calculate.")] = False
    reader: Annotated[
        str | None,
        option("--reader", help="Also learn from one that reads, as ssa:model=REF.", panel=AGGREGATION),
    ] = None
    reward_model: Annotated[
        str | None,
        option("--reward-model", help="Also learn from scores, as p_true,model=REF.", panel=AGGREGATION),
    ] = None
    steps: Annotated[
        str,
        option("--steps", help="Of a process model's steps: last, min, product or mean.", panel=AGGREGATION),
    ] = "last"
    verdicts: VerdictFile = None

    def labels(self, keep_thinking: bool) -> LabelOptions:
        """How labelled sets are read.

        Raises:
            InvalidArgumentError: An option has no meaning.
        """
        if self.steps not in get_args(Reduction):
            raise InvalidArgumentError(
                f"--steps {self.steps!r} must be one of {', '.join(get_args(Reduction))}."
            )
        return LabelOptions(
            ks=parse_sizes(self.k) if self.k else None,
            subsets=self.subsets,
            keep_thinking=keep_thinking,
            steps=cast("Reduction", self.steps),
            calculator=self.calculator,
        )


EXAMPLE = "sampleset fit-vote store --output vote.json"


def fit_vote(
    samples: Annotated[list[Path], argument("Stores or files of sample sets, with gold answers.")],
    fitting: FitOptions,
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    run: Run,
    output: Annotated[Path, option("--output", help="The fitted vote, a .json file.")] = Path("vote.json"),
) -> None:
    """Learn from labelled sets what speaks for an answer, and say what that is worth. Takes seconds."""
    settings = saved_settings(
        "fit-vote", fitting, reader, sets, answers, calls, samples=samples, output=output
    )
    use_verdict_store(fitting.verdicts or default_verdict_path())
    files = [sets.sample_file(path, answers, run.note) for path in samples]
    fit = run_async(
        fit_vote_file(files, answers, output, fitting, sets.keep_thinking, reader.model_ref(), calls, run)
    )
    save_settings(output.with_suffix(".config.json"), settings)
    if run.as_json:
        print_json(fit.model.to_json())
        return
    print("\n".join(fit_lines(fit)))
    run.next("evaluate", "OTHER_SETS", "--aggregator", spec_of_fit(output, fitting))


async def fit_vote_file(
    files: Sequence[SampleFile],
    answers: AnswerOptions,
    output: Path,
    fitting: FitOptions,
    keep_thinking: bool,
    aggregator_model: ModelRef,
    calls: CallOptions,
    run: Run,
) -> VoteFit:
    """Fit a vote and write its file. The folder `OUTPUT.asked` stores the answers of the models.

    Raises:
        InvalidArgumentError: The output is no .json file, or an option has no meaning.
        DataError: The sets have no labels, or too few.
        BackendError: The reader or the reward model cannot be asked.
    """
    require_json(output)
    options, reader = fitting.labels(keep_thinking), fitting.reader
    specs = [reader] if reader else []
    if fitting.reward_model:
        # One spec opens, shares and logs a reward model as every aggregator that weighs by one does.
        specs.append(f"weighted_vote:reward_model={fitting.reward_model}")
    folder = output.with_suffix(".asked") if specs else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        methods, judge = await stack.enter_async_context(
            opened_methods(specs, aggregator_model, calls.patience, calls.max_concurrency, folder, run.note)
        )
        show = stack.enter_context(run.status_line())
        logged_reader, scorer = None, None
        if reader and folder is not None:
            if not models_asked(methods[reader]):
                raise InvalidArgumentError(f"--reader {reader!r} asks no model; the vote counts by itself.")
            log = AnswerLog.beside(output, methods[reader], aggregator_model.context_size)
            logged_reader = _LoggedReader(methods[reader], log)
        if fitting.reward_model:
            weighing = methods[specs[-1]]
            assert isinstance(weighing, WeightedVote)
            scorer = weighing.reward_model
        labels = await read_labels(
            [file.with_kinds(answers.kinds(judge)) for file in files],
            options,
            logged_reader,
            scorer,
            calls.max_concurrency,
            lambda read: show(f"{plural(read, 'set')} read"),
        )
        show(f"fitting on {plural(len(labels.sets), 'set')}")
        fit = fitted(
            labels,
            folds=fitting.folds,
            without=tuple(fitting.without or ()),
            reader=reader_identity(methods[reader]) if reader else None,
            reward_model=scorer.identity if scorer is not None else None,
            described={
                "files": [file.name for file in files],
                "k": list(options.ks) if options.ks else None,
                "keep_thinking": keep_thinking,
            },
        )
    save_settings(output, fit.model.to_json())
    return fit


@dataclass
class _LoggedReader:
    """A reader whose answers are logged at once, so that a fit that was killed asks nothing twice."""

    name: ClassVar[str] = "reader"
    inner: Aggregator
    log: AnswerLog

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The reader's answer.

        Raises:
            DataError: It fails on the set.
        """
        return await self.log.answer_or_raise(self.inner, sample_set, self.inner.name)


def spec_of_fit(output: Path, fitting: FitOptions) -> str:
    """The spec by which an aggregator uses the file."""
    name, _, rest = (fitting.reader or "").partition(":")
    parts = [f"file={output}"]
    parts += [f"reader={name}[{rest}]" if rest else f"reader={name}"] if name else []
    parts += [f"reward_model={fitting.reward_model}"] if fitting.reward_model else []
    return f"learned_vote:{','.join(parts)}"


def fit_lines(fit: VoteFit) -> list[str]:
    """The result of a fit, for the terminal."""
    training = fit.model.training
    lines = [
        f"{training['questions']} labelled questions, {training['questions_with_a_choice']} with right and "
        f"wrong answers to choose between; {training['folds']} folds by question"
    ]
    lines += [f"note: {note}" for note in fit.notes]
    lines += ["", f"{'':<34}{'right':>7}   the learned vote against it"]
    labels = {
        "vote": "majority vote",
        "aided_vote": "majority vote with a calculator",
        "votes_and_confidence": "votes and confidence, fitted",
        "features": "features, without what was asked",
        "without_records": "without confidences and scores",
        "learned": "learned vote",
        "oracle": "oracle",
    }
    for name, label in labels.items():
        if name in fit.right:
            against = _interval(fit.gains[name]) if name in fit.gains else ""
            lines.append(f"{label:<34}{100 * fit.right[name]:>6.1f}%   {against}".rstrip())
    if fit.curve:
        lines += ["", f"{'labels':<10}gain over the vote, on other questions"]
        lines += [f"{point.labels:<10}{_interval(point.gain)}" for point in fit.curve]
        lines.append(f"{'all':<10}{_interval(fit.gains['vote'])}")
    lines += ["", "what speaks for an answer (nats per standard deviation within a set)"]
    loud = sorted(fit.model.features, key=lambda feature: -abs(feature.weight * feature.spread))
    lines.append(f"  {'log of the votes':<28}{fit.model.vote_weight:+.2f} per unit")
    lines += [f"  {feature.name:<28}{feature.weight * feature.spread:+.2f}" for feature in loud[:_MOST_NAMED]]
    if len(loud) > _MOST_NAMED:
        lines.append(f"  and {len(loud) - _MOST_NAMED} that speak less")
    missing = {name: why for name, why in training["left_out"].items()}
    lines += [f"not used: {name}, {why}" for name, why in missing.items()]
    return [*lines, "", fit.verdict]


def _interval(gain: Any) -> str:
    return f"{100 * gain.difference:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
