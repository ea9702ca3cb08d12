"""The answer kind `json`: the JSON value of a reply, compared by value.

Numbers are equal by value (`1`, `1.0` and `1e0`), texts by their characters, objects whatever the order of
their keys. NaN and Infinity are not JSON. Reading is bounded: so many characters, levels and tries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from sampleset.answers.keyed import MAX_TEXT, Keyed, tagged_text
from sampleset.answers.maths.reading.extraction import Extracted
from sampleset.answers.maths.reading.reasoning import after_reasoning

MAX_DEPTH = 100
"""Levels of arrays and objects in one another."""
_MOST_WORK = 10 * MAX_TEXT
_LEAST_WORK = 1000
"""Characters read in vain before the search for a bare value ends, and what one try counts at least."""
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[ \t]*$", re.MULTILINE)
_OPENING = re.compile(r"[\[{]")


@dataclass(frozen=True, slots=True)
class Json(Keyed):
    """The value in the answer tags, else in the last fenced block that holds one, else the last in the text.

    Attributes:
        keys: Of objects, the keys that are compared; all by default.
    """

    keys: tuple[str, ...] = ()

    @property
    def spec(self) -> str:
        """As users type it."""
        return ":".join(filter(None, ("json", ",".join(self.keys))))

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The value as it is written."""
        text = _after_reasoning(text)
        tagged = tagged_text(text)
        if tagged is not None and (written := _written(tagged)) is not None:
            return Extracted(written, "answer_tag")
        for _, block in fenced_blocks(text):
            if _value(block) is not None:
                return Extracted(block.strip(), "fence")
        # Of a text that was cut off, what is not marked as the answer may be a part of it.
        written = None if truncated else _written(text)
        return Extracted(written, "last_value") if written is not None else None

    def key(self, answer: str) -> Hashable:
        """The value in a form that can be compared."""
        parsed = _value(answer)
        if parsed is None:
            return None
        (value,) = parsed
        if self.keys and isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            value = {key: members[key] for key in self.keys if key in members}
        return _comparable(value)


def _after_reasoning(text: str) -> str:
    """What follows the reasoning, unless the mark of its end stands inside a value."""
    rest = after_reasoning(text)
    if rest == text:
        return text
    mark = len(text) - len(rest)
    for block in (text, *(block for _, block in fenced_blocks(text))):
        start = text.rfind(block)
        if start < mark < start + len(block) and _value(block) is not None:
            return text
    return rest


def fenced_blocks(text: str) -> Iterator[tuple[str, str]]:
    """What stands between lines of three backquotes, last block first, each after the language it names."""
    blocks: list[tuple[str, str]] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        # A fence that names a language opens a block, even where the one before was never closed.
        if opening is None or fence[1]:
            opening = fence
        else:
            blocks.append((opening[1].lower(), text[opening.end() : fence.start()].strip("\n")))
            opening = None
    return reversed(blocks)


def _written(text: str) -> str | None:
    """The last JSON value of a text, as it is written; a bare number or text only if it is all there is."""
    for block in (text, *(block for _, block in fenced_blocks(text))):
        if _value(block) is not None:
            return block.strip()
    text = text[-MAX_TEXT:]
    last, position, left = "", 0, _MOST_WORK
    while left > 0 and (opening := _OPENING.search(text, position)):
        start = opening.start()
        try:
            _, position = _DECODER.raw_decode(text, start)
            last = text[start:position]
        except (ValueError, RecursionError) as error:
            left -= max(_LEAST_WORK, getattr(error, "pos", len(text)) - start)
            position = start + 1
    return last if _value(last) is not None else None


def _value(text: str) -> tuple[Any] | None:
    """The value of a text that is JSON, in a tuple; `None` if it is not, or beyond the bounds."""
    if not text.strip() or len(text) > MAX_TEXT:
        return None
    try:
        value = json.loads(text, cls=_Decoder)
    except (ValueError, RecursionError):
        return None
    return (value,) if _is_shallow(value) else None


def _is_shallow(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for item in level if isinstance(item, list | dict) for inner in _members(item)]
        if not level:
            return True
    return False


def _members(value: Any) -> Iterable[Any]:
    return cast("dict[str, Any]", value).values() if isinstance(value, dict) else value


def _comparable(value: Any) -> Hashable:
    """Equal values give equal results, and unequal ones others: `1`, `"1"` and `true` are three."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return "object", frozenset((key, _comparable(inner)) for key, inner in items)
    if isinstance(value, list):
        return "array", tuple(_comparable(inner) for inner in cast("list[Any]", value))
    if isinstance(value, Decimal):
        sign, digits, exponent = value.as_tuple()
        significant = "".join(map(str, digits)).lstrip("0")
        shortest = significant.rstrip("0")
        return (
            "number",
            bool(sign and shortest),
            shortest,
            (int(exponent) + len(significant) - len(shortest) if shortest else 0),
        )
    return type(value).__name__, value


def _number(text: str) -> Decimal:
    """A number, exactly. An exponent that no decimal number can have is an error like any other."""
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ValueError(f"a number out of range: {text[:40]}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Decoder(json.JSONDecoder):
    def __init__(self) -> None:
        super().__init__(parse_float=_number, parse_int=_number, parse_constant=_refuse_constant)


_DECODER = _Decoder()
