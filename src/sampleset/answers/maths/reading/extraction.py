"""The final answer of a model's text: the last of the strongest marker it holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.boxes import boxed_answers
from sampleset.answers.maths.reading.choices import letter_of_reply
from sampleset.answers.maths.reading.json_replies import answer_in_json
from sampleset.answers.maths.reading.marked_texts import (
    MIN_PROSE,
    calculated,
    is_prose,
    may_be_answer,
    without_aside,
    without_markup,
)
from sampleset.answers.maths.reading.no_answers import states_no_answer
from sampleset.answers.maths.reading.option_lists import CAPITAL, MAX_TEXT, several_options
from sampleset.answers.maths.reading.phrases import NEAR_END, phrased_answers
from sampleset.answers.maths.reading.reasoning import after_reasoning, own_turn
from sampleset.answers.maths.reading.sentences import NUMBER, last_sentence, number_of_sentence
from sampleset.answers.maths.reading.unmarked import answer_of_unmarked

_MAX_TRIES = 20
_MAX_PHRASE_WORDS = 12
_FEW_WORDS = 4
_LEAST_MARK = len("\n#### 1")
_HASHES = lazy_pattern(r"^[ \t]*####[ \t]*:?[ \t]*([^\n#]{1,500})$", re.MULTILINE)
_BLANK = lazy_pattern(
    r"\"answer\" ?: ?(?:\"[\s_.]*\"|null\b)|\A\s*\{\s*\"error\"|<answer>\s*</answer>[\s`.]*\Z", re.IGNORECASE
)
"""Where an answer belongs and none stands."""
_SIGNS = lazy_pattern(r"(?!['\"]?[.…_?*$]+['\"]?$)[^\w\s]{1,20}")
"""An answer of signs only, in tags: `[]`, `''`, `&`."""
_CALCULATOR = lazy_pattern(r"<<[^<>\n]{1,200}>>")
_DENIAL = lazy_pattern(r"\\text\w{0,2}\s?\{\s?not\b", re.IGNORECASE)
_ALTERNATIVE = lazy_pattern(r"\((?:or|and|maybe|perhaps|oder|ou|o)\s", re.IGNORECASE)
_LETTER = r"[\[(]{0,2} ?\*{0,2}([A-Z])\*{0,2}"
_LEADING_LETTER = lazy_pattern(
    rf"(?:option|choice|letter)?\s*(?:\\text\{{)?{_LETTER}"
    r"(?:[)\].:,]|\s*$|\s*[*}$\"]| [-–—/] | \(|!|\s+(?:because|since|as|is)\b)",
    re.IGNORECASE,
)
_NAMED_OPTION = lazy_pattern(
    r"(?:\\text\w*\s?\{\s*)?(?:option|choice|letter|answer)(?: |\s*\}\s*\\?\s*)\(?([A-Z])\b", re.IGNORECASE
)
_IN_TEXT = lazy_pattern(r"\\(?:text|math)[a-z]{0,6}\s?\{|[{}]|\\(?=\s)|~")
_TAG_NAME = r"(?:answer|final(?:[_-]?answer)?|ans|result|choice|option)"
_TAG = lazy_pattern(rf"<{_TAG_NAME}(?:\s[^<>]{{0,80}})?>|\[(?:FINAL_)?ANSWER\]", re.IGNORECASE)
_END_TAG = lazy_pattern(rf"</{_TAG_NAME}\s*>?|\[/(?:FINAL_)?ANSWER\]|\\end\{{answer[}}>]", re.IGNORECASE)
_STATES = lazy_pattern(
    r"\\boxed|\\fbox|^[ \t]*####|\banswers? (?:is|are)\b|\d is the answer\b"
    r"|\banswer\W{0,4}:|^[ \t]*A: ?\S|</answer>"
    r"|\A\W{0,4}[A-Z]\W{0,3}$|\A\W{0,4}\d[\d.,/%]{0,20}\W{0,3}$|\A\W{0,3}[A-Z]\. \w[^\n]{1,80}\n\n"
    r"|答案?[是为為:：]"
    r"|\b(?:Antwort|réponse|respuesta|risposta|resposta)(?: finale?| correct[ae]?)?"
    r"(?: (?:lautet|ist|est|es|è|é)\b| ?:)"
    r"|\bОтвет ?[:—]",
    re.IGNORECASE | re.MULTILINE,
)
_CAPITAL_BOX = lazy_pattern(r"\\(?:Boxed|BOXED)\{")
_STRUCK = lazy_pattern(r"~~[^~\n]{1,200}~~|<(s|del|strike)>[^<>\n]{1,200}</\1>", re.IGNORECASE)
_TAKEN_BACK = lazy_pattern(
    r"(?<=[.!?…\n])\s*(?:(?:no, |hmm+[,.]* )?(?:wait|actually|correction|sorry|oops|scratch that"
    r"|on second thought)\b|(?:hmm+,? )?no[,.] )|, but I(?:['’]ll)? (?:now )?(?:change|switch)",
    re.IGNORECASE,
)


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

    Markers in falling strength: a JSON object with an answer in it that is the whole reply, `<answer>`
    tags, `\boxed{}`, a `####` line, a phrase ("the answer is", "Answer:", or such words in other languages),
    a named option. The last of the strongest counts, but a box gives way to a `####` line or a phrase after
    it; boxes side by side are a list. Empty markers, copied placeholders and texts over `MAX_ANSWER`
    characters are passed over. Without a marker: an opening "Yes," or "No,", a formula that the last sentence
    ends in, the last calculated number that the last sentence repeats, the last number; with `choices` the
    last `(B)`. Reasoning is left out, and where it is never closed there is no answer; so are questions that
    the model invented after its answer. Only the last 100,000 characters are read.

    Args:
        text: The model's text.
        choices: Number of lettered options; only letters within them are answers.
        truncated: The text was cut off, so only markers count.
    """
    text = own_turn(after_reasoning(text[-MAX_TEXT:]), _STATES)
    letters = [chr(ord("A") + index) for index in range(max(0, min(choices or 0, 26)))]
    json_answer = None if truncated else answer_in_json(text, choices is not None)
    if json_answer is not None and choices is None:
        return Extracted(json_answer, "json")
    if json_answer is not None and (letter := _letter_of(json_answer, letters)) in letters:
        return Extracted(letter, "json")
    if r"\B" in text:
        text = _CAPITAL_BOX.sub(r"\\boxed{", text)
    text = _STRUCK.sub("", _CALCULATOR.sub("", text).replace(r"\"", '"'))
    marked = _marked(text, letters if choices is not None else None, truncated)
    if marked is not None:
        return marked if marked.text else None  # several options, or a statement that there is no answer
    if choices is not None:
        near = text[-NEAR_END:]
        letter_and_rule = letter_of_reply(near, letters, truncated)
        return Extracted(*letter_and_rule) if letter_and_rule else None
    if truncated or _BLANK.search(text[-NEAR_END:]):
        return None
    unmarked = answer_of_unmarked(text[-NEAR_END:])
    return Extracted(*unmarked) if unmarked else None


