import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation, Message, SamplingParams, first_seed
from sampleset.errors import (
    AuthenticationError,
    BackendError,
    ContextOverflowError,
    InvalidArgumentError,
    RefusedPromptError,
    SamplingError,
    TransientBackendError,
)
from sampleset.models.retries import Patience
from sampleset.sampling.draws import runs_of
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.storage.records import problem_from_row
from sampleset.storage.store import SampleStore
from sampleset.types import Problem, Question, SampleSet

ONCE = Patience(max_retries=0)


def places(backend: ReplayBackend) -> list[list[int]]:
    """Of each call, which draws of its question it asked for."""
    return [[seed % 2**16 for seed in seeds] for _, _, seeds in backend.calls]


def by_seed(messages: Sequence[Message], seed: int) -> str:
    return f"text of seed {seed}"


def questions(count: int) -> list[Question]:
    return [Question(f"q{number}", f"What is {number}?") for number in range(count)]


async def collect(sets: AsyncIterator[SampleSet]) -> list[SampleSet]:
    return [one async for one in sets]


async def test_seeds_count_up_from_the_question_s_own():
    backend = ReplayBackend(by_seed)
    sampler = Sampler(backend, SamplingOptions(n=3, seed=40))
    drawn, other = [await sampler.sample(Question("q", text)) for text in ("?", "another")]
    first = first_seed(backend.calls[0][0], 40)
    assert [sample.seed for sample in drawn.samples] == [first, first + 1, first + 2]
    assert abs(other.samples[0].seed - first) >= 2**16
    assert first < 2**31
    assert [sample.text for sample in drawn.samples] == [f"text of seed {seed}" for seed in (40, 41, 42)]
    assert [sample.index for sample in drawn.samples] == [0, 1, 2]


async def test_k_samples_come_back_however_many_one_call_takes():
    backend = ReplayBackend(by_seed, group_size=3)
    drawn = await Sampler(backend, SamplingOptions(n=7)).sample(Question("q", "?"))
    assert places(backend) == [[0, 1, 2], [3, 4, 5], [6]]
    assert drawn.n == 7


def test_runs_hold_consecutive_indices_only():
    assert runs_of([0, 1, 2, 5, 6, 9], 2) == [[0, 1], [2], [5, 6], [9]]


async def test_a_failed_draw_is_data_and_abstains():
    def reply(messages: Sequence[Message], seed: int) -> str | Exception:
        return TransientBackendError("busy") if seed == 1 else f"fine {seed}"

    drawn = await Sampler(ReplayBackend(reply), SamplingOptions(n=3, patience=ONCE)).sample(
        Question("q", "?")
    )
    assert [sample.failed for sample in drawn.samples] == [False, True, False]
    assert drawn.n == 3
    assert drawn.samples[1].error == "busy (after 1 try)"


async def test_all_draws_failing_raises_with_the_first_reason():
    backend = ReplayBackend(lambda messages, seed: TransientBackendError("out of order"))
    with pytest.raises(SamplingError, match=r"0 of 2 draws succeeded, 1 are needed.*out of order"):
        await Sampler(backend, SamplingOptions(n=2, patience=ONCE)).sample(Question("q", "?"))


async def test_a_missed_quorum_raises():
    def reply(messages: Sequence[Message], seed: int) -> str | Exception:
        return "fine" if seed == 0 else TransientBackendError("busy")

    options = SamplingOptions(n=4, min_samples=2, patience=ONCE)
    with pytest.raises(SamplingError, match="1 of 4 draws succeeded, 2 are needed"):
        await Sampler(ReplayBackend(reply), options).sample(Question("q", "?"))


async def test_a_prompt_beyond_the_context_fails_its_question_only():
    def reply(messages: Sequence[Message], seed: int) -> str | Exception:
        return ContextOverflowError("too long") if "1?" in messages[0]["content"] else "fine"

    sampler = Sampler(ReplayBackend(reply), SamplingOptions(n=2))
    drawn = await collect(sampler.sample_many(questions(3)))
    assert [one.id for one in drawn] == ["q0", "q2"]
    assert sampler.progress.below_quorum == [
        "Question 'q1': 0 of 2 draws succeeded, 1 are needed. First failure: too long"
    ]


async def test_a_refused_key_ends_the_run_at_once():
    backend = ReplayBackend(lambda messages, seed: AuthenticationError("refused"))
    with pytest.raises(AuthenticationError):
        await collect(Sampler(backend, SamplingOptions(n=4)).sample_many(questions(50)))
    assert len(backend.calls) <= 4 * 6


