"""Refused fields, in the words in which servers were seen to refuse them."""

from __future__ import annotations

from typing import Any

import pytest

from sampleset.wire.faults import fault_in
from sampleset.wire.refusals import ONLY_STREAMS, refused_field, suspected_field

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


SENT = {**FIELDS, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("status", "message", "fields"),
    [
        (403, "You are not allowed to request logprobs from this model", "logprobs"),
        (
            400,
            "gpt-5 models don't support temperature=0.7. Only temperature=1 is supported. To drop "
            "unsupported params set `drop_params = True`",
            "temperature",
        ),
        (400, "x does not support parameters: {'logprobs': True, 'top_logprobs': 1}, for y", "logprobs"),
        (400, "invalid temperature: only 1 is allowed for this model", "temperature"),
        (400, "invalid top_p: only 0.95 is allowed for this model", "top_p"),
        (400, "Model x does not support parameter topLogprobs.", "top_logprobs"),
        (400, "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.", "top_p"),
        (500, "logprobs is not supported for models created with logits_all=False", "logprobs"),
        (500, "APIError: Unsupported parameter: 'temperature' is not supported.", "temperature"),
        (501, "stop sequences are not implemented", "stop"),
        (400, "Requested sample logprobs of 1, which is greater than max allowed: 0", "logprobs"),
        (400, "top_logprobs requires logprobs to be set to true", "top_logprobs"),
        (400, "logprobs must be between 1 and 10 but got True", "logprobs"),
        (400, "Unknown name \"topK\" at 'generation_config': Cannot find field.", "top_k"),
        (400, "\u8be5\u6a21\u578b\u4e0d\u652f\u6301logprobs\u53c2\u6570", "logprobs"),
        (400, "\u53c2\u6570 top_k \u4e0d\u652f\u6301", "top_k"),
        (400, "temperature is fixed at 1.0 for this model and cannot be changed", "temperature"),
        (400, "temperature must be 1 for reasoning models", "temperature"),
        (400, "Parameter temperature must be equal to 1.0.", "temperature"),
        (400, "Please omit `top_p` for this model.", "top_p"),
        (400, "Remove the 'temperature' parameter and try again.", "temperature"),
        (400, "The parameter 'top_p' is incompatible with reasoning mode", "top_p"),
        (400, "temperature is not compatible with this model", "temperature"),
        (400, "`stop` is not applicable to reasoning models", "stop"),
        (400, "This model samples by itself; temperature can't be customized.", "temperature"),
        (400, "Field `seed` is forbidden.", "seed"),
        (400, "Top K sampling is not available on this endpoint.", "top_k"),
        (400, "Top-P is not supported for this model", "top_p"),
        (400, "Streaming is not supported for this model.", "stream"),
        (400, "Log probabilities are not supported with this model.", "logprobs"),
        (400, "Speculative decoding does not support return_logprob", "logprobs"),
        (422, "unknown field `top_k`, expected one of `temperature`, `seed`, `logprobs`", "top_k"),
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"),
        (400, "Reasoning models require temperature=1", "temperature"),
        (400, "For thinking models temperature has to be 1", "temperature"),
        (400, "Expected temperature to be 1 but got 0.7", "temperature"),
        (400, "Invalid value for 'top_p': expected 1, got 0.9", "top_p"),
        (400, "The value of temperature should be 1.0", "temperature"),
        (400, "Setting 'top_p' and 'temperature' simultaneously is not supported", "top_p"),
        (400, "`temperature` and `top_p` cannot both be specified for this model.", "top_p"),
        (400, "per request seeds are unsupported", "seed"),
        # Wrong values and other complaints: no field is left out.
        (400, "temperature must be 1 or less", None),
        (400, "temperature must be 0 to 2, not 5", None),
        (400, "temperature must not be greater than 2", None),
        (400, "max_tokens is too large: 99999. This model supports at most 16384 tokens", None),
        (400, "Unsupported parameter: 'store'. Supported parameters: seed, top_k, stop", None),
        (404, "The model `x` does not exist or you do not have access to it.", None),
        (403, "Your key does not have permission to use this model.", None),
        (500, "The server had an error processing your request.", None),
    ],
)
def test_a_refused_field_is_found_in_whatever_words(status: int, message: str, fields: str | None):
    fault = fault_in({"error": {"message": message, "type": "invalid_request_error"}}, status)
    assert refused_field(fault, SENT, (*OPTIONAL, "stream_options")) == fields


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(
            {"error": {"issues": [{"code": "unrecognized_keys", "message": "Unrecognized key(s): 'seed'"}]}},
            "seed",
            id="zod",
        ),
        pytest.param(
            {"error": {"message": "Bad", "details": [{"field": "/top_k", "issue": "unknown property"}]}},
            "top_k",
            id="a pointer in details",
        ),
        pytest.param(
            {"message": "Failed", "errors": [{"path": "seed", "message": "property should not exist"}]},
            "seed",
            id="a path",
        ),
        pytest.param(
            {"statusCode": 400, "message": ["property top_k should not exist"], "error": "Bad Request"},
            "top_k",
            id="messages in a list beside a title",
        ),
        pytest.param({"title": "One or more.", "errors": {"seed": ["Not supported."]}}, "seed", id=".NET"),
        pytest.param({"top_k": ["Unexpected field."]}, "top_k", id="Django"),
        pytest.param({"error": {"message": "Bad", "errors": {"seed": "is unknown"}}}, "seed", id="texts"),
        pytest.param(
            {"error": {"code": "unsupported_parameter", "param": ["top_p"], "message": "Bad"}},
            "top_p",
            id="a list of parameters",
        ),
        pytest.param(
            {"error": {"message": "Bad", "details": {"field": "seed", "reason": "unknown field"}}},
            "seed",
            id="details that are no list",
        ),
        pytest.param(
            {"error": {"code": "unsupported_value", "target": "seed", "message": "Bad"}}, "seed", id="Azure"
        ),
        pytest.param(
            {"error": {"innererror": {"message": "'seed' is not supported"}, "message": "Bad request"}},
            "seed",
            id="an error within",
        ),
        pytest.param(
            {"violations": [{"propertyPath": "seed", "message": "This field was not expected."}]},
            "seed",
            id="Symfony",
        ),
        pytest.param(
            {
                "error": {
                    "message": "Request contains an invalid argument.",
                    "details": [
                        {
                            "fieldViolations": [
                                {"field": "generation_config.top_k", "description": "Unknown field"}
                            ]
                        }
                    ],
                }
            },
            "top_k",
            id="Google",
        ),
        pytest.param(
            {
                "error": {
                    "cause": '{"error": {"message": "Unsupported value: \'temperature\'"}}',
                    "message": "The model failed.",
                }
            },
            "temperature",
            id="a cause as a text",
        ),
    ],
)
def test_a_refused_field_is_found_in_whatever_wrapping(body: dict[str, Any], field: str):
    assert refused_field(fault_in(body, 400), FIELDS, OPTIONAL) == field


