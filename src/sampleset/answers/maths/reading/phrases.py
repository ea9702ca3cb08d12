"""Answers behind a phrase, "the answer is" or its like in another language, in the rest of the sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.numbers.counts import SPELT
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.boxes import MAX_ANSWER
from sampleset.answers.maths.reading.languages import ANNOUNCED, announced, may_announce
from sampleset.answers.maths.reading.marked_texts import EQUALS, is_prose, same_number, without_aside
from sampleset.answers.maths.reading.option_lists import several_options
from sampleset.answers.maths.reading.sentences import (
    GRID,
    NUMBER,
    NUMBER_TEXT,
    first_sentence,
    number_of_sentence,
    without_contrast,
)

NEAR_END = 8_000
"""Characters at the end of a text, where an answer is looked for."""
_MOST_PHRASES = 40
_FEW_WORDS = 2
_DENIAL = 60
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
    r"(?<!['’]s )(?<!incorrect )(?<!wrong )(?<!other )(?<!long )(?<!each )(?<!each correct )"
    r"(?<!every )(?<!every correct )"
    r"\b(?:answer|answers(?= are)|(?:correct|best|right) (?:option|choice))\b[\"*_`]{0,4}"
    r"(?: to the question [\"'“][^\n]{1,200}?[\"'”](?= (?:is|would)\b)"
    r"|(?: (?:to|for|of|in) [^.:\n]{1,120}?(?= (?:is|are|would|should|must|will|was|equals)\b|:)))?"
    r"(?:[\"*_`]{0,4} (?:is|are|would be|should be|must be|will be|was|equals)\b"
    # "so our answer is correct" judges one.
    r"(?! (?:indeed |also )?(?:correct|right|reasonable|verified|valid|accurate|consistent|plausible"
    r"|the same|rounded|not a whole)\b)"
    rf"{_BETWEEN_IS_AND_ANSWER}"
    r"|\W{0,4}?(?:[:=]>?|[-=]>|→))[\"*_` \t:]{0,8}"
    r"|^[ \t]*(?:\*\*)?A:(?:\*\*)?[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_DENIED = lazy_pattern(
    r"(?:\bnot|n['’]t|\bnever) (?:think|believe|say|claim|mean|agree|sure)(?: that)?(?: (?:the|my|our|this"
    r"|correct|right|best|final)){0,3} $"
    # "There is no right answer to this".
    r"|\bno (?:(?:right|wrong|correct|clear|single|definitive|definite|known|specific|simple|real|exact"
    r"|unique|good|other|numerical)(?: or |, | )){0,3}$",
    re.IGNORECASE,
)
_HEADING = lazy_pattern(
    r"^(?:#{1,6} {0,4}(?:\*\*)?(?:(?:the )?final )?answer(?:\*\*)?|\*\*(?:the )?final answer\*\*):? {0,4}$",
    re.IGNORECASE | re.MULTILINE,
)
_CORRECTION = lazy_pattern(
    r"(?<=[.!?…\n])\s{0,4}(?:no, |but )?(?:wait|actually|correction|edit|sorry|apologies|hmm|oops)\b"
    r"[^.\n?:]{0,60}?"
    r"(?:\b(?:it is|it's|(?:it|that|this) should be|I meant)\s(?=[-$\d\\])"
    r"|: ?(?=[-$\d\\]\S{0,40}\s{0,4}$))"
    # "I made a mistake. It should be 15."
    r"|(?:\b(?:I (?:\w{1,12} ){0,3}(?:mistake|error|miscalculated|misread)|my (?:mistake|error))"
    r"|(?:\b(?:that|this)|(?<=\})\$?)(?: is| was|['’]s)"
    r" (?:wrong|incorrect|not right|an? (?:error|mistake)))\b"
    r"[^.\n?:]{0,40}[.!;,:] {0,2}"
    r"(?:it|that|this|the [a-z]{3,10}(?: [a-z]{3,10})?) (?:should (?:be|have been)|must be)\s(?=[-$\d\\])",
    re.IGNORECASE,
)
_SUPPOSED = lazy_pattern(
    r"\b(?:if|had (?:we|you|I|he|she|it|they|the)|otherwise|without)\b"
    r"[^.\n]{1,160}\banswer would (?:have been|be)\W{0,4}$",
    re.IGNORECASE,
)
"""What a question that was not asked would come to is no later answer than a box or another phrase."""
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
_BULLET = lazy_pattern(r"^[-•*>] (?=\S)")
_NEGATED = lazy_pattern(r"not (?:equal to )?-?[$\\\d]\S{0,40}(?: [a-z]{1,12})?$")
_JSON_TAIL = lazy_pattern(r"[\"`][\"`,.}\s]*$")
_IN_ANGLES = lazy_pattern(r"^<([^<>,]{1,60})>$")
_ADDED = lazy_pattern(
    r",? (?:with (?:an? |about |over )?\d{1,3}\\?% (?:confidence|certainty)"
    r"|I (?:think|believe|guess|hope|am \d{1,3}% (?:sure|certain|confident))"
    r"|(?:i\.e\.,? |that is,? |(?<=, ))\$?[\d.,]{1,12} (?:[a-z-]{1,20} ){0,2}(?:more|less|fewer) than\b[^;]*"
    r"|I (?:misread|misc\w+|misunder\w+|mistook|forgot|made|had|was)\b[^;]*"
    r"|as (?:required|needed|desired|expected|claimed))$"
)
_NOISE_AT_END = lazy_pattern(r"(?:\\n){1,9}$|!{2,9}$|_{1,9}$")
_BOUND = lazy_pattern(
    r"(?:(?:much|slightly|just) )?(?:more|less|greater|fewer|larger|smaller|higher|lower) than\b|between\b"
)
"""What an answer is compared with: "more than 36"."""
_YES_NO = lazy_pattern(r"(yes|no)\b(?=[.,;:!]|\s*$| (?:because|since|as)\b)", re.IGNORECASE)
_CITED = lazy_pattern(r"(?<=[\w.)$]) ?(?:\[\d{1,2}\]){1,4}\.?$")
_NEXT_KEY = lazy_pattern(r",\s*\"\w{1,40}\"\s*:.*", re.DOTALL)
_BRACES_AT_END = lazy_pattern(r"(?<=\w)[}\]]+$")
_NOT_BUT = lazy_pattern(
    r"(?:not|nicht|non?|não|не) (?:equal to )?[^,;]{1,40},? (?:but|sondern|sino|mas|ma|а) (?:rather )?(.+)"
)
_REASON = lazy_pattern(
    r"(?P<head>(?:[^,;:]|:(?=\d\d)){1,60}?)"
    r"(?:,? \(?(?:because|since|which is|as(?= [^,;]{0,60}=))\s|: (?=[^,;:]{1,60}=))(?P<reason>.+)",
    re.DOTALL,
)
_SAME_AGAIN = lazy_pattern(
    r"([^,;]{1,80}), (?:or(?: simply| just)?|i\.e\.,?|that is,?|namely"
    r"|which (?:equals|is|(?:simplifies|reduces|is equal|comes) to)) "
    r"([^,;]{1,40})"
)
_LEADING_NUMBER = lazy_pattern(
    rf"(?:(?:approximately|about|roughly|around|only|exactly|a total of) )?({NUMBER_TEXT})(?![\w^_])"
)


def phrased_answers(text: str, begin: int = 0) -> Iterator[tuple[str, int]]:
    """What follows "the answer is" and its kin to the end of the sentence, last first, and where each begins.

    After a place, only what an answer follows directly: a box was final but for a plain word against it.
    """
    begin_near = max(begin, len(text) - NEAR_END)
    near = text[begin_near:]
    marks: list[tuple[int, str]] = []
    fences = text.count("```", 0, begin_near)
    if any(word in near for word in ("nswer", "NSWER", "ption", "hoice", "A:", "a:")):
        marks += [
            (match.end(), "")
            for match in _PHRASE.finditer(text, begin_near)
            if not _DENIED.search(text, max(0, match.start() - _DENIAL), match.start())
        ]
        marks += [
            (match.end(), "")
            for match in _HEADING.finditer(text, begin_near)
            # A single sharp within a fence begins a comment.
            if not match[0].startswith("# ")
            or (fences + text.count("```", begin_near, match.start())) % 2 == 0
        ]
    marks += [(match.end(), "") for match in _CORRECTION.finditer(text, begin_near)] if marks or begin else []
    if may_announce(near):
        marks += [(match.end(), match[0]) for match in ANNOUNCED.finditer(text, begin_near)]
    doubtful: list[tuple[str, int]] = []
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
        grid = GRID.match(rest)
        sentence = grid[0] if grid else first_sentence(rest)
        is_supposed = bool(_SUPPOSED.search(text, max(begin, start - 200), start))
        if sentence.endswith(("?", ":")) or (begin and is_supposed):
            continue
        answer = _answer_of_sentence(announced(sentence, announcer) if announcer else sentence)
        if is_supposed or _NEGATED.match(answer):
            doubtful.append((answer, start))
        elif not begin or sentence.lstrip("$*\\([ ").startswith(answer.lstrip("$*\\([ ")[:MAX_ANSWER]):
            yield answer, start
    yield from doubtful


def _answer_of_sentence(sentence: str) -> str:
    """The answer within "12 apples because ...", "x = 3 + 4 = 7", "(B), the second"."""
    sentence = without_aside(_JSON_TAIL.sub("", sentence.strip()).strip().strip('*"`').strip())
    sentence = _NOISE_AT_END.sub("", sentence)
    if _BOUND.match(sentence):
        return sentence
    if sentence.endswith((r"\)", r"\]")) or sentence.count("$") % 2 == 0:
        sentence = sentence.rstrip(".")
    sentence = _IN_ANGLES.sub(r"\1", _ADDED.sub("", _CITED.sub("", sentence)))
    head, joined, rest = sentence.partition("; ")
    if joined and len(rest.split()) > 2 and read(head).number:
        sentence = head
    yes_no = _YES_NO.match(sentence)
    sentence = _NEXT_KEY.sub("", sentence, count=1)
    if _BRACES_AT_END.search(sentence) and not any(mark in sentence for mark in "{[\\"):
        sentence = _BRACES_AT_END.sub("", sentence)
    whole, other = sentence, _NOT_BUT.match(sentence)
    reason, again = _REASON.fullmatch(sentence), _SAME_AGAIN.fullmatch(sentence)
    if other and not is_prose(other[1]):
        sentence = other[1]  # "not 12 but 15"
    elif again and same_number(again[1], again[2]):
        sentence = again[2]  # "10/2, or 5"
    elif reason and _is_explained(reason["head"], reason["reason"]):
        sentence = reason["head"]
    elif reason and ", which is " in sentence and read(reason["reason"]).kind == "number":
        sentence = reason["reason"]
    only = without_contrast(whole)
    if only != whole and not is_prose(only):
        sentence = only  # "12, not 15"
    if yes_no:
        return yes_no[1]
    letter = re.match(
        r"(?:option |choice )?\(([A-Z])\)(?!\w)|(?:option |choice )([A-Z])\b|([A-Z])(?:[.:)] |,| because)",
        sentence,
    )
    if letter and not several_options(sentence):
        return letter[1] or letter[2] or letter[3]
    head, joined, rest = sentence.partition(" and ")
    if joined and len(rest.split()) > 2 and read(rest).kind == "words" and read(head).kind == "number":
        return head  # "12 and there is no other answer"
    form, prose = read(sentence), is_prose(sentence)
    if (form.kind not in ("words", "opaque", "expression") and not prose) or not re.search(
        r"[A-Za-z]{3}", sentence
    ):
        return sentence
    tail = EQUALS.split(sentence)[-1]
    if tail != sentence and tail.count(")") > tail.count("(") and not tail.endswith(r"\)"):
        tail = tail.removesuffix(")")  # of "(since 2 + 3 = 5)"
    if tail != sentence and read(tail).kind not in ("words", "opaque"):
        return tail
    if form.kind == "expression" and "\\" in sentence:
        math = re.findall(r"\$([^$]+)\$|\\\((.+?)\\\)", sentence)
        formula = math[0][0] or math[0][1] if len(math) == 1 else sentence
        if read(formula).kind != "letter":
            return formula
        words = [match[0] for match in SPELT.finditer(sentence.lower())]
        return (
            words[0] if len(words) == 1 and not NUMBER.search(sentence) else sentence
        )  # "two values of $x$"
    stated = number_of_sentence(sentence) if prose and len(sentence.split()) > 3 else None
    if stated:
        return stated
    leading = _LEADING_NUMBER.match(sentence)
    if leading:
        return leading[1]
    numbers = NUMBER.findall(sentence)
    if len(numbers) == 1 and len(sentence.split()) > _FEW_WORDS:
        return numbers[0]
    return sentence


def _is_explained(head: str, reason: str) -> bool:
    """Whether a statement is a number, or states the one that the calculation behind it comes to."""
    if not re.search("[a-z]", head):
        return read(head).kind in ("number", "time", "date")
    stated = read(number_of_sentence(head) or "").number
    result = read(EQUALS.split(reason)[-1]).number if EQUALS.search(reason) else None
    return stated is not None and result is not None and stated.value == result.value
