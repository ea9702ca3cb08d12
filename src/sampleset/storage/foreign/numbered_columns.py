"""One row a question, one column a sample: `sample_1`, `sample_2`, ... or `response_0`, ..., as in tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from sampleset.storage.column_names import PROMPT_COLUMNS, mapped
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source, first_text, gold_fields, gold_of
from sampleset.storage.records import Row
from sampleset.storage.rows import located, natural

_NUMBERED = re.compile(
    r"((model|llm|raw)[ _.-]?)?"
    r"(samples?|completions?|responses?|generations?|gen|outputs?|reply|answers?|solutions?|predictions?"
    r"|attempts?|rollouts?|runs?|trials?)[ _.-]?\d+",
    re.I,
)


@FORMATS.register("numbered_columns")
class NumberedColumns:
    """Rows with a question and at least two numbered columns of samples."""

    title: ClassVar[str] = "one column a sample"
    general: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        """Whether a row has a question and numbered columns."""
        return len(_columns(source.first_mapped)) > 1 and _question(source.first_mapped) is not None

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a row; an empty cell is no sample."""
        for file, number, row in source.rows():
            with located(file, number):
                named = mapped(row, source.columns)
                columns = _columns(named)
                values: dict[str, Any] = {name: value for name, value in named.items() if name not in columns}
                if (question := _question(named)) is not None:
                    values = {"question": question} | values
                values |= gold_fields(gold_of(values))
                yield ForeignSet(file, number, {**values, "samples": [str(named[name]) for name in columns]})


def _question(row: Row) -> str | None:
    return first_text(row, PROMPT_COLUMNS)


def _columns(row: Row) -> list[str]:
    return sorted((name for name in row if _NUMBERED.fullmatch(name)), key=lambda name: natural(Path(name)))
