"""What servers were seen to answer: one table, which every way from a question to an answer is run against.

Each case is a reply as it went over the wire, and what it means: `passing` (another try helps), `overflow`,
`filtered` and `refused` (this prompt, not others), `credit` and `key` (no prompt).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from support.stub_server import Reply, error_reply

Means = Literal["passing", "overflow", "filtered", "refused", "credit", "key"]


@dataclass(frozen=True)
class ServerFault:
    """A reply that is no sample."""

    name: str
    means: Means
    reply: Reply


def said(text: str, finish_reason: str | None, **choice: Any) -> Reply:
    """A success with this text and finish reason."""
    message = {"role": "assistant", "content": text}
    return Reply(200, {"choices": [{"message": message, "finish_reason": finish_reason, **choice}]})


def _anthropic(status: int, message: str) -> Reply:
    return Reply(status, {"type": "error", "error": {"type": "invalid_request_error", "message": message}})


_PARTIAL = "A first guess is \\boxed{99}, but"
_GEMINI_OVERFLOW = "The input token count (200000) exceeds the maximum number of tokens allowed (131072)."

FAULTS: tuple[ServerFault, ...] = (
    *(
        ServerFault(f"overflow, {name}", "overflow", reply)
        for name, reply in {
            "TGI": Reply(
                422,
                {
                    "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. "
                    "Given: 5000 `inputs` tokens and 512 `max_new_tokens`",
                    "error_type": "validation",
                },
            ),
            "Anthropic": _anthropic(400, "prompt is too long: 210000 tokens > 200000 maximum"),
            "Anthropic's limit": _anthropic(400, "input length and `max_tokens` exceed context limit: 5 > 4"),
            "vLLM V1": error_reply(
                400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."
            ),
            "vLLM, negative": error_reply(400, "max_tokens must be at least 1, got -904."),
            "Gemini": Reply(
                400, [{"error": {"code": 400, "message": _GEMINI_OVERFLOW, "status": "INVALID_ARGUMENT"}}]
            ),
            "xAI": error_reply(
                400, "This model's maximum prompt length is 131072 but the request contains 200000 tokens."
            ),
            "TGI, older": error_reply(422, "`inputs` must have less than 4095 tokens. Given: 5000"),
            "Bedrock, characters": Reply(400, {"message": "expected maxLength: 50000, actual: 60000"}),
            "DashScope": error_reply(400, "Range of input length should be [1, 30720]"),
            "compared": error_reply(400, "total number of tokens 9,000 > 8,192"),
            "unknown words": error_reply(400, "prompt token count of 137000 exceeds the limit of 128000"),
            "a limit that it fits": error_reply(400, "Ensure that your request fits the 32768 token limit."),
            "total tokens": error_reply(400, "total tokens exceed limit"),
            "more tokens": error_reply(400, "tokens in request more than max tokens allowed"),
            "numbers alone": error_reply(422, "Input too long: 9000 > 8192"),
            "n_ctx": error_reply(500, "the prompt exceeds n_ctx"),
            "conversation": Reply(400, {"exception": "conversation too long"}),
            "Bedrock": Reply(400, {"message": "Input is too long for requested model."}),
            "Zhipu": error_reply(400, "Prompt exceeds max length", code="1261"),
            "Groq": error_reply(400, "Please reduce the length of the messages or completion."),
            "llama-cpp-python": error_reply(400, "Requested tokens (5000) exceed context window of 4096"),
            "OpenAI": error_reply(
                400, "Invalid 'messages[0].content': string too long.", code="string_above_max_length"
            ),
            "llama.cpp": error_reply(500, "Context size has been exceeded."),
            "nginx": Reply(413, "<html>413 Request Entity Too Large</html>"),
            "Groq, a minute": error_reply(413, "Request too large for model `x` on tokens per minute (TPM)."),
        }.items()
    ),
    *(
        ServerFault(f"filter, {name}", "filtered", reply)
        for name, reply in {
            "OpenRouter": Reply(
                403,
                {
                    "error": {
                        "code": 403,
                        "message": "openai/gpt-4o requires moderation. Your input was flagged for violence.",
                        "metadata": {"reasons": ["violence"]},
                    }
                },
            ),
            "OpenAI": error_reply(400, "Invalid prompt: it was flagged.", code="invalid_prompt"),
            "DeepSeek": error_reply(400, "Content Exists Risk"),
            "Azure's code in words": error_reply(400, "ResponsibleAIPolicyViolation"),
            "harmful": Reply(400, {"error": {"details": "The prompt contains harmful content."}}),
            "Gemini's own": Reply(400, {"promptFeedback": {"blockReason": "SAFETY"}}),
            "Gemini, blocked": error_reply(400, "The prompt was blocked: PROHIBITED_CONTENT"),
            "Zhipu": error_reply(
                400, "\u8f93\u5165\u53ef\u80fd\u5305\u542b\u4e0d\u5b89\u5168\u5185\u5bb9", code="1301"
            ),
            "Azure": error_reply(400, "The response was filtered.", code="content_filter"),
            "MiniMax": Reply(400, {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
            "unsafe": said(_PARTIAL, "UNSAFE_CONTENT"),
            "SAFETY": said("", "SAFETY"),
            "RECITATION": said(_PARTIAL, "RECITATION"),
            "part of a text": said(_PARTIAL, "content_filter"),
            "Vertex, Model Armor": said(_PARTIAL, "MODEL_ARMOR"),
            "content risk": said(_PARTIAL, "risk"),
            "sensitive": said(_PARTIAL, "sensitive"),
        }.items()
    ),
    *(
        ServerFault(f"refused, {name}", "refused", reply)
        for name, reply in {
            "400": error_reply(400, "Something that no list holds."),
            "422": Reply(422, {"errors": [{"msg": "Odd question."}]}),
            "msg": Reply(400, {"msg": "No."}),
            "a limit of the reply": error_reply(400, "max_tokens exceeds the limit of this model: 4096."),
            "XML": Reply(400, "<Error><Message>No.</Message></Error>"),
            "wrapped as data": Reply(400, {"data": {"error": {"message": "No."}}}),
            "twice wrapped": Reply(400, {"error": {"error": {"message": "No."}}}),
        }.items()
    ),
    *(
        ServerFault(f"broken off, {reason}", "passing", said(_PARTIAL, reason))
        for reason in (
            *("error", "abort", "insufficient_system_resource", "network_error", "cancelled"),
            "upstream_connection_lost_error",
            *("engine_shutdown", "rate_limited", "cut_off"),
            *("terminated", "deadline_exceeded"),
        )
    ),
    ServerFault("broken off, an error in the choice", "passing", said(_PARTIAL, "stop", error={"code": 502})),
    ServerFault(
        "broken off behind a router", "passing", said(_PARTIAL, "stop", native_finish_reason="ABORTED")
    ),
    ServerFault("broken off, by a stop reason", "passing", said(_PARTIAL, None, stop_reason="abort")),
    ServerFault(
        "broken off, an error in the message",
        "passing",
        Reply(
            200,
            {"choices": [{"message": {"content": _PARTIAL, "error": "Hung up."}, "finish_reason": "stop"}]},
        ),
    ),
    ServerFault(
        "broken off, by the status of the reply",
        "passing",
        Reply(200, {"choices": [{"message": {"content": _PARTIAL}}], "status": "failed"}),
    ),
    ServerFault(
        "broken off, an error beside the choice",
        "passing",
        Reply(
            200,
            {
                "choices": [{"message": {"content": _PARTIAL}, "finish_reason": "stop"}],
                "error": {"code": 502, "message": "Upstream died."},
            },
        ),
    ),
    *(
        ServerFault(f"status {status}", "passing", error_reply(status, "Come back."))
        for status in (408, 409, 420, 421, 424, 425, 429, 498, 499, 500, 502, 503, 520, 529)
    ),
    ServerFault("AWS, a limit", "passing", error_reply(400, "Slow down.", code="ThrottlingException")),
    ServerFault("a limit by 403", "passing", error_reply(403, "Rate limit exceeded.")),
    ServerFault("Gemini, overloaded", "passing", error_reply(503, "The model is overloaded.")),
    ServerFault("an error in a success", "passing", Reply(200, {"error": {"message": "Died", "code": 502}})),
    ServerFault("cut off", "passing", Reply(200, '{"choices": [{"message": {"content": "4')),
    ServerFault("credit", "credit", error_reply(429, "You exceeded your quota.", code="insufficient_quota")),
    ServerFault("spend", "credit", error_reply(429, "Monthly spend limit exceeded, upgrade your plan.")),
    ServerFault("LiteLLM's budget", "credit", error_reply(400, "Budget has been exceeded! Spend=10.0")),
    ServerFault("credits of a month", "credit", error_reply(429, "You have exceeded your monthly credits.")),
    ServerFault("Moonshot", "credit", error_reply(429, "Your account is suspended, please check your plan.")),
    ServerFault("Zhipu's credit", "credit", error_reply(429, "\u60a8\u7684\u8d26\u6237\u5df2\u6b20\u8d39")),
    ServerFault(
        "Alibaba", "credit", error_reply(400, "Your account is not in good standing.", code="Arrearage")
    ),
    ServerFault("no balance", "credit", Reply(402, {"error": {"message": "Insufficient Balance"}})),
    ServerFault("key", "key", error_reply(401, "Incorrect API key provided.")),
    ServerFault(
        "Gemini's key", "key", Reply(400, [{"error": {"code": 400, "message": "API key not valid."}}])
    ),
)


@dataclass(frozen=True)
class Manner:
    """A server that refuses fields, and how.

    Attributes:
        refuses: The fields of a request that it does not take, as names, or whether it takes a request.
        reply: Its answer where one of them is sent.
    """

    name: str
    refuses: Callable[[dict[str, Any]], bool]
    reply: Reply


def _with(*names: str) -> Callable[[dict[str, Any]], bool]:
    return lambda request: any(name in request for name in names)


MANNERS: tuple[Manner, ...] = (
    Manner(
        "OpenAI's reasoning models, temperature",
        _with("temperature"),
        error_reply(
            400,
            "Unsupported parameter: 'temperature' is not supported with this model.",
            param="temperature",
            code="unsupported_parameter",
        ),
    ),
    Manner(
        "OpenAI's newest models, the value of temperature",
        lambda request: request.get("temperature", 1) != 1,
        error_reply(
            400,
            "Unsupported value: 'temperature' does not support 0.8 with this model. Only the default (1) "
            "value is supported.",
            param="temperature",
            code="unsupported_value",
        ),
    ),
    Manner(
        "Claude, both together",
        lambda request: "temperature" in request and "top_p" in request,
        _anthropic(400, "`temperature` and `top_p` cannot both be specified for this model."),
    ),
    Manner(
        "Gemini",
        _with("seed", "logprobs", "top_logprobs"),
        Reply(
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.\n'
                        'Invalid JSON payload received. Unknown name "logprobs": Cannot find field.\n'
                        'Invalid JSON payload received. Unknown name "top_logprobs": Cannot find field.',
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
        ),
    ),
    Manner(
        "a server that speaks French",
        _with("seed"),
        error_reply(400, "Le champ seed n'est pas permis ici."),
    ),
    Manner(
        "a gateway, either of two",
        lambda request: "temperature" in request and "top_p" in request,
        error_reply(422, "temperature and top_p are mutually exclusive"),
    ),
    Manner(
        "a success that is none",
        _with("seed"),
        Reply(200, {"error": {"message": "got an unexpected keyword argument 'seed'", "code": 500}}),
    ),
    Manner(
        "a title beside the description",
        _with("seed"),
        Reply(400, {"error": "invalid_request", "error_description": "Unknown field 'seed'"}),
    ),
    Manner(
        "a validator of JSON schemas",
        _with("seed"),
        Reply(
            400,
            {
                "errors": [
                    {
                        "instancePath": "",
                        "params": {"additionalProperty": "seed"},
                        "message": "must NOT have additional properties",
                    }
                ]
            },
        ),
    ),
    Manner(
        "OpenRouter, no provider",
        _with("logprobs"),
        error_reply(404, "No endpoints found that support the requested parameters: logprobs"),
    ),
    Manner("Groq", _with("logprobs"), error_reply(400, "property 'logprobs' is unsupported")),
    Manner(
        "Mistral",
        _with("seed", "logprobs", "top_logprobs"),
        Reply(
            422,
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", name],
                        "msg": "Extra inputs are not permitted",
                    }
                    for name in ("seed", "logprobs", "top_logprobs")
                ]
            },
        ),
    ),
    Manner(
        "OpenRouter, what a provider said",
        _with("seed"),
        Reply(
            400,
            {
                "error": {
                    "code": 400,
                    "message": "Provider returned error",
                    "metadata": {
                        "raw": '{"error": {"message": "seed is not supported"}}',
                        "provider_name": "One",
                    },
                }
            },
        ),
    ),
    Manner("LiteLLM", _with("logprobs"), error_reply(400, "x does not support parameters: ['logprobs']")),
    Manner("Ollama", _with("top_logprobs"), Reply(400, 'json: unknown field "top_logprobs"')),
    Manner(
        "Kimi, one value",
        lambda request: request.get("temperature", 1) != 1,
        error_reply(400, "invalid temperature: only 1 is allowed for this model"),
    ),
    Manner(
        "OpenAI, a right that is missing",
        _with("logprobs"),
        error_reply(403, "You are not allowed to request logprobs from this model"),
    ),
    Manner(
        "llama-cpp-python, by a fault of its own",
        _with("logprobs"),
        error_reply(500, "logprobs is not supported for models created with logits_all=False"),
    ),
    Manner(
        "an error in a success",
        _with("logprobs"),
        Reply(200, {"error": {"message": "Unsupported parameter: 'logprobs'"}}),
    ),
    Manner(
        "Mistral, a message that holds the error",
        _with("seed"),
        Reply(
            422,
            {
                "object": "error",
                "message": {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "seed"],
                            "msg": "Extra inputs are not permitted",
                            "input": 7,
                        }
                    ]
                },
            },
        ),
    ),
    Manner(
        "DashScope, streams alone",
        lambda request: request.get("stream") is False,
        error_reply(400, "This model only support stream mode, please enable the stream parameter."),
    ),
    Manner(
        "no name at all",
        _with("logprobs"),
        Reply(400, {"code": 20015, "message": "The parameter is invalid. Please check again.", "data": None}),
    ),
)
