"""Which answers of a sample set are counted together."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.answers import AnswerGroup, Grouping, group_answers


def members(answers: list[str | None]) -> list[tuple[int, ...]]:
    return [group.indices for group in group_answers(answers).groups]


def test_groups_come_in_order_of_first_appearance_and_none_belongs_to_no_group() -> None:
    assert group_answers([None, "7", r"\frac{1}{2}", "7.0", "0.5", None]) == Grouping(
        (AnswerGroup("7", (1, 3)), AnswerGroup(r"\frac{1}{2}", (2, 4))), ()
    )


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([r"\sqrt{2}", "1.414214", "1.41421356", "2"], id="two_decimals_of_a_root"),
        pytest.param(["707107/500000", "1.414214", r"\sqrt{2}", "2"], id="a_fraction_that_is_a_decimal"),
        pytest.param([r"\frac{\sqrt{4}}{6}", "1/3", "0.3333333", "2"], id="a_third"),
    ],
)
def test_a_decimal_joins_its_root_in_any_order(answers: list[str | None]) -> None:
    for order in permutations(answers):
        apart = order.index("2")
        together = tuple(place for place in range(4) if place != apart)
        assert sorted(members(list(order))) == sorted([together, (apart,)])


def test_an_empty_set_has_no_groups() -> None:
    assert group_answers([]) == Grouping((), ())
    assert group_answers([None, None]) == Grouping((), ())


def test_expressions_are_joined_by_algebra() -> None:
    assert members([r"\sqrt{8}", "3", r"2\sqrt{2}", "2.8284271247"]) == [(0, 2, 3), (1,)]


@pytest.mark.parametrize(
    ("answers", "groups", "notes"),
    [
        pytest.param(["25%", "0.25", "25"], [(0, 1), (2,)], (), id="the_share_comes_first"),
        pytest.param(["25%", "25"], [(0, 1)], ("percent_read_as_number",), id="then_the_number"),
        pytest.param(["25%", "30"], [(0,), (1,)], (), id="or_neither"),
        pytest.param(["0%", "3"], [(0,), (1,)], (), id="nought_counts_once"),
        pytest.param(["1%", "100%"], [(0,), (1,)], (), id="two_percentages_are_two"),
        pytest.param(["1%", "100%", "1"], [(0,), (1, 2)], (), id="a_share_is_not_another_ones_number"),
        pytest.param(
            ["1%", "100%", "100"], [(0,), (1, 2)], ("percent_read_as_number",), id="each_its_own_number"
        ),
    ],
)
def test_a_percentage_is_read_by_what_else_the_set_holds(
    answers: list[str | None], groups: list[tuple[int, ...]], notes: tuple[str, ...]
) -> None:
    assert (members(answers), group_answers(answers).notes) == (groups, notes)


@pytest.mark.parametrize(
    ("answers", "groups", "notes"),
    [
        pytest.param(["5", "5 cm"], [(0, 1)], (), id="one_unit"),
        pytest.param(["5", "5 cm", "5 m"], [(0,), (1,), (2,)], ("mixed_units",), id="two_units"),
        pytest.param(["10 mph", "10 miles per hour"], [(0, 1)], (), id="two_names_of_a_unit"),
        pytest.param(["60 mph", "60 miles/hour", "60 miles an hour", "60"], [(0, 1, 2, 3)], (), id="speed"),
        pytest.param(["5 meters per second", "5 m/s", "5m/s", "5"], [(0, 1, 2, 3)], (), id="slash"),
        pytest.param(["$15 per hour", "15 dollars per hour", "$15/h", "15"], [(0, 1, 2, 3)], (), id="wage"),
        pytest.param(["12 in total", "$12", "12 in all", "12"], [(0, 1, 2, 3)], (), id="in_is_no_inch"),
        pytest.param(["8", "8 hours", "8 hours per day"], [(0, 1, 2)], (), id="what_it_is_per_left_out"),
        pytest.param(
            ["8 hours", "8 hours a day", "8 hours a week"], [(0,), (1,), (2,)], ("mixed_units",), id="rates"
        ),
    ],
)
def test_a_bare_number_joins_a_unit_only_if_there_is_just_one(
    answers: list[str | None], groups: list[tuple[int, ...]], notes: tuple[str, ...]
) -> None:
    assert (members(answers), group_answers(answers).notes) == (groups, notes)


def test_parentheses_with_two_readings_stay_apart_and_are_noted() -> None:
    grouping = group_answers(["(1,2)", "1<x<2", "(1, 2)"])
    assert [group.indices for group in grouping.groups] == [(0, 2), (1,)]
    assert grouping.notes == ("ambiguous_parentheses",)


def test_undecided_answers_stay_apart_and_are_noted() -> None:
    grouping = group_answers(["9^{9^{9^9}}", r"\sqrt{2}", "9^{9^{9^9}}"])
    assert [group.indices for group in grouping.groups] == [(0, 2), (1,)]
    assert grouping.notes == ("timeout",)


def test_numbers_with_spaces_between_thousands_are_not_products_with_zero() -> None:
    # Recorded answers of gsm8k-test-0266; the LaTeX grammar reads all of them as 0.
    assert members(["$118 000", "$128 000", "190 000", "118 000"]) == [(0, 3), (1,), (2,)]


_POOL = [
    "5",
    "5.0",
    "$5",
    "0%",
    "5%",
    "500%",
    "0.05",
    "1/3",
    "0.3333333",
    "(1,2)",
    "1<x<2",
    "B",
    "(B)",
    "yes",
    "x",
    r"\sqrt{2}",
    "1.414214",
    "1.41421356",
    "5 m/s",
    None,
]


@settings(max_examples=50, deadline=None)
@given(answers=st.lists(st.sampled_from(_POOL), max_size=12))
def test_every_answer_is_in_one_group_and_equal_texts_share_theirs(answers: list[str | None]) -> None:
    groups = group_answers(answers).groups
    places = sorted(place for group in groups for place in group.indices)
    assert places == [place for place, answer in enumerate(answers) if answer is not None]
    assert [group.indices[0] for group in groups] == sorted(group.indices[0] for group in groups)
    assert all(group.answer == answers[group.indices[0]] for group in groups)
    home = {place: number for number, group in enumerate(groups) for place in group.indices}
    for place in places:
        assert home[place] == home[answers.index(answers[place])]


@settings(max_examples=50, deadline=None)
@given(answers=st.lists(st.sampled_from(_POOL), max_size=8), data=st.data())
def test_the_order_of_the_answers_does_not_change_who_is_together(
    answers: list[str | None], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(answers))))
    shuffled = [answers[place] for place in order]
    before = {frozenset(answers[place] for place in group.indices) for group in group_answers(answers).groups}
    after = {
        frozenset(shuffled[place] for place in group.indices) for group in group_answers(shuffled).groups
    }
    assert before == after
