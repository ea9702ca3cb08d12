"""Each shape that another tool writes is read as it was meant, and by one format only.

The files in `files/` were written by the tools themselves (make_files.py), the others are like them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather

from sampleset.errors import DataError, InputNotFoundError, MalformedRecordError
from sampleset.storage.files import read_problems, read_sample_sets, write_rows
from sampleset.storage.foreign.base import FORMATS, Source, recognised
from sampleset.storage.sample_sets import SampleFile

FILES = Path(__file__).parent / "files"
LM_EVAL = "samples_sums_2026-11-28T21-37-59.878450.jsonl"


def read(path: Path, **columns: str) -> list[tuple[str, str, str | None, list[str]]]:
    return [
        (
            one.sample_set.id,
            one.sample_set.question.text,
            one.problem.answer,
            [sample.text for sample in one.sample_set.samples],
        )
        for one in read_sample_sets(path, columns)
    ]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chat(question: str, reply: str) -> str:
    return f"system\nBe helpful.\nuser\n{question}\nassistant\n{reply}"


def test_lm_eval_repeats_are_samples_and_rows_of_a_second_filter_count_once():
    assert read(FILES / LM_EVAL) == [
        ("0", "What is 2+3?", "5", ["lol"] * 3),
        ("1", "What is 3+4?", "7", ["lol"] * 3),
    ]


def test_an_lm_eval_folder_is_read_beside_its_results(tmp_path: Path):
    shutil.copy(FILES / LM_EVAL, tmp_path)
    (tmp_path / "results_2026.json").write_text('{"results": {}}')
    assert len(read(tmp_path)) == 2


def test_lm_eval_tasks_of_one_folder_keep_their_ids_apart(tmp_path: Path):
    shutil.copy(FILES / LM_EVAL, tmp_path / "samples_a_2026.jsonl")
    shutil.copy(FILES / LM_EVAL, tmp_path / "samples_b_2026.jsonl")
    assert [row[0] for row in read(tmp_path)] == ["a/0", "a/1", "b/0", "b/1"]


def test_an_lm_eval_task_without_a_question_column_falls_back_to_its_prompt(tmp_path: Path):
    row = json.loads((FILES / LM_EVAL).read_text().splitlines()[0])
    path = jsonl(tmp_path / "s.jsonl", row | {"doc": {"sentence": "..."}})
    assert read(path)[0][1] == "Question: What is 2+3?\nAnswer:"


def test_a_dotted_column_looks_into_what_a_row_holds(tmp_path: Path):
    row = json.loads((FILES / LM_EVAL).read_text().splitlines()[0])
    path = jsonl(tmp_path / "s.jsonl", row | {"doc": {"sentence": "Two and three?", "gold": "five"}})
    (found,) = read(path, question="doc.sentence", answer="doc.gold", samples="resps.0")
    assert found == ("0", "Two and three?", "five", ["lol"] * 3)


def test_a_dotted_column_that_leads_nowhere_is_named():
    with pytest.raises(MalformedRecordError, match=r"no column 'doc\.nothing'"):
        read(FILES / LM_EVAL, question="doc.nothing")


def test_an_lm_eval_task_that_compares_likelihoods_is_refused():
    with pytest.raises(DataError, match="generate_until"):
        read(FILES / LM_EVAL.replace("sums", "pick"))


@pytest.mark.parametrize("name", ["lighteval_0_8.parquet", "lighteval_0_13.parquet"])
def test_lighteval_details_are_read_in_both_shapes(name: str):
    assert read(FILES / name) == [
        ("0", "What is 2+3?", "5", ["It is 5.", "5", "6"]),
        ("1", "What is 3+4?", "7", ["7", "8", "7"]),
    ]


def test_lighteval_lists_that_were_written_as_text_are_read(tmp_path: Path):
    row = {"full_prompt": "2+3?", "example": "2+3?", "predictions": "['five', '6']", "gold": "['5']"}
    write_rows(tmp_path / "details.parquet", [row])
    assert read(tmp_path / "details.parquet") == [("0", "2+3?", "5", ["five", "6"])]


def test_inspect_epochs_are_samples_and_its_scores_are_not_read():
    stored = list(read_sample_sets(FILES / "inspect.eval"))
    assert [(one.sample_set.id, one.problem.answer, one.sample_set.n) for one in stored] == [
        ("2", "7", 2),
        ("a", "5", 2),
    ]
    sample = stored[1].sample_set.samples[0]
    assert (sample.text, sample.completion_tokens, sample.model, dict(sample.scores)) == (
        "It is 5. ANSWER: 5",
        5,
        "mockllm/model",
        {},
    )


def test_inspect_choices_are_read_from_a_json_log():
    (stored,) = read_sample_sets(FILES / "inspect_choices.json")
    assert stored.sample_set.question.choices == ("stone", "apple")
    assert stored.problem.answer == "B"
    assert [one.text for one in stored.sample_set.samples] == ["ANSWER: B", "ANSWER: B"]


def test_an_inspect_sample_that_failed_is_a_failed_draw(tmp_path: Path):
    row = {"id": 1, "epoch": 1, "input": "2+3?", "target": "5", "error": {"message": "refused"}}
    rows = [row | {"output": {"model": "m", "choices": []}}]
    (tmp_path / "log.json").write_text(json.dumps({"version": 2, "samples": rows}))
    (stored,) = read_sample_sets(tmp_path / "log.json")
    assert stored.sample_set.samples[0].error == "refused"


def batch_output(identity: str, *texts: str) -> dict[str, Any]:
    choices = [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"} for text in texts]
    body = {"model": "m", "choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    return {"id": "b", "custom_id": identity, "response": {"status_code": 200, "body": body}, "error": None}


def batch_input(identity: str, question: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    return {"custom_id": identity, "method": "POST", "url": "/v1/x", "body": {"messages": messages}}


def test_a_batch_beside_its_input_is_grouped_by_the_messages(tmp_path: Path):
    requests = [batch_input(f"r{place}", "2+3?" if place < 2 else "3+4?") for place in range(4)]
    jsonl(tmp_path / "batch_input.jsonl", *requests)
    failed = {"custom_id": "r3", "response": {"status_code": 500, "body": {}}, "error": {"message": "busy"}}
    jsonl(
        tmp_path / "batch_output.jsonl",
        *(batch_output("r0", "5"), batch_output("r1", "6"), batch_output("r2", "7"), failed),
    )
    stored = list(read_sample_sets(tmp_path))
    assert [one.sample_set.question.text for one in stored] == ["2+3?", "3+4?"]
    assert [[one.text for one in each.sample_set.samples] for each in stored] == [["5", "6"], ["7", ""]]
    assert stored[1].sample_set.samples[1].error == "busy"


def test_a_batch_without_its_input_asks_for_the_questions(tmp_path: Path):
    path = jsonl(tmp_path / "out.jsonl", batch_output("q1-0", "5"), batch_output("q1-1", "6"))
    with pytest.raises(DataError, match="sampleset import SAMPLES --problems"):
        read(path)


def batch_response(identity: str, text: str, status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": content},
    ]
    usage = {"input_tokens": 3, "output_tokens": 4}
    body = {"object": "response", "model": "m", "status": status, "output": output, "usage": usage}
    return {"custom_id": identity, "response": {"status_code": 200, "body": body}, "error": None}


@pytest.mark.parametrize("field", ["input", "prompt"])
def test_a_batch_of_responses_or_of_plain_prompts_is_read(tmp_path: Path, field: str):
    requests = [{"custom_id": f"r{place}", "body": {field: "2+3?"}} for place in range(2)]
    jsonl(tmp_path / "in.jsonl", *requests)
    jsonl(tmp_path / "out.jsonl", batch_response("r0", "5"), batch_response("r1", "6", "incomplete"))
    (stored,) = read_sample_sets(tmp_path)
    assert stored.sample_set.question.text == "2+3?"
    assert [
        (one.text, one.finish_reason, one.prompt_tokens, one.completion_tokens, one.error)
        for one in stored.sample_set.samples
    ] == [("5", "stop", 3, 4, None), ("6", "length", 3, 4, None)]


def message(reply: str, stop: str = "end_turn") -> dict[str, Any]:
    content = [{"type": "thinking", "thinking": "17?"}, {"type": "text", "text": reply}]
    usage = {"input_tokens": 3, "output_tokens": 4}
    return {"type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": stop} | {
        "usage": usage
    }


def test_an_anthropic_batch_beside_its_requests_is_grouped_by_the_messages(tmp_path: Path):
    requests = [
        {"custom_id": f"r{place}", "params": {"messages": [{"role": "user", "content": question}]}}
        for place, question in enumerate(["2+3?", "2+3?", "2+3?", "3+4?"])
    ]
    jsonl(tmp_path / "requests.jsonl", *requests)
    refused = {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}
    jsonl(
        tmp_path / "results.jsonl",
        {"custom_id": "r3", "result": {"type": "succeeded", "message": message("7")}},
        {"custom_id": "r1", "result": {"type": "succeeded", "message": message("5", "max_tokens")}},
        {"custom_id": "r0", "result": {"type": "errored", "error": refused}},
        {"custom_id": "r2", "result": {"type": "expired"}},
    )
    stored = list(read_sample_sets(tmp_path))
    assert [one.sample_set.question.text for one in stored] == ["3+4?", "2+3?"]
    assert [
        (one.text, one.finish_reason, one.completion_tokens, one.error)
        for one in stored[1].sample_set.samples
    ] == [("5", "length", 4, None), ("", "error", None, "too long"), ("", "error", None, "expired")]


def test_an_anthropic_batch_without_its_requests_asks_for_the_questions(tmp_path: Path):
    row = {"custom_id": "q1-0", "result": {"type": "succeeded", "message": message("7")}}
    with pytest.raises(DataError, match="sampleset import SAMPLES --problems"):
        read(jsonl(tmp_path / "results.jsonl", row))


def test_a_gemini_batch_is_read_with_the_requests_in_its_rows(tmp_path: Path):
    def row(text: str, reason: str) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": reason}
        request = {"contents": [{"parts": [{"text": "2+3?"}]}]}
        return {
            "request": request,
            "response": {"candidates": [candidate], "modelVersion": "m"},
            "status": "",
        }

    (stored,) = read_sample_sets(jsonl(tmp_path / "p.jsonl", row("5", "STOP"), row("6", "MAX_TOKENS")))
    assert stored.sample_set.question.text == "2+3?"
    assert [(one.text, one.finish_reason, one.model) for one in stored.sample_set.samples] == [
        ("5", "stop", "m"),
        ("6", "length", "m"),
    ]


CHAT = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+3?<|im_end|>\n<|im_start|>assistant\n"
LLAMA = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n2+3?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
USER = {"role": "user", "content": "2+3?"}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"prompt": "2+3?", "outputs": ["5", "6"]}, id="texts"),
        pytest.param({"prompt": CHAT, "outputs": [{"text": "5"}, {"text": "6"}]}, id="vllm, chatml"),
        pytest.param({"prompt": LLAMA, "outputs": ["5", "6"]}, id="llama"),
        pytest.param({"prompt": "<s>[INST] 2+3? [/INST]", "outputs": ["5", "6"]}, id="mistral"),
        pytest.param({"prompt": "<bos><start_of_turn>user\n2+3?<end_of_turn>\n<start_of_turn>model\n",
                      "outputs": ["5", "6"]}, id="gemma"),
        pytest.param({"prompt": [USER], "outputs": ["5", "6"]}, id="messages"),
        pytest.param({"messages": [USER], "responses": ["5", "6"]}, id="messages beside"),
        pytest.param({"prompt": [USER], "completion": [
            [{"role": "assistant", "content": "5"}], [{"role": "assistant", "content": "6"}]
        ]}, id="chats as completions"),
        pytest.param({"question": "2+3?", "response": {"choices": [
            {"message": {"content": "5"}}, {"message": {"content": [{"type": "text", "text": "6"}]}}
        ]}}, id="reply of an API"),
        pytest.param({"question": "2+3?", "code": ["5", "6"], "pred": ["5", "9"], "gt": "5"}, id="code"),
        pytest.param({"input": "2+3?", "output": ["5", "6"]}, id="output"),
        pytest.param({"messages": [USER, {"role": "assistant", "content": "5"},
                                   {"role": "assistant", "content": "6"}]}, id="two turns at the end"),
        pytest.param({"messages": [[USER, {"role": "assistant", "content": "5"}],
                                   [USER, {"role": "assistant", "content": "6"}]]}, id="chats in a list"),
        pytest.param({"conversations": [{"from": "human", "value": "2+3?"}, {"from": "gpt", "value": "5"},
                                        {"from": "gpt", "value": "6"}]}, id="sharegpt"),
    ],
)  # fmt: skip
def test_a_row_with_all_completions_of_a_question_is_a_set(tmp_path: Path, row: dict[str, Any]):
    rows = [{"id": name, **row, "ground_truth": "5"} for name in ("a", "b")]
    rows = rows if "outputs" in row else rows[:1]
    sets = read(jsonl(tmp_path / "r.jsonl", *rows))
    assert [one[1:] for one in sets] == [("2+3?", "5", ["5", "6"])] * len(rows)
    assert [one[0] for one in sets] == ["a", "b"][: len(rows)]


def test_rows_of_chats_that_ask_the_same_are_joined(tmp_path: Path):
    def row(question: str, reply: str) -> dict[str, Any]:
        before = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello"}]
        return {
            "messages": [
                *before,
                {"role": "user", "content": question},
                {"role": "assistant", "content": reply},
            ]
        }

    rows = [row("2+3?", "5"), row("3+4?", "7"), row("2+3?", "6")]
    assert read(jsonl(tmp_path / "r.jsonl", *rows)) == [
        ("0", "2+3?", None, ["5", "6"]),
        ("1", "3+4?", None, ["7"]),
    ]


def test_a_call_of_a_tool_is_no_reply(tmp_path: Path):
    call = {"role": "assistant", "content": "I ask.", "tool_calls": [{"id": "1"}]}
    chat = [USER, call, {"role": "tool", "content": "5"}, {"role": "assistant", "content": "It is 5."}]
    assert read(jsonl(tmp_path / "r.jsonl", {"messages": chat}))[0][3] == ["It is 5."]


def test_a_null_in_a_list_of_completions_is_a_failed_draw(tmp_path: Path):
    (stored,) = read_sample_sets(jsonl(tmp_path / "r.jsonl", {"prompt": "2+3?", "outputs": ["5", None]}))
    assert [one.failed for one in stored.sample_set.samples] == [False, True]


def test_what_vllm_says_of_an_output_is_read(tmp_path: Path):
    output = {"index": 0, "text": "5", "token_ids": [4, 2, 1], "finish_reason": "length"}
    (stored,) = read_sample_sets(jsonl(tmp_path / "r.jsonl", {"prompt": "2+3?", "outputs": [output]}))
    (sample,) = stored.sample_set.samples
    assert (sample.text, sample.completion_tokens, sample.finish_reason) == ("5", 3, "length")


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "2+3?", "outputs": ["5", "6"], "prm_scores": [[0.5, 0.8], [0.5, 0.2]]}],
        [{"prompt": "2+3?", "output": "5", "prm_scores": [0.5, 0.8]},
         {"prompt": "2+3?", "output": "6", "prm_scores": [0.5, 0.2]}],
    ],
    ids=["in a list", "in rows"],
)  # fmt: skip
def test_scores_of_steps_are_reduced_beside_lists_and_in_rows(tmp_path: Path, rows: list[dict[str, Any]]):
    (stored,) = read_sample_sets(jsonl(tmp_path / "r.jsonl", *rows))
    assert [
        (one.scores["prm_scores"], one.scores["prm_scores.min"]) for one in stored.sample_set.samples
    ] == [(0.8, 0.5), (0.2, 0.2)]


def test_options_of_a_question_are_no_completions(tmp_path: Path):
    row = {"question": "Which?", "choices": ["a", "b"], "response": "A"}
    assert read(jsonl(tmp_path / "r.jsonl", row)) == [("0", "Which?", None, ["A"])]


def test_a_gold_answer_under_another_name_is_read_beside_our_shape(tmp_path: Path):
    row = {"question": "2+3?", "samples": ["5"], "ground_truth": 5}
    assert read(jsonl(tmp_path / "r.jsonl", row)) == [("0", "2+3?", "5", ["5"])]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.filterwarnings("ignore:Feather V1")
def test_feather_files_are_read(tmp_path: Path, version: int):
    if version == 1:
        table = pa.table({"question": ["2+3?", "2+3?"], "response": ["5", "6"]})
    else:
        table = pa.table({"question": ["2+3?"], "samples": [["5", "6"]]})
    feather.write_feather(table, str(tmp_path / "r.feather"), version=version)
    assert read(tmp_path / "r.feather") == [("0", "2+3?", None, ["5", "6"])]


def test_a_json_file_with_an_object_a_line_is_read(tmp_path: Path):
    row = {"question": "2+3?", "samples": ["5"]}
    jsonl(tmp_path / "r.json", {"id": "a", **row}, {"id": "b", **row})
    assert [one[0] for one in read(tmp_path / "r.json")] == ["a", "b"]


def test_endings_in_capitals_are_known(tmp_path: Path):
    (tmp_path / "R.CSV").write_text("question,response\n2+3?,5\n")
    assert read(tmp_path / "R.CSV") == [("0", "2+3?", None, ["5"])]


def test_a_table_that_pandas_split_into_names_and_cells_is_read(tmp_path: Path):
    path = tmp_path / "r.json"
    path.write_text('{"columns": ["prompt", "outputs"], "index": [0], "data": [["2+3?", ["5", "6"]]]}')
    assert read(path) == [("0", "2+3?", None, ["5", "6"])]


def test_rows_of_one_completion_are_joined_by_a_shared_id(tmp_path: Path):
    rows = [
        {"problem_id": "a", "question": "2+3?", "completion": "5", "answer": "5", "id": 0},
        {"problem_id": "b", "question": "2+3?", "completion": "7", "answer": "5", "id": 1},
        {"problem_id": "a", "question": "2+3?", "completion": "6", "answer": "5", "id": 2},
    ]
    assert read(jsonl(tmp_path / "r.jsonl", *rows)) == [
        ("a", "2+3?", "5", ["5", "6"]),
        ("b", "2+3?", "5", ["7"]),
    ]


def test_rows_of_one_completion_without_a_shared_id_are_joined_by_the_question(tmp_path: Path):
    rows = [{"id": place, "prompt": "2+3?", "response": str(place)} for place in range(3)]
    assert read(jsonl(tmp_path / "r.jsonl", *rows)) == [("0", "2+3?", None, ["0", "1", "2"])]


def test_a_csv_file_of_completions_is_read(tmp_path: Path):
    path = tmp_path / "r.csv"
    path.write_text(
        'question,answer,output,completion_tokens\n"1,000+1?",1001,"a\nb",3\n"1,000+1?",1001,c,\n'
    )
    (stored,) = read_sample_sets(path)
    assert [(one.text, one.completion_tokens) for one in stored.sample_set.samples] == [
        ("a\nb", 3),
        ("c", None),
    ]
    assert (stored.sample_set.question.text, stored.problem.answer) == ("1,000+1?", "1001")


def test_a_column_per_sample_is_read_and_empty_cells_are_no_samples(tmp_path: Path):
    path = tmp_path / "wide.csv"
    path.write_text("id,question,answer,sample_1,sample_2,sample_10\nq,2+3?,5,5,,6\n")
    assert read(path) == [("q", "2+3?", "5", ["5", "6"])]


def test_a_list_in_a_csv_cell_is_read(tmp_path: Path):
    path = tmp_path / "cells.csv"
    path.write_text('id,question,samples\nq,2+3?,"[""5"", ""6""]"\n')
    assert read(path) == [("q", "2+3?", None, ["5", "6"])]


@pytest.mark.parametrize("cell", ["['5', '6']", "[\"5\", '6']", "['5',\n '6']", "['5' '6']", "['5'\n '6']"])
def test_a_list_in_a_csv_cell_is_read_as_pandas_writes_it(tmp_path: Path, cell: str):
    write_rows(tmp_path / "cells.csv", [{"id": "q", "question": "2+3?", "samples": cell}])
    assert read(tmp_path / "cells.csv") == [("q", "2+3?", None, ["5", "6"])]


@pytest.mark.parametrize("cell", ["[__import__('os')]", "['5'] * 9", "[" * 400 + "]" * 400])
def test_a_cell_that_is_no_list_of_literals_is_refused(tmp_path: Path, cell: str):
    write_rows(tmp_path / "cells.csv", [{"id": "q", "question": "2+3?", "samples": cell}])
    with pytest.raises(DataError):
        read(tmp_path / "cells.csv")


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_cells_are_parted_by_what_parts_the_header(tmp_path: Path, mark: str):
    path = tmp_path / "r.csv"
    path.write_text(f'\ufeffquestion{mark}output\n2+3?{mark}"5, or 6; \n7"\n2+3?{mark}6\n')
    assert read(path) == [("0", "2+3?", None, ["5, or 6; \n7", "6"])]


def test_a_table_that_pandas_wrote_by_columns_is_read(tmp_path: Path):
    path = tmp_path / "r.json"
    path.write_text('{"question": {"0": "2+3?", "1": "2+3?"}, "response": {"0": "5", "1": "6"}}')
    assert read(path) == [("0", "2+3?", None, ["5", "6"])]


def test_an_array_of_sets_is_read(tmp_path: Path):
    path = tmp_path / "sets.json"
    path.write_text(json.dumps([{"id": "q", "question": "2+3?", "samples": ["5", "6"], "answer": 5}]))
    assert read(path) == [("q", "2+3?", "5", ["5", "6"])]


def test_the_greedy_run_beside_files_of_seeds_is_no_sample(tmp_path: Path):
    for name in ("output", "output-rs0", "output-rs1"):
        jsonl(tmp_path / f"{name}.jsonl", {"problem": "1+1?", "generation": name, "expected_answer": "2"})
    assert read(tmp_path) == [("0", "1+1?", "2", ["output-rs0", "output-rs1"])]


def test_a_greedy_run_alone_is_read(tmp_path: Path):
    jsonl(tmp_path / "output.jsonl", {"problem": "1+1?", "generation": "2"})
    assert read(tmp_path) == [("0", "1+1?", None, ["2"])]


def test_a_verl_dump_is_grouped_by_prompt_and_its_scores_are_not_read(tmp_path: Path):
    prompt = "system\nYou are Qwen.\nuser\n2+3?\nassistant\n"
    rows = [{"input": prompt, "output": text, "gts": "5", "score": 1.0, "step": 7} for text in ("5", "6")]
    (stored,) = read_sample_sets(jsonl(tmp_path / "7.jsonl", *rows))
    assert (stored.sample_set.question.text, stored.problem.answer) == ("2+3?", "5")
    assert [(one.text, dict(one.scores)) for one in stored.sample_set.samples] == [("5", {}), ("6", {})]


def test_a_verl_generation_is_read(tmp_path: Path):
    row = {
        "data_source": "gsm8k",
        "prompt": [{"role": "user", "content": "2+3?"}],
        "reward_model": {"style": "rule", "ground_truth": "5"},
        "extra_info": {"index": 12},
        "responses": ["5", "6"],
    }
    write_rows(tmp_path / "gen.parquet", [row])
    assert read(tmp_path / "gen.parquet") == [("12", "2+3?", "5", ["5", "6"])]


def test_passes_of_the_ssa_authors_are_joined_by_place(tmp_path: Path):
    for number, replies in enumerate([["5", "7\nassistant\nmore"], ["6", "8"]]):
        texts = [chat("2+3?", replies[0]), chat("3+4?", replies[1])]
        (tmp_path / f"answers_pass{number}_rank0.json").write_text(json.dumps(texts))
    assert read(tmp_path) == [("0", "2+3?", None, ["5", "6"]), ("1", "3+4?", None, ["7", "8"])]


def test_passes_over_other_questions_are_refused(tmp_path: Path):
    (tmp_path / "answers_pass0_rank0.json").write_text(json.dumps([chat("2+3?", "5")]))
    (tmp_path / "answers_pass1_rank0.json").write_text(json.dumps([chat("3+4?", "7")]))
    with pytest.raises(DataError, match="the same questions in the same order"):
        read(tmp_path)


def test_published_sets_of_the_ssa_authors_are_taken_apart(tmp_path: Path):
    samples = ["It is 5.\n\nAnswer 9:\nno", "6", "5"]
    text = "Question: 2+3?\n\nBelow are the proposed answers:"
    text += "".join(f"\n\nAnswer {place}:\n{sample}" for place, sample in enumerate(samples, 1))
    write_rows(tmp_path / "train.parquet", [{"question": text, "answer": "5"}])
    assert read(tmp_path / "train.parquet") == [("0", "2+3?", "5", samples)]


def shards(folder: Path, *splits: str) -> None:
    for split in splits:
        for place in range(2):
            row = {"id": f"{split}{place}", "question": f"{place}+1?", "samples": [str(place)]}
            write_rows(folder / f"data/{split}-0000{place}-of-00002.parquet", [row])
    (folder / "README.md").write_text("# a dataset")


def test_shards_of_the_hub_are_read_in_order(tmp_path: Path):
    shards(tmp_path, "test")
    assert [row[0] for row in read(tmp_path)] == ["test0", "test1"]


@pytest.mark.parametrize("layout", ["main/test-00000-of-00001.parquet", "test.parquet", "data/test.parquet"])
def test_other_layouts_of_the_hub_are_read_and_several_of_a_kind_are_refused(tmp_path: Path, layout: str):
    for index, name in enumerate((layout, layout.replace("main", "extra").replace("/test", "/train"))):
        name = name if "main" in layout or index == 0 else name.replace("test", "train")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_rows(tmp_path / name, [{"id": f"q{index}", "question": "1+1?", "samples": ["2"]}])
        if index == 0:
            assert read(tmp_path) == [("q0", "1+1?", None, ["2"])]
    with pytest.raises(DataError, match="several"):
        read(tmp_path)
    assert [row[0] for row in read(tmp_path / ("main" if "main" in layout else "test"))] == ["q0"]


def test_a_file_beside_one_that_is_named_after_a_split_is_read_with_it(tmp_path: Path):
    for name in ("test", "more"):
        jsonl(tmp_path / f"{name}.jsonl", {"id": name, "question": "1+1?", "samples": ["2"]})
    assert [row[0] for row in read(tmp_path)] == ["more", "test"]


def test_several_splits_are_refused_until_one_is_named(tmp_path: Path):
    shards(tmp_path, "test", "train")
    with pytest.raises(DataError, match="test, train"):
        read(tmp_path)
    assert [row[0] for row in read(tmp_path / "train")] == ["train0", "train1"]


def test_what_save_to_disk_wrote_is_read(tmp_path: Path):
    table = pa.table({"id": ["q"], "question": ["2+3?"], "samples": [["5", "6"]]})
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(tmp_path / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    (tmp_path / "dataset_info.json").write_text("{}")
    assert read(tmp_path) == [("q", "2+3?", None, ["5", "6"])]


def test_a_name_in_state_json_cannot_leave_the_folder(tmp_path: Path):
    jsonl(tmp_path / "secret.jsonl", {"question": "?", "samples": ["x"]})
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../secret.jsonl"}]}))
    with pytest.raises(InputNotFoundError, match="No file"):
        read(folder)


def test_problems_are_read_from_csv(tmp_path: Path):
    path = tmp_path / "problems.csv"
    path.write_text("id,question,answer\nq,2+3?,5\n")
    assert [(one.id, one.answer) for one in read_problems(path)] == [("q", "5")]


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.iterdir()))
def test_a_tools_own_file_is_recognised_by_one_format(name: str):
    formats = [FORMATS.get(one)() for one in FORMATS.names()]
    special = [one for one in formats if not one.general]
    assert sum(one.recognises(Source(FILES / name)) for one in special) == 1


def test_our_own_shape_is_taken_for_no_other(tmp_path: Path):
    rows = [
        {"id": "q", "question": "2+3?", "samples": ["5"], "doc": {}, "resps": [], "doc_id": 1, "text": "x"}
    ]
    path = jsonl(tmp_path / "ours.jsonl", *rows)
    assert recognised(Source(path)) is None
    assert SampleFile(path).form is None


def test_the_format_is_named():
    assert SampleFile(FILES / "inspect.eval").form == "inspect_ai log"


def test_columns_that_nothing_knows_are_listed(tmp_path: Path):
    path = jsonl(tmp_path / "odd.jsonl", {"a": "x", "b": "y"})
    with pytest.raises(MalformedRecordError, match=r"the columns here are a, b\. Name yours by --columns"):
        read(path)
