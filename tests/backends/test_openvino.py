"""Against a fake engine; one test asks the real one, where it is installed and a model is named."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sampleset.backends.base import BACKENDS, Backend
from sampleset.backends.openvino import OpenVinoBackend
from sampleset.chat import Generation, Message, SamplingParams, estimate_pieces
from sampleset.errors import (
    BackendError,
    ContextOverflowError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
)
from sampleset.models.opening import open_backend
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.types import Question

END = 0
Status = Enum("Status", ["RUNNING", "FINISHED", "IGNORED", "CANCEL", "STOP"])
Finish = Enum("Finish", ["NONE", "STOP", "LENGTH"])


class FakeTokenizer:
    """A token is a character; 0 ends a text."""

    def apply_chat_template(self, history: list[Message], generation_prompt: bool, **options: Any) -> str:
        assert generation_prompt
        if history and history[-1]["role"] == "stranger":
            raise RuntimeError("template.cpp:1:\nunknown role")
        turns = "".join(f"<{turn['role']}>{turn['content']}" for turn in history)
        return f"{turns}<assistant>" + ("" if options["extra_context"]["enable_thinking"] else "<think/>")

    def encode(self, text: str, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        tokens = [ord(character) for character in text]
        row = SimpleNamespace(tolist=lambda: tokens)
        ids = SimpleNamespace(shape=(1, len(tokens)), data=[row], tokens=tokens)
        return SimpleNamespace(input_ids=ids)

    def decode(self, tokens: list[Any], skip_special_tokens: bool = True) -> Any:
        if tokens and isinstance(tokens[0], list):
            return ["?" if one == [ord("🤔")] else chr(one[0]) for one in tokens]
        return "".join(chr(token) for token in tokens if token != END or not skip_special_tokens)

    def get_eos_token_id(self) -> int:
        return END


class FakeConfig:
    def __init__(self) -> None:
        self.do_sample = False
        self.stop_strings: set[str] = set()

    def set_eos_token_id(self, token: int) -> None:
        self.eos_token_id = token


class FakeHandle:
    def __init__(self, prompt: str, config: FakeConfig, text: str) -> None:
        self.prompt, self.config, self.text = prompt, config, text
        self.status, self.tokens = Status.RUNNING, []

    def get_status(self) -> Status:
        return self.status

    def cancel(self) -> None:
        self.status = Status.CANCEL

    def read_all(self) -> list[Any]:
        reason = Finish.STOP if self.tokens[-1] == END else Finish.LENGTH
        logprobs = [-float(place % 2) for place in range(len(self.tokens))]
        return [
            SimpleNamespace(generated_ids=self.tokens, generated_log_probs=logprobs, finish_reason=reason)
        ]


class FakeGenai:
    """The package: a step writes one character of every draw that runs.

    Attributes:
        reply: Rendered prompt and seed → the text of a draw; `None` for one that is ignored.
        handles: Every draw so far.
        widths: Draws decoded together, step by step.
        step_seconds: How long a step takes.
        failure: What the next step raises.
    """

    GenerationStatus = Status
    GenerationFinishReason = Finish
    GenerationConfig = FakeConfig
    SchedulerConfig = SimpleNamespace

    def __init__(self) -> None:
        self.reply: Callable[[str, int], str | None] = lambda prompt, seed: f"seed {seed}"
        self.handles: list[FakeHandle] = []
        self.widths: list[int] = []
        self.step_seconds = 0.0
        self.failure: Exception | None = None
        self.refusal: Exception | None = None

    def ContinuousBatchingPipeline(self, path: str, scheduler: Any, device: str, *options: Any) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.scheduler, self.options = scheduler, options
        return FakePipeline(self)


class FakePipeline:
    def __init__(self, genai: FakeGenai) -> None:
        self.genai = genai
        self.thread = None

    def get_tokenizer(self) -> FakeTokenizer:
        return FakeTokenizer()

    def add_request(self, number: int, prompt: Any, config: FakeConfig) -> FakeHandle:
        rendered = "".join(map(chr, prompt.tokens))
        text = self.genai.reply(rendered, getattr(config, "rng_seed", -1))
        handle = FakeHandle(rendered, config, text or "")
        if text is None:
            handle.status = Status.IGNORED
        self.genai.handles.append(handle)
        return handle

    def has_non_finished_requests(self) -> bool:
        return bool(self.running())

    def running(self) -> list[FakeHandle]:
        return [handle for handle in self.genai.handles if handle.status is Status.RUNNING]

    def step(self) -> None:
        if self.genai.failure is not None:
            raise self.genai.failure
        time.sleep(self.genai.step_seconds)
        running = self.running()
        self.genai.widths.append(len(running))
        for handle in running:
            written = len(handle.tokens)
            handle.tokens.append(ord(handle.text[written]) if written < len(handle.text) else END)
            if handle.tokens[-1] == END or len(handle.tokens) == handle.config.max_new_tokens:
                handle.status = Status.FINISHED


@pytest.fixture
def genai(monkeypatch: pytest.MonkeyPatch) -> FakeGenai:
    fake = FakeGenai()
    monkeypatch.setitem(sys.modules, "openvino_genai", fake)  # type: ignore[arg-type]
    return fake


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF and more")
    return str(path)


@pytest.fixture
def backend(genai: FakeGenai, model: str) -> Iterator[OpenVinoBackend]:
    made = OpenVinoBackend(model)
    yield made
    asyncio.run(made.aclose())
    assert "sampleset-openvino" not in {thread.name for thread in threading.enumerate()}


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - the other side is a thread, it cannot set an asyncio.Event
        await asyncio.sleep(0.005)


async def one(backend: Backend, params: SamplingParams, seed: int = 0) -> Generation:
    (generation,) = await backend.generate(user("1+1?"), params, [seed])
    return generation


async def test_every_draw_takes_its_own_seed(backend: OpenVinoBackend) -> None:
    generations = await backend.generate(user("1+1?"), SamplingParams(), [6, 2, 2**32 + 3])
    assert [generation.text for generation in generations] == ["seed 6", "seed 2", "seed 3"]
    assert isinstance(backend, Backend)
    assert BACKENDS.get("openvino") is OpenVinoBackend


async def test_tokens_and_the_end_are_reported(backend: OpenVinoBackend) -> None:
    whole = await one(backend, SamplingParams(), 7)
    assert (whole.text, whole.finish_reason, whole.completion_tokens) == ("seed 7", "stop", 7)
    assert whole.prompt_tokens == len("<user>1+1?<assistant>")
    cut = await one(backend, SamplingParams(max_tokens=4), 7)
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("seed", "length", 4)


async def test_logprobs_are_summed_up(backend: OpenVinoBackend) -> None:
    drawn = await one(backend, SamplingParams(max_tokens=4))
    assert drawn.logprobs is not None
    assert (drawn.logprobs.mean, drawn.logprobs.min_window) == (-0.5, -0.5)


async def test_a_stop_text_is_left_out(backend: OpenVinoBackend, genai: FakeGenai) -> None:
    drawn = await one(backend, SamplingParams(stop=("d ", "ed")), 1)
    assert drawn.text == "se"
    assert genai.handles[0].config.stop_strings == {"d ", "ed"}


async def test_parameters_reach_the_engine(backend: OpenVinoBackend, genai: FakeGenai) -> None:
    await one(backend, SamplingParams(temperature=0.7, top_p=0.9, top_k=5, max_tokens=3))
    await one(backend, SamplingParams(temperature=0))
    sampled, greedy = (vars(handle.config) for handle in genai.handles)
    assert sampled.items() >= {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 5}.items()
    assert (sampled["max_new_tokens"], sampled["logprobs"], sampled["eos_token_id"]) == (3, 1, END)
    assert not greedy["do_sample"]
    assert "temperature" not in greedy


async def test_sizes_reach_the_engine(genai: FakeGenai, model: str) -> None:
    backend = OpenVinoBackend(model, max_sequences=5, cache_gib=3, threads=2)
    await backend.check()
    await backend.aclose()
    assert vars(genai.scheduler) == {"max_num_seqs": 5, "cache_size": 3, "enable_prefix_caching": True}
    assert genai.options[0] == {"INFERENCE_NUM_THREADS": 2}
    assert backend.max_calls == 5


async def test_a_last_assistant_message_is_left_open(backend: OpenVinoBackend, genai: FakeGenai) -> None:
    begun: Message = {"role": "assistant", "content": "It is"}
    await backend.generate([*user("1+1?"), begun], SamplingParams(max_tokens=1), [0])
    assert genai.handles[0].prompt == "<user>1+1?<assistant><think/>It is"


async def test_questions_share_a_batch_and_the_loop_stays_free(
    backend: OpenVinoBackend, genai: FakeGenai
) -> None:
    genai.step_seconds = 0.02
    sampler = Sampler(backend, SamplingOptions(n=4, max_concurrency=8))
    sets = sampler.sample_many(Question(f"q{number}", f"{number}?") for number in range(3))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    heart = asyncio.create_task(beat())
    drawn = [[(sample.text, sample.seed) for sample in one.samples] async for one in sets]
    heart.cancel()
    assert [[seed % 2**16 for _, seed in one] for one in drawn] == [[0, 1, 2, 3]] * 3
    assert all(text == f"seed {seed}" for one in drawn for text, seed in one)
    assert max(genai.widths) == 8
    assert beats > 5


async def test_a_short_draw_is_back_before_a_long_one(backend: OpenVinoBackend, genai: FakeGenai) -> None:
    genai.step_seconds = 0.001
    genai.reply = lambda prompt, seed: "x" * (400 if seed == 0 else 3)
    long = asyncio.create_task(one(backend, SamplingParams(), 0))
    short = asyncio.create_task(one(backend, SamplingParams(), 1))
    await short
    assert not long.done()
    assert (await long).completion_tokens == 401


async def test_a_cancelled_call_stops_its_draws_only(backend: OpenVinoBackend, genai: FakeGenai) -> None:
    genai.step_seconds = 0.005
    genai.reply = lambda prompt, seed: "x" * 60
    kept = asyncio.create_task(one(backend, SamplingParams()))
    dropped = asyncio.create_task(backend.generate(user("2+2?"), SamplingParams(), [1, 2]))
    await until(lambda: len(genai.handles) == 3)
    dropped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    assert (await kept).finish_reason == "stop"
    stopped = [handle for handle in genai.handles if "2+2" in handle.prompt]
    assert [handle.status for handle in stopped] == [Status.CANCEL] * 2


async def test_closing_ends_what_is_being_drawn(backend: OpenVinoBackend, genai: FakeGenai) -> None:
    genai.step_seconds = 0.005
    genai.reply = lambda prompt, seed: "x" * 10_000
    call = asyncio.create_task(one(backend, SamplingParams(max_tokens=5000)))
    await until(lambda: bool(genai.widths))
    await backend.aclose()
    with pytest.raises(BackendError, match="closed while it was being asked"):
        await call
    genai.reply = lambda prompt, seed: "again"
    assert (await one(backend, SamplingParams())).text == "again"  # a closed backend loads again


async def test_a_failure_of_the_engine_reaches_every_caller(
    backend: OpenVinoBackend, genai: FakeGenai
) -> None:
    genai.failure = RuntimeError("Check failed at file.cpp:1:\nno memory")
    calls = [asyncio.create_task(one(backend, SamplingParams(), seed)) for seed in range(3)]
    for call in calls:
        with pytest.raises(BackendError, match="no memory"):
            await call
    with pytest.raises(BackendError, match="no memory"):
        await one(backend, SamplingParams())


async def test_a_chat_the_template_refuses_harms_no_other(backend: OpenVinoBackend) -> None:
    with pytest.raises(BackendError, match="cannot read the request: unknown role"):
        await backend.generate([{"role": "stranger", "content": "?"}], SamplingParams(), [0])
    assert (await one(backend, SamplingParams(), 5)).text == "seed 5"


async def test_a_prompt_too_long_says_so(genai: FakeGenai, model: str) -> None:
    backend = OpenVinoBackend(model, context_size=40)
    with pytest.raises(ContextOverflowError, match=r"prompt has 21 tokens; with 20 .*context of 40"):
        await one(backend, SamplingParams(max_tokens=20))
    genai.reply = lambda prompt, seed: None
    with pytest.raises(ContextOverflowError, match="raise cache_gib"):
        await one(backend, SamplingParams(max_tokens=5))
    await backend.aclose()


async def test_pieces_join_to_the_text(backend: OpenVinoBackend) -> None:
    assert await backend.tokenize("abc") == ["a", "b", "c"]
    assert await backend.tokenize("") == []
    for text in ("split 🤔 character", "\ud800", "ab" * 100_001):
        assert await backend.tokenize(text) == estimate_pieces(text)


async def test_an_empty_chat_is_refused(backend: OpenVinoBackend) -> None:
    with pytest.raises(InvalidArgumentError, match="at least one message"):
        await backend.generate([], SamplingParams(), [0])


async def test_what_the_engine_cannot_load_names_the_remedy(genai: FakeGenai, model: str) -> None:
    genai.refusal = RuntimeError("Check failed at gguf.cpp:9:\nunsupported type q5_0")
    with pytest.raises(BackendError, match=r"cannot load 'mine\.gguf'.*no Q5.*unsupported type q5_0"):
        await OpenVinoBackend(model).check()


def test_a_model_is_named_by_engine_file_and_content(model: str, tmp_path: Path) -> None:
    backend = open_backend(f"openvino:{model}", context_size=100)
    assert isinstance(backend, OpenVinoBackend)
    assert backend.context_size == 100
    assert backend.model.startswith("openvino:mine.gguf@")
    assert str(tmp_path) not in repr(OpenVinoBackend(model))
    Path(model).write_bytes(b"GGUF and other")
    assert OpenVinoBackend(model).model != backend.model


def test_a_converted_folder_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "openvino_model.xml").write_text("<net/>")
    with pytest.raises(InputNotFoundError, match=r"openvino_model\.bin"):
        OpenVinoBackend(f"openvino:{tmp_path}")
    (tmp_path / "openvino_model.bin").write_bytes(b"weights")
    assert OpenVinoBackend(f"openvino:{tmp_path}").model.startswith(f"openvino:{tmp_path.name}@")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="not a GGUF file"):
        OpenVinoBackend(str(tmp_path / "model.gguf"))


def test_it_runs_here_and_not_at_a_server(model: str) -> None:
    with pytest.raises(InvalidArgumentError, match="leave the base URL away"):
        open_backend(f"openvino:{model}", base_url="http://127.0.0.1:1/v1")


async def test_a_missing_package_names_its_install_command(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sampleset\[openvino\]'"):
        await OpenVinoBackend(model).check()


@pytest.mark.parametrize("option", ["max_sequences", "cache_gib", "context_size", "threads"])
def test_sizes_are_at_least_one(model: str, option: str) -> None:
    with pytest.raises(InvalidArgumentError, match=option):
        OpenVinoBackend(model, **{option: 0})


@pytest.mark.model
@pytest.mark.slow
async def test_the_real_engine_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino_genai")
    path = os.environ.get("OPENVINO_TEST_MODEL")
    if path is None:
        pytest.skip("OPENVINO_TEST_MODEL names no model")
    backend = OpenVinoBackend(path, cache_gib=1)
    params = SamplingParams(max_tokens=24)
    first = await backend.generate(user("Name a colour and say why."), params, range(4))
    assert len({generation.text for generation in first}) == 4
    assert all(generation.logprobs and generation.logprobs.mean < 0 for generation in first)
    assert "".join(await backend.tokenize("1 + 1 = 2")) == "1 + 1 = 2"
    greedy = SamplingParams(temperature=0, max_tokens=3)
    begun: Message = {"role": "assistant", "content": "The capital of France is"}
    (capital,) = await backend.generate([*user("What is the capital of France?"), begun], greedy, [0])
    assert capital.text.startswith(" Paris")
    await backend.aclose()
