"""What batches of all providers share: a row for a request, a row for its reply, and an id that joins them.

A reply holds no question. Requests whose messages are the same are draws of one question. Without the
requests, the ids alone tell which replies belong together (`q7-0`, `q7-1`), and questions come from
`sampleset import --problems`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from sampleset.storage.foreign._chats import question_of_prompt
from sampleset.storage.foreign.base import ForeignSet, Source, grouped
from sampleset.storage.records import Row

_DRAW = re.compile(r"(?P<question>.+?)[-_.:#/](?:s|rs|sample|draw|seed|n|k)?[-_]?\d+")


def batch_sets(
    source: Source,
    identity: str,
    prompt: Callable[[Row], object],
    samples: Callable[[Row], list[dict[str, Any]] | None],
) -> Iterator[ForeignSet]:
    """One set a question: by the messages where the requests are here, else by the ids.

    Args:
        source: Rows of requests and rows of replies, in files of one folder, or a request in its reply's row.
        identity: The column of the id.
        prompt: What a row asks; `None` where it holds no request.
        samples: The samples of a row; `None` where it holds no reply.
    """
    prompts = {
        str(row.get(identity)): asked for _, _, row in source.rows() if (asked := prompt(row)) is not None
    }
    replies = [place for place in source.rows() if samples(place[2]) is not None]
    stems = _stems([str(row.get(identity)) for _, _, row in replies])

    def key(row: Row) -> str:
        name = str(row.get(identity))
        asked = prompt(row) or prompts.get(name)
        return stems[name] if asked is None else json.dumps(asked, sort_keys=True)

    def convert(row: Row) -> dict[str, Any]:
        name = str(row.get(identity))
        question = question_of_prompt(prompt(row) or prompts.get(name))
        known = {} if question is None else {"question": question}
        return ({} if row.get(identity) is None else {"id": stems[name]}) | known

    for index, foreign in enumerate(grouped(iter(replies), key, convert, lambda row: samples(row) or [])):
        foreign.row.setdefault("id", str(index))
        yield foreign


def _stems(identities: list[str]) -> dict[str, str]:
    """The question's part of each id: what ids of several draws share before their number.

    Where no two ids share it, numbers count questions, and an id is a question's.
    """
    stems = {identity: match["question"] for identity in identities if (match := _DRAW.fullmatch(identity))}
    if len(stems) < len(set(identities)) or len(set(stems.values())) in (1, len(stems)):
        return {identity: identity for identity in identities}
    return stems
