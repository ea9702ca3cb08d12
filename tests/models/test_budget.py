import asyncio
import contextlib
import random
from collections.abc import Sequence
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampleset.backends.replay import ReplayBackend, ScoringReplayBackend
from sampleset.chat import Generation, Message, SamplingParams
from sampleset.errors import (
    CapReachedError,
    ContextOverflowError,
    InvalidArgumentError,
    SamplingError,
    TransientBackendError,
)
from sampleset.models.budget import Budget, Caps
from sampleset.models.calls import ModelCalls
from sampleset.models.prices import Price
from sampleset.models.retries import Patience
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.sampling.stopping import parse_stop
from sampleset.storage.store import SampleStore
from sampleset.types import Question

ASKED: list[Message] = [{"role": "user", "content": "1 + 1?"}]
WORST_PROMPT = 6 + 16 + 128
"""Its bytes, a turn's marks, a template's margin."""


def reply(prompt: int | None = 10, completion: int | None = 5) -> Generation:
    return Generation("\\boxed{2}", "stop", prompt, completion)


def params(max_tokens: int) -> SamplingParams:
    return SamplingParams(max_tokens=max_tokens)


async def test_a_call_is_booked_at_what_it_took():
    budget = Budget(1000, "tokens")
    await ModelCalls(ReplayBackend(lambda m, s: reply()), budgets=[budget]).generate(
        ASKED, params(20), [0, 1]
    )
    assert (budget.spent, budget.reserved, budget.calls) == (30, 0, 0)


async def test_a_call_whose_worst_case_does_not_fit_is_not_made():
    backend = ReplayBackend(lambda m, s: reply())
    capped = ModelCalls(backend, budgets=[Budget(WORST_PROMPT + 19, "tokens")])
    with pytest.raises(CapReachedError, match=r"cap of 169 tokens for the run leaves 169; .* may take 170"):
        await capped.generate(ASKED, params(20), [0])
    assert backend.calls == []


async def test_the_prompt_is_known_once_it_was_answered():
    capped = ModelCalls(ReplayBackend(lambda m, s: reply()), budgets=[Budget(WORST_PROMPT + 40, "tokens")])
    for seed in range(11):  # 15 tokens each; the last starts with 150 spent, and may take 30
        await capped.generate(ASKED, params(20), [seed])
    with pytest.raises(CapReachedError, match="leaves 25"):
        await capped.generate(ASKED, params(20), [11])


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        pytest.param(TransientBackendError("time"), WORST_PROMPT + 20, id="nobody knows"),
        pytest.param(TransientBackendError("429", retry_after=1.0), 0, id="later"),
        pytest.param(ContextOverflowError("too long"), 0, id="refused"),
    ],
)
async def test_a_call_that_failed_costs_its_worst_case_unless_it_was_turned_away(
    error: Exception, spent: int
):
    budget = Budget(10_000, "tokens")
    with pytest.raises(type(error)):
        await ModelCalls(ReplayBackend(lambda m, s: error), budgets=[budget]).generate(ASKED, params(20), [0])
    assert budget.spent == spent


async def test_tokens_nobody_counted_cost_their_worst_case():
    budget = Budget(10_000, "tokens")
    backend = ReplayBackend(lambda m, s: reply(None, None))
    await ModelCalls(backend, budgets=[budget]).generate(ASKED, params(20), [0])
    assert budget.spent == WORST_PROMPT + 20


async def test_a_cap_in_money_goes_by_the_price():
    budget = Budget(1.0, "money")
    capped = ModelCalls(ReplayBackend(lambda m, s: reply()), budgets=[budget], tariff=Price(1000.0, 10_000.0))
    await capped.generate(ASKED, params(20), [0])  # at worst 0.15 + 0.2
    assert budget.spent == pytest.approx(0.01 + 0.05)


def test_a_cap_in_money_without_a_price_is_refused():
    with pytest.raises(InvalidArgumentError, match="needs the price of 'replay'"):
        ModelCalls(ReplayBackend(lambda m, s: "2"), budgets=[Budget(1.0, "money")])


async def test_scores_are_paid_for_as_prompt():
    budget = Budget(1000, "tokens")
    backend = ModelCalls(ScoringReplayBackend(lambda m, s: "2"), budgets=[budget])
    await backend.score(ASKED, ["one", "two"])  # type: ignore[attr-defined]
    assert budget.spent == 2 + 1 + 1  # pieces of three characters
    with pytest.raises(CapReachedError):
        await backend.score(ASKED, ["one" * 400])  # type: ignore[attr-defined]