async def test_a_server_that_is_gone_ends_the_run_after_a_few_questions():
    backend = ReplayBackend(lambda messages, seed: TransientBackendError("gone"))
    sampler = Sampler(backend, SamplingOptions(n=1, patience=ONCE))
    with pytest.raises(SamplingError, match=r"8 questions in a row failed; stopping.*run the same command"):
        await collect(sampler.sample_many(questions(500)))
    assert len(backend.calls) < 30


class SlowBackend(ReplayBackend):
    """Takes its time; the first questions most of all."""

    running = 0
    most = 0

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.02 if "What is 0?" in messages[0]["content"] else 0.002)
        self.running -= 1
        return await super().generate(messages, params, seeds)


async def test_sets_come_in_the_order_of_the_questions_and_the_limiter_holds():
    backend = SlowBackend(by_seed)
    sampler = Sampler(backend, SamplingOptions(n=3, max_concurrency=4))
    drawn = await collect(sampler.sample_many(questions(12)))
    assert [one.id for one in drawn] == [f"q{number}" for number in range(12)]
    assert backend.most == 4


async def test_no_more_calls_are_made_than_the_backend_can_work_on():
    backend = SlowBackend(by_seed, max_calls=2)
    await collect(Sampler(backend, SamplingOptions(n=3)).sample_many(questions(4)))
    assert backend.most == 2


async def test_of_several_fatal_errors_one_is_raised_and_none_is_left_behind(
    caplog: pytest.LogCaptureFixture,
):
    backend = ReplayBackend(lambda messages, seed: AuthenticationError("no"))
    with pytest.raises(AuthenticationError):
        await Sampler(backend, SamplingOptions(n=3)).sample(Question("q", "?"))
    gc.collect()
    assert caplog.records == []


class SlowAtFirst(ReplayBackend):
    """The first call of a seed takes for ever, the second returns at once."""

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        made = [list(asked) for _, _, asked in self.calls].count(list(seeds))
        replies = await super().generate(messages, params, seeds)
        if made == 0:
            await asyncio.Event().wait()
        return replies


async def test_a_draw_that_is_not_back_is_drawn_again_under_its_seed():
    backend = SlowAtFirst(lambda messages, seed: "\\boxed{4}")
    sampler = Sampler(backend, SamplingOptions(n=2, hedge_after=0.01))
    drawn = await sampler.sample(Question("q", "2+2?"))
    assert [sample.text for sample in drawn.samples] == ["\\boxed{4}"] * 2
    assert len(backend.calls) == 4
    assert len({tuple(seeds) for _, _, seeds in backend.calls}) == 2
    assert sampler.progress.cancelled == 2


async def test_a_deadline_keeps_what_came_before_it():
    class Stuck(ReplayBackend):
        async def generate(
            self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
        ) -> list[Generation]:
            if seeds[0] % 2**16 == 1:
                await asyncio.Event().wait()
            return await super().generate(messages, params, seeds)

    options = SamplingOptions(n=3, deadline=0.05)
    drawn = await Sampler(Stuck(by_seed), options).sample(Question("q", "?"))
    assert [sample.failed for sample in drawn.samples] == [False, True, False]
    assert drawn.samples[1].error == "the deadline of 0.05 s passed"


async def test_one_text_for_every_seed_is_noticed():
    sampler = Sampler(ReplayBackend(lambda messages, seed: "always this"), SamplingOptions(n=3))
    await collect(sampler.sample_many(questions(2)))
    assert sampler.progress.seeds_ignored
    assert (sampler.progress.returned, sampler.progress.distinct) == (6, 2)


@pytest.mark.parametrize(
    ("reply", "temperature"),
    [
        pytest.param(by_seed, 0.8, id="distinct texts"),
        pytest.param(lambda messages, seed: "always this", 0.0, id="greedy"),
    ],
)
async def test_what_need_not_differ_is_not_suspected(reply, temperature: float):
    options = SamplingOptions(n=3, params=SamplingParams(temperature=temperature))
    sampler = Sampler(ReplayBackend(reply), options)
    await sampler.sample(Question("q", "?"))
    assert not sampler.progress.seeds_ignored


