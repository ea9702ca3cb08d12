import subprocess
import sys
from pathlib import Path

import pytest

from sampleset.errors import InvalidArgumentError
from sampleset.models.ray import RayOptions, parse_engine

AUDIT = Path(__file__).parents[2] / "benchmarks" / "audits" / "ray_node_loss.py"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("local", None),
        ("ray", RayOptions(None, 0.0)),
        ("ray:actors=8,gpus=0.5", RayOptions(8, 0.5)),
    ],
)
def test_an_engine_is_named_with_its_options(text: str, options: RayOptions | None):
    assert parse_engine(text) == options


@pytest.mark.parametrize("text", ["rey", "ray:actors=0", "ray:actors=many", "ray:nodes=2", "local:actors=2"])
def test_an_engine_that_is_none_is_refused(text: str):
    with pytest.raises(InvalidArgumentError, match="is unknown"):
        parse_engine(text)


@pytest.mark.slow
def test_a_lost_node_loses_and_doubles_nothing():
    pytest.importorskip("ray")
    words = [sys.executable, AUDIT, "--questions", "24"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stored twice: 0\n" in done.stdout
    assert "NO" not in done.stdout
