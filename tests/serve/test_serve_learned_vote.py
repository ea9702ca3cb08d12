"""A fitted vote decides a served request like any aggregator."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import httpx

from sampleset.aggregators.learned_vote import FeatureWeight, Home, VoteModel
from support.running import Upstream, alias, running


def test_a_fitted_vote_decides_what_is_served(tmp_path: Path):
    home = Home("maths", (2, 5), (), (), (), (), (), 0.0)
    model = VoteModel(1.0, (FeatureWeight("boxed", 5.0, 1.0),), home, (0.0, 1.0, 0.0, 0.0))
    vote = tmp_path / "vote.json"
    vote.write_text(json.dumps(model.to_json()))
    with Upstream() as upstream:
        replies = cycle(["<answer>1</answer>", "<answer>1</answer>", "\\boxed{2}"])
        upstream.says = lambda request: next(replies)
        config = alias(upstream, k=3, aggregator=f"learned_vote:file={vote}")
        with running({"careful": config}) as server:
            body = {"model": "careful", "messages": [{"role": "user", "content": "How many?"}]}
            reply = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=60).json()
    told = reply["choices"][0]["sampleset"]
    assert told["answer"] == "2"
