"""LiteLLM itself calls the provider."""

import os

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
litellm = pytest.importorskip("litellm")

from sampleset.integrations.litellm import register

pytestmark = pytest.mark.filterwarnings("ignore")
CHAT = [{"role": "user", "content": "2+3?"}]


@pytest.fixture(autouse=True)
def registered() -> None:
    register()


def test_a_completion_is_the_vote_of_k_samples(model: str):
    reply = litellm.completion(model=f"sampleset/{model}", messages=CHAT, k=4, max_tokens=20)
    assert reply.choices[0].message.content == "So it is \\boxed{5}."
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (28, 16)
    assert reply._hidden_params["sampleset"]["confidence"] == 0.75


async def test_it_works_within_a_loop(model: str):
    reply = await litellm.acompletion(model=f"sampleset/{model}", messages=CHAT, k=1)
    assert reply.choices[0].message.content == "So it is \\boxed{6}."


def test_a_stream_is_one_chunk(model: str):
    chunks = litellm.completion(model=f"sampleset/{model}", messages=CHAT, k=4, stream=True)
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == "So it is \\boxed{5}."
