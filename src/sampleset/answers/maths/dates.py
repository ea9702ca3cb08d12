"""Dates and times of day: one text for the ways to write each.

A date in figures is read as month/day/year, or as year-month-day.
"""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)}|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_WRITTEN = (
    lazy_pattern(rf"{_MONTH} (?:the )?{_DAY}(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE),
    lazy_pattern(rf"(?:the )?{_DAY} (?:of )?{_MONTH}(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE),
)
_FIGURES = lazy_pattern(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}|\d{2})")
_ISO = lazy_pattern(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})")
_TIME = lazy_pattern(r"(\d{1,2})(?::(\d{2}))?(?: ?([AaPp])\.? ?[Mm]\.?)?( ?(?:noon|midnight))?")


def read_date(text: str) -> str | None:
    """`03/05/2021` of `March 5, 2021` and the like; without a year `march 5`; `None` if it is no date."""
    for pattern in (_FIGURES, _ISO, *_WRITTEN):
        found = pattern.fullmatch(text)
        if found:
            name = found["month"].casefold()
            month = int(name) if name.isdigit() else 1 + [one[:3] for one in _MONTHS].index(name[:3])
            day, year = int(found["day"]), found["year"]
            if 1 <= day <= 31:
                return f"{month:02}/{day:02}/{year}" if year else f"{_MONTHS[month - 1]} {day}"
    return None


def read_time(text: str) -> str | None:
    """`3:30 pm` of `3:30 p.m.` and `15:30`; `3:30`, of either half of the day, stays; or `None`."""
    found = _TIME.fullmatch(text)
    if not found or not (found[2] or found[3] or found[4]):
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    if hour > 24 or minute > 59 or (found[3] and not 1 <= hour <= 12):
        return None
    half = found[3].lower() if found[3] else ""
    if found[4]:
        if hour != 12:
            return None
        half = "a" if "mid" in found[4] else "p"
    elif hour in (0, 24):
        hour, half = 12, "a"
    elif hour > 12:
        hour, half = hour - 12, "p"
    return f"{hour}:{minute:02}" + (f" {half}m" if half else "")


def times_agree(first: str, second: str) -> bool:
    """Whether two times are one where the half of the day may be left out of either."""
    one, other = first.split(" "), second.split(" ")
    return one[0] == other[0] and (one[1:] == other[1:] or not (one[1:] and other[1:]))
