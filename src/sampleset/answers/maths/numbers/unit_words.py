"""The words behind a number: a scale (`million`), a unit of measure, or what is counted."""

from __future__ import annotations

from sampleset.answers.maths.numbers.counts import NUMBER_WORDS, PLURAL_PARTS, SCALES
from sampleset.answers.maths.numbers.units import UNITS, read_unit, spelt_out
from sampleset.answers.maths.patterns import lazy_pattern

_POWERS = {"square": "^2", "sq": "^2", "cubic": "^3", "cu": "^3"}
_NOT_UNITS = frozenset([
    "and", "or", "if", "when", "not", "than", "to", "through", "plus", "minus", "times", "over", "by",
    "only", "more", "less", "sqrt", "sin", "cos", "tan", "log", "ln", "exp", "mod", "where", "for",
    "remainder", "pi", "factorial", "repeating", "recurring",
])  # fmt: skip
_MAX_UNIT_WORDS = 6
_POWER = lazy_pattern(r"\^\{([23])\}$")
LABEL_WORD = lazy_pattern(r"[A-Za-zÀ-ſ][A-Za-zÀ-ſ'.-]*")
_UNIT_PIECE = lazy_pattern(r"[A-Za-z]{2,}\.?(?:\^\{[23]\})?")
_ENDS_OPEN = lazy_pattern(
    r"[-+=<>^_,\s]$|\\(?:triangle|angle|measuredangle|parallel|perp|sim|cong|odot|bigcirc|times|cdot|pm|le|ge|in|ne)$"
)
"""What no number ends in: a sign, or a command before a name as in `\\triangle ABC`."""
_SLASH = lazy_pattern(r"(?<=[A-Za-z]) ?/ ?(?=[A-Za-z])")
_UNIT_TEXT = lazy_pattern(r"[A-Za-zÀ-ſ './()-]*")
_TEMPERATURES = {"c": "celsius", "celsius": "celsius", "f": "fahrenheit", "fahrenheit": "fahrenheit"}
_TWO_WORDS = lazy_pattern(r"\b(light|nautical) (years?|miles?)\b")
_PER_UNIT = lazy_pattern(r"( ?)(?:per|an?|/) ?([A-Za-z]+)$")


def unit_behind(rest: str) -> tuple[int, str | None, bool]:
    """The power of ten, the unit if it is known, and whether this may stand behind a number at all."""
    if not rest.strip():
        return 0, None, True
    rest = _TWO_WORDS.sub(r"\1-\2", rest)
    rate = _PER_UNIT.fullmatch(rest)
    if rate and rate[2] in UNITS and (rate[1] or "/" in rest):
        return 0, f"per {UNITS[rate[2]]}", True
    if rest.startswith(" per ") and (below := read_unit(rest, in_text_command=True)):
        return 0, below, True
    # `2nm` may be a product of variables; `2 nm` is a length.
    together = read_unit(rest) if rest[0] == " " or "/" in rest else None
    if together:
        return 0, together, True
    power = _POWER.search(rest)
    suffix = f"^{power[1]}" if power else ""
    body, slashes = _SLASH.subn(" per ", rest[: power.start()] if power else rest)
    if not _UNIT_TEXT.fullmatch(body) or body.lstrip()[:1] in ("-", "/"):
        return 0, None, False
    words = LABEL_WORD.findall(body)
    scale = 0
    while words and words[0].lower() in SCALES and body[0] == " ":
        scale += SCALES[words.pop(0).lower()]
    if not words:
        return scale, None, bool(scale)
    if len(words) > _MAX_UNIT_WORDS or any(word.lower() in _NOT_UNITS for word in words):
        return 0, None, False
    if words[0].lower() in NUMBER_WORDS or words[0].lower() in PLURAL_PARTS:
        return 0, None, False
    spaced = body[0] == " "
    unit, after = _measured(words)
    if len(words[0].rstrip(".")) == 1 and not (unit and (_is_rate(after) or (spaced and not after))):
        # `6m`, `2x`, `3 a b` are products of variables; `6 m` is six metres, `6m/s` a speed.
        return 0, None, False
    below, further = _measured(after[1:]) if _is_rate(after) else (None, after)
    if below:
        unit, after = f"{unit}/{below}" if unit and "/" not in unit else unit, further
    scale_name = after[0].lower() if unit == "degrees" and after else ""
    if scale_name in _TEMPERATURES:
        unit, after = _TEMPERATURES[scale_name], after[1:]
    if any(len(word.rstrip(".")) == 1 and word not in ("a", "A", "I") for word in after):
        return 0, None, False
    short = len(words[0].rstrip(".")) < 3 and words[0].rstrip(".") not in ("of", "in", "sq") and not slashes
    if not unit and (short or not spaced):
        return 0, None, False
    return scale, f"{unit}{suffix}" if unit else None, True


def _measured(words: list[str]) -> tuple[str | None, list[str]]:
    """The known unit that words open with, and the words after it: of `square feet of wall`, `ft^2`."""
    power = _POWERS.get(words[0].rstrip(".").lower(), "") if len(words) > 1 else ""
    name, *after = words[1:] if power else words
    name = name.rstrip(".")
    if name == "in" and after and after[0] != "per":
        return None, after  # "12 in total" are no inches
    unit = UNITS.get(name) or UNITS.get(name.lower()) or spelt_out(name.lower())
    if unit and after[:1] == ["squared"]:
        power, after = "^2", after[1:]
    return unit and f"{unit}{power}", after


def _is_rate(words: list[str]) -> bool:
    """Whether words go on a unit as "per hour" and "a day" do."""
    return len(words) > 1 and words[0].lower() in ("per", "a", "an")


def unit_apart(text: str) -> tuple[str, str]:
    r"""An expression and the unit after it, empty of one not known: of `12\pi cm^{2}`, `12\pi` and `cm^2`."""
    pieces = text.split(" ")
    for start in range(max(1, len(pieces) - 3), len(pieces)):
        unit = read_unit(" ".join(pieces[start:]))
        if (
            unit
            and pieces[start - 1].rstrip(".") not in _POWERS
            and not _ENDS_OPEN.search(number := " ".join(pieces[:start]))
        ):
            return number, unit
    start = len(pieces)
    while start > 1 and _UNIT_PIECE.fullmatch(pieces[start - 1]):
        start -= 1
    _, unit, is_unit = (
        unit_behind(" " + " ".join(pieces[start:])) if start < len(pieces) else (0, None, False)
    )
    number = " ".join(pieces[:start])
    return (number, unit or "") if is_unit and not _ENDS_OPEN.search(number) else (text, "")
