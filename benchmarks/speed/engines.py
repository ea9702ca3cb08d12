"""The embedded model on its engines, side by side: reading, scoring sets, drawing; and whether they agree.

    python benchmarks/speed/engines.py
    python benchmarks/speed/engines.py --sets 300 --only sets FILE...
    python benchmarks/speed/engines.py --exact transformers --only exact
    python benchmarks/speed/engines.py --only sets --engines openvino --before CHECKOUT
    python benchmarks/speed/engines.py --only rounding --sets 10

All engines are loaded in one process and take turns at every piece of work. Ratios are of processor seconds
(of all threads); the time on the clock stands beside them. `sets` has the packaged trained aggregator read
recorded sets of k samples on which it is asked, and compares scores, confidences and picks. `exact` compares
scores of the plain model on the same prompts with those of transformers in 32-bit floats. `rounding` compares
ways to compute on OpenVINO with its 32-bit floats: what each kind of rounding costs and saves. `profile`
prints which operations of OpenVINO take the time of a prompt.

Ctrl-C ends the part at work after the set in hand, and what it has is printed. With `--before`, the first
engine of another checkout of this package, in a process beside this one, takes its turns at the sets.
"""

import argparse
import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from timing import in_turns

from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.base import BACKENDS
from sampleset.chat import Continuation, Message, SamplingParams
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Answer, SampleSet

DATA = Path(__file__).parents[2] / "src" / "sampleset" / "data"
RECORDED = [DATA / "gsm8k_small8_100.jsonl.gz", DATA / "gsm8k_qwen05b_100.jsonl.gz"]
PARTS = ("read", "sets", "draw", "exact", "rounding", "profile")
ROUNDING: dict[str, tuple[dict[str, bool], dict[str, object]]] = {
    "32-bit floats": ({"exact": True}, {}),
    "as shipped": ({}, {}),
    "the same, adapter beside the weights": ({"merge_adapter": False}, {}),
    "the same, attention in 32-bit floats": (
        {"merge_adapter": False},
        {"KV_CACHE_PRECISION": "f16", "attention": "f32"},
    ),
    "activations in groups of 32": ({}, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 32}),
    "bfloat16, activations not in groups": (
        {},
        {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0, "INFERENCE_PRECISION_HINT": "bf16"},
    ),
    "bfloat16, activations in groups": ({}, {"INFERENCE_PRECISION_HINT": "bf16"}),
}
"""Ways to compute: options of the backend, and OpenVINO's options in place of the engine's."""
QUESTION = (
    "A train leaves at 9 and goes 60 miles an hour; another leaves at 10 and goes 80 miles an hour the same "
    "way. When does the second catch up? Think step by step. "
)


