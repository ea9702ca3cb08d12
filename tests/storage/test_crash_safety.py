import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / "benchmarks" / "audits" / "crash_safety.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        pytest.param((), id="all samples"),
        pytest.param(("--stop", "beta:0.95"), id="a stopping rule"),
        pytest.param(("--pool",), id="a pool"),
    ],
)
def test_killed_runs_lose_and_double_nothing(how: tuple[str, ...]):
    done = subprocess.run(
        [sys.executable, AUDIT, "--kills", "3", "--questions", "60", *how],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 3\n" in done.stdout
    assert "stored twice: 0\n" in done.stdout
