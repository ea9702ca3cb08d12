"""Programs are untrusted: each test is one that a hostile sample might hold."""

import os
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sampleset.answers import Kinds, answer_kind
from sampleset.answers.code import programs
from sampleset.answers.code import sandbox as sandbox_module
from sampleset.answers.code.sandbox import Run, RunCode, run_program
from sampleset.errors import InvalidArgumentError, UnsupportedByMachineError


@pytest.fixture(params=["sandbox", "limits"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunCode:
    if request.param == "limits" and os.geteuid() == 0 and Path("/usr/bin/python3").exists():
        # Nobody, whom root's programs run as, may not be let into the folder of this interpreter.
        monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            run_program("print(1)", "", request.param)
    except UnsupportedByMachineError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture
def sandbox() -> None:
    try:
        run_program("print(1)", "", "sandbox")
    except UnsupportedByMachineError as error:
        pytest.skip(str(error))


def printed(code: str, stdin: str = "", how: RunCode = "sandbox") -> str:
    done = run_program(code, stdin, how)
    assert done.outcome == "done", done
    return done.output


def tried(statement: str, how: RunCode = "sandbox") -> str:
    """What a statement comes to: `did` or the name of its error."""
    return printed(
        f"try:\n    {statement}\n    print('did')\nexcept BaseException as e:\n    print(type(e).__name__)",
        how=how,
    )


async def test_programs_do_not_run_unless_that_was_allowed():
    with pytest.raises(InvalidArgumentError, match="--run-code sandbox"):
        run_program("print(1)", "", "off")
    with pytest.raises(InvalidArgumentError, match="is off"):
        await answer_kind("code").group(["print(1)"])
    with pytest.raises(InvalidArgumentError, match="'yes'"):
        Kinds(run_code="yes")  # type: ignore[arg-type]


def test_a_program_reads_its_input_and_prints(how: RunCode):
    assert printed("print(int(input()) * 2)", "21\n", how=how) == "42\n"
    assert printed("import math, json, re, random, collections, itertools; print('ok')", how=how) == "ok\n"


def test_a_program_that_fails_has_no_output(how: RunCode):
    assert run_program("print(1); raise SystemExit(1)", "", how) == Run("failed")
    assert run_program("print(1", "", how) == Run("failed")
    assert run_program("print(1)\0", "", how) == Run("failed")
    assert run_program("#" * 200_000, "", how) == Run("failed")


def test_an_endless_loop_ends(how: RunCode):
    assert run_program("while True: pass", "", how).outcome in ("failed", "timeout")


def test_a_program_that_sleeps_or_ignores_signals_ends(how: RunCode):
    ignoring = "import signal\nfor n in {*signal.Signals} - {9, 19}: signal.signal(n, signal.SIG_IGN)\n"
    assert run_program(f"{ignoring}import time\nwhile True: time.sleep(60)", "", how) == Run("timeout")


@pytest.mark.usefixtures("sandbox")
def test_programs_that_wait_for_a_processor_are_not_ended():
    """Three programs on one processor take more than the limit on the clock."""
    busy = (
        "import time\nbegan = time.process_time()\nwhile time.process_time() - began < 1.6: pass\nprint({})"
    )
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        with ThreadPoolExecutor(3) as pool:
            runs = list(pool.map(lambda number: run_program(busy.format(number), "", "sandbox"), range(3)))
    finally:
        os.sched_setaffinity(0, processors)
    assert [run.outcome for run in runs] == ["done"] * 3


@pytest.mark.parametrize(
    "bomb",
    [
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.run(['/bin/sh', '-c', ':'])",
        "import threading\nthreading.Thread(target=print).start()",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})",
    ],
    ids=["fork", "subprocess", "thread", "multiprocessing", "spawn"],
)
def test_no_process_and_no_thread_is_made(how: RunCode, bomb: str):
    assert run_program(bomb, "", how).outcome == "failed"


def test_a_program_gets_so_much_memory(how: RunCode):
    assert run_program("x = []\nwhile True: x.append(bytearray(10**7))", "", how) == Run("failed")
    assert run_program("x = '9' * 10**10", "", how) == Run("failed")


def test_a_flood_of_output_ends_the_program(how: RunCode):
    assert run_program("while True: print('x' * 1000)", "", how) == Run("failed")
    assert len(printed("print('x' * 90_000)", how=how)) == 90_001


def test_what_is_printed_need_not_be_text(how: RunCode):
    assert printed("import os; os.write(1, b'\\xff\\n')", how=how) == "\ufffd\n"


