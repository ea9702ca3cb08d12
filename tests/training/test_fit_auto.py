"""Rules for `auto`: labels that show nothing leave the vote."""

from __future__ import annotations

import random

import pytest

from sampleset.errors import DataError
from sampleset.training.fit_auto import LabelledSet, fitted_rules


def sets(count: int, share: float, *, reader_is_better: bool = False) -> list[LabelledSet]:
    generator = random.Random(count)
    rows = list[LabelledSet]()
    for _ in range(count):
        vote = generator.random() < 0.4
        reader = True if reader_is_better else vote
        rows.append(
            LabelledSet("maths", share, True, {"vote": vote, "reader": reader}, {"vote": 0, "reader": 90})
        )
    return rows


def test_a_dearer_method_is_taken_only_where_it_has_paid():
    rules = fitted_rules([*sets(40, 0.4, reader_is_better=True), *sets(40, 0.9)])
    taken = {(rule.low, rule.high): rule.method for rule in rules if rule.confidence_agrees}
    assert taken == {(0.0, 0.45): "reader", (0.45, 1.0): "vote"}
    assert rules[0].tokens == {"vote": 0, "reader": 90}


def test_every_share_has_a_rule_of_each_sort():
    rules = fitted_rules(sets(60, 0.5))
    for agrees in (True, False):
        for share in (0.01, 0.3, 0.5, 1.0):
            assert sum(rule.fits("maths", share, agrees) for rule in rules) == 1


def test_a_gain_within_chance_leaves_the_vote():
    rows = sets(60, 0.4)
    lucky = LabelledSet("maths", 0.4, True, {"vote": False, "reader": True}, {"vote": 0, "reader": 90})
    assert {rule.method for rule in fitted_rules([*rows, lucky, lucky])} == {"vote"}


def test_too_few_labels_are_refused_with_how_many_it_takes():
    with pytest.raises(DataError, match="39 labelled questions are too few to learn rules from: it takes 40"):
        fitted_rules(sets(39, 0.5))
