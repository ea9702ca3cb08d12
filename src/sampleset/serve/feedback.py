"""What clients say about answers afterwards: whether an alias is worth more than the vote over its samples.

A reply's id is remembered for a while, with its answer and the vote's. Feedback on it, a gold answer or
whether it was right, is one row of a file that only grows, and counts in a paired test per alias that may be
looked at after every row (`sampleset.risk.worth`). The gold answer is used for that alone.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from sampleset.aggregators.base import decide
from sampleset.answers import kind_of
from sampleset.grading.grade import grade
from sampleset.risk.worth import WorthIt, count_row, worth_fields
from sampleset.serve.aliases import Answered
from sampleset.serve.api_errors import ApiError
from sampleset.serve.metrics import gauge
from sampleset.serve.requests import ChatRequest
from sampleset.storage.files import JsonlLog
from sampleset.types import Problem, Question

MOST_REPLIES = 10_000
"""Replies that feedback can be given on, the newest ones."""
_MOST_CHARACTERS = 4_000
_FIELDS = {"id", "gold", "right"}
_VALUES = {"yes": 1, "no": -1, "not known": 0}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is remembered of a reply.

    Attributes:
        model: The alias.
        aggregator: Its aggregator.
        question: The question's id and the kind of its answers, without its text.
        answer: The answer that was given.
        vote: That of the vote over the same samples.
        is_vote: Whether both are one.
        tokens: Tokens of the aggregator beyond the samples.
    """

    model: str
    aggregator: str
    question: Question
    answer: str
    vote: str
    is_vote: bool
    tokens: int


class Feedback:
    """The replies that are remembered, and the test of each alias.

    Args:
        file: Where feedback is kept; `None` keeps none, and refuses it.

    Raises:
        DataError: The file holds other rows.
    """

    def __init__(self, file: str | None) -> None:
        self._log = None if file is None else JsonlLog(Path(file))
        self._replies: OrderedDict[str, Reply | None] = OrderedDict()
        self._tests: dict[str, WorthIt] = {}
        for _, row in self._log.new_rows() if self._log else ():
            count_row(self._tests, row, file or "")

    def remember(self, identity: str, request: ChatRequest, answers: Sequence[Answered]) -> None:
        """Remember a reply that can be compared, and forget the oldest beyond the limit."""
        if self._log is None or len(answers) != 1 or request.ballot != "text":
            return
        outcome = answers[0].outcome
        votes = [float(candidate.votes) for candidate in outcome.candidates]
        decision = decide(outcome.candidates, votes, "seeded", 0, request.question.id)
        if decision is None or outcome.answer is None:
            return
        vote = decision.winner
        if len(outcome.answer) + len(vote.answer) > _MOST_CHARACTERS:
            return
        is_vote = outcome.chosen is not None and outcome.candidates[outcome.chosen] == vote
        question = replace(request.question, text="-", kinds=None)
        tokens = outcome.usage.total_tokens
        self._replies[_token(identity)] = Reply(
            request.alias, answers[0].aggregator, question, outcome.answer, vote.answer, is_vote, tokens
        )
        while len(self._replies) > MOST_REPLIES:
            self._replies.popitem(last=False)

    async def receive(self, body: object) -> dict[str, Any]:
        """The verdict after one more feedback.

        Raises:
            ApiError: It cannot be read, names no reply that is remembered, or one that had its feedback.
        """
        if self._log is None:
            raise ApiError(
                404, "This server keeps no feedback. Set feedback_file in its configuration.",
                code="feedback_not_kept",
            )  # fmt: skip
        identity, gold, right = _checked(body)
        key = _token(identity)
        if key not in self._replies:
            raise ApiError(
                404,
                f"There is no reply {identity[:80]!r} to give feedback on. The newest {MOST_REPLIES} since "
                "the server started are remembered, if their one answer is a text that can be voted on.",
                param="id",
                code="reply_not_found",
            )
        reply = self._replies[key]
        if reply is None:
            raise ApiError(
                409, f"The reply {identity[:80]!r} had its feedback.", param="id", code="feedback_twice"
            )
        self._replies[key] = None
        try:
            vote_right: bool | None = right if reply.is_vote else False if right else None
            if gold is not None:
                right = await _is_right(reply, reply.answer, gold)
                vote_right = right if reply.is_vote else await _is_right(reply, reply.vote, gold)
            row = {
                "id": identity,
                "model": reply.model,
                "aggregator": reply.aggregator,
                "right": right,
                "vote_right": vote_right,
                "tokens": reply.tokens,
                "at": int(time.time()),
            }
            await asyncio.to_thread(self._log.append, [row])
        except BaseException:
            self._replies[key] = reply  # nothing was kept: it may be said again
            raise
        count_row(self._tests, row, "")
        test = self._tests.get(reply.model, WorthIt())
        return {
            "object": "feedback",
            **{name: row[name] for name in ("id", "model", "right", "vote_right")},
            "counted": vote_right is not None,
            "worth": {"against": "the vote over the same samples", **worth_fields(test)},
        }

    def lines(self) -> list[str]:
        """The state of the tests for `/metrics`."""
        counts = [
            ({"model": model, "outcome": name}, getattr(test, name))
            for model, test in self._tests.items()
            for name in ("better", "worse", "alike")
        ]
        verdicts = [({"model": model}, _VALUES[test.verdict]) for model, test in self._tests.items()]
        return [
            *gauge(
                "sampleset_feedback",
                "Answers with feedback: better or worse than the vote, or alike.",
                counts,
            ),
            *gauge(
                "sampleset_worth",
                "Whether the answers are better than the vote's: 1 yes, -1 no, 0 not known.",
                verdicts,
            ),
        ]


def _checked(body: object) -> tuple[str, str | None, bool | None]:
    fields = cast("dict[str, Any]", body if isinstance(body, dict) else {})
    identity, gold, right = (fields.get(name) for name in ("id", "gold", "right"))
    if not isinstance(identity, str) or not identity:
        raise ApiError(400, "'id' must be the id of a reply.", param="id")
    if unknown := sorted(set(fields) - _FIELDS):
        raise ApiError(
            400, f"Unknown field {unknown[0][:80]!r}. Known: id, gold, right.", param=unknown[0][:80]
        )
    if (gold is None) == (right is None):
        raise ApiError(
            400, "Give one of 'gold' (the right answer) and 'right' (true or false).", param="gold"
        )
    if gold is not None and (not isinstance(gold, str) or not 0 < len(gold.strip()) <= _MOST_CHARACTERS):
        raise ApiError(400, f"'gold' must be a text of 1 to {_MOST_CHARACTERS} characters.", param="gold")
    if right is not None and not isinstance(right, bool):
        raise ApiError(400, "'right' must be true or false.", param="right")
    return identity, gold, right


async def _is_right(reply: Reply, answer: str, gold: str) -> bool:
    if kind_of(reply.question).asks_model:
        raise ApiError(
            400, "Answers to this question are compared by a judge, who is not asked again. Give 'right'.",
            param="gold",
        )  # fmt: skip
    correct = (await grade(answer, Problem(reply.question, gold))).correct
    if correct is None:
        raise ApiError(
            400,
            f"The answer could not be compared with gold={gold[:80]!r}. Write gold as an answer alone, or "
            "give 'right'.",
            param="gold",
        )
    return correct


def _token(identity: str) -> str:
    """The part of an id that the replies of all dialects share."""
    return re.sub(r"^(?:chatcmpl-|cmpl-|msg_|resp_)", "", identity)
