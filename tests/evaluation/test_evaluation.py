from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sampleset.aggregators.best_of_n import BestOfN
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
from sampleset.evaluation import AnswerLog, Evaluation, EvaluationOptions, QuestionResult, evaluate
from sampleset.evaluation.results import MethodResult, Rate
from sampleset.evaluation.totals import ConfidenceTotals
from sampleset.models.prices import Price, Prices
from sampleset.storage.files import JsonlLog
from sampleset.storage.records import StoredSet, stored_set_from_row
from sampleset.types import Answer, SampleSet, Usage


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


async def run(sets: list[StoredSet], methods: Any = VOTES, log: AnswerLog | None = None, **options: Any):
    """The evaluation of one file."""
    return await evaluate({"sets": sets}, methods, EvaluationOptions(**options), log=log)


def method(evaluation: Evaluation, label: str) -> MethodResult:
    """A method at the largest k of the first file."""
    return next(one for one in evaluation.files[0].points[-1].methods if one.label == label)


async def test_figures_of_five_worked_problems():
    result = await run(SETS)
    vote, first = method(result, "majority_vote"), method(result, "first_sample")
    assert (vote.accuracy, vote.mended, vote.spoilt, vote.p_value) == (3 / 5, 0, 0, 1.0)
    assert (first.accuracy, first.mended, first.spoilt, first.abstained) == (2 / 5, 1, 2, 1 / 5)
    assert first.difference == pytest.approx(-1 / 5)
    assert first.difference_interval.low < first.difference < first.difference_interval.high
    assert first.minority_recovery == Rate(1.0, 1.0)  # the second problem
    assert first.all_wrong_recovery == Rate(0.0, 1.0)  # the fourth
    assert first.harm == Rate(pytest.approx(2 / 3), 3.0)  # the third and the last of 1, 3 and 5
    (point,) = result.files[0].points
    assert (point.oracle, point.pass_at_k) == (pytest.approx(4 / 5), pytest.approx(4 / 5))
    assert point.sample_accuracy == pytest.approx((2 / 3 + 1 / 3 + 2 / 3 + 0 + 2 / 3) / 5)
    assert (point.k, point.problems, point.subsets, point.all_subsets) == (3, 5, 1, True)


async def test_small_k_is_averaged_over_all_subsets():
    # 7 8 7: of the pairs 78, 77, 87 the first sample is right in two. Same for the other four:
    # 12 12 22: two; 34 34 44: one; none; (nothing)2 (nothing)2 22: one.
    result = await run(SETS, ks=[2])
    assert method(result, "first_sample").accuracy == pytest.approx((2 + 2 + 1 + 0 + 1) / 15)
    (point,) = result.files[0].points
    assert (point.subsets, point.all_subsets) == (3, True)
    # Pairs with a right sample: 3, 2, 3, 0, 3.
    assert point.oracle == pytest.approx(11 / 15)
    assert point.pass_at_k == pytest.approx(point.oracle)


async def test_subsets_that_are_drawn_are_the_same_for_every_method_and_run():
    seen: list[tuple[str, ...]] = []

    @dataclass(frozen=True)
    class Spy:
        name: ClassVar[str] = "spy"

        async def aggregate(self, sample_set: SampleSet) -> Answer:
            seen.append(tuple(sample.text for sample in sample_set.samples))
            return await MajorityVote().aggregate(sample_set)

    sets = stored(*((str(n), [str(n), str(n), *map(str, range(100, 108))]) for n in range(5)))
    first = await run(sets, VOTES | {"spy": Spy()}, ks=[4], subsets=7, permutations=0)
    asked = list(seen)
    seen.clear()
    again = await run(sets, VOTES | {"spy": Spy()}, ks=[4], subsets=7, permutations=0)
    assert asked == seen
    assert len(set(asked[:7])) == 7
    assert first == again
    spy, vote = method(first, "spy"), method(first, "majority_vote")
    assert (spy.accuracy, spy.difference, spy.mended, spy.spoilt) == (vote.accuracy, 0.0, 0, 0)
    assert not first.files[0].points[0].all_subsets
    assert await run(sets, ks=[4], subsets=7, permutations=0, seed=1) != first


