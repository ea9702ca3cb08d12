"""The SSA authors' answers (arXiv 2506.09014, code): one JSON array of texts per pass over a dataset.

Each text is the whole chat as it was decoded, without markers. It is cut as the authors' scripts cut it: the
question stands between the first `user` and the next `assistant`, the sample after it. There is no gold
answer in these files; `sampleset import --problems` adds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from sampleset.errors import DataError
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source
from sampleset.storage.rows import located

_MARKS = (("user\n", "assistant\n"), ("USER:\n", "ASSISTANT:\n"))


@FORMATS.register("ssa_passes")
class SsaPasses:
    """A JSON array of decoded chats, or a folder with one such file per pass."""

    title: ClassVar[str] = "answers of the SSA authors, one file per pass"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether the first text is a chat."""
        text = source.first.get("text")
        return set(source.first) == {"text"} and isinstance(text, str) and _cut(text) is not None

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question, a sample from each pass, in the order of the passes' names."""
        sets: dict[int, ForeignSet] = {}
        for file in source.files:
            for index, (_, number, row) in enumerate(source.rows([file])):
                with located(file, number):
                    cut = _cut(str(row.get("text")))
                    if cut is None:
                        raise DataError("no chat: expected a text with 'user' and 'assistant' lines")
                    question, sample = cut
                    foreign = sets.setdefault(
                        index,
                        ForeignSet(
                            file, number, {"id": str(index), "question": question, "samples": []}, row
                        ),
                    )
                    if foreign.row["question"] != question:
                        raise DataError(
                            f"another question stands at this place than in {foreign.file.name}; passes have "
                            "the same questions in the same order"
                        )
                    foreign.row["samples"].append(sample)
        yield from sets.values()


def _cut(text: str) -> tuple[str, str] | None:
    """Question and sample."""
    for user, assistant in _MARKS:
        _, opened, rest = text.partition(user)
        question, replied, sample = rest.partition(assistant)
        if opened and replied:
            return question.strip(), sample.partition(assistant)[0].strip()
    return None
