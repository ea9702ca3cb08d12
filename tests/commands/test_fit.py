"""`sampleset fit` and `reproduce`: with a replayed model and stubs, and with a tiny model for real."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampleset.commands.fit_stages import Fit
from sampleset.commands.reproduce import STUDIES
from sampleset.engines.checkpoint import CheckpointRecord, write_record, write_trained_on
from sampleset.engines.huggingface.model import ModelFiles
from sampleset.storage.files import read_problems, write_rows
from sampleset.storage.rows import read_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.data.rows import question_digest
from sampleset.training.reproduction import SSA, costs_of
from support.command_line import Run
from support.tiny_gguf import TinyModel
from support.tiny_model import save_tiny_model

COUNT = 110
SIZES = ("--scale", "tiny", "-k", 3, "-n", 4, "--keep-end-tokens", 20)


def write_draws(path: Path, count: int = COUNT, first: int = 0) -> Path:
    """Sets of four samples of which some are right, with scores that nearly always say which."""
    generator = random.Random(first)
    rows: list[dict[str, Any]] = []
    for number in range(first, first + count):
        answers = ["7", generator.choice("79"), generator.choice("89"), "8"]
        generator.shuffle(answers)
        sees = generator.random() < 0.9
        rows.append(
            {
                "id": f"q{number}",
                "question": f"Question {number}?",
                "answer": "7",
                "model": "tiny-solver",
                "samples": [f"Step {number}. The final answer is \\boxed{{{answer}}}." for answer in answers],
                "knows_scores": [float(sees and answer == "7") for answer in answers],
            }
        )
    write_rows(path, rows)
    return path


@pytest.fixture
def draws(tmp_path: Path) -> Path:
    return write_draws(tmp_path / "draws.jsonl")


@pytest.fixture
def questions(tmp_path: Path, draws: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    write_rows(
        path, [{name: row[name] for name in ("id", "question", "answer")} for _, row in read_rows(draws)]
    )
    return path


class Stubs:
    """Training without a model: what it makes is a record, and `reads` is the method that is measured."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: str | None = None
        self.learned: list[str] = []
        self.reads = "best_of_n:by=knows_scores"

    def note(self, name: str) -> None:
        if self.fails == name:
            raise KeyboardInterrupt
        self.done.append(name)

    def train(self, fit: Fit, method: str) -> dict[str, Any]:
        self.note("train")
        (fit.output / f"train_{method}" / "checkpoint").mkdir(parents=True, exist_ok=True)
        return {"steps": 1}

    def export(self, fit: Fit) -> dict[str, Any]:
        self.note("export")
        fit.aggregator.mkdir(exist_ok=True)
        write_record(fit.aggregator, CheckpointRecord("tiny@12345678", "select", "aggregate-1"))
        write_trained_on(fit.aggregator, map(question_digest, self.learned))
        return {}

    async def mentions(self, fit: Fit) -> dict[str, float | None]:
        self.note("mentions")
        return {"0": 1.0, **dict.fromkeys(map(str, fit.size.dropped), 0.25)}

    def calibrate(self, fit: Fit) -> dict[str, Any]:
        self.note("calibrate")
        return {}


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch, draws: Path) -> Iterator[Stubs]:
    """Stubs in the place of all that needs torch; the base is a replayed model."""
    stubs, module = Stubs(), "sampleset.commands.fit_stages"
    for name in ("train", "export", "calibrate"):
        work = getattr(stubs, name)
        monkeypatch.setattr(Fit, f"_{name}", lambda fit, *rest, work=work: work(fit, *rest))
    monkeypatch.setattr(f"{module}.import_extra", lambda name: None)
    monkeypatch.setattr(f"{module}.find_model", lambda ref: ModelFiles("tiny", draws.parent, "12345678"))
    specs = Fit.specs
    monkeypatch.setattr(Fit, "specs", property(lambda fit: specs.__get__(fit) | {"ssa": stubs.reads}))
    monkeypatch.setattr(
        Fit, "dropping", property(lambda fit: {n: f"majority_vote:seed={n}" for n in fit.size.dropped})
    )
    monkeypatch.setattr(Fit, "_mentions", lambda fit: stubs.mentions(fit))
    yield stubs