@dataclass
class Reader:
    """An engine's trained aggregator, and what was seen of it."""

    backend: Any
    permutations: int
    aggregator: SampleSetAggregator = field(init=False)
    calls: list[tuple[Sequence[Message], Sequence[str], list[Continuation]]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        score = self.backend.score

        async def scored(messages: Sequence[Message], texts: Sequence[str]) -> list[Continuation]:
            scores = await score(messages, texts)
            self.calls.append((messages, texts, scores))
            return scores

        self.backend.score = scored
        self.aggregator = SampleSetAggregator(self.backend, permutations=self.permutations)


@dataclass(frozen=True)
class Spent:
    """What a set took on which an aggregator was asked: seconds of processor and clock, and tokens read."""

    processor: float
    clock: float
    tokens: int


async def read_set(reader: Reader, sample_set: SampleSet) -> Spent | None:
    """Read a set; `None` if the aggregator did not ask its model."""
    calls, tokens = len(reader.calls), getattr(reader.backend, "tokens_read", 0)
    clock, processor = time.perf_counter(), time.process_time()
    answer = await reader.aggregator.aggregate(sample_set)
    if len(reader.calls) == calls:
        return None
    reader.answers.append(answer)
    return Spent(
        time.process_time() - processor,
        time.perf_counter() - clock,
        getattr(reader.backend, "tokens_read", 0) - tokens,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", default=RECORDED, help="recorded sets")
    parser.add_argument("--engines", nargs="+", default=["openvino", "llamacpp"])
    parser.add_argument("--exact", default="transformers", help="engine of 32-bit floats that `exact` asks")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS[:3])
    parser.add_argument("--sets", type=int, default=20, help="on which the aggregator is asked")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--permutations", type=int, default=1)
    parser.add_argument("--sequences", type=int, nargs="+", default=[5, 20, 64])
    parser.add_argument("--tokens", type=int, default=32, help="of a draw")
    parser.add_argument("--model", default="embedded", help="that reads and draws; a .gguf file, say")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another version of this package")
    parser.add_argument("--read-by-line", action="store_true", help=argparse.SUPPRESS)
    asyncio.run(run(parser.parse_args()))


async def run(arguments: argparse.Namespace) -> None:
    if arguments.read_by_line:
        await read_by_line(arguments)
        return
    print(f"{arguments.threads} threads; {', '.join(arguments.engines)}")
    if "read" in arguments.only:
        await read(arguments)
    if "draw" in arguments.only:
        await draw(arguments)
    if {"sets", "exact"} & set(arguments.only):
        await sets(arguments)
    if "rounding" in arguments.only:
        await rounding(arguments)
    if "profile" in arguments.only:
        await profile(arguments)


def opened(arguments: argparse.Namespace, engine: str, model: str, **options: int) -> Any:
    return BACKENDS.get(engine)(model=model, threads=arguments.threads, **options)


async def read(arguments: argparse.Namespace) -> None:
    """A prompt of some 1,200 tokens, another each time, and one token drawn after it."""
    backends = {engine: opened(arguments, engine, arguments.model) for engine in arguments.engines}
    counter = iter(range(1_000_000))
    lengths: dict[str, int] = {}

    async def once(engine: str) -> None:
        messages = [{"role": "user", "content": f"{next(counter)}. {QUESTION * 24}"}]
        (reply,) = await backends[engine].generate(messages, SamplingParams(max_tokens=1), [0])
        lengths[engine] = reply.prompt_tokens

    times = await in_turns(
        {engine: lambda engine=engine: once(engine) for engine in backends}, arguments.repeats
    )
    base = median(times[arguments.engines[0]].processor)
    print(f"\nreading a prompt of {lengths[arguments.engines[0]]} tokens, {arguments.model}")
    for engine, one in times.items():
        seconds = median(one.processor)
        print(
            f"  {engine:10} {lengths[engine] / seconds:7.0f} tokens a core-second   x {seconds / base:5.2f}"
            f"   {median(one.clock):.2f} s on the clock"
        )
    for backend in backends.values():
        await backend.aclose()


async def draw(arguments: argparse.Namespace) -> None:
    """Draws of a few questions together."""
    print(f"\ndrawing {arguments.tokens} tokens a sequence, {arguments.model}; prompts not counted")
    for count in arguments.sequences:
        backends = {
            engine: opened(
                arguments,
                engine,
                arguments.model,
                **({"group_size": count} if engine == "llamacpp" else {"max_sequences": count}),
            )
            for engine in arguments.engines
        }
        written: dict[str, list[int]] = {engine: [] for engine in backends}

        async def once(
            engine: str, count: int = count, backends: Any = backends, written: Any = written
        ) -> None:
            messages = [{"role": "user", "content": QUESTION}]
            params = SamplingParams(max_tokens=arguments.tokens, temperature=1.0)
            calls = [[seed] for seed in range(count)] if engine == "openvino" else [list(range(count))]
            replies = await asyncio.gather(
                *(backends[engine].generate(messages, params, seeds) for seeds in calls)
            )
            written[engine].append(sum(one.completion_tokens for reply in replies for one in reply))

        ways = {engine: lambda engine=engine, once=once: once(engine) for engine in backends}
        times = await in_turns(ways, arguments.repeats)
        rates = {
            engine: median(
                tokens / seconds
                for tokens, seconds in zip(written[engine][-arguments.repeats :], one.processor, strict=True)
            )
            for engine, one in times.items()
        }
        base = rates[arguments.engines[0]]
        shown = ", ".join(f"{engine} {rate:.0f} (x {base / rate:.2f})" for engine, rate in rates.items())
        print(f"  {count:3} sequences: tokens a core-second {shown}")
        for backend in backends.values():
            await backend.aclose()


async def sets(arguments: argparse.Namespace) -> None:
    readers = {
        engine: Reader(opened(arguments, engine, "embedded-ssa"), arguments.permutations)
        for engine in arguments.engines
    }
    spent: dict[str, list[Spent]] = {engine: [] for engine in readers}
    before = earlier(arguments) if arguments.before else None
    for reader in readers.values():
        await reader.backend.check()
    asked = 0
    earlier_sets: list[tuple[Spent, list[Continuation]]] = []
    interrupted = interrupts()
    for sample_set in recorded(arguments.files, arguments.k):
        if asked == arguments.sets or interrupted.is_set():
            break
        names = list(readers)
        names = names[asked % len(names) :] + names[: asked % len(names)]
        for engine in names:
            if (taken := await read_set(readers[engine], sample_set)) is not None:
                spent[engine].append(taken)
        if before is not None and (row := next_row(before)) is not None:
            earlier_sets.append((Spent(*row["spent"]), [Continuation(*score) for score in row["scores"]]))
        asked = len(readers[names[0]].answers)
    first = arguments.engines[0]
    if "sets" in arguments.only:
        prompts = [scores[0].prompt_tokens for _, _, scores in readers[first].calls]
        print(
            f"\nembedded-ssa, {asked} sets of {arguments.k} on which it is asked, {arguments.permutations} "
            f"orders; prompts of {fmean(prompts):.0f} tokens"
        )
        base = median(one.processor for one in spent[first])
        before_name = f"{first}, before"
        for engine, each in {**spent, before_name: [taken for taken, _ in earlier_sets]}.items():
            if not each:
                continue
            seconds = median(one.processor for one in each)
            read_tokens = fmean(one.tokens for one in each)
            print(
                f"  {engine:10} {seconds:6.2f} core-seconds a set   x {seconds / base:5.2f}   "
                f"{median(one.clock for one in each):6.2f} s on the clock"
                + (f"   {read_tokens:.0f} tokens read" if read_tokens else "")
            )
        for engine in arguments.engines[1:]:
            compare(f"{first} and {engine}", readers[first], readers[engine])
        if earlier_sets:
            scores = [scores for *_, scores in readers[first].calls]
            show_differences(f"{first} and {before_name}", scores, [scores for _, scores in earlier_sets])
    if before is not None:
        before.communicate()
    calls = [(messages, texts) for messages, texts, _ in readers[first].calls]
    for reader in readers.values():
        await reader.backend.aclose()
    if "exact" in arguments.only:
        await exact(arguments, calls)


def earlier(arguments: argparse.Namespace) -> subprocess.Popen[str]:
    """This program on the source of another checkout, which reads the next set for each line that it gets."""
    command = [sys.executable, __file__, *map(str, arguments.files), "--read-by-line"]
    command += [
        "--engines",
        arguments.engines[0],
        "-k",
        str(arguments.k),
        "--threads",
        str(arguments.threads),
    ]
    command += ["--permutations", str(arguments.permutations)]
    source = str((arguments.before / "src").resolve())
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=os.environ | {"PYTHONPATH": source}
    )