async def test_a_second_run_draws_nothing_again(tmp_path: Path):
    store = SampleStore(tmp_path)
    store.add_problems(Problem(question, None) for question in questions(3))
    first = await collect(
        Sampler(ReplayBackend(by_seed), SamplingOptions(n=4), store).sample_many(questions(3))
    )
    again = ReplayBackend(by_seed)
    sampler = Sampler(again, SamplingOptions(n=4), SampleStore(tmp_path))
    second = await collect(sampler.sample_many(questions(3)))
    assert again.calls == []
    assert [one.samples for one in second] == [one.samples for one in first]
    assert sampler.progress.reused == 12


async def test_more_samples_draw_the_new_ones_only(tmp_path: Path):
    question = Question("q", "?")
    await Sampler(ReplayBackend(by_seed), SamplingOptions(n=2), SampleStore(tmp_path)).sample(question)
    backend = ReplayBackend(by_seed, group_size=8)
    drawn = await Sampler(backend, SamplingOptions(n=5), SampleStore(tmp_path)).sample(question)
    assert places(backend) == [[2, 3, 4]]
    assert [sample.index for sample in drawn.samples] == [0, 1, 2, 3, 4]


async def test_fewer_samples_than_stored_are_the_first_ones(tmp_path: Path):
    question = Question("q", "?")
    await Sampler(ReplayBackend(by_seed), SamplingOptions(n=5), SampleStore(tmp_path)).sample(question)
    drawn = await Sampler(ReplayBackend(by_seed), SamplingOptions(n=2), SampleStore(tmp_path)).sample(
        question
    )
    assert [sample.index for sample in drawn.samples] == [0, 1]


async def test_failed_draws_are_drawn_again_by_the_next_run(tmp_path: Path):
    def flaky(messages: Sequence[Message], seed: int) -> str | Exception:
        return TransientBackendError("busy") if seed == 1 else f"fine {seed}"

    question = Question("q", "?")
    options = SamplingOptions(n=3, patience=ONCE)
    await Sampler(ReplayBackend(flaky), options, SampleStore(tmp_path)).sample(question)
    backend = ReplayBackend(by_seed)
    drawn = await Sampler(backend, options, SampleStore(tmp_path)).sample(question)
    assert places(backend) == [[1]]
    assert [sample.text for sample in drawn.samples] == ["fine 0", "text of seed 1", "fine 2"]


async def test_two_samplers_on_one_store_share_the_work(tmp_path: Path):
    one, two = SlowBackend(by_seed), SlowBackend(by_seed)
    options = SamplingOptions(n=2)
    await asyncio.gather(
        collect(Sampler(one, options, SampleStore(tmp_path)).sample_many(questions(8))),
        collect(Sampler(two, options, SampleStore(tmp_path)).sample_many(questions(8))),
    )
    assert len(one.calls) + len(two.calls) == 16


