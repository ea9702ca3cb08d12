"""Stopping early, caps and pools on the command line."""

import json
from pathlib import Path

import pytest

from sampleset.storage.files import write_rows
from sampleset.storage.rows import read_rows
from sampleset.storage.store import SampleStore
from sampleset.types import Problem, Question
from support.command_line import Run
from support.stub_server import StubServer


@pytest.fixture
def sets_file(tmp_path: Path) -> Path:
    """One question on which all agree, one that is contested."""
    path = tmp_path / "sets.jsonl"
    texts = [[f"\\boxed{{{answer}}} ({place})" for place, answer in enumerate(row)] for row in
             ("22222222", "45454546")]  # fmt: skip
    write_rows(path, [
        {"id": "a", "question": "1+1?", "answer": "2", "samples": texts[0]},
        {"id": "b", "question": "2+2?", "answer": "4", "samples": texts[1]},
    ])  # fmt: skip
    return path


def test_sampling_stops_early_and_later_commands_read_the_sets_whole(
    run: Run, sets_file: Path, tmp_path: Path
):
    store, exported = tmp_path / "store", tmp_path / "out.jsonl"
    code, out, _ = run("sample", sets_file, "--model", f"replay:{sets_file}", "-n", 8, "--stop", "beta:0.95",
                       "--output-dir", store, "--export", exported, "--json")  # fmt: skip
    summary = json.loads(out)
    assert code == 0
    assert (summary["drawn_now"], summary["stopped_early"], summary["not_needed"]) == (12, 1, 4)
    assert [len(row["samples"]) for _, row in read_rows(exported)] == [4, 8]
    for source in (store, exported):
        code, out, _ = run("aggregate", source, "-k", 8)
        assert [len(json.loads(line)["candidates"]) for line in out.splitlines()] == [1, 3]
        out = run("evaluate", source, "-k", 8, "--json", "--output-dir", tmp_path / "report")[1]
        (file,) = json.loads(out)["files"]
        (point,) = file["points"]
        assert (file["stopped"], point["problems"], point["left_out"]) == (1, 2, 0)
        assert point["sampling"]["calls"] == 6
        assert point["methods"][0]["accuracy"] == 1
        default = json.loads(run("evaluate", source, "--json", "--output-dir", tmp_path / "report")[1])
        assert default["files"][0]["points"][0]["k"] == 8


def test_a_set_that_is_short_for_another_reason_still_limits_k(run: Run, tmp_path: Path):
    path = tmp_path / "short.jsonl"
    write_rows(path, [{"id": "a", "question": "?", "answer": "2", "samples": ["2", "2"]},
                      {"id": "b", "question": "!", "answer": "2", "samples": ["2", "2", "2"]}])  # fmt: skip
    assert run("aggregate", path, "-k", 3)[0] == 2


def test_an_aggregator_is_asked_only_where_the_vote_is_not_settled(run: Run, sets_file: Path):
    with StubServer() as server:
        common = ("--model", f"replay:{sets_file}", "-k", 8, "--aggregator", "llm_aggregator:mode=direct",
                  "--aggregator-model", server.models[0], "--aggregator-base-url", server.base_url,
                  "--stop", "beta:0.95", "--settled-by-vote", "--json")  # fmt: skip
        settled = json.loads(run("answer", "1+1?", *common)[1])
        assert server.requests == []
        assert settled["answer"] == "2"
        assert {"settled_by_vote", "stopped_early"} <= set(settled["flags"])
        assert settled["usage"]["sampling"]["calls"] == 4
        contested = json.loads(run("answer", "2+2?", *common)[1])
        assert len(server.requests) == 1
        assert "settled_by_vote" not in contested["flags"]


def test_a_cap_of_the_run_is_kept_and_said(run: Run, problems_file: Path, tmp_path: Path):
    with StubServer() as server:
        command = ("sample", problems_file, "--base-url", server.base_url, "--model", server.models[0],
                   "-n", 4, "--max-tokens", 60, "--output-dir", tmp_path / "store")  # fmt: skip
        code, out, _ = run(*command, "--max-total-tokens", 900, "--json")
        summary = json.loads(out)
        assert code == 1
        assert summary["capped"] > 0
        assert 0 < summary["prompt_tokens"] + summary["completion_tokens"] <= 900
        assert any("cap of 900 tokens for the run" in one for one in summary["below_quorum"])
        code, out, _ = run(*command, "--json")
        assert (code, json.loads(out)["samples"]) == (0, 24)


