"""A checkpoint of the embedded model gives the same answers in every format."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
gguf = pytest.importorskip("gguf")

from sampleset.backends.llamacpp import LlamaCppBackend  # noqa: E402
from sampleset.chat import Message  # noqa: E402
from sampleset.engines.checkpoint import (  # noqa: E402
    CheckpointRecord,
    read_record,
    read_trained_on,
    write_record,
    write_trained_on,
)
from sampleset.engines.gguf import ADAPTER_FILE, MODEL_FILE, resolve_embedded_model  # noqa: E402
from sampleset.engines.huggingface.model import find_model  # noqa: E402
from sampleset.errors import (  # noqa: E402
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
    UnknownNameError,
)
from sampleset.models.opening import open_backend  # noqa: E402
from sampleset.training.export.export import export_checkpoint  # noqa: E402
from sampleset.training.export.gguf import BaseFile, read_adapter  # noqa: E402
from sampleset.training.policy import save_policy, start_policy  # noqa: E402
from sampleset.training.recipe import LoraOptions, Recipe  # noqa: E402
from support.tiny_model import save_tiny_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
RECORD = CheckpointRecord("", "select", "aggregate-1", keep_end_tokens=90)
PROMPT: list[Message] = [
    {"role": "user", "content": "Answer 1: 3 + 4 = 7.\n\nAnswer 2: 3 + 4 = 8.\n\nWhich is right?"},
    {"role": "assistant", "content": "<answer>"},
]
CANDIDATES = ["7</answer>", "8</answer>", "12</answer>", "\\frac{1}{2}</answer>"]


def make_checkpoint(model: str, folder: Path, *, whole: bool = False) -> Path:
    """A checkpoint whose updates change what the model says."""
    lora = None if whole else LoraOptions(4, 8.0)
    policy = start_policy(Recipe(model=model, rows="", output_dir="", lora=lora, threads=1, device="cpu"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))
            elif whole and weight.ndim > 1:
                weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    folder.mkdir()
    save_policy(policy, folder, replace(RECORD, training={"model": model}))
    return folder


@pytest.fixture(scope="module")
def embedded() -> str:
    try:
        resolve_embedded_model()
    except MissingExtraError:
        pytest.skip("the embedded model is not installed")
    return "embedded"


@pytest.fixture(scope="module")
def checkpoint(embedded: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(embedded, tmp_path_factory.mktemp("trained") / "checkpoint")


def test_a_checkpoint_is_written_without_a_look_at_the_hub(
    embedded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[object] = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *of: asked.append(of))
    make_checkpoint(embedded, tmp_path / "checkpoint")
    assert not asked


async def scores(backend: Any) -> list[float]:
    found = [one.logprob for one in await backend.score(PROMPT, CANDIDATES)]
    await backend.aclose()
    return found


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


async def test_every_format_gives_the_scores_of_the_checkpoint(checkpoint: Path, tmp_path: Path):
    pytest.importorskip("xllamacpp")
    trained = await scores(open_backend(str(checkpoint)))
    plain = await scores(open_backend("transformers:embedded"))
    changed = distance(trained, plain)
    assert changed > 3
    for form, dtype, engine, tolerance in (
        ("merged", "f32", "", 1e-3),
        ("peft", None, "", 1e-6),
        # Both engines round activations to 8 bits where weights are quantised.
        ("gguf-adapter", None, "llamacpp:", 0.2),
        ("gguf-adapter", None, "openvino:", 0.2),
        ("gguf", None, "llamacpp:", 0.1),
    ):
        folder = tmp_path / f"{engine.rstrip(':')}{form}"
        made = export_checkpoint(checkpoint, folder, form, dtype=dtype)
        backend = open_backend(f"{engine}{folder}")
        assert backend.record is not None  # pyright: ignore[reportAttributeAccessIssue]
        assert backend.record.keep_end_tokens == 90  # pyright: ignore[reportAttributeAccessIssue]
        found = await scores(backend)
        assert distance(found, trained) < tolerance * changed, (engine, form)
        assert found.index(max(found)) == trained.index(max(trained))
        assert {"README.md", "sampleset.json"} <= set(made.files)
        assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_an_export_names_files_without_their_folders_and_questions_by_digests(
    checkpoint: Path, tmp_path: Path
):
    record = read_record(checkpoint)
    assert record is not None
    training = {**record.training, "rows": "/home/someone/rows.jsonl", "output_dir": "/home/someone/run"}
    training["model"] = "/home/someone/base.gguf"
    own = shutil.copytree(checkpoint, tmp_path / "own")
    write_record(own, replace(record, training={**training, "eval_rows": None}))
    write_trained_on(own, ["b" * 12, "a" * 12])
    export_checkpoint(own, tmp_path / "out", "gguf-adapter")
    assert read_trained_on(tmp_path / "out") == {"a" * 12, "b" * 12}
    exported = read_record(tmp_path / "out")
    assert exported is not None
    named = {"rows": "rows.jsonl", "output_dir": "run", "eval_rows": None, "model": "base.gguf"}
    assert exported.training == {**training, **named}
    assert "someone" not in (tmp_path / "out" / "README.md").read_text()


async def test_one_engine_serves_the_adapter_and_the_plain_model(checkpoint: Path, tmp_path: Path):
    pytest.importorskip("xllamacpp")
    export_checkpoint(checkpoint, tmp_path / "adapter", "gguf-adapter")
    adapted = LlamaCppBackend(str(tmp_path / "adapter"))
    plain = adapted.plain()
    alone = await scores(LlamaCppBackend("embedded"))
    for _ in range(2):
        first = [one.logprob for one in await adapted.score(PROMPT, CANDIDATES)]
        second = [one.logprob for one in await plain.score(PROMPT, CANDIDATES)]
        assert distance(second, alone) < 1e-3
        assert distance(first, alone) > 3
    assert plain.model == "smollm2-135m-instruct-q4_1"
    assert plain.record is None
    await adapted.aclose()
    await plain.aclose()


def test_an_adapters_numbers_are_those_of_the_merged_model(checkpoint: Path, tmp_path: Path):
    """The file's own order of rows undone by hand: pairs of neighbours to halves of a head."""
    safetensors = pytest.importorskip("safetensors.torch")
    export_checkpoint(checkpoint, tmp_path / "adapter", "gguf-adapter", dtype="f32")
    export_checkpoint(checkpoint, tmp_path / "merged", "merged", dtype="f32")
    merged = safetensors.load_file(str(tmp_path / "merged" / "model.safetensors"))
    base = BaseFile(resolve_embedded_model())
    reader = gguf.GGUFReader(str(tmp_path / "adapter" / ADAPTER_FILE))
    tensors = {one.name: torch.tensor(one.data) for one in reader.tensors}
    alpha = reader.get_field("adapter.lora.alpha").contents()
    for part, key, heads in (
        ("attn_q", "self_attn.q_proj", 9),
        ("attn_k", "self_attn.k_proj", 3),
        ("ffn_down", "mlp.down_proj", 0),
    ):
        name = f"blk.7.{part}.weight"
        a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
        whole = torch.tensor(base.values(name)) + alpha / a.shape[0] * b @ a
        if heads:
            rows = whole.shape[0] // heads
            whole = whole.reshape(heads, rows // 2, 2, -1).swapaxes(1, 2).reshape(whole.shape)
        torch.testing.assert_close(whole, merged[f"model.layers.7.{key}.weight"], rtol=1e-4, atol=1e-5)


async def test_an_adapter_of_llama_cpp_becomes_one_of_peft_and_is_the_same(checkpoint: Path, tmp_path: Path):
    export_checkpoint(checkpoint, tmp_path / "gguf", "gguf-adapter", dtype="f32")
    export_checkpoint(tmp_path / "gguf", tmp_path / "peft", "peft")
    first, second = read_adapter(checkpoint), read_adapter(tmp_path / "peft")
    assert (first.alpha, first.updates.keys()) == (second.alpha, second.updates.keys())
    for module, pair in first.updates.items():
        for one, other in zip(pair, second.updates[module], strict=True):
            assert (one == other).all(), module
    trained = await scores(open_backend(str(checkpoint)))
    assert distance(await scores(open_backend(str(tmp_path / "peft"))), trained) < 1e-6
    record = read_record(tmp_path / "peft")
    assert record is not None
    assert "gguf_base" not in record.others
    with pytest.raises(DataError, match="with --format peft"):
        export_checkpoint(tmp_path / "gguf", tmp_path / "merged", "merged")


def test_an_adapter_of_peft_names_a_base_on_the_hub(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub_id = "HuggingFaceTB/SmolLM2-135M-Instruct"
    export_checkpoint(checkpoint, tmp_path / "peft", "peft", base=hub_id, dtype="f16")
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == hub_id
    assert f"base_model: {hub_id}\nlibrary_name: peft" in (tmp_path / "peft" / "README.md").read_text()
    tiny = save_tiny_model(tmp_path / hub_id)
    monkeypatch.setattr("sampleset.engines.huggingface.model._fetch", lambda _: tiny)
    files = find_model(str(tmp_path / "peft"))
    assert files.base is not None
    assert files.base.path == tiny
    with pytest.raises(DataError, match="names the base model"):
        find_model(str(tmp_path / "peft"), base="OTHER/NAME")
    with pytest.raises(InputNotFoundError, match="No model at"):
        export_checkpoint(checkpoint, tmp_path / "out", "peft", base="nowhere")
    with pytest.raises(DataError, match="not on 'transformers:other"):
        other = tmp_path / "other.gguf"
        other.write_bytes(resolve_embedded_model().read_bytes() + b"\0")
        export_checkpoint(checkpoint, tmp_path / "out", "peft", base=str(other))


def test_a_damaged_adapter_of_llama_cpp_is_refused(checkpoint: Path, tmp_path: Path):
    export_checkpoint(checkpoint, tmp_path / "gguf", "gguf-adapter")
    whole = (tmp_path / "gguf" / ADAPTER_FILE).read_bytes()
    (tmp_path / "gguf" / ADAPTER_FILE).write_bytes(whole[:5000])
    with pytest.raises(DataError, match="is no LoRA adapter of linear layers"):
        export_checkpoint(tmp_path / "gguf", tmp_path / "peft", "peft")
    assert not (tmp_path / "peft").exists()


async def test_a_whole_trained_model_becomes_a_gguf_file(tmp_path: Path):
    pytest.importorskip("xllamacpp")
    try:
        resolve_embedded_model()
    except MissingExtraError:
        pytest.skip("the embedded model is not installed")
    folder = make_checkpoint("embedded", tmp_path / "full", whole=True)
    export_checkpoint(folder, tmp_path / "gguf", "gguf", dtype="f32")
    trained = await scores(open_backend(str(folder)))
    found = await scores(open_backend(str(tmp_path / "gguf")))
    changed = distance(trained, await scores(open_backend("transformers:embedded")))
    assert changed > 1
    assert distance(found, trained) < 0.1 * changed
    for form in ("gguf-adapter", "peft"):
        with pytest.raises(DataError, match="holds a whole model"):
            export_checkpoint(folder, tmp_path / "adapter", form)


def test_another_base_is_refused(checkpoint: Path, tmp_path: Path):
    tiny = save_tiny_model(tmp_path / "tiny")
    with pytest.raises(InvalidArgumentError, match="is no GGUF file"):
        export_checkpoint(checkpoint, tmp_path / "out", "gguf", base=str(tiny))
    other = tmp_path / "other.gguf"
    other.write_bytes(resolve_embedded_model().read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"not on 'transformers:other\.gguf@"):
        export_checkpoint(checkpoint, tmp_path / "out", "gguf-adapter", base=str(other))
    trained_on_tiny = make_checkpoint(str(tiny), tmp_path / "of_tiny")
    with pytest.raises(InvalidArgumentError, match=r"--base FILE\.gguf"):
        export_checkpoint(trained_on_tiny, tmp_path / "out", "gguf")
    with pytest.raises(DataError, match="it is another model"):
        export_checkpoint(trained_on_tiny, tmp_path / "out", "gguf", base="embedded")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_an_exported_adapter_refuses_another_base(checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "adapter"
    export_checkpoint(checkpoint, folder, "gguf-adapter")
    record: Any = read_record(folder)
    for path, error in (
        (str(folder / MODEL_FILE), InputNotFoundError),
        (str(folder / ADAPTER_FILE), DataError),
    ):
        base = {**record.others["gguf_base"], "path": path}
        write_record(folder, replace(record, others={"gguf_base": base}))
        with pytest.raises(error, match=r"gguf_base\.path"):
            open_backend(str(folder))


def test_what_cannot_be_exported_is_said_beforehand(checkpoint: Path, tmp_path: Path):
    with pytest.raises(UnknownNameError, match="gguf-adapter"):
        export_checkpoint(checkpoint, tmp_path / "out", "gguf-adaptor")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="dtype='q8_0' cannot be written as merged"):
        export_checkpoint(checkpoint, tmp_path / "out", "merged", dtype="q8_0")
    with pytest.raises(InputNotFoundError, match="No checkpoint at"):
        export_checkpoint(tmp_path / "gone", tmp_path / "out", "merged")
    with pytest.raises(DataError, match=r"has no sampleset\.json"):
        export_checkpoint(tmp_path, tmp_path / "out", "merged")
    with pytest.raises(InvalidArgumentError, match="is taken"):
        export_checkpoint(checkpoint, checkpoint, "merged")


def test_adapters_that_gguf_cannot_hold_are_refused(checkpoint: Path, tmp_path: Path):
    safetensors = pytest.importorskip("safetensors.torch")
    folder = tmp_path / "changed"
    folder.mkdir()
    config = json.loads((checkpoint / "adapter_config.json").read_text())
    weights = safetensors.load_file(str(checkpoint / "adapter_model.safetensors"))
    (folder / "adapter_config.json").write_text(json.dumps(config | {"alpha_pattern": {"q_proj": 3}}))
    safetensors.save_file(weights, str(folder / "adapter_model.safetensors"))
    with pytest.raises(DataError, match="different alphas"):
        read_adapter(folder)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    module = next(iter(weights)).rpartition(".lora_")[0]
    weights[f"{module}.lora_magnitude_vector.weight"] = torch.ones(4)
    safetensors.save_file(weights, str(folder / "adapter_model.safetensors"))
    with pytest.raises(DataError, match="only plain LoRA"):
        read_adapter(folder)
