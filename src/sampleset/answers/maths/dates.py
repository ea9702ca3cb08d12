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
_WEEKDAY = lazy_pattern(
    r"(?:on )?(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?, (?=\w)", re.IGNORECASE
)
_WRITTEN = (
    lazy_pattern(rf"{_MONTH} (?:the )?{_DAY}(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE),
    lazy_pattern(rf"(?:the )?{_DAY} (?:of )?{_MONTH}(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE),
)
_FIGURES = lazy_pattern(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}|\d{2})")
_ISO = lazy_pattern(r"(?P<year>\d{4})(?P<sign>[-/.])(?P<month>\d{1,2})(?P=sign)(?P<day>\d{1,2})")
_POINTS = lazy_pattern(r"(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4})")
_MONTH_OF_YEAR = lazy_pattern(rf"{_MONTH},? (?:of )?(?P<year>\d{{4}})", re.IGNORECASE)
_TIME = lazy_pattern(
    r"(\d{1,2})(?:(?::|h(?=\d\d$)|点(?=\d))(\d{2})(?::00)?(?:分| ?(?:hours|hrs))?)?"
    r"(?: ?([AaPp])\.? ?[Mm]\.?)?"
    r"( ?(?:noon|midnight))?( (?:in the (?:morning|afternoon|evening)|at night))?"
)
_MILITARY = lazy_pattern(r"([01]\d|2[0-3])([0-5]\d) (?:hours|hrs)")
_NOON = {"noon": "12:00 pm", "midday": "12:00 pm", "midnight": "12:00 am"}


def read_date(text: str) -> str | None:
    """`03/05/2021` of `March 5, 2021` and the like; without a year `march 5`; `None` if it is no date."""
    text = _WEEKDAY.sub("", text, count=1)
    month_of_year = _MONTH_OF_YEAR.fullmatch(text)
    if month_of_year:
        return f"{_MONTHS[_number_of(month_of_year['month'])]} {month_of_year['year']}"
    for pattern in (_FIGURES, _ISO, _POINTS, *_WRITTEN):
        match = pattern.fullmatch(text)
        if match:
            name = match["month"]
            month = int(name) if name.isdigit() else 1 + _number_of(name)
            day, year = int(match["day"]), match["year"]
            if 1 <= day <= 31:
                return f"{month:02}/{day:02}/{year}" if year else f"{_MONTHS[month - 1]} {day}"
    return None


def _number_of(month: str) -> int:
    return [name[:3] for name in _MONTHS].index(month.casefold()[:3])


def read_time(text: str) -> str | None:
    """`3:30 pm` of `3:30 p.m.` and `15:30`; `3:30`, of either half of the day, stays; or `None`."""
    if text.lower() in _NOON:
        return _NOON[text.lower()]
    match = _TIME.fullmatch(_MILITARY.sub(r"\1:\2", text))
    if not match or not (match[2] or match[3] or match[4] or match[5]):
        return None
    hour, minute = int(match[1]), int(match[2] or 0)
    if hour > 24 or minute > 59 or (match[3] and not 1 <= hour <= 12):
        return None
    half = match[3].lower() if match[3] else ""
    if match[5] and not half and hour <= 12:
        half = "a" if "morning" in match[5] or ("night" in match[5] and hour == 12) else "p"
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
