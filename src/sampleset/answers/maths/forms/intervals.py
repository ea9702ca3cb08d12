"""Stretches of the real line with rational ends: which numbers several of them have in common."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from sampleset.answers.maths.forms.simple_forms import Form

_MOST_PAIRS = 256
INFINITE = frozenset((r"\infty", r"-\infty", r"+\infty"))


@dataclass(frozen=True, slots=True)
class Stretch:
    """An interval of the real line; an end that is `None` is infinite."""

    low: Fraction | None
    high: Fraction | None
    has_low: bool = False
    has_high: bool = False

    def __str__(self) -> str:
        low = r"-\infty" if self.low is None else str(self.low)
        high = r"\infty" if self.high is None else str(self.high)
        return f"{'[' if self.has_low else '('}{low},{high}{']' if self.has_high else ')'}"

    @property
    def point(self) -> Fraction | None:
        """The only number in it, if there is only one."""
        return self.low if self.low is not None and self.low == self.high else None

    def common(self, other: Stretch) -> Stretch | None:
        """The stretch that two have in common, if any."""
        lows = [(side.low, not side.has_low) for side in (self, other) if side.low is not None]
        highs = [(side.high, side.has_high) for side in (self, other) if side.high is not None]
        low, is_open = max(lows, default=(None, True))
        high, has_high = min(highs, default=(None, False))
        if (
            low is not None
            and high is not None
            and (low > high or (low == high and (is_open or not has_high)))
        ):
            return None
        return Stretch(low, high, not is_open, has_high)


def in_common(sides: list[list[Stretch]]) -> list[Stretch] | None:
    """What several unions of stretches have in common, `None` where it is too much to work out."""
    total, *others = sides
    for other in others:
        if len(total) * len(other) > _MOST_PAIRS:
            return None
        total = [part for first, second in product(total, other) if (part := first.common(second))]
    return total


def are_apart(stretches: list[Stretch]) -> bool:
    """Whether no number is in two of them."""
    return not any(
        first.common(second) for place, first in enumerate(stretches) for second in stretches[:place]
    )


def interval_text(form: Form) -> str:
    """An interval as text, its ends as they are written; empty where the form is none."""
    interval = form.parts[0] if form.kind == "inequality" else form
    if interval.kind not in ("interval", "parens", "brackets") or len(interval.parts) != 2:
        return ""
    low, high = (part.latex or part.text for part in interval.parts)
    return f"{interval.text[0]}{low},{high}{interval.text[-1]}"


def stretches_of(form: Form) -> list[Stretch]:
    """The stretches of an interval, a condition or a union of them; empty where an end is no number."""
    if form.kind == "union":
        sides = [stretches_of(part) for part in form.parts]
        return [side for found in sides for side in found] if all(sides) else []
    text = interval_text(form)
    interval = form.parts[0] if form.kind == "inequality" else form
    ends = [part.number.value if part.number else None for part in interval.parts]
    if not text or any(
        end is None and part.text not in INFINITE for end, part in zip(ends, interval.parts, strict=True)
    ):
        return []
    return [Stretch(ends[0], ends[1], text[0] == "[", text[-1] == "]")]
