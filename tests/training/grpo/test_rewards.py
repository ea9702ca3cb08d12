import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampleset.answers import Kinds
from sampleset.errors import InvalidArgumentError, UnsupportedByMachineError
from sampleset.storage.rows import read_rows
from sampleset.training.data.rows import RowCandidate, TrainingRow, write_verl
from sampleset.training.data.verl_reward import compute_score
from sampleset.training.grpo.rewards import Group, advantages, group_statistics, require_comparable, reward
from support.training_builders import make_row

THINK, DIRECT = make_row(), make_row(mode="direct")


@pytest.mark.parametrize(
    "completion",
    [
        pytest.param("3 + 4 = 7.\n</think>\n<answer>7</answer>", id="plain"),
        pytest.param("3 < 4 & 4 > 3 and <b>7\n</think>\n<answer>7</answer>", id="markup in the reasoning"),
        pytest.param("3 + 4 = 7.</think><answer>\\boxed{7.0}</answer>\n", id="another form of the number"),
        pytest.param(
            "It is 7.</think><answer>The answer is \\boxed{7}.</answer>", id="a sentence in the tags"
        ),
    ],
)
def test_a_right_answer_in_its_form_earns_one(completion: str):
    earned = reward(completion, THINK)
    assert (earned.value, earned.right, earned.formatted, earned.answered) == (1.0, True, True, True)


def test_a_wrong_answer_in_its_form_earns_a_little():
    earned = reward("I think it is 8.</think><answer>8</answer>", THINK)
    assert (earned.value, earned.right, earned.formatted) == (0.05, False, True)


@pytest.mark.parametrize(
    "completion",
    [
        pytest.param("", id="empty"),
        pytest.param("asdf (((( \\boxed{ </ans", id="garbage"),
        pytest.param("The answer is 7.", id="gold in the reasoning, unclosed"),
        pytest.param("The answer is \\boxed{7}.</think>", id="gold in the reasoning, then nothing"),
        pytest.param("<answer>7</answer></think>", id="tagged gold in the reasoning only"),
        pytest.param("It is 7.</think>The answer is \\boxed{7}", id="gold outside the tags"),
        pytest.param("It is 7.</think><answer>7", id="never closed"),
        pytest.param("Hm.</think><answer>your answer</answer>", id="copied placeholder"),
        pytest.param("Hm.</think><answer></answer>", id="empty tags"),
        pytest.param("Hm.</think><answer>...</answer>", id="dots"),
        pytest.param("</think><answer>8</answer>", id="wrong without reasoning"),
        pytest.param(" \n</think><answer>8</answer>", id="wrong with blank reasoning"),
        pytest.param("Hm.</think><answer>8</answer><answer>7</answer>", id="two answers, the last right"),
        pytest.param("Hm.</think><answer>7</answer><answer>8</answer>", id="two answers, the first right"),
        pytest.param("<answer>8</answer></think><answer>7</answer>", id="another answer in the reasoning"),
        pytest.param("Hm.</think><answer>\\boxed{8} \\boxed{7}</answer>", id="two boxes in one pair"),
        pytest.param("Hm.</think><answer>The answer is 8. The answer is 7.</answer>", id="two sentences"),
        pytest.param("Hm.</think><answer>8</answer> and more", id="wrong, then talk"),
        pytest.param("Hm.</think><answer>8</answer></think><answer>8</answer>", id="wrong twice"),
        pytest.param("Hm.</think><answer>" + "7" * 3000 + "</answer>", id="an endless answer"),
        pytest.param("".join(f"<answer>{n}</answer>" for n in range(50)) + "<answer>7</answer>", id="all"),
    ],
)
def test_what_dodges_the_task_earns_nothing(completion: str):
    assert reward(completion, THINK).value == 0.0


@pytest.mark.parametrize(
    "content",
    ["7 or 8", "7, 8", "7 and 8", "either 7 or 8", "not 7 but 9", "7 (or 8)", "maybe 7, maybe 8", "7\n8"],
)
def test_gold_within_a_wrong_answer_is_wrong(content: str):
    assert not reward(f"Hm.</think><answer>{content}</answer>", THINK).right
    assert reward(f"Hm.</think><answer>{content}</answer>", THINK).value <= 0.05


