"""The paired test that may be looked at after every question keeps its level."""

from __future__ import annotations

import math
import random

import pytest

from sampleset.risk.worth import WorthIt, log_evidence


def test_the_evidence_of_a_bettor_is_fair():
    # Over all ways that n fair coins may fall, the money is worth what it was: exactly one.
    for trials in (1, 2, 5, 12):
        worth = sum(
            math.comb(trials, wins) * math.exp(log_evidence(wins, trials - wins))
            for wins in range(trials + 1)
        )
        assert worth / 2**trials == pytest.approx(1.0, rel=1e-9)


def test_a_verdict_is_wrong_in_no_more_streams_than_was_said():
    generator = random.Random(3)
    wrong = 0
    for _ in range(200):
        test = WorthIt()
        for _ in range(200):
            first = generator.random() < 0.5
            test.add(first, not first)
            if test.verdict != "not known":
                wrong += 1
                break
    assert wrong <= 18  # of 10 that are allowed on average; 19 would be in one of a hundred runs of this test


def test_a_better_method_is_told_in_time_and_equal_answers_tell_nothing():
    test = WorthIt()
    for _ in range(1000):
        test.add(True, True)
        test.add(False, False)
    assert test.verdict == "not known"
    for _ in range(10):
        test.add(True, False)
    assert (test.verdict, test.better, test.alike) == ("yes", 10, 2000)
    worse = WorthIt(worse=10)
    assert worse.verdict == "no"
