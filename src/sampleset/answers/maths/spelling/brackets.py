"""Brackets and other delimiters: where they close, how a text is cut outside of them, what stands inside."""

from __future__ import annotations

from sampleset.answers.maths.patterns import lazy_pattern

MAX_DEPTH = 40
"""Braces and parentheses nested deeper than this are not read."""
_PAIRS = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("__", "__"),
    ("==", "=="),
    ("*", "*"),
    ("`", "`"),
    ('"', '"'),
    ("'", "'"),
)
_LONE_CLOSERS = ((r"\(", r"\)"), ("(", ")"), ("{", "}"))
_BOX = lazy_pattern(r"\\(?:boxed|fbox|framebox)\s?\{")


def too_deep(text: str) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`."""
    depth = 0
    for character in text:
        if character in "{([":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in "})]" and depth:
            depth -= 1
    return False


def balanced(text: str) -> bool:
    """Whether every bracket closes, whichever way: `(0,1]` is balanced."""
    depth = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        if depth < 0:
            return False
    return depth == 0


def closing(text: str, start: int) -> int:
    """Place of the bracket that closes the one at `start`, or -1."""
    depth = 0
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 2
            continue
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return -1


def split_top(text: str, separators: str) -> list[str]:
    """The text cut at separators (single characters) that stand outside all brackets."""
    parts: list[str] = []
    depth = start = 0
    escaped = False
    for position, character in enumerate(text):
        if character == "\\" and not escaped:
            escaped = True
            continue
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
        elif character in separators and depth <= 0 and not escaped:
            parts.append(text[start:position])
            start = position + 1
        escaped = False
    parts.append(text[start:])
    return [part.strip() for part in parts]


def without_delimiters(text: str) -> str:
    r"""Without the delimiters around the whole: `$`, `\(`, `**`, quotes, boxes, a full stop."""
    for _ in range(8):
        before = text
        text = text.strip()
        for opening, ending in _PAIRS:
            inner = text[len(opening) : -len(ending)]
            if (
                text.startswith(opening)
                and text.endswith(ending)
                and inner.strip()
                and opening not in inner
                and ending not in inner
            ):
                text = inner.strip()
        if (
            text.startswith("{")
            and text.endswith("}")
            and _BOX.match(text[1:].strip())
            and closing(text, 0) == len(text) - 1
        ):
            text = text[1:-1].strip()
        box = _BOX.match(text)
        if box and closing(text, box.end() - 1) == len(text) - 1:
            text = text[box.end() : -1]
        if text.endswith("\\") and not text.endswith("\\\\"):
            text = text[:-1]
        if text.endswith((".", ",", ";")) and not text.endswith((r"\,", r"\;", "...")):
            text = text[:-1]
        for opening, ending in _LONE_CLOSERS:
            is_lone = text.endswith(ending) and text.count(ending) == 1 and opening not in text
            if is_lone and "[" not in text and "]" not in text and not text.endswith("\\}"):
                text = text[: -len(ending)]
        if text == before:
            break
    return _drop_dollar_pairs(text)


def _drop_dollar_pairs(text: str) -> str:
    """Without math delimiters inside a text; a lone `$` is a currency sign and stays."""
    text = text.replace(r"\(", " ").replace(r"\)", " ") if r"\(" in text else text
    text = text.replace(r"\[", " ").replace(r"\]", " ") if r"\[" in text else text
    dollars = text.count("$") - text.count(r"\$")
    if dollars < 2 or dollars % 2:
        return text
    return text.replace(r"\$", "\x01").replace("$", "").replace("\x01", r"\$")