@pytest.mark.parametrize(
    ("kind", "gold", "content", "right"),
    [
        pytest.param("text", "Because it is water.", "because  it is water.", True, id="text up to case"),
        pytest.param("text:exact", "Water.", "water.", False, id="text to the letter"),
        pytest.param(
            "text", "A", "The answer is A or the answer is B", False, id="two sentences are one text"
        ),
        pytest.param("json", '{"a": 1, "b": 2}', '{"b": 2, "a": 1.0}', True, id="keys in any order"),
        pytest.param("json", "[1, 2]", "[2, 1]", False, id="lists in order"),
        pytest.param("number:0.1", "3.14", "3.2", True, id="within the tolerance"),
        pytest.param("number:0.01", "3.14", "3.2", False, id="beyond the tolerance"),
        pytest.param("number:0.1", "3.14", "\\boxed{3.14} \\boxed{9}", False, id="two boxes"),
        pytest.param("choice", "B", "(B) mitosis", True, id="an option with its words"),
        pytest.param("choice", "B", "A or B", False, id="two options"),
    ],
)
def test_answers_are_compared_by_the_kind_of_the_row(kind: str, gold: str, content: str, right: bool):
    row = make_row(gold, "direct", answer_kind=kind)
    assert reward(f"{content}</answer>", row).right is right


def test_two_texts_in_tags_disagree_by_the_kind_of_the_row():
    exact = make_row("Water", answer_kind="text:exact")
    said_twice = "<answer>water</answer></think><answer>Water</answer>"
    assert reward(f"Hm {said_twice}", exact).value == 0.0
    assert reward(f"Hm {said_twice}", make_row("Water", answer_kind="text")).value == 1.0


def test_a_long_text_is_an_answer_but_no_number():
    assert reward(f"{'word ' * 1000}</answer>", make_row("7", "direct", answer_kind="text")).value == 0.05
    assert reward(f"{'7' * 3000}</answer>", make_row("7", "direct", answer_kind="number:0.1")).value == 0.0


def test_kinds_that_no_reward_can_compare_are_refused_beforehand(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SAMPLESET_RUN_CODE", raising=False)
    require_comparable([make_row(), make_row(answer_kind="json")])
    with pytest.raises(InvalidArgumentError, match=r"'judge'.*train select"):
        require_comparable([make_row(answer_kind="judge")])
    with pytest.raises(InvalidArgumentError, match="SAMPLESET_RUN_CODE"):
        require_comparable([make_row(answer_kind="code")])


def test_programs_are_rewarded_where_they_may_be_run(tmp_path: Path):
    kinds = Kinds(run_code="sandbox")
    try:
        kinds.named("code").check()
    except UnsupportedByMachineError as error:
        pytest.skip(str(error))
    row = make_row("42", "direct", answer_kind="code", kinds=kinds)
    require_comparable([row])
    completion = "```python\nprint(6 * 7)\n```</answer>"
    assert reward(completion, row).right
    assert scored_by_verl(tmp_path, row, f"<answer>{completion}", run_code="sandbox") == 1.0


def scored_by_verl(tmp_path: Path, row: TrainingRow, completion: str, **more: Any) -> float:
    path = tmp_path / "rows.parquet"
    write_verl(path, [row])
    ((_, told),) = read_rows(path)
    gold = told["reward_model"]["ground_truth"]
    return compute_score(told["data_source"], completion, gold, told["extra_info"], **more)["score"]


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "score"),
    [
        pytest.param("text", "the red house", "The red house", 1.0, id="text"),
        pytest.param("text", "1/2", "0.5", 0.05, id="text, though equal as numbers"),
        pytest.param("number:1%", "200", "199", 1.0, id="a number near enough"),
        pytest.param("number:1%", "200", "190", 0.05, id="a number too far off"),
    ],
)
def test_verl_grades_answers_by_the_kind_of_the_row(
    tmp_path: Path, kind: str, gold: str, answer: str, score: float
):
    row = make_row(gold, "direct", answer_kind=kind)
    assert scored_by_verl(tmp_path, row, f"<answer>{answer}</answer>") == score


@pytest.mark.parametrize("kind", ["judge", "code"])
def test_verl_gets_no_reward_for_answers_that_none_can_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.delenv("SAMPLESET_RUN_CODE", raising=False)
    with pytest.raises(InvalidArgumentError, match=kind):
        scored_by_verl(tmp_path, make_row(answer_kind=kind), "<answer>7</answer>")


def test_several_options_in_one_answer_are_wrong():
    row = make_row("A", "direct")
    assert reward("A) three</answer>", row).right
    assert not reward("A) 3 or B) 4</answer>", row).right
    assert not reward("A or B</answer>", row).right


def test_a_right_answer_without_reasoning_is_right_but_not_well_formed():
    earned = reward("</think><answer>7</answer>", THINK)
    assert (earned.value, earned.formatted) == (1.0, False)


def test_the_same_answer_twice_is_right_but_not_well_formed():
    earned = reward("Hm <answer>7.0</answer></think><answer>7</answer>", THINK)
    assert (earned.value, earned.formatted) == (1.0, False)


def test_a_quoted_placeholder_in_the_reasoning_does_no_harm():
    text = "I must write <answer>your answer</answer>.</think><answer>7</answer>"
    assert reward(text, THINK).value == 1.0


