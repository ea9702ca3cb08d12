"""`fit-auto` writes rules that `auto` takes, and `worth` tests a method against the vote."""

from __future__ import annotations

import json
from pathlib import Path

from sampleset.storage.files import write_rows
from support.command_line import Run


def labelled(path: Path, count: int = 60) -> str:
    """Sets on which the vote is wrong and token confidence right, whenever the samples differ."""
    rows = []
    for number in range(count):
        sure = {"text": "\\boxed{1}", "logprobs": {"mean": -0.01, "min_window": -0.01}}
        unsure = {"text": "\\boxed{2}", "logprobs": {"mean": -3.0, "min_window": -3.0}}
        samples = [sure, unsure, unsure] if number % 2 else [sure] * 3
        tokens = {"prompt_tokens": 10, "completion_tokens": 5}
        listed = [{"index": index, **tokens, **sample} for index, sample in enumerate(samples)]
        rows.append({"id": str(number), "question": f"What is {number}?", "answer": "1", "samples": listed})
    write_rows(path, rows)
    return str(path)


def test_rules_are_learned_used_and_tested(run: Run, tmp_path: Path):
    sets, rules = labelled(tmp_path / "sets.jsonl"), str(tmp_path / "auto.json")
    code, out, _ = run("fit-auto", sets, "--output", rules)
    assert code == 0
    assert "60 labelled questions" in out
    content = json.loads(Path(rules).read_text())
    assert [rule["method"] for rule in content["rules"] if not rule["confidence_agrees"]] == ["weighted"]
    code, out, _ = run("aggregate", sets, "--aggregator", f"auto:file={rules}")
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["answer"] for row in rows} == {"1"}
    assert [row["explanation"]["method"] for row in rows[:2]] == ["vote", "weighted"]
    code, out, _ = run("worth", sets, "--aggregator", f"auto:file={rules}", "--json")
    assert code == 0
    (worth,) = json.loads(out).values()
    assert (worth["verdict"], worth["better"], worth["worse"]) == ("yes", 30, 0)
    assert worth["against"] == "the vote at the same spend"


def test_few_labels_and_other_aggregators_are_refused(run: Run, tmp_path: Path):
    sets = labelled(tmp_path / "sets.jsonl", 10)
    output = ("--output", str(tmp_path / "auto.json"))
    code, _, err = run("fit-auto", sets, *output)
    assert (code, "10 labelled questions are too few" in err) == (2, True)
    code, _, err = run("fit-auto", sets, "--aggregator", "majority_vote", *output)
    assert (code, "must be auto:OPTIONS" in err) == (2, True)
    code, _, err = run("worth", str(tmp_path / "none.jsonl"))
    assert (code, "Give a feedback file, or sample sets" in err) == (2, True)
