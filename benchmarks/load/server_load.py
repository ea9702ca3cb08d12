"""Requests per second, added latency and memory of `sampleset serve`, beside optillm and its_hub.

    python benchmarks/load/server_load.py [--optillm BIN/optillm] [--its-hub BIN/its-iaas] [--before CHECKOUT]

One stub server on loopback takes a fixed time for every draw. Each system runs in a separate process and
votes over k samples; a system whose program is not given, or does not start, is left out with a line that
says so. `direct` is the client alone: k requests to the stub side by side, the floor of what can be had.
`pass-through` is a server of a few lines on the libraries of this one, which makes k requests and hands on
the first reply: what those libraries take. The systems take turns within each round, so that a busy machine
slows all alike; figures are medians of rounds.

Requests per second are those of client, stub and system together on this machine. `processor ms` is the
processor time that the system itself takes for a request, which other work hardly changes; 1000 divided by
it is what one core can bear.

With `--before`, the server of another checkout takes its turns, too, and the last line is the ratio of the
processor time of a request, round by round.

optillm asks the stub once, for n = k choices; the others ask k times. What they write is not compared here.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp  # noqa: TID253

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

from timing import ratios

STUB = Path(__file__).parent / "fixed_latency_stub.py"
MODEL = "stub-model"
Ask = Callable[[aiohttp.ClientSession, str], Awaitable[None]]


@dataclass
class System:
    """One of those compared; `rounds` holds p50, p99, requests per second, processor seconds of a request."""

    name: str
    ask: Ask
    process: subprocess.Popen[str] | None = None
    rounds: list[tuple[float, ...]] = field(default_factory=list[tuple[float, ...]])
    draws: float = 0.0
    failed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--optillm", default=shutil.which("optillm"), help="its program, in a venv of its own"
    )
    parser.add_argument("--its-hub", default=shutil.which("its-iaas"), help="the same")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another version of this package")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds the stub takes for a draw")
    parser.add_argument("--requests", type=int, default=200, help="of each phase and round")
    parser.add_argument("--clients", type=int, default=32, help="side by side, for requests per second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pass-through", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pass_through:
        pass_through(arguments.pass_through[0], int(arguments.pass_through[1]), arguments.k)
        return
    command = [sys.executable, STUB, "--latency", str(arguments.latency)]
    stub = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert stub.stdout is not None
    base_url = stub.stdout.readline().strip()
    systems = list[System]()
    try:
        systems = asyncio.run(started(arguments, base_url))
        asyncio.run(measure(systems, arguments, base_url))
        report(systems, arguments)
    finally:
        for process in (*(one.process for one in systems), stub):
            if process is not None:
                process.terminate()
                process.wait()


async def started(arguments: argparse.Namespace, base_url: str) -> list[System]:
    """The systems that run."""
    k = arguments.k
    systems = [System("direct", direct(base_url, k))]
    port = free_port()
    bare = [sys.executable, __file__, "--k", str(k), "--pass-through", base_url, str(port)]
    systems.append(System("pass-through", chat(port, {}), run(bare)))
    own = [sys.executable, "-m", "sampleset", "serve", "--model", MODEL, "--base-url", base_url, "-k", str(k)]
    own += ["--aggregator", "majority_vote"]
    port = free_port()
    systems.append(System("sampleset", chat(port, {}), run([*own, "--port", str(port)])))
    if arguments.before:
        port = free_port()
        source = str((arguments.before / "src").resolve())
        systems.append(System("before", chat(port, {}), run([*own, "--port", str(port)], PYTHONPATH=source)))
    if arguments.optillm:
        port = free_port()
        command = [arguments.optillm, "--base-url", base_url, "--port", str(port), "--log", "error"]
        ask = chat(port, {"model": f"majority_voting-{MODEL}", "k": k})
        systems.append(System("optillm", ask, run(command, OPENAI_API_KEY="none")))
    if arguments.its_hub:
        port = free_port()
        command = [arguments.its_hub, "--host", "127.0.0.1", "--port", str(port)]
        systems.append(System("its_hub", chat(port, {"budget": k}), run(command)))
        configuration = {"endpoint": base_url, "api_key": "none", "model": MODEL, "alg": "self-consistency"}
        configuration["regex_patterns"] = [r"\\boxed\{([^}]+)\}"]
        await until_ready(lambda client: post(client, f"http://127.0.0.1:{port}/configure", configuration))
    ready = list[System]()
    for one in systems:
        if await until_ready(lambda client, one=one: one.ask(client, "What is 0 plus 1?")):
            ready.append(one)
        elif one.process is not None:
            one.process.kill()
            print(f"{one.name} is left out: it did not answer.")
    for name in ("optillm", "its_hub"):
        if name not in [one.name for one in systems]:
            print(f"{name} is left out: not installed (--{name.replace('_', '-')} PROGRAM).")
    return ready


def pass_through(base_url: str, port: int, k: int) -> None:
    """Serve until the process is ended."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    clients = list[aiohttp.ClientSession]()

    async def answer(request: Request) -> JSONResponse:
        if not clients:
            clients.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        body, url = await request.json(), f"{base_url}/chat/completions"
        replies = await asyncio.gather(*(post(clients[0], url, body | {"seed": seed}) for seed in range(k)))
        return JSONResponse(replies[0])

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    uvicorn.run(app, port=port, log_level="error", access_log=False)


