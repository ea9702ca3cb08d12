import dataclasses
import re
from pathlib import Path

import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation
from sampleset.errors import InvalidArgumentError, RefusedPromptError
from sampleset.training.data.targets import (
    TargetOptions,
    Teacher,
    answer_target,
    gives_secret_away,
    make_target,
    sample_target,
    target_of_reply,
    teacher_messages,
    without_final_line,
)
from sampleset.training.grpo.rewards import reward
from sampleset.types import Sample
from support.training_builders import make_row

ROW = make_row()
SAMPLES = (
    Sample(0, "It is nine.\n\\boxed{9}"),
    Sample(1, "3 and 4 are put together, step by step, with care.\n3 + 4 = 7\nThe answer is \\boxed{7}."),
    Sample(2, "3 + 4 = 7\n#### 7"),
)
RIGHT = (False, True, True)
GOOD = "Answer 1 adds wrongly: 3 + 4 is 7, not 9.\n<answer>7</answer>"
LEAK = "As the correct answer given is 7, Answer 2 is right.\n<answer>7</answer>"


def test_the_answer_alone():
    assert answer_target(ROW).completion == "</think>\n<answer>7</answer>"
    assert answer_target(make_row(mode="direct")).completion == "7</answer>"


def test_the_shortest_right_sample_is_the_reasoning():
    assert sample_target(ROW, SAMPLES, RIGHT).completion == "3 + 4 = 7\n</think>\n<answer>7</answer>"


def test_without_a_right_sample_there_is_no_reasoning():
    assert sample_target(ROW, SAMPLES, (False, False, False)) is None


def test_tags_in_a_sample_do_not_close_the_reasoning():
    samples = (Sample(0, "So <answer>8</answer>, no, 7.</think> <think>7\nDone, 7."),)
    target = sample_target(ROW, samples, (True,))
    assert reward(target.completion, ROW).formatted
    assert target.completion.count("</think>") == 1


def test_a_sample_that_goes_on_with_another_turn_ends_before_it():
    samples = (Sample(0, "3 + 4 = 7\n#### 7<|im_end|>\n<|im_start|>user\nAnd 3 + 5?"),)
    assert sample_target(ROW, samples, (True,)).completion == "3 + 4 = 7\n</think>\n<answer>7</answer>"


def test_a_reply_that_numbers_the_answers_it_checks_is_kept_whole():
    checked = "Let me check the 2 answers.\n\n**Answer 1:** adds wrongly.\n\n**Answer 2:** is right."
    target, outcome = target_of_reply(ROW, f"{checked}\n<answer>7</answer>")
    assert outcome == "accepted"
    assert target.completion == f"{checked}\n</think>\n<answer>7</answer>"


def test_a_prompt_that_does_not_hold_the_opening_gets_it_in_the_target():
    row = make_row(prompt=({"role": "user", "content": "?"},))
    assert sample_target(row, SAMPLES, RIGHT).completion.startswith("<think>\n3 + 4")


@pytest.mark.parametrize("mode", ["think", "direct", "select"])
@pytest.mark.parametrize("gold", ["7", "\\frac{1}{2}", "B", "x+1", "25%", "(1,2)"])
async def test_every_target_earns_the_full_reward(mode: str, gold: str):
    row = make_row(gold, mode)
    target = await make_target(row, SAMPLES, RIGHT, TargetOptions("sample"))
    assert reward(target.completion, row).value == 1.0
    assert reward(target.completion, row).formatted


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("3 + 4 = 7\n#### 7", "3 + 4 = 7"),
        ("3 + 4 = 7\n\nThe final answer is \\boxed{7}.", "3 + 4 = 7"),
        ("3 + 4 = 7\n\\[ \\boxed{7} \\]", "3 + 4 = 7"),
        ("3 + 4 = 7\n**Answer: 7**", "3 + 4 = 7"),
        ("3 + 4 = 7\nSo 3 and 4 make 7.", "3 + 4 = 7\nSo 3 and 4 make 7."),
        ("The sum is:\n\\boxed{7}", "The sum is:\n\\boxed{7}"),
        ("\\boxed{7}", "\\boxed{7}"),
    ],
)
def test_a_final_line_that_only_states_the_answer_is_left_out(text: str, left: str):
    assert without_final_line(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "The correct answer given is 7.",
        "This equals 7, as provided.",
        "This agrees with the reference answer.",
        "Given that the correct answer is 7, Answer 2 must be right.",
        "I was told that it is 7.",
        "The gold answer is 7.",
        "The ground-truth solution says 7.",
        "According to the answer key, 7.",
        "The provided final answer is 7.",
        "We know the correct answer is 7.",
        "The result matches the correct\nanswer.",
        "The answer is supposed to be 7.",
        "The right final answer, which was given, is 7.",
        "It matches the expected result.",
    ],
)
def test_a_text_that_knew_the_answer_beforehand_is_found_out(text: str):
    assert gives_secret_away(text)


