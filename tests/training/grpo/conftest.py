import random
from dataclasses import replace
from pathlib import Path

import pytest

from sampleset.storage.files import write_rows
from sampleset.training.data.rows import row_to_json
from sampleset.training.loop import train
from sampleset.training.recipe import Recipe
from sampleset.training.sft import SftLearner
from support.grpo_builders import two_is_right
from support.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def guessing(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Path:
    """A model that writes digits as answers, none more often than another."""
    folder = tmp_path_factory.mktemp("sft")
    generator = random.Random(0)
    rows = [
        replace(one, completion=f"{generator.choice('12345678')}</answer>") for one in two_is_right(40, 0)
    ]
    write_rows(folder / "rows.jsonl", map(row_to_json, rows))
    made = Recipe(
        model=str(blank),
        rows=str(folder / "rows.jsonl"),
        output_dir=str(folder / "run"),
        steps=80,
        rows_per_step=2,
        learning_rate=1e-2,
        threads=1,
        device="cpu",
        lora=None,
    )
    return train("sft", SftLearner(), made).checkpoint
