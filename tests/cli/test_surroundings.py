"""Terminals, addresses and texts that are not as one would like them."""

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sampleset.cli.menu import COMMANDS
from sampleset.storage.files import write_rows
from sampleset.storage.rows import read_rows
from support.command_line import Run
from support.stub_server import StubServer


def sampleset(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sampleset", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=60
    )


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    path = tmp_path / "sets.jsonl"
    samples = ["So \u2713 \\boxed{2}", "\\boxed{2} \U0001f600", "\\boxed{3}"]
    write_rows(path, [{"question": "1+1?", "answer": "2", "samples": samples}])
    return path


@pytest.mark.parametrize("arguments", [["--show"], ["--json"]])
def test_what_the_terminal_cannot_encode_is_escaped(sets: Path, arguments: list[str]):
    done = sampleset("answer", "1+1?", "--model", f"replay:{sets}", "-k", 3, *arguments,
                     PYTHONIOENCODING="ascii")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2713" in done.stdout
    if arguments == ["--json"]:
        texts = [sample["text"] for sample in json.loads(done.stdout)["samples"]]
        assert texts[0] == "So \u2713 \\boxed{2}"
        assert "\\boxed{2} \U0001f600" in texts


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_command_bears_closed_streams(sets: Path, tmp_path: Path, closed: str):
    command = f'"$0" -m sampleset evaluate "$1" --output-dir "$2" {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable, sets, tmp_path / "report"], check=False)
    assert done.returncode == 0
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_question_reaches_the_model_whole_where_the_locale_knows_ascii_only(tmp_path: Path):
    with StubServer() as server:
        ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        command = ("--model", "stub-model", "--base-url", server.base_url, "-k", 1)
        done = sampleset("answer", "\u00fc?", *command, **ascii_only)
        assert (done.returncode, "half a character" in done.stderr) == (0, False)
        assert "\u00fc?" in server.requests[0]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        pytest.param("sets.csv", "the columns here are a\\x1b[31m, b", id="control characters"),
        pytest.param("gone", "Is the current folder gone?", id="a folder that is no more"),
    ],
)
def test_an_error_is_one_plain_line(tmp_path: Path, place: str, error: str):
    (tmp_path / "sets.csv").write_text("a\x1b[31m,b\n1,2\n")
    (tmp_path / "gone").mkdir()
    command = 'if test "$1" = gone; then rmdir ../gone; fi; exec "$0" -m sampleset evaluate "$1"'
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, place], cwd=tmp_path / "gone" if place == "gone" else tmp_path,
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(source)},
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ") and error in done.stderr and done.stderr.count("\n") == 1


def test_a_warning_of_the_package_is_one_plain_line(sets: Path, tmp_path: Path):
    done = sampleset("evaluate", sets, "--output-dir", tmp_path / "report", "-q", XDG_CACHE_HOME="/dev/null")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: Verdicts are not kept in ") and done.stderr.count("\n") == 1


def test_evaluate_ends_well_where_the_terminal_cannot_encode(sets: Path, tmp_path: Path):
    done = sampleset(
        "evaluate", sets, "--output-dir", tmp_path / "r\u00e9port \u2713", PYTHONIOENCODING="ascii"
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "r\\xe9port \\u2713/report.html" in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("command", "names"),
    [
        pytest.param(("sample", "SETS", "-n", 3, "--output-dir", "STORE"), "STORE", id="a store"),
        pytest.param(("sample", "SETS", "-n", 3, "--output-dir", "NEW"), "NEW", id="a new store"),
        pytest.param(("evaluate", "SETS", "--output-dir", "NEW"), "NEW", id="a report"),
        pytest.param(("store", "check", "STORE"), None, id="a check"),
        pytest.param(("evaluate", "STORE", "--output-dir", "OUT"), None, id="reading"),
    ],
)
def test_a_read_only_folder_is_named_with_a_way_out(
    sets: Path, tmp_path: Path, command: tuple[object, ...], names: str | None
):
    folder = tmp_path / "disk"
    folder.mkdir()
    paths: dict[object, object] = {"SETS": sets, "STORE": folder / "store", "NEW": folder / "new"}
    paths["OUT"] = tmp_path / "out"
    model = ("--model", f"replay:{sets}")
    assert sampleset("sample", sets, *model, "-n", 2, "--output-dir", folder / "store").returncode == 0
    for path in (*(folder / "store").iterdir(), folder / "store", folder):
        path.chmod(path.stat().st_mode & ~0o222)
    arguments = [str(paths.get(part, part)) for part in command]
    arguments += map(str, model) if command[0] == "sample" else ()
    # The rights of root do without those of the folder.
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*without, sys.executable, "-m", "sampleset", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    for path in (folder, folder / "store"):
        path.chmod(0o755)
    if names is None:
        assert done.returncode == 0, done.stderr
    else:
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(f"error: {paths[names]}")
        assert done.stderr.endswith("Permission denied. Give a file or folder that you may read and write.\n")


