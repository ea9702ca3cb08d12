"""Caps in tokens or money. The worst case of a call is reserved before the call is made.

A call starts only if its worst case fits the budget, less the reservations of calls in flight. The worst case
is the prompt plus `max_tokens` for each completion. The prompt's length is the one the server last reported,
or else one token for each byte and a margin for the chat template. After the call its real cost is booked and
the rest is released. A call that does not fit waits for calls in flight, and is refused if there are none. A
call of unknown cost (cancelled, timed out, broken off) is booked at its worst case. A call that the server
turned away costs nothing.

Each draw is assumed to pay for its prompt. A server that writes more than `max_tokens` can exceed a cap.
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
    """The price of one model's tokens, such as a price of the price file."""

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Money for this many tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits on the cost of drawing; `None` for no cap.

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
    """The state of one cap.

    Attributes:
        limit: The cap.
        unit: The unit of all amounts.
        of_question: Whether the cap holds for one question, not the run.
        spent: Booked so far.
        reserved: Reserved for calls in flight.
        calls: Calls in flight.
    """

    limit: float
    unit: Literal["tokens", "money"]
    of_question: bool = False
    spent: float = 0.0
    reserved: float = 0.0
    calls: int = 0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])

    def has_room(self, amount: float) -> bool:
        """Whether this amount can be reserved now."""
        return self.spent + self.reserved + amount <= self.limit

    def hold(self, amount: float) -> None:
        """Reserve an amount for a call."""
        self.reserved += amount
        self.calls += 1

    def book(self, reserved: float, spent: float) -> None:
        """Release a call's reservation, book its cost, and wake the calls that wait."""
        self.calls -= 1
        self.reserved = self.reserved - reserved if self.calls else 0.0
        self.spent += spent
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Return when a cost was booked."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class QuestionBudgets:
    """One budget for each question, shared by all samplers of the question.

    Args:
        cap: Tokens of one question.
        sharers: How many samplers there are.
        spent: Returns the tokens of a question's stored draws, of all samplers.
    """

    def __init__(self, cap: int, sharers: int, spent: Callable[[Question], int]) -> None:
        self._cap, self._sharers, self._spent = cap, sharers, spent
        self._taken: dict[str, tuple[Budget, int]] = {}

    def take(self, question: Question) -> Budget:
        """The question's budget, for one sampler. It is forgotten once every sampler has taken it."""
        budget, times = self._taken.pop(question.id, (None, 0))
        if budget is None:
            budget = Budget(self._cap, "tokens", of_question=True, spent=self._spent(question))
        if times + 1 < self._sharers:
            self._taken[question.id] = budget, times + 1
        return budget


@dataclass(slots=True)
class Bill:
    """Tokens of one call: at first its worst case."""

    prompt: float
    completion: float


class Meter:
    """Starts one model's calls only if they fit the budgets.

    Args:
        budgets: The budgets.
        tariff: Price of the model's tokens, for budgets in money.
        model: The model's name.

    Raises:
        InvalidArgumentError: A budget is in money and there is no tariff.
    """

    def __init__(self, budgets: Sequence[Budget], tariff: Tariff | None, model: str) -> None:
        if tariff is None and any(budget.unit == "money" for budget in budgets):
            raise InvalidArgumentError(
                f"A cap in money needs the price of {model!r}. Add it to the file of --prices."
            )
        self._budgets, self._tariff, self._model = budgets, tariff, model

    @asynccontextmanager
    async def billed(self, prompt: float, completion: float) -> AsyncGenerator[Bill]:
        """Around a call: yields the bill, on which the caller writes the real token counts.

        Args:
            prompt: Most prompt tokens of the call.
            completion: Most completion tokens of the call.

        Raises:
            CapReachedError: The call does not fit, and no call in flight could leave room.
        """
        bill = Bill(prompt, completion)
        reserved = [self._amount(budget, bill) for budget in self._budgets]
        await self._set_aside(reserved)
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
            for budget, amount in zip(self._budgets, reserved, strict=True):
                budget.book(amount, self._amount(budget, bill))

    async def _set_aside(self, amounts: Sequence[float]) -> None:
        """Reserve these amounts in all budgets at once. Waits for room, or refuses."""
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
