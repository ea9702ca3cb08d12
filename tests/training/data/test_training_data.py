import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampleset.backends.replay import ReplayBackend
from sampleset.errors import DataError, InvalidArgumentError, MalformedRecordError
from sampleset.prompts import AGGREGATION_PROMPT, Shown, aggregation_messages
from sampleset.storage.files import write_rows
from sampleset.storage.rows import read_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.build import (
    Balance,
    DataOptions,
    draw_subsets,
    excluded_keys,
    write_training_rows,
)
from sampleset.training.data.rows import (
    kind_of,
    question_digest,
    read_training_rows,
    row_from_json,
    row_to_json,
    sharing_questions,
)
from sampleset.training.data.targets import TargetOptions, Teacher
from sampleset.training.data.verl_reward import compute_score
from sampleset.training.grpo.rewards import reward
from sampleset.training.loop import record_for
from sampleset.types import Question
from support.command_line import Run
from support.training_builders import SILENT, make_row, write_sets

RECORDED = Path(__file__).parents[3] / "src/sampleset/data/gsm8k_small8_100.jsonl.gz"
ALL = DataOptions(ks=(3,), easy=1, unanimous=1, all_wrong=1)
SETS = {
    "hard": ["9", "9", "7"],
    "easy": ["7", "7", "9"],
    "same": ["7", "7", "7"],
    "lost": ["9", "8", "9"],
}


async def made(tmp_path: Path, path: Path, options: DataOptions = ALL, name: str = "rows", **more):
    output = tmp_path / f"{name}.jsonl"
    count = await write_training_rows(output, [SampleFile(path)], SILENT, options, **more)
    return list(read_training_rows(output)), count


async def test_the_text_of_the_prompt_is_that_of_its_version():
    """A change of the text needs a new version: models are trained on one of them."""
    question = Question("q", "Which?", ("one", "two"))
    shown = [Shown("It is \\boxed{A}.", 2), Shown("I say B.")]
    texts = [
        await aggregation_messages(question, shown, mode, SILENT, 4000)
        for mode in ("think", "direct", "select")
    ]
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    assert (AGGREGATION_PROMPT, digest[:16]) == ("aggregate-1", "7ae8643df2d8b143")


async def test_a_row_says_what_the_set_holds(tmp_path: Path):
    (row,), _ = await made(tmp_path, write_sets(tmp_path / "sets.jsonl", {"hard": SETS["hard"]}))
    assert row.id == "sets/hard/0"
    assert (row.k, sorted(row.places)) == (3, [0, 1, 2])
    assert (row.answer, row.vote, row.vote_right, row.right_samples) == ("7", "9", False, 1)
    assert {(one.answer, one.votes, one.right) for one in row.candidates} == {("9", 2, False), ("7", 1, True)}
    assert row.opening == "<think>\n"
    assert [message["role"] for message in row.prompt] == ["user", "assistant"]


async def test_questions_held_back_are_the_same_in_every_file(tmp_path: Path):
    names = {f"{number}": SETS["hard"] for number in range(40)}
    options = replace(ALL, held_back=0.25, subsets=2, ks=(2,))
    held: list[set[str]] = []
    for name, sets in (("a", names), ("b", dict(reversed(names.items())))):
        path = write_sets(tmp_path / f"{name}.jsonl", sets)
        rows, count = await made(tmp_path, path, options, name=f"rows_{name}")
        back = list(read_training_rows(tmp_path / f"rows_{name}.held_back.jsonl"))
        assert (len(rows), len(back)) == (count.rows, count.held_back)
        ids = [{row.id.split("/")[1] for row in part} for part in (rows, back)]
        assert not ids[0] & ids[1]
        assert ids[0] | ids[1] == set(names)
        held.append(ids[1])
    assert held[0] == held[1]
    assert 4 <= len(held[0]) <= 16