def test_a_cap_in_money_goes_by_the_price_file(run: Run, problems_file: Path, tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: EUR\nmodels:\n  stub-model: {prompt: 1000, completion: 1000}\n")
    with StubServer() as server:
        command = ("sample", problems_file, "--base-url", server.base_url, "--model", "stub-model", "-n", 4,
                   "--max-tokens", 60, "--output-dir", tmp_path / "store", "--max-cost", 0.9)  # fmt: skip
        assert "give --prices FILE" in run(*command)[2]
        code, out, _ = run(*command, "--prices", prices, "--json")
        summary = json.loads(out)
        assert code == 1
        assert 0 < summary["prompt_tokens"] + summary["completion_tokens"] <= 900
        prices.write_text("currency: EUR\nmodels:\n  other: {prompt: 1, completion: 1}\n")
        code, _, err = run(*command, "--prices", prices)
        assert code == 2
        assert "no price for 'stub-model'" in err


def test_the_aggregator_stays_within_the_cap_too(run: Run, sets_file: Path):
    with StubServer() as server:
        code, out, err = run("answer", "2+2?", "--model", f"replay:{sets_file}", "-k", 3, "--max-tokens", 50,
                             "--max-total-tokens", 700, "--aggregator", "llm_aggregator:mode=think",
                             "--aggregator-model", server.models[0],
                             "--aggregator-base-url", server.base_url, "--json")  # fmt: skip
        assert code == 0
        assert server.requests == []
        assert "cap_reached" in json.loads(out)["flags"]
        assert "was not asked" in err


def test_a_pool_draws_into_one_store(run: Run, problems_file: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("STUB_KEY", "sk-right")
    with StubServer(models=("small", "large"), api_key="sk-right") as server:
        pool = tmp_path / "pool.yaml"
        member = {"base_url": server.base_url, "api_key_env": "STUB_KEY"}
        pool.write_text(json.dumps({"pool": [
            {"model": "small", "count": 2} | member,
            {"model": "large", "count": 1, "system": "You are an examiner.", "weight": 2} | member,
        ]}))  # fmt: skip
        store, exported = tmp_path / "store", tmp_path / "sets.jsonl"
        command = ("sample", problems_file, "--pool", pool, "--output-dir", store, "--export", exported)
        code, out, _ = run(*command, "--json")
        assert (code, json.loads(out)["samples"]) == (0, 18)
        assert run(*command)[0] == 0
        assert len(server.requests) == 18
        settings = tmp_path / "settings.yaml"
        settings.write_text(json.dumps({"answer": json.loads(pool.read_text())}))
        code, out, _ = run("answer", "1+1?", "--config", settings, "--json")
        assert sorted(sample["model"] for sample in json.loads(out)["samples"]) == ["large", "small", "small"]
    for path in store.iterdir():
        assert b"sk-right" not in path.read_bytes()
    exported_sets = [row["samples"] for _, row in read_rows(exported)]
    code, out, _ = run(
        "aggregate", store, "--configuration", "all", "--aggregator", "weighted_vote:by=weight"
    )
    assert code == 0
    assert [json.loads(line)["usage"]["sampling"]["calls"] for line in out.splitlines()] == [3] * 6
    for samples in exported_sets:
        assert sorted(sample["model"] for sample in samples) == ["large", "small", "small"]


def test_rules_are_replayed_on_stored_sets(run: Run, sets_file: Path, tmp_path: Path):
    folder = tmp_path / "replay"
    code, out, _ = run("replay", sets_file, "--stop", "beta:0.95,esc:2", "-k", 8, "--output-dir", folder)
    assert code == 0
    assert "beta:0.95" in out
    report = json.loads((folder / "replay.json").read_text())
    assert [row["rule"] for row in report["files"][0]["rows"]] == ["beta:0.95"] * 2 + ["esc:2"] * 2
    assert (folder / "replay.csv").read_text().startswith("file,k,problems")
    out = run("replay", sets_file, "--stop", "beta:0.95", "-k", 20, "--resample", "--json")[1]
    assert json.loads(out)["files"][0]["with_replacement"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["answer", "?", "--stop", "bata"], "Did you mean 'beta'", id="rule"),
        pytest.param(["answer", "?", "--first-batch", "2"], "goes with a stopping rule", id="batch"),
        pytest.param(["answer", "?", "--settled-by-vote"], "give --stop", id="settled by what"),
        pytest.param(["answer", "?", "--max-total-tokens", "0"], "must be above 0", id="cap"),
        pytest.param(["answer", "?", "--pool", "none.yaml"], "No pool file 'none.yaml'", id="no pool"),
        pytest.param(
            ["answer", "?", "--pool", "{pool}", "--stop", "beta"], "Give one of them", id="pool, rule"
        ),
        pytest.param(["replay", "{sets}", "--stop", "esc:1"], "at least 2", id="replayed rule"),
        pytest.param(["replay", "{sets}", "-k", "40"], "--resample", id="replayed k"),
    ],
)
def test_a_mistake_costs_one_line(run: Run, sets_file: Path, tmp_path: Path, arguments: list[str], says: str):
    pool = tmp_path / "pool.yaml"
    pool.write_text("pool: [{model: embedded}]")
    code, out, err = run(*(one.format(sets=sets_file, pool=pool) for one in arguments))
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_an_export_that_cannot_be_written_costs_no_draw(run: Run, sets_file: Path, tmp_path: Path):
    code, _, error = run("sample", sets_file, "--model", f"replay:{sets_file}", "-n", 2,
                         "--output-dir", tmp_path / "store", "--export", tmp_path / "out.xlsx")  # fmt: skip
    assert code == 2
    assert "out.xlsx: unknown kind of file" in error
    assert not (tmp_path / "store" / "samples.jsonl").exists()


def test_a_store_that_is_a_file_costs_one_line(run: Run, sets_file: Path):
    code, _, error = run("sample", sets_file, "--model", f"replay:{sets_file}", "--output-dir", sets_file)
    assert code == 2
    assert "is a file. Name another folder" in error


def test_a_store_without_a_draw_says_so(run: Run, tmp_path: Path):
    store = SampleStore(tmp_path / "store")
    store.add_problems([Problem(Question("q", "1+1?"), "2")])
    store.claim("0" * 32)
    store.close()
    code, _, error = run("aggregate", tmp_path / "store")
    assert code == 2
    assert "holds no samples yet" in error
