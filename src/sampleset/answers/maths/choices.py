"""Letters of options: which one a text names as its answer.

Options are named in many sentences ("I'd go with C", "That leaves (D)", "The answer is not A. It is D."). The
last sentence that names one as right counts; those that rule one out, or leave it open, do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sampleset.answers.maths.languages import FOREIGN_ANSWERS, FOREIGN_IS, FOREIGN_RIGHT
from sampleset.answers.maths.patterns import lazy_pattern

_MARKUP = lazy_pattern(
    r"</?(?:b|strong|i|em|u|p|span|mark)>|\*\*|__|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|`|\$|\\[()\[\]]|[「」『』【】✅✓☑➡→]|^\s*>",
    re.MULTILINE,
)
_WIDE = {
    first + place: ord("A") + place
    for first in (0xFF21, 0x24B6, 0x1F150, 0x1F170)  # wide, in a circle, in a disc, in a square
    for place in range(26)
}
_TICKED = lazy_pattern(
    r"(?:^\W{0,6}([A-Z])\b[^\n✅✓✔☑❌✗✘]{0,80}|(?<![A-Za-z])([A-Z])[).:]?\W{0,3})(?<=[^✅✓✔☑❌✗✘])[✅✓✔☑]",
    re.MULTILINE,
)
_CROSSED = lazy_pattern(r"[❌✗✘]")
_LINE_OF_VERDICT = lazy_pattern(
    r"^\W{0,6}((?-i:[A-Z]))[).:]\W{1,3}(?:is )?(?:(true|correct|right|yes)|false|incorrect|wrong|no)\W*$",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = lazy_pattern(r"[\"“'‘]([A-Z])[\"”'’]")
_STYLED = lazy_pattern(
    r"\\(?:text|textbf|textit|textrm|textsf|mathbf|mathrm|mathsf|boldsymbol|bf"
    r"|rm)\s?\{\s*\(?\s*([A-Z])\s*\)?\s*[.)]?\s*\}"
)
_END = lazy_pattern(
    r"(?<![A-Z])[.!?;](?=\s|$)|(?<=[ (][A-Z])[.!?;](?=\s|$)|(?<=\([A-Z]\))[.!?;]|[\n。！？；]"
)
_ASIDE = lazy_pattern(r"\s\((?![A-Z]\))[^()\n]{1,200}\)")
_LETTER = (
    r"(?<![<>+*/≠])(?<!(?-i:[A-Z]) [=<>+*/≠] )(?<!(?-i:[A-Z])=)"
    r"\(?\[?(?<![A-Za-z])((?-i:[A-Z]))(?![A-Za-z'’])\]?\)?"
)
_CLOSED = r"(?=\s*(?:$|[.,;:!)?\]–—]|\s-|because\b|since\b|rather\b|instead\b|over\b|here\b|then\b|。))"
_AFTER = (
    r"(?=\s*(?:$|[.,;:!)?\]–—-]|because\b|since\b|as\b|is\b|and\b|which\b|over\b|rather\b|instead\b"
    r"|with\b|for\b|here\b|。|正|是))"
)
_OPTION = r"(?<!\w)(?-i:[A-Z])(?!\w)"
_NOUN = r"(?:options?|choices?|letters?|answers?|statements?|alternatives?)"
_STATED = lazy_pattern(
    rf"(?:\b{_NOUN}\b|\b(?:the|my|right|correct|best|only) one\b"
    rf"|\bthe (?:closest|nearest|likeliest|most \w+)\b|\b(?:pick|selection|conclusion|result"
    rf"|response|guess|ans|solution|verdict|decision|winner|match|fit|correction)\b\.?)"
    rf"[^\n]{{0,60}}?(?:\b(?:is|are|be|was|as)\b|[:=]|\s[–—-]|\bbut\b)\s*(?:therefore|thus|then|simply"
    rf"|also|indeed|still|clearly|probably|most likely|likely|I think(?: it(?: is|'s))?)?\s*"
    rf"(?:{_NOUN} )?{_LETTER}{_AFTER}"
    rf"|\b(?:ans|answer|choice|conclusion|option|final answer)\b\.?\s{{0,3}}(?:=\s{{0,3}})?{_LETTER}{_AFTER}"
    rf"|(?:^|\s)(?:final|correct|result|verdict|decision|solution)(?:\s?:|\s)\s{{0,2}}{_LETTER}{_CLOSED}"
    rf"|^{_LETTER},? (?:because|since|I (?:think|believe|guess|would say)"
    rf"|(?:rather than|over|instead of) {_OPTION}|only\s*$|(?:obviously|clearly|of course|definitely)\s*$)"
    rf"|^{_LETTER} is(?: left)?\s*$|^{_LETTER}\W{{1,3}}yes\b"
    rf"|\bwe (?:get|have|find|obtain|arrive at)\s(?:option )?{_LETTER}{_CLOSED}"
    rf"|\bi(?:['’]d| would)? (?:think|guess|vote|bet|suppose|believe)\s{_LETTER}{_CLOSED}"
    rf"|^(?:mark|tick|circle|its)\s{_LETTER}{_CLOSED}|\b(?:all|everything|every option"
    rf"|none)(?: of the)?(?: other)?"
    rf"(?: {_NOUN})? (?:but|except(?: for)?|other than) (?:{_NOUN} )?{_LETTER}\s"
    rf"(?:is|are|can be|fails?)(?= (?:wrong|incorrect|false|ruled|excluded|eliminated|fit)|\s*$)"
    rf"|\bleaving (?:us with )?(?:only )?(?:{_NOUN} )?{_LETTER} as (?:the|our|my|its)\b"
    rf"|\bonly (?:{_NOUN} )?{_LETTER} (?:meets|satisfies|makes|gives|agrees|has|does"
    rf"|can be (?:right|true|correct))\b"
    rf"|^(?:probably|definitely|clearly|obviously|surely|certainly|likely|most likely),?"
    rf"\s{_LETTER}{_CLOSED}"
    rf"|\bmakes?\s{_LETTER}\s(?:the\s)?(?:right |correct |best |only |final )?(?:answer|choice|option)"
    rf"|\b(?:go(?:ing)? (?:with|for)|pick(?:ed|ing)?|choos(?:e|ing)|chose|select(?:ed)?|say"
    rf"|opt(?:ed)? for|vote for|prefer|leav(?:e|es|ing)(?: (?:only|just|us|us with|us only))?"
    rf"|left with(?: only)?"
    rf"|remain(?:s|ing)?(?: is)?|corresponds? to|match(?:es)?|settle on|points? to|must be|has to be"
    rf"|should be|would be|could only be|can only be"
    rf"|it is|it's|that is,?|that's|this is|which is|i\.e\.,?|but|likely|namely|argue for|supports?"
    rf"|favou?rs?|lean(?:ing)? (?:towards?|to))\s+(?:the )?(?:{_NOUN} )?{_LETTER}{_CLOSED}"
    rf"|(?:^\W{{0,3}}|,\s*)(?:so|thus|hence|therefore|only|finally"
    rf"|consequently)[,:]?\s+(?:the )?(?:{_NOUN} )?(?:only )?{_LETTER}{_CLOSED}"
    rf"|(?:{_NOUN},? )?{_LETTER},?\s+(?:alone )?(?:is|seems|looks|appears|must be|would be"
    rf"|has to be)\s+(?:to be )?"
    r"(?:(?:the|our|my|clearly|definitely|indeed|only|therefore|thus|hence|then|also|probably),? )*"
    r"(?:correct|right|true|best|better|most|valid|answer|choice|one\b|option|closest|nearest|likeliest|winner"
    r"|what we (?:want|need)|consistent with|supported by"
    r"|what (?:remains|is left))"
    rf"|(?:^|\s)(?:{_NOUN} )?{_LETTER}\s+(?:best )?(?:fits|holds|works|matches|follows|applies|remains"
    rf"|survives|describes|explains|it is\b)"
    rf"|(?:故选|应选|选择?|正确(?:选项|答案)?的?[是为]|答案(?:应该?)?[是为為选]?|選ぶ?のは|正解は|答えは|정답은?)"
    rf"\s*[:：]?\s*(?:项|項|选项)?\s*{_LETTER}"
    rf"|(?<!\w)(?:{FOREIGN_ANSWERS})(?!\w)(?:(?!{_OPTION})[^\n.:]){{0,30}}?(?:\s?[:：=—–-]\s?|(?<!\w)(?:{FOREIGN_IS})\s|\s)"
    rf"(?:(?:la|le|il|die|der|das|el|o|a|option|opción|opción la) )?{_LETTER}"
    rf"(?=\s*(?:$|[.,;!)。]|(?:{FOREIGN_IS})(?!\w)))"
    rf"|{_LETTER}\s(?:{FOREIGN_IS})\s(?:la |die )?(?:{FOREIGN_RIGHT})"
    rf"|{_LETTER}\s*(?:选?项|項|选项)?\s*(?:是|为)?\s*(?:正确|が?正しい|が正解|[가이] 정답|[가이] 맞)",
    re.IGNORECASE,
)
_RULED_OUT = lazy_pattern(
    r"(?:\bnot|n['’]t|\brules? out|\bruling out|\beliminat\w+|\bexclud\w+|\brejec\w+|\bneither|\bnor"
    r"|\bunlike|\brather than|\binstead of|\bincorrect|\bwrong|\bwhether|\bif|不选|不是)"
    r"\s*(?:be |is |are |to be |the |answer |option |options |choice )*\(?$"
    r"|\b(?:whether|if) (?:(?:option |choice )?\(?[A-Z]\)?,? )+or (?:option |choice )?\(?$",
    re.IGNORECASE,
)
_WRONG_AFTER = lazy_pattern(
    r"\)?\s+(?:is|are|was|seems|looks|must be|would be|cannot be|can't be)\s*(?:n['’]t|not\b|wrong"
    r"|incorrect|false|invalid|out\b|impossible|ruled|eliminated|a (?:common )?(?:distractor|trap))",
    re.IGNORECASE,
)
_EXCEPTED = lazy_pattern(
    r"\b(?:all|every\w*|any\w*)\b[^,;]{0,30} (?:but|except(?: for)?|other than) (?:option |choice )?\(?$",
    re.IGNORECASE,
)
_OPEN = lazy_pattern(
    r"\)?\s+(?:or|and|and/or|oder|ou|und|et|y|o|e|или|и)\s+(?:option |choice )?\(?[A-Z]\b|/[A-Z]\b"
    r"|\)?\s*,\s*\(?[A-Z]\)?\s*(?:,|and\b|or\b)"
)
_LAST_WORD = lazy_pattern(r"[,:]\s*\(?([A-Z])\)?$")
_ANY_LETTER = lazy_pattern(r"(?<![A-Za-z'’])[A-Z](?![A-Za-z'’])")
_LISTED = lazy_pattern(r"(?<![A-Za-z])[A-Z][).:]\s*(?=\S)")
_DASHED = lazy_pattern(r"\(?([A-Z])\)?(?: [-–—|/] |, (?=[A-Z\d]))(?:\w{2}|\d)[^\n]{0,200}")
_WHOLE = lazy_pattern(
    r"\W*(?:(?:option|choice|letter|answer|it is|it['’]?s)\W+)?\(?\[?\{?([A-Za-z])\)?\]?\}?\W*", re.IGNORECASE
)
_LEADING = lazy_pattern(r"\s*\(?([A-Z](?=[).:])|[a-z](?=\)[^\n]{1,80}$))[).:]\s+\S")
_HEADING = lazy_pattern(
    r"^[#\s]{0,8}(?:the |my )?(?:final |correct |best )?(?:answer|choice|option)\s?:?\n\s*",
    re.IGNORECASE | re.MULTILINE,
)
_LETTERED = lazy_pattern(r"^\s*\(?(?:[A-Z][).:]|[a-z]\))\s", re.MULTILINE)
_IN_PARENTHESES = lazy_pattern(r"(?<![\w\\])\(([A-Z])\)(?!\w)")


def letter_of_reply(text: str, letters: Collection[str], truncated: bool) -> tuple[str, str] | None:
    """The option a text names last, and its rule: `choice`, or `last_choice` for the last `(B)`."""
    text = text if text.isascii() else text.translate(_WIDE)
    ticked = {mark[1] or mark[2] for mark in _TICKED.finditer(text)} if _CROSSED.search(text) else set[str]()
    if len(ticked) == 1 and ticked <= set(letters):
        return ticked.pop(), "choice"
    plain = _QUOTED.sub(r"\1", _MARKUP.sub("", _STYLED.sub(r"(\1)", text)))
    match = _WHOLE.fullmatch(plain)
    if match and match[1].upper() in letters:
        return match[1].upper(), "choice"
    for sentence in reversed(_sentences(plain)):
        letter = _stated(sentence, letters)
        if letter:
            return letter, "choice"
    if truncated:
        return None
    verdicts = _LINE_OF_VERDICT.findall(plain)
    right = [letter for letter, is_right in verdicts if is_right]
    if len(right) == 1 < len(verdicts) and right[0] in letters:
        return right[0], "choice"
    headings = list(_HEADING.finditer(plain))
    headed = plain[headings[-1].end() :] if headings else plain
    leading = _LEADING.match(headed)
    if leading and leading[1].upper() in letters and len(_LETTERED.findall(headed)) == 1:
        return leading[1].upper(), "choice"
    dashed = _DASHED.fullmatch(plain.strip())
    if dashed and dashed[1] in letters:
        return dashed[1], "choice"
    for mark in reversed(list(_IN_PARENTHESES.finditer(plain))):
        if mark[1] in letters and not _is_ruled_out(plain, mark.start(), mark.end() - 1):
            return mark[1], "last_choice"
    return None


def _sentences(text: str) -> list[str]:
    sentences: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if match[0] != "?":  # a question states nothing
            sentences.append(text[start : match.start()])
        start = match.end()
    return [sentence.strip() for sentence in [*sentences, text[start:]] if sentence.strip()]


def _stated(sentence: str, letters: Collection[str]) -> str:
    """The last option that a sentence says is right."""
    opening = sentence[:2000]
    if not _ANY_LETTER.search(opening):
        return ""
    return _stated_in(_ASIDE.sub(" ", opening).strip(), letters) or _stated_in(opening, letters)


def _stated_in(sentence: str, letters: Collection[str]) -> str:
    if re.fullmatch(r"\(?[A-Z][).]?", sentence) and sentence.strip("().") in letters:
        return sentence.strip("().")
    if len(_LISTED.findall(sentence)) > 2:
        return ""  # the options once more
    position, letter = 0, ""
    while position < len(sentence) and (match := _STATED.search(sentence, position)):
        group = next(number for number, value in enumerate(match.groups(), start=1) if value)
        begin, end = match.span(group)
        is_open = _is_ruled_out(sentence, begin, end) or _OPEN.match(sentence, end)
        if match[group] in letters and not is_open:
            letter = match[group]
        position = end
    if not letter and (last := _LAST_WORD.search(sentence)) and last[1] in letters:
        # "After checking, B": the one option that the sentence names, or does not rule out.
        others = [
            mark for mark in _ANY_LETTER.finditer(sentence) if not _is_ruled_out(sentence, *mark.span())
        ]
        return last[1] if len(others) == 1 else ""
    return letter


def _is_ruled_out(text: str, begin: int, end: int) -> bool:
    before = text[max(0, begin - 60) : begin]
    wrong = _RULED_OUT.search(before) or (_WRONG_AFTER.match(text, end) and not _EXCEPTED.search(before))
    return bool(wrong)
