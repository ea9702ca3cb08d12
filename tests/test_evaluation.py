from pathlib import Path

import pytest

from sampleset.aggregators.first_sample import FirstSample
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.aggregators.universal_self_consistency import UniversalSelfConsistency
from sampleset.backends.replay import ReplayBackend
from sampleset.errors import (
    AuthenticationError,
    BackendError,
    DataError,
    InvalidArgumentError,
    MissingGoldError,
    TransientBackendError,
)
from sampleset.evaluation import AnswerLog, evaluate
from sampleset.records import StoredSet, stored_set_from_row
from sampleset.storage import JsonlLog
from sampleset.types import Usage


def stored(*rows: tuple[str | None, list[str]]) -> list[StoredSet]:
    return [
        stored_set_from_row(
            {
                "id": f"q{number}",
                "question": "?",
                **({"answer": gold} if gold else {}),
                "samples": [f"\\boxed{{{answer}}}" if answer else "no idea" for answer in answers],
            },
            number,
        )
        for number, (gold, answers) in enumerate(rows)
    ]


VOTES = {"majority_vote": MajorityVote(), "first_sample": FirstSample()}
SETS = stored(
    ("7", ["7", "8", "7"]),  # vote right, first right
    ("1", ["1", "2", "2"]),  # vote wrong, first right: mended by the first sample
    ("4", ["3", "4", "4"]),  # vote right, first wrong: spoilt by the first sample
    ("9", ["5", "5", "6"]),  # all wrong
    ("2", ["", "2", "2"]),  # first abstains: spoilt
)


async def test_figures_of_five_worked_problems():
    result = await evaluate("sets", SETS, VOTES)
    vote, first = result.methods
    assert (vote.accuracy, vote.mended, vote.spoilt, vote.p_value) == (3 / 5, 0, 0, 1.0)
    assert (first.accuracy, first.mended, first.spoilt, first.abstained) == (2 / 5, 1, 2, 1)
    assert first.difference == pytest.approx(-1 / 5)
    assert first.difference_interval.low < first.difference < first.difference_interval.high
    assert result.oracle == pytest.approx(4 / 5)
    assert result.sample_accuracy == pytest.approx((2 / 3 + 1 / 3 + 2 / 3 + 0 + 2 / 3) / 5)
    assert (result.k, result.problems, result.without_gold) == (3, 5, 0)


async def test_every_question_is_kept_with_what_each_method_made_of_it():
    result = await evaluate("sets", SETS, VOTES)
    one = result.questions[1]
    assert (one.id, one.gold, one.sample_answers) == ("q1", "1", ("1", "2", "2"))
    assert one.sample_right == (True, False, False)
    assert one.answers == {"majority_vote": "2", "first_sample": "1"}
    assert one.right == {"majority_vote": False, "first_sample": True}


async def test_k_takes_the_first_samples():
    result = await evaluate("sets", SETS, VOTES, k=1)
    assert result.k == 1
    assert result.methods[0].accuracy == result.methods[1].accuracy == 2 / 5


async def test_sets_of_unequal_size_are_read_up_to_the_smallest():
    sets = stored(("7", ["7", "8"]), ("7", ["7", "8", "8"]))
    assert (await evaluate("sets", sets, VOTES)).k == 2


async def test_problems_without_gold_are_left_out_and_counted():
    sets = stored(("7", ["7"]), (None, ["7"]))
    result = await evaluate("sets", sets, VOTES)
    assert (result.problems, result.without_gold) == (1, 1)


async def test_no_gold_at_all_is_an_error():
    with pytest.raises(MissingGoldError, match="none of the 1 sample sets has a gold answer"):
        await evaluate("sets", stored((None, ["7"])), VOTES)


async def test_no_sets_are_an_error():
    with pytest.raises(DataError, match="no sample sets"):
        await evaluate("sets", [], VOTES)