@pytest.mark.parametrize("values", [{"tokens": 0}, {"question_tokens": -1}, {"money": 0.0}])
def test_a_cap_is_above_zero(values):
    with pytest.raises(InvalidArgumentError, match="must be above 0"):
        Caps(**values)


class Meter(ReplayBackend):
    """Counts what its draws really take, from the moment they start; fails and dawdles by its generator."""

    def __init__(self, seed: int, prompt: int, fails: float) -> None:
        super().__init__(lambda m, s: "")
        self.generator = random.Random(seed)
        self.prompt = prompt
        self.fails = fails
        self.total = 0.0
        self.most = 0.0
        self.open = 0.0

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        completion = self.generator.randint(0, params.max_tokens)
        taken = self.prompt + completion
        self.total += taken
        for _ in range(self.generator.randint(0, 3)):
            await asyncio.sleep(0)
        if self.generator.random() < self.fails:
            raise TransientBackendError("lost")
        return [reply(self.prompt, completion) for _ in seeds]


@settings(max_examples=150, deadline=None)
@given(
    cap=st.integers(1, 5000),
    question_cap=st.one_of(st.none(), st.integers(1, 1500)),
    max_tokens=st.integers(1, 300),
    prompt=st.integers(1, 150),
    fails=st.sampled_from([0.0, 0.3]),
    stop=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_no_cap_is_ever_passed(
    cap: int, question_cap: int | None, max_tokens: int, prompt: int, fails: float, stop: bool, seed: int
):
    backend = Meter(seed, prompt, fails)
    options = SamplingOptions(
        n=8,
        params=params(max_tokens),
        caps=Caps(tokens=cap, question_tokens=question_cap),
        patience=Patience(max_retries=1),
        stop=parse_stop("beta:0.9") if stop else None,
    )

    async def run() -> None:
        sampler = Sampler(backend, options)
        with mock.patch("sampleset.models.retries.backoff", lambda *_: 0.0):
            for number in range(4):
                before = backend.total
                with contextlib.suppress(SamplingError):
                    await sampler.sample(Question(f"q{number}", "1 + 1?"))
                if question_cap is not None:
                    assert backend.total - before <= question_cap

    asyncio.run(run())
    assert backend.total <= cap


async def test_calls_wait_for_those_in_flight_before_they_are_refused():
    backend = Meter(0, prompt=10, fails=0.0)
    options = SamplingOptions(n=6, params=params(100), caps=Caps(tokens=1500))
    drawn = await Sampler(backend, options).sample(Question("q", "1 + 1?"))
    # Side by side six would need over 2,000 tokens at worst; one after the other they fit.
    assert drawn.n == 6


async def test_a_question_cut_short_by_its_own_cap_is_whole(tmp_path):
    store = SampleStore(tmp_path)
    options = SamplingOptions(n=6, params=params(100), caps=Caps(question_tokens=450))
    sampler = Sampler(Meter(0, prompt=50, fails=0.0), options, store)
    drawn = await sampler.sample(Question("q", "1 + 1?"))
    assert 0 < drawn.n < 6
    assert drawn.stopped == "cap"
    assert sampler.progress.capped == 1


async def test_what_a_question_has_in_the_store_counts_towards_its_cap(tmp_path):
    backend = ReplayBackend(lambda m, s: reply(50, 50))
    uncapped = SamplingOptions(n=3, params=params(100))
    await Sampler(backend, uncapped, SampleStore(tmp_path)).sample(Question("q", "1 + 1?"))
    capped = SamplingOptions(n=6, params=params(100), caps=Caps(question_tokens=449))
    drawn = await Sampler(backend, capped, SampleStore(tmp_path)).sample(Question("q", "1 + 1?"))
    assert drawn.n == 3
    assert len(backend.calls) == 3


async def test_without_room_for_one_draw_the_cap_is_named():
    options = SamplingOptions(n=6, caps=Caps(tokens=100))
    with pytest.raises(
        CapReachedError, match=r"Question 'q': 0 of 6 draws. The cap of 100 tokens for the run"
    ):
        await Sampler(ReplayBackend(lambda m, s: "2"), options).sample(Question("q", "1 + 1?"))


async def test_of_a_group_that_does_not_fit_as_many_are_drawn_as_do():
    backend = ReplayBackend(lambda m, s: reply(50, 100), group_size=8)
    options = SamplingOptions(n=8, params=params(100), caps=Caps(tokens=700))
    drawn = await Sampler(backend, options).sample(Question("q", "1 + 1?"))
    assert [sample.index for sample in drawn.samples] == [0, 1, 2, 3]
    assert [[seed % 2**16 for seed in seeds] for _, _, seeds in backend.calls] == [[0, 1], [2, 3]]
