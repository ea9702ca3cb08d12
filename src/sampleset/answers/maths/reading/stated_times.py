"""Times, dates, ratios and amounts in two units that a sentence states, as in "It ends at 3:30 PM"."""

from __future__ import annotations

from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.numbers.dates import DAYS, MONTHS
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.sentences import NUMBER, main_clause, without_working

_RATIO_IN_WORDS = lazy_pattern(
    r"\b(?:ratio|proportion|odds|probability|chances?)\b[^.\n]*?"
    r"\b(\d+(?:\.\d+)? (?:to|in|out of) \d+(?:\.\d+)?)(?=[\s.!]*$)"
)
_MONTH = rf"(?:{'|'.join(month.title() for month in MONTHS)})"
_WEEKDAY = rf"(?:{'|'.join(day.title() for day in DAYS)})"
_ONLY_A_DAY = lazy_pattern(rf"[\s*]{{0,4}}(?:{_WEEKDAY}|{_MONTH}(?: \d{{4}})?)[\s.*]{{0,4}}")
_DAY_AT_END = lazy_pattern(
    rf"\b(?:is|was|be|on|by|in|until|a) ({_WEEKDAY}"
    rf"|(?:the )?\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}(?:,? \d{{4}})?"
    rf"|(?<=in ){_MONTH} \d{{4}})[\s.!]*$"
)
_WORD_FOR_TIME = lazy_pattern(
    r"\b(?:is|be|was|comes|gives|falls on|lands on|[Aa]t|month is|[Ii]n) (?:a )?"
    rf"({_WEEKDAY}|noon|midnight|(?:half|quarter) (?:past|to) [a-z]{{3,6}}|{_MONTH})[\s.!]*$"
)
_COMPOUND = lazy_pattern(
    r"\b(\d{1,4} (?:years?|weeks?|days?|hours?|hrs?|h|feet|foot|ft|pounds?|lbs?|minutes?|mins?"
    r"|kg|kilograms?|meters?|m"
    r"|km|dollars?),?"
    r" (?:and )?\d{1,4} (?:months?|days?|hours?|minutes?|mins?|min|seconds?|secs?|inch(?:es)?|ounces?|oz"
    r"|grams?|g|cm"
    r"|centimeters?|m"
    r"|meters?|cents?))\b"
)
_COLONS = lazy_pattern(
    r"(?<![A-Za-z0-9_:.])\d{1,3}(?: ?: ?(?:\d{1,3}(?:,\d{3})+|\d{1,7})(?!\d)){1,4}(?! ?:)"
    r"(?: ?[AaPp](?:[Mm]\b|\.[Mm]\.))?"
)
_IS_TIME = lazy_pattern(
    r"(?:\b(?:is|be|was|becomes|(?:simplifies|reduces|equal|simplified|reduced) to|get|gives|equals) "
    r"|[=→是为] ?)$"
)
_AT_TIME = lazy_pattern(r"(?:\b(?:at|until|by) |在 ?)$")
_AFTER_TIME = lazy_pattern(r"[\s.!。]*$|,? (?:which is )?[\w.]+ [a-z]+ (?:after|before|later|from)\b")
_BEFORE_DATE = lazy_pattern(
    r"\b(?:is|be|was|falls on|lands on|(?:brings|takes|leads|comes) (?:us )?to|gives|is on) $"
)
_BEFORE_COMPOUND = lazy_pattern(r"(?:\b(?:is|or|equals|takes|to)|=) $")
_MONTH_AND_DAY = lazy_pattern(rf"\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?(?=[\s.!]*$)")


def stated_time(sentence: str) -> str | None:
    """The time, date, ratio or amount in two units that a sentence states and no other number explains."""
    colons = _colons(sentence)
    if colons:
        return colons
    month = _MONTH_AND_DAY.search(sentence)
    if month and (
        _BEFORE_DATE.search(sentence, 0, month.start())
        or len(NUMBER.findall(sentence)) <= len(NUMBER.findall(month[0]))
    ):
        return month[0]
    for pattern in (_RATIO_IN_WORDS, _DAY_AT_END):
        worded = pattern.search(sentence)
        if worded and len(NUMBER.findall(sentence)) <= len(NUMBER.findall(worded[0])):
            return worded[1]
    if _ONLY_A_DAY.fullmatch(sentence):
        return sentence.strip(" \n.*")
    time = _WORD_FOR_TIME.search(sentence)
    if time and (time[1].endswith("day") or not NUMBER.search(sentence)):
        return time[1]
    compounds = list(_COMPOUND.finditer(sentence))
    if len(compounds) == 1 and read(compounds[0][0]).number:
        is_only = len(NUMBER.findall(sentence)) == 2
        ends = not sentence[compounds[0].end() :].strip(" .!")
        if is_only or (ends and _BEFORE_COMPOUND.search(sentence, 0, compounds[0].start())):
            return compounds[0][0]
    return None


def _colons(sentence: str) -> str | None:
    """The time or ratio that a sentence states: its only number, or the last behind "is" or "at"."""
    sentence = main_clause(without_working(sentence))
    colons = list(_COLONS.finditer(sentence))
    if not colons:
        return None
    others = [
        match.start() for match in NUMBER.finditer(_COLONS.sub(lambda time: " " * len(time[0]), sentence))
    ]
    last = colons[-1]
    if len(colons) == 1 and not others:
        return last[0]
    if not _AFTER_TIME.match(sentence, last.end()):
        return None
    if _IS_TIME.search(sentence, 0, last.start()):
        return last[0]
    comes_first = not others or others[0] > last.start()
    return last[0] if comes_first and _AT_TIME.search(sentence, 0, last.start()) else None
