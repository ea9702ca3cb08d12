"""Refused fields, in the words in which servers were seen to refuse them."""

from __future__ import annotations

from typing import Any

import pytest

from sampleset.wire.faults import fault_in, refused_field

OPTIONAL = (
    "max_tokens",
    "top_logprobs",
    "logprobs",
    "seed",
    "top_k",
    "top_p",
    "stop",
    "temperature",
    "stream",
)
FIELDS: dict[str, Any] = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 20,
    "max_tokens": 50,
    "stop": ["END"],
    "seed": 7,
    "stream": False,
    "logprobs": True,
    "top_logprobs": 4,
}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        pytest.param("property 'top_k' is unsupported", "top_k", id="Groq"),
        pytest.param("property 'seed' is unsupported, did you mean 'stop'?", "seed", id="Groq, a hint"),
        pytest.param("property 'store' is unsupported, did you mean 'stop'?", None, id="Groq, only a hint"),
        pytest.param(
            "`temperature` is deprecated for this model.", "temperature", id="Claude since Opus 4.7"
        ),
        pytest.param("top_p cannot be set to 0.9 for this model.", "top_p", id="Claude, a value"),
        pytest.param(
            "`temperature` may only be set to 1 when thinking is enabled.",
            "temperature",
            id="Claude, thinking",
        ),
        pytest.param("Logprobs is not enabled for models/gemini-2.5-pro", "logprobs", id="Gemini"),
        pytest.param(
            "Logprobs is not supported for the current model.", "logprobs", id="Gemini, older models"
        ),
        pytest.param("Unrecognized request argument supplied: top_k", "top_k", id="OpenAI"),
        pytest.param(
            "Argument not supported on this model: top_logprobs",
            "top_logprobs",
            id="a name behind the refusal",
        ),
        pytest.param("body.top_k: Extra inputs are not permitted", "top_k", id="pydantic"),
        pytest.param("temperature: Input should be less than or equal to 1", None, id="a wrong value"),
        pytest.param("seed must be between 0 and 100", None, id="a wrong seed"),
    ],
)
def test_a_refused_field_is_found(message: str, field: str | None):
    fault = fault_in({"error": {"message": message, "type": "invalid_request_error"}}, 400)
    assert refused_field(fault, FIELDS, OPTIONAL) == field