def next_row(process: subprocess.Popen[str]) -> Any:
    """What the other process found on its next set; `None` if its aggregator did not ask."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


async def read_by_line(arguments: argparse.Namespace) -> None:
    reader = Reader(opened(arguments, arguments.engines[0], "embedded-ssa"), arguments.permutations)
    await reader.backend.check()
    for sample_set, _ in zip(recorded(arguments.files, arguments.k), sys.stdin, strict=False):
        taken = await read_set(reader, sample_set)
        row = None
        if taken is not None:
            scores = reader.calls[-1][2]
            row = {
                "spent": [taken.processor, taken.clock, taken.tokens],
                "scores": [[score.logprob, score.tokens, score.prompt_tokens] for score in scores],
            }
        print(json.dumps(row), flush=True)
    await reader.backend.aclose()


async def exact(
    arguments: argparse.Namespace, calls: Sequence[tuple[Sequence[Message], Sequence[str]]]
) -> None:
    """Scores of the plain model by every engine against those of 32-bit floats."""
    scores: dict[str, list[list[Continuation]]] = {}
    backends: dict[str, Any] = {}
    for engine in (arguments.exact, *arguments.engines):
        options = {"dtype": "float32"} if engine == "transformers" else {"threads": arguments.threads}
        model = "transformers:embedded" if engine == "transformers" else "embedded"
        backends[engine] = BACKENDS.get(engine)(model=model, **options)
        scores[engine] = []
    interrupted = interrupts()
    for messages, texts in calls:
        if interrupted.is_set():
            break
        for engine, backend in backends.items():
            scores[engine].append(await backend.score(messages, texts))
    for backend in backends.values():
        await backend.aclose()
    print(f"\nscores of the plain embedded model on {len(scores[arguments.exact])} of these prompts")
    for engine in arguments.engines:
        show_differences(f"{engine} and {arguments.exact}", scores[engine], scores[arguments.exact])
    for engine in arguments.engines[1:]:
        show_differences(f"{arguments.engines[0]} and {engine}", scores[arguments.engines[0]], scores[engine])


async def rounding(arguments: argparse.Namespace) -> None:
    """Scores of `embedded-ssa` and their time by each way of `ROUNDING`, in turns."""
    backends: dict[str, Any] = {}
    for name, (options, changes) in ROUNDING.items():
        backends[name] = BACKENDS.get("openvino")(model="embedded-ssa", threads=arguments.threads, **options)
        with changed(changes):
            await backends[name].check()
    first = next(iter(backends))
    reader = Reader(backends[first], arguments.permutations)
    times: dict[str, list[float]] = {name: [] for name in backends}
    scores: dict[str, list[list[Continuation]]] = {name: [] for name in backends}
    interrupted = interrupts()
    for sample_set in recorded(arguments.files, arguments.k):
        if len(scores[first]) == arguments.sets or interrupted.is_set():
            break
        if (taken := await read_set(reader, sample_set)) is None:
            continue
        messages, texts, found = reader.calls[-1]
        times[first].append(taken.processor)
        scores[first].append(found)
        for name in list(backends)[1:]:
            processor = time.process_time()
            scores[name].append(await backends[name].score(messages, texts))
            times[name].append(time.process_time() - processor)
    for backend in backends.values():
        await backend.aclose()
    base = median(times["as shipped"])
    print(f"\nembedded-ssa on {len(scores[first])} sets of {arguments.k}, beside {first}")
    for name in backends:
        print(f"  {name}: {median(times[name]):.2f} core-seconds a set, x {median(times[name]) / base:.2f}")
        if name != first:
            show_differences("  ", scores[name], scores[first])


async def profile(arguments: argparse.Namespace) -> None:
    """Shares of the operations in reading a prompt, by OpenVINO's counters, which go by the clock."""
    names = ("as shipped", "the same, adapter beside the weights", "the same, attention in 32-bit floats")
    for name in names:
        options, changes = ROUNDING[name]
        backend = BACKENDS.get("openvino")(model="embedded-ssa", threads=arguments.threads, **options)
        with changed({**changes, "PERF_COUNT": True}):
            await backend.check()
        seconds: Counter[str] = Counter()
        processor = 0.0
        for number in range(1 + arguments.repeats):
            # A continuation of one token takes no call after the prompt's.
            messages = [{"role": "user", "content": f"{number}. {QUESTION * 13}"}]
            start = time.process_time()
            (score,) = await backend.score(messages, ["1"])
            processor += (time.process_time() - start) * bool(number)  # the first warms up
            counters = backend._shared.engine_of(backend)._worker.model._request.profiling_info
            for one in counters if number else ():
                seconds[f"{one.node_type}, {one.exec_type}"] += one.real_time.total_seconds()
        await backend.aclose()
        total = seconds.total()
        print(
            f"\na prompt of {score.prompt_tokens} tokens, {name}: "
            f"{processor / arguments.repeats:.2f} core-seconds"
        )
        for operation, spent in seconds.most_common(6):
            print(f"  {spent / total:5.1%}  {operation}")


