"""Which engine runs the embedded model."""

from pathlib import Path
from typing import Any

import pytest

from sampleset.backends.base import BACKENDS
from sampleset.engines.gguf import embedded_ssa_folder
from sampleset.errors import BackendError
from sampleset.models import engine, opening
from sampleset.models.engine import LLAMACPP, OPENVINO, fastest_engine


@pytest.mark.parametrize(
    ("machine", "flags", "installed", "expected"),
    [
        pytest.param("x86_64", "fma avx512_vnni", {OPENVINO, LLAMACPP}, OPENVINO, id="a server's processor"),
        pytest.param("x86_64", "fma avx2 avx_vnni", {OPENVINO, LLAMACPP}, OPENVINO, id="a new desktop's"),
        pytest.param("x86_64", "fma avx2", {OPENVINO, LLAMACPP}, LLAMACPP, id="without the instructions"),
        pytest.param("aarch64", "asimd", {OPENVINO, LLAMACPP}, LLAMACPP, id="another family"),
        pytest.param("x86_64", "fma avx512_vnni", {LLAMACPP}, LLAMACPP, id="OpenVINO not installed"),
        pytest.param("aarch64", "asimd", {OPENVINO}, OPENVINO, id="nothing else installed"),
    ],
)
def test_the_fastest_engine_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    machine: str,
    flags: str,
    installed: set[str],
    expected: str,
):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu {flags} sse\n")
    monkeypatch.setattr(engine, "_FLAGS", tmp_path / "cpuinfo")
    monkeypatch.setattr(engine.platform, "machine", lambda: machine)
    monkeypatch.setattr(engine, "is_installed", lambda name: name in installed)
    assert fastest_engine() == expected


class Opened:
    """A backend that records how it was opened; `refusal` is what loading raises."""

    refusal: Exception | None = None

    def __init__(self, name: str, **options: Any) -> None:
        self.model, self.options = f"{name}:{options['model']}", options

    async def check(self) -> None:
        if self.refusal is not None and self.model.startswith(OPENVINO):
            raise self.refusal

    async def aclose(self) -> None:
        pass


@pytest.fixture
def both_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "fastest_engine", lambda: OPENVINO)
    monkeypatch.setattr(opening, "is_installed", lambda name: True)
    monkeypatch.setattr(Opened, "refusal", None)
    monkeypatch.setattr(type(BACKENDS), "get", lambda self, name: lambda **options: Opened(name, **options))


@pytest.mark.usefixtures("both_engines")
async def test_an_exported_adapter_of_the_embedded_model_runs_on_the_engine_of_the_embedded_model(
    tmp_path: Path,
):
    for path in embedded_ssa_folder().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    backend = await opening.ready_backend(str(tmp_path))
    assert backend.model == f"{OPENVINO}:{tmp_path}"
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "sampleset.json").write_bytes((tmp_path / "sampleset.json").read_bytes())
    (whole / "model.gguf").write_bytes(b"GGUF, a model of its own")
    assert (await opening.ready_backend(str(whole))).model == f"{LLAMACPP}:{whole}"


@pytest.mark.usefixtures("both_engines")
async def test_the_choice_is_said_in_one_line():
    notes: list[str] = []
    backend = await opening.ready_backend("embedded", on_note=notes.append)
    assert backend.model == "openvino:embedded"
    assert notes == ["embedded runs on OpenVINO; llamacpp:embedded would be llama.cpp"]


@pytest.mark.usefixtures("both_engines")
async def test_llama_cpp_runs_what_openvino_cannot(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Opened, "refusal", BackendError("No room."))
    notes: list[str] = []
    backend = await opening.ready_backend("embedded-ssa", context_size=99, on_note=notes.append)
    assert backend.model == "llamacpp:embedded-ssa"
    assert backend.options["context_size"] == 99  # type: ignore[attr-defined]
    assert notes == ["embedded-ssa runs on llama.cpp, which is slower here: No room."]


@pytest.mark.usefixtures("both_engines")
async def test_an_engine_that_was_named_is_not_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Opened, "refusal", BackendError("No room."))
    with pytest.raises(BackendError, match="No room"):
        await opening.ready_backend("openvino:embedded")


@pytest.mark.usefixtures("both_engines")
@pytest.mark.parametrize("ref", ["openvino:embedded", "llamacpp:embedded", "llamacpp:some/model.gguf"])
def test_a_named_engine_runs_the_rest_of_the_name(ref: str):
    assert opening.open_backend(ref).model == ref
    assert opening.runs_here(ref)
