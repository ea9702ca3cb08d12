"""The final answer of a model's text: the last of the strongest marker it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, cast

from sampleset.answers.maths.boxes import MAX_ANSWER, boxed_answers
from sampleset.answers.maths.choices import letter_of_reply
from sampleset.answers.maths.forms import read
from sampleset.answers.maths.languages import ANNOUNCED, announced, may_announce
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reasoning import after_reasoning, own_turn
from sampleset.answers.maths.sentences import NUMBER, NUMBER_TEXT, first_sentence, last_sentence
from sampleset.answers.maths.unmarked import answer_of_unmarked, number_of_sentence, without_contrast

_WINDOW = 100_000
_NEAR_END = 8_000
_MAX_TRIES = 20
_MAX_PHRASE_WORDS = 12
_FEW_WORDS = 4
_MIN_PROSE = 3
_MOST_JSON = 20_000
_MOST_PHRASES = 40
_DENIAL = 60
_LEAST_MARK = len("\n#### 1")
_MARKUP = ("*", "`", "$", '"', "\\")

_PLACEHOLDER = lazy_pattern(
    r"[.…\s_*?-]*|null|(?:your|the|final|my|insert|put|write|answer|number|letter|value|result|here|x|option"
    r"|choice|\\(?:text|textbf|mathrm|boxed)(?=\W)|\W)+"
    r"|\W*(?:your|insert|put|write)\b[^0-9]*",
    re.IGNORECASE,
)
_VARIABLE = lazy_pattern(r"\W*x\W*", re.IGNORECASE)
_BETWEEN_IS_AND_ANSWER = (
    r"(?:,? (?:therefore|thus|then|hence|simply|also|indeed|still|definitely|clearly|obviously|actually"
    r"|really|truly|precisely|exactly|just|now|certainly|surely|(?:most )?(?:likely|probably)|perhaps"
    r"|of course|given by|equal to|found to be|in fact"
    r"|no longer [^,\n]{1,40}, it is),?"
    # "undoubtedly 15", but "approximately 15" stays whole.
    r"|,? (?:always|again|(?!(?:approximate|rough|near)ly)[a-z]{2,14}ly),?(?= [-$\d\\*])"
    r"|, (?:as|I|we|it|in|by|to) [^,.:;\d\n]{2,30},(?= [-$\d\\*])"
    r"|(?: now)? (?:clear|obvious|as follows):| \((?:approximately|about|roughly)\)"
    r"| the (?:whole )?(?:number|integer|fraction)(?= [-$\d\\*]))?"
)
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
    rf"{_BETWEEN_IS_AND_ANSWER}"
    r"|\W{0,4}?(?:[:=]>?|[-=]>|→))[\"*_` \t:]{0,8}"
    r"|^[ \t]*(?:\*\*)?A:(?:\*\*)?[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_DENIED = lazy_pattern(
    r"(?:\bnot|n['’]t|\bnever) (?:think|believe|say|claim|mean|agree|sure)(?: that)?(?: (?:the|my|our|this"
    r"|correct|right|best|final)){0,3} $",
    re.IGNORECASE,
)
_HEADING = lazy_pattern(
    r"^(?:#{1,6} {0,4}(?:\*\*)?(?:(?:the )?final )?answer(?:\*\*)?|\*\*(?:the )?final answer\*\*):? {0,4}$",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = lazy_pattern(r"^[ \t]*####[ \t]*:?[ \t]*([^\n#]{1,500})$", re.MULTILINE)
_SUPPOSED = lazy_pattern(r"\b[Ii]f\b[^.\n]{1,160}\banswer would be\W{0,4}$")
"""What a question that was not asked would come to is no later answer than the box."""
_YES_NO = lazy_pattern(r"(yes|no)\b(?=[.,;:!]|\s*$| (?:because|since|as)\b)", re.IGNORECASE)
_LEADING_NUMBER = lazy_pattern(
    rf"(?:(?:approximately|about|roughly|around|only|exactly|a total of) )?({NUMBER_TEXT})(?![\w^_])"
)
_JSON_TAIL = lazy_pattern(r"[\"`][\"`,.}\s]*$")
_JSON_BLANK = lazy_pattern(r"\"answer\" ?: ?(?:\"[\s_.]*\"|null\b)")
_CALCULATOR = lazy_pattern(r"<<[^<>\n]{1,200}>>")
_PROSE_WORD = lazy_pattern(r"(?<![A-Za-z])(?!and\b|or\b)[A-Za-z]{2,}")
_MATHS = lazy_pattern(r"[\\^_={}<>]|\d[A-Za-z]|(?<![A-Za-z'’])[B-HJ-Zb-z](?![A-Za-z'’])")
_EQUALS = lazy_pattern(r"(?:[=≈]|\\approx)\s*")
_ALTERNATIVE = lazy_pattern(r"\((?:or|and|maybe|perhaps|oder|ou|o)\s", re.IGNORECASE)
_ASIDE_AT_END = lazy_pattern(r"(\s*)\(((?:[^()\n]|\([^()\n]*\))*)\)[\s.]*$")
_STYLED = lazy_pattern(
    r"<(b|strong|i|em|u|p|span|code|mark|number|value)>(.*)</\1>", re.IGNORECASE | re.DOTALL
)
_LETTER = r"[\[(]{0,2} ?\*{0,2}([A-Z])\*{0,2}"
_LEADING_LETTER = lazy_pattern(
    rf"(?:option|choice|letter)?\s*(?:\\text\{{)?{_LETTER}"
    r"(?:[)\].:,]|\s*$|\s*[*}$\"]| [-–—] | \(|!|\s+(?:because|since|as|is)\b)",
    re.IGNORECASE,
)
_NAMED_OPTION = lazy_pattern(
    r"(?:\\text\w*\s?\{\s*)?(?:option|choice|letter|answer)(?: |\s*\}\s*\\?\s*)\(?([A-Z])\b", re.IGNORECASE
)
_SEVERAL = lazy_pattern(
    r"[^\w\n]*(?:options? |choices? )?[A-Z](?![\w'’])(?:[^\w\n.:]{1,6}(?:(?:and|or|und|oder|et|ou|y|o|e|и|или"
    r"|或|和)[^\w\n]{1,3})?"
    r"(?:option |choice )?[A-Z](?!\w)(?=\s*(?:$|[^\w\s]|and\b|or\b|are\b|both\b))){1,25}"
)
_ARE_WRONG = lazy_pattern(
    r"\)?\s(?:are|were) (?:all |both |clearly )?(?:wrong|incorrect|false|not|invalid|too)\b"
)
_CAPITAL = lazy_pattern(r"(?<!\w)[A-Z](?!\w)")
_IN_TEXT = lazy_pattern(r"\\(?:text|math)[a-z]{0,6}\s?\{|[{}]|\\(?=\s)|~")
_OPTION_LINE = lazy_pattern(r"[ \t]*(?:\*\*)?\(?([A-Z])[.):](?:\*\*)?[ \t]+\S")
_TAG = lazy_pattern(
    r"<(?P<angle>answer|final_answer|finalanswer|final-answer|final|ans|result|choice"
    r"|option)(?:\s[^<>]{0,80})?>|\[(?P<square>ANSWER"
    r"|FINAL_ANSWER)\]",
    re.IGNORECASE,
)
_END_TAG = lazy_pattern(
    r"</(?:answer|final_answer|finalanswer|final-answer|final|ans|result|choice|option)\s*>?|\[/(?:ANSWER"
    r"|FINAL_ANSWER)\]",
    re.IGNORECASE,
)
_STATES = lazy_pattern(
    r"\\boxed|\\fbox|^[ \t]*####|\banswers? (?:is|are)\b|\banswer\W{0,4}:|^[ \t]*A: ?\S|</answer>"
    r"|\A\W{0,4}[A-Z]\W{0,3}$|答案?[是为為:：]",
    re.IGNORECASE | re.MULTILINE,
)
_NEGATED = lazy_pattern(r"not (?:equal to )?-?[$\\\d]\S{0,40}(?: [a-z]{1,12})?$")
_KEYS = (
    "final_answer", "finalanswer", "answer", "correct_answer", "ans", "answer_letter", "result", "solution",
    "choice", "selected", "selected_option", "option", "letter", "response", "output", "value", "final",
    "answers", "solutions", "roots", "results",
)  # fmt: skip
_BULLET = lazy_pattern(r"^[-•*>] (?=\S)")
_IN_ANGLES = lazy_pattern(r"^<([^<>,]{1,60})>$")
_ADDED = lazy_pattern(
    r",? (?:I (?:think|believe|guess|hope|am \d{1,3}% (?:sure|certain|confident))"
    r"|as (?:required|needed|desired|expected|claimed))$"
)
_ANSWER_KEY = lazy_pattern(r"(?:^|_)(?:answer|option|choice|prediction)$")
_JSON_LEVELS = 2
_LOST_COMMAND = lazy_pattern("[\f\b](?=[a-z])|\t(?=ext|imes|heta|an|frac)|\r(?=ight|ho)")
_BRACES_AT_END = lazy_pattern(r"(?<=\w)[}\]]+$")
_NEXT_KEY = lazy_pattern(r",\s*\"\w{1,40}\"\s*:.*", re.DOTALL)
_REASON = lazy_pattern(
    r"(?P<head>[^,;:]{1,60}?)"
    r"(?:,? \(?(?:because|since|which is|as(?= [^,;]{0,60}=))\s|: (?=[^,;:]{1,60}=))(?P<reason>.+)",
    re.DOTALL,
)
_SAME_AGAIN = lazy_pattern(
    r"([^,;]{1,80}), (?:or(?: simply| just)?|i\.e\.,?|that is,?|namely"
    r"|which (?:simplifies|reduces|is equal|comes) to) "
    r"([^,;]{1,40})"
)
_NOT_IT_IS = lazy_pattern(
    r"not (?:equal to )?-?[$\\\d][^,;\n]{0,40}?[.,;] (?:rather|instead|actually)?,? ?"
    r"(?:it is|it['’]s|it must be|it should be|rather|instead) (?=[-$\\\d])",
    re.IGNORECASE,
)
_CORRECTED = lazy_pattern(
    r"-?[$\\\d][^,;]{0,40}?(?:,|-|—|–|\.{3}|…)? \(?"
    r"(?:(?:no,? wait|no|wait|sorry|I mean|make that|correction|or (?:rather|better))[,:]? "
    r"(?:it is |it['’]s |that is )?|but (?:it|that)(?:['’]s| is| was) (?:actually|really|in fact) )"
    r"(?=[-$\\\d])"
)
_CAPITAL_BOX = lazy_pattern(r"\\(?:Boxed|BOXED)\{")
_STRUCK = lazy_pattern(r"~~[^~\n]{1,200}~~|<(s|del|strike)>[^<>\n]{1,200}</\1>", re.IGNORECASE)
_NOT_BUT = lazy_pattern(r"not (?:equal to )?[^,;]{1,40},? but (?:rather )?(.+)")
_CORRECTION = lazy_pattern(
    r"(?<=[.!?…\n])\s{0,4}(?:no, )?(?:wait|actually|correction|edit|sorry|apologies|hmm|oops)\b"
    r"[^.\n?:]{0,30}?"
    r"(?:\b(?:it is|it's|(?:it|that|this) should be|I meant)\s(?=[-$\d\\])"
    r"|: ?(?=[-$\d\\]\S{0,40}\s{0,4}$))"
    # "I made a mistake. It should be 15."
    r"|\b(?:I (?:\w{1,12} ){0,3}(?:mistake|error|miscalculated|misread)|my (?:mistake|error)"
    r"|(?:that|this)(?: is| was|['’]s) (?:wrong|incorrect|an? (?:error|mistake)))\b"
    r"[^.\n?:]{0,40}[.!;,:] {0,2}"
    r"(?:it|that|this|the [a-z]{3,10}(?: [a-z]{3,10})?) (?:should (?:be|have been)|must be)\s(?=[-$\d\\])",
    re.IGNORECASE,
)
_TAKEN_BACK = lazy_pattern(
    r"(?<=[.!?…\n])\s*(?:(?:no, |hmm+[,.]* )?(?:wait|actually|correction|sorry|oops|scratch that"
    r"|on second thought)\b|(?:hmm+,? )?no[,.] )|, but I(?:['’]ll)? (?:now )?(?:change|switch)",
    re.IGNORECASE,
)
_KEY_OF_TEXT = lazy_pattern(
    r"['\"](?P<key>[A-Za-z_ ]{3,14})['\"]\s*:\s*(?P<value>'[^'\n]{0,500}'|\"(?:[^\"\\\n]|\\.){0,500}\""
    r"|-?\d[\d.eE+-]{0,40})"
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
    text = own_turn(after_reasoning(text[-_WINDOW:]), _STATES)
    letters = [chr(ord("A") + index) for index in range(max(0, min(choices or 0, 26)))]
    json_answer = None if truncated else _of_json(text, choices is not None)
    if json_answer is not None and choices is None:
        return Extracted(json_answer, "json")
    if json_answer is not None and (letter := _letter_of(json_answer, letters)) in letters:
        return Extracted(letter, "json")
    if r"\B" in text:
        text = _CAPITAL_BOX.sub(r"\\boxed{", text)
    text = _STRUCK.sub("", _CALCULATOR.sub("", text).replace(r"\"", '"'))
    marked = _marked(text, letters if choices is not None else None, truncated)
    if marked is not None:
        return marked if marked.text else None  # several options are no answer
    if choices is not None:
        near = text[-_NEAR_END:]
        letter_and_rule = letter_of_reply(near, letters, truncated)
        return Extracted(*letter_and_rule) if letter_and_rule else None
    if truncated or _JSON_BLANK.search(text[-_NEAR_END:]):
        return None
    unmarked = answer_of_unmarked(text[-_NEAR_END:])
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
    for rule, reader in (("hash", _hashed), ("phrase", _phrased)):
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
        answer = _accept(content, rule)
        if answer is None:
            continue
        if letters is None:
            return answer, end
        letter = _letter_of(content, letters)
        if letter in letters:
            return Extracted(letter, rule), end
        if (several := _several(content, letters)) and not _CAPITAL.search(content, several.end()):
            return Extracted("", rule), end
    return None


def _is_plain(text: str) -> bool:
    """Whether a text is an answer and nothing else."""
    return read(text).kind not in ("words", "opaque") and not _is_prose(text)


def _of_json(text: str, has_choices: bool) -> str | None:
    """The answer in a reply that is a JSON object or a Python dictionary."""
    body = text.strip()
    if body.endswith("```"):
        opening = body.rfind("```", 0, len(body) - 3)
        body = (
            body[opening + 3 : -3].removeprefix("json").removeprefix("JSON").strip() if opening >= 0 else ""
        )
    is_listed = body.startswith("[") and body.endswith("]") and body[1:-1].strip().startswith("{")
    if not (is_listed or (body.startswith("{") and body.endswith("}"))) or len(body) > _MOST_JSON:
        return None
    try:
        document: object = json.loads(body, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        written = {document["key"].lower(): document["value"] for document in _KEY_OF_TEXT.finditer(body)}
        document = {key: value.strip("'\"") for key, value in written.items()}
    if has_choices and (verdicts := _verdicts_in(document)):
        chosen = [letter for letter, is_right in verdicts.items() if is_right]
        return chosen[0] if len(chosen) == 1 else None
    if isinstance(document, list):
        document = cast("list[object]", document)[-1]
    return _answer_in(document, _JSON_LEVELS)


def _verdicts_in(document: object) -> dict[str, bool]:
    """What a document says of each option: `{"A": false, "B": true}`, or objects with letter and verdict."""
    if isinstance(document, dict) and len(cast("dict[str, object]", document)) == 1:
        (document,) = cast("dict[str, object]", document).values()
    if isinstance(document, list):
        pairs = [_verdict_in(option) for option in cast("list[object]", document)]
        document = dict(pair for pair in pairs if pair) if all(pairs) else None
    options = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    verdicts = {
        letter.upper(): is_right
        for letter, told in options.items()
        if len(letter) == 1 and (is_right := _truth(told)) is not None
    }
    return verdicts if len(verdicts) == len(options) > 1 else {}


def _truth(value: object) -> bool | None:
    """A verdict, also as text: `"true"`."""
    if isinstance(value, str):
        return {"true": True, "correct": True, "false": False, "incorrect": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _verdict_in(option: object) -> tuple[str, bool] | None:
    values = list(cast("dict[str, object]", option).values()) if isinstance(option, dict) else []
    letters = [value for value in values if isinstance(value, str) and len(value) == 1]
    verdicts = [told for value in values if (told := _truth(value)) is not None]
    return (letters[0], verdicts[0]) if len(letters) == len(verdicts) == 1 else None


def _restored(match: re.Match[str]) -> str:
    r"""The command that one backslash too few made a control character of: `\frac`, `\text`."""
    return "\\" + {"\f": "f", "\b": "b", "\t": "t", "\r": "r"}[match[0]]


def _answer_in(value: object, depth: int) -> str | None:
    if isinstance(value, dict) and depth:
        members = {
            key.lower().replace(" ", "_"): inner for key, inner in cast("dict[str, Any]", value).items()
        }
        for key in _KEYS:
            if key in members and (answer := _answer_in(members[key], depth - 1)) is not None:
                return answer
        inner = [key for key in members if _ANSWER_KEY.search(key)] or [*members][: depth < _JSON_LEVELS]
        return _answer_in(members[inner[0]], depth - 1) if len(inner) == 1 and inner else None
    if isinstance(value, list):
        members = [_answer_in(member, 0) for member in cast("list[object]", value)]
        return ", ".join(member for member in members if member) if members and all(members) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _LOST_COMMAND.sub(_restored, value).strip() if isinstance(value, str) else ""
    if not text or len(text) > MAX_ANSWER or (_PLACEHOLDER.fullmatch(text) and not _VARIABLE.fullmatch(text)):
        return None
    marked = next(boxed_answers(text), None) or next(_phrased(text), None)
    if marked:
        return marked[0]
    return (number_of_sentence(last_sentence(text)) if _is_prose(text) else None) or _without_working(text)


def count_choices(question: str) -> int | None:
    """How many lettered options stand at the end of a question, one a line (`A. ...`), or `None`.

    The letters run from A without a gap; the text of an option may go on over several lines.
    """
    letters = [match[1] for line in question[-_WINDOW:].split("\n") if (match := _OPTION_LINE.match(line))]
    starts = [index for index, letter in enumerate(letters) if letter == "A"]
    for start in reversed(starts):
        run = 0
        while start + run < len(letters) and letters[start + run] == chr(ord("A") + run):
            run += 1
        if run >= 2:
            return run
    return None


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
        box = next(boxed_answers(content), None)
        phrase = next(_phrased(content), None)
        yield box[0] if box is not None else phrase[0] if phrase is not None else content
        end = match.start()


def _hashed(text: str, begin: int = 0) -> Iterator[tuple[str, int]]:
    """Contents of `#### 72` lines, last first, and where each ends; headings are left out."""
    for match in reversed(list(_HASHES.finditer(text, max(begin, len(text) - _NEAR_END)))):
        content = match[1].strip()
        form = read(content)
        if form.kind not in ("words", "opaque") or form.text in ("yes", "no", "true", "false"):
            yield content, match.end()


def _phrased(text: str, begin: int = 0) -> Iterator[tuple[str, int]]:
    """What follows "the answer is" and its kin to the end of the sentence, last first, and where each begins.

    After a place, only what an answer follows directly: a box was final but for a plain word against it.
    """
    begin_near = max(begin, len(text) - _NEAR_END)
    near = text[begin_near:]
    marks: list[tuple[int, str]] = []
    if any(word in near for word in ("nswer", "NSWER", "ption", "hoice", "A:", "a:")):
        marks += [
            (match.end(), "")
            for match in _PHRASE.finditer(text, begin_near)
            if not _DENIED.search(text, max(0, match.start() - _DENIAL), match.start())
        ]
        marks += [(match.end(), "") for match in _HEADING.finditer(text, begin_near)]
    marks += [(match.end(), "") for match in _CORRECTION.finditer(text, begin_near)] if marks else []
    if may_announce(near):
        marks += [(match.end(), match[0]) for match in ANNOUNCED.finditer(text, begin_near)]
    negated: list[tuple[str, int]] = []
    for start, announcer in sorted(marks, reverse=True)[:_MOST_PHRASES]:
        rest = text[start : start + 2 * MAX_ANSWER].lstrip(' \t*:"`')
        taken_back = _NOT_IT_IS.match(rest) or _CORRECTED.match(rest)
        rest = rest[taken_back.end() :] if taken_back else rest
        if rest.startswith("}"):  # of `\textbf{Answer:} 5`
            rest = rest.lstrip("} ").removesuffix("$")
        if rest.startswith(("\n", "$$", r"\[")):
            rest = _BULLET.sub("", rest.lstrip('\n \t*"`'))
            for opening, ending in (("$$", "$$"), (r"\[", r"\]")):
                if rest.startswith(opening) and ending in rest[2:]:
                    rest = rest[2 : rest.index(ending, 2)].replace("\n", " ").strip()
        sentence = first_sentence(rest)
        if sentence.endswith(("?", ":")) or (
            begin and _SUPPOSED.search(text, max(begin, start - 200), start)
        ):
            continue
        answer = _answer_of_sentence(announced(sentence, announcer) if announcer else sentence)
        if _NEGATED.match(answer):
            negated.append((answer, start))
        elif not begin or sentence.lstrip("$*\\([ ").startswith(answer.lstrip("$*\\([ ")[:MAX_ANSWER]):
            yield answer, start
    yield from negated


def _answer_of_sentence(sentence: str) -> str:
    """The answer within "12 apples because ...", "x = 3 + 4 = 7", "(B), the second"."""
    sentence = _without_working(_JSON_TAIL.sub("", sentence.strip()).strip().strip('*"`').strip())
    sentence = sentence.removesuffix("_")
    if sentence.endswith((r"\)", r"\]")) or sentence.count("$") % 2 == 0:
        sentence = sentence.rstrip(".")
    sentence = _IN_ANGLES.sub(r"\1", _ADDED.sub("", sentence))
    head, joined, rest = sentence.partition("; ")
    if joined and len(rest.split()) > 2 and read(head).number:
        sentence = head
    yes_no = _YES_NO.match(sentence)
    sentence = _NEXT_KEY.sub("", sentence, count=1)
    if _BRACES_AT_END.search(sentence) and not any(mark in sentence for mark in "{[\\"):
        sentence = _BRACES_AT_END.sub("", sentence)
    whole, other = sentence, _NOT_BUT.match(sentence)
    reason, again = _REASON.fullmatch(sentence), _SAME_AGAIN.fullmatch(sentence)
    if other and not _is_prose(other[1]):
        sentence = other[1]  # "not 12 but 15"
    elif again and _same_number(again[1], again[2]):
        sentence = again[2]  # "10/2, or 5"
    elif reason and _is_explained(reason["head"], reason["reason"]):
        sentence = reason["head"]
    elif reason and ", which is " in sentence and read(reason["reason"]).kind == "number":
        sentence = reason["reason"]
    only = without_contrast(whole)
    if only != whole and not _is_prose(only):
        sentence = only  # "12, not 15"
    if yes_no:
        return yes_no[1]
    letter = re.match(
        r"(?:option |choice )?\(([A-Z])\)(?!\w)|(?:option |choice )([A-Z])\b|([A-Z])(?:[.:)] |,| because)",
        sentence,
    )
    if letter and not _several(sentence):
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


def _is_explained(head: str, reason: str) -> bool:
    """Whether a statement is a number, or states the one that the calculation behind it comes to."""
    if not re.search("[a-z]", head):
        return read(head).kind == "number"
    stated = read(number_of_sentence(head) or "").number
    result = read(_EQUALS.split(reason)[-1]).number if _EQUALS.search(reason) else None
    return stated is not None and result is not None and stated.value == result.value


def _is_prose(text: str) -> bool:
    """Whether a text is a sentence rather than mathematics: of a list too, "In all, 4 cows and 3 hens"."""
    kind = read(text).kind
    if kind in ("list", "expression", "parens"):
        return len(_PROSE_WORD.findall(text)) >= _MIN_PROSE and not _MATHS.search(text)
    return kind == "words"


def _without_working(content: str) -> str:
    """Without the parentheses at its end that hold a calculation, or the same number again: of
    "36 (12 + 24 = 36)" and "1/2 (0.5)", what stands before, if it is a number.
    """
    result = content
    while len(result) <= MAX_ANSWER and (aside := _ASIDE_AT_END.search(result)):
        before, inside = result[: aside.start()], aside[2]
        # "4 (x + 1)" is a product.
        if not _EQUALS.search(inside) and not (aside[1] and _same_number(before, inside)):
            break
        result = before
    return result if read(result).number else content


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
        # "7 (or 8)" leaves the answer open.
        if _is_prose(content) and not _ALTERNATIVE.search(content):
            # "The house cost $90,000."
            content = number_of_sentence(last_sentence(content)) or content
    if not content or len(content) > MAX_ANSWER:
        return None
    if _PLACEHOLDER.fullmatch(content) and not _VARIABLE.fullmatch(content):
        return None
    if rule == "phrase" and r"\boxed" in content:
        return None  # a box that holds something is another marker; this one is empty
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
    styled = _STYLED.fullmatch(content) if content.startswith("<") else None
    content = styled[2].strip() if styled else content
    if content[:1] not in _MARKUP and not content.endswith(".") and "**" not in content:
        return content
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


def _several(content: str, letters: Collection[str] = ascii_uppercase) -> re.Match[str] | None:
    """The list of options that an answer begins with: `A, C`, `(B) or (D)`."""
    several = _SEVERAL.match(content)
    if several is None or _ARE_WRONG.match(content, several.end()):
        return None  # "A, C and D are wrong" follows one
    return several if len({*letters} & {*_CAPITAL.findall(several[0])}) > 1 else None


def _letter_of(content: str, letters: Collection[str]) -> str:
    content = _clean(content)
    form = read(content)
    if form.kind == "letter":
        return form.text.upper()
    if "\\" in content:
        content = " ".join(_IN_TEXT.sub(" ", content).split())
    if _several(content, letters):
        return ""
    match = _LEADING_LETTER.match(content) or _NAMED_OPTION.match(content)
    return match[1].upper() if match else ""
