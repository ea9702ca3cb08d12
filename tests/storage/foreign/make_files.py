"""Makes the files of `files/` with the tools themselves, on stub models.

    python make_files.py lm_eval|inspect|lighteval|promptfoo OUTPUT_FOLDER

Each needs its tool installed (lm_eval 0.4.13, inspect_ai 0.3.285, lighteval 0.13.0, promptfoo 0.121.20; the
shape of before 0.9 was written by the logger of lighteval 0.8.1 in the same way). Rename what comes out as
in `files/`.
"""

import json
import subprocess
import sys
from pathlib import Path

QUESTIONS = [("What is 2+3?", "2+3=5\n#### 5"), ("What is 3+4?", "3+4=7\n#### 7")]

LM_EVAL_TASK = r"""
task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: q.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{answer.split('### ')[-1].strip()}}"
generation_kwargs: {until: ["\n\n"], do_sample: true, temperature: 0.7}
repeats: 3
filter_list:
  - name: maj
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)"}
      - {function: majority_vote}
      - {function: take_first}
  - name: first
    filter: [{function: take_first}]
metric_list: [{metric: exact_match}]
"""


def lm_eval(folder: Path) -> None:
    rows = [json.dumps({"question": question, "answer": gold}) for question, gold in QUESTIONS]
    (folder / "q.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "sums.yaml").write_text(LM_EVAL_TASK)
    options = ["--tasks", "sums", "--include_path", ".", "--log_samples", "--output_path", "out"]
    subprocess.run(["lm_eval", "run", "--model", "dummy", *options], cwd=folder, check=True)


def inspect(folder: Path) -> None:
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import choice, match
    from inspect_ai.solver import generate, multiple_choice, system_message

    def output(text: str) -> ModelOutput:
        made = ModelOutput.from_content("mockllm/model", text)
        tokens = len(text.split())
        made.usage = ModelUsage(input_tokens=12, output_tokens=tokens, total_tokens=12 + tokens)
        return made

    texts = ["It is 5. ANSWER: 5", "ANSWER: 4", "ANSWER: 5", "ANSWER: 7"]
    samples = [
        Sample(input="What is 2+3?", target="5", id="a", metadata={"level": "easy"}),
        Sample(input="What is 3+4?", target="7", id=2),
    ]
    eval(
        Task(
            MemoryDataset(samples), [system_message("Be brief."), generate()], match(), name="sums", epochs=2
        ),
        model=get_model("mockllm/model", custom_outputs=[output(text) for text in texts]),
        log_dir=str(folder),
        log_format="eval",
        display="none",
        max_samples=1,
    )
    fruit = MemoryDataset([Sample(input="Which is a fruit?", choices=["stone", "apple"], target="B")])
    eval(
        Task(fruit, [multiple_choice()], choice(), name="choices", epochs=2),
        model=get_model("mockllm/model", custom_outputs=[output("ANSWER: B")] * 2),
        log_dir=str(folder),
        log_format="json",
        display="none",
    )


def lighteval(folder: Path) -> None:
    from types import SimpleNamespace

    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    tracker = EvaluationTracker(output_dir=str(folder), save_details=True)
    tracker.general_config_logger.model_config = SimpleNamespace(model_name="stub", model_dump=lambda: {})
    tracker.general_config_logger.model_name = "stub"
    for (question, gold), texts in zip(QUESTIONS, [["It is 5.", "5", "6"], ["7", "8", "7"]], strict=True):
        doc = Doc(query=question, choices=[gold], gold_index=0, task_name="sums|0", num_samples=3)
        reply = ModelResponse(input=question, text=texts, output_tokens=[[1, 2, 3]] * 3, input_tokens=[1, 2])
        tracker.details_logger.log("sums|0", doc, reply, {"pass@k": 1.0})
    tracker.save()


PROMPTFOO_PROVIDER = """
module.exports = class {
  id() { return "stub"; }
  async callApi(prompt) { return { output: prompt.includes("2+3") ? "so 5" : "so 7" }; }
};
"""


def promptfoo(folder: Path) -> None:
    (folder / "provider.js").write_text(PROMPTFOO_PROVIDER)
    tests = [
        {"vars": {"question": "What is 2+3?"}, "assert": [{"type": "contains", "value": "5"}]},
        {"vars": {"question": "What is 3+4?", "answer": "7"}},
    ]
    settings = {"prompts": ["Solve: {{question}}"], "providers": ["file://provider.js"], "tests": tests}
    (folder / "promptfooconfig.json").write_text(json.dumps(settings))
    for name in ("promptfoo.json", "promptfoo.jsonl"):
        command = ["promptfoo", "eval", "--config", "promptfooconfig.json", "--no-cache", "--repeat", "2"]
        subprocess.run([*command, "--output", name], cwd=folder, check=True)


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    tools = {"lm_eval": lm_eval, "inspect": inspect, "lighteval": lighteval, "promptfoo": promptfoo}
    tools[sys.argv[1]](target)