def _marked(text: str, letters: list[str] | None, truncated: bool) -> Extracted | None:
    """The answer behind the strongest marker; what a later one states goes before an earlier box."""
    tagged = _first_of(((content, 0) for content in _tagged(text)), "answer_tag", letters)
    if tagged:
        return tagged[0]
    boxed = _first_of(boxed_answers(text, truncated, letters is not None), "boxed", letters)
    begin = boxed[1] if boxed else 0
    if boxed and len(text) - begin < _LEAST_MARK:
        return boxed[0]
    for rule, reader in (("hash", _hashed), ("phrase", phrased_answers)):
        later = _first_of(reader(text, begin), rule, letters)
        if later and (boxed is None or _is_plain(later[0].text)):
            return _corrected(text[later[1] :], letters or (), not later[0].text) or later[0]
    return boxed[0] if boxed else None


def _corrected(after: str, letters: Collection[str], is_open: bool) -> Extracted | None:
    """The option that the text after a named one takes back for: "Wait, it's B".

    Behind several that are left open, any that a sentence names as right.
    """
    taken_back = _TAKEN_BACK.search(after) if letters else None
    begin = 0 if is_open else taken_back.start() if taken_back else len(after)
    letter = letter_of_reply(after[begin:], letters, truncated=True) if letters else None
    return Extracted(*letter) if letter else None


