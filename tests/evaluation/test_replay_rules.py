import io
import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from rich.console import Console

from sampleset.errors import InvalidArgumentError, MissingGoldError
from sampleset.evaluation import ReplayOptions, replay_file
from sampleset.evaluation.replay import BATCHES, ONE_BY_ONE
from sampleset.report import replay_csv, replay_tables
from sampleset.sampling.stopping import parse_stop
from sampleset.storage.records import StoredSet, stored_set_from_row


def stored(*sets: Sequence[str], gold: str | None = "7", tokens: int | None = 10) -> list[StoredSet]:
    """One question per set of answers; `?` states none."""
    return [
        stored_set_from_row(
            {
                "id": f"q{number}",
                "question": "What is it?",
                "answer": gold,
                "samples": [
                    {
                        "text": "Who knows." if answer == "?" else f"\\boxed{{{answer}}}",
                        "prompt_tokens": tokens,
                        "completion_tokens": tokens,
                    }
                    for answer in answers
                ],
            },
            number,
        )
        for number, answers in enumerate(sets)
    ]


def options(*rules: str, **more) -> ReplayOptions:
    return ReplayOptions(tuple(map(parse_stop, rules or ("beta:0.95",))), **more)


def rows(file):
    return {(row.rule, row.drawing): row for row in file.rows}


async def test_agreement_is_stopped_at_the_first_draws_that_settle_it():
    file = await replay_file("sets", stored("77777777", "88888888"), options("beta:0.95", "esc:3"))
    assert (file.k, file.problems, file.accuracy) == (8, 2, 0.5)
    row = rows(file)["beta:0.95", ONE_BY_ONE]
    assert (row.samples, row.times_fewer, row.stopped) == (4, 2, 1)
    assert (row.tokens, row.tokens_saved) == (80, 0.5)
    assert (row.accuracy, row.difference, row.agreement) == (0.5, 0, 1)
    assert rows(file)["esc:3", BATCHES].samples == 3


async def test_what_is_never_settled_costs_all_samples_and_no_accuracy():
    file = await replay_file("sets", stored("7878787?"), options("beta:0.99", "esc:4", orders=5))
    for row in file.rows:
        assert (row.samples, row.stopped, row.difference, row.gain) == (8, 0, 0, 0)


async def test_the_mean_over_orders_is_the_mean_over_all_orders():
    # Six draws, two of them wrong: where two agree in a row from the start, beta:0.8 stops.
    answers = "777788"
    found = []
    for order in itertools.permutations(answers):
        end = next(
            (end for end in range(1, 7) if parse_stop("beta:0.8").met([int(a) for a in order[:end]])), 6
        )
        votes = Counter(order[:end])
        assert votes["7"] != votes["8"]
        found.append((end, votes["7"] > votes["8"]))
    row = rows(await replay_file("sets", stored(answers), options("beta:0.8", orders=4000)))[
        "beta:0.8", ONE_BY_ONE
    ]
    assert row.samples == pytest.approx(sum(end for end, _ in found) / len(found), abs=0.08)
    assert row.accuracy == pytest.approx(sum(right for _, right in found) / len(found), abs=0.03)


async def test_batches_take_at_least_as_many_samples_as_drawing_one_by_one():
    sets = stored("777877887777", "777777787777", "787878787787")
    for rule in ("beta:0.9", "dirichlet:0.9", "esc:3"):
        found = rows(await replay_file("sets", sets, options(rule)))
        assert found[rule, BATCHES].samples >= found[rule, ONE_BY_ONE].samples


async def test_a_plain_vote_over_as_many_samples_stands_beside_it():
    # One question stops at 4 of 8, the other never: 6 on average.
    file = await replay_file("sets", stored("77777777", "78787878"), options("beta:0.95", orders=200))
    row = rows(file)["beta:0.95", ONE_BY_ONE]
    low = int(row.samples)
    assert min(file.curve[low - 1 : low + 1]) <= row.fixed_accuracy <= max(file.curve[low - 1 : low + 1])
    assert row.gain == pytest.approx(row.accuracy - row.fixed_accuracy)


async def test_questions_with_too_few_samples_or_no_gold_are_left_out_and_counted():
    sets = [*stored("7777", "77"), *stored("7777", gold=None)]
    file = await replay_file("sets", sets, options(k=4))
    assert (file.problems, file.left_out) == (1, 2)


async def test_samples_drawn_with_replacement_may_be_more_than_there_are():
    file = await replay_file("sets", stored("7777", "7778"), options(k=20, with_replacement=True))
    assert (file.k, file.with_replacement) == (20, True)
    assert rows(file)["beta:0.95", ONE_BY_ONE].samples < 10


async def test_the_seed_decides():
    sets = stored("777877887777", "778777787787")
    assert await replay_file("s", sets, options("beta:0.9")) == await replay_file(
        "s", sets, options("beta:0.9")
    )
    other = await replay_file("s", sets, options("beta:0.9", seed=1))
    assert (await replay_file("s", sets, options("beta:0.9"))).rows != other.rows


async def test_tokens_that_were_not_recorded_are_guessed_and_marked():
    assert (await replay_file("s", stored("7777", tokens=None), options())).tokens_estimated
    assert not (await replay_file("s", stored("7777"), options())).tokens_estimated


async def test_the_name_of_a_rule_is_never_cut_in_two_on_a_narrow_terminal():
    sets = stored(["7"] * 12, ["7", "8"] * 6)
    file = await replay_file("a", sets, options("dirichlet:0.95", k=12))
    console = Console(width=80, file=io.StringIO())
    console.print(*replay_tables([file]))
    assert console.file.getvalue().count("dirichlet:0.95 ") == 2  # type: ignore[attr-defined]


async def test_a_row_of_the_csv_holds_every_number():
    (head, *lines) = replay_csv([await replay_file("s", stored("7777"), options())]).splitlines()
    assert head.startswith("file,k,problems,full_accuracy,rule,drawing,samples,times_fewer")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("more", "sets", "error", "says"),
    [
        ({"k": 9}, stored("7777"), InvalidArgumentError, "k=9 is above the 4 samples"),
        ({}, stored("7777", gold=None), MissingGoldError, "no sample set has a gold answer"),
        ({"orders": 0}, [], InvalidArgumentError, "orders=0"),
        ({"with_replacement": True}, [], InvalidArgumentError, "need k"),
    ],
)
async def test_what_cannot_be_replayed_is_refused(more, sets, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        await replay_file("sets", sets, options(**more))


def test_a_rule_given_twice_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"The rule 'beta:0\.9' is given twice"):
        options("beta:0.9", "esc:3", "beta:0.90")


async def test_rules_that_differ_late_are_two():
    (file,) = [await replay_file("s", stored("77777777"), options("beta:0.9", "beta:0.9000001"))]
    assert [row.rule for row in file.rows] == ["beta:0.9"] * 2 + ["beta:0.9000001"] * 2
