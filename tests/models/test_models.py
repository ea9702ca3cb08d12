from pathlib import Path

import pytest

from sampleset.backends.openai import OpenAIBackend
from sampleset.errors import InputNotFoundError, InvalidArgumentError
from sampleset.models.opening import open_backend


def test_a_name_with_a_base_url_is_a_server_s_model():
    backend = open_backend("gpt", base_url="http://127.0.0.1:1/v1")
    assert isinstance(backend, OpenAIBackend)
    assert backend.model == "gpt"


def test_the_base_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert isinstance(open_backend("gpt"), OpenAIBackend)


def test_the_environment_does_not_send_the_embedded_model_to_a_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert open_backend("embedded").model.endswith("smollm2-135m-instruct-q4_1")


def test_a_folder_is_told_to_be_served(tmp_path: Path):
    with pytest.raises(InvalidArgumentError, match="Serve a Hugging Face folder with vLLM"):
        open_backend(str(tmp_path))


def test_a_path_that_is_not_there_is_named():
    with pytest.raises(InputNotFoundError, match=r"No model file './none'"):
        open_backend("./none")


async def test_stored_samples_answer_for_their_question(tmp_path: Path):
    path = tmp_path / "sets.jsonl"
    path.write_text('{"question": "1+1?", "samples": ["two", "three"]}\n')
    backend = open_backend(f"replay:{path}")
    from sampleset.chat import SamplingParams

    messages = [{"role": "user", "content": "Please: 1+1?"}]
    (reply,) = await backend.generate(messages, SamplingParams(), [3])
    assert reply.text == "three"


def test_the_type_of_hugging_face_weights_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setenv("SAMPLESET_DTYPE", "bfloat16")
    assert open_backend(str(tmp_path)).dtype == "bfloat16"  # type: ignore[attr-defined]
    monkeypatch.delenv("SAMPLESET_DTYPE")
    assert open_backend(str(tmp_path)).dtype is None  # type: ignore[attr-defined]


def test_with_a_key_and_no_base_url_a_plain_name_is_openai_s(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InvalidArgumentError, match="set OPENAI_API_KEY"):
        open_backend("gpt-4o-mini")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    backend = open_backend("gpt-4o-mini", omit=["temperature"])
    assert isinstance(backend, OpenAIBackend)
    assert backend._where == "https://api.openai.com/v1"
    assert backend.omit == ("temperature",)


def test_a_key_does_not_send_a_file_or_a_folder_to_openai(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with pytest.raises(InputNotFoundError):
        open_backend("./none")
    with pytest.raises(InvalidArgumentError, match="Serve a Hugging Face folder"):
        open_backend(str(tmp_path))
