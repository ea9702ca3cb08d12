"""The whole engine on a tiny model, against the same model in numpy."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampleset.backends.base import Backend, ScoringBackend, StreamingBackend
from sampleset.backends.openvino import OpenVinoBackend
from sampleset.chat import SamplingParams
from sampleset.engines.openvino.cache import converted
from sampleset.engines.openvino.lora import read_adapter
from sampleset.engines.openvino.states import StatesModel
from sampleset.engines.openvino.weights import read_gguf
from sampleset.errors import BackendError, ContextOverflowError, DataError, InvalidArgumentError
from support.tiny_gguf import END, HEADS, SIZE, WIDTH, TinyModel, write_adapter

pytest.importorskip("openvino_genai")
pytest.importorskip("gguf")

CHAT = [{"role": "user", "content": "What is 2 plus 3, and why is it not 6? Tell me all of it."}]
RENDERED = f"<|im_start|>user\n{CHAT[0]['content']}<|im_end|>\n<|im_start|>assistant\n"
NEAR = 0.05
"""Nats that 8-bit activations of so small a model may differ."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLESET_CACHE", str(cache))


def open_model(path: Path, **options: Any) -> OpenVinoBackend:
    return OpenVinoBackend(str(path), threads=1, context_size=512, cache_gib=1, **options)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyModel, Path]:
    model = TinyModel()
    return model, model.write(tmp_path_factory.mktemp("model") / "tiny.gguf")


def tokens_of(text: str) -> list[int]:
    from support.tiny_gguf import TOKENS, byte_symbols

    symbols, tokens = byte_symbols(), list[int]()
    while text:
        mark = next((mark for mark in TOKENS[257:] if text.startswith(mark)), None)
        tokens += [TOKENS.index(mark)] if mark else [TOKENS.index(symbols[byte]) for byte in text[0].encode()]
        text = text[len(mark or text[0]) :]
    return tokens


def expected(model: TinyModel, text: str) -> float:
    prompt, more = tokens_of(RENDERED), tokens_of(text)
    rows = model.log_probabilities(prompt + more)[len(prompt) - 1 : -1]
    return float(rows[np.arange(len(more)), more].sum())


def test_states_at_the_end_of_texts_are_those_of_the_model_written_in_numpy(tmp_path: Path):
    model = TinyModel("qwen2", seed=5)
    content = read_gguf(model.write(tmp_path / "tiny.gguf"))
    states = StatesModel(converted(content), lambda layers: (1, layers), group=0, cache_bytes=2**22)
    question = "What is 2 plus 3, and why is it not 6? Tell me all of it, step by step. "
    texts = [tokens_of(question + sample) for sample in ("5", "five, since 2 + 3 = 5" * 9, "6")]
    together = states.at_ends(texts)  # the question is read once
    alone = [states.at_ends([text])[0] for text in texts]
    for text, both, single in zip(texts, together, alone, strict=True):
        right = np.concatenate([layer[-1] for layer in model.states(text)])
        assert both == pytest.approx(right, abs=0.02)
        assert single == pytest.approx(right, abs=0.02)
    assert states.at_ends([]) == []
    assert states.layers == (1, 2)


