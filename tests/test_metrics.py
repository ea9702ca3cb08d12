from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampleset.errors import InvalidArgumentError
from sampleset.metrics import (
    clustered_interval,
    holm,
    macro_bootstrap,
    macro_interval,
    mcnemar_exact,
    paired_bootstrap,
    pass_at_k,
    wilson_interval,
)


def test_the_wilson_interval_of_a_worked_example():
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81/263 and 15/148.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_the_wilson_interval_does_not_leave_zero_and_one():
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    low, high = wilson_interval(20, 20)
    assert (low, high) == pytest.approx((0.8389, 1.0), abs=5e-5)


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n: int, data: st.DataObject):
    correct = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    subsets = list(combinations(range(n), k))
    hits = sum(any(place < correct for place in subset) for subset in subsets)
    assert pass_at_k(n, correct, k) == pytest.approx(hits / len(subsets))


@given(st.integers(1, 40), st.data())
def test_pass_at_k_never_falls_as_k_grows(n: int, data: st.DataObject):
    correct = data.draw(st.integers(0, n))
    values = [pass_at_k(n, correct, k) for k in range(1, n + 1)]
    assert values == sorted(values)


@pytest.mark.parametrize(("n", "correct", "k"), [(5, 2, 6), (5, 2, 0), (5, 6, 1), (5, -1, 1)])
def test_pass_at_k_refuses_what_makes_no_sense(n: int, correct: int, k: int):
    with pytest.raises(InvalidArgumentError):
        pass_at_k(n, correct, k)


@pytest.mark.parametrize(
    ("mended", "spoilt", "p_value"),
    [
        pytest.param(0, 0, 1.0, id="nothing changed"),
        pytest.param(5, 5, 1.0, id="as many"),
        pytest.param(6, 0, 2 / 64, id="six to none: 2 * (1/2)^6"),
        pytest.param(1, 5, 2 * (1 + 6) / 64, id="one to five"),
        pytest.param(9, 1, 2 * (1 + 10) / 1024, id="nine to one"),
    ],
)
def test_mcnemar_by_hand(mended: int, spoilt: int, p_value: float):
    assert mcnemar_exact(mended, spoilt) == pytest.approx(p_value)


def test_methods_that_never_differed_may_still_differ():
    low, high = paired_bootstrap([0.0] * 30, 10_000, 0)
    # In 32 draws the made-up gain and loss, 1/64 each, come 3 to 2 times at the quantiles.
    assert low == -high
    assert 1 / 32 <= high <= 3 / 32


def test_a_bootstrap_comes_near_the_normal_interval():
    differences = [1.0] * 60 + [0.0] * 300 + [-1.0] * 40
    mean = 20 / 400
    deviation = ((60 + 40) / 400 - mean**2) ** 0.5 / 400**0.5
    low, high = paired_bootstrap(differences, 20_000, 0)
    assert low == pytest.approx(mean - 1.96 * deviation, abs=0.004)
    assert high == pytest.approx(mean + 1.96 * deviation, abs=0.004)


def test_a_bootstrap_of_nothing_is_refused():
    with pytest.raises(InvalidArgumentError):
        paired_bootstrap([], 100, 0)


def test_the_clustered_interval_of_zeros_and_ones_is_wilsons():
    assert clustered_interval([1.0] * 15 + [0.0] * 133) == pytest.approx(wilson_interval(15, 148))
    assert clustered_interval([0.0] * 20) == pytest.approx(wilson_interval(0, 20))


def test_shares_that_vary_less_than_zeros_and_ones_give_a_narrower_interval():
    # A variance of 4/99 instead of 0.25: as if there were so many more problems; and Student's t for normal.
    trials = 100 * 0.25 / (4 / 99) * (1.95996 / 1.98422) ** 2
    assert clustered_interval([0.3, 0.7] * 50) == pytest.approx(wilson_interval(trials / 2, trials), abs=1e-4)


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.7])
def test_equal_shares_have_an_interval_as_wide_as_their_number_allows(share: float):
    assert clustered_interval([share] * 3) == pytest.approx(wilson_interval(3 * share, 3))


@pytest.mark.parametrize("problems", [3, 5, 10])
def test_with_few_problems_the_clustered_interval_still_holds_the_truth(problems: int):
    generator = np.random.default_rng(problems)
    held = 0
    for _ in range(2000):
        shares = generator.binomial(20, generator.beta(2, 2, problems)) / 20
        low, high = clustered_interval(list(shares))
        held += low <= 0.5 <= high
    assert held / 2000 > 0.935


def test_further_subsets_of_the_same_problems_are_no_further_problems():
    low, high = clustered_interval([1.0] * 10 + [0.0] * 10)
    assert high - low > 0.4


def test_an_interval_of_no_problems_is_refused():
    with pytest.raises(InvalidArgumentError):
        clustered_interval([])


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([0.03], [0.03], id="one stays"),
        pytest.param(
            [0.01, 0.04, 0.03], [0.03, 0.06, 0.06], id="each by its rank, never below a smaller one"
        ),
        pytest.param([0.5, 0.9], [1.0, 1.0], id="at most one"),
    ],
)
def test_holm_by_hand(p_values: list[float], corrected: list[float]):
    assert holm(p_values) == pytest.approx(corrected)


def test_the_macro_interval_weighs_groups_alike():
    # One group is certain, the other has a standard error of 1/sqrt(400); the mean has half of that.
    low, high = macro_bootstrap([[1.0] * 4000, [1.0, -1.0] * 200], 20_000, 0)
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.005)
    assert (high - low) / 2 == pytest.approx(1.96 / 20 / 2, abs=0.004)


@pytest.mark.parametrize("groups", [[], [[]], [[0.5], []]])
def test_a_macro_interval_of_nothing_is_refused(groups: list[list[float]]):
    with pytest.raises(InvalidArgumentError):
        macro_bootstrap(groups, 100, 0)


def test_the_macro_interval_of_one_group_is_the_groups():
    assert macro_interval([[1.0] * 15 + [0.0] * 133]) == pytest.approx(wilson_interval(15, 148))


def test_two_alike_groups_narrow_the_interval_by_the_root_of_two():
    low, high = wilson_interval(15, 148)
    share = 15 / 148
    below, above = macro_interval([[1.0] * 15 + [0.0] * 133] * 2)
    assert share - below == pytest.approx((share - low) / 2**0.5)
    assert above - share == pytest.approx((high - share) / 2**0.5)
