"""Letters of options: which one a text names as its answer.

Options are named in many sentences ("I'd go with C", "That leaves (D)", "The answer is not A. It is D."). The
last sentence that names one as right counts; those that rule one out, suppose it, or leave it open, do not. A
sentence that only speaks well of an option ("B makes sense") counts where no other says which is right.

Many texts go through the options (`Option A: Incorrect.`). Such a heading names no answer; its verdict may.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.languages import (
    FOREIGN_ANSWERS,
    FOREIGN_BUT,
    FOREIGN_IS,
    FOREIGN_OPTIONS,
    FOREIGN_RIGHT,
    FOREIGN_THE,
)
from sampleset.answers.maths.reading.option_lists import (
    NOUN,
    Entry,
    listed_options,
    option_of_list,
    ticked_option,
    with_verdicts_apart,
    without_headings,
)
from sampleset.answers.maths.reading.unchosen_options import is_open, is_ruled_out

_FEW_CHARACTERS = 100

_MARKUP = lazy_pattern(
    r"</?(?:b|strong|i|em|u|p|span|mark)>|\*\*|__|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|`|\$|\\[()\[\]]"
    r"|[「」『』【】✅✓☑➡]|^[ \t]*[>→]|^#{1,6} |\[(?:END|DONE|EOS)\]|(?<=\b[A-Z])['’][dt][iıuü]r\b",
    re.MULTILINE,
)
_WIDE = {
    first + place: ord("A") + place
    # wide, in a circle, in a disc, in a square; bold, italic, both, without serifs
    for first in (0xFF21, 0x24B6, 0x1F150, 0x1F170, 0x1D400, 0x1D434, 0x1D468, 0x1D5A0, 0x1D5D4)
    for place in range(26)
}
_QUOTED = lazy_pattern(r"[\"“'‘]([A-Z])[\"”'’]")
_SMALL = lazy_pattern(
    r"(\b(?i:option|choice|ans:?) \(?|^(?i:(?:so|hence|thus"
    r"|therefore),? )?(?=[a-z] is (?:the (?:[a-z]+ )?(?:answer|one"
    r"|option|choice)|correct|right|true|best)\b|[b-z],? because\b))([a-hj-z])(?=\)?\s*[.!]?$|[.,;)]| (?:is"
    r"|because|since|seems)\b)",
    re.MULTILINE,
)
_SMALL_AT_END = lazy_pattern(
    r"\b((?i:choose|pick|select|go with|going with|say|must be|has to be|should be|would be|guess|think|vote"
    r"|it['’]s|it is) )([a-hj-z])(?=[.!]?\s*$)"
)
_STYLED = lazy_pattern(
    r"\\(?:text|textbf|textit|textrm|textsf|mathbf|mathrm|mathsf|boldsymbol|bf"
    r"|rm)\s?\{\s*\(?\s*([A-Z])\s*\)?\s*[.)]?\s*\}"
)
_END = lazy_pattern(
    r"(?<![A-Z])(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bProf)"
    r"[.!?;](?=\s|$)|(?<=[ (][A-Z])[.!?;](?=\s|$)|(?<=^[A-Z])\?(?=\s|$)|(?<=\([A-Z]\))[.!?;]"
    r"|[\n。！？；]",
    re.MULTILINE,
)
_ASIDE = lazy_pattern(r"\s\((?![A-Z]\))[^()\n]{1,200}\)")
_LETTER = (
    r"(?<![<>+*/≠])(?<!(?-i:[A-Z]) [=<>+*/≠] )(?<!(?-i:[A-Z])=)"
    r"[(\[]{0,2}(?<![A-Za-z])((?-i:[A-Z]))(?![A-Za-z'’])[)\]]{0,2}(?![)\]])"
)
_CLOSED = (
    r"(?=\s*(?:$|[.,;:!)?\]–—]|\s-|because\b|since\b|rather\b|instead\b|over\b|here\b|then\b|best\b|。))"
)
_AFTER = (
    r"(?=\s*(?:$|[.,;:!)?\]–—-]|because\b|since\b|as\b|is\b|and\b|which\b|over\b|rather\b|instead\b"
    r"|with\b|for\b|here\b|。|正|是))"
)
_BARE = (
    r"(?=\s*(?:$|[.,;!)?\]–—-]|:\s*\S|because\b|since\b|as\b|which\b|over\b|rather\b|instead\b|here\b|。|正"
    r"|是))"
)
_OPTION = r"(?<!\w)(?-i:[A-Z])(?!\w)"
_STATED = lazy_pattern(
    rf"(?:\b{NOUN}\b|\b(?:the|my|right|correct|best|only) one\b"
    rf"|\bthe (?:closest|nearest|likeliest|most \w+)\b|\b(?:pick|selection|conclusion|result"
    rf"|response|guess|vote|ans|solution|verdict|decision|winner|match|fit|correction)\b\.?)"
    rf"[^\n]{{0,60}}?(?:\b(?:is|are|be|was|as)\b|[:=→]|\s[–—-]|\bbut\b)\s*(?:therefore|thus|then|simply"
    rf"|also|indeed|still|clearly|probably|most likely|likely|I think(?: it(?: is|'s))?)?\s*"
    rf"(?:(?:the )?{NOUN} )?{_LETTER}{_AFTER}"
    rf"|\b(?:ans|answer|choice|conclusion|option|final answer)\b[.,]?\s{{0,3}}(?:=\s{{0,3}})?{_LETTER}{_BARE}"
    rf"|(?:^|\s)(?:final|correct|result|verdict|decision|solution)(?:\s?[:→]|\s)\s{{0,2}}{_LETTER}{_CLOSED}"
    rf"|^{_LETTER},? (?:because|since|I (?:think|believe|guess|would say)"
    rf"|(?:rather than|over|instead of) {_OPTION}|only\s*$|(?:obviously|clearly|of course|definitely)\s*$)"
    rf"|^{_LETTER} is(?: left)?\s*$|^{_LETTER}\W{{1,3}}yes\b"
    rf"|\bwe (?:get|have|find|obtain|arrive at)\s(?:option )?{_LETTER}{_CLOSED}"
    rf"|\bi(?:['’]d| would)? (?:think|guess|vote|bet|suppose|believe)\s{_LETTER}{_CLOSED}"
    rf"|^(?:mark|tick|circle|its)\s{_LETTER}{_CLOSED}|\b(?:all|everything|every option"
    rf"|none)(?: of the)?(?: other)?"
    rf"(?: {NOUN})? (?:but|except(?: for)?|other than) (?:{NOUN} )?{_LETTER}\s"
    rf"(?:is|are|can be|fails?)(?= (?:wrong|incorrect|false|ruled|excluded|eliminated|fit)|\s*$)"
    rf"|\bleav(?:ing|es?) (?:us with )?(?:only )?(?:{NOUN} )?{_LETTER} as (?:the|our|my|its)\b"
    rf"|\bonly (?:{NOUN} )?{_LETTER} (?:meets|satisfies|makes|gives|agrees|has|does"
    rf"|can be (?:right|true|correct))\b"
    rf"|^(?:probably|definitely|clearly|obviously|surely|certainly|likely|most likely),?"
    rf"\s{_LETTER}{_CLOSED}"
    rf"|\b(?:chang|switch|revis|updat)(?:e|ed|ing)?(?: (?:it|this|that"
    rf"|my (?:final )?answer))? to (?:{NOUN} )?"
    rf"{_LETTER}{_CLOSED}"
    rf"|\bmakes? it\s{_LETTER}{_CLOSED}"
    rf"|\bmakes?\s{_LETTER}\s(?:the\s)?(?:right |correct |best |only |final )?(?:answer|choice|option)"
    rf"|\b(?:go(?:ing)? (?:with|for)|pick(?:ed|ing)?|choos(?:e|ing)|chose|select(?:ed)?|say"
    rf"|opt(?:ed)? for|(?:vote|pick|choice) goes to|vote (?:is for|for)|prefer"
    rf"|leav(?:e|es|ing)(?: (?:only|just|us|us with|us only))?"
    rf"|left with(?: only)?"
    rf"|remain(?:s|ing)?(?: is)?|corresponds? to|match(?:es)?|settle on|points? to|must be|has to be"
    rf"|should be|would be|could only be|can only be"
    rf"|it is|it's|that is,?|that's|this is|which is|i\.e\.,?|but|likely|namely|argue for|supports?"
    rf"|favou?rs?|lean(?:ing)? (?:towards?|to))\s+(?:the )?(?:{NOUN} )?{_LETTER}{_CLOSED}"
    rf"|(?:^\W{{0,3}}|,\s*)(?:so|thus|hence|therefore|only|finally"
    rf"|consequently)[,:]?\s+(?:the )?(?:{NOUN} )?(?:only )?{_LETTER}{_CLOSED}"
    rf"|(?:{NOUN},? )?{_LETTER},?\s+(?:alone )?(?:is|seems|looks|appears|must be|would be"
    rf"|has to be)\s+(?:to be )?"
    r"(?:(?:the|our|my|just|exactly|clearly|definitely|indeed|only|therefore|thus|hence|then|also"
    r"|probably),? )*"
    r"(?:correct|right|true|best|better|most|valid|answer|choice|one\b|option|closest|nearest|likeliest"
    r"|winner"
    r"|what we (?:want|need)|consistent with|supported by"
    r"|what (?:remains|is left))"
    rf"|(?:^|\s)(?:{NOUN} )?{_LETTER}\s+(?:best )?(?:fits|holds|works|matches|follows|applies|remains"
    rf"|survives|it is\b|(?:describes|explains)(?= (?:it|this|that|these|the|best|what|how|why)\b|\s*$))"
    rf"|(?:故选|应选|选择?|正确的?(?:选项|答案)?的?[是为]|答案(?:应该?)?[是为為选]?|選ぶ?のは|正解は|答えは"
    rf"|정답은?)"
    rf"\s*[:：]?\s*(?:项|項|选项)?\s*{_LETTER}"
    rf"|(?<!\w)(?:{FOREIGN_ANSWERS})(?!\w)(?:(?!{_OPTION})[^\n.:]){{0,30}}?(?:\s?[:：=—–-]\s?"
    rf"|(?<!\w)(?:{FOREIGN_IS})\s|\s)"
    rf"(?:(?:la|le|il|die|der|das|el|o|a|option|opción|opción la) )?{_LETTER}"
    rf"(?=\s*(?:$|[.,;!)。]|(?:{FOREIGN_IS})(?!\w)))"
    rf"|{_LETTER}\s(?:{FOREIGN_IS})\s(?:la |die )?(?:{FOREIGN_RIGHT})"
    rf"|{_LETTER}\s*(?:选?项|項|选项)?\s*(?:是|为)?\s*(?:正确|が?正しい|が正解|[가이] 정답|[가이] 맞)",
    re.IGNORECASE,
)
_LINK = (
    r"(?:is|seems|(?:looks|sounds|seems)(?: like)?|appears|feels|must be|would be|should be|has to be"
    r"|needs to be|will be|remains)(?: to be)?"
)
_DEGREE = (
    r"(?:the|our|my|its|also|clearly|definitely|indeed|therefore|thus|then|hence|most likely|likely|probably"
    r"|most probably|certainly|exactly|precisely|simply|very|more|most|single|only|quite|actually|in fact)"
)
_POOR = (
    "(?!(?:wrong|incorrect|false|worst|first|second|third|fourth|last|next|other|same|opposite|weaker"
    "|weakest) )"
)
_GOOD = (
    r"(?:correct|right|true|accurate|plausible|reasonable|logical|appropriate|suitable|fitting|likely"
    rf"|strongest|safest|chosen|selected|picked|the way to go|least [a-z]{{3,12}}|odd one out|exception"
    rf"|what\b|it\s*$|left\b|{_POOR}(?:[a-z-]{{2,14}} )?(?:answer|choice|option|pick"
    r"|explanation|description|statement|match|fit|candidate|solution|exception)\b)"
)
_NO_NAME = (
    r"(?!(?:(?:wrong|incorrect|false|first|second|third|last|next|other) "
    r"|[^.,;:\n]{0,60}?\b(?:letters?|types?|points?|names?|grades?|groups?|vitamins?|labels?|variables?|symbols?|keys?|notes?|vert(?:ex|ices))\b))"
)
"""What "is B" as a name, and no option: the vitamin, the point."""
_SURELY = (
    r"(?:possibly|maybe|perhaps|most probably|most likely|probably|likely|presumably|apparently|evidently"
    r"|undoubtedly|for sure|certainly|surely|definitely|without (?:a )?doubt|by elimination"
    r"|by process of elimination)"
)
_LEADS_TO = (
    r"(?:(?<![A-Z] )(?:suggests|indicates|implies)"
    r"|suggest(?:ed)?|indicate|conclude[sd]?|agrees? with|align(?:s|ed)? with|(?:consistent"
    r"|in line|in agreement|compatible) with|fits? with|yields?|gives?(?: us)?|(?:leads?|brings?|takes|gets"
    r"|points?) (?:us|me) to|corresponds with|arrives? at|bet(?:ting)? on|mark(?:ed|ing)?|chosen|picked"
    r"|answer with|recommend|settled? (?:on|for)|decided? on|stick(?:ing)? with|stay(?:ing)? with"
    r"|(?:given|shown|stated) (?:in|by)|captured (?:in|by)|expressed (?:in|by)|equivalent to"
    r"|none other than|better is|left is|remaining is)"
)
_HINTS = (
    # what is said of an option
    rf"(?:{NOUN} )?{_LETTER} {_LINK} (?:{_DEGREE} ){{0,4}}{_GOOD}",
    rf"(?:{NOUN} )?{_LETTER} {_LINK} an? (?:much |far |slightly )?(?:better|stronger|closer|safer)"
    r" (?:answer|choice|option|fit|match|explanation|description|bet)\b",
    rf"\bonly (?:{NOUN} )?{_LETTER} (?:is|could|can|would|seems|makes|meets|matches|fits|states|describes"
    r"|addresses|explains|mentions|reflects|captures|includes|provides|contains|shows|allows|accounts|follows"
    r"|stands|aligns|corresponds)\b",
    rf"{_LETTER} (?:best|most (?:[a-z]{{2,15}}ly)|correctly|accurately|precisely|perfectly) [a-z]{{3,15}}s\b",
    rf"{_LETTER} (?:makes (?:[a-z]{{3,8}} ){{0,3}}sense|stands out|wins|prevails|answers the question"
    r"|[a-z]{3,15}s (?:(?:this|it|that|the [a-z]{3,15}) )?best)\b",
    rf"{_LETTER} is [^.,;\n]{{1,60}}, (?:so|and) (?:it|that|this) is (?:the|our|my)\b",
    rf"\b{NOUN} {_LETTER} [^.,;\n]{{1,80}}, (?:which|and (?:that|this)) (?:is (?:the )?(?:correct|right"
    rf"|true)|matches|fits|agrees)\b",
    rf"(?:{NOUN} )?{_LETTER} (?:satisfies|meets|fulfil+s) (?:all|both|each|every|the)\b",
    # what is done with it
    rf"\bmak(?:es?|ing) (?:{NOUN} )?{_LETTER} (?:the |our )?{_POOR}(?:[a-z-]{{2,14}} )?(?:correct|right|true"
    r"|answer|choice|option)\b",
    rf"\b(?:mark|choose|pick|select|take|keep|give|go with) (?:{NOUN} )?{_LETTER} as (?:the|my|our)\b",
    # what it is, and what leads to it
    r"\bthe (?:exception|odd one(?: out)?|best|least [a-z]+|most [a-z]+|[a-z]{3,10}est|remaining [a-z]+"
    r"|only [a-z]+)\b"
    r"[^\n.,;]{0,60}? (?:is|was|would be|should be|must be|seems to be)(?: (?:given by|likely|probably"
    r"|therefore|thus))?"
    rf" (?:{NOUN} )?{_LETTER}{_CLOSED}",
    rf"^(?:(?:so|thus|hence|therefore),? )?the {_NO_NAME}[a-z][^.,;:\n]{{1,60}} is (?:{NOUN} )?{_LETTER}\s*$",
    rf"\bwhat (?:{NOUN} )?{_LETTER} (?:states|says|describes|claims|asserts|suggests|means)\b",
    rf"\b{_LEADS_TO} (?:{NOUN} )?{_LETTER}{_CLOSED}",
    # a reply of few words, or the end of a calculation
    rf"^(?:(?:it|this|that) )?(?:looks|sounds|seems|feels) (?:like|to be) (?:{NOUN} )?{_LETTER}"
    rf"(?:{_CLOSED}|(?= to me\b))",
    rf"^{_SURELY},? (?:it is |it['’]s )?(?:{NOUN} )?{_LETTER}{_CLOSED}",
    rf"^{_LETTER},? (?:{_SURELY}\s*(?:$|[.,;!])|(?:as|due to|not (?:option )?\(?[A-Z]\b))",
    rf"[\d)}}%°],? (?:or|so|thus|hence|meaning|i\.e\.,?|→) (?:{NOUN} )?{_LETTER}\s*$",
    rf"(?:→|=>|->|⇒)\s?(?:{NOUN} )?{_LETTER}\s*$",
    rf"\b(?:ans|answer|correct|right|final|verdict)\s?:?(?:[-–—=>:]|\s[-–—])\s?{_LETTER}{_CLOSED}",
    rf"\bA: {_LETTER}\s*$",
    # other languages
    rf"(?<!\w)(?:{FOREIGN_ANSWERS}|{FOREIGN_OPTIONS})(?:(?!{_OPTION})[^\n.:]){{0,30}}?[\s:：—–-]{{1,3}}"
    rf"(?:(?:{FOREIGN_THE}) )?{_LETTER}(?=\s*(?:$|[.,;!)।。]|(?:{FOREIGN_IS}|{FOREIGN_RIGHT})(?!\w)|şık))",
    rf"{_LETTER} (?:{FOREIGN_IS}) (?:(?:{FOREIGN_THE}) )?(?:{FOREIGN_RIGHT}|{FOREIGN_ANSWERS})(?!\w)",
    rf"(?<!\w)(?:{FOREIGN_IS}) (?:(?:{FOREIGN_ANSWERS}"
    rf"|{FOREIGN_OPTIONS}|{FOREIGN_THE}) )?{_LETTER} (?:(?:{FOREIGN_THE}) )?(?:{FOREIGN_RIGHT})(?!\w)",
    rf"(?<!\w)(?:ist|est|es|é|è) (?:die|la|le|el|il|a) {_LETTER}{_CLOSED}",
    rf"(?<!\w)(?:{FOREIGN_BUT}) (?:(?:{FOREIGN_IS}|{FOREIGN_THE}) ){{0,2}}{_LETTER}{_CLOSED}",
)
_HINTED = lazy_pattern("|".join(_HINTS), re.IGNORECASE)
"""Speaks well of an option, or names it in few words: counts in a text that does not say which is right."""
_CONDITION = lazy_pattern(
    r"(?:now |so |but |and |even )?(?:if|suppose|assume|assuming|supposing|were)\b"
    r"[^,;]{0,40}?(?<![\w'’])(?-i:[A-Z])\)? (?:is|are|was|were|holds?|true|correct)\b",
    re.IGNORECASE,
)
"""How a sentence begins that only says what would follow if an option were right."""
_OVERRULED = lazy_pattern(
    r"[^.;\n]{0,80}\b(?:but|however|yet|although|though)\b[^.;\n]{0,40}?(?:\bnot\b|n['’]t\b|\bneither\b|\bnone\b|\bfails?\b"
    r"|\bwrong\b|\bincorrect|\bmiss\w+|\bignor\w+|\boverlook\w*|\bomit\w*|\blacks?\b|\bless\b|\bincomplete"
    r"|\btoo\b|\binaccura\w+)",
    re.IGNORECASE,
)
_INSERTED = lazy_pattern(
    r",\s(?:therefore|thus|then|hence|indeed|clearly|of course|in fact|in the end|I think|I believe),\s"
)
_THING = lazy_pattern(
    r"\b(?:vitamin|hepatitis|influenza|type|group|plan|figure|table|point|company|firm|country|city|person"
    r"|patient|player|team|party|drug|compound|substance|solution|sample|gene|block|step|box|part|section"
    r"|train|line|set|event|class|grade|program|matrix|object|particle|process|species|population|product|gas"
    r"|metal|liquid|reaction|node|machine|graph|curve|angle)s?\s$",
    re.IGNORECASE,
)
"""What has a letter for a name and is no option: `vitamin B`."""
_LAST_WORD = lazy_pattern(r"[,:]\s*\(?([A-Z])\)?$")
_ANY_LETTER = lazy_pattern(r"(?<![A-Za-z'’])[A-Z](?![A-Za-z'’])")
_LISTED = lazy_pattern(r"(?<![A-Za-z])[A-Z][).:]\s*(?=\S)")
_DASHED = lazy_pattern(
    r"\(?([A-Za-z])\)?(?: (?:[-–—|/→]|->|=>) |; |, (?=[A-Z\d]|(?:the|an?) (?!.*\b(?:is|are|was|were)\b)))"
    r"(?:\w{2}|\d|I['’ ]|[Aa] )[^\n]{0,200}"
)
_WHOLE = lazy_pattern(
    r"\W*(?:(?:(?:question|q) ?)?\d{1,3}[.):]\s)?"
    r"(?:(?:option|choice|letter|answer|it is|it['’]?s)\W+)?\(?\[?\{?([A-Za-z])\)?\]?\}?\W*",
    re.IGNORECASE,
)
_REPEATED = lazy_pattern(r"\W*([A-Z])(?:[\s,.;]{1,4}\1){1,50}\W*|[^\n.:;]{1,60} [–—] \(?([A-Z])\)?[.\s]*")
"""`D D D`, or the option's text before its letter: `marble — C`."""
_LEADING = lazy_pattern(
    r"\s*(?:[\[(]([A-Z])[\])][.:]?\s{0,3}(?=\w)|([A-Z])(?:\.(?=[A-Za-z]{2}|\d)|[.:)]\s{1,3}|[):：、．。](?=\w))"
    r"|\(?([a-z])[).:]\s{1,3}(?=[^\n]{1,80}$))(?![A-Z]\.|(?:or|and|is)\b)\S"
)
_HEADING = lazy_pattern(
    r"^[#\s]{0,8}(?:the |my )?(?:final |correct |best )?(?:answer|choice|option)(?: is)?\s?:?\n\s*",
    re.IGNORECASE | re.MULTILINE,
)
_LETTERED = lazy_pattern(
    r"^[ \t]*\(?(?:[A-Z][).:]|[a-z]\))\s(?!(?:is|are|was|would|can|could|has)\b)", re.MULTILINE
)
_OPTIONS_IN_LINE = lazy_pattern(r"\W{0,3}A[).:] [^\n]{1,80}?[\s(]B[).:] [^\n]{1,80}?[\s(]C[).:] ")
_CONTRAST = lazy_pattern(r"\b(?:not|rather than|instead of|unlike) (?:[\w-]{1,20} ){1,3}$")
_IN_PARENTHESES = lazy_pattern(r"(?<![\w\\])\(([A-Z])\)(?!\w)")