@pytest.mark.parametrize("command", ["answer", "sample", "serve"])
def test_a_socks_proxy_ends_in_one_line(sets: Path, tmp_path: Path, command: str):
    arguments = {"answer": ["1+1?"], "sample": [sets, "--output-dir", tmp_path / "store"], "serve": []}[
        command
    ]
    proxies = {"ALL_PROXY": "socks5://localhost:1080", "HTTPS_PROXY": "", "https_proxy": "", "NO_PROXY": ""}
    done = sampleset(command, *arguments, "--model", "m", "--base-url", "https://example.com/v1", **proxies)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ALL_PROXY names a proxy of the kind 'socks5'")


@pytest.mark.parametrize(
    ("query", "advice"), [("", "/v1\n"), ("?api-version=1", "/v1, with the query that yours has\n")]
)
def test_a_server_that_moved_to_https_is_told_with_the_address_to_give(query: str, advice: str):
    with answering(301, location="https://example.com/v1/chat/completions" + query) as port:
        base_url = f"http://127.0.0.1:{port}/v1{query}"
        done = sampleset("answer", "1+1?", "--model", "m", "--base-url", base_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "301, a redirect" in done.stderr
    assert done.stderr.endswith(f"give --base-url https://example.com{advice}")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_says_where_to_write_it(scheme: str):
    with answering(407, **{"proxy-authenticate": "Basic realm=x"}) as port:
        proxies = {f"{scheme}_proxy": f"http://127.0.0.1:{port}", "NO_PROXY": "", "no_proxy": ""}
        url = f"{scheme}://example.com/v1"
        done = sampleset("answer", "1+1?", "--model", "m", "--base-url", url, **proxies)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: The proxy on the way to {url} wants a user and a password.")
    assert "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT" in done.stderr


@contextmanager
def answering(status: int, **headers: str) -> Iterator[int]:
    """A server that answers everything with a status; its port."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            for name, value in {**headers, "content-length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_CONNECT = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_half_a_character_of_a_question_is_replaced_and_said_once(sets: Path, tmp_path: Path):
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"id": "p", "question": "1+1? \\ud83d", "answer": "2"}\n')
    store = tmp_path / "store"
    replay = tmp_path / "replay.jsonl"
    write_rows(replay, [{"question": "1+1? \ufffd", "samples": ["2", "3"]}])
    for _ in range(2):
        done = sampleset("sample", problems, "--model", f"replay:{replay}", "-n", 2, "--output-dir", store)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("U+FFFD") == 1
    assert [row["question"] for _, row in read_rows(store / "problems.jsonl")] == ["1+1? \ufffd"]
    done = subprocess.run(
        [sys.executable, "-m", "sampleset", "answer", b"1+1? \xf0", "--model", f"replay:{replay}", "-k", "2"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"2\n")
    assert done.stderr.count(b"U+FFFD") == 1


def test_a_port_in_use_is_said_in_one_line(sets: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sampleset("serve", "--model", f"replay:{sets}", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"error: Port {port} of 127.0.0.1 is in use. Give another --port; 0 takes a free one.\n"
    )


@pytest.mark.parametrize("columns", ["60", "44"])
def test_a_narrow_terminal_keeps_the_names_of_methods(sets: Path, tmp_path: Path, columns: str):
    two = [
        {"id": name, "question": "?", "answer": "2", "samples": samples}
        for name, samples in (("a", ["Answer: 2"] * 3), ("b", ["Answer: 2", "Answer: 3", "Answer: 3"]))
    ]
    write_rows(tmp_path / "two.jsonl", two)
    for name, read in (("report", sets), ("other", tmp_path / "two.jsonl")):
        done = sampleset("evaluate", read, "--output-dir", tmp_path / name, COLUMNS=columns)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        for method in ("first_sample", "majority_vote", "weighted_vote", "best_of_n"):
            assert any(line.startswith(f"{method} ") for line in lines), method
        assert any(line.startswith("Too narrow for:") for line in lines)
    compared = sampleset("report", tmp_path / "other", tmp_path / "other", COLUMNS=columns)
    assert " majority_vote " in compared.stdout


def test_a_wide_terminal_shows_every_column(sets: Path, tmp_path: Path):
    done = sampleset("evaluate", sets, "--output-dir", tmp_path / "report", COLUMNS="100")
    assert "Too narrow" not in done.stdout
    assert "spoilt" in done.stdout


def test_quiet_leaves_out_notes_and_progress(sets: Path, tmp_path: Path):
    done = sampleset("evaluate", sets, "--output-dir", tmp_path / "report", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param("sampleset ev", ["evaluate"], id="command"),
        pytest.param("sampleset evaluate x --aggregator best", ["best_of_n"], id="aggregator"),
        pytest.param("sampleset sample gsm", ["gsm8k"], id="dataset"),
    ],
)
def test_the_shell_completes_names(words: str, offered: list[str]):
    code = "import sys; sys.argv = ['sampleset']; from sampleset.cli.main import main; main()"
    environment = {"_SAMPLESET_COMPLETE": "complete_bash", "COMP_WORDS": words,
                   "COMP_CWORD": str(len(words.split()) - 1)}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})  # fmt: skip
    assert done.stdout.split() == offered, done.stderr


def test_bash_completes_after_the_installation(tmp_path: Path):
    program = tmp_path / "bin" / "sampleset"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sampleset "$@"\n')
    program.chmod(0o755)
    script = """
        sampleset --install-completion bash > /dev/null
        . "$HOME/.bash_completions/sampleset.sh"
        COMP_WORDS=(sampleset aggregate x --aggregator two); COMP_CWORD=4
        $(complete -p sampleset | sed 's/.*-F \\([^ ]*\\).*/\\1/') sampleset
        echo "${COMPREPLY[@]}"
    """
    environment = {"HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment, "SHELL": "/bin/bash"})  # fmt: skip
    assert done.stdout == "two_stage\n", done.stderr


def test_the_next_command_is_named_but_for_programs(sets: Path, tmp_path: Path):
    command = ("sample", sets, "--model", f"replay:{sets}", "-n", 2, "--output-dir", tmp_path / "store")
    assert sampleset(*command).stderr.endswith(f"next: sampleset evaluate {tmp_path / 'store'}\n")
    assert "next:" not in sampleset(*command, "--json").stderr
    assert "next:" not in sampleset(*command, "--quiet").stderr


@pytest.mark.parametrize("is_on_path", [True, False])
def test_the_next_command_is_one_that_the_shell_finds(is_on_path: bool, tmp_path: Path):
    """`make demo` calls the program by its path, in an environment that is not activated."""
    program = tmp_path / "bin" / "sampleset"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom sampleset.cli.main import main\nmain()\n")
    program.chmod(0o755)
    path = os.pathsep.join([*([str(program.parent)] if is_on_path else []), "/usr/bin", "/bin"])
    done = subprocess.run(["bin/sampleset", "list"], cwd=tmp_path, env={**os.environ, "PATH": path},
                          capture_output=True, text=True, check=True)  # fmt: skip
    name = "sampleset" if is_on_path else "bin/sampleset"
    assert done.stderr == f"next: {name} list aggregators\n"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_help_page_ends_in_an_example_and_every_command_can_be_quiet(name: str, run: Run):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"Example: sampleset {name} " in out
    assert " ".join(out.split()).rpartition("╯")[2].strip().startswith("Example: ")
    assert "--quiet" in out
    assert "╭─ Settings and output" in out


@pytest.mark.parametrize(
    ("words", "command"),
    [
        pytest.param(["answer", "1+1?", "--model", "replay:{sets}", "--output-dir", "{out}"],
                     "aggregate {out}", id="answer"),
        pytest.param(["import", "{sets}", "--output", "{out}.csv"], "evaluate {out}.csv", id="import"),
        pytest.param(["list", "datasets"], "sample NAME --output-dir STORE", id="list"),
        pytest.param(["list"], "list aggregators", id="list of all"),
        pytest.param(["fit-vote", "{many}", "--output", "{out}.json"],
                     "evaluate OTHER_SETS --aggregator learned_vote:file={out}.json", id="fit-vote"),
        pytest.param(["replay", "{sets}", "--stop", "esc:2"],
                     "sample DATASET --output-dir STORE --stop esc:2", id="replay"),
        pytest.param(["train-data", "{many}", "-k", "3", "--output", "{out}.jsonl"],
                     "train grpo RECIPE --set rows={out}.jsonl", id="train-data"),
    ],
)  # fmt: skip
def test_a_command_ends_with_the_next_one(words: list[str], command: str, sets: Path, tmp_path: Path):
    many = tmp_path / "many.jsonl"
    samples = [{"text": f"Answer: {place % 2}", "token_logprobs": [-0.1]} for place in range(3)]
    rows = [{"id": f"q{number}", "question": f"{number}?", "answer": str(number % 2), "samples": samples}
            for number in range(40)]  # fmt: skip
    many.write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = {"sets": sets, "out": tmp_path / "out", "many": many}
    done = sampleset(*(word.format(**places) for word in words))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == f"next: sampleset {command.format(**places)}"
    quiet = sampleset(*(word.format(**places) for word in words), "--quiet")
    assert "next:" not in quiet.stderr


def test_an_answer_of_a_server_is_followed_by_many(tmp_path: Path):
    with StubServer() as server:
        done = sampleset("answer", "1+1?", "--base-url", server.base_url, "--model", "stub-model", "-k", 2)
    assert done.stderr == (
        f"next: sampleset sample PROBLEMS.jsonl --model stub-model --base-url {server.base_url} "
        "--output-dir STORE\n"
    )


def test_a_password_in_the_address_is_shown_and_saved_nowhere(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text('{"id": "q", "question": "1+1?"}\n')
    with StubServer() as server:
        address = server.base_url.replace("//", "//me:hunter2@")
        told = [
            sampleset(*words, "--base-url", address, "--model", "stub-model")
            for words in (
                ("answer", "1+1?", "-k", 2),
                ("sample", tmp_path / "p.jsonl", "-n", 2, "--output-dir", tmp_path / "store"),
            )
        ]
    assert "//USER:PASSWORD@" in told[0].stderr
    saved = [path.read_text() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert "hunter2" not in "".join([*saved, *(done.stderr + done.stdout for done in told)])


def test_a_terminal_shows_a_bar_and_a_pipe_a_plain_line(sets: Path, tmp_path: Path):
    command = ["evaluate", str(sets), "--output-dir", str(tmp_path / "report"), "--workers", "1"]
    leader, follower = pty.openpty()
    try:
        done = subprocess.run([sys.executable, "-m", "sampleset", *command], stdout=subprocess.DEVNULL,
                              stderr=follower, check=False,
                              env={**os.environ, "TERM": "xterm", "COLUMNS": "60"})  # fmt: skip
        os.set_blocking(leader, False)
        shown = os.read(leader, 100_000).decode()
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == 0
    assert "━" in shown
    assert "━" not in sampleset(*command).stderr


def test_top_k_is_sent_to_the_server(tmp_path: Path):
    with StubServer() as server:
        common = ("--base-url", server.base_url, "--model", server.models[0], "-k", 2)
        assert sampleset("answer", "1+1?", *common, "--top-k", 5).returncode == 0
        assert [request["top_k"] for request in server.requests] == [5, 5]
        done = sampleset("answer", "1+1?", *common, "--top-k", -1)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "top_k=-1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["evaluate", "SETS", "--output-dir", ""], "--output-dir"),
        (["evaluate", "SETS", "--output-dir="], "--output-dir"),
        (["evaluate", ".", "--output-dir="], "--output-dir"),
        (["evaluate", ""], "samples"),
        (["evaluate", "SETS", ""], "samples"),
        (["store", "check", ""], "folder"),
        (["sample", "SETS", "--output-dir", "drawn", "--model", ""], "model"),
    ],
)
def test_an_empty_argument_is_not_the_current_folder(
    run: Run, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], name: str
):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    code, _, error = run(*(str(sets) if argument == "SETS" else argument for argument in arguments))
    assert (code, set(tmp_path.iterdir())) == (2, before)
    assert f"{name!r}" in error and "is empty" in error
