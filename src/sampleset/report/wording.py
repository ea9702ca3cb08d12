"""Numbers as text: shares in percent, differences in points, p-values, tokens, money."""

from __future__ import annotations

import re

from sampleset.evaluation.results import Interval, MethodResult, PointResult, Rate, TokenUse


def percent(share: float | None) -> str:
    """A share in percent with one decimal; `–` for `None`."""
    return "–" if share is None else f"{100 * share:.1f}"


def percent_range(interval: Interval) -> str:
    """An interval of shares, in percent."""
    return f"{percent(interval.low)}–{percent(interval.high)}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def points_range(interval: Interval) -> str:
    """An interval of differences, in points."""
    return f"{points(interval.low)}…{points(interval.high)}"


def p_value(p: float | None) -> str:
    """A p-value with three decimals; `–` for `None`."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def tokens(use: TokenUse) -> str:
    """Tokens per question; `~` marks an estimate, `+` says that some calls are not in the sum."""
    return f"{'~' if use.estimated else ''}{round(use.total):,}{'+' if use.uncounted else ''}"


def money(cost: float | None) -> str:
    """Money per question to three significant digits; `–` for `None`."""
    if cost is None:
        return "–"
    return "0" if cost == 0 else f"{cost:.3g}" if cost >= 0.0001 else f"{cost:.1e}"


def rate(share: Rate) -> str:
    """A rate in percent with the number of problems it is a share of."""
    return "–" if share.rate is None else f"{percent(share.rate)} ({weight(share.weight)})"


def weight(problems: float) -> str:
    """A number of problems, with a decimal only where it is not whole."""
    return f"{round(problems):,}" if abs(problems - round(problems)) < 0.05 else f"{problems:,.1f}"


def is_sure(interval: Interval) -> bool:
    """Whether the interval of a difference leaves out 0."""
    return interval.low > 0 or interval.high < 0


def vote_of(point: PointResult) -> MethodResult | None:
    """The majority vote that the others are compared with: the one without a corrected p-value."""
    return next((method for method in point.methods if method.p_holm is None), None)


def inline(text: str) -> str:
    """Text that Markdown shows as it is, in a table cell too."""
    return re.sub(r"([\\|*`<>\[\]&])", r"\\\1", " ".join(text.split()))
