import ast
import inspect
import textwrap
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from sampleset.datasets.base import load_problems, scorer_for
from sampleset.datasets.reasoning_gym import MAX_LENGTH, TASKS
from sampleset.errors import DataError, InvalidArgumentError, UnknownNameError
from sampleset.storage.files import read_problems, write_rows
from sampleset.types import Problem, Question

pytest.importorskip("reasoning_gym")
from sampleset.storage.records import problem_to_row

BANNED = {
    "eval", "exec", "compile", "__import__", "open", "print", "parse_expr", "sympify", "simplify",
    "Fraction", "literal_eval", "loadtxt", "system", "run", "Popen", "loads_pickle", "pow",
}  # fmt: skip
GARBAGE = (
    "",
    " ",
    "nonsense",
    "__import__('os')",
    "1e999999999",
    "9" * MAX_LENGTH,
    "[" * 3000,
    "(" * 3000,
    "\x00",
    "NaN",
    "nan,nan",
    "inf",
    "-Infinity",
)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_task_scores_its_gold_answers_fully_and_garbage_not_at_all(task: str, tmp_path: Path):
    made = load_problems(f"reasoning_gym:{task},size=3,seed=7")
    write_rows(tmp_path / "made.jsonl", map(problem_to_row, made))
    problems = list(read_problems(tmp_path / "made.jsonl"))
    assert problems == made
    for problem in problems:
        score = scorer_for(problem)
        assert score is not None and problem.answer is not None
        assert score(problem.answer) == 1.0
        assert max(score(text) for text in GARBAGE) < 1.0
        others = {other.answer or "" for other in made} - {problem.answer}
        assert all(score(other) < 1.0 for other in others)
        assert problem == made[problems.index(problem)], "a scorer changed its entry"


@pytest.mark.parametrize("task", sorted(TASKS))
def test_no_scorer_runs_what_it_reads(task: str):
    dataset_class = import_module("reasoning_gym.factory").DATASETS[task][0]
    module = import_module(dataset_class.score_answer.__module__)
    seen: set[str] = set()
    waiting = ["score_answer"]
    while waiting:
        name = waiting.pop()
        function = getattr(dataset_class, name, None) or getattr(module, name, None)
        if name in seen or not inspect.isroutine(function) or not hasattr(function, "__module__"):
            continue
        if not str(function.__module__).startswith("reasoning_gym"):
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Call):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                assert called not in BANNED, f"{task}: {name} calls {called}"
                waiting.append(called)


@pytest.mark.parametrize(
    "task",
    ["codeio", "string_insertion", "countdown", "puzzle24", "simple_integration", "coin_flip",
     "bitwise_arithmetic", "complex_arithmetic", "game_of_life_halting", "spell_backward"],
)  # fmt: skip
def test_a_task_whose_scorer_is_not_sound_is_refused(task: str):
    with pytest.raises(InvalidArgumentError, match="is not offered"):
        load_problems(f"reasoning_gym:{task}")
    hostile = Problem(
        Question("q", "?"), "1", extra={"dataset": f"reasoning_gym:{task}", "entry": {"answer": "1"}}
    )
    score = scorer_for(hostile)
    assert score is not None
    with pytest.raises(DataError, match="cannot be scored"):
        score("1")


def test_a_reference_makes_the_same_problems_again():
    first = load_problems("reasoning_gym:chain_sum,size=5,seed=7")
    assert len(first) == 5
    assert first == load_problems("reasoning_gym:chain_sum,size=20,seed=7")[:5]
    assert first[0] != load_problems("reasoning_gym:chain_sum,size=5,seed=8")[0]
    assert first[0].id == "reasoning_gym-chain_sum-7-0000"


@pytest.mark.parametrize(
    "part", ["chain_sum,sise=3", "chain_sum,size=0", "chain_sum,size", "chain_sum,seed=-1"]
)
def test_an_option_that_means_nothing(part: str):
    with pytest.raises(InvalidArgumentError, match="size"):
        load_problems(f"reasoning_gym:{part}")


def test_a_task_that_is_not_there():
    with pytest.raises(UnknownNameError, match="Did you mean 'chain_sum'"):
        load_problems("reasoning_gym:chain_sun")


def test_other_problems_have_no_scorer_of_their_own():
    assert scorer_for(load_problems("one_step", limit=1)[0]) is None
    assert scorer_for(Problem(Question("q", "?"), "1", extra={"dataset": "gsm8k"})) is None
    assert scorer_for(Problem(Question("q", "?"), "1", extra={"dataset": "my own notes"})) is None


def test_a_problem_that_lost_its_entry_cannot_be_scored():
    (problem,) = load_problems("reasoning_gym:chain_sum,size=1")
    score = scorer_for(replace(problem, extra={"dataset": "reasoning_gym:chain_sum"}))
    assert score is not None
    with pytest.raises(DataError, match="entry"):
        score("1")
