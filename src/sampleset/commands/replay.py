"""Stopping rules on stored sample sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sampleset.commands.progress import status_line
from sampleset.evaluation import (
    ReplayFile,
    ReplayOptions,
    replay_file,
)
from sampleset.report import replay_csv, replay_dict
from sampleset.settings import save_settings
from sampleset.storage.sample_sets import SampleFile


async def replay_files(
    files: Sequence[SampleFile], options: ReplayOptions, output_dir: Path | None, settings: dict[str, Any]
) -> list[ReplayFile]:
    """Stopping rules on each file; writes the tables' numbers if there is a folder for them."""
    replayed: list[ReplayFile] = []
    with status_line() as show:
        for one in files:
            name = one.name

            def told(done: int, name: str = name) -> None:
                show(f"{name}: {done} questions")

            replayed.append(await replay_file(name, one, options, told))
    if output_dir is not None:
        save_settings(output_dir / "replay.json", replay_dict(replayed, settings))
        (output_dir / "replay.csv").write_text(replay_csv(replayed), encoding="utf-8")
    return replayed
