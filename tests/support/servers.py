"""Stubs of the servers in docs/reference/servers.md, each with the manners that are documented.

A stub takes a chat request as the server does: at its path, with its key, refusing what it refuses. Its
replies, plain and streamed, hold what those of the server hold beside the usual.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.running import Upstream
from support.stub_server import Reply, error_reply

Body = dict[str, Any]
Refuses = Callable[[Body], Reply | None]
ANSWER = "So it is \\boxed{4}."


def _nothing(request: Body) -> None:
    return None


def _any_of(*refusals: Refuses) -> Refuses:
    return lambda request: next((reply for one in refusals if (reply := one(request))), None)


def _unknown(names: Sequence[str], say: Callable[[list[str]], Reply]) -> Refuses:
    """Refuses every one of these fields that is sent, as `say` words it."""

    def refuse(request: Body) -> Reply | None:
        sent = [name for name in names if name in request]
        return say(sent) if sent else None

    return refuse


def _one_choice(limit: Reply) -> Refuses:
    return lambda request: limit if request.get("n", 1) != 1 else None


@dataclass(frozen=True)
class KnownServer:
    """A server's manners.

    Attributes:
        name: Its row in docs/reference/servers.md.
        path: What stands between the host and `/chat/completions`.
        query: What stands behind it.
        refuses: Its error for a request that it does not take.
        passes_over: Fields that it takes and that change nothing.
        finish: How it names a natural end.
        dress: What its replies hold beside the usual, by field.
        message: What its messages hold beside the usual.
        opening: What its streams begin with.
        usage_at: Where the last chunk of a stream counts tokens.
        listing: Its list of models; `None` where it has none.
        header: Where it looks for the key.
    """

    name: str
    path: str = "/v1"
    query: str = ""
    refuses: Refuses = _nothing
    passes_over: Sequence[str] = ()
    finish: str = "stop"
    dress: Mapping[str, Any] = field(default_factory=dict[str, Any])
    message: Mapping[str, Any] = field(default_factory=dict[str, Any])
    opening: str = ""
    usage_at: str = "usage"
    listing: Any = field(default_factory=lambda: {"object": "list", "data": [{"id": "stub-model"}]})
    header: str = "authorization"


@dataclass
class KnownServerStub(Upstream):
    """The stub of a known server.

    Attributes:
        known: Whose manners it has.
    """

    known: KnownServer = field(default_factory=lambda: KnownServer("none"))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.known.path}{self.known.query}"

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, reader: Any
    ) -> Any:
        known = self.known
        sent = headers.get(known.header, "").removeprefix("Bearer ")
        self.keys.append(sent)
        if self.api_key is not None and sent != self.api_key:
            return error_reply(401, "Incorrect API key provided.", code="invalid_api_key")
        if path == f"{known.path}/models{known.query}" and known.listing is not None:
            return Reply(200, known.listing)
        if path != f"{known.path}/chat/completions{known.query}":
            return Reply(404, {"error": {"code": "404", "message": "Resource not found"}})
        request = json.loads(body)
        self.requests.append(request)
        if refusal := known.refuses(request):
            return refusal
        choice = {"index": 0, "finish_reason": known.finish}
        message = {"role": "assistant", "content": ANSWER, **known.message}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        head = {"id": "chatcmpl-1", "created": 1, "model": "stub-model", **known.dress}
        if not request.get("stream"):
            whole = {**head, "object": "chat.completion", "choices": [{**choice, "message": message}]}
            return Reply(200, {**whole, "usage": usage})
        deltas = [{**message, "content": ""}, {"content": ANSWER[:5]}, {"content": ANSWER[5:]}]
        chunks: list[Body] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        chunks += [{"choices": [{**choice, "delta": {}}]}, {"choices": [], known.usage_at: usage}]
        events = [
            f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', **chunk})}" for chunk in chunks
        ]
        text = known.opening + "\n\n".join([*events, "data: [DONE]", ""])
        return Reply(200, text, {"content-type": "text/event-stream"})


def _of_openai(sent: list[str]) -> Reply:
    hint = " Use 'max_completion_tokens' instead." if sent[0] == "max_tokens" else ""
    return error_reply(
        400,
        f"Unsupported parameter: '{sent[0]}' is not supported with this model.{hint}",
        param=sent[0],
        code="unsupported_parameter",
    )


def _of_gemini(sent: list[str]) -> Reply:
    said = "\n".join(
        f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.' for name in sent
    )
    return Reply(400, [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}])


def _of_claude(request: Body) -> Reply | None:
    if "temperature" in request and "top_p" in request:
        said = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        return error_reply(400, said)
    return None


def _of_newer_claude(request: Body) -> Reply | None:
    """Since Opus 4.7 no parameter of sampling is taken."""
    names = [name for name in ("temperature", "top_p", "top_k") if name in request]
    return error_reply(400, f"`{names[0]}` is deprecated for this model.") if names else None


def _of_gemini_models(request: Body) -> Reply | None:
    if not request.get("logprobs"):
        return None
    said = "Logprobs is not enabled for models/stub-model"
    return Reply(400, [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}])


def _of_ollama(request: Body) -> Reply | None:
    is_odd = "seed" in request and not isinstance(request["seed"], int)
    return error_reply(400, "json: cannot unmarshal number into Go struct field") if is_odd else None


_FILTERS = {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
_REASONS = ("temperature", "top_p", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty")
_AZURE_FIRST = f"data: {json.dumps({'id': '', 'model': '', 'choices': [], **_FILTERS})}\n\n"
_ONE = error_reply(400, "'n' : number must be at most 1")

NEWER_CLAUDE = KnownServer("Claude, since Opus 4.7", refuses=_of_newer_claude)

KNOWN_SERVERS: tuple[KnownServer, ...] = (
    KnownServer("OpenAI", refuses=_unknown((*_REASONS, "max_tokens"), _of_openai)),
    KnownServer(
        "Claude",
        refuses=_any_of(_of_claude, _one_choice(error_reply(400, "n must be 1"))),
        passes_over=("seed", "logprobs", "top_logprobs", "user", "reasoning_effort", "response_format"),
        listing={"data": [{"type": "model", "id": "stub-model", "display_name": "Stub"}], "has_more": False},
    ),
    KnownServer(
        "Gemini",
        path="/v1beta/openai",
        refuses=_any_of(_unknown(("seed", "top_k"), _of_gemini), _of_gemini_models),
        finish="STOP",
        listing={"object": "list", "data": [{"id": "models/stub-model", "object": "model"}]},
    ),
    KnownServer(
        "Azure",
        path="/openai/deployments/stub-model",
        query="?api-version=2026-01-01",
        refuses=_unknown(("max_tokens",), _of_openai),
        dress={**_FILTERS, "system_fingerprint": "fp_1"},
        opening=_AZURE_FIRST,
        listing=None,
        header="api-key",
    ),
    KnownServer(
        "OpenRouter",
        path="/api/v1",
        dress={"provider": "Somebody"},
        message={"refusal": None, "reasoning": "Hm."},
        opening=": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n",
    ),
    KnownServer(
        "Groq",
        path="/openai/v1",
        refuses=_any_of(
            _unknown(
                ("logprobs", "top_logprobs", "logit_bias", "top_k"),
                lambda sent: error_reply(400, f"property '{sent[0]}' is unsupported, did you mean 'stop'?"),
            ),
            _one_choice(_ONE),
        ),
        dress={"x_groq": {"id": "req_1"}, "service_tier": "on_demand"},
    ),
    KnownServer("Together", finish="eos", listing=[{"id": "stub-model", "type": "chat"}]),
    KnownServer(
        "vLLM",
        dress={"kv_transfer_params": None, "prompt_logprobs": None},
        message={"reasoning": None, "tool_calls": []},
        listing={
            "object": "list",
            "data": [{"id": "stub-model", "owned_by": "vllm", "max_model_len": 4096, "root": "stub/model"}],
        },
    ),
    KnownServer(
        "SGLang",
        dress={"metadata": {"weight_version": "default"}},
        message={"reasoning_content": None, "tool_calls": None},
        listing={
            "object": "list",
            "data": [{"id": "stub-model", "owned_by": "sglang", "max_model_len": 4096}],
        },
    ),
    KnownServer(
        "llama.cpp",
        refuses=_one_choice(error_reply(400, "Only one completion choice is allowed")),
        dress={"timings": {"prompt_n": 10, "predicted_n": 5}, "system_fingerprint": "b1"},
        listing={
            "models": [{"name": "stub-model"}],
            "object": "list",
            "data": [{"id": "stub-model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 4096}}],
        },
    ),
    KnownServer("Ollama", refuses=_of_ollama, dress={"system_fingerprint": "fp_ollama"}),
    KnownServer(
        "LM Studio",
        passes_over=("logprobs", "top_logprobs", "n", "user"),
        dress={"stats": {}, "system_fingerprint": "stub-model"},
        message={"tool_calls": []},
    ),
)
