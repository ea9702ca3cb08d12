import asyncio
import importlib
import io
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from sampleset.aggregators.llm_aggregator import LLMAggregator  # noqa: E402
from sampleset.backends.base import BACKENDS, ScoringBackend  # noqa: E402
from sampleset.backends.transformers import TransformersBackend  # noqa: E402
from sampleset.chat import Generation, Message, SamplingParams, estimate_pieces  # noqa: E402
from sampleset.engines.checkpoint import CheckpointRecord, write_record  # noqa: E402
from sampleset.engines.huggingface import decoder as engines  # noqa: E402
from sampleset.engines.huggingface.batch import choose  # noqa: E402
from sampleset.engines.huggingface.model import (  # noqa: E402
    attention_plans_avoided,
    find_model,
    load_model,
    without_progress_bars,
)
from sampleset.engines.huggingface.text import plain_prompt  # noqa: E402
from sampleset.errors import (  # noqa: E402
    BackendError,
    ContextOverflowError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
    UnknownModelError,
)
from sampleset.models.opening import open_backend  # noqa: E402
from sampleset.types import Question, Sample, SampleSet  # noqa: E402
from support.tiny_gguf import TinyModel  # noqa: E402

CONTEXT = 2048
QUESTION = "Tom has 3 apples and buys 4 more. How many apples has he now?"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [QUESTION, "The answer is seven. <answer>7</answer>", "apples and pears and plums"] * 4

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def prefilled(text: str, start: str) -> list[Message]:
    return [*user(text), {"role": "assistant", "content": start}]


def save_tokenizer(folder: Path, template: str | None = TEMPLATE) -> Any:
    """A byte-level tokenizer with a few merges."""
    import tokenizers

    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    core.train_from_iterator(
        CORPUS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )
    tokenizer.save_pretrained(str(folder))
    return tokenizer


