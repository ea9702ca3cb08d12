"""Groups whose rewards are all alike are drawn anew."""

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from sampleset.errors import InvalidArgumentError  # noqa: E402
from sampleset.training.grpo import run as grpo  # noqa: E402
from sampleset.training.grpo.rollouts import Drawing, Rollout  # noqa: E402
from sampleset.training.grpo.run import train_grpo  # noqa: E402
from sampleset.training.recipe import GrpoOptions  # noqa: E402
from support.grpo_builders import log_of_a_killed_run, opened, recipe, two_is_right  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)

RIGHT = Rollout((18, 30), "2</answer>", truncated=False)
WRONG = Rollout((19, 30), "3</answer>", truncated=False)
CUT = Rollout((40, 41), "2</ans", truncated=True)
CUT_BUT_RIGHT = Rollout((18, 41), "2</answer>", truncated=True)


class Scripted:
    """Rollouts by row and attempt in the place of the policy's.

    Attributes:
        calls: The drawings of each call.
    """

    def __init__(self, *attempts: dict[str, list[Rollout]]) -> None:
        self._attempts = attempts
        self.calls: list[list[Drawing]] = []

    def __call__(self, policy: Any, drawings: Sequence[Drawing], *_: Any) -> list[list[Rollout]]:
        self.calls.append(list(drawings))
        attempt = self._attempts[min(len(self.calls), len(self._attempts)) - 1]
        return [attempt[drawing.seeds[0].split("/")[1]] for drawing in drawings]


def drawn(
    tmp_path: Path,
    guessing: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: Scripted,
    options: dict[str, Any],
    step: int = 0,
) -> tuple[list[Any], dict[str, float]]:
    """The lessons and figures of one step of two rows."""
    monkeypatch.setattr(grpo, "roll_out", script)
    made = recipe(tmp_path, guessing, two_is_right(2, 0), options, rows_per_step=2)
    run, learner = opened(made)
    return learner.lessons(run.examples, step, run.policy, run.processes)  # pyright: ignore[reportReturnType]


ALIKE, MIXED = [WRONG] * 4, [WRONG, WRONG, WRONG, RIGHT]


def test_groups_are_drawn_anew_until_their_rewards_differ(
    tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch
):
    script = Scripted({"0": ALIKE, "1": MIXED}, {"0": ALIKE}, {"0": MIXED}, {"0": ALIKE})
    lessons, figures = drawn(tmp_path, guessing, monkeypatch, script, {"dynamic_sampling": 5}, step=7)
    assert [[one.seeds[0] for one in call] for call in script.calls] == [
        ["0:7:sets/0/0:0", "0:7:sets/1/0:0"],
        ["0:7:sets/0/0:0:1"],
        ["0:7:sets/0/0:0:2"],
    ]
    assert len({seed for call in script.calls for one in call for seed in one.seeds}) == 16
    assert [lesson.advantages[3] > 0 for lesson in lessons] == [True, True]
    assert (figures["drawn_anew"], figures["stayed_alike"]) == (1, 0)


def test_a_group_that_stays_alike_is_drawn_so_often_and_teaches_nothing(
    tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch
):
    script = Scripted({"0": ALIKE, "1": [RIGHT] * 4}, {"0": ALIKE, "1": MIXED}, {"0": [RIGHT] * 4})
    lessons, figures = drawn(tmp_path, guessing, monkeypatch, script, {"dynamic_sampling": 2})
    assert [len(call) for call in script.calls] == [2, 2, 1]
    assert lessons[0].advantages == (0.0,) * 4
    assert lessons[0].completions == (RIGHT.tokens,) * 4
    assert lessons[1].advantages[3] > 0
    assert (figures["drawn_anew"], figures["stayed_alike"]) == (2, 1)


def test_figures_are_those_of_the_first_draws(
    tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch
):
    first = {"0": ALIKE, "1": [CUT] * 4}
    script = Scripted(first, {"0": MIXED, "1": MIXED})
    _, figures = drawn(tmp_path, guessing, monkeypatch, script, {"dynamic_sampling": 1})
    _, without = drawn(tmp_path, guessing, monkeypatch, Scripted(first), {})
    assert {name: figures[name] for name in without} == without
    assert (without["accuracy"], without["truncated"], without["zero_variance"]) == (0, 0.5, 1)
    assert "drawn_anew" not in without


def test_without_it_each_group_is_drawn_once(tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch):
    script = Scripted({"0": ALIKE, "1": ALIKE})
    drawn(tmp_path, guessing, monkeypatch, script, {})
    assert len(script.calls) == 1