def test_a_truncated_completion_earns_only_what_it_closed():
    cut = reward("3 + 4 is 7, so the answer is 7. And", THINK, truncated=True)
    assert (cut.value, cut.answered) == (0.0, False)
    assert reward("Hm.</think><answer>7", THINK, truncated=True).value == 0.0
    assert reward("Hm.</think><answer>7</answer> and on", THINK, truncated=True).value == 1.0
    assert reward("Hm.</think><answer>8</answer>", THINK, truncated=True).value == 0.0


def test_direct_answers_stand_alone():
    assert reward("7</answer>", DIRECT).formatted
    assert reward("8</answer>", DIRECT).value == 0.05
    assert reward("<answer>8</answer>", DIRECT).value == 0.0
    assert reward("8</answer></think>", DIRECT).value == 0.0
    assert reward("hm, 8", DIRECT).value == 0.0


def test_without_an_opening_in_the_prompt_the_model_writes_it():
    row = make_row(prompt=({"role": "user", "content": "?"},))
    assert reward("<think>\nHm.\n</think>\n<answer>8</answer>", row).value == 0.05
    assert reward("Hm.\n</think>\n<answer>8</answer>", row).value == 0.0


@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "<think>", "</think>", "x <answer>1", "7 or "])
def test_very_long_completions_are_read_in_time(piece: str):
    begun = time.monotonic()
    reward(piece * 200_000, THINK)
    assert time.monotonic() - begun < 5


@given(st.text(alphabet="<>/answerthik7 \n&{}\\boxed", max_size=200), st.booleans())
def test_any_text_has_a_reward_and_only_a_closed_answer_earns(text: str, truncated: bool):
    earned = reward(text, THINK, truncated=truncated)
    assert earned.value in (0.0, 0.05, 1.0)
    assert earned.value == 0.0 or "</answer>" in text


def test_statistics_of_groups():
    def rewards(row, *texts):
        return Group(row, tuple(reward(f"Hm.</think><answer>{text}</answer>", row) for text in texts))

    vote_right = make_row(vote="7", vote_right=True, right_samples=2)
    hopeless = make_row(candidates=(RowCandidate("9", 3, False),), right_samples=0)
    found = group_statistics(
        [rewards(THINK, "7", "9"), rewards(vote_right, "7", "7", "7", "9"), rewards(hopeless, "9", "9")]
    )
    assert (found.groups, found.rollouts) == (3, 8)
    assert found.accuracy == 0.5
    assert found.formatted == 1.0
    assert found.zero_variance == pytest.approx(1 / 3)
    assert (found.minority_recovery, found.all_wrong_recovery, found.harm) == (0.5, 0.0, 0.25)
    assert (found.length_unit, found.mean_length) == ("characters", 29.0)


def test_lengths_are_in_tokens_where_all_are_known():
    group = Group(THINK, (reward("x", THINK, tokens=10), reward("y", THINK, tokens=20)))
    assert (group_statistics([group]).mean_length, group_statistics([group]).length_unit) == (15.0, "tokens")


def test_statistics_of_nothing_are_unknown():
    found = group_statistics([Group(THINK, ())])
    assert (found.groups, found.accuracy, found.harm) == (0, None, None)


def test_advantages_by_hand():
    assert advantages([1.0, 0.0], False) == [0.5, -0.5]
    high, low = advantages([1.0, 0.0], True)
    assert high == -low == pytest.approx(0.5 / (math.sqrt(0.5) + 1e-4))


@pytest.mark.parametrize("rewards", [[], [1.0, math.nan], [math.inf]])
def test_advantages_of_what_is_no_group_are_refused(rewards: list[float]):
    with pytest.raises(InvalidArgumentError):
        advantages(rewards, True)


REWARDS = st.lists(st.floats(-100, 100), min_size=1, max_size=32)


@given(REWARDS, st.booleans())
def test_advantages_sum_to_zero_and_keep_the_order(rewards: list[float], divide: bool):
    made = advantages(rewards, divide)
    assert math.fsum(made) == pytest.approx(0, abs=1e-6 * len(made))
    pairs = sorted(zip(rewards, made, strict=True))
    assert [one for _, one in pairs] == sorted(made)


@given(st.floats(-100, 100), st.integers(1, 32), st.booleans())
def test_a_constant_group_has_no_advantage(value: float, size: int, divide: bool):
    assert advantages([value] * size, divide) == [0.0] * size


def test_the_table_of_the_page_on_training_data_is_true():
    page = (
        (Path(__file__).parents[3] / "docs/reference/training-data.md").read_text().split("## The reward")[1]
    )
    rows = re.findall(r"^\| `([^`]+)`(.*?) \| (1\.0|0\.05|0|not right)\b", page, re.MULTILINE)
    assert len(rows) == 9
    for completion, note, value in rows:
        earned = reward(completion, THINK, truncated="cut" in note)
        assert not earned.right if value == "not right" else earned.value == float(value)