async def test_the_curve_has_every_k():
    result = await run(stored(("7", ["7", "8", "7"]), ("1", ["2", "2", "1"])))
    assert [(one.k, one.problems) for one in result.files[0].curve] == [(1, 2), (2, 2), (3, 2)]
    assert [one.maj_at_k for one in result.files[0].curve][::2] == [pytest.approx(0.5), 0.5]
    assert [one.pass_at_k for one in result.files[0].curve] == pytest.approx([0.5, (1 + 2 / 3) / 2, 1.0])


async def test_p_values_are_corrected_for_the_number_of_methods():
    result = await run(SETS, VOTES | {"again": FirstSample()})
    first = method(result, "first_sample")
    assert first.p_value == 1.0
    assert first.p_holm == 1.0
    assert method(result, "majority_vote").p_holm is None
    assert result.comparisons == 2


async def test_every_question_is_handed_on_with_what_each_method_made_of_it():
    questions: list[QuestionResult] = []
    await evaluate({"sets": SETS}, VOTES, on_question=questions.append)
    assert [one.id for one in questions] == ["q0", "q1", "q2", "q3", "q4"]
    one = questions[1]
    assert (one.gold, one.shown, one.sample_answers) == ("1", (0, 1, 2), ("1", "2", "2"))
    assert one.sample_right == (True, False, False)
    assert one.answers == {"majority_vote": "2", "first_sample": "1"}
    assert one.right == {"majority_vote": False, "first_sample": True}
    assert one.confidences == {"majority_vote": pytest.approx(2 / 3)}
    assert one.accuracies == {"3": {"majority_vote": 0.0, "first_sample": 1.0}}


async def test_sets_of_unequal_size_are_read_up_to_the_smallest():
    sets = stored(("7", ["7", "8"]), ("7", ["7", "8", "8"]))
    assert (await run(sets)).files[0].points[0].k == 2


async def test_problems_with_fewer_than_k_samples_are_left_out_of_that_point_and_counted():
    sets = stored(("7", ["7", "8"]), ("7", ["7", "8", "7"]), ("7", ["8"]))
    result = await run(sets, ks=[1, 2, 3])
    assert [(one.k, one.problems, one.left_out) for one in result.files[0].points] == [
        (1, 3, 0),
        (2, 2, 1),
        (3, 1, 2),
    ]


async def test_k_above_every_set_is_an_error_with_its_remedy():
    with pytest.raises(InvalidArgumentError, match=r"k=4 is above the 3 samples.*Use -k 3"):
        await run(SETS, ks=[4])


async def test_problems_without_gold_are_left_out_and_counted():
    result = (await run(stored(("7", ["7"]), (None, ["7"])))).files[0]
    assert (result.problems, result.without_gold) == (1, 1)


async def test_gold_that_cannot_be_read_is_left_out_and_named():
    sets = stored(("7", ["7"]), (r"\frac{1}{", ["7"]), ("---", ["7"]))
    result = (await run(sets)).files[0]
    assert (result.problems, result.unreadable_gold, result.unreadable_gold_count) == (1, ("q1", "q2"), 2)


async def test_no_gold_at_all_is_an_error():
    with pytest.raises(MissingGoldError, match="none of the 1 sample sets has a gold answer"):
        await run(stored((None, ["7"])))


async def test_no_sets_are_an_error():
    with pytest.raises(DataError, match="no sample sets"):
        await run([])


async def test_the_vote_must_be_among_the_methods():
    with pytest.raises(InvalidArgumentError, match="'majority_vote' must be among the methods"):
        await run(SETS, {"first_sample": FirstSample()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"subsets": 0}, "subsets=0 must be at least 1", id="no subsets"),
        pytest.param({"workers": 0}, "workers=0 must be at least 1", id="no workers"),
        pytest.param({"permutations": -1}, "permutations=-1 must be at least 0", id="permutations"),
        pytest.param({"ks": [0, 2]}, "sizes of at least 1", id="k of nothing"),
    ],
)
async def test_options_out_of_range_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(InvalidArgumentError, match=message):
        await run(SETS, **options)


async def test_another_order_flips_the_first_sample_but_not_the_vote():
    # Of two samples the other order is the exchanged one.
    sets = stored(("7", ["7", "8"]), ("7", ["7", "7"]), ("7", ["8", "7.0"]), ("7", ["", ""]))
    result = await run(sets, permutations=1)
    assert method(result, "first_sample").flips == Rate(0.5, 4.0)
    assert method(result, "majority_vote").flips == Rate(0.0, 4.0)
    assert method(await run(sets, permutations=0), "first_sample").flips is None


