"""Converted models on disk: made once, made again when damaged, bounded, refused with a clear line."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sampleset.engines.openvino import cache
from sampleset.engines.openvino.weights import read_gguf
from sampleset.errors import BackendError, DataError, MissingExtraError, UnsupportedByBackendError
from support.tiny_gguf import TinyModel, write_adapter

pytest.importorskip("openvino_genai")
pytest.importorskip("gguf")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLESET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return TinyModel().write(tmp_path / "tiny.gguf")


def test_a_model_is_converted_once(model: Path):
    notes: list[str] = []
    first = cache.converted(read_gguf(model), notes.append)
    again = cache.converted(read_gguf(model), notes.append)
    assert first == again
    assert len(notes) == 1
    assert "tiny.gguf is converted for OpenVINO" in notes[0]
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name]


@pytest.mark.parametrize("damage", ["cut", "gone", "foreign", "record"])
def test_a_damaged_copy_is_made_again(model: Path, damage: str):
    folder = cache.converted(read_gguf(model))
    weights, record = folder / "openvino_model.bin", folder / cache.RECORD
    whole = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(whole[:-100])
    elif damage == "gone":
        weights.unlink()
    elif damage == "foreign":
        record.write_text(json.dumps({**json.loads(record.read_text()), "source": "0" * 64}))
    else:
        record.write_text("[1]")
    notes: list[str] = []
    assert cache.converted(read_gguf(model), notes.append) == folder
    assert len(notes) == 1
    assert weights.read_bytes() == whole


def test_every_adapter_has_another_copy(model: Path, tmp_path: Path):
    content, notes = read_gguf(model), list[str]()
    adapters = [tmp_path / "first.gguf", tmp_path / "second.gguf"]
    for number, path in enumerate(adapters):
        factors = np.full((4, 64), number + 0.1, np.float32), np.ones((64, 4), np.float32)
        write_adapter(path, {"blk.0.attn_output": factors}, alpha=8.0)
    folders = [cache.converted(content, notes.append, adapter) for adapter in (None, *adapters)]
    assert len(set(folders)) == 3
    assert cache.converted(content, notes.append, adapters[0]) == folders[1]
    assert [note.split(" is converted")[0] for note in notes] == [
        "tiny.gguf",
        *["tiny.gguf with its adapter"] * 2,
    ]


def test_other_weights_have_another_copy(model: Path, tmp_path: Path):
    other = TinyModel(seed=1).write(tmp_path / "second.gguf")
    assert cache.converted(read_gguf(model)) != cache.converted(read_gguf(other))


def test_what_was_used_longest_ago_is_removed_beyond_the_bound(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import os

    first = cache.converted(read_gguf(model))
    os.utime(first / cache.RECORD, (1, 1))
    monkeypatch.setattr(cache, "MOST_BYTES", 1)
    second = cache.converted(read_gguf(TinyModel(seed=1).write(tmp_path / "second.gguf")))
    assert second.is_dir()
    assert not first.exists()


def test_no_room_on_the_disk_is_one_clear_line(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    with pytest.raises(BackendError, match=r"takes 16 MiB, and 1 MiB are free in .* SAMPLESET_CACHE"):
        cache.converted(read_gguf(model))


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMPLESET_CACHE", str(tmp_path / "file"))
    with pytest.raises(BackendError, match=r"cannot be written to .* SAMPLESET_CACHE"):
        cache.converted(read_gguf(model))


def test_a_cut_model_file_is_refused(model: Path):
    model.write_bytes(model.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"is cut off in .* Fetch it again"):
        cache.converted(read_gguf(model))
    model.write_bytes(model.read_bytes()[:500])
    with pytest.raises(DataError, match="is cut off or damaged"):
        read_gguf(model)
    model.write_bytes(b"no model")
    with pytest.raises(DataError, match="is not a GGUF file"):
        read_gguf(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"architecture": "mamba"}, "does not know the architecture 'mamba'", id="architecture"),
        pytest.param({"llama.rope.scaling.type": "yarn"}, "positions scaled by 'yarn'", id="positions"),
    ],
)
def test_an_unknown_kind_of_model_names_the_other_engine(
    tmp_path: Path, change: dict[str, str], message: str
):
    path = TinyModel().write(tmp_path / "odd.gguf", **change)
    with pytest.raises(UnsupportedByBackendError, match=message + r".* Use llamacpp:FILE\."):
        cache.converted(read_gguf(path))


def test_an_unknown_tensor_is_refused(tmp_path: Path):
    model = TinyModel()
    model.tensors["blk.0.ffn_gate_inp.weight"] = model.tensors["blk.0.ffn_up.weight"]
    with pytest.raises(UnsupportedByBackendError, match=r"tensor 'blk\.0\.ffn_gate_inp\.weight'"):
        cache.converted(read_gguf(model.write(tmp_path / "experts.gguf")))


def test_a_missing_package_names_its_install_command(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino_genai", None)
    with pytest.raises(MissingExtraError, match=r"need openvino-genai and gguf .* Install them: "):
        cache.converted(read_gguf(model))
