"""Results of promptfoo, and traces whose question and completion stand one level down.

The files in `files/` were written by promptfoo itself (make_files.py).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from sampleset.errors import DataError
from sampleset.storage.files import read_sample_sets
from sampleset.storage.foreign.base import FORMATS, Source

FILES = Path(__file__).parent / "files"
Found = list[tuple[str, str | None, list[str]]]


def read(path: Path) -> Found:
    return [
        (one.sample_set.question.text, one.problem.answer, [sample.text for sample in one.sample_set.samples])
        for one in read_sample_sets(path)
    ]


def written(folder: Path, content: object, suffix: str) -> Path:
    """The content as a file, which one format knows as its own."""
    path = folder / f"r{suffix}"
    rows = content if isinstance(content, list) else [content]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(lines if suffix == ".jsonl" else json.dumps(content, indent=1))
    formats = [FORMATS.get(name)() for name in FORMATS.names()]
    assert len([one for one in formats if not one.general and one.recognises(Source(path))]) == 1
    return path


def result(test: int, question: str, output: object, **more: Any) -> dict[str, Any]:
    return {
        "cost": 0,
        "gradingResult": {"pass": True, "score": 1},
        "prompt": {"raw": f"Solve: {question}", "label": "Solve: {{question}}"},
        "promptIdx": 0,
        "provider": {"id": "openai:gpt-4o", "label": ""},
        "response": {"output": output, "tokenUsage": {"total": 3}},
        "score": 1,
        "testIdx": test,
        "vars": {"question": question},
        **more,
    }


RESULTS = [
    result(0, "2+3?", "so 5", testCase={"assert": [{"type": "latency"}, {"type": "equals", "value": "5"}]}),
    result(0, "2+3?", "so 6"),
    result(1, "3+4?", 7, vars={"question": "3+4?", "expected": 7}),
]
FOUND: Found = [("2+3?", "5", ["so 5", "so 6"]), ("3+4?", "7", ["7"])]


@pytest.mark.parametrize("name", ["promptfoo.json", "promptfoo.jsonl"])
def test_what_promptfoo_wrote_is_read(name: str):
    assert read(FILES / name) == [
        ("What is 2+3?", "5", ["so 5", "so 5"]),
        ("What is 3+4?", "7", ["so 7", "so 7"]),
    ]


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        pytest.param({"version": 2, "results": RESULTS, "stats": {}}, ".json", id="version 2"),
        pytest.param(RESULTS, ".jsonl", id="lines"),
    ],
)
def test_results_of_promptfoo_are_read(tmp_path: Path, content: object, suffix: str):
    assert read(written(tmp_path, content, suffix)) == FOUND


def test_a_test_of_promptfoo_without_a_question_goes_by_its_prompt(tmp_path: Path):
    asserted = {"assert": [{"type": "icontains", "value": "{{ capital }}"}]}
    one = result(0, "", "It is Rome.", vars={"land": "Italy", "capital": "Rome"}, testCase=asserted)
    one["prompt"]["raw"] = '[{"role": "user", "content": "The capital of Italy?"}]'
    assert read(written(tmp_path, [one], ".jsonl")) == [("The capital of Italy?", "Rome", ["It is Rome."])]


def test_a_result_of_promptfoo_that_failed_is_a_failed_draw(tmp_path: Path):
    failed = result(0, "2+3?", None, response=None, error="API error: 500")
    (one,) = read_sample_sets(written(tmp_path, [RESULTS[0], failed], ".jsonl"))
    assert [sample.failed for sample in one.sample_set.samples] == [False, True]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            {
                "id": "run",
                "run_type": "chain",
                "inputs": {"question": "2+3?"},
                "outputs": {"answer": "so 5"},
                "reference_outputs": {"answer": "5"},
            },
            id="LangSmith",
        ),
        pytest.param(
            {
                "inputs": {"messages": [[{"role": "user", "content": "2+3?"}]]},
                "outputs": {"generations": [[{"text": "so 5", "generation_info": None}]]},
                "reference_outputs": {"output": "5"},
            },
            id="a model's run",
        ),
        pytest.param(
            {
                "inputs.question": "2+3?",
                "outputs.output": "so 5",
                "reference_outputs.answer": "5",
                "error": "",
            },
            id="columns",
        ),
        pytest.param(
            {"inputs": '{"question": "2+3?"}', "outputs": '{"output": "so 5"}', "reference": "5"}, id="JSON"
        ),
        pytest.param(
            {
                "input": {"messages": [{"role": "user", "content": "2+3?"}]},
                "output": {"role": "assistant", "content": "so 5"},
                "expectedOutput": "5",
            },
            id="Langfuse",
        ),
        pytest.param(
            {
                "inputs": {"question": "2+3?", "k": 3},
                "output": {"choices": [{"message": {"role": "assistant", "content": "so 5"}}]},
                "expected": 5,
            },
            id="Weave",
        ),
    ],
)
def test_traces_are_read(tmp_path: Path, row: dict[str, Any]):
    assert read(written(tmp_path, [row, row], ".jsonl")) == [("2+3?", "5", ["so 5", "so 5"])]


def test_traces_of_one_example_are_one_question(tmp_path: Path):
    rows = [
        {"inputs": {"input": text}, "outputs": {"output": "5"}, "reference_example_id": example}
        for text, example in (("2+3?", "a"), ("3+3?", "b"), ("2+3?", "a"))
    ]
    path = written(tmp_path, rows, ".jsonl")
    assert [one.sample_set.id for one in read_sample_sets(path)] == ["a", "b"]
    assert read(path) == [("2+3?", None, ["5", "5"]), ("3+3?", None, ["5"])]


def test_a_trace_that_failed_is_a_failed_draw(tmp_path: Path):
    rows = [
        {"inputs": {"question": "2+3?"}, "outputs": {"output": "5"}},
        {"inputs": {"question": "2+3?"}, "outputs": None, "error": "timeout"},
    ]
    (one,) = read_sample_sets(written(tmp_path, rows, ".jsonl"))
    assert [sample.failed for sample in one.sample_set.samples] == [False, True]


def test_outputs_that_go_very_deep_are_a_failed_draw(tmp_path: Path):
    said: dict[str, Any] = {"output": "5"}
    for _ in range(400):
        said = {"output": said}
    rows = [{"inputs": {"question": "2+3?"}, "outputs": deep} for deep in ({"output": "5"}, said)]
    (one,) = read_sample_sets(written(tmp_path, rows, ".jsonl"))
    assert [sample.failed for sample in one.sample_set.samples] == [False, True]


def test_inputs_without_a_question_are_no_traces(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"inputs": {"a": "x", "b": "y"}, "outputs": {"output": "5"}}\n')
    with pytest.raises(DataError, match="no question"):
        read(path)
