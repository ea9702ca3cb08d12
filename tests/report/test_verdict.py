import json
from pathlib import Path
from typing import Any

import pytest

from sampleset.report.verdict import Verdict, verdict_lines, verdict_markdown, verdict_of
from sampleset.storage.files import write_rows
from sampleset.training.export.model_card import model_card
from support.command_line import Run

METHOD, FREE = "best_of_n:by=m_scores", {"learned_vote": "weighted_vote:by=f_scores"}


def judged(run: Run, folder: Path, kinds: list[str]) -> Verdict:
    """The verdict on sets of the kinds: who is right, `v` the vote, `m` the method, `f` the free one."""
    rows: list[dict[str, Any]] = []
    for number, right in enumerate(kinds):
        # Two samples say 1, one says 2: the vote takes 1, and each method what its scores say.
        gold = "1" if "v" in right else "2"
        scores = {
            name: [1.0, 1.0, 0.0] if (gold == "1") == (letter in right) else [0.0, 0.0, 1.0]
            for name, letter in (("m_scores", "m"), ("f_scores", "f"))
        }
        texts = ["\\boxed{1}", "\\boxed{1} .", "\\boxed{2}"]
        rows.append(
            {"id": f"q{number}", "question": f"Q{number}?", "answer": gold, "samples": texts, **scores}
        )
    write_rows(folder / "sets.jsonl", rows)
    options = [part for label in (METHOD, *FREE.values()) for part in ("--aggregator", label)]
    code, _, err = run("evaluate", folder / "sets.jsonl", *options, "--output-dir", folder / "report", "-q")
    assert code == 0, err
    return verdict_of(folder / "report", METHOD, FREE)


def test_a_method_that_is_shown_to_be_better_is_recommended(run: Run, tmp_path: Path):
    verdict = judged(run, tmp_path, ["m"] * 20 + ["vmf"] * 40 + [""] * 10)
    assert verdict.is_recommended
    assert (verdict.questions, verdict.k, verdict.right) == (70, 3, pytest.approx(60 / 70))
    over_vote, over_free = verdict.leads
    assert (over_vote.over, over_vote.mended, over_vote.spoilt) == ("majority_vote", 20, 0)
    assert over_vote.difference == pytest.approx(20 / 70)
    assert over_free.over == "learned_vote"
    assert verdict.sentence.startswith("Use best_of_n: +28.6 (")
    assert "above learned_vote as well" in verdict.sentence
    assert verdict.questions_wanted is None


def test_a_gain_that_is_not_clear_of_zero_is_refused_and_what_would_show_it_is_said(run: Run, tmp_path: Path):
    verdict = judged(run, tmp_path, ["m"] * 5 + ["vf"] * 2 + ["vmf"] * 53)
    assert not verdict.is_recommended
    assert verdict.recommended == "majority_vote"
    assert verdict.leads[0].interval.low < 0 < verdict.leads[0].difference
    assert verdict.questions_wanted is not None
    assert verdict.questions_wanted > 60
    assert "not recommended" in verdict.sentence
    assert "test questions would show a gain of this size" in verdict.sentence
    assert verdict.sentence.endswith("Use majority_vote.")


def test_a_method_that_is_no_better_than_a_free_one_is_refused_for_that(run: Run, tmp_path: Path):
    verdict = judged(run, tmp_path, ["mf"] * 20 + ["m"] * 2 + ["f"] * 2 + ["vmf"] * 40)
    assert verdict.leads[0].is_shown
    assert verdict.recommended == "learned_vote"
    assert verdict.sentence.endswith("Use learned_vote.")


def test_a_method_that_is_better_than_a_free_one_that_gains_is_recommended(run: Run, tmp_path: Path):
    verdict = judged(run, tmp_path, ["mf"] * 20 + ["m"] * 20 + ["vmf"] * 40)
    assert verdict.free_leads[0].is_shown
    assert verdict.is_recommended


def test_a_method_that_loses_is_called_worse(run: Run, tmp_path: Path):
    verdict = judged(run, tmp_path, ["vf"] * 20 + ["vmf"] * 40)
    assert verdict.recommended == "majority_vote"
    assert "it is worse" in verdict.sentence
    assert verdict.questions_wanted is None


def test_a_method_that_changes_nothing_is_refused(run: Run, tmp_path: Path):
    verdict = judged(run, tmp_path, ["vmf"] * 30)
    assert verdict.recommended == "majority_vote"
    assert verdict.questions_wanted is None
    assert verdict.sentence.endswith("Use majority_vote.")


def test_a_verdict_says_where_the_method_is_better(run: Run, tmp_path: Path):
    verdict = judged(run, tmp_path, ["m"] * 20 + ["vmf"] * 40)
    (part,) = verdict.parts  # two of three samples agree everywhere
    assert (part.name, part.questions, part.lead.mended) == ("the vote has a majority", 60, 20)
    lines = verdict_lines(verdict)
    assert any("the vote has a majority (60 questions): +33.3" in line for line in lines)
    assert lines[-1] == verdict.sentence
    assert "| majority\\_vote |" in verdict_markdown(verdict) or "| majority_vote |" in verdict_markdown(
        verdict
    )


@pytest.mark.parametrize(
    ("kinds", "heading"), [(["m"] * 20, "## Recommended"), (["vmf"] * 20, "## Not recom")]
)
def test_the_card_of_an_aggregator_says_whether_it_is_recommended(
    run: Run, tmp_path: Path, kinds: list[str], heading: str
):
    verdict = json.loads(json.dumps(judged(run, tmp_path, kinds).to_json()))
    record = {"base_model": "tiny@12345678", "mode": "select", "prompt_version": "aggregate-1"}
    card = model_card(record | {"verdict": verdict})
    assert heading in card
    assert verdict["sentence"] in card
    assert "ecommended" not in model_card(record)
