import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.aggregators.base import tally
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.sampling.stopping import (
    BetaRule,
    DirichletRule,
    WindowRule,
    batch_ends,
    beats_all,
    beats_runner_up,
    classes_in,
    parse_stop,
)


@pytest.mark.parametrize(
    ("votes", "runner_up", "probability"),
    [
        pytest.param(0, 0, 0.5, id="nothing seen"),
        pytest.param(1, 0, 3 / 4, id="one draw"),
        pytest.param(4, 0, 31 / 32, id="four that agree"),
        pytest.param(2, 2, 0.5, id="a tie"),
        pytest.param(5, 1, 15 / 16, id="five to one"),  # P(at most 5 heads of 7) = 120 / 128
        pytest.param(800, 700, 0.9950876853159601, id="many, the value of the incomplete beta function"),
    ],
)
def test_the_lead_is_a_binomial_tail(votes: int, runner_up: int, probability: float):
    assert beats_runner_up(votes, runner_up) == pytest.approx(probability, rel=1e-12)


def exactly(votes: Sequence[int]) -> float:
    """The same as `beats_all` in fractions: the product of 1 - e^-x (1 + x + ...) multiplied out."""
    terms = {(0, 0): Fraction(1)}  # coefficient of e^(-s x) x^d
    for count in votes[1:]:
        grown: dict[tuple[int, int], Fraction] = {}
        for (s, d), value in terms.items():
            grown[s, d] = grown.get((s, d), Fraction()) + value
            for power in range(count + 1):
                place = s + 1, d + power
                grown[place] = grown.get(place, Fraction()) - value / math.factorial(power)
        terms = grown
    leader = votes[0]
    return float(
        sum(
            value * Fraction(math.factorial(leader + d), math.factorial(leader) * (1 + s) ** (leader + d + 1))
            for (s, d), value in terms.items()
        )
    )


def test_three_classes_without_votes_lead_alike():
    assert beats_all((0, 0, 0)) == pytest.approx(1 / 3, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=5))
def test_the_lead_over_all_classes_is_the_exact_integral(votes: list[int]):
    assert beats_all(tuple(votes)) == pytest.approx(exactly(votes), abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_two_classes_need_no_integral(votes: int, runner_up: int):
    assert beats_all((votes, runner_up)) == pytest.approx(beats_runner_up(votes, runner_up), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 3, None]), max_size=40), st.sampled_from([0.6, 0.8, 0.95, 0.99]))
def test_the_rule_over_all_classes_never_stops_before_the_one_over_two(
    classes: list[int | None], threshold: float
):
    assert not DirichletRule(threshold).met(classes) or BetaRule(threshold).met(classes)


@pytest.mark.parametrize(
    ("spec", "fewest"),
    [("beta:0.75", 1), ("beta:0.8", 2), ("beta:0.95", 4), ("dirichlet:0.95", 4), ("esc:5", 5)],
)
def test_the_first_batch_is_the_fewest_draws_that_meet_the_rule(spec: str, fewest: int):
    rule = parse_stop(spec)
    assert rule.first_batch == fewest
    assert rule.met([0] * fewest)
    assert not any(rule.met([0] * fewer) for fewer in range(fewest))


@pytest.mark.parametrize(
    ("classes", "met"),
    [
        pytest.param([0, 0, 0], True, id="unanimous"),
        pytest.param([0, 1, 0, 1, 1, 1], True, id="the second window"),
        pytest.param([0, 1, 1, 1, 0, 0], False, id="agreement across windows"),
        pytest.param([0, None, 0], False, id="a draw without an answer"),
        pytest.param([None, None, None], False, id="no answers"),
        pytest.param([0, 0], False, id="half a window"),
        pytest.param([0, 1, 0, 1, 1], False, id="the second window not whole"),
    ],
)
def test_a_window_is_met_where_all_its_draws_agree(classes: list[int | None], met: bool):
    assert WindowRule(3).met(classes) is met


