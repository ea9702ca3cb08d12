"""Any server that speaks OpenAI's chat API: OpenAI, vLLM, llama.cpp, SGLang, Ollama, OpenRouter and others.

One request is one draw, with `n=1` and its own seed: servers that ignore `n` or give every choice of a
request the same seed cannot turn K samples into one. Replies are read as plain JSON rather than through
the SDK's models, which let malformed replies pass and cost time on long lists of log-probabilities.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from sampleset.backends._openai_clients import Clients
from sampleset.backends.base import BACKENDS
from sampleset.chat import Generation, Message, OnText, SamplingParams, estimate_pieces, plain_params
from sampleset.errors import (
    AuthenticationError,
    BackendError,
    BackendUnreachableError,
    ContextOverflowError,
    InvalidArgumentError,
    RefusedPromptError,
    TransientBackendError,
    UnknownModelError,
)
from sampleset.wire.replies import (
    broken_off,
    closed,
    count_of,
    is_http,
    is_overflow,
    list_of,
    lists,
    logprobs_of,
    mapping_of,
    parse_retry_after,
    reason_of,
    server_text,
    shortened,
    text_of,
)
from sampleset.wire.stream import StreamedCompletion

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, AsyncStream
    from openai.types.chat import ChatCompletionChunk

_log = logging.getLogger(__name__)

_OPENAI_URL = "https://api.openai.com/v1"
# A server that does not answer this fast to a question about itself counts as unreachable.
_LISTING_TIMEOUT = 30.0
# Left out once a server refuses them, most specific first; without them a draw is still a draw.
_OPTIONAL_FIELDS = ("top_logprobs", "logprobs", "seed", "top_k", "stream")


@BACKENDS.register("openai")
@dataclass(eq=False)
class OpenAIBackend:
    """A model behind an OpenAI-compatible server.

    A last message of the role `assistant` is continued by llama.cpp (whose echo of it is taken off) and by
    vLLM (which is asked to by its own two fields). Other servers get the messages as they are; some
    continue, many, OpenAI among them, start a new turn instead.

    What a model writes as `reasoning_content` is not part of a sample's text; its tokens are counted.

    Attributes:
        model: Name under which the server knows the model.
        base_url: Address up to and including `/v1`; by default `OPENAI_BASE_URL`, else OpenAI's own.
        api_key: By default `OPENAI_API_KEY`; servers at a `base_url` may need none.
        max_tokens_field: Name of the token limit on the wire; `auto` starts with `max_tokens`.
        context_size: Tokens of prompt and completion; if `None`, `check` takes what vLLM or llama.cpp say.
        logprobs: Whether to ask for token log-probabilities.
        continues_assistant: Whether the server is one of the two that continue; false until `check` ran.
        owner: Who it says owns its models, `vllm` for one; `None` until `check` ran.
        served_from: The folder or Hub id that it says the model was loaded from.

    Raises:
        InvalidArgumentError: There is neither a key nor a base URL, or one of them is malformed.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    context_size: int | None = None
    logprobs: bool = True
    group_size: int = field(default=1, init=False)
    max_calls: int | None = field(default=None, init=False)
    continues_assistant: bool = field(default=False, init=False)
    owner: str | None = field(default=None, init=False)
    served_from: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._refused: frozenset[str] = frozenset()
        self._listed = False
        self.base_url = (self.base_url or os.environ.get("OPENAI_BASE_URL", "")).strip() or None
        self.api_key = (self.api_key or os.environ.get("OPENAI_API_KEY", "")).strip() or None
        if self.base_url is None and self.api_key is None:
            raise InvalidArgumentError(
                f"The model {self.model!r} needs a server: set OPENAI_API_KEY to ask OpenAI, "
                "or pass --base-url (such as http://localhost:8000/v1) to ask another one."
            )
        if self.base_url is not None and not is_http(self.base_url):
            raise InvalidArgumentError(
                f"The base URL {self.base_url!r} is no HTTP address; write it like http://localhost:8000/v1."
            )
        # Checked here because the HTTP client's own complaint would show the key.
        if self.api_key is not None and not re.fullmatch(r"[!-~]+", self.api_key):
            raise InvalidArgumentError(
                "The API key holds a space, a line break or a character outside ASCII; copy it again."
            )
        self._clients = Clients(self.api_key, self.base_url or _OPENAI_URL)

    async def check(self) -> None:
        """Return if the server answers, accepts the key and, if it lists its models, lists this one.

        Raises:
            BackendUnreachableError: Nothing answers at the address.
            AuthenticationError: The server refuses the key.
            UnknownModelError: The server lists models, and this is not one of them.
        """
        import openai

        try:
            names = await self._list_models()
        except openai.APIConnectionError as error:
            raise BackendUnreachableError(
                f"No answer from {self._where} ({reason_of(error)}). "
                "Is the server running, and is the base URL right?"
            ) from error
        except openai.APIStatusError as error:
            raise await self._converted(error) from self._cause(error)
        if names and not lists(names, self.model):
            raise self._unknown_model(names)

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds, each by its own request.

        Empty text comes back where the model itself ended up with none: its budget or its whole reply went
        into reasoning. A reply that lost its text is an error.

        Raises:
            TransientBackendError: The server is busy, failing, gone or answers with something malformed.
            ContextOverflowError: Prompt and token limit exceed the model's context.
            AuthenticationError: The server refuses the key.
            UnknownModelError: The server does not know the model.
            BackendError: The server refuses the request for another reason.
        """
        return [await self._draw(messages, params, seed) for seed in seeds]

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`, told while it is written; by a server that does not stream, at the end."""
        return [
            await self._draw(messages, params, seed, partial(on_text, place))
            for place, seed in enumerate(seeds)
        ]

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, an estimate on the long side: the API has no tokenizer."""
        return estimate_pieces(text)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._clients.aclose()

    async def _draw(
        self,
        messages: Sequence[Message],
        params: SamplingParams,
        seed: int,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        import openai

        prefill = messages[-1]["content"] if messages[-1]["role"] == "assistant" else None
        # Remembered only once it helped: an error text may name a field by chance.
        refused = self._refused
        try:
            if prefill is not None and not self._listed:
                await self._list_models()
            while True:
                fields = self._fields(params, seed, refused, continues=prefill is not None)
                listener = None if "stream" in refused else on_text
                try:
                    raw = await self._reply(messages, fields, listener)
                    if raw is not None:
                        break
                    refused |= {"stream"}
                except openai.APIStatusError as error:
                    name = self._refused_field(error, fields | ({"stream": True} if listener else {}))
                    if name is None:
                        raise
                    refused |= {name}
        except openai.APIError as error:
            raise await self._converted(error) from self._cause(error)
        for name in sorted(refused - self._refused):
            _log.warning("%s refuses %r; requests go without it from now on.", self._where, name)
        self._refused |= refused
        generation = self._generation(raw, prefill)
        if on_text is not None and "stream" in refused:
            on_text(generation.text)
        return generation

    async def _reply(
        self,
        messages: Sequence[Message],
        fields: Mapping[str, Any],
        on_text: Callable[[str], None] | None,
    ) -> str | None:
        """The body of a reply, told while it comes if somebody listens; `None` if it is no stream."""
        asked: dict[str, Any] = {"model": self.model, "messages": list(messages)}
        with self._clients.one() as client:
            if on_text is None:
                # `chat.completions.create` would walk through the body once more, by its types.
                return await client.post("/chat/completions", cast_to=str, body={**asked, **fields})
            create: Any = client.chat.completions.create
            asked |= {"stream": True, "stream_options": {"include_usage": True}, "extra_body": fields}
            whole = StreamedCompletion()
            try:
                async with cast("AsyncStream[ChatCompletionChunk]", await create(**asked)) as chunks:
                    async for chunk in chunks:
                        if text := whole.add(chunk.model_dump(exclude_none=True)):
                            on_text(text)
            except (ValueError, *broken_off()) as error:
                told = type(error).__name__
                raise TransientBackendError(f"{self._where} broke its reply off ({told}).") from None
        return json.dumps(whole.body()) if whole.has_begun else None

    def _fields(
        self, params: SamplingParams, seed: int, refused: frozenset[str], *, continues: bool
    ) -> dict[str, Any]:
        """What a request says besides model and messages."""
        fields = plain_params(params)
        if self.max_tokens_field == "max_completion_tokens" or "max_tokens" in refused:
            fields["max_completion_tokens"] = fields.pop("max_tokens")
        if params.top_k == 0:
            fields["top_k"] = -1  # vLLM and SGLang have refused 0; llama.cpp takes either
        fields |= {"n": 1, "seed": seed}
        if self.logprobs and "logprobs" not in refused:
            # llama.cpp sends none at 0 and twenty alternatives a token, ten times the bytes, by default. Of
            # vLLM the alternatives, which nobody reads, would be most of the bytes.
            fields |= {"logprobs": True, "top_logprobs": 0 if self.owner == "vllm" else 1}
        if continues and self.owner == "vllm":
            fields |= {"add_generation_prompt": False, "continue_final_message": True}
        return {name: value for name, value in fields.items() if name not in refused}

    def _refused_field(self, error: APIStatusError, fields: Mapping[str, Any]) -> str | None:
        """The field of this request that the server does not take and a draw can do without."""
        text = server_text(error.body)
        # vLLM's overflow message names max_completion_tokens.
        if error.status_code not in (400, 422) or is_overflow(error, text):
            return None
        if self.max_tokens_field == "auto" and "max_tokens" in fields and "max_completion_tokens" in text:
            return "max_tokens"
        sent = [name for name in _OPTIONAL_FIELDS if name in fields]
        if error.param in sent:
            return error.param
        return next((name for name in sent if re.search(rf"\b{name}\b", text)), None)

    def _generation(self, raw: str, prefill: str | None) -> Generation:
        try:
            reply = mapping_of(json.loads(raw))
        except (ValueError, RecursionError) as error:
            raise TransientBackendError(
                f"{self._where} answered with broken JSON ({len(raw)} characters, ending in {raw[-40:]!r})."
            ) from error
        choices = list_of(reply.get("choices"))
        if not choices:
            told = self._shown(server_text(reply.get("error"))) or "no reason given"
            raise TransientBackendError(f"{self._where} answered without a completion ({told}).")
        choice = mapping_of(choices[0])
        message = mapping_of(choice.get("message"))
        finish_reason = choice.get("finish_reason")
        text = text_of(message.get("content")) or text_of(message.get("refusal"))
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if finish_reason == "content_filter" and not text:
            raise RefusedPromptError(f"The content filter of {self._where} withheld the completion.")
        if not (text or reasoning or prefill or finish_reason == "length"):
            raise TransientBackendError(
                f"{self._where} answered with an empty completion (finish reason {finish_reason!r})."
            )
        if prefill and self.owner == "llamacpp":
            text = text.removeprefix(prefill)
        usage = mapping_of(reply.get("usage"))
        return Generation(
            text=text,
            finish_reason=finish_reason if isinstance(finish_reason, str) else None,
            prompt_tokens=count_of(usage.get("prompt_tokens")),
            completion_tokens=count_of(usage.get("completion_tokens")),
            logprobs=logprobs_of(choice.get("logprobs")),
        )

    async def _list_models(self) -> list[str] | None:
        """Names of the server's models, `None` if it does not tell; remembers what kind of server it is."""
        import openai

        try:
            with self._clients.one() as client:
                reply = await client.models.with_raw_response.list(timeout=_LISTING_TIMEOUT)
        except openai.APIStatusError as error:
            # OpenAI's restricted keys may sample without being allowed to list.
            if error.status_code in (404, 405, 501) or "Missing scopes" in server_text(error.body):
                self._listed = True
                return None
            raise
        self._listed = True
        try:
            listing: Any = json.loads(reply.text)
        except ValueError:
            raise BackendError(
                f"{self._where}/models is no list of models but {self._shown(reply.text)[:60]!r}; "
                "base URLs mostly end in /v1."
            ) from None
        # Together answers with the bare list.
        entries = [mapping_of(row) for row in list_of(mapping_of(listing).get("data")) or list_of(listing)]
        names: list[str] = []
        for entry in entries:
            its_names = [str(name) for name in (entry.get("id"), *list_of(entry.get("aliases")))]
            names += its_names
            if self.model in its_names:
                told = entry.get("max_model_len") or mapping_of(entry.get("meta")).get("n_ctx")
                self.context_size = self.context_size or count_of(told)
                self.served_from = str(entry["root"]) if entry.get("root") else None
        self.owner = next((str(entry["owned_by"]) for entry in entries if "owned_by" in entry), None)
        self.continues_assistant = self.owner in ("vllm", "llamacpp")
        return list(dict.fromkeys(names))

    async def _converted(self, error: APIError) -> BackendError:
        """The package's own error for one of the SDK's."""
        import openai

        if not isinstance(error, openai.APIStatusError):
            return TransientBackendError(f"{self._where} did not answer ({reason_of(error)}).")
        status = error.status_code
        text = server_text(error.body)
        told = f"{self._where} answered {status}: {self._shown(text) or 'no reason given'}"
        if error.code == "model_not_found" or status == 404 or "is not a valid model" in text:
            return await self._not_found(told)
        if status == 401:  # without the server's words, which quote parts of the key
            fault = "refuses the API key" if self.api_key else "wants an API key"
            return AuthenticationError(f"{self._where} {fault}; set OPENAI_API_KEY or pass --api-key.")
        if status == 403:
            return AuthenticationError(
                f"{self._where} refuses the API key; set OPENAI_API_KEY or pass --api-key. ({told})"
            )
        if is_overflow(error, text):
            return ContextOverflowError(f"{closed(told)} Lower --max-tokens, or shorten the prompt.")
        if "content_filter" in (error.code, error.type):
            return RefusedPromptError(told)
        if "insufficient_quota" in (error.code, error.type):
            return BackendError(f"{closed(told)} Add credit to the account, or use another key.")
        if status in (408, 409, 429) or status >= 500:
            return TransientBackendError(told, retry_after=parse_retry_after(error.response.headers))
        return BackendError(told)

    async def _not_found(self, told: str) -> BackendError:
        import openai

        try:
            names = await self._list_models()
        except (openai.APIError, BackendError):
            names = None
        if not names:
            return UnknownModelError(
                f"{closed(told)} Check the model name {self.model!r}, and that the base URL ends in /v1."
            )
        if lists(names, self.model):
            return BackendError(told)
        return self._unknown_model(names)

    def _unknown_model(self, names: Sequence[str]) -> UnknownModelError:
        near = difflib.get_close_matches(self.model, names, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return UnknownModelError(
            f"{self._where} has no model {self.model!r}. {hint}It has: {shortened(', '.join(sorted(names)))}."
        )

    @property
    def _where(self) -> str:
        """The server's address without a password or query that it may hold."""
        parts = urlsplit(self.base_url or _OPENAI_URL)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")

    def _shown(self, text: str) -> str:
        """Words of the server as they may be shown: short, and without the key."""
        return shortened(text.replace(self.api_key, "***") if self.api_key else text)

    def _cause(self, error: Exception) -> Exception | None:
        """The error as a cause, unless its text, which a traceback prints, holds the key."""
        return None if self.api_key and self.api_key in str(error) else error
