"""Drawing that stops where a rule is met: batches, what is in flight, the store."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation, Message, SamplingParams
from sampleset.errors import AuthenticationError, InvalidArgumentError, TransientBackendError
from sampleset.models.retries import Patience
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.sampling.stopping import parse_stop
from sampleset.storage.files import read_sample_sets, write_rows
from sampleset.storage.store import SampleStore
from sampleset.types import Problem, Question

QUESTION = Question("q", "What is it?")
BETA = parse_stop("beta:0.95")
ONCE = Patience(max_retries=0)


def saying(answers: str):
    """Draw i answers with the i-th character; `?` says nothing, `!` fails."""

    def reply(messages: Sequence[Message], seed: int) -> str | Exception:
        if answers[seed] == "!":
            return TransientBackendError("lost")
        return "Who knows." if answers[seed] == "?" else f"\\boxed{{{answers[seed]}}}"

    return reply


def options(stop: str = "beta:0.95", n: int = 12, **more) -> SamplingOptions:
    return SamplingOptions(n=n, stop=parse_stop(stop), patience=ONCE, **more)


async def drawn_of(answers: str, **more):
    backend = ReplayBackend(saying(answers))
    sampler = Sampler(backend, options(n=len(answers), **more))
    return await sampler.sample(QUESTION), backend, sampler


@pytest.mark.parametrize(
    ("answers", "stop", "drawn"),
    [
        pytest.param("777777777777", "beta:0.95", 4, id="agreement stops after the first batch"),
        pytest.param("787777777777", "beta:0.95", 8, id="one other answer takes a second batch"),
        pytest.param("121212121212", "beta:0.95", 12, id="a contested question takes all"),
        pytest.param("????77777777", "beta:0.95", 8, id="draws without an answer settle nothing"),
        pytest.param("!!!!77777777", "beta:0.95", 8, id="nor do failed ones"),
        pytest.param("787777777777", "esc:3", 6, id="a unanimous window"),
        pytest.param("7?7777777777", "esc:3", 6, id="a window with an abstention is not unanimous"),
    ],
)
async def test_drawing_stops_where_the_rule_is_met(answers: str, stop: str, drawn: int):
    sample_set, backend, sampler = await drawn_of(answers, stop=stop)
    assert (sample_set.n, len(backend.calls)) == (drawn, drawn)
    assert sample_set.stopped == (stop if drawn < 12 else None)
    assert sampler.progress.spared == 12 - drawn
    assert sampler.progress.stopped == (drawn < 12)


async def test_equal_answers_in_two_spellings_agree():
    texts = ["\\boxed{1/2}", "\\boxed{0.5}", "\\boxed{\\frac{1}{2}}", "\\boxed{0.50}"]
    backend = ReplayBackend(lambda messages, seed: texts[seed % 4])
    assert (await Sampler(backend, options()).sample(QUESTION)).n == 4


async def test_the_first_batch_is_as_asked_for_and_later_ones_double_what_there_is():
    backend = ReplayBackend(saying("1212121212121212"), group_size=16)
    await Sampler(backend, options(n=16, first_batch=3)).sample(QUESTION)
    assert [len(seeds) for _, _, seeds in backend.calls] == [3, 3, 6, 4]


class Slow(ReplayBackend):
    """Draws from the seed 4 on take for ever; notes which were cancelled."""

    def __init__(self, answers: str) -> None:
        super().__init__(saying(answers))
        self.cancelled: list[int] = []

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        try:
            place = seeds[0] % 2**16
            await asyncio.sleep(3600 if place in (4, 6) else 0.001 * place)
        except asyncio.CancelledError:
            self.cancelled += [seed % 2**16 for seed in seeds]
            raise
        return await super().generate(messages, params, seeds)


async def test_what_is_in_flight_is_cancelled_and_what_is_back_is_kept(tmp_path: Path):
    backend = Slow("7777777777777777")
    sampler = Sampler(backend, options(n=16, first_batch=8), SampleStore(tmp_path))
    drawn = await asyncio.wait_for(sampler.sample(QUESTION), 10)
    indices = [sample.index for sample in drawn.samples]
    assert indices[:4] == [0, 1, 2, 3]
    assert {4, 6} <= set(backend.cancelled)
    assert sampler.progress.cancelled == len(backend.cancelled) == 8 - drawn.n
    stored = [json.loads(line)["index"] for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert sorted(stored) == indices


async def test_quick_draws_do_not_decide_because_they_are_quick():
    # Draw 0 is the slowest of all and the draws after it agree; without it nothing is settled.
    class FirstLast(ReplayBackend):
        async def generate(
            self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
        ) -> list[Generation]:
            await asyncio.sleep(0.05 if seeds[0] % 2**16 == 0 else 0)
            return await super().generate(messages, params, seeds)

    drawn = await Sampler(FirstLast(saying("1777777777777777")), options(n=16, first_batch=8)).sample(
        QUESTION
    )
    assert [sample.index for sample in drawn.samples] == list(range(8))


async def test_a_second_run_draws_nothing_and_gives_the_same_set(tmp_path: Path):
    first = await Sampler(ReplayBackend(saying("7" * 12)), options(), SampleStore(tmp_path)).sample(QUESTION)
    again = ReplayBackend(saying("7" * 12))
    second = await Sampler(again, options(), SampleStore(tmp_path)).sample(QUESTION)
    assert again.calls == []
    assert second == first
    assert len((tmp_path / "stops.jsonl").read_text().splitlines()) == 1


async def test_a_later_run_without_the_rule_goes_on_and_ends_the_stop(tmp_path: Path):
    store = SampleStore(tmp_path)
    store.add_problems([Problem(QUESTION, "7")])
    await Sampler(ReplayBackend(saying("7" * 12)), options(), store).sample(QUESTION)
    (stored,) = SampleStore(tmp_path).sample_sets()
    assert (stored.sample_set.n, stored.sample_set.stopped) == (4, "beta:0.95")
    backend = ReplayBackend(saying("7" * 12))
    whole = await Sampler(backend, SamplingOptions(n=12), SampleStore(tmp_path)).sample(QUESTION)
    assert (len(backend.calls), whole.n, whole.stopped) == (8, 12, None)
    (stored,) = SampleStore(tmp_path).sample_sets()
    assert (stored.sample_set.n, stored.sample_set.stopped) == (12, None)


async def test_a_set_that_was_drawn_whole_before_is_read_whole(tmp_path: Path):
    await Sampler(ReplayBackend(saying("7" * 12)), SamplingOptions(n=12), SampleStore(tmp_path)).sample(
        QUESTION
    )
    backend = ReplayBackend(saying("7" * 12))
    drawn = await Sampler(backend, options(), SampleStore(tmp_path)).sample(QUESTION)
    assert (drawn.n, drawn.stopped, backend.calls) == (12, None, [])


async def test_a_run_killed_before_it_could_note_the_stop_notes_it_later(tmp_path: Path):
    await Sampler(ReplayBackend(saying("7" * 12)), options(), SampleStore(tmp_path)).sample(QUESTION)
    (tmp_path / "stops.jsonl").unlink()
    backend = ReplayBackend(saying("7" * 12))
    drawn = await Sampler(backend, options(), SampleStore(tmp_path)).sample(QUESTION)
    assert (backend.calls, drawn.stopped) == ([], "beta:0.95")
    assert (tmp_path / "stops.jsonl").exists()


async def test_a_torn_line_of_stops_does_no_harm(tmp_path: Path):
    await Sampler(ReplayBackend(saying("7" * 12)), options(), SampleStore(tmp_path)).sample(QUESTION)
    stops = tmp_path / "stops.jsonl"
    stops.write_text(stops.read_text() + '{"key": "half')
    other = Question("other", "And that?")
    store = SampleStore(tmp_path)
    await Sampler(ReplayBackend(saying("7" * 12)), options(), store).sample(other)
    assert len(stops.read_text().splitlines()) == 2


def test_a_file_of_sets_keeps_that_a_set_was_stopped(tmp_path: Path):
    rows = [{"id": "a", "question": "1+1?", "answer": "2", "stopped": "esc:2", "samples": ["2", "2"]}]
    write_rows(tmp_path / "sets.jsonl", rows)
    (stored,) = read_sample_sets(tmp_path / "sets.jsonl")
    assert stored.sample_set.stopped == "esc:2"
    assert stored.to_row()["stopped"] == "esc:2"


async def test_a_failure_that_no_draw_escapes_ends_adaptive_drawing_too():
    backend = ReplayBackend(lambda messages, seed: AuthenticationError("no"))
    with pytest.raises(AuthenticationError):
        await Sampler(backend, options()).sample(QUESTION)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"first_batch": 4}, "goes with a stopping rule", id="no rule"),
        pytest.param({"first_batch": 0, "stop": BETA}, "first_batch=0", id="none"),
        pytest.param({"weight": -1.0}, "weight=-1.0", id="weight"),
    ],
)
def test_options_out_of_range_name_the_value(values, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        SamplingOptions(**values)
