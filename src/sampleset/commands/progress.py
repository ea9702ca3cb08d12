"""Progress on stderr: a bar and a live line on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from sampleset.wording import plural

if TYPE_CHECKING:
    from sampleset.evaluation import EvaluationProgress
    from sampleset.sampling.sampler import SamplingProgress
    from sampleset.training.loop import TrainingProgress

_EVERY = 10.0


class Show(Protocol):
    """Shows a text as the state of the work, and where the total is known how much of it is done."""

    def __call__(self, text: str, done: float = 0, total: float | None = None, /) -> None:
        """Show it."""
        ...


def show_nothing(text: str, done: float = 0, total: float | None = None, /) -> None:
    """The state of the work, for who wants none."""


@contextmanager
def status_line() -> Generator[Show]:
    """A function that shows the state of the work; bar and line are gone at the end."""
    if not sys.stderr.isatty():
        yield _plain_line()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.table import Column

    line = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, overflow="fold"))
    columns = SpinnerColumn(), BarColumn(bar_width=16), line
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as progress:
        task = progress.add_task("starting", total=None)

        def show(text: str, done: float = 0, total: float | None = None, /) -> None:
            progress.update(task, description=text, completed=done, total=total)

        yield show


def sampling_line(progress: SamplingProgress) -> str:
    """Questions done, draws, failures, tokens a second, and when it will be over."""
    elapsed = max(time.monotonic() - progress.started, 1e-3)
    parts = [f"{progress.questions}/{plural(progress.total, 'question')}", plural(progress.drawn, "draw")]
    if progress.reused:
        parts.append(f"{progress.reused} from the store")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.spared:
        parts.append(f"{progress.spared} not needed")
    if progress.capped:
        parts.append(f"{plural(progress.capped, 'question')} cut short by a cap")
    if progress.retries:
        parts.append(plural(progress.retries, "retry", "retries"))
    if (left := progress.waits_until - time.monotonic()) > 0:
        parts.append(f"waiting {duration(left)}: {progress.waits_for}")
    parts.append(f"{progress.completion_tokens / elapsed:.0f} tokens/s")
    if 0 < progress.questions < progress.total:
        parts.append(f"{duration(elapsed / progress.questions * (progress.total - progress.questions))} left")
    return ", ".join(parts)


def evaluation_line(progress: EvaluationProgress) -> str:
    """Problems done, tokens of the aggregation, and when it will be over."""
    elapsed = max(time.monotonic() - progress.started, 1e-3)
    parts = [f"{progress.source}: {progress.done}/{plural(progress.total, 'problem')}"]
    if progress.usage.total_tokens:
        parts.append(plural(progress.usage.total_tokens, "token"))
    if 0 < progress.done < progress.total:
        parts.append(f"{duration(elapsed / progress.done * (progress.total - progress.done))} left")
    return ", ".join(parts)


def training_line(progress: TrainingProgress) -> str:
    """Step, the figures that matter, and when it will be over."""
    done = progress.step - progress.started_at
    parts = [f"step {progress.step}/{progress.steps}"]
    if progress.skipped:
        parts.append(f"{plural(progress.skipped, 'row')} left out")
    for name in ("loss", "reward", "eval_reward", "eval_accuracy", "eval_vote", "eval_logprob"):
        if name in progress.figures:
            parts.append(f"{name.replace('_', ' ')} {progress.figures[name]:.3f}")
    if done and progress.step < progress.steps:
        pace = (time.monotonic() - progress.started) / done
        parts.append(f"{duration(pace * (progress.steps - progress.step))} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A duration as people write it: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"


def _plain_line() -> Show:
    shown_at = time.monotonic()

    def show(text: str, done: float = 0, total: float | None = None, /) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= _EVERY:
            shown_at = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return show
