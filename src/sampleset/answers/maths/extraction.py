"""The final answer of a model's text: the last of the strongest marker it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sampleset.answers.maths.forms import read
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling import closing
from sampleset.answers.maths.unmarked import (
    NUMBER,
    NUMBER_TEXT,
    SENTENCE_END,
    answer_of_unmarked,
    last_sentence,
    number_of_sentence,
)

MAX_ANSWER = 500
"""Characters; what is longer is not a final answer."""
_WINDOW = 100_000
_NEAR_END = 8_000
_MAX_TRIES = 20
_MAX_PHRASE_WORDS = 12
_FEW_WORDS = 4
_MIN_PROSE = 3

_PLACEHOLDER = lazy_pattern(
    r"[.…\s_*?-]*|(?:your|the|final|my|insert|put|write|answer|number|letter|value|result|here|x|option|choice|\W)+"
    r"|\W*(?:your|insert|put|write)\b[^0-9]*",
    re.IGNORECASE,
)
_VARIABLE = lazy_pattern(r"\W*x\W*", re.IGNORECASE)
_PHRASE = lazy_pattern(
    # "each incorrect answer is worth 5 points" announces nothing.
    r"(?<!e\.g\.,`\")(?<!e\.g\., \")"
    r"(?<!['’]s )(?<!incorrect )(?<!wrong )(?<!each )(?<!each correct )(?<!every )(?<!every correct )"
    r"\b(?:answer|answers(?= are)|(?:correct|best|right) (?:option|choice))\b[\"*_`]{0,4}"
    r"(?: to the question [\"'“][^\n]{1,200}?[\"'”](?= (?:is|would)\b)"
    r"|(?: (?:to|for|of|in) [^.:\n]{1,120}?(?= (?:is|are|would|should|must|will|was|equals)\b|:)))?"
    r"(?:[\"*_`]{0,4} (?:is|are|would be|should be|must be|will be|was|equals)\b"
    # "so our answer is correct" judges one.
    r"(?! (?:indeed |also )?(?:correct|right|reasonable|verified|valid|the same|rounded|not a whole)\b)"
    r"(?: (?:therefore|thus|then|simply|also|indeed|still))?|\W{0,4}?[:=])[\"*_` \t:]{0,8}"
    r"|^[ \t]*(?:\*\*)?A:(?:\*\*)?[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = lazy_pattern(
    r"^#{1,6} *(?:\*\*)?(?:the )?final answer(?:\*\*)?:? *$", re.IGNORECASE | re.MULTILINE
)
_HASHES = lazy_pattern(r"^[ \t]*####[ \t]*([^\n#]{1,500})$", re.MULTILINE)
_YES_NO = lazy_pattern(r"(yes|no)\b(?=[.,;:!]|\s*$| (?:because|since|as)\b)", re.IGNORECASE)
_LEADING_NUMBER = lazy_pattern(
    rf"(?:(?:approximately|about|roughly|around|only|exactly|a total of) )?({NUMBER_TEXT})(?![\w^_])"
)
_JSON_TAIL = lazy_pattern(r"[\"`][\"`,.}\s]*$")
_JSON_BLANK = lazy_pattern(r"\"answer\" ?: ?\"[\s_.]*\"")
_CALCULATOR = lazy_pattern(r"<<[^<>\n]{1,200}>>")
_PROSE_WORD = lazy_pattern(r"(?<![A-Za-z])(?!and\b|or\b)[A-Za-z]{2,}")
_MATHS = lazy_pattern(r"[\\^_={}<>]|\d[A-Za-z]|(?<![A-Za-z'’])[B-HJ-Zb-z](?![A-Za-z'’])")
_EQUALS = lazy_pattern(r"(?:[=≈]|\\approx)\s*")
_ASIDE_AT_END = lazy_pattern(r"(\s*)\(((?:[^()\n]|\([^()\n]*\))*)\)[\s.]*$")
_FORMULA_END = lazy_pattern(r"(?<!\\)\$|\\[)\]]")
_OPEN = lazy_pattern(r"(?<!\\)\{")
_CLOSE = lazy_pattern(r"(?<!\\)\}")
_LETTER = r"\(? ?\*{0,2}([A-Z])\*{0,2}"
_LEADING_LETTER = lazy_pattern(
    rf"(?:option|choice|letter)?\s*(?:\\text\{{)?{_LETTER}"
    r"(?:[).:,]|\s*$|\s*[*}$\"]| [-–—] | (?:because|since|as|is)\b)",
    re.IGNORECASE,
)
_CHOICE = lazy_pattern(
    r"\b(?:option|choice|answer)s?:? \(?\**([A-Z])\b(?!['’])"
    r"|\*\*\(?([A-Z])[).:]?(?:\*\*|[^*\n]{0,200}\*\*)"
    r"|(?:^|[\s*])\(?([A-Z])\)? is (?:the )?(?:correct|right|best|most)"
    r"|^[ \t]*\(?([A-Z])[).]?[ \t]*$",
    re.MULTILINE,
)
_LAST_CHOICE = lazy_pattern(r"(?<![\w\\])\(([A-Z])\)(?!\w)")
_OPTION_LINE = lazy_pattern(r"[ \t]*(?:\*\*)?\(?([A-Z])[.):](?:\*\*)?[ \t]+\S")


@dataclass(frozen=True, slots=True)
class Extracted:
    """A final answer.

    Attributes:
        text: As the model writes it, without markup around it; of a lettered option, the letter.
        rule: Marker it was found by: `answer_tag`, `boxed`, `hash`, `phrase`, `choice`, or, where
            no marker was found, `yes_no`, `last_result`, `last_number` or `last_choice`.
    """

    text: str
    rule: str


def extract_answer(text: str, *, choices: int | None = None, truncated: bool = False) -> Extracted | None:
    r"""The final answer of a model's text, or `None` if it gives none.

    Markers in falling strength: `<answer>` tags, `\boxed{}`, a `####` line, a phrase ("the answer
    is", "Answer:", "A:"), a named option. The last of the strongest counts; empty ones, copied
    placeholders and texts over `MAX_ANSWER` characters are passed over. Without a marker: an
    opening "Yes," or "No,", the last calculated number that the last sentence repeats, the last
    number; with `choices` the last `(B)`. Reasoning before `</think>` is left
    out, and only the last 100,000 characters are read.

    Args:
        text: What the model wrote.
        choices: Number of lettered options; only letters within them are answers.
        truncated: The text was cut off, so only markers count.
    """
    text = _CALCULATOR.sub("", _conclusion(text[-_WINDOW:])).replace(r"\"", '"')
    readers: list[tuple[str, Callable[[str], Iterator[str]]]] = [
        ("answer_tag", _tagged),
        ("boxed", partial(_boxed, truncated=truncated)),
        ("hash", _hashed),
        ("phrase", _phrased),
    ]
    letters = (
        None if choices is None else [chr(ord("A") + place) for place in range(max(0, min(choices, 26)))]
    )
    for rule, reader in readers:
        for content in reader(text):
            answer = _accept(content, rule)
            if answer is None:
                continue
            if letters is None:
                return answer
            letter = _letter_of(content)
            if letter in letters:
                return Extracted(letter, rule)
    if letters is not None:
        return _by_letter(text, letters, truncated)
    if truncated or _JSON_BLANK.search(text[-_NEAR_END:]):
        return None
    found = answer_of_unmarked(text[-_NEAR_END:])
    return Extracted(*found) if found else None


def count_choices(question: str) -> int | None:
    """How many lettered options stand at the end of a question, one a line (`A. ...`), or `None`.

    The letters run from A without a gap; the text of an option may go on over several lines.
    """
    letters = [found[1] for line in question[-_WINDOW:].split("\n") if (found := _OPTION_LINE.match(line))]
    starts = [place for place, letter in enumerate(letters) if letter == "A"]
    for start in reversed(starts):
        run = 0
        while start + run < len(letters) and letters[start + run] == chr(ord("A") + run):
            run += 1
        if run >= 2:
            return run
    return None


def _conclusion(text: str) -> str:
    """What follows the reasoning, if anything does."""
    _, mark, rest = text.rpartition("</think>")
    return rest if mark and rest.strip() else text


def _tagged(text: str) -> Iterator[str]:
    """Contents of `<answer>` tags, last first; the last may lack its closing tag."""
    end = len(text)
    for _ in range(_MAX_TRIES):
        start = text.rfind("<answer>", 0, end)
        if start < 0:
            return
        content, _, _ = text[start + len("<answer>") : end].partition("</answer>")
        box = next(_boxed(content), None)
        yield box if box is not None else (next(_phrased(content), None) or content)
        end = start


def _boxed(text: str, truncated: bool = False) -> Iterator[str]:
    r"""Contents of `\boxed{}` and `\fbox{}`, last first; `\boxed 5` counts too.

    The last one may lack its closing brace: it ends with its formula or its line, unless the text was cut off
    there.
    """
    end = len(text)
    for _ in range(_MAX_TRIES):
        start = max(text.rfind(r"\boxed", 0, end), text.rfind(r"\fbox", 0, end))
        if start < 0:
            return
        end, is_last = start, end == len(text)
        opening = start + (len(r"\boxed") if text[start + 1] == "b" else len(r"\fbox"))
        rest = text[opening : opening + 4 * MAX_ANSWER]
        body = rest.lstrip()
        if body.startswith("{"):
            close = closing(_curly_only(body), 0)
            if close > 0:
                yield body[1:close]
            elif is_last and closing(_curly_only(text[opening:].lstrip()), 0) < 0:
                content, ended, _ = _FORMULA_END.sub("\n", body[1:].lstrip("$ "), 1).partition("\n")
                if ended or not truncated:
                    yield content + "}" * (len(_OPEN.findall(content)) - len(_CLOSE.findall(content)))
        elif rest[:1] == " " and body:
            yield re.split(r"[\s$]", body, maxsplit=1)[0].rstrip(".,")


def _curly_only(text: str) -> str:
    """The text with other brackets blanked, for `closing`: a box may hold `[0,1)`."""
    return text.translate({ord(bracket): " " for bracket in "()[]"})


def _hashed(text: str) -> Iterator[str]:
    """Contents of `#### 72` lines, last first; headings are left out."""
    for found in reversed(list(_HASHES.finditer(text[-_NEAR_END:]))):
        content = found[1].strip()
        form = read(content)
        if form.kind not in ("words", "opaque") or form.text in ("yes", "no", "true", "false"):
            yield content


def _phrased(text: str) -> Iterator[str]:
    """What follows "the answer is" and its kin to the end of the sentence, last first."""
    text = text[-_NEAR_END:]
    marks = [found.end() for found in _PHRASE.finditer(text)] + [
        found.end() for found in _HEADING.finditer(text)
    ]
    for start in sorted(marks, reverse=True):
        rest = text[start : start + 2 * MAX_ANSWER].lstrip(' \t*:"`')
        if rest.startswith(("\n", "$$", r"\[")):
            rest = rest.lstrip('\n \t*"`')
            for opening, ending in (("$$", "$$"), (r"\[", r"\]")):
                if rest.startswith(opening) and ending in rest[2:]:
                    rest = rest[2 : rest.index(ending, 2)].replace("\n", " ").strip()
        sentence = _first_sentence(rest)
        if not sentence.endswith(("?", ":")):
            yield _answer_of_sentence(sentence)


def _first_sentence(text: str) -> str:
    found = SENTENCE_END.search(text)
    if found and found[0] == "?":
        return text[: found.end()]
    return (text[: found.start()] if found else text).strip()


def _answer_of_sentence(sentence: str) -> str:
    """The answer within "12 apples because ...", "x = 3 + 4 = 7", "(B), the second"."""
    sentence = _without_working(_JSON_TAIL.sub("", sentence.strip()).strip().strip('*"`').strip())
    if sentence.endswith((r"\)", r"\]")) or sentence.count("$") % 2 == 0:
        sentence = sentence.rstrip(".")
    yes_no = _YES_NO.match(sentence)
    if yes_no:
        return yes_no[1]
    letter = re.match(
        r"(?:option |choice )?\(([A-Z])\)(?!\w)|(?:option |choice )([A-Z])\b|([A-Z])(?:[.:)] |,| because)",
        sentence,
    )
    if letter:
        return letter[1] or letter[2] or letter[3]
    head, joined, rest = sentence.partition(" and ")
    if joined and len(rest.split()) > 2 and read(rest).kind == "words" and read(head).kind == "number":
        return head  # "12 and there is no other answer"
    form, prose = read(sentence), _is_prose(sentence)
    if (form.kind not in ("words", "opaque", "expression") and not prose) or not re.search(
        r"[A-Za-z]{3}", sentence
    ):
        return sentence
    tail = _EQUALS.split(sentence)[-1]
    if tail != sentence and tail.count(")") > tail.count("(") and not tail.endswith(r"\)"):
        tail = tail.removesuffix(")")  # of "(since 2 + 3 = 5)"
    if tail != sentence and read(tail).kind not in ("words", "opaque"):
        return tail
    if form.kind == "expression" and "\\" in sentence:
        math = re.findall(r"\$([^$]+)\$|\\\((.+?)\\\)", sentence)
        if len(math) == 1:
            return math[0][0] or math[0][1]
        return sentence
    stated = number_of_sentence(sentence) if prose and len(sentence.split()) > 3 else None
    if stated:
        return stated
    leading = _LEADING_NUMBER.match(sentence)
    if leading:
        return leading[1]
    numbers = NUMBER.findall(sentence)
    if len(numbers) == 1 and len(sentence.split()) > 3:
        return numbers[0]
    return sentence


def _is_prose(text: str) -> bool:
    """Whether a text is a sentence rather than mathematics: of a list too, "In all, 4 cows and 3 hens"."""
    kind = read(text).kind
    if kind in ("list", "expression"):
        return len(_PROSE_WORD.findall(text)) >= _MIN_PROSE and not _MATHS.search(text)
    return kind == "words"


def _without_working(content: str) -> str:
    """Without the parentheses at its end that hold a calculation, or the same number again: of
    "36 (12 + 24 = 36)" and "1/2 (0.5)", what stands before, if it is a number.
    """
    kept = content
    while len(kept) <= MAX_ANSWER and (aside := _ASIDE_AT_END.search(kept)):
        before, inside = kept[: aside.start()], aside[2]
        # "4 (x + 1)" is a product.
        if not _EQUALS.search(inside) and not (aside[1] and _same_number(before, inside)):
            break
        kept = before
    return kept if read(kept).number else content


def _same_number(a: str, b: str) -> bool:
    first, second = read(a).number, read(b).number
    return first is not None and second is not None and first.value == second.value


def _calculated(content: str) -> str:
    """What a calculation in words comes to: of "3 days * 2 miles/day = 6 miles", "6 miles"."""
    *sides, last = content.split("=")
    worked = sides and all(NUMBER.search(side) and not _MATHS.search(side) for side in sides)
    return last.strip() if worked and read(last).kind == "number" else content


def _accept(content: str, rule: str) -> Extracted | None:
    content = _without_working(_clean(content))
    if rule in ("boxed", "answer_tag") and len(content.split()) >= _MIN_PROSE:
        content = _calculated(content)
        if _is_prose(content):
            # "The house cost $90,000."
            content = number_of_sentence(last_sentence(content)) or content
    if not content or len(content) > MAX_ANSWER:
        return None
    if _PLACEHOLDER.fullmatch(content) and not _VARIABLE.fullmatch(content):
        return None
    if rule == "phrase" and r"\boxed" in content:
        return None  # a box with something in it is a marker of its own; this one is empty
    if rule == "phrase" and (_is_prose(content) or read(content).kind in ("expression", "opaque")):
        words = content.split()
        # "There are 4 cows and 3 hens" leaves open which number it is.
        several = _is_prose(content) and len(NUMBER.findall(content)) > 1
        if len(words) > (_FEW_WORDS if several else _MAX_PHRASE_WORDS):
            return None
    return Extracted(content, "choice" if rule == "phrase" and read(content).kind == "letter" else rule)


def _clean(content: str) -> str:
    """Without markup around the whole."""
    content = content.strip()
    for _ in range(3):
        for mark in ("**", "`", "$$", "$", '"'):
            inner = content[len(mark) : -len(mark)]
            if content.startswith(mark) and content.endswith(mark) and mark not in inner:
                content = inner.strip()
        if (
            content.startswith((r"\(", r"\["))
            and content.endswith((r"\)", r"\]"))
            and content.count(content[:2]) == 1
        ):
            content = content[2:-2].strip()
        content = content.strip().rstrip(".") if not content.endswith("...") else content
        content = content.removesuffix("**") if content.count("**") % 2 else content
    return content


def _letter_of(content: str) -> str:
    content = _clean(content)
    form = read(content)
    if form.kind == "letter":
        return form.text
    found = _LEADING_LETTER.match(content) or re.match(r"(?i:option|choice|letter) \(?([A-Z])\b", content)
    return found[1].upper() if found else ""


def _by_letter(text: str, letters: list[str], truncated: bool) -> Extracted | None:
    """The last option named, or without a marker the last `(B)`."""
    near = text[-_NEAR_END:]
    named = [next(filter(None, found.groups())) for found in _CHOICE.finditer(near)]
    for letter in reversed(named):
        if letter in letters:
            return Extracted(letter, "choice")
    if not truncated:
        for letter in reversed(_LAST_CHOICE.findall(near)):
            if letter in letters:
                return Extracted(letter, "last_choice")
    return None