def test_texts_that_do_not_fit_the_cache_together_are_read_one_after_the_other(tmp_path: Path):
    content = read_gguf(TinyModel(seed=6).write(tmp_path / "tiny.gguf"))
    folder = converted(content)
    texts = [tokens_of(f"{number} and more words {number}" * 3) for number in range(8)]
    wide = StatesModel(folder, lambda layers: (layers,), group=0, cache_bytes=2**22)
    narrow = StatesModel(folder, lambda layers: (layers,), group=0, cache_bytes=2**15)
    for one, other in zip(wide.at_ends(texts), narrow.at_ends(texts), strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    with pytest.raises(ContextOverflowError, match="cache"):
        narrow.at_ends([tokens_of("x" * 2000)])


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
async def test_scores_are_those_of_the_model_written_in_numpy(architecture: str, tmp_path: Path):
    model = TinyModel(architecture, seed=3)
    backend = open_model(model.write(tmp_path / f"{architecture}.gguf"))
    texts = ["5", "five", "6</answer>", "because it is so", ""]

    scores = await backend.score(CHAT, texts)

    await backend.aclose()
    for text, score in zip(texts[:-1], scores, strict=False):
        assert score.tokens == len(text)
        assert score.prompt_tokens == len(tokens_of(RENDERED))
        assert abs(score.logprob - expected(model, text)) < NEAR * score.tokens
    assert scores[-1].logprob == 0.0


async def test_a_common_beginning_is_read_once_and_changes_no_score(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1])
    begin = "it is five because two and three are five, or "
    texts = [begin + "6", begin + "not", begin + "5</answer>"]
    await backend.score(CHAT, ["5"])
    before = backend.tokens_read

    scores = await backend.score(CHAT, texts)

    read = backend.tokens_read - before
    alone = [(await backend.score(CHAT, [text]))[0] for text in texts]
    await backend.aclose()
    assert read < len(begin) + 20  # not three times the beginning, and not the prompt again
    for together, single in zip(scores, alone, strict=True):
        assert abs(together.logprob - single.logprob) < NEAR


async def test_a_prompt_that_begins_as_another_is_read_from_where_it_differs(tiny: tuple[TinyModel, Path]):
    model, path = tiny
    backend = open_model(path)
    other = [{"role": "user", "content": CHAT[0]["content"][:-12] + "Or all?"}]
    await backend.score(CHAT, ["5"])
    before = backend.tokens_read

    (score,) = await backend.score(other, ["5"])

    read = backend.tokens_read - before
    await backend.aclose()
    rendered = RENDERED.replace(CHAT[0]["content"], other[0]["content"])
    prompts = tokens_of(RENDERED), tokens_of(rendered)
    common = next(at for at, (one, two) in enumerate(zip(*prompts, strict=False)) if one != two)
    assert common % 32
    assert read == len(prompts[1]) - common
    row = model.log_probabilities(prompts[1])[-1]
    assert abs(score.logprob - float(row[tokens_of("5")[0]])) < NEAR


async def test_a_draw_is_repeated_by_its_seed_alone_and_in_company(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1])
    params = SamplingParams(max_tokens=12, temperature=1.0)
    alone = await backend.generate(CHAT, params, [7])
    company = await asyncio.gather(*(backend.generate(CHAT, params, [seed]) for seed in range(20)))
    await backend.aclose()
    texts = [one[0].text for one in company]
    assert texts[7] == alone[0].text
    assert len(set(texts)) > 15


async def test_greedy_draws_follow_the_model(tiny: tuple[TinyModel, Path]):
    model, path = tiny
    backend = open_model(path)
    (generation,) = await backend.generate(CHAT, SamplingParams(max_tokens=6, temperature=0), [0])
    await backend.aclose()
    tokens = tokens_of(RENDERED)
    logprobs: list[float] = []
    for _ in range(generation.completion_tokens or 0):
        row = model.log_probabilities(tokens)[-1]
        ranked = np.sort(row)
        assert ranked[-1] - ranked[-2] > 0.01  # no close choice, which rounding might turn
        tokens.append(int(row.argmax()))
        logprobs.append(float(row.max()))
    assert generation.logprobs is not None
    assert abs(generation.logprobs.mean - np.mean(logprobs)) < NEAR
    assert generation.completion_tokens == 6 or tokens[-1] == END


async def test_draws_are_spread_as_the_model_says(tiny: tuple[TinyModel, Path]):
    model, path = tiny
    backend = open_model(path)
    params = SamplingParams(max_tokens=1, temperature=1.0)
    drawn = await asyncio.gather(*(backend.generate(CHAT, params, [seed]) for seed in range(2000)))
    await backend.aclose()
    logprobs = [one[0].logprobs.mean for one in drawn if one[0].logprobs]
    row = model.log_probabilities(tokens_of(RENDERED))[-1]
    entropy = -float((np.exp(row) * row).sum())
    assert len(logprobs) == 2000
    assert abs(-np.mean(logprobs) - entropy) < 0.1