async def test_calibration_of_the_vote_share():
    sets = stored(("7", ["7", "7", "7", "7"]), ("7", ["7", "8", "9", "7"]), ("7", ["8", "8", "8", "7"]))
    calibration = method(await run(sets), "majority_vote").calibration
    assert calibration is not None
    assert calibration.brier == pytest.approx((0 + 0.25 + 0.75**2) / 3)
    assert [(one.confidence, one.accuracy, one.weight) for one in calibration.bins] == [
        (0.5, 1.0, 1.0),
        (0.75, 0.0, 1.0),
        (1.0, 1.0, 1.0),
    ]
    assert [(one.coverage, one.accuracy) for one in calibration.coverage] == [
        (pytest.approx(1 / 3), 1.0),
        (pytest.approx(2 / 3), 0.5),
        (1.0, pytest.approx(2 / 3)),
    ]


async def test_slices_by_level_and_by_right_samples():
    sets = stored(("7", ["7", "7"]), ("7", ["7", "8"]), ("7", ["8", "8"]))
    levelled = [
        StoredSet(one.sample_set, replace(one.problem, level=level), one.row)
        for one, level in zip(sets, ("10", "9", "10"), strict=True)
    ]
    point = (await run(levelled, permutations=0)).files[0].points[0]
    levels = point.breakdowns["level"]
    assert [(one.value, one.weight, one.oracle) for one in levels] == [("9", 1.0, 1.0), ("10", 2.0, 0.5)]
    assert [one.accuracy["first_sample"] for one in levels] == [1.0, 0.5]
    counts = point.breakdowns["right_samples"]
    assert [(one.value, one.weight, one.accuracy["first_sample"]) for one in counts] == [
        ("0", 1.0, 0.0),
        ("1", 1.0, 1.0),
        ("2", 1.0, 1.0),
    ]


def with_tokens(sets: list[StoredSet], prompt: int, completion: int) -> list[StoredSet]:
    return [
        replace(
            one,
            sample_set=replace(
                one.sample_set,
                samples=tuple(
                    replace(sample, prompt_tokens=prompt, completion_tokens=completion, model="drawn")
                    for sample in one.sample_set.samples
                ),
            ),
        )
        for one in sets
    ]


@dataclass(frozen=True)
class Asks:
    """The vote, at the cost of one call that takes 30 tokens."""

    backend: ReplayBackend
    name: ClassVar[str] = "asks"

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        vote = await MajorityVote().aggregate(sample_set)
        return replace(vote, usage=Usage(prompt_tokens=25, completion_tokens=5, calls=1))


READER = ReplayBackend(lambda messages, seed: "")


async def test_the_vote_gets_as_many_more_samples_as_the_tokens_of_a_method_buy():
    # A sample costs 20 tokens, so the 30 of the method buy one and a half, rounded up to two.
    sets = with_tokens(stored(("7", ["8", "7", "7", "9"]), ("1", ["1", "2", "2", "1"])), 15, 5)
    result = await run(sets, VOTES | {"asks": Asks(READER)}, ks=[1, 2, 4])
    small, middle, large = (
        next(one for one in point.methods if one.label == "asks").matched for point in result.files[0].points
    )
    assert small is not None and middle is not None and large is not None
    assert (small.wanted, small.k, small.estimated) == (3, 3, False)
    assert (middle.wanted, middle.k) == (4, 4)
    assert (large.wanted, large.k) == (6, 4)  # no more samples are there
    curve = {one.k: one.maj_at_k for one in result.files[0].curve}
    assert small.accuracy == curve[3]
    assert small.difference == pytest.approx(method_at(result, 0, "asks").accuracy - curve[3])
    assert method(result, "majority_vote").matched is None
    assert result.files[0].points[1].sampling.total == pytest.approx(40.0)


def method_at(evaluation: Evaluation, place: int, label: str) -> MethodResult:
    return next(one for one in evaluation.files[0].points[place].methods if one.label == label)


async def test_tokens_that_were_not_recorded_are_guessed_and_said_to_be():
    sets = stored(("7", ["7", "7"]))
    point = (await run(sets)).files[0].points[0]
    text = len("\\boxed{7}") / 4
    assert point.sampling.completion == pytest.approx(2 * text)
    assert point.sampling.estimated
    assert point.sampling.uncounted == 1.0


