"""lm-eval itself runs the model on a task of its own kind."""

from pathlib import Path

import pytest

lm_eval = pytest.importorskip("lm_eval")

from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from sampleset.errors import UnsupportedByBackendError
from sampleset.integrations.lm_eval import SampledLM
from sampleset.storage.files import read_sample_sets, write_rows

pytestmark = pytest.mark.filterwarnings("ignore")

TASK = r"""
task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\n\n"]}
filter_list:
  - name: boxed
    filter: [{function: regex, regex_pattern: "boxed.(-?[0-9]+)"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


def test_lm_eval_scores_the_vote_of_k_samples(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    rows = [{"question": question, "answer": "5"} for question in ("2+3?", "1+4?")]
    write_rows(tmp_path / "q.jsonl", rows)
    (tmp_path / "sums.yaml").write_text(TASK.replace("FILE", str(tmp_path / "q.jsonl")))
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model="sampleset", model_args={"model": model, "k": 4}, tasks=["sums"], task_manager=manager
    )
    assert found["results"]["sums"]["exact_match,boxed"] == 1.0
    write_rows(tmp_path / "samples_sums.jsonl", found["samples"]["sums"])
    assert [one.problem.answer for one in read_sample_sets(tmp_path / "samples_sums.jsonl")] == ["5", "5"]


def test_likelihoods_are_refused(model: str):
    with pytest.raises(UnsupportedByBackendError, match="generate_until"):
        SampledLM(model=model).loglikelihood([])


def test_a_chat_template_keeps_the_turns(model: str):
    asked = SampledLM(model=model, k=4)
    chat = asked.apply_chat_template(
        [{"role": "system", "content": "x"}, {"role": "user", "content": "2+3?"}]
    )
    request = Instance("generate_until", {}, (chat, {"until": ["\n\n"]}), 0)
    assert asked.generate_until([request]) == ["So it is \\boxed{5}."]
