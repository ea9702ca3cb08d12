import json
from importlib.resources import files
from pathlib import Path

import pytest

from sampleset.aggregators.confident import Confident, withheld_below
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.errors import InvalidArgumentError
from sampleset.specs import build, withholding
from sampleset.types import Answer, Candidate


@pytest.mark.parametrize(
    ("threshold", "answer", "flags"),
    [
        pytest.param(0.6, "1", (), id="sure enough, the threshold itself included"),
        pytest.param(0.61, None, ("low_confidence",), id="below the threshold"),
        pytest.param(0.0, "1", (), id="no threshold"),
    ],
)
async def test_an_answer_below_the_threshold_is_withheld(make_set, threshold, answer, flags):
    given = await Confident(threshold).aggregate(make_set(["1", "1", "1", "2", "3"]))
    assert (given.answer, given.flags) == (answer, flags)
    assert given.confidence == 0.6
    assert [one.votes for one in given.candidates] == [3, 1, 1]


async def test_an_answer_without_a_confidence_is_withheld(make_set):
    given = await build("first_sample:min_confidence=0.1").aggregate(make_set(["1", "2"]))
    assert (given.answer, given.flags) == (None, ("no_confidence",))


async def test_an_abstention_stays_what_it_is(make_set):
    given = await Confident(0.9).aggregate(make_set([None, None]))
    assert (given.answer, given.flags) == (None, ("no_answers",))


@pytest.mark.parametrize(
    ("votes", "flags"), [((3, 1), ("unanimous",)), ((1, 3), ("unanimous", "low_confidence"))]
)
def test_where_the_vote_answers_its_share_is_the_confidence(votes: tuple[int, int], flags: tuple[str, ...]):
    candidates = tuple(Candidate(str(place), count, (place,)) for place, count in enumerate(votes))
    answer = Answer("q", "ssa", "0", candidates=candidates, flags=("unanimous",))
    assert withheld_below(0.7, answer).flags == flags


def test_any_aggregator_takes_a_threshold():
    assert build("majority_vote:ties=first,min_confidence=0.8") == Confident(0.8, MajorityVote(ties="first"))
    assert build("confident:min_confidence=0.8,inner=majority_vote[ties=first]") == Confident(
        0.8, MajorityVote(ties="first")
    )
    assert build(withholding("majority_vote", 0.8)) == build("majority_vote:min_confidence=0.8")
    assert build(withholding("majority_vote:ties=first", 0.8)) == Confident(0.8, MajorityVote(ties="first"))


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan"])
def test_a_threshold_that_is_no_probability_is_refused(value: str):
    with pytest.raises(InvalidArgumentError, match="must lie between 0 and 1"):
        build(f"majority_vote:min_confidence={value}")


def test_aggregate_withholds_what_is_less_sure(run):
    sets = files("sampleset") / "data" / "gsm8k_small8_100.jsonl.gz"
    arguments = ["aggregate", sets, "--limit", 20]
    unsure = [json.loads(line)["confidence"] < 0.9 for line in run(*arguments)[1].splitlines()]
    assert 0 < sum(unsure) < len(unsure) == 20
    rows = [json.loads(line) for line in run(*arguments, "--min-confidence", "0.9")[1].splitlines()]
    assert [row["answer"] is None for row in rows] == unsure
    assert ["low_confidence" in row["flags"] for row in rows] == unsure
    assert all(row["confidence"] for row in rows)
    assert run(*arguments, "--min-confidence", "1.5")[0] == 2


def test_evaluate_takes_a_threshold_in_a_spec(run, tmp_path: Path):
    sets = files("sampleset") / "data" / "gsm8k_small8_100.jsonl.gz"
    code, out, _ = run(
        "evaluate",
        sets,
        "--limit",
        20,
        "--aggregator",
        "majority_vote:min_confidence=0.9",
        "--output-dir",
        tmp_path,
    )
    assert code == 0
    assert "majority_vote:min_confidence=0.9: withheld, being less sure than asked for, are" in " ".join(
        out.split()
    )