async def test_k_above_a_set_names_the_question_and_the_remedy():
    with pytest.raises(InvalidArgumentError, match=r"k=4 is above the 3 samples of question .q0.\. Use -k 3"):
        await evaluate("sets", SETS, VOTES, k=4)


async def test_the_vote_must_be_among_the_methods():
    with pytest.raises(InvalidArgumentError, match="'majority_vote' must be among the methods"):
        await evaluate("sets", SETS, {"first_sample": FirstSample()})


async def test_the_tokens_of_a_method_are_summed():
    backend = ReplayBackend(lambda messages, seed: "Response 1")
    methods = VOTES | {"usc": UniversalSelfConsistency(backend)}
    result = await evaluate("sets", SETS, methods)
    usage = result.methods[2].usage
    assert usage.calls == len(backend.calls) == 4  # the last set is unanimous
    assert usage.prompt_tokens > 0
    assert result.methods[0].usage == Usage()


async def test_a_run_goes_on_where_it_was_killed(tmp_path: Path):
    class Killed(Exception):
        pass

    def dies_at_third(messages, seed):
        return Killed() if len(first.calls) == 3 else "Response 1"

    first = ReplayBackend(dies_at_third)
    methods = VOTES | {"usc": UniversalSelfConsistency(first)}
    with pytest.raises(Killed):
        await evaluate(
            "sets", SETS, methods, log=AnswerLog(JsonlLog(tmp_path / "log.jsonl")), max_concurrency=1
        )
    second = ReplayBackend(lambda messages, seed: "Response 1")
    methods = VOTES | {"usc": UniversalSelfConsistency(second)}
    resumed = await evaluate("sets", SETS, methods, log=AnswerLog(JsonlLog(tmp_path / "log.jsonl")))
    assert len(second.calls) == 2
    whole = await evaluate(
        "sets", SETS, VOTES | {"usc": UniversalSelfConsistency(ReplayBackend(lambda m, s: "Response 1"))}
    )
    assert resumed == whole


async def test_other_options_are_not_taken_from_the_log(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    for calls, seed in ((4, 0), (4, 1), (0, 1)):
        backend = ReplayBackend(lambda messages, seed: "Response 1")
        methods = VOTES | {"usc": UniversalSelfConsistency(backend, seed=seed)}
        await evaluate("sets", SETS, methods, log=AnswerLog(JsonlLog(path)))
        assert len(backend.calls) == calls


async def test_a_set_a_method_fails_on_counts_as_an_abstention(tmp_path: Path):
    def reply(messages, seed):
        return TransientBackendError("busy") if len(backend.calls) == 2 else "Response 1"

    backend = ReplayBackend(reply)
    log = JsonlLog(tmp_path / "log.jsonl")
    methods = VOTES | {"usc": UniversalSelfConsistency(backend)}
    result = await evaluate("sets", SETS, methods, log=AnswerLog(log), max_concurrency=1)
    assert result.methods[2].abstained == 1
    assert result.methods[2].flags["failed"] == 1
    await evaluate("sets", SETS, methods, log=AnswerLog(JsonlLog(log.path)))
    assert len(backend.calls) == 5  # the one that failed was asked again


async def test_a_method_that_fails_everywhere_is_an_error():
    backend = ReplayBackend(lambda messages, seed: TransientBackendError("out of order"))
    with pytest.raises(BackendError, match=r"failed on all 1 sample sets. First: out of order"):
        methods = VOTES | {"usc": UniversalSelfConsistency(backend)}
        await evaluate("sets", SETS[:1], methods)


async def test_a_refused_key_ends_the_evaluation():
    backend = ReplayBackend(lambda messages, seed: AuthenticationError("refused"))
    with pytest.raises(AuthenticationError):
        await evaluate("sets", SETS, VOTES | {"usc": UniversalSelfConsistency(backend)})


def test_a_log_of_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "q", "answer": "7"}\n')
    with pytest.raises(DataError, match=r"no logged answer.*another --output-dir"):
        AnswerLog(JsonlLog(path))
