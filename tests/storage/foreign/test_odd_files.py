"""Files as spreadsheets and shells leave them: encodings, marks between cells, names of columns."""

import gzip
import io
import json
import os
import shutil
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from sampleset.errors import DataError, InputNotFoundError
from sampleset.storage.files import read_problems, read_sample_sets
from sampleset.storage.foreign.base import Source, gold_of, recognised
from sampleset.storage.pipes import regular_file, stdin_file
from sampleset.storage.rows import read_rows

FILES = Path(__file__).parent / "files"


def read(path: Path, **columns: str) -> list[tuple[str, str, str | None, list[str]]]:
    return [
        (
            stored.sample_set.id,
            stored.sample_set.question.text,
            stored.problem.answer,
            [sample.text for sample in stored.sample_set.samples],
        )
        for stored in read_sample_sets(path, columns)
    ]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


TABLE = 'question,answer,output\nOù est l’été? 2+3?,5,"so, 5"\nOù est l’été? 2+3?,5,6\n'
SETS = [("0", "Où est l’été? 2+3?", "5", ["so, 5", "6"])]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_a_table_is_read_in_the_encoding_that_it_has(tmp_path: Path, encoding: str):
    (tmp_path / "r.csv").write_bytes(TABLE.encode(encoding))
    assert read(tmp_path / "r.csv") == SETS
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(TABLE.encode(encoding)))
    assert read(tmp_path / "r.csv.gz") == SETS


def test_a_stray_byte_of_windows_does_not_spoil_the_text_around_it(tmp_path: Path):
    (tmp_path / "r.csv").write_bytes("question,output\nété ".encode() + b"\xe9t\xe9?,5\n")
    assert read(tmp_path / "r.csv")[0][1] == "été été?"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["r.jsonl", "r.json"])
def test_json_lines_are_read_as_powershell_writes_them(tmp_path: Path, name: str, encoding: str):
    row = {"question": "Où?\u2028", "answer": "5", "samples": ["5", "é"]}
    line = json.dumps(row, ensure_ascii=False) + "\r\n"
    (tmp_path / name).write_bytes((line * 2).encode(encoding))
    assert [content for _, content in read_rows(tmp_path / name)] == [row, row]


