import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampleset.errors import InvalidArgumentError
from sampleset.evaluation.subsets import curve_sizes, drawn, parse_sizes, permuted, subsets_of


def test_few_subsets_are_all_taken_in_order():
    assert subsets_of(3, 2, 3, 0, "q") == ((0, 1), (0, 2), (1, 2))


@given(st.integers(1, 12), st.data())
def test_subsets_that_are_drawn_are_distinct_and_rising(n: int, data: st.DataObject):
    k = data.draw(st.integers(1, n))
    limit = data.draw(st.integers(1, 30))
    subsets = subsets_of(n, k, limit, 0, "q")
    assert len(set(subsets)) == len(subsets) <= limit
    assert all(subset == tuple(sorted(set(subset))) and len(subset) == k for subset in subsets)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 20, 21, 22, 40])
def test_the_draw_is_that_of_the_standard_library(n: int):
    for k in range(n + 1):
        ours, theirs = random.Random(f"{n}:{k}"), random.Random(f"{n}:{k}")
        for _ in range(5):
            assert drawn(ours, n, k) == theirs.sample(range(n), k)


def test_each_question_has_its_own_draw():
    drawn = {subsets_of(20, 10, 1, 0, f"q{number}") for number in range(50)}
    assert len(drawn) > 40


def test_samples_are_drawn_alike():
    counts = [0] * 10
    for number in range(2000):
        for place in subsets_of(10, 3, 1, 0, f"q{number}")[0]:
            counts[place] += 1
    # Each stands in 600 of them on average, with a standard deviation of about 20.
    assert all(520 < count < 680 for count in counts)


@given(st.integers(2, 8), st.integers(1, 5))
def test_a_permutation_is_another_order_of_the_same(k: int, number: int):
    subset = tuple(range(3, 3 + k))
    other = permuted(subset, 0, number, "q")
    assert other != subset
    assert sorted(other) == list(subset)
    assert other == permuted(subset, 0, number, "q")


def test_a_single_sample_has_one_order():
    assert permuted((4,), 0, 1, "q") == (4,)


def test_the_curve_is_thinned_out_beyond_32():
    assert curve_sizes(5) == (1, 2, 3, 4, 5)
    assert curve_sizes(64)[31:] == (32, 40, 50, 63, 64)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("5", (5,)), ("20,5, 10", (5, 10, 20)), ("1-4", (1, 2, 3, 4)), ("1-3,8,3", (1, 2, 3, 8))],
)
def test_sizes_as_people_write_them(text: str, sizes: tuple[int, ...]):
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "5,", "a", "0", "3-1", "-3", "1.5", "1-2-3", "99999999"])
def test_what_names_no_size_is_refused(text: str):
    with pytest.raises(InvalidArgumentError, match="k="):
        parse_sizes(text)
