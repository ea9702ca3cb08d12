"""A file of draws that stands for a model: three of four samples say 5, for either question."""

from pathlib import Path

import pytest

from sampleset.storage.files import write_rows

TEXTS = ["So it is \\boxed{6}.", *["So it is \\boxed{5}."] * 3]


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "draws.jsonl"
    samples = [
        {"index": place, "text": text, "prompt_tokens": 7, "completion_tokens": 4}
        for place, text in enumerate(TEXTS)
    ]
    rows = [{"id": question, "question": question, "samples": samples} for question in ("2+3?", "1+4?")]
    write_rows(path, rows)
    return f"replay:{path}"
