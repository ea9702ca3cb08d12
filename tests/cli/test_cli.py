"""The command line as a user meets it: exit codes, one clear line per mistake, data on stdout."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from sampleset.storage.files import write_rows
from sampleset.storage.rows import read_rows
from support.command_line import Run
from support.stub_server import StubServer


@pytest.fixture
def sets_file(tmp_path: Path) -> Path:
    path = tmp_path / "sets.jsonl"
    rows = [
        {"id": "a", "question": "1+1?", "answer": "2", "samples": ["\\boxed{2}", "\\boxed{3}", "\\boxed{2}"]},
        {"id": "b", "question": "2+2?", "answer": "4", "samples": ["\\boxed{5}", "\\boxed{5}", "\\boxed{4}"]},
    ]
    write_rows(path, rows)
    return path


HEAVY = ["torch", "transformers", "pyarrow", "openai", "xllamacpp", "sympy", "numpy"]


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        pytest.param(["--help"], [*HEAVY, "pydantic", "sampleset.answers", "sampleset.storage"], id="help"),
        pytest.param(["list"], HEAVY, id="list"),
    ],
)
def test_importing_and_help_and_lists_load_nothing_heavy(arguments: list[str], heavy: list[str]):
    code = (
        "import sys, sampleset, sampleset.cli.main\n"
        "from typer.testing import CliRunner\n"
        f"assert CliRunner().invoke(sampleset.cli.main.app, {arguments!r}).exit_code == 0\n"
        f"sys.exit(', '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_runs_with_the_collection_of_garbage():
    code = (
        "import gc, sys; from sampleset.cli.main import main\n"
        "main.__globals__['app'] = lambda **options: print(gc.isenabled())\n"
        "main()\n"
        "from sampleset.cli.parameters import spread_out\n"
        "spread_out(lambda: print(gc.isenabled()))()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_an_answer_without_a_promise_loads_neither_numpy_nor_the_evaluation(sets_file: Path):
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from sampleset.cli.main import app\n"
        f"done = CliRunner().invoke(app, ['answer', '1+1?', '-k', '3', '--model', 'replay:{sets_file}'])\n"
        "assert done.exit_code == 0, done.output\n"
        "sys.exit(', '.join({'numpy', 'sampleset.evaluation', 'torch', 'aiohttp'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_has_a_help_page(run: Run):
    for command in ("demo", "answer", "sample", "aggregate", "evaluate", "list"):
        code, out, _ = run(command, "--help")
        assert code == 0
        assert "Usage" in out


def test_the_version_is_printed(run: Run):
    assert run("--version")[1] == "0.2.0\n"


def test_a_list_fits_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = run("list", "aggregators")[1].splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("auto   ")


def test_list_names_what_there_is(run: Run):
    code, out, _ = run("list", "aggregators")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "auto",
        "best_of_n",
        "calculator",
        "certified",
        "confident",
        "first_sample",
        "generative_self_aggregation",
        "guarded",
        "learned_vote",
        "llm_aggregator",
        "majority_vote",
        "mixture_of_agents",
        "pairwise_knockout",
        "rank_then_fuse",
        "recursive",
        "ssa",
        "two_stage",
        "universal_self_consistency",
        "weighted_vote",
    ]
    assert set(json.loads(run("list", "--json")[1])) == {
        "aggregators",
        "backends",
        "datasets",
        "formats",
        "models",
        "reward-models",
    }


def test_an_answer_goes_to_stdout_alone(run: Run, sets_file: Path):
    code, out, _ = run("answer", "1+1?", "--model", f"replay:{sets_file}", "-k", 3)
    assert (code, out) == (0, "2\n")


def test_samples_of_another_model_than_the_embedded_one_are_voted_on(run: Run, sets_file: Path):
    code, out, _ = run("answer", "1+1?", "--model", f"replay:{sets_file}", "-k", 3, "--json")
    assert (code, json.loads(out)["aggregator"]) == (0, "majority_vote")


def test_an_answer_as_json_holds_samples_and_usage(run: Run, sets_file: Path):
    row = json.loads(run("answer", "1+1?", "--model", f"replay:{sets_file}", "-k", 3, "--json")[1])
    assert row["answer"] == "2"
    assert row["candidates"] == [
        {"answer": "2", "votes": 2, "indices": [0, 2]},
        {"answer": "3", "votes": 1, "indices": [1]},
    ]
    assert [sample["text"] for sample in row["samples"]] == ["\\boxed{2}", "\\boxed{3}", "\\boxed{2}"]
    assert row["usage"]["sampling"]["calls"] == 3


def test_samples_are_shown_side_by_side_on_request(run: Run, sets_file: Path):
    out = run("answer", "1+1?", "--model", f"replay:{sets_file}", "-k", 3, "--show")[1]
    assert "sample 3" in out
    assert "answer: 3" in out


def test_a_question_can_come_from_stdin(run: Run, sets_file: Path, monkeypatch: pytest.MonkeyPatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("2+2?"))
    assert run("answer", "-", "--model", f"replay:{sets_file}", "-k", 3)[1] == "5\n"


def test_sampling_goes_on_where_it_stopped(run: Run, problems_file: Path, tmp_path: Path):
    with StubServer() as server:
        common = (
            "--base-url",
            server.base_url,
            "--model",
            server.models[0],
            "--output-dir",
            tmp_path / "store",
        )
        code, out, _ = run("sample", problems_file, *common, "-n", 2, "--limit", 3, "--json")
        assert code == 0
        assert json.loads(out)["drawn_now"] == 6
        out = run("sample", problems_file, *common, "-n", 3, "--json")[1]
        assert (json.loads(out)["drawn_now"], json.loads(out)["from_store"]) == (12, 6)
        assert len(server.requests) == 18


def test_a_store_can_be_exported_aggregated_and_evaluated(run: Run, problems_file: Path, tmp_path: Path):
    store, exported = tmp_path / "store", tmp_path / "sets.parquet"
    with StubServer() as server:
        run("sample", problems_file, "--base-url", server.base_url, "--model", server.models[0], "-n", 3,
            "--output-dir", store, "--export", exported)  # fmt: skip
    for source in (store, exported):
        code, out, _ = run("aggregate", source)
        assert code == 0
        assert [json.loads(line)["id"] for line in out.splitlines()] == [f"p{number}" for number in range(6)]
    code, out, _ = run("evaluate", store, exported, "--output-dir", tmp_path / "report", "--json")
    assert code == 0
    one, two = (file["points"][0]["methods"] for file in json.loads(out)["files"])
    assert [method["accuracy"] for method in one] == [method["accuracy"] for method in two]
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.json", "report.md", "report.html", "config.json", "questions.jsonl"} <= names


def test_a_report_is_printed_again_and_compared_with_another(run: Run, sets_file: Path, tmp_path: Path):
    for name, k in (("a", 1), ("b", 3)):
        assert run("evaluate", sets_file, "-k", f"1,{k}", "--output-dir", tmp_path / name)[0] == 0
    (tmp_path / "a" / "report.html").unlink()
    code, out, _ = run("report", tmp_path / "a")
    assert code == 0
    assert "majority_vote" in out
    assert (tmp_path / "a" / "report.html").exists()
    code, out, _ = run("report", tmp_path / "a", tmp_path / "b", "--json", "--output-dir", tmp_path / "c")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "c" / "comparison.json").read_text())
    code, _, err = run("report", tmp_path)
    assert code == 2
    assert "report.json" in err


def test_the_key_is_saved_nowhere(run: Run, problems_file: Path, tmp_path: Path):
    with StubServer(api_key="sk-secret") as server:
        code, _, _ = run("sample", problems_file, "--base-url", server.base_url, "--model", server.models[0],
                         "--api-key", "sk-secret", "--output-dir", tmp_path / "store")  # fmt: skip
    assert code == 0
    for path in (tmp_path / "store").iterdir():
        assert b"sk-secret" not in path.read_bytes()


def test_answers_of_aggregate_are_logged_and_not_asked_for_again(run: Run, sets_file: Path, tmp_path: Path):
    with StubServer() as server:
        command = ("aggregate", sets_file, "--aggregator", "llm_aggregator:mode=direct", "--aggregator-model",
                   server.models[0], "--aggregator-base-url", server.base_url,
                   "--output-dir", tmp_path / "out")  # fmt: skip
        assert run(*command)[0] == 0
        assert run(*command)[0] == 0
        assert len(server.requests) == 2
    assert len(list(read_rows(tmp_path / "out" / "answers.jsonl"))) == 2


def test_settings_come_from_file_environment_and_flags_in_that_order(
    run: Run, sets_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tmp_path / "settings.yaml"
    config.write_text("seed: 1\nevaluate:\n  k: 2\n  aggregator: [first_sample]\n")

    def resolved(*more: object) -> dict[str, object]:
        folder = tmp_path / "report"
        assert run("evaluate", sets_file, "--config", config, "--output-dir", folder, *more)[0] == 0
        return json.loads((folder / "config.json").read_text())

    assert {key: resolved()[key] for key in ("seed", "k", "aggregator")} == {
        "seed": 1,
        "k": "2",
        "aggregator": ["first_sample"],
    }
    assert resolved("--set", "evaluate.k=1")["k"] == "1"
    monkeypatch.setenv("SAMPLESET_K", "3")
    assert resolved("--set", "evaluate.k=1")["k"] == "3"
    assert resolved("-k", 2)["k"] == "2"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["aggregate", "{sets}", "--aggregator", "majorty_vote"], 2,
                     "Did you mean 'majority_vote'?", id="unknown aggregator"),
        pytest.param(["sample", "gsm8", "--output-dir", "{out}"], 2, "No dataset named 'gsm8'", id="dataset"),
        pytest.param(["list", "agregators"], 2, "Did you mean 'aggregators'?", id="unknown kind"),
        pytest.param(["evaluate", "none.jsonl"], 2, "No file or folder 'none.jsonl'", id="missing file"),
        pytest.param(["sample", "none.jsonl", "--output-dir", "{out}"], 2, "No file", id="problems"),
        pytest.param(["evaluate", "{empty}"], 2, "no sample sets in this file", id="empty file"),
        pytest.param(["evaluate", "{sets}", "-k", "9"], 2, "k=9 is above the 3 samples", id="k above n"),
        pytest.param(["aggregate", "{sets}", "-k", "9"], 2, "k=9 must lie between 1 and 3", id="aggregate k"),
        pytest.param(["evaluate", "{sets}", "-k", "5-3"], 2, "'5-3' must rise", id="falling k"),
        pytest.param(["evaluate", "{sets}", "{sets}"], 2, "have the same name", id="twice the same"),
        pytest.param(["evaluate", "{sets}", "--prices", "no.yaml"], 2, "No price file", id="no prices"),
        pytest.param(["evaluate", "{sets}", "--subsets", "0"], 2, "subsets=0", id="no subsets"),
        pytest.param(["evaluate", "{sets}", "--columns", "samples=out"], 2, "no column 'out'", id="columns"),
        pytest.param(["evaluate", "{broken}"], 2, ":2: not JSON", id="malformed line"),
        pytest.param(["evaluate", "{goldless}"], 2, "has a gold answer", id="no gold"),
        pytest.param(["answer", "?", "--model", "gpt"], 2, "give --base-url URL", id="no server named"),
        pytest.param(["answer", "?", "--model", "./none.gguf"], 2, "none.gguf", id="no such model file"),
        pytest.param(["answer", " "], 2, "The question is empty", id="empty question"),
        pytest.param(["answer", "?", "--model", "gpt", "--base-url", "http://127.0.0.1:9/v1"], 1,
                     "http://127.0.0.1:9/v1", id="unreachable server"),
        pytest.param(["answer", "?", "--base-url", "http://127.0.0.1:9/v1"], 2, "runs in this process",
                     id="server without a model name"),
        pytest.param(["answer", "?", "-k", "0", "--model", "replay:{sets}"], 2,
                     "-k or -n 0: give 1 or more", id="no samples"),
        pytest.param(["serve", "--model", "embedded", "-k", "0"], 2, "k=0: give 1 or more", id="serve none"),
        pytest.param(["serve", "--model", "embedded", "--host", ""], 2, "host='' names no", id="no host"),
        pytest.param(["answer", "?", "--set", "tempratur=1"], 2, "Did you mean 'temperature'", id="setting"),
        pytest.param(["evaluate", "{sets}", "--configuration", "ab"], 2, "is not a store", id="no store"),
        pytest.param(["evaluate", "{sets}", "--limit", "0"], 2, "limit=0", id="limit"),
        pytest.param(["evaluate", "{scored}", "--aggregator", "best_of_n:by=rm_score"], 2,
                     "Scores there: rm_scores.", id="another score"),
        pytest.param(["aggregate", "{scored}", "--aggregator", "guarded:inner=best_of_n[by=agg_score]"], 2,
                     "a score named 'agg_score'", id="another score within a method"),
        pytest.param(["calibrate", "nosuch", "rows.jsonl"], 2, "No folder 'nosuch'", id="no checkpoint"),
        pytest.param(["evaluate", "{sets}", "--output-dir", "{sets}/in"], 1, "sets.jsonl", id="folder"),
    ],
)  # fmt: skip
def test_a_mistake_costs_one_line_and_no_traceback(
    run: Run, sets_file: Path, tmp_path: Path, arguments: list[str], code: int, says: str
):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "broken.jsonl").write_text('{"question": "?", "samples": ["2"]}\n{"question"\n')
    (tmp_path / "goldless.jsonl").write_text('{"question": "?", "samples": ["2"]}\n')
    (tmp_path / "scored.jsonl").write_text(
        '{"question": "?", "answer": "2", "samples": ["2"], "rm_scores": [1]}\n'
    )
    places = {name: tmp_path / f"{name}.jsonl" for name in ("empty", "broken", "goldless", "scored")}
    filled = [one.format(sets=sets_file, out=tmp_path / "out", **places) for one in arguments]
    given, out, err = run(*filled)
    assert says in err
    assert given == code
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("behaviour", "arguments", "says"),
    [
        pytest.param({"api_key": "right"}, ["--api-key", "wrong"], "refuses the API key", id="401"),
        pytest.param({}, ["--model", "stub-modle"], "Did you mean", id="unknown model"),
    ],
)
def test_a_server_that_refuses_costs_one_line(run: Run, behaviour, arguments: list[str], says: str):
    with StubServer(**behaviour) as server:
        command = ["answer", "?", "--base-url", server.base_url, "--model", server.models[0], *arguments]
        code, _, err = run(*command)
    assert code in (1, 2)
    assert says in err
    assert "wrong" not in err
    assert err.count("\n") == 1


def test_one_text_for_every_seed_is_warned_about(run: Run, sets_file: Path, tmp_path: Path):
    same = tmp_path / "same.jsonl"
    write_rows(same, [{"question": "1+1?", "samples": ["\\boxed{2}"] * 3}])
    code, out, err = run("answer", "1+1?", "--model", f"replay:{same}", "-k", 3)
    assert (code, out) == (0, "2\n")
    assert "ignore the seed" in err


def test_no_answer_at_all_is_a_failure(run: Run, tmp_path: Path):
    vague = tmp_path / "vague.jsonl"
    write_rows(vague, [{"question": "1+1?", "samples": ["hard to say"]}])
    code, out, _ = run("answer", "1+1?", "--model", f"replay:{vague}", "-k", 1)
    assert (code, out) == (1, "(no answer)\n")


def test_an_interrupt_keeps_what_was_drawn_and_says_how_to_go_on(problems_file: Path, tmp_path: Path):
    with StubServer(latency=0.5) as server:
        command = [sys.executable, "-m", "sampleset", "sample", str(problems_file), "-n", "500",
                   "--output-dir", str(tmp_path / "store"), "--base-url", server.base_url,
                   "--model", "stub-model"]  # fmt: skip
        # Where the tests run in the background of a shell, a child would be told to ignore the signal.
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
            while len(server.requests) < 20:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "run the same command again" in err
    assert "Traceback" not in err
    assert len(list(read_rows(tmp_path / "store" / "samples.jsonl"))) > 0


def test_every_command_has_an_example_and_names_the_next():
    from sampleset.cli.menu import COMMANDS, _module

    for name, entry in COMMANDS.items():
        module = _module(name, entry)
        assert module.EXAMPLE.startswith(f"sampleset {name}"), name
        # Servers end by a signal, and nothing follows.
        assert name in ("serve", "mcp") or ".next(" in Path(str(module.__file__)).read_text(), name