def _first_of(
    contents: Iterator[tuple[str, int]], rule: str, letters: list[str] | None
) -> tuple[Extracted, int] | None:
    """The first content that is an answer, and where its marker ends."""
    for content, end in contents:
        # "not enough information" may be an answer, "I don't know" is none.
        is_label = len(content.split()) <= _FEW_WORDS and not content.startswith(("I ", "We "))
        if letters is None and not is_label and states_no_answer(content):
            return Extracted("", rule), end
        answer = _accept(content, rule)
        if answer is None:
            continue
        if letters is None:
            return answer, end
        letter = _letter_of(content, letters)
        if letter in letters:
            return Extracted(letter, rule), end
        if (several := several_options(content, letters)) and not CAPITAL.search(content, several.end()):
            return Extracted("", rule), end
    return None


def _is_plain(text: str) -> bool:
    """Whether a text is an answer and nothing else."""
    return read(text).kind not in ("words", "opaque") and not is_prose(text)


def _tagged(text: str) -> Iterator[str]:
    """Contents of `<answer>` tags, last first; the last may lack its closing tag."""
    if "<" not in text and "[" not in text:
        return
    tags = list(_TAG.finditer(text))
    end = len(text)
    if len(tags) == 2 and not _END_TAG.search(text):
        end = tags.pop().start()  # `<answer>5<answer>`
    for match in tags[::-1][:_MAX_TRIES]:
        content = _END_TAG.split(text[match.end() : end], maxsplit=1)[0]
        content = content.strip().strip("`").removeprefix("####").strip(": \n\t")
        if content.startswith("$\\") and content.count("$") == 1:
            content = content[1:]
        box = next(boxed_answers(content), None)
        phrase = next(phrased_answers(content), None)
        yield box[0] if box is not None else phrase[0] if phrase is not None else content
        end = match.start()


def _hashed(text: str, begin: int = 0) -> Iterator[tuple[str, int]]:
    """Contents of `#### 72` lines, last first, and where each ends; headings are left out."""
    for match in reversed(list(_HASHES.finditer(text, max(begin, len(text) - NEAR_END)))):
        content = match[1].strip()
        if "nswer" in content:
            continue  # a phrase of its own
        form = read(content)
        if form.kind not in ("words", "opaque") or form.text in ("yes", "no", "true", "false"):
            yield content, match.end()


def _accept(content: str, rule: str) -> Extracted | None:
    if rule == "answer_tag" and _SIGNS.fullmatch(content):
        return Extracted(content, rule)
    content = without_aside(without_markup(content))
    if rule != "hash" and len(content.split()) >= MIN_PROSE:
        content = content if rule == "phrase" and read(content).number else calculated(content)
        is_sentence = rule != "phrase" and is_prose(content)
        # "7 (or 8)" leaves the answer open.
        if is_sentence and not _ALTERNATIVE.search(content) and not _DENIAL.match(content):
            # "The house cost $90,000."
            content = number_of_sentence(last_sentence(content)) or content
    if not may_be_answer(content):
        return None
    if rule == "phrase" and r"\boxed" in content:
        return None  # a box that holds something is another marker; this one is empty
    if rule == "phrase" and (is_prose(content) or read(content).kind in ("expression", "opaque")):
        words = content.split()
        # "There are 4 cows and 3 hens" leaves open which number it is.
        several = is_prose(content) and len(NUMBER.findall(content)) > 1
        if len(words) > (_FEW_WORDS if several else _MAX_PHRASE_WORDS):
            return None
    return Extracted(content, "choice" if rule == "phrase" and read(content).kind == "letter" else rule)


def _letter_of(content: str, letters: Collection[str]) -> str:
    content = without_markup(content)
    form = read(content)
    if form.kind == "letter":
        return form.text.upper()
    if "\\" in content:
        content = " ".join(_IN_TEXT.sub(" ", content).split())
    if several_options(content, letters):
        return ""
    match = _LEADING_LETTER.match(content) or _NAMED_OPTION.match(content)
    return match[1].upper() if match else ""