async def test_costs_come_from_the_prices():
    prices = Prices(
        "prices.yaml",
        "USD",
        {"drawn": Price(2.0, 10.0), "shared": Price(2.0, 10.0, True), READER.model: Price(100.0, 200.0)},
    )
    sets = with_tokens(stored(("7", ["7", "8"])), 100, 10)
    result = await evaluate({"sets": sets}, VOTES | {"asks": Asks(READER)}, prices=prices)
    drawing = (2 * 100 * 2.0 + 2 * 10 * 10.0) / 1e6
    assert result.files[0].points[0].sampling_cost == pytest.approx(drawing)
    assert method(result, "majority_vote").cost == pytest.approx(drawing)
    assert method(result, "asks").cost == pytest.approx(drawing + (25 * 100 + 5 * 200) / 1e6)
    assert result.currency == "USD"
    shared = [
        replace(
            one,
            sample_set=replace(
                one.sample_set, samples=tuple(replace(s, model="shared") for s in one.sample_set.samples)
            ),
        )
        for one in sets
    ]
    result = await evaluate({"sets": shared}, VOTES, prices=prices)
    assert method(result, "majority_vote").cost == pytest.approx((100 * 2.0 + 2 * 10 * 10.0) / 1e6)


async def test_a_model_without_a_price_is_refused_before_anything_is_asked():
    backend = ReplayBackend(lambda messages, seed: "Response 1")
    methods = VOTES | {"usc": UniversalSelfConsistency(backend)}
    prices = Prices("prices.yaml", "USD", {"drawn": Price(1, 1)})
    with pytest.raises(DataError, match=rf"prices.yaml: no price for '{backend.model}', 'unknown'"):
        await evaluate({"sets": SETS}, methods, prices=prices)
    assert not backend.calls


async def test_the_mean_over_files_weighs_them_alike():
    small, large = stored(("7", ["7"])), stored(("7", ["8"]), ("7", ["8"]), ("7", ["8"]))
    result = await evaluate({"small": small, "large": large}, VOTES)
    (point,) = result.macro
    assert (point.k, point.files) == (1, ("small", "large"))
    assert [one.accuracy for one in point.methods] == [0.5, 0.5]
    assert (await run(SETS)).macro == ()


async def test_the_mean_over_files_leaves_out_files_in_which_a_method_was_the_vote():
    def with_scores(*scores: float) -> list[StoredSet]:
        row = {"id": "q", "question": "?", "answer": "7", "samples": [r"\boxed{8}", r"\boxed{7}"]}
        return [stored_set_from_row({**row, "scores": list(scores)} if scores else row, 0)]

    methods = {
        "majority_vote": MajorityVote(),
        "best": BestOfN(by="scores"),
        "never": BestOfN(by="confidence"),
    }
    files = {"scored": with_scores(0.1, 0.9), "bare": with_scores()}
    (point,) = (await evaluate(files, methods)).macro
    best = next(one for one in point.methods if one.label == "best")
    assert (best.files, best.accuracy) == (("scored",), 1.0)
    assert next(one for one in point.methods if one.label == "majority_vote").files == ("scored", "bare")
    assert point.fallbacks == ("never",)


async def test_what_is_said_before_the_end_of_thinking_is_not_read_unless_asked_for():
    row = {"id": "q", "question": "?", "answer": "7", "samples": ["<think>\\boxed{7}</think>\\boxed{8}"] * 2}
    sets = [stored_set_from_row(row, 0)]
    questions: list[QuestionResult] = []
    await evaluate({"sets": sets}, VOTES, on_question=questions.append)
    options = EvaluationOptions(keep_thinking=True)
    await evaluate({"sets": sets}, VOTES, options, on_question=questions.append)
    assert [one.samples[0] for one in questions] == ["\\boxed{8}", row["samples"][0]]


async def test_worker_processes_find_the_same(tmp_path: Path):
    sets = stored(*((str(n % 7), [str(n % 7), str(n % 5), str(n % 3), "1/2", "0.5"]) for n in range(210)))
    alone = await run(sets, ks=[2, 5])
    assert await run(sets, ks=[2, 5], workers=2, verdicts=tmp_path / "verdicts.sqlite3") == alone


async def test_the_tokens_of_a_method_are_averaged_over_questions():
    backend = ReplayBackend(lambda messages, seed: "Response 1")
    result = await run(SETS, VOTES | {"usc": UniversalSelfConsistency(backend)})
    usage = method(result, "usc").usage
    assert len(backend.calls) == 4  # the last set is unanimous
    assert usage.calls == pytest.approx(4 / 5)
    assert usage.prompt > 0
    assert method(result, "majority_vote").usage.total == 0


