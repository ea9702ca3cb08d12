"""Two processes on one machine: their gradients, and the launchers that are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("peft")

from sampleset.errors import InvalidArgumentError  # noqa: E402
from sampleset.storage.files import write_rows  # noqa: E402
from sampleset.training.data.rows import RowCandidate, row_to_json  # noqa: E402
from sampleset.training.processes import Processes  # noqa: E402
from support.tiny_model import save_tiny_model  # noqa: E402
from support.training_builders import make_row  # noqa: E402

# One step of the real loop; what the optimiser would be given goes to a file instead.
WORKER = """
import json, sys
import torch
from sampleset.training.loop import TrainingRun
from sampleset.training.recipe import recipe_of
from sampleset.training.select import SelectLearner
from sampleset.training.sft import SftLearner

settings, method, target = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
learner = {"select": SelectLearner("expected_reward"), "sft": SftLearner()}[method]
run = TrainingRun(method, learner, recipe_of(settings))
def keep():
    gradients = {name: one.grad for name, one in run.policy.model.named_parameters() if one.requires_grad}
    gradients["prior"] = run.policy.prior.grad
    torch.save(gradients, f"{target}.{run.processes.accelerator.process_index}")
run.optimiser.step = keep
lessons, _ = learner.lessons(run.examples[:4], 0, run.policy, run.processes)
figures = run.step(lessons)
print(json.dumps({"count": run.processes.count, **figures}), file=sys.stderr)
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["select", "sft"])
def test_two_processes_have_the_gradients_of_one(tmp_path: Path, method: str):
    model = save_tiny_model(tmp_path / "tiny")
    rows = [
        make_row(
            str(number),
            "select" if method == "select" else "direct",
            id=f"sets/{number}/0",
            prompt=(
                {"role": "user", "content": f"{number}? " + "so " * number},
                {"role": "assistant", "content": "<answer>"},
            ),
            candidates=(RowCandidate("9", 2, False), RowCandidate(str(number), 1, True)),
            completion=f"{number}</answer>" if method == "sft" else None,
        )
        for number in range(4)
    ]
    write_rows(tmp_path / "rows.jsonl", map(row_to_json, rows))
    settings = {
        "model": str(model),
        "rows": str(tmp_path / "rows.jsonl"),
        "rows_per_step": 4,
        "max_grad_norm": 1e9,
        "lora": None,
        "vote_prior": 1.0,
        "threads": 1,
    }
    (tmp_path / "worker.py").write_text(WORKER)
    found: dict[int, list[dict[str, Any]]] = {}
    for count in (1, 2):
        target = tmp_path / f"gradients-{count}"
        settings["output_dir"] = str(tmp_path / f"run-{count}")
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        launched = launcher if count > 1 else []
        done = subprocess.run(
            [sys.executable, *launched, str(tmp_path / "worker.py"), json.dumps(settings), method, target],
            capture_output=True,
            text=True,
            timeout=280,
            env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert f'"count": {count}' in done.stderr
        paths = [Path(f"{target}.{rank}") for rank in range(count)]
        found[count] = [torch.load(path, weights_only=True) for path in paths]
    (alone,) = found[1]
    assert any(gradient is not None and gradient.abs().max() > 1e-3 for gradient in alone.values())
    for gradients in found[2]:
        for name, gradient in alone.items():
            if gradient is None:  # `sft` does not learn the multiples of votes and confidence
                assert not gradients[name].any()
                continue
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_launchers_that_split_the_model_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    processes = Processes(tmp_path, {}, None)

    class Split:
        distributed_type = type("Kind", (), {"value": kind})

    monkeypatch.setattr(processes, "accelerator", Split())
    with pytest.raises(InvalidArgumentError, match=f"{kind}, which splits the model"):
        processes.require_whole_models()
