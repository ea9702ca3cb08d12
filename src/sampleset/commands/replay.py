"""Stopping rules on stored sample sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.options import (
    AnswerOptions,
    FirstBatch,
    OptionGroup,
    Seed,
    SetOptions,
    VerdictFile,
    argument,
    option,
    saved_settings,
)
from sampleset.commands.run import Run, print_json, run_async
from sampleset.evaluation import ReplayFile, ReplayOptions, replay_file
from sampleset.report import replay_csv, replay_dict, replay_tables
from sampleset.sampling.stopping import parse_stop
from sampleset.settings import save_settings
from sampleset.storage.sample_sets import SampleFile
from sampleset.wording import plural


@dataclass(frozen=True, kw_only=True)
class RuleOptions(OptionGroup):
    """Which rules are replayed, and how."""

    stop: Annotated[str, option("--stop", help="Rules, parted by commas: beta:P, dirichlet:P, esc:W.")] = (
        "beta:0.8,beta:0.9,beta:0.95,dirichlet:0.95,esc:3,esc:4,esc:5"
    )
    k: Annotated[
        int | None, option("-k", "--k", help="Samples per question at most; by default the smallest set's.")
    ] = None
    orders: Annotated[int, option("--orders", help="Orders of each question's samples.")] = 20
    first_batch: FirstBatch = None
    resample: Annotated[
        bool, option("--resample", help="Draw the k from a set's samples with replacement.")
    ] = False
    seed: Seed = 0
    verdicts: VerdictFile = None

    def options(self, keep_thinking: bool) -> ReplayOptions:
        """The same, for the replay."""
        return ReplayOptions(
            rules=tuple(parse_stop(rule) for rule in self.stop.split(",")),
            k=self.k,
            orders=self.orders,
            first_batch=self.first_batch,
            with_replacement=self.resample,
            seed=self.seed,
            keep_thinking=keep_thinking,
        )


EXAMPLE = "sampleset replay store --stop beta:0.95,esc:4"


def replay(
    samples: Annotated[list[Path], argument("Stores or files of sample sets, with gold answers.")],
    rules: RuleOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    run: Run,
    output_dir: Annotated[
        Path | None, option("--output-dir", help="Write replay.json and replay.csv here.")
    ] = None,
) -> None:
    """Replay stopping rules on stored sets: accuracy against samples and tokens, without drawing anything."""
    settings = saved_settings("replay", rules, sets, answers, samples=samples, output_dir=output_dir)
    use_verdict_store(rules.verdicts or default_verdict_path())
    kinds = answers.kinds(inline=True)
    files = [sets.sample_file(path, answers, run.note).with_kinds(kinds) for path in samples]
    options = rules.options(sets.keep_thinking)
    replayed = run_async(replay_files(files, options, output_dir, settings, run))
    if run.as_json:
        print_json(replay_dict(replayed, settings))
        return
    from rich.console import Console

    for table in replay_tables(replayed):
        Console().print(table, end="\n\n")
    run.next("sample", "DATASET", "--output-dir", "STORE", "--stop", rules.stop.split(",")[0])


async def replay_files(
    files: Sequence[SampleFile],
    options: ReplayOptions,
    output_dir: Path | None,
    settings: dict[str, Any],
    run: Run,
) -> list[ReplayFile]:
    """Stopping rules on each file; writes the tables' numbers if there is a folder for them."""
    replayed: list[ReplayFile] = []
    with run.status_line() as show:
        for file in files:
            name = file.name

            def show_done(done: int, name: str = name) -> None:
                show(f"{name}: {plural(done, 'question')}")

            replayed.append(await replay_file(name, file, options, show_done))
    if output_dir is not None:
        save_settings(output_dir / "config.json", settings)
        save_settings(output_dir / "replay.json", replay_dict(replayed, settings))
        (output_dir / "replay.csv").write_text(replay_csv(replayed), encoding="utf-8")
    return replayed