def letter_of_reply(text: str, letters: Collection[str], truncated: bool) -> tuple[str, str] | None:
    """The option a text names last, and its rule: `choice`, or `last_choice` for the last `(B)`."""
    text = text if text.isascii() else text.translate(_WIDE)
    if (letter := ticked_option(text)) in letters:
        return letter, "choice"
    plain = _MARKUP.sub("", _STYLED.sub(r"(\1)", text))
    plain = _SMALL.sub(lambda match: match[1] + match[2].upper(), _QUOTED.sub(r"\1", plain))
    if len(plain) <= _FEW_CHARACTERS:
        plain = _SMALL_AT_END.sub(lambda match: match[1] + match[2].upper(), plain)
    match = _WHOLE.fullmatch(plain)
    if match and match[1].upper() in letters:
        return match[1].upper(), "choice"
    repeated = _REPEATED.fullmatch(plain)
    if repeated and (letter := repeated[1] or repeated[2]) in letters:
        return letter, "choice"
    plain = with_verdicts_apart(plain, len(letters))
    entries = listed_options(plain, len(letters))
    sentences = _sentences(without_headings(plain, entries))
    if letter := _last_named(sentences, letters, _STATED):
        return letter, "choice"
    if truncated:
        return None
    if letter := option_of_list(entries, letters) or _last_named(sentences, letters, _HINTED):
        return letter, "choice"
    return _unstated(plain, entries, letters)


