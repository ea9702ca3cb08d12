"""`certify`, and what acts on its certificates: `aggregate`, `answer`, `evaluate`."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import pytest

from sampleset.risk.certificate import read_certificate
from sampleset.storage.files import write_rows
from support.command_line import Run


def sets(path: Path, count: int, *, seed: int = 0, model: str = "stub", wrong: float = 0.3) -> Path:
    """Sets of five samples: where they all agree they are right, where three do they often are not."""
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        is_easy = generator.random() < 0.6
        answers = ["7"] * 5 if is_easy else ["7", "7", "7", "1", "2"]
        gold = "7" if is_easy or generator.random() > wrong else "8"
        samples = [
            {"text": f"\\boxed{{{answer}}} ({place})", "model": model} for place, answer in enumerate(answers)
        ]
        generator.shuffle(samples)
        rows.append(
            {"id": f"q{number}", "question": f"Question {seed} {number}?", "answer": gold, "samples": samples}
        )
    write_rows(path, rows)
    return path


@pytest.fixture
def certificate(tmp_path: Path, run: Run) -> Path:
    output = tmp_path / "certificate.json"
    code, _, err = run("certify", sets(tmp_path / "labelled.jsonl", 300), "--risk", 0.05, "--output", output)
    assert code == 0, err
    return output


def test_the_certificate_says_what_it_promises_and_for_what(certificate: Path):
    values = json.loads(certificate.read_text())
    assert (values["aggregator"], values["k"], values["answer_kind"]) == ("majority_vote", 5, "maths")
    assert values["models"] == ["stub"]
    assert (values["risk"], values["confidence"], values["n"], values["wrong"]) == (0.05, 0.95, 300, 0)
    assert values["threshold"] == pytest.approx(0.6)
    assert 150 < values["answered"] < 210


def test_the_command_prints_the_promise_in_words(tmp_path: Path, run: Run):
    labelled = sets(tmp_path / "labelled.jsonl", 300)
    code, out, err = run("certify", labelled, "--risk", 0.05, "--output", tmp_path / "c.json")
    assert code == 0
    assert "Answers with a confidence above 0.600 are given" in out
    assert "With 95% confidence, at most 5.0% of the answers given are wrong." in out
    assert "sampleset aggregate" in err


def test_aggregate_withholds_what_is_not_above_the_threshold(certificate: Path, tmp_path: Path, run: Run):
    fresh = sets(tmp_path / "fresh.jsonl", 40, seed=1)
    code, out, err = run("aggregate", fresh, "--certificate", certificate)
    assert code == 0, err
    answers = [json.loads(line) for line in out.splitlines()]
    for row in answers:
        is_sure = max(one["votes"] for one in row["candidates"]) == 5
        assert row["answer"] == ("7" if is_sure else None)
        assert ("low_confidence" in row["flags"]) == (not is_sure)


def test_evaluate_measures_a_certified_aggregator(certificate: Path, tmp_path: Path, run: Run):
    fresh = sets(tmp_path / "fresh.jsonl", 40, seed=1)
    spec = f"majority_vote:certificate={certificate}"
    assert run("evaluate", fresh, "-k", 5, "--aggregator", spec, "--output-dir", tmp_path / "report")[0] == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(
            ("--aggregator", "first_sample"), "the aggregator, or its model, is another", id="aggregator"
        ),
        pytest.param(("--aggregator", "majority_vote:ties=first"), "is another", id="an option of it"),
    ],
)
def test_a_certificate_of_another_aggregator_is_void(
    options: tuple[str, ...], says: str, certificate: Path, tmp_path: Path, run: Run
):
    code, out, err = run("aggregate", sets(tmp_path / "f.jsonl", 4), "--certificate", certificate, *options)
    assert (code, out) == (2, "")
    assert "The certificate is void" in err
    assert says in err


@pytest.mark.parametrize(
    ("k", "model", "says"),
    [(4, "stub", "k=5 samples, and there are 4"), (5, "other", "of stub, and they are of other")],
)
def test_sets_of_another_size_or_model_are_withheld_and_said(
    k: int,
    model: str,
    says: str,
    certificate: Path,
    tmp_path: Path,
    run: Run,
    caplog: pytest.LogCaptureFixture,
):
    fresh = sets(tmp_path / "fresh.jsonl", 3, model=model)
    with caplog.at_level(logging.WARNING):
        code, out, _ = run("aggregate", fresh, "-k", k, "--certificate", certificate)
    assert code == 0
    for line in out.splitlines():
        assert json.loads(line)["answer"] is None
        assert "certificate_void" in json.loads(line)["flags"]
    assert says in caplog.text


def test_confidences_that_have_drifted_are_flagged_and_said_once(
    certificate: Path, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
):
    rows = []
    for number in range(120):
        samples = [f"\\boxed{{{answer}}}" for answer in (1, 2, 3, 4, number + 5)]
        rows.append({"id": f"d{number}", "question": f"Another {number}?", "samples": samples})
    write_rows(tmp_path / "drift.jsonl", rows)
    with caplog.at_level(logging.WARNING):
        code, out, _ = run("aggregate", tmp_path / "drift.jsonl", "--certificate", certificate)
    assert code == 0
    assert "drifted" in json.loads(out.splitlines()[-1])["flags"]
    assert "drifted" not in json.loads(out.splitlines()[0])["flags"]
    assert caplog.text.count("no longer look like those that were certified") == 1


def test_answer_acts_on_a_certificate(certificate: Path, tmp_path: Path, run: Run):
    for name, texts in (("sure", ["\\boxed{7}"] * 5), ("unsure", ["7", "7", "7", "1", "2"])):
        samples = [{"text": text if "box" in text else f"\\boxed{{{text}}}"} for text in texts]
        write_rows(
            tmp_path / f"{name}.jsonl", [{"id": name, "question": "Sum?", "answer": "7", "samples": samples}]
        )
    values = json.loads(certificate.read_text())
    certificate.write_text(json.dumps({**values, "models": []}))
    ask = ("answer", "Sum?", "--certificate", certificate, "-k", 5, "--model")
    code, out, err = run(*ask, f"replay:{tmp_path / 'sure.jsonl'}")
    assert (code, out) == (0, "7\n"), err
    code, out, err = run(*ask, f"replay:{tmp_path / 'unsure.jsonl'}")
    assert (code, out) == (1, "(no answer)\n")
    assert "not above the certificate's threshold" in err
    code, out, err = run("answer", "Sum?", "--certificate", certificate, "-k", 4, "--model", "replay:x")
    assert (code, out) == (2, "")
    assert "k=5 samples, and there are 4" in err


@pytest.mark.parametrize(
    ("count", "wrong", "says"),
    [(50, 0.3, "are too few for a risk of 0.05"), (300, 1.0, None), (0, 0.0, "gold answer")],
)
def test_what_cannot_be_promised_is_refused(
    count: int, wrong: float, says: str | None, tmp_path: Path, run: Run
):
    path = sets(tmp_path / "labelled.jsonl", count or 5, wrong=wrong)
    if not count:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_rows(path, [{name: value for name, value in row.items() if name != "answer"} for row in rows])
    if says is None:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_rows(path, [{**row, "answer": "8"} for row in rows])
        says = "No threshold keeps the risk"
    code, out, err = run("certify", path, "--risk", 0.05, "--output", tmp_path / "c.json")
    assert (code, out) == (2, "")
    assert says in err
    assert not (tmp_path / "c.json").exists()


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, run: Run):
    (tmp_path / "c.json").write_text('{"kind": "other"}')
    fresh = sets(tmp_path / "fresh.jsonl", 3)
    code, _, err = run("aggregate", fresh, "--certificate", tmp_path / "c.json")
    assert code == 2
    assert "is no certificate" in err
    code, _, err = run("aggregate", fresh, "--certificate", tmp_path / "nosuch.json")
    assert code == 2
    assert "No certificate" in err


def with_field(path: Path, name: str, value: object, of: range) -> Path:
    """The sets of a file, some of them with another field, or cut to so many samples."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number in of:
        if name == "stopped":
            rows[number] |= {"stopped": "beta:0.95", "samples": rows[number]["samples"][:3]}
        else:
            rows[number][name] = value
    write_rows(path, rows)
    return path


