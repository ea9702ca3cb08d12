"""One answer per stored sample set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import tee
from pathlib import Path
from typing import Any

from sampleset.answers import RunCode
from sampleset.commands.opening import ModelRef, opened_methods
from sampleset.commands.progress import status_line
from sampleset.errors import InvalidArgumentError
from sampleset.evaluation import (
    AnswerLog,
    answer_all,
)
from sampleset.models.retries import Patience
from sampleset.settings import save_settings
from sampleset.storage.files import JsonlLog
from sampleset.storage.records import answer_to_row
from sampleset.storage.sample_sets import SampleFile, smallest_set
from sampleset.types import Usage


async def aggregate_file(
    samples: Path,
    aggregator: str,
    *,
    k: int | None,
    aggregator_model: ModelRef,
    configuration: str | None,
    limit: int | None,
    columns: Mapping[str, str] | None,
    answer_kind: str | None,
    keep_thinking: bool,
    max_concurrency: int,
    patience: tuple[int, float | None],
    output_dir: Path | None,
    settings: dict[str, Any],
    run_code: RunCode = "off",
) -> dict[str, Any]:
    """One aggregator's answers over stored sets, to `answers.jsonl` or as JSON lines to stdout."""
    sets = SampleFile(samples, configuration, limit, columns, answer_kind)
    if k is not None:
        smallest, identity = smallest_set(sets)
        if not 1 <= k <= smallest:
            raise InvalidArgumentError(
                f"k={k} must lie between 1 and {smallest}, the samples of question {identity!r} in {samples}."
            )
    given = abstained = failed = 0
    async with opened_methods(
        [aggregator], aggregator_model, Patience(*patience), max_concurrency, output_dir, run_code
    ) as (methods, kinds):
        stored = (row.sample_set for row in sets.with_kinds(kinds))
        read = (one if keep_thinking else one.without_thinking() for one in stored)
        cut, shown = tee(one.subset(range(one.n if k is None else min(k, one.n))) for one in read)
        log = AnswerLog(
            JsonlLog(output_dir / "answers.jsonl") if output_dir else None, aggregator_model.context_size
        )
        if output_dir is not None:
            save_settings(output_dir / "config.json", settings)
        usage = Usage()
        with status_line() as show:
            async for answer in answer_all(methods[aggregator], cut, log, max_concurrency):
                sample_set = next(shown)
                given += 1
                abstained += answer.answer is None
                failed += "failed" in answer.flags
                usage += answer.usage
                show(f"{given} answers, {usage.total_tokens} tokens")
                if output_dir is None:
                    _write_line(answer_to_row(answer, sample_set.usage))
    return {
        "sets": given,
        "abstained": abstained,
        "failed": failed,
        "aggregation_tokens": usage.total_tokens,
        "answers": str(output_dir / "answers.jsonl") if output_dir else None,
    }


def _write_line(row: dict[str, Any]) -> None:
    # Lone surrogates, which models' broken byte pieces may leave, have no UTF-8 form.
    print(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode(), flush=True)
