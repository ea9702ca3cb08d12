from pathlib import Path

import pytest
from typer.testing import CliRunner

from sampleset.cli.main import app
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.storage.files import read_problems, write_rows


def sample(*arguments: str, folder: Path) -> None:
    command = ["sample", *arguments, "--output-dir", str(folder / "store"), "-n", "1"]
    CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param(["gsm8k:tset"], InvalidArgumentError, id="split"),
        pytest.param(["gsm8k", "--data-dir", "/none"], InputNotFoundError, id="folder"),
        pytest.param(["rows.jsonl", "--columns", "question=input"], DataError, id="column"),
        pytest.param(["rows.jsonl", "--columns", "question=prompt,answer=work"], DataError, id="gold"),
        pytest.param(["rows.jsonl", "--columns", "prompt"], InvalidArgumentError, id="mapping"),
    ],
)
def test_bad_input_is_an_error_before_a_model_is_opened(
    arguments: list[str], error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_rows(Path("rows.jsonl"), [{"prompt": "1+1?", "work": "1+1=2\n#### 2"}])
    with pytest.raises(error):
        # No such model: opening it would be another error.
        sample(*arguments, "--model", "none.gguf", folder=tmp_path)
    assert not (tmp_path / "store").exists()


def test_a_mapped_file_and_a_named_dataset_reach_the_store(tmp_path: Path):
    write_rows(tmp_path / "draws.jsonl", [{"question": "1+1?", "samples": ["\\boxed{2}"]}])
    write_rows(tmp_path / "mine.jsonl", [{"prompt": "1+1?", "target": "2"}])
    sample(
        str(tmp_path / "mine.jsonl"),
        "--columns",
        "question=prompt,answer=target",
        "--model",
        f"replay:{tmp_path / 'draws.jsonl'}",
        folder=tmp_path,
    )
    (problem,) = read_problems(tmp_path / "store" / "problems.jsonl")
    assert (problem.question.text, problem.answer) == ("1+1?", "2")
    row = {"id": "gsm8k-test-0000", "question": "1+1?", "answer": "2", "solution": None}
    write_rows(tmp_path / "data" / "gsm8k" / "test.jsonl", [row])
    sample(
        "gsm8k",
        "--data-dir",
        str(tmp_path / "data"),
        "--model",
        f"replay:{tmp_path / 'draws.jsonl'}",
        folder=tmp_path / "named",
    )
    (problem,) = read_problems(tmp_path / "named" / "store" / "problems.jsonl")
    assert problem.id == "gsm8k-test-0000"


def test_shuffled_questions_are_spread_and_a_higher_limit_adds_to_them(tmp_path: Path):
    write_rows(tmp_path / "mine.jsonl", [{"question": f"1+{n}?", "answer": f"{n + 1}"} for n in range(40)])
    write_rows(tmp_path / "draws.jsonl", [{"question": f"1+{n}?", "samples": ["2"]} for n in range(40)])
    taken: dict[str, list[str]] = {}
    for name, *options in (
        ("first", "--limit", "10"),
        ("ten", "--limit", "10", "--shuffle", "0"),
        ("twenty", "--limit", "20", "--shuffle", "0"),
        ("other", "--limit", "10", "--shuffle", "1"),
        ("all", "--shuffle", "0"),
    ):
        model = f"replay:{tmp_path / 'draws.jsonl'}"
        sample(str(tmp_path / "mine.jsonl"), *options, "--model", model, folder=tmp_path / name)
        stored = read_problems(tmp_path / name / "store" / "problems.jsonl")
        taken[name] = [problem.question.text for problem in stored]
    assert taken["first"] == [f"1+{n}?" for n in range(10)]
    assert taken["twenty"][:10] == taken["ten"]
    assert taken["all"][:20] == taken["twenty"]
    assert len(set(taken["all"])) == 40
    assert any(one not in taken["first"] for one in taken["ten"])
    assert set(taken["ten"]) != set(taken["other"])