def direct(base_url: str, k: int) -> Ask:
    async def ask(client: aiohttp.ClientSession, question: str) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": question}]}
        await asyncio.gather(
            *(post(client, f"{base_url}/chat/completions", body | {"seed": seed}) for seed in range(k))
        )

    return ask


def chat(port: int, fields: dict[str, Any]) -> Ask:
    async def ask(client: aiohttp.ClientSession, question: str) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": question}], **fields}
        reply = await post(client, f"http://127.0.0.1:{port}/v1/chat/completions", body)
        assert reply["choices"][0]["message"]["content"], reply

    return ask


async def post(client: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Any:
    async with client.post(url, json=body) as response:
        response.raise_for_status()
        return await response.json()


def run(command: Sequence[object], **environment: str) -> subprocess.Popen[str]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [str(part) for part in command], env=os.environ | environment, stdout=quiet, stderr=quiet, text=True
    )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def until_ready(ask: Callable[[aiohttp.ClientSession], Awaitable[Any]], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    async with aiohttp.ClientSession() as client:
        while time.monotonic() < end:
            try:
                await asyncio.wait_for(ask(client), 20)
                return True
            except (aiohttp.ClientError, TimeoutError, KeyError):
                await asyncio.sleep(0.5)
    return False


async def measure(systems: Sequence[System], arguments: argparse.Namespace, base_url: str) -> None:
    asked = 0
    for number in range(arguments.rounds + 1):  # the first warms up and does not count
        for one in systems:
            count = arguments.requests if number else 20
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as client:
                before = await draws(client, base_url)
                alone, _ = await load(one, client, count // 2, 1, asked)
                spent = processor(one.process)
                _, rate = await load(one, client, count, arguments.clients, asked + count)
                spent = processor(one.process) - spent
                one.draws = (await draws(client, base_url) - before) / (count // 2 + count)
            asked += 2 * count
            if number:
                one.rounds.append((median(alone), quantiles(alone, n=100)[98], rate, spent / count))


async def load(
    one: System, client: aiohttp.ClientSession, count: int, clients: int, first: int
) -> tuple[list[float], float]:
    """Seconds of each request, and requests per second."""
    waiting, taken = iter(range(first, first + count)), list[float]()

    async def work() -> None:
        for number in waiting:
            started = time.perf_counter()
            try:
                await one.ask(client, f"What is {number} plus 1?")
                taken.append(time.perf_counter() - started)
            except (aiohttp.ClientError, AssertionError):
                one.failed += 1

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return taken, len(taken) / (time.perf_counter() - started)


async def draws(client: aiohttp.ClientSession, base_url: str) -> int:
    async with client.get(base_url.removesuffix("/v1") + "/draws") as response:
        return (await response.json())["draws"]


def processor(process: subprocess.Popen[str] | None) -> float:
    """Seconds of processors that a process has taken."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: subprocess.Popen[str] | None) -> float:
    """Peak MB of a process."""
    if process is None:
        return 0.0
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def report(systems: Sequence[System], arguments: argparse.Namespace) -> None:
    print(f"k = {arguments.k}, a draw takes {arguments.latency * 1000:g} ms, {arguments.clients} clients")
    ours = median(rate for _, _, rate, _ in next(one for one in systems if one.name == "sampleset").rounds)
    header = ("system", "requests/s", "ours is", "processor ms", "added p50 ms", "added p99 ms", "peak MB")
    header += ("draws", "failed")
    print(" | ".join(header))
    for one in systems:
        p50, p99, rate, spent = (median(column) for column in zip(*one.rounds, strict=True))
        added = [(seconds - arguments.latency) * 1000 for seconds in (p50, p99)]
        cells = [
            one.name,
            f"{rate:.1f}",
            f"{ours / rate:.1f}x",
            f"{spent * 1000:.1f}",
            *(f"{ms:.1f}" for ms in added),
        ]
        cells += [f"{memory(one.process):.0f}", f"{one.draws:.1f}", str(one.failed)]
        print(" | ".join(cells))
    by_name = {one.name: [spent for *_, spent in one.rounds] for one in systems}
    bare = by_name.get("pass-through")
    if bare:
        print(f"processor time of a request, ours / pass-through: {ratios(by_name['sampleset'], bare)}")
    if "before" in by_name:
        print(f"processor time of a request, now / before: {ratios(by_name['sampleset'], by_name['before'])}")


if __name__ == "__main__":
    main()