@contextmanager
def changed(options: dict[str, object]) -> Iterator[None]:
    """Models are compiled with these options; `attention` in "f32" leaves out the step to bfloat16."""
    import openvino

    from sampleset.engines.openvino import paged

    compile_model, attend = openvino.Core.compile_model, paged._attend_in_bfloat16
    ours = {name: value for name, value in options.items() if name != "attention"}

    def compiled(core: Any, model: Any, device: str, config: dict[str, Any]) -> Any:
        return compile_model(core, model, device, {**config, **ours})

    openvino.Core.compile_model = compiled
    if "attention" in options:
        paged._attend_in_bfloat16 = lambda model: None
    try:
        yield
    finally:
        openvino.Core.compile_model, paged._attend_in_bfloat16 = compile_model, attend


def interrupts() -> asyncio.Event:
    """An event that the next Ctrl-C sets."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, event.set)
    return event


def recorded(files: Sequence[Path], k: int) -> Any:
    """The first k samples of each set, the files in turns."""
    sources = [iter(SampleFile(file)) for file in files]
    while sources:
        for source in list(sources):
            stored = next(source, None)
            if stored is None:
                sources.remove(source)
                continue
            whole: SampleSet = stored.sample_set
            yield replace(whole, samples=whole.samples[:k])


def compare(name: str, one: Reader, other: Reader) -> None:
    """Print how far two engines differ."""
    show_differences(name, [scores for *_, scores in one.calls], [scores for *_, scores in other.calls])
    pairs = list(zip(one.answers, other.answers, strict=True))
    same = sum(first.answer == second.answer for first, second in pairs)
    apart = [abs((first.confidence or 0) - (second.confidence or 0)) for first, second in pairs]
    print(
        f"    the same pick on {same} of {len(pairs)} sets; confidences {fmean(apart):.3f} apart on average, "
        f"{max(apart):.3f} at most"
    )
    for first, second in pairs:
        if first.answer != second.answer:
            print(f"    {first.id}: {first.confidence:.3f} and {second.confidence:.3f}")


def show_differences(
    name: str, one: Sequence[Sequence[Continuation]], other: Sequence[Sequence[Continuation]]
) -> None:
    apart: list[float] = []
    picks = alike = 0
    for first, second in zip(one, other, strict=True):
        lengths = [(score.tokens, score.prompt_tokens) for score in first]
        if lengths != [(score.tokens, score.prompt_tokens) for score in second]:
            continue  # transformers cuts some texts of this model in another way
        alike += 1
        apart += [abs(a.logprob - b.logprob) / max(a.tokens, 1) for a, b in zip(first, second, strict=True)]
        best = [
            max(range(len(scores)), key=lambda place: scores[place].logprob) for scores in (first, second)
        ]
        picks += best[0] == best[1]
    if not apart:
        print(f"  {name}: no prompt is cut into the same tokens")
        return
    apart.sort()
    nearly_all = apart[math.ceil(len(apart) * 0.95) - 1]
    print(
        f"  {name}: {fmean(apart):.4f} nats a token apart on average, {nearly_all:.4f} in 95 of 100,"
        f" {apart[-1]:.4f} at most; the same text likeliest in {picks} of {alike}"
        + (f"; {len(one) - alike} prompts are cut into other tokens" if alike < len(one) else "")
    )


if __name__ == "__main__":
    main()
