"""How sure the model was of its tokens, from the recorded log-probabilities (DeepConf, arXiv 2508.15260)."""

from __future__ import annotations

from sampleset.types import LogprobSummary
from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet

_FIELDS = {"confidence": "mean", "window": "min_window", "tail": "tail", "bottom": "bottom"}


class TokenConfidence:
    """The four token confidences, in nats: mean, lowest window, tail, lowest tenth of the windows."""

    def columns(self, counted: CountedSet) -> Columns:
        """`None` where a sample's log-probabilities were not recorded."""
        known = [sample.logprobs for sample in counted.sample_set.samples]
        return {name: [_number(logprobs, field) for logprobs in known] for name, field in _FIELDS.items()}


def _number(summary: LogprobSummary | None, field: str) -> float | None:
    return None if summary is None else getattr(summary, field)


VOTE_FEATURES.register("logprobs")(TokenConfidence())