async def test_pieces_join_to_the_text_and_a_stop_ends_it(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1])
    pieces: list[str] = []
    params = SamplingParams(max_tokens=40, temperature=1.0)
    (whole,) = await backend.stream(CHAT, params, [1], lambda place, text: pieces.append(text))
    await asyncio.sleep(0)
    assert "".join(pieces) == whole.text
    stop = whole.text[5:7]
    place = whole.text.find(stop)
    cut_pieces: list[str] = []
    (cut,) = await backend.stream(
        CHAT,
        SamplingParams(max_tokens=40, temperature=1.0, stop=(stop,)),
        [1],
        lambda place, text: cut_pieces.append(text),
    )
    await asyncio.sleep(0)
    await backend.aclose()
    assert cut.text == whole.text[:place] == "".join(cut_pieces)
    assert cut.finish_reason == "stop"


async def test_a_begun_reply_is_continued(tiny: tuple[TinyModel, Path]):
    model, path = tiny
    backend = open_model(path)
    begun = [*CHAT, {"role": "assistant", "content": "The answer is "}]
    (score,) = await backend.score(begun, ["5"])
    await backend.aclose()
    both = expected(model, "The answer is 5") - expected(model, "The answer is ")
    assert abs(score.logprob - both) < NEAR


async def test_a_cancelled_draw_leaves_its_room_to_others(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1], max_sequences=1)
    params = SamplingParams(max_tokens=300, temperature=1.0)
    first = asyncio.create_task(backend.generate(CHAT, params, [1]))
    await asyncio.sleep(0.05)
    first.cancel()
    (second,) = await backend.generate(CHAT, SamplingParams(max_tokens=2), [2])
    await backend.aclose()
    assert second.completion_tokens in (1, 2)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_closing_ends_what_is_drawn(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1])
    task = asyncio.create_task(backend.generate(CHAT, SamplingParams(max_tokens=400), [1]))
    await asyncio.sleep(0.2)
    await backend.aclose()
    if not task.done():
        with pytest.raises(BackendError, match="closed"):
            await task


async def test_what_does_not_fit_is_refused(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1])
    with pytest.raises(ContextOverflowError, match=r"max_tokens that exceeds the context of 512"):
        await backend.generate(CHAT, SamplingParams(max_tokens=600), [1])
    with pytest.raises(InvalidArgumentError, match="lone surrogate"):
        await backend.score(CHAT, ["\ud800"])
    with pytest.raises(InvalidArgumentError, match="chat is empty"):
        await backend.score([], ["5"])
    await backend.aclose()


async def test_pieces_of_a_text_join_to_it(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1])
    assert await backend.tokenize("aé") == ["a", "", "é"]
    assert await backend.tokenize("") == []
    await backend.aclose()


async def test_the_backend_keeps_all_its_interfaces(tiny: tuple[TinyModel, Path]):
    backend = open_model(tiny[1])
    assert isinstance(backend, Backend)
    assert isinstance(backend, ScoringBackend)
    assert isinstance(backend, StreamingBackend)
    assert str(tiny[1].parent) not in backend.model
    assert backend.model.startswith("openvino:tiny.gguf@")


