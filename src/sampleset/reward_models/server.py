"""A reward model behind a server: vLLM's `/pooling`, `/classify` and `/score`, or any that speaks like them.

Conventions, by `layout` (the request) and `endpoint` (the reply):

- `chat`: the chat of question and solution, through the server's chat template; outcome models.
- `qwen_prm`: the chat with `<extra_0>` behind each step; two labels a tag, of which the second counts.
- `math_shepherd`: plain text with a "ки" behind each step; two signs a tag, of which the first counts.
- `pooling` answers with a list of numbers (outcome models) or a row of numbers for every tag or token
  (process and token models; vLLM's pooling type STEP or ALL). A row of one number counts as it is.
- `classify` answers with the probabilities of the labels: of two the second counts, one counts as it is. vLLM
  turns the one logit of a reward model into a probability; `use_activation=false` turns that off.
- `score` takes question and samples as pairs of texts, in one call.

Shapes as in vLLM 0.10 to 0.18 (vllm/entrypoints/pooling/*/protocol.py), tested against transcripts of them;
`benchmarks/audits/reward_server.py` compares a running server's scores with those of our loaders.

Cost: one call per sample, or per set with `score`; tokens as the server counts them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

from sampleset.errors import (
    AuthenticationError,
    BackendError,
    InvalidArgumentError,
    QuotaError,
    TransientBackendError,
)
from sampleset.models.retries import Limiter, Patience, patiently
from sampleset.models.together import gathered
from sampleset.prompts import question_text
from sampleset.reward_models import math_shepherd, qwen_prm
from sampleset.reward_models.base import (
    MAX_STEPS,
    REWARD_MODELS,
    RewardScore,
    cut_steps,
    require_finite,
)
from sampleset.types import Question, Usage
from sampleset.wire.client import Client, ConnectionFailedError, Response
from sampleset.wire.faults import read_fault
from sampleset.wire.replies import decoded
from sampleset.wire.values import count_of, is_http, list_of, mapping_of, shortened
from sampleset.wording import plural

Layout = Literal["chat", "qwen_prm", "math_shepherd"]
Endpoint = Literal["pooling", "classify", "score"]

_MARKS = re.compile(r"<(?=\|[^\s|>]{1,40}\|>|extra_0>)|к(?=и)")


@REWARD_MODELS.register("server")
@dataclass(eq=False)
class ServerRewardModel:
    """A process or outcome model that a server runs (vLLM).

    Attributes:
        model: Name under which the server knows it.
        base_url: Address of the server, with or without `/v1`; by default `OPENAI_BASE_URL`.
        endpoint: The path of the API: `pooling`, `classify` or `score`.
        layout: How a sample is laid out.
        use_activation: Whether the server turns logits into probabilities; by default the server decides.
        api_key: `OPENAI_API_KEY`, if it is set; never an option, since options are saved.
        max_concurrency: Requests in flight.
        max_retries: Further tries after a transient error.
        timeout: Seconds one try may take.
    """

    kind: ClassVar[str] = "server"

    model: str
    base_url: str | None = None
    endpoint: Endpoint = "pooling"
    layout: Layout = "chat"
    use_activation: bool | None = None
    api_key: str | None = field(default=None, init=False, repr=False)
    max_concurrency: int = 8
    max_retries: int = 4
    timeout: float = 600.0

    def __post_init__(self) -> None:
        self._patience = Patience(self.max_retries, self.timeout)
        if self.max_concurrency < 1:
            raise InvalidArgumentError(f"max_concurrency={self.max_concurrency!r} must be at least 1.")
        self._limiter = Limiter(self.max_concurrency)
        self.base_url = self.base_url or os.environ.get("OPENAI_BASE_URL")
        self.api_key = os.environ.get("OPENAI_API_KEY", "").strip() or None
        if self.base_url is None or not is_http(self.base_url):
            raise InvalidArgumentError(
                f"The reward model {self.model!r} needs a server, got {self.base_url!r}: write "
                "server[base_url=http://localhost:8000]."
            )
        self._client = Client(self.base_url, self.api_key)
        self._where = f"{self._client.where.removesuffix('/v1')}/{self.endpoint}"
        if self.endpoint != "pooling" and self.layout != "chat":
            raise InvalidArgumentError(
                f"layout={self.layout} has a score for each step, which endpoint={self.endpoint} does not "
                "give. Use endpoint=pooling."
            )

    @property
    def identity(self) -> str:
        """The kind, its options and the model's name."""
        activation = "" if self.use_activation is None else f",{self.use_activation}"
        return f"{self.kind}[{self.endpoint},{self.layout}{activation}]:{self.model}"

    @property
    def batched(self) -> bool:
        """With `score` only."""
        return self.endpoint == "score"

    async def score(self, question: Question, samples: Sequence[str]) -> list[RewardScore]:
        """One score per sample, in order.

        Raises:
            BackendUnreachableError: Nothing answers at the address.
            AuthenticationError: The server refuses the key.
            BackendError: It refuses the request, or its reply is of another shape.
        """
        if self.endpoint == "score":
            return await self._pairs(question, samples)
        return await gathered(self._score_sample(question, sample) for sample in samples)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _score_sample(self, question: Question, sample: str) -> RewardScore:
        text = _plain(sample.strip())
        if not text:
            return RewardScore(None, flag="empty")
        steps = cut_steps(text)
        if self.layout != "chat" and len(steps) > MAX_STEPS:
            return RewardScore(None, flag="too_long")
        body = self._request(_plain(question_text(question)), text, steps)
        reply = await self._post(body)
        if reply is None:
            return RewardScore(None, flag="too_long")
        data = list_of(reply.get("data"))
        entry = mapping_of(data[0] if data else None)
        if self.endpoint == "classify":
            values = [self._pick(entry.get("probs"))]
        else:
            values = self._pooled(entry.get("data"), len(steps))
        require_finite(values, self.model)
        scored = tuple(values) if self.layout != "chat" else ()
        return RewardScore(values[-1], scored, _usage(reply))

    async def _pairs(self, question: Question, samples: Sequence[str]) -> list[RewardScore]:
        texts = {index: text for index, sample in enumerate(samples) if (text := _plain(sample.strip()))}
        scores = [RewardScore(None, flag="empty") for _ in samples]
        if not texts:
            return scores
        body = {"text_1": _plain(question_text(question)), "text_2": list(texts.values())}
        reply = await self._post(body)
        if reply is None and len(texts) > 1:
            # One sample is too long; a call for each sample finds it.
            return [score for sample in samples for score in await self._pairs(question, [sample])]
        if reply is None:
            return [RewardScore(None, flag="too_long")]
        entries = [mapping_of(entry) for entry in list_of(reply.get("data"))]
        by_index = {entry.get("index"): entry.get("score") for entry in entries}
        usage = _usage(reply)
        for number, index in enumerate(texts):
            value = self._number(by_index.get(number))
            require_finite([value], self.model)
            # The reply counts the tokens of all pairs together.
            scores[index] = RewardScore(value, usage=usage if number == 0 else Usage())
        return scores

    def _request(self, question: str, text: str, steps: Sequence[str]) -> dict[str, Any]:
        if self.layout == "math_shepherd":
            return {"input": math_shepherd.tagged_text(question, steps)}
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
        if self.layout == "qwen_prm":
            messages = [dict(message) for message in qwen_prm.tagged_chat(question, steps)]
        return {"messages": messages, "add_generation_prompt": False}

    def _pooled(self, data: object, steps: int) -> list[float]:
        """The numbers of a `/pooling` reply: one, or one per row."""
        rows = list_of(data)
        if rows and not isinstance(rows[0], list):
            rows = [rows]
        if not rows or (self.layout != "chat" and len(rows) != steps):
            raise BackendError(
                f"{self._where} answers with {plural(len(rows), 'row')} for "
                f"{plural(steps, 'step')}. Serve the model with the "
                "pooling type STEP and the tag of its kind (docs/reference/reward-models.md)."
            )
        return [self._pick(row) for row in (rows if self.layout != "chat" else rows[-1:])]

    def _pick(self, row: object) -> float:
        """The number of a row that counts."""
        numbers = list_of(row)
        if len(numbers) == 1:
            return self._number(numbers[0])
        if len(numbers) != 2:
            raise BackendError(
                f"{self._where} answers with a row of {plural(len(numbers), 'number')}, not of 1 or 2. Is "
                f"{self.model!r} a reward model, and is endpoint={self.endpoint} the right one?"
            )
        return self._number(numbers[0 if self.layout == "math_shepherd" else 1])

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BackendError(f"{self._where} answers with {shortened(repr(value))} where a number belongs.")
        return float(value)

    async def _post(self, body: dict[str, Any]) -> Mapping[str, Any] | None:
        """The reply to a request; `None` if the sample exceeds the context."""
        if self.use_activation is not None:
            body = {**body, "use_activation": self.use_activation}
        request = json.dumps({"model": self.model, **body}).encode()
        return await patiently(lambda: self._try(request), self._patience, self._limiter)

    async def _try(self, body: bytes) -> Mapping[str, Any] | None:
        try:
            reply = await self._client.post(self._client.root_url(f"/{self.endpoint}"), [body])
        except ConnectionFailedError as error:
            # A server that is not there would be asked for every sample.
            raise error.in_check() from error.__cause__
        if reply.status != 200:
            return self._failed(reply)
        try:
            content = decoded(reply.raw)
        except (ValueError, RecursionError):
            content = None
        if not mapping_of(content):
            raise TransientBackendError(f"{self._where} answers with something other than a JSON object.")
        return mapping_of(content)

    def _failed(self, reply: Response) -> None:
        """Return if the sample exceeds the context.

        Raises:
            BackendError: The server failed for another reason.
        """
        fault = read_fault(reply.status, reply.headers, reply.raw)
        message = f"{self._where} answers {fault.status}: {self._client.hidden(fault.text)}"
        match fault.meaning:
            case "overflow":
                return
            case "key" | "forbidden":
                raise AuthenticationError(f"{message}. Check OPENAI_API_KEY.")
            case "credit":
                raise QuotaError(f"{message}. Add credit to the account, or use another key.")
            case "limited" | "loading" | "passing":
                waits_for = {"limited": "limit", "loading": "loading"}.get(fault.meaning)
                raise TransientBackendError(
                    message, retry_after=fault.retry_after, waits_for=cast("Any", waits_for), kind=fault.kind
                )
            case _:
                raise BackendError(
                    f"{message}. Does the server know the model and the endpoint {self.endpoint!r}?"
                )


def _plain(text: str) -> str:
    """The text. Marks of the chat and tags of steps in it are broken up, so that no server reads them."""
    text = text.encode("utf-8", "replace").decode()
    return _MARKS.sub(lambda mark: f"{mark.group()} ", text)


def _usage(reply: Mapping[str, Any]) -> Usage:
    prompt = count_of(mapping_of(reply.get("usage")).get("prompt_tokens"))
    return Usage(prompt or 0, calls=1, uncounted=int(prompt is None))
