"""Dates and times of day: one text for the ways to write each.

A date in figures is read as month/day/year, or as year-month-day.
"""

from __future__ import annotations

import re

from sampleset.answers.maths.numbers.counts import NUMBER_WORDS, rank_of
from sampleset.answers.maths.patterns import lazy_pattern

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?"
_DAY = r"(?P<day>\d{1,2}|[a-z]{5,7}(?:-[a-z]{5,7})?(?<=[dht]))(?:st|nd|rd|th)?"
_WEEKDAY = lazy_pattern(
    r"(?:on )?(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?, (?=\w)", re.IGNORECASE
)
_WRITTEN = (
    lazy_pattern(rf"{_MONTH} (?:the )?{_DAY}(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE),
    lazy_pattern(rf"(?:the )?{_DAY}(?: |-)(?:of )?{_MONTH}(?:(?:,? |-)(?P<year>\d{{4}}))?", re.IGNORECASE),
)
_FIGURES = lazy_pattern(r"(?P<month>\d{1,2})(?P<sign>[/-])(?P<day>\d{1,2})(?P=sign)(?P<year>\d{4}|\d{2})")
_ISO = lazy_pattern(r"(?P<year>\d{4})(?P<sign>[-/.])(?P<month>\d{1,2})(?P=sign)(?P<day>\d{1,2})")
_CHINESE = lazy_pattern(r"(?:(?P<year>\d{4}) ?年 ?)?(?P<month>\d{1,2}) ?月 ?(?P<day>\d{1,2}) ?[日号]")
_POINTS = lazy_pattern(r"(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4})")
_MONTH_OF_YEAR = lazy_pattern(rf"{_MONTH},? (?:of )?(?P<year>\d{{4}})", re.IGNORECASE)
_TIME = lazy_pattern(
    r"(?:at )?(\d{1,2})(?:(?::|\.(?=\d\d ?[AaPp]\.?[Mm])|h(?=\d\d$)|点(?=\d))(\d{2})(?::00)?(?:分"
    r"| ?(?:hours|hrs))?)?"
    r"(?: ?([AaPp])\.? ?[Mm]\.?)?"
    r"( ?(?:noon|midnight))?( (?:in the (?:morning|afternoon|evening)|at night))?"
)
_MILITARY = lazy_pattern(r"([01]\d|2[0-3])([0-5]\d) (?:hours|hrs)")
_MINUTES = {"half": 30, "quarter": 15, "five": 5, "ten": 10, "twenty-five": 25, "twenty": 20}
_PAST = lazy_pattern(
    rf"(half|(?:a )?quarter|(?:{'|'.join(_MINUTES)}|[1-5]?\d)(?: minutes|(?= past))) (past|to|after|before)"
    rf" ({'|'.join(NUMBER_WORDS)}|\d{{1,2}})(?: ?([ap])\.?m\.?)?",
    re.IGNORECASE,
)
_NOON = {"noon": "12:00 pm", "midday": "12:00 pm", "midnight": "12:00 am"}


def read_date(text: str) -> str | None:
    """`03/05/2021` of `March 5, 2021` and the like; without a year `march 5`; `None` if it is no date."""
    text = _WEEKDAY.sub("", text, count=1)
    month_of_year = _MONTH_OF_YEAR.fullmatch(text)
    if month_of_year:
        return f"{MONTHS[_number_of(month_of_year['month'])]} {month_of_year['year']}"
    for pattern in (_FIGURES, _ISO, _CHINESE, _POINTS, *_WRITTEN):
        match = pattern.fullmatch(text)
        if match:
            name = match["month"]
            month = int(name) if name.isdigit() else 1 + _number_of(name)
            day, year = (
                int(match["day"]) if match["day"].isdigit() else rank_of(match["day"]) or 0,
                match["year"],
            )
            if pattern is _FIGURES and match["sign"] == "-":
                if len(year) < 4:
                    return None  # `5-1-20` is a sum
                month, day = (day, month) if month > 12 >= day else (month, day)
            if 1 <= day <= 31:
                return f"{month:02}/{day:02}/{year}" if year else f"{MONTHS[month - 1]} {day}"
    return None


def dates_agree(first: str, second: str) -> bool:
    """Whether two dates in figures are one where a year may have two places: `02/14/22`."""
    short, full = sorted((first, second), key=len)
    return len(short) + 2 == len(full) and "/" in short and short == full[:-4] + full[-2:]


def _number_of(month: str) -> int:
    return [name[:3] for name in MONTHS].index(month.casefold()[:3])


def read_time(text: str) -> str | None:
    """`3:30 pm` of `3:30 p.m.` and `15:30`; `3:30`, of either half of the day, stays; or `None`."""
    if text.lower() in _NOON:
        return _NOON[text.lower()]
    past = _PAST.fullmatch(text)
    if past:
        hour = NUMBER_WORDS.get(past[3].lower()) or int(past[3] if past[3].isdigit() else 0)
        told = past[1].lower().removeprefix("a ").removesuffix(" minutes")
        minute = int(told) if told.isdigit() else _MINUTES[told]
        if past[2].lower() in ("to", "before") and minute:
            minute, hour = 60 - minute, hour - 1
        half = f" {past[4].lower()}m" if past[4] else ""
        return f"{hour or 12}:{minute:02}{half}" if hour <= 12 else None
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
