"""Caps in tokens or money that are never passed: what a call may cost is set aside before it is made.

A call starts only if its worst case fits what is left beside the calls in flight: the prompt, as long as the
server last said or else a token for each of its bytes and a margin for the chat template, and `max_tokens`
for each completion. When it is back, what it took is booked and the rest is free again; a call that does not
fit waits for those in flight, and is refused if there are none. A call whose cost nobody knows (cancelled,
timed out, broken off) is booked at its worst case; one that the server turned away costs nothing.

Every draw is taken to pay for its prompt. A server that writes more than `max_tokens` can pass a cap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sampleset.errors import (
    AuthenticationError,
    BackendUnreachableError,
    CapReachedError,
    ContextOverflowError,
    InvalidArgumentError,
    TransientBackendError,
    UnknownModelError,
)
from sampleset.types import Question

_TURNED_AWAY = (AuthenticationError, BackendUnreachableError, ContextOverflowError, UnknownModelError)


class Tariff(Protocol):
    """What one model's tokens cost; a price of the price file is one."""

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Money for so many tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Caps:
    """What drawing may cost; `None` for no cap.

    Attributes:
        tokens: Prompt and completion tokens of the whole run.
        question_tokens: The same of one question, draws of all models, those in the store already included.
        money: Money of the whole run; each backend then needs a tariff.
    """

    tokens: int | None = None
    question_tokens: int | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "question_tokens", "money"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidArgumentError(f"The cap {name}={value!r} must be above 0.")

    def run_budgets(self) -> list[Budget]:
        """Budgets that all samplers of a run share."""
        budgets = [Budget(self.tokens, "tokens")] if self.tokens is not None else []
        return budgets + ([Budget(self.money, "money")] if self.money is not None else [])


@dataclass(slots=True)
class Budget:
    """What is left of one cap.

    Attributes:
        limit: The cap.
        unit: What it counts.
        of_question: Whether it binds one question, not the run.
        spent: Booked so far.
        held: Set aside for calls in flight.
        calls: How many these are.
    """

    limit: float
    unit: Literal["tokens", "money"]
    of_question: bool = False
    spent: float = 0.0
    held: float = 0.0
    calls: int = 0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])

    def has_room(self, amount: float) -> bool:
        """Whether so much can be set aside now."""
        return self.spent + self.held + amount <= self.limit

    def hold(self, amount: float) -> None:
        """Set so much aside for a call."""
        self.held += amount
        self.calls += 1

    def book(self, held: float, spent: float) -> None:
        """Take back what was set aside for a call and book what it took; calls that wait look again."""
        self.calls -= 1
        self.held = self.held - held if self.calls else 0.0
        self.spent += spent
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def changed(self) -> None:
        """Return when something was booked."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class QuestionBudgets:
    """A budget of every question, which all samplers that draw for it share.

    Args:
        cap: Tokens of one question.
        sharers: How many samplers there are.
        spent: Tokens of a question's draws that are there already, of all samplers.
    """

    def __init__(self, cap: int, sharers: int, spent: Callable[[Question], int]) -> None:
        self._cap, self._sharers, self._spent = cap, sharers, spent
        self._taken: dict[str, tuple[Budget, int]] = {}

    def take(self, question: Question) -> Budget:
        """The question's budget, for one of the samplers; it is held until each has taken it."""
        budget, times = self._taken.pop(question.id, (None, 0))
        if budget is None:
            budget = Budget(self._cap, "tokens", of_question=True, spent=self._spent(question))
        if times + 1 < self._sharers:
            self._taken[question.id] = budget, times + 1
        return budget


@dataclass(slots=True)
class Bill:
    """Tokens that one call takes: at first its worst case."""

    prompt: float
    completion: float


class Meter:
    """Lets one model's calls through if they fit some budgets.

    Args:
        budgets: The caps.
        tariff: What the model's tokens cost, for budgets in money.
        model: Its name.

    Raises:
        InvalidArgumentError: A budget is in money, and there is no tariff.
    """

    def __init__(self, budgets: Sequence[Budget], tariff: Tariff | None, model: str) -> None:
        if tariff is None and any(budget.unit == "money" for budget in budgets):
            raise InvalidArgumentError(
                f"A cap in money needs the price of {model!r}. Add it to the file of --prices."
            )
        self._budgets, self._tariff, self._model = budgets, tariff, model

    @asynccontextmanager
    async def billed(self, prompt: float, completion: float) -> AsyncGenerator[Bill]:
        """A call that may take so much; within it, what it did take is put on the bill.

        Raises:
            CapReachedError: It does not fit, and nothing is in flight that could leave room.
        """
        bill = Bill(prompt, completion)
        held = [self._amount(budget, bill) for budget in self._budgets]
        await self._set_aside(held)
        try:
            yield bill
        except _TURNED_AWAY:
            bill.prompt = bill.completion = 0
            raise
        except TransientBackendError as error:
            if error.retry_after is not None:  # the server said: later
                bill.prompt = bill.completion = 0
            raise
        finally:
            for budget, amount in zip(self._budgets, held, strict=True):
                budget.book(amount, self._amount(budget, bill))

    async def _set_aside(self, amounts: Sequence[float]) -> None:
        """Hold these amounts of all budgets at once, or wait, or refuse."""
        pairs = list(zip(self._budgets, amounts, strict=True))
        while full := next((pair for pair in pairs if not pair[0].has_room(pair[1])), None):
            budget, amount = full
            if not budget.calls:
                left = max(0.0, budget.limit - budget.spent)
                whose = "one question" if budget.of_question else "the run"
                raise CapReachedError(
                    f"The cap of {budget.limit:g} {_UNITS[budget.unit]} for {whose} leaves {left:g}; "
                    f"the next call of {self._model!r} may take {amount:g}. Raise the cap, or lower "
                    "--max-tokens.",
                    of_question=budget.of_question,
                )
            await budget.changed()
        for budget, amount in pairs:
            budget.hold(amount)

    def _amount(self, budget: Budget, bill: Bill) -> float:
        if budget.unit == "tokens" or self._tariff is None:
            return bill.prompt + bill.completion
        return self._tariff.of(bill.prompt, bill.completion)


_UNITS = {"tokens": "tokens", "money": "(by the price file)"}