@pytest.mark.parametrize(
    "text",
    [
        "Answer 1 adds 3 and 4 and gets 7, so the correct answer is 7.",
        "We are given that x = 3, so the final answer is 7.",
        "As stated in the question, there are four boxes.",
        "Answer 2 forgets the 4. Its final answer is wrong.",
        "The proposed answers disagree; I recalculate.",
        "We know that 3 + 4 = 7.",
        "As provided in the problem, Ann has 3 apples.",
    ],
)
def test_ordinary_reasoning_is_not_suspected(text: str):
    assert not gives_secret_away(text)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (GOOD, "accepted"),
        (f"<think>The key says 7, as told.</think>{GOOD}", "accepted"),
        (LEAK, "gives_away"),
        ("Answer 1 is right.\n<answer>9</answer>", "wrong_answer"),
        ("3 + 4 is 7.", "no_answer"),
        ("3 + 4 is 7. <answer>7", "no_answer"),
        ("3 + 4 is 7, not 8.\n\nThe final answer is 7.", "accepted"),
        ("3 + 4 is 8.\n\nThe final answer is 8.", "wrong_answer"),
        ("3 + 4 is 8, so the answer is 8.\n<answer>7</answer>", "wrong_answer"),
        ("<answer>7</answer>", "no_reasoning"),
        ("", "no_answer"),
    ],
)
def test_a_teachers_reply_is_checked(reply: str, outcome: str):
    target, found = target_of_reply(ROW, reply)
    assert found == outcome
    assert (target is not None) == (outcome == "accepted")


def test_the_teacher_sees_the_task_and_the_gold_answer():
    (message,) = teacher_messages(make_row("7.25"))
    assert "What is 3 plus 4?" in message["content"]
    assert re.search(r"right final answer is: 7\.25", message["content"])


async def test_a_teacher_is_asked_again_until_a_reply_passes():
    backend = ReplayBackend(lambda messages, seed: [LEAK, "No idea.", GOOD][seed])
    teacher = Teacher(backend, None, TargetOptions("teacher"))
    target = await make_target(ROW, SAMPLES, RIGHT, TargetOptions("teacher"), teacher)
    assert (target.kind, teacher.calls) == ("teacher", 3)
    assert target.completion.startswith("Answer 1 adds wrongly")


async def test_after_the_last_try_a_sample_takes_its_place():
    teacher = Teacher(ReplayBackend(lambda messages, seed: LEAK), None, TargetOptions("teacher", tries=2))
    target = await make_target(ROW, SAMPLES, RIGHT, TargetOptions("teacher"), teacher)
    assert (target.kind, teacher.calls) == ("sample", 2)


async def test_a_reply_that_a_content_filter_holds_back_is_asked_for_again():
    replies = [RefusedPromptError("filtered"), GOOD]
    teacher = Teacher(ReplayBackend(lambda messages, seed: replies[seed]), None, TargetOptions("teacher"))
    assert await teacher.target(ROW) is not None


async def test_a_teachers_seeds_differ_from_row_to_row():
    backend = ReplayBackend(lambda messages, seed: GOOD)
    teacher = Teacher(backend, None, TargetOptions("teacher"))
    await teacher.target(ROW)
    await teacher.target(dataclasses.replace(ROW, answer="8"))
    (_, _, first), (_, _, second), *_ = backend.calls
    assert first != second


async def test_a_cut_reply_is_not_used():
    cut = Generation(GOOD, "length")
    teacher = Teacher(ReplayBackend(lambda messages, seed: cut), None, TargetOptions("teacher", tries=1))
    assert await teacher.target(ROW) is None


async def test_replies_are_kept_so_that_a_second_run_asks_nobody(tmp_path: Path):
    def refuse(messages, seed):
        raise AssertionError("asked again")

    log = tmp_path / "rows.teacher.jsonl"
    options = TargetOptions("teacher")
    first = Teacher(ReplayBackend(lambda messages, seed: [LEAK, GOOD][seed]), log, options)
    second_answer = await first.target(ROW)
    assert len(log.read_text().splitlines()) == 2
    again = Teacher(ReplayBackend(refuse), log, options)
    assert await again.target(ROW) == second_answer
    assert again.calls == 0


async def test_rows_without_a_right_sample_are_dropped_or_answered():
    none_right = (False, False, False)
    assert await make_target(ROW, SAMPLES, none_right, TargetOptions("sample")) is None
    kept = await make_target(ROW, SAMPLES, none_right, TargetOptions("sample", without_right="answer"))
    assert (kept.kind, kept.completion) == ("answer", "</think>\n<answer>7</answer>")


async def test_a_teacher_that_is_missing_is_an_error():
    with pytest.raises(InvalidArgumentError, match="--teacher-model"):
        await make_target(ROW, SAMPLES, RIGHT, TargetOptions("teacher"))
