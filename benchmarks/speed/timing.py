"""Times of several ways to do one thing, for the benchmarks: a warm-up each, then in turns."""

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Way = Callable[[], Awaitable[object] | object]


@dataclass
class Times:
    """Seconds of each repetition: on the clock, and on the processor by this process and its threads."""

    clock: list[float] = field(default_factory=list[float])
    processor: list[float] = field(default_factory=list[float])


async def in_turns(ways: Mapping[str, Way], repeats: int, warm_up: bool = True) -> dict[str, Times]:
    """Times of each way; the one that goes first changes with every repetition."""
    names = list(ways)
    times = {name: Times() for name in names}
    for repeat in range(-int(warm_up), repeats):
        for place in range(len(names)):
            name = names[(repeat + place) % len(names)]
            clock, processor = time.perf_counter(), time.process_time()
            done = ways[name]()
            if inspect.isawaitable(done):
                await done
            if repeat >= 0:
                times[name].clock.append(time.perf_counter() - clock)
                times[name].processor.append(time.process_time() - processor)
    return times


def ratios(of: Sequence[float], to: Sequence[float]) -> str:
    """Median of the quotients of each repetition, with the least and the most."""
    each = [one / base for one, base in zip(of, to, strict=True)]
    return f"{median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def table(times: Mapping[str, Times], base: str, work: Mapping[str, float], unit: str) -> str:
    """A line for each way: seconds, units of work per second, and its time as a multiple of the base's."""
    widest = max(map(len, times))
    lines = list[str]()
    for name, one in times.items():
        seconds = median(one.clock)
        spread = f"({min(one.clock):.2f} to {max(one.clock):.2f})"
        lines.append(
            f"{name:{widest}}  {seconds:7.2f} s {spread:18} {work[name] / seconds:9.2f} {unit}/s"
            f"   x {ratios(one.clock, times[base].clock)}"
            f", on the processor x {ratios(one.processor, times[base].processor)}"
        )
    return "\n".join(lines)
