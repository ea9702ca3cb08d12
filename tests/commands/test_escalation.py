"""Escalation in `aggregate` and `answer`: steps under certificates, then one without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.aggregators.weighted_vote import WeightedVote
from sampleset.risk.certificate import Certificate, read_certificate
from sampleset.specs import identity_of
from sampleset.storage.files import write_rows
from support.command_line import Run

METHODS = {"majority_vote": MajorityVote(), "weighted_vote": WeightedVote()}
SURE, HALF, UNSURE = ["7"] * 5, ["7", "7", "7", "1", "2"], ["1", "2", "3", "4", "5"]
QUESTION = "What is 3 + 4?"


def certificate(path: Path, **changes: Any) -> Path:
    """A certificate of a vote over the first three samples of a set."""
    name = changes.get("aggregator", "majority_vote")
    values: dict[str, Any] = {
        "aggregator": name, "identity": identity_of(METHODS[name]), "models": (), "prompt": None, "k": 3,
        "answer_kind": "maths", "keep_thinking": False, "threshold": 0.7, "risk": 0.05, "confidence": 0.95,
        "n": 300, "answered": 200, "wrong": 2, "files": ("labels",), "data": "0",
        "reference": (0.25,) * 20 + (0.5,) * 30 + (1.0,) * 50,
    }  # fmt: skip
    Certificate(**{**values, **changes}).save(path)
    return path


def chain(folder: Path, **later: Any) -> tuple[Path, Path]:
    """A certificate, and one of the step after it: five samples, more than half of them alike."""
    first = certificate(folder / "first.json")
    after = read_certificate(first).digest
    return first, certificate(folder / "later.json", **{"k": 5, "threshold": 0.5, "after": after, **later})


def stored(path: Path, *sets: list[str]) -> Path:
    rows = [
        {"id": f"q{number}", "question": QUESTION if len(sets) == 1 else f"Question {number}?",
         "samples": [{"text": f"It is \\boxed{{{text}}}."} for text in texts]}
        for number, texts in enumerate(sets)
    ]  # fmt: skip
    write_rows(path, rows)
    return path


def test_aggregate_asks_the_next_step_where_the_first_is_unsure(tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    store = stored(tmp_path / "sets.jsonl", SURE, ["1", "7", "7", "7", "7"], UNSURE)
    code, out, err = run("aggregate", store, "--certificate", first, "--escalate", f"[certificate={later}]")
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    promises = [row["explanation"]["promise"] for row in rows]
    assert [row["answer"] for row in rows] == ["7", "7", None]
    assert [promise["decision"] for promise in promises] == ["answered", "escalated", "abstained"]
    assert promises[0]["why"] == "the confidence of 1.000 is above 0.700"
    assert promises[1]["why"] == "step 2 (majority_vote): the confidence of 0.800 is above 0.500"
    assert [step["decision"] for step in promises[1]["steps"]] == ["escalated", "answered"]
    assert promises[1]["risk"] == 0.05
    assert "low_confidence" in rows[2]["flags"]
    assert [step["decision"] for step in promises[2]["steps"]] == ["escalated", "abstained"]


def test_a_last_step_without_a_certificate_answers_and_says_so(tmp_path: Path, run: Run):
    first, _ = chain(tmp_path)
    store = stored(tmp_path / "sets.jsonl", UNSURE, UNSURE)
    code, out, err = run(
        "aggregate", store, "--certificate", first, "--escalate", "[aggregator=first_sample,k=5]",
        "--output-dir", tmp_path / "answers", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["escalated"] == 2
    row = json.loads((tmp_path / "answers" / "answers.jsonl").read_text().splitlines()[0])
    promise = row["explanation"]["promise"]
    assert (row["answer"], promise["decision"], promise["certified"]) == ("1", "escalated", False)
    assert "without a certificate: nothing is promised of its errors" in promise["why"]
    assert "risk" not in promise


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (["[k=5]", "[certificate=LATER]"], "Step 2 has no certificate, and step 3 after it has one"),
        (["[certificate=FIRST]"], "The certificate of step 2 is void: it was not made after that of step 1"),
        (["[k=5]", "[k=5]"], "step 2 says of no answer that it is unsure"),
        (["larger[k=5]"], "names a model, and sets are aggregated without drawing"),
        (["[certificate=LATER,k=4]"], "it is of k=5 samples, and there are 4"),
        (["[certificate=LATER,aggregator=weighted_vote]"], "the aggregator, or its model, is another"),
        (["replay:x[kk=5]"], "unknown key 'kk'"),
        (["[k=0]"], "k=0 must be at least 1"),
        (["[min_confidence=2]"], "min_confidence=2.0 must lie between 0 and 1"),
        (["replay:x[count=3]"], "write k=3"),
        (["[temperature=1.0]"], "temperature is of a model, and none is named"),
        (["[k=5"], "is no step"),
        ([""], "is no step"),
        (["[k=9]"], "k=9 must lie between 1 and 5"),
    ],
)
def test_steps_that_do_not_belong_together_are_refused(steps: list[str], says: str, tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    store = stored(tmp_path / "sets.jsonl", SURE, UNSURE)
    texts = [step.replace("FIRST", str(first)).replace("LATER", str(later)) for step in steps]
    options = [part for text in texts for part in ("--escalate", text)]
    if any("k=5" in text for text in steps[:1]) and len(steps) == 2 and "LATER" in steps[1]:
        options[1] = "[k=5,min_confidence=0.5]"
    code, out, err = run("aggregate", store, "--certificate", first, *options)
    assert (code, out) == (2, "")
    assert says in err


def test_escalation_without_any_threshold_is_refused(tmp_path: Path, run: Run):
    store = stored(tmp_path / "sets.jsonl", SURE)
    code, _, err = run("aggregate", store, "--escalate", "[k=5]")
    assert code == 2
    assert "step 1 says of no answer that it is unsure" in err


def answer(run: Run, folder: Path, *options: object, first: list[str] = HALF) -> tuple[int, str, str]:
    store = stored(folder / "small.jsonl", first)
    return run("answer", QUESTION, "--model", f"replay:{store}", "-k", 3, *options)


def test_answer_draws_from_a_larger_model_where_it_is_unsure(tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    larger = f"replay:{stored(tmp_path / 'large.jsonl', SURE)}[certificate={later}]"
    ask = ("--certificate", first, "--escalate", larger)
    code, out, err = answer(run, tmp_path, *ask, "--json", first=UNSURE)
    assert code == 0, err
    row = json.loads(out)
    promise = row["explanation"]["promise"]
    assert (row["answer"], promise["decision"]) == ("7", "escalated")
    assert [step["name"] for step in promise["steps"]] == [
        f"3 samples of replay:{tmp_path / 'small.jsonl'}, majority_vote",
        f"5 samples of replay:{tmp_path / 'large.jsonl'}, majority_vote",
    ]
    assert row["usage"]["sampling"]["calls"] == 8
    code, out, err = answer(run, tmp_path, *ask, first=SURE)
    assert (code, out) == (0, "7\n"), err
    code, out, err = answer(run, tmp_path, *ask, "--show", first=UNSURE)
    assert "escalated: step 2 (" in out
    assert "step 1 does not answer, the confidence of 0.333 is not above 0.700" in err


def test_more_samples_of_the_same_model_are_drawn_once(tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    ask = ("--certificate", first, "--escalate", f"[certificate={later}]", "--json")
    code, out, err = answer(run, tmp_path, *ask, first=["1", "7", "7", "7", "7"])
    assert code == 0, err
    row = json.loads(out)
    assert (row["answer"], row["usage"]["sampling"]["calls"], len(row["samples"])) == ("7", 5, 5)


@pytest.mark.parametrize("promised", [True, False])
def test_a_step_that_is_down_abstains_and_never_guesses(promised: bool, tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    down = f"large[base_url=http://127.0.0.1:9/v1{f',certificate={later}' if promised else ''}]"
    steps = ("--escalate", down, "--escalate", f"replay:{stored(tmp_path / 'l.jsonl', SURE)}")
    if not promised:
        steps = ("--escalate", down.replace("]", ",min_confidence=0.1]"), *steps[2:])
    ask = ("--certificate", first, *steps, "--max-retries", 0)
    code, out, err = answer(run, tmp_path, *ask, first=UNSURE)
    assert (code, out) == (1, "(no answer)\n")
    assert "step 2 (" in err
    assert "it failed, and no later step may answer in its place" in err
    code, out, _ = answer(run, tmp_path, *ask, "--json", first=UNSURE)
    row = json.loads(out)
    assert row["answer"] is None
    assert "step_failed" in row["flags"]
    assert len(row["explanation"]["promise"]["steps"]) == 2


def test_a_first_step_that_is_down_is_an_error(tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    code, out, _ = run(
        "answer", QUESTION, "--model", "small", "--base-url", "http://127.0.0.1:9/v1", "-k", 3,
        "--max-retries", 0, "--certificate", first,
        "--escalate", f"replay:{stored(tmp_path / 'l.jsonl', SURE)}[certificate={later}]",
    )  # fmt: skip
    assert code != 0
    assert out == ""


def test_a_cap_on_a_question_is_refused_with_steps(tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    ask = ("--certificate", first, "--escalate", f"[certificate={later}]", "--max-question-tokens", 900)
    code, _, err = answer(run, tmp_path, *ask)
    assert code == 2
    assert "there is one question. Give --max-total-tokens" in err


def test_a_run_cap_holds_for_all_steps_together(tmp_path: Path, run: Run):
    first, later = chain(tmp_path)
    larger = f"replay:{stored(tmp_path / 'large.jsonl', SURE)}[certificate={later}]"
    ask = ("--certificate", first, "--escalate", larger, "--max-total-tokens", 3000, "--json")
    _, out, _ = answer(run, tmp_path, *ask, first=UNSURE)
    row = json.loads(out)
    usage = row["usage"]["sampling"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] <= 3000
    assert row["answer"] in (None, "7")


def test_a_certificate_of_a_later_step_answers_nothing_alone(tmp_path: Path, run: Run):
    _, later = chain(tmp_path)
    store = stored(tmp_path / "small.jsonl", SURE)
    code, out, err = run("answer", QUESTION, "--model", f"replay:{store}", "-k", 5, "--certificate", later)
    assert (code, out) == (2, "")
    assert "an earlier step left unanswered" in err


def labels(path: Path, count: int) -> Path:
    """Labelled sets: every second is unsure, and then wrong as often as not."""
    rows = []
    for number in range(count):
        texts = SURE if number % 2 else HALF
        gold = "7" if number % 2 or number % 4 else "8"
        samples = [{"text": f"\\boxed{{{text}}} {place}"} for place, text in enumerate(texts)]
        rows.append({"id": f"l{number}", "question": f"Label {number}?", "answer": gold, "samples": samples})
    write_rows(path, rows)
    return path


def test_aggregate_certifies_and_acts_in_one_go(tmp_path: Path, run: Run):
    store, file = stored(tmp_path / "sets.jsonl", SURE, HALF), labels(tmp_path / "labels.jsonl", 200)
    code, out, err = run(
        "aggregate", store, "--risk", 0.05, "--labelled", file, "--output-dir", tmp_path / "answers", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["abstained"] == 1
    assert "certified on 200 labelled questions" in err
    made = read_certificate(tmp_path / "answers" / "certificate.json")
    assert run("certify", file, "--risk", 0.05, "--output", tmp_path / "c.json")[0] == 0
    assert made == read_certificate(tmp_path / "c.json")


def test_answer_certifies_and_acts_in_one_go(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SAMPLESET_CACHE", str(tmp_path / "cache"))
    file = labels(tmp_path / "labels.jsonl", 200)
    for texts, wanted in ((SURE, (0, "7\n")), (HALF, (1, "(no answer)\n"))):
        store = stored(tmp_path / "small.jsonl", texts)
        code, out, err = run(
            "answer", QUESTION, "--model", f"replay:{store}", "-k", 5, "--risk", 0.05, "--labelled", file
        )
        assert (code, out) == wanted, err
    assert len(list((tmp_path / "cache" / "certificates").glob("*.json"))) == 1


def test_too_few_labels_say_how_many_it_takes(tmp_path: Path, run: Run):
    store, file = stored(tmp_path / "sets.jsonl", SURE), labels(tmp_path / "labels.jsonl", 40)
    code, out, err = run("aggregate", store, "--risk", 0.05, "--labelled", file)
    assert (code, out) == (2, "")
    assert "it takes 80 answered ones if none of them is wrong" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--risk", 0.05), "--risk and --labelled go together"),
        (("--labelled", "x.jsonl"), "--risk and --labelled go together"),
        (("--risk", 0.05, "--labelled", "x.jsonl", "--certificate", "c.json"), "not both"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: tuple[object, ...], says: str, tmp_path: Path, run: Run
):
    code, out, err = run("aggregate", stored(tmp_path / "sets.jsonl", SURE), *options)
    assert (code, out) == (2, "")
    assert says in err


def test_the_digest_of_a_certificate_is_that_of_its_file(tmp_path: Path):
    made = read_certificate(certificate(tmp_path / "c.json"))
    made.save(tmp_path / "again.json")
    assert read_certificate(tmp_path / "again.json").digest == made.digest
    assert replace(made, threshold=0.71).digest != made.digest
