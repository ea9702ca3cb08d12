"""Lists of options: at the end of a question, in an answer (`A, C`), and those that a text goes through.

Of the last, each may have a verdict: `A. Rome: This is incorrect.`, `| B | yes |`, `- [x] C`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase

from sampleset.answers.maths.patterns import lazy_pattern

MAX_TEXT = 100_000
"""Characters; of a longer text, the end is read."""
NOUN = r"(?:options?|choices?|letters?|answers?|statements?|alternatives?)"
"""What an option is called."""
_LONGEST_BODY = 400
_FEW_OPTIONS = 3

_TICKED = lazy_pattern(
    r"(?:^\W{0,6}([A-Z])\b[^\n✅✓✔☑❌✗✘]{0,80}|(?<![A-Za-z])([A-Z])[).:]?\W{0,3})(?<=[^✅✓✔☑❌✗✘])[✅✓✔☑]",
    re.MULTILINE,
)
_CROSSED = lazy_pattern(r"[❌✗✘]")
_BOX = lazy_pattern(r"^[^\w\n(\[]{0,4}[\[(]([xX✓✔☑]|[ _]?)[\])]\s?\(?([A-Z])\b", re.MULTILINE)

_PLACE = (
    r"(?:^[^\w\n(]{0,8}(?:\d{1,2}[.)] )?(?:(?:option|choice|answer|statement) )?"
    r"|(?<=[.;,!] )(?:(?:option|choice|statement) |(?=\(?[A-Z]\)?(?::|\s[–—→-]))))"
)
_DELIMITER = r"(?:[.)](?=[ \t])|[、．：]|:(?=\s)|\s?[|→–—]|\s?->|\s-(?=\s))"
_HEADING = lazy_pattern(
    rf"{_PLACE}(?:\((?P<bracketed>(?-i:[A-Z]))\)(?::(?=\s)|\s?[→–—]|\s-(?=\s)|(?=[ \t]))"
    r"(?!\s{0,2}(?:is|are|was|would|can|could|seems|looks|fits|and|or|nor)\b)"
    rf"|(?P<bare>(?-i:[A-Z])){_DELIMITER})",
    re.IGNORECASE | re.MULTILINE,
)
_SUBJECT = (
    r"(?:this|it|that|which|the (?:option|choice|answer|statement|claim))(?: (?:option|choice|answer"
    r"|statement))?"
)
_VERDICT = lazy_pattern(
    rf"(?:^\W{{0,4}}|[-–—:(→|]\s?|\b{_SUBJECT} )(?:is |seems )?(?P<not>not )?"
    r"(?:(?:the|also|clearly|definitely|therefore|thus) ){0,2}"
    r"(?:(?:(?P<right>correct|right|true)|incorrect|wrong|false|untrue|invalid)"
    r"(?=\s*(?:$|[.;:!)|–—-])|,(?! ?(?:true|false)\b)|,? (?:because|since|as)\b"
    r"| (?:answer|choice|option|statement)\b)|(?:(?P<yes>yes)|no)(?=\s*(?:$|[.;:!)|–—-])|,(?! ?(?:yes|no"
    r"|because|since|as|if|but|unless|although)\b)))|^\W{0,4}(?:(?P<zh>正确|正確|正解|正しい)|错误|錯誤|不正确|誤り)",
    re.IGNORECASE | re.MULTILINE,
)
_JUDGED = r"(?:not )?(?:correct|right|true|incorrect|wrong|false|yes|no)"
_VERDICTS = lazy_pattern(
    r"(?:^\W{0,4}|(?<=[:.] ))"
    rf"(?:(?:option )?(?-i:\(?[A-Z][).:]{{1,2}})[ \t](?:is )?{_JUDGED}\b[.,;!]?[ \t]*){{2,26}}",
    re.IGNORECASE | re.MULTILINE,
)
"""`(A) wrong (B) right`, `A. False. B. True.`"""
_JUDGED_OPTION = lazy_pattern(r"(?<=[ \t])(?:[Oo]ption )?\(?[A-Z][).:]")
_TRUTH = lazy_pattern(r"\b(?:true|false|yes|no)\b", re.IGNORECASE)
_OPTION_LINE = lazy_pattern(r"[ \t]*(?:\*\*)?\(?([A-Z])[.):](?:\*\*)?[ \t]+\S")
_SEVERAL = lazy_pattern(
    r"[^\w\n]*(?:options? |choices? )?[A-Z](?![\w'’])(?:[^\w\n.:]{1,6}(?:(?:and|or|und|oder|et|ou|y|o|e|и|или"
    r"|或|和)[^\w\n]{1,3})?"
    r"(?:option |choice )?[A-Z](?!\w)(?=\s*(?:$|[^\w\s]|and\b|or\b|are\b|both\b))){1,25}"
)
_SEVERAL_TEXTS = lazy_pattern(r"\W*\([A-Z]\) (?!(?:because|since|as)\b)[a-z][^.;()\n]{1,80},? or \([A-Z]\)")
"""`(C) decrease the supply or (G) increase taxes`."""
_ARE_WRONG = lazy_pattern(
    r"\)?\s(?:are|were) (?:all |both |clearly )?(?:wrong|incorrect|false|not|invalid|too)\b"
)
CAPITAL = lazy_pattern(r"(?<!\w)[A-Z](?!\w)")


def count_choices(question: str) -> int | None:
    """How many lettered options stand at the end of a question, one a line (`A. ...`), or `None`.

    The letters run from A without a gap; the text of an option may go on over several lines.
    """
    letters = [match[1] for line in question[-MAX_TEXT:].split("\n") if (match := _OPTION_LINE.match(line))]
    starts = [index for index, letter in enumerate(letters) if letter == "A"]
    for start in reversed(starts):
        run = 0
        while start + run < len(letters) and letters[start + run] == chr(ord("A") + run):
            run += 1
        if run >= 2:
            return run
    return None


def several_options(content: str, letters: Collection[str] = ascii_uppercase) -> re.Match[str] | None:
    """The list of options that an answer begins with: `A, C`, `(B) or (D)`."""
    several = _SEVERAL.match(content) or _SEVERAL_TEXTS.match(content)
    if several is None or _ARE_WRONG.match(content, several.end()):
        return None  # "A, C and D are wrong" follows one
    return several if len({*letters} & {*CAPITAL.findall(several[0])}) > 1 else None


@dataclass(frozen=True, slots=True)
class Entry:
    """An option in a list: its letter, where its heading stands, and whether the text calls it right."""

    letter: str
    begin: int
    end: int
    is_right: bool | None


def ticked_option(text: str) -> str:
    """The one option with a tick where others have a cross or an empty box; empty if there is none."""
    boxes = _BOX.findall(text)
    marked = [letter for mark, letter in boxes if mark.strip(" _")]
    if len(boxes) > len(marked) == 1:
        return marked[0]
    letters = {mark[1] or mark[2] for mark in _TICKED.finditer(text)} if _CROSSED.search(text) else set[str]()
    return letters.pop() if len(letters) == 1 else ""


def with_verdicts_apart(text: str, choices: int) -> str:
    """The text with verdicts in one line on lines of their own; of few options, `(A) True` may be one."""
    return _VERDICTS.sub(
        lambda run: (
            run[0]
            if choices <= _FEW_OPTIONS and _TRUTH.search(run[0])
            else _JUDGED_OPTION.sub(r"\n\g<0>", run[0])
        ),
        text,
    )


def listed_options(text: str, choices: int) -> list[Entry]:
    """The options that a text lists, with what it says of each.

    Where there are few, "No" beside a single option is no verdict: it may be the option's text.
    """
    headings = list(_HEADING.finditer(text))
    begins = [*(heading.start() for heading in headings), len(text)]
    entries = [_entry(text, heading, end) for heading, end in zip(headings, begins[1:], strict=True)]
    if len({entry.letter for entry in entries}) == 1 and choices <= _FEW_OPTIONS:
        return [replace(entry, is_right=None) for entry in entries]
    return entries


def _entry(text: str, heading: re.Match[str], end: int) -> Entry:
    verdict = _VERDICT.search(text[heading.end() : min(end, heading.end() + _LONGEST_BODY)])
    is_right = None
    if verdict:
        is_right = bool(verdict["right"] or verdict["yes"] or verdict["zh"]) != bool(verdict["not"])
    return Entry(heading["bracketed"] or heading["bare"], heading.start(), heading.end(), is_right)


def without_headings(text: str, entries: Sequence[Entry]) -> str:
    """The text without the letters of a list of options, and of a single option that it calls wrong."""
    is_list = len({entry.letter for entry in entries}) > 1
    parts, begin = list[str](), 0
    for entry in entries:
        if is_list or entry.is_right is False:
            parts.append(text[begin : entry.begin])
            begin = entry.end
    return "\n".join([*parts, text[begin:]])


def option_of_list(entries: Sequence[Entry], letters: Collection[str]) -> str:
    """The option that a list calls right where it calls others wrong, or the first if all others are wrong.

    Empty if there is none.
    """
    right = {entry.letter for entry in entries if entry.is_right}
    wrong = {entry.letter for entry in entries if entry.is_right is False}
    if not right and len(wrong) > 1 and {entry.letter for entry in entries} == wrong | {entries[0].letter}:
        right = {entries[0].letter}  # "B. Water", and below why A and C are wrong
    chosen = right - wrong
    return chosen.pop() if len(right) == len(chosen) == 1 and wrong and chosen <= set(letters) else ""
