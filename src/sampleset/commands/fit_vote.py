"""Fit a vote on labelled sample sets, and write it with what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.learned_vote import reader_identity
from sampleset.aggregators.weighted_vote import WeightedVote
from sampleset.commands.opening import ModelRef, opened_methods
from sampleset.commands.progress import status_line
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation import AnswerLog
from sampleset.models.retries import Patience
from sampleset.settings import save_settings
from sampleset.specs import models_asked
from sampleset.storage.files import JsonlLog
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_vote import VoteFit, fit_vote
from sampleset.training.labelled_sets import LabelOptions, read_labels
from sampleset.types import Answer, SampleSet

_MOST_NAMED = 12
"""Features that are printed, the loudest ones."""


async def fit_vote_file(
    files: Sequence[SampleFile],
    output: Path,
    options: LabelOptions,
    *,
    folds: int,
    reader: str | None,
    reward_model: str | None,
    aggregator_model: ModelRef,
    patience: tuple[int, float | None],
    max_concurrency: int,
) -> VoteFit:
    """Fit a vote and write its file. What models were asked for is kept in `OUTPUT.asked`, a folder.

    Raises:
        InvalidArgumentError: The output is no .json file, or an option has no meaning.
        DataError: The sets have no labels, or too few.
        BackendError: The reader or the reward model cannot be asked.
    """
    if output.suffix != ".json":
        raise InvalidArgumentError(f"--output {str(output)!r} must be a .json file.")
    specs = [reader] if reader else []
    if reward_model:
        # One spec opens, shares and logs a reward model as every aggregator that weighs by one does.
        specs.append(f"weighted_vote:reward_model={reward_model}")
    folder = output.with_suffix(".asked") if specs else None
    async with AsyncExitStack() as stack:
        methods = await stack.enter_async_context(
            opened_methods(specs, aggregator_model, Patience(*patience), max_concurrency, folder)
        )
        show = stack.enter_context(status_line())
        asked, scorer = None, None
        if reader:
            asked = _Logged(methods[reader], _log_in(folder), aggregator_model.context_size)
            if not models_asked(methods[reader]):
                raise InvalidArgumentError(f"--reader {reader!r} asks no model; the vote counts by itself.")
        if reward_model:
            weighing = methods[specs[-1]]
            assert isinstance(weighing, WeightedVote)
            scorer = weighing.reward_model
        labels = await read_labels(
            files, options, asked, scorer, lambda read: show(f"{read} sets read")
        )
        identity = reader_identity(methods[reader]) if reader else None
    with status_line() as show:
        show(f"fitting on {len(labels.sets)} sets")
        fit = fit_vote(
            labels,
            folds=folds,
            without=options.without,
            reader=identity,
            reward_model=scorer.identity if scorer is not None else None,
            described={
                "files": [one.name for one in files],
                "k": list(options.ks) if options.ks else None,
                "keep_thinking": options.keep_thinking,
            },
        )
    save_settings(output, fit.model.to_json())
    return fit


def _log_in(folder: Path | None) -> JsonlLog | None:
    return None if folder is None else JsonlLog(folder / "answers.jsonl")


@dataclass
class _Logged:
    """A reader whose answers are kept as they come, so that a fit broken off asks nothing twice."""

    inner: Aggregator
    log: JsonlLog | None
    context_size: int | None

    def __post_init__(self) -> None:
        self.name = self.inner.name
        self._answers = AnswerLog(self.log, self.context_size)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The reader's answer.

        Raises:
            DataError: It fails on the set.
        """
        answer = await self._answers.answer(self.inner, sample_set)
        if "failed" in answer.flags:
            raise DataError(f"{self.name} fails on question {sample_set.id!r}: {answer.text}")
        return answer


def usage_of_fit(output: Path, fit: VoteFit, reader: str | None, reward_model: str | None) -> str:
    """The spec by which an aggregator uses the file."""
    name, _, rest = (reader or "").partition(":")
    parts = [f"file={output}"]
    parts += [f"reader={name}[{rest}]" if rest else f"reader={name}"] if reader else []
    parts += [f"reward_model={reward_model}"] if reward_model else []
    return f"learned_vote:{','.join(parts)}"


def fit_lines(fit: VoteFit) -> list[str]:
    """What a fit found, for the terminal."""
    training = fit.model.training
    lines = [
        f"{training['questions']} labelled questions, {training['questions_with_a_choice']} with right and "
        f"wrong answers to choose between; {training['folds']} folds by question"
    ]
    lines += [f"note: {note}" for note in fit.notes]
    lines += ["", f"{'':<34}{'right':>7}   the learned vote against it"]
    named = {
        "vote": "majority vote",
        "votes_and_confidence": "votes and confidence, fitted",
        "features": "features, without what was asked",
        "learned": "learned vote",
        "oracle": "oracle",
    }
    for name, label in named.items():
        if name in fit.right:
            against = _interval(fit.gains[name]) if name in fit.gains else ""
            lines.append(f"{label:<34}{100 * fit.right[name]:>6.1f}%   {against}".rstrip())
    if fit.curve:
        lines += ["", f"{'labels':<10}gain over the vote, on other questions"]
        lines += [f"{point.labels:<10}{_interval(point.gain)}" for point in fit.curve]
        lines.append(f"{'all':<10}{_interval(fit.gains['vote'])}")
    lines += ["", "what speaks for an answer (nats per standard deviation within a set)"]
    loud = sorted(fit.model.features, key=lambda one: -abs(one.weight * one.spread))
    lines.append(f"  {'log of the votes':<28}{fit.model.vote_weight:+.2f} per unit")
    lines += [f"  {one.name:<28}{one.weight * one.spread:+.2f}" for one in loud[:_MOST_NAMED]]
    if len(loud) > _MOST_NAMED:
        lines.append(f"  and {len(loud) - _MOST_NAMED} that speak less")
    missing = {name: why for name, why in training["left_out"].items()}
    lines += [f"not used: {name}, {why}" for name, why in missing.items()]
    return [*lines, "", fit.verdict]


def _interval(gain: Any) -> str:
    return f"{100 * gain.difference:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
