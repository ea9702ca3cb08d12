"""Programs that a model wrote, run in a process of their own. Off, unless the user allows it.

What the sandbox guards against, and what it does not, stands in the docs, under Answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from sampleset.errors import InvalidArgumentError, UnsupportedByMachineError

RunCode = Literal["off", "sandbox", "limits"]
"""Whether programs may be run: never; in namespaces of their own; or, where there are none to be had, under
limits of time, memory and files only, with the network and the user's files in reach.
"""

SECONDS = 4.0
CPU_SECONDS = 2
MEMORY = 256 * 2**20
MAX_BYTES = 100_000
"""Of what a program reads, prints, or writes into one file."""
_GRACE = 10.0
_CHILD = Path(__file__).with_name("sandbox_child.py")


@dataclass(frozen=True, slots=True)
class Run:
    """How a program ended.

    Attributes:
        outcome: `done`, `failed` (an error, or a limit of memory, processor time or files), or `timeout`.
        output: What it printed; empty unless it is done.
    """

    outcome: str
    output: str = ""


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
            "Answer kind 'code' runs programs that a model wrote, and that is off. Read in docs/answers.md "
            "what the sandbox guards against; then allow it with --run-code sandbox (or "
            "SAMPLESET_RUN_CODE=sandbox), in Python with Kinds(run_code='sandbox')."
        )
    _probed(how)


def run_program(code: str, stdin: str, how: RunCode) -> Run:
    """How a Python program ends that reads this text from its standard input.

    Raises:
        InvalidArgumentError: Running programs is not allowed.
        UnsupportedByMachineError: There is no sandbox to be had on this machine.
    """
    refuse_unless_allowed(how)
    if len(code) > MAX_BYTES or len(stdin) > MAX_BYTES or "\0" in code:
        return Run("failed")
    return _run(code, stdin, how)


@lru_cache(4)
def _probed(how: RunCode) -> None:
    """Return if a program that is right comes out right."""
    _run("print(6 * 7)", "", how)


@lru_cache(1024)
def _run(code: str, stdin: str, how: RunCode) -> Run:
    with tempfile.TemporaryDirectory(prefix="sampleset-") as scratch:
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
            "distributions forbid. Use another answer kind, or see docs/answers.md on --run-code limits."
        )
    return Run(response["outcome"], response["text"])
