"""Sums decided without the algebra, and as it decides them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.answers import matches_gold
from sampleset.answers.maths.equality.linear import linear_verdict
from sampleset.answers.maths.equality.workers import close_workers, compare_expressions, worker_process_ids


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        pytest.param("220 + 90 + 60", "370", True, id="a sum that is worked out"),
        pytest.param("(50000 * 5) / 100", "25", False, id="a product that comes to something else"),
        pytest.param(r"\frac{3}{4} - 2\cdot 3", r"-\frac{21}{4}", True, id="fractions"),
        pytest.param("4x - 4", "16", False, id="a letter beside a number"),
        pytest.param("2 * (x + 1)", "2x + 2", True, id="a product written out"),
        pytest.param("x - x + 8", "8", True, id="a letter that goes away"),
        pytest.param("x + y", "y + x", True, id="two letters in either order"),
        pytest.param("x + y", "x - y", False, id="another sign"),
        pytest.param("2.5", "5 / 2", True, id="a decimal that is exact"),
        pytest.param("2.6", "5 / 2", False, id="a decimal far from it"),
    ],
)
def test_sums_are_decided(first: str, second: str, equal: bool) -> None:
    assert linear_verdict(first, second) is equal
    assert linear_verdict(second, first) is equal


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1/2x", id="a half of x or one over 2x"),
        pytest.param("3(2)", id="a product or a function"),
        pytest.param("5 x 3", id="x as a sign of products"),
        pytest.param("2e", id="Euler's number"),
        pytest.param("1 + i", id="the imaginary unit"),
        pytest.param("x^{2}", id="a power"),
        pytest.param("xy", id="a product of letters"),
        pytest.param("1 / (2 - 2)", id="a division by zero"),
        pytest.param("5!", id="a factorial"),
        pytest.param("1 + 2.5", id="a decimal within a sum"),
        pytest.param("3 4", id="numbers side by side"),
        pytest.param("(1 + 2", id="a parenthesis left open"),
        pytest.param("1 +", id="a sum without its end"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_may_be_read_in_two_ways_is_left_to_the_algebra(text: str) -> None:
    assert linear_verdict(text, "7") is None


def test_a_decimal_close_to_a_fraction_is_left_to_the_algebra() -> None:
    assert linear_verdict("0.3333333", r"\frac{1}{3}") is None


def test_no_worker_is_started_for_a_sum() -> None:
    close_workers()
    assert matches_gold("220 + 90 + 60", "370").equal is True
    assert matches_gold("4x - 4", "16").equal is False
    assert worker_process_ids() == []


_NUMBERS = st.integers(0, 500).map(str)
_SUMS = st.recursive(
    _NUMBERS | st.sampled_from(["x", "y", "2x", "17y", "R"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - ", "-"]), inner).map("".join),
        st.tuples(_NUMBERS, st.sampled_from([" * ", r"\cdot "]), inner).map(
            lambda one: f"{one[0]}{one[1]}({one[2]})"
        ),
        st.tuples(inner, st.integers(1, 40)).map(lambda one: rf"\frac{{{one[0]}}}{{{one[1]}}}"),
    ),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None)
@given(_SUMS, _SUMS | _NUMBERS)
def test_the_algebra_says_the_same(first: str, second: str) -> None:
    equal = linear_verdict(first, second)
    if equal is False:
        assert compare_expressions(second, first, mode="gold")[0] is False
    assert linear_verdict(first, first) is not False
