"""Which answers of a sample set are counted together."""

from __future__ import annotations

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


def test_a_decimal_of_a_simple_fraction_is_that_fraction() -> None:
    assert members([r"\frac{\sqrt{4}}{6}", "1/3", "0.3333333", "2", "0.33333333"]) == [(0, 1, 2, 4), (3,)]


@pytest.mark.parametrize(
    ("answers", "groups"),
    [
        pytest.param(["0.666666", "0.666667", "2/3"], [(0, 1, 2)], id="cut off, and rounded"),
        pytest.param(["33.333333%", "100/3"], [(0, 1)], id="in percent"),
        pytest.param(["16.666667", "50/3", "16.66666667"], [(0, 1, 2)], id="above one"),
        pytest.param(["0.142857", "0.142859", "1/7"], [(0, 2), (1,)], id="another last digit"),
        pytest.param(["-512.271753", "-512.272003"], [(0,), (1,)], id="near one fraction of 92 parts"),
        pytest.param(["2556.291787", "2556.291789"], [(0,), (1,)], id="near another"),
        pytest.param(["11592.872609", "11592.872809", "11592.872769"], [(0,), (1,), (2,)], id="large"),
        pytest.param(["71.99999999999999", "72"], [(0,), (1,)], id="a fraction with an end"),
    ],
)
def test_a_decimal_stands_for_a_fraction_to_its_last_place_only(
    answers: list[str | None], groups: list[tuple[int, ...]]
) -> None:
    assert members(answers) == groups


def test_a_decimal_is_no_root_in_a_vote() -> None:
    # Each is the root to its last digit; with one of them in its class, which would depend on the others.
    assert members([r"\sqrt{2}", "1.414214", "1.41421356"]) == [(0,), (1,), (2,)]


def test_an_empty_set_has_no_groups() -> None:
    assert group_answers([]) == Grouping((), ())
    assert group_answers([None, None]) == Grouping((), ())


def test_expressions_are_joined_by_algebra() -> None:
    assert members([r"\sqrt{8}", "3", r"2\sqrt{2}", "x^2-1", "(x-1)(x+1)"]) == [(0, 2), (1,), (3, 4)]


@pytest.mark.parametrize(
    ("answers", "groups", "notes"),
    [
        pytest.param(["25%", "0.25", "25"], [(0, 2), (1,)], ("percent_read_as_number",), id="the_number"),
        pytest.param(["25%", "30"], [(0,), (1,)], (), id="alone"),
        pytest.param(["1%", "100%", "1"], [(0, 2), (1,)], ("percent_read_as_number",), id="each_its_own"),
        pytest.param(["5", "5 cm"], [(0, 1)], (), id="one_unit"),
        pytest.param(["5", "5 cm", "5 m"], [(0, 1, 2)], ("mixed_units",), id="two_units"),
        pytest.param(["10 mph", "10 miles per hour"], [(0, 1)], (), id="two_names_of_a_unit"),
        pytest.param(["60 mph", "60 miles/hour", "60 miles an hour", "60"], [(0, 1, 2, 3)], (), id="speed"),
        pytest.param(["$15 per hour", "15 dollars per hour", "$15/h", "15"], [(0, 1, 2, 3)], (), id="wage"),
        pytest.param(["12 in total", "$12", "12 in all", "12"], [(0, 1, 2, 3)], (), id="in_is_no_inch"),
        pytest.param(["8", "8 hours", "8 hours per day"], [(0, 1, 2)], (), id="what_it_is_per_left_out"),
        pytest.param(["8 hours a day", "8 hours a week"], [(0, 1)], ("mixed_units",), id="rates"),
        pytest.param(["9 a.m.", "9 p.m.", "9"], [(0,), (1,), (2,)], (), id="morning_and_evening"),
        pytest.param(["90 minutes", "1.5 hours", "1.5"], [(0,), (1, 2)], (), id="nothing_is_converted"),
    ],
)
def test_a_number_counts_as_it_stands(
    answers: list[str | None], groups: list[tuple[int, ...]], notes: tuple[str, ...]
) -> None:
    assert (members(answers), group_answers(answers).notes) == (groups, notes)


def test_a_group_is_written_as_most_of_its_members_are() -> None:
    assert [group.answer for group in group_answers(["5 m", "5 cm", "5 cm", "5"]).groups] == ["5 cm"]


def test_a_planted_unit_takes_no_votes_from_others() -> None:
    before = ["5 cm"] * 16 + ["5"] * 16 + ["6"] * 18
    assert [len(group.indices) for group in group_answers(before).groups] == [32, 18]
    assert [len(group.indices) for group in group_answers([*before, "5 m"]).groups] == [33, 18]


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
    "5 m",
    "5 cm",
    "5 hours",
    "5 hours per day",
    "5 hours a week",
    "€5",
    "5 cents",
    "25%",
    "0.25",
    "25",
    "1/4",
    "5 pm",
    "x=1, y=2",
    "y=2, x=1",
    "(x,y)=(1,2)",
    "1, 2",
    r"\{1,2\}",
    "[1,2]",
    "x>2",
    r"(2,\infty)",
    "2x>4",
    "y=2x+1",
    "2x+1",
    "2x-y+1=0",
    "7:32",
    "14:64",
    "3:30 pm",
    "15:30",
    "R-r",
    "r-R",
    None,
]


@settings(max_examples=60, deadline=None)
@given(answers=st.lists(st.sampled_from(_POOL), max_size=14), planted=st.sampled_from(_POOL))
def test_one_more_sample_changes_the_votes_of_other_classes_by_no_more_than_itself(
    answers: list[str | None], planted: str | None
) -> None:
    before = {frozenset(group.indices) for group in group_answers(answers).groups}
    after = {frozenset(group.indices) for group in group_answers([*answers, planted]).groups}
    # Every class of before is there still, at most one of them with the newcomer in it.
    new = len(answers)
    assert {members - {new} for members in after} - {frozenset()} == before


@settings(max_examples=50, deadline=None)
@given(answers=st.lists(st.sampled_from(_POOL), max_size=12))
def test_every_answer_is_in_one_group_and_equal_texts_share_theirs(answers: list[str | None]) -> None:
    groups = group_answers(answers).groups
    places = sorted(place for group in groups for place in group.indices)
    assert places == [place for place, answer in enumerate(answers) if answer is not None]
    assert [group.indices[0] for group in groups] == sorted(group.indices[0] for group in groups)
    assert all(group.answer in [answers[place] for place in group.indices] for group in groups)
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