def test_utf_16_that_is_cut_short_is_said_to_be_damaged(tmp_path: Path):
    (tmp_path / "r.jsonl").write_bytes('{"question": "é"}\n'.encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"r\.jsonl"):
        read(tmp_path / "r.jsonl")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('sep=;\nquestion;output\n2+3?;"5;"\n', id="Excel's line of the mark"),
        pytest.param('\n\r\nquestion,output\n2+3?,"5;"\n', id="blank lines before the header"),
        pytest.param('question|output\n2+3?|"5;"\n', id="bars"),
        pytest.param('"a, b";question;output\n1;2+3?;"5;"\n', id="a comma in a quoted name"),
        pytest.param('id, question, output\n1, 2+3?, "5;"\n', id="a space behind each mark"),
        pytest.param('"question" ,"output" \n"2+3?" , "5;" \n', id="spaces behind closing quotes"),
        pytest.param('question,output,note\n2+3?,"5;" ,"he said ""no"" , twice"\n', id="quotes in a cell"),
        pytest.param("| question | output |\n|---|:--|\n| 2+3? | 5; |\n", id="a table of Markdown"),
        pytest.param('question,output,output\n2+3?,"5;","5;"\n', id="a column twice"),
        pytest.param(' question ,Output\n2+3?,"5;"\n', id="names with spaces and capitals"),
        pytest.param(
            'question,output,,\r2+3?,"5;",,\r', id="lines that end in a return, empty cells at the end"
        ),
    ],
)
def test_dialects_of_tables_are_read(tmp_path: Path, text: str):
    (tmp_path / "r.csv").write_text(text)
    assert [(question, samples) for _, question, _, samples in read(tmp_path / "r.csv")] == [("2+3?", ["5;"])]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("r.jsonl", b"PAR1\x15", r"not text; let its name end in \.parquet", id="parquet"),
        pytest.param("r.csv", b"PK\x03\x04\x14", "a workbook; .* save the sheet as CSV", id="a workbook"),
        pytest.param("r.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", id="LFS"),
        pytest.param("r.csv", b"\n<!DOCTYPE html><html>", "a page of HTML", id="a page"),
    ],
)
def test_a_file_that_holds_something_else_than_its_name_says_is_told(
    tmp_path: Path, name: str, content: bytes, message: str
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_under_the_name_of_lines_is_read(tmp_path: Path, indent: int | None):
    rows = [{"question": "2+3?", "output": "5"}, {"question": "3+4?", "output": "7"}]
    (tmp_path / "r.jsonl").write_text(json.dumps(rows, indent=indent))
    assert [row for _, row in read_rows(tmp_path / "r.jsonl")] == rows


def test_a_space_at_the_start_of_a_cell_is_part_of_it(tmp_path: Path):
    (tmp_path / "r.csv").write_text("question,output\n2+3?, 5\n")
    assert read(tmp_path / "r.csv")[0][3] == [" 5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('question,output\n2+3?,"say \\"5\\""\n', r"r\.csv:2: .*written twice", id="backslashes"),
        pytest.param('question,output\n2+3?,"5\n', r"r\.csv:2: .*closed", id="a cell that is not closed"),
        pytest.param(
            "question,output,output\n2+3?,5,6\n", r"r\.csv:2: two columns .* 'output'", id="a name twice"
        ),
        pytest.param(
            "question,output\n2+3?,5, so\n", r"r\.csv:2: 3 cells under a header of 2", id="a bare comma"
        ),
    ],
)
def test_a_row_whose_cells_would_shift_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "r.csv")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(TABLE.encode()), id="a gzipped table"),
        pytest.param(TABLE.encode("utf-16"), id="a table in UTF-16"),
        pytest.param(
            gzip.compress(
                json.dumps([{"question": SETS[0][1], "answer": 5, "samples": SETS[0][3]}]).encode()
            ),
            id="a gzipped array",
        ),
    ],
)
def test_what_comes_in_on_stdin_is_recognised(monkeypatch: pytest.MonkeyPatch, content: bytes):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    stdin_file.cache_clear()
    assert read(stdin_file()) == SETS


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            {"testCases": [{"input": "2+3?", "actualOutput": "so 5", "expectedOutput": "5"}]}, id="DeepEval"
        ),
        pytest.param([{"user_input": "2+3?", "response": "so 5", "reference": "5"}], id="Ragas"),
        pytest.param(
            {
                "0": {
                    "origin_prompt": [{"role": "SYSTEM", "prompt": "s"}, {"role": "HUMAN", "prompt": "2+3?"}],
                    "prediction": "so 5",
                    "gold": "5",
                }
            },
            id="OpenCompass",
        ),
        pytest.param(
            {"columns": ["query", "output", "groundTruth"], "data": [["2+3?", "so 5", "5"]]}, id="MLflow"
        ),
    ],
)
def test_results_of_other_evaluations_are_read(tmp_path: Path, document: object):
    (tmp_path / "r.json").write_text(json.dumps(document))
    assert [entry[1:] for entry in read(tmp_path / "r.json")] == [("2+3?", "5", ["so 5"])]


def test_a_pipe_of_the_shell_is_read_as_often_as_a_file():
    reader, writer = os.pipe()
    os.write(writer, gzip.compress(json.dumps({"question": "2+3?", "samples": ["5", "6"]}).encode()))
    os.close(writer)
    pipe = Path(f"/dev/fd/{reader}")
    assert read(regular_file(pipe)) == read(regular_file(pipe)) == [("0", "2+3?", None, ["5", "6"])]
    os.close(reader)


def test_another_pipe_is_named_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "sets.jsonl")
    with pytest.raises(InputNotFoundError, match="is a pipe or a device"):
        read(regular_file(tmp_path / "sets.jsonl"))


@pytest.mark.parametrize(
    ("last", "message"),
    [
        pytest.param('{"question": "1+', "the file ends within this line", id="cut off"),
        pytest.param('{"question": ' + "9" * 5000 + "}\n", "a number has thousands of digits", id="digits"),
        pytest.param('{"a": 1}{"a": 2}', r"Extra data: .*\)\.$", id="two objects"),
    ],
)
def test_a_line_that_is_no_json_is_told_with_what_it_lacks(tmp_path: Path, last: str, message: str):
    path = tmp_path / "r.jsonl"
    path.write_text('{"question": "1+1?", "samples": ["2"]}\n' + last)
    with pytest.raises(DataError, match=message):
        list(read_rows(path))


def test_a_stream_of_arrow_comes_in_on_stdin(monkeypatch: pytest.MonkeyPatch):
    table = pa.table({"question": ["2+3?"], "samples": [["5", "6"]]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sink.getvalue())))
    stdin_file.cache_clear()
    assert read(stdin_file()) == [("0", "2+3?", None, ["5", "6"])]


