"""inspect_ai itself runs the provider and the solver."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai")

from inspect_ai import Task
from inspect_ai import eval as run_eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

from sampleset.inspect import SampledModelAPI, aggregated
from sampleset.storage.sample_sets import SampleFile

pytestmark = pytest.mark.filterwarnings("ignore")


def run(tmp_path: Path, solver: Any, model: Any, **settings: Any) -> Any:
    data = MemoryDataset([Sample(input="2+3?", target="5"), Sample(input="1+4?", target="5")])
    task = Task(dataset=data, solver=solver or generate(), scorer=includes())
    (log,) = run_eval(task, model=model, log_dir=str(tmp_path / "logs"), display="none", **settings)
    assert log.status == "success", log.error
    return log


def test_the_provider_answers_by_the_vote_of_k_samples(tmp_path: Path, model: str):
    log = run(tmp_path, None, get_model(f"sampleset/{model}", k=4))
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
    output = log.samples[0].output
    assert output.completion == "So it is \\boxed{5}."
    assert (output.usage.input_tokens, output.usage.output_tokens) == (28, 16)
    assert output.metadata["votes"] == [{"answer": "6", "votes": 1}, {"answer": "5", "votes": 3}]


def test_the_solver_votes_on_replies_of_the_tasks_own_model(tmp_path: Path):
    def output(text: str) -> ModelOutput:
        made = ModelOutput.from_content("mockllm/model", text)
        made.usage = ModelUsage(input_tokens=3, output_tokens=2, total_tokens=5)
        return made

    texts = ["\\boxed{6}", "\\boxed{5}", "\\boxed{5}"] * 2
    mock = get_model("mockllm/model", custom_outputs=[output(text) for text in texts])
    log = run(tmp_path, [aggregated(k=3)], mock, max_samples=1)
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
    told = log.samples[0].metadata["sampleset"]
    assert (told["answer"], told["samples"], told["tokens"]) == ("5", 3, 15)


def test_the_log_of_inspect_is_read(tmp_path: Path, model: str):
    run(tmp_path, None, get_model(f"sampleset/{model}", k=4), epochs=2)
    sets = list(SampleFile(tmp_path / "logs"))
    assert [one.sample_set.n for one in sets] == [2, 2]
    assert {one.problem.answer for one in sets} == {"5"}


def test_tools_are_refused(model: str):
    with pytest.raises(Exception, match="Unknown options"):
        SampledModelAPI(model, nonsense=1)
