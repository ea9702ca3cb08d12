"""The SSA authors' published sets: `question` holds the question and all samples in one text.

It reads `Question: ...`, `Below are the proposed answers:`, `Answer 1:` and so on; `answer` is the gold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from sampleset.errors import DataError
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source, gold_fields
from sampleset.storage.rows import located

_BELOW = "\n\nBelow are the proposed answers:"
_NUMBERED = re.compile(r"\n\nAnswer (\d+):\n")


@FORMATS.register("ssa_rows")
class SsaRows:
    """Rows whose question holds the proposed answers."""

    title: ClassVar[str] = "published sets of the SSA authors"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether the question holds the line that the answers stand below."""
        question = source.first_mapped.get("question")
        return isinstance(question, str) and _BELOW in question

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a row."""
        for index, (file, number, row) in enumerate(source.rows()):
            with located(file, number):
                question, below, proposed = str(row.get("question")).partition(_BELOW)
                samples = _samples(proposed)
                if not below or not samples:
                    raise DataError("no proposed answers below the question")
                gold = row.get("answer")
                converted = {
                    "id": str(row.get("id", index)),
                    "question": (question.partition("Question: ")[2] or question).strip(),
                    **(gold_fields(str(gold)) if gold is not None else {}),
                    "samples": samples,
                }
                yield ForeignSet(file, number, converted, row)


def _samples(proposed: str) -> list[str]:
    """The texts under `Answer 1:`, `Answer 2:`, ...; a number out of turn is a sample's own heading."""
    starts: list[re.Match[str]] = []
    for match in _NUMBERED.finditer(proposed):
        if int(match[1]) == len(starts) + 1:
            starts.append(match)
    ends = [*(match.start() for match in starts[1:]), len(proposed)]
    return [proposed[match.end() : end].strip() for match, end in zip(starts, ends, strict=False)]