def test_the_prompt_is_part_of_the_certificate_and_another_voids_it(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
):
    labelled = with_field(sets(tmp_path / "l.jsonl", 300), "prompt_version", "solve-1", range(300))
    code, out, err = run("certify", labelled, "--risk", 0.05, "--output", tmp_path / "c.json")
    assert code == 0, err
    assert "the prompt solve-1." in out
    assert json.loads((tmp_path / "c.json").read_text())["prompt"] == "solve-1"
    fresh = with_field(sets(tmp_path / "f.jsonl", 2, seed=1), "prompt_version", "solve-2", range(1, 2))
    with caplog.at_level(logging.WARNING):
        code, out, _ = run("aggregate", fresh, "--certificate", tmp_path / "c.json")
    flags = [json.loads(line)["flags"] for line in out.splitlines()]
    assert ["certificate_void" in each for each in flags] == [False, True]
    assert "it is of the prompt 'solve-1', and they are asked with 'solve-2'" in caplog.text


def test_sets_of_two_prompts_are_not_certified_together(tmp_path: Path, run: Run):
    labelled = with_field(sets(tmp_path / "l.jsonl", 300), "prompt_version", "solve-1", range(9))
    code, _, err = run("certify", labelled, "--output", tmp_path / "c.json")
    assert code == 2
    assert "have the prompts none that is recorded, solve-1; certify each by itself" in err


def test_sets_that_were_stopped_early_are_not_taken_for_whole(tmp_path: Path, run: Run):
    labelled = with_field(sets(tmp_path / "l.jsonl", 300), "stopped", None, range(20))
    code, _, err = run("certify", labelled, "--risk", 0.05, "--output", tmp_path / "c.json")
    assert code == 2
    assert "20 of 300 sets were stopped early and have fewer than 5 samples" in err
    assert "read -k 3 of each" in err


