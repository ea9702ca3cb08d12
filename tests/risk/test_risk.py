"""The mathematics of promises: the threshold's risk is bounded, and the alarm keeps its level."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.risk.certificate import certificate_of
from sampleset.risk.drift import DriftAlarm
from sampleset.risk.thresholds import (
    binomial_tail,
    certified_threshold,
    fewest_labels,
    risk_curve,
    upper_bound,
)


@given(
    st.integers(1, 30),
    st.integers(0, 30),
    st.sampled_from([Fraction(1, 20), Fraction(1, 3), Fraction(7, 10)]),
)
def test_a_binomial_tail_is_the_exact_sum(trials: int, successes: int, share: Fraction):
    counts = range(min(successes, trials) + 1)
    exact = sum(math.comb(trials, count) * share**count * (1 - share) ** (trials - count) for count in counts)
    assert binomial_tail(successes, trials, float(share)) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize(("wrong", "answered", "upper"), [(0, 59, 0.0495), (1, 93, 0.0500), (5, 100, 0.1023)])
def test_the_upper_bound_is_that_of_the_tables(wrong: int, answered: int, upper: float):
    assert upper_bound(wrong, answered, 0.95) == pytest.approx(upper, abs=2e-4)


def test_a_curve_has_a_point_for_each_confidence_and_leaves_out_what_has_none():
    curve = risk_curve([0.9, 0.9, 0.5, None, 0.2], [True, False, True, False, False])
    assert [(point.threshold, point.answered, point.wrong) for point in curve] == [
        (0.5, 2, 1),
        (0.2, 3, 1),
        (-1.0, 4, 2),
    ]


def test_no_threshold_is_lower_than_it_has_to_be():
    confidences = [0.9] * 200 + [0.3] * 200
    threshold = certified_threshold(confidences, [True] * 200 + [True, False] * 100, risk=0.05)
    assert threshold.point.threshold == 0.3
    assert threshold.coverage == 0.5
    certificate = certificate_of(
        threshold, confidences, aggregator="a", identity="i", models=(), prompt=None, k=5,
        answer_kind="maths", keep_thinking=False, files=(), data="d",
    )  # fmt: skip
    assert certificate.gives(0.9)
    assert not certificate.gives(0.3)
    assert not certificate.gives(None)


def test_all_is_answered_where_all_is_right():
    threshold = certified_threshold([place / 500 for place in range(500)], [True] * 500, risk=0.05)
    assert threshold.coverage == 1.0


def test_too_few_labels_are_refused_with_how_many_it_takes():
    needed = fewest_labels(0.05, 0.95)
    assert needed == 80
    with pytest.raises(DataError, match=rf"79 labelled questions are too few .* takes {needed} answered"):
        certified_threshold([0.9] * 79, [True] * 79, risk=0.05)
    assert certified_threshold([0.9] * needed, [True] * needed, risk=0.05).coverage == 1.0


def test_confidences_that_tell_nothing_are_refused_with_what_they_hold():
    generator = random.Random(0)
    confidences = [generator.random() for _ in range(400)]
    with pytest.raises(DataError, match=r"No threshold keeps the risk at 0\.05"):
        certified_threshold(confidences, [generator.random() < 0.7 for _ in confidences], risk=0.05)


@pytest.mark.parametrize("wrong", [{"risk": 0.0}, {"risk": 1.0}, {"risk": 0.1, "confidence": 1.0}])
def test_what_is_no_share_is_refused(wrong: dict[str, float]):
    with pytest.raises(InvalidArgumentError, match="above 0 and below 1"):
        certified_threshold([0.5], [True], **wrong)


@pytest.mark.parametrize("levels", [5, None])
def test_the_promise_is_broken_in_no_more_splits_than_was_said(levels: int | None):
    generator = np.random.default_rng(1)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        confidences = generator.beta(2, 1, count)
        if levels:
            confidences = np.ceil(confidences * levels) / levels
        return confidences, generator.random(count) < confidences**0.3

    many, rights = drawn(50_000)
    broken = accepted = 0
    for _ in range(120):
        confidences, right = drawn(300)
        try:
            found = certified_threshold(confidences.tolist(), right.tolist(), risk=0.15, confidence=0.9)
        except DataError:
            continue
        accepted += 1
        broken += float((~rights[many > found.point.threshold + 1e-9]).mean()) > 0.15
    assert accepted > 100
    assert broken <= 18  # 12 are promised; 19 would happen by chance in one of thirty runs of this test


def test_a_stream_that_has_not_changed_hardly_ever_alarms_and_one_that_has_does():
    generator = np.random.default_rng(2)
    certified = generator.beta(3, 1, 300).tolist()
    alike = [DriftAlarm(certified, seed=seed) for seed in range(60)]
    for alarm in alike:
        for confidence in generator.beta(3, 1, 300):
            alarm.add(float(confidence))
    assert sum(alarm.alarmed for alarm in alike) <= 3
    lower, higher = DriftAlarm(certified), DriftAlarm(certified)
    assert any(lower.add(float(confidence)) for confidence in generator.beta(1, 1, 300))
    assert any(higher.add(1.0) for _ in range(300))
    assert lower.seen < 100


def test_an_alarm_stays():
    alarm = DriftAlarm([place / 100 for place in range(100)])
    while not alarm.add(0.0):
        assert alarm.seen < 300
    for place in range(2000):
        alarm.add(place % 100 / 100)
    assert alarm.alarmed