async def test_who_comes_second_goes_on_beyond_what_the_first_holds(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sampleset.sampling.sampler._POLL", 0.01)
    backends, options = (SlowBackend(by_seed), SlowBackend(by_seed)), SamplingOptions(n=1, max_concurrency=2)
    await asyncio.gather(
        *(
            collect(Sampler(backend, options, SampleStore(tmp_path)).sample_many(questions(60)))
            for backend in backends
        )
    )
    made = [len(backend.calls) for backend in backends]
    assert sum(made) == 60
    assert min(made) > 15


async def test_problems_that_ask_the_same_share_their_draws(tmp_path: Path):
    store = SampleStore(tmp_path)
    same = [Question("one", "What is it?"), Question("two", "What is it?")]
    store.add_problems(Problem(question, None) for question in same)
    backend = ReplayBackend(by_seed)
    await collect(Sampler(backend, SamplingOptions(n=3), store).sample_many(same))
    assert len(backend.calls) == 3
    assert [one.sample_set.n for one in SampleStore(tmp_path).sample_sets()] == [3, 3]


async def test_a_backend_that_returns_too_few_completions_is_reported():
    class Short(ReplayBackend):
        async def generate(
            self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
        ) -> list[Generation]:
            return (await super().generate(messages, params, seeds))[:-1]

    with pytest.raises(BackendError, match="returned 1 completions for 2 seeds"):
        await Sampler(Short(by_seed, group_size=2), SamplingOptions(n=2)).sample(Question("q", "?"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"n": 0}, "n=0 must be at least 1", id="n"),
        pytest.param({"n": 2, "min_samples": 3}, "min_samples=3 is above n=2", id="quorum above n"),
        pytest.param({"deadline": 0.0}, "deadline=0.0 must be above 0", id="deadline"),
        pytest.param({"hedge_after": 0.0}, "hedge_after=0.0 must be above 0", id="hedge"),
        pytest.param({"prompt": "sovle"}, "Did you mean 'solve'", id="prompt"),
        pytest.param({"max_concurrency": 0}, "max_concurrency=0 must be at least 1", id="concurrency"),
    ],
)
def test_options_out_of_range_name_the_value(values, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        SamplingOptions(**values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"temperature": -1.0}, "temperature=-1.0", id="temperature"),
        pytest.param({"top_p": 0.0}, "top_p=0.0", id="top_p"),
        pytest.param({"max_tokens": 0}, "max_tokens=0", id="max_tokens"),
    ],
)
def test_parameters_out_of_range_name_the_value(values, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        SamplingParams(**values)


async def test_questions_of_one_text_and_other_options_keep_their_own_draws(tmp_path: Path):
    store = SampleStore(tmp_path)
    asked = [
        Question("x", "Which?", choices=("one", "two")),
        Question("y", "Which?", choices=("three", "four")),
    ]
    store.add_problems(Problem(question, "A") for question in asked)
    backend = ReplayBackend(lambda messages, seed: "one" if "one" in messages[-1]["content"] else "three")
    await collect(Sampler(backend, SamplingOptions(n=1), store).sample_many(asked))
    drawn = [one.sample_set.samples[0].text for one in SampleStore(tmp_path).sample_sets()]
    assert drawn == ["one", "three"]


async def test_two_names_of_one_prompt_share_their_draws_which_count_once(tmp_path: Path):
    store = SampleStore(tmp_path)
    question = Question("q", "Which?", choices=("one", "two"))
    store.add_problems([Problem(question, "A")])
    backend = ReplayBackend(by_seed)
    named = [SamplingOptions(n=2, prompt=name) for name in ("solve", "worked_examples")]
    for options in named:
        await Sampler(backend, options, store).sample(question)
    assert len(backend.calls) == 2
    for which in ("all", Sampler(backend, named[1]).configuration.id):
        assert [one.sample_set.n for one in store.sample_sets(which)] == [2]


async def test_old_scores_of_a_file_are_not_those_of_new_draws(tmp_path: Path):
    store = SampleStore(tmp_path)
    row = {
        "question": "?",
        "completions": ["a", "b"],
        "rm_scores": [0.9, 0.1],
        "stopped": "esc:2",
        "topic": "sums",
    }
    problem = problem_from_row(row, 0)
    store.add_problems([problem])
    await Sampler(ReplayBackend(by_seed), SamplingOptions(n=2), store).sample(problem.question)
    (exported,) = [one.to_row() for one in store.sample_sets()]
    assert not {"rm_scores", "stopped", "completions"} & exported.keys()
    assert exported["topic"] == "sums"


@pytest.mark.parametrize(
    "error", [RefusedPromptError("filtered"), ContextOverflowError("too long")], ids=["filter", "overflow"]
)
async def test_questions_that_cannot_be_answered_do_not_end_the_run(error: BackendError):
    def reply(messages: Sequence[Message], seed: int) -> str | Exception:
        return error if "odd" in messages[-1]["content"] else "fine"

    asked = [Question(f"q{place}", f"odd {place}" if place < 20 else f"{place}") for place in range(24)]
    sampler = Sampler(ReplayBackend(reply), SamplingOptions(n=2))
    assert [one.id for one in await collect(sampler.sample_many(asked))] == ["q20", "q21", "q22", "q23"]
    assert len(sampler.progress.below_quorum) == 20


async def test_stored_draws_of_another_weight_are_refused(tmp_path: Path):
    store = SampleStore(tmp_path)
    question = Question("q", "?")
    await Sampler(ReplayBackend(by_seed), SamplingOptions(n=1, weight=0.5), store).sample(question)
    with pytest.raises(InvalidArgumentError, match=r"have the weight 0\.5, not 2\.0"):
        await Sampler(ReplayBackend(by_seed), SamplingOptions(n=1, weight=2.0), store).sample(question)


async def test_hedged_draws_that_come_back_together_never_wait_for_one_another():
    asked = 0

    class Stubborn(ReplayBackend):
        """Its replies are whole when they are cancelled."""

        async def generate(
            self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
        ) -> list[Generation]:
            nonlocal asked
            asked += 1
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1 if asked == 1 else 0.03)
            return await super().generate(messages, params, seeds)

    work = Sampler(Stubborn(by_seed), SamplingOptions(n=2, hedge_after=0.01)).sample(Question("q", "?"))
    drawn = await asyncio.wait_for(work, 5)
    assert [sample.index for sample in drawn.samples] == [0, 1]
