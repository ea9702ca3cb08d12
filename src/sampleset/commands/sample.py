"""Draw samples for every question of a dataset into a store."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sampleset.answers import Kinds, RunCode
from sampleset.commands.opening import Drawing, opened_samplers
from sampleset.commands.progress import sampling_line, status_line
from sampleset.datasets.base import read_dataset
from sampleset.sampling.pool import Pool
from sampleset.sampling.sampler import SamplingProgress
from sampleset.settings import save_settings
from sampleset.storage.files import check_target, write_rows


async def sample_dataset(
    dataset: str,
    folder: Path,
    drawing: Drawing,
    *,
    limit: int | None,
    shuffle: int | None,
    data_dir: Path | None,
    columns: Mapping[str, str] | None,
    answer_kind: str | None,
    export: Path | None,
    settings: dict[str, Any],
    run_code: RunCode = "off",
) -> dict[str, Any]:
    """Draw samples for every problem of a dataset into a store, and sum up what came back."""
    if export is not None:
        check_target(export)
    loaded = read_dataset(
        dataset, limit, data_dir=data_dir, columns=columns, answer_kind=answer_kind, shuffle=shuffle
    )
    problems = loaded.problems
    if loaded.is_part and limit is None:
        print(
            f"note: {loaded.source} holds {len(problems)} of the {loaded.stated} problems of {dataset}",
            file=sys.stderr,
        )
    with status_line() as show:
        async with opened_samplers(
            drawing, folder, len(problems), lambda now: show(sampling_line(now))
        ) as draws:
            assert draws.store is not None
            draws.store.add_problems(problems)
            save_settings(folder / "config.json", settings)
            kinds = Kinds(run_code=run_code)
            await Pool(draws.each).sample_many([kinds.bind(problem.question) for problem in problems])
    progress = draws.progress
    warn_of_identical(progress)
    drawn_under = ",".join(sampler.configuration.id for sampler in draws.each)
    if export is not None:
        write_rows(export, (one.to_row() for one in draws.store.sample_sets(drawn_under)))
    return {
        "questions": progress.questions // len(draws.each),
        "samples": progress.returned,
        "distinct": progress.distinct,
        "drawn_now": progress.drawn - progress.failed,
        "from_store": progress.reused,
        "failed": progress.failed,
        "retries": progress.retries,
        "stopped_early": progress.stopped or None,
        "not_needed": progress.spared or None,
        "cancelled": progress.cancelled or None,
        "capped": progress.capped or None,
        "below_quorum": list(progress.below_quorum),
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "store": str(folder),
        "configuration": drawn_under,
    }


def warn_of_identical(progress: SamplingProgress) -> None:
    """Warn on stderr where all draws of a question are one text."""
    if progress.seeds_ignored:
        print(
            "warning: all draws of a question are one and the same text. The server seems to ignore the "
            "seed, or to answer from a cache; such samples carry no more than one does.",
            file=sys.stderr,
        )