@pytest.mark.parametrize(
    "row",
    [
        {"Question": "2+3?", "Expected Answer": "5", "Response": "5"},
        {"PROBLEM": "2+3?", "Ground-Truth": 5.0, "Model Output": "5"},
        {"problem_statement": "2+3?", "reference_answers": ["5", "five"], "raw_output": "5"},
        {"Prompt": "2+3?", "gts": '["5"]', "Completions": ["5"]},
        {"question": "2+3?", "answer": None, "gold": 5, "samples": ["5"]},
        {"question": "2+3?", "answer": ["5"], "samples": ["5"]},
        {"question": "2+3?", "answer": '["5"]', "samples": ["5"]},
        {"question": "2+3?", "solution": r"It is \boxed{5}.", "samples": ["5"]},
    ],
)
def test_names_that_people_give_columns_are_known(tmp_path: Path, row: dict[str, Any]):
    assert read(jsonl(tmp_path / "r.jsonl", row)) == [("0", "2+3?", "5", ["5"])]


def test_a_column_of_our_name_goes_before_one_in_another_spelling(tmp_path: Path):
    row = {"Question": "another", "question": "2+3?", "samples": ["5"]}
    assert read(jsonl(tmp_path / "r.jsonl", row))[0][1] == "2+3?"


def test_a_mapped_column_is_named_as_the_file_writes_it(tmp_path: Path):
    path = jsonl(tmp_path / "r.jsonl", {"Question": "2+3?", "Gold": "7", "Answer": "5", "Response": "5"})
    assert read(path, question="Question", answer="Answer") == [("0", "2+3?", "5", ["5"])]


def test_problems_are_read_under_names_in_capitals(tmp_path: Path):
    (tmp_path / "p.csv").write_text("ID;Question;Answer\n7;2+3?;5\n")
    assert [(one.id, one.question.text, one.answer) for one in read_problems(tmp_path / "p.csv")] == [
        ("7", "2+3?", "5")
    ]


def test_a_list_that_is_the_answer_itself_stays_one(tmp_path: Path):
    assert gold_of({"answer": "[1, 2]"}) == "[1, 2]"
    row = {"question": "f()?", "answer": '["5"]', "answer_kind": "text", "samples": ["5"]}
    assert read(jsonl(tmp_path / "r.jsonl", row))[0][2] == '["5"]'


def test_all_of_several_right_options_are_the_gold_answer():
    assert gold_of({"answer": ["A", "C"], "choices": ["x", "y", "z"]}) == "A, C"


def test_a_decimal_gold_answer_is_read(tmp_path: Path):
    table = pa.table(
        {"question": ["a?", "b?"], "answer": [Decimal("0.50"), Decimal("7.00")], "output": ["1", "2"]}
    )
    parquet.write_table(table, tmp_path / "r.parquet")
    assert [gold for _, _, gold, _ in read(tmp_path / "r.parquet")] == ["0.50", "7.00"]


def test_rows_in_a_shuffled_order_stand_by_their_index(tmp_path: Path):
    rows = [(0, 2), (1, 1), (0, 0), (1, 0), (0, 1)]
    path = jsonl(
        tmp_path / "r.jsonl",
        *({"id": q, "question": f"{q}?", "sample_index": i, "output": f"{q}.{i}"} for q, i in rows),
    )
    assert [samples for *_, samples in read(path)] == [["0.0", "0.1", "0.2"], ["1.0", "1.1"]]


def test_rows_whose_index_is_that_of_the_question_stay_as_they_are(tmp_path: Path):
    path = jsonl(
        tmp_path / "r.jsonl", *({"question": "a?", "index": 3, "output": text} for text in ("b", "a"))
    )
    assert read(path)[0][3] == ["b", "a"]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"question": ["a?", "b?"], "samples": [["1", "2"], ["3", "4"]]}, id="columns of lists"),
        pytest.param({"metrics": [{"acc": 1}], "rows": [{"question": "a?", "samples": ["1", "2"]},
                      {"question": "b?", "samples": ["3", "4"]}]}, id="beside another list"),
    ],
)  # fmt: skip
def test_documents_of_json_are_read(tmp_path: Path, document: dict[str, Any]):
    (tmp_path / "r.json").write_text(json.dumps(document))
    assert read(tmp_path / "r.json") == [("0", "a?", None, ["1", "2"]), ("1", "b?", None, ["3", "4"])]


def test_samples_under_the_text_of_a_question_are_read(tmp_path: Path):
    (tmp_path / "r.json").write_text(json.dumps({"What is a?": ["1", "2"], "What is b?": ["3"]}))
    assert read(tmp_path / "r.json") == [
        ("0", "What is a?", None, ["1", "2"]),
        ("1", "What is b?", None, ["3"]),
    ]