@pytest.mark.parametrize("spec", ["beta:0.9", "dirichlet:0.9", "esc:3"])
def test_draws_without_an_answer_settle_nothing(spec: str):
    assert not parse_stop(spec).met([])
    assert not parse_stop(spec).met([None] * 12)


async def test_spellings_of_one_answer_count_as_agreement(make_set):
    classes = classes_in(await tally(make_set(["1/2", "0.5", None, r"\frac{1}{2}", "3"])))
    assert classes == [0, 0, None, 0, 1]


@pytest.mark.parametrize(
    ("first", "n", "ends"),
    [(4, 20, [4, 8, 16, 20]), (4, 3, [3]), (1, 8, [1, 2, 4, 8]), (5, 5, [5])],
)
def test_batches_double_what_there_is_up_to_n(first: int, n: int, ends: list[int]):
    assert batch_ends(first, n) == ends


@pytest.mark.parametrize("spec", ["beta:0.95", "dirichlet:0.99", "esc:4"])
def test_a_rule_says_how_it_is_typed(spec: str):
    assert parse_stop(spec).spec == spec
    assert parse_stop(parse_stop(spec).spec) == parse_stop(spec)


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("bata:0.9", UnknownNameError, "Did you mean 'beta'"),
        ("beta:much", InvalidArgumentError, "'much' is no number"),
        ("beta:0.5", InvalidArgumentError, "above 0.5"),
        ("dirichlet:1", InvalidArgumentError, "below 1"),
        ("beta:nan", InvalidArgumentError, "must be a probability"),
        ("esc:1", InvalidArgumentError, "at least 2"),
        ("esc:2.5", InvalidArgumentError, "is no number"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(spec: str, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        parse_stop(spec)


def stop_wrongly(rule, shares: Sequence[float], n: int, runs: int, seed: int) -> float:
    """Share of runs that stop with a leader that is not the most frequent class, which is class 0."""
    generator = random.Random(seed)
    wrong = 0
    for _ in range(runs):
        drawn: list[int] = []
        for _ in range(n):
            drawn.append(generator.choices(range(len(shares)), shares)[0])
            if rule.met(drawn):
                wrong += Counter(drawn).most_common(1)[0][0] != 0
                break
    return wrong / runs


def test_questions_drawn_from_the_prior_are_stopped_wrongly_as_seldom_as_the_threshold_says():
    # For two classes with a uniform share the posterior is calibrated at whatever draw one stops.
    generator = random.Random(5)
    outcomes = []
    for _ in range(1500):
        share = generator.random()
        leader = 0 if share > 0.5 else 1
        drawn: list[int] = []
        for _ in range(40):
            drawn.append(0 if generator.random() < share else 1)
            if BetaRule(0.9).met(drawn):
                outcomes.append(Counter(drawn).most_common(1)[0][0] != leader)
                break
    assert len(outcomes) > 1000
    assert sum(outcomes) / len(outcomes) < 0.1 + 3 * math.sqrt(0.1 * 0.9 / len(outcomes))


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        # A class of share q fills the first window, or a later one, with probability at most n/w q^w.
        pytest.param(WindowRule(4), 5 * 0.3**4, id="esc"),
        pytest.param(BetaRule(0.99), 0.05, id="beta"),
        pytest.param(DirichletRule(0.99), 0.05, id="dirichlet"),
    ],
)
def test_a_clear_leader_is_seldom_missed(rule, most: float):
    assert stop_wrongly(rule, [0.7, 0.3], 20, 600, 1) <= most + 3 * math.sqrt(most * (1 - most) / 600)


def test_a_longer_unanimous_run_never_unmeets_a_rule():
    for rule, head in itertools.product((BetaRule(0.9), DirichletRule(0.9)), ([0, 1], [0, 1, 2, 1])):
        met = [rule.met([*head, *[0] * more]) for more in range(30)]
        assert met == sorted(met)
        assert met[-1]