async def test_rows_carry_a_digest_by_which_their_question_is_told_in_any_file(tmp_path: Path):
    rows = []
    for name, question in (("a", "What is $x + 1$?"), ("b", "what is x+1?"), ("c", "What is x + 2?")):
        samples = ["\\boxed{7}", "\\boxed{8}", "\\boxed{9}"]
        path = tmp_path / f"{name}.jsonl"
        write_rows(path, [{"id": name, "question": question, "answer": "7", "samples": samples}])
        rows += (await made(tmp_path, path, name=f"rows_{name}"))[0]
    first, again, other = (row.question_digest for row in rows)
    assert first == again == question_digest("What is $x + 1$?")
    assert first != other
    assert sharing_questions(rows[1:], rows[:1]) == [rows[1]]
    assert row_from_json(row_to_json(rows[0])) == rows[0]


def test_rows_without_a_digest_share_a_question_by_file_and_name():
    old, new = make_row(id="sets/q/0"), make_row(id="sets/q/1", question_digest="0" * 12)
    moved = replace(new, id="others/q/0")
    assert sharing_questions([old], [new]) == [old]
    assert sharing_questions([new], [old]) == [new]
    assert sharing_questions([old], [moved]) == []
    assert sharing_questions([new], [moved]) == [new]
    assert sharing_questions([replace(new, question_digest="1" * 12)], [new]) == []


@pytest.mark.parametrize("drawn_order", [False, True])
async def test_the_prompt_shows_the_samples_in_the_order_of_the_places(tmp_path: Path, drawn_order: bool):
    path = write_sets(tmp_path / "sets.jsonl", {name: list("97867") for name in "abcdef"})
    rows, _ = await made(tmp_path, path, replace(ALL, ks=(2, 4), subsets=3, drawn_order=drawn_order))
    for row in rows:
        text = row.prompt[0]["content"]
        marks = [text.index(f"Step {place} of") for place in row.places]
        assert marks == sorted(marks)
        assert sum(f"Step {place} of" in text for place in range(5)) == row.k
    assert all(row.places == tuple(sorted(row.places)) for row in rows) == drawn_order
    assert {row.k for row in rows} == {2, 4}


async def test_the_gold_answer_stands_in_no_prompt(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", {"a": ["1", "2", "3"]}, gold="654321")
    rows, _ = await made(tmp_path, path)
    assert all("654321" not in row.prompt[0]["content"] for row in rows)


async def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path):
    options = DataOptions(subsets=2, all_wrong=0.5)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        await made(tmp_path, RECORDED, replace(options, seed=seed), name)
    first, again, other = [(tmp_path / f"{name}.jsonl").read_bytes() for name in "abc"]
    assert first == again != other


async def test_recorded_sets_keep_all_hard_ones_and_a_share_of_the_others(tmp_path: Path):
    options = DataOptions(ks=(4, 5, 6), easy=0.5, unanimous=0.1, all_wrong=0)
    rows, count = await made(tmp_path, RECORDED, options)
    assert count.rows_by_kind["hard"] == count.drawn_by_kind["hard"]
    assert abs(count.rows_by_kind["easy"] - count.drawn_by_kind["easy"] / 2) < 1
    assert abs(count.rows_by_kind["unanimous"] - count.drawn_by_kind["unanimous"] / 10) < 1
    assert count.rows_by_kind["all_wrong"] == 0
    assert sum(count.drawn_by_kind.values()) == 100
    assert {kind_of(row.vote_right, row.right_samples, len(row.candidates)) for row in rows} == {
        "hard",
        "easy",
        "unanimous",
    }


async def test_each_kind_of_set_is_told_apart(tmp_path: Path):
    rows, _ = await made(tmp_path, write_sets(tmp_path / "sets.jsonl", SETS))
    assert {row.id.split("/")[1]: row.kind for row in rows} == {
        "hard": "hard",
        "easy": "easy",
        "same": "unanimous",
        "lost": "all_wrong",
    }


@given(st.floats(0, 1), st.integers(0, 300), st.integers(0, 5))
def test_the_balance_keeps_its_share_to_within_one(share: float, n: int, seed: int):
    balance = Balance(DataOptions(easy=share, seed=seed))
    assert abs(sum(balance.keeps("easy") for _ in range(n)) - share * n) <= 1.0001


