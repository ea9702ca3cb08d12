"""JSON of servers and clients, read so that a large value holds nobody else up."""

from __future__ import annotations

import json
import json.scanner
from typing import Any

LOWEST_LOGPROB = -9999.0
"""A token of probability 0, as OpenAI and vLLM write it; other servers write -inf or the lowest float."""

_FEW = 100_000
"""Bytes that cannot hold many values."""
_MANY = {"brackets and braces": 600_000, "names and texts": 600_000}


def parsed(raw: bytes | bytearray | str, *, strict: bool = False) -> Any:
    """The value of a JSON text.

    Of the numbers that are not JSON, `-Infinity` is a logarithm, and the others are `None`.

    Args:
        raw: The text, or its bytes.
        strict: Whether line breaks may not stand in texts as they are.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    text = raw if isinstance(raw, str) else raw.decode(json.detect_encoding(raw), "surrogatepass")
    return decoder_for(raw, strict=strict).decode(text.strip("\ufeff\x00 \t\r\n"))


def decoder_for(raw: bytes | bytearray | str, *, strict: bool = False) -> json.JSONDecoder:
    """What reads a JSON text without holding others up.

    The fast parsers keep other threads waiting until their end. A text of very many values is read in steps
    of Python, between which others get their turn.
    """
    return _DECODERS[has_many_values(raw), strict]


def has_many_values(raw: bytes | bytearray | str) -> bool:
    """Whether a parser would work on a JSON text for long."""
    if len(raw) <= _FEW:
        return False
    counts = counts_of(raw.encode("utf-8", "replace") if isinstance(raw, str) else raw)
    return any(counts[what] > most for what, most in _MANY.items())


def counts_of(raw: bytes | bytearray) -> dict[str, int]:
    """What makes reading a JSON text long: at most as many of each as there are, by what they are."""
    return {
        "brackets and braces": raw.count(b"[") + raw.count(b"{"),
        # A quote within a text is written with a backslash.
        "names and texts": (raw.count(b'"') - raw.count(b'\\"')) // 2,
        "commas": raw.count(b","),
    }


class _InSteps(json.JSONDecoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(object_pairs_hook=_in_steps, **options)
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]


def _in_steps(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs}


_DECODERS = {
    (in_steps, strict): kind(parse_constant={"-Infinity": LOWEST_LOGPROB}.get, strict=strict)
    for in_steps, kind in ((False, json.JSONDecoder), (True, _InSteps))
    for strict in (False, True)
}
