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
        match = pattern.fullmatch(text)
        if match:
            name = match["month"].casefold()
            month = (
                int(name)
                if name.isdigit()
                else 1 + [month_name[:3] for month_name in _MONTHS].index(name[:3])
            )
            day, year = int(match["day"]), match["year"]
            if 1 <= day <= 31:
                return f"{month:02}/{day:02}/{year}" if year else f"{_MONTHS[month - 1]} {day}"
    return None


def read_time(text: str) -> str | None:
    """`3:30 pm` of `3:30 p.m.` and `15:30`; `3:30`, of either half of the day, stays; or `None`."""
    match = _TIME.fullmatch(text)
    if not match or not (match[2] or match[3] or match[4]):
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    if hour > 24 or minute > 59 or (match[3] and not 1 <= hour <= 12):
        return None
    half = match[3].lower() if match[3] else ""
    if match[4]:
        if hour != 12:
            return None
        half = "a" if "mid" in match[4] else "p"
    elif hour in (0, 24):
        hour, half = 12, "a"
    elif hour > 12:
        hour, half = hour - 12, "p"
    return f"{hour}:{minute:02}" + (f" {half}m" if half else "")


def times_agree(first: str, second: str) -> bool:
    """Whether two times are one where the half of the day may be left out of either."""
    first_parts, second_parts = first.split(" "), second.split(" ")
    return first_parts[0] == second_parts[0] and (
        first_parts[1:] == second_parts[1:] or not (first_parts[1:] and second_parts[1:])
    )