def _unstated(plain: str, entries: Sequence[Entry], letters: Collection[str]) -> tuple[str, str] | None:
    """The option that opens a text or is set apart in it, else the last in parentheses."""
    wrong = {entry.letter for entry in entries if entry.is_right is False}
    headings = list(_HEADING.finditer(plain))
    headed = plain[headings[-1].end() :] if headings else plain
    leading = _LEADING.match(headed)
    letter = (leading[1] or leading[2] or leading[3]).upper() if leading else ""
    if letter in letters and letter not in wrong and not _lists_options(headed):
        return letter, "choice"
    dashed = _DASHED.fullmatch(plain.strip())
    if dashed and (letter := dashed[1].upper()) in letters and letter not in wrong:
        return letter, "choice"
    for mark in reversed(list(_IN_PARENTHESES.finditer(plain))):
        if mark[1] not in letters or is_ruled_out(plain, mark.start(), mark.end() - 1) or mark[1] in wrong:
            continue
        if _CONTRAST.search(plain[max(0, mark.start() - 80) : mark.start()]):
            continue
        return None if is_open(plain, mark.start(), mark.end()) else (mark[1], "last_choice")
    return None


def _lists_options(text: str) -> bool:
    """Whether a text begins with several options: one a line, or `A) 1 B) 2 C) 3`."""
    return len(_LETTERED.findall(text)) > 1 or bool(_OPTIONS_IN_LINE.match(text))


