"""Which token a random number picks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampleset.chat import SamplingParams
from sampleset.engines.openvino.choice import choose

LOGITS = np.log(np.array([[0.1, 0.4, 0.3, 0.2]], np.float32))


def picks(params: SamplingParams, count: int = 1000) -> list[float]:
    uniforms = (np.arange(count) + 0.5) / count
    tokens = choose(np.repeat(LOGITS, count, axis=0), [params] * count, uniforms.tolist())
    return [float((tokens == token).mean()) for token in range(4)]


@pytest.mark.parametrize(
    ("params", "shares"),
    [
        pytest.param(SamplingParams(temperature=1.0), [0.1, 0.4, 0.3, 0.2], id="as they are"),
        pytest.param(SamplingParams(temperature=0.5), [1 / 30, 16 / 30, 9 / 30, 4 / 30], id="cooler"),
        pytest.param(SamplingParams(temperature=0.0), [0.0, 1.0, 0.0, 0.0], id="greedy"),
        pytest.param(SamplingParams(temperature=1.0, top_k=2), [0.0, 4 / 7, 3 / 7, 0.0], id="two likeliest"),
        pytest.param(SamplingParams(temperature=1.0, top_p=0.6), [0.0, 4 / 7, 3 / 7, 0.0], id="nucleus"),
        pytest.param(SamplingParams(temperature=1.0, top_k=3, top_p=0.4), [0.0, 1.0, 0.0, 0.0], id="both"),
    ],
)
def test_tokens_are_picked_by_their_shares(params: SamplingParams, shares: list[float]):
    assert picks(params) == pytest.approx(shares, abs=0.002)


def test_a_wide_vocabulary_is_picked_from_by_its_shares():
    random = np.random.default_rng(0)
    logits = random.normal(size=(1, 1000)).astype(np.float32) * 3
    shares = np.exp(logits[0].astype(np.float64))
    ends = (shares / shares.sum()).cumsum()
    for uniform in random.random(200).tolist():
        expected = int(np.searchsorted(ends, uniform, side="right"))
        (token,) = choose(logits, [SamplingParams(temperature=1.0)], [uniform])
        assert token == expected or abs(uniform - ends[min(token, expected)]) < 1e-5


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=300),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0.0, 0.3, 1.0, 4.0]),
    st.sampled_from([None, 1, 5]),
    st.sampled_from([0.1, 0.9, 1.0]),
)
def test_a_token_of_no_weight_is_never_picked(
    logits: list[float], uniform: float, temperature: float, top_k: int | None, top_p: float
):
    row = np.array([[*logits, -np.inf]], np.float32)
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p)
    (token,) = choose(row, [params], [uniform])
    assert 0 <= token < len(logits)
    if temperature == 0 or top_k == 1:
        assert row[0, token] == row.max()