def low_rank(seed: int, names: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    rows = {
        "attn_q": HEADS * SIZE,
        "attn_k": 2 * SIZE,
        "attn_output": WIDTH,
        "ffn_gate": 128,
        "ffn_down": WIDTH,
    }
    columns = {
        "attn_q": WIDTH,
        "attn_k": WIDTH,
        "attn_output": HEADS * SIZE,
        "ffn_gate": WIDTH,
        "ffn_down": 128,
    }
    return {
        name: (
            random.normal(size=(4, columns[name.split(".")[-1]])).astype(np.float32) * 0.2,
            random.normal(size=(rows[name.split(".")[-1]], 4)).astype(np.float32) * 0.2,
        )
        for name in names
    }


def adapted(model: TinyModel, parts: dict[str, tuple[np.ndarray, np.ndarray]], scale: float) -> TinyModel:
    changed = TinyModel(model.architecture)
    changed.tensors = {
        name: (tensor + scale * parts[name[:-7]][1] @ parts[name[:-7]][0]).astype(np.float32)
        if name[:-7] in parts
        else tensor
        for name, tensor in model.tensors.items()
    }
    return changed


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="merged"),
        pytest.param({"merge_adapter": False}, id="beside"),
        pytest.param({"exact": True}, id="exact"),
    ],
)
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["blk.0.attn_q", "blk.0.attn_k", "blk.1.ffn_down"], id="first-layer"),
        pytest.param(["blk.1.attn_q", "blk.1.attn_output", "blk.1.ffn_gate"], id="last-layer"),
    ],
)
async def test_an_adapter_serves_beside_the_plain_model(
    options: dict[str, bool], names: list[str], tmp_path: Path
):
    model, folder = TinyModel(), tmp_path / "reader"
    folder.mkdir()
    base = model.write(tmp_path / "tiny.gguf")
    parts = low_rank(1, names)
    write_adapter(folder / "adapter.gguf", parts, alpha=8.0)
    write_record(folder, base)
    trained = OpenVinoBackend(str(folder), threads=1, context_size=512, cache_gib=1, **options)
    plain = trained.plain()

    of_trained, of_plain = await asyncio.gather(
        trained.score(CHAT, ["five", "6"]), plain.score(CHAT, ["five", "6"])
    )

    await trained.aclose()
    await plain.aclose()
    changed = adapted(model, parts, scale=2.0)
    for place, text in enumerate(["five", "6"]):
        assert abs(of_plain[place].logprob - expected(model, text)) < NEAR * len(text)
        assert abs(of_trained[place].logprob - expected(changed, text)) < NEAR * len(text)
    assert abs(expected(changed, "five") - expected(model, "five")) > NEAR * len("five")
    assert trained.record is not None
    assert plain.record is None
    assert trained.model != plain.model


def write_record(folder: Path, base: Path) -> None:
    from sampleset.engines.gguf import gguf_digest

    record = {
        "schema": 1,
        "base_model": "tiny",
        "mode": "select",
        "prompt_version": "aggregate-1",
        "gguf_base": {"name": base.name, "digest8": gguf_digest(base)[:8], "path": str(base)},
    }
    (folder / "sampleset.json").write_text(json.dumps(record))


def test_an_adapter_of_peft_reads_as_its_gguf_file_does(tmp_path: Path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    base = read_gguf(TinyModel().write(tmp_path / "tiny.gguf"))
    parts = low_rank(2, ["blk.0.attn_q", "blk.1.ffn_down"])
    peft = tmp_path / "peft"
    peft.mkdir()
    stem = "base_model.model.model.layers"
    save_file(
        {
            f"{stem}.0.self_attn.q_proj.lora_A.weight": parts["blk.0.attn_q"][0],
            f"{stem}.0.self_attn.q_proj.lora_B.weight": parts["blk.0.attn_q"][1],
            f"{stem}.1.mlp.down_proj.lora_A.weight": parts["blk.1.ffn_down"][0],
            f"{stem}.1.mlp.down_proj.lora_B.weight": parts["blk.1.ffn_down"][1],
        },
        peft / "adapter_model.safetensors",
    )
    (peft / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))

    from_peft = read_adapter(peft, base)
    from_gguf = read_adapter(write_adapter(tmp_path / "adapter.gguf", parts, alpha=8.0), base)

    assert from_peft.keys() == from_gguf.keys() == parts.keys()
    for name, part in from_peft.items():
        np.testing.assert_array_equal(part.first, from_gguf[name].first)
        np.testing.assert_array_equal(part.second, from_gguf[name].second)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path):
    base = read_gguf(TinyModel().write(tmp_path / "tiny.gguf"))
    foreign = {"blk.0.attn_q": (np.zeros((4, 32), np.float32), np.zeros((64, 4), np.float32))}
    with pytest.raises(DataError, match=r"does not belong to 'tiny\.gguf'"):
        read_adapter(write_adapter(tmp_path / "adapter.gguf", foreign, alpha=8.0), base)