def pair(folder: Path, count: int, *, seed: int = 0) -> tuple[Path, Path]:
    """Sets of a small model, and of a larger one on the same questions: right on most of the hard ones."""
    first = sets(folder / f"small{seed}.jsonl", count, seed=seed)
    generator = random.Random(seed + 100)
    rows = []
    for line in first.read_text().splitlines():
        row = json.loads(line)
        is_sure = generator.random() < 0.7
        wrong = "8" if row["answer"] == "7" else "7"
        texts = [row["answer"]] * 3 if is_sure else [wrong, wrong, row["answer"]]
        samples = [
            {"text": f"\\boxed{{{text}}} ({place})", "model": "large"} for place, text in enumerate(texts)
        ]
        rows.append({**row, "samples": samples})
    write_rows(folder / f"large{seed}.jsonl", rows)
    return first, folder / f"large{seed}.jsonl"


def test_a_later_step_is_certified_on_what_the_earlier_one_leaves(
    certificate: Path, tmp_path: Path, run: Run
):
    small, large = pair(tmp_path, 600, seed=5)
    command = ("certify", large, "--after", certificate, "--after-sets", small, "--risk", 0.05)
    code, out, err = run(*command, "--output", tmp_path / "later.json")
    assert code == 0, err
    left = sum(
        len({one["text"][:8] for one in json.loads(row)["samples"]}) > 1
        for row in small.read_text().splitlines()
    )
    assert f"step 1 leaves {left} of 600 questions" in err
    later = json.loads((tmp_path / "later.json").read_text())
    assert (later["n"], later["k"], later["models"]) == (left, 3, ["large"])
    assert later["after"] == read_certificate(certificate).digest
    assert "after the earlier step left them" in out
    assert f"--escalate 'LARGER[certificate={tmp_path / 'later.json'}]'" in err


def test_the_same_labels_for_two_steps_are_said(certificate: Path, tmp_path: Path, run: Run):
    again = sets(tmp_path / "again.jsonl", 300)
    write_rows(tmp_path / "right.jsonl", [
        {**json.loads(line), "samples": [{"text": f"\\boxed{{{json.loads(line)['answer']}}}"}]}
        for line in again.read_text().splitlines()
    ])  # fmt: skip
    code, _, err = run(
        "certify", tmp_path / "right.jsonl", "--after", certificate, "--after-sets", again, "--risk", 0.1,
        "--output", tmp_path / "later.json",
    )  # fmt: skip
    assert code == 0, err
    assert "step 1 was certified on these questions, too" in err


def test_a_certificate_of_a_later_step_is_void_alone(certificate: Path, tmp_path: Path, run: Run):
    small, large = pair(tmp_path, 600, seed=5)
    later = tmp_path / "later.json"
    command = ("certify", large, "--after", certificate, "--after-sets", small, "--risk", 0.05)
    assert run(*command, "--output", later)[0] == 0
    code, out, err = run("aggregate", large, "--certificate", later)
    assert (code, out) == (2, "")
    assert "it is of questions that an earlier step left unanswered" in err
    code, _, err = run("certify", large, "--after", later, "--output", tmp_path / "third.json")
    assert code == 2
    assert "an earlier step left unanswered" in err


def test_a_report_is_certified_like_its_sets(certificate: Path, tmp_path: Path, run: Run):
    labelled = tmp_path / "labelled.jsonl"
    report = tmp_path / "report"
    methods = ("--aggregator", "first_sample", "--aggregator", "majority_vote")
    assert run("evaluate", labelled, "-k", 5, *methods, "--output-dir", report)[0] == 0
    code, out, err = run("certify", report, "--risk", 0.05, "--output", tmp_path / "other.json")
    assert code == 0, err
    assert "Answers with a confidence above 0.600 are given" in out
    assert json.loads((tmp_path / "other.json").read_text()) == json.loads(certificate.read_text())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--aggregator", "first_sample"), "'first_sample' states no confidence"),
        (("--aggregator", "ssa"), "has no method 'ssa'. It has: first_sample, majority_vote"),
        (("-k", 3), "A report is certified alone"),
    ],
)
def test_what_a_report_cannot_certify_is_refused(
    options: tuple[object, ...], says: str, tmp_path: Path, run: Run
):
    labelled, report = sets(tmp_path / "l.jsonl", 80), tmp_path / "report"
    assert run("evaluate", labelled, "-k", 5, "--aggregator", "first_sample", "--output-dir", report)[0] == 0
    code, _, err = run("certify", report, *options, "--output", tmp_path / "c.json")
    assert code == 2
    assert says in err


def test_a_report_without_what_a_certificate_names_is_refused(tmp_path: Path, run: Run):
    labelled, report = sets(tmp_path / "l.jsonl", 80), tmp_path / "report"
    assert run("evaluate", labelled, "-k", 5, "--aggregator", "majority_vote", "--output-dir", report)[0] == 0
    rows = [json.loads(line) for line in (report / "questions.jsonl").read_text().splitlines()]
    write_rows(report / "questions.jsonl", [{k: v for k, v in row.items() if k != "models"} for row in rows])
    code, _, err = run("certify", report, "--output", tmp_path / "c.json")
    assert code == 2
    assert "was made by an older version" in err
