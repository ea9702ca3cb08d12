"""How many samples mention their answer in what a reader is shown of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sampleset.aggregators.base import tally
from sampleset.backends.base import Backend
from sampleset.prompts import Shown, cut_down
from sampleset.types import SampleSet


async def mention_share(
    sample_sets: Iterable[SampleSet],
    backend: Backend,
    drop_end_tokens: int | None = None,
    keep_end_tokens: int | None = None,
) -> float | None:
    """Share of the samples with an answer that mention it in what is shown of them.

    A mention is the answer as it was read, not within a longer word or number. It need not be marked as the
    answer; another spelling of it does not count.

    Args:
        sample_sets: The samples.
        backend: The reader, for its tokenizer.
        drop_end_tokens: Tokens at the end of each sample that are not shown.
        keep_end_tokens: Most tokens of what is left that are shown, the last ones.

    Returns:
        The share; `None` where no sample has an answer.
    """
    mentioned: list[bool] = []
    for sample_set in sample_sets:
        answers = (await tally(sample_set)).answers
        shown = await cut_down(
            [Shown(sample.text) for sample in sample_set.samples],
            sample_set.question,
            backend,
            drop_end_tokens=drop_end_tokens,
            keep_end_tokens=keep_end_tokens,
        )
        mentioned += [
            re.search(rf"(?<![\w.,]){re.escape(answer)}(?!\w|[.,]\d)", solution.text) is not None
            for answer, solution in zip(answers, shown, strict=True)
            if answer is not None
        ]
    return sum(mentioned) / len(mentioned) if mentioned else None