def fit(run: Run, source: Path, folder: Path, *options: object) -> tuple[int, str, str]:
    base = ("--base", f"replay:{folder.parent / 'draws.jsonl'}")
    return run("fit", source, *base, *SIZES, "--output-dir", folder, *options)


def test_sets_become_a_measured_aggregator_and_files_for_the_other_commands(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    code, out, err = fit(run, draws, tmp_path / "fit")
    assert code == 0, err
    assert "best_of_n is not recommended: +" in out  # the learned vote learns from the same scores
    assert "Use learned_vote." in out
    assert stubs.done == ["train", "export", "calibrate"]
    train, test = (
        list(read_problems(tmp_path / "fit" / f"questions_{part}.jsonl")) for part in ("train", "test")
    )
    assert len(train) + len(test) == COUNT
    assert not {problem.question.text for problem in train} & {problem.question.text for problem in test}
    rows = [row["id"].split("/")[1] for name in ("rows", "rows.held_back")
            for _, row in read_rows(tmp_path / "fit" / f"{name}.jsonl")]  # fmt: skip
    assert set(rows) <= {problem.id for problem in train}
    verdict = json.loads((tmp_path / "fit" / "verdict.json").read_text())
    assert verdict["questions"] == len(test)
    assert (verdict["recommended"], verdict["leads"][0]["interval"]["low"] > 0) == ("learned_vote", True)
    assert [lead["over"] for lead in verdict["leads"]] == ["majority_vote", "weighted_vote", "learned_vote"]
    assert (tmp_path / "fit" / "report" / "report.html").is_file()
    assert "## Not recommended" in (tmp_path / "fit" / "aggregator" / "README.md").read_text()
    recipe = json.loads((tmp_path / "fit" / "train_select.json").read_text())
    assert (recipe["method"], recipe["steps"]) == ("select", 40)
    code, _, err = run("fit", "--config", tmp_path / "fit" / "config.json")
    assert (code, err.count("done before")) == (0, 9)


def test_with_a_calculator_rows_and_vote_have_it_and_the_verdict_compares_with_it(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    code, _, err = fit(run, draws, tmp_path / "fit", "--calculator")
    assert code == 0, err
    vote = json.loads((tmp_path / "fit" / "vote.json").read_text())
    rows = [row for _, row in read_rows(tmp_path / "fit" / "rows.jsonl")]
    verdict = json.loads((tmp_path / "fit" / "verdict.json").read_text())
    assert vote["calculator"] is True
    assert all(row["calculator"] for row in rows)
    assert [lead["over"] for lead in verdict["leads"]] == [
        "majority_vote", "weighted_vote", "calculator", "calculator:inner=weighted_vote", "learned_vote",
    ]  # fmt: skip


def test_a_folder_that_was_moved_says_the_same(run: Run, draws: Path, stubs: Stubs, tmp_path: Path):
    _, out, _ = fit(run, draws, tmp_path / "fit")
    (tmp_path / "fit").rename(tmp_path / "moved")
    code, again, err = fit(run, draws, tmp_path / "moved")
    assert (code, err.count("done before"), again) == (0, 9, out), err


def test_an_aggregator_that_gains_nothing_is_not_recommended_and_the_command_still_ends_well(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    stubs.reads = "first_sample"
    code, out, err = fit(run, draws, tmp_path / "fit", "--json")
    assert code == 0, err
    verdict = json.loads(out)["verdict"]
    assert verdict["is_recommended"] is False
    assert "first_sample is not recommended" in verdict["sentence"]
    assert "## Not recommended" in (tmp_path / "fit" / "aggregator" / "README.md").read_text()


@pytest.mark.parametrize("stage", ["train", "export", "calibrate"])
def test_a_fit_that_was_interrupted_goes_on_and_ends_as_one_that_was_not(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path, stage: str
):
    fit(run, draws, tmp_path / "whole")
    stubs.fails, before = stage, len(stubs.done)
    assert fit(run, draws, tmp_path / "broken")[0] != 0
    stubs.fails = None
    code, _, err = fit(run, draws, tmp_path / "broken")
    assert code == 0, err
    assert "vote: done before" in err
    assert stubs.done[before:] == ["train", "export", "calibrate"]
    whole, broken = (
        json.loads((tmp_path / name / "verdict.json").read_text()) for name in ("whole", "broken")
    )
    assert whole == broken
    stubs.done.clear()
    fit(run, draws, tmp_path / "broken")
    assert stubs.done == []


def test_questions_are_drawn_once_however_often_the_drawing_is_interrupted(
    run: Run, questions: Path, draws: Path, stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from sampleset.backends.replay import ReplayBackend

    generate, calls, stubs.reads = ReplayBackend.generate, list[int](), "first_sample"

    async def counted(self: Any, messages: Any, params: Any, seeds: Any) -> Any:
        if "Question" in str(messages) and len(calls) == 130:
            calls.append(0)
            raise KeyboardInterrupt
        calls.append(len(seeds))
        return await generate(self, messages, params, seeds)

    monkeypatch.setattr(ReplayBackend, "generate", counted)
    options = ("--model", f"replay:{draws}", "--max-concurrency", 1)
    code, _, err = fit(run, questions, tmp_path / "fit", *options)
    assert (code, "interrupted; run the same command again" in err) == (130, True)
    code, _, err = fit(run, questions, tmp_path / "fit", *options)
    assert code == 0, err
    train, test = (list(SampleFile(tmp_path / "fit" / f"sets_{part}.jsonl.gz")) for part in ("train", "test"))
    assert {stored.sample_set.n for stored in train} == {4}
    assert {stored.sample_set.n for stored in test} == {3}
    assert sum(calls) == 4 * len(train) + 3 * len(test)


def test_more_questions_may_be_given_until_training_has_begun_and_no_draw_is_lost(
    run: Run, questions: Path, draws: Path, stubs: Stubs, tmp_path: Path
):
    options, stubs.reads = ("--model", f"replay:{draws}"), "first_sample"
    code, _, err = fit(run, questions, tmp_path / "fit", *options, "--limit", 90, "--until", "rows")
    assert code == 0, err
    code, _, err = fit(run, questions, tmp_path / "fit", *options)
    assert code == 0, err
    stored = [row for _, row in read_rows(tmp_path / "fit" / "draws_train" / "samples.jsonl")]
    train = list(read_problems(tmp_path / "fit" / "questions_train.jsonl"))
    assert len(stored) == 4 * len(train)
    code, _, err = fit(run, questions, tmp_path / "fit", *options, "--limit", 90)
    assert code == 2
    assert "the stage 'train_select' has begun" in err


def test_test_questions_of_their_own_may_not_be_among_the_others(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    other = write_draws(tmp_path / "other.jsonl", 30, first=500)
    code, _, err = fit(run, draws, tmp_path / "fit", "--test", other, "--until", "rows")
    assert code == 0, err
    assert len(list(read_problems(tmp_path / "fit" / "questions_train.jsonl"))) == COUNT
    both = write_draws(tmp_path / "both.jsonl", 30, first=COUNT - 1)
    code, _, err = fit(run, draws, tmp_path / "again", "--test", both)
    assert code != 0
    assert f"1 questions of {both}" in err
    assert not (tmp_path / "again").exists()


def test_other_questions_and_other_k_are_tested_in_a_report_of_their_own(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    stubs.reads = "first_sample"
    other = write_draws(tmp_path / "other.jsonl", 30, first=500)
    code, _, err = fit(run, draws, tmp_path / "fit", "--also", other, "--test-k", "2,4")
    assert code == 0, err
    (main,) = json.loads((tmp_path / "fit" / "report" / "report.json").read_text())["files"]
    assert [point["k"] for point in main["points"]] == [3]
    report = json.loads((tmp_path / "fit" / "report_also" / "report.json").read_text())
    points = {file["source"]: [point["k"] for point in file["points"]] for file in report["files"]}
    assert points == {"sets_test": [2, 3, 4], "sets_other": [2, 3, 4]}
    code, _, err = fit(run, draws, tmp_path / "again", "--also", draws)
    assert (code, "questions of " in err) == (2, True)
    code, _, err = fit(run, draws, tmp_path / "again", "--also", other, "--also", other)
    assert (code, "names must differ" in err) == (2, True)


def test_questions_to_stay_clear_of_reach_neither_rows_nor_the_vote(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    excluded = tmp_path / "excluded.jsonl"
    write_rows(excluded, [{"question": f"QUESTION  {number}?", "answer": "7"} for number in range(20)])
    code, _, err = fit(run, draws, tmp_path / "fit", "--exclude", excluded, "--until", "rows")
    assert code == 0, err
    train = {problem.id for problem in read_problems(tmp_path / "fit" / "questions_train.jsonl")}
    assert not train & {f"q{number}" for number in range(20)}


def test_an_aggregator_that_has_seen_a_test_question_is_not_measured(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    stubs.learned = [f"Question {number}?" for number in range(COUNT)]
    code, _, err = fit(run, draws, tmp_path / "fit")
    assert code != 0
    assert "trained on" in err
    assert not (tmp_path / "fit" / "report").exists()


def test_a_base_that_was_trained_on_a_test_question_is_refused_before_anything_is_drawn(
    run: Run, questions: Path, draws: Path, stubs: Stubs, tmp_path: Path
):
    write_trained_on(draws.parent, [question_digest(f"Question {number}?") for number in range(COUNT)])
    code, _, err = fit(run, questions, tmp_path / "fit", "--model", f"replay:{draws}")
    assert code != 0
    assert "was trained on" in err
    assert not (tmp_path / "fit").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["-k", 1], "-k 1: an aggregator reads 2", id="k"),
        pytest.param(["-n", 2], "-n 2 samples are fewer than the 3", id="n"),
        pytest.param(["--scale", "huge"], "No scale named 'huge'", id="scale"),
        pytest.param(["--method", "dpo"], "No training method named 'dpo'", id="method"),
        pytest.param(["--test-share", 1.5], "--test-share 1.5", id="share"),
        pytest.param(["--test-drop-end-tokens", 0], "--test-drop-end-tokens 0 must be at least 1", id="cut"),
        pytest.param(["--max-reply-tokens", 0], "--max-reply-tokens 0 must be at least 1", id="reply"),
        pytest.param(["--limit", 50], "train questions with a gold answer; 40 are needed", id="few"),
        pytest.param(["--limit", 66, "--test-share", 0.1], "20 are needed", id="few to test"),
        pytest.param(["--recipe", "stepps=3"], "stepps", id="recipe"),
        pytest.param(["--recipe", "steps"], "--recipe 'steps' has no value", id="recipe without a value"),
        pytest.param(["--test", "gsm8k:test"], "'gsm8k:test' is no file of sample sets", id="nobody draws"),
        pytest.param(["-k", 5, "-n", 5], "5 samples", id="sets too small"),
        pytest.param(["--keep-end-tokens", 4000], "Lower -n or --keep-end-tokens", id="no room"),
        pytest.param(["--until", "rest"], "No stage named 'rest'", id="stage"),
    ],
)
def test_bad_input_is_refused_before_anything_is_drawn_or_made(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path, options: list[object], words: str
):
    code, _, err = fit(run, draws, tmp_path / "fit", *options)
    assert code not in (0, None)
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "fit" / "questions_train.jsonl").exists()


def test_a_folder_that_no_spec_can_name_is_refused(run: Run, draws: Path, stubs: Stubs, tmp_path: Path):
    code, _, err = fit(run, draws, tmp_path / "a,b")
    assert (code, "must have no comma" in err) == (2, True)


def test_a_disk_without_room_is_refused(
    run: Run, questions: Path, draws: Path, stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import shutil

    full = replace_usage(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    code, _, err = fit(run, questions, tmp_path / "fit", "--model", f"replay:{draws}")
    assert code != 0
    assert "GB free" in err


def replace_usage(usage: Any) -> Any:
    """The same disk with nothing left."""
    return usage._replace(free=0)


def test_sets_that_leave_too_few_rows_to_calibrate_on_are_refused_before_training(
    run: Run, tmp_path: Path, stubs: Stubs
):
    rows = [
        {"id": f"q{n}", "question": f"Question {n}?", "answer": "7",
         "samples": ["\\boxed{7}", "\\boxed{8}", "\\boxed{8} ."] + (["\\boxed{7} ."] if n % 2 else [])}
        for n in range(100)
    ]  # fmt: skip
    for row in rows[:55]:
        row["samples"] = ["\\boxed{7}"] * 4
    write_rows(tmp_path / "draws.jsonl", rows)
    code, _, err = fit(run, tmp_path / "draws.jsonl", tmp_path / "fit")
    assert code != 0
    assert "are needed to calibrate. Give more questions" in err
    assert stubs.done == []


def test_many_failed_draws_end_the_command_and_are_drawn_again(
    run: Run, questions: Path, draws: Path, stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from sampleset.backends.replay import ReplayBackend
    from sampleset.errors import TransientBackendError

    generate, stubs.reads = ReplayBackend.generate, "first_sample"

    async def failing(self: Any, messages: Any, params: Any, seeds: Any) -> Any:
        if any(f"Question {number}?" in str(messages) for number in range(0, COUNT, 5)):
            raise TransientBackendError("busy")
        return await generate(self, messages, params, seeds)

    monkeypatch.setattr(ReplayBackend, "generate", failing)
    options = ("--model", f"replay:{draws}", "--max-retries", 0)
    code, _, err = fit(run, questions, tmp_path / "fit", *options)
    assert code != 0
    assert "Run the same command again to draw them" in err
    monkeypatch.setattr(ReplayBackend, "generate", generate)
    code, _, err = fit(run, questions, tmp_path / "fit", *options)
    assert code == 0, err


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    run: Run, questions: Path, draws: Path, stubs: Stubs, tmp_path: Path
):
    code, out, err = fit(
        run, questions, tmp_path / "fit", "--model", f"replay:{draws}", "--dry-run", "--json"
    )
    assert code == 0, err
    plan = json.loads(out)
    assert plan["train_questions"] + plan["test_questions"] == COUNT
    assert plan["draws"] == 4 * plan["train_questions"] + 3 * plan["test_questions"]
    assert plan["steps"] == {"select": 40}
    assert not (tmp_path / "fit").exists()


def test_a_fit_in_several_processes_is_refused(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLD_SIZE", "4")
    code, _, err = fit(run, draws, tmp_path / "fit")
    assert (code, "accelerate launch" in err) == (2, True)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of draws in the place of those of the tiny study, whose sizes are smaller here."""
    tiny = replace(SSA["tiny"], k=3, samples=4, test_k="2", limit=40, test_limit=20)
    monkeypatch.setitem(STUDIES, "ssa", {"tiny": tiny, "paper": SSA["paper"]})
    for number, name in enumerate((*tiny.train, tiny.test, *tiny.also)):
        write_draws(tmp_path / "recorded" / name, 50, first=1000 * number)
    write_draws(tmp_path / "draws.jsonl")
    return tmp_path / "recorded"


def reproduce(run: Run, draws: Path, folder: Path, *options: object) -> tuple[int, str, str]:
    base = ("--base", f"replay:{draws.parent / 'draws.jsonl'}")
    return run("reproduce", "ssa", "--draws", draws, "--output-dir", folder, *base, *options)


def test_a_study_prints_its_tables_and_the_same_bytes_a_second_time(
    run: Run, study: Path, stubs: Stubs, tmp_path: Path
):
    stubs.reads = "first_sample"
    code, out, err = reproduce(run, study, tmp_path / "first")
    assert code == 0, err
    assert stubs.done.count("train") == 6  # sft-grpo has two runs
    assert "| select |" in out
    assert (
        "| gsm8k\\_test\\_qwen15b\\_reseeded | 2 | 20 |" in out
        or "| gsm8k_test_qwen15b_reseeded | 2 | 20 |" in out
    )
    stubs.fails = "export"
    assert reproduce(run, study, tmp_path / "second")[0] != 0
    stubs.fails = None
    assert reproduce(run, study, tmp_path / "second")[:2] == (0, out)
    assert (tmp_path / "first" / "tables.md").read_text() == out


def test_a_study_shows_what_is_left_of_a_gain_where_the_ends_of_samples_are_hidden(
    run: Run, study: Path, stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        Fit, "dropping", property(lambda fit: {20: "majority_vote:seed=1", 40: "first_sample"})
    )
    code, out, err = reproduce(run, study, tmp_path / "study")
    assert code == 0, err
    table = out.partition("## Samples cut off at the end")[2].strip().splitlines()[2:]
    assert table[0].startswith("| hidden | samples that mention their answer % | select | sft |")
    main = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in out.splitlines() if " | " in line}
    whole, some, most = (line.strip("| ").split(" | ") for line in table[2:])
    assert [whole[0], some[0], most[0]] == ["0", "20", "40"]
    assert [whole[1], some[1], most[1]] == ["100.0", "25.0", "25.0"]
    assert whole[2].split(" ")[0] == main["select"][2]
    assert whole[2] == whole[5] != some[2]
    assert some[2].startswith("0.0 (") or some[2].startswith(("+", "−"))


def test_a_folder_of_before_goes_on_with_the_test_of_cut_samples_alone(
    run: Run, draws: Path, stubs: Stubs, tmp_path: Path
):
    assert fit(run, draws, tmp_path / "fit")[0] == 0
    stubs.done.clear()
    options = ("--test-drop-end-tokens", 40, "--test-drop-end-tokens", 20)
    code, _, err = fit(run, draws, tmp_path / "fit", *options)
    assert code == 0, err
    assert (err.count("done before"), "10/10 drop_end\n" in err) == (9, True)
    assert stubs.done == ["mentions"]
    (file,) = json.loads((tmp_path / "fit" / "report_drop_end" / "report.json").read_text())["files"]
    labels = [method["label"] for method in file["points"][0]["methods"]]
    assert labels == ["majority_vote", "majority_vote:seed=20", "majority_vote:seed=40"]
    code, _, err = fit(run, draws, tmp_path / "fit", "--test-drop-end-tokens", 20)
    assert (code, err.count("done before")) == (0, 9)
    assert fit(run, draws, tmp_path / "fit", "--test-drop-end-tokens", 20)[2].count("done before") == 10


def test_a_study_can_be_planned_without_making_anything(run: Run, study: Path, stubs: Stubs, tmp_path: Path):
    code, out, err = reproduce(run, study, tmp_path / "study", "--dry-run", "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert [entry["variant"] for entry in plan] == ["select", "sft", "grpo", "sft-grpo", "sft-think"]
    assert (plan[0]["train_questions"], plan[0]["draws"]) == (40, 0)
    assert not (tmp_path / "study").exists()
    code, out, _ = reproduce(run, study, tmp_path / "study", "--dry-run")
    assert (code, "lower bound" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["reproduce", "sas"], "No study named 'sas'", id="study"),
        pytest.param(["reproduce", "ssa", "--scale", "small"], "No scale named 'small'", id="scale"),
        pytest.param(["reproduce", "ssa", "--draws", "none"], "No folder 'none'", id="draws"),
    ],
)
def test_a_study_that_cannot_be_reproduced_is_an_error(run: Run, arguments: list[str], words: str):
    code, _, err = run(*arguments)
    assert code not in (0, None)
    assert words in err


def test_the_cost_of_a_study_is_that_of_its_tokens():
    paper = SSA["paper"]
    variant = replace(paper.variants[0], method="grpo", parameters=1e9)
    costs = costs_of(paper, variant, draws=1000, rows=100, readings=10)
    assert costs.tokens == {"drawing": 300_000, "training": 100 * 1500 + 100 * 8 * 256, "tests": 15_000}
    assert costs.hours["tests"] == pytest.approx(2 * 1e9 * 15_000 / 4e14 / 3600)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("method", "base"),
    [
        pytest.param("select", "tiny.gguf", id="select"),
        pytest.param("sft-grpo", "tiny.gguf", id="sft then grpo"),
        pytest.param("select", "tiny", id="a folder of transformers"),
    ],
)
def test_a_tiny_model_is_trained_calibrated_exported_and_measured(
    run: Run, tmp_path: Path, method: str, base: str, monkeypatch: pytest.MonkeyPatch
):
    for package in ("torch", "transformers", "peft", "accelerate", "safetensors", "gguf"):
        pytest.importorskip(package)
    from sampleset.training.run_folder import RunFolder

    draws = write_draws(tmp_path / "draws.jsonl")
    if base == "tiny":
        save_tiny_model(tmp_path / base)
    else:
        TinyModel().write(tmp_path / base, context_size=4096)
    recipe = (
        "steps=2",
        "threads=1",
        "save_every=1",
        "grpo.max_completion_tokens=4",
        "grpo.num_generations=2",
    )
    options = [part for setting in recipe for part in ("--recipe", setting)]
    folders = ("--base", tmp_path / base, "--output-dir", tmp_path / "fit")
    command = ("fit", draws, *SIZES, *folders, "--method", method, *options)
    write = RunFolder.write

    def killed(folder: RunFolder, figures: Any) -> None:
        write(folder, figures)
        if figures["step"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write", killed)
    code, _, err = run(*command)
    assert (code, "interrupted" in err) == (130, True), err
    monkeypatch.setattr(RunFolder, "write", write)
    code, out, err = run(*command)
    assert code == 0, err
    assert "ssa" in out
    record = json.loads((tmp_path / "fit" / "aggregator" / "sampleset.json").read_text())
    assert record["mode"] == ("select" if method == "select" else "direct")
    assert ("calibration" in record) == (method == "select")
    assert record["verdict"]["questions"] >= 20
    trained_on = set((tmp_path / "fit" / "aggregator" / "trained_on.txt").read_text().split())
    tests = [
        question_digest(problem.question.text)
        for problem in read_problems(tmp_path / "fit" / "questions_test.jsonl")
    ]
    assert trained_on
    assert not trained_on & set(tests)
    code, _, err = run(*command)
    assert (code, err.count("done before")) == (0, 9)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_study_of_tiny_models_is_trained_and_tested(
    run: Run, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for package in ("torch", "transformers", "peft", "accelerate", "safetensors", "gguf"):
        pytest.importorskip(package)
    TinyModel().write(tmp_path / "tiny.gguf", context_size=4096)
    tiny = STUDIES["ssa"]["tiny"]
    variants = [
        replace(variant, recipe=("steps=1", "threads=1"), max_reply_tokens=variant.max_reply_tokens and 8)
        for variant in tiny.variants
        if variant.method in ("select", "sft")
    ]
    short = replace(tiny, variants=tuple(variants), also=tiny.also[:1])
    monkeypatch.setitem(STUDIES, "ssa", {"tiny": short})
    folders = ("--draws", study, "--output-dir", tmp_path / "study", "--base", tmp_path / "tiny.gguf")
    code, out, err = run("reproduce", "ssa", *folders)
    assert code == 0, err
    assert len([line for line in out.splitlines() if line.startswith(("| select |", "| sft"))]) == 3
    assert json.loads((tmp_path / "study" / "sft-think" / "mentions.json").read_text())["0"] == 1.0
    record = json.loads((tmp_path / "study" / "sft-think" / "aggregator" / "sampleset.json").read_text())
    assert record["mode"] == "think"
    assert run("reproduce", "ssa", *folders)[:2] == (0, out)