@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 100))
def test_places_are_distinct_sets_of_what_is_usable(n: int, subsets: int, seed: int):
    usable = list(range(10, 10 + n))
    found = draw_subsets(usable, (2, 3, 5), subsets, seed, "key")
    assert len(found) <= subsets
    assert len({frozenset(places) for places in found}) == len(found)
    for places in found:
        assert len(places) in (2, 3, 5)
        assert set(places) <= set(usable)
        assert len(set(places)) == len(places)
    assert bool(found) == (n >= 2)


async def test_questions_of_the_test_set_are_dropped_however_they_are_written(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", SETS)
    test = tmp_path / "test.jsonl"
    write_rows(test, [{"question": "question   HARD?", "answer": "7"}])
    rows, count = await made(tmp_path, path, excluded=excluded_keys([str(test)]))
    assert "sets/hard/0" not in [row.id for row in rows]
    assert count.dropped_sets == {"with an excluded question": 1}


async def test_a_file_of_sets_excludes_its_own_questions(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", SETS)
    rows, count = await made(tmp_path, path, excluded=excluded_keys([str(path)]))
    assert (rows, count.dropped_sets["with an excluded question"]) == ([], 4)


async def test_sets_that_teach_nothing_are_counted_by_reason(tmp_path: Path):
    without = write_sets(tmp_path / "without.jsonl", {"a": ["7"] * 3}, gold=None)
    unreadable = write_sets(tmp_path / "unreadable.jsonl", {"b": ["7"] * 3}, gold="{7")
    small = write_sets(tmp_path / "small.jsonl", {"c": ["7"] * 2})
    output = tmp_path / "rows.jsonl"
    count = await write_training_rows(
        output, [SampleFile(path) for path in (without, unreadable, small)], SILENT, ALL
    )
    assert count.dropped_sets == {
        "without a gold answer": 1,
        "with an unreadable gold answer": 1,
        "with fewer than 3 samples": 1,
    }
    assert output.read_bytes() == b""


async def test_failed_samples_are_never_shown(tmp_path: Path):
    samples = [{"text": "\\boxed{7}"}, {"text": "", "error": "timeout"}] * 3
    path = tmp_path / "sets.jsonl"
    write_rows(path, [{"id": "a", "question": "?", "answer": "7", "samples": samples}])
    (row,), _ = await made(tmp_path, path)
    assert set(row.places) == {0, 2, 4}


async def test_the_budget_cuts_samples_to_their_endings(tmp_path: Path):
    path = tmp_path / "sets.jsonl"
    samples = [f"{'long words ' * 300} so it is \\boxed{{{one}}}" for one in (7, 8, 9)]
    write_rows(path, [{"id": "a", "question": "?", "answer": "7", "samples": samples}])
    (row,), count = await made(tmp_path, path, replace(ALL, max_prompt_tokens=500))
    assert row.prompt_tokens <= 510
    assert all(f"\\boxed{{{one}}}" in row.prompt[0]["content"] for one in (7, 8, 9))
    assert count.cut == 1


async def test_only_so_many_last_tokens_of_each_sample_are_shown(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", {"a": ["7", "8", "9"]})
    (row,), _ = await made(tmp_path, path, replace(ALL, keep_end_tokens=6))
    assert "Step" not in row.prompt[0]["content"]
    assert "boxed{7}" in row.prompt[0]["content"]


async def test_a_question_beyond_the_budget_is_dropped_and_counted(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", {"a" * 3000: ["7", "8", "9"]})
    rows, count = await made(tmp_path, path, replace(ALL, max_prompt_tokens=500))
    assert rows == []
    assert count.dropped_rows == {"whose question leaves no room in the token budget": 1}


async def test_equal_answers_are_shown_once_on_request(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", {"a": ["7", "7.0", "9"]})
    (row,), _ = await made(tmp_path, path, replace(ALL, fold=True))
    text = row.prompt[0]["content"]
    assert "(given 2 times):" in text
    assert text.count("Step") == 2


async def test_samples_end_with_what_they_calculate_on_request(tmp_path: Path):
    path = tmp_path / "sets.jsonl"
    samples = ["So 3 + 4 = 8.\n<answer>8</answer>", "<answer>8</answer>", "<answer>9</answer>"]
    write_rows(path, [{"id": "a", "question": "How many?", "answer": "7", "samples": samples}])
    (stated,), _ = await made(tmp_path, path)
    (put_right,), _ = await made(tmp_path, path, replace(ALL, calculator=True))
    assert (stated.right_samples, stated.calculator) == (0, False)
    assert (put_right.right_samples, put_right.calculator) == (1, True)
    assert "This comes to < answer>7" in put_right.prompt[0]["content"]
    assert row_from_json(row_to_json(put_right)) == put_right
    with pytest.raises(DataError, match="mixes rows of calculator False, True"):
        record_for([stated, put_right], "rows")


async def test_selecting_needs_a_choice_with_a_right_answer(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", SETS)
    rows, count = await made(tmp_path, path, replace(ALL, mode="select"))
    assert {row.kind for row in rows} == {"hard", "easy"}
    assert sum(count.dropped_rows.values()) == 2


async def test_confidence_is_the_mean_of_the_samples_that_give_the_answer(tmp_path: Path):
    means = [-0.1, -0.3, -0.5]
    samples = [
        {"text": f"\\boxed{{{one}}}", "logprobs": {"mean": mean, "min_window": mean}}
        for one, mean in zip("779", means, strict=True)
    ]
    path = tmp_path / "sets.jsonl"
    write_rows(path, [{"id": "a", "question": "?", "answer": "7", "samples": samples}])
    (row,), _ = await made(tmp_path, path)
    assert {one.answer: one.confidence for one in row.candidates} == {"7": -0.2, "9": -0.5}


async def test_rows_keep_the_kind_of_their_answers_and_only_if_it_is_not_maths(tmp_path: Path):
    answers = {"a": ["{'x'", '{"x": 1}', '{"x": 2}']}
    texts = [f"<answer>{one}</answer>" for one in answers["a"]]
    row = {"id": "a", "question": "?", "answer": '{"x": 1.0}', "answer_kind": "json", "samples": texts}
    write_rows(tmp_path / "json.jsonl", [row])
    (found,), _ = await made(tmp_path, tmp_path / "json.jsonl", targets=TargetOptions("answer"))
    assert (found.answer_kind, found.right_samples) == ("json", 1)
    assert row_from_json(row_to_json(found)) == found
    assert reward(found.completion, found).right
    maths, _ = await made(tmp_path, write_sets(tmp_path / "sets.jsonl", SETS))
    assert all("answer_kind" not in row_to_json(one) for one in maths)


async def test_targets_stand_in_the_rows_and_earn_the_reward(tmp_path: Path):
    rows, count = await made(
        tmp_path, write_sets(tmp_path / "sets.jsonl", SETS), targets=TargetOptions("sample")
    )
    assert count.targets == {"sample": 3}
    assert count.dropped_rows == {"for which no target could be made": 1}
    for row in rows:
        assert reward(row.completion, row).formatted
        assert "Step" in row.completion


async def test_a_teacher_works_on_several_rows_at_once_in_their_order(tmp_path: Path):
    def reply(messages, seed):
        return f"I work on {messages[0]['content'][-10:]}.\n<answer>7</answer>"

    teacher = Teacher(ReplayBackend(reply), tmp_path / "log.jsonl", TargetOptions("teacher"))
    rows, count = await made(
        tmp_path,
        write_sets(tmp_path / "sets.jsonl", SETS),
        targets=TargetOptions("teacher"),
        teacher=teacher,
    )
    assert [row.id.split("/")[1] for row in rows] == list(SETS)
    assert (count.targets, teacher.calls) == ({"teacher": 4}, 4)


def test_a_row_comes_back_from_its_file_as_it_was():
    for row in (make_row(), make_row(completion="7</answer>", target="answer", extra={"dataset": "x"})):
        assert row_from_json(json.loads(json.dumps(row_to_json(row)))) == row


@pytest.mark.parametrize("row", [{"schema": 2}, {"schema": 1, "id": "a"}, {}])
def test_what_is_no_row_is_refused_with_its_line(tmp_path: Path, row: dict[str, object]):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [row])
    with pytest.raises(MalformedRecordError, match=r"rows\.jsonl:1"):
        list(read_training_rows(path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"easy": 1.5},
        {"all_wrong": -0.1},
        {"subsets": 0},
        {"max_prompt_tokens": 0},
        {"max_prompt_tokens": -5},
        {"mode": "guess"},
        {"ks": ()},
        {"ks": (0,)},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]):
    with pytest.raises(InvalidArgumentError):
        DataOptions(**wrong)


async def test_two_files_of_one_name_are_refused(tmp_path: Path):
    path = write_sets(tmp_path / "sets.jsonl", SETS)
    with pytest.raises(InvalidArgumentError, match="same name"):
        await write_training_rows(tmp_path / "r.jsonl", [SampleFile(path)] * 2, SILENT, ALL)


def test_the_command_writes_rows_a_summary_and_verls_columns(tmp_path: Path, run: Run):
    sets, output, verl = write_sets(tmp_path / "s.jsonl", SETS), tmp_path / "r.jsonl", tmp_path / "v.parquet"
    shares = ["--easy", 1, "--unanimous", 1, "--all-wrong", 1]
    model = ["--aggregator-model", f"replay:{sets}", "--verdicts", tmp_path / "verdicts"]
    code, out, _ = run(
        "train-data", sets, "-k", 3, *shares, *model, "--output", output, "--export-verl", verl
    )
    assert code == 0
    assert "4 rows of 4 sets" in out
    assert "vote right in 50.0% of the rows, some sample in 75.0%" in out
    summary = json.loads((tmp_path / "r.summary.json").read_text())
    assert summary["rows_by_right_samples"] == {"0": 1, "1": 1, "2": 1, "3": 1}
    assert summary["options"]["prompt"] == "aggregate-1"
    (row, *_) = [values for _, values in read_rows(verl)]
    assert row["data_source"] == "sampleset/s"
    assert row["reward_model"] == {"style": "rule", "ground_truth": "7"}
    assert [message["role"] for message in row["prompt"]] == ["user"]
    assert row["extra_info"]["opening"] == "<think>\n"
    # verl's model writes the opening itself.
    for written, score in (
        ("<think>\nAll say 7.</think>\n<answer>7</answer>", 1.0),
        ("<think>\nAll say 8.</think>\n<answer>8</answer>", 0.05),
        ("<answer>7", 0.0),
    ):
        gold = row["reward_model"]["ground_truth"]
        told = compute_score(row["data_source"], written, gold, row["extra_info"], more="of verl's own")
        assert told["score"] == score


def test_the_command_without_any_row_fails_and_says_why(tmp_path: Path, run: Run):
    sets = write_sets(tmp_path / "s.jsonl", SETS)
    model = ["--aggregator-model", f"replay:{sets}", "--verdicts", tmp_path / "verdicts"]
    code, out, err = run(
        "train-data", sets, "-k", 3, *model, "--output", tmp_path / "r.jsonl", "--exclude", sets
    )
    assert code == 1
    assert "sets dropped: 4 with an excluded question" in out + err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--target", "teacher"], id="teacher without a model"),
        pytest.param(["--teacher-model", "x"], id="model without the target"),
        pytest.param(["--export-verl", "x.jsonl"], id="verl without Parquet"),
        pytest.param(["--export-verl", "x.parquet", "--mode", "verify"], id="verl of a verifier's rows"),
        pytest.param(["--easy", "2"], id="share above one"),
    ],
)
def test_the_command_refuses_what_does_not_fit_before_it_reads(
    tmp_path: Path, arguments: list[str], run: Run
):
    sets = write_sets(tmp_path / "s.jsonl", SETS)
    code, out, err = run("train-data", sets, "--output", tmp_path / "r.jsonl", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error:")
    assert not (tmp_path / "r.jsonl").exists()