@pytest.mark.parametrize(
    ("truncated", "calls"),
    [
        pytest.param("mask", 2, id="all are left out of the loss"),
        pytest.param("penalise", 1, id="all are part of it"),
    ],
)
def test_a_group_of_truncated_rollouts_is_drawn_anew_if_they_are_masked(
    tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch, truncated: str, calls: int
):
    differing = [CUT, CUT, CUT, CUT_BUT_RIGHT]
    script = Scripted({"0": differing, "1": MIXED}, {"0": MIXED})
    options = {"dynamic_sampling": 1, "truncated": truncated}
    lessons, _ = drawn(tmp_path, guessing, monkeypatch, script, options)
    assert len(script.calls) == calls
    assert lessons[0].taking_part == (True,) * 4
    assert lessons[0].tokens == 16


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="on policy"),
        pytest.param({"num_iterations": 2, "beta": 0.05, "truncated": "mask"}, id="twice, KL, masked"),
    ],
)
def test_a_killed_run_draws_the_same_groups_anew(tmp_path: Path, guessing: Path, options: dict[str, Any]):
    log = log_of_a_killed_run(tmp_path, guessing, {"dynamic_sampling": 2, **options})
    assert sum(line["drawn_anew"] for line in log) > 0
    assert sum(line["stayed_alike"] for line in log) < sum(line["drawn_anew"] for line in log)


class Pair:
    """One of two processes, as threads."""

    def __init__(self, index: int, barrier: threading.Barrier, shared: list[Any]) -> None:
        self.index, self._barrier, self._shared = index, barrier, shared

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        return items[self.index :: 2]

    def gathered(self, items: list[Any]) -> list[Any]:
        self._shared[self.index] = items
        self._barrier.wait()
        gathered = [item for part in self._shared for item in part]
        self._barrier.wait()
        return gathered

    def sums(self, figures: dict[str, float]) -> dict[str, float]:
        parts = self.gathered([figures])
        return {name: sum(part[name] for part in parts) for name in figures}


class Collective:
    """vLLM as TRL links to it, where every process must ask for equally many rollouts."""

    def __init__(self, process: Pair, alike: int) -> None:
        self._process, self._alike = process, alike
        self.calls: list[int] = []
        self.synchronised = 0

    def sync_weights(self) -> None:
        self.synchronised += 1

    def generate(self, prompts: list[list[int]], images: None, num_generations: int) -> Any:
        assert len(set(self._process.gathered([len(prompts)]))) == 1
        self.calls.append(len(prompts) // num_generations)
        group = [[19, 30]] * 4 if len(self.calls) <= self._alike else [[18, 30], *[[19, 30]] * 3]
        written = group * self.calls[-1]
        return prompts, written, [[[-0.5]] * len(one) for one in written], None


def test_all_processes_ask_vllm_equally_often_for_equally_many(
    tmp_path: Path, guessing: Path, monkeypatch: pytest.MonkeyPatch
):
    def rollout(tokens: list[int], *_: Any) -> Rollout:
        return RIGHT if tokens == [18, 30] else WRONG

    monkeypatch.setattr(grpo, "rollout_of", rollout)
    barrier, shared = threading.Barrier(2, timeout=60), [None, None]
    engines: list[Collective] = []
    threads: list[threading.Thread] = []
    results: list[Any] = [None, None]
    for index in range(2):
        options = {"dynamic_sampling": 3}
        folder = str(tmp_path / f"{index}")
        made = recipe(tmp_path, guessing, two_is_right(4, 0), options, rows_per_step=4, output_dir=folder)
        run, learner = opened(made)
        process: Any = Pair(index, barrier, shared)
        engines.append(Collective(process, alike=2 * index))
        learner._vllm = engines[index]

        def work(index: int = index, run: Any = run, learner: Any = learner, process: Any = process) -> None:
            results[index] = learner.lessons(run.examples, 0, run.policy, process)

        threads.append(threading.Thread(target=work))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    # The first process needs one draw, the second one three; the first draws twice for nothing.
    assert [engine.calls for engine in engines] == [[2, 2, 2]] * 2
    assert [engine.synchronised for engine in engines] == [1, 1]
    for lessons, figures in results:
        assert (figures["drawn_anew"], figures["stayed_alike"]) == (2, 0)
        assert all(lesson.advantages[0] > 0 for lesson in lessons)
        assert [len(lesson.weights) for lesson in lessons] == [4, 4]


def test_a_run_begun_before_there_was_the_option_goes_on(tmp_path: Path, guessing: Path):
    made = recipe(tmp_path, guessing, two_is_right(4, 0), steps=1)
    train_grpo(made)
    path = made.folder / "config.json"
    settings = json.loads(path.read_text())
    del settings["grpo"]["dynamic_sampling"]
    path.write_text(json.dumps(settings))
    assert train_grpo(made).steps == 1
    other = replace(made, grpo=replace(made.grpo, dynamic_sampling=1))
    with pytest.raises(InvalidArgumentError, match="Use another output_dir"):
        train_grpo(other)


def test_fewer_than_no_further_draws_are_refused():
    with pytest.raises(InvalidArgumentError, match="dynamic_sampling"):
        GrpoOptions(dynamic_sampling=-1)