@pytest.mark.parametrize("name", ["Answer {}", "model_output_{}", "run{}", "Attempt-{}"])
def test_numbered_columns_of_other_names_are_read_with_their_gold_answer(tmp_path: Path, name: str):
    row = {"id": "x", "Question": "2+3?", "gold": "5", name.format(2): "6", name.format(1): "5"}
    path = jsonl(tmp_path / "r.jsonl", row)
    assert read(path) == [("x", "2+3?", "5", ["5", "6"])]
    form = recognised(Source(path))
    assert form is not None
    assert form.title == "one column a sample"


def placed(source: str, *parts: str | Path) -> None:
    target = Path(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(FILES / source, target)


LM_EVAL = "samples_sums_2026-11-28T21-37-59.878450.jsonl"


def test_the_output_folder_of_lm_eval_is_read_as_it_stands(tmp_path: Path):
    placed(LM_EVAL, tmp_path / "org__model" / LM_EVAL)
    (tmp_path / "org__model" / "results_2026.json").write_text("{}")
    assert [identity for identity, *_ in read(tmp_path)] == ["0", "1"]


def test_the_output_folder_of_lighteval_is_read_without_its_results(tmp_path: Path):
    placed("lighteval_0_13.parquet", tmp_path / "details" / "model" / "2026-11-28" / "details_a.parquet")
    (tmp_path / "results" / "model").mkdir(parents=True)
    (tmp_path / "results" / "model" / "results_2026.json").write_text("{}")
    assert read(tmp_path) == read(FILES / "lighteval_0_13.parquet")


def test_runs_of_a_task_are_samples_of_the_same_questions(tmp_path: Path):
    for date in ("2026-01-01T00-00-00", "2026-01-02T00-00-00"):
        placed(LM_EVAL, tmp_path / f"samples_sums_{date}.jsonl")
    assert [(identity, len(samples)) for identity, _, _, samples in read(tmp_path)] == [("0", 6), ("1", 6)]


def test_runs_of_a_task_with_other_questions_are_refused(tmp_path: Path):
    placed(LM_EVAL, tmp_path / "samples_sums_1.jsonl")
    text = (FILES / LM_EVAL).read_text().replace("2+3", "2+9")
    (tmp_path / "samples_sums_2.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"samples_sums_2.*another question than in samples_sums_1"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["seed{}", "run_{}", "seed={}"])
def test_folders_that_a_number_tells_apart_are_read_together(tmp_path: Path, name: str):
    for seed in (10, 2):
        (tmp_path / name.format(seed)).mkdir()
        jsonl(tmp_path / name.format(seed) / "output.jsonl", {"question": "2+3?", "output": str(seed)})
    assert read(tmp_path) == [("0", "2+3?", None, ["2", "10"])]


def test_folders_of_other_names_are_listed_and_an_empty_one_is_refused(tmp_path: Path):
    for model in ("qwen", "llama"):
        (tmp_path / model).mkdir()
        jsonl(tmp_path / model / "output.jsonl", {"question": "2+3?", "output": "5"})
    with pytest.raises(DataError, match=r"several folders with rows \(llama, qwen\)"):
        read(tmp_path)
    assert len(read(tmp_path / "llama")) == 1
    (tmp_path / "none" / "within").mkdir(parents=True)
    with pytest.raises(InputNotFoundError, match="none"):
        read(tmp_path / "none")


@pytest.mark.parametrize("name", ["output.jsonl", "output-greedy.jsonl", "output_chunk_0.jsonl"])
def test_what_stands_beside_files_of_seeds_is_no_sample(tmp_path: Path, name: str):
    for file in ("output-rs0.jsonl", "output-rs1_chunk_0.jsonl", name):
        jsonl(tmp_path / file, {"problem": "2+3?", "generation": file})
    assert read(tmp_path)[0][3] == ["output-rs0.jsonl", "output-rs1_chunk_0.jsonl"]


@pytest.mark.parametrize("gold", ["5", 5, ["5", "five"], '["5"]'])
def test_the_gold_answer_of_verl_may_be_a_list_or_the_json_of_one(tmp_path: Path, gold: Any):
    generated = {"prompt": "2+3?", "responses": ["5"], "reward_model": {"ground_truth": gold}}
    dumped = {"input": "2+3?", "output": "5", "score": 1.0, "gts": gold}
    for row in (generated, dumped):
        assert read(jsonl(tmp_path / "r.jsonl", row)) == [("0", "2+3?", "5", ["5"])]
