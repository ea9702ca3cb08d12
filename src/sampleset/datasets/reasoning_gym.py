"""Procedural puzzles from the package reasoning-gym, each task with its own scorer.

A reference names a task and may name a size and a seed: `reasoning_gym:chain_sum,size=100,seed=7`. The same
reference gives the same problems under the same version of the package.

Only tasks in `TASKS` are offered. A scorer reads a model's text, and some scorers of the package run it: they
call `eval`, `exec` or sympy's parser (which calls `eval`), or evaluate their own entry, which may come from a
file. Others build fractions from `1e999999999`, print to standard output, or accept `False` or `NaN`. The
scorers of the offered tasks were reviewed in the version `CHECKED`: they only compare, split, and parse
numbers and JSON. A test reviews them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from sampleset.datasets.base import DATASETS, Loaded
from sampleset.errors import DataError, InvalidArgumentError, MissingExtraError, UnknownNameError
from sampleset.types import Problem, Question

CHECKED = "0.1.25"
MAX_LENGTH = 4000
"""Most characters of an answer; a longer one scores 0 and is not read."""
MAX_SIZE = 100_000
TASKS = frozenset([
    "ab", "acre", "aiw", "arc_1d", "base_conversion", "basic_arithmetic", "bf", "binary_alternation",
    "caesar_cipher", "calendar_arithmetic", "chain_sum", "circuit_logic", "color_cube_rotation",
    "count_bits", "count_primes", "course_schedule", "cryptarithm",
    "decimal_arithmetic", "decimal_chain_sum", "dice", "emoji_mystery", "family_relationships",
    "fraction_simplification", "futoshiki", "game_of_life", "gcd", "group_anagrams", "gsm_symbolic",
    "isomorphic_strings", "kakurasu", "knights_knaves", "largest_island", "lcm", "leg_counting",
    "letter_counting", "letter_jumble", "list_functions", "mahjong_puzzle", "manipulate_matrix", "maze",
    "mini_sudoku", "modulo_grid", "needle_haystack", "number_filtering", "number_format",
    "number_sequence", "palindrome_generation", "palindrome_partitioning", "path_star",
    "polynomial_equations", "power_function", "products", "ransom_note", "rectangle_count",
    "rotate_matrix", "rotten_oranges", "self_reference", "sentence_reordering", "shortest_path",
    "simple_equations", "simple_geometry", "string_manipulation", "string_splitting",
    "string_synthesis", "sudoku", "survo", "syllogism", "time_intervals", "tsumego", "word_ladder",
    "word_sequence_reversal", "word_sorting", "zebra_puzzles",
])  # fmt: skip


@dataclass(frozen=True)
class ReasoningGym:
    """The tasks whose scorers never run a model's text."""

    summary: str = (
        f"procedural puzzles with their own scorers, reasoning_gym:TASK,size=100,seed=0; {len(TASKS)} tasks; "
        "reasoning-gym, Apache-2.0"
    )

    def load(self, part: str, data_dir: Path | None) -> Loaded:
        """Generated problems of one task.

        Args:
            part: `TASK`, or `TASK,size=100,seed=7`.
            data_dir: Not used.

        Raises:
            UnknownNameError: There is no such task.
            InvalidArgumentError: The task's scorer is not safe, or an option is malformed.
            MissingExtraError: The package is not installed in the version `CHECKED`.
        """
        request = _parse(part)
        task, size, seed = request.task, request.size, request.seed
        entries: Any = _package().create_dataset(task, size=size, seed=seed)
        problems = [self._problem(task, seed, index, entries[index]) for index in range(size)]
        return Loaded(problems, f"reasoning-gym {CHECKED}, {task}, seed {seed}", size)

    def score(self, answer: str, problem: Problem) -> float:
        """The task's own score of an answer, in [0, 1]. 1 is right, less is partial credit.

        Raises:
            DataError: The problem lacks the scorer's entry, or its task is not offered.
        """
        ref, entry = problem.extra.get("dataset"), problem.extra.get("entry")
        task = str(ref).partition(":")[2]
        if task not in TASKS or not isinstance(entry, Mapping):
            raise DataError(
                f"Problem {problem.id!r} cannot be scored: its 'dataset' is {ref!r} and must be "
                "reasoning_gym:TASK of a task that is offered, with the 'entry' the dataset gave it."
            )
        if len(answer) > MAX_LENGTH:
            return 0.0
        # Scorers may write into the entry.
        copied = {"question": problem.question.text, **deepcopy(dict(cast("Mapping[str, Any]", entry)))}
        try:
            score = float(_scorer(task).score_answer(answer, copied))
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            # Some scorers raise on texts that are not answers.
            return 0.0
        return min(1.0, max(0.0, score)) if score == score else 0.0

    def _problem(self, task: str, seed: int, index: int, entry: Mapping[str, Any]) -> Problem:
        stored_entry: dict[str, Any] = json.loads(
            json.dumps({name: entry[name] for name in ("answer", "metadata")})
        )
        return Problem(
            Question(f"reasoning_gym-{task}-{seed}-{index:04d}", entry["question"]),
            entry["answer"],
            subject=task,
            extra={"dataset": f"reasoning_gym:{task}", "entry": stored_entry},
        )


@dataclass(frozen=True)
class _Request:
    task: str
    size: int
    seed: int


def _parse(part: str) -> _Request:
    task, *options = (piece.strip() for piece in part.split(","))
    known: Mapping[str, Any] = import_module("reasoning_gym.factory").DATASETS if _package() else {}
    if task not in TASKS:
        if task in known:
            raise InvalidArgumentError(
                f"reasoning_gym:{task} is not offered: its scorer runs what a model writes, or does not "
                f"really read it. Offered: {', '.join(sorted(TASKS))}."
            )
        raise UnknownNameError("task of reasoning_gym", task, TASKS)
    values = {"size": 100, "seed": 0}
    for option in options:
        name, _, value = (piece.strip() for piece in option.partition("="))
        if name not in values or not value.isdecimal():
            raise InvalidArgumentError(
                f"reasoning_gym:{part}: {option!r} must be size=NUMBER or seed=NUMBER, as in "
                f"reasoning_gym:{task},size=100,seed=7."
            )
        values[name] = int(value)
    if not 1 <= values["size"] <= MAX_SIZE:
        raise InvalidArgumentError(f"size={values['size']} must be from 1 to {MAX_SIZE}.")
    return _Request(task, **values)


def _package() -> Any:
    try:
        package = import_module("reasoning_gym")
    except ImportError as error:
        raise MissingExtraError(_INSTALL) from error
    if version("reasoning-gym") != CHECKED:
        raise MissingExtraError(f"{_INSTALL} (here is {version('reasoning-gym')})")
    return package


_INSTALL = (
    f"This needs reasoning-gym {CHECKED}, whose scorers were checked: pip install 'sampleset[reasoning-gym]'"
)


@cache
def _scorer(task: str) -> Any:
    return _package().create_dataset(task, size=1, seed=0)


DATASETS.register("reasoning_gym")(ReasoningGym())
