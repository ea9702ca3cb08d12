"""`llm` itself loads the plugin and prompts the model."""

import pytest

llm = pytest.importorskip("llm")

from sampleset.integrations import llm as plugin

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def sampled() -> object:
    found: list[object] = []
    plugin.register_models(found.append)
    return found[0]


def test_a_prompt_is_answered_by_the_vote_of_k_samples(sampled, model: str):
    response = sampled.prompt("2+3?", model=model, k=4)
    assert response.text() == "So it is \\boxed{5}."
    assert response.response_json["votes"] == [{"answer": "6", "votes": 1}, {"answer": "5", "votes": 3}]
    assert (response.input_tokens, response.output_tokens) == (28, 16)


def test_a_conversation_is_sent_along(sampled, model: str):
    conversation = sampled.conversation()
    conversation.prompt("2+3?", model=model, k=4).text()
    assert conversation.prompt("And 1+4?", model=model, k=4).text() == "So it is \\boxed{5}."
