"""The inside of the sandbox: a separate script that runs one program and reports its output.

It is started by `sandbox.py` as `python -I -S sandbox_child.py`, imports nothing of the package, reads one
JSON request from standard input and writes one JSON response. It enters new namespaces (users,
processes, network, mounts, IPC), forks the process that is to become the program, waits, and kills it at the
time limit. That process builds a root of the interpreter's folders, read-only, and an empty /tmp, gives up
every privilege, and has the kernel refuse the calls by which programs make processes, sockets, signals and
namespaces.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000
_READ_ONLY = 0x1 | 0x2 | 0x4  # and neither set-user-id programs nor devices
_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 4096, 16384, 1 << 18, 2
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_NEW_PROCESSES_NETWORK_IPC_NAME = 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PR_SET_SECCOMP, _SECCOMP_FILTER = 22, 2
_NOBODY = 65534

# By machine: its name in the kernel's audit interface, and the numbers of the calls that are refused.
_REFUSED = {
    "x86_64": (0xC000003E, (
        56, 57, 58, 435,  # clone, fork, vfork, clone3
        62, 129, 200, 234, 297, 424, 434, 438,  # signals to others, pidfd_*
        41, 53,  # socket, socketpair
        29, 64, 68, 240,  # memory, semaphores and queues shared between processes
        272, 308, 155, 165, 166, 428, 429, 430, 432, 442,  # namespaces and mounts
        101, 310, 311,  # ptrace, process_vm_*
        248, 249, 250, 298, 321, 323, 425,  # keys, perf events, bpf, userfaultfd, io_uring
    )),
    "aarch64": (0xC00000B7, (
        220, 435,
        129, 130, 131, 138, 240, 424, 434, 438,
        198, 199,
        194, 190, 186, 180,
        97, 268, 41, 40, 39, 428, 429, 430, 432, 442,
        117, 270, 271,
        217, 218, 219, 241, 280, 282, 425,
    )),
}  # fmt: skip


def main() -> None:
    """Run the program of the request."""
    request = json.load(sys.stdin)
    isolated: bool = request["isolated"]
    output = os.memfd_create("output")
    failure, failure_end = os.pipe2(os.O_CLOEXEC)
    try:
        if isolated:
            _enter_namespaces()
        else:
            # A program of the same user must reach neither this memory nor the reply.
            _check(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")
        program = os.fork()
    except OSError as error:
        _respond("refused", f"{error}")
        return
    if program == 0:
        try:
            _become_program(request, output)
        except BaseException as error:
            os.write(failure_end, f"{type(error).__name__}: {error}".encode()[:400] or b"?")
        finally:
            os._exit(1)
    os.close(failure_end)
    status = _wait(program, request["seconds"])
    refusal = os.read(failure, 500)
    if refusal:
        _respond("refused", refusal.decode("utf-8", "replace"))
    elif status is None:
        _respond("timeout")
    elif status != 0:
        _respond("failed")
    else:
        _respond("done", os.pread(output, request["bytes"], 0).decode("utf-8", "replace"))


def _respond(outcome: str, text: str = "") -> None:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    json.dump({"outcome": outcome, "text": text, "seconds": usage.ru_utime + usage.ru_stime}, sys.stdout)


def _wait(program: int, seconds: float) -> int | None:
    """Exit status of the program; `None` after it had to be killed.

    The time in which it waits for a processor does not count, so that other work on the machine ends none.
    """
    descriptor = os.pidfd_open(program)
    began, left, ended = time.monotonic(), seconds, False
    while left > 0 and not ended:
        ended = bool(select.select([descriptor], [], [], left)[0])
        left = seconds - (time.monotonic() - began - _seconds_in_line(program))
    if not ended:
        # The first process of its namespace takes all others with it.
        os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    return status if ended else None


def _seconds_in_line(process: int) -> float:
    """How long a process was ready to run and had no processor; 0 where the kernel does not count it."""
    try:
        with open(f"/proc/{process}/schedstat", encoding="ascii") as counted:
            return int(counted.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _enter_namespaces() -> None:
    """Leave the network and the other processes; who is not root does so as root of a user namespace."""
    user, group = os.geteuid(), os.getegid()
    _check(_LIBC.unshare(_NEW_PROCESSES_NETWORK_IPC_NAME | (_NEW_USER if user else 0)), "unshare")
    if user:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")


def _become_program(request: dict[str, Any], output: int) -> None:
    source = os.memfd_create("input")
    os.write(source, request["stdin"].encode("utf-8", "replace"))
    os.lseek(source, 0, os.SEEK_SET)
    nothing = os.open(os.devnull, os.O_WRONLY)
    for target, descriptor in enumerate((source, output, nothing)):
        os.dup2(descriptor, target)
    if request["isolated"]:
        _build_root(request["scratch"], request["folders"])
    else:
        folder = request["scratch"]
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        os.chdir(folder)
    _limit(request)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    _refuse_calls()
    os.execve(request["python"], ["python", "-I", "-S", "-B", "-c", request["code"]], {})


def _refuse_calls() -> None:
    """Have the kernel answer the refused calls with "not permitted", from here on and permanently."""
    machine = os.uname().machine
    if machine not in _REFUSED:
        raise OSError(f"no list of system calls for {machine}; there is one for {' and '.join(_REFUSED)}")
    architecture, numbers = _REFUSED[machine]
    load, if_equal, if_at_least, give_back = 0x20, 0x15, 0x35, 0x06
    # Calls of another architecture end the program; those of x32 are numbered from 2^30.
    rules = [(load, 0, 0, 4), (if_equal, 1, 0, architecture), (give_back, 0, 0, 0x80000000), (load, 0, 0, 0)]
    tests = [(if_at_least, 0x40000000), *((if_equal, number) for number in numbers)]
    for index, (test, number) in enumerate(tests):
        rules.append((test, len(tests) - index, 0, number))
    rules += [(give_back, 0, 0, 0x7FFF0000), (give_back, 0, 0, 0x00050000 | errno.EPERM)]
    packed = b"".join(struct.pack("HBBI", *rule) for rule in rules)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(buffer))
    _check(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, program, 0, 0), "seccomp")


def _build_root(root: str, folders: list[str]) -> None:
    """Make a root of these folders and files, read-only, and an empty /tmp, in memory, and move into it."""
    _check(_LIBC.unshare(_NEW_MOUNTS), "unshare")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", 0, "size=16m,mode=755")
    for folder in folders:
        inside = root + folder
        if os.path.islink(folder):
            os.makedirs(os.path.dirname(inside), exist_ok=True)
            os.symlink(os.readlink(folder), inside)
        elif os.path.exists(folder):
            _bind(folder, inside)
    os.mkdir(f"{root}/tmp", 0o777)
    os.chmod(f"{root}/tmp", 0o777)
    os.chdir(root)
    _check(_LIBC.pivot_root(b".", b"."), "pivot_root")
    _check(_LIBC.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/tmp")


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT))
    _mount(source, target, None, _MS_BIND | _MS_REC)
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    path = ctypes.c_char_p(target.encode())
    done = _LIBC.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(-1),
        path,
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        size,
    )
    _check(done, f"mount_setattr {source}")


def _limit(request: dict[str, Any]) -> None:
    memory: int = request["memory"]
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, int(request["cpu_seconds"])),
        (resource.RLIMIT_FSIZE, request["bytes"]),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, data)]
    done = _LIBC.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _check(done, f"mount {target}")


def _check(done: int, what: str) -> None:
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    main()
