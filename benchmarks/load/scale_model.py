"""What a million questions with 32 samples each take: time, money, memory, and what is the bottleneck.

    python benchmarks/load/scale_model.py                      # the tables of docs/reference/scale.md
    python benchmarks/load/scale_model.py --measure            # the constants of this machine, and the checks
    python benchmarks/load/scale_model.py --questions 10000 --gpus 1 8 --completion 2000

Constants of the product (`HOST`) are processor seconds and bytes, measured by `--measure` with a stub that
answers as vLLM does. `--measure` fits them to small runs of the commands, predicts a larger one and makes
it: the error is printed. It also fits the shape of the GPU model (a decoding step takes a fixed time and one
for each sequence) to the embedded model on this CPU, and predicts a larger batch.

Constants of a GPU (`GPUS`) are the vendor's; the share of them that an engine reaches, and prices, are
assumptions, named as such: no GPU was at hand. Change them by options.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Gpu:
    """A device: its data sheet, then assumptions.

    Attributes:
        flops: Dense bfloat16 operations per second.
        bandwidth: Bytes of memory read per second.
        memory: Bytes.
        reached: Share of both that an engine reaches (assumed).
        price: Of an hour (assumed).
        sequences: Most sequences in one step (`--max-num-seqs` of vLLM).
    """

    flops: float
    bandwidth: float
    memory: float
    reached: float = 0.5
    price: float = 2.5
    sequences: int = 512


GPUS = {
    "h100": Gpu(989e12, 3.35e12, 80e9),  # NVIDIA H100 SXM data sheet
    "a100": Gpu(312e12, 2.04e12, 80e9, price=1.5, sequences=256),  # NVIDIA A100 80 GB SXM data sheet
}


@dataclass(frozen=True)
class Model:
    """Weights and cache, in bfloat16: Qwen2.5's model cards and config files.

    Attributes:
        weights: Parameters.
        cache: Bytes of keys and values per token: 2 · layers · key-value heads · head size · 2.
    """

    weights: float
    cache: float


MODELS = {
    "qwen2.5-7b": Model(7.6e9, 2 * 28 * 4 * 128 * 2),
    "qwen2.5-0.5b": Model(0.49e9, 2 * 24 * 2 * 64 * 2),
}


@dataclass(frozen=True)
class Host:
    """What the command's own process takes, of one core, beyond the models: measured by `--measure`.

    Attributes:
        draw: Processor seconds of one draw: request, reply with log-probabilities, row in the store.
        draw_bytes: Of its row in the store.
        vote: Processor seconds of one set: read, answers compared, vote and grade, rows written.
        vote_sample: The same per sample of the set.
        memory: Bytes at the start.
        memory_question: Bytes kept per question while sampling.
    """

    draw: float
    draw_bytes: float
    vote: float
    vote_sample: float
    memory: float
    memory_question: float


HOST = Host(draw=1.7e-3, draw_bytes=1330, vote=4.7e-3, vote_sample=1.2e-4, memory=56e6, memory_question=3200)


@dataclass(frozen=True)
class Work:
    """What is asked for; lengths in tokens."""

    questions: int = 1_000_000
    samples: int = 32
    prompt: int = 150
    completion: int = 300
    shown: int = 120
    candidates: float = 6.0


def decoding(gpu: Gpu, model: Model, work: Work) -> tuple[float, int]:
    """Tokens per second of one GPU, and the sequences in a step.

    A step reads the weights once and the cache of every sequence, or computes two operations per weight and
    sequence, whichever takes longer. The cache of a prompt is shared by the draws of its question.
    """
    length = work.prompt / work.samples + work.completion / 2
    free = 0.9 * gpu.memory - 2 * model.weights
    batch = max(1, min(gpu.sequences, int(free / (model.cache * length))))
    memory = (2 * model.weights + batch * model.cache * (work.prompt + work.completion / 2)) / gpu.bandwidth
    compute = 2 * model.weights * batch / gpu.flops
    return batch / (max(memory, compute) / gpu.reached), batch


def reading(gpu: Gpu, model: Model) -> float:
    """Prompt tokens per second of one GPU."""
    return gpu.reached * gpu.flops / (2 * model.weights)


def stages(
    work: Work, gpu: Gpu, gpus: int, model: Model, reader: Model, host: Host, cores: int
) -> dict[str, float]:
    """Seconds of each stage by itself, with so many processes that draw and grade, each on a core."""
    draws = work.questions * work.samples
    shown = work.prompt + 100 + work.samples * (work.shown + 7)
    scored = shown + 6 * work.candidates * 16
    wire = draws * (work.completion * 110 + 600)
    return {
        "sampling, GPUs": draws * work.completion / decoding(gpu, model, work)[0] / gpus
        + work.questions * work.prompt / reading(gpu, model) / gpus,
        "sampling, the command": draws * host.draw / cores,
        "network at 10 Gbit/s": wire / 1.25e9,
        "aggregation, GPUs": work.questions * scored / reading(gpu, reader) / gpus,
        "vote and grades": work.questions * (host.vote + work.samples * host.vote_sample) / cores,
        "store, written at 500 MB/s": draws * host.draw_bytes / 500e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    for name, value in vars(Work()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--processes", type=int, default=1, help="that draw, side by side")
    parser.add_argument("--gpu", choices=GPUS, default="h100")
    parser.add_argument("--reached", type=float, default=0.5, help="share of the data sheet's speed")
    parser.add_argument("--price", type=float, help="of a GPU hour")
    parser.add_argument("--model", choices=MODELS, default="qwen2.5-7b")
    parser.add_argument("--reader", choices=MODELS, default="qwen2.5-0.5b")
    given = parser.parse_args()
    host = HOST
    if given.measure:
        with tempfile.TemporaryDirectory() as folder:
            host = measured(Path(folder))
        asyncio.run(shape())
        print()
    work = Work(**{name: getattr(given, name) for name in vars(Work())})
    gpu = replace(GPUS[given.gpu], reached=given.reached, price=given.price or GPUS[given.gpu].price)
    show(work, gpu, given, host)


def show(work: Work, gpu: Gpu, given: argparse.Namespace, host: Host) -> None:
    model, reader = MODELS[given.model], MODELS[given.reader]
    speed, batch = decoding(gpu, model, work)
    draws = work.questions * work.samples
    print(
        f"{work.questions:,} questions x {work.samples} samples of {work.completion} tokens, {given.model},\n"
        f"read by {given.reader}; {given.gpu}, {gpu.reached:.0%} of its data sheet: {speed:,.0f} tokens/s "
        f"with {batch} sequences a step"
    )
    each = {count: stages(work, gpu, count, model, reader, host, given.processes) for count in given.gpus}
    print(f"\n{'hours, ' + str(given.processes) + ' drawing':28}" + "".join(f"{n:>9} GPUs" for n in each))
    for stage in next(iter(each.values())):
        print(f"{stage:28}" + "".join(f"{times[stage] / 3600:14.2f}" for times in each.values()))
    whole: list[str] = []
    for count, times in each.items():
        drawing = [times[name] for name in list(times)[:3]]
        total = max(drawing) + times["aggregation, GPUs"] + times["vote and grades"]
        bound = list(times)[drawing.index(max(drawing))]
        money = (max(drawing) + times["aggregation, GPUs"]) / 3600 * count * gpu.price
        whole.append(f"{count:4} GPUs: {total / 3600:8.1f} h, {money:9,.0f} of money, bound by {bound}")
    print("\n".join(["", *whole]))
    enough = each[given.gpus[0]]["sampling, GPUs"] * given.gpus[0] / (draws * host.draw)
    print(f"\none drawing process keeps {enough:.0f} GPUs busy")
    print(
        f"store {draws * host.draw_bytes / 1e9:.0f} GB; memory of a drawing process "
        f"{(host.memory + work.questions * host.memory_question) / 1e9:.1f} GB with all questions in it"
    )


def spent(*words: object) -> tuple[float, float]:
    """Processor seconds of a command with the processes it waited for, and its peak of memory in bytes."""
    command = [sys.executable, "-m", "sampleset", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}\n{said.decode()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def measured(folder: Path, tokens: int = 300) -> Host:
    """The constants of this machine, and how well they tell a larger run."""
    stub = [sys.executable, HERE / "fixed_latency_stub.py", "--tokens", str(tokens), "--owner", "vllm"]
    with subprocess.Popen(stub, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            return fitted(folder, url, tokens)
        finally:
            server.terminate()


def fitted(folder: Path, url: str, tokens: int) -> Host:
    sizes = {"small": (50, 4), "more questions": (250, 4), "more samples": (50, 16), "check": (300, 32)}
    drawn: dict[str, tuple[float, float]] = {}
    voted: dict[str, tuple[float, float]] = {}
    stored: dict[str, int] = {}
    for name, (questions, samples) in sizes.items():
        problems, out = folder / f"{name}.jsonl", folder / name
        rows = [
            {"id": str(n), "question": f"What is {n} - {n - 1}?", "answer": "1"} for n in range(questions)
        ]
        problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"  measuring: {name}, {questions} x {samples}", file=sys.stderr, flush=True)
        which = ("--base-url", url, "--model", "stub-model", "-n", samples, "--max-concurrency", 64)
        drawn[name] = spent("sample", problems, *which, "--output-dir", out)
        stored[name] = (out / "samples.jsonl").stat().st_size
        voted[name] = spent(
            *("evaluate", out, "--aggregator", "majority_vote", "-k", samples, "--permutations", 0),
            *("--subsets", 1, "--output-dir", folder / f"{name}-report"),
        )
    small, wide = (drawn[name][0] for name in list(sizes)[:2])
    draw = (wide - small) / (200 * 4)
    vote_small, vote_wide, vote_deep = (voted[name][0] for name in list(sizes)[:3])
    vote_sample = max(0.0, (vote_deep - vote_small) / (50 * 12))
    vote = max(0.0, (vote_wide - vote_small) / 200 - 4 * vote_sample)
    host = Host(
        draw=draw,
        draw_bytes=stored["small"] / (50 * 4),
        vote=vote,
        vote_sample=vote_sample,
        memory=drawn["small"][1],
        memory_question=max(0.0, (drawn["more questions"][1] - drawn["small"][1]) / 200),
    )
    print(f"measured on this machine, completions of {tokens} tokens, processor time of one core")
    for name, value in vars(host).items():
        print(f"  {name:16} {value:.3g}")
    questions, samples = sizes["check"]
    told = {
        "seconds of sampling": (small + (questions * samples - 200) * draw, drawn["check"][0]),
        "seconds of evaluating": (
            vote_small + (questions - 50) * vote + (questions * samples - 200) * vote_sample,
            voted["check"][0],
        ),
        "MB of the store": (questions * samples * host.draw_bytes / 1e6, stored["check"] / 1e6),
    }
    print(f"predicted from the smaller runs for {questions} x {samples}, then made")
    for name, (expected, found) in told.items():
        print(f"  {name:22} {expected:8.2f} predicted {found:8.2f} measured  {found / expected:.2f} of it")
    return host


async def shape(steps: int = 48) -> None:
    """Whether a decoding step takes a fixed time and one per sequence: fitted at 1 and 4, told at 8."""
    from sampleset.chat import Message, SamplingParams
    from sampleset.models.opening import open_backend

    backend = open_backend("embedded")
    await backend.check()
    chat: list[Message] = [{"role": "user", "content": "Tell a long story about a lighthouse."}]
    found: dict[int, float] = {}
    for batch in (1, 4, 8):
        times: list[float] = []
        for _ in range(3):
            started, seconds = time.perf_counter(), time.process_time()
            drawn = await backend.generate(chat, SamplingParams(max_tokens=steps), range(batch))
            longest = max(one.completion_tokens or 0 for one in drawn)
            times.append((time.process_time() - seconds) / longest)
            print(f"  batch {batch}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        found[batch] = min(times)
    await backend.aclose()
    each = (found[4] - found[1]) / 3
    expected = found[1] + 7 * each
    print(
        f"a decoding step of the embedded model, processor time: {found[1] * 1e3:.1f} ms with 1 sequence,\n"
        f"  {found[4] * 1e3:.1f} with 4; {expected * 1e3:.1f} predicted with 8, "
        f"{found[8] * 1e3:.1f} measured, {found[8] / expected:.2f} of it"
    )


if __name__ == "__main__":
    main()