def test_no_socket_is_made_and_nothing_is_reached(how: RunCode, tmp_path: Path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert (
            tried(f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)", how)
            == "PermissionError\n"
        )
    assert tried("import socket; socket.socket(socket.AF_UNIX)", how) == "PermissionError\n"
    assert tried("import urllib.request as u; u.urlopen('http://1.1.1.1', timeout=1)", how) != "did\n"


def test_no_signal_reaches_another_process(how: RunCode):
    victim = subprocess.Popen(["sleep", "60"])
    try:
        assert tried(f"import os; os.kill({victim.pid}, 9)", how) == "PermissionError\n"
        assert tried("import os; os.kill(-1, 9)", how) == "PermissionError\n"
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_privileges_are_gone(how: RunCode):
    calls = "[l.unshare(0x10000000), l.setns(0, 0), l.ptrace(0, 0, 0, 0)]"
    assert printed(f"import ctypes; l = ctypes.CDLL(None); print({calls})", how=how) == "[-1, -1, -1]\n"
    assert printed("import os; print(os.getuid() != 0)", how=how) == "True\n"


def test_the_environment_is_empty(how: RunCode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    sandbox_module._runs.clear()
    assert "secret" not in printed("import os; print(dict(os.environ))", how=how)


def test_the_users_files_are_out_of_reach(sandbox: None, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    tmp_path.chmod(0o777)
    secret.chmod(0o666)
    assert tried(f"open({str(secret)!r})") == "FileNotFoundError\n"
    assert tried(f"open({str(secret)!r}, 'w')") == "FileNotFoundError\n"
    assert tried("open('/etc/passwd')") == "FileNotFoundError\n"
    assert tried("import os; os.listdir('/proc')") == "FileNotFoundError\n"
    assert tried("open('/usr/x', 'w')") in ("OSError\n", "PermissionError\n")
    assert tried(f"open({os.path.dirname(os.__file__) + '/x.py'!r}, 'w')") in (
        "OSError\n",
        "PermissionError\n",
    )
    assert secret.read_text() == "s3cret"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("print('\ud800')", id="half_a_character"),
        pytest.param("# " + "é" * 70_000, id="too_long_as_utf8"),
        pytest.param("print(1)\0", id="a_null"),
    ],
)
def test_a_program_that_cannot_be_handed_over_fails_and_others_run(sandbox: None, code: str):
    assert run_program(code, "", "sandbox") == Run("failed")
    kind = programs.code_kind(None, "sandbox")
    assert [group.indices for group in kind.group([code, "print(2)"]).groups] == [(1,)]


def test_one_program_has_a_limit_over_all_its_inputs(sandbox: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(programs, "ALL_CPU_SECONDS", 0.5)
    kind = programs.code_kind('["1", "2", "3", "4"]', "sandbox")
    busy = "import time\nwhile time.process_time() < 0.4: pass\nprint(input())"
    assert run_program(busy, "1", "sandbox").outcome == "done"
    assert kind.same(busy, "print(input())").equal is False
    assert kind.same("print(int(input()))", "print(input())").equal


def test_under_limits_a_program_cannot_reach_the_process_that_tells_of_it(how: RunCode):
    for file, mode in (("mem", "wb"), ("fd/1", "w"), ("environ", "r")):
        code = f"import os; open(f'/proc/{{os.getppid()}}/{file}', {mode!r})"
        assert tried(code, how) in ("PermissionError\n", "FileNotFoundError\n")


def test_limits_says_at_the_start_what_it_does_not_keep_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox_module, "_run", lambda *_: Run("done"))
    with pytest.warns(RuntimeWarning, match="API keys"):
        sandbox_module._probed.__wrapped__("limits")


def test_what_a_program_writes_is_gone_afterwards(sandbox: None):
    assert printed("open('/tmp/left', 'w').write('x'); import os; print(os.listdir('/tmp'))") == "['left']\n"
    assert printed("import os; print(os.listdir('/tmp'))  # again") == "[]\n"
    assert (
        run_program(
            "n = 0\nwhile True:\n    open(f'/tmp/{n}', 'w').write('x' * 90_000); n += 1", "", "sandbox"
        ).outcome
        == "failed"
    )


def test_programs_run_from_threads_at_once(how: RunCode):
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(printed(f"print({n})  # thread", how=how)))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["0\n", "1\n", "2\n", "3\n"]


def test_without_namespaces_programs_are_refused_and_the_message_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox_module, "_probed", sandbox_module._probed.__wrapped__)
    monkeypatch.setattr(sandbox_module, "_run", sandbox_module._started)
    refusal = '{"outcome": "refused", "text": "unshare: Operation not permitted"}'
    done = subprocess.CompletedProcess([], 0, stdout=refusal.encode())
    monkeypatch.setattr(sandbox_module.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UnsupportedByMachineError, match="unshare: Operation not permitted"):
        run_program("print(1)", "", "sandbox")


async def test_programs_are_equal_when_they_print_the_same(sandbox: None):
    kind = Kinds(run_code="sandbox").named('code:["2", "5"]')
    double, sum_, four = "print(int(input()) * 2)", "n = int(input())\nprint(n + n, '')", "print(4)"
    assert (await kind.same(double, sum_)).equal
    assert not (await kind.same(double, four)).equal
    grouping = await kind.group([double, four, "print(1/0)", None, sum_])
    assert [group.indices for group in grouping.groups] == [(0, 4), (1,)]
    assert grouping.notes == ("program_failed",)
    assert (await kind.group(["1/0", "2/0"])).groups == ()


@pytest.mark.parametrize(
    ("inputs", "gold", "right"),
    [
        pytest.param('code:["2", "5"]', '["4", "10"]', True, id="one output per input"),
        pytest.param('code:["2", "5"]', '["4", "11"]', False, id="another output"),
        pytest.param('code:["2"]', "4", True, id="the only output"),
        pytest.param('code:["2", "5"]', "```python\nprint(2 * int(input()))\n```", True, id="a program"),
    ],
)
async def test_the_gold_is_a_program_or_its_outputs(sandbox: None, inputs: str, gold: str, right: bool):
    kind = Kinds(run_code="sandbox").named(inputs)
    assert kind.gold_is_readable(gold)
    assert (await kind.matches_gold("print(int(input()) * 2)", gold)).equal is right


def test_a_gold_with_another_number_of_outputs_cannot_be_read():
    assert not answer_kind('code:["2", "5"]').gold_is_readable('["4"]')
    assert not answer_kind('code:["2", "5"]').gold_is_readable("4")
