"""Certificates of the vote over samples of a stub."""

from pathlib import Path
from typing import Any

from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.risk.certificate import Certificate
from sampleset.specs import identity_of


def certificate(path: Path, **changes: Any) -> Path:
    """A certificate of the vote over four samples of the model `stub-model`, changed and saved."""
    values: dict[str, Any] = {
        "aggregator": "majority_vote", "identity": identity_of(MajorityVote()), "models": ("stub-model",),
        "prompt": None, "k": 4, "answer_kind": "maths", "keep_thinking": False, "threshold": 0.6,
        "risk": 0.05, "confidence": 0.95, "n": 300, "answered": 200, "wrong": 2,
        "files": ("labels",), "data": "0",
        "reference": (0.25,) * 20 + (0.5,) * 30 + (1.0,) * 50,
    }  # fmt: skip
    Certificate(**{**values, **changes}).save(path)
    return path