def test_details_within_details_have_an_end():
    details: dict[str, Any] = {"field": "top_k", "issue": "unknown"}
    for _ in range(900):
        details = {"details": [details]}
    fault = fault_in({"error": {"message": "Bad.", **details}}, 400)
    assert fault.text == "Bad."


@pytest.mark.parametrize(
    "message",
    [
        "This model only support stream mode, please enable the stream parameter to access the model.",
        "Stream must be set to true",
        "parameter.enable_thinking must be set to false for non-streaming calls",
    ],
)
def test_a_server_that_only_streams_is_recognised(message: str):
    fault = fault_in({"error": {"message": message}}, 400)
    assert refused_field(fault, FIELDS, OPTIONAL) == ONLY_STREAMS


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("The parameter is invalid. Please check again.", "top_logprobs"),
        ("API \u8c03\u7528\u53c2\u6570\u6709\u8bef", "top_logprobs"),
        ("Request contains an invalid argument.", "top_logprobs"),
        ("Bad Request", "top_logprobs"),
        ("The parameter `reasoning` is invalid.", None),
        ("max_tokens is an invalid parameter", None),
        ("Something that no list holds.", None),
    ],
)
def test_where_no_field_is_named_those_that_nobody_chose_are_left_out(message: str, field: str | None):
    assert suspected_field(fault_in({"error": {"message": message}}, 400), FIELDS, OPTIONAL) == field


@pytest.mark.parametrize(
    ("message", "field"),
    [
        # Refused in words, or in languages, that no list holds.
        ("the seed field has been retired", "seed"),
        ("\u30d1\u30e9\u30e1\u30fc\u30bf seed \u306f\u30b5\u30dd\u30fc\u30c8", "seed"),
        ("temperature n'est pas permis ici", "temperature"),
        ("illegal parameter: top_k", "top_k"),
        ("temperature and top_p are mutually exclusive", "top_p"),
        # The seed's value is nobody's choice.
        ("seed must be between 0 and 100", "seed"),
        # What somebody chose is not left out for its value.
        ("temperature must be between 0 and 1", None),
        ("Invalid temperature: too high", None),
        ("cannot unmarshal array into field stop of type string", None),
        ("top_k must be positive", None),
    ],
)
def test_a_field_that_is_named_in_unknown_words_is_suspected(message: str, field: str | None):
    fault = fault_in({"error": {"message": message}}, 400)
    assert suspected_field(fault, FIELDS, OPTIONAL) == field
    later = fault_in({"error": {"message": message}}, 500)
    assert suspected_field(later, FIELDS, OPTIONAL) is None
