"""Runs programs that a model wrote, each in a separate process. Off, unless the user allows it.

The docs, under Answers, list the risks that the sandbox guards against, and those it does not.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from sampleset.caches import BoundedCache
from sampleset.errors import InvalidArgumentError, UnsupportedByMachineError

RunCode = Literal["off", "sandbox", "limits"]
"""Whether programs may be run: never; in separate namespaces; or, on machines without namespaces, under
limits of time, memory and files only, with the network and the user's files in reach.
"""

SECONDS = 4.0
"""Most for a program, the time in which it waits for a processor not counted."""
CPU_SECONDS = 2
MEMORY = 256 * 2**20
MAX_BYTES = 100_000
"""Most bytes that a program reads, prints, or writes into one file."""
_GRACE = 60.0
_PREFIX, _LOCK = "sampleset-run-", ".lock"
_CHILD = Path(__file__).with_name("sandbox_child.py")


@dataclass(frozen=True, slots=True)
class Run:
    """How a program ended.

    Attributes:
        outcome: `done`, `failed` (an error, or a limit of memory, processor time or files), or `timeout`.
        output: Its printed text; empty unless it is done.
        seconds: Processor time that it took.
    """

    outcome: str
    output: str = ""
    seconds: float = field(default=0.0, compare=False)


def require_way(how: str) -> None:
    """Refuse a way to run programs that does not exist.

    Raises:
        InvalidArgumentError: There is no such way.
    """
    if how not in get_args(RunCode):
        raise InvalidArgumentError(f"run_code={how!r} must be one of {', '.join(get_args(RunCode))}.")


def refuse_unless_allowed(how: RunCode) -> None:
    """Return if programs may be run this way, and can be.

    Raises:
        InvalidArgumentError: It is not allowed.
        UnsupportedByMachineError: There is no sandbox to be had on this machine.
    """
    if how == "off":
        raise InvalidArgumentError(
            "Answer kind 'code' runs programs that a model wrote, and that is off. Read in "
            "docs/reference/answers.md what the sandbox guards against; then allow it with --run-code "
            "sandbox (or SAMPLESET_RUN_CODE=sandbox), in Python with Kinds(run_code='sandbox')."
        )
    _probed(how)


def run_program(code: str, stdin: str, how: RunCode) -> Run:
    """How a Python program ends that reads this text from its standard input.

    Raises:
        InvalidArgumentError: Running programs is not allowed.
        UnsupportedByMachineError: There is no sandbox to be had on this machine.
    """
    refuse_unless_allowed(how)
    if "\0" in code or not _fits(code) or len(stdin) > MAX_BYTES:
        return Run("failed")
    return _run(code, stdin, how)


def _fits(code: str) -> bool:
    """Whether a program can be handed to an interpreter: as UTF-8, and not too long in it."""
    try:
        return len(code.encode()) <= MAX_BYTES
    except UnicodeEncodeError:  # Half a character.
        return False


@lru_cache(4)
def _probed(how: RunCode) -> None:
    """Return if a program that is right comes out right; says once what `limits` does not keep out."""
    if how == "limits":
        warnings.warn(
            "run_code='limits' keeps programs that a model wrote from making processes and sockets, and from "
            "nothing else: they run as you, and can read and change your files, and read the environment and "
            "memory of your other processes, API keys included. Use it in a container that holds nothing "
            "else.",
            RuntimeWarning,
            stacklevel=2,
        )
    _run("print(6 * 7)", "", how)


def _run(code: str, stdin: str, how: RunCode) -> Run:
    key = (code, stdin, how)
    known = _runs.get(key)
    if known is None:
        known = _started(code, stdin, how)
        _runs.put(key, known, len(code) + len(stdin) + len(known.output))
    return known


_runs: BoundedCache[tuple[str, str, RunCode], Run] = BoundedCache(32 * 2**20)


@contextmanager
def _scratch() -> Generator[str]:
    """An empty folder that is gone at the end; if this process is killed, the next one removes it.

    A lock beside it is held for as long as this process lives.
    """
    _sweep()
    lock, path = tempfile.mkstemp(prefix=_PREFIX, suffix=_LOCK)
    folder = path.removesuffix(_LOCK)
    try:
        with suppress(OSError):  # On a file system without locks no folder is swept, this one neither.
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.mkdir(folder, 0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(path).unlink(missing_ok=True)
        os.close(lock)


@lru_cache(1)
def _sweep() -> None:
    """Remove the folders of processes that were killed; once a process."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*{_LOCK}"):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # Another user's, or gone.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # Its owner lives.
        else:
            shutil.rmtree(str(path).removesuffix(_LOCK), ignore_errors=True)
            path.unlink(missing_ok=True)
        finally:
            os.close(lock)


def _started(code: str, stdin: str, how: RunCode) -> Run:
    with _scratch() as scratch:
        python = os.path.realpath(sys.executable)
        folders = ["/usr", "/bin", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache"]
        for prefix in (sys.base_prefix, sys.base_exec_prefix, os.path.dirname(python)):
            if not any(Path(prefix).is_relative_to(folder) for folder in folders):
                folders.append(prefix)
        request = {
            "code": code,
            "stdin": stdin,
            "isolated": how == "sandbox",
            "folders": folders,
            "scratch": scratch,
            "python": python,
            "seconds": SECONDS,
            "cpu_seconds": CPU_SECONDS,
            "memory": MEMORY,
            "bytes": MAX_BYTES,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(_CHILD)],
                input=json.dumps(request).encode(),
                capture_output=True,
                timeout=SECONDS + _GRACE,
                env={},
                cwd="/",
                start_new_session=True,
                check=False,
            )
            response = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise UnsupportedByMachineError(f"The sandbox for programs does not start ({error}).") from error
    if response["outcome"] == "refused":
        raise UnsupportedByMachineError(
            f"Programs cannot be run with run_code={how!r} on this machine ({response['text']}). It takes "
            "Linux 5.12 or newer on x86-64 or ARM64, and for 'sandbox' namespaces, which some containers and "
            "distributions forbid. Use another answer kind, or see --run-code limits in "
            "docs/reference/answers.md."
        )
    return Run(response["outcome"], response["text"], response["seconds"])
