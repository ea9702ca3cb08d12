import json
import re
from pathlib import Path

import pytest

from sampleset.commands.demo import RECORDED, run_demo
from sampleset.specs import parse_spec


@pytest.mark.model
async def test_the_demo_shows_samples_answers_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = await run_demo(tmp_path, limit=2, seed=0, quiet=False)
    shown = capsys.readouterr().out
    for part in ("sample 5", "majority_vote", "right answer: 18", "one sample", "oracle", "report.html"):
        assert part in shown
    assert re.fullmatch(
        r"You saw 5 samples of a question become one answer, and on 2 recorded questions the trained "
        r"aggregator \(ssa\) was right on [\d.]+ % and the majority vote on [\d.]+ %: .+, "
        r"so 2 questions do not tell which is better\.",
        shown.splitlines()[-1],
    )
    assert list(report) == [name for name, _, _ in RECORDED]
    for name, one in report.items():
        (file,) = one["files"]
        assert (file["source"], file["problems"]) == (name, 2)
        assert json.loads((tmp_path / name / "report.json").read_text()) == one
        assert (tmp_path / name / "report.html").exists()


def test_the_recorded_sets_are_read_by_votes_and_by_models():
    names = {parse_spec(spec)[0] for _, _, specs in RECORDED for spec in specs}
    assert {"majority_vote", "llm_aggregator", "ssa"} <= names
