"""The questions of `sampleset fit`: where they come from, and what they are parted into."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from sampleset.commands.fit_options import SizeOptions
from sampleset.commands.options import SetOptions
from sampleset.commands.run import Run
from sampleset.commands.sample import DatasetOptions
from sampleset.datasets.base import GOLD_REMEDY, has_readable_gold, question_key, shared_questions
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.build import excluded_keys
from sampleset.types import Problem

LEAST_TRAIN, LEAST_TEST = 40, 20
"""Fewest questions of each kind; far more are needed to show anything."""


@dataclass(frozen=True)
class FitQuestions:
    """The parts `train` and `test`, and one of each `--also`; with their samples where they are recorded."""

    source: str
    size: SizeOptions
    dataset: DatasetOptions
    are_recorded: bool
    run: Run

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """What was named as the source of each part.

        Raises:
            InvalidArgumentError: Two parts have the same name.
        """
        return {"train": self.source, "test": self.size.test or self.source, **self._also}

    @cached_property
    def parts(self) -> Mapping[str, list[Problem]]:
        """The problems of each part, each with a gold answer; no train question is in another part.

        Raises:
            DataError: There are too few, or a part to test on shares questions with the train questions.
        """
        problems = self._labelled(self.source, self.dataset.limit)
        if self.size.test is None:
            parts: dict[str, list[Problem]] = {"train": [], "test": []}
            for problem in problems:
                draw = random.Random(f"test:{self.size.seed}:{question_key(problem.question.text)}").random()
                parts["test" if draw < self.size.test_share else "train"].append(problem)
        else:
            parts = {"train": problems, "test": self._labelled(self.size.test, self.size.test_limit)}
        for name, ref in self._also.items():
            parts[name] = self._labelled(ref, self.size.test_limit)
        for name in self.tests:
            if shared := shared_questions(parts["train"], parts[name]):
                raise DataError(
                    f"{len(shared)} questions of {self.sources[name]} are among those of {self.source}, "
                    f"{shared[0][1]!r} for one. Take them out of one of the two."
                )
        excluded = excluded_keys(self.size.exclude or [], self.dataset.data_dir)
        train = [problem for problem in parts["train"] if question_key(problem.question.text) not in excluded]
        if len(train) < len(parts["train"]):
            self.run.note(f"note: {len(parts['train']) - len(train)} questions of --exclude are left out")
        parts["train"] = train
        for name, least in (("train", LEAST_TRAIN), ("test", LEAST_TEST)):
            if len(parts[name]) < least:
                raise DataError(
                    f"{len(parts[name])} {name} questions with a gold answer; {least} are needed, and "
                    "hundreds to show anything. Give more questions, or another --test-share."
                )
        return parts

    @property
    def counts(self) -> dict[str, int]:
        """The number of questions of each part."""
        return {part: len(problems) for part, problems in self.parts.items()}

    @property
    def tests(self) -> list[str]:
        """The parts that are tested on."""
        return [part for part in self.sources if part != "train"]

    def keys(self, part: str) -> frozenset[str]:
        """What the questions of a part are known by, as `question_key` says."""
        return frozenset(question_key(problem.question.text) for problem in self.parts[part])

    def recorded(self, ref: str, limit: int | None = None) -> SampleFile:
        """The sets of a source that holds them.

        Raises:
            InvalidArgumentError: It is no file.
        """
        if not Path(ref).exists():
            raise InvalidArgumentError(
                f"{ref!r} is no file of sample sets. If it names questions, say who draws: --model NAME."
            )
        sets = SetOptions(columns=self.dataset.columns, limit=limit)
        return sets.sample_file(Path(ref), self.dataset, self.run.note)

    @cached_property
    def _also(self) -> dict[str, str]:
        """The other questions to test on, by a name for their files."""
        names = {name_of(ref): ref for ref in self.size.also or ()}
        if len(names) < len(self.size.also or ()) or names.keys() & {"train", "test"}:
            raise InvalidArgumentError(
                f"--also {', '.join(self.size.also or ())}: their names must differ, and be neither train "
                "nor test. Rename a file."
            )
        return names

    def _labelled(self, ref: str, limit: int | None) -> list[Problem]:
        """The problems with a gold answer, each question once."""
        k = self.size.resolved.k
        if self.are_recorded:
            problems = [stored.problem for stored in self.recorded(ref, limit) if stored.sample_set.n >= k]
        else:
            problems = list(replace(self.dataset, limit=limit).read(ref).problems)
        labelled = {
            question_key(problem.question.text): problem
            for problem in reversed(problems)
            if has_readable_gold(problem)
        }
        if not labelled:
            raise DataError(f"{ref}: no question has a gold answer, and {k} samples. {GOLD_REMEDY}")
        if len(labelled) < len(problems):
            self.run.note(
                f"note: {ref}: {len(problems) - len(labelled)} questions without gold, or a second time"
            )
        return list(reversed(labelled.values()))


def name_of(ref: str) -> str:
    """The name in the files of a source of test questions: `math_500` for `data/math-500.jsonl`."""
    return re.sub(r"\W+", "_", Path(ref).name.partition(".")[0]).removeprefix("sets_")