def _last_named(sentences: Sequence[str], letters: Collection[str], pattern: re.Pattern[str]) -> str:
    """The option that the last of the sentences to match names."""
    for sentence in reversed(sentences):
        opening = sentence[:2000]
        if not _ANY_LETTER.search(opening):
            continue
        for said in dict.fromkeys((_ASIDE.sub(" ", opening).strip(), opening)):
            if letter := _named_in(said, letters, pattern):
                return letter
    return ""


def _sentences(text: str) -> list[str]:
    sentences: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if match[0] != "?":  # a question states nothing
            sentences.append(text[start : match.start()])
        start = match.end()
    return [sentence.strip() for sentence in [*sentences, text[start:]] if sentence.strip()]


def _named_in(sentence: str, letters: Collection[str], pattern: re.Pattern[str]) -> str:
    """The last option that a sentence names by this pattern, and does not rule out or leave open."""
    is_weak = pattern is _HINTED
    if re.fullmatch(r"\(?[A-Z][).]?", sentence) and sentence.strip("().") in letters:
        return sentence.strip("().")
    if len(_LISTED.findall(sentence)) > 2:
        return ""  # the options once more
    if _CONDITION.match(sentence):
        return ""
    sentence = _INSERTED.sub(" ", sentence)
    position, letter = 0, ""
    while position < len(sentence) and (match := pattern.search(sentence, position)):
        group = next(number for number, value in enumerate(match.groups(), start=1) if value)
        begin, end = match.span(group)
        leaves_open = is_ruled_out(sentence, begin, end) or is_open(sentence, begin, end)
        if is_weak and not leaves_open:
            leaves_open = bool(_THING.search(sentence[:begin]) or _OVERRULED.match(sentence, end))
        if match[group] in letters and not leaves_open:
            letter = match[group]
        position = end
    if letter or is_weak:
        return letter
    last = _LAST_WORD.search(sentence)
    if last and last[1] in letters and not is_ruled_out(sentence, *last.span(1)):
        # "After checking, B": the one option that the sentence names, or does not rule out.
        others = [mark for mark in _ANY_LETTER.finditer(sentence) if not is_ruled_out(sentence, *mark.span())]
        return last[1] if len(others) == 1 else ""
    return ""
