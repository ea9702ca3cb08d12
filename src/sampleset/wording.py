"""Numbers of things in sentences."""

from __future__ import annotations


def plural(count: int, word: str, words: str | None = None) -> str:
    """`1 problem`, `2 problems`; `words` are several of those that do not end in an s, such as `tries`."""
    return f"1 {word}" if count == 1 else f"{count:,} {words or f'{word}s'}"
