"""One chat request from its checked body to its reply, plain or streamed, and the record of it for replay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sampleset.evaluation import Prices
from sampleset.models.together import gathered
from sampleset.sampling.draws import Draw
from sampleset.serve.aliases import Alias, Answered
from sampleset.serve.api_errors import api_error, log_fault
from sampleset.serve.feedback import Feedback
from sampleset.serve.limits import Gate
from sampleset.serve.metrics import Metrics
from sampleset.serve.replies import Head, choice_fields, completion, sample, totals
from sampleset.serve.requests import ChatRequest
from sampleset.serve.runs import Runs
from sampleset.serve.streaming import Emit, Stop
from sampleset.serve.voice import Field
from sampleset.wire.beside import beside

_PIECE = 200
"""Characters of the answer in one chunk."""
_PIECES_AT_ONCE = 20
_TEXTS = ("reasoning_content", "content", "refusal")
_KNOWN = ("role", *_TEXTS, "tool_calls")
_LEFT = 499
_WORDS_SECONDS = 0.05
"""Between two events that tell what samples say: a token each would be thousands a second."""

OnDone = Callable[[int, Exception | None], None]
"""Called with the status of a request that has ended, and the error if there was one."""


class Chat:
    """One request in work.

    Args:
        request: The request.
        alias: The alias that answers.
        gate: The queue of requests.
        metrics: The counters of the server.
        runs: The store that keeps the run for replay.
        prices: The prices of tokens.
        on_done: Called at its end.
        stop: Ends the request when the server stops.
        feedback: Remembers the answer, for what is said of it later.
    """

    def __init__(
        self,
        request: ChatRequest,
        alias: Alias,
        gate: Gate,
        metrics: Metrics,
        runs: Runs,
        prices: Prices | None,
        on_done: OnDone,
        stop: Stop | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        request = alias.judged(request)
        self._request, self._alias, self._gate = request, alias, gate
        self._metrics, self._runs, self._prices, self._on_done = metrics, runs, prices, on_done
        self._stop = stop or Stop()
        self._feedback = feedback
        self._head = Head(request.alias)
        self._started = time.monotonic()
        self._events: list[dict[str, Any]] = []
        self._draws: list[list[Draw]] = [[] for _ in range(request.n)]
        self._listening: Callable[[dict[str, Any]], None] | None = None
        self._turns: list[int] = [0] * request.n
        self._news: list[asyncio.Event] = [asyncio.Event() for _ in range(request.n)]
        self._words: list[dict[int, list[str]]] = [{} for _ in range(request.n)]
        self._spoken: list[dict[str, str]] = [{} for _ in range(request.n)]
        self._emit: Emit | None = None
        self._is_decided = False

    @property
    def size(self) -> int:
        """Characters of all that was drawn and asked: a measure of the work of writing a reply or a run."""
        all_draws = [draw for draws in self._draws for draw in draws]
        length = sum(len(draw.sample.text) for draw in all_draws)
        length += sum(draw.generation.size for draw in all_draws if draw.generation is not None)
        return length + self._request.prompt.size

    async def complete(self) -> dict[str, Any]:
        """The body of the reply.

        Raises:
            ApiError: There is no answer.
        """
        status, fault = _LEFT, None
        try:
            answers = await self._answers()
            totals = self._totals(answers)
            body = await beside(self.size, lambda: completion(self._head, self._request, answers, totals))
            await beside(self.size, lambda: self._keep(body))
            status = 200
            return body
        except Exception as error:
            failure = api_error(error)
            status, fault = failure.status, error
            raise failure from error
        finally:
            self._on_done(status, fault)

    async def stream(self, emit: Emit) -> None:
        """Send the reply as events; an error is the last of them."""
        status, fault = _LEFT, None
        try:
            await self._stream(emit)
            status = 200
        except Exception as error:
            failure = api_error(error)
            status, fault = failure.status, error
            emit(failure.body())
            emit("[DONE]")
        finally:
            self._on_done(status, fault)

    async def _stream(self, emit: Emit) -> None:
        request, head = self._request, self._head
        self._emit = emit
        for index in range(request.n):
            emit(head.chunk(index, {"role": "assistant", "content": ""}))
        if request.progress:
            self._listening = lambda event: emit(head.chunk(event["choice"], {}, sampleset=event))
        watchers = [
            asyncio.create_task(self._tell_votes(index))
            for index in range(request.n if request.progress else 0)
        ]
        try:
            answers = await self._stop.unless(self._answers())
            self._is_decided = True
            for news in self._news:
                news.set()
            await asyncio.gather(*watchers)
        finally:
            for task in watchers:
                task.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
        self._listening = None
        summed = self._totals(answers)
        await beside(self.size, lambda: self._keep(completion(head, request, answers, summed)))
        for index, answer in enumerate(answers):
            deltas = await beside(self.size, partial(_deltas, answer, self._spoken[index]))
            for number, delta in enumerate(deltas):
                emit(head.chunk(index, delta))
                if number % _PIECES_AT_ONCE == _PIECES_AT_ONCE - 1:
                    await asyncio.sleep(0)
            last = head.chunk(index, {}, answer.outcome.finish_reason)
            last["choices"][0] |= {
                "logprobs": answer.outcome.logprobs,
                "sampleset": choice_fields(answer, request.samples),
            }
            emit(last)
        if request.include_usage:
            emit({**head.body("chat.completion.chunk"), "choices": [], **summed})
        emit("[DONE]")

    async def _answers(self) -> list[Answered]:
        """All answers of the request, made side by side; if one cannot be made, none is."""
        async with self._gate.place():
            self._note(0, "start", {"k": self._request.k, "aggregator": self._request.aggregator})
            return await gathered(self._answer(number) for number in range(self._request.n))

    async def _answer(self, number: int) -> Answered:
        def on_event(name: str, fields: dict[str, Any]) -> None:
            if name == "sample":
                draw: Draw = fields["draw"]
                self._draws[number].append(draw)
                self._words[number].pop(draw.index, None)
                if self._is_told:
                    self._note(number, name, sample(draw))
                self._news[number].set()
            elif name == "drawn":
                self._metrics.add_draws(fields["drawn"])
            elif name == "escalating":  # the next step draws anew
                self._draws[number].clear()
                self._words[number].clear()
                self._turns[number] += 1
                self._note(number, name, fields)
            elif name == "words":
                self._hear(number, fields["index"], fields["text"])
            else:
                self._note(number, name, fields)

        def on_delta(field: Field, text: str) -> None:
            spoken = self._spoken[number]
            spoken[field] = spoken.get(field, "") + text
            if self._emit is not None:
                self._emit(self._head.chunk(number, {field: text}))

        speaking = None if self._emit is None else on_delta
        answered = await self._alias.answer(self._request, number, on_event, speaking)
        if answered.promise is not None:
            self._metrics.add_promise(self._alias.name, answered.promise)
        return answered

    def _hear(self, number: int, index: int, text: str) -> None:
        """Buffer the text of a sample. The texts of all samples are sent together."""
        words = self._words[number]
        if not words:
            asyncio.get_running_loop().call_later(_WORDS_SECONDS, self._tell_words, number)
        words.setdefault(index, []).append(text)

    def _tell_words(self, number: int) -> None:
        """Send the texts that samples have written since the last event."""
        words, self._words[number] = self._words[number], {}
        if words and self._listening is not None:
            texts = {index: "".join(pieces) for index, pieces in words.items()}
            event = {"event": "words", "choice": number, "texts": texts}
            self._listening(event)

    @property
    def _is_told(self) -> bool:
        return self._listening is not None or bool(self._runs)

    def _note(self, choice: int, name: str, fields: dict[str, Any]) -> None:
        """Remember an event if the run is kept, and tell it if somebody listens."""
        if not self._is_told:
            return
        event = {"event": name, "choice": choice, "at": round(time.monotonic() - self._started, 3), **fields}
        if self._runs:
            self._events.append(event)
        if self._listening is not None:
            self._listening(event)

    async def _tell_votes(self, number: int) -> None:
        """Tell the vote so far whenever samples have come back, that of all samples at last."""
        counted = (0, 0)
        while not self._is_decided or counted < (self._turns[number], len(self._draws[number])):
            await self._news[number].wait()
            self._news[number].clear()
            if self._request.judge is not None and not self._is_decided:
                continue  # a judge is asked once, when all samples are there
            draws = list(self._draws[number])
            before, counted = counted, (self._turns[number], len(draws))
            if draws and counted > before:
                self._note(number, "vote", await self._alias.vote_table(self._request, draws))

    def _totals(self, answers: Sequence[Answered]) -> dict[str, Any]:
        summed = totals(self._request, answers, self._prices)
        for name, stage in summed["sampleset"]["usage"].items():
            for kind in ("prompt_tokens", "completion_tokens"):
                self._metrics.add("tokens", stage[kind], model=self._alias.name, stage=name, kind=kind)
        if self._feedback is not None:
            self._feedback.remember(self._head.id, self._request, answers)
        if (run := self._runs.new_name()) is not None:
            summed["sampleset"]["run"] = run
        return summed

    def _keep(self, body: dict[str, Any]) -> None:
        """Store the run, if runs are kept; a body whose run cannot be stored names none."""
        name = body["sampleset"].get("run")
        if name is None:
            return
        run = {
            "schema": 1,
            "id": name,
            "created": self._head.created,
            "messages": list(self._request.prompt),
            "events": self._events,
            "completion": body,
        }
        try:
            self._runs.keep(name, run)
        except OSError as error:
            log_fault(error)
            del body["sampleset"]["run"]


def _deltas(answer: Answered, spoken: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rest of the message: fields of some servers only, the texts in pieces, then the tool calls."""
    message = answer.outcome.message
    extras = {name: value for name, value in message.items() if name not in _KNOWN and value is not None}
    deltas = [extras] if extras else []
    for name in _TEXTS:
        text, streamed = message.get(name), spoken.get(name, "")
        if isinstance(text, str):
            # Where the aggregator broke off, or its words were of no use, what answers instead follows.
            left = text[len(streamed) :] if text.startswith(streamed) else f"\n\n{text}"
            deltas += [{name: left[start : start + _PIECE]} for start in range(0, len(left), _PIECE)]
        elif text is not None:
            deltas.append({name: text})
    if calls := message.get("tool_calls"):
        deltas.append({"tool_calls": [{"index": position, **call} for position, call in enumerate(calls)]})
    return deltas