async def test_a_run_goes_on_where_it_was_killed(tmp_path: Path):
    class Killed(Exception):
        pass

    def dies_at_third(messages, seed):
        return Killed() if len(first.calls) == 3 else "Response 1"

    first = ReplayBackend(dies_at_third)
    methods = VOTES | {"usc": UniversalSelfConsistency(first)}
    log = tmp_path / "log.jsonl"
    with pytest.raises(Killed):
        await run(SETS, methods, AnswerLog(JsonlLog(log)), max_concurrency=1)
    # The fourth may have been asked before the third's error was heard of.
    kept = sum(row["usage"]["aggregation"]["calls"] for _, row in JsonlLog(log).new_rows())
    assert kept in (2, 3)
    second = ReplayBackend(lambda messages, seed: "Response 1")
    methods = VOTES | {"usc": UniversalSelfConsistency(second)}
    resumed = await run(SETS, methods, AnswerLog(JsonlLog(log)))
    assert len(second.calls) == 4 - kept
    third = ReplayBackend(lambda messages, seed: "Response 1")
    assert resumed == await run(SETS, VOTES | {"usc": UniversalSelfConsistency(third)})


async def test_other_options_are_not_taken_from_the_log(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    for calls, seed in ((4, 0), (4, 1), (0, 1)):
        backend = ReplayBackend(lambda messages, seed: "Response 1")
        methods = VOTES | {"usc": UniversalSelfConsistency(backend, seed=seed)}
        await run(SETS, methods, AnswerLog(JsonlLog(path)))
        assert len(backend.calls) == calls


async def test_a_set_a_method_fails_on_counts_as_an_abstention(tmp_path: Path):
    def reply(messages, seed):
        return TransientBackendError("busy") if len(backend.calls) == 2 else "Response 1"

    backend = ReplayBackend(reply)
    log = JsonlLog(tmp_path / "log.jsonl")
    methods = VOTES | {"usc": UniversalSelfConsistency(backend)}
    usc = method(await run(SETS, methods, AnswerLog(log), max_concurrency=1), "usc")
    assert (usc.abstained, usc.failed) == (1 / 5, 1 / 5)
    assert usc.flags["failed"] == 1
    await run(SETS, methods, AnswerLog(JsonlLog(log.path)))
    assert len(backend.calls) == 5  # the one that failed was asked again


async def test_a_method_that_fails_everywhere_is_an_error():
    backend = ReplayBackend(lambda messages, seed: TransientBackendError("out of order"))
    with pytest.raises(BackendError, match=r"failed on all 1 sample sets of sets. First: out of order"):
        await run(SETS[:1], VOTES | {"usc": UniversalSelfConsistency(backend)})


async def test_a_refused_key_ends_the_evaluation():
    backend = ReplayBackend(lambda messages, seed: AuthenticationError("refused"))
    with pytest.raises(AuthenticationError):
        await run(SETS, VOTES | {"usc": UniversalSelfConsistency(backend)})


def test_a_log_of_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "q", "answer": "7"}\n')
    with pytest.raises(DataError, match=r"no logged answer.*another --output-dir"):
        AnswerLog(JsonlLog(path))


async def test_another_context_size_may_give_another_answer(tmp_path: Path):
    asked = Counter[str]()

    class Reader(MajorityVote):
        async def aggregate(self, sample_set: SampleSet) -> Answer:
            asked[sample_set.id] += 1
            return await super().aggregate(sample_set)

    for size in (None, None, 400, 8192, 400):
        log = AnswerLog(JsonlLog(tmp_path / "answers.jsonl"), size)
        await log.answer(Reader(), SETS[0].sample_set)
    assert asked.total() == 3


def test_the_bound_of_the_risk_is_that_of_clopper_and_pearson():
    totals = ConfidenceTotals()
    for number in range(60):
        totals.add(1 - number / 100, number < 30, 1.0)
    calibration = totals.summary(60)
    assert calibration is not None
    bounds = {round(at.coverage * 60): at.most_wrong for at in calibration.coverage}
    assert len(bounds) == 60
    assert {count for count, bound in bounds.items() if bound is not None} == set(range(3, 61, 3))
    assert bounds[30] == pytest.approx(1 - 0.05 ** (1 / 30))
    assert bounds[60] == pytest.approx(0.6126, abs=1e-4)