def save_model(
    folder: Path, kind: str = "Qwen2", seed: int = 0, template: str | None = TEMPLATE, hidden: int = 32
) -> Path:
    tokenizer = save_tokenizer(folder, template)
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,  # so that its distributions are far from flat
        eos_token_id=tokenizer.eos_token_id,
    )
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    model.save_pretrained(str(folder), safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(folder: Path) -> AsyncIterator[TransformersBackend]:
    opened = TransformersBackend(model=str(folder), device="cpu", threads=1)
    await opened.check()
    yield opened
    await opened.aclose()


async def prompt_ids(backend: TransformersBackend, messages: list[Message]) -> list[int]:
    return (await backend._loaded_engine()).texts.prompt(messages)


def plain_logprobs(folder: Path, tokens: list[int], dtype: Any = None) -> Any:
    """Log-probabilities (T, V) of one full pass over one sequence, without cache or padding."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype or torch.float64)
    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0].log_softmax(-1)


@pytest.mark.asyncio(loop_scope="module")
class TestDraws:
    async def test_it_keeps_the_scoring_interface(self, backend: TransformersBackend, folder: Path) -> None:
        assert isinstance(backend, ScoringBackend)
        assert BACKENDS.get("transformers") is TransformersBackend
        assert isinstance(open_backend(str(folder)), TransformersBackend)
        assert isinstance(open_backend(f"transformers:{folder}"), TransformersBackend)

    async def test_its_identity_tells_name_and_content_not_place(
        self, backend: TransformersBackend, folder: Path, tmp_path: Path
    ) -> None:
        assert backend.model.startswith("transformers:tiny@")
        assert len(backend.model) == len("transformers:tiny@") + 8
        copied = shutil.copytree(folder, tmp_path / "tiny")
        assert TransformersBackend(model=str(copied)).model == backend.model
        other = save_model(tmp_path / "other" / "tiny", seed=1)
        assert TransformersBackend(model=str(other)).model != backend.model

    async def test_greedy_draws_are_those_of_plain_forward_passes(
        self, backend: TransformersBackend, folder: Path
    ) -> None:
        messages = prefilled(QUESTION, "The answer")
        tokens = await prompt_ids(backend, messages)
        length = len(tokens)
        for _ in range(6):
            tokens.append(int(plain_logprobs(folder, tokens)[-1].argmax()))
        (one,) = await backend.generate(messages, SamplingParams(temperature=0, max_tokens=6), [0])
        assert one.text == (await backend._loaded_engine()).texts.text(tokens[length:])
        assert (one.prompt_tokens, one.completion_tokens, one.finish_reason) == (length, 6, "length")

    async def test_logprobs_are_the_models_own(self, backend: TransformersBackend, folder: Path) -> None:
        messages = user(QUESTION)
        params = SamplingParams(temperature=2.0, top_k=20, max_tokens=1)
        (one,) = await backend.generate(messages, params, [3])
        ids = await prompt_ids(backend, messages)
        likeliest = plain_logprobs(folder, ids)[-1].topk(20).values
        assert one.logprobs is not None
        assert float((likeliest - one.logprobs.mean).abs().min()) < 1e-4
        assert one.logprobs.mean == one.logprobs.min_window

    async def test_a_draw_does_not_depend_on_those_it_shares_a_batch_with(
        self, backend: TransformersBackend
    ) -> None:
        params = SamplingParams(temperature=1.0, max_tokens=24)
        cut = SamplingParams(temperature=0.7, top_p=0.9, top_k=30, max_tokens=40)
        alone = [(await backend.generate(user(QUESTION), params, [seed]))[0] for seed in range(4)]
        others = [backend.generate(user("Why? " * number), cut, range(3)) for number in (1, 9, 40)]
        together, *_ = await asyncio.gather(backend.generate(user(QUESTION), params, range(4)), *others)
        assert [one.text for one in together] == [one.text for one in alone]
        assert [one.completion_tokens for one in together] == [one.completion_tokens for one in alone]
        assert len({one.text for one in together}) == 4

    async def test_draws_that_join_later_are_the_same(self, backend: TransformersBackend) -> None:
        long = SamplingParams(temperature=1.0, max_tokens=300)
        short = SamplingParams(temperature=1.0, max_tokens=20)
        expected = await backend.generate(user("And now?"), short, [7, 8])
        first = asyncio.create_task(backend.generate(user(QUESTION), long, range(8)))
        await asyncio.sleep(0.1)
        later = await backend.generate(user("And now?"), short, [7, 8])
        assert [one.text for one in later] == [one.text for one in expected]
        alone = await backend.generate(user(QUESTION), long, [5])
        assert (await first)[5].text == alone[0].text

    async def test_calls_in_flight_share_one_batch(self, folder: Path) -> None:
        own = TransformersBackend(model=str(folder), device="cpu", threads=1)
        await own.check()
        params = SamplingParams(temperature=1.0, max_tokens=30)
        await asyncio.gather(*(own.generate(user(f"{number}?"), params, range(4)) for number in range(6)))
        assert (await own._loaded_engine()).decoder.largest > 4
        await own.aclose()

    async def test_a_prompt_is_read_once_for_its_draws(
        self, backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[int] = []
        real = engines.read
        monkeypatch.setattr(
            engines, "read", lambda m, prompts, d: (seen.append(len(prompts)), real(m, prompts, d))[1]
        )
        await asyncio.gather(
            *(backend.generate(user(QUESTION), SamplingParams(max_tokens=2), range(8)) for _ in range(2))
        )
        assert sum(seen) <= 2

    async def test_small_budgets_change_nothing(self, backend: TransformersBackend, folder: Path) -> None:
        tight = TransformersBackend(
            model=str(folder), device="cpu", threads=1, max_sequences=3, batch_tokens=200
        )
        params = SamplingParams(temperature=1.0, max_tokens=12)
        expected = await backend.generate(user(QUESTION), params, range(7))
        assert await tight.generate(user(QUESTION), params, range(7)) == [
            pytest.approx(one) if isinstance(one, float) else same(one) for one in expected
        ]
        assert (await tight._loaded_engine()).decoder.largest <= 3
        await tight.aclose()

    async def test_the_end_token_ends_a_draw(self, backend: TransformersBackend) -> None:
        params = SamplingParams(temperature=3.0, max_tokens=400)
        drawn = await backend.generate(user("?"), params, range(8))
        ended = [one for one in drawn if one.finish_reason == "stop"]
        assert ended
        assert all("<|im_end|>" not in one.text for one in drawn)
        assert all((one.completion_tokens or 0) <= 400 for one in ended)

    async def test_stop_texts_end_a_draw_and_are_left_out(self, backend: TransformersBackend) -> None:
        whole = SamplingParams(temperature=1.0, max_tokens=40)
        (free,) = await backend.generate(user(QUESTION), whole, [11])
        stop = free.text[9:12]
        (one,) = await backend.generate(
            user(QUESTION), SamplingParams(temperature=1.0, max_tokens=40, stop=("\x00\x00", stop)), [11]
        )
        assert one.text == free.text[: free.text.index(stop)]
        assert one.finish_reason == "stop"
        assert (one.completion_tokens or 0) < 40

    async def test_a_last_assistant_message_is_continued(self, backend: TransformersBackend) -> None:
        engine = await backend._loaded_engine()
        ids = engine.texts.prompt(prefilled("Why?", "Because <answer>"))
        rendered = engine.texts._tokenizer.decode(ids)
        assert rendered == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause <answer>"

    async def test_seeds_of_any_size_are_taken(self, backend: TransformersBackend) -> None:
        drawn = await backend.generate(user("?"), SamplingParams(max_tokens=2), [2**63, 2**32 + 1, -1])
        assert len(drawn) == 3
        assert await backend.generate(user("?"), SamplingParams(max_tokens=2), []) == []

    async def test_a_cancelled_call_is_dropped(self, backend: TransformersBackend) -> None:
        engine = await backend._loaded_engine()
        call = asyncio.create_task(
            backend.generate(user("?"), SamplingParams(temperature=1.0, max_tokens=1500), range(32))
        )
        await asyncio.sleep(0.05)
        started = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await backend.generate(user("?"), SamplingParams(max_tokens=1), [0])
        assert time.monotonic() - started < 2
        assert not engine.decoder._waiting

    async def test_a_prompt_too_long_says_so(self, backend: TransformersBackend) -> None:
        assert backend.context_size == CONTEXT
        with pytest.raises(ContextOverflowError, match=rf"context of {CONTEXT}\..*lower max_tokens"):
            await backend.generate(user(QUESTION), SamplingParams(max_tokens=2040), [0])
        with pytest.raises(ContextOverflowError, match=str(CONTEXT)):
            await backend.score(user(QUESTION), ["7 " * 2000])

    async def test_an_empty_chat_is_refused(self, backend: TransformersBackend) -> None:
        with pytest.raises(InvalidArgumentError, match="at least one message"):
            await backend.generate([], SamplingParams(), [0])


def same(one: Generation) -> Any:
    """The same draw, its log-probabilities to rounding."""

    class Alike:
        def __eq__(self, other: object) -> bool:
            assert isinstance(other, Generation)
            assert one.logprobs is not None and other.logprobs is not None
            return (one.text, one.finish_reason, one.completion_tokens) == (
                other.text,
                other.finish_reason,
                other.completion_tokens,
            ) and one.logprobs.mean == pytest.approx(other.logprobs.mean, abs=1e-4)

        __hash__ = None  # pyright: ignore[reportAssignmentType]

    return Alike()


@pytest.mark.asyncio(loop_scope="module")
class TestScores:
    @pytest.mark.parametrize("kind", ["Qwen2", "Llama"])
    async def test_scores_are_those_of_plain_forward_passes(self, kind: str, tmp_path: Path) -> None:
        folder = save_model(tmp_path / kind, kind)
        backend = TransformersBackend(model=str(folder), device="cpu", dtype="float64", threads=1)
        prompts = [prefilled(QUESTION * number, "<answer>") for number in (1, 2, 4)]
        texts = ["7</answer>", "", "a much longer answer, \\frac{1}{2} 日🤔</answer>", "x"]
        scored = await asyncio.gather(*(backend.score(messages, texts) for messages in prompts))
        texts_of = (await backend._loaded_engine()).texts
        for messages, continuations in zip(prompts, scored, strict=True):
            ids = texts_of.prompt(messages)
            for text, one in zip(texts, continuations, strict=True):
                tokens = texts_of.continuation(text)
                logprobs = plain_logprobs(folder, [*ids, *tokens])
                expected = sum(
                    float(logprobs[len(ids) + place - 1, token]) for place, token in enumerate(tokens)
                )
                assert one.logprob == pytest.approx(expected, abs=1e-8)
                assert (one.tokens, one.prompt_tokens) == (len(tokens), len(ids))
        await backend.aclose()

    async def test_float32_scores_agree_to_a_ten_thousandth(
        self, backend: TransformersBackend, folder: Path
    ) -> None:
        precise = TransformersBackend(model=str(folder), device="cpu", dtype="float64", threads=1)
        texts = ["7</answer>", "11", "no idea"]
        for rough, exact in zip(
            await backend.score(user(QUESTION), texts),
            await precise.score(user(QUESTION), texts),
            strict=True,
        ):
            assert rough.logprob == pytest.approx(exact.logprob, abs=1e-4)
        await precise.aclose()

    async def test_scores_beside_draws_and_in_small_parts_agree(
        self, backend: TransformersBackend, folder: Path
    ) -> None:
        texts = [f"{number}</answer>" for number in range(9)]
        expected = await backend.score(user(QUESTION), texts)
        tight = TransformersBackend(model=str(folder), device="cpu", threads=1, batch_tokens=100)
        _, scored = await asyncio.gather(
            tight.generate(user(QUESTION), SamplingParams(max_tokens=20), range(4)),
            tight.score(user(QUESTION), texts),
        )
        assert [one.logprob for one in scored] == pytest.approx([one.logprob for one in expected], abs=1e-4)
        await tight.aclose()

    async def test_no_continuations_have_no_scores(self, backend: TransformersBackend) -> None:
        assert await backend.score(user(QUESTION), []) == []
        (empty,) = await backend.score(user(QUESTION), [""])
        assert (empty.logprob, empty.tokens) == (0.0, 0)

    async def test_what_no_model_writes_cannot_be_scored(self, backend: TransformersBackend) -> None:
        with pytest.raises(InvalidArgumentError, match="lone surrogate"):
            await backend.score(user(QUESTION), ["\ud800"])

    async def test_the_aggregator_selects_with_it(self, backend: TransformersBackend) -> None:
        samples = tuple(
            Sample(index, f"So the answer is \\boxed{{{answer}}}.") for index, answer in enumerate("778")
        )
        answer = await LLMAggregator(backend, mode="select").aggregate(
            SampleSet(Question("q", "3+4?"), samples, "m")
        )
        assert answer.answer in ("7", "8")


@pytest.mark.asyncio(loop_scope="module")
class TestTokens:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "  two  spaces\n\n",
            "\\frac{1}{2}",
            "日本 🤔🤔",
            "a\0b",
            "<|im_end|> apples",
            "é",
            "\ud800",
            "\r\n",
        ],
    )
    async def test_pieces_join_to_the_text(self, backend: TransformersBackend, text: str) -> None:
        assert "".join(await backend.tokenize(text)) == text

    async def test_a_split_character_still_counts_its_tokens(self, backend: TransformersBackend) -> None:
        assert await backend.tokenize("🤔") == ["", "", "", "🤔"]

    async def test_pieces_are_tokens(self, backend: TransformersBackend) -> None:
        tokens = (await backend._loaded_engine()).texts.continuation(QUESTION)
        assert len(await backend.tokenize(QUESTION)) == len(tokens)

    async def test_huge_texts_are_estimated(self, backend: TransformersBackend) -> None:
        text = "ab" * 100_001
        assert await backend.tokenize(text) == estimate_pieces(text)

    async def test_a_base_model_reads_the_texts_alone(self, tmp_path: Path) -> None:
        backend = TransformersBackend(
            model=str(save_model(tmp_path / "base", template=None)), device="cpu", threads=1
        )
        ids = await prompt_ids(backend, prefilled("Why?", "Because"))
        assert (await backend._loaded_engine()).texts.text(ids) == "Why?\n\nBecause"
        await backend.aclose()


def test_plain_prompts_end_in_a_blank_line_unless_the_reply_is_begun() -> None:
    assert (
        plain_prompt([{"role": "system", "content": "Be brief."}, *user("Why?")]) == "Be brief.\n\nWhy?\n\n"
    )


class TestChoice:
    LOGITS = ((2.0, 1.0, 0.0, -1.0, -9.0),)

    def frequencies(self, rule: tuple[float, float, int], draws: int = 4000) -> list[float]:
        logits = torch.tensor(self.LOGITS).expand(draws, -1)
        tokens, _ = choose(logits, [rule] * draws, [(place + 0.5) / draws for place in range(draws)])
        return [tokens.count(token) / draws for token in range(5)]

    @pytest.mark.parametrize(
        ("rule", "kept"),
        [
            pytest.param((1.0, 1.0, 0), 5, id="all"),
            pytest.param((0.5, 1.0, 0), 5, id="cool"),
            pytest.param((1.0, 1.0, 2), 2, id="top_k"),
            pytest.param((1.0, 0.7, 0), 2, id="top_p"),  # 0.64 + 0.24
            pytest.param((1.0, 0.7, 2), 1, id="top_p of what top_k leaves"),  # 0.73 + 0.27
            pytest.param((0.0, 1.0, 0), 1, id="greedy"),
        ],
    )
    def test_frequencies_are_the_probabilities(self, rule: tuple[float, float, int], kept: int) -> None:
        weights = (torch.tensor(self.LOGITS[0]) / max(rule[0], 1e-3)).softmax(-1)
        weights[kept:] = 0
        expected = (weights / weights.sum()).tolist()
        assert self.frequencies(rule) == pytest.approx(expected, abs=1e-3)

    def test_a_wide_nucleus_looks_beyond_the_head(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from sampleset.engines.huggingface import batch as _transformers_batch

        whole = self.frequencies((1.0, 0.99, 0))
        monkeypatch.setattr(_transformers_batch, "HEAD", 1)
        assert self.frequencies((1.0, 0.99, 0)) == whole

    def test_logprobs_are_of_temperature_one(self) -> None:
        logits = torch.tensor(self.LOGITS)
        tokens, logprobs = choose(logits, [(0.0, 1.0, 0)], [0.0])
        assert tokens == [0]
        assert logprobs == pytest.approx([float(logits.log_softmax(-1)[0, 0])])


class TestMemory:
    """The device runs out of memory above a number of rows."""

    def limit(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        real = engines.advance

        def advance(model: Any, block: Any, tokens: Any) -> None:
            if len(block.starts) > rows:
                raise torch.OutOfMemoryError("CUDA out of memory")
            real(model, block, tokens)

        monkeypatch.setattr(engines, "advance", advance)

    async def test_the_budget_shrinks_until_the_draws_fit(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        params = SamplingParams(temperature=1.0, max_tokens=10)
        backend = TransformersBackend(model=str(folder), device="cpu", threads=1)
        expected = await backend.generate(user(QUESTION), params, range(12))
        before = (await backend._loaded_engine()).decoder.budget
        self.limit(monkeypatch, 3)
        drawn = await asyncio.gather(
            backend.generate(user(QUESTION), params, range(12)),
            backend.score(user(QUESTION), ["7", "8"]),
        )
        assert [one.text for one in drawn[0]] == [one.text for one in expected]
        assert (await backend._loaded_engine()).decoder.budget < before
        await backend.aclose()

    async def test_a_single_draw_too_large_says_what_to_lower(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = TransformersBackend(model=str(folder), device="cpu", threads=1)
        self.limit(monkeypatch, 0)
        with pytest.raises(BackendError, match=r"one sequence of \d+ tokens. Lower max_tokens"):
            await backend.generate(user(QUESTION), SamplingParams(max_tokens=5), range(3))
        monkeypatch.undo()
        assert await backend.generate(user(QUESTION), SamplingParams(max_tokens=5), range(3))
        await backend.aclose()

    async def test_a_failure_reaches_those_who_wait(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = TransformersBackend(model=str(folder), device="cpu", threads=1)

        def fail(*_: Any) -> None:
            raise RuntimeError("device-side assert")

        monkeypatch.setattr(engines, "read", fail)
        with pytest.raises(BackendError, match="device-side assert"):
            await backend.generate(user(QUESTION), SamplingParams(max_tokens=5), range(3))
        with pytest.raises(BackendError, match="device-side assert"):
            await backend.score(user(QUESTION), ["7"])
        monkeypatch.undo()
        await backend.aclose()
        assert await backend.generate(user(QUESTION), SamplingParams(max_tokens=5), [0])
        await backend.aclose()


class TestAdapters:
    def adapter(self, folder: Path, base: Path) -> Path:
        peft = pytest.importorskip("peft")
        torch.manual_seed(5)
        model = transformers.AutoModelForCausalLM.from_pretrained(str(base))
        lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        adapted = peft.get_peft_model(model, lora)
        adapted.save_pretrained(str(folder))
        return folder

    @pytest.mark.parametrize("merge", [True, False])
    async def test_an_adapter_is_applied_to_its_base(self, folder: Path, tmp_path: Path, merge: bool) -> None:
        peft = pytest.importorskip("peft")
        path = self.adapter(tmp_path / "checkpoint-7", folder)
        backend = TransformersBackend(model=str(path), device="cpu", threads=1, merge_adapter=merge)
        assert backend.model.startswith("transformers:tiny+checkpoint-7@")
        assert backend.model != TransformersBackend(model=str(folder)).model
        (one,) = await backend.score(user(QUESTION), ["7"])
        texts = (await backend._loaded_engine()).texts
        ids, (token,) = texts.prompt(user(QUESTION)), texts.continuation("7")
        base = transformers.AutoModelForCausalLM.from_pretrained(str(folder))
        with torch.inference_mode():
            adapted = peft.PeftModel.from_pretrained(base, str(path))(torch.tensor([ids])).logits[0, -1]
        assert one.logprob == pytest.approx(float(adapted.log_softmax(-1)[token]), abs=1e-4)
        assert one.logprob != pytest.approx(float(plain_logprobs(folder, ids)[-1, token]), abs=1e-2)
        assert len(await backend.generate(user("?"), SamplingParams(max_tokens=3), range(3))) == 3
        await backend.aclose()

    async def test_an_adapter_without_some_of_its_weights_is_refused(
        self, folder: Path, tmp_path: Path
    ) -> None:
        from safetensors.torch import load_file, save_file

        path = self.adapter(tmp_path / "checkpoint", folder)
        weights = load_file(path / "adapter_model.safetensors")
        weights.pop(sorted(weights)[0])
        save_file(weights, path / "adapter_model.safetensors", metadata={"format": "pt"})
        with pytest.raises(BackendError, match="cannot load 'checkpoint'"):
            await TransformersBackend(model=str(path), device="cpu").check()

    async def test_an_adapter_of_another_shape_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = self.adapter(tmp_path / "checkpoint", folder)
        other = save_model(tmp_path / "other" / "tiny", hidden=64)
        with pytest.raises(BackendError, match="cannot load 'checkpoint'"):
            await TransformersBackend(model=str(path), base=str(other), device="cpu").check()

    async def test_a_missing_peft_names_its_install_command(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.adapter(tmp_path / "checkpoint", folder)
        monkeypatch.setitem(__import__("sys").modules, "peft", None)
        with pytest.raises(MissingExtraError, match=r"need peft .* pip install .*\[train\]'"):
            await TransformersBackend(model=str(path), device="cpu").check()

    def test_another_base_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = self.adapter(tmp_path / "checkpoint", folder)
        other = save_model(tmp_path / "other")
        with pytest.raises(DataError, match=r"names the base model '.*tiny', not 'other'"):
            TransformersBackend(model=str(path), base=str(other))
        moved = shutil.copytree(folder, tmp_path / "elsewhere" / "tiny")
        assert (
            TransformersBackend(model=str(path), base=str(moved)).model
            == TransformersBackend(str(path)).model
        )

    def test_a_base_with_other_weights_than_recorded_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = self.adapter(tmp_path / "checkpoint", folder)
        write_record(path, CheckpointRecord(find_model(str(folder)).identity, "direct", "aggregate-1"))
        assert TransformersBackend(model=str(path))
        write_record(path, CheckpointRecord("transformers:tiny@00000000", "direct", "aggregate-1"))
        with pytest.raises(DataError, match="was trained on 'transformers:tiny@00000000'"):
            TransformersBackend(model=str(path))

    def test_an_adapter_needs_its_base(self, folder: Path, tmp_path: Path) -> None:
        path = self.adapter(tmp_path / "checkpoint", folder)
        config = path / "adapter_config.json"
        values = json.loads(config.read_text())
        config.write_text(json.dumps(values | {"base_model_name_or_path": str(tmp_path / "gone")}))
        with pytest.raises(InputNotFoundError, match=r"set\s+base_model_name_or_path"):
            TransformersBackend(model=str(path))
        config.write_text(json.dumps(values | {"peft_type": "PREFIX_TUNING"}))
        with pytest.raises(DataError, match="Only LORA"):
            TransformersBackend(model=str(path))

    def test_a_pickled_adapter_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = self.adapter(tmp_path / "checkpoint", folder)
        (path / "adapter_model.safetensors").rename(path / "adapter_model.bin")
        with pytest.raises(DataError, match=r"no adapter_model\.safetensors"):
            TransformersBackend(model=str(path))


class TestFiles:
    def test_a_pickled_model_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = shutil.copytree(folder, tmp_path / "tiny")
        (path / "model.safetensors").rename(path / "pytorch_model.bin")
        with pytest.raises(DataError, match=r"no \.safetensors file"):
            TransformersBackend(model=str(path))

    def test_a_folder_without_a_model_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no config\.json"):
            TransformersBackend(model=str(tmp_path))

    def test_a_path_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFoundError, match="none"):
            TransformersBackend(model=str(tmp_path / "none"))

    @pytest.mark.parametrize("is_terminal", [True, False])
    def test_the_bar_over_the_tensors_goes_into_no_log(self, is_terminal: bool) -> None:
        class Shown(io.StringIO):
            def isatty(self) -> bool:
                return is_terminal

        unpacking = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
        bar, shown = unpacking.tqdm, Shown()
        with without_progress_bars():
            assert list(unpacking.tqdm(range(3), file=shown)) == [0, 1, 2]
        assert bool(shown.getvalue()) == is_terminal
        assert unpacking.tqdm is bar

    def test_the_head_of_a_gguf_file_is_read_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gguf = pytest.importorskip("gguf")
        path = tmp_path / "tiny.gguf"
        TinyModel().write(path)
        own, read = (gguf.GGUFReader, gguf.get_tensor_name_map), list[str]()

        class Reader(gguf.GGUFReader):
            def __init__(self, file: str) -> None:
                read.append(file)
                super().__init__(file)

        monkeypatch.setattr("gguf.gguf_reader.GGUFReader", Reader)
        load_model(find_model(str(path)), "cpu", None, merge_adapter=False)
        assert read == [str(path)]
        assert (gguf.GGUFReader, gguf.get_tensor_name_map) == own

    def test_a_file_that_is_no_gguf_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
        with pytest.raises(DataError, match="not a GGUF file"):
            open_backend(f"transformers:{tmp_path / 'model.gguf'}")

    def test_a_whole_model_takes_no_base(self, folder: Path) -> None:
        with pytest.raises(InvalidArgumentError, match="is a whole model"):
            TransformersBackend(model=str(folder), base=str(folder))

    def test_a_hub_id_is_fetched_and_named(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = pytest.importorskip("huggingface_hub")
        asked: list[str] = []

        def download(name: str, **_: Any) -> str:
            asked.append(name)
            if name == "some/missing":
                raise hub.errors.HFValidationError("no such model")
            return str(folder)

        monkeypatch.setattr(hub, "snapshot_download", download)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        assert open_backend("some/tiny-model").model.startswith("transformers:some/tiny-model@")
        with pytest.raises(UnknownModelError, match="--base-url"):
            open_backend("some/missing")
        assert asked == ["some/tiny-model", "some/missing"]

    async def test_a_broken_model_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = shutil.copytree(folder, tmp_path / "tiny")
        (path / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(BackendError, match="cannot load 'tiny'"):
            await TransformersBackend(model=str(path), device="cpu").check()

    async def test_an_incomplete_model_is_refused(self, folder: Path, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = shutil.copytree(folder, tmp_path / "tiny")
        weights = load_file(path / "model.safetensors")
        del weights["model.layers.1.mlp.up_proj.weight"]
        save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(BackendError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight"):
            await TransformersBackend(model=str(path), device="cpu").check()

    @pytest.mark.parametrize(
        "option", ["group_size", "context_size", "threads", "max_sequences", "batch_tokens"]
    )
    def test_sizes_are_at_least_one(self, folder: Path, option: str) -> None:
        with pytest.raises(InvalidArgumentError, match=option):
            TransformersBackend(model=str(folder), **{option: 0})

    @pytest.mark.parametrize("option", [{"dtype": "float7"}, {"device": "abacus"}])
    async def test_unknown_options_are_named(self, folder: Path, option: dict[str, str]) -> None:
        with pytest.raises(InvalidArgumentError, match=next(iter(option))):
            await TransformersBackend(model=str(folder), **option).check()

    async def test_a_missing_extra_names_its_install_command(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "transformers", None)
        with pytest.raises(MissingExtraError, match=r"pip install .*\[train\]'"):
            await TransformersBackend(model=str(folder)).check()


def test_it_serves_a_second_loop_and_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backend = TransformersBackend(model=str(folder), device="cpu", threads=1)

    async def draw() -> str:
        return (await backend.generate(user(QUESTION), SamplingParams(max_tokens=4), [0, 1]))[0].text

    first = asyncio.run(draw())
    assert asyncio.run(draw()) == first
    asyncio.run(backend.aclose())
    assert asyncio.run(draw()) == first
    asyncio.run(backend.aclose())
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize(("device", "stays"), [("cpu", True), ("cuda:1", False)])
@pytest.mark.parametrize("before", [True, False])
def test_attention_is_not_planned_for_every_shape_on_cuda_while_a_model_computes(
    device: str, stays: bool, before: bool
):
    cuda = torch.backends.cuda
    was = cuda.cudnn_sdp_enabled()
    cuda.enable_cudnn_sdp(before)
    try:
        with attention_plans_avoided(torch.device(device)):
            with attention_plans_avoided(torch.device("cuda")):
                assert not cuda.cudnn_sdp_enabled()
            assert cuda.cudnn_sdp_enabled() is (stays and before)
        assert cuda.cudnn_sdp_enabled() is before
    finally:
        cuda.enable_cudnn_sdp(was)
